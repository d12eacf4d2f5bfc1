"""A story's alert as a document of the Elastic Common Schema, as shippers put it on a topic."""

from typing import Any

from nightdesk.sdk.testing.story import TACTIC_NAMES, StoryAlert

__all__ = ["document"]

_RISK = {"informational": 10, "low": 30, "medium": 55, "high": 75, "critical": 97}


def document(alert: StoryAlert) -> dict[str, Any]:
    """One document; ECS 8.11 field names."""
    made: dict[str, Any] = {
        "@timestamp": f"{alert.told:%Y-%m-%dT%H:%M:%S.%f}Z",
        "ecs": {"version": "8.11.0"},
        "event": {
            "id": alert.uid,
            "kind": "alert",
            "dataset": "sensor.alerts",
            "start": f"{alert.at:%Y-%m-%dT%H:%M:%S.%f}Z",
            "reason": alert.description or alert.title,
            "risk_score_norm": _RISK[alert.severity],
        },
        "rule": {"id": alert.rule_id, "name": alert.title},
        "observer": {"vendor": "Example", "name": "sensor-1"},
    }
    if alert.technique_ids:
        made["threat"] = {
            "technique": {"id": list(alert.technique_ids)},
            "tactic": {"id": list(alert.tactic_ids), "name": [TACTIC_NAMES[one] for one in alert.tactic_ids]},
        }
    if alert.device:
        device = alert.device
        made["host"] = {"id": device.device_id, "name": device.hostname, "ip": list(device.addresses)}
    if alert.user:
        made["user"] = {"name": alert.user, **({"domain": alert.user_domain} if alert.user_domain else {})}
    if alert.process:
        process = alert.process
        made["process"] = {
            "pid": process.pid,
            "name": process.name,
            "executable": process.path,
            "command_line": process.command_line,
            "hash": {"sha256": process.sha256},
        }
    if alert.source_address:
        made["source"] = {"ip": alert.source_address}
    if alert.destination_address:
        made["destination"] = {"ip": alert.destination_address}
    return made
