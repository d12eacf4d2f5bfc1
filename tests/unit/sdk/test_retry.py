import asyncio
from datetime import UTC, datetime, timedelta, timezone
from email.utils import format_datetime

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nightdesk.sdk.retry import RateBudget, asked_wait, backoff, http_date, urgent
from nightdesk.sdk.testing.fake_time import FakeTime

NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)
EPOCH = int(NOW.timestamp())


@pytest.mark.parametrize(
    ("headers", "wait"),
    [
        ({}, None),
        ({"Retry-After": "0"}, 0.0),
        ({"Retry-After": " 120 "}, 120.0),
        ({"Retry-After": "1.5"}, 1.5),
        ({"Retry-After": "-5"}, None),
        ({"Retry-After": "soon"}, None),
        ({"Retry-After": "nan"}, None),
        ({"Retry-After": "inf"}, None),
        ({"Retry-After": "999999999999"}, 86_400.0),
        ({"Retry-After": format_datetime(NOW + timedelta(seconds=30), usegmt=True)}, 30.0),
        ({"Retry-After": format_datetime(NOW - timedelta(seconds=30), usegmt=True)}, 0.0),
        ({"Retry-After": "Sun, 01 Nov 2026 12:00:30 -0000"}, 30.0),
        ({"X-RateLimit-RetryAfter": f"{EPOCH + 7}"}, 7.0),
        ({"X-Rate-Limit-Reset": f"{EPOCH + 7}"}, 7.0),
        ({"X-RateLimit-Reset": f"{(EPOCH + 7) * 1000}"}, 7.0),
        ({"X-RateLimit-Reset": "7"}, 7.0),
        ({"X-RateLimit-Reset": f"{EPOCH - 7}"}, 0.0),
        ({"Retry-After": "3", "X-RateLimit-Reset": f"{EPOCH + 7}"}, 3.0),
        ({"Retry-After": "soon", "X-RateLimit-Reset": f"{EPOCH + 7}"}, 7.0),
    ],
)
def test_the_wait_that_a_server_asks_for_is_read_in_every_form(headers: dict[str, str], wait: float | None) -> None:
    assert asked_wait(httpx.Headers(headers), NOW) == wait


@pytest.mark.parametrize("name", ["Retry-After", "X-RateLimit-RetryAfter"])
def test_a_moment_is_measured_against_the_date_of_the_server(name: str) -> None:
    theirs = NOW + timedelta(hours=5)
    until = theirs + timedelta(seconds=40)
    value = format_datetime(until, usegmt=True) if name == "Retry-After" else f"{until.timestamp():.0f}"
    headers = httpx.Headers({"Date": format_datetime(theirs, usegmt=True), name: value})
    assert asked_wait(headers, NOW) == 40.0


@given(st.text(), st.text(), st.text())
def test_no_header_whatever_it_holds_makes_the_wait_unusable(retry_after: str, reset: str, date: str) -> None:
    headers = {"retry-after": retry_after, "x-ratelimit-reset": reset, "date": date}
    wait = asked_wait(headers, NOW)
    assert wait is None or 0.0 <= wait <= 86_400.0


def test_an_http_date_is_utc_whatever_its_offset() -> None:
    there = NOW.astimezone(timezone(timedelta(hours=2)))
    assert http_date(format_datetime(there)) == NOW
    assert http_date(None) is None
    assert http_date("yesterday") is None


@given(st.integers(1, 500), st.floats(0, 1))
def test_backoff_doubles_within_its_cap(attempt: int, draw: float) -> None:
    span = min(2.0 ** (attempt - 1), 20.0)
    assert span / 2 <= backoff(attempt, lambda: draw) <= span


def departures(per_minute: int, calls: int) -> list[float]:
    time = FakeTime()
    budget = RateBudget(per_minute, time.clock, time.sleep)
    begin = time.now
    left: list[float] = []

    async def go() -> None:
        for _ in range(calls):
            await budget.take()
            left.append((time.now - begin).total_seconds())

    asyncio.run(go())
    return left


@pytest.mark.parametrize("per_minute", [2, 5, 6, 50, 600])
def test_no_minute_holds_more_calls_than_its_budget(per_minute: int) -> None:
    left = departures(per_minute, per_minute * 4)
    most = max(sum(1 for other in left if start <= other < start + 59.999) for start in left)
    assert most <= per_minute


@pytest.mark.parametrize("per_minute", [5, 50, 600])
def test_most_of_the_budget_can_be_used(per_minute: int) -> None:
    left = departures(per_minute, per_minute * 4)
    assert left[-1] <= 60.0 * 4 / 0.75


def test_a_budget_of_one_a_minute_gives_one_a_minute() -> None:
    assert departures(1, 3) == pytest.approx([0.0, 60.0, 120.0])


def test_a_fifth_of_the_budget_goes_at_once_half_of_it_only_to_what_is_urgent() -> None:
    time = FakeTime()
    budget = RateBudget(50, time.clock, time.sleep)

    async def burst() -> None:
        for _ in range(5):
            await budget.take()
        with urgent():
            for _ in range(5):
                await budget.take()

    asyncio.run(burst())
    assert time.slept == []
    time.advance(3600)
    asyncio.run(burst())
    assert time.slept == []
    asyncio.run(budget.take())
    assert time.slept == [pytest.approx(6 * 1.5)]  # what is urgent is filled first


def test_an_action_does_not_stand_behind_pages_of_alerts() -> None:
    time = FakeTime()
    waits: list[float] = []

    async def note(seconds: float) -> None:
        waits.append(seconds)

    budget = RateBudget(60, time.clock, note)

    async def crowd() -> None:
        for _ in range(50):
            await budget.take()
        polled, urgent_before = len(waits), len(waits)
        with urgent():
            for _ in range(6):
                await budget.take()
        assert (polled, len(waits)) == (44, urgent_before)
        with urgent():
            await budget.take()

    asyncio.run(crowd())
    assert waits[-1] == pytest.approx(60 / 48)


def test_who_waits_lets_the_urgent_pass_and_the_budget_still_holds() -> None:
    left: list[float] = []
    time = FakeTime()
    begin = time.now

    async def sleep_beside_actions(seconds: float) -> None:
        time.advance(seconds)
        if len(left) % 3 == 0:
            await act()

    async def act() -> None:
        with urgent():
            await budget.take()
        left.append((time.now - begin).total_seconds())

    budget = RateBudget(60, time.clock, sleep_beside_actions)

    async def go() -> None:
        for _ in range(200):
            await budget.take()
            left.append((time.now - begin).total_seconds())

    asyncio.run(go())
    most = max(sum(1 for other in left if start <= other < start + 59.999) for start in left)
    assert most <= 60


def test_calls_at_the_same_time_get_turns_in_their_order() -> None:
    time = FakeTime()
    waits: list[float] = []

    async def note(seconds: float) -> None:
        waits.append(seconds)

    budget = RateBudget(5, time.clock, note)

    async def crowd() -> None:
        await asyncio.gather(*(budget.take() for _ in range(4)))

    asyncio.run(crowd())
    assert waits == pytest.approx([15.0, 30.0, 45.0])


def test_a_clock_that_is_set_back_does_not_stop_the_budget() -> None:
    time = FakeTime()
    budget = RateBudget(60, time.clock, time.sleep)
    time.now -= timedelta(days=1)
    asyncio.run(budget.take())
    assert time.slept == []
