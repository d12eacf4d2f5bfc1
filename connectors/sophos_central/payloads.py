"""Renders a story as Sophos Central would: feed alerts, open alerts of the Common API, endpoints."""

from collections.abc import Mapping
from hashlib import sha256
from typing import Any

from nightdesk.connectors.sophos_central.wire import stamp
from nightdesk.sdk.testing import Device, StoryAlert
from nightdesk.sdk.testing.story import StoryProcess

__all__ = ["common_payload", "endpoint_payload", "feed_payload", "uuid_of"]

_SEVERITY: Mapping[str, str] = {"informational": "none"}
_COMMON: Mapping[str, str] = {"informational": "low", "critical": "high"}
_OS: Mapping[str, tuple[str, str]] = {
    "Windows": ("windows", "Windows 11 Pro"),
    "Linux": ("linux", "Ubuntu 24.04 LTS"),
    "macOS": ("macOS", "macOS 15"),
}


def uuid_of(*seed: str) -> str:
    """The same id for the same seed."""
    text = sha256("\0".join(seed).encode()).hexdigest()
    return f"{text[:8]}-{text[8:12]}-4{text[13:16]}-8{text[17:20]}-{text[20:32]}"


def feed_payload(alert: StoryAlert, *, tenant: str, native_id: str, device: Device | None) -> dict[str, Any]:
    """One alert of the SIEM feed. It has no place for techniques, command lines or parents."""
    created, when = stamp(alert.told), stamp(alert.at)
    login = f"{alert.user_domain}\\{alert.user}" if alert.user and alert.user_domain else alert.user
    millis = int(alert.told.timestamp() * 1000)
    data: dict[str, Any] = {
        "app_id": "CORE",
        "source_app_id": "CORE",
        "created_at": millis,
        "inserted_at": millis,
        "policy_type": 30,
        "threat_status": "NONE",
        "certificates": [],
        "core_remedy_items": {"totalItems": 0, "items": []},
    }
    if device is not None:
        data |= {
            "endpoint_id": device.device_id,
            "endpoint_java_id": device.device_id,
            "endpoint_type": _type(device),
            "endpoint_platform": _OS[device.platform][0],
        }
    address = alert.source_address or (device.addresses[0] if device is not None and device.addresses else "")
    data |= {"source_info": {"ip": address}} if address else {}
    if alert.process is not None:
        data["hmpa_exploit"] = _exploit(alert, alert.process)
    if alert.destination_address:
        data["ips_threat"] = _network(alert, address)
    kind = "IpsOutboundDetection" if alert.destination_address else "CoreDetection"
    return {
        "id": native_id,
        "event_service_event_id": native_id,
        "customer_id": tenant,
        "type": f"Event::Endpoint::{kind}",
        "severity": _SEVERITY.get(alert.severity, alert.severity),
        "created_at": created,
        "when": when,
        "description": _description(alert),
        "source": login or "n/a",
        "location": device.hostname if device is not None else "n/a",
        "threat": alert.rule_id,
        "threat_cleanable": False,
        "data": data,
    }


def common_payload(feed: Mapping[str, Any], alert: StoryAlert) -> dict[str, Any]:
    """The same alert as the Common API gives it while it is open."""
    data = feed["data"]
    agent = {"id": data["endpoint_id"], "type": data["endpoint_type"]} if "endpoint_id" in data else {}
    return {
        "id": feed["id"],
        "allowedActions": ["acknowledge"],
        "category": "malware",
        "description": feed["description"],
        "groupKey": sha256(str(feed["type"]).encode()).hexdigest()[:32],
        "managedAgent": agent,
        "person": {"id": uuid_of("person", str(feed["source"]))},
        "product": "server" if data.get("endpoint_type") == "server" else "endpoint",
        "raisedAt": feed["created_at"],
        "severity": _COMMON.get(alert.severity, alert.severity),
        "tenant": {"id": feed["customer_id"], "name": "Example"},
        "type": feed["type"],
    }


def endpoint_payload(device: Device, *, tenant: str, online: bool, seen: str, itself: bool) -> dict[str, Any]:
    """One endpoint in full. ``itself``: it cut itself off because of its health."""
    platform, name = _OS[device.platform]
    health = "bad" if itself else "good"
    return {
        "id": device.device_id,
        "type": _type(device),
        "tenant": {"id": tenant},
        "hostname": device.hostname,
        "health": {"overall": health, "threats": {"status": health}, "services": {"status": "good"}},
        "os": {"isServer": device.asset_type == "server", "platform": platform, "name": name},
        "ipv4Addresses": [address for address in device.addresses if ":" not in address],
        "ipv6Addresses": [address for address in device.addresses if ":" in address],
        "tamperProtectionEnabled": True,
        "lastSeenAt": seen,
        "online": online,
        "isolation": {
            "status": "isolated" if device.isolated or itself else "notIsolated",
            "adminIsolated": device.isolated,
            "selfIsolated": itself,
        },
    }


def _type(device: Device) -> str:
    return "server" if device.asset_type == "server" else "computer"


def _description(alert: StoryAlert) -> str:
    """What it is and where, in the form of the vendor's own sentences."""
    where = alert.process.path if alert.process is not None else (f"https://{alert.domain}/" if alert.domain else "")
    return f"{alert.title}: '{alert.rule_id}' at '{where}'" if where else alert.title


def _exploit(alert: StoryAlert, process: StoryProcess) -> dict[str, Any]:
    return {
        "uid": uuid_of("exploit", alert.uid),
        "family_id": uuid_of("family", alert.rule_id),
        "type": alert.rule_id,
        "process_name": process.name,
        "process_path": process.path,
        "process_pid": str(process.pid),
        "process_version": "1.0",
        "thumbprint": sha256(alert.uid.encode()).hexdigest(),
        "version": "3.9.0",
    }


def _network(alert: StoryAlert, address: str) -> dict[str, Any]:
    process = alert.process
    lines = {
        "Message": alert.title,
        "Packet type": "TCP",
        "Local IP:": address,
        "Local Port:": str(alert.source_port or 49152),
        "Remote IP:": alert.destination_address,
        "Remote Port:": str(alert.destination_port or 443),
        **({"PID:": str(process.pid), "Executable:": process.path, "SHA-256:": process.sha256} if process else {}),
    }
    known = {
        "executable_name": process.name,
        "executable_path": process.path,
        "executable_pid": str(process.pid),
    } if process else {}  # fmt: skip
    return {
        **known,
        "detection_type": 1,
        "local_port": lines["Local Port:"],
        "remote_ip": alert.destination_address,
        "remote_port": lines["Remote Port:"],
        "raw_data": "\n".join(f"{name:<14}{value}" for name, value in lines.items()),
        "tech_support_id": alert.uid,
    }
