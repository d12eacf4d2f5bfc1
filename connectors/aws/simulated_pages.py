"""Pages of the simulated AWS: a token belongs to its query, counts rows, and ends after a day."""

import hashlib
import json
from collections.abc import Sequence
from typing import Any, TypeVar

__all__ = ["Pages"]

T = TypeVar("T")


class Pages:
    """The tokens that were given out."""

    def __init__(self) -> None:
        self._given: dict[str, tuple[str, int]] = {}

    def cut(self, rows: Sequence[T], size: int, token: str, query: Any) -> tuple[list[T], str]:
        """A page of the rows as they are now, and the token of the next; empty at the end. Raises ValueError.

        A token is where the page begins, so a row that left its place moves the others: as the vendor says nothing
        better of its own.
        """
        key = json.dumps(query, sort_keys=True, default=str)
        begin = 0
        if token:
            known, begin = self._given.get(token, ("", 0))
            if known != key:
                raise ValueError("the token is not of this query")
        end = begin + size
        if end >= len(rows):
            return list(rows[begin:end]), ""
        following = hashlib.sha256(f"{key} {end}".encode()).hexdigest()
        self._given[following] = (key, end)
        return list(rows[begin:end]), following

    def expire(self) -> None:
        """Forgets every token."""
        self._given.clear()
