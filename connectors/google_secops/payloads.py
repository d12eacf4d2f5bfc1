"""Renders a story as SecOps would: the UDM event that a parser made, and the detection of a rule that rests on it.

Sources: https://cloud.google.com/chronicle/docs/reference/udm-field-list and
https://cloud.google.com/chronicle/docs/reference/rest/v1alpha/Collection
"""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from nightdesk.sdk.testing import StoryAlert
from nightdesk.sdk.testing.story import TACTIC_NAMES, StoryDevice, StoryProcess

__all__ = ["detection", "event", "guid", "timestamp"]

_PLATFORM = {"Windows": "WINDOWS", "Linux": "LINUX", "macOS": "MAC"}
_ROLE = {"workstation": "WORKSTATION", "server": "SERVER"}
_RISK = {"informational": 5, "low": 25, "medium": 50, "high": 75, "critical": 95}
_SENSOR = {"vendorName": "Example Sensors", "productName": "Example EDR", "logType": "EXAMPLE_EDR"}
_PARSED = timedelta(seconds=2)


def timestamp(moment: datetime) -> str:
    """A timestamp as Google writes it, to the microsecond."""
    return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%S.%f}Z"


def guid(*parts: object) -> str:
    """The same id for the same thing, so that one story told twice is one story."""
    return str(uuid5(NAMESPACE_URL, "/".join(map(str, parts))))


def event(alert: StoryAlert) -> dict[str, Any]:
    """The story as one UDM event."""
    metadata = {
        "eventTimestamp": timestamp(alert.at),
        "eventType": _event_type(alert),
        **_SENSOR,
        "productLogId": guid("event", alert.uid),
        "description": alert.description or alert.title,
        "ingestedTimestamp": timestamp(alert.at + _PARSED),
    }
    made: dict[str, Any] = {
        "metadata": metadata,
        "principal": _principal(alert),
        "target": _target(alert),
        "securityResult": [_result(alert)],
    }
    if alert.destination_address:
        made["network"] = {"ipProtocol": "TCP"}
    return {name: part for name, part in made.items() if part}


def detection(alert: StoryAlert, *, tenant: str, curated: str = "") -> dict[str, Any]:
    """What the rule found; ``curated`` is the id of a rule of Google's, else the rule is the customer's."""
    detection_id = f"de_{guid(tenant, 'detection', alert.uid)}"
    rule_id = curated or f"ru_{guid(tenant, 'rule', alert.rule_id)}"
    label = {"key": "mitre_attack_technique", "value": ", ".join(alert.technique_ids)}
    found: dict[str, Any] = {
        "ruleName": alert.title,
        "summary": "Rule Detection",
        "description": alert.description or alert.title,
        "severity": alert.severity.upper(),
        "ruleId": rule_id,
        "ruleVersion": f"{rule_id}@v_1700000000_000000000",
        "ruleType": "SINGLE_EVENT",
        "alertState": "ALERTING",
        "riskScore": _RISK[alert.severity],
        "urlBackToProduct": f"https://{tenant[:8]}.backstory.chronicle.security/alert?alertId={detection_id}",
        "ruleLabels": [
            {"key": "author", "value": "soc"},
            {"key": "rule_reference", "value": alert.rule_id},
            *([label] if alert.technique_ids else []),
            *({"key": name, "value": text} for name, text in alert.labels.items()),
        ],
    }
    return {
        "type": "GCTI_FINDING" if curated else "RULE_DETECTION",
        "detection": [found],
        "createdTime": timestamp(alert.told),
        "id": detection_id,
        "timeWindow": {"startTime": timestamp(alert.at), "endTime": timestamp(alert.at)},
        "collectionElements": [{"references": [{"event": event(alert)}], "label": "e"}],
        "detectionTime": timestamp(alert.at),
    }


def _event_type(alert: StoryAlert) -> str:
    if alert.process is not None:
        return "PROCESS_LAUNCH"
    if alert.destination_address or alert.domain:
        return "NETWORK_CONNECTION"
    if alert.user:
        return "USER_LOGIN"
    return "GENERIC_EVENT"


def _principal(alert: StoryAlert) -> dict[str, Any]:
    """The machine it happened on, who was at work, and the parent of what was started; else who came from outside."""
    made: dict[str, Any] = _machine(alert.device) if alert.device else {}
    addresses = list(dict.fromkeys([*made.get("ip", ()), *filter(None, [alert.source_address])]))
    if addresses:
        made["ip"] = addresses
    if alert.source_port is not None:
        made["port"] = alert.source_port
    if alert.user:
        made["user"] = {"userid": alert.user, **({"windowsSid": alert.user_sid} if alert.user_sid else {})}
    if alert.user_domain:
        made["administrativeDomain"] = alert.user_domain
    process = alert.process
    if process is not None and process.parent_name:
        made["process"] = {
            "commandLine": process.parent_command_line or process.parent_name,
            "file": {"fullPath": process.parent_name},
        }
    return made


def _machine(device: StoryDevice) -> dict[str, Any]:
    return {
        "hostname": device.hostname,
        "ip": list(device.addresses),
        "platform": _PLATFORM[device.platform],
        "asset": {
            "hostname": device.hostname,
            "productObjectId": device.device_id,
            "assetId": f"EDR:{device.device_id}",
            "type": _ROLE[device.asset_type],
        },
    }


def _target(alert: StoryAlert) -> dict[str, Any]:
    made: dict[str, Any] = {}
    if alert.process is not None:
        made["process"] = _process(alert.process)
    if alert.convicted_sha256:
        same = alert.process is not None and alert.process.sha256 == alert.convicted_sha256
        path = {"fullPath": alert.process.path} if same and alert.process is not None else {}
        made["file"] = {**path, "sha256": alert.convicted_sha256}
    if alert.destination_address:
        made["ip"] = [alert.destination_address]
    if alert.destination_port is not None:
        made["port"] = alert.destination_port
    if alert.domain:
        made["domain"] = {"name": alert.domain}
    return made


def _process(process: StoryProcess) -> dict[str, Any]:
    return {
        "pid": str(process.pid),
        "commandLine": process.command_line,
        "productSpecificProcessId": f"EDR:{process.pid}",
        "file": {"fullPath": process.path, "sha256": process.sha256, "names": [process.name]},
    }


def _result(alert: StoryAlert) -> dict[str, Any]:
    """What the sensor said of it."""
    techniques = [_technique(name) for name in alert.technique_ids]
    tactics = [{"id": name, "name": TACTIC_NAMES.get(name, name)} for name in alert.tactic_ids]
    attack: Mapping[str, Any] = {"tactics": tactics, "techniques": techniques}
    made: dict[str, Any] = {
        "ruleName": alert.title,
        "ruleId": alert.rule_id,
        "severity": alert.severity.upper(),
        "action": ["ALLOW"],
        "summary": alert.title,
    }
    if alert.convicted_sha256:
        made |= {"category": ["SOFTWARE_MALICIOUS"], "threatName": alert.title}
    if techniques or tactics:
        made["attackDetails"] = attack
    return made


def _technique(name: str) -> dict[str, str]:
    technique, dot, _ = name.partition(".")
    return {"id": technique, **({"subtechniqueId": name} if dot else {})}
