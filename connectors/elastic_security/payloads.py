"""Renders a story's alert as the document a detection rule writes: flattened ``kibana.alert.*`` beside nested ECS.

Source: the alert schema and ECS field reference of Elastic Security 8.x.
"""

import base64
import hashlib
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from nightdesk.sdk.testing.story import TACTIC_NAMES, StoryAlert, StoryDevice, StoryProcess

__all__ = ["VERSION", "alert_id", "entity_id", "render", "stamp"]

VERSION = "8.19.3"
_RISK = {"informational": 21, "low": 21, "medium": 47, "high": 73, "critical": 99}
_SEVERITY = {"informational": "low"}  # the product knows no level below low
_SYSTEMS = {
    ("Windows", "workstation"): ("windows", "Windows", "Windows 11 Enterprise 23H2 (10.0.22631)"),
    ("Windows", "server"): ("windows", "Windows", "Windows Server 2022 Datacenter (10.0.20348)"),
    ("Linux", "workstation"): ("linux", "Linux", "Ubuntu 24.04"),
    ("Linux", "server"): ("linux", "Linux", "Ubuntu Server 24.04"),
    ("macOS", "workstation"): ("macos", "macOS", "macOS 15.1"),
    ("macOS", "server"): ("macos", "macOS", "macOS Server 15.1"),
}


def stamp(moment: datetime) -> str:
    """A time as Kibana writes it: UTC, milliseconds."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def alert_id(alert: StoryAlert, space: str) -> str:
    """The document id, a digest as rules make it of what they found."""
    return hashlib.sha256(f"{space}/{alert.rule_id}/{alert.uid}".encode()).hexdigest()


def system(platform: str, asset_type: str) -> dict[str, str]:
    """``host.os`` of a device."""
    family, name, full = _SYSTEMS[(platform, asset_type)]
    return {"type": family, "platform": family, "family": family, "name": name, "full": full}


def render(alert: StoryAlert, space: str) -> dict[str, Any]:
    """The document's source. Labels: ``group`` and ``building_block`` (EQL sequence), ``suppressed`` (a count)."""
    severity = _SEVERITY.get(alert.severity, alert.severity)
    told, happened = stamp(alert.told), stamp(alert.at)
    rule = _rule(alert, severity)
    event = {
        "kind": "signal",
        "category": ["process"] if alert.process else ["network"],
        "action": "rule_detection",
        "module": "endpoint",
        "dataset": "endpoint.alerts",
        "created": happened,
        "id": _short(alert.uid, "event"),
    }
    source: dict[str, Any] = {
        "@timestamp": told,
        "ecs": {"version": "8.11.0"},
        "message": alert.description or alert.title,
        **{f"event.{name}": value for name, value in event.items()},
        **{f"kibana.alert.original_event.{name}": value for name, value in {**event, "kind": "alert"}.items()},
        **{f"kibana.alert.rule.{name}": value for name, value in rule.items()},
        "kibana.alert.rule.parameters": {key: rule[key] for key in ("description", "rule_id", "threat")},
        "kibana.alert.rule.execution.timestamp": told,
        "kibana.alert.rule.execution.uuid": str(uuid.uuid5(uuid.NAMESPACE_OID, f"{alert.rule_id}{told}")),
        "kibana.alert.uuid": alert_id(alert, space),
        "kibana.alert.url": f"https://kibana.example.com/app/security/alerts/redirect/{alert_id(alert, space)}",
        "kibana.alert.start": told,
        "kibana.alert.last_detected": told,
        "kibana.alert.original_time": happened,
        "kibana.alert.ancestors": [
            {
                "id": _short(alert.uid, "ancestor"),
                "type": "event",
                "index": ".ds-logs-endpoint.alerts-000001",
                "depth": 0,
            }
        ],
        "kibana.alert.depth": 1,
        "kibana.alert.reason": f"event on {_host_name(alert)} created {severity} alert {alert.title}.",
        "kibana.alert.severity": severity,
        "kibana.alert.risk_score": _RISK[alert.severity],
        "kibana.alert.status": "active",
        "kibana.alert.workflow_status": "open",
        "kibana.alert.workflow_tags": [],
        "kibana.alert.workflow_assignee_ids": [],
        "kibana.space_ids": [space],
        "kibana.version": VERSION,
        **_labelled(alert.labels, told),
    }
    return {**source, **_entities(alert, happened)}


