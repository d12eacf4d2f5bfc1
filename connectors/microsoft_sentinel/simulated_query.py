"""The part of OData and of KQL that the simulated Sentinel understands; anything else is an error and never ignored."""

import operator
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

__all__ = ["QueryError", "condition", "kusto", "ordering"]

Row = Mapping[str, Any]
Test = Callable[[Row], bool]

_TIMES = frozenset({"createdTimeUtc", "lastModifiedTimeUtc", "firstActivityTimeUtc", "lastActivityTimeUtc"})
_NUMBERS = frozenset({"incidentNumber"})
_WORDS = frozenset({"status", "severity", "classification", "title", "providerName", "providerIncidentId"})
_FIELDS = _TIMES | _NUMBERS | _WORDS
_ODATA = re.compile(r"properties/(\w+) (eq|ne|ge|gt|le|lt) ('(?:[^']|'')*'|[^\s']+)(?: and |$)")
_ORDER = re.compile(r"properties/(\w+)(?: (asc|desc))?")
_KQL_TEST = re.compile(r"(\w+)\s*(==|!=|=~|>=|<=|>|<|contains|has|startswith)\s*(.+)", re.DOTALL)
_KQL_IN = re.compile(r"(\w+) in \(([^()]+)\)")
_UNION = "union isfuzzy=true "
_KQL_VALUE = re.compile(r"""'([^']*)'|"([^"]*)"|datetime\(([^)]+)\)|(-?\d+)""")
_KQL_ORDER = re.compile(r"by\s+(\w+)(?:\s+(asc|desc))?")
_COMMENT = re.compile(r"""('[^']*'|"[^"]*")|//[^\n]*""")
_OUTSIDE = r"(?=(?:[^'\"]|'[^']*'|\"[^\"]*\")*$)"  # no odd quote follows
_COMPARE: Mapping[str, Callable[[Any, Any], bool]] = {
    "eq": operator.eq,
    "ne": operator.ne,
    "ge": operator.ge,
    "gt": operator.gt,
    "le": operator.le,
    "lt": operator.lt,
    "==": operator.eq,
    "!=": operator.ne,
    ">=": operator.ge,
    ">": operator.gt,
    "<=": operator.le,
    "<": operator.lt,
    "=~": lambda ours, asked: str(ours).lower() == str(asked).lower(),
    "contains": lambda ours, asked: str(asked).lower() in str(ours).lower(),
    "has": lambda ours, asked: str(asked).lower() in re.split(r"\W+", str(ours).lower()),
    "startswith": lambda ours, asked: str(ours).lower().startswith(str(asked).lower()),
}


class QueryError(Exception):
    """What is wrong in a query."""


def _comparable(field: str, text: Any) -> Any:
    """A time as (seconds, ten-millionths), because Sentinel's have seven digits; numbers and words as themselves."""
    if field not in _TIMES:
        return text
    found = re.fullmatch(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,7}))?Z", str(text))
    if found is None:
        raise QueryError(f"A binary operator with incompatible types was detected: '{field}' and {text}")
    return datetime.fromisoformat(found[1]), (found[2] or "").ljust(7, "0")


def condition(text: str) -> Test:
    """``$filter``: comparisons of properties joined by ``and``; times bare, words quoted. Raises QueryError."""
    tests: list[Test] = []
    at = 0
    while at < len(text):
        found = _ODATA.match(text, at)
        if found is None or found[1] not in _FIELDS or (found[0].endswith(" and ") and found.end() == len(text)):
            raise QueryError(f"Invalid filter at position {at}: {text}")
        at = found.end()
        tests.append(_odata(found[1], found[2], found[3]))
    return lambda row: all(test(row) for test in tests)


def _odata(field: str, sign: str, literal: str) -> Test:
    if (field in _WORDS) != literal.startswith("'"):
        raise QueryError(f"A binary operator with incompatible types was detected: '{field}' and {literal}")
    value: Any = literal[1:-1].replace("''", "'") if field in _WORDS else literal
    if field in _NUMBERS:
        if not literal.isdecimal():
            raise QueryError(f"'{literal}' is no number")
        value = int(literal)
    asked = _comparable(field, value)
    return lambda row: row.get(field) is not None and _COMPARE[sign](_comparable(field, row[field]), asked)


def ordering(text: str) -> tuple[Callable[[Row], Any], bool]:
    """``$orderby``: the key of one property, and whether downwards. Raises QueryError."""
    found = _ORDER.fullmatch(text)
    if found is None or found[1] not in _FIELDS:
        raise QueryError(f"Invalid orderby: {text}")
    field = found[1]
    return (lambda row: _comparable(field, row[field])), found[2] == "desc"


