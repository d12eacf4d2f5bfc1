"""Renders a story as Cortex XDR would: alerts with their events, incidents with their alerts, endpoints."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from nightdesk.connectors.paloalto_cortex_xdr.payload_events import digits, event_payload, millis
from nightdesk.sdk.testing import Device, StoryAlert
from nightdesk.sdk.testing.story import TACTIC_NAMES

__all__ = ["STATUS_NUMBERS", "alert_payload", "endpoint_payload", "incident_payload"]

STATUS_NUMBERS: Mapping[str, str] = {
    "new": "010",
    "under_investigation": "020",
    "resolved_known_issue": "040",
    "resolved_duplicate": "050",
    "resolved_false_positive": "060",
    "resolved_other": "070",
    "resolved_auto": "080",
    "resolved_true_positive": "090",
    "resolved_security_testing": "100",
}
"""An alert shows its status as ``STATUS_010_NEW``; incidents and every request use the plain word."""

_TECHNIQUES: Mapping[str, str] = {
    "T1003": "OS Credential Dumping",
    "T1021": "Remote Services",
    "T1047": "Windows Management Instrumentation",
    "T1053": "Scheduled Task/Job",
    "T1055": "Process Injection",
    "T1059": "Command and Scripting Interpreter",
    "T1059.001": "Command and Scripting Interpreter: PowerShell",
    "T1071": "Application Layer Protocol",
    "T1078": "Valid Accounts",
    "T1105": "Ingress Tool Transfer",
    "T1110": "Brute Force",
    "T1204": "User Execution",
    "T1486": "Data Encrypted for Impact",
    "T1566": "Phishing",
}
_SYSTEMS: Mapping[tuple[str, str], str] = {
    ("Windows", "workstation"): "Windows 11 [10.0 (Build 22631)]",
    ("Windows", "server"): "Windows Server 2022 [10.0 (Build 20348)]",
    ("Linux", "workstation"): "Ubuntu 24.04",
    ("Linux", "server"): "Red Hat Enterprise Linux 9.4",
    ("macOS", "workstation"): "macOS 15.1",
    ("macOS", "server"): "macOS 15.1",
}
_PLATFORMS = {"Windows": "AGENT_OS_WINDOWS", "Linux": "AGENT_OS_LINUX", "macOS": "AGENT_OS_MAC"}
_DOMAIN = "corp.example.com"


def alert_payload(alert: StoryAlert, *, alert_id: int, device: Device | None, console: str) -> dict[str, Any]:
    """One alert as ``/public_api/v2/alerts/get_alerts_multi_events`` gives it."""
    mac = ":".join(f"02{digits(device.device_id, 10)}"[at : at + 2] for at in range(0, 12, 2)) if device else None
    tactics = [f"{each} - {TACTIC_NAMES.get(each, 'Unknown')}" for each in alert.tactic_ids]
    return {
        "external_id": digits(f"external {alert.uid}", 32),
        "severity": alert.severity,
        "matching_status": "MATCHED",
        "end_match_attempt_ts": None,
        "local_insert_ts": millis(alert.told),
        "last_modified_ts": None,
        "bioc_indicator": None,
        "matching_service_rule_id": alert.rule_id,
        "attempt_counter": 1,
        "bioc_category_enum_key": None,
        "case_id": None,
        "is_whitelisted": False,
        "starred": False,
        "deduplicate_tokens": None,
        "filter_rule_id": None,
        "mitre_technique_id_and_name": [_technique(each) for each in alert.technique_ids],
        "mitre_tactic_id_and_name": tactics,
        "agent_version": "8.4.1.47762" if device else None,
        "agent_ip_addresses_v6": None,
        "agent_device_domain": _DOMAIN if device else None,
        "agent_fqdn": f"{device.hostname.lower()}.{_DOMAIN}" if device else None,
        "agent_os_type": device.platform if device else "NO_HOST",
        "agent_os_sub_type": _SYSTEMS[device.platform, device.asset_type] if device else None,
        "agent_data_collection_status": bool(device),
        "mac": mac,
        "agent_is_vdi": None,
        "is_pcap": False,
        "alert_type": "Unclassified",
        "resolution_status": "STATUS_010_NEW",
        "resolution_comment": None,
        "dynamic_fields": None,
        "tags": ["DS:PANW/XDR Agent"],
        "malicious_urls": None,
        "alert_id": str(alert_id),
        "detection_timestamp": millis(alert.at),
        "name": alert.title,
        "category": tactics[0].partition(" - ")[2] if tactics else "Other",
        "endpoint_id": device.device_id if device else None,
        "description": alert.description or alert.title,
        "host_ip": list(device.addresses) if device else None,
        "host_name": device.hostname if device else None,
        "mac_addresses": [mac] if mac else None,
        "source": "XDR BIOC" if device else "XDR Analytics",
        "action": "DETECTED",
        "action_pretty": "Detected",
        "alert_link": f"{console}/alerts/{alert_id}",
        "original_tags": ["DS:PANW/XDR Agent"],
        "events": [event_payload(alert, alert_id, device)],
    }


def incident_payload(number: int, alerts: Sequence[Mapping[str, Any]], *, console: str) -> dict[str, Any]:
    """One incident of these alerts as ``incidents/get_incidents`` gives it."""
    hosts = {f"{each['host_name']}:{each['endpoint_id']}" for each in alerts if each["endpoint_id"]}
    users = {each["events"][0]["user_name"] for each in alerts if each["events"][0]["user_name"]}
    severities = [str(each["severity"]) for each in alerts]
    order = ("informational", "low", "medium", "high", "critical")
    made = max(each["local_insert_ts"] for each in alerts)
    return {
        "incident_id": str(number),
        "incident_name": None,
        "creation_time": made,
        "modification_time": made,
        "detection_time": min(each["detection_timestamp"] for each in alerts),
        "status": "new",
        "severity": max(severities, key=order.index),
        "description": f"'{alerts[0]['name']}' generated by {alerts[0]['source']}",
        "assigned_user_mail": None,
        "assigned_user_pretty_name": None,
        "alert_count": len(alerts),
        "low_severity_alert_count": severities.count("low"),
        "med_severity_alert_count": severities.count("medium"),
        "high_severity_alert_count": severities.count("high"),
        "critical_severity_alert_count": severities.count("critical"),
        "user_count": len(users),
        "host_count": len(hosts),
        "notes": None,
        "resolve_comment": None,
        "resolved_timestamp": None,
        "manual_severity": None,
        "manual_description": None,
        "xdr_url": f"{console}/incident-view?caseId={number}",
        "starred": False,
        "hosts": sorted(hosts),
        "users": sorted(users),
        "incident_sources": sorted({each["source"] for each in alerts}),
        "rule_based_score": None,
        "predicted_score": None,
        "manual_score": None,
        "aggregated_score": None,
        "wildfire_hits": 0,
        "alerts_grouping_status": "Enabled",
        "mitre_tactics_ids_and_names": sorted({each for row in alerts for each in row["mitre_tactic_id_and_name"]}),
        "mitre_techniques_ids_and_names": sorted(
            {each for row in alerts for each in row["mitre_technique_id_and_name"]}
        ),
        "alert_categories": sorted({each["category"] for each in alerts}),
        "original_tags": ["DS:PANW/XDR Agent"],
        "tags": ["DS:PANW/XDR Agent"],
    }


def endpoint_payload(
    device: Device, *, status: str, isolated: str, scan: str, first_seen: datetime, last_seen: datetime
) -> dict[str, Any]:
    """One endpoint as ``endpoints/get_endpoint`` gives it."""
    return {
        "endpoint_id": device.device_id,
        "endpoint_name": device.hostname,
        "endpoint_type": "AGENT_TYPE_SERVER" if device.asset_type == "server" else "AGENT_TYPE_WORKSTATION",
        "endpoint_status": status,
        "os_type": _PLATFORMS[device.platform],
        "os_version": _SYSTEMS[device.platform, device.asset_type],
        "ip": list(device.addresses),
        "ipv6": [],
        "public_ip": "192.0.2.1",
        "users": [],
        "domain": _DOMAIN,
        "alias": "",
        "first_seen": millis(first_seen),
        "last_seen": millis(last_seen),
        "content_version": "1650-15142",
        "installation_package": "agents",
        "active_directory": [],
        "install_date": millis(first_seen),
        "endpoint_version": "8.4.1.47762",
        "is_isolated": isolated,
        "isolated_date": None,
        "group_name": ["Clients"],
        "operational_status": "PROTECTED",
        "operational_status_description": None,
        "scan_status": scan,
        "tags": {"server_tags": [], "endpoint_tags": []},
    }


def _technique(technique: str) -> str:
    name = _TECHNIQUES.get(technique) or _TECHNIQUES.get(technique.partition(".")[0], "Unknown")
    return f"{technique} - {name}"
