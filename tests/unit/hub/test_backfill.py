import asyncio
import json
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.hubs import REGISTRY, a_story_alert, bind, opened, pullers, run_cli

from nightdesk.hub.backfill import Backfill, Progress
from nightdesk.hub.hub import Hub
from nightdesk.hub.store import intake
from nightdesk.sdk.context import utc_now
from nightdesk.sdk.errors import UnsupportedError
from nightdesk.sdk.testing import Simulator, serve

_VENDOR = next(name for name in pullers() if "start" in REGISTRY.manifests[name].settings)
_STREAM = next(iter(REGISTRY.manifests[_VENDOR].pulls))


@pytest.fixture
def simulator() -> Simulator:
    return REGISTRY.simulator(_VENDOR)()


@pytest.fixture
def hub(simulator: Simulator, tmp_path: Path) -> Iterator[Hub]:
    with serve(simulator) as served, opened(bind(tmp_path, "acme", {"main": (simulator, served.base_url)})) as made:
        yield made


def filling(hub: Hub, begin: datetime, end: datetime | None = None) -> Backfill:
    return Backfill(
        hub.settings, REGISTRY, hub.store, tenant="acme", connector="main", stream=_STREAM, begin=begin,
        end=end or utc_now(), pause=0.0,
    )  # fmt: skip


async def through(found: Backfill) -> Progress:
    told = [progress async for progress in found.run()]
    return told[-1]


def cursor(hub: Hub, stream: str) -> Any:
    with hub.store.read() as conn:
        return intake.cursor(conn, "acme", "main", stream)


def test_a_past_window_is_fetched_and_the_live_cursor_stays_where_it_is(hub: Hub, simulator: Simulator) -> None:
    old = utc_now() - timedelta(days=5)
    simulator.add(a_story_alert("old", old, 1))
    simulator.add(a_story_alert("new", utc_now() - timedelta(minutes=1), 2))

    async def go() -> tuple[Any, Progress, Any]:
        await hub.once()
        before = cursor(hub, _STREAM)
        found = await through(filling(hub, old - timedelta(days=1)))
        await hub.bindings.aclose()
        return before, found, cursor(hub, _STREAM)

    before, found, after = asyncio.run(go())
    assert before == after is not None
    assert (found.received, found.new, found.done) == (2, 1, True)


def test_run_again_it_goes_on_where_it_stopped(hub: Hub, simulator: Simulator) -> None:
    old = utc_now() - timedelta(days=5)
    simulator.add(a_story_alert("old", old, 1))

    async def go() -> tuple[Progress, Progress]:
        return (
            await through(filling(hub, old - timedelta(days=1))),
            await through(filling(hub, old - timedelta(days=1))),
        )

    first, second = asyncio.run(go())
    assert first.new == 1
    assert second.new == 0
    place = filling(hub, old - timedelta(days=1)).place
    assert cursor(hub, place) is not None


def test_what_has_no_such_stream_is_refused_with_what_there_is(hub: Hub) -> None:
    with pytest.raises(UnsupportedError, match=f"main/{_STREAM}"):
        Backfill(
            hub.settings, REGISTRY, hub.store, tenant="acme", connector="main", stream="nothing", begin=utc_now(),
            end=utc_now(),
        )  # fmt: skip


@pytest.mark.parametrize("arguments", [("--from", "monday"), ("--from", "2026-11-02", "--to", "2026-11-01")])
def test_a_window_that_is_none_is_refused(arguments: tuple[str, ...]) -> None:
    result = run_cli("backfill", "--tenant", "acme", "main", _STREAM, *arguments)
    assert result.exit_code == 2


def test_it_stops_asking_once_everything_up_to_the_end_is_met(hub: Hub, simulator: Simulator) -> None:
    old = utc_now() - timedelta(days=5)
    simulator.add(a_story_alert("old", old, 1))

    async def asked(end: datetime, begin: datetime) -> int:
        before = len(simulator.seen)
        assert (await through(filling(hub, begin, end))).done
        return len(simulator.seen) - before

    async def go() -> tuple[int, int]:
        # Two windows that begin apart, so that each has a cursor of its own.
        return await asked(old, old - timedelta(days=1)), await asked(utc_now(), old - timedelta(days=2))

    bounded, whole = asyncio.run(go())
    assert bounded < whole


@pytest.mark.parametrize(("vendor", "bounded"), [("crowdstrike_falcon", True), ("splunk_es", False)])
def test_the_command_says_when_the_end_could_not_be_kept(vendor: str, bounded: bool, tmp_path: Path) -> None:
    simulator = REGISTRY.simulator(vendor)()
    simulator.add(a_story_alert("old", utc_now() - timedelta(days=5), 1))
    stream = next(iter(REGISTRY.manifests[vendor].pulls))
    begin, end = (f"{utc_now() - timedelta(days=days):%Y-%m-%dT%H:%M:%SZ}" for days in (9, 1))
    with serve(simulator) as served:
        config = bind(tmp_path, "acme", {"main": (simulator, served.base_url)})
        result = run_cli(
            "backfill", "main", stream, "--tenant", "acme", "--from", begin, "--to", end, "--pause", "0", "--json",
            "--config", str(config),
        )  # fmt: skip
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)
    assert (told["new"], told["bounded"]) == (1, bounded)
    assert ("does not tell how far it is" in result.stderr) is not bounded
