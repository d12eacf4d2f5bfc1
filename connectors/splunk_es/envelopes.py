"""Concatenated JSON objects, as an HTTP Event Collector takes them: each with the exact text of its members."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["Envelope", "envelopes", "parse"]

_SPACE = re.compile(r"[ \t\r\n]*")


@dataclass(frozen=True, slots=True)
class Envelope:
    """One object: its text, and its members as name to (value, the value's own text); no members: it is broken."""

    text: str
    members: Mapping[str, tuple[Any, str]] | None


def envelopes(text: str) -> Iterator[Envelope]:
    """One after another, without array or commas. A broken one is the last: it holds all the text that is left."""
    at = _space(text, 0)
    while at < len(text):
        try:
            members, end = _members(text, at)
        except (ValueError, IndexError, RecursionError):
            yield Envelope(text[at:], None)
            return
        yield Envelope(text[at:end], members)
        at = _space(text, end)


def parse(text: str) -> Any:
    """Strict JSON. Raises ValueError or RecursionError."""
    return _JSON.decode(text)


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


_JSON = json.JSONDecoder(parse_constant=_no_constant)


def _members(text: str, at: int) -> tuple[dict[str, tuple[Any, str]], int]:
    """The object that begins here as name to (value, its own text), and where it ends. Raises ValueError."""
    if text[at] != "{":
        raise ValueError("an envelope is an object")
    found: dict[str, tuple[Any, str]] = {}
    for name, value, start, end in _walk(text, at):
        found[name] = (value, text[start:end])
        at = end
    return found, _space(text, at if found else at + 1) + 1


def _walk(text: str, at: int) -> Iterator[tuple[str, Any, int, int]]:
    at = _space(text, at + 1)
    while text[at] != "}":
        name, at = _JSON.raw_decode(text, at)
        at = _space(text, at)
        if not isinstance(name, str) or text[at] != ":":
            raise ValueError("a name and a colon are due")
        start = _space(text, at + 1)
        value, end = _JSON.raw_decode(text, start)
        yield name, value, start, end
        at = _space(text, end)
        if text[at] not in ",}":
            raise ValueError("a comma or the end is due")
        if text[at] == ",":
            at = _space(text, at + 1)
            if text[at] == "}":
                raise ValueError("a name is due")


def _space(text: str, at: int) -> int:
    found = _SPACE.match(text, at)
    return found.end() if found else at
