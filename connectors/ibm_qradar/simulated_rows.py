"""Rows of the simulated Ariel, and what a query that was parsed finds among them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

__all__ = ["Query", "Record", "Test", "Value"]


@dataclass(frozen=True, slots=True)
class Record:
    """One row by its lower-case columns; ``names`` is what the functions know: of addresses, qids and device types."""

    table: str
    columns: Mapping[str, Any]
    names: Mapping[tuple[str, Any], str]
    offense: int = 0


Value = Callable[[Record], Any]
Test = Callable[[Record], bool]


@dataclass(frozen=True, slots=True)
class Query:
    """A parsed query. ``last`` and ``start`` to ``stop`` are milliseconds; none of them is the last minute."""

    table: str
    columns: Sequence[tuple[str, Value]] | None
    test: Test
    order: tuple[Value, bool] | None
    limit: int | None
    last: int | None
    start: int | None
    stop: int | None

    def rows(self, records: Sequence[Record], now: int) -> list[dict[str, Any]]:
        """What it finds; the window counts by when a row arrived, ``starttime``."""
        last = 60_000 if self.last is None and self.start is None else self.last
        first = now - last if last is not None else self.start or 0
        end = now if last is not None or self.stop is None else self.stop
        found = [
            row
            for row in records
            if row.table == self.table and first <= row.columns["starttime"] <= end and self.test(row)
        ]
        if self.order is not None:
            value, downwards = self.order
            found.sort(key=lambda row: (value(row) is not None, value(row)), reverse=downwards)
        found = found if self.limit is None else found[: self.limit]
        if self.columns is None:
            return [dict(row.columns) for row in found]
        return [{name: value(row) for name, value in self.columns} for row in found]
