"""Renders a story as Vision One would: Workbench alerts, endpoints of both inventories, domain accounts, activities."""

import hashlib
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from nightdesk.connectors.trend_vision_one.wire import seconds
from nightdesk.sdk.testing import Device, Member, StoryAlert
from nightdesk.sdk.testing.story import StoryDevice, StoryProcess

__all__ = [
    "account_row",
    "activity",
    "agent_guid",
    "alert_payload",
    "endpoint_detail",
    "endpoint_row",
    "inventory_row",
    "sha1_of",
]

_SCORES: Mapping[str, int] = {"informational": 10, "low": 22, "medium": 39, "high": 64, "critical": 92}
_PLATFORMS = {"Windows": "windows", "Linux": "linux", "macOS": "mac"}


def agent_guid(device_id: str) -> str:
    """The GUID of the agent on a story's device."""
    return _guid(f"agent {device_id}")


def sha1_of(sha256: str) -> str:
    """The SHA-1 that goes with a story's SHA-256: no story has one."""
    return hashlib.sha1(sha256.encode(), usedforsecurity=False).hexdigest()


def alert_payload(alert: StoryAlert, *, native_id: str, console: str) -> dict[str, Any]:
    """One alert as ``/workbench/alerts`` gives it."""
    device, created = alert.device, seconds(alert.told)
    user = f"{alert.user_domain}\\{alert.user}" if alert.user_domain else alert.user
    guid = agent_guid(device.device_id) if device else ""
    indicators = _indicators(alert, user, guid)
    return {
        "schemaVersion": "1.15",
        "id": native_id,
        "investigationStatus": "New",
        "status": "Open",
        "investigationResult": "No Findings",
        "workbenchLink": f"{console}/index.html#/workbench/alerts/{native_id}",
        "alertProvider": "SAE",
        "modelId": _guid(f"model {alert.rule_id}"),
        "model": alert.title,
        "modelType": "preset",
        "score": _SCORES[alert.severity],
        "severity": "low" if alert.severity == "informational" else alert.severity,
        "createdDateTime": created,
        "updatedDateTime": created,
        "ownerIds": [],
        "impactScope": _scope(device, guid, user, [indicator["id"] for indicator in indicators]),
        "description": alert.description or alert.title,
        "matchedRules": [_rule(alert)],
        "indicators": indicators,
    }


def _scope(device: StoryDevice | None, guid: str, user: str, indicators: list[int]) -> dict[str, Any]:
    entities: list[dict[str, Any]] = []
    if user:
        entities.append(
            {
                "entityType": "account",
                "entityValue": user,
                "entityId": user,
                "relatedEntities": [guid] if guid else [],
                "relatedIndicatorIds": [],
                "provenance": ["Alert"],
            }
        )
    if device:
        entities.append(
            {
                "entityType": "host",
                "entityValue": {"guid": guid, "name": device.hostname, "ips": list(device.addresses)},
                "entityId": guid,
                "relatedEntities": [user] if user else [],
                "relatedIndicatorIds": indicators,
                "provenance": ["Alert"],
                "managementScopeGroupId": _guid("group"),
            }
        )
    server = device is not None and device.asset_type == "server"
    return {
        "desktopCount": int(device is not None and not server),
        "serverCount": int(server),
        "accountCount": int(bool(user)),
        "emailAddressCount": 0,
        "containerCount": 0,
        "cloudIdentityCount": 0,
        "entities": entities,
    }


def _rule(alert: StoryAlert) -> dict[str, Any]:
    at = f"{seconds(alert.at)[:-1]}.{alert.at.microsecond // 1000:03d}Z"
    kind = "TELEMETRY_PROCESS" if alert.process else "TELEMETRY_CONNECTION"
    return {
        "id": _guid(f"rule {alert.rule_id}"),
        "name": alert.title,
        "matchedFilters": [
            {
                "id": _guid(f"filter {alert.rule_id}"),
                "name": alert.title,
                "matchedDateTime": at,
                "mitreTechniqueIds": list(alert.technique_ids),
                "matchedEvents": [{"uuid": _guid(f"event {alert.uid}"), "matchedDateTime": at, "type": kind}],
            }
        ],
    }


