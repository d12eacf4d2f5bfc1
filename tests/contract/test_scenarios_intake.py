"""Scenarios 5, 6 and 7 of the design on a real hub: clocks that are off, repeated deliveries, tenants that look alike.

Alerts are posted as senders post them, signed; what is done goes to a simulated EDR on loopback. Laws 1, 3, 4 and 7.
"""

import asyncio
import json
import random
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st
from sqlalchemy import Row, select
from starlette.types import Receive, Send
from starlette.types import Scope as AsgiScope
from tests.enriching import oracle, plugin_registry
from tests.hubs import REGISTRY, a_story_alert, balanced, bind
from tests.oversight import PEOPLE
from tests.stores import prepared

from nightdesk.autonomy.actions import Action, ActionState
from nightdesk.autonomy.learning.catalogue import FEATURES, NAMES, Block
from nightdesk.autonomy.learning.history import History
from nightdesk.autonomy.levels.units import Unit
from nightdesk.connectors.webhook.payloads import document
from nightdesk.hub.api.bodies import Body
from nightdesk.hub.api.ingest import take_in
from nightdesk.hub.api.view import Principal, Receiver, Role
from nightdesk.hub.config import HubSettings, load_config
from nightdesk.hub.hub import Hub
from nightdesk.hub.oversight.appraisal import look
from nightdesk.hub.oversight.judging import judge
from nightdesk.hub.serving import lasting_hub
from nightdesk.hub.steady import SteadyClock
from nightdesk.hub.store import Store, cases, decisions, groups, labels, queries
from nightdesk.hub.store.schema import metadata
from nightdesk.sdk.case import Case, CaseStatus, Decision
from nightdesk.sdk.context import Clock
from nightdesk.sdk.enrichment import IntelFact
from nightdesk.sdk.targets import Target
from nightdesk.sdk.testing import Simulator, StoryDevice, serve
from nightdesk.sdk.testing.fake_time import FakeTime

_S = ActionState
EDR = "crowdstrike_falcon"
HOSTS = [StoryDevice(f"dev-{one:04d}", f"WS-{one:04d}", (f"10.0.0.{one + 5}",)) for one in range(3)]
POLICY = b"""
policy_id: both
version: "1"
rules:
  - {id: contain-it, owner: jane@example.org, when: {rule_id: worm},
     then: {propose: {approval: policy, actions: [{verb: host.isolate, target: victim-host}]}}}
  - {id: noise, owner: jane@example.org, when: {rule_id: noise},
     then: {close: {verdict: benign-positive, at_once: true}}}
"""
_WINDOWS = frozenset(
    feature.name
    for feature in FEATURES
    if feature.block in {Block.BURST, Block.RECENCY, Block.CONTEXT} and feature.unit not in {"deviations", "log-odds"}
)
_FEED = REGISTRY.simulator("webhook")
_TRACE = re.compile(rb'"trace_id":"[^"]*"')


@dataclass
class Slot:
    """An address at which one simulator stands after another: hubs of several examples share a configuration."""

    now: Any

    async def __call__(self, scope: AsgiScope, receive: Receive, send: Send) -> None:
        await self.now(scope, receive, send)


def an_edr(clock: Clock) -> Any:
    made = REGISTRY.simulator(EDR)(clock=clock, secret="the-same-for-every-one")
    made.add_devices(HOSTS)
    return made


def a_post(uid: str, at: datetime, host: int = 0, rule: str = "worm", **changes: Any) -> dict[str, Any]:
    """An alert as a small product posts it."""
    story = a_story_alert(uid, at, host, device=HOSTS[host], user="", process=None)
    told = replace(story, severity="low", rule_id=rule, title=f"About {rule}", technique_ids=("T1059",))
    return {**document(told), **changes}


