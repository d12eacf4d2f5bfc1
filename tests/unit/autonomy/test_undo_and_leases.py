import asyncio
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.acting import HOST, Edr, Helpdesk, World, declare
from tests.journals import KINDS, open_journal

from nightdesk.autonomy.actions import Action, ActionState
from nightdesk.autonomy.engine import Engine
from nightdesk.autonomy.guards import in_time
from nightdesk.autonomy.ledger import Ledger
from nightdesk.autonomy.proposals import Proposals
from nightdesk.sdk.errors import PolicyError, UnsupportedError
from nightdesk.sdk.ports import Command, Effect, Reading, Receipt
from nightdesk.sdk.targets import Target

HOUR = timedelta(hours=1)


@pytest.fixture(params=KINDS)
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    journal, close = open_journal(request.param, tmp_path)
    yield World(journal)
    close()


def test_an_undo_is_journalled_sent_and_read_back(world: World) -> None:
    action = world.isolate()
    world.run()
    world.undo(action)
    world.run()
    assert world.states(action)[-3:] == ["effective", "undo_requested", "undone"]
    assert not world.edr.isolated
    assert world.edr.commands[-1].verb == "host.release"
    assert world.now(action).undone_at is not None


def test_undoing_twice_is_one_effect(world: World) -> None:
    action = world.isolate()
    world.run()
    world.undo(action)
    world.undo(action)
    world.run()
    assert world.undo(action).state is ActionState.UNDONE
    assert world.edr.order_count == 2


def test_what_was_so_before_us_is_not_undone(world: World) -> None:
    world.edr.by_hand(isolate=True)
    action = world.isolate()
    world.run()
    undone = world.undo(action)
    assert undone.state is ActionState.UNDONE
    assert "so before us" in undone.result["undo"]
    world.run()
    assert world.edr.isolated
    assert world.edr.commands == []


def test_what_somebody_took_back_already_is_undone_without_a_call(world: World) -> None:
    action = world.isolate()
    world.run()
    world.edr.by_hand(isolate=False)
    world.undo(action)
    world.run()
    assert world.now(action).state is ActionState.UNDONE
    assert "somebody else" in world.now(action).result["undo"]
    assert len(world.edr.commands) == 1


def test_a_later_isolation_by_somebody_else_is_left_alone_where_the_vendor_names_the_order(world: World) -> None:
    world.edr.names_orders = True
    action = world.isolate()
    world.run()
    world.edr.by_hand(isolate=False)
    world.edr.by_hand(isolate=True)
    world.undo(action)
    world.run()
    assert world.now(action).state is ActionState.UNDONE
    assert world.edr.isolated
    assert len(world.edr.commands) == 1


def test_an_isolation_after_our_own_release_is_not_ours_to_undo(world: World) -> None:
    first = world.isolate()
    world.run()
    world.isolate(verb="host.release")
    world.run()
    world.edr.by_hand(isolate=True)
    world.undo(first)
    world.run()
    assert world.now(first).state is ActionState.UNDONE
    assert world.edr.isolated


def test_a_release_is_undone_by_isolating_again(world: World) -> None:
    world.edr.by_hand(isolate=True)
    action = world.isolate(verb="host.release")
    world.run()
    world.undo(action)
    world.run()
    assert world.edr.isolated


def test_several_undos_of_a_target_go_newest_first(world: World) -> None:
    first = world.isolate()
    world.run()
    second = world.isolate(verb="host.release")
    world.run()
    world.edr.faults.add("server_error", path="/device", times=4)
    world.undo(second)
    world.undo(first)
    world.run(60)
    assert world.now(first).state is ActionState.UNDONE
    assert world.now(second).state is ActionState.UNDONE
    assert not world.edr.isolated


@pytest.mark.parametrize("kind", ["lost_reply", "server_error", "truncated_body", "not_json", "rate_limited"])
def test_a_passing_fault_of_the_undo_ends_in_exactly_one_release(world: World, kind: Any) -> None:
    world.edr.remembers = False
    action = world.isolate()
    world.run()
    world.edr.faults.add(kind, path="/act", times=1)
    world.undo(action)
    world.run(60)
    assert world.now(action).state is ActionState.UNDONE
    assert not world.edr.isolated
    assert world.edr.order_count == 2


