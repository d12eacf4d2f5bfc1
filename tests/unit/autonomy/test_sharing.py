from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from nightdesk.autonomy.actions import Action, ActionState
from nightdesk.autonomy.admission import Dispatching, Doubt
from nightdesk.autonomy.sharing import PAP, TLP, marking_told, permissible, shareable, strictest, too_wide
from nightdesk.autonomy.surroundings import Surroundings
from nightdesk.sdk.case import Check
from nightdesk.sdk.targets import Target

NOW = datetime(2026, 11, 20, 8, 0, tzinfo=UTC)
TARGETS = {
    "artifact.detonate": "artifact:https://bad.example.com/x",
    "indicator.publish": "indicator:domain:bad.example.com",
    "file.fetch": f"file:{'ab' * 32}",
    "host.collect_evidence": "host:ws-0042",
    "host.scan": "host:ws-0042",
    "host.isolate": "host:ws-0042",
    "ip.block": "address:203.0.113.9",
    "host.release": "host:ws-0042",
    "alert.set_disposition": "alert:1",
    "ip.unblock": "address:203.0.113.9",
    "notify.send": "person:soc",
    "case.open": "case:1",
    "search.run": "search:x",
}


def asked(verb: str, by: str = "direct", facts: dict[str, str] | None = None, **around: Any) -> Dispatching:
    parsed = Target.parse(TARGETS[verb])
    action = Action(
        tenant="acme",
        action_id="act-1",
        verb=verb,
        target=Target(parsed.kind, parsed.value, facts or {}),
        generation=1,
        idempotency_key="k",
        state=ActionState.APPROVED,
        created_at=NOW,
        updated_at=NOW,
        parameters=around.pop("parameters", {}),
        approval=by,
    )
    return Dispatching(action, "main", "vendor", NOW, Surroundings(**around))


def said(check: Check) -> str:
    return "goes" if check.passed else "asks" if isinstance(check, Doubt) else "refused"


@pytest.mark.parametrize(
    ("tlp", "widest"),
    [("clear", "public"), ("green", "community"), ("amber", "vendor"), ("amber+strict", "vendor"), ("red", "none")],
)
@pytest.mark.parametrize("verb", ["artifact.detonate", "indicator.publish", "notify.send", "case.open"])
def test_data_goes_no_further_than_its_marking(tlp: str, widest: str, verb: str) -> None:
    audiences = ("none", "vendor", "community", "public")
    for audience in audiences:
        wide = audiences.index(audience) > audiences.index(widest)
        assert too_wide(audience, tlp) is wide
        for by in ("direct", "human"):
            assert said(shareable(asked(verb, by, tlp=tlp, shared_with=audience))) == ("refused" if wide else "goes")


def test_strict_data_goes_to_a_vendor_at_a_persons_word_only() -> None:
    assert said(shareable(asked("artifact.detonate", "policy", tlp="amber+strict", shared_with="vendor"))) == "asks"
    assert said(shareable(asked("artifact.detonate", "policy", tlp="amber", shared_with="vendor"))) == "goes"
    assert said(shareable(asked("case.open", "policy", tlp="amber+strict", shared_with="vendor"))) == "goes"


@pytest.mark.parametrize("verb", ["file.fetch", "host.collect_evidence"])
def test_what_lies_on_a_host_leaves_at_a_persons_word_only_however_it_is_marked(verb: str) -> None:
    assert said(shareable(asked(verb, "policy", tlp="clear", shared_with="vendor"))) == "asks"
    assert said(shareable(asked(verb, "policy", tlp="clear", shared_with="none"))) == "goes"
    assert said(shareable(asked(verb, "direct", tlp="amber", shared_with="vendor"))) == "goes"


def test_a_block_that_tells_others_in_passing_takes_a_person() -> None:
    told: dict[str, Any] = {"tlp": "amber", "shared_with": "community"}
    assert said(shareable(asked("ip.block", "policy", **told))) == "asks"
    assert said(shareable(asked("ip.block", "direct", **told))) == "goes"
    assert said(shareable(asked("ip.unblock", "policy", **told))) == "goes"
    assert said(shareable(asked("ip.block", "policy", tlp="green", shared_with="community"))) == "goes"


