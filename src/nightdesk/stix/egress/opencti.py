"""The ``opencti`` profile: a bundle as that platform's workers take it whole.

Its ``incident`` knows ``severity``, ``source``, ``incident_type``, ``first_seen`` and ``last_seen``; its case is a
``case-incident``; it has TLP ids of its own (pycti, ``MarkingDefinition.generate_id``); what refers to an object that
is in neither bundle nor platform is dropped there, so everything referred to is embedded. The result is not strictly
STIX: ``severity`` is a reserved name.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Final

from nightdesk.stix.egress.facts import alert_of, case_of, techniques_of, window
from nightdesk.stix.egress.graph import closed, derived_id, renamed, without_definitions
from nightdesk.stix.egress.markings import marked
from nightdesk.stix.egress.techniques import named
from nightdesk.stix.scope import EXTENSION, TLP

__all__ = ["TLP_IDS", "opencti"]

TLP_IDS: Final[Mapping[str, str]] = {
    "clear": "marking-definition--613f2e26-407d-48c7-9eca-b8e91df99dc9",
    "green": "marking-definition--34098fce-860f-48ae-8e50-ebd3cc5e41da",
    "amber": "marking-definition--f88d31f6-486f-44da-b317-01333bde0b82",
    "amber+strict": "marking-definition--826578e1-40ad-459f-bc73-ede076f81f37",
    "red": "marking-definition--5e57c739-391a-4eb3-b6be-7d15ca92d5ed",
}
# The first, second, third and fifth are those of STIX 2.1 section 7.2.1.4, to the letter: there, clear is "white".
_TLP_1: Final[Mapping[str, str]] = {"clear": "white", "green": "green", "amber": "amber", "red": "red"}
_SEVERITY: Final[Mapping[int, str]] = {1: "low", 2: "low", 3: "medium", 4: "high", 5: "critical", 6: "critical"}
_PRIORITY: Final[Mapping[int, str]] = {1: "P4", 2: "P4", 3: "P3", 4: "P2", 5: "P1", 6: "P1"}


def opencti(objects: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The bundle for OpenCTI; the same when it is one already."""
    plain = without_definitions(marked(objects))
    embedded = closed([*(_with_mitre_id(entry) for entry in named(plain)), *plain])
    by_id = {entry["id"]: entry for entry in embedded}
    names = {TLP[word]: ref for word, ref in TLP_IDS.items()}
    made = []
    for entry in embedded:
        changed = _changed(entry, by_id)
        if changed["id"] != entry["id"]:
            names[entry["id"]] = changed["id"]
        made.append(changed)
    return _told_apart([renamed(entry, names) for entry in made])


def _changed(entry: Mapping[str, Any], by_id: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    kind = entry["type"]
    if kind == "marking-definition":
        return _tlp(entry)
    if kind == "incident":
        return _incident(entry, by_id)
    if kind == "grouping":
        return _case_incident(entry, by_id)
    if kind == "relationship":
        return _relationship(entry, by_id)
    if entry.get("created_by_ref") == entry["id"]:
        return {name: value for name, value in entry.items() if name != "created_by_ref"}
    return dict(entry)


def _tlp(entry: Mapping[str, Any]) -> dict[str, Any]:
    word = next((word for word, ref in TLP.items() if ref == entry["id"]), None)
    if word is None:
        return dict(entry)
    made = {"type": "marking-definition", "spec_version": "2.1", "id": TLP_IDS[word]}
    if word in _TLP_1:
        about = {"definition_type": "tlp", "name": f"TLP:{_TLP_1[word].upper()}", "definition": {"tlp": _TLP_1[word]}}
        return {**made, "created": "2017-01-20T00:00:00.000Z", **about}
    name = f"TLP:{word.upper()}"
    own = {"x_opencti_definition_type": "TLP", "x_opencti_definition": name}
    statement = {"definition_type": "statement", "definition": {"statement": name}}
    return {**made, "created": entry["created"], "name": name, **statement, **own}


def _with_mitre_id(technique: Mapping[str, Any]) -> dict[str, Any]:
    return {**technique, "x_mitre_id": technique["external_references"][0]["external_id"]}


def _incident(entry: Mapping[str, Any], by_id: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    alert = alert_of(entry)
    if not alert or "incident_type" in entry:
        return dict(entry)
    first, last = window(entry, by_id)
    made = {**entry, "incident_type": "alert", "source": alert["product"], "first_seen": first, "last_seen": last}
    if word := _SEVERITY.get(alert["severity_id"]):
        made["severity"] = word
    if url := alert.get("console_url"):
        made["external_references"] = _linked(entry.get("external_references", ()), alert, url)
    return made


def _linked(references: Sequence[Mapping[str, Any]], alert: Mapping[str, Any], url: str) -> list[dict[str, Any]]:
    """The references, that of the alert itself with the way to the product's console."""
    made = [dict(reference) for reference in references]
    own = next((one for one in made if one.get("external_id") == alert["native_id"]), None)
    if own is None:
        return [{"source_name": alert["product"], "external_id": alert["native_id"], "url": url}, *made]
    own["url"] = url
    return made


def _case_incident(entry: Mapping[str, Any], by_id: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    case = case_of(entry)
    kept = {name: value for name, value in entry.items() if name not in {"context", "extensions", "object_refs"}}
    made = {**kept, "type": "case-incident", "id": derived_id("case-incident", entry["id"])}
    severity = case.get("severity_id", 0)
    if word := _SEVERITY.get(severity):
        made["severity"] = word
    if priority := case["priority"].upper() if "priority" in case else _PRIORITY.get(severity):
        made["priority"] = priority
    references = [{"source_name": "nightdesk", "external_id": case["case_id"]}] if case else []
    references += [_native(one) for one in case.get("native_cases", ())]
    if references:
        made["external_references"] = [*entry.get("external_references", ()), *references]
    made["object_refs"] = [*entry["object_refs"], *techniques_of(entry["object_refs"], by_id)]
    return made


def _native(case: Mapping[str, Any]) -> dict[str, Any]:
    made = {"source_name": case["product"], "external_id": case["native_id"]}
    return {**made, "url": case["console_url"]} if "console_url" in case else made


def _relationship(entry: Mapping[str, Any], by_id: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """An incident uses techniques and targets assets; another type is another relationship, with another id."""
    source, target = by_id[entry["source_ref"]], by_id[entry["target_ref"]]
    kind = ""
    if source["type"] == "incident" and entry["relationship_type"] == "related-to":
        if target["type"] == "attack-pattern":
            kind = "uses"
        elif EXTENSION["asset"] in target.get("extensions", {}):
            kind = "targets"
    if not kind:
        return dict(entry)
    return {**entry, "id": derived_id("relationship", entry["id"], kind), "relationship_type": kind}


def _told_apart(objects: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """An incident is known there by name and creation: two alerts of one rule and moment would become one."""
    for label in ("native_id", "instance"):
        pairs = Counter((entry["name"], entry["created"]) for entry in objects if entry["type"] == "incident")
        objects = [
            {**entry, "name": f"{entry['name']} [{alert_of(entry)[label]}]"}
            if entry["type"] == "incident" and pairs[entry["name"], entry["created"]] > 1 and alert_of(entry)
            else entry
            for entry in objects
        ]
    return list(objects)
