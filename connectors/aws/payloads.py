"""Renders a story as GuardDuty would, under the names of its JSON.

An alert with techniques has them as the indicators of an attack sequence, where alone GuardDuty writes techniques; the
process that a runtime finding would show stands beside it.
"""

import hashlib
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from nightdesk.sdk.testing import StoryAlert
from nightdesk.sdk.testing.story import TACTIC_NAMES, StoryProcess

__all__ = ["Place", "digits", "finding_payload", "stamp"]

Place = Mapping[str, Any]
"""Where a story happens: ``account``, ``region``, ``detector``; ``instance`` as EC2 describes it, ``user`` as IAM."""

_SEVERITY: Mapping[str, float] = {"informational": 1.0, "low": 2.0, "medium": 5.0, "high": 8.0, "critical": 9.0}
_PURPOSES: Mapping[str, str] = {
    "TA0001": "InitialAccess",
    "TA0002": "Execution",
    "TA0003": "Persistence",
    "TA0004": "PrivilegeEscalation",
    "TA0005": "DefenseEvasion",
    "TA0006": "CredentialAccess",
    "TA0007": "Discovery",
    "TA0010": "Exfiltration",
    "TA0011": "Backdoor",
    "TA0040": "Impact",
    "TA0042": "Recon",
    "TA0043": "Recon",
}


def digits(seed: str, count: int) -> str:
    """Hexadecimal digits that follow from the seed."""
    return hashlib.sha256(seed.encode()).hexdigest()[:count]


def stamp(moment: datetime) -> str:
    """Time as both services write it, with milliseconds."""
    utc = moment.astimezone(UTC)
    return f"{utc:%Y-%m-%dT%H:%M:%S}.{utc.microsecond // 1000:03d}Z"


def finding_payload(alert: StoryAlert, place: Place) -> dict[str, Any]:
    """One finding as GetFindings sends it."""
    native_id, region, account = digits(f"finding {alert.uid}", 32), place["region"], place["account"]
    target = "Runtime" if alert.process else "EC2" if alert.device else "IAMUser"
    purpose = _PURPOSES.get(next(iter(alert.tactic_ids), ""), "UnauthorizedAccess")
    name = "".join(word.capitalize() for word in re.findall(r"[A-Za-z0-9]+", alert.rule_id)) or "Rule"
    return {
        "accountId": account,
        "arn": f"arn:aws:guardduty:{region}:{account}:detector/{place['detector']}/finding/{native_id}",
        "createdAt": stamp(alert.told),
        "description": alert.description or alert.title,
        "id": native_id,
        "partition": "aws",
        "region": region,
        "resource": _resource(alert, place),
        "schemaVersion": "2.0",
        "service": _service(alert, place),
        "severity": _SEVERITY[alert.severity],
        "title": alert.title,
        "type": f"{purpose}:{target}/{name}",
        "updatedAt": stamp(alert.told),
    }


def _resource(alert: StoryAlert, place: Place) -> dict[str, Any]:
    found: dict[str, Any] = {"resourceType": "Instance" if alert.device else "AccessKey"}
    if alert.user:
        user = place["user"]
        found["accessKeyDetails"] = {
            "accessKeyId": user["AccessKeyId"],
            "principalId": user["UserId"],
            "userName": user["UserName"],
            "userType": "IAMUser",
        }
    if alert.device:
        instance = place["instance"]
        found["instanceDetails"] = {
            "availabilityZone": f"{place['region']}a",
            "instanceId": instance["instanceId"],
            "instanceState": instance["instanceState"]["name"],
            "networkInterfaces": [
                {
                    "networkInterfaceId": one["networkInterfaceId"],
                    "privateDnsName": instance["privateDnsName"],
                    "privateIpAddress": one["privateIpAddress"],
                    "privateIpAddresses": [{"privateIpAddress": one["privateIpAddress"]}],
                    "ipv6Addresses": [],
                    "securityGroups": [{"groupId": group["groupId"]} for group in one["groupSet"]],
                    "vpcId": one["vpcId"],
                }
                for one in instance["networkInterfaceSet"]
            ],
            "platform": alert.device.platform.lower() if alert.device.platform == "Windows" else None,
            "tags": [{"key": tag["key"], "value": tag["value"]} for tag in instance["tagSet"]],
        }
    return found