@pytest.mark.parametrize(
    ("verb", "shared_with", "freest"),
    [
        ("search.run", "vendor", "red"),
        ("case.open", "none", "red"),
        ("ip.unblock", "none", "red"),
        ("indicator.publish", "none", "red"),
        ("host.release", "vendor", "red"),
        ("alert.set_disposition", "vendor", "red"),
        ("host.scan", "vendor", "amber"),
        ("file.fetch", "vendor", "amber"),
        ("indicator.publish", "community", "amber"),
        ("artifact.detonate", "public", "green"),
        ("host.isolate", "vendor", "green"),
        ("ip.block", "none", "green"),
    ],
)
def test_what_may_be_done_follows_the_permissible_actions(verb: str, shared_with: str, freest: str) -> None:
    for pap in PAP:
        check = permissible(asked(verb, pap=pap, shared_with=shared_with))
        assert check.passed is (PAP.index(pap) <= PAP.index(freest)), pap


def test_an_active_measure_under_a_strict_marking_takes_two_persons_and_giving_data_away_nobody_may() -> None:
    assert said(permissible(asked("ip.block", "policy", pap="red"))) == "asks"
    assert said(permissible(asked("ip.block", "direct", pap="amber"))) == "asks"
    assert said(permissible(asked("ip.block", "human", pap="red"))) == "goes"
    assert said(permissible(asked("ip.block", "direct", pap="red", shared_with="vendor"))) == "asks"
    assert said(permissible(asked("ip.block", "human", pap="red", shared_with="vendor"))) == "goes"
    assert said(permissible(asked("artifact.detonate", "direct", pap="red", shared_with="none"))) == "asks"
    for by in ("policy", "direct", "human"):
        assert said(permissible(asked("artifact.detonate", by, pap="amber", shared_with="public"))) == "refused"


@pytest.mark.parametrize(
    ("given", "source", "fine"),
    [
        ("amber", "amber", True),
        ("TLP:AMBER", "amber", True),
        ("red", "amber", True),
        ("amber+strict", "amber", True),
        ("green", "amber", False),
        ("white", "green", False),
        ("amber", "amber+strict", False),
        ("purple", "clear", False),
        ("", "clear", True),
        ("", "green", False),
    ],
)
def test_what_is_published_is_marked_no_freer_than_its_source(given: str, source: str, fine: bool) -> None:
    parameters = {"tlp": given} if given else {}
    dispatching = asked("indicator.publish", tlp=source, shared_with="community", tells_tlp=True, parameters=parameters)
    assert said(marking_told(dispatching)) == ("goes" if fine else "refused")


def test_where_no_marking_can_be_told_only_the_audience_counts() -> None:
    plain = asked("indicator.publish", tlp="green", shared_with="community")
    assert said(marking_told(plain)) == "goes"
    assert said(marking_told(asked("indicator.publish", tlp="red", shared_with="none", tells_tlp=True))) == "goes"
    assert said(marking_told(asked("artifact.detonate", tlp="red"))) == "goes"


def test_a_marking_on_the_thing_itself_can_only_close_the_gate_further() -> None:
    kept = {"tlp": "red", "pap": "red"}
    assert said(shareable(asked("artifact.detonate", facts=kept, tlp="clear", shared_with="public"))) == "refused"
    assert said(permissible(asked("ip.block", facts=kept))) == "asks"
    loose = {"tlp": "clear", "pap": "clear"}
    assert said(shareable(asked("artifact.detonate", facts=loose, tlp="red", shared_with="public"))) == "refused"
    assert said(permissible(asked("ip.block", facts=loose, pap="red"))) == "asks"
    nonsense = asked("artifact.detonate", facts={"tlp": "whatever"}, tlp="clear", shared_with="vendor")
    assert said(shareable(nonsense)) == "refused"


def test_the_strictest_of_several_words_counts() -> None:
    assert strictest(TLP) == "clear"
    assert strictest(TLP, "", "green", "TLP:AMBER") == "amber"
    assert strictest(PAP, "white", "PAP:GREEN") == "green"
    assert strictest(PAP, "amber", "what") == "red"
    assert replace(Surroundings(), tlp="amber").tlp == "amber"
