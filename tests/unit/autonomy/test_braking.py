"""The engine and its brake: asked at the last moment of every request, never on the way back."""

import asyncio
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from tests.acting import Crash, World
from tests.journals import KINDS, open_journal

from nightdesk.autonomy.actions import Action, ActionState
from nightdesk.autonomy.switches import Clearance, Departure, Word
from nightdesk.sdk.errors import UnavailableError

STOP = Clearance(Word.CANCEL, "stopped by ann: drill")


class Brake:
    """Lets go ``free`` times, then says its word; it notes what it was asked about."""

    def __init__(self, word: Clearance = STOP, free: int = 0) -> None:
        self.word = word
        self.free = free
        self.asked: list[tuple[ActionState, Departure]] = []

    def __call__(self, action: Action) -> Clearance:
        self.asked.append((action.state, Departure.of(action)))
        return Clearance(Word.GO) if len(self.asked) <= self.free else self.word


@pytest.fixture(params=KINDS)
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    journal, close = open_journal(request.param, tmp_path)
    yield World(journal)
    close()


def braked(world: World, brake: Brake) -> Brake:
    world.options["brake"] = brake
    world.restart()
    return brake


def test_the_brake_knows_vendor_rules_and_who_let_it_go(world: World) -> None:
    brake = braked(world, Brake(free=99))
    world.isolate(approval="policy", requested_by="autonomy", rules=("b", "a", "b"))
    world.run()
    assert [state for state, _ in brake.asked] == [ActionState.APPROVED, ActionState.REQUESTED]
    assert {leaving for _, leaving in brake.asked} == {Departure("acme", "host.isolate", "edr", ("a", "b"), alone=True)}


def test_what_was_not_sent_yet_is_cancelled_with_the_reason_and_a_person_is_called(world: World) -> None:
    braked(world, Brake())
    action = world.isolate()
    world.run()
    done = world.now(action)
    assert (done.state, done.error) == (ActionState.CANCELLED, STOP.why)
    assert world.edr.commands == []
    assert (action.action_id, STOP.why) in world.calls


def test_a_stop_between_the_journal_and_the_request_keeps_it_in(world: World) -> None:
    braked(world, Brake(free=1))
    action = world.isolate()
    world.run()
    assert world.states(action) == ["proposed", "approved", "requested", "cancelled"]
    assert world.now(action).error == STOP.why
    assert world.now(action).result["not_done"] == 1
    assert world.edr.commands == []


def test_a_request_that_the_vendor_turned_away_is_not_sent_again(world: World) -> None:
    brake = braked(world, Brake(free=2))
    world.edr.faults.add("rate_limited", path="/act", options={"retry_after": 30})
    action = world.isolate()
    world.run(60)
    assert world.now(action).state is ActionState.CANCELLED
    assert world.edr.commands == []
    assert len(brake.asked) == 3


def test_in_flight_nothing_more_is_sent_and_it_is_read_to_its_end(world: World) -> None:
    braked(world, Brake(free=2))
    world.edr.faults.add("server_error", path="/act")
    action = world.isolate()
    world.run(5)
    assert world.now(action).state is ActionState.REQUESTED
    world.run(400)
    done = world.now(action)
    assert done.state is ActionState.UNVERIFIED
    assert done.result["held"] == STOP.why
    assert STOP.why in done.error
    assert world.edr.commands == []


def test_a_lost_reply_that_worked_is_found_in_effect_though_everything_is_stopped(world: World) -> None:
    braked(world, Brake(free=2))
    world.edr.faults.add("lost_reply", path="/act")
    action = world.isolate(lease=timedelta(hours=1))
    world.run(30)
    assert world.now(action).state is ActionState.LEASED
    assert world.edr.order_count == 1


def test_a_takeover_after_a_crash_sends_nothing_once_it_is_stopped(world: World) -> None:
    brake = braked(world, Brake(free=99))
    action = world.isolate()

    async def dies(command: object) -> None:
        raise Crash

    act, world.edr.act = world.edr.act, dies  # type: ignore[method-assign,assignment]  # the process dies in here
    with pytest.raises(Crash):
        asyncio.run(world.engine.run_once())
    world.edr.act = act  # type: ignore[method-assign]  # and is started again, after a stop
    brake.free = 0
    world.restart()
    world.clock.advance(3600)
    world.run(60)
    assert world.edr.commands == []
    assert world.now(action).state is ActionState.UNVERIFIED


