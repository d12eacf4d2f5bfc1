"""Time that a test moves: sleeping takes none, and the clock shows that it did."""

from datetime import UTC, datetime, timedelta

__all__ = ["FakeTime"]


class FakeTime:
    """A ``clock`` and a ``sleep`` for a Context; ``slept`` lists the waits in order."""

    def __init__(self, start: datetime = datetime(2026, 11, 1, 12, tzinfo=UTC)) -> None:
        self.now = start
        self.slept: list[float] = []

    def clock(self) -> datetime:
        """The present."""
        return self.now

    async def sleep(self, seconds: float) -> None:
        """Returns at once, ``seconds`` later."""
        self.slept.append(seconds)
        self.advance(seconds)

    def advance(self, seconds: float) -> None:
        """Lets time pass."""
        self.now += timedelta(seconds=max(seconds, 0.0))
