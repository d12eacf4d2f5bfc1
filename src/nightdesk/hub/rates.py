"""How many alerts an hour brings, against what hours usually bring: the flood guard's numbers.

Counted in this process: after a restart the usual is learnt again, and until three hours are known there is no median.
"""

import statistics
from collections import deque
from datetime import datetime, timedelta
from threading import Lock

__all__ = ["HourlyRate"]

_HOUR = timedelta(hours=1)
_KNOWN_HOURS = 168
_ENOUGH = 3


class HourlyRate:
    """One tenant's arrivals; noted by the pipeline's thread and read by the engine's."""

    def __init__(self) -> None:
        self._turn = Lock()
        self._recent: deque[tuple[datetime, int]] = deque()
        self._hours: deque[int] = deque(maxlen=_KNOWN_HOURS)
        self._hour: datetime | None = None
        self._in_hour = 0

    def add(self, at: datetime, count: int) -> None:
        """Notes arrivals."""
        with self._turn:
            start = at.replace(minute=0, second=0, microsecond=0)
            if self._hour is None:
                self._hour = start
            while self._hour < start:
                self._hours.append(self._in_hour)
                self._in_hour = 0
                self._hour += _HOUR
            self._in_hour += count
            self._recent.append((at, count))

    def last_hour(self, now: datetime) -> int:
        """Arrivals of the last sixty minutes."""
        with self._turn:
            while self._recent and self._recent[0][0] <= now - _HOUR:
                self._recent.popleft()
            return sum(count for _, count in self._recent)

    def median(self) -> float:
        """The median of the whole hours known; 0 while there are too few."""
        with self._turn:
            return float(statistics.median(self._hours)) if len(self._hours) >= _ENOUGH else 0.0
