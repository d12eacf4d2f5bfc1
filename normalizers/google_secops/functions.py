"""Detections and events as lists of what they hold, with the words of their security results beside."""

import hashlib
from collections.abc import Callable, Hashable, Mapping
from typing import Any, Final

import orjson

from nightdesk.normalizers.google_secops.tree import dicts, key_of, spread
from nightdesk.normalizers.google_secops.udm import Holdings

__all__ = ["FUNCTIONS"]

_RANK: Final = ("CRITICAL", "HIGH", "MEDIUM", "LOW", "INFORMATIONAL", "NONE")
# What security results say that stands in fields of its own; each value once.
_SAID: Final = (
    "severity", "severityDetails", "ruleName", "ruleId", "ruleVersion", "ruleType", "summary", "description", "action",
    "actionDetails", "category", "categoryDetails", "threatName", "threatId", "threatStatus", "confidence",
    "confidenceScore", "riskScore", "urlBackToProduct", "alertState",
)  # fmt: skip
_META: Final = {
    f"metadata.{name}": name
    for name in (
        "eventType", "productName", "vendorName", "logType", "productEventType", "productVersion", "description",
        "productLogId", "id",
    )
}  # fmt: skip


def _pairs(found: Any) -> dict[str, list[Any]]:
    """A list of ``{key, value}`` by key, each value once."""
    made: dict[str, dict[Hashable, Any]] = {}
    for item in dicts(found):
        key = item.get("key")
        value = item.get("value", item.get("source"))
        if isinstance(key, str) and value not in (None, ""):
            made.setdefault(key, {}).setdefault(key_of(value), value)
    return {key: list(known.values()) for key, known in made.items()}


def _single(names: Mapping[str, list[Any]]) -> dict[str, Any]:
    return {name: known[0] if len(known) == 1 else known for name, known in names.items()}


def _said(results: list[dict[str, Any]]) -> tuple[dict[str, list[Any]], dict[str, list[Any]], dict[str, Any]]:
    """(what has a field of its own, detection fields by key, all else by path) of security results."""
    said: dict[str, dict[Hashable, Any]] = {}
    fields: dict[str, list[Any]] = {}
    other: dict[str, dict[Hashable, Any]] = {}
    for result in results:
        rest = dict(result)
        for name in [name for name in _SAID if name in rest]:
            found = rest.pop(name)
            if isinstance(found, str):
                spread(found, name, said)
                continue
            told: dict[str, dict[Hashable, Any]] = {}
            spread(found, name, told)
            for path, known in told.items():
                into = (said if path == name else other).setdefault(path, {})
                for key, value in known.items():
                    into.setdefault(key, value)
        found = rest.pop("detectionFields", None)
        pairs = _pairs(found) if found else {}
        for label, every in pairs.items():
            fields.setdefault(label, []).extend(value for value in every if value not in fields[label])
        if found and not pairs:
            rest["detectionFields"] = found
        attack = rest.pop("attackDetails", None)
        if not isinstance(attack, dict | None):
            rest["attackDetails"] = attack
        if isinstance(attack, dict):
            spread(attack, "", said)
        spread(rest, "", other)
    return (
        {name: list(known.values()) for name, known in said.items()},
        fields,
        _single({name: list(known.values()) for name, known in other.items()}),
    )