@dataclass
class Site:
    """Tenants over one store. ``edrs`` are where their actions arrive."""

    hub: Hub
    time: FakeTime
    edrs: Mapping[str, Slot]
    senders: Mapping[str, Any]

    def delivers(self, *alerts: Mapping[str, Any] | bytes, tenant: str = "acme") -> None:
        """One signed post, as the API takes it."""
        data = b"\n".join(one if isinstance(one, bytes) else json.dumps(one).encode() for one in alerts)
        found = self.hub.receiver(tenant, "feed")
        assert found is not None
        headers = {**self.senders[tenant].signed(data), "content-type": "application/x-ndjson"}
        take_in(self.hub, tenant, "feed", Receiver(*found), headers, Body(data))

    def works(self, *, pull: bool = False) -> None:
        async def go() -> None:
            try:
                await self.hub.once(pull=pull)
            finally:
                await self.hub.bindings.aclose()

        asyncio.run(go())

    def lets(self, seconds: float, step: float = 30.0) -> None:
        """Works on for that long."""
        until = self.time.now + timedelta(seconds=seconds)
        self.works()
        while self.time.now < until:
            self.time.advance(min(step, (until - self.time.now).total_seconds()))
            self.works()

    def cases(self, tenant: str = "acme") -> list[Case]:
        """Those of a tenant, oldest first."""
        with self.hub.store.read() as conn:
            ids = [row.case_id for row in queries.case_list(conn, tenant, limit=100)]
            return list(cases.cases(conn, tenant, sorted(ids)).values())

    def decisions(self, tenant: str = "acme") -> list[Decision]:
        with self.hub.store.read() as conn:
            return [one for case in self.cases(tenant) for one in decisions.decisions(conn, tenant, case.case_id)]

    def isolations(self, tenant: str = "acme") -> list[Action]:
        found = self.hub.journal.in_state(list(_S), tenant=tenant)
        return [one for one in found if one.verb == "host.isolate"]

    def orders(self, tenant: str = "acme") -> list[tuple[str, str]]:
        """What the tenant's EDR was told to do."""
        devices = self.edrs[tenant].now.fleet.devices.values()
        return sorted((one.hostname, order.kind) for one in devices for order in one.orders)


class Offices(NamedTuple):
    """Tenants as configured, and where their EDRs and senders are."""

    settings: HubSettings
    edrs: dict[str, Slot]
    senders: dict[str, Any]


@contextmanager
def offices(
    folder: Path, *tenants: str, policy: bytes = POLICY, registry: Any = REGISTRY, **more: Any
) -> Iterator[Offices]:
    """Configured tenants with an EDR each and a sender each, and people; the same hosts at every one."""
    with ExitStack() as stack:
        edrs, senders, configs = {}, {}, []
        for tenant in tenants:
            edr = an_edr(FakeTime().clock)
            edrs[tenant], senders[tenant] = Slot(edr), _FEED(secret="shared-with-the-sender")
            bound: dict[str, tuple[Simulator, str]] = {
                "edr": (edr, stack.enter_context(serve(edrs[tenant])).base_url),
                "feed": (senders[tenant], ""),
            }
            home = folder / tenant
            home.mkdir()
            rows = [f"{one.hostname},workstation,," for one in HOSTS]
            (home / "assets.csv").write_text("\n".join(["hostname,type,tags,ports", *rows, ""]), encoding="utf-8")
            given_to: dict[str, Any] = {
                "assets": "assets.csv",
                "limits": {"hosts_per_hour": 1.0, "hosts_per_day": 1.0},
                "roles": {"edr": "edr"},
                "tokens": {name: {"role": role, "secret": "env:PATH"} for name, role in PEOPLE.items()},
                **more,
            }
            configs.append(bind(home, tenant, bound, policy=policy, signers=("jane", "omar"), **given_to))
        read = [load_config(config, registry) for config in configs]
        tenants_of = {slug: tenant for one in read for slug, tenant in one.tenants.items()}
        yield Offices(replace(read[0], tenants=tenants_of), edrs, senders)


