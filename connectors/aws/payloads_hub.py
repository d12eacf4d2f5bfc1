"""Renders a story as a product that reports to Security Hub would: in the AWS Security Finding Format.

Source: https://docs.aws.amazon.com/securityhub/latest/userguide/securityhub-findings-format.html
"""

from datetime import timedelta
from typing import Any

from nightdesk.connectors.aws.payloads import Place, digits, stamp
from nightdesk.sdk.testing import StoryAlert
from nightdesk.sdk.testing.story import TACTIC_NAMES

__all__ = ["asff_payload"]

_NORMALIZED = {"informational": 0, "low": 1, "medium": 40, "high": 70, "critical": 90}


def asff_payload(alert: StoryAlert, place: Place) -> dict[str, Any]:
    """One finding as GetFindings sends it."""
    region, account = place["region"], place["account"]
    product = f"arn:aws:securityhub:{region}:{account}:product/{account}/default"
    label = alert.severity.upper()
    finding: dict[str, Any] = {
        "SchemaVersion": "2018-10-08",
        "Id": f"{product}/{digits(f'hub {alert.uid}', 32)}",
        "ProductArn": product,
        "ProductName": "Default",
        "CompanyName": "Personal",
        "Region": region,
        "GeneratorId": alert.rule_id,
        "AwsAccountId": account,
        "Types": [f"TTPs/{TACTIC_NAMES.get(one, one)}" for one in alert.tactic_ids] or ["Unusual Behaviors"],
        "FirstObservedAt": stamp(alert.at),
        "LastObservedAt": stamp(alert.at),
        "CreatedAt": stamp(alert.told),
        "UpdatedAt": stamp(alert.told),
        "ProcessedAt": stamp(alert.told + timedelta(seconds=2)),
        "Severity": {"Label": label, "Normalized": _NORMALIZED[alert.severity], "Original": label},
        "Title": alert.title,
        "Description": alert.description or alert.title,
        "ProductFields": {},
        "Resources": _resources(alert, place),
        "WorkflowState": "NEW",
        "Workflow": {"Status": "NEW"},
        "RecordState": "ACTIVE",
    }
    if alert.process:
        started = stamp(alert.at - timedelta(seconds=2))
        process = {"Name": alert.process.name, "Path": alert.process.path, "Pid": alert.process.pid}
        finding["Process"] = {**process, "LaunchedAt": started}
    if alert.convicted_sha256:  # a hash stands nowhere else, and what stands here is convicted
        path = {"FilePath": alert.process.path, "FileName": alert.process.name} if alert.process else {}
        file = {**path, "Hash": alert.convicted_sha256}
        finding["Threats"] = [{"Name": alert.title, "ItemCount": 1, "FilePaths": [file]}]
    if alert.technique_ids:
        indicators = [{"Key": "ATTACK_TECHNIQUE", "Values": list(alert.technique_ids)}]
        finding["Detection"] = {
            "Sequence": {"Uid": digits(f"sequence {alert.uid}", 32), "SequenceIndicators": indicators}
        }
    if alert.destination_address or alert.source_address:
        finding["Network"] = _network(alert)
    return finding


def _resources(alert: StoryAlert, place: Place) -> list[dict[str, Any]]:
    shared = {"Partition": "aws", "Region": place["region"]}
    rows: list[dict[str, Any]] = []
    if alert.device:
        instance = place["instance"]
        arn = f"arn:aws:ec2:{place['region']}:{place['account']}:instance/{instance['instanceId']}"
        details = {"IpV4Addresses": list(alert.device.addresses), "VpcId": instance["vpcId"]}
        rows.append({"Type": "AwsEc2Instance", "Id": arn, **shared, "Details": {"AwsEc2Instance": details}})
    if alert.user:
        user = place["user"]
        details = {"UserName": user["UserName"], "UserId": user["UserId"]}
        rows.append({"Type": "AwsIamUser", "Id": user["Arn"], **shared, "Details": {"AwsIamUser": details}})
    return rows or [{"Type": "AwsAccount", "Id": f"AWS::::Account:{place['account']}", **shared}]


def _network(alert: StoryAlert) -> dict[str, Any]:
    outward = bool(alert.destination_address)
    own = next(iter(alert.device.addresses), "") if alert.device else ""
    ends = (alert.source_address or own, alert.destination_address) if outward else (alert.source_address, own)
    found = {
        "Direction": "OUT" if outward else "IN",
        "Protocol": "TCP",
        "SourceIpV4": ends[0],
        "SourcePort": alert.source_port,
        "DestinationIpV4": ends[1],
        "DestinationPort": alert.destination_port,
    }
    return {name: value for name, value in found.items() if value}
