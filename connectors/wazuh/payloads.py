"""Renders a story as Wazuh alerts: Sysmon events for what runs on a host, authentication and network logs otherwise."""

import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from nightdesk.connectors.wazuh.wire import local_time
from nightdesk.sdk.testing import StoryAlert
from nightdesk.sdk.testing.story import TACTIC_NAMES, StoryProcess

__all__ = ["MANAGER", "alert_payload", "listing_payload", "report_payload", "user_payload"]

MANAGER = "wazuh-manager"
_LEVELS: Mapping[str, int] = {"informational": 3, "low": 5, "medium": 9, "high": 13, "critical": 15}
_BIN = "active-response/bin"
# Rules 651 to 657 of the ruleset: what blocked and unblocked, and any other script.
_REPORTED: Mapping[tuple[str, str], tuple[str, str]] = {
    ("firewall-drop", "add"): ("651", "Host Blocked by firewall-drop Active Response"),
    ("firewall-drop", "delete"): ("652", "Host Unblocked by firewall-drop Active Response"),
}


def alert_payload(alert: StoryAlert, number: int, agent: Mapping[str, str]) -> dict[str, Any]:
    """One alert as the manager writes it; ``number`` is its place in the file of alerts."""
    on_host = alert.device and (alert.process or alert.domain or alert.destination_address)
    part = _sysmon(alert) if on_host else _log(alert)
    rule: dict[str, Any] = {
        "level": _LEVELS[alert.severity],
        "description": alert.title,
        "id": alert.rule_id if alert.rule_id.isdecimal() else str(100_000 + int(_digits(alert.rule_id, 4), 16)),
        "firedtimes": 1,
        "mail": False,
        "groups": part.pop("groups"),
    }
    if alert.technique_ids or alert.tactic_ids:
        rule["mitre"] = {
            "id": list(alert.technique_ids),
            "tactic": [TACTIC_NAMES.get(tactic, tactic) for tactic in alert.tactic_ids],
        }
    return {**_frame(alert.told, number, agent), "rule": rule, **part}


def report_payload(
    moment: datetime, number: int, agent: Mapping[str, str], script: str, message: Mapping[str, Any]
) -> dict[str, Any]:
    """What an agent's log says of a script that was started, as rules 651 to 657 tell it."""
    command = str(message["command"])
    rule_id, description = _REPORTED.get((script, command), ("657", f"Active response: {_BIN}/{script} - {command}"))
    return {
        **_frame(moment, number, agent),
        "rule": {
            "level": 3,
            "description": description,
            "id": rule_id,
            "firedtimes": 1,
            "mail": False,
            "groups": ["ossec", "active_response"],
        },
        "decoder": {"parent": "ar_log_json", "name": "ar_log_json"},
        "data": {
            "version": "1",
            "origin": {"name": "node01", "module": "wazuh-execd"},
            "command": command,
            "parameters": {**message["parameters"], "program": f"{_BIN}/{script}"},
        },
        "full_log": f"{moment.astimezone(UTC):%Y/%m/%d %H:%M:%S} {_BIN}/{script}: {command}",
        "location": "/var/ossec/logs/active-responses.log",
    }


def listing_payload(moment: datetime, number: int, agent: Mapping[str, str], alias: str, text: str) -> dict[str, Any]:
    """The output of a command that an agent runs every minute, told by a rule of the operator's."""
    return {
        **_frame(moment, number, agent),
        "rule": {
            "level": 3,
            "description": "Firewall listing",
            "id": "100900",
            "firedtimes": 1,
            "mail": False,
            "groups": ["ossec", "process_monitor"],
        },
        "decoder": {"name": "ossec"},
        "full_log": f"ossec: output: '{alias}':\n{text}",
        "location": alias,
    }


def user_payload(agent: Mapping[str, str], login: str, uid: int, groups: list[str], status: str) -> dict[str, Any]:
    """One user of a host's inventory; Linux only tells the password's status."""
    return {
        "agent": {"id": agent["id"], "name": agent["name"], "version": "v4.14.1"},
        "user": {
            "name": login,
            "id": str(uid),
            "groups": groups,
            "home": f"/home/{login}",
            "shell": "/bin/bash",
            "is_hidden": False,
            "is_remote": False,
            "password": {"status": status, "hash_algorithm": "y"},
        },
        "wazuh": {"cluster": {"name": "wazuh"}, "schema": {"version": "1.0"}},
    }


