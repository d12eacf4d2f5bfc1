"""Law 1: received = normalised + duplicate + quarantined + waiting at every moment, and every alert is there once."""

import asyncio
import os
import signal
import subprocess
import sys
from collections import Counter
from datetime import timedelta
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import pytest
from tests.hubs import REGISTRY, a_story_alert, balanced, bind, opened, pullers, working

from nightdesk.hub import feeds
from nightdesk.hub.hub import Hub
from nightdesk.hub.store import Store, intake
from nightdesk.hub.store.alerts import alerts_of_case
from nightdesk.hub.store.ledger import LedgerRow, ledger
from nightdesk.hub.store.queries import case_list
from nightdesk.sdk.testing import Simulator, serve
from nightdesk.sdk.testing.fake_time import FakeTime

_BURST = 1069


class _PowerCutError(RuntimeError):
    """The process ends here; what its transaction did is gone."""


def _raise(simulator: Simulator, count: int, prefix: str = "burst") -> set[str]:
    """That many alerts told in one instant, on many hosts."""
    at = simulator.now() - timedelta(seconds=45)
    return {simulator.add(a_story_alert(f"{prefix}-{n:05d}", at, n % 200)) for n in range(count)}


def _stored(store: Store, tenant: str = "acme") -> Counter[str]:
    """How often each native id is an alert in a case."""
    with store.read() as conn:
        found = alerts_of_case(conn, tenant, [row.case_id for row in case_list(conn, tenant, limit=10_000)])
    return Counter(alert.native_id for alerts in found.values() for alert in alerts)


def _once_each(store: Store, wanted: set[str]) -> None:
    stored = _stored(store)
    assert set(stored) == wanted
    assert set(stored.values()) <= {1}
    assert sum(row.normalised for row in balanced(store)) >= len(wanted)
    assert sum(row.waiting + row.quarantined for row in balanced(store)) == 0


def _work(hub: Hub) -> None:
    async def go() -> None:
        try:
            await hub.once()
        finally:
            await hub.bindings.aclose()

    asyncio.run(go())


@pytest.mark.slow
@pytest.mark.parametrize("vendor", pullers())
def test_a_burst_of_1069_alerts_of_one_instant_arrives_whole(vendor: str, tmp_path: Path) -> None:
    time = FakeTime()
    simulator = REGISTRY.simulator(vendor)(clock=time.clock)
    wanted = _raise(simulator, _BURST)
    with working(tmp_path, simulator, time) as hub:
        _work(hub)
        _once_each(hub.store, wanted)
        assert all(feed.state.ok for feed in hub.feeds)


@pytest.mark.parametrize("page", [1, 3, 7])
@pytest.mark.parametrize("vendor", pullers())
def test_any_page_size_and_late_arrivals(
    vendor: str, page: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feeds, "_PAGE", page)
    time = FakeTime()
    simulator = REGISTRY.simulator(vendor)(clock=time.clock)
    at = time.clock() - timedelta(seconds=45)
    wanted = {simulator.add(a_story_alert(f"first-{n}", at, n)) for n in range(8)}
    with working(tmp_path, simulator, time) as hub:
        _work(hub)
        _once_each(hub.store, wanted)
        wanted |= {simulator.add(a_story_alert(f"same-instant-{n}", at, n)) for n in range(3)}
        wanted.add(simulator.add(a_story_alert("told-late", time.clock() - timedelta(seconds=2), 5)))
        _work(hub)
        _once_each(hub.store, wanted)


@pytest.mark.slow
@pytest.mark.parametrize("vendor", pullers())
def test_a_crash_between_a_page_and_its_commit_costs_nothing(
    vendor: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feeds, "_PAGE", 3)
    time = FakeTime()
    simulator = REGISTRY.simulator(vendor)(clock=time.clock)
    wanted = _raise(simulator, 10)
    store_page, pages = intake.store_page, 0

    def cut(*args: Any, **facts: Any) -> intake.PageStored:
        nonlocal pages
        stored = store_page(*args, **facts)
        pages += 1
        if pages in {1, 3, 4, 6}:
            raise _PowerCutError
        return stored

    with working(tmp_path, simulator, time) as hub:
        monkeypatch.setattr(intake, "store_page", cut)

        async def pull() -> None:
            for _ in range(6):
                await asyncio.gather(*(feed.once() for feed in hub.feeds))
                balanced(hub.store)
            await hub.bindings.aclose()

        asyncio.run(pull())
        assert pages > 6
        _work(hub)
        _once_each(hub.store, wanted)


