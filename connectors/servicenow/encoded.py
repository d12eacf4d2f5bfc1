"""Encoded queries as the simulated instance evaluates them: terms it does not understand are ignored, not refused."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta

from nightdesk.connectors.servicenow.wire import stamp

__all__ = ["Query"]

Record = Mapping[str, str]
Test = Callable[[Record], bool]

_TERM = re.compile(
    r"([a-z][a-z0-9_.]*)(ISNOTEMPTY|ISEMPTY|NOT LIKE|LIKE|STARTSWITH|ENDSWITH|NOT IN|IN|!=|>=|<=|=|>|<)(.*)", re.DOTALL
)
_TIME = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d")
_AGO = re.compile(r"javascript:gs\.(minutes|hours|days)Ago\((\d+)\)", re.IGNORECASE)
_ORDERED: Mapping[str, Callable[[str, str], bool]] = {
    ">": lambda mine, given: mine > given,
    ">=": lambda mine, given: mine >= given,
    "<": lambda mine, given: mine < given,
    "<=": lambda mine, given: mine <= given,
}


class Query:
    """One query. ``known`` are the fields that the asking user may read; ``offset`` is its zone's distance from UTC.

    ``strict`` is the property glide.invalid_query.returns_no_rows.
    """

    def __init__(
        self, text: str, known: Iterable[str], now: datetime, *, offset: timedelta = timedelta(), strict: bool = False
    ) -> None:
        self._known = frozenset(known)
        self._now = now
        self._offset = offset
        self._broken = False
        self._sorts: list[tuple[str, bool]] = []
        self._groups = [self._group(part) for part in text.split("^NQ")]
        self._nothing = strict and self._broken

    def select(self, records: Iterable[Record]) -> list[Record]:
        """The records that fit, in the order asked for."""
        found = [] if self._nothing else [record for record in records if any(group(record) for group in self._groups)]
        for field, falling in reversed(self._sorts):
            found.sort(key=lambda record: record.get(field, ""), reverse=falling)
        return found

    def _group(self, text: str) -> Test:
        alternatives: list[list[Test]] = []
        for part in filter(None, text.split("^")):
            if part.startswith("ORDERBY"):
                self._sort(part)
                continue
            test = self._term(part.removeprefix("OR"))
            if test is None:
                self._broken = True
            elif part.startswith("OR") and alternatives:
                alternatives[-1].append(test)
            else:
                alternatives.append([test])
        return lambda record: all(any(test(record) for test in tests) for tests in alternatives)

    def _sort(self, part: str) -> None:
        falling = part.startswith("ORDERBYDESC")
        field = part.removeprefix("ORDERBYDESC" if falling else "ORDERBY")
        if field in self._known:
            self._sorts.append((field, falling))

    def _term(self, text: str) -> Test | None:
        """None for a term that means nothing here."""
        found = _TERM.fullmatch(text)
        if found is None or found[1] not in self._known:
            return None
        field, operator, value = found[1], found[2], self._value(found[3])
        return lambda record: _holds(operator, record.get(field, "").casefold(), value.casefold())

    def _value(self, text: str) -> str:
        """A value as it is stored: times are read in the user's zone."""
        if _TIME.fullmatch(text):
            return stamp(datetime.fromisoformat(text) - self._offset)
        ago = _AGO.fullmatch(text)
        return stamp(self._now - timedelta(**{ago[1].lower(): int(ago[2])})) if ago else text


def _holds(operator: str, mine: str, given: str) -> bool:
    """Comparisons are blind to case, as the database's are."""
    listed: Sequence[str] = given.split(",")
    if operator in _ORDERED:
        if mine.isdecimal() and given.isdecimal():
            width = max(len(mine), len(given))
            mine, given = mine.zfill(width), given.zfill(width)
        return _ORDERED[operator](mine, given)
    answers: Mapping[str, bool] = {
        "=": mine == given,
        "!=": mine != given,
        "LIKE": given in mine,
        "NOT LIKE": given not in mine,
        "STARTSWITH": mine.startswith(given),
        "ENDSWITH": mine.endswith(given),
        "IN": mine in listed,
        "NOT IN": mine not in listed,
        "ISEMPTY": not mine,
        "ISNOTEMPTY": bool(mine),
    }
    return answers[operator]
