from dataclasses import replace
from typing import Any

import pytest
from tests.hubs import REGISTRY

from nightdesk.hub.swap.parity import Parity, VerbParity, compare
from nightdesk.hub.swap.turn import Deed, Seen, Turn
from nightdesk.sdk.manifest import Action, Manifest

_MANIFEST = next(manifest for manifest in REGISTRY.manifests.values() if "host.isolate" in manifest.acts)
_PLAIN: dict[str, Any] = {"stability": "beta", "scope": "hosts:write", "docs": "https://docs.example.com"}
_ISOLATE = Action(**_PLAIN, read_back="state", inverse="host.release", parameters=("mode",))
_DEED = Deed(
    "case-1", "host.isolate", "host:ws-1", offered=True, accepted=True, state="effective", seconds=5.0, undone=True
)


def manifest(**acts: Action) -> Manifest:
    named = {name.replace("_", ".", 1): action for name, action in acts.items()}
    return _MANIFEST.model_copy(update={"acts": named, "writes_back": {}})


def row(old: Deed, new: Deed, old_action: Action | None, new_action: Action | None) -> VerbParity:
    def turn(deed: Deed) -> Turn:
        return Turn("a", "digest", (), (deed,), 10)

    def declared(action: Action | None) -> Manifest:
        return manifest(host_isolate=action) if action else manifest()

    found = compare("edr", turn(old), turn(new), declared(old_action), declared(new_action))
    return next(verb for verb in found.verbs if verb.verb == "host.isolate")


_NOT_OFFERED = replace(_DEED, offered=False, accepted=False, state="", undone=None)


@pytest.mark.parametrize(
    ("new", "action", "parity"),
    [
        (_DEED, _ISOLATE, Parity.SAME),
        (replace(_DEED, losses=("mode=selective: all of it",)), _ISOLATE, Parity.LOSSY),
        (_DEED, _ISOLATE.model_copy(update={"parameters": ()}), Parity.LOSSY),
        (
            replace(_DEED, state="accepted"),
            _ISOLATE.model_copy(update={"read_back": "", "accept_only": "no state"}),
            Parity.WEAKER,
        ),
        (
            replace(_DEED, undone=None),
            _ISOLATE.model_copy(update={"inverse": "", "irreversible": "no way back"}),
            Parity.WEAKER,
        ),
        (replace(_DEED, state="failed", problem="host offline"), _ISOLATE, Parity.FAILED),
        (replace(_DEED, undone=False), _ISOLATE, Parity.FAILED),
        (replace(_DEED, accepted=False, state="failed", problem="no IPv6"), _ISOLATE, Parity.REFUSED),
        (_NOT_OFFERED, None, Parity.MISSING),
    ],
)
def test_each_way_to_be_worse_has_its_word(new: Deed, action: Action | None, parity: Parity) -> None:
    assert row(_DEED, new, _ISOLATE, action).parity is parity


def test_what_the_old_one_could_not_is_better_and_what_nobody_can_is_told_as_such() -> None:
    assert row(_NOT_OFFERED, _DEED, None, _ISOLATE).parity is Parity.BETTER
    assert row(_NOT_OFFERED, _NOT_OFFERED, None, None).parity is Parity.NEITHER
    lossy = replace(_DEED, losses=("mode=selective: all of it",))
    assert row(lossy, _DEED, _ISOLATE, _ISOLATE).parity is Parity.BETTER


def test_the_worst_verb_decides_and_a_verb_that_nobody_offers_does_not() -> None:
    turn = Turn("a", "digest", (), (_DEED, replace(_NOT_OFFERED, verb="host.scan")), 10)
    found = compare("edr", turn, turn, manifest(host_isolate=_ISOLATE), manifest(host_isolate=_ISOLATE))
    assert found.worst() is Parity.SAME


def test_facts_decisions_scopes_and_headroom_are_compared() -> None:
    old = Turn("a", "digest", (Seen("c", 2, 2, frozenset({"host:ws-1", "file:ab"}), ("escalate",)),), (_DEED,), 30)
    new = Turn("b", "other", (Seen("c", 2, 1, frozenset({"host:ws-1", "url:x"}), ("close",)),), (_DEED,), 20)
    declared = manifest(host_isolate=_ISOLATE)
    found = compare("edr", old, new, declared, declared)
    (case,) = found.cases
    assert (case.arrived, case.facts_lost, case.facts_gained) == (1, ("file:ab",), ("url:x",))
    assert not case.same_decision
    assert found.policy_changed
    assert ("hosts:write", ("host.isolate",)) in [(scope.scope, scope.needed_for) for scope in found.scopes]
    assert found.requests_per_case == 20
    assert found.headroom == round(declared.limits.requests_per_minute / 20, 1)
