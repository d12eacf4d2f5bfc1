"""Renders a story as Carbon Black Cloud would: alerts of the v7 schema, devices of the v6 API."""

from collections.abc import Mapping
from datetime import datetime
from hashlib import sha256
from typing import Any
from uuid import UUID

from nightdesk.connectors.carbon_black_cloud.wire import millis
from nightdesk.sdk.testing import Device, StoryAlert

__all__ = ["alert_payload", "device_payload", "number_of"]

_SEVERITIES: Mapping[str, int] = {"informational": 1, "low": 2, "medium": 4, "high": 7, "critical": 10}
_SYSTEMS: Mapping[str, str] = {"Windows": "WINDOWS", "Linux": "LINUX", "macOS": "MAC"}
_VERSIONS: Mapping[tuple[str, str], str] = {
    ("Windows", "workstation"): "Windows 11 x64",
    ("Windows", "server"): "Windows Server 2022 x64",
    ("Linux", "workstation"): "Ubuntu 24.04 x64",
    ("Linux", "server"): "Red Hat Enterprise Linux 9.4 x64",
    ("macOS", "workstation"): "MAC OS X 15.1",
    ("macOS", "server"): "MAC OS X 15.1",
}
_FILES = ("name", "sha256", "md5", "pid", "cmdline", "guid", "username", "reputation", "effective_reputation")


def _digits(seed: str, count: int) -> str:
    return sha256(seed.encode()).hexdigest()[:count]


def number_of(device_id: str) -> str:
    """The device number that belongs to a story's device id."""
    return str(10_000_000 + int(_digits(f"device {device_id}", 12), 16) % 80_000_000)


def alert_payload(alert: StoryAlert, *, org_key: str, device: Device | None, name: str, console: str) -> dict[str, Any]:
    """One alert as ``alerts/_search`` gives it; ``name`` is what the device is called."""
    alert_id = str(UUID(_digits(f"{org_key} {alert.uid}", 32)))
    told = millis(alert.told)
    system = {"change_timestamp": told, "changed_by_type": "SYSTEM", "changed_by": "ALERT_CREATION"}
    user = f"{alert.user_domain}\\{alert.user}" if alert.user_domain and alert.user else alert.user
    return {
        "org_key": org_key,
        "alert_url": f"{console}/alerts?s[c][query_string]=id:{alert_id}&orgKey={org_key}",
        "id": alert_id,
        "type": "CB_ANALYTICS" if alert.convicted_sha256 else "WATCHLIST",
        "backend_timestamp": told,
        "user_update_timestamp": None,
        "backend_update_timestamp": told,
        "detection_timestamp": millis(alert.at),
        "first_event_timestamp": millis(alert.at),
        "last_event_timestamp": millis(alert.at),
        "severity": _SEVERITIES[alert.severity],
        "reason": alert.description or alert.title,
        "reason_code": alert.rule_id,
        "threat_id": _digits(f"threat {alert.rule_id}", 32).upper(),
        "primary_event_id": _digits(f"event {alert.uid}", 22),
        "policy_applied": "NOT_APPLIED",
        "run_state": "RAN",
        "sensor_action": "ALLOW",
        "workflow": {**system, "closure_reason": "NO_REASON", "status": "OPEN"},
        "determination": {**system, "value": "NONE"},
        "tags": None,
        "alert_notes_present": False,
        "threat_notes_present": False,
        "asset_id": None,
        "is_updated": False,
        "mdr_alert": False,
        "mdr_alert_notes_present": False,
        "mdr_threat_notes_present": False,
        **_device(device, name, user),
        **_processes(alert, org_key, user),
        **_report(alert),
        **_connection(alert, device),
        "ttps": [f"MITRE_{each.replace('.', '_')}" for each in alert.technique_ids],
        "attack_tactic": ",".join(alert.tactic_ids) or None,
        "attack_technique": ",".join(alert.technique_ids) or None,
    }


