"""Judges a bundle by programs that are not ours: OASIS's validator with our schemas, and python-stix2."""

import contextlib
import copy
import io
import json
import uuid
from importlib import resources
from typing import Any

import stix2
import stix2validator
from stix2.registry import STIX2_OBJ_MAPS

__all__ = ["faults"]

_SCHEMAS = str(resources.files("nightdesk.stix") / "data" / "schemas")


def faults(bundle: bytes) -> list[str]:
    """Everything that is wrong with it: what the validator merely warns of counts too."""
    document = json.loads(bundle)
    return [
        *_by_validator(document),
        *_by_library(document),
        *_ids(document["objects"]),
        *_references(document["objects"]),
    ]


def _by_validator(document: dict[str, Any]) -> list[str]:
    options = stix2validator.ValidationOptions(
        version="2.1", strict=False, strict_properties=True, verbose=True, schema_dir=_SCHEMAS
    )
    with contextlib.redirect_stdout(io.StringIO()):
        result = stix2validator.validate_instance(copy.deepcopy(document), options)
    return [f"validator: {found}" for found in (*(result.errors or ()), *(result.warnings or ()))]


def _by_library(document: dict[str, Any]) -> list[str]:
    parsed = stix2.parse(copy.deepcopy(document), allow_custom=False, version="2.1")
    again = json.loads(parsed.serialize())
    return [
        f"python-stix2 writes it otherwise: {ours['id']}"
        for ours, theirs in zip(document["objects"], again["objects"], strict=True)
        if ours != theirs
    ]


def _ids(objects: list[dict[str, Any]]) -> list[str]:
    classes = STIX2_OBJ_MAPS["2.1"]["observables"]
    found = []
    for entry in objects:
        made = classes.get(entry["type"])
        if made is None:
            continue
        wanted = made(allow_custom=False, **copy.deepcopy(entry))._generate_id()
        if wanted is None:
            if uuid.UUID(entry["id"].partition("--")[2]).version != 4:
                found.append(f"id: {entry['id']} should be of version 4")
        elif wanted != entry["id"]:
            found.append(f"id: python-stix2 says {wanted}, not {entry['id']}")
    ids = [entry["id"] for entry in objects]
    return found + [f"id: {ref} stands twice" for ref in dict.fromkeys(ids) if ids.count(ref) > 1]


def _references(objects: list[dict[str, Any]]) -> list[str]:
    known = {entry["id"] for entry in objects}
    return [
        f"reference: {ref} of {entry['id']} is not in the bundle"
        for entry in objects
        for ref in _refs(entry)
        if ref not in known and not ref.startswith("attack-pattern--")
    ]


def _refs(node: Any, name: str = "") -> list[str]:
    if isinstance(node, dict):
        return [ref for key, value in node.items() for ref in _refs(value, key)]
    if isinstance(node, list):
        return [ref for value in node for ref in _refs(value, name)]
    return [node] if name.endswith(("_ref", "_refs")) and isinstance(node, str) else []
