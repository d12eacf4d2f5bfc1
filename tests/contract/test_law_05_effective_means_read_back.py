"""Law 5: accepted, pending and effective are different words, and *effective* was read from the vendor's own state."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st
from tests.acting import HOST, Edr, Ticking, World
from tests.journals import MemoryJournal

from nightdesk.autonomy.actions import Action, ActionState, StaleActionError
from nightdesk.autonomy.ledger import IN_FORCE
from nightdesk.sdk.errors import PolicyError
from nightdesk.sdk.ports import Command, Effect, Reading, Receipt

_S = ActionState
OVER_UNDONE = frozenset({_S.CANCELLED, _S.REJECTED, _S.FAILED, _S.UNDONE, _S.CONTRADICTED})
FAULTS = (
    "rate_limited",
    "server_error",
    "lost_reply",
    "truncated_body",
    "not_json",
    "expired_token",
    "missing_scope",
)
STANDING = ("offline_host", "late_effect", "accepted_then_failed", "out_of_order")

WISH = st.tuples(st.just("wish"), st.sampled_from(["host.isolate", "host.release"]), st.integers(1, 3), st.booleans())
UNDO = st.tuples(st.just("undo"), st.integers(0, 9))
TIME = st.tuples(st.just("time"), st.sampled_from([5, 60, 400, 400, 900, 4000]))
FAULT = st.tuples(
    st.just("fault"), st.sampled_from(FAULTS), st.sampled_from(["/act", "/device", ""]), st.integers(1, 4)
)
STANDS = st.tuples(st.just("standing"), st.sampled_from(STANDING), st.sampled_from([10, 350, 900]))
STEPS = st.one_of(
    WISH, WISH, WISH, UNDO, UNDO, TIME, TIME, FAULT, STANDS, STANDS, st.just(("repair",)), st.just(("restart",))
)


class Witness:
    """Holds every *effective* and *undone* against what the vendor really shows at that moment."""

    def __init__(self) -> None:
        self.journal = MemoryJournal(self.see)
        self.world = World(self.journal, edr=Edr(Ticking()))
        self.actions: list[Action] = []
        self._was: dict[str, ActionState] = {}

    def see(self, action: Action) -> None:
        isolated = self.world.edr.fleet.devices["dev-1"].isolated
        arrived = self._was.get(action.action_id) is not action.state
        self._was[action.action_id] = action.state
        if arrived and action.state is _S.EFFECTIVE:
            assert isolated == (action.verb == "host.isolate"), f"{action.verb} called effective, and it is not so"
        if arrived and action.state is _S.UNDONE and "read back" in action.result["undo"]:
            assert isolated != (action.verb == "host.isolate"), f"{action.verb} called undone, and it is still so"

    def do(self, step: tuple[Any, ...]) -> None:
        world = self.world
        if step[0] == "wish":
            lease = timedelta(hours=1) if step[3] and step[1] == "host.isolate" else None
            self.actions.append(world.isolate(f"case-{step[2]}", verb=step[1], lease=lease))
            world.run()
        elif step[0] == "undo" and self.actions:
            chosen = self.actions[step[1] % len(self.actions)]
            try:
                world.undo(chosen)
            except (PolicyError, StaleActionError):
                event("an undo came too early or too late")
        elif step[0] == "time":
            world.run(step[1], step=20)
        elif step[0] == "fault":
            world.edr.faults.add(step[1], path=step[2], times=step[3])
        elif step[0] == "standing":
            world.edr.faults.add(step[1], options={"seconds": step[2]} if step[1] == "late_effect" else {})
        elif step[0] == "repair":
            world.edr.faults.clear()
        elif step[0] == "restart":
            world.restart()

    def settle(self) -> None:
        self.world.edr.faults.clear()
        self.world.run(9000, step=45)

    def check(self) -> None:
        everything = [self.world.now(action) for action in self.journal.in_state(list(_S))]
        busy = [one for one in everything if self.world.engine._ledger.in_flight(one) or one.state is _S.APPROVED]
        assert busy == []
        open_ends = [one for one in everything if one.state in {_S.UNVERIFIED, _S.UNDO_FAILED}]
        told = {action_id for action_id, _ in self.world.calls}
        assert {one.action_id for one in open_ends} <= told
        if open_ends:
            event("a person had to look")
            return
        isolated = self.world.edr.isolated
        wishes = [one for one in everything if one.state not in OVER_UNDONE]
        assert all(one.state in IN_FORCE for one in wishes)
        if wishes:
            event("a wish stands")
            newest = max(wishes, key=lambda one: one.generation)
            assert isolated == (newest.verb == "host.isolate"), f"generation {newest.generation} decides"
        elif not any(one.state is _S.UNDONE for one in everything):
            assert not isolated


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(STEPS, min_size=6, max_size=24))
def test_in_any_schedule_words_are_true_and_the_newest_wish_decides(schedule: list[tuple[Any, ...]]) -> None:
    witness = Witness()
    for step in schedule:
        witness.do(step)
    witness.settle()
    witness.check()


def test_an_accepted_request_is_not_called_effective() -> None:
    world = World(MemoryJournal())
    world.edr.faults.add("late_effect", options={"seconds": 120})
    action = world.isolate()
    world.run(60)
    assert world.states(action) == ["proposed", "approved", "requested", "accepted", "pending"]
    assert world.now(action).effective_at is None
    world.run(120)
    assert world.now(action).state is _S.EFFECTIVE


@pytest.mark.parametrize("age", [0.0, 60.0])
def test_a_state_read_before_the_request_proves_nothing(age: float) -> None:
    class Cached(Edr):
        """Answers the second question with what it saw at, or before, the request."""

        async def read_back(self, command: Command) -> Reading:
            if not self.commands:
                return Reading(Effect.NOT_IN_EFFECT, self.clock())
            return Reading(Effect.IN_EFFECT, command.requested_at - timedelta(seconds=age))

    world = World(MemoryJournal(), edr=Cached(Ticking()))
    action = world.isolate()
    world.run(400)
    assert world.now(action).state is _S.UNVERIFIED


def test_the_evidence_of_an_effect_is_later_than_its_request() -> None:
    world = World(MemoryJournal())
    action = world.isolate()
    world.run()
    done = world.now(action)
    assert done.requested_at is not None
    assert done.result["observed_at"] > done.requested_at.isoformat()
    assert done.result["state"] == {"isolated": True}


def test_a_vendor_that_says_yes_and_does_nothing_is_found_out() -> None:
    class Liar(Edr):
        async def act(self, command: Command) -> Receipt:
            return Receipt(native_action_id="order-1")

    world = World(MemoryJournal(), edr=Liar(Ticking()))
    action = world.isolate(lease=timedelta(hours=1))
    world.run(310)
    assert world.now(action).state is _S.UNVERIFIED
    assert world.now(action).lease_until is None
    assert [action_id for action_id, _ in world.calls] == [action.action_id]


def test_effective_within_one_round_when_the_vendor_answers_at_once() -> None:
    world = World(MemoryJournal())
    action = world.isolate()
    asyncio.run(world.engine.run_once())
    assert world.now(action).state is _S.EFFECTIVE
    assert world.journal.standing("acme", HOST.key, "host.isolate")
