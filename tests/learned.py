"""The fleet of the demonstration for tests: made once with a model, made once with a right earned, then copied.

Its past is made up and seeded. Everything after it happens in a hub: alerts of a simulated product come in, people
judge, two of them raise.
"""

import functools
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from tests.hubs import REGISTRY
from tests.stores import prepared

from nightdesk.autonomy.oversight.canaries import Canary, CanaryState
from nightdesk.hub.demo.fleet import Fleet
from nightdesk.hub.demo.past import ATTACKS, NOISE, RARE, TENANTS
from nightdesk.hub.store import canaries
from nightdesk.sdk.case import Decision
from nightdesk.sdk.testing.fake_time import FakeTime

__all__ = [
    "ATTACKS",
    "NOISE",
    "RARE",
    "TENANTS",
    "World",
    "earned_world",
    "empty_world",
    "new_world",
    "trained_world",
]


@dataclass
class World(Fleet):
    """Four tenants in one hub and one time; a model is ruled on after 60 cases, to save tests the other 440."""

    def latest(self, case_id: str) -> Decision:
        return self.decisions(case_id)[-1]

    def catches(self, count: int, tenant: str = "b") -> None:
        """Canaries of other tenants that were decided already."""
        at = self.time.clock()
        with self.hub.store.begin() as conn:
            for number in range(count):
                name = f"incident--canary-{number}"
                family = self.unit("dump").family
                planted = Canary(
                    tenant, canaries.canary_id(tenant, name), family, f"{family}@-", "edr", name, at, "abe", "drill"
                )
                canaries.plant(conn, planted)
                after = replace(planted, state=CanaryState.CAUGHT, settled_at=at)
                canaries.keep(conn, after, event="canary.settled", by="autonomy", at=at)


@contextmanager
def empty_world(folder: Path, **more: Any) -> Iterator[World]:
    """A fleet without a past."""
    made = World(folder, REGISTRY, "crowdstrike_falcon", prepare=prepared, **{"cases": 60, **more})
    with made.running():
        yield made


@contextmanager
def new_world(folder: Path, **more: Any) -> Iterator[World]:
    """A fleet with its past, and no model."""
    with empty_world(folder, **more) as world:
        world.remembers(*(world.past(slug) for slug in TENANTS))
        yield world


@functools.cache
def _trained() -> tuple[bytes, datetime, int]:
    with tempfile.TemporaryDirectory(prefix="nightdesk-trained-") as folder:
        with new_world(Path(folder)) as world:
            world.trains()
            for _ in range(world.cases):
                world.arrives()
            world.time.advance(3600)
            world.works()
            told = world.time.now, world.numbers
        return (Path(folder) / "nightdesk.db").read_bytes(), *told


@functools.cache
def _earned() -> tuple[bytes, datetime, int]:
    with tempfile.TemporaryDirectory(prefix="nightdesk-earned-") as folder:
        with trained_world(Path(folder)) as world:
            people = ("ann", "ben", "cat")
            world.arrives()
            world.plants(NOISE, 96)  # nothing is earned yet, so it is caught
            for number in range(310):  # the fleet lends 250 verdicts; the days have to be acme's own
                case_id = world.arrives()
                if number % 2:
                    world.judges(case_id, by=people[number % 3])
            world.catches(59)
            world.works()
            world.raises()
            told = world.time.now, world.numbers
        return (Path(folder) / "nightdesk.db").read_bytes(), *told


@contextmanager
def trained_world(folder: Path, **more: Any) -> Iterator[World]:
    """A fleet whose champion has come out of its time in shadow; made once for all tests."""
    yield from _from(folder, _trained(), more)


@contextmanager
def earned_world(folder: Path, **more: Any) -> Iterator[World]:
    """A fleet in which the noisy rule of acme has earned to close, with all that takes; made once for all tests."""
    yield from _from(folder, _earned(), more)


def _from(folder: Path, made: tuple[bytes, datetime, int], more: dict[str, Any]) -> Iterator[World]:
    data, now, numbers = made
    (folder / "nightdesk.db").write_bytes(data)
    with empty_world(folder, time=FakeTime(now), numbers=numbers, **more) as world:
        yield world