def test_a_refused_undo_calls_a_person_and_is_tried_again(world: World) -> None:
    action = world.isolate()
    world.run()
    world.edr.faults.add("missing_scope", path="/act")
    world.undo(action)
    world.run(5)
    assert world.now(action).state is ActionState.UNDO_FAILED
    assert "devices:write" in world.calls[-1][1]
    world.edr.faults.clear()
    world.run(120)
    assert world.now(action).state is ActionState.UNDONE
    assert not world.edr.isolated


def test_the_engine_gives_up_an_undo_after_three_rounds_and_a_person_can_go_on(world: World) -> None:
    action = world.isolate()
    world.run()
    world.edr.faults.add("missing_scope", path="/act")
    world.undo(action)
    world.run(2000, step=30)
    assert world.now(action).result["undo_round"] == 3
    assert len([call for call in world.calls if "not undone" in call[1]]) == 3
    world.edr.faults.clear()
    world.run(600, step=30)
    assert world.edr.isolated
    world.undo(world.now(action))
    world.run()
    assert world.now(action).state is ActionState.UNDONE


def test_an_undo_that_the_vendor_accepts_and_fails_is_not_called_undone(world: World) -> None:
    action = world.isolate()
    world.run()
    world.edr.faults.add("accepted_then_failed")
    world.undo(action)
    world.run(10)
    assert world.now(action).state is ActionState.UNDO_FAILED
    world.edr.faults.clear()
    world.run(200)
    assert world.now(action).state is ActionState.UNDONE
    assert not world.edr.isolated


def test_an_undo_of_an_offline_host_ends_late_and_is_found(world: World) -> None:
    action = world.isolate()
    world.run()
    world.edr.faults.add("offline_host", options={"device_id": "dev-1"})
    world.undo(action)
    world.run(400)
    assert world.now(action).state is not ActionState.UNDONE
    world.edr.faults.clear()
    world.run(3000, step=30)
    assert world.now(action).state is ActionState.UNDONE
    assert not world.edr.isolated


def test_an_unverified_action_is_undone_although_nothing_is_seen_of_it(world: World) -> None:
    world.edr.tells_pending = False
    world.edr.faults.add("offline_host", options={"device_id": "dev-1"})
    action = world.isolate()
    world.run(400)
    world.undo(action)
    assert world.edr.commands[-1].verb == "host.release"
    world.edr.faults.clear()
    world.run(60)
    assert not world.edr.isolated
    world.run(600)
    assert world.now(action).state is ActionState.UNDONE
    assert not world.edr.isolated


def test_an_effect_that_comes_after_its_undo_is_undone(world: World) -> None:
    """The vendor shows no order outstanding, says of a host that is free that it is, and isolates it afterwards."""
    world.edr.tells_pending = False
    world.edr.faults.add("late_effect", options={"seconds": 500})
    action = world.isolate()
    world.run(400)
    assert world.now(action).state is ActionState.UNVERIFIED
    world.edr.faults.clear()
    world.undo(action)
    world.run(30)
    assert world.now(action).state is ActionState.UNDO_REQUESTED
    world.run(300)
    assert world.now(action).state is ActionState.UNDONE
    assert not world.edr.isolated
    assert [command.verb for command in world.edr.commands] == ["host.isolate", "host.release", "host.release"]


def test_an_undo_that_is_only_watched_holds_no_other_wish_up(world: World) -> None:
    world.edr.tells_pending = False
    world.edr.faults.add("late_effect", options={"seconds": 500})
    action = world.isolate()
    world.run(400)
    world.edr.faults.clear()
    world.undo(action)
    world.run(30)
    again = world.isolate("case-2")
    world.run(5)
    assert world.now(again).state is ActionState.EFFECTIVE
    world.run(600)
    assert world.now(action).state is ActionState.UNDONE
    assert world.edr.isolated


