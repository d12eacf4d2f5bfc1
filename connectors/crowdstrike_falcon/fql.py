"""The part of Falcon's query language that the simulator understands; everything else is a 400, as it is there.

``field:'value'``, ``field:['a','b']``, ``field:>='…'`` on times and numbers, ``true``/``false``, joined by ``+``.
"""

import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

__all__ = ["FqlError", "Kind", "parse", "time_key"]

Kind = str
"""``time``, ``number``, ``flag``, ``word`` (keyword) or ``text`` (a quoted value also matches inside longer names)."""

_TERM = re.compile(r"(?P<field>[a-z_.]+):(?P<op>>=|<=|>|<|!)?(?P<value>'[^']*'|\[[^\]]*\]|[\w.-]+)(?P<join>\+|$)")
_LIST = re.compile(r"'[^']*'(,'[^']*')*")
_TIME = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?Z")
_COMPARE: Mapping[str, Callable[[Any, Any], bool]] = {
    ">=": lambda left, right: bool(left >= right),
    "<=": lambda left, right: bool(left <= right),
    ">": lambda left, right: bool(left > right),
    "<": lambda left, right: bool(left < right),
}
Row = Mapping[str, Any]
Test = Callable[[Row], bool]


class FqlError(ValueError):
    """The filter is malformed or names what cannot be filtered by."""


@lru_cache(maxsize=65_536)
def time_key(text: str) -> tuple[str, str]:
    """A Falcon time as something that sorts, nanoseconds included."""
    found = _TIME.fullmatch(text)
    if found is None:
        raise FqlError(f"invalid timestamp {text!r}")
    return found[1], (found[2] or "").ljust(9, "0")


def parse(text: str, fields: Mapping[str, Kind]) -> Test:
    """The filter as a test of one record; empty text fits all. Raises FqlError."""
    tests: list[Test] = []
    at, open_end = 0, False
    while at < len(text):
        found = _TERM.match(text, at)
        if found is None:
            raise FqlError(f"invalid filter expression at {at}")
        field = found["field"]
        if field not in fields:
            raise FqlError(f"unknown filter property {field!r}")
        tests.append(_term(field, fields[field], found["op"] or "", found["value"]))
        at, open_end = found.end(), found["join"] == "+"
    if open_end:
        raise FqlError("the filter ends with +")
    return lambda row: all(test(row) for test in tests)


def _term(field: str, kind: Kind, operator: str, value: str) -> Test:
    if operator == "!":
        inner = _term(field, kind, "", value)
        return lambda row: not inner(row)
    if value.startswith("["):
        inside = value[1:-1]
        if operator or kind in {"time", "number", "flag"} or not _LIST.fullmatch(inside):
            raise FqlError(f"invalid list for {field!r}")
        words = {word[1:-1] for word in inside.split(",")}
        return lambda row: row.get(field) in words
    quoted = value.startswith("'")
    literal = value[1:-1] if quoted else value
    if kind == "time":
        return _time(field, operator, literal, quoted=quoted)
    if kind == "number":
        return _number(field, operator, literal, quoted=quoted)
    if operator:
        raise FqlError(f"{field!r} cannot be compared with {operator}")
    if kind == "flag":
        if literal not in {"true", "false"} or quoted:
            raise FqlError(f"{field!r} is true or false, unquoted")
        return lambda row: row.get(field) is (literal == "true")
    if not quoted:
        raise FqlError(f"the value of {field!r} must be quoted")
    if kind == "text":
        wanted = literal.casefold()
        # CrowdStrike/falconpy#935: a quoted host name returns longer names too, and minds no case.
        return lambda row: f"-{wanted}-" in f"-{str(row.get(field, '')).casefold()}-"
    return lambda row: row.get(field) == literal


def _time(field: str, operator: str, literal: str, *, quoted: bool) -> Test:
    if not quoted:
        raise FqlError(f"the value of {field!r} must be quoted")
    moment = time_key(literal)
    if not operator:
        return lambda row: time_key(row[field]) == moment
    compare = _COMPARE[operator]
    return lambda row: compare(time_key(row[field]), moment)


def _number(field: str, operator: str, literal: str, *, quoted: bool) -> Test:
    if quoted or not literal.isdecimal():
        raise FqlError(f"{field!r} is a number, unquoted")
    number = int(literal)
    if not operator:
        return lambda row: row.get(field) == number
    compare = _COMPARE[operator]
    return lambda row: compare(row.get(field, 0), number)
