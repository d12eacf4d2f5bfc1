"""The ``misp`` profile: a bundle that misp-stix imports as one event a case, without an error.

MISP has no incidents: their facts go as text into the grouping's description, which becomes the event's report, and so
do HTTP requests, on which the import fails. What is said of an incident and its case (notes, opinions) is said of the
event. Techniques are embedded and listed, so that they arrive as clusters. A bundle of alerts that are in no case gets
one ``grouping`` for each incident, made of the incident's own name, times and marking, with an id that is derived from
the incident's: one event an alert.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from nightdesk.stix.egress.facts import in_words, request_in_words, techniques_of
from nightdesk.stix.egress.graph import closed, derived_id, references, renamed, without_definitions
from nightdesk.stix.egress.mail import in_one_place
from nightdesk.stix.egress.markings import marked
from nightdesk.stix.egress.techniques import named
from nightdesk.stix.scope import FIXED_CREATED
from nightdesk.stix.values import created_text

__all__ = ["misp"]

# What belongs to an alert only when that alert itself names it, and what never belongs to one.
_BARRED: Final = frozenset({"incident", "observed-data", "sighting", "grouping", "report", "note", "opinion"})
_ABOUT: Final = frozenset({"note", "opinion"})
_REQUEST: Final = "http-request-ext"
_OF_A_PROCESS: Final = ("command_line", "created_time", "cwd", "environment_variables", "is_hidden", "pid")
_ADDRESSES: Final = frozenset({"ipv4-addr", "ipv6-addr"})
_ENDS: Final = ("source_ref", "target_ref", "sighting_of_ref")

_Objects = Mapping[str, Mapping[str, Any]]


def misp(objects: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The bundle for MISP; the same when it is one already."""
    plain = without_definitions(marked(objects))
    times = {"created": FIXED_CREATED, "modified": FIXED_CREATED}
    by_id: _Objects = {entry["id"]: entry for entry in [*({**entry, **times} for entry in named(plain)), *plain]}
    groupings = [entry for entry in by_id.values() if entry["type"] == "grouping"]
    listed = {ref for grouping in groupings for ref in grouping["object_refs"]}
    alone = [entry for ref, entry in by_id.items() if entry["type"] == "incident" and ref not in listed]
    bundle = _Bundle(by_id)
    groupings += [_of_one(incident, bundle) for incident in alone]
    by_id = in_one_place(groupings, by_id)
    groupings = [by_id[grouping["id"]] for grouping in groupings]
    events: dict[str, list[str]] = {}
    for grouping in groupings:
        for ref in grouping["object_refs"]:
            events.setdefault(ref, []).append(grouping["id"])
    kept = [
        _about_events(entry, events) if entry["type"] in _ABOUT else entry
        for entry in by_id.values()
        if entry["type"] not in {"grouping", "incident"}
    ]
    kept = [_as_taken(entry) for entry in kept if not _says_nothing(entry)]
    said = [entry for entry in kept if entry["type"] in _ABOUT]
    made = closed([*kept, *(_event(grouping, by_id, said) for grouping in groupings)])
    return [renamed(entry, {}) for entry in made]