@pytest.mark.parametrize("approval", ["human", "direct"])
def test_what_was_not_sent_is_cancelled_and_not_undone(world: World, approval: str) -> None:
    action = world.isolate(approval=approval)
    with pytest.raises(PolicyError, match="cancel"):
        world.undo(action)


def test_what_is_under_way_is_settled_before_it_is_undone(world: World) -> None:
    world.edr.faults.add("offline_host", options={"device_id": "dev-1"})
    action = world.isolate()
    world.run()
    with pytest.raises(PolicyError, match="settled"):
        world.undo(action)


def test_what_failed_needs_no_undo(world: World) -> None:
    world.edr.faults.add("expired_token", path="/act")
    action = world.isolate()
    world.run()
    with pytest.raises(PolicyError, match="nothing was done"):
        world.undo(action)


def test_a_verb_without_inverse_says_why(world: World) -> None:
    world.router.declared["host.scan"] = declare(read_back="status", inverse="", parameters=())
    action = world.isolate(verb="host.scan")
    with pytest.raises(UnsupportedError, match="ends by itself"):
        world.undo(action)


def test_an_alert_gets_back_the_values_it_had(world: World) -> None:
    helpdesk = Helpdesk(world.clock, {"a-1": {"status": "in_progress", "disposition": "undetermined"}})
    world.router.ports["siem"] = helpdesk
    world.router.native_id = "a-1"
    world.router.declared["alert.set_disposition"] = declare(
        read_back="status", inverse="", parameters=("status", "disposition", "comment")
    )
    action = world.engine.propose(
        "acme",
        "alert.set_disposition",
        Target.parse("alert:a-1"),
        requested_by="policy",
        approval="policy",
        source_instance="siem",
        parameters={"status": "closed", "disposition": "false-positive", "comment": "benign"},
    )
    world.run()
    assert helpdesk.alerts["a-1"]["status"] == "closed"
    assert world.now(action).state is ActionState.EFFECTIVE
    world.undo(action)
    world.run()
    assert world.now(action).state is ActionState.UNDONE
    assert helpdesk.alerts["a-1"] == {"status": "in_progress", "disposition": "undetermined"}
    assert helpdesk.comments == ["benign"]


def test_an_alert_that_somebody_changed_since_is_left_alone(world: World) -> None:
    helpdesk = Helpdesk(world.clock, {"dev-1": {"status": "open"}})
    world.router.ports["first"] = helpdesk
    world.router.declared["alert.set_disposition"] = declare(read_back="status", inverse="", parameters=("status",))
    action = world.engine.propose(
        "acme",
        "alert.set_disposition",
        Target.parse("alert:a-1"),
        requested_by="ann",
        approval="direct",
        parameters={"status": "closed"},
    )
    world.run()
    helpdesk.alerts["dev-1"]["status"] = "in_progress"
    world.undo(action)
    world.run()
    assert world.now(action).state is ActionState.UNDONE
    assert helpdesk.alerts["dev-1"]["status"] == "in_progress"


def test_a_lease_ends_in_an_undo(world: World) -> None:
    action = world.isolate(lease=HOUR)
    world.run(3700, step=60)
    assert world.states(action)[-4:] == ["leased", "expired", "undo_requested", "undone"]
    assert not world.edr.isolated


def test_a_lease_does_not_end_early(world: World) -> None:
    action = world.isolate(lease=HOUR)
    world.run(3500, step=60)
    assert world.now(action).state is ActionState.LEASED
    assert world.edr.isolated


def test_a_lease_ends_although_the_engine_was_down(world: World) -> None:
    action = world.isolate(lease=HOUR)
    world.run()
    world.clock.advance(86400)
    world.restart()
    world.run(60)
    assert world.now(action).state is ActionState.UNDONE
    assert not world.edr.isolated


