"""What this process asked for already: device actions have no number, and jobs and commands know no key of ours."""

from typing import Generic, TypeVar

__all__ = ["Memory"]

T = TypeVar("T")
_MOST = 1000


class Memory(Generic[T]):
    """Values by the command's idempotency key; the oldest goes when there are too many."""

    def __init__(self) -> None:
        self._values: dict[str, T] = {}

    def get(self, key: str) -> T | None:
        """What was noted under that key."""
        return self._values.get(key)

    def note(self, key: str, value: T) -> None:
        """Remembers it until a thousand newer ones came."""
        self._values[key] = value
        while len(self._values) > _MOST:
            del self._values[next(iter(self._values))]

    def forget(self, key: str) -> None:
        """As if it had never been noted."""
        self._values.pop(key, None)