@contextmanager
def site(
    made: Offices, url: str, *, time: FakeTime | None = None, registry: Any = REGISTRY, **more: Any
) -> Iterator[Site]:
    """A hub of these tenants on a store of its own, with vendors that have heard nothing yet."""
    time = time or FakeTime()
    names = more.pop("only", tuple(made.settings.tenants))
    chosen = {slug: one for slug, one in made.settings.tenants.items() if slug in names}
    fixed = replace(made.settings, tenants=chosen, store=url)
    for slug in names:
        made.edrs[slug].now = an_edr(time.clock)
        made.senders[slug]._clock = time.clock
    store = Store.open(prepared(url), clock=time.clock, synchronous="NORMAL")
    try:
        hub = Hub(fixed, registry, store, clock=more.pop("clock", time.clock), sleep=time.sleep)
        yield Site(hub, time, made.edrs, made.senders)
    finally:
        store.close()


@contextmanager
def one_tenant(folder: Path, policy: bytes = POLICY, **more: Any) -> Iterator[Site]:
    with offices(folder, "acme", policy=policy) as made, site(made, f"sqlite:///{folder}/nightdesk.db", **more) as here:
        yield here


def the_case(here: Site, uid: str, tenant: str = "acme") -> Case:
    """The case that an alert of that id is in."""
    (found,) = [case for case in here.cases(tenant) if any(uid in one.native_id for one in case.alerts)]
    return found


def failed(here: Site, case: Case) -> dict[str, str]:
    """What stood against a machine at the last decision about a case."""
    with here.hub.store.read() as conn:
        last = decisions.decisions(conn, case.tenant, case.case_id)[-1]
    return {check.name: check.value for check in last.checks if not check.passed}


def the_groups(here: Site, tenant: str = "acme") -> list[Any]:
    """What is scored and judged, oldest first."""
    with here.hub.store.read() as conn:
        stored = groups.groups_of_cases(conn, tenant, [case.case_id for case in here.cases(tenant)])
    return sorted((group for found in stored.values() for _, group in found), key=lambda one: (one.opened, one.rule))


@dataclass
class Machine:
    """A computer of which somebody may set the clock; what counts from boot is never set."""

    time: FakeTime
    off: float = 0.0

    def wall(self) -> datetime:
        return self.time.now + timedelta(seconds=self.off)

    def elapsed(self) -> float:
        return (self.time.now - datetime(2026, 1, 1, tzinfo=UTC)).total_seconds()