def _until(world: World, seconds: float) -> Action:
    """Isolated until a moment, as a command with a stop time asks for it."""
    ledger = Ledger(world.journal, world.clock)
    return Proposals(ledger, default_lease=HOUR).propose(
        "acme", "host.isolate", HOST, requested_by="ann", approval="direct", case_id="case-1",
        stop_at=world.clock.now + timedelta(seconds=seconds),
    )  # fmt: skip


def test_a_moment_of_the_end_holds_however_late_the_effect_comes(world: World) -> None:
    world.edr.faults.add("late_effect", options={"seconds": 200})
    action = _until(world, 600)
    world.run(580)
    assert world.now(action).state is ActionState.LEASED
    world.run(60)
    assert world.states(action)[-2:] == ["expired", "undo_requested"]
    world.run(300)
    assert not world.edr.isolated


def test_a_repeated_action_ends_when_its_lease_does_and_not_when_it_was_first_to_end(world: World) -> None:
    action = _until(world, 600)
    world.run()
    renewed = world.engine.renew(world.now(action), world.clock.now + timedelta(hours=2), "bob")
    again = world.engine.repeat(renewed, actor="bob", reason="another connector is bound")
    assert again.result["stop_at"] == (renewed.lease_until or world.clock.now).isoformat()
    world.run(1200, step=60)
    assert world.edr.isolated


def test_nothing_goes_out_after_the_moment_of_its_end(world: World) -> None:
    world.engine = Engine(world.journal, world.router, world.clock, guards=(in_time,))
    action = _until(world, 600)
    world.clock.advance(601)
    world.run()
    assert world.now(action).state is ActionState.CANCELLED
    assert "its time is over" in world.now(action).error
    assert world.edr.commands == []


def test_a_renewed_lease_ends_later(world: World) -> None:
    action = world.isolate(lease=HOUR)
    world.run()
    leased = world.now(action)
    assert leased.lease_until is not None
    world.engine.renew(leased, leased.lease_until + HOUR, "bob")
    world.run(4000, step=60)
    assert world.now(action).state is ActionState.RENEWED
    world.run(4000, step=60)
    assert world.now(action).state is ActionState.UNDONE


def test_a_second_renewal_takes_another_person(world: World) -> None:
    action = world.isolate(lease=HOUR)
    world.run()
    until = world.now(action).lease_until
    assert until is not None
    renewed = world.engine.renew(world.now(action), until + HOUR, "bob")
    with pytest.raises(PolicyError, match="another person"):
        world.engine.renew(renewed, until + 2 * HOUR, "bob")
    assert world.engine.renew(renewed, until + 2 * HOUR, "carol").state is ActionState.RENEWED


def test_a_renewal_must_be_later_and_of_a_running_lease(world: World) -> None:
    action = world.isolate(lease=HOUR)
    with pytest.raises(PolicyError, match="running lease"):
        world.engine.renew(action, world.clock() + HOUR, "bob")
    world.run()
    leased = world.now(action)
    assert leased.lease_until is not None
    with pytest.raises(PolicyError, match="end later"):
        world.engine.renew(leased, leased.lease_until - timedelta(minutes=1), "bob")
    with pytest.raises(PolicyError, match="by a person"):
        world.engine.renew(leased, leased.lease_until + HOUR, "engine")


def test_a_lease_that_this_vendor_cannot_end_is_refused_before_the_effect(world: World) -> None:
    world.router.declared["host.isolate"] = declare(inverse="", irreversible="release only on the device")
    action = world.isolate(lease=HOUR)
    world.run()
    assert world.now(action).state is ActionState.FAILED
    assert world.edr.commands == []


def test_a_verb_without_inverse_cannot_be_leased(world: World) -> None:
    with pytest.raises(UnsupportedError, match="leased"):
        world.isolate(verb="host.scan", lease=HOUR)


