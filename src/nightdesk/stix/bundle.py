"""Objects to the bytes of a bundle: the same content is the same bytes and the same bundle id."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Any

import orjson

from nightdesk.stix import values
from nightdesk.stix.scope import Scope

__all__ = ["Versions", "bundle_bytes", "merge"]


def bundle_bytes(scope: Scope, objects: Sequence[Mapping[str, Any]]) -> bytes:
    """A bundle; its id is made from the ids and versions it holds, in the order in which it holds them."""
    content = "".join([entry["id"] + entry.get("modified", "") for entry in objects])
    ref = scope.key.id("bundle", content)
    return orjson.dumps({"type": "bundle", "id": ref, "objects": objects})


class Versions:
    """Keeps one content for one id and version over the bundles of one run (STIX 2.1 section 3.6).

    A vendor that changes an alert without a new time of change gives two contents for one version: the later one in the
    run gets the next free millisecond.
    """

    def __init__(self) -> None:
        self._known: dict[tuple[str, str], bytes] = {}
        self.moved = 0

    def settled(self, objects: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
        """The objects, with a later ``modified`` where the run has another content for theirs."""
        return [self._settled(entry) if "modified" in entry else entry for entry in objects]

    def _settled(self, entry: dict[str, Any]) -> dict[str, Any]:
        content = orjson.dumps({**entry, "modified": ""}, option=orjson.OPT_SORT_KEYS)
        modified = entry["modified"]
        while self._known.setdefault((entry["id"], modified), content) != content:
            found = values.moment(modified)
            assert found is not None
            modified = values.created_text(found + timedelta(milliseconds=1))
        if modified == entry["modified"]:
            return entry
        self.moved += 1
        return {**entry, "modified": modified}


def merge(bundles: Iterable[Sequence[dict[str, Any]]]) -> list[dict[str, Any]]:
    """The objects of several alerts as one list, each id once, of two versions the later."""
    merged: dict[str, dict[str, Any]] = {}
    for objects in bundles:
        for entry in objects:
            known = merged.get(entry["id"])
            if known is None or entry.get("modified", "") > known.get("modified", ""):
                merged[entry["id"]] = entry
            elif "modified" not in entry:
                for name, value in entry.items():
                    known.setdefault(name, value)
    return list(merged.values())