class TestScenario5Clocks:
    """Clocks are off, seconds come twice, and what happened long ago is told again."""

    @pytest.mark.parametrize("seconds", [-600, -121, -119, 0, 119, 121, 600])
    def test_a_vendor_whose_clock_is_off_by_more_than_two_minutes_has_nothing_closed_by_a_machine(
        self, seconds: float, tmp_path: Path
    ) -> None:
        """In both directions: its answers say what time it is there, and its alerts are stamped by that clock."""
        rules = POLICY.replace(b"rule_id: noise", b"rule_name: [UnusualTool, Unusual tool]")
        with one_tenant(tmp_path, policy=rules) as here:
            edr = here.edrs["acme"].now
            edr.faults.add("clock_skew", options={"seconds": seconds})
            stamped = here.time.now + timedelta(seconds=seconds)
            edr.add(replace(a_story_alert("one", stamped, device=HOSTS[0]), severity="low", technique_ids=("T1059",)))
            here.works(pull=True)
            (case,) = here.cases()
            away = abs(seconds) > 120
            assert case.status is (CaseStatus.ESCALATED if away else CaseStatus.CLOSED), failed(here, case)
            assert ("clock-skew" in failed(here, case)) == away
            if away:
                assert abs(float(failed(here, case)["clock-skew"].removesuffix(" s")) - seconds) <= 1

    @pytest.mark.parametrize(("seconds", "closed"), [(600, False), (121, False), (119, True), (0, True), (-600, True)])
    def test_an_alert_of_the_future_is_closed_by_no_machine(self, seconds: float, closed: bool, tmp_path: Path) -> None:
        """Of one that is only late nobody knows more than that: a sender that posts is not asked for its time."""
        with one_tenant(tmp_path) as here:
            here.delivers(a_post("one", here.time.now + timedelta(seconds=seconds), rule="noise"))
            here.works()
            (case,) = here.cases()
            assert (case.status is CaseStatus.CLOSED) == closed
            assert ("timestamps" in failed(here, case)) != closed

    @pytest.mark.parametrize(
        ("summer", "winter"),
        [
            # Clocks go back at 01:00 UTC on 25 October 2026 in Europe: 02:30 is twice, and the later one looks earlier.
            ("2026-10-25T02:50:00+02:00", "2026-10-25T02:10:00+01:00"),
            # They go forward on 29 March: ten minutes pass, and the clock on the wall goes on by seventy.
            ("2026-03-29T01:55:00+01:00", "2026-03-29T03:05:00+02:00"),
        ],
    )
    @pytest.mark.parametrize("turned", [False, True], ids=["in order", "out of order"])
    def test_over_a_change_of_daylight_saving_time_no_window_turns_negative(
        self, summer: str, winter: str, turned: bool, tmp_path: Path
    ) -> None:
        first, last = datetime.fromisoformat(summer), datetime.fromisoformat(winter)
        passed = (last.astimezone(UTC) - first.astimezone(UTC)).total_seconds()
        assert 0 < passed < 3600
        with one_tenant(tmp_path, time=FakeTime(last.astimezone(UTC) + timedelta(minutes=1))) as here:
            posts = []
            for number, text in enumerate((summer, winter)):
                at = datetime.fromisoformat(text).astimezone(UTC)
                post = a_post(f"dst-{number}", at, rule="noise")
                post["@timestamp"] = post["event"]["start"] = text
                posts.append(post)
            for post in reversed(posts) if turned else posts:
                here.delivers(post)
                here.works()
            (case,) = here.cases()
            assert "timestamps" not in failed(here, case)
            times = sorted(alert.first_seen for alert in case.alerts)
            assert [one.astimezone(UTC) for one in times] == [first, last]
            made = the_groups(here)
            assert made[-1].opened - made[0].opened == pytest.approx(passed)
            assert all(one.last >= one.opened for one in made)
            history = History()
            for one in made:
                history.add(one)
            for one in made:
                values = dict(zip(NAMES, history.look(one).values, strict=True))
                assert all(value >= 0 for name, value in values.items() if name in _WINDOWS), values

    def test_old_events_told_again_close_nothing_and_open_nothing(self, tmp_path: Path) -> None:
        with one_tenant(tmp_path) as here:
            begun = here.time.now
            posts = [a_post("worm-1", begun), a_post("noise-1", begun, 1, "noise")]
            here.delivers(*posts)
            here.lets(60)
            before = [(case.case_id, case.status, len(case.alerts)) for case in here.cases()]
            made = [one.decision_id for one in here.decisions()]
            assert [status for _, status, _ in before] == [CaseStatus.ESCALATED, CaseStatus.CLOSED]
            here.time.advance(20 * 86400)
            # The same again, the same in other bytes, and an older state of it.
            older = [dict(one, **{"@timestamp": f"{begun - timedelta(hours=1):%Y-%m-%dT%H:%M:%SZ}"}) for one in posts]
            here.delivers(*posts)
            here.delivers(*[json.dumps(one, indent=None, separators=(",", ":")).encode() for one in posts])
            here.delivers(*older)
            here.lets(60)
            assert [(case.case_id, case.status, len(case.alerts)) for case in here.cases()] == before
            assert [one.decision_id for one in here.decisions()] == made
            assert here.orders() == [("WS-0000", "isolate"), ("WS-0000", "release")], "its lease ended long ago"
            # A closing rule that fires in the past closes no case of today: not by joining it, and not over it.
            here.delivers(a_post("worm-2", here.time.now, 2))
            here.works()
            here.delivers(a_post("old-noise", begun, 2, "noise"), a_post("old-noise-2", begun, 2, "noise"))
            here.lets(60)
            assert the_case(here, "worm-2").status is CaseStatus.ESCALATED
            assert the_case(here, "worm-2").case_id != the_case(here, "old-noise").case_id
            assert all(one.last >= one.opened for one in the_groups(here))

    @pytest.mark.parametrize("jump", [3600.0, -3600.0, 4 * 365 * 86400.0, -4 * 365 * 86400.0])
    def test_a_lease_ends_when_it_was_to_end_whatever_is_done_to_the_machines_clock(
        self, jump: float, tmp_path: Path
    ) -> None:
        machine = Machine(FakeTime())
        clock = SteadyClock(machine.wall, machine.elapsed)
        with one_tenant(tmp_path, time=machine.time, clock=clock) as here:
            target = Target.parse("host:ws-0000")
            wish: dict[str, Any] = {"requested_by": "ann", "approval": "direct", "lease": timedelta(hours=1)}
            here.hub.engine.propose("acme", "host.isolate", target, **wish)
            here.lets(60)
            (action,) = here.isolations()
            assert action.state is _S.LEASED
            machine.off = jump
            here.lets(50 * 60, step=300)
            assert here.orders() == [("WS-0000", "isolate")], "released early"
            here.hub.watch()
            (notice,) = [one for one in here.hub.notices.standing("acme") if one.kind == "clock"]
            assert ("forward" if jump > 0 else "back") in notice.text
            here.lets(15 * 60, step=60)
            assert here.orders() == [("WS-0000", "isolate"), ("WS-0000", "release")], "kept too long"
            (action,) = here.isolations()
            assert action.state is _S.UNDONE
            machine.off = 0.0
            here.hub.watch()
            assert not [one for one in here.hub.notices.standing("acme") if one.kind == "clock"]

    def test_the_hub_that_runs_has_such_a_clock(self, tmp_path: Path) -> None:
        with one_tenant(tmp_path) as here:
            made = lasting_hub(here.hub.settings, REGISTRY, here.hub.store)
            assert isinstance(made.clock, SteadyClock)
            assert made.store.clock is made.clock, "what ends by the store's time ends by the hub's"