def test_the_end_of_one_cases_lease_leaves_the_host_to_the_other_case_and_its_lease(world: World) -> None:
    first = world.isolate("case-1", lease=HOUR)
    world.run()
    second = world.isolate("case-2", lease=3 * HOUR)
    world.run(3700, step=60)
    assert world.now(first).state is ActionState.UNDONE
    assert world.edr.isolated
    kept = world.now(second)
    assert kept.state is ActionState.LEASED
    assert kept.changed is True
    assert kept.pre_state == {"isolated": False}
    world.run(3 * 3600, step=60)
    assert world.now(second).state is ActionState.UNDONE
    assert not world.edr.isolated


def test_a_case_without_lease_takes_over_the_duty_to_undo(world: World) -> None:
    first = world.isolate("case-1")
    world.run()
    second = world.isolate("case-2")
    world.run()
    world.undo(first)
    world.run()
    assert world.edr.isolated
    world.undo(world.now(second))
    world.run()
    assert not world.edr.isolated


def test_what_a_case_wants_no_more_takes_nothing_over(world: World) -> None:
    first, second = world.isolate("case-1", lease=HOUR), world.isolate("case-2")
    world.run()
    world.undo(second)
    assert world.now(second).state is ActionState.UNDONE
    assert world.edr.isolated
    world.run(3700, step=60)
    assert world.now(first).state is ActionState.UNDONE
    assert not world.edr.isolated


def test_an_undo_brings_back_no_effect_that_is_undone_itself(world: World) -> None:
    first = world.isolate("case-1", lease=HOUR)
    world.run()
    second = world.isolate("case-2", verb="host.release")
    world.run()
    world.undo(first)
    assert world.now(second).changed is False
    world.undo(second)
    world.run(60)
    assert world.now(second).state is ActionState.UNDONE
    assert not world.edr.isolated
    assert world.edr.order_count == 2


def test_an_undo_brings_back_what_an_older_case_still_wants(world: World) -> None:
    world.isolate("case-1")
    world.run()
    world.edr.by_hand(isolate=False)
    second = world.isolate("case-2")
    world.run()
    third = world.isolate("case-3", verb="host.release")
    world.run()
    world.undo(second)
    assert world.now(third).changed is True
    world.undo(third)
    world.run(60)
    assert world.edr.isolated


def test_who_came_next_owes_the_undo_although_a_third_decides(world: World) -> None:
    first = world.isolate("case-1")
    world.run()
    second = world.isolate("case-2", verb="host.release")
    world.run()
    third = world.isolate("case-3")
    world.run()
    for action in (first, third, second):
        world.undo(action)
        world.run(60)
    assert not world.edr.isolated


def test_a_leased_wish_that_owes_nothing_any_more_ends_quietly(world: World) -> None:
    first = world.isolate("case-1")
    world.run()
    second = world.isolate("case-2", verb="host.release", lease=HOUR)
    world.run()
    world.undo(first)
    world.run(3700, step=60)
    assert world.now(second).state is ActionState.UNDONE
    assert not world.edr.isolated


def test_an_undo_is_not_done_while_the_order_still_waits_for_the_host(world: World) -> None:
    """The release of a host that is free is read back at once; the isolation that nobody saw comes an hour later."""
    world.edr.tells_pending = False

    class TellsItsOwn(Edr):
        async def read_back(self, command: Command) -> Reading:
            reading = await super().read_back(command)
            waits = command.verb == "host.isolate" and self.fleet.devices["dev-1"].pending is not None
            return Reading(Effect.PENDING, reading.observed_at, reading.state) if waits else reading

        async def act(self, command: Command) -> Receipt:
            if command.verb == "host.release" and not self.isolated:
                return Receipt(changed=False)
            return await super().act(command)

    world.router.ports["first"] = world.edr = TellsItsOwn(world.clock, tells_pending=False)
    world.edr.faults.add("offline_host", options={"device_id": "dev-1"})
    action = world.isolate()
    world.run(1200)
    world.undo(action)
    world.run(2400, step=30)
    assert world.now(action).state is ActionState.UNDO_REQUESTED
    world.edr.faults.clear()
    world.run(2400, step=30)
    assert world.now(action).state is ActionState.UNDONE
    assert not world.edr.isolated


