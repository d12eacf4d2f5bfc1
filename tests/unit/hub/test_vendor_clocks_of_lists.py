"""Blocks on lists whose entries a vendor ends by itself: kept as long as the lease, told when they ended before it."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.hubs import REGISTRY, bind

from nightdesk.autonomy.actions import Action, ActionState
from nightdesk.autonomy.clocks import BY_VENDOR, ends_at
from nightdesk.autonomy.engine import Engine
from nightdesk.connectors.crowdstrike_falcon.simulator import Simulator as Falcon
from nightdesk.connectors.ibm_qradar.simulator import Simulator as QRadar
from nightdesk.connectors.microsoft_defender_xdr.simulator import Simulator as Defender
from nightdesk.connectors.microsoft_sentinel.simulator import Simulator as Sentinel
from nightdesk.connectors.trend_vision_one.simulator import Simulator as VisionOne
from nightdesk.hub.bindings import Bindings
from nightdesk.hub.config import HubSettings, load_config
from nightdesk.hub.store import Store
from nightdesk.hub.store.actions import SqlJournal
from nightdesk.sdk.targets import Target
from nightdesk.sdk.testing import Simulator, serve
from nightdesk.sdk.testing.fake_time import FakeTime

HASH = f"file:sha256:{'ab' * 32}"
MINUTES, HOUR, DAY = 600.0, 3600.0, 86_400.0


@dataclass(frozen=True)
class Case:
    """One vendor's list: how it is asked to block, whether it does, how long its clock runs, how it is written to."""

    vendor: type[Simulator]
    verb: str
    target: str
    blocks: Callable[[Any], bool]
    lasts: float
    writes: tuple[str, str]
    duration: float | None = None
    prepare: Callable[[Any], None] = lambda _: None
    twice: bool = False

    def __str__(self) -> str:
        return f"{self.vendor.vendor} {self.verb}"


def _falcon(simulator: Any) -> bool:
    return any(row["action"] == "prevent" for row in simulator._iocs._rows())


def _defender(simulator: Any) -> bool:
    return any(row["action"] == "Block" for row in simulator._indicators.active())


def _vision_one(simulator: Any) -> bool:
    return any(row["scanAction"] == "block" for row in simulator._objects._rows())


def _set(kind: str) -> Callable[[Any], bool]:
    return lambda simulator: bool(simulator.entries(f"nightdesk-{kind}"))


def _living(kind: str, element_type: str, counts: str) -> Callable[[Any], None]:
    lives = timedelta(seconds=MINUTES)
    return lambda simulator: simulator.add_set(f"nightdesk-{kind}", element_type, lives, counts)


_IOCS, _INDICATORS = "/iocs/entities/indicators/v1", "/api/indicators"
_OBJECTS, _SETS = "/v3.0/threatintel/suspiciousObjects", "/api/reference_data/sets"
CASES = [
    Case(Falcon, "hash.block", HASH, _falcon, MINUTES, ("PATCH", _IOCS), MINUTES),
    Case(Defender, "hash.block", HASH, _defender, MINUTES, ("POST", _INDICATORS), MINUTES),
    Case(Defender, "ip.block", "address:203.0.113.66", _defender, MINUTES, ("POST", _INDICATORS), MINUTES),
    Case(Defender, "domain.block", "domain:bad.example.com", _defender, MINUTES, ("POST", _INDICATORS), MINUTES),
    Case(VisionOne, "hash.block", HASH, _vision_one, DAY, ("POST", _OBJECTS), DAY),
    Case(VisionOne, "ip.block", "address:203.0.113.66", _vision_one, DAY, ("POST", _OBJECTS), DAY),
    Case(VisionOne, "domain.block", "domain:bad.example.com", _vision_one, DAY, ("POST", _OBJECTS), DAY),
    Case(VisionOne, "url.block", "url:https://bad.example.com/x", _vision_one, 30 * DAY, ("POST", _OBJECTS)),
    Case(VisionOne, "sender.block", "sender:x@bad.example.com", _vision_one, 30 * DAY, ("POST", _OBJECTS)),
    Case(QRadar, "ip.block", "address:203.0.113.66", _set("ip"), MINUTES, ("POST", _SETS),
         prepare=_living("ip", "IP", "FIRST_SEEN"), twice=True),
    Case(QRadar, "domain.block", "domain:bad.example.com", _set("domain"), MINUTES, ("POST", _SETS),
         prepare=_living("domain", "ALNIC", "LAST_SEEN")),
    Case(QRadar, "url.block", "url:https://bad.example.com/x", _set("url"), MINUTES, ("POST", _SETS),
         prepare=_living("url", "ALN", "LAST_SEEN")),
]  # fmt: skip
CASE = pytest.mark.parametrize("case", CASES, ids=str)