def _rule(alert: StoryAlert, severity: str) -> dict[str, Any]:
    return {
        "name": alert.title,
        "uuid": str(uuid.uuid5(uuid.NAMESPACE_OID, alert.rule_id)),
        "rule_id": alert.rule_id,
        "description": alert.description or alert.title,
        "category": "Custom Query Rule",
        "type": "query",
        "rule_type_id": "siem.queryRule",
        "consumer": "siem",
        "producer": "siem",
        "severity": severity,
        "risk_score": _RISK[alert.severity],
        "threat": _threat(alert),
        "tags": ["Data Source: Elastic Defend"],
        "version": 3,
        "revision": 0,
        "enabled": True,
        "interval": "5m",
        "from": "now-6m",
        "to": "now",
        "references": [],
        "false_positives": [],
    }


def _entities(alert: StoryAlert, happened: str) -> dict[str, Any]:
    """The nested ECS objects, each only when the story knows of it."""
    found: dict[str, Any] = {}
    if alert.device:
        found["agent"] = {"id": alert.device.device_id, "type": "endpoint", "version": VERSION}
        found["host"] = {
            "hostname": alert.device.hostname,
            "name": alert.device.hostname,
            "id": _short(alert.device.device_id, "machine"),
            "ip": [*alert.device.addresses, "127.0.0.1"],
            "os": system(alert.device.platform, alert.device.asset_type),
        }
    if alert.user:
        user = {"name": alert.user, "domain": alert.user_domain, "id": alert.user_sid}
        found["user"] = {name: value for name, value in user.items() if value}
    if alert.process:
        found["process"] = _process(alert.process, alert.device, happened)
    if alert.convicted_sha256:
        found["file"] = {"hash": {"sha256": alert.convicted_sha256}}
        if alert.process:
            found["file"] |= {"name": alert.process.name, "path": alert.process.path}
    if alert.source_address:
        found["source"] = _end(alert.source_address, alert.source_port)
    if alert.destination_address:
        found["destination"] = _end(alert.destination_address, alert.destination_port)
    if alert.domain:
        found["dns"] = {"question": {"name": alert.domain}}
    if alert.technique_ids or alert.tactic_ids:
        found["threat"] = _threat(alert)
    return found


def entity_id(device: StoryDevice | None, pid: int, happened: str) -> str:
    """The agent's own name of one process, unique where process ids are not."""
    return base64.b64encode(f"{device.device_id if device else ''}-{pid}-{happened}".encode()).decode()


def _process(process: StoryProcess, device: StoryDevice | None, happened: str) -> dict[str, Any]:
    rendered: dict[str, Any] = {
        "name": process.name,
        "executable": process.path,
        "command_line": process.command_line,
        "pid": process.pid,
        "entity_id": entity_id(device, process.pid, happened),
        "hash": {"sha256": process.sha256},
        "start": happened,
    }
    if process.parent_name:
        rendered["parent"] = {"name": process.parent_name, "command_line": process.parent_command_line}
    return rendered


def _threat(alert: StoryAlert) -> list[dict[str, Any]]:
    techniques: dict[str, dict[str, Any]] = {}
    for technique_id in alert.technique_ids:
        parent, _, child = technique_id.partition(".")
        entry = techniques.setdefault(parent, {**_attack("techniques", parent), "subtechnique": []})
        if child:
            entry["subtechnique"].append(_attack("techniques", technique_id))
    rows = [
        {"framework": "MITRE ATT&CK", "tactic": _attack("tactics", tactic), "technique": list(techniques.values())}
        for tactic in alert.tactic_ids
    ]
    return rows or ([{"framework": "MITRE ATT&CK", "technique": list(techniques.values())}] if techniques else [])


def _attack(kind: str, name: str) -> dict[str, str]:
    path = name.replace(".", "/")
    return {"id": name, "name": TACTIC_NAMES.get(name, name), "reference": f"https://attack.mitre.org/{kind}/{path}/"}


def _labelled(labels: Mapping[str, str], told: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if "group" in labels:
        found["kibana.alert.group.id"] = labels["group"]
    if "building_block" in labels:
        found["kibana.alert.building_block_type"] = "default"
    if "suppressed" in labels:
        found["kibana.alert.suppression.docs_count"] = int(labels["suppressed"])
        found["kibana.alert.suppression.start"] = found["kibana.alert.suppression.end"] = told
    return found


def _end(address: str, port: int | None) -> dict[str, Any]:
    return {"ip": address, **({"port": port} if port is not None else {})}


def _host_name(alert: StoryAlert) -> str:
    return alert.device.hostname if alert.device else "unknown host"


def _short(*parts: str) -> str:
    return hashlib.sha256("/".join(parts).encode()).hexdigest()[:20]
