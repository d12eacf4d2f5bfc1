"""200 is said of what a read-back has shown and what still stands, and of nothing else (law 5)."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from nightdesk.autonomy.actions import FOLLOWS, Action, ActionState
from nightdesk.autonomy.ledger import IN_FORCE
from nightdesk.autonomy.openc2.states import MOVING, Status, response_of
from nightdesk.autonomy.reconcile import ACTIVE
from nightdesk.sdk.targets import Target

NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)
ACTION = Action(
    tenant="acme",
    action_id="act-1",
    verb="host.isolate",
    target=Target.parse("host:ws-1"),
    generation=1,
    idempotency_key="k",
    state=ActionState.PROPOSED,
    created_at=NOW,
    updated_at=NOW,
    instance="edr-main",
)


@pytest.mark.parametrize("state", ActionState)
def test_only_what_is_in_force_is_ok(state: ActionState) -> None:
    said = response_of(replace(ACTION, state=state), "c-1")
    assert (said.status is Status.OK) == (state in IN_FORCE)
    assert said.text.startswith(f"{state}: host.isolate of host:ws-1")
    assert said.results["x-nightdesk"]["state"] == state.value


@pytest.mark.parametrize("state", ActionState)
def test_what_is_over_is_not_called_processing(state: ActionState) -> None:
    processing = response_of(replace(ACTION, state=state), "c-1").status is Status.PROCESSING
    assert processing == (state in {*ACTIVE, ActionState.AWAITING_APPROVAL, ActionState.EXPIRED})
    assert FOLLOWS[state] or not processing


def test_one_waits_for_what_the_engine_moves_and_for_no_person() -> None:
    assert {*ACTIVE} <= MOVING
    assert ActionState.AWAITING_APPROVAL not in MOVING


def test_what_cannot_be_read_back_stays_processing_and_nobody_waits_for_it() -> None:
    action = replace(ACTION, state=ActionState.ACCEPTED, result={"accept_only": True})
    said = response_of(action, "c-1")
    assert (said.status, said.moving) == (Status.PROCESSING, False)
    assert "cannot show its effect" in said.text
    assert response_of(replace(action, result={}), "c-1").moving


def test_the_results_carry_evidence_losses_and_the_end() -> None:
    read = {"effect": "in_effect", "observed_at": "2026-11-01T12:00:01+00:00", "state": {"isolated": True}}
    action = replace(
        ACTION,
        state=ActionState.LEASED,
        changed=True,
        losses=("mode",),
        lease_until=NOW,
        result={**read, "attempts": 1, "lease_seconds": 60},
    )
    ours = response_of(action, "c-1").to_json()["results"]["x-nightdesk"]
    assert ours["evidence"] == read
    assert (ours["losses"], ours["changed"], ours["lease_until"]) == (["mode"], True, 1_793_534_400_000)
    assert (ours["command_id"], ours["action_id"]) == ("c-1", "act-1")


def test_what_is_not_known_yet_is_left_out() -> None:
    ours = response_of(ACTION, "c-1").results["x-nightdesk"]
    assert set(ours) == {"command_id", "action_id", "verb", "state", "losses"}