@dataclass
class Site:
    """One vendor with its list, and an engine that leases at it."""

    simulator: Any
    settings: HubSettings
    store: Store
    time: FakeTime
    told: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.journal = SqlJournal(self.store)
        self.bindings = Bindings(self.settings, REGISTRY, clock=self.time.clock, sleep=self.time.sleep)
        self.engine = Engine(
            self.journal, self.bindings, self.time.clock, on_attention=lambda _, text: self.told.append(text)
        )

    def act(self, case: Case, lease: float | None, **parameters: Any) -> Action:
        given = {"duration": case.duration} if case.duration else {}
        action = self.engine.propose(
            "acme",
            case.verb,
            Target.parse(case.target),
            requested_by="ann",
            approval="direct",
            case_id="case-1",
            parameters={**given, **parameters},
            lease=None if lease is None else timedelta(seconds=lease),
        )
        return self.work(action, 20, step=1)

    def work(
        self, action: Action, seconds: float, step: float = 30.0, *, throughout: Callable[[], bool] | None = None
    ) -> Action:
        """Lets the engine work; ``throughout`` must hold all the while."""
        asyncio.run(self._work(seconds, step, throughout))
        found = self.journal.get("acme", action.action_id)
        assert found is not None
        return found

    def sent(self, method: str, path: str) -> int:
        return sum(one.method == method and one.path.startswith(path) for one in self.simulator.seen)

    async def _work(self, seconds: float, step: float, throughout: Callable[[], bool] | None) -> None:
        end = self.time.clock() + timedelta(seconds=seconds)
        try:
            while True:
                for _ in range(100):
                    if not await self.engine.run_once():
                        break
                if self.time.clock() >= end:
                    return
                self.time.advance(step)
                assert throughout is None or throughout(), f"not so at {self.time.clock()}"
        finally:
            await self.bindings.aclose()


@contextmanager
def _site(folder: Path, vendor: type[Simulator], prepare: Callable[[Any], None] = lambda _: None) -> Iterator[Site]:
    time = FakeTime()
    simulator = vendor(clock=time.clock)
    prepare(simulator)
    with serve(simulator) as served:
        settings = load_config(bind(folder, "acme", {"main": (simulator, served.base_url)}), REGISTRY)
        store = Store.open(settings.store, synchronous="NORMAL")
        try:
            yield Site(simulator, settings, store, time)
        finally:
            store.close()


@CASE
def test_a_lease_that_is_longer_than_the_vendors_clock_is_kept_at_the_vendor(tmp_path: Path, case: Case) -> None:
    with _site(tmp_path, case.vendor, case.prepare) as site:
        before = site.sent(*case.writes)
        action = site.act(case, case.lasts + 0.9 * HOUR)
        assert action.state is ActionState.LEASED
        first = ends_at(action)
        assert first is not None
        assert abs((first - site.time.clock()).total_seconds() - case.lasts) <= 30, "when it ends is not told"
        site.time.advance(case.lasts - MINUTES)  # nothing is due before
        action = site.work(action, MINUTES + 0.7 * HOUR, throughout=lambda: case.blocks(site.simulator))
        assert action.result["renewals"] >= 1
        assert (ends_at(action) or first) > first
        # Falcon is asked to change what it has, the others take the same again; a set that counts from when an element
        # was first seen is written to twice, for it is taken out between.
        made, each = 0 if case.writes[0] == "PATCH" else 1, 2 if case.twice else 1
        assert site.sent(*case.writes) - before == action.result["renewals"] * each + made
        action = site.work(action, 0.4 * HOUR)
        assert action.state is ActionState.UNDONE
        assert not case.blocks(site.simulator), "longer than the lease"
        assert site.told == []


