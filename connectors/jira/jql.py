"""JQL as the simulated site evaluates it: clauses joined by AND, an order, and minutes as the finest time."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from nightdesk.connectors.jira.wire import RefusedError, stamp

__all__ = ["Jql"]

Fields = Mapping[str, Any]
Test = Callable[[Fields], bool]

_CLAUSE = re.compile(
    r'\s*"?(\w+)"?\s*(>=|<=|!=|=|>|<|~|\bnot in\b|\bin\b)\s*(\([^)]*\)|"[^"]*"|[^\s"()]+)\s*', re.IGNORECASE
)
_RELATIVE = re.compile(r"-(\d+)([mhdw])")
_ABSOLUTE = re.compile(r"(\d{4})[/-](\d\d)[/-](\d\d)(?: (\d\d):(\d\d))?")
_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_TIMES = frozenset({"updated", "created"})
_TEXTS: Mapping[str, Callable[[Fields], Sequence[str]]] = {
    "project": lambda issue: [issue["project"]],
    "key": lambda issue: [issue["key"]],
    "id": lambda issue: [issue["id"]],
    "labels": lambda issue: issue["labels"],
    "status": lambda issue: [issue["status"].casefold()],
    "statuscategory": lambda issue: [issue["category"]],
    "summary": lambda issue: [issue["summary"].casefold()],
}
_LABELS_EXACT = frozenset({"labels"})  # the only field here that knows upper from lower case


class Jql:
    """One query at one moment; ``offset`` is what the account's zone is ahead of UTC. Raises RefusedError."""

    def __init__(self, text: str, now: datetime, offset: timedelta = timedelta()) -> None:
        self._now = now
        self._offset = offset
        where, _, order = _parted(text)
        if not where.strip():
            message = "Unbounded JQL queries are not allowed here. Please add a search restriction to your query."
            raise RefusedError(400, message)
        self._tests = [self._test(clause) for clause in re.split(r"\s+AND\s+", where.strip(), flags=re.IGNORECASE)]
        self._sorts = [self._sort(part) for part in order.split(",") if part.strip()]

    def select(self, issues: Iterable[Fields]) -> list[Fields]:
        """The issues that fit, in the order asked for."""
        found = [issue for issue in issues if all(test(issue) for test in self._tests)]
        for field, falling in reversed(self._sorts):
            found.sort(key=lambda issue: _ordered(issue, field), reverse=falling)
        return found

    def _test(self, clause: str) -> Test:
        match = _CLAUSE.fullmatch(clause)
        if match is None:
            raise RefusedError(400, f"Error in the JQL Query: '{clause}' is not understood.")
        field, operator, text = match[1].casefold(), match[2].casefold(), match[3]
        if field in _TIMES:
            return self._time(field, operator, text.strip('"'))
        values = _TEXTS.get(field)
        if values is None:
            message = f"Field '{match[1]}' does not exist or you do not have permission to view it."
            raise RefusedError(400, message)
        given = [part.strip().strip('"') for part in text.strip("()").split(",")]
        given = given if field in _LABELS_EXACT or field in {"project", "key"} else [one.casefold() for one in given]
        if operator in {"=", "in"}:
            return lambda issue: bool({*values(issue)} & {*given})
        if operator in {"!=", "not in"}:
            return lambda issue: not {*values(issue)} & {*given}
        if operator == "~" and field == "summary":
            return lambda issue: any(one in values(issue)[0] for one in given)
        raise RefusedError(400, f"The operator '{match[2]}' is not supported by the '{match[1]}' field.")

    def _time(self, field: str, operator: str, text: str) -> Test:
        bound = stamp(self._moment(field, text))
        tests: Mapping[str, Test] = {
            ">=": lambda issue: issue[field] >= bound,
            ">": lambda issue: issue[field] > bound,
            "<=": lambda issue: issue[field] <= bound,
            "<": lambda issue: issue[field] < bound,
        }
        if operator not in tests:
            raise RefusedError(400, f"The operator '{operator}' is not supported by the '{field}' field.")
        return tests[operator]

    def _moment(self, field: str, text: str) -> datetime:
        relative, absolute = _RELATIVE.fullmatch(text), _ABSOLUTE.fullmatch(text)
        if relative is not None:
            return self._now - timedelta(**{_UNITS[relative[2]]: int(relative[1])})
        if absolute is None:
            message = (
                f"Date value '{text}' for field '{field}' is invalid. Valid formats include: 'yyyy/MM/dd HH:mm',"
                " 'yyyy-MM-dd HH:mm', 'yyyy/MM/dd', 'yyyy-MM-dd', or a period format e.g. '-5d', '4w 2d'."
            )
            raise RefusedError(400, message)
        parts = [int(part or 0) for part in absolute.groups()]
        return datetime(*parts, tzinfo=self._now.tzinfo) - self._offset  # type: ignore[misc, arg-type]  # five numbers

    def _sort(self, text: str) -> tuple[str, bool]:
        field, _, direction = text.strip().partition(" ")
        if field.casefold() not in {*_TIMES, "key", "id"}:
            raise RefusedError(400, f"Not able to sort using field '{field}'.")
        return field.casefold(), direction.strip().casefold() == "desc"


def _parted(text: str) -> tuple[str, str, str]:
    match = re.search(r"\border\s+by\b", text, re.IGNORECASE)
    return (text[: match.start()], match[0], text[match.end() :]) if match else (text, "", "")


def _ordered(issue: Fields, field: str) -> Any:
    if field in _TIMES:
        return issue[field]
    return int(str(issue[field]).rpartition("-")[2])
