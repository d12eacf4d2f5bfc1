import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.hubs import REGISTRY, a_story_alert, bind, opened, pullers

from nightdesk.hub.feeds import Feed
from nightdesk.hub.hub import Hub
from nightdesk.hub.store import intake
from nightdesk.sdk.context import utc_now
from nightdesk.sdk.errors import AuthError, CursorExpiredError, RateLimitError, ScopeError, UnavailableError
from nightdesk.sdk.records import Batch, RawRecord
from nightdesk.sdk.testing import serve

NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)


class _Connector:
    """Gives what it was told to give: batches, or an error."""

    def __init__(self) -> None:
        self.script: list[Batch | BaseException] = []
        self.cursors: list[Any] = []

    async def pull(self, stream: str, cursor: Any, *, limit: int) -> Any:
        self.cursors.append(cursor)
        for entry in self.script:
            if isinstance(entry, BaseException):
                raise entry
            yield entry

    async def aclose(self) -> None:
        return None


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Hub]:
    vendor = pullers()[0]
    with opened(bind(tmp_path, "acme", {"main": (REGISTRY.simulator(vendor)(), "http://127.0.0.1:9")})) as made:
        yield made


@pytest.fixture
def connector(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> _Connector:
    made = _Connector()
    monkeypatch.setattr(hub.bindings, "connector", lambda tenant, name: made)
    return made


@pytest.fixture
def woken() -> list[int]:
    return []


@pytest.fixture
def feed(hub: Hub, connector: _Connector, woken: list[int]) -> Feed:
    instance = hub.settings.tenants["acme"].instances["main"]
    return Feed(
        "acme", instance, instance.pulls[0], bindings=hub.bindings, store=hub.store, clock=lambda: NOW,
        wake=lambda: woken.append(1),
    )  # fmt: skip


def _page(number: int, **more: Any) -> Batch:
    return Batch([RawRecord(b"{}", f"key-{number}", f"id-{number}")], {"page": number}, **more)


def _cursor(hub: Hub, feed: Feed) -> Any:
    with hub.store.read() as conn:
        return intake.cursor(conn, "acme", "main", feed.state.stream)


def test_a_page_is_stored_with_its_cursor(hub: Hub, feed: Feed, connector: _Connector, woken: list[int]) -> None:
    connector.script = [_page(1, more=True), _page(2)]
    assert asyncio.run(feed.drain()) == 2
    assert _cursor(hub, feed) == {"page": 2}
    assert (feed.state.received, feed.state.last_page_at, len(woken)) == (2, NOW, 2)
    asyncio.run(feed.drain())
    assert connector.cursors == [None, {"page": 2}]


def test_what_is_known_already_wakes_nobody(feed: Feed, connector: _Connector, woken: list[int]) -> None:
    connector.script = [_page(1)]
    asyncio.run(feed.drain())
    asyncio.run(feed.drain())
    assert len(woken) == 1


def test_an_error_after_a_page_keeps_the_page_and_its_cursor(hub: Hub, feed: Feed, connector: _Connector) -> None:
    connector.script = [_page(1), UnavailableError("the connection broke")]
    asyncio.run(feed.once())
    assert _cursor(hub, feed) == {"page": 1}
    assert not feed.state.ok
    assert "the connection broke" in feed.state.problem


def test_a_page_that_must_not_move_the_cursor_does_not(hub: Hub, feed: Feed, connector: _Connector) -> None:
    connector.script = [_page(1), Batch([RawRecord(b"{}", "key-9")], None)]
    asyncio.run(feed.drain())
    assert _cursor(hub, feed) == {"page": 1}


@pytest.mark.parametrize(
    ("error", "seconds"),
    [
        (AuthError("revoked"), 900),
        (ScopeError("lacks alerts:read"), 900),
        (RateLimitError("slow down", retry_after=37), 37),
        (RateLimitError("slow down", retry_after=0), 1),
        (CursorExpiredError("forgotten"), 1),
        (UnavailableError("503"), 2),
    ],
)
def test_the_wait_is_what_the_error_says(
    feed: Feed, connector: _Connector, error: BaseException, seconds: float
) -> None:
    connector.script = [error]
    assert asyncio.run(feed.once()) == timedelta(seconds=seconds)


def test_waits_grow_to_a_bound_and_end_with_success(feed: Feed, connector: _Connector) -> None:
    connector.script = [UnavailableError("503")]
    waits = [asyncio.run(feed.once()).total_seconds() for _ in range(12)]
    assert waits[:3] == [2, 4, 8]
    assert waits[-1] == 300
    connector.script = [_page(1)]
    assert asyncio.run(feed.once()) == timedelta(seconds=0.1)
    assert (feed.state.ok, feed.state.problem, feed.state.failures) == (True, "", 0)


def test_a_broken_connector_is_named_without_its_words(feed: Feed, connector: _Connector) -> None:
    connector.script = [ValueError("token=abc123")]
    asyncio.run(feed.once())
    assert "ValueError" in feed.state.problem
    assert "abc123" not in feed.state.problem


def test_one_feeds_trouble_is_not_anothers(tmp_path: Path) -> None:
    bad, good = REGISTRY.simulator(pullers()[0])(), REGISTRY.simulator(pullers()[0])()
    bad.faults.add("expired_token")
    native_id = good.add(a_story_alert("one", utc_now()))
    with serve(bad) as one, serve(good) as two:
        config = bind(tmp_path, "acme", {"bad": (bad, one.base_url), "good": (good, two.base_url)})
        with opened(config) as hub:

            async def go() -> None:
                await hub.once()
                await hub.bindings.aclose()

            asyncio.run(go())
            health = {row["instance"]: row for row in hub.health()["feeds"]}
            assert not health["bad"]["ok"]
            assert health["bad"]["problem"]
            assert health["good"]["ok"]
    assert native_id


def test_a_feed_stops_when_it_is_told(feed: Feed, connector: _Connector) -> None:
    async def go() -> None:
        stop = asyncio.Event()
        running = asyncio.create_task(feed.run(stop))
        while not connector.cursors:
            await asyncio.sleep(0)
        stop.set()
        await asyncio.wait_for(running, 5)

    asyncio.run(go())


def test_a_cursor_that_stays_expired_is_given_up_and_the_feed_begins_anew(
    feed: Feed, hub: Hub, connector: _Connector
) -> None:
    connector.script = [Batch([RawRecord(b"{}", "k")], {"at": 1})]
    asyncio.run(feed.once())
    connector.script = [CursorExpiredError("gone")]
    for _ in range(3):
        asyncio.run(feed.once())
    assert "begins again" in feed.state.problem
    asyncio.run(feed.once())
    assert connector.cursors[-2:] == [{"at": 1}, None]
