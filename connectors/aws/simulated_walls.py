"""The simulated network ACLs and WAF IP sets: numbered rules, and sets that are replaced under a lock token.

Sources: https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_CreateNetworkAclEntry.html and
https://docs.aws.amazon.com/waf/latest/APIReference/API_UpdateIPSet.html
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import ip_network
from typing import Any

from nightdesk.connectors.aws.payloads import digits
from nightdesk.connectors.aws.simulated_filters import filters
from nightdesk.connectors.aws.wire import Ask, AwsError, Operation

__all__ = ["IpSetRow", "WallsApi"]

_MOST_RULES = 20  # each way; a quota
_LAST = 32_766
_WAF_TYPES = {"IPV4": 4, "IPV6": 6}


@dataclass(slots=True)
class IpSetRow:
    """One IP set; ``changes`` numbers its lock token."""

    name: str
    key: str
    version: str = "IPV4"
    addresses: list[str] = field(default_factory=list)
    changes: int = 0

    @property
    def token(self) -> str:
        """What the next change must bring."""
        found = digits(f"{self.key} {self.changes}", 32)
        return "-".join((found[:8], found[8:12], found[12:16], found[16:20], found[20:32]))


class WallsApi:
    """One ACL and one IP set in the region."""

    def __init__(self, region: str, account: str) -> None:
        self._region = region
        self.acl = f"acl-{digits('acl', 17)}"
        allow = {"protocol": "-1", "ruleAction": "allow", "cidrBlock": "0.0.0.0/0"}
        deny = {**allow, "ruleAction": "deny"}
        self.entries: list[dict[str, Any]] = [
            {"ruleNumber": number, "egress": egress, **rule}
            for egress in (False, True)
            for number, rule in ((100, allow), (_LAST + 1, deny))
        ]
        self.set = IpSetRow("blocked", "11111111-2222-3333-4444-555555555555")
        self.set_arn = f"arn:aws:wafv2:{region}:{account}:regional/ipset/{self.set.name}/{self.set.key}"

    def ec2(self) -> dict[str, Operation]:
        """What can be called of EC2."""
        number = ("NetworkAclId", "RuleNumber", "Egress")
        made = (*number, "Protocol", "RuleAction", "CidrBlock", "Ipv6CidrBlock")
        return {
            "DescribeNetworkAcls": Operation(self._describe, ("Filter", "NetworkAclId", "MaxResults", "NextToken")),
            "CreateNetworkAclEntry": Operation(self._create, made, changes=True),
            "DeleteNetworkAclEntry": Operation(self._delete, number, changes=True),
        }

    def wafv2(self) -> dict[str, Operation]:
        """What can be called of WAF."""
        return {"GetIPSet": Operation(self._get), "UpdateIPSet": Operation(self._update, changes=True)}

    def _describe(self, ask: Ask) -> Mapping[str, Any]:
        tests = filters(ask, {"network-acl-id": lambda row: [row["networkAclId"]]})
        row = {"networkAclId": self.acl, "isDefault": False, "entrySet": self.entries}
        return {"networkAclSet": [row] if ask.region == self._region and tests(row) else []}

    def _create(self, ask: Ask) -> Mapping[str, Any]:
        number, egress = self._place(ask)
        four, six = str(ask.given.get("CidrBlock") or ""), str(ask.given.get("Ipv6CidrBlock") or "")
        try:
            network = ip_network(four or six)
        except ValueError as error:
            raise AwsError("InvalidParameterValue", f"CIDR block {four or six} is malformed") from error
        if bool(four) is bool(six) or network.version != (4 if four else 6) or not 1 <= number <= _LAST:
            raise AwsError("InvalidParameterValue", "An entry has a number of 1 to 32766 and one CIDR block")
        if ask.text("RuleAction") not in {"allow", "deny"} or ask.text("Protocol") != "-1":
            raise AwsError("InvalidParameterValue", "RuleAction is allow or deny; other protocols need ports")
        same = [entry for entry in self.entries if entry["egress"] is egress]
        if any(entry["ruleNumber"] == number for entry in same):
            raise AwsError(
                "NetworkAclEntryAlreadyExists", f"The network acl entry identified by {number} already exists."
            )
        if len(same) - 1 >= _MOST_RULES:
            raise AwsError(
                "NetworkAclEntryLimitExceeded", f"The maximum number of network acl entries is {_MOST_RULES}"
            )
        block = {"cidrBlock": four} if four else {"ipv6CidrBlock": six}
        action = {"protocol": "-1", "ruleAction": ask.text("RuleAction")}
        self.entries.append({"ruleNumber": number, "egress": egress, **action, **block})
        return {"return": True}

    def _delete(self, ask: Ask) -> Mapping[str, Any]:
        place = self._place(ask)
        found = [entry for entry in self.entries if (entry["ruleNumber"], entry["egress"]) == place]
        if not found or place[0] > _LAST:
            raise AwsError("InvalidNetworkAclEntry.NotFound", f"The network acl entry {place[0]} does not exist")
        self.entries.remove(found[0])
        return {"return": True}

    def _place(self, ask: Ask) -> tuple[int, bool]:
        if ask.text("NetworkAclId") != self.acl or ask.region != self._region:
            raise AwsError(
                "InvalidNetworkAclID.NotFound", f"The networkAcl ID '{ask.text('NetworkAclId')}' does not exist"
            )
        number = ask.text("RuleNumber")
        return int(number) if number.isdecimal() else 0, ask.text("Egress") == "true"

    def _get(self, ask: Ask) -> Mapping[str, Any]:
        row = self._set(ask)
        inside = {"Name": row.name, "Id": row.key, "ARN": self.set_arn, "IPAddressVersion": row.version}
        return {"IPSet": {**inside, "Addresses": list(row.addresses)}, "LockToken": row.token}

    def _update(self, ask: Ask) -> Mapping[str, Any]:
        row = self._set(ask)
        if ask.given.get("LockToken") != row.token:
            message = "AWS WAF couldn't save your changes because someone changed the resource after you started."
            raise AwsError("WAFOptimisticLockException", message)
        addresses = ask.given.get("Addresses")
        if not isinstance(addresses, list) or not all(self._fits(row, text) for text in addresses):
            raise AwsError("WAFInvalidParameterException", "Addresses are CIDR ranges of the set's version, /0 is none")
        row.addresses, row.changes = sorted(set(addresses)), row.changes + 1
        return {"NextLockToken": row.token}

    def _set(self, ask: Ask) -> IpSetRow:
        here = (ask.given.get("Name"), ask.given.get("Id"), ask.given.get("Scope"), ask.region)
        if here != (self.set.name, self.set.key, "REGIONAL", self._region):
            raise AwsError("WAFNonexistentItemException", "AWS WAF couldn't perform the operation: no such resource.")
        return self.set

    def _fits(self, row: IpSetRow, text: Any) -> bool:
        try:
            network = ip_network(str(text))
        except ValueError:
            return False
        return "/" in str(text) and network.version == _WAF_TYPES[row.version] and network.prefixlen > 0
