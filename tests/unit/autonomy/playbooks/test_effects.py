from datetime import UTC, datetime
from typing import Any

import pytest

from nightdesk.autonomy.actions import Action, ActionState
from nightdesk.autonomy.playbooks.effects import told
from nightdesk.autonomy.playbooks.run import OUTCOMES
from nightdesk.sdk.targets import Target

NOW = datetime(2026, 11, 1, tzinfo=UTC)
_S = ActionState


def _action(state: ActionState, **more: Any) -> Action:
    facts: dict[str, Any] = {"tenant": "acme", "action_id": "act-1", "verb": "host.isolate", "generation": 1}
    facts |= {"target": Target.parse("host:ws-1"), "idempotency_key": "k", "created_at": NOW, "updated_at": NOW}
    return Action(state=state, **{**facts, **more})


@pytest.mark.parametrize("state", ActionState)
def test_every_state_says_something_or_that_it_is_open(state: ActionState) -> None:
    """Law 5: only what was read back is a success; what is under way is nothing yet."""
    word = told("k", _action(state)).outcome
    under_way = {_S.PROPOSED, _S.AWAITING_APPROVAL, _S.APPROVED, _S.REQUESTED, _S.ACCEPTED, _S.PENDING}
    assert (word == "") is (state in under_way)
    assert word not in OUTCOMES, "none of these was ever seen in effect"


@pytest.mark.parametrize("state", [_S.EFFECTIVE, _S.LEASED, _S.RENEWED, _S.EXPIRED, _S.UNDO_REQUESTED, _S.UNDONE])
def test_what_was_seen_in_effect_was_effective_whatever_came_after(state: ActionState) -> None:
    assert told("k", _action(state, effective_at=NOW)).outcome == "effective"


@pytest.mark.parametrize("state", [_S.FAILED, _S.UNVERIFIED, _S.CONTRADICTED, _S.REJECTED, _S.CANCELLED])
def test_a_failure_keeps_its_word_and_its_reason(state: ActionState) -> None:
    found = told("k", _action(state, effective_at=NOW, error="why"))
    assert (found.outcome, found.note) == (str(state), "why")


def test_accepted_is_a_word_of_its_own_and_only_where_nothing_can_be_read() -> None:
    found = told("k", _action(_S.ACCEPTED, result={"accept_only": "no state"}, losses=("path",)))
    assert (found.outcome, found.note) == ("accepted", "accepted, no read-back: no state; without path")
    assert told("k", _action(_S.ACCEPTED)).outcome == ""


def test_what_was_so_already_and_what_is_missing_is_said() -> None:
    found = told("k", _action(_S.EFFECTIVE, effective_at=NOW, changed=False, losses=("mode",)))
    assert found.note == "it was so already; without mode"
