"""An event loop whose time is a story's: whoever waits takes none, and every timeout and sleep is of the same clock."""

import asyncio
import math
import selectors
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

__all__ = ["VirtualTime"]

_RESOLUTION = 1e-6


class VirtualTime:
    """The one clock of engine, connectors and simulators; ``loop`` makes loops that run on it."""

    def __init__(self, start: datetime = datetime(2026, 11, 1, 12, tzinfo=UTC)) -> None:
        self.start = start
        self.now = start

    def clock(self) -> datetime:
        """The present."""
        return self.now

    def advance(self, seconds: float) -> None:
        """Lets time pass while nobody runs."""
        self.now += timedelta(microseconds=math.ceil(max(seconds, 0.0) * 1e6))

    def loop(self) -> asyncio.AbstractEventLoop:
        """A loop that never waits: when nothing is ready, it is the moment of what comes next."""
        return _Loop(self)


class _Selector(selectors.SelectSelector):
    def __init__(self, advance: Callable[[float], None]) -> None:
        super().__init__()
        self._advance = advance

    def select(self, timeout: float | None = None) -> Any:
        if timeout is None:
            raise RuntimeError("the story waits for something that never comes")
        if timeout > 0:
            self._advance(timeout)
        return super().select(0)


class _Loop(asyncio.SelectorEventLoop):
    def __init__(self, time: VirtualTime) -> None:
        super().__init__(_Selector(time.advance))
        self._virtual = time
        self._clock_resolution = _RESOLUTION

    def time(self) -> float:
        return (self._virtual.now - self._virtual.start).total_seconds()
