"""Reads the GraphQL documents that a client of the unified alerts sends, strictly: unknown fields are errors.

Covered is what the language's specification (October 2021, section 2) calls executable documents with one operation,
without fragments of their own and directives.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Field", "QueryError", "Schema", "check", "operation", "select"]

_TOKEN = re.compile(r'\.\.\.|[{}()\[\]:!=$|]|"(?:[^"\\\n]|\\.)*"|-?\d+(?:\.\d+)?|[A-Za-z_]\w*|[\s,]+|#[^\n]*')

Schema = Mapping[str, Mapping[str, str]]
"""By type the fields it has, and of each the type; an empty one is a leaf."""


class QueryError(Exception):
    """What the server says in ``errors`` beside a 200."""


@dataclass(slots=True)
class Field:
    """One field of a selection. ``on`` is the type of the inline fragment that it stands in."""

    name: str
    arguments: dict[str, Any] = field(default_factory=dict)
    fields: list["Field"] = field(default_factory=list)
    on: str = ""


def operation(text: Any, variables: Mapping[str, Any]) -> tuple[str, Field]:
    """``query`` or ``mutation``, and its one top-level field, with the variables put in. Raises QueryError."""
    if not isinstance(text, str):
        raise QueryError("Invalid Syntax : a query is required")
    reader = _Reader(text, variables)
    kind = reader.next() if reader.peek() != "{" else "query"
    if kind not in {"query", "mutation"}:
        raise QueryError(f"Invalid Syntax : offending token '{kind}'")
    if reader.peek() not in {"{", "("}:
        reader.next()
    if reader.peek() == "(":
        reader.skip_definitions()
    chosen = reader.selection()
    if len(chosen) != 1 or reader.peek():
        raise QueryError("Invalid Syntax : one field is asked at a time")
    return kind, chosen[0]


def check(schema: Schema, kind: str, fields: list[Field]) -> None:
    """A server validates before it executes. Raises QueryError for a field that its type does not have."""
    if bool(kind) is not bool(fields):
        wanted = f"type '{kind}' needs a selection" if kind else "a scalar has no fields"
        raise QueryError(f"Validation error (SubselectionRequired) : {wanted}")
    for each in fields:
        if each.name == "__typename":
            continue
        if each.name not in schema[each.on or kind]:
            raise QueryError(f'Cannot query field "{each.name}" on type "{each.on or kind}".')
        check(schema, schema[each.on or kind][each.name], each.fields)


def select(value: Any, fields: list[Field]) -> Any:
    """The value with the fields that were asked for, which were checked before."""
    if not fields or value is None:
        return value
    if isinstance(value, list):
        return [select(element, fields) for element in value]
    here = value.get("__typename", "")
    return {
        each.name: here if each.name == "__typename" else select(value.get(each.name), each.fields)
        for each in fields
        if each.on in {"", here}
    }


class _Reader:
    def __init__(self, text: str, variables: Mapping[str, Any]) -> None:
        self._variables = variables
        self._tokens: list[str] = []
        at = 0
        while at < len(text):
            found = _TOKEN.match(text, at)
            if found is None:
                raise QueryError(f"Invalid Syntax : offending token '{text[at]}' at {at}")
            if found[0].strip(" \t\r\n,") and not found[0].startswith("#"):
                self._tokens.append(found[0])
            at = found.end()
        self._tokens.reverse()

    def peek(self) -> str:
        return self._tokens[-1] if self._tokens else ""

    def next(self, wanted: str = "") -> str:
        token = self._tokens.pop() if self._tokens else ""
        if not token or (wanted and token != wanted):
            raise QueryError(f"Invalid Syntax : offending token '{token or '<EOF>'}'")
        return token

    def skip_definitions(self) -> None:
        self.next("(")
        while self.next() != ")":
            pass

    def selection(self, on: str = "") -> list[Field]:
        found: list[Field] = []
        self.next("{")
        while self.peek() != "}":
            if self.peek() == "...":
                self.next()
                self.next("on")
                found += self.selection(self.next())
                continue
            one = Field(self.next(), on=on)
            if self.peek() == "(":
                self.next()
                while self.peek() != ")":
                    name = self.next()
                    self.next(":")
                    one.arguments[name] = self._value()
                self.next()
            if self.peek() == "{":
                one.fields = self.selection()
            found.append(one)
        self.next("}")
        return found

    def _value(self) -> Any:
        token = self.next()
        match token[0]:
            case "$":
                return self._variables.get(self.next())
            case "[":
                elements = []
                while self.peek() != "]":
                    elements.append(self._value())
                self.next()
                return elements
            case "{":
                pairs: dict[str, Any] = {}
                while self.peek() != "}":
                    name = self.next()
                    self.next(":")
                    pairs[name] = self._value()
                self.next()
                return pairs
        literal = token[0] in '"-' or token[0].isdigit() or token in {"true", "false", "null"}
        return json.loads(token) if literal else token
