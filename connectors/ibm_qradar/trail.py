"""The numbers of the offenses met last: one that a slow host made comes late, under a number already passed."""

from collections.abc import Sequence
from typing import Any

from nightdesk.sdk.errors import CursorExpiredError
from nightdesk.sdk.records import Cursor

__all__ = ["Trail"]

_LATE = 50  # numbers that hosts can be behind each other


class Trail:
    """How far the numbers were read; each of the last ones is new only once."""

    def __init__(self, newest: int, met: Sequence[int]) -> None:
        self._newest = newest
        self._met = set(met)

    @classmethod
    def load(cls, cursor: Cursor | None) -> "Trail":
        """The trail of a stored cursor. Raises CursorExpiredError for one that is not ours."""
        if cursor is None:
            return cls(0, ())
        newest, met = cursor.get("newest_id"), cursor.get("met_ids")
        if not isinstance(newest, int) or not isinstance(met, list | tuple) or not all(isinstance(n, int) for n in met):
            raise CursorExpiredError("the stored cursor cannot be read; restart from the stored time")
        return cls(newest, met)

    @property
    def since(self) -> int:
        """The lowest number that is asked for again."""
        return max(0, self._newest - _LATE)

    def fresh(self, elements: Sequence[tuple[Any, bytes]]) -> list[tuple[Any, bytes]]:
        """Those that this sweep has not met, and from now on has."""
        found = []
        for item, raw in elements:
            number = item.get("id") if isinstance(item, dict) else None
            if isinstance(number, int):
                if number in self._met:
                    continue
                self._met.add(number)
                self._newest = max(self._newest, number)
            found.append((item, raw))
        return found

    def dump(self) -> Cursor:
        """What the cursor keeps of it."""
        return {"newest_id": self._newest, "met_ids": sorted(number for number in self._met if number >= self.since)}
