"""A bundle as a graph: who refers to whom, other ids for the same objects, and no reference that leads nowhere."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, Final

from nightdesk.stix.ids import TenantKey

__all__ = ["OBSERVABLES", "closed", "derived_id", "references", "renamed", "without_definitions"]

OBSERVABLES: Final = frozenset(
    {
        "artifact", "autonomous-system", "directory", "domain-name", "email-addr", "email-message", "file", "ipv4-addr",
        "ipv6-addr", "mac-addr", "mutex", "network-traffic", "process", "software", "url", "user-account",
        "windows-registry-key", "x509-certificate",
    }
)  # fmt: skip
"""The types that STIX 2.1 section 6 calls cyber-observable objects."""
# What an object is nothing without (STIX 2.1 sections 4 and 5). ``where_sighted_refs`` is optional there, but a
# sighting without it stops a consumer's whole import (OpenCTI-Platform/connectors#3980).
_NEEDED: Final[Mapping[str, tuple[str, ...]]] = {
    "relationship": ("source_ref", "target_ref"),
    "sighting": ("sighting_of_ref", "where_sighted_refs"),
    "observed-data": ("object_refs",),
    **dict.fromkeys(("grouping", "note", "opinion", "report", "case-incident"), ("object_refs",)),
}
_DEFINITION: Final = "extension-definition"
_MARKS: Final = "object_marking_refs"
_KEY: Final = TenantKey.derived("egress")


def references(node: Any, name: str = "") -> Iterator[str]:
    """Every id that stands in a property named ``…_ref`` or ``…_refs``, at any depth."""
    if isinstance(node, Mapping):
        for key, value in node.items():
            yield from references(value, key)
    elif isinstance(node, list | tuple):
        for value in node:
            yield from references(value, name)
    elif name.endswith(("_ref", "_refs")) and isinstance(node, str):
        yield node


def renamed(node: Any, names: Mapping[str, str], name: str = "id") -> Any:
    """A copy that shares nothing with the original, with other ids where an id or a reference stands."""
    if isinstance(node, Mapping):
        return {key: renamed(value, names, key) for key, value in node.items()}
    if isinstance(node, list | tuple):
        return [renamed(value, names, name) for value in node]
    if isinstance(node, str) and (name == "id" or name.endswith(("_ref", "_refs"))):
        return names.get(node, node)
    return node


def derived_id(kind: str, *parts: Any) -> str:
    """The id of an object that only an egress profile makes, out of the ids it is made of.

    A profile knows no tenant key; the ids it derives from are made with one, so nobody can guess these either.
    """
    return _KEY.id(kind, *parts)


def without_definitions(objects: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The objects without extension definitions, nor the identities that made nothing else."""
    authors = {entry.get("created_by_ref") for entry in objects if entry["type"] == _DEFINITION}
    made = [dict(entry) for entry in objects if entry["type"] != _DEFINITION]
    used = {ref for entry in made for ref in references(entry) if ref != entry["id"]}
    return [entry for entry in made if entry["id"] not in authors or entry["id"] in used]


def closed(objects: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The objects without references to what is not among them, nor the objects that are nothing without those.

    A marking is never taken off an object: that would widen who may see it.
    """
    left = [dict(entry) for entry in objects]
    while True:
        known = {entry["id"] for entry in left}
        pruned = [_pruned(entry, known) for entry in left]
        kept = [entry for entry in pruned if all(entry.get(name) for name in _NEEDED.get(entry["type"], ()))]
        if len(kept) == len(left):
            return kept
        left = kept


def _pruned(node: Mapping[str, Any], known: Collection[str]) -> dict[str, Any]:
    made: dict[str, Any] = {}
    for name, value in node.items():
        if name == _MARKS or not isinstance(value, str | list | tuple | Mapping):
            made[name] = value
        elif name.endswith("_ref"):
            if value in known:
                made[name] = value
        elif name.endswith("_refs"):
            if there := [ref for ref in value if ref in known]:
                made[name] = there
        elif isinstance(value, Mapping):
            made[name] = _pruned(value, known)
        elif isinstance(value, list | tuple):
            made[name] = _items(value, known)
        else:
            made[name] = value
    return made


def _items(items: Sequence[Any], known: Collection[str]) -> list[Any]:
    """A list without the entries that are about something that is not there, such as an entity's role."""
    return [item for item in items if not isinstance(item, Mapping) or all(ref in known for ref in references(item))]
