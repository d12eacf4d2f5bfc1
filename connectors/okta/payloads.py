"""Renders a story as Okta would: System Log events, users, factors and roles as the Management API shows them."""

import hashlib
import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from nightdesk.connectors.okta.wire import stamp
from nightdesk.sdk.testing import Member, StoryAlert

__all__ = ["cleared_event", "digits", "event_payload", "factor_payload", "login_of", "role_payload", "user_payload"]

_PLATFORMS: Mapping[str, tuple[str, str, str]] = {
    "Windows": ("WINDOWS", "Windows 11", "Windows NT 10.0; Win64; x64"),
    "Linux": ("LINUX", "Linux", "X11; Linux x86_64"),
    "macOS": ("OSX", "Mac OS X", "Macintosh; Intel Mac OS X 10_15_7"),
}
_SEVERITIES: Mapping[str, tuple[str, str]] = {  # the log's own level, and the level of risk it states
    "informational": ("INFO", "LOW"),
    "low": ("INFO", "LOW"),
    "medium": ("WARN", "MEDIUM"),
    "high": ("WARN", "HIGH"),
    "critical": ("ERROR", "HIGH"),
}
_SYSTEM = {
    "id": "okta-system",
    "type": "SystemPrincipal",
    "alternateId": "system@okta.com",
    "displayName": "Okta System",
    "detailEntry": None,
}


def login_of(member: Member) -> str:
    """What the user signs in with."""
    return member.email or member.name


def event_payload(alert: StoryAlert, *, org: str, member: Member | None) -> dict[str, Any]:
    """One event of the System Log; ``published`` is when it happened, the log learns of it later."""
    level, risk = _SEVERITIES[alert.severity]
    suspected = bool(alert.source_address) and risk == "HIGH"
    kind = "user.mfa.factor.deactivate" if risk == "LOW" else "user.risk.detect"
    request = digits(f"{org} {alert.uid} request", 28)
    debug: dict[str, Any] = {
        "requestId": request,
        "requestUri": "/idp/idx/identify",
        "url": "/idp/idx/identify?",
        "risk": f"{{reasons={re.sub('[{},=]', ' ', alert.rule_id)}, level={risk}}}",
        "behaviors": "{New Geo-Location=NEGATIVE, New Device=NEGATIVE, New IP=POSITIVE, Velocity=NEGATIVE}",
        "threatSuspected": str(suspected).lower(),
    }
    if alert.technique_ids:
        debug["techniques"] = list(alert.technique_ids)
    address = alert.source_address or (alert.device.addresses[0] if alert.device and alert.device.addresses else None)
    return {
        "uuid": _uuid(f"{org} event {alert.uid}"),
        "published": stamp(alert.at),
        "eventType": "security.threat.detected" if suspected else kind,
        "version": "0",
        "severity": level,
        "legacyEventType": None,
        "displayMessage": alert.title,
        "actor": _principal(member) if member else _SYSTEM,
        "client": _client(alert, address),
        "device": _device(alert),
        "authenticationContext": {
            "authenticationProvider": None,
            "credentialProvider": None,
            "credentialType": None,
            "issuer": None,
            "interface": None,
            "authenticationStep": 0,
            "rootSessionId": f"idx{digits(f'{org} {alert.uid} session', 22)}",
            "externalSessionId": f"idx{digits(f'{org} {alert.uid} session', 22)}",
        },
        "outcome": {"result": "ALLOW" if suspected else "SUCCESS", "reason": alert.description or None},
        "target": [_principal(member)] if member else None,
        "transaction": {"type": "WEB", "id": request, "detail": {}},
        "debugContext": {"debugData": debug},
        "request": {"ipChain": [_hop(address)] if address else []},
        "securityContext": {
            "asNumber": 64496 if address else None,
            "asOrg": "example transit" if address else None,
            "isp": "example transit" if address else None,
            "domain": alert.domain or None,
            "isProxy": False if address else None,
        },
    }