def device_payload(
    device: Device, *, name: str, status: str, registered: datetime, heard: datetime, policy_id: int
) -> dict[str, Any]:
    """One device as ``devices/{id}`` gives it; the scan fields are never filled."""
    windows = device.platform == "Windows"
    return {
        "id": int(device.device_id),
        "name": name,
        "os": _SYSTEMS[device.platform],
        "os_version": _VERSIONS[device.platform, device.asset_type],
        "windows_platform": ("SERVER_X64" if device.asset_type == "server" else "CLIENT_X64") if windows else None,
        "deployment_type": "ENDPOINT",
        "status": status,
        "quarantined": device.isolated,
        "passive_mode": False,
        "policy_id": policy_id,
        "policy_name": "Standard",
        "target_priority": "MEDIUM",
        "last_internal_ip_address": device.addresses[0] if device.addresses else None,
        "last_external_ip_address": "198.51.100.24",
        "last_contact_time": millis(heard),
        "last_reported_time": millis(heard),
        "registered_time": millis(registered),
        "deregistered_time": None,
        "scan_status": None,
        "scan_last_action_time": None,
        "scan_last_complete_time": None,
        "sensor_version": "4.0.3.1612",
        "sensor_states": ["ACTIVE", "LIVE_RESPONSE_NOT_RUNNING", "LIVE_RESPONSE_NOT_KILLED", "LIVE_RESPONSE_ENABLED"],
        "login_user_name": None,
        "organization_name": "corp.example.com",
    }


def _device(device: Device | None, name: str, user: str) -> dict[str, Any]:
    return {
        "device_id": int(device.device_id) if device else None,
        "device_name": name or None,
        "device_uem_id": "",
        "device_target_value": "MEDIUM" if device else None,
        "device_policy": "Standard" if device else None,
        "device_policy_id": 465946 if device else None,
        "device_os": _SYSTEMS[device.platform] if device else None,
        "device_os_version": _VERSIONS[device.platform, device.asset_type] if device else None,
        "device_username": user or None,
        "device_location": "UNKNOWN",
        "device_external_ip": "198.51.100.24" if device else None,
        "device_internal_ip": device.addresses[0] if device and device.addresses else None,
    }


def _processes(alert: StoryAlert, org_key: str, user: str) -> dict[str, Any]:
    process = alert.process
    rows: dict[str, Any] = {f"{part}_{name}": None for part in ("process", "parent") for name in _FILES}
    rows |= {"process_issuer": [], "process_publisher": [], "childproc_guid": "", "childproc_username": ""}
    rows["childproc_cmdline"] = ""
    if process is None:
        return {**rows, "process_username": user or None}
    convicted = alert.convicted_sha256 == process.sha256
    rows |= {
        "process_name": process.path,
        "process_sha256": process.sha256,
        "process_pid": process.pid,
        "process_cmdline": process.command_line,
        "process_guid": f"{org_key}-{_digits(alert.uid, 8)}-{process.pid:08x}-00000000-{_digits(process.path, 15)}",
        "process_username": user or None,
        "process_reputation": "NOT_LISTED",
        "process_effective_reputation": "KNOWN_MALWARE" if convicted else "NOT_LISTED",
    }
    if process.parent_name:
        rows |= {
            "parent_name": process.parent_name,
            "parent_cmdline": process.parent_command_line or None,
            "parent_guid": f"{org_key}-{_digits(alert.uid, 8)}-000009a0-00000000-{_digits(process.parent_name, 15)}",
            "parent_username": user or None,
            "parent_reputation": "TRUSTED_WHITE_LIST",
            "parent_effective_reputation": "TRUSTED_WHITE_LIST",
        }
    if alert.convicted_sha256 and not convicted:
        rows |= {"blocked_name": None, "blocked_sha256": alert.convicted_sha256}
        rows["blocked_effective_reputation"] = "KNOWN_MALWARE"
    return rows


def _report(alert: StoryAlert) -> dict[str, Any]:
    return {
        "report_id": alert.rule_id,
        "report_name": alert.title,
        "report_description": alert.description,
        "report_tags": [],
        "ioc_id": _digits(alert.rule_id, 12),
        "ioc_hit": None,
        "watchlists": [{"id": _digits("watchlist", 20), "name": "Endpoint behaviour"}],
    }


def _connection(alert: StoryAlert, device: Device | None) -> dict[str, Any]:
    own = device.addresses[0] if device and device.addresses else None
    local, remote = alert.source_address or own, alert.destination_address or None
    inbound = not remote and alert.source_address not in {"", own}
    if inbound:
        local, remote = own, alert.source_address
    if not remote and not alert.domain:
        return {}
    local_port, remote_port = alert.source_port, alert.destination_port
    if inbound:
        local_port, remote_port = remote_port, local_port
    return {
        "netconn_local_ip": local,
        "netconn_local_port": local_port,
        "netconn_remote_ip": remote,
        "netconn_remote_port": remote_port,
        "netconn_remote_domain": alert.domain or None,
        "netconn_protocol": "TCP" if remote_port or local_port else None,
        "netconn_inbound": inbound,
        "remote_is_private": False,
    }
