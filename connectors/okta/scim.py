"""Okta's filter language, a part of SCIM's: comparisons joined by ``and`` and ``or``, with parentheses, without ``[]``.

Sources: https://developer.okta.com/docs/reference/system-log-query/ and https://developer.okta.com/docs/reference/user-query/
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

__all__ = ["ScimError", "Test", "parse", "values"]

Test = Callable[[Mapping[str, Any]], bool]

_TOKEN = re.compile(r'\s*(?:(?P<text>"(?:[^"\\]|\\.)*")|(?P<mark>[()])|(?P<word>[^\s()"\[\]]+))')
_COMPARISONS: Mapping[str, Callable[[str, str], bool]] = {
    "eq": lambda found, wanted: found == wanted,
    "sw": lambda found, wanted: found.startswith(wanted),
    "ew": lambda found, wanted: found.endswith(wanted),
    "co": lambda found, wanted: wanted in found,
    "gt": lambda found, wanted: found > wanted,
    "ge": lambda found, wanted: found >= wanted,
    "lt": lambda found, wanted: found < wanted,
    "le": lambda found, wanted: found <= wanted,
}


class ScimError(Exception):
    """What Okta calls an invalid filter or search."""


def parse(text: str, allowed: Callable[[str, str], bool], *, fold: bool = False) -> Test:
    """The test that an expression is; empty text accepts all. ``allowed`` knows the pairs of attribute and operator.

    ``fold``: values are compared without regard to case, as ``search`` does and ``filter`` does not. Raises ScimError.
    """
    if not text.strip():
        return lambda _: True
    tokens = list(_tokens(text))
    reader = _Reader(tokens, allowed, fold)
    test = reader.either()
    if reader.at != len(tokens):
        raise ScimError(f"Invalid filter '{text}': unexpected '{tokens[reader.at][1]}'")
    return test


def values(document: Any, path: str) -> list[Any]:
    """Everything that stands at a dotted path; lists are walked through."""
    found: list[Any] = [document]
    for step in path.split("."):
        inside: list[Any] = []
        for item in found:
            for one in item if isinstance(item, list) else [item]:
                if isinstance(one, dict) and one.get(step) is not None:
                    inside.append(one[step])  # noqa: PERF401  # two loops and a test read better apart
        found = inside
    return [one for item in found for one in (item if isinstance(item, list) else [item])]


def _tokens(text: str) -> Iterator[tuple[str, str]]:
    at = 0
    while at < len(text.rstrip()):
        match = _TOKEN.match(text, at)
        if match is None:
            raise ScimError(f"Invalid filter '{text}': cannot be read at position {at}")
        at = match.end()
        kind = match.lastgroup or ""
        yield kind, match[kind]


class _Reader:
    """A recursive descent over the tokens."""

    def __init__(self, tokens: list[tuple[str, str]], allowed: Callable[[str, str], bool], fold: bool) -> None:
        self._tokens = tokens
        self._allowed = allowed
        self._fold = fold
        self.at = 0

    def either(self) -> Test:
        tests = [self._both()]
        while self._taken("or"):
            tests.append(self._both())
        return lambda row: any(test(row) for test in tests)

    def _both(self) -> Test:
        tests = [self._one()]
        while self._taken("and"):
            tests.append(self._one())
        return lambda row: all(test(row) for test in tests)

    def _one(self) -> Test:
        if self._taken("("):
            inside = self.either()
            if not self._taken(")"):
                raise ScimError("Invalid filter: a parenthesis is not closed")
            return inside
        field = self._next("word", "an attribute")
        operator = self._next("word", "an operator").lower()
        if operator not in {"pr", "ne", *_COMPARISONS}:
            raise ScimError(f"Unrecognized attribute operator '{operator}'. Expected: eq,co,sw,pr,gt,ge,lt,le")
        if not self._allowed(field, operator):
            raise ScimError(f"field is not valid: {field} (operator {operator})")
        if operator == "pr":
            return lambda row: bool(values(row, field))
        wanted = self._value()
        compare = _COMPARISONS["eq" if operator == "ne" else operator]
        fold = str.casefold if self._fold else str

        def test(row: Mapping[str, Any]) -> bool:
            hit = any(compare(fold(_text(found)), fold(wanted)) for found in values(row, field))
            return hit is (operator != "ne")

        return test

    def _value(self) -> str:
        kind, text = self._tokens[self.at] if self.at < len(self._tokens) else ("", "")
        self.at += 1
        if kind == "text":
            return str(json.loads(text))
        if kind == "word" and (text in {"true", "false"} or text.lstrip("-").isdecimal()):
            return text
        raise ScimError(f"Invalid filter: '{text}' is no value; write it in double quotes")

    def _next(self, kind: str, what: str) -> str:
        found, text = self._tokens[self.at] if self.at < len(self._tokens) else ("", "the end")
        if found != kind:
            raise ScimError(f"Invalid filter: {what} was expected, not '{text}'")
        self.at += 1
        return text

    def _taken(self, word: str) -> bool:
        if self.at < len(self._tokens) and self._tokens[self.at][0] != "text":
            taken = self._tokens[self.at][1].lower() == word
            self.at += taken
            return taken
        return False


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
