"""Darktrace's evidence by what it is: AI Analyst's typed tables, and the values that met a model's conditions."""

import json
import re
from collections.abc import Iterator
from typing import Any, Final

from nightdesk.stix import values

__all__ = ["observe", "spread"]

_MOST_FACTS: Final = 30
_LONGEST: Final = 1000
_USERS: Final = re.compile(
    r"(?:user ?name|user|credential|actor|saas account|account)s?(?: (?:name|observed|used|involved|seen)\b.*)?",
    re.IGNORECASE,
)
_NAMES: Final = re.compile(r"host ?name|domain|endpoint|dns ?host|host header|server name|sni", re.IGNORECASE)
_FILES: Final = re.compile(r"(?:.* )?file(?: ?names?| paths?|s)?", re.IGNORECASE)
_NETWORK: Final = re.compile(r"AS ?(\d{1,10})\s?(.{0,200})")


def _written(value: Any) -> str:
    """A value of evidence as a person reads it."""
    if isinstance(value, dict):
        if "start" in value and "end" in value:
            return f"{value['start']} - {value['end']}"
        if "percentage" in value:
            return f"{value['percentage']}% {value.get('value', '')}".strip()
        for key in ("identifier", "hostname", "ip", "value"):
            if isinstance(value.get(key), str) and value[key]:
                return str(value[key])
        return json.dumps(value, sort_keys=True, default=str)
    return value if isinstance(value, str) else json.dumps(value, default=str)


def _contents(details: Any) -> Iterator[tuple[str, str, str, list[Any]]]:
    """(header, key, type, values) of every entry; sections lie in sections."""
    stack = [details]
    while stack:
        node = stack.pop()
        if isinstance(node, list):
            stack.extend(reversed(node))
        elif isinstance(node, dict):
            entries = node.get("contents")
            for entry in entries if isinstance(entries, list) else []:
                if isinstance(entry, dict):
                    found = entry.get("values")
                    listed = found if isinstance(found, list) else [] if found is None else [found]
                    kind = str(entry.get("type") or "")
                    yield str(node.get("header") or ""), str(entry.get("key") or ""), kind, listed


def _sorted(key: str, value: str, found: dict[str, list[Any]]) -> None:
    """Puts a text where it belongs by its shape, or by what its key calls it."""
    text = value.strip()
    number = _NETWORK.fullmatch(text)
    if values.hash_name(text):
        found["hashes"].append(text)
    elif values.url(text):
        found["urls"].append(text)
    elif _USERS.fullmatch(key):
        found["users"].append(text)
    elif values.address(text):
        found["addresses"].append(text)
    elif number:
        found["networks"].append({"number": int(number[1]), "name": number[2].strip() or None})
    elif _NAMES.search(key) and values.domain(text):
        found["domains"].append(text)
    elif _FILES.fullmatch(key) and text:
        found["files"].append(text)


def _kinds() -> dict[str, list[Any]]:
    return {
        key: [] for key in ("devices", "hosts", "users", "addresses", "domains", "urls", "hashes", "files", "networks")
    }


def _once(found: dict[str, list[Any]]) -> dict[str, list[Any]]:
    """Each thing once; one file's name and hashes, where the evidence is of one file only, stand together."""
    made = {
        key: list({json.dumps(item, sort_keys=True, default=str): item for item in items}.values())
        for key, items in found.items()
        if items
    }
    digests = made.get("hashes", [])
    if len(made.get("files", [])) == 1 and digests and len({len(digest) for digest in digests}) == len(digests):
        made["whole_files"] = [{"path": made.pop("files")[0], "hashes": made.pop("hashes")}]
    return made


def _limited(facts: dict[str, list[str]]) -> dict[str, str]:
    """Every fact once, in one text a key; what is past the most that an alert carries stands together in ``more``."""
    made = {key: ", ".join(dict.fromkeys(texts))[:_LONGEST] for key, texts in facts.items() if any(texts)}
    rest = list(made)[_MOST_FACTS:]
    if rest:
        made["more"] = "; ".join(f"{key}: {made.pop(key)}" for key in rest)
    return made


def spread(record: dict[str, Any]) -> dict[str, Any]:
    """An incident event with its ``details`` by what they are, and as ``facts`` under their keys."""
    if not isinstance(record.get("details"), list):
        return record
    found = _kinds()
    facts: dict[str, list[str]] = {}
    for header, key, kind, listed in _contents(record["details"]):
        facts.setdefault(key or header or kind, []).extend(_written(value) for value in listed)
        for value in listed:
            if kind == "device" and isinstance(value, dict):
                found["devices"].append(value)
            elif kind == "externalHost" and isinstance(value, dict):
                found["hosts"].append(value)
            elif kind == "string" and isinstance(value, str):
                _sorted(key, value, found)
    made = {key: value for key, value in record.items() if key != "details"}
    return {**made, "found": _once(found), "facts": _limited(facts)}


def observe(record: dict[str, Any]) -> dict[str, Any]:
    """A model breach with the values that met its conditions, by what they are and as ``facts`` by condition."""
    components = record.get("triggeredComponents")
    if not isinstance(components, list):
        return record
    found = _kinds()
    facts: dict[str, list[str]] = {}
    for component in components:
        filters = component.get("triggeredFilters") if isinstance(component, dict) else None
        for entry in filters if isinstance(filters, list) else []:
            name, trigger = (entry.get("filterType"), entry.get("trigger")) if isinstance(entry, dict) else (None, None)
            if not isinstance(name, str) or not isinstance(trigger, dict):
                continue
            tag = trigger.get("tag")
            value = tag.get("name") if isinstance(tag, dict) else trigger.get("value")
            if isinstance(value, str) and value.strip():
                facts.setdefault(name, []).append(value.strip())
                # ``Message`` is free text, of which a name that was asked for is the commonest.
                _sorted("hostname" if name == "Message" else name, value, found)
    return {**record, "found": _once(found), "facts": _limited(facts)}
