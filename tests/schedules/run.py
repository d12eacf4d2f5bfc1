"""Tells many stories and counts; a story that goes wrong is made as short as it can be and printed whole."""

import logging
import shutil
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import structlog
from tests.schedules.oracle import Verdict, judge
from tests.schedules.story import Step, Story, make
from tests.schedules.vendors import place_of
from tests.schedules.world import World

from nightdesk.autonomy.actions import ActionState
from nightdesk.hub.store.schema import action, action_journal, counter
from nightdesk.hub.store.store import Store

__all__ = ["Failure", "Totals", "emptied", "every_point", "random_ones", "replay", "shortened"]

_TRIES = 120
_SHM = Path("/dev/shm")  # where there is memory for files, a commit costs no disk


@dataclass
class Failure:
    """One story that went wrong; ``told`` is all that is needed to see why."""

    seed: int
    number: int
    blows_at: int
    wrong: list[str]
    told: str = ""


@dataclass
class Totals:
    """What many stories held."""

    schedules: int = 0
    steps: int = 0
    wishes: int = 0
    actions: int = 0
    requests: int = 0
    journal_lines: int = 0
    kills: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    vendors: Counter[str] = field(default_factory=Counter)
    verbs: Counter[str] = field(default_factory=Counter)
    states: Counter[str] = field(default_factory=Counter)
    undos: int = 0
    leases_expired: int = 0
    foreign_changes: int = 0
    effects: int = 0
    double_effects: int = 0
    double_undos: int = 0
    lost_leases: int = 0
    false_effectives: int = 0
    protected_touched: int = 0
    protected_asked: int = 0
    unverified: int = 0
    undo_failed: int = 0
    slots_judged: int = 0
    slots_unsure: int = 0
    late_again: int = 0
    alike: int = 0
    seconds: float = 0.0
    failures: list[Failure] = field(default_factory=list)

    def add(self, other: "Totals") -> None:
        """Takes the other's counts."""
        for name, value in vars(other).items():
            mine = getattr(self, name)
            if isinstance(mine, Counter):
                mine.update(value)
            else:
                setattr(self, name, mine + value)

    def as_json(self) -> dict[str, Any]:
        """For a machine."""
        return {
            name: dict(sorted(value.items())) if isinstance(value, Counter) else value
            for name, value in vars(self).items()
            if name != "failures"
        } | {"failures": [vars(one) for one in self.failures]}


@contextmanager
def _stored() -> Iterator[Store]:
    folder = Path(tempfile.mkdtemp(prefix="nightdesk-schedules-", dir=_SHM if _SHM.is_dir() else None))
    before = structlog.get_config()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    store = Store.open(f"sqlite:///{folder / 'journal.db'}", synchronous="NORMAL")
    try:
        yield store
    finally:
        store.close()
        structlog.configure(**before)
        shutil.rmtree(folder)


def emptied(store: Store) -> None:
    """Forgets every action: the next story begins with an empty journal."""
    with store.begin() as conn:
        for table in (action_journal, action, counter):
            conn.execute(table.delete())


def _tell(story: Story, store: Store, *, blows_at: int = 0) -> tuple[World, Verdict, list[str]]:
    emptied(store)
    world = World(story, store, blows_at=blows_at)
    first = found = Verdict()
    try:
        world.tell()
        first = judge(world, last=False)
        world.again()
        found = judge(world, last=True)
    except Exception as error:  # noqa: BLE001  # whatever breaks belongs to this story, and the next one is told
        where = traceback.extract_tb(error.__traceback__)[-1]
        world.told.wrong.append(f"it broke with {type(error).__name__} at {where.name}:{where.lineno}: {error}")
    wrong = [
        *world.told.wrong,
        *world.wires.wrong,
        *world.calls.clashes,
        *first.wrong,
        *(text for text in found.wrong if text not in first.wrong),
    ]
    found.judged += first.judged
    found.unsure += first.unsure
    return world, found, wrong


def _count(story: Story, world: World, found: Verdict) -> Totals:
    actions = world.journal.in_state(list(ActionState))
    totals = Totals(
        schedules=1,
        steps=len(story.steps),
        wishes=len([step for step in story.steps if step.kind == "wish"]),
        actions=len(actions),
        requests=len(world.wires.lines),
        journal_lines=sum(len(world.journal.history(one.tenant, one.action_id)) for one in actions),
        kills=world.fuse.kills,
        faults=Counter(kind for plan in world.plans.values() for _, kind in plan.hits),
        vendors=Counter(slot.truth.vendor for slot in world.slots if slot.events),
        verbs=Counter(one.verb for one in actions),
        states=Counter(str(one.state) for one in actions),
        undos=found.undos,
        leases_expired=found.expired,
        foreign_changes=world.told.foreign,
        effects=found.effects,
        double_effects=found.double_effects,
        double_undos=found.double_undos,
        lost_leases=found.lost_leases,
        false_effectives=world.told.false_effective,
        protected_touched=world.wires.protected_requests,
        unverified=found.unverified,
        undo_failed=found.undo_failed,
        slots_judged=found.judged,
        slots_unsure=found.unsure,
        late_again=found.late_again,
        alike=found.alike,
    )
    protected = {place_of(thing.target) for things in world.things.values() for thing in things if thing.protected}
    totals.protected_asked = sum(place_of(one.target) in protected for one in actions)
    return totals