def _acting(accounts: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Who acts on another account, and who is alone with what happened: the principal's, seen beside the target's."""
    aims = {str(account.get("login")).lower() for account in accounts if account.get("party") == "target"}
    made = []
    for account in accounts:
        principal = account.get("party") == "principal"
        acts = principal and bool(aims) and str(account.get("login")).lower() not in aims
        made.append({**account, **({"acts": True} if acts else {"alone": True} if principal and not aims else {})})
    return made


def _holding(events: list[dict[str, Any]]) -> dict[str, Any]:
    """The lists of what the events hold, their results, and the facts that are no object."""
    holdings = Holdings()
    for event in events:
        holdings.add(event)
    said, fields, other = _said(holdings.results)
    known = {key_of(text): text for text in said.get("severity", ())}.values()
    worst = next((word for word in _RANK if word in known), next(iter(known), None))
    rest = {path: list(found.values()) for path, found in holdings.rest.items()}
    meta = {name: rest.pop(path) for path, name in _META.items() if path in rest}
    rest.pop("metadata.eventTimestamp", None)
    rest.pop("metadata.ingestedTimestamp", None)
    additional = {
        path.removeprefix("additional."): rest.pop(path) for path in list(rest) if path.startswith("additional.")
    }
    made: dict[str, Any] = {name: list(things.values()) for name, things in holdings.lists.items()}
    times = sorted(holdings.times)
    made["accounts"] = _acting(made.get("accounts", []))
    facts = {
        "detection_fields": _single(fields),
        "results": other,
        "additional": _single(additional),
        "events": _single(rest),
    }
    made |= {
        "result": {**said, **({"worst": worst} if worst else {})},
        "meta": meta,
        "malware": holdings.malware,
        "techniques": [text for name in ("techniques.id", "techniques.subtechniqueId") for text in said.get(name, ())],
        "tactics": [*said.get("tactics.id", ()), *said.get("tactics.name", ())],
        "facts": {name: found for name, found in facts.items() if found},
        "times": {"first": times[0], "last": times[-1]} if times else None,
        "total": len(events),
    }
    return {name: value for name, value in made.items() if value not in (None, [], {})}


def _digest(udm: dict[str, Any]) -> str:
    try:
        content = orjson.dumps(udm, option=orjson.OPT_SORT_KEYS)
    except TypeError:  # nested deeper, or a number longer, than the encoder takes
        content = str(sorted(udm)).encode()
    return hashlib.sha256(content).hexdigest()[:32]


def event_held(document: dict[str, Any]) -> dict[str, Any]:
    """One event of a search as what it holds, with an id: its own, its product's, or that of its content."""
    outer = document.get("event")
    idm = outer.get("idm") if isinstance(outer, dict) else None
    udm = idm.get("readOnlyUdm") if isinstance(idm, dict) else None
    if not isinstance(udm, dict):
        return document
    meta = udm.get("metadata") if isinstance(udm.get("metadata"), dict) else {}
    own = next(
        (text for name in ("id", "productLogId") if isinstance(text := (meta or {}).get(name), str) and text), None
    )
    time = outer.get("timestamp") if isinstance(outer, dict) else None
    made = {name: value for name, value in document.items() if name != "event"}
    return {**made, **_holding([udm]), "event_id": own or _digest(udm), "timestamp": time}


def _once(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Each event once; one that is alone is not written out to be compared."""
    known: dict[Hashable, dict[str, Any]] = {}
    for event in events if len(events) > 1 else ():
        known.setdefault(key_of(event), event)
    return list(known.values()) or events


def detection_held(document: dict[str, Any]) -> dict[str, Any]:
    """A detection with what its events hold; an event that several elements refer to counts once."""
    events: list[dict[str, Any]] = []
    elements: list[Any] = []
    for element in dicts(document.get("collectionElements")):
        kept = []
        for reference in dicts(element.get("references")):
            found = reference.get("event")
            if isinstance(found, dict):
                events.append(found)
            rest = {name: value for name, value in reference.items() if name != "event" or not isinstance(found, dict)}
            if rest:
                kept.append(rest)
        elements.append(
            {**{name: value for name, value in element.items() if name != "references"}, "references": kept}
        )
    details = []
    for detail in dicts(document.get("detection")):
        pairs = {name: _single(_pairs(detail.get(name))) for name in ("ruleLabels", "detectionFields", "outcomes")}
        details.append({**detail, **{name: known for name, known in pairs.items() if known}})
    made = {name: value for name, value in document.items() if name not in {"collectionElements", "detection"}}
    kept_raw = {
        name: document[name]
        for name in ("collectionElements", "detection")
        if document.get(name) and not dicts(document[name])
    }
    return {
        **made,
        **kept_raw,
        **_holding(_once(events)),
        **({"elements": elements} if elements else {}),
        **({"details": details} if details else {}),
    }


FUNCTIONS: Final[Mapping[str, Callable[..., Any]]] = {"event_held": event_held, "detection_held": detection_held}
