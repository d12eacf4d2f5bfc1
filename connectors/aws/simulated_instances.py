"""The simulated EC2: instances with interfaces, security groups and tags; a change of groups shows once it is done.

Source: https://docs.aws.amazon.com/AWSEC2/latest/APIReference/
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from nightdesk.connectors.aws.payloads import digits
from nightdesk.connectors.aws.simulated_filters import Values, filters
from nightdesk.connectors.aws.simulated_pages import Pages
from nightdesk.connectors.aws.wire import Ask, AwsError, Operation, numbered
from nightdesk.sdk.testing import Fleet, StoryDevice
from nightdesk.sdk.testing.estate import Order

__all__ = ["Group", "InstancesApi", "Interface", "instance_id"]


@dataclass(slots=True)
class Group:
    """One security group; rules are the address ranges that it lets in and out."""

    group_id: str
    vpc: str
    inbound: list[str] = field(default_factory=list)
    outbound: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Interface:
    """One network interface; ``asked`` are changes of its groups that were accepted."""

    interface_id: str
    vpc: str
    address: str
    groups: list[str]
    asked: list[tuple[Order, list[str]]] = field(default_factory=list)


class InstancesApi:
    """The instances of the first region, or of the one that ``regions`` says."""

    def __init__(self, fleet: Fleet, region: str) -> None:
        self._fleet = fleet
        self._home = region
        self._pages = Pages()
        self.vpc = f"vpc-{digits('vpc', 17)}"
        self.app, self.isolation, self.selective = (
            f"sg-{digits(name, 17)}" for name in ("app", "isolation", "selective")
        )
        self.groups = {
            self.app: Group(self.app, self.vpc, ["0.0.0.0/0"], ["0.0.0.0/0"]),
            self.isolation: Group(self.isolation, self.vpc),
            self.selective: Group(self.selective, self.vpc, ["192.0.2.250/32"], ["192.0.2.250/32"]),
        }
        self.interfaces: dict[str, list[Interface]] = {}
        self.regions: dict[str, str] = {}
        self.names: dict[str, str] = {}
        self.states: dict[str, str] = {}
        self.tags: dict[str, dict[str, str]] = {}

    def operations(self) -> dict[str, Operation]:
        """What can be called."""
        paging = ("MaxResults", "NextToken", "Filter")
        return {
            "DescribeInstances": Operation(self._instances, (*paging, "InstanceId")),
            "DescribeNetworkInterfaces": Operation(self._interfaces, (*paging, "NetworkInterfaceId")),
            "DescribeSecurityGroups": Operation(self._groups, (*paging, "GroupId")),
            "ModifyNetworkInterfaceAttribute": Operation(
                self._modify, ("NetworkInterfaceId", "SecurityGroupId"), changes=True
            ),
            "CreateTags": Operation(self._tag, ("ResourceId", "Tag"), changes=True),
            "DeleteTags": Operation(self._untag, ("ResourceId", "Tag"), changes=True),
        }

    def launch(self, devices: Iterable[StoryDevice]) -> None:
        """Starts an instance for each device, named after it."""
        for device in devices:
            name = instance_id(device.device_id)
            if name in self._fleet.devices:
                continue
            self._fleet.add([replace(device, device_id=name)])
            address = device.addresses[0] if device.addresses else "192.0.2.1"
            self.interfaces[name] = [Interface(f"eni-{digits(name, 17)}", self.vpc, address, [self.app])]
            self.names[name] = device.hostname
            self.regions[name], self.states[name] = self._home, "running"

    def attach(self, name: str, address: str, groups: list[str], vpc: str = "") -> str:
        """Gives an instance one more interface; returns its id."""
        interface_id = f"eni-{digits(f'{name} {address}', 17)}"
        self.interfaces[name].append(Interface(interface_id, vpc or self.vpc, address, groups))
        return interface_id

    def settle(self) -> None:
        """Carries out what is due: an interface has the groups of the newest change that is done."""
        self._fleet.settle()
        for interface in (one for row in self.interfaces.values() for one in row):
            for order, groups in interface.asked:
                if order.done:
                    interface.groups = list(groups)
            interface.asked = [pair for pair in interface.asked if not (pair[0].done or pair[0].failed)]

    def describe(self, name: str) -> dict[str, Any]:
        """One instance as it is now."""
        device, first = self._fleet.devices[name], self.interfaces[name][0]
        tags = {"Name": self.names[name], **self.tags.get(name, {})}
        return {
            "instanceId": name,
            "instanceState": {"code": 16, "name": self.states[name]},
            "privateDnsName": _dns(first.address, self.regions[name]),
            "privateIpAddress": first.address,
            **({"ipAddress": device.addresses[1]} if len(device.addresses) > 1 else {}),
            "vpcId": first.vpc,
            "groupSet": [{"groupId": group} for group in first.groups],
            "networkInterfaceSet": [self._interface(one) for one in self.interfaces[name]] if self._lives(name) else [],
            "tagSet": [{"key": key, "value": value} for key, value in tags.items()],
        }

    def _lives(self, name: str) -> bool:
        return self.states[name] not in {"terminated", "shutting-down"}

    def _interface(self, one: Interface) -> dict[str, Any]:
        return {
            "networkInterfaceId": one.interface_id,
            "vpcId": one.vpc,
            "privateIpAddress": one.address,
            "groupSet": [{"groupId": group} for group in one.groups],
            "privateIpAddressesSet": [{"privateIpAddress": one.address, "primary": True}],
        }

    def _instances(self, ask: Ask) -> Mapping[str, Any]:
        self.settle()
        wanted = numbered(ask.given, "InstanceId")
        here = [name for name in self.interfaces if self.regions[name] == ask.region]
        unknown = sorted(set(wanted) - set(here))
        if unknown:
            raise AwsError("InvalidInstanceID.NotFound", f"The instance IDs '{', '.join(unknown)}' do not exist")
        tests = filters(ask, _INSTANCE_FILTERS)
        kept = [self.describe(name) for name in here if not wanted or name in wanted]
        rows = [
            {"reservationId": f"r-{digits(row['instanceId'], 17)}", "instancesSet": [row]} for row in kept if tests(row)
        ]
        return self._page(ask, "reservationSet", rows)

    def _interfaces(self, ask: Ask) -> Mapping[str, Any]:
        self.settle()
        tests = filters(ask, {"network-interface-id": lambda row: [row["networkInterfaceId"]]})
        rows = []
        for name, interfaces in self.interfaces.items():
            for one in interfaces if self.regions[name] == ask.region and self._lives(name) else ():
                marks = [{"key": key, "value": value} for key, value in self.tags.get(one.interface_id, {}).items()]
                rows.append({**self._interface(one), "tagSet": marks})
        return self._page(ask, "networkInterfaceSet", [row for row in rows if tests(row)])

    def _groups(self, ask: Ask) -> Mapping[str, Any]:
        tests = filters(ask, {"group-id": lambda row: [row["groupId"]], "vpc-id": lambda row: [row["vpcId"]]})
        here = self.groups.values() if ask.region == self._home else ()
        rows = [
            {
                "groupId": group.group_id,
                "vpcId": group.vpc,
                "ipPermissions": [{"ipProtocol": "-1", "ipRanges": [{"cidrIp": one}]} for one in group.inbound],
                "ipPermissionsEgress": [{"ipProtocol": "-1", "ipRanges": [{"cidrIp": one}]} for one in group.outbound],
            }
            for group in here
        ]
        return self._page(ask, "securityGroupInfo", [row for row in rows if tests(row)])

    def _modify(self, ask: Ask) -> Mapping[str, Any]:
        self.settle()
        name, wanted = ask.text("NetworkInterfaceId"), numbered(ask.given, "SecurityGroupId")
        owner, interface = self._one(ask, name)
        if not 1 <= len(wanted) <= 16:
            raise AwsError("InvalidParameterValue", "An interface has 1 to 16 security groups")
        unknown = [group for group in wanted if group not in self.groups]
        if unknown:
            raise AwsError("InvalidGroup.NotFound", f"The security group '{unknown[0]}' does not exist")
        if any(self.groups[group].vpc != interface.vpc for group in wanted):
            raise AwsError(
                "InvalidGroup.NotFound", "You have specified two resources that belong to different networks."
            )
        isolating = {self.isolation, self.selective}
        order = self._fleet.order(owner, isolate=set(wanted) <= isolating)
        interface.asked.append((order, wanted))
        self.settle()
        return {"return": True}

    def _one(self, ask: Ask, name: str) -> tuple[str, Interface]:
        for owner, interfaces in self.interfaces.items():
            for one in interfaces if self.regions[owner] == ask.region and self._lives(owner) else ():
                if one.interface_id == name:
                    return owner, one
        raise AwsError("InvalidNetworkInterfaceID.NotFound", f"The networkInterface ID '{name}' does not exist")

    def _tag(self, ask: Ask) -> Mapping[str, Any]:
        numbers = sorted({key.split(".")[1] for key in ask.given if key.startswith("Tag.")})
        for number in numbers:
            key, value = ask.text(f"Tag.{number}.Key"), str(ask.given.get(f"Tag.{number}.Value", ""))
            if key.startswith("aws:") or len(key) > 128 or len(value) > 256:
                raise AwsError("InvalidParameterValue", f"Tag {key} is reserved or too long")
            for name in numbered(ask.given, "ResourceId"):
                self.tags.setdefault(name, {})[key] = value
        return {"return": True}

    def _untag(self, ask: Ask) -> Mapping[str, Any]:
        for name in numbered(ask.given, "ResourceId"):
            for key in [value for part, value in ask.given.items() if re.fullmatch(r"Tag\.\d+\.Key", part)]:
                self.tags.get(name, {}).pop(key, None)
        return {"return": True}

    def _page(self, ask: Ask, name: str, rows: list[dict[str, Any]]) -> Mapping[str, Any]:
        size, token = str(ask.given.get("MaxResults", "1000")), str(ask.given.get("NextToken", ""))
        if not size.isdecimal() or not 5 <= int(size) <= 1000:
            raise AwsError("InvalidParameterValue", "MaxResults must be 5 to 1000")
        query = [ask.operation, ask.region, {key: value for key, value in ask.given.items() if key != "NextToken"}]
        try:
            page, following = self._pages.cut(rows, int(size), token, query)
        except ValueError as error:
            raise AwsError("InvalidParameterValue", "Unable to parse pagination token") from error
        return {name: page, **({"nextToken": following} if following else {})}


def _addresses(row: Mapping[str, Any]) -> list[str]:
    return [one["privateIpAddress"] for one in row["networkInterfaceSet"]]


_INSTANCE_FILTERS: Mapping[str, Values] = {
    "instance-id": lambda row: [row["instanceId"]],
    "tag:Name": lambda row: [tag["value"] for tag in row["tagSet"] if tag["key"] == "Name"],
    "private-dns-name": lambda row: [row["privateDnsName"]],
    "private-ip-address": lambda row: [row["privateIpAddress"]],
    "ip-address": lambda row: [row.get("ipAddress", "")],
    "network-interface.addresses.private-ip-address": _addresses,
    "network-interface.addresses.association.public-ip": lambda row: [row.get("ipAddress", "")],
    "network-interface.ipv6-addresses.ipv6-address": lambda _: [],
}


def _dns(address: str, region: str) -> str:
    zone = "ec2" if region == "us-east-1" else f"{region}.compute"
    return f"ip-{address.replace('.', '-').replace(':', '-')}.{zone}.internal"


def instance_id(device_id: str) -> str:
    """What a story's device is called here."""
    return device_id if re.fullmatch(r"i-[0-9a-f]{17}", device_id) else f"i-{digits(f'instance {device_id}', 17)}"
