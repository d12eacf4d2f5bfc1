"""The console's filter, sort and fields languages; what they do not know is an error and never ignored.

Source: https://www.ibm.com/docs/en/qradar-common?topic=versions-filter-syntax
"""

import operator
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

__all__ = ["FilterError", "condition", "ordering", "picked"]

Row = Mapping[str, Any]
Test = Callable[[Row], bool]

_TOKEN = re.compile(r'\s*("(?:[^"\\]|\\.)*"|[(),]|!=|<=|>=|[=<>]|[^\s(),=<>!"]+)')
_COMPARE: Mapping[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    ">": operator.gt,
    "<=": operator.le,
    ">=": operator.ge,
}
_ORDERED = frozenset({"<", ">", "<=", ">="})
_WORDS: Mapping[str, Any] = {"true": True, "false": False}
_FIELDS = re.compile(r"\s*([a-z_]+)\s*(?:\(([a-z_,\s]*)\))?\s*(?:,|$)")


class FilterError(Exception):
    """What is wrong in a filter, sort or fields parameter."""


def condition(text: str, known: Iterable[str], unordered: Iterable[str] = ()) -> Test:
    """A filter over fields that are ``known``; those ``unordered`` take no ``<``, ``>`` or ``between``."""
    return _Reader(text, frozenset(known), frozenset(unordered)).whole()


def ordering(text: str, known: Iterable[str]) -> tuple[Callable[[Row], Any], bool]:
    """The key of one field, and whether downwards. Raises FilterError for a field without a sign or unknown."""
    field = text[1:]
    if text[:1] not in {"+", "-"} or field not in frozenset(known):
        raise FilterError(f"The sort field or order is not valid: {text!r}")
    return (lambda row: (row.get(field) is not None, row.get(field))), text[0] == "-"


def picked(row: Row, fields: str) -> dict[str, Any]:
    """What ``fields`` names of a row, subfields in brackets. Raises FilterError for a field that is not there."""
    made: dict[str, Any] = {}
    at = 0
    while at < len(fields):
        found = _FIELDS.match(fields, at)
        if found is None or found[1] not in row:
            raise FilterError(f"Field could not be resolved in {fields!r} at position {at}")
        at = found.end()
        value = row[found[1]]
        if found[2] is not None and isinstance(value, list):
            names = [name.strip() for name in found[2].split(",")]
            value = [{name: item[name] for name in names if name in item} for item in value]
        made[found[1]] = value
    return made


class _Reader:
    """One filter, read by recursive descent: ``or`` binds loosest, then ``and``, then ``not``."""

    def __init__(self, text: str, known: frozenset[str], unordered: frozenset[str]) -> None:
        self._known, self._unordered = known, unordered
        self._tokens: list[str] = []
        at = 0
        while text[at:].strip():
            found = _TOKEN.match(text, at)
            if found is None:
                raise FilterError(f"Invalid filter at position {at}: {text}")
            self._tokens.append(found[1])
            at = found.end()
        self._at = 0

    def whole(self) -> Test:
        test = self._either()
        if self._at < len(self._tokens):
            raise FilterError(f"Invalid filter: nothing was expected before {self._tokens[self._at]!r}")
        return test

    def _peek(self) -> str:
        return self._tokens[self._at].lower() if self._at < len(self._tokens) else ""

    def _next(self, wanted: str = "") -> str:
        token = self._peek()
        if not token or (wanted and token != wanted):
            raise FilterError(f"Invalid filter: {wanted or 'more'!r} was expected, {token or 'its end'!r} came")
        self._at += 1
        return self._tokens[self._at - 1]

    def _either(self) -> Test:
        tests = [self._both()]
        while self._peek() == "or":
            self._next()
            tests.append(self._both())
        return lambda row: any(test(row) for test in tests)

    def _both(self) -> Test:
        tests = [self._single()]
        while self._peek() == "and":
            self._next()
            tests.append(self._single())
        return lambda row: all(test(row) for test in tests)

    def _single(self) -> Test:
        if self._peek() == "not":
            self._next()
            inner = self._single()
            return lambda row: not inner(row)
        if self._peek() == "(":
            self._next()
            test = self._either()
            self._next(")")
            return test
        return self._comparison()

    def _comparison(self) -> Test:
        field = self._next()
        if field not in self._known:
            raise FilterError(f"Invalid filter: the field {field!r} is not filterable")
        sign = self._next().lower()
        if field in self._unordered and (sign in _ORDERED or sign == "between"):
            raise FilterError(f"Invalid filter: {field} does not support {sign}")
        match sign:
            case "in":
                among = self._list()
                return lambda row: row.get(field) in among
            case "not":
                self._next("in")
                without = self._list()
                return lambda row: row.get(field) not in without
            case "between":
                low = self._value()
                self._next("and")
                high = self._value()
                return lambda row: row.get(field) is not None and low <= row[field] <= high
            case "like":
                shape = re.compile(re.escape(str(self._value())).replace("%", ".*"), re.DOTALL)
                return lambda row: shape.fullmatch(str(row.get(field))) is not None
            case "contains":
                return self._contains(field)
        if sign not in _COMPARE:
            raise FilterError(f"Invalid filter: no operator {sign!r}")
        value, compare = self._value(), _COMPARE[sign]
        return lambda row: _holds(compare, row.get(field), value)

    def _contains(self, field: str) -> Test:
        """``rules contains (id=100123)``: a test of the elements, or a value among them."""
        if self._peek() != "(":
            value = self._value()
            return lambda row: value in (row.get(field) or ())
        self._next("(")
        name = self._next()
        self._next("=")
        wanted = self._value()
        self._next(")")
        return lambda row: any(item.get(name) == wanted for item in row.get(field) or ())

    def _list(self) -> Sequence[Any]:
        self._next("(")
        values = [self._value()]
        while self._peek() == ",":
            self._next()
            values.append(self._value())
        self._next(")")
        return values

    def _value(self) -> Any:
        token = self._next()
        if token.startswith('"'):
            return re.sub(r"\\(.)", r"\1", token[1:-1])
        if re.fullmatch(r"-?\d+", token):
            return int(token)
        if token in {"(", ")", ","} or token in _COMPARE:
            raise FilterError(f"Invalid filter: a value was expected, {token!r} came")
        return _WORDS.get(token.lower(), token)


def _holds(compare: Callable[[Any, Any], bool], ours: Any, asked: Any) -> bool:
    try:
        return ours is not None and compare(ours, asked)
    except TypeError as error:
        raise FilterError(f"Invalid filter: {asked!r} cannot be compared") from error