def random_ones(
    seed: int, numbers: Sequence[int], *, told: Callable[[int], None] | None = None, shrink: bool = True
) -> Totals:
    """The stories of these numbers."""
    totals = Totals()
    begun = time.process_time()
    with _stored() as store:
        for number in numbers:
            story = make(seed, number)
            world, found, wrong = _tell(story, store)
            totals.add(_count(story, world, found))
            if wrong:
                totals.failures.append(_failure(story, 0, wrong, store, shrink=shrink))
            if told is not None:
                told(number)
    totals.seconds = time.process_time() - begun
    return totals


def every_point(
    seed: int, number: int, *, points: slice = slice(None), told: Callable[[int], None] | None = None
) -> Totals:
    """One story without kills, then killed once at every boundary that it has."""
    totals = Totals()
    begun = time.process_time()
    with _stored() as store:
        story = make(seed, number, kills=False)
        world, _, _ = _tell(story, store)
        for point in range(1, world.fuse.crossed + 1)[points]:
            world, found, wrong = _tell(story, store, blows_at=point)
            totals.add(_count(story, world, found))
            if wrong:
                totals.failures.append(_failure(story, point, wrong, store, shrink=True))
            if told is not None:
                told(point)
    totals.seconds = time.process_time() - begun
    return totals


def replay(seed: int, number: int, *, blows_at: int = 0, whole: bool = False) -> Failure:
    """One story once more, with everything that happened; shortened unless it is wanted ``whole``."""
    with _stored() as store:
        story = make(seed, number, kills=not blows_at)
        world, _, wrong = _tell(story, store, blows_at=blows_at)
        if not wrong or whole:
            return Failure(seed, number, blows_at, wrong, _whole(story, world, wrong))
        return _failure(story, blows_at, wrong, store, shrink=True)


def _failure(story: Story, blows_at: int, wrong: list[str], store: Store, *, shrink: bool) -> Failure:
    short = shortened(story, blows_at, wrong, store) if shrink else story
    world, _, again = _tell(short, store, blows_at=blows_at)
    return Failure(story.seed, story.number, blows_at, wrong, _whole(short, world, again))


def shortened(story: Story, blows_at: int, wrong: Sequence[str], store: Store) -> Story:
    """The story with everything left out without which it goes wrong in the same way."""
    kinds = {_kind(text) for text in wrong}
    tries, shorter = _TRIES, True
    while shorter and tries > 0:
        shorter = False
        for index in reversed(range(len(story.steps))):
            tries -= 1
            steps: tuple[Step, ...] = story.steps[:index] + story.steps[index + 1 :]
            less = replace(story, steps=steps)
            _, _, still = _tell(less, store, blows_at=blows_at)
            if kinds & {_kind(text) for text in still}:
                story, shorter = less, True
            if tries <= 0:
                break
    return story


def _kind(text: str) -> str:
    """What went wrong, without whose it was."""
    return " ".join(word for word in text.split() if word.isalpha() and word.islower())[:60]


def _whole(story: Story, world: World, wrong: Sequence[str]) -> str:
    lines = [f"seed {story.seed}, schedule {story.number}"]
    lines += [f"  {plan.slug}: {plan.vendors}" for plan in story.tenants]
    lines += ["story:", *(f"  {step}" for step in story.steps), "wrong:", *(f"  {text}" for text in wrong), "journal:"]
    for one in world.journal.in_state(list(ActionState)):
        lines.append(f"  {one.action_id} {one.tenant} {one.verb} {one.target.key} #{one.generation} at {one.instance}")
        for line in world.journal.history(one.tenant, one.action_id):
            detail = {name: value for name, value in line.detail.items() if name not in {"evidence", "native_state"}}
            lines.append(f"    {line.at:%d %H:%M:%S.%f} {line.state:<17} {line.actor:<7} {detail}"[:260])
    lines.append("vendors:")
    for slot in world.slots:
        for event in slot.events:
            who = event.by[:12] or "somebody else"
            change = "on" if event.on else "off"
            lines.append(
                f"  {event.at:%d %H:%M:%S.%f} {slot.tenant}/{slot.instance} {slot.truth.thing.target.key}"
                f" {change}{'' if event.flip else ' (was so)'} by {who}, asked {event.asked_at:%H:%M:%S}"
            )
    lines.append("wire:")
    lines += [f"  {line.at:%d %H:%M:%S.%f} {line.asked:<5} {line.host} {line.request} {line.status}"[:220]
              for line in world.wires.lines]  # fmt: skip
    lines.append(f"kills: {dict(world.fuse.kills)}")
    return "\n".join(lines)
