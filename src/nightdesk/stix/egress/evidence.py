"""The ``evidence`` profile: a bundle that stands alone in an archive: raw events, techniques and a published case.

What is not given (a raw event, an address where it can be had, MITRE's file) is not made up: the hash of the raw event
and the reference to the technique stay as they are.
"""

import base64
import hashlib
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from nightdesk.stix.egress.facts import alert_of, case_of
from nightdesk.stix.egress.graph import derived_id, renamed
from nightdesk.stix.egress.markings import marked
from nightdesk.stix.egress.techniques import verbatim
from nightdesk.stix.ids import observable_id
from nightdesk.stix.scope import EXTENSION, preamble
from nightdesk.stix.values import clock_text

__all__ = ["INLINE_BYTES", "evidence"]

INLINE_BYTES: Final = 64 * 1024
"""The largest raw event that is carried in the bundle itself."""

_Objects = Mapping[str, Mapping[str, Any]]


def evidence(
    objects: Sequence[Mapping[str, Any]],
    *,
    raw: Mapping[str, bytes] | None = None,
    raw_url: str = "",
    attack: Mapping[str, Mapping[str, Any]] | None = None,
) -> list[dict[str, Any]]:
    """The bundle as evidence; the same when it is that already.

    ``raw`` holds raw events by their SHA-256 in hexadecimal digits; ``raw_url`` says where one too large to carry can
    be had, ``{sha256}`` in it being its hash; ``attack`` holds MITRE's own objects by id.
    """
    by_id: dict[str, dict[str, Any]] = {entry["id"]: renamed(entry, {}) for entry in objects}
    for entry in list(by_id.values()):
        if entry["type"] == "incident" and (artifact := _artifact(alert_of(entry), raw or {}, raw_url)):
            by_id.setdefault(artifact["id"], artifact)
            by_id[entry["id"]] = _with_artifact(entry, artifact["id"])
    reports = [_report(entry, by_id) for entry in by_id.values() if entry["type"] == "grouping"]
    by_id |= {report["id"]: report for report in reports}
    whole = [*_definitions(by_id), *by_id.values()]
    return [*marked(whole), *(renamed(entry, {}) for entry in verbatim(whole, attack or {}))]


def _artifact(alert: Mapping[str, Any], raw: Mapping[str, bytes], raw_url: str) -> dict[str, Any] | None:
    """The raw event of an alert, if its bytes or its address are known; python-stix2 makes its id of both forms."""
    facts = alert.get("raw", {})
    digest = facts.get("sha256", "")
    payload = raw.get(digest)
    about: dict[str, Any] = {"hashes": {"SHA-256": digest}}
    if payload is not None and len(payload) <= INLINE_BYTES and hashlib.sha256(payload).hexdigest() == digest:
        about["payload_bin"] = base64.b64encode(payload).decode()
    elif not (raw_url and digest):
        return None
    made = {"type": "artifact", "spec_version": "2.1", "id": observable_id("artifact", about)}
    where = {} if "payload_bin" in about else {"url": raw_url.replace("{sha256}", digest)}
    return {**made, "mime_type": facts["media_type"], **about, **where}


def _with_artifact(incident: Mapping[str, Any], ref: str) -> dict[str, Any]:
    alert = alert_of(incident)
    extension = {**alert, "raw": {**alert["raw"], "artifact_ref": ref}}
    return {**incident, "extensions": {**incident["extensions"], EXTENSION["alert"]: extension}}


def _report(grouping: Mapping[str, Any], by_id: _Objects) -> dict[str, Any]:
    """A case as it was published: the snapshot's id is made of the case's version and of what it lists."""
    refs = _reported(grouping, by_id)
    published = clock_text(datetime.fromisoformat(grouping["modified"]))
    kept = ("created_by_ref", "object_marking_refs", "name", "description", "confidence")
    made = {
        "type": "report",
        "spec_version": "2.1",
        "id": derived_id("report", grouping["id"], grouping["modified"], sorted(refs)),
        "created": grouping["modified"],
        "modified": grouping["modified"],
        "published": published,
        "object_refs": refs,
        **{name: grouping[name] for name in kept if name in grouping},
    }
    if case := case_of(grouping):
        made["external_references"] = [{"source_name": "nightdesk", "external_id": case["case_id"]}]
    return made


def _reported(grouping: Mapping[str, Any], by_id: _Objects) -> list[str]:
    """The case, its members, what was decided about it, and its raw events; what is not in the bundle is not listed."""
    members = [ref for ref in grouping["object_refs"] if ref in by_id]
    decided = [
        ref
        for ref, entry in by_id.items()
        if entry["type"] in {"note", "opinion"} and grouping["id"] in entry["object_refs"]
    ]
    events = [alert_of(by_id[ref]).get("raw", {}).get("artifact_ref") for ref in members]
    return list(dict.fromkeys((grouping["id"], *members, *decided, *(ref for ref in events if ref in by_id))))


def _definitions(by_id: _Objects) -> list[dict[str, Any]]:
    """The definitions of the extensions in use that the bundle lacks, with their author."""
    known = preamble()
    used = dict.fromkeys(ref for entry in by_id.values() for ref in entry.get("extensions", {}) if ref in known)
    made = [known[ref] for ref in used if ref not in by_id]
    authors = dict.fromkeys(entry["created_by_ref"] for entry in made if "created_by_ref" in entry)
    return [*(known[ref] for ref in authors if ref not in by_id), *made]