def _service(alert: StoryAlert, place: Place) -> dict[str, Any]:
    found: dict[str, Any] = {
        "action": _action(alert),
        "additionalInfo": {"type": "default", "value": "{}"},
        "archived": False,
        "count": 1,
        "detectorId": place["detector"],
        "eventFirstSeen": stamp(alert.at),
        "eventLastSeen": stamp(alert.at),
        "featureName": "RuntimeMonitoring" if alert.process else "CloudTrail",
        "resourceRole": "TARGET",
        "serviceName": "guardduty",
    }
    if alert.process:
        line = alert.process.command_line
        found["runtimeDetails"] = {"process": _process(alert, alert.process), "context": {"commandLineExample": line}}
    if alert.convicted_sha256:
        found["ebsVolumeScanDetails"] = _scan(alert)
    if alert.technique_ids or alert.tactic_ids:
        found["detection"] = {"sequence": _sequence(alert)}
    return found


def _scan(alert: StoryAlert) -> dict[str, Any]:
    """What a malware scan of the instance's volumes found."""
    path = alert.process.path if alert.process else "unknown"
    name = alert.process.name if alert.process else "unknown"
    file = {"filePath": path, "fileName": name, "hash": alert.convicted_sha256}
    threat = {"name": alert.title, "severity": alert.severity.upper(), "itemCount": 1, "filePaths": [file]}
    by_name = {"itemCount": 1, "uniqueThreatNameCount": 1, "shortened": False, "threatNames": [threat]}
    detections = {"threatsDetectedItemCount": {"files": 1}, "threatDetectedByName": by_name}
    return {"scanId": digits(f"scan {alert.uid}", 32), "scanType": "GUARDDUTY_INITIATED", "scanDetections": detections}


def _sequence(alert: StoryAlert) -> dict[str, Any]:
    tactics = [TACTIC_NAMES.get(one, one) for one in alert.tactic_ids]
    indicators = [
        {"key": key, "title": key.replace("_", " ").title(), "values": values}
        for key, values in (("ATTACK_TECHNIQUE", list(alert.technique_ids)), ("ATTACK_TACTIC", tactics))
        if values
    ]
    return {"uid": digits(f"sequence {alert.uid}", 32), "description": alert.title, "sequenceIndicators": indicators}


def _process(alert: StoryAlert, process: StoryProcess) -> dict[str, Any]:
    user = {"user": alert.user, "userId": 1000} if alert.user else {}
    start = (alert.at - timedelta(seconds=2)).timestamp()
    found: dict[str, Any] = {
        "executablePath": process.path,
        "executableSha256": process.sha256,
        "name": process.name,
        "pid": process.pid,
        "startTime": start,
        "uuid": digits(f"process {alert.uid}", 32),
        **user,
    }
    if process.parent_name:
        parent = {"name": process.parent_name, "executablePath": process.parent_name, "pid": 600}
        found["lineage"] = [{**parent, "uuid": digits(f"parent {alert.uid}", 32), "startTime": start - 60}]
    return found


def _action(alert: StoryAlert) -> dict[str, Any]:
    outward = bool(alert.destination_address)
    remote = alert.destination_address or alert.source_address
    found: dict[str, Any] = {}
    if alert.domain:
        found = {
            "actionType": "DNS_REQUEST",
            "dnsRequestAction": {"domain": alert.domain, "protocol": "UDP", "blocked": False},
        }
    if remote and alert.device:
        ends = (alert.source_port, alert.destination_port) if outward else (alert.destination_port, alert.source_port)
        found["actionType"] = "NETWORK_CONNECTION"
        found["networkConnectionAction"] = {
            "blocked": False,
            "connectionDirection": "OUTBOUND" if outward else "INBOUND",
            "localIpDetails": {"ipAddressV4": next(iter(alert.device.addresses), "")},
            "localPortDetails": {"port": ends[0] or 0, "portName": "Unknown"},
            "protocol": "TCP",
            "remoteIpDetails": {"ipAddressV4": remote},
            "remotePortDetails": {"port": ends[1] or 0, "portName": "Unknown"},
        }
    elif remote:
        found["actionType"] = "AWS_API_CALL"
        found["awsApiCallAction"] = {
            "api": "ConsoleLogin",
            "callerType": "Remote IP",
            "remoteIpDetails": {"ipAddressV4": remote},
            "serviceName": "signin.amazonaws.com",
        }
    return found
