"""Renders a story as Entra ID Protection would: a risk detection for an alert, the risk of a user, a directory user."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any
from uuid import UUID

from nightdesk.sdk.testing import StoryAlert

__all__ = ["detection_payload", "guid", "risky_user_payload", "timestamp"]

_LEVELS: Mapping[str, str] = {
    "informational": "low",
    "low": "low",
    "medium": "medium",
    "high": "high",
    "critical": "high",
}
_BY_TECHNIQUE: Mapping[str, str] = {  # the detection that Microsoft documents for the technique
    "T1090": "anonymizedIPAddress",
    "T1110": "passwordSpray",
    "T1078": "unfamiliarFeatures",
    "T1539": "anomalousToken",
    "T1528": "anomalousToken",
    "T1550": "anomalousToken",
    "T1557": "attackerinTheMiddle",
    "T1114": "suspiciousInboxForwarding",
    "T1564": "mcasSuspiciousInboxManipulationRules",
    "T1589": "leakedCredentials",
    "T1606": "tokenIssuerAnomaly",
}
_TYPES = frozenset({*_BY_TECHNIQUE.values(), "maliciousIPAddress", "unlikelyTravel", "impossibleTravel", "newCountry"})
_UNLINKED = frozenset({"leakedCredentials", "tokenIssuerAnomaly"})  # detections of a user, of no sign-in
_REAL_TIME = timedelta(minutes=5)


def timestamp(moment: datetime) -> str:
    """Graph's time text with seven digits; the last follows from the rest, so equal times stay equal."""
    utc = moment.astimezone(UTC)
    return f"{utc:%Y-%m-%dT%H:%M:%S.%f}{utc.microsecond * 7 % 10}Z"


def guid(*parts: str) -> str:
    """An object id that follows from what it is the id of."""
    return str(UUID(bytes=sha256("\0".join(parts).encode()).digest()[:16], version=4))


def detection_payload(alert: StoryAlert, *, tenant_id: str, user: Mapping[str, Any] | None) -> dict[str, Any]:
    """One risk detection; ``user`` is the directory's record of whom it is about."""
    kind = _kind(alert)
    linked = kind not in _UNLINKED
    told = timestamp(alert.told)
    about = [{"Key": "userAgent", "Value": "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"}]
    if alert.technique_ids:
        about.append({"Key": "mitreTechniques", "Value": ",".join(alert.technique_ids)})
    address = alert.source_address or (alert.device.addresses[0] if alert.device and alert.device.addresses else None)
    return {
        "id": sha256(f"{tenant_id} detection {alert.uid}".encode()).hexdigest(),
        "requestId": guid(tenant_id, "request", alert.uid) if linked else None,
        "correlationId": guid(tenant_id, "correlation", alert.uid) if linked else None,
        "riskEventType": kind,
        "riskState": "atRisk",
        "riskLevel": _LEVELS[alert.severity],
        "riskDetail": "none",
        "source": "IdentityProtection",
        "detectionTimingType": "realtime" if alert.told - alert.at < _REAL_TIME else "offline",
        "activity": "signin" if linked else "user",
        "tokenIssuerType": "AzureAD",
        "ipAddress": address if linked else None,
        "location": {"city": None, "state": None, "countryOrRegion": None, "geoCoordinates": None} if linked else None,
        "activityDateTime": timestamp(alert.at),
        "detectedDateTime": told,
        "lastUpdatedDateTime": told,
        "userId": user["id"] if user else None,
        "userDisplayName": user["displayName"] if user else None,
        "userPrincipalName": user["userPrincipalName"] if user else None,
        "additionalInfo": json.dumps(about, separators=(",", ":")),
    }


def risky_user_payload(user: Mapping[str, Any], *, level: str, state: str, detail: str, at: datetime) -> dict[str, Any]:
    """The risk of one user: a state, not a log."""
    return {
        "id": user["id"],
        "isDeleted": False,
        "isProcessing": False,
        "riskLevel": level,
        "riskState": state,
        "riskDetail": detail,
        "riskLastUpdatedDateTime": timestamp(at),
        "userDisplayName": user["displayName"],
        "userPrincipalName": user["userPrincipalName"],
    }


def _kind(alert: StoryAlert) -> str:
    if alert.rule_id in _TYPES:
        return alert.rule_id
    found = (_BY_TECHNIQUE.get(technique.partition(".")[0]) for technique in alert.technique_ids)
    return next((kind for kind in found if kind), "anomalousUserActivity")
