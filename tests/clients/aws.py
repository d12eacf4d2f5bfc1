# requires: boto3==1.44.5
"""boto3 itself against the simulator: findings, an instance's groups, a user's policy and keys, an IP set."""

import json
import sys
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError


def _need(fine: object, message: str) -> None:
    if not fine:
        sys.exit(f"boto3: {message}")


def _refusal(call: Any, **parameters: Any) -> str:
    try:
        call(**parameters)
    except ClientError as error:
        return str(error.response["Error"]["Code"])
    return ""


def _guardduty(client: Any, wanted: set[str]) -> None:
    (detector,) = client.list_detectors()["DetectorIds"]
    pages = client.get_paginator("list_findings").paginate(
        DetectorId=detector,
        FindingCriteria={
            "Criterion": {"service.archived": {"Equals": ["false"]}, "severity": {"GreaterThanOrEqual": 4}}
        },
        SortCriteria={"AttributeName": "updatedAt", "OrderBy": "ASC"},
        PaginationConfig={"PageSize": 2},
    )
    found = {name for page in pages for name in page["FindingIds"]}
    _need(wanted <= found, f"{len(wanted - found)} of {len(wanted)} findings are not listed")
    one = min(wanted)
    client.archive_findings(DetectorId=detector, FindingIds=[one])
    client.update_findings_feedback(DetectorId=detector, FindingIds=[one], Feedback="USEFUL", Comments="seen")
    (finding,) = client.get_findings(DetectorId=detector, FindingIds=[one])["Findings"]
    service = finding["Service"]
    _need(service["Archived"] and service["UserFeedback"] == "USEFUL", f"the archived finding reads {service}")
    wrong = _refusal(client.get_findings, DetectorId="0" * 32, FindingIds=[one])
    _need(wrong == "BadRequestException", f"another account's detector gives {wrong!r}")


def _hub(client: Any) -> None:
    _need(client.describe_hub()["HubArn"], "the hub has no ARN")
    period = [{"Start": "2020-01-01T00:00:00.000Z", "End": "2099-01-01T00:00:00.000Z"}]
    client.get_findings(Filters={"UpdatedAt": period}, MaxResults=100)
    half = _refusal(client.get_findings, Filters={"UpdatedAt": [{"Start": period[0]["Start"]}]})
    _need(half == "InvalidInputException", f"a date filter without an end gives {half!r}")
    names = [{"Id": "nobody", "ProductArn": "arn:aws:securityhub:eu-west-1::product/a/b"}]
    undone = client.batch_update_findings(FindingIdentifiers=names, Workflow={"Status": "RESOLVED"})
    _need(undone["UnprocessedFindings"][0]["ErrorCode"] == "FindingNotFound", f"an unknown finding gives {undone}")


def _instances(client: Any, devices: list[str], group: str) -> None:
    pages = client.get_paginator("describe_instances").paginate(InstanceIds=devices)
    found = [one for page in pages for row in page["Reservations"] for one in row["Instances"]]
    _need(sorted(one["InstanceId"] for one in found) == sorted(devices), f"{len(found)} instances are described")
    interface = found[0]["NetworkInterfaces"][0]
    name, before = interface["NetworkInterfaceId"], [row["GroupId"] for row in interface["Groups"]]
    dry = _refusal(client.modify_network_interface_attribute, NetworkInterfaceId=name, Groups=[group], DryRun=True)
    _need(dry == "DryRunOperation", f"a dry run gives {dry!r}")
    for groups in ([group], before):
        client.modify_network_interface_attribute(NetworkInterfaceId=name, Groups=groups)
        (row,) = client.describe_network_interfaces(NetworkInterfaceIds=[name])["NetworkInterfaces"]
        _need([one["GroupId"] for one in row["Groups"]] == groups, f"the interface has {row['Groups']}, not {groups}")


def _users(client: Any) -> None:
    user = client.list_users()["Users"][0]["UserName"]
    policy = {"Version": "2012-10-17", "Statement": [{"Effect": "Deny", "Action": "*", "Resource": "*"}]}
    client.put_user_policy(UserName=user, PolicyName="off", PolicyDocument=json.dumps(policy))
    read = client.get_user_policy(UserName=user, PolicyName="off")["PolicyDocument"]
    _need(read == policy, f"the policy reads {read}")
    client.delete_user_policy(UserName=user, PolicyName="off")
    for key in client.list_access_keys(UserName=user)["AccessKeyMetadata"]:
        client.update_access_key(UserName=user, AccessKeyId=key["AccessKeyId"], Status="Inactive")
    keys = client.list_access_keys(UserName=user)["AccessKeyMetadata"]
    _need(keys and {key["Status"] for key in keys} == {"Inactive"}, f"the keys read {keys}")


def _set(client: Any, arn: str) -> None:
    name, key = arn.split("/")[-2:]
    there = {"Name": name, "Id": key, "Scope": "REGIONAL"}
    token = client.get_ip_set(**there)["LockToken"]
    client.update_ip_set(**there, Addresses=["203.0.113.9/32"], LockToken=token)
    _need(client.get_ip_set(**there)["IPSet"]["Addresses"] == ["203.0.113.9/32"], "the set is not as it was written")
    stale = _refusal(client.update_ip_set, **there, Addresses=[], LockToken=token)
    _need(stale == "WAFOptimisticLockException", f"a stale lock token gives {stale!r}")


def _main(given: dict[str, Any]) -> None:
    def client(service: str, secret: str = "") -> Any:
        return boto3.client(
            service,
            region_name="us-east-1" if service == "iam" else given["regions"],
            endpoint_url=given["endpoint_url"],
            aws_access_key_id=given["access_key_id"],
            aws_secret_access_key=secret or given["secret_access_key"],
            config=Config(proxies={}),
        )

    _need(client("sts").get_caller_identity()["Account"], "the caller has no account")
    _guardduty(client("guardduty"), set(given["alerts"]))
    _hub(client("securityhub"))
    _instances(client("ec2"), given["devices"], given["isolation_groups"])
    _users(client("iam"))
    _set(client("wafv2"), given["waf_ip_sets"])
    calls = {"sts": "get_caller_identity", "guardduty": "list_detectors", "ec2": "describe_instances"}
    codes = {service: _refusal(getattr(client(service, "another"), call)) for service, call in calls.items()}
    wanted = {"sts": "SignatureDoesNotMatch", "guardduty": "InvalidSignatureException", "ec2": "AuthFailure"}
    _need(codes == wanted, f"another secret gives {codes}")


if __name__ == "__main__":
    _main(json.load(sys.stdin))