def _event(grouping: Mapping[str, Any], by_id: _Objects, said: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """A grouping that says in words what its incidents said, and lists the techniques they are about.

    It lists its notes and opinions too: misp-stix attaches them either way, and calls unlisted ones unknown.
    """
    members = grouping["object_refs"]
    words = [in_words(by_id[ref]) for ref in members if ref in by_id and by_id[ref]["type"] == "incident"]
    requests = "\n".join(request_in_words(by_id[ref]) for ref in members if _REQUEST in _extensions(by_id.get(ref)))
    text = "\n\n".join(part for part in (grouping.get("description"), *words, requests) if part)
    about = [entry["id"] for entry in said if grouping["id"] in entry["object_refs"]]
    refs = dict.fromkeys((*members, *techniques_of(members, by_id), *about))
    made = {**grouping, "object_refs": list(refs)}
    return {**made, "description": text} if text else made


def _about_events(entry: Mapping[str, Any], events: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """A note or opinion about the events of the incidents that it was about."""
    refs: dict[str, None] = {}
    for ref in entry["object_refs"]:
        refs.update(dict.fromkeys(events.get(ref, []) if ref.startswith("incident--") else [ref]))
    return {**entry, "object_refs": list(refs)}


def _extensions(entry: Mapping[str, Any] | None) -> Mapping[str, Any]:
    return entry.get("extensions", {}) if entry and entry["type"] == "network-traffic" else {}


def _says_nothing(entry: Mapping[str, Any]) -> bool:
    """Whether it is a process of which only other objects are known: MISP keeps no object without an attribute."""
    return entry["type"] == "process" and not any(name in entry for name in _OF_A_PROCESS)


def _as_taken(entry: Mapping[str, Any]) -> dict[str, Any]:
    """The object without what misp-stix 2026.10.12 fails on."""
    if entry["type"] == "observed-data":
        refs = entry["object_refs"]
        if len(kinds := {ref.partition("--")[0] for ref in refs}) > 1 and kinds - _ADDRESSES == {"autonomous-system"}:
            # "Unknown STIX parsing function name: _parse_asn_observable_object_refs"; the event has it either way.
            refs = [ref for ref in refs if not ref.startswith("autonomous-system--")]
        return _with_a_window({**entry, "object_refs": refs})
    if _REQUEST not in _extensions(entry):
        return dict(entry)
    # "no attribute '_parse_http_request_observable'": the connection would be lost, so the request goes as text.
    left = {name: value for name, value in entry["extensions"].items() if name != _REQUEST}
    made = {name: value for name, value in entry.items() if name != "extensions"}
    return {**made, "extensions": left} if left else made


def _with_a_window(entry: Mapping[str, Any]) -> dict[str, Any]:
    """An observation whose version is later than what it saw, by the millisecond that MISP's seconds do not show.

    misp-stix takes no window from one with a single time, and fails on the next one that shares an observable with it:
    "can't compare offset-naive and offset-aware datetimes".
    """
    times = {datetime.fromisoformat(entry[name]) for name in ("modified", "first_observed", "last_observed")}
    if len(times) > 1:
        return dict(entry)
    return {**entry, "modified": created_text(times.pop() + timedelta(milliseconds=1))}


def _of_one(incident: Mapping[str, Any], bundle: "_Bundle") -> dict[str, Any]:
    """The grouping of an incident that is in no case."""
    made = {
        "type": "grouping",
        "spec_version": "2.1",
        "id": derived_id("grouping", incident["id"]),
        "created": incident["created"],
        "modified": incident["modified"],
        "name": incident["name"],
        "context": "suspicious-activity",
        "object_refs": bundle.reach(incident),
    }
    return {**made, **{name: incident[name] for name in ("created_by_ref", "object_marking_refs") if name in incident}}


class _Bundle:
    """Who leads to whom in a bundle, gathered once for all its incidents."""

    def __init__(self, by_id: _Objects) -> None:
        self._by_id = by_id
        self._place = {ref: place for place, ref in enumerate(by_id)}
        self._from: dict[str, list[str]] = {}
        self._to: dict[str, list[str]] = {}
        self._authors = {entry.get("created_by_ref") for entry in by_id.values()}
        for ref, entry in by_id.items():
            if entry["type"] == "relationship":
                self._from.setdefault(entry["source_ref"], []).append(ref)
                self._to.setdefault(entry["target_ref"], []).append(ref)
            elif entry["type"] == "sighting":
                for seen in entry.get("observed_data_refs", ()):
                    self._to.setdefault(seen, []).append(ref)

    def reach(self, incident: Mapping[str, Any]) -> list[str]:
        """What an incident leads to, in the bundle's order; nothing that only another alert of it leads to."""
        linked = (str(self._by_id[link]["target_ref"]) for link in self._from.get(incident["id"], ()))
        data = {ref for ref in (*references(incident), *linked) if ref.startswith("observed-data--")}
        about = [ref for seen in data for ref in self._to.get(seen, ())]
        own = {incident["id"], *data, *about}
        members: set[str] = set()
        waiting = list(own)
        while waiting:
            ref = waiting.pop()
            entry = self._by_id.get(ref)
            if entry is None or ref in members or ref in self._authors:
                continue
            if entry["type"] in _BARRED and ref not in own:
                continue
            members.add(ref)
            waiting += references({name: value for name, value in entry.items() if name != "object_marking_refs"})
            waiting += self._from.get(ref, ())
        return sorted((ref for ref in members if self._whole(ref, members)), key=self._place.__getitem__)

    def _whole(self, ref: str, members: set[str]) -> bool:
        entry = self._by_id[ref]
        return all(entry[name] in members for name in _ENDS if name in entry)
