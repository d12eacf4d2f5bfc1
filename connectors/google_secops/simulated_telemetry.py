"""The UDM events that parsers made of a tenant's firewall, identity provider and hosts.

Source: https://cloud.google.com/chronicle/docs/unified-data-model/udm-usage (which fields an event type has).
"""

from collections.abc import Mapping, Sequence
from typing import Any

from nightdesk.connectors.google_secops.payloads import guid, timestamp
from nightdesk.sdk.ports import SightingKind
from nightdesk.sdk.testing.story import StorySighting

__all__ = ["events"]

_K = SightingKind
_REFUSED = frozenset({_K.SIGN_IN_REFUSED, _K.LOGON_REFUSED, _K.BLOCKED_FLOW, _K.PROCESS_BLOCKED})
_LOGONS = frozenset({_K.LOGON, _K.LOGON_REFUSED})
_FIREWALL = ("Palo Alto Networks", "NGFW", "PAN_FIREWALL")
_HOSTS = ("Microsoft", "Windows Event Log", "WINEVTLOG")
_PROVIDERS = {"okta": ("Okta", "Okta", "OKTA"), "microsoft_entra_id": ("Microsoft", "Azure AD", "AZURE_AD")}
_SENSOR = ("CrowdStrike", "Falcon", "CS_EDR")


def events(seen: Sequence[StorySighting], tenant: str) -> list[Mapping[str, Any]]:
    """One event for each thing that was seen; ``provider`` names whose log it is."""
    return [_event(one, tenant) for one in seen]


def _event(one: StorySighting, tenant: str) -> dict[str, Any]:
    if one.kind in {_K.NETWORK_FLOW, _K.BLOCKED_FLOW}:
        kind, body = "NETWORK_HTTP" if one.url else "NETWORK_CONNECTION", _flow(one)
        source = _SENSOR if one.provider == "sensor" else _FIREWALL
    elif one.kind in {_K.PROCESS_START, _K.PROCESS_BLOCKED}:
        kind, body, source = "PROCESS_LAUNCH", _process(one), _SENSOR
    else:
        kind, body = "USER_LOGIN", _login(one)
        source = _HOSTS if one.kind in _LOGONS else _PROVIDERS.get(one.provider, ("Example", one.provider, "EXAMPLE"))
    vendor, product, log_type = source
    metadata = {
        "id": guid(tenant, "telemetry", one.uid),
        "eventTimestamp": timestamp(one.at),
        "eventType": kind,
        "vendorName": vendor,
        "productName": product,
        "logType": log_type,
    }
    result: dict[str, Any] = {"action": ["BLOCK" if one.kind in _REFUSED else "ALLOW"]}
    if one.kind in {_K.SIGN_IN_REFUSED, _K.LOGON_REFUSED}:
        result["summary"] = "The user account is disabled"
    # A sensor tells what took place, and gives no verdict.
    verdict = {} if source is _SENSOR and one.kind not in _REFUSED else {"securityResult": [result]}
    return {"metadata": metadata, **body, **verdict}


def _flow(one: StorySighting) -> dict[str, Any]:
    near: dict[str, Any] = {"port": 50123}
    if one.device:
        near |= {"hostname": one.device.hostname, "ip": list(one.device.addresses)}
    far: dict[str, Any] = {"port": one.port, **({"ip": [one.peer]} if one.peer else {})}
    far |= {"hostname": one.domain} if one.domain else {}
    begin, end = (far, near) if one.inbound else (near, far)
    if one.url:
        end = {**end, "url": one.url}
    lasted = (one.at - one.began).total_seconds() if one.began else 0.0
    network = {"ipProtocol": "TCP", **({"sessionDuration": f"{lasted:g}s"} if lasted else {})}
    return {"principal": begin, "target": end, "network": network}


def _login(one: StorySighting) -> dict[str, Any]:
    account, on_host = one.account, one.kind in _LOGONS
    user = {"userid": account.name, "emailAddresses": [account.email], "windowsSid": account.sid} if account else {}
    target: dict[str, Any] = {"user": user}
    if on_host and one.device:
        target["hostname"] = one.device.hostname
    elif not on_host:
        target["application"] = "Example mail"
    auth = {"type": "MACHINE", "mechanism": ["INTERACTIVE"]} if on_host else {"type": "SSO"}
    return {"principal": {"ip": [one.peer or "203.0.113.5"]}, "target": target, "extensions": {"auth": auth}}


def _process(one: StorySighting) -> dict[str, Any]:
    host = {"hostname": one.device.hostname, "ip": list(one.device.addresses)} if one.device else {}
    process = one.process
    file = {"fullPath": process.path, "sha256": process.sha256.lower()} if process else {}
    return {"principal": host, "target": {"process": {"file": file}}}
