"""Objects to the bytes of a bundle: the same content is the same bytes and the same bundle id."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import orjson

from nightdesk.stix.scope import Scope

__all__ = ["bundle_bytes", "merge"]


def bundle_bytes(scope: Scope, objects: Sequence[Mapping[str, Any]]) -> bytes:
    """A bundle; its id is made from the ids and versions it holds."""
    content = sorted([str(entry["id"]), str(entry.get("modified", ""))] for entry in objects)
    ref = scope.key.id("bundle", content)
    return orjson.dumps({"type": "bundle", "id": ref, "objects": objects})


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
