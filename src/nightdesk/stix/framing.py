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
    pieces = list(_records(document, is_alert, pages))
    if not pieces:
        yield Framed(payload, "/")
        return
    for found, pointer in pieces:
        for number, record in enumerate(found):
            yield Framed(orjson.dumps(record), f"{pointer}/{number}")


def _lines(payload: bytes) -> Iterator[Framed]:
    offset = 0
    for line in payload.split(b"\n"):
        if line.strip():
            yield Framed(line.strip(), f"@{offset}")
        offset += len(line) + 1


def _records(
    document: Any, is_alert: Callable[[Any], bool], pages: Iterable[tuple[str, ...]]
) -> Iterator[tuple[list[Any], str]]:
    """The lists of records of a page, each with its pointer: all that a mapping knows, or the first of a usual name."""
    if isinstance(document, list):
        yield document, ""
        return
    known = False
    for path in dict.fromkeys(pages):
        found = _list_at(document, path)
        if found and any(is_alert(record) for record in found):
            known = True
            yield found, "/" + "/".join(path)
    for path in () if known else _PAGES:
        found = _list_at(document, path)
        if found:
            yield found, "/" + "/".join(path)
            return


def _list_at(document: Any, path: tuple[str, ...]) -> list[Any] | None:
    """A list of objects."""
    found: Any = document
    for step in path:
        found = found.get(step) if isinstance(found, dict) else None
    return found if isinstance(found, list) and all(isinstance(item, dict) for item in found) else None