@pytest.mark.parametrize("boundary", ["settle_normalised", "put_alerts", "put_cases", "put_decisions"])
def test_a_crash_inside_the_pipeline_leaves_the_page_waiting(
    boundary: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from nightdesk.hub.store import alerts, cases, decisions

    time = FakeTime()
    simulator = REGISTRY.simulator(pullers()[0])(clock=time.clock)
    wanted = _raise(simulator, 6)
    home = {"settle_normalised": intake, "put_alerts": alerts, "put_cases": cases, "put_decisions": decisions}[boundary]
    real, cuts = getattr(home, boundary), 0

    def cut(*args: Any, **facts: Any) -> Any:
        nonlocal cuts
        done = real(*args, **facts)
        cuts += 1
        if cuts == 1:
            raise _PowerCutError
        return done

    with working(tmp_path, simulator, time) as hub:
        monkeypatch.setattr(home, boundary, cut)
        with pytest.raises(_PowerCutError):
            _work(hub)
        rows = balanced(hub.store)
        assert (sum(row.waiting for row in rows), sum(row.normalised for row in rows)) == (6, 0)
        assert not _stored(hub.store)
        _work(hub)
        _once_each(hub.store, wanted)


def test_the_same_page_twice_is_counted_as_duplicates(tmp_path: Path) -> None:
    time = FakeTime()
    simulator = REGISTRY.simulator(pullers()[0])(clock=time.clock)
    wanted = _raise(simulator, 9)
    with working(tmp_path, simulator, time) as hub:
        _work(hub)
        with hub.store.begin() as conn:
            for stream in hub.settings.tenants["acme"].instances["main"].pulls:
                intake.reset_cursor(conn, "acme", "main", stream)
        _work(hub)
        _once_each(hub.store, wanted)
        assert sum(row.duplicate for row in balanced(hub.store)) == len(wanted)


@pytest.mark.slow
def test_a_hub_that_is_killed_again_and_again_loses_nothing(tmp_path: Path) -> None:
    simulator = REGISTRY.simulator(pullers()[0])()
    wanted = _raise(simulator, 600)
    with serve(simulator) as served:
        config = bind(tmp_path, "acme", {"main": (simulator, served.base_url)})
        with opened(config) as hub:
            kills = 0
            seen: set[tuple[int, int]] = set()
            until = monotonic() + 180
            child = _child(config)
            try:
                while monotonic() < until:
                    sleep(0.02)
                    rows = _look(hub.store)
                    state = (sum(row.received for row in rows), sum(row.normalised for row in rows))
                    if state[1] >= len(wanted):
                        break
                    assert child.poll() is None, child.communicate()[1].decode()
                    if state[0] and state not in seen and kills < 6:
                        # Something moved: the next move is under way, and dies with the process.
                        seen.add(state)
                        _kill(child)
                        kills += 1
                        _look(hub.store)
                        child = _child(config)
            finally:
                _kill(child)
            assert kills == 6, f"only {kills} kills hit before it was done"
            _once_each(hub.store, wanted)


def _look(store: Store) -> list[LedgerRow]:
    with store.read() as conn:
        rows = ledger(conn, "acme")
    assert all(row.balanced for row in rows), rows
    return rows


def _child(config: Path) -> subprocess.Popen[bytes]:
    root = Path(__file__).parents[2]
    return subprocess.Popen(
        [sys.executable, str(root / "tests" / "killed_hub.py"), str(config)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(root)},
    )


def _kill(child: subprocess.Popen[bytes]) -> None:
    if child.poll() is None:
        child.send_signal(signal.SIGKILL)
    child.communicate()