def _frame(moment: datetime, number: int, agent: Mapping[str, str]) -> dict[str, Any]:
    return {
        "timestamp": local_time(moment),
        "id": f"{int(moment.timestamp())}.{number}",
        "agent": dict(agent),
        "manager": {"name": MANAGER},
        "cluster": {"name": "wazuh", "node": "node01"},
        "input": {"type": "log"},
        "@timestamp": f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03d}Z",
    }


def _sysmon(alert: StoryAlert) -> dict[str, Any]:
    event = "1" if alert.process else "22" if alert.domain else "3"
    data: dict[str, Any] = {
        "utcTime": f"{alert.at.astimezone(UTC):%Y-%m-%d %H:%M:%S}.{alert.at.microsecond // 1000:03d}"
    }
    if alert.process is not None:
        data |= _process(alert.process, alert)
    if alert.user:
        data["user"] = f"{alert.user_domain}\\{alert.user}" if alert.user_domain else alert.user
    if alert.domain:
        data["queryName"] = alert.domain
    if alert.destination_address or alert.source_address:
        local = alert.device.addresses[0] if alert.device and alert.device.addresses else ""
        ends = {
            "sourceIp": alert.source_address or local,
            "destinationIp": alert.destination_address or (local if alert.source_address != local else ""),
            "sourcePort": "" if alert.source_port is None else str(alert.source_port),
            "destinationPort": "" if alert.destination_port is None else str(alert.destination_port),
        }
        data |= {name: value for name, value in ends.items() if value}
        data["protocol"] = "tcp"
    hostname = alert.device.hostname if alert.device else ""
    return {
        "groups": ["windows", "sysmon", f"sysmon_event{event}"],
        "decoder": {"name": "windows_eventchannel"},
        "data": {
            "win": {
                "system": {
                    "providerName": "Microsoft-Windows-Sysmon",
                    "eventID": event,
                    "level": "4",
                    "systemTime": f"{alert.at.astimezone(UTC):%Y-%m-%dT%H:%M:%S}.{alert.at.microsecond:06d}0Z",
                    "eventRecordID": str(int(_digits(alert.uid, 6), 16)),
                    "channel": "Microsoft-Windows-Sysmon/Operational",
                    "computer": hostname,
                    "severityValue": "INFORMATION",
                    "message": f'"{alert.description or alert.title}"',
                },
                # Wazuh escapes backslashes and quotes of event data a second time.
                "eventdata": {name: _escaped(value) for name, value in data.items()},
            }
        },
        "location": "EventChannel",
    }


def _process(process: StoryProcess, alert: StoryAlert) -> dict[str, str]:
    part = {
        "processGuid": f"{{{_digits(f'{alert.uid} process', 8)}-0000-0000-0000-000000000000}}",
        "processId": str(process.pid),
        "image": process.path or process.name,
        "commandLine": process.command_line,
        "integrityLevel": "High",
        "hashes": f"SHA256={process.sha256.upper()}" if process.sha256 else "",
    }
    if process.parent_name:
        part |= {
            "parentProcessGuid": f"{{{_digits(f'{alert.uid} parent', 8)}-0000-0000-0000-000000000000}}",
            "parentProcessId": str(1000 + process.pid % 1000),
            "parentImage": process.parent_name,
            "parentCommandLine": process.parent_command_line,
        }
    return {name: value for name, value in part.items() if value}


def _log(alert: StoryAlert) -> dict[str, Any]:
    """A line of a log: a sign-in, a connection; of a host of the story, or of what the manager itself collects."""
    data = {
        "srcip": alert.source_address,
        "dstip": alert.destination_address,
        "srcport": "" if alert.source_port is None else str(alert.source_port),
        "dstport": "" if alert.destination_port is None else str(alert.destination_port),
        "dstuser": alert.user,
    }
    return {
        "groups": ["syslog", "authentication_failed" if alert.user else "connection_attempt"],
        "decoder": {"name": "json"},
        "data": {name: value for name, value in data.items() if value},
        "full_log": alert.description or alert.title,
        "location": "/var/log/gateway.json",
    }


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')


def _digits(seed: str, count: int) -> str:
    return hashlib.sha256(seed.encode()).hexdigest()[:count]
