"""Which fields of a unified alert are asked for: those that a mapping reads, less those that a schema lacks."""

import re
from collections.abc import Mapping
from typing import Any

__all__ = ["Selection"]

_NEEDED = frozenset({"id", "createdAt", "updatedAt", "status", "analystVerdict"})
_PLAIN = (
    "id externalId name description severity status analystVerdict classification confidenceLevel detectedAt createdAt"
    " updatedAt firstSeenAt lastSeenAt attackSurfaces dataSources storylineId ticketId noteExists result rawData"
)
_ASSET = "id agentUuid agentId agentVersion name domain type category subcategory osType osVersion networkStatus"
# How servers name a field that the schema lacks: GraphQL Java with its path, GraphQL.js with its type.
_BY_PATH = re.compile(r"FieldUndefined@\[([\w/]+)\]")
_BY_TYPE = re.compile(r"Cannot query field [\"'](\w+)[\"'] on type [\"'](\w+)[\"']")

Tree = dict[str, Any]
"""By field what is asked for within it; an empty one is a leaf."""


def _leaves(names: str) -> Tree:
    return {name: {} for name in names.split()}


class Selection:
    """The fields of one tenant; ``text`` is their GraphQL."""

    def __init__(self) -> None:
        self._fields: Tree = {
            **_leaves(_PLAIN),
            "detectionSource": _leaves("product vendor"),
            "analytics": _leaves("uid name category"),
            "assignee": _leaves("userId email fullName"),
            "asset": _leaves(f"{_ASSET} lastLoggedInUser"),
            "process": {**_leaves("cmdLine username parentName"), "file": _leaves("name path sha256 sha1 md5 size")},
            "observables": _leaves("type value"),
            "realTime": {"scope": {name: _leaves("id name") for name in ("account", "site", "group")}},
        }

    @property
    def text(self) -> str:
        """The fields between their braces."""
        return _text(self._fields)

    def drop(self, complaint: str) -> bool:
        """Leaves out the field that the complaint calls unknown; False when it names none that can be left out."""
        by_path, by_type = _BY_PATH.search(complaint), _BY_TYPE.search(complaint)
        if by_path is not None:
            return _prune(self._fields, by_path[1].partition("/node/")[2].split("/"))
        if by_type is None:
            return False
        name, kind = by_type.groups()
        if kind.endswith("Alert"):
            return _prune(self._fields, [name])
        paths = [path for path in _paths(self._fields) if len(path) > 1 and path[-1] == name]
        return sum(_prune(self._fields, path) for path in paths) > 0


def _prune(fields: Tree, path: list[str]) -> bool:
    """Takes the field away, and what is empty without it."""
    first, rest = path[0], path[1:]
    if first not in fields or (not rest and first in _NEEDED and "createdAt" in fields):
        return False
    if rest and not _prune(fields[first], rest):
        return False
    if not rest or not fields[first]:
        del fields[first]
    return True


def _paths(fields: Mapping[str, Any], above: tuple[str, ...] = ()) -> list[list[str]]:
    here = [[*above, name] for name in fields]
    return here + [path for name, inner in fields.items() for path in _paths(inner, (*above, name))]


def _text(fields: Mapping[str, Any]) -> str:
    return "{" + " ".join(f"{name} {_text(inner)}" if inner else name for name, inner in fields.items()) + "}"
