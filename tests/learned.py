"""A fleet that has judged cases for a week, and a real hub that learns from them: nothing of the way is pretended.

The past is made up and seeded: groups and labels as the store keeps them. Everything after it happens in a hub: alerts
of a simulated product come in, people judge, two of them raise.
"""

import asyncio
import functools
import random
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from tests.hubs import REGISTRY, a_story_alert, bind, opened, together
from tests.oversight import PEOPLE
from tests.stores import prepared

from nightdesk.autonomy.grouping import group_id
from nightdesk.autonomy.learning.groups import Group
from nightdesk.autonomy.levels.standing import Level, Standing
from nightdesk.autonomy.levels.units import Unit
from nightdesk.autonomy.oversight.canaries import Canary, CanaryState
from nightdesk.autonomy.oversight.labels import How, Label, LabelState
from nightdesk.hub.api.view import Principal, Role
from nightdesk.hub.hub import Hub
from nightdesk.hub.learning.settings import LearningSettings
from nightdesk.hub.learning.training import Trained
from nightdesk.hub.oversight.judging import judge
from nightdesk.hub.oversight.planting import mutated, plant
from nightdesk.hub.oversight.raising import agree, promote
from nightdesk.hub.store import canaries, cases, decisions, groups, labels, levels, queries
from nightdesk.sdk.case import Case, Decision, Verdict
from nightdesk.sdk.testing import Simulator, serve
from nightdesk.sdk.testing.fake_time import FakeTime

__all__ = ["ATTACKS", "NOISE", "RARE", "TENANTS", "World", "a_past", "earned_world", "new_world", "trained_world"]

TENANTS = ("acme", "b", "c", "d")
_PRODUCT = "crowdstrike_falcon"
NOISE, RARE = "noise", "login"
ATTACKS = ("dump", "spread")
HOSTS = 97
EVERY = 864.0
"""Seconds between two benign alerts at a tenant: a hundred a day."""


_SIMULATOR: Any = REGISTRY.simulator(_PRODUCT)


@functools.cache
def learnt_rule(name: str) -> str:
    """A rule of the story as groups name it."""
    return f"{_PRODUCT}/{_payload('one', name, FakeTime().now, 1)['pattern_id']}"


def _story(uid: str, name: str, at: datetime, host: int) -> Any:
    return replace(a_story_alert(uid, at, host), title=name, rule_id=name)


def _payload(uid: str, name: str, at: datetime, host: int) -> dict[str, Any]:
    """An alert as the product sends it; no simulator that the hub knows has it."""
    simulator = _SIMULATOR()
    return dict(simulator.alerts[simulator.add(_story(uid, name, at, host))])


def a_past(tenant: str, until: datetime, *, attacks: int = 80, days: int = 6) -> list[tuple[str, bool, Group]]:
    """(case, whether it was an attack, group): a hundred benign alerts a day, and attacks of two rules on a host."""
    rng = random.Random(f"{tenant}/{attacks}")
    end = until.timestamp()
    made = []
    for number in range(int(days * 86400 / EVERY)):
        at = round(end - days * 86400 + number * EVERY + rng.uniform(0, EVERY / 2), 3)
        name = NOISE if number % 5 else RARE
        made.append((f"P-{tenant}-{number:05d}", False, _group(tenant, rng.randrange(HOSTS), name, at)))
    for number in range(attacks):
        at, host = round(end - rng.uniform(0.05, days - 0.05) * 86400, 3), rng.randrange(HOSTS)
        for step, name in enumerate(ATTACKS):
            made.append((f"A-{tenant}-{number:05d}", True, _group(tenant, host, name, at + 40.0 * step)))
    return made


def _group(tenant: str, host: int, name: str, at: float) -> Group:
    rule, facts = learnt_rule(name), {"severity_id": 3, "confidence": 80, "tactics": ("TA0002",)}
    return Group(tenant, f"host:ws-{host:04d}", rule, at, at, 1, _PRODUCT, name, **facts)  # type: ignore[arg-type]


