"""Varied alerts of each bundled vendor, as its connector hands them over: the inputs of both benchmarks."""

import asyncio
from datetime import UTC, datetime, timedelta

from nightdesk.hub.registry import Registry
from nightdesk.hub.story import night
from nightdesk.sdk.context import Context, Settings
from nightdesk.sdk.records import RawRecord
from nightdesk.sdk.testing import serve

__all__ = ["START", "varied"]

START = datetime(2026, 11, 20, 18, 0, tzinfo=UTC)


def varied(vendor: str, count: int, *, seed: int = 1) -> list[RawRecord]:
    """``count`` different alerts, pulled from the vendor's simulator over a socket."""
    registry = Registry.load(strangers=False)
    told = START + timedelta(hours=6)
    simulator = registry.simulator(vendor)(clock=lambda: told)
    story = night(START, alerts=count + 4, seed=seed)
    simulator.add_devices(story.devices)
    for alert in story.alerts[:count]:
        simulator.add(alert)

    async def pull(base_url: str) -> list[RawRecord]:
        settings = {**simulator.settings(base_url), "start": "2026-11-20T00:00:00Z"}
        connector = registry.connector(vendor, Context("bench", vendor, Settings(settings), clock=lambda: told))
        stream = next(iter(registry.manifest(vendor).pulls))
        found: dict[str, RawRecord] = {}
        async for batch in connector.pull(stream, None, limit=500):
            found.update({record.key: record for record in batch.records})
        await connector.aclose()
        return list(found.values())

    with serve(simulator) as served:
        return asyncio.run(pull(served.base_url))
