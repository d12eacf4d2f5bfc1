"""A story's alert as Suricata writes it to a topic.

Format: https://docs.suricata.io/en/latest/output/eve/eve-json-format.html
"""

import zlib
from datetime import datetime
from typing import Any

from nightdesk.sdk.testing.story import TACTIC_NAMES, StoryAlert

__all__ = ["alert_id", "document"]

_PRIORITY = {"critical": 1, "high": 1, "medium": 2, "low": 3, "informational": 3}
_CATEGORIES = {1: "A Network Trojan was detected", 2: "Potentially Bad Traffic", 3: "Misc activity"}


def document(alert: StoryAlert) -> dict[str, Any]:
    """One record with ``event_type`` alert."""
    priority = _PRIORITY[alert.severity]
    metadata: dict[str, list[str]] = {"created_at": ["2024_03_14"], "confidence": ["High"]}
    if alert.technique_ids:
        metadata["mitre_technique_id"] = list(alert.technique_ids)
    if alert.tactic_ids:
        metadata["mitre_tactic_id"] = list(alert.tactic_ids)
        metadata["mitre_tactic_name"] = [TACTIC_NAMES[one].replace(" ", "_") for one in alert.tactic_ids]
    return {
        **_flow(alert, alert.told),
        "event_type": "alert",
        "alert": {
            "action": "allowed",
            "gid": 1,
            "signature_id": 2_000_000 + zlib.crc32(alert.rule_id.encode()) % 999_983,
            "rev": 3,
            "signature": alert.title,
            "category": _CATEGORIES[priority],
            "severity": priority,
            "metadata": metadata,
        },
        "app_proto": "http",
    }


def alert_id(record: dict[str, Any]) -> str:
    """What tells an alert from every other: its flow, rule and time."""
    rule = record["alert"]
    return ":".join(str(part) for part in (record["flow_id"], rule["gid"], rule["signature_id"], record["timestamp"]))


def _flow(alert: StoryAlert, moment: datetime) -> dict[str, Any]:
    inside = alert.device.addresses[0] if alert.device else "192.0.2.10"
    return {
        "timestamp": f"{moment:%Y-%m-%dT%H:%M:%S.%f}+0000",
        "flow_id": zlib.crc32(alert.uid.encode()) * 65_536 + zlib.adler32(alert.uid.encode()) % 65_521,
        "in_iface": "eth0",
        "src_ip": alert.source_address or inside,
        "src_port": alert.source_port or 49_205,
        "dest_ip": alert.destination_address or "203.0.113.77",
        "dest_port": alert.destination_port or 80,
        "proto": "TCP",
    }
