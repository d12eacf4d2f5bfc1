"""The simulated workspace's tables of devices, sign-ins and firewalls."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from nightdesk.sdk.ports import SightingKind
from nightdesk.sdk.testing.story import StorySighting

__all__ = ["tables"]

_K = SightingKind
_RESULTS = {_K.SIGN_IN: "0", _K.SIGN_IN_REFUSED: "50057"}


def tables(seen: Sequence[StorySighting]) -> dict[str, list[Mapping[str, Any]]]:
    """Flows stand in the firewall's table and, of a host with a sensor, in no other; a table without rows is absent."""
    found: dict[str, list[Mapping[str, Any]]] = {}
    for one in seen:
        if one.kind in {_K.NETWORK_FLOW, _K.BLOCKED_FLOW}:
            by_sensor = one.provider == "sensor"
            name, row = ("DeviceNetworkEvents", _device(one)) if by_sensor else ("CommonSecurityLog", _firewall(one))
        elif one.kind in _RESULTS:
            name, row = "SigninLogs", _sign_in(one)
        elif one.kind is _K.PROCESS_START:
            name, row = "DeviceProcessEvents", _process(one)
        else:
            continue
        found.setdefault(name, []).append({"TimeGenerated": _stamp(one.at), "Type": name, **row})
    return found


def _firewall(one: StorySighting) -> dict[str, Any]:
    """Common Event Format as a firewall's connector writes it; the name is the firewall's own knowledge."""
    near = (one.device.hostname if one.device else "", one.device.addresses[0] if one.device else "192.0.2.1", 50123)
    far = (one.domain, one.peer, one.port)
    source, dest = (far, near) if one.inbound else (near, far)
    return {
        "DeviceVendor": "Palo Alto Networks",
        "DeviceAction": "allow" if one.kind is _K.NETWORK_FLOW else "deny",
        "StartTime": _stamp(one.began or one.at),
        "SourceHostName": source[0],
        "SourceIP": source[1],
        "SourcePort": source[2],
        "DestinationHostName": dest[0],
        "DestinationIP": dest[1],
        "DestinationPort": dest[2],
        "RequestURL": one.url,
    }


def _device(one: StorySighting) -> dict[str, Any]:
    return {
        "ActionType": "InboundConnectionAccepted" if one.inbound else "ConnectionSuccess",
        "DeviceName": f"{one.device.hostname.lower()}.corp.example.com" if one.device else "",
        "LocalIP": one.device.addresses[0] if one.device else "",
        "LocalPort": 50123,
        "RemoteIP": one.peer,
        "RemotePort": one.port,
        "RemoteUrl": one.url or one.domain,
    }


def _sign_in(one: StorySighting) -> dict[str, Any]:
    account = one.account
    return {
        "UserPrincipalName": account.email if account else "",
        "UserId": account.account_id if account else "",
        "ResultType": _RESULTS[one.kind],
        "IPAddress": one.peer or "203.0.113.5",
        "AppDisplayName": "Office 365",
    }


def _process(one: StorySighting) -> dict[str, Any]:
    process = one.process
    return {
        "ActionType": "ProcessCreated",
        "DeviceName": one.device.hostname if one.device else "",
        "FolderPath": process.path if process else "",
        "FileName": process.name if process else "",
        "SHA256": process.sha256 if process else "",
        "SHA1": "",
        "MD5": "",
    }


def _stamp(moment: datetime) -> str:
    return f"{moment:%Y-%m-%dT%H:%M:%S.%f}0Z"
