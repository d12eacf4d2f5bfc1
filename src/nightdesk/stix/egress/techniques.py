"""ATT&CK objects for consumers that do not know them: nightdesk refers to MITRE's own ids and embeds none."""

import csv
import json
from collections.abc import Iterable, Mapping
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from nightdesk.sdk.errors import ConfigError, Problem
from nightdesk.stix.egress.graph import references

__all__ = ["attack_file", "named", "verbatim"]

_KIND = "attack-pattern--"


@cache
def _table() -> Mapping[str, tuple[str, str]]:
    """Technique id and name by MITRE's STIX id; revoked ones too, for stored bundles refer to them for years."""
    text = (resources.files("nightdesk.stix") / "data" / "enterprise-techniques.tsv").read_text(encoding="utf-8")
    rows = csv.DictReader(text.splitlines(), delimiter="\t")
    return {row["stix_id"]: (row["technique_id"], row["name"]) for row in rows}


def _wanted(objects: Iterable[Mapping[str, Any]]) -> list[str]:
    """The ids of techniques that are referred to and not there, in order of appearance."""
    there = {entry["id"] for entry in objects}
    return [ref for ref in dict.fromkeys(references(list(objects))) if ref.startswith(_KIND) and ref not in there]


def named(objects: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """What the ATT&CK table knows of each technique that is missing: id, name and where MITRE describes it.

    No description: a platform that has the technique would take an empty one for news.
    """
    made: list[dict[str, Any]] = []
    for ref in _wanted(objects):
        if ref not in _table():
            continue
        technique_id, name = _table()[ref]
        page = f"https://attack.mitre.org/techniques/{technique_id.replace('.', '/')}"
        made.append(
            {
                "type": "attack-pattern",
                "spec_version": "2.1",
                "id": ref,
                "name": name,
                "external_references": [{"source_name": "mitre-attack", "external_id": technique_id, "url": page}],
            }
        )
    return made


def attack_file(path: Path) -> dict[str, dict[str, Any]]:
    """The objects of MITRE's ``enterprise-attack.json`` by id. Raises ConfigError for a file that is none."""
    try:
        found = json.loads(path.read_bytes())["objects"]
        return {entry["id"]: entry for entry in found}
    except OSError as error:
        problem = f"cannot be read ({error.strerror}); give MITRE's enterprise-attack.json"
        raise ConfigError([Problem(str(path), "", problem)]) from error
    except (ValueError, KeyError, TypeError) as error:
        problem = "is no STIX bundle; give MITRE's enterprise-attack.json"
        raise ConfigError([Problem(str(path), "", problem)]) from error


def verbatim(objects: Iterable[Mapping[str, Any]], source: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The missing techniques as the source has them, with its own objects that they refer to in turn."""
    entries = list(objects)
    there = {entry["id"] for entry in entries}
    made: dict[str, dict[str, Any]] = {}
    open_refs = _wanted(entries)
    while open_refs:
        ref = open_refs.pop(0)
        if ref in source and ref not in made and ref not in there:
            made[ref] = dict(source[ref])
            open_refs += references(source[ref])
    return list(made.values())
