"""The part of OData ``$filter`` that the simulated Graph understands; the rest is refused, as Graph refuses it."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from nightdesk.sdk.moments import instant

__all__ = ["Filter", "Kind", "ODataError", "parse"]

Kind = Literal["time", "text", "flag"]
Test = Callable[[Mapping[str, Any]], bool]

_TOKEN = re.compile(r"\s*(?:(?P<text>'(?:[^']|'')*')|(?P<mark>[(),])|(?P<word>[^\s(),']+))")
_COMPARE: Mapping[str, Callable[[Any, Any], bool]] = {
    "eq": lambda left, right: bool(left == right),
    "ne": lambda left, right: bool(left != right),
    "ge": lambda left, right: left is not None and left >= right,
    "gt": lambda left, right: left is not None and left > right,
    "le": lambda left, right: left is not None and left <= right,
    "lt": lambda left, right: left is not None and left < right,
}


class ODataError(Exception):
    """A filter that Graph would answer with 400."""


@dataclass(frozen=True, slots=True)
class Filter:
    """A test of one object, and the fields it looks at: some of them need the advanced query capabilities."""

    test: Test
    fields: frozenset[str]


def parse(text: str, kinds: Mapping[str, Kind]) -> Filter:
    """Reads ``a eq 'x' and (b ge 2026-11-01T00:00:00Z or startswith(c,'y'))``. Raises ODataError."""
    tokens: list[str] = []
    at = 0
    while text[at:].strip():
        found = _TOKEN.match(text, at)
        if found is None:
            raise ODataError(f"Invalid filter clause: Syntax error at position {at} in '{text}'.")
        tokens.append(found[0].strip())
        at = found.end()
    reader = _Reader(tokens, kinds)
    return Filter(reader.whole(), frozenset(reader.used))


class _Reader:
    def __init__(self, tokens: list[str], kinds: Mapping[str, Kind]) -> None:
        self._tokens = tokens
        self._kinds = kinds
        self.used: set[str] = set()

    def whole(self) -> Test:
        test = self._either()
        if self._tokens:
            raise ODataError(f"Invalid filter clause: Syntax error at '{self._tokens[0]}'.")
        return test

    def _either(self) -> Test:
        tests = [self._both()]
        while self._tokens[:1] == ["or"]:
            self._next()
            tests.append(self._both())
        return lambda row: any(test(row) for test in tests)

    def _both(self) -> Test:
        tests = [self._term()]
        while self._tokens[:1] == ["and"]:
            self._next()
            tests.append(self._term())
        return lambda row: all(test(row) for test in tests)

    def _term(self) -> Test:
        token = self._next()
        if token == "(":  # noqa: S105  # a token of the language
            test = self._either()
            self._expect(")")
            return test
        if token == "startswith":  # noqa: S105  # a token of the language
            self._expect("(")
            name, _ = self._field(self._next())
            self._expect(",")
            prefix = str(self._literal("text")).casefold()
            self._expect(")")
            return lambda row: str(row.get(name) or "").casefold().startswith(prefix)
        name, kind = self._field(token)
        operator = _COMPARE.get(self._next())
        if operator is None:
            raise ODataError("Invalid filter clause: unknown operator.")
        wanted = self._literal(kind)
        return lambda row: operator(_comparable(row.get(name), kind), wanted)

    def _field(self, name: str) -> tuple[str, Kind]:
        kind = self._kinds.get(name)
        if kind is None:
            raise ODataError(f"Invalid filter clause: Could not find a property named '{name}'.")
        self.used.add(name)
        return name, kind

    def _literal(self, kind: Kind) -> Any:
        token = self._next()
        if kind == "text" and token.startswith("'"):
            return token[1:-1].replace("''", "'").casefold()
        if kind == "flag" and token in {"true", "false"}:
            return token == "true"  # noqa: S105  # a token of the language
        if kind == "time" and instant(token) is not None:
            return instant(token)
        raise ODataError(f"Invalid filter clause: '{token}' is no {kind}.")

    def _expect(self, mark: str) -> None:
        if self._next() != mark:
            raise ODataError(f"Invalid filter clause: '{mark}' expected.")

    def _next(self) -> str:
        if not self._tokens:
            raise ODataError("Invalid filter clause: it ends too early.")
        return self._tokens.pop(0)


def _comparable(value: Any, kind: Kind) -> Any:
    if kind == "time":
        return instant(value)
    return value.casefold() if isinstance(value, str) else value