def test_a_wish_that_an_undo_fulfilled_claims_no_effect(world: World) -> None:
    """The release failed at a vendor that does not say so; the undo of the isolation then made it so."""

    class Silent(Edr):
        async def read_back(self, command: Command) -> Reading:
            reading = await super().read_back(command)
            effect = Effect.NOT_IN_EFFECT if reading.effect is Effect.FAILED else reading.effect
            return Reading(effect, reading.observed_at, reading.state)

    world.router.ports["first"] = world.edr = Silent(world.clock)
    first = world.isolate("case-1")
    world.run()
    world.edr.faults.add("accepted_then_failed", options={"device_id": "dev-1"})
    second = world.isolate("case-2", verb="host.release", lease=HOUR)
    world.run(400)
    assert world.now(second).state is ActionState.UNVERIFIED
    world.edr.faults.clear()
    world.undo(first)
    world.run(1800, step=60)
    assert world.now(second).state is ActionState.EFFECTIVE
    assert world.now(second).changed is False
    world.run(2 * 3600, step=60)
    assert not world.edr.isolated


def test_who_undoes_a_wish_undoes_its_repeat(world: World) -> None:
    """A late undo ended the newer wish, and the engine asked for that once more."""
    world.edr.tells_pending = False
    first = world.isolate("case-1")
    world.run()
    world.edr.faults.add("offline_host", options={"device_id": "dev-1"})
    world.undo(first)
    world.run(10)
    second = world.isolate("case-2")
    world.run(1500)
    world.edr.faults.clear()
    world.run(2000, step=60)
    assert world.now(second).state is ActionState.CONTRADICTED
    assert world.edr.isolated
    world.undo(second)
    world.run(60)
    assert not world.edr.isolated
    (repeat,) = [one for one in world.journal.of_case("acme", "case-2") if one.result.get("repeats")]
    assert repeat.state is ActionState.UNDONE


def test_a_wish_that_found_it_so_and_ends_with_the_first_does_not_hide_who_owes_the_undo(world: World) -> None:
    """Released for two hours while the isolations' leases end: the release brings none of them back."""
    world.isolate("case-1", lease=timedelta(minutes=30))
    world.run()
    world.isolate("case-2", lease=timedelta(minutes=10))
    world.run()
    released = world.isolate("case-3", verb="host.release", lease=2 * HOUR)
    world.run()
    world.clock.advance(1900)
    world.run(60)
    world.clock.advance(7200)
    world.run(60)
    assert world.now(released).state is ActionState.UNDONE
    assert not world.edr.isolated


def test_who_undoes_a_wish_cancels_its_repeat_that_waits_for_people(world: World) -> None:
    first = world.isolate("case-1")
    world.run()
    repeat = world.engine.repeat(world.now(first), actor="ann", reason="swap")
    Ledger(world.journal, world.clock).move(repeat, ActionState.AWAITING_APPROVAL, "a guard doubts")
    world.engine.contradict(world.now(first), "it still talks", actor="witness siem")
    world.undo(first)
    world.run(60)
    assert (world.now(first).state, world.now(repeat).state) == (ActionState.UNDONE, ActionState.CANCELLED)


def test_who_takes_an_effect_over_knows_whose_vendor_made_it(world: World) -> None:
    """After a swap the instance of that name may be another vendor's."""
    first = world.isolate("case-1")
    world.run()
    second = world.isolate("case-2")
    world.run()
    vendor = world.now(first).result["vendor"]
    world.undo(first)
    world.run(30)
    assert (world.now(second).changed, world.now(second).result["vendor"]) == (True, vendor)


def test_a_wish_whose_time_is_over_keeps_nothing(world: World) -> None:
    """It found the host free an hour ago; the isolation and the release after it end together."""
    world.isolate("case-1", verb="host.release", lease=timedelta(minutes=10))
    world.run()
    world.clock.advance(400)
    world.isolate("case-2", lease=timedelta(minutes=10))
    world.run()
    world.isolate("case-3", verb="host.release", lease=timedelta(minutes=10))
    world.run()
    world.clock.advance(1200)
    world.run(60)
    assert not world.edr.isolated


