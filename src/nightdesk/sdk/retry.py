"""When to try again and how fast to go: the waits that servers ask for, backoff, and the rate budget of an instance."""

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from nightdesk.sdk.context import Clock, Sleep

__all__ = ["MAX_ATTEMPTS", "MAX_WAIT", "RateBudget", "asked_wait", "backoff", "http_date", "urgent"]

MAX_ATTEMPTS = 4
MAX_WAIT = 60.0
"""Seconds; a longer wait is the caller's to plan."""

_DAY = 86_400.0
_NUMBER = re.compile(r"^\d{1,15}(\.\d{1,9})?$")
_EPOCH_HEADERS = ("x-ratelimit-retryafter", "x-rate-limit-reset", "x-ratelimit-reset")
_EPOCH = 1_000_000_000.0  # a smaller number cannot be a present-day time: it is a number of seconds
_BURST_SHARE = 5


def http_date(text: str | None) -> datetime | None:
    """An HTTP date in UTC; None when it is none."""
    try:
        moment = parsedate_to_datetime(text or "")
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def asked_wait(headers: Mapping[str, str], now: datetime) -> float | None:
    """Seconds the server asks us to wait, at most a day; None when it does not say.

    Times are measured against the server's own ``Date`` when it sends one, so a wrong clock on either side is harmless.
    """
    present = http_date(headers.get("date")) or now
    text = headers.get("retry-after", "").strip()
    if _NUMBER.match(text):
        return min(float(text), _DAY)
    moment = http_date(text)
    if moment is not None:
        return _until(moment.timestamp(), present)
    for name in _EPOCH_HEADERS:
        text = headers.get(name, "").strip()
        if _NUMBER.match(text):
            number = float(text)
            if number < _EPOCH:
                return min(number, _DAY)
            return _until(number / 1000 if number > _EPOCH * 100 else number, present)
    return None


def _until(epoch: float, present: datetime) -> float:
    return min(max(epoch - present.timestamp(), 0.0), _DAY)


def backoff(attempt: int, jitter: Callable[[], float]) -> float:
    """Seconds after the ``attempt``-th failure: half fixed, half random, doubling from 0.5-1 s, at most 20 s."""
    span = min(2.0 ** (attempt - 1), 20.0)
    return float(span / 2 + span / 2 * jitter())


_URGENT: ContextVar[bool] = ContextVar("urgent", default=False)


@contextmanager
def urgent() -> Iterator[None]:
    """Calls made inside go before those of pulls: what an action waits for must not stand behind a page of alerts."""
    before = _URGENT.set(True)
    try:
        yield
    finally:
        _URGENT.reset(before)


class RateBudget:
    """A token bucket that never lets more than ``per_minute`` requests out within any 60 seconds.

    A fifth of the budget may go at once, the rest trickles. Half of that fifth is kept for what is ``urgent`` and is
    filled first, so that an action goes out at once however much is being polled.
    """

    def __init__(self, per_minute: int, clock: Clock, sleep: Sleep) -> None:
        burst = max(per_minute // _BURST_SHARE, 1)
        self._kept = burst // 2
        self._free = burst - self._kept
        # Burst and refill together make the budget; of one request a minute nothing can be set aside.
        self._rate = max(per_minute - burst, 1) / 60.0
        self._clock = clock
        self._sleep = sleep
        self._urgent = float(self._kept)
        self._routine = float(self._free)
        self._went_first = 0
        self._filled = clock()

    async def take(self) -> None:
        """Waits for a turn; turns are given in the order of asking, the urgent ones first."""
        self._fill()
        if _URGENT.get():
            await self._take_urgent()
        else:
            await self._take_routine()

    def _fill(self) -> None:
        now = self._clock()
        # A clock that is set back must not stop us, and one that leaps forward must not fill more than the buckets.
        earned = max((now - self._filled).total_seconds(), 0.0) * self._rate
        self._filled = now
        first = min(earned, self._kept - self._urgent)
        self._urgent += first
        self._routine = min(self._routine + earned - first, self._free)

    async def _take_urgent(self) -> None:
        if self._urgent < 1 <= self._routine:
            self._routine -= 1
            return
        self._urgent -= 1
        self._went_first += 1
        if self._urgent < 0:
            await self._sleep(-self._urgent / self._rate)

    async def _take_routine(self) -> None:
        self._routine -= 1
        if self._routine >= 0:
            return
        seen = self._went_first
        wait = (self._kept - self._urgent - self._routine) / self._rate
        while wait > 0:
            await self._sleep(wait)
            wait, seen = (self._went_first - seen) / self._rate, self._went_first
