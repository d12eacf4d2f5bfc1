"""When to try again and how fast to go: the waits that servers ask for, backoff, and the rate budget of an instance."""

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from nightdesk.sdk.context import Clock, Sleep

__all__ = ["MAX_ATTEMPTS", "MAX_WAIT", "RateBudget", "asked_wait", "backoff", "http_date"]

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


class RateBudget:
    """A token bucket that never lets more than ``per_minute`` requests out within any 60 seconds.

    A fifth of the budget may go at once; the rest trickles, so an action does not stand behind a minute of polling.
    """

    def __init__(self, per_minute: int, clock: Clock, sleep: Sleep) -> None:
        self._burst = max(per_minute // _BURST_SHARE, 1)
        # Burst and refill together make the budget; of one request a minute nothing can be set aside.
        self._rate = max(per_minute - self._burst, 1) / 60.0
        self._clock = clock
        self._sleep = sleep
        self._tokens = float(self._burst)
        self._filled = clock()

    async def take(self) -> None:
        """Waits for a turn; turns are given in the order of asking."""
        now = self._clock()
        # A clock that is set back must not stop us, and one that leaps forward must not fill more than the bucket.
        elapsed = max((now - self._filled).total_seconds(), 0.0)
        self._filled = now
        self._tokens = min(self._tokens + elapsed * self._rate, self._burst) - 1.0
        if self._tokens < 0:
            await self._sleep(-self._tokens / self._rate)
