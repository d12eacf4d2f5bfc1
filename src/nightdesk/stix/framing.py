"""A file to its alerts: one object, an array, an API page, or one object a line."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import orjson

from nightdesk.sdk.errors import MappingError
from nightdesk.stix.normalize import parse

__all__ = ["Framed", "frame"]

_PAGES = (("resources",), ("hits", "hits"), ("results",), ("value",), ("items",), ("data",), ("alerts",))


@dataclass(frozen=True, slots=True)
class Framed:
    """One alert of a file: its bytes, and where it stood (a JSON pointer, or ``@N`` for a byte offset)."""

    payload: bytes
    pointer: str


def frame(
    payload: bytes, *, is_alert: Callable[[Any], bool], pages: Iterable[tuple[str, ...]] = (), source: str = ""
) -> Iterator[Framed]:
    """The alerts of a file. A document that ``is_alert`` stays whole, bytes and all. Raises MappingError.

    ``pages`` are the paths at which the mappings say that API pages hold their records.
    """
    try:
        document, _ = parse(payload, source=source)
    except MappingError:
        lines = list(_lines(payload))
        if len(lines) < 2:
            raise
        yield from lines
        return
    if is_alert(document):
        yield Framed(payload, "/")
        return
    found, pointer = _records(document, (*pages, *_PAGES))
    if found is None:
        yield Framed(payload, "/")
        return
    for number, record in enumerate(found):
        yield Framed(orjson.dumps(record), f"{pointer}/{number}")


def _lines(payload: bytes) -> Iterator[Framed]:
    offset = 0
    for line in payload.split(b"\n"):
        if line.strip():
            yield Framed(line.strip(), f"@{offset}")
        offset += len(line) + 1


def _records(document: Any, pages: Iterable[tuple[str, ...]]) -> tuple[list[Any] | None, str]:
    if isinstance(document, list):
        return document, ""
    for path in pages:
        found: Any = document
        for step in path:
            found = found.get(step) if isinstance(found, dict) else None
        if isinstance(found, list) and found and all(isinstance(item, dict) for item in found):
            return found, "/" + "/".join(path)
    return None, ""