def test_started_again_in_time_what_was_requested_goes_on(world: World) -> None:
    brake = braked(world, Brake(free=2))
    world.edr.faults.add("server_error", path="/act")
    action = world.isolate()
    world.run(5)
    world.edr.faults.clear()
    world.run(10)
    assert world.edr.commands == []
    brake.free = 999
    world.run(60)
    assert world.now(action).state is ActionState.EFFECTIVE
    assert world.edr.order_count == 1


def test_a_brake_pulled_between_the_journal_and_the_request_asks_a_person_as_well(world: World) -> None:
    brake = braked(world, Brake(Clearance(Word.ASK, "a wave"), free=1))
    action = world.isolate(approval="policy", requested_by="autonomy")
    world.run()
    assert world.states(action) == ["proposed", "approved", "requested", "awaiting_approval"]
    assert world.now(action).requested_at is None
    brake.word = Clearance(Word.GO)
    world.engine.approve(world.now(action), "ann")
    world.run()
    assert world.now(action).state is ActionState.LEASED
    assert world.edr.order_count == 1


@pytest.mark.parametrize("way", ["undo", "lease"])
def test_the_way_back_is_never_stopped(world: World, way: str) -> None:
    brake = braked(world, Brake(free=99))
    action = world.isolate(lease=timedelta(hours=1))
    world.run()
    assert world.edr.isolated
    brake.free = 0
    asked = len(brake.asked)
    if way == "undo":
        world.undo(world.now(action))
    world.run(3700, step=60)
    assert world.now(action).state is ActionState.UNDONE
    assert not world.edr.isolated
    assert len(brake.asked) == asked


def test_what_a_brake_doubts_waits_for_a_person_who_may_still_let_it_go(world: World) -> None:
    brake = braked(world, Brake(Clearance(Word.ASK, "demoted")))
    action = world.isolate(approval="policy", requested_by="autonomy")
    world.run()
    waiting = world.now(action)
    assert (waiting.state, waiting.approval, waiting.approved_by) == (ActionState.AWAITING_APPROVAL, "human", "")
    assert any(called == action.action_id and text.endswith(": demoted") for called, text in world.calls)
    assert world.edr.commands == []
    brake.word = Clearance(Word.GO, "warning: demoted")
    world.engine.approve(waiting, "ann")
    world.run()
    done = world.now(action)
    assert done.state is ActionState.LEASED
    assert brake.asked[-1][1].alone is False
    lines = world.journal.history("acme", action.action_id)
    assert [line.detail.get("note") for line in lines if line.state is ActionState.REQUESTED] == ["warning: demoted"]


def test_a_brake_that_cannot_tell_lets_nothing_out_and_loses_nothing(world: World) -> None:
    dark = [True]

    def brake(action: Action) -> Clearance:
        if dark[0]:
            raise UnavailableError("the switches cannot be read")
        return Clearance(Word.GO)

    world.options["brake"] = brake
    world.restart()
    action = world.isolate()
    world.run(60)
    assert world.now(action).state is ActionState.APPROVED
    assert world.edr.commands == []
    dark[0] = False
    world.run(60)
    assert world.now(action).state is ActionState.EFFECTIVE


def test_a_brake_that_goes_dark_after_the_journal_lets_the_request_wait(world: World) -> None:
    answers = [Clearance(Word.GO)]

    def brake(action: Action) -> Clearance:
        if not answers:
            raise UnavailableError("the switches cannot be read")
        return answers.pop()

    world.options["brake"] = brake
    world.restart()
    action = world.isolate()
    world.run(5)
    assert world.now(action).state is ActionState.REQUESTED
    assert world.edr.commands == []
    answers += [Clearance(Word.GO)] * 9
    world.run(60)
    assert world.now(action).state is ActionState.EFFECTIVE
    assert world.edr.order_count == 1


def test_what_is_repeated_after_a_swap_keeps_the_rules_that_wanted_it(world: World) -> None:
    action = world.isolate(rules=("r1",))
    world.run()
    again = world.engine.repeat(world.now(action), actor="ann", reason="swap")
    assert again.result["rules"] == ["r1"]
