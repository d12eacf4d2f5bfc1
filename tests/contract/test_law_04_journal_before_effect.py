"""Law 4: whatever is killed, and wherever: no effect is lost, and none is done twice."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.acting import Crash, Edr, Switchboard, Ticking, World
from tests.journals import MemoryJournal

from nightdesk.autonomy.actions import Action, ActionState
from nightdesk.autonomy.engine import Engine
from nightdesk.autonomy.routing import Route
from nightdesk.hub.store.actions import SqlJournal
from nightdesk.hub.store.store import Store
from nightdesk.sdk.targets import Target
from nightdesk.sdk.testing import FaultPlan

ROOT = Path(__file__).parents[2]
LEASE = timedelta(hours=1)


class Fuse:
    """Kills the process at the k-th boundary of a call of the journal, the router or the vendor."""

    def __init__(self) -> None:
        self.ticks = 0
        self.blows_at: int | None = None
        self.dead = False

    def tick(self) -> None:
        self.ticks += 1
        if self.dead or self.ticks == self.blows_at:
            self.dead = True
            raise Crash

    def around(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def fused(*args: Any, **kwargs: Any) -> Any:
            self.tick()
            answer = call(*args, **kwargs)
            self.tick()
            return answer

        return fused

    def around_async(self, call: Callable[..., Any]) -> Callable[..., Any]:
        async def fused(*args: Any, **kwargs: Any) -> Any:
            self.tick()
            answer = await call(*args, **kwargs)
            self.tick()
            return answer

        return fused


class FusedJournal(MemoryJournal):
    """Dies before or after any of its transactions, never within."""

    def __init__(self, fuse: Fuse) -> None:
        super().__init__()
        for name in ("create", "get", "move", "next_generation", "standing", "in_state", "leases_due", "of_case"):
            setattr(self, name, fuse.around(getattr(self, name)))


class FusedEdr(Edr):
    """Dies before it was asked, or after it did it and before the answer."""

    def fuse(self, fuse: Fuse) -> "FusedEdr":
        for name in ("act", "read_back"):
            setattr(self, name, fuse.around_async(getattr(self, name)))
        return self


class FusedSwitchboard(Switchboard):
    def __init__(self, fuse: Fuse, edr: Edr) -> None:
        super().__init__("first", first=edr)
        self.fuse = fuse

    async def route_to(self, tenant: str, instance: str, verb: str, target: Target, native_id: str) -> Route:
        self.fuse.tick()
        return await super().route_to(tenant, instance, verb, target, native_id)


class Killed(World):
    """A world whose process dies where the fuse says and is started again each time."""

    def __init__(self, *crashes: int, remembers: bool, late: float = 0.0) -> None:
        self.fuse = Fuse()
        self.crashes = list(crashes)
        clock = Ticking()
        faults = FaultPlan()
        if late:
            faults.add("late_effect", options={"seconds": late})
        edr = FusedEdr(clock, faults, remembers=remembers).fuse(self.fuse)
        self.fused = FusedJournal(self.fuse)
        super().__init__(self.fused, edr=edr)
        self.router = FusedSwitchboard(self.fuse, edr)
        self.restart()
        self._arm()

    def survive(self, seconds: float) -> None:
        until = self.clock.now + timedelta(seconds=seconds)
        while True:
            try:
                if not self.journal.of_case("acme", "case-1"):
                    self.isolate(lease=LEASE)
                self.run(max(0.0, (until - self.clock.now).total_seconds()), step=20)
            except Crash:
                self.fuse.dead = False
                self._arm()
                self.restart()
            else:
                return

    def _arm(self) -> None:
        self.fuse.blows_at = self.fuse.ticks + self.crashes.pop(0) if self.crashes else None

    @property
    def actions(self) -> Sequence[Action]:
        """Looked at from outside: this cannot be killed."""
        return MemoryJournal.of_case(self.fused, "acme", "case-1")

    def check_isolated(self) -> None:
        (action,) = self.actions
        assert action.state is ActionState.LEASED
        assert action.changed is True
        assert action.lease_until is not None
        assert self.edr.isolated
        assert self.edr.order_count == 1

    def check_released(self) -> None:
        (action,) = self.actions
        assert action.state is ActionState.UNDONE
        assert not self.edr.isolated
        assert self.edr.order_count == 2


def _live(world: Killed) -> int:
    """Isolated on command, released at the end of the lease; the number of places where it can be killed."""
    world.survive(600)
    world.check_isolated()
    world.survive(4000)
    world.check_released()
    return world.fuse.ticks


PLACES = _live(Killed(remembers=False))
LATE_PLACES = _live(Killed(remembers=True, late=40))


def test_the_harness_kills_in_many_places() -> None:
    assert PLACES > 300
    before = Killed(20, remembers=False)
    before.survive(600)
    assert before.fuse.ticks > 20
    assert before.crashes == []


# Most of the places are idle rounds under the lease; the ones that matter lie at its two ends.
@pytest.mark.parametrize("part", range(8))
def test_killed_anywhere_a_vendor_that_forgets_gets_each_order_once(part: int) -> None:
    for place in range(1 + part, PLACES + 1, 8):
        _live(Killed(place, remembers=False))


@pytest.mark.parametrize("part", range(8))
def test_killed_anywhere_a_slow_vendor_gets_each_order_once(part: int) -> None:
    for place in range(1 + part, LATE_PLACES + 1, 8):
        _live(Killed(place, remembers=True, late=40))


@settings(max_examples=150, deadline=None)
@given(st.lists(st.integers(1, 120), min_size=2, max_size=6))
def test_killed_again_and_again_each_order_is_given_once(crashes: list[int]) -> None:
    # A repeated request is bounded at three, so that many deaths in the very same spot end with a person.
    world = Killed(*crashes, remembers=True)
    world.survive(900)
    (action,) = world.actions
    if action.state is ActionState.UNVERIFIED:
        assert action.result["attempts"] == 3
        return
    world.check_isolated()
    world.survive(6000)
    world.check_released()


def test_the_journal_says_requested_before_the_vendor_hears_of_it() -> None:
    seen: list[str] = []

    class Watching(Edr):
        async def act(self, command: Any) -> Any:
            found = journal.get("acme", command.action_id)
            assert found is not None
            seen.append(f"{command.verb} {found.state}")
            return await super().act(command)

    journal = MemoryJournal()
    world = World(journal, edr=Watching(Ticking()))
    action = world.isolate()
    world.run()
    world.undo(action)
    assert seen == ["host.isolate requested", "host.release undo_requested"]


def test_a_wish_that_was_journalled_before_a_long_outage_still_takes_effect() -> None:
    world = World(MemoryJournal())
    action = world.isolate()

    async def dies(command: Any) -> Any:
        raise Crash

    act, world.edr.act = world.edr.act, dies  # type: ignore[method-assign]  # the process dies in here
    with pytest.raises(Crash):
        asyncio.run(world.engine.run_once())
    world.edr.act = act  # type: ignore[method-assign]  # and is started again
    world.clock.advance(86400)
    world.edr.faults.add("late_effect", options={"seconds": 60})
    world.restart()
    world.run(120)
    assert world.states(action) == ["proposed", "approved", "requested", "accepted", "pending", "effective"]
    assert world.edr.isolated


@pytest.mark.slow
def test_kill_9_of_a_real_process_on_a_real_file(tmp_path: Path) -> None:
    hosts = 6
    script = ROOT / "tests" / "killed_process.py"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    deaths = 0
    for blows_at in (3, 8, 12, 16, 12, 8, 0):
        done = subprocess.run(
            [sys.executable, str(script), str(tmp_path), str(hosts), str(blows_at)],
            env=environment,
            timeout=120,
            check=False,
        )
        deaths += done.returncode == -signal.SIGKILL
    assert deaths == 6
    assert done.returncode == 0
    orders = [json.loads(line) for line in (tmp_path / "vendor.jsonl").read_text().splitlines()]
    for number in range(hosts):
        mine = [order["verb"] for order in orders if order["device"] == f"dev-{number}"]
        assert mine == ["host.isolate", "host.release"]
    store = Store.open(f"sqlite:///{tmp_path / 'journal.db'}")
    try:
        undone = SqlJournal(store).in_state([ActionState.UNDONE])
        assert len(undone) == hosts
        assert all(action.changed for action in undone)
    finally:
        store.close()


def test_the_same_wish_proposed_by_two_processes_is_one_action() -> None:
    journal = MemoryJournal()
    world = World(journal)
    other = Engine(journal, world.router, world.clock)
    host = Target.parse("host:ws-0042")

    def wish(engine: Engine) -> Action:
        return engine.propose("acme", "host.isolate", host, requested_by="ann", approval="direct", case_id="case-1")

    assert wish(world.engine).action_id == wish(other).action_id