def test_leases_that_ran_out_together_end_newest_first(world: World) -> None:
    world.isolate("case-1", lease=2 * HOUR)
    world.run()
    world.isolate("case-2", verb="host.release", lease=HOUR)
    world.run()
    world.clock.advance(3 * 3600)
    world.restart()
    world.run(60)
    assert not world.edr.isolated


def test_an_undo_that_comes_late_does_not_end_a_newer_wish(world: World) -> None:
    """No order is shown outstanding: the release of an offline host comes when another case wants it isolated."""
    world.edr.tells_pending = False
    first = world.isolate("case-1")
    world.run()
    world.edr.faults.add("offline_host", options={"device_id": "dev-1"})
    world.undo(first)
    world.run(10)
    second = world.isolate("case-2")
    world.run(1500)
    assert world.now(second).state is ActionState.EFFECTIVE
    world.edr.faults.clear()
    world.run(2000, step=60)
    assert world.edr.isolated
    assert world.now(first).state is ActionState.UNDONE


def test_an_undo_waits_for_a_newer_wish_that_is_under_way(world: World) -> None:
    first = world.isolate("case-1")
    world.run()
    world.edr.faults.add("late_effect", options={"seconds": 60})
    second = world.isolate("case-1", verb="host.release")
    world.run(10)
    world.undo(first)
    world.run(10)
    assert world.now(first).state is ActionState.UNDO_REQUESTED
    world.run(200)
    assert world.now(first).state is ActionState.UNDONE
    assert world.now(second).state is ActionState.EFFECTIVE
    assert [command.verb for command in world.edr.commands] == ["host.isolate", "host.release"]


def test_an_undo_goes_on_in_another_process(world: World) -> None:
    action = world.isolate()
    world.run()
    world.engine._reversal.request(world.now(action), actor="bob", reason="")
    world.restart()
    asyncio.run(world.engine.run_once())
    assert world.edr.isolated, "another process may be at it this very moment"
    world.run(60)
    assert world.now(action).state is ActionState.UNDONE


def test_an_undo_is_not_shown_by_a_state_read_before_it(world: World) -> None:
    class Cached(Edr):
        async def read_back(self, command: Command) -> Reading:
            reading = await super().read_back(command)
            old = command.verb == "host.release"
            return Reading(Effect.IN_EFFECT, command.requested_at) if old else reading

    world.router.ports["first"] = Cached(world.clock)
    action = world.isolate()
    world.run()
    world.undo(action)
    world.run(60)
    assert world.now(action).state is ActionState.UNDO_REQUESTED


def test_a_late_effect_beside_a_newer_equal_wish_is_not_claimed_twice(world: World) -> None:
    world.edr.faults.add("server_error", path="/act")
    first = world.isolate("case-1", lease=HOUR)
    world.run(400)
    assert world.now(first).state is ActionState.UNVERIFIED
    world.edr.faults.clear()
    second = world.isolate("case-2")
    world.run(100)
    assert world.now(second).changed is True
    assert world.now(first).state is ActionState.EFFECTIVE
    assert world.now(first).changed is False


def test_the_connector_that_acted_is_gone(world: World) -> None:
    action = world.isolate()
    world.run()
    world.router.ports = {"second": Edr(world.clock)}
    world.router.bound = "second"
    world.undo(action)
    world.run(10)
    assert world.now(action).state is ActionState.UNDO_FAILED
    assert "no instance first" in world.calls[-1][1]
    assert world.journal.standing("acme", HOST.key, "host.isolate")


def test_an_older_case_that_still_wants_it_keeps_the_host(world: World) -> None:
    first = world.isolate("case-1")
    world.run()
    world.edr.by_hand(isolate=False)
    second = world.isolate("case-2", lease=HOUR)
    world.run(3700, step=60)
    assert world.now(second).state is ActionState.UNDONE
    assert world.now(first).state is ActionState.EFFECTIVE
    assert world.edr.isolated