class TestScenario6Duplicates:
    """Each alert one to five times, in any order, in any pages, in bytes that may differ."""

    @staticmethod
    def _story(begun: datetime) -> list[dict[str, Any]]:
        """Five of one rule within five minutes, two more after twenty, and a later state of the third."""
        seconds = [0, 40, 80, 120, 200, 1500, 1540]
        posts = [a_post(f"worm-{number}", begun + timedelta(seconds=at)) for number, at in enumerate(seconds)]
        later = json.loads(json.dumps(posts[2]))
        later["@timestamp"] = f"{begun + timedelta(seconds=300):%Y-%m-%dT%H:%M:%SZ}"
        later["event"]["risk_score_norm"] = 60
        return [*posts, later]

    def _told(self, here: Site, seed: int | None) -> int:
        """Delivers it; how many deliveries that were. No seed: each once, in order."""
        rng = random.Random(seed)
        begun = here.time.now
        here.time.advance(1600)
        posts = self._story(begun)
        deliveries = [_bytes(one, rng.randrange(3)) for one in posts for _ in range(rng.randint(1, 5))]
        if seed is None:
            deliveries = [_bytes(one, 0) for one in posts]
        else:
            rng.shuffle(deliveries)
        left = list(deliveries)
        while left:
            size = rng.randint(1, 6)
            here.delivers(*left[:size])
            del left[:size]
            if rng.random() < 0.6:
                here.works()
                here.time.advance(rng.random())
        here.lets(60, step=20)
        return len(deliveries)

    def _outcome(self, here: Site) -> dict[str, Any]:
        """Everything that must not depend on how it was delivered."""
        (case,) = here.cases()
        (action,) = here.isolations()
        return {
            "alerts": sorted((one.native_id, one.severity_id, one.first_seen, one.modified) for one in case.alerts),
            "status": case.status,
            "severity": case.severity_id,
            "groups": [replace(one, tenant="") for one in the_groups(here)],
            "action": (action.verb, action.target.key, action.generation, action.state),
            "last": here.decisions()[-1].outcome,
            "orders": here.orders(),
        }

    @pytest.mark.parametrize("seed", range(8))
    def test_one_case_one_action_and_evidence_counted_once_whatever_the_order(self, seed: int, tmp_path: Path) -> None:
        with offices(tmp_path, "acme") as made:
            with site(made, f"sqlite:///{tmp_path}/plain.db") as plain:
                self._told(plain, None)
                expected = self._outcome(plain)
            with site(made, f"sqlite:///{tmp_path}/often.db") as here:
                count = self._told(here, seed)
                assert self._outcome(here) == expected
                assert [one.alerts for one in the_groups(here)] == [5, 2]
                assert here.orders() == [("WS-0000", "isolate")]
                (row,) = [one for one in balanced(here.hub.store) if one.received]
                assert row.received == count
                self._judged(here)

    def _judged(self, here: Site) -> None:
        """A verdict that is given twice is one, and seven alerts delivered twenty times are one attack."""
        (case,) = here.cases()
        unit = Unit.parse("acme", "ecs/worm")
        for by in ("ann", "ann", "ben", "ben"):
            person = Principal("acme", by, Role(PEOPLE[by]))
            judge(here.hub.oversight, "acme", by=person, about=case.case_id, verdict="true-positive")
            here.works()
        with here.hub.store.read() as conn:
            given_labels = [one for one in labels.of_rule(conn, "acme", unit.rule) if not one.withdrawn_why]
            proof = look(conn, here.hub.oversight, unit, at=here.time.now).proof
        assert sorted(one.analyst for one in given_labels) == ["ann", "ben"]
        assert (proof.attacks, proof.benign) == (1, 0)


