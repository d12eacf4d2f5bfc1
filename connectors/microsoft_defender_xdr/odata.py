"""The part of OData's ``$filter`` that the simulator understands; everything else is a 400, as it is there.

``field eq 'text'`` (also ``ne ge gt le lt``), ``field in ('a','b')``, bare times and GUIDs,
``startswith(field,'text')``, joined by ``and`` and ``or``, with parentheses.
"""

import operator
import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, Literal

__all__ = ["FilterError", "Kind", "parse", "ticks"]

Kind = Literal["text", "time", "guid", "flag"]
Row = Mapping[str, Any]
Test = Callable[[Row], bool]

_TOKEN = re.compile(
    r"\s*(?:(?P<guid>[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12})\b|(?P<time>\d{4}-\d\d-\d\dT[\d:.]+Z)"
    r"|(?P<text>'(?:[^']|'')*')|(?P<word>[A-Za-z]\w*)|(?P<mark>[(),]))"
)
_TIME = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,7}))?Z")
_COMPARE: Mapping[str, Callable[[Any, Any], bool]] = {
    "eq": operator.eq,
    "ne": operator.ne,
    "ge": operator.ge,
    "gt": operator.gt,
    "le": operator.le,
    "lt": operator.lt,
}


class FilterError(ValueError):
    """The filter is malformed or names what cannot be filtered by."""


@lru_cache(maxsize=65_536)
def ticks(text: str) -> tuple[str, str]:
    """A time of Microsoft's as something that sorts, to its 100 nanoseconds."""
    found = _TIME.fullmatch(text)
    if found is None:
        raise FilterError(f"invalid date-time {text!r}")
    return found[1], (found[2] or "").ljust(7, "0")


def parse(text: str, fields: Mapping[str, Kind]) -> Test:
    """The filter as a test of one row; empty text fits all. Raises FilterError."""
    if not text.strip():
        return lambda _: True
    reader = _Reader(text, fields)
    test = reader.either()
    if reader.kind:
        raise FilterError(f"syntax error at {reader.value!r}")
    return test


class _Reader:
    """One filter, a token at a time: ``kind`` and ``value`` are of the token in front."""

    def __init__(self, text: str, fields: Mapping[str, Kind]) -> None:
        self._text = text.rstrip()
        self._fields = fields
        self._at = 0
        self.kind = self.value = ""
        self._step()

    def _step(self) -> None:
        if self._at >= len(self._text):
            self.kind = self.value = ""
            return
        found = _TOKEN.match(self._text, self._at)
        if found is None:
            raise FilterError(f"syntax error at position {self._at}")
        self._at = found.end()
        self.kind = str(found.lastgroup)
        self.value = found[self.kind]

    def _take(self, kind: str, value: str = "") -> str:
        if self.kind != kind or (value and self.value != value):
            raise FilterError(f"syntax error at {self.value or 'the end'!r}, {value or kind} expected")
        taken = self.value
        self._step()
        return taken

    def _joined(self, word: str, part: Callable[[], Test], many: Callable[..., bool]) -> Test:
        parts = [part()]
        while self.kind == "word" and self.value.lower() == word:
            self._step()
            parts.append(part())
        return parts[0] if len(parts) == 1 else lambda row: many(test(row) for test in parts)

    def either(self) -> Test:
        """Terms joined by ``or``."""
        return self._joined("or", self._both, any)

    def _both(self) -> Test:
        return self._joined("and", self._term, all)

    def _term(self) -> Test:
        if self.kind == "mark":
            self._take("mark", "(")
            inner = self.either()
            self._take("mark", ")")
            return inner
        word = self._take("word")
        if word == "startswith":
            self._take("mark", "(")
            name = self._field(self._take("word"), "text")
            self._take("mark", ",")
            head = _plain(self._take("text"))
            self._take("mark", ")")
            return lambda row: str(row.get(name) or "").startswith(head)
        name = self._field(word)
        sign = self._take("word")
        if sign == "in":
            return self._among(name)
        if sign not in _COMPARE:
            raise FilterError(f"unknown operator {sign!r}")
        return self._compared(name, _COMPARE[sign])

    def _field(self, name: str, kind: str = "") -> str:
        if name not in self._fields or (kind and self._fields[name] != kind):
            raise FilterError(f"the property {name!r} cannot be filtered by")
        return name

    def _among(self, name: str) -> Test:
        self._field(name, "text")
        self._take("mark", "(")
        words = {_plain(self._take("text"))}
        while self.kind == "mark" and self.value == ",":
            self._step()
            words.add(_plain(self._take("text")))
        self._take("mark", ")")
        return lambda row: row.get(name) in words

    def _compared(self, name: str, compare: Callable[[Any, Any], bool]) -> Test:
        kind = self._fields[name]
        if kind == "time":
            moment = ticks(self._take("time"))  # a quoted time is another type
            return lambda row: compare(ticks(row[name]), moment)
        if kind == "flag":
            wanted = self._take("word") == "true"
            return lambda row: compare(bool(row.get(name)), wanted)
        if kind == "guid":
            guid = self._take("guid").lower()
            return lambda row: compare(str(row.get(name) or "").lower(), guid)
        text = _plain(self._take("text"))
        return lambda row: compare(str(row.get(name) or ""), text)


def _plain(quoted: str) -> str:
    return quoted[1:-1].replace("''", "'")
