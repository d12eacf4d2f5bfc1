"""The facts of a decision read back from a STIX bundle, for those who have the bundle and not the vendor's alert.

What the hub wrote comes back as it went in, as far as decisions ask; of another producer's incident as much as the
standard properties say.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from nightdesk.sdk.case import Alert, Entity, EntityKind
from nightdesk.sdk.errors import MappingError
from nightdesk.stix.egress.facts import alert_of, window
from nightdesk.stix.scope import EXTENSION, INCIDENT_CORE

__all__ = ["alerts_of"]

_Object = Mapping[str, Any]
_ASSET = EXTENSION["asset"]
_VALUES = {
    "ipv4-addr": EntityKind.ADDRESS,
    "ipv6-addr": EntityKind.ADDRESS,
    "domain-name": EntityKind.DOMAIN,
    "url": EntityKind.URL,
    "email-addr": EntityKind.EMAIL,
}
_HASHES = (("SHA-256", "sha256"), ("SHA-1", "sha1"), ("MD5", "md5"))


def alerts_of(objects: Sequence[_Object], tenant: str, *, source: str = "") -> list[Alert]:
    """One alert for each incident of the bundle, in its order. Raises MappingError where there is none."""
    by_id = {str(one["id"]): one for one in objects if isinstance(one, Mapping) and "id" in one}
    found = [_alert(one, by_id, tenant) for one in by_id.values() if one.get("type") == "incident"]
    if not found:
        raise MappingError("a bundle without an incident", pointer="/objects", source=source)
    return found


def _alert(incident: _Object, by_id: Mapping[str, _Object], tenant: str) -> Alert:
    said = alert_of(incident)
    try:
        first, last = (datetime.fromisoformat(text) for text in window(incident, by_id))
        created, modified = (datetime.fromisoformat(incident[name]) for name in ("created", "modified"))
    except (KeyError, TypeError, ValueError) as error:
        raise MappingError(f"no usable time: {error}", pointer="/", source=str(incident.get("id", ""))) from error
    rule = said.get("rule", {})
    attack = [
        one["external_id"]
        for one in incident.get("external_references", ())
        if one.get("source_name") == "mitre-attack" and one.get("external_id")
    ]
    core = incident.get("extensions", {}).get(INCIDENT_CORE, {})
    return Alert(
        tenant=tenant,
        alert_id=str(incident["id"]),
        instance=said.get("instance", ""),
        product=said.get("product", ""),
        native_id=said.get("native_id", str(incident["id"])),
        title=incident.get("name", ""),
        created=created,
        modified=modified,
        first_seen=first,
        last_seen=last,
        severity_id=said.get("severity_id", 0),
        confidence=incident.get("confidence"),
        description=incident.get("description", ""),
        rule_id=rule.get("rule_id", ""),
        rule_name=rule.get("rule_name", ""),
        rule_version=rule.get("rule_version", ""),
        native_status=said.get("native_status", ""),
        native_verdict=said.get("native_verdict", ""),
        closed_at_source=core.get("investigation_status") == "closed",
        disposition=said.get("disposition", ""),
        techniques=tuple(text for text in attack if text.startswith("T") and not text.startswith("TA")),
        tactics=tuple(text for text in attack if text.startswith("TA")),
        entities=tuple(_entities(said, by_id)),
        console_url=said.get("console_url", ""),
    )


def _entities(said: _Object, by_id: Mapping[str, _Object]) -> Iterator[Entity]:
    """What the alert names, with its role; what was only observed, as *other*."""
    roles: dict[str, str] = {}
    for one in said.get("entities", ()):
        roles.setdefault(one["entity_ref"], one["role"])
    for ref in said.get("observed_data_refs", ()):
        for seen in by_id.get(ref, {}).get("object_refs", ()):
            roles.setdefault(seen, "other")
    kept: set[str] = set()
    for ref, role in roles.items():
        for entity in _things(by_id.get(ref, {}), ref, role):
            if entity.key not in kept:
                kept.add(entity.key)
                yield entity


def _things(one: _Object, ref: str, role: str) -> Iterator[Entity]:
    kind = str(one.get("type", ""))
    if kind in _VALUES:
        yield Entity(_VALUES[kind], one["value"], role, ref)
    elif kind == "user-account":
        login, uid = one.get("account_login", ""), one.get("user_id", "")
        facts = {"login": login, "uid": uid}
        yield Entity(EntityKind.ACCOUNT, (login or uid).lower(), role, ref, _said(facts))
    elif kind == "file":
        hashes = one.get("hashes", {})
        short = next((f"{word}:{hashes[name].lower()}" for name, word in _HASHES if name in hashes), "")
        if short:
            yield Entity(EntityKind.FILE, short, role, ref, _said({"name": one.get("name", "")}))
    elif kind == "process" and role != "other":
        pid = str(one["pid"]) if "pid" in one else ""
        yield Entity(EntityKind.PROCESS, ref.partition("--")[2], role, ref, _said({"pid": pid}))
    elif kind == "identity" and _ASSET in one.get("extensions", {}):
        yield from _asset(one["extensions"][_ASSET], ref, role)


def _asset(asset: _Object, ref: str, role: str) -> Iterator[Entity]:
    """A host, and the device behind it where the product has an id of its own for it."""
    label, uid = asset.get("hostname", ""), str(asset.get("asset_uid", ""))
    own = "" if uid.startswith("fqdn:") else uid.partition(":")[2]
    stated = asset.get("asset_type", "")
    if label:
        facts = {"hostname": label, "device_id": own, "asset_type": "" if stated == "other" else stated}
        yield Entity(EntityKind.HOST, label.partition(".")[0].lower(), role, ref, _said(facts))
    if own:
        yield Entity(EntityKind.DEVICE, uid, role, ref, _said({"hostname": label}))


def _said(facts: Mapping[str, str]) -> dict[str, str]:
    return {name: text for name, text in facts.items() if text}
