from typing import Any

import pytest

from nightdesk.autonomy.actions import FOLLOWS, ActionState
from nightdesk.hub.console.life import steps
from nightdesk.hub.store.actions import SqlJournal

_S = ActionState


@pytest.fixture
def cased(stage: Any, hub: Any) -> Any:
    stage.store_case(hub, "ND-1", [stage.alert(1)])
    return hub


def _line(hub: Any, action: Any) -> dict[str, str]:
    return {step.name: step.status for step in steps(action, SqlJournal(hub.store).history("north", action.action_id))}


def test_a_leased_action_has_everything_behind_it_but_the_undo(stage: Any, cased: Any) -> None:
    action = stage.isolated(cased, "ND-1")
    line = steps(action, SqlJournal(cased.store).history("north", action.action_id))
    assert [step.status for step in line] == ["done"] * 5 + ["to come"]
    assert [step.at for step in line[:5]] == sorted(step.at for step in line[:5] if step.at)


def test_an_action_that_waits_for_a_person_stands_at_its_approval(stage: Any, cased: Any) -> None:
    action = stage.act(cased, "ND-1", (_S.AWAITING_APPROVAL, {}))
    line = steps(action, SqlJournal(cased.store).history("north", action.action_id))
    assert (line[0].status, line[0].note) == ("now", "Awaiting approval")
    assert {step.status for step in line[1:]} == {"to come"}


def test_accepted_is_never_shown_as_effective(stage: Any, cased: Any) -> None:
    action = stage.act(cased, "ND-1", (_S.APPROVED, {}), (_S.REQUESTED, {}), (_S.ACCEPTED, {}))
    line = _line(cased, action)
    assert (line["Accepted"], line["Effective"]) == ("done", "to come")


@pytest.mark.parametrize(
    ("moves", "name", "status"),
    [
        ((_S.REJECTED,), "Approved", "broken"),
        ((_S.APPROVED, _S.REQUESTED, _S.FAILED), "Effective", "broken"),
        ((_S.APPROVED, _S.REQUESTED, _S.UNVERIFIED), "Effective", "doubtful"),
        ((_S.APPROVED, _S.REQUESTED, _S.ACCEPTED, _S.CONTRADICTED), "Effective", "broken"),
        ((_S.APPROVED, _S.EFFECTIVE, _S.LEASED, _S.EXPIRED), "Leased", "doubtful"),
        ((_S.APPROVED, _S.EFFECTIVE, _S.UNDO_REQUESTED, _S.UNDO_FAILED), "Undone", "broken"),
        ((_S.APPROVED, _S.EFFECTIVE, _S.UNDO_REQUESTED, _S.UNDONE), "Undone", "done"),
    ],
)
def test_a_life_breaks_where_it_broke(
    stage: Any, cased: Any, moves: tuple[ActionState, ...], name: str, status: str
) -> None:
    action = stage.act(cased, "ND-1", *((state, {}) for state in moves))
    assert _line(cased, action)[name] == status


def test_steps_that_were_not_needed_are_not_promised(stage: Any, cased: Any) -> None:
    action = stage.act(cased, "ND-1", (_S.APPROVED, {}), (_S.EFFECTIVE, {}))
    assert _line(cased, action)["Requested"] == "passed over"


def test_every_state_has_a_place_on_the_line(stage: Any, cased: Any) -> None:
    import dataclasses

    action = stage.act(cased, "ND-1")
    for state in FOLLOWS:
        assert len(steps(dataclasses.replace(action, state=state), ())) == 6
