"""Renders a story as Falcon would: alert objects of the Alerts API and host records of the Hosts API."""

import hashlib
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from nightdesk.sdk.testing import Device, StoryAlert
from nightdesk.sdk.testing.story import TACTIC_NAMES, StoryProcess

__all__ = ["alert_payload", "host_payload", "timestamp"]

_SEVERITY: Mapping[str, int] = {"informational": 10, "low": 30, "medium": 50, "high": 70, "critical": 90}
_TECHNIQUES: Mapping[str, str] = {
    "T1003": "OS Credential Dumping",
    "T1021": "Remote Services",
    "T1027": "Obfuscated Files or Information",
    "T1047": "Windows Management Instrumentation",
    "T1053": "Scheduled Task/Job",
    "T1055": "Process Injection",
    "T1059": "Command and Scripting Interpreter",
    "T1071": "Application Layer Protocol",
    "T1078": "Valid Accounts",
    "T1105": "Ingress Tool Transfer",
    "T1110": "Brute Force",
    "T1204": "User Execution",
    "T1486": "Data Encrypted for Impact",
    "T1547": "Boot or Logon Autostart Execution",
    "T1566": "Phishing",
}
_OS: Mapping[tuple[str, str], str] = {
    ("Windows", "workstation"): "Windows 11",
    ("Windows", "server"): "Windows Server 2022",
    ("Linux", "workstation"): "Ubuntu 24.04",
    ("Linux", "server"): "RHEL 9.4",
    ("macOS", "workstation"): "Sequoia (15)",
    ("macOS", "server"): "Sequoia (15)",
}


def timestamp(moment: datetime) -> str:
    """Falcon's time text with nanoseconds; the last three digits follow from the rest, so equal times stay equal."""
    utc = moment.astimezone(UTC)
    return f"{utc:%Y-%m-%dT%H:%M:%S.%f}{utc.microsecond * 7 % 1000:03d}Z"


def host_payload(device: Device, *, cid: str, status: str, first_seen: datetime, last_seen: datetime) -> dict[str, Any]:
    """One host as ``/devices/entities/devices/v2`` gives it."""
    local = device.addresses[0] if device.addresses else ""
    mac = "-".join(_digits(f"mac {device.device_id}", 10)[at : at + 2] for at in range(0, 10, 2))
    server = device.asset_type == "server"
    return {
        "device_id": device.device_id,
        "cid": cid,
        "agent_version": "7.24.19607.0",
        "agent_load_flags": "1",
        "hostname": device.hostname,
        "local_ip": local,
        "connection_ip": local,
        "external_ip": "192.0.2.1",
        "mac_address": f"02-{mac}",
        "platform_id": {"Windows": "0", "macOS": "1", "Linux": "3"}[device.platform],
        "platform_name": "Mac" if device.platform == "macOS" else device.platform,
        "os_version": _OS[device.platform, device.asset_type],
        "product_type": "3" if server else "1",
        "product_type_desc": "Server" if server else "Workstation",
        "machine_domain": "corp.example.com",
        "groups": [_digits("group all", 32)],
        "tags": [],
        "first_seen": _seconds(first_seen),
        "last_seen": _seconds(last_seen),
        "modified_timestamp": _seconds(last_seen),
        "status": status,
    }


def alert_payload(alert: StoryAlert, *, cid: str, console: str, device: Mapping[str, Any] | None) -> dict[str, Any]:
    """One alert as the Alerts API gives it: an endpoint detection, or an identity one without host and process."""
    agent = str(device["device_id"]) if device else _digits(f"agentless {alert.uid}", 32)
    pattern = int(alert.rule_id) if alert.rule_id.isdecimal() else 10_000 + int(_digits(alert.rule_id, 8), 16) % 40_000
    number = f"{17_000_000_000 + int(_digits(alert.uid, 10), 16) % 900_000_000}-{pattern}-{_digits(alert.uid, 7)}"
    endpoint = device is not None or alert.process is not None
    identifier = f"ind:{agent}:{number}"
    composite = f"{cid}:{identifier}"
    created = timestamp(alert.told)
    payload: dict[str, Any] = {
        "composite_id": composite,
        "id": identifier,
        "indicator_id": identifier,
        "aggregate_id": f"aggind:{agent}:{_digits(f'{agent} tree', 11)}",
        "cid": cid,
        "agent_id": agent,
        "name": "".join(word.capitalize() for word in re.findall(r"[A-Za-z0-9]+", alert.title)) or "Detection",
        "display_name": alert.title,
        "description": alert.description or alert.title,
        "severity": _SEVERITY[alert.severity],
        "severity_name": alert.severity.capitalize(),
        "confidence": 80,
        "status": "new",
        "tags": [],
        "comments": [],
        "assigned_to_name": "",
        "show_in_ui": True,
        "email_sent": True,
        "data_domains": ["Endpoint" if endpoint else "Identity"],
        "product": "epp" if endpoint else "idp",
        "type": "ldt" if endpoint else "idp-user-endpoint-app-info",
        "scenario": "suspicious_activity",
        "objective": "Falcon Detection Method",
        "pattern_id": pattern,
        "pattern_disposition": 0,
        "pattern_disposition_description": "Detection, standard detection.",
        "pattern_disposition_details": {"detect": True, "kill_process": False, "quarantine_file": False},
        "mitre_attack": _attack(alert, pattern),
        "source_products": ["Falcon Insight" if endpoint else "Falcon Identity Protection"],
        "source_vendors": ["CrowdStrike"],
        "timestamp": f"{alert.at.astimezone(UTC):%Y-%m-%dT%H:%M:%S}.{alert.at.microsecond // 1000:03d}Z",
        "context_timestamp": f"{alert.at.astimezone(UTC):%Y-%m-%dT%H:%M:%S}.{alert.at.microsecond // 1000:03d}Z",
        "crawled_timestamp": created,
        "created_timestamp": created,
        "updated_timestamp": created,
        "seconds_to_triaged": 0,
        "seconds_to_resolved": 0,
        "falcon_host_link": f"{console}/activity-v2/detections/{composite}?_cid={_digits(cid, 24)}",
    }
    if payload["mitre_attack"]:
        first = payload["mitre_attack"][0]
        payload.update({name: first[name] for name in ("tactic", "tactic_id", "technique", "technique_id")})
    payload.update(_endpoint(alert, agent, device) if endpoint else _identity(alert))
    return payload


