"""Renders a story as SentinelOne would: the threats and agents of its management API."""

import hashlib
import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from nightdesk.connectors.sentinelone.wire import stamp
from nightdesk.sdk.testing import Device, StoryAlert
from nightdesk.sdk.testing.story import TACTIC_NAMES

__all__ = [
    "ACCOUNT",
    "CONFIDENCE",
    "GROUP",
    "SITE",
    "agent_payload",
    "number",
    "system_of",
    "threat_payload",
    "uuid_of",
]

ACCOUNT, SITE, GROUP = "1107851598000000001", "1107851598000000002", "1107851598000000003"

CONFIDENCE = {"critical": "malicious", "high": "malicious", "medium": "suspicious"}
_SYSTEMS: Mapping[str, tuple[str, str, str]] = {
    "Windows": ("windows", "Windows 11 Enterprise", "26100"),
    "Linux": ("linux", "Linux", "Ubuntu 24.04 LTS"),
    "macOS": ("macos", "macOS", "Sequoia 15.1"),
}
_DRIVE = re.compile(r"^[A-Za-z]:\\")


def number(seed: str) -> str:
    """A stable 19-digit id, as the console gives them; too large for a JavaScript number."""
    return str(10**18 + int(hashlib.sha256(seed.encode()).hexdigest()[:16], 16) % 10**18)


def agent_payload(device: Device, *, network: str, scan: Mapping[str, Any], seen: datetime) -> dict[str, Any]:
    """One agent as ``GET /agents`` gives it."""
    system, name, revision = system_of(device)
    local = [address for address in device.addresses if ":" not in address]
    return {
        "id": device.device_id,
        "uuid": uuid_of(device),
        "computerName": device.hostname,
        "domain": "CORP",
        "accountId": ACCOUNT,
        "accountName": "Example",
        "siteId": SITE,
        "siteName": "Default site",
        "groupId": GROUP,
        "groupName": "Default Group",
        "agentVersion": "24.2.3.471",
        "osType": system,
        "osName": name,
        "osRevision": revision,
        "machineType": "server" if device.asset_type == "server" else "desktop",
        "networkStatus": network,
        "networkInterfaces": [
            {
                "id": number(f"nic {device.device_id}"),
                "name": "Ethernet",
                "inet": local,
                "inet6": [address for address in device.addresses if ":" in address],
                "physical": _mac(device),
            }
        ],
        "externalIp": "192.0.2.1",
        "lastIpToMgmt": local[0] if local else "",
        "isActive": True,
        "isDecommissioned": False,
        "isUninstalled": False,
        "infected": False,
        "activeThreats": 0,
        "mitigationMode": "detect",
        "lastActiveDate": stamp(seen),
        **scan,
    }


def threat_payload(alert: StoryAlert, device: Device | None) -> dict[str, Any]:
    """One threat as it is stored; what its agent is doing now is added whenever it is read."""
    name = number(f"threat {alert.uid}")
    process, created = alert.process, stamp(alert.told)
    path = process.path if process else ""
    shown = process.name if process else alert.title
    digest = process.sha256 if process else alert.convicted_sha256
    convicted = bool(alert.convicted_sha256)
    engine = ("reputation", "Reputation") if convicted else ("data_files", "Documents, Scripts")
    user = f"{alert.user_domain}\\{alert.user}" if alert.user_domain else alert.user
    return {
        "id": name,
        "agentDetectionInfo": _detection(alert, device),
        "agentRealtimeInfo": {},
        "containerInfo": {"id": None, "image": None, "labels": None, "name": None},
        "kubernetesInfo": {"cluster": None, "namespace": None, "node": None, "pod": None},
        "indicators": [_indicator(alert)],
        "mitigationStatus": [],
        "threatInfo": {
            "threatId": name,
            "threatName": shown,
            "analystVerdict": "undefined",
            "analystVerdictDescription": "Undefined",
            "incidentStatus": "unresolved",
            "incidentStatusDescription": "Unresolved",
            "mitigationStatus": "not_mitigated",
            "mitigationStatusDescription": "Not mitigated",
            "classification": "Malware",
            "classificationSource": "Cloud" if convicted else "Behavioral",
            "cloudFilesHashVerdict": "black" if convicted else "provider_unknown",
            "confidenceLevel": CONFIDENCE.get(alert.severity, "n/a"),
            "detectionEngines": [{"key": engine[0], "title": engine[1]}],
            "detectionType": "static" if convicted else "dynamic",
            "engines": [engine[1]],
            "createdAt": created,
            "updatedAt": created,
            "identifiedAt": stamp(alert.at),
            "initiatedBy": "agent_policy",
            "initiatedByDescription": "Agent Policy",
            "filePath": _DRIVE.sub(r"\\Device\\HarddiskVolume3\\", path) or None,
            "fileSize": 450_560 if process else None,
            "sha1": hashlib.sha1(digest.encode(), usedforsecurity=False).hexdigest() if digest else None,
            "sha256": digest or None,
            "md5": None,
            "isFileless": False,
            "maliciousProcessArguments": process.command_line if process else None,
            "originatorProcess": (process.parent_name or None) if process else None,
            "processUser": user or "n/a",
            "storyline": number(f"storyline {alert.uid}")[:16],
            "externalTicketExists": False,
            "externalTicketId": None,
            "automaticallyResolved": False,
            "mitigatedPreemptively": False,
            "failedActions": False,
            "pendingActions": False,
            "rebootRequired": False,
        },
        "whiteningOptions": ["hash", "path"],
    }


def _detection(alert: StoryAlert, device: Device | None) -> dict[str, Any]:
    _, name, revision = system_of(device)
    addresses = device.addresses if device else ()
    return {
        "accountId": ACCOUNT,
        "accountName": "Example",
        "siteId": SITE,
        "siteName": "Default site",
        "groupId": GROUP,
        "groupName": "Default Group",
        "agentDomain": "CORP",
        "agentIpV4": ",".join(address for address in addresses if ":" not in address),
        "agentIpV6": ",".join(address for address in addresses if ":" in address),
        "agentLastLoggedInUserName": alert.user or "unknown",
        "agentMitigationMode": "detect",
        "agentOsName": name,
        "agentOsRevision": revision,
        "agentUuid": uuid_of(device) if device else None,
        "agentVersion": "24.2.3.471",
        "externalIp": "192.0.2.1",
        "cloudProviders": {},
    }


def _indicator(alert: StoryAlert) -> dict[str, Any]:
    tactics = [TACTIC_NAMES.get(tactic, tactic) for tactic in alert.tactic_ids] or ["Execution"]
    techniques = [
        {"name": technique, "link": f"https://attack.mitre.org/techniques/{technique.replace('.', '/')}/"}
        for technique in alert.technique_ids
    ]
    return {
        "category": tactics[0],
        "categoryId": 4,
        "description": alert.description or alert.title,
        "ids": [int(number(alert.rule_id)[-3:])],
        "tactics": [{"name": tactic, "source": "MITRE", "techniques": techniques} for tactic in tactics],
    }


def system_of(device: Device | None) -> tuple[str, str, str]:
    """Type, name and revision of its operating system."""
    return _SYSTEMS[device.platform if device else "Windows"]


def uuid_of(device: Device) -> str:
    """What the agent calls itself; it outlives a console."""
    return hashlib.sha256(f"agent {device.device_id}".encode()).hexdigest()[:32]


def _mac(device: Device) -> str:
    digits = hashlib.sha256(f"mac {device.device_id}".encode()).hexdigest()
    return "02:" + ":".join(digits[at : at + 2] for at in range(0, 10, 2))
