"""Judges a bundle in a tenth of a millisecond: the rules whose breach a strange payload could cause.

The programs of others that judge whole (tests/stix_validity.py) need a hundred times as long, so they see a sample.
"""

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

__all__ = ["breaches"]

_ID: Final = re.compile(r"^[a-z][a-z0-9-]*--[0-9a-f]{8}-[0-9a-f]{4}-[45][0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$")
_MS: Final = re.compile(r"^20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$")
_TIME: Final = re.compile(r"^20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{0,5}[1-9])?Z$")
_SURROGATE: Final = re.compile("[\ud800-\udfff]")
_TIMES: Final = frozenset(
    {"first_observed", "last_observed", "first_seen", "last_seen", "start", "end", "created_time", "ctime",
    "mtime", "atime", "date",
    "valid_from", "validity_not_before", "validity_not_after", "start_time", "stop_time"}
)  # fmt: skip
_FIXED: Final = frozenset({"extension-definition", "marking-definition"})
_LARGEST: Final = 2**53 - 1


def breaches(objects: Sequence[Mapping[str, Any]]) -> list[str]:
    """Everything that breaks a rule; empty for a good bundle."""
    found: list[str] = []
    known = {entry["id"] for entry in objects}
    if len(known) != len(objects):
        found.append("an id stands twice")
    for entry in objects:
        if entry["type"] in _FIXED:
            continue
        found += [f"{entry['id']}: {text}" for text in _object(entry, known)]
    if sum(entry["type"] == "incident" for entry in objects) != 1:
        found.append("not exactly one incident")
    return found


def _object(entry: Mapping[str, Any], known: set[str]) -> Iterator[str]:
    if not _ID.match(entry["id"]) or not entry["id"].startswith(entry["type"] + "--"):
        yield "no such id"
    for name in ("created", "modified"):
        if name in entry and not _MS.match(entry[name]):
            yield f"{name} {entry[name]!r}"
    if entry.get("created", "") > entry.get("modified", "9"):
        yield "modified before created"
    for first, last in (("first_observed", "last_observed"), ("first_seen", "last_seen")):
        if entry.get(first, "").rstrip("Z") > entry.get(last, "9").rstrip("Z"):
            yield f"{last} before {first}"
    yield from _values(entry, "", known)


def _values(node: Any, name: str, known: set[str]) -> Iterator[str]:
    if isinstance(node, Mapping):
        if not node:
            yield f"{name} is empty"
        for key, value in node.items():
            # What vendors call their fields says nothing of what stands in them.
            yield from _values(value, str(key) if name != "vendor_fields" else "field", known)
    elif isinstance(node, list | tuple):
        if not node:
            yield f"{name} is empty"
        if name.endswith("_refs") and len(set(node)) != len(node):
            yield f"{name} says one thing twice"
        for value in node:
            yield from _values(value, name, known)
    else:
        yield from _scalar(node, name, known)


def _scalar(value: Any, name: str, known: set[str]) -> Iterator[str]:
    if value is None:
        yield f"{name} is null"
    elif isinstance(value, str):
        if name.endswith(("_ref", "_refs")) and value not in known and not _outside(value):
            yield f"{name} leads to {value}, which is not there"
        if name in _TIMES and not _TIME.match(value):
            yield f"{name} {value!r}"
        if _SURROGATE.search(value):
            yield f"{name} holds half a character"
        if not value:
            yield f"{name} is empty"
    elif isinstance(value, float):
        if not math.isfinite(value):
            yield f"{name} is no number"
    elif isinstance(value, int) and not isinstance(value, bool) and abs(value) > _LARGEST:
        yield f"{name} is larger than readers of JSON take"


def _outside(ref: str) -> bool:
    """ATT&CK and the markings stand elsewhere."""
    return ref.startswith(("attack-pattern--", "marking-definition--", "x-mitre-tactic--"))