def kusto(text: str, tables: Mapping[str, Sequence[Row]]) -> list[Row]:
    """The rows of a query over tables. Raises QueryError."""
    bare = _COMMENT.sub(lambda found: found[1] or "", text)
    if bare.startswith(_UNION):
        return _union(bare.removeprefix(_UNION), tables)
    source, *steps = (part.strip() for part in re.split(rf"\|{_OUTSIDE}", bare.strip().rstrip(";")))
    if source.startswith("print "):
        rows: list[Row] = [_printed(source)]
    elif source in tables:
        rows = list(tables[source])
    else:
        raise QueryError(f"'{source}': Failed to resolve table or column expression")
    for step in steps:
        rows = _step(step, rows)
    return rows


def _union(text: str, tables: Mapping[str, Sequence[Row]]) -> list[Row]:
    """``union isfuzzy=true (leg), (leg) | step``: a leg over a table that is not there counts for nothing."""
    rows: list[Row] = []
    rest = text.strip()
    while rest.startswith("("):
        end = _closing(rest)
        leg, rest = rest[1:end].strip(), rest[end + 1 :].strip()
        table = re.split(r"[\s|]", leg, maxsplit=1)[0]
        if not leg.startswith("datatable(") and table in tables:
            rows += kusto(leg, tables)
        if not rest.startswith(","):
            break
        rest = rest[1:].strip()
    for step in (part.strip() for part in re.split(rf"\|{_OUTSIDE}", rest) if part.strip()):
        rows = _step(step, rows)
    return rows


def _closing(text: str) -> int:
    """Where the bracket that the text begins with ends; those within quotes do not count."""
    depth, quote = 0, ""
    for at, letter in enumerate(text):
        if quote:
            quote = "" if letter == quote else quote
        elif letter in "'\"":
            quote = letter
        else:
            depth += (letter == "(") - (letter == ")")
            if not depth:
                return at
    raise QueryError("Syntax error: ')' is missing")


def _printed(source: str) -> Row:
    pairs = (part.partition("=") for part in source.removeprefix("print ").split(","))
    return {name.strip(): _value(value.strip()) for name, _, value in pairs}


def _value(text: str) -> Any:
    found = _KQL_VALUE.fullmatch(text)
    if found is None:
        raise QueryError(f"Query could not be parsed at '{text}'")
    return int(found[4]) if found[4] else next(part for part in found.groups() if part is not None)


def _step(step: str, rows: list[Row]) -> list[Row]:
    name, _, rest = step.partition(" ")
    match name:
        case "where":
            either = re.split(rf"\bor\b{_OUTSIDE}", rest)
            if len(either) > 1:
                some = [_kql(part.strip(), rows) for part in either]
                return [row for row in rows if any(test(row) for test in some)]
            tests = [_kql(part.strip(), rows) for part in re.split(rf"\band\b{_OUTSIDE}", rest)]
            return [row for row in rows if all(test(row) for test in tests)]
        case "take" | "limit" if rest.strip().isdecimal():
            return rows[: int(rest)]
        case "project":
            columns = [column.strip() for column in rest.split(",")]
            _known(columns, rows)
            return [{column: row.get(column) for column in columns} for row in rows]
        case "sort" | "order":
            found = _KQL_ORDER.fullmatch(rest.strip())
            if found is not None:
                _known([found[1]], rows)
                return sorted(rows, key=lambda row: str(row.get(found[1])), reverse=found[2] != "asc")
        case "count" if not rest:
            return [{"Count": len(rows)}]
    raise QueryError(f"Query could not be parsed at '{step}'")


def _kql(text: str, rows: Sequence[Row]) -> Test:
    listed = _KQL_IN.fullmatch(text)
    if listed is not None:
        _known([listed[1]], rows)
        words = {_value(part.strip()) for part in listed[2].split(",")}
        return lambda row: row.get(listed[1]) in words
    found = _KQL_TEST.fullmatch(text)
    if found is None:
        raise QueryError(f"Query could not be parsed at '{text}'")
    column, sign, asked = found[1], found[2], _value(found[3].strip())
    _known([column], rows)
    return lambda row: row.get(column) is not None and _COMPARE[sign](row[column], asked)


def _known(columns: Sequence[str], rows: Sequence[Row]) -> None:
    missing = [column for column in columns if rows and all(column not in row for row in rows)]
    if missing:
        raise QueryError(f"Failed to resolve scalar expression named '{missing[0]}'")