@dataclass
class World:
    """Four tenants in one hub and one time. Alerts come in at acme; ``restart`` is another process over the store."""

    folder: Path
    time: FakeTime = field(default_factory=FakeTime)
    quiet: float = 0.0
    cases: int = 60
    numbers: int = 0
    hub: Hub = field(init=False)
    simulator: Any = field(init=False)

    @contextmanager
    def running(self) -> Iterator["World"]:
        """The hub, open."""
        self.simulator = _SIMULATOR(clock=self.time.clock)
        people = {name: {"role": role, "secret": "env:PATH"} for name, role in PEOPLE.items()}
        with serve(self.simulator) as served, tempfile.TemporaryDirectory() as made:
            bound: dict[str, tuple[Simulator, str]] = {"main": (self.simulator, served.base_url)}
            configs = [
                bind(Path(made) / slug, slug, bound if slug == "acme" else {}, tokens=people, quiet_seconds=self.quiet)
                for slug in TENANTS
            ]
            settings = replace(together(*configs), store=f"sqlite:///{self.folder}/nightdesk.db")
            with opened(settings, self.time) as hub:
                self.hub = hub
                hub.learning.training = replace(hub.learning.training, settings=LearningSettings(cases=self.cases))
                yield self

    def works(self) -> None:
        """The hub does what there is to do."""

        async def go() -> None:
            await self.hub.once()
            await self.hub.bindings.aclose()

        asyncio.run(go())

    def remembers(self, *pasts: Sequence[tuple[str, bool, Group]]) -> None:
        """Stores what was judged before: benign by one person, attacks by two."""
        with self.hub.store.begin() as conn:
            for past in pasts:
                tenant = past[0][2].tenant
                stored = {group_id(group): group for _, _, group in past}
                groups.put_groups(conn, tenant, stored, {group_id(group): case_id for case_id, _, group in past})
                given = {(case_id, group.rule): (attack, group) for case_id, attack, group in past}
                labels.give(conn, [_label(tenant, *key, *told) for key, told in given.items()])

    def trains(self) -> Trained:
        """By hand, as the command does."""
        return self.hub.learning.training.train()

    def arrives(self, name: str = NOISE, host: int | None = None, *, after: float = EVERY) -> str:
        """An alert at acme, decided on; returns its case."""
        self.time.advance(after)
        self.numbers += 1
        where = self.numbers % HOSTS if host is None else host  # each about once a day, so no case joins another
        native = self.simulator.add(_story(f"a-{self.numbers}", name, self.time.clock(), where))
        self.works()
        with self.hub.store.read() as conn:
            found = queries.case_list(conn, "acme", limit=20)
            return next(row.case_id for row in found if self._has(conn, row.case_id, native))

    @staticmethod
    def _has(conn: Any, case_id: str, native: str) -> bool:
        case = cases.case(conn, "acme", case_id)
        return case is not None and any(one.native_id == native for one in case.alerts)

    def plants(self, name: str, host: int, *, after: float = EVERY) -> Canary:
        """A known attack, sent in again as an alert of that rule, by a person."""
        self.time.advance(after)
        self.numbers += 1
        payload = _bytes(_payload(f"c-{self.numbers}", name, self.time.clock(), host))
        office, normalizer = self.hub.oversight, REGISTRY.normalizer()
        by = self.person("abe")
        done = plant(
            office, normalizer, "acme", by=by, connector="main", payload=payload, origin="last year's intrusion"
        )
        self.works()
        return done.canary

    def judges(self, case_id: str, verdict: str = "benign-positive", by: str = "ann") -> None:
        judge(self.hub.oversight, "acme", by=self.person(by), about=case_id, verdict=verdict)

    def person(self, name: str, tenant: str = "acme") -> Principal:
        return Principal(tenant, name, Role(PEOPLE[name]))

    def unit(self, name: str = NOISE) -> Unit:
        return Unit.parse("acme", learnt_rule(name))

    def standing(self, name: str = NOISE) -> Standing:
        with self.hub.store.read() as conn:
            return levels.standing(conn, self.unit(name))

    def case(self, case_id: str) -> Case:
        with self.hub.store.read() as conn:
            found = cases.case(conn, "acme", case_id)
        assert found is not None
        return found

    def decisions(self, case_id: str) -> list[Decision]:
        with self.hub.store.read() as conn:
            return decisions.decisions(conn, "acme", case_id)

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

    def raises(self) -> None:
        """Two persons, one an admin of the tenant."""
        promote(self.hub.oversight, self.unit(), Level.CLOSE, by=self.person("abe"), reason="it is noise")
        agree(self.hub.oversight, self.unit(), by=self.person("ada"), reason="I looked at the samples")


def _bytes(payload: dict[str, Any]) -> bytes:
    import orjson  # of this alone

    return mutated(orjson.dumps(payload), {})


def _label(tenant: str, case_id: str, rule: str, attack: bool, group: Group) -> Label:
    unit = Unit.parse(tenant, rule)
    verdict = Verdict.TRUE_POSITIVE if attack else Verdict.BENIGN_POSITIVE
    state = LabelState.CONFIRMED if attack else LabelState.PROVISIONAL
    at = datetime.fromtimestamp(group.last, UTC) + timedelta(hours=4)
    # The others have worked with a model before; acme has not.
    stand = "" if attack or tenant == "acme" else "close"
    return Label(
        tenant,
        "",
        0,
        unit.rule,
        case_id,
        "ann",
        verdict,
        at,
        blind=True,
        how=How.CASE,
        entity=group.entity,
        state=state,
        stand=stand,
    )


@contextmanager
def new_world(folder: Path, **more: Any) -> Iterator[World]:
    """A fleet with its past, and no model."""
    prepared(f"sqlite:///{folder}/nightdesk.db")
    with World(folder, **more).running() as world:
        world.remembers(*(a_past(slug, world.time.now) for slug in TENANTS))
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
    with World(folder, time=FakeTime(now), numbers=numbers, **more).running() as world:
        yield world