def _attack(alert: StoryAlert, pattern: int) -> list[dict[str, Any]]:
    tactics = alert.tactic_ids or ("",) * len(alert.technique_ids)
    techniques = alert.technique_ids or ("",) * len(alert.tactic_ids)
    rows = []
    for number in range(max(len(tactics), len(techniques))):
        tactic, technique = tactics[min(number, len(tactics) - 1)], techniques[min(number, len(techniques) - 1)]
        name = _TECHNIQUES.get(technique.partition(".")[0], technique)
        first = {"pattern_id": pattern, "tactic": TACTIC_NAMES.get(tactic, tactic), "tactic_id": tactic}
        rows.append({**first, "technique": name, "technique_id": technique})
    return rows


def _endpoint(alert: StoryAlert, agent: str, device: Mapping[str, Any] | None) -> dict[str, Any]:
    user_graph = {"user_graph_id": f"uid:{agent}:{alert.user_sid}"} if alert.user_sid else {}
    user = {"user_name": alert.user, "user_id": alert.user_sid, **user_graph}
    part: dict[str, Any] = {
        "control_graph_id": f"ctg:{agent}:{_digits(f'{agent} tree', 11)}",
        "logon_domain": alert.user_domain,
        **({"device": dict(device), "platform": device["platform_name"]} if device else {}),
        **(user if alert.user else {}),
    }
    if alert.process is not None:
        part.update(_process(alert.process, alert, agent, user))
    if alert.destination_address or (alert.source_address and not device):
        part["network_accesses"] = [
            {
                "access_type": 0,
                "access_timestamp": int(alert.at.timestamp()),
                "protocol": "TCP",
                "local_address": alert.source_address or (device or {}).get("local_ip", ""),
                "local_port": alert.source_port or 0,
                "remote_address": alert.destination_address,
                "remote_port": alert.destination_port or 0,
                "connection_direction": 0,
                "isIPV6": ":" in alert.destination_address,
            }
        ]
    elif alert.source_address and device and alert.source_address != device["local_ip"]:
        part["source_endpoint_address_ip4"] = alert.source_address
    if alert.domain:
        moment = int(alert.at.timestamp())
        part["dns_requests"] = [{"domain_name": alert.domain, "request_type": "A", "load_time": moment}]
    if alert.convicted_sha256:
        part.update({"ioc_type": "hash_sha256", "ioc_value": alert.convicted_sha256, "ioc_source": "library_load"})
    return part


def _process(process: StoryProcess, alert: StoryAlert, agent: str, user: Mapping[str, str]) -> dict[str, Any]:
    number = str(int(_digits(f"{alert.uid} process", 9), 16))
    part: dict[str, Any] = {
        "filename": process.name,
        "filepath": _device_path(process.path),
        "cmdline": process.command_line,
        "sha256": process.sha256,
        "local_process_id": str(process.pid),
        "process_id": number,
        "process_start_time": str(int((alert.at - timedelta(seconds=2)).timestamp())),
        "triggering_process_graph_id": f"pid:{agent}:{number}",
    }
    if process.parent_name:
        parent = str(int(_digits(f"{alert.uid} parent", 9), 16))
        part["parent_process_id"] = parent
        part["parent_details"] = {
            "filename": process.parent_name,
            "filepath": "",
            "cmdline": process.parent_command_line,
            "process_id": parent,
            "process_graph_id": f"pid:{agent}:{parent}",
            "timestamp": f"{alert.at.astimezone(UTC) - timedelta(seconds=30):%Y-%m-%dT%H:%M:%SZ}",
            **user,
        }
    return part


def _identity(alert: StoryAlert) -> dict[str, Any]:
    return {
        "source_account_name": alert.user,
        "source_account_domain": alert.user_domain,
        "source_account_object_sid": alert.user_sid,
        "user_name": alert.user,
        **({"source_endpoint_address_ip4": alert.source_address} if alert.source_address else {}),
        "start_time": timestamp(alert.at),
        "end_time": timestamp(alert.at),
    }


def _device_path(path: str) -> str:
    """Falcon shows a Windows volume by its device name."""
    return re.sub(r"^[A-Za-z]:\\", r"\\Device\\HarddiskVolume3\\", path)


def _seconds(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


def _digits(seed: str, count: int) -> str:
    return hashlib.sha256(seed.encode()).hexdigest()[:count]