@CASE
def test_what_the_vendors_clock_ended_before_the_lease_is_seen_and_told(tmp_path: Path, case: Case) -> None:
    with _site(tmp_path, case.vendor, case.prepare) as site:
        action = site.act(case, case.lasts + 2 * HOUR)
        assert case.blocks(site.simulator)
        method, path = case.writes
        site.simulator.faults.add("server_error", method=method, path=path)
        site.time.advance(case.lasts - MINUTES)
        action = site.work(action, MINUTES + 120)
        assert not case.blocks(site.simulator)
        assert (action.state, action.result["undo"]) == (ActionState.UNDONE, BY_VENDOR)
        assert any("before the lease of ours was over" in text for text in site.told)
        assert site.sent("DELETE", path) == 0, "nothing was ours to end"


@pytest.mark.parametrize("case", [case for case in CASES if case.duration], ids=str)
def test_a_duration_without_a_lease_ends_by_the_vendors_clock_and_is_nobodys_undo(tmp_path: Path, case: Case) -> None:
    with _site(tmp_path, case.vendor, case.prepare) as site:
        action = site.act(case, None)
        assert action.state is ActionState.LEASED, "a duration is a lease at the vendor"
        orders = len(site.simulator.mutations())
        site.time.advance(case.lasts - 60)
        action = site.work(action, 120)
        assert (action.state, action.result["undo"]) == (ActionState.UNDONE, BY_VENDOR)
        assert not case.blocks(site.simulator)
        assert len(site.simulator.mutations()) == orders
        assert site.told == []


def test_a_block_without_an_end_is_not_leased(tmp_path: Path) -> None:
    with _site(tmp_path, Falcon) as site:
        case = Case(Falcon, "hash.block", HASH, _falcon, MINUTES, ("PATCH", _IOCS))
        action = site.act(case, None)
        assert (action.state, ends_at(action)) == (ActionState.EFFECTIVE, None)
        site.time.advance(400 * DAY)
        assert site.work(action, 60).state is ActionState.EFFECTIVE
        assert _falcon(site.simulator)


def test_a_renewal_that_changed_an_indicator_and_got_no_answer_is_one_renewal(tmp_path: Path) -> None:
    with _site(tmp_path, Falcon) as site:
        action = site.act(CASES[0], HOUR)
        site.simulator.faults.add("lost_reply", method="PATCH", path=_IOCS, times=1)
        action = site.work(action, 1200, throughout=lambda: _falcon(site.simulator))
        assert action.result["renewals"] == 1
        assert len(site.simulator.indicators) == 1


def test_an_element_that_was_taken_out_for_its_renewal_and_not_put_in_is_put_in(tmp_path: Path) -> None:
    case = next(one for one in CASES if one.vendor is QRadar)
    with _site(tmp_path, QRadar, case.prepare) as site:
        action = site.act(case, HOUR)
        site.simulator.faults.add("server_error", method="POST", path=_SETS, after=1)
        action = site.work(action, 0.85 * MINUTES)
        assert not case.blocks(site.simulator)
        site.simulator.faults.clear()
        action = site.work(action, 120)
        assert case.blocks(site.simulator)
        assert action.state is ActionState.LEASED
        assert action.result["renewals"] == 1


def test_an_indicator_that_is_valid_until_a_time_is_leased_until_then_and_not_prolonged(tmp_path: Path) -> None:
    with _site(tmp_path, Sentinel) as site:
        until = site.time.clock() + timedelta(seconds=HOUR)
        case = Case(
            Sentinel, "indicator.publish", "indicator:domain:bad.example.com", lambda _: True, HOUR, ("PUT", "/")
        )
        action = site.act(case, 3 * HOUR, valid_until=f"{until:%Y-%m-%dT%H:%M:%SZ}")
        assert action.state is ActionState.LEASED
        assert ends_at(action) == until
        assert action.losses == ("lease: the vendor's own clock is shorter",)
        assert len(site.told) == 1
        site.time.advance(HOUR - 60)
        action = site.work(action, 180)
        assert (action.state, action.result["undo"]) == (ActionState.UNDONE, BY_VENDOR)