def cleared_event(member: Member, moment: datetime, *, org: str) -> dict[str, Any]:
    """What the log says once a user's sessions are gone."""
    text = stamp(moment)
    name = f"{org} cleared {member.account_id} {text}"
    return {
        "uuid": _uuid(name),
        "published": text,
        "eventType": "user.session.clear",
        "version": "0",
        "severity": "INFO",
        "legacyEventType": "core.user.session.clear",
        "displayMessage": "Clear user session",
        "actor": _SYSTEM,
        "client": None,
        "outcome": {"result": "SUCCESS", "reason": None},
        "target": [_principal(member)],
        "transaction": {"type": "WEB", "id": digits(name, 28), "detail": {}},
        "debugContext": {"debugData": {"requestUri": f"/api/v1/users/{member.account_id}/sessions"}},
        "authenticationContext": {"authenticationStep": 0, "externalSessionId": "unknown"},
        "securityContext": None,
        "request": {"ipChain": []},
    }


def user_payload(
    member: Member, *, status: str, provider: str, created: datetime, password_changed: datetime
) -> dict[str, Any]:
    """One user as ``/api/v1/users/{id}`` gives it."""
    first, _, last = member.name.partition(".")
    return {
        "id": member.account_id,
        "status": status,
        "transitioningToStatus": None,
        "created": stamp(created),
        "activated": None if status == "STAGED" else stamp(created),
        "statusChanged": stamp(created),
        "lastLogin": None,
        "lastUpdated": stamp(password_changed),
        "passwordChanged": stamp(password_changed),
        "type": {"id": "oty0000000000000default"},
        "profile": {
            "firstName": first.capitalize(),
            "lastName": last.capitalize() or "Example",
            "login": login_of(member),
            "email": member.email,
            "mobilePhone": None,
            "secondEmail": None,
        },
        "credentials": {
            "password": {},
            "provider": {"type": provider, "name": member.domain if provider == "ACTIVE_DIRECTORY" else provider},
        },
    }


def factor_payload(member: Member, number: int, created: datetime) -> dict[str, Any]:
    """One enrolled factor."""
    return {
        "id": f"opf{digits(f'{member.account_id} factor {number} {created}', 17)}",
        "factorType": "push" if number == 0 else "token:software:totp",
        "provider": "OKTA",
        "vendorName": "OKTA",
        "status": "ACTIVE",
        "created": stamp(created),
        "lastUpdated": stamp(created),
    }


def role_payload(member: Member) -> dict[str, Any]:
    """The role of an administrator."""
    return {
        "id": f"ra1{digits(f'{member.account_id} role', 17)}",
        "label": "Super Administrator",
        "type": "SUPER_ADMIN",
        "status": "ACTIVE",
        "assignmentType": "USER",
    }


def digits(seed: str, count: int) -> str:
    """Hexadecimal digits that follow from the seed."""
    return hashlib.sha256(seed.encode()).hexdigest()[:count]


def _uuid(seed: str) -> str:
    text = digits(seed, 32)
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def _principal(member: Member) -> dict[str, Any]:
    name = member.name.replace(".", " ").title()
    return {
        "id": member.account_id,
        "type": "User",
        "alternateId": login_of(member),
        "displayName": name,
        "detailEntry": None,
    }


def _client(alert: StoryAlert, address: str | None) -> dict[str, Any]:
    system = _PLATFORMS[alert.device.platform] if alert.device else ("", "Unknown", "Unknown")
    return {
        "id": None,
        "zone": "null",
        "device": "Computer" if alert.device else "Unknown",
        "ipAddress": address,
        "userAgent": {
            "os": system[1],
            "browser": "FIREFOX",
            "rawUserAgent": f"Mozilla/5.0 ({system[2]}; rv:140.0) Gecko/20100101 Firefox/140.0",
        },
        "geographicalContext": None,
    }


def _device(alert: StoryAlert) -> dict[str, Any] | None:
    if alert.device is None:
        return None
    platform, _, _ = _PLATFORMS[alert.device.platform]
    return {
        "id": f"guo{digits(f'device {alert.device.device_id}', 17)}",
        "name": alert.device.hostname,
        "os_platform": platform,
        "os_version": "11.0" if platform == "WINDOWS" else "15.5",
        "managed": True,
        "registered": True,
        "disk_encryption_type": "ALL_INTERNAL_VOLUMES",
        "screen_lock_type": "BIOMETRIC",
        "jailbreak": None,
        "secure_hardware_present": True,
        "device_integrator": None,
    }


def _hop(address: str) -> dict[str, Any]:
    return {"ip": address, "version": "V6" if ":" in address else "V4", "source": None, "geographicalContext": None}