def _bytes(post: Mapping[str, Any], way: int) -> bytes:
    """The same alert in bytes of its own: spaced, tight, or with its keys turned round."""
    if way == 1:
        return json.dumps(post, separators=(",", ":")).encode()
    return json.dumps(dict(reversed(list(post.items()))) if way == 2 else post).encode()


class Move(NamedTuple):
    """Something that happens: ``what`` at a tenant (to whom it happens there: ``number``), or time that goes by."""

    what: str
    tenant: str = ""
    number: int = 0


_TWINS = ("acme", "umbrella")
_FOLLOWS = st.one_of(
    st.builds(Move, st.just("post"), st.sampled_from(_TWINS), st.integers(0, 5)),
    st.builds(Move, st.just("judge"), st.sampled_from(_TWINS), st.integers(0, 1)),
    st.builds(Move, st.just("act"), st.sampled_from(_TWINS), st.integers(0, 2)),
    st.just(Move("work")),
    st.just(Move("wait")),
)


def _plays(here: Site, moves: Sequence[Move], begun: datetime) -> None:
    """The same alerts, hosts, addresses and ids at every tenant; what happens depends on the moves alone."""
    for move in moves:
        if move.what == "post":
            host, rule = move.number % 3, ("worm", "noise")[move.number // 3]
            here.delivers(a_post(f"same-{move.number}", begun, host, rule), tenant=move.tenant)
        elif move.what == "judge":
            verdict = ("benign-positive", "true-positive")[move.number]
            person = Principal(move.tenant, "ann", Role(PEOPLE["ann"]))
            for case in here.cases(move.tenant)[:1]:
                judge(here.hub.oversight, move.tenant, by=person, about=case.case_id, verdict=verdict)
        elif move.what == "act":
            target = Target.parse(f"host:ws-{move.number:04d}")
            wish: dict[str, Any] = {"requested_by": "ann", "approval": "direct", "lease": timedelta(hours=1)}
            here.hub.engine.propose(move.tenant, "host.isolate", target, **wish)
        else:
            here.time.advance(1700.0 if move.what == "wait" else 1.0)
            here.works()
    here.works()


def _all_of(here: Site, tenant: str) -> dict[str, list[tuple[Any, ...]]]:
    """Every row of every table that says it is that tenant's.

    But for the number that the vendor gives each request: of two actions of one tenant either may be asked first.
    """

    def plain(row: Row[Any]) -> tuple[Any, ...]:
        return tuple(_TRACE.sub(b"", value) if isinstance(value, bytes) else value for value in row)

    with here.hub.store.read() as conn:
        return {
            table.name: sorted(map(plain, conn.execute(select(table).where(table.c.tenant == tenant))), key=repr)
            for table in metadata.sorted_tables
            if "tenant" in table.c
        }


@dataclass(repr=False)
class Twins:
    """Both, configured once: each example has a store of its own."""

    made: Offices
    folder: Path
    registry: Any

    def told(self, moves: Sequence[Move], only: Sequence[str]) -> dict[str, Any]:
        """By tenant everything that it has and that was done or asked for it, once the moves were made."""
        sources = {slug: oracle(slug, "intel") for slug in _TWINS}
        for one in sources.values():
            one.asked.clear()
        file = self.folder / "told.db"
        for old in self.folder.glob("told.db*"):
            old.unlink()
        found = {}
        with site(self.made, f"sqlite:///{file}", registry=self.registry, only=only) as here:
            _plays(here, [one for one in moves if not one.tenant or one.tenant in only], here.time.now)
            for slug in only:
                with here.hub.store.read() as conn:
                    pages = [queries.case_page(conn, slug, case.case_id) for case in here.cases(slug)]
                found[slug] = _all_of(here, slug), pages, here.orders(slug), sorted(sources[slug].asked)
        return found


@pytest.fixture(scope="module")
def twins(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Twins]:
    folder, registry = tmp_path_factory.mktemp("twins"), plugin_registry()
    # A page waits for its answers: else either may be first, and what is decided depends on it.
    enrichment = {"wait_seconds": 10.0, "sources": {"intel": {"kind": "oracle"}}}
    with offices(folder, *_TWINS, registry=registry, enrichment=enrichment) as made:
        for slug in _TWINS:
            oracle(slug, "intel").everything = [IntelFact("malicious", f"told-to-{slug}", 80)]
        yield Twins(made, folder, registry)


_BUSY = [
    Move("post", "acme", 0), Move("post", "umbrella", 0), Move("work"), Move("judge", "acme", 1),
    Move("judge", "umbrella", 0), Move("post", "umbrella", 3), Move("act", "acme", 0), Move("wait"),
]  # fmt: skip


class TestScenario7EntityCollision:
    """Two tenants with the same hostnames, addresses and alert ids: each is as if it were alone."""

    @given(moves=st.lists(_FOLLOWS, min_size=4, max_size=9), alone=st.sampled_from(_TWINS))
    @example(moves=_BUSY, alone="acme")
    @example(moves=_BUSY, alone="umbrella")
    @settings(
        max_examples=6,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow],
        phases=[Phase.explicit, Phase.reuse, Phase.generate],
    )
    def test_nothing_of_one_is_changed_read_or_named_by_the_other(
        self, twins: Twins, moves: list[Move], alone: str
    ) -> None:
        together = twins.told(moves, _TWINS)
        for slug, other in (_TWINS, _TWINS[::-1]):
            rows, pages, _, _ = together[slug]
            assert other not in repr(rows).lower()
            assert other not in repr(pages).lower()
            assert {alert.tenant for page in pages for alert in page.case.alerts} <= {slug}
        assert together[alone] == twins.told(moves, (alone,))[alone], "with the other one it is not as it is alone"

    def test_the_story_has_everything_that_could_be_mixed_up(self, twins: Twins) -> None:
        """What is compared is not nothing: cases of the same number, evidence, actions, answers and orders at both."""
        together = twins.told(_BUSY, _TWINS)
        (ours, _, done, asked), (theirs, _, also, too) = (together[slug] for slug in _TWINS)
        for name in ("case_file", "alert", "alert_group", "decision", "action", "verdict_label", "enrichment"):
            assert ours[name], name
            assert theirs[name], name
        assert (done, also) == ([("WS-0000", "isolate")], [("WS-0000", "isolate")])
        assert asked
        assert set(asked) & set(too)
