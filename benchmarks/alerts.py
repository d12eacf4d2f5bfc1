"""Varied alerts of each bundled vendor, as its connector hands them over: the inputs of both benchmarks."""

import asyncio
from datetime import UTC, datetime, timedelta

from nightdesk.hub.registry import Registry
from nightdesk.hub.story import night
from nightdesk.sdk.context import Context, Settings
from nightdesk.sdk.manifest import validate_settings
from nightdesk.sdk.records import RawRecord
from nightdesk.sdk.testing import serve
from nightdesk.sdk.testing.fake_time import FakeTime

__all__ = ["START", "varied"]

START = datetime(2026, 11, 20, 18, 0, tzinfo=UTC)


def varied(vendor: str, count: int, *, seed: int = 1) -> list[RawRecord]:
    """``count`` different alerts, pulled from the vendor's simulator over a socket."""
    registry = Registry.load(strangers=False)
    manifest = registry.manifest(vendor)
    time = FakeTime(START + timedelta(hours=6))  # a vendor's pace is no cost of ours
    simulator = registry.simulator(vendor)(clock=time.clock)
    story = night(START, alerts=count + 4, seed=seed)
    simulator.add_devices(story.devices)
    for alert in story.alerts[:count]:
        simulator.add(alert)

    async def pull(base_url: str) -> list[RawRecord]:
        given = {"start": "2026-11-20T00:00:00Z"} if "start" in manifest.settings else {}
        settings = validate_settings(manifest, {**simulator.settings(base_url), **given}, file="bench", key=vendor)
        context = Context("bench", vendor, Settings(settings), clock=time.clock, sleep=time.sleep)
        connector = registry.connector(vendor, context)
        stream = next(iter(manifest.pulls))
        found: dict[str, RawRecord] = {}
        async for batch in connector.pull(stream, None, limit=500):
            found.update({record.key: record for record in batch.records})
        await connector.aclose()
        return list(found.values())

    with serve(simulator) as served:
        return asyncio.run(pull(served.base_url))
