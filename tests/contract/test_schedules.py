"""A slice of the schedules that `make schedules` tells at length: laws 4, 5 and 6 over everything that can go wrong."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.schedules.fuse import Fuse
from tests.schedules.oracle import judge
from tests.schedules.run import Totals, emptied, every_point, random_ones
from tests.schedules.story import Step, Story, TenantPlan, make
from tests.schedules.virtual import VirtualTime
from tests.schedules.world import World

from nightdesk.autonomy.actions import Action
from nightdesk.autonomy.reversal import Reversal
from nightdesk.hub.store.store import Store

SEED = 20261123
PLAN = TenantPlan("t1", {"edr": ("crowdstrike_falcon",)}, (("host.isolate", 0),))


def _told(totals: Totals) -> str:
    return "\n\n".join(failure.told for failure in totals.failures)


def _holds(totals: Totals) -> None:
    assert not totals.failures, _told(totals)
    assert (totals.double_effects, totals.double_undos, totals.lost_leases) == (0, 0, 0)
    assert (totals.false_effectives, totals.protected_touched) == (0, 0)


def test_random_schedules_end_as_people_wanted() -> None:
    totals = random_ones(SEED, range(60))
    _holds(totals)
    assert totals.schedules == 60
    assert totals.kills.total() > 10
    assert totals.faults.total() > 20
    assert totals.effects > 20
    assert totals.undos > 10
    assert totals.slots_judged > 10 * totals.slots_unsure, "an oracle that is mostly unsure proves nothing"


def test_a_schedule_is_killed_at_every_point() -> None:
    totals = every_point(SEED, 3)
    _holds(totals)
    assert totals.kills.total() == totals.schedules > 5


@pytest.mark.slow
def test_more_random_schedules() -> None:
    _holds(random_ones(SEED, range(60, 1000)))


@pytest.mark.slow
@pytest.mark.parametrize("number", range(10, 18))
def test_more_schedules_are_killed_at_every_point(number: int) -> None:
    _holds(every_point(SEED, number))


# What proves the proof: the same seed tells the same story, and the oracle sees each thing that must never be.


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store.open(f"sqlite:///{tmp_path / 'journal.db'}", synchronous="NORMAL")
    yield opened
    opened.close()


def _story(*steps: Step) -> Story:
    return Story(SEED, 0, (PLAN,), steps)


def _wish(**changes: Any) -> Step:
    facts = {"family": "host.isolate", "thing": 0, "on": True, "lease": None, "approval": "direct", "case": "case-1"}
    return Step("wish", "t1", 1, {**facts, "by": "ann", "instance": "edr1", **changes})


def _tell(story: Story, store: Store) -> World:
    world = World(story, store)
    world.tell()
    return world


def test_the_same_seed_tells_the_same_story() -> None:
    assert [make(SEED, number) for number in range(30)] == [make(SEED, number) for number in range(30)]
    once, again = (random_ones(SEED, range(8)).as_json() for _ in range(2))
    assert {**once, "seconds": 0} == {**again, "seconds": 0}


def test_waiting_takes_no_time_and_the_clock_shows_it() -> None:
    time = VirtualTime(datetime(2026, 11, 1, tzinfo=UTC))
    loop = time.loop()
    try:
        loop.call_later(3600.0, loop.stop)
        loop.run_forever()
    finally:
        loop.close()
    assert timedelta(hours=1) <= time.now - time.start < timedelta(hours=1, seconds=1)


def test_a_plain_story_is_judged_right(store: Store) -> None:
    world = _tell(_story(_wish(), Step("pass", data={"seconds": 5})), store)
    found = judge(world, last=False)
    assert found.wrong == []
    assert (found.effects, found.judged) == (1, 3)


def test_the_oracle_sees_an_effect_that_nobody_wants(store: Store) -> None:
    world = _tell(_story(_wish(), Step("pass", data={"seconds": 5})), store)
    (wish,) = world.told.wishes.values()
    wish.undo_at = world.time.now
    assert any("must be off" in text for text in judge(world, last=False).wrong)


def test_the_oracle_sees_an_effect_without_leave(store: Store) -> None:
    world = _tell(_story(_wish(), Step("pass", data={"seconds": 5})), store)
    (wish,) = world.told.wishes.values()
    wish.refused = True
    assert any("without leave" in text for text in judge(world, last=False).wrong)


def test_the_oracle_sees_what_is_done_twice_and_by_nobody(store: Store) -> None:
    world = _tell(_story(_wish(), Step("pass", data={"seconds": 5})), store)
    slot = next(slot for slot in world.slots if slot.events)
    slot.events.append(slot.events[0])
    found = judge(world, last=False)
    assert found.double_effects == 1
    slot.truth.by_somebody_else(on=False)
    slot.look(world.time.now)
    assert any("asked by nobody" in text for text in judge(world, last=False).wrong)


def _nothing(self: Reversal, action: Action, *_: Any, **__: Any) -> Action:
    del self
    return action


async def _nothing_yet(self: Reversal, action: Action) -> Action:
    del self
    return action


def _undo(number: int) -> Step:
    return Step("undo", "t1", number, {"by": "bob"})


_PASS = Step("pass", data={"seconds": 1500})
_RELEASE = Step("wish", "t1", 2, {**_wish().data, "on": False})


@pytest.mark.parametrize(
    ("name", "broken", "steps", "said"),
    [
        ("request", _nothing, (_wish(lease=600), _PASS), "is still expired"),
        ("_settle_heir", lambda *_: None, (_wish(), _PASS, _RELEASE, _PASS, _undo(1), _undo(2)), "must be off"),
        ("_begin", _nothing_yet, (_wish(), _PASS, _undo(1)), "is still undo_requested"),
    ],
)  # fmt: skip
def test_a_broken_engine_is_found(
    name: str, broken: Callable[..., Any], steps: tuple[Step, ...], said: str,
    store: Store, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    assert judge(_tell(_story(*steps), store), last=False).wrong == []
    emptied(store)
    monkeypatch.setattr(Reversal, name, broken)
    assert any(said in text for text in judge(_tell(_story(*steps), store), last=False).wrong)


def test_a_fuse_kills_what_runs_on() -> None:
    fuse = Fuse()
    fuse.arm(2)
    fuse.cross("one")
    for _ in range(2):
        with pytest.raises(BaseException, match="two"):
            fuse.cross("two")
    assert fuse.kills == {"two": 1}
    fuse.restart()
    fuse.cross("three")
