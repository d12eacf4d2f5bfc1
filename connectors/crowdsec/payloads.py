"""Renders a story as a CrowdSec engine would push it: a scenario that overflowed for one source, with its events."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from nightdesk.sdk.testing import StoryAlert

__all__ = ["alert_body", "ban_body", "blocklist_body", "go_time", "rfc3339"]

_PLAIN: Mapping[str, Any] = {
    **dict.fromkeys(("scenario_hash", "scenario_version", "message", "start_at", "stop_at"), ""),
    "capacity": 0,
    "leakspeed": "0",
    "simulated": False,
    "events": [],
}


def go_time(moment: datetime) -> str:
    """A time as Go prints it, in which the Local API answers."""
    utc = moment.astimezone(UTC)
    fraction = f".{utc.microsecond:06d}".rstrip("0").rstrip(".")
    return f"{utc:%Y-%m-%d %H:%M:%S}{fraction} +0000 UTC"


def rfc3339(moment: datetime) -> str:
    """A time in whole seconds, as ``created_at`` has it."""
    return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


def alert_body(alert: StoryAlert) -> dict[str, Any]:
    """The alert as the engine posts it. CrowdSec knows no severity, no process, and passes no technique on."""
    at = f"{alert.at.astimezone(UTC):%Y-%m-%dT%H:%M:%S.%f}Z"
    host = alert.device.hostname if alert.device else ""
    meta = {
        "machine": host,
        "source_ip": alert.source_address,
        "target_user": alert.user,
        "target_fqdn": alert.domain,
        "log_type": "story",
        "timestamp": at,
    }
    pairs = [{"key": key, "value": value} for key, value in sorted(meta.items()) if value]
    return {
        "scenario": alert.rule_id if "/" in alert.rule_id else f"crowdsecurity/{alert.rule_id}",
        "scenario_hash": "",
        "scenario_version": "0.1",
        "message": alert.description or alert.title,
        "events_count": 1,
        "start_at": at,
        "stop_at": at,
        "capacity": 0,
        "leakspeed": "0s",
        "simulated": False,
        "remediation": bool(alert.source_address),
        "events": [{"timestamp": at, "meta": pairs}],
        "source": _source(alert),
    }


def ban_body(value: str, *, origin: str, duration: str, kind: str) -> dict[str, Any]:
    """A ban as the command line posts it: an alert that brings its decision along."""
    scope = "Range" if "/" in value else "Ip"
    decision = {"origin": origin, "type": kind, "duration": duration, "scenario": "manual 'ban'"}
    return {
        **_PLAIN,
        "scenario": "manual 'ban'",
        "events_count": 1,
        "source": {"scope": scope, "value": value},
        "decisions": [{**decision, "scope": scope, "value": value}],
    }


def blocklist_body(count: int) -> dict[str, Any]:
    """A pull of the community blocklist of up to 254 addresses."""
    decision = {"origin": "CAPI", "type": "ban", "duration": "24h", "scope": "Ip", "scenario": "crowdsecurity/ssh-bf"}
    return {
        **_PLAIN,
        "scenario": f"update : +{count}/-0 IPs",
        "events_count": count,
        "source": {"scope": "crowdsecurity/community-blocklist", "value": ""},
        "decisions": [{**decision, "value": f"198.51.100.{at + 1}"} for at in range(count)],
    }


def _source(alert: StoryAlert) -> Mapping[str, Any]:
    """Who behaved so: an address, else a user, else the machine itself under a scope of its own."""
    if alert.source_address:
        return {"scope": "Ip", "value": alert.source_address, "ip": alert.source_address}
    if alert.user:
        return {"scope": "Username", "value": alert.user}
    return {"scope": "Machine", "value": alert.device.hostname if alert.device else alert.uid}
