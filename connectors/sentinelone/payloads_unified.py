"""Renders a story as a node of SentinelOne's unified alerts, with every field that their schema has."""

import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from nightdesk.connectors.sentinelone.payloads import ACCOUNT, CONFIDENCE, GROUP, SITE, number, system_of, uuid_of
from nightdesk.sdk.testing import Device, StoryAlert
from nightdesk.sdk.testing.story import TACTIC_NAMES

__all__ = ["milliseconds", "unified_payload"]


def unified_payload(alert: StoryAlert, device: Device | None) -> dict[str, Any]:
    """One node of the unified alerts, with every field that the schema has."""
    process, told = alert.process, milliseconds(alert.told)
    seen = milliseconds(alert.at)
    digest = process.sha256 if process else alert.convicted_sha256
    file = {"name": process.name if process else None, "path": process.path if process else None, "sha256": digest}
    surface = "ENDPOINT" if device or process else "IDENTITY"
    return {
        "id": str(UUID(hashlib.sha256(f"unified {alert.uid}".encode()).hexdigest()[:32], version=4)),
        "externalId": number(f"threat {alert.uid}"),
        "name": alert.title,
        "description": alert.description or alert.title,
        "severity": "INFO" if alert.severity == "informational" else alert.severity.upper(),
        "status": "NEW",
        "analystVerdict": "UNDEFINED",
        "classification": "MALWARE" if process else "UNKNOWN",
        "confidenceLevel": CONFIDENCE.get(alert.severity, "n/a").upper(),
        "detectedAt": seen,
        "createdAt": told,
        "updatedAt": told,
        "firstSeenAt": seen,
        "lastSeenAt": seen,
        "attackSurfaces": [surface],
        "detectionSource": {"product": "EDR" if device or process else "Identity", "vendor": "SentinelOne"},
        "dataSources": ["SentinelOne"],
        "analytics": {"uid": alert.rule_id, "name": alert.rule_id, "category": "Behavioral"},
        "storylineId": number(f"storyline {alert.uid}")[:16],
        "ticketId": None,
        "assignee": None,
        "noteExists": False,
        "result": "UNMITIGATED",
        "asset": None if device is None else _asset(device),
        "process": None
        if process is None and not digest
        else {
            "cmdLine": process.command_line if process else None,
            "username": alert.user or None,
            "parentName": (process.parent_name or None) if process else None,
            "file": {**file, "sha1": None, "md5": None, "size": None},
        },
        "observables": _observables(alert),
        "realTime": {
            "scope": {
                "account": {"id": ACCOUNT, "name": "Example"},
                "site": {"id": SITE, "name": "Default site"},
                "group": {"id": GROUP, "name": "Default Group"},
            }
        },
        "rawData": {"finding_info": {"title": alert.title, "attacks": _attacks(alert)}, **_evidence(alert)},
    }


def _asset(device: Device) -> dict[str, Any]:
    system, _, revision = system_of(device)
    return {
        "id": number(f"asset {device.device_id}"),
        "agentUuid": uuid_of(device),
        "agentId": device.device_id,
        "agentVersion": "24.2.3.471",
        "name": device.hostname,
        "domain": "CORP",
        "type": system.upper(),
        "category": "Server" if device.asset_type == "server" else "Workstation",
        "subcategory": "Server" if device.asset_type == "server" else "Desktop",
        "osType": system.upper(),
        "osVersion": revision,
        "networkStatus": "CONNECTED",
        "lastLoggedInUser": None,
    }


def _attacks(alert: StoryAlert) -> list[dict[str, Any]]:
    tactics = [{"name": TACTIC_NAMES.get(tactic, tactic), "uid": tactic} for tactic in alert.tactic_ids]
    found: list[dict[str, Any]] = []
    for technique in alert.technique_ids:
        main, dot, _ = technique.partition(".")
        below = {"sub_technique": {"uid": technique}} if dot else {}
        found.append({"tactics": tactics, "technique": {"uid": main}, **below})
    return found


def _evidence(alert: StoryAlert) -> dict[str, Any]:
    source = {"ip": alert.source_address, "port": alert.source_port} if alert.source_address else None
    target = {"ip": alert.destination_address, "port": alert.destination_port} if alert.destination_address else None
    user = {"user": {"name": alert.user, "uid": alert.user_sid, "domain": alert.user_domain}} if alert.user else None
    evidence = {"actor": user, "src_endpoint": source, "dst_endpoint": target}
    given = {name: part for name, part in evidence.items() if part is not None}
    return {"evidences": [given]} if given else {}


def _observables(alert: StoryAlert) -> Sequence[dict[str, Any]]:
    pairs = (("DOMAIN", alert.domain), ("HASH", alert.convicted_sha256))
    return [{"type": kind, "value": value} for kind, value in pairs if value]


def milliseconds(moment: datetime) -> str:
    """The time text of the unified alerts; the management API has microseconds."""
    utc = moment.astimezone(UTC)
    return f"{utc:%Y-%m-%dT%H:%M:%S}.{utc.microsecond // 1000:03d}Z"