def _indicators(alert: StoryAlert, user: str, guid: str) -> list[dict[str, Any]]:
    found: list[tuple[str, str, Any]] = []
    if alert.process:
        found += _process(alert.process, user)
    if alert.destination_address:
        found.append(("ip", "dst", alert.destination_address))
    if alert.destination_port is not None:
        found.append(("port", "dpt", str(alert.destination_port)))
    if alert.source_address:
        # Beside an endpoint it is the endpoint's own address, alone it is the other side's.
        found.append(("ip", "src" if alert.device else "peerIp", alert.source_address))
    if alert.domain:
        found.append(("domain", "hostName", alert.domain))
    if alert.convicted_sha256:
        found.append(("file_sha256", "fileHashSha256", alert.convicted_sha256))
    filter_id = _guid(f"filter {alert.rule_id}")
    return [
        {
            "id": number,
            "type": kind,
            "field": field,
            "value": value,
            "relatedEntities": [guid] if guid else [],
            "filterIds": [filter_id],
            "provenance": ["Alert"],
            **(
                {"matchedIndicatorPatternIds": [_guid(f"pattern {value}")]}
                if value == alert.convicted_sha256 and field == "fileHashSha256"
                else {}
            ),
        }
        for number, (kind, field, value) in enumerate(found, 1)
    ]


def _process(process: StoryProcess, user: str) -> list[tuple[str, str, Any]]:
    found = [
        ("command_line", "processCmd", process.command_line),
        ("fullpath", "processFilePath", process.path),
        ("file_sha1", "processFileHashSha1", sha1_of(process.sha256)),
        ("file_sha256", "processFileHashSha256", process.sha256),
        ("process_id", "processPid", str(process.pid)),
    ]
    if user:
        found.append(("user_account", "processUser", user))
    if process.parent_name:
        found.append(("filename", "parentName", process.parent_name))
    if process.parent_command_line:
        found.append(("command_line", "parentCmd", process.parent_command_line))
    return found


def endpoint_row(device: Device, *, connected: bool, seen: datetime) -> dict[str, Any]:
    """One endpoint as ``/endpointSecurity/endpoints`` lists it; there is no word for an isolation under way."""
    return {
        "endpointName": device.hostname,
        "agentGuid": device.device_id,
        "displayName": device.hostname,
        "type": "server" if device.asset_type == "server" else "desktop",
        "osName": device.platform,
        "osPlatform": _PLATFORMS[device.platform],
        "lastUsedIp": device.addresses[0] if device.addresses else "",
        "ipAddresses": list(device.addresses),
        "isolationStatus": "on" if device.isolated else "off",
        "edrSensor": {
            "connectivity": "connected" if connected else "disconnected",
            "status": "enabled",
            "version": "1.2.0.5608",
            "lastConnectedDateTime": seconds(seen),
        },
    }


def endpoint_detail(device: Device, *, connected: bool, seen: datetime) -> dict[str, Any]:
    """One endpoint as ``/endpointSecurity/endpoints/{id}`` gives it: addresses stand under interfaces."""
    row = endpoint_row(device, connected=connected, seen=seen)
    system = {"name": row.pop("osName"), "platform": row.pop("osPlatform")}
    return {**row, "os": system, "interfaces": [{"ipAddresses": row.pop("ipAddresses"), "macAddress": ""}]}


def inventory_row(device: Device, *, seen: datetime) -> dict[str, Any]:
    """One endpoint as ``/eiqs/endpoints`` gives it: each value with the time it was learnt."""
    at = {"updatedDateTime": f"{seconds(seen)[:-1]}.000Z"}
    return {
        "agentGuid": device.device_id,
        "loginAccount": {"value": [], **at},
        "endpointName": {"value": device.hostname, **at},
        "macAddress": {"value": [], **at},
        "ip": {"value": list(device.addresses), **at},
        "osName": device.platform,
        "osVersion": "",
        "osDescription": device.platform,
        "productCode": "xes",
        "installedProductCodes": ["xes"],
    }


def account_row(member: Member) -> dict[str, Any]:
    """One domain account as ``/asrm/attackSurfaceDomainAccounts`` lists it."""
    return {
        "id": member.account_id,
        "name": member.name,
        "userAccount": member.email or f"{member.domain}\\{member.name}",
        "type": "member",
        "latestRiskScore": 30,
        "criticality": "high" if member.privileged else "medium",
        "discoveredBy": ["Active Directory (on-premises)"],
    }


def activity(device: Device, pid: int, path: str, sha256: str, at: datetime) -> dict[str, Any]:
    """One event of ``/search/endpointActivities`` in which a process of that id did something."""
    return {
        "endpointGuid": device.device_id,
        "endpointHostName": device.hostname,
        "eventId": "1",
        "eventTime": int(at.timestamp() * 1000),
        "processPid": pid,
        "processFilePath": path,
        "processName": path,
        "processFileHashSha1": sha1_of(sha256),
        "processFileHashSha256": sha256,
        "tags": [],
    }


def _guid(seed: str) -> str:
    digits = hashlib.sha256(seed.encode()).hexdigest()
    return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-8{digits[17:20]}-{digits[20:32]}"
