"""A vendor's pace is kept on the whole way: the hub waits in the time that the vendor counts in, and is not refused."""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from starlette.types import Message, Receive, Scope, Send
from tests.hubs import REGISTRY, a_story_alert, bind, opened

from nightdesk.hub import feeds
from nightdesk.sdk.testing import Simulator, serve
from nightdesk.sdk.testing.fake_time import FakeTime

_STRICT: Mapping[str, Mapping[str, Any]] = {
    "microsoft_entra_id": {},  # its second between two questions about risks
    "paloalto_cortex_xdr": {"requests_per_minute": 60},
}
"""Simulators that refuse whoever is faster than the connector promises to be."""
_ALERTS = 80


class _Hasty(FakeTime):
    """A time in which a wait is no wait: the hub in it keeps no pace."""

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)


class _Watched:
    """A simulator, and the status of each of its answers."""

    def __init__(self, simulator: Simulator) -> None:
        self.simulator = simulator
        self.statuses: list[int] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def noted(message: Message) -> None:
            if message["type"] == "http.response.start":
                self.statuses.append(message["status"])
            await send(message)

        await self.simulator(scope, receive, noted)


def _pulled(vendor: str, time: FakeTime, folder: Path) -> tuple[list[int], bool]:
    """The statuses of a pull of many small pages, and whether the feed is well after it."""
    simulator = REGISTRY.simulator(vendor)(clock=time.clock, **_STRICT[vendor])
    for number in range(_ALERTS):
        simulator.add(a_story_alert(f"alert-{number}", time.clock(), number))
    watched = _Watched(simulator)
    with serve(watched) as served, opened(bind(folder, "acme", {"main": (simulator, served.base_url)}), time) as hub:

        async def go() -> None:
            try:
                await hub.once()
            finally:
                await hub.bindings.aclose()

        asyncio.run(go())
        return watched.statuses, all(feed.state.ok for feed in hub.feeds)


@pytest.mark.parametrize("vendor", sorted(_STRICT))
def test_a_hub_waits_for_a_vendors_pace_and_is_never_refused(
    vendor: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feeds, "_PAGE", 1)
    time = FakeTime()
    begin = time.clock()
    statuses, well = _pulled(vendor, time, tmp_path)
    assert well
    assert 429 not in statuses
    assert time.slept
    assert (time.clock() - begin).total_seconds() == pytest.approx(sum(time.slept))


@pytest.mark.parametrize("vendor", sorted(_STRICT))
def test_a_hub_that_kept_no_pace_would_be_refused(vendor: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feeds, "_PAGE", 1)
    statuses, well = _pulled(vendor, _Hasty(), tmp_path)
    assert 429 in statuses
    assert not well
