"""Renders a story as Defender would: Graph's alerts and incidents, and the machines of Defender for Endpoint."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from nightdesk.connectors.microsoft_defender_xdr.evidence import evidence_of
from nightdesk.connectors.microsoft_defender_xdr.names import DOMAIN, PLATFORMS, digits, guid, timestamp
from nightdesk.sdk.testing import Device, StoryAlert
from nightdesk.sdk.testing.story import TACTIC_NAMES

__all__ = ["alert_payload", "incident_payload", "machine_payload"]

_PORTAL = "https://security.microsoft.com"
_SOURCES: Mapping[str, str] = {
    "microsoftDefenderForEndpoint": "Microsoft Defender for Endpoint",
    "azureAdIdentityProtection": "Microsoft Entra ID Protection",
    "microsoft365Defender": "Microsoft Defender XDR",
}


def machine_payload(device: Device, *, first_seen: datetime, last_seen: datetime, online: bool) -> dict[str, Any]:
    """One machine as ``/api/machines`` gives it; nothing in it says whether it is isolated."""
    name = device.hostname.lower()
    address = device.addresses[0] if device.addresses else None
    return {
        "id": device.device_id,
        "computerDnsName": f"{name}.{DOMAIN}" if device.platform == "Windows" else name,
        "firstSeen": timestamp(first_seen),
        "lastSeen": timestamp(last_seen),
        "osPlatform": PLATFORMS[device.platform, device.asset_type],
        "version": "24H2" if device.platform == "Windows" else "",
        "osBuild": 26100 if device.platform == "Windows" else None,
        "lastIpAddress": address,
        "lastExternalIpAddress": "192.0.2.1",
        "healthStatus": "Active" if online else "Inactive",
        "onboardingStatus": "Onboarded",
        "rbacGroupId": 0,
        "rbacGroupName": None,
        "riskScore": "None",
        "exposureLevel": "Low",
        "deviceValue": "Normal",
        "aadDeviceId": guid(f"entra {device.device_id}"),
        "machineTags": [],
        "ipAddresses": [
            {"ipAddress": each, "macAddress": None, "operationalStatus": "Up"} for each in device.addresses
        ],
    }


def incident_payload(alert: Mapping[str, Any]) -> dict[str, Any]:
    """The incident that an alert opens, bare."""
    copied = ("tenantId", "severity", "createdDateTime", "lastUpdateDateTime", "incidentWebUrl")
    return {
        "@odata.type": "#microsoft.graph.security.incident",
        "id": alert["incidentId"],
        "displayName": alert["title"],
        "description": alert["description"],
        "status": "active",
        "classification": "unknown",
        "determination": "unknown",
        "assignedTo": None,
        "redirectIncidentId": None,
        "customTags": [],
        "systemTags": [],
        "comments": [],
        **{name: alert[name] for name in copied},
    }


def alert_payload(alert: StoryAlert, *, tenant_id: str, incident_id: str, product_id: str = "") -> dict[str, Any]:
    """One alert as ``/security/alerts_v2`` gives it. ``product_id`` is the id where the source has one of its own."""
    name = product_id or f"{digits(alert.uid, 30)}_1"
    endpoint = alert.device is not None or alert.process is not None
    source = "microsoftDefenderForEndpoint" if endpoint else "microsoft365Defender"
    if not endpoint and alert.user:
        source = "azureAdIdentityProtection"
    created = timestamp(alert.told)
    tactics = ["".join(map(str.capitalize, TACTIC_NAMES[tactic].split())) for tactic in alert.tactic_ids]
    return {
        "@odata.type": "#microsoft.graph.security.alert",
        "id": f"{'da' if endpoint else 'ad'}{name}",
        "providerAlertId": name,
        "incidentId": incident_id,
        "status": "new",
        "severity": "high" if alert.severity == "critical" else alert.severity,
        "classification": "unknown",
        "determination": "unknown",
        "serviceSource": source,
        "detectionSource": "antivirus" if alert.convicted_sha256 else source,
        "productName": _SOURCES[source],
        "detectorId": guid(f"detector {alert.rule_id}"),
        "tenantId": tenant_id,
        "title": alert.title,
        "description": alert.description or alert.title,
        "recommendedActions": "",
        "category": tactics[0] if tactics else "SuspiciousActivity",
        "assignedTo": None,
        "alertWebUrl": f"{_PORTAL}/alerts/{name}?tid={tenant_id}",
        "incidentWebUrl": f"{_PORTAL}/incidents/{incident_id}?tid={tenant_id}",
        "actorDisplayName": None,
        "threatDisplayName": None,
        "threatFamilyName": None,
        "mitreTechniques": list(alert.technique_ids),
        "createdDateTime": created,
        "lastUpdateDateTime": created,
        "resolvedDateTime": None,
        "firstActivityDateTime": timestamp(alert.at),
        "lastActivityDateTime": timestamp(alert.at),
        "comments": [],
        "evidence": evidence_of(alert, created),
        "systemTags": [],
        "additionalData": None,
    }
