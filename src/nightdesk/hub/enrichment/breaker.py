"""A source that fails again and again is left alone for a while: every question costs its time-out otherwise."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from nightdesk.sdk.errors import AuthError, RateLimitError, ScopeError

__all__ = ["Breaker"]

_FAILURES = 5
_FIRST = timedelta(seconds=30)
_LONGEST = timedelta(minutes=15)


@dataclass(slots=True)
class Breaker:
    """One source's. Closed it lets everything through; open nothing; after its pause one question, which decides."""

    failures: int = 0
    open_until: datetime | None = None
    reason: str = ""
    _pause: timedelta = _FIRST

    def refuses(self, now: datetime) -> str:
        """Why nothing is asked now, or nothing. The question that it lets through after a pause is the probe."""
        if self.open_until is None:
            return ""
        if now < self.open_until:
            left = (self.open_until - now).total_seconds()
            return f"left alone for {left:.0f} s more after {self.failures} failures: {self.reason}"
        self.open_until = now + self._pause  # until the probe has its answer, nobody else asks
        return ""

    def succeeded(self) -> None:
        """The source answered."""
        self.failures, self.open_until, self.reason, self._pause = 0, None, "", _FIRST

    def failed(self, error: BaseException, now: datetime) -> None:
        """The source did not answer. What only a person can mend, or names its own wait, opens it at once."""
        self.failures += 1
        self.reason = str(error) or type(error).__name__
        if isinstance(error, RateLimitError):
            self.open_until = now + min(timedelta(seconds=max(1.0, error.retry_after)), _LONGEST)
        elif isinstance(error, AuthError | ScopeError):
            self.open_until = now + _LONGEST
        elif self.failures >= _FAILURES:
            self.open_until = now + self._pause
            self._pause = min(self._pause * 2, _LONGEST)
