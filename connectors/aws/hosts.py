"""Isolation of EC2 instances by their security groups: what the groups were is recorded beside the interface first.

An instance is isolated when each of its interfaces has the isolation group of its VPC and no other. Source:
https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_ModifyNetworkInterfaceAttribute.html
"""

from collections.abc import Mapping, Sequence
from typing import Any

from nightdesk.connectors.aws.client import VENDOR, Aws
from nightdesk.connectors.aws.instances import Instance, Instances, tags
from nightdesk.sdk.errors import RejectedError
from nightdesk.sdk.ports import Command, Effect, Receipt

__all__ = ["Hosts"]

_RECORD = "nightdesk:groups"
_ACTION = "nightdesk:action"
_LONGEST = 256  # characters of a tag's value
_WORLD = frozenset({"0.0.0.0/0", "::/0"})
_MODES = ("full", "selective")

Groups = Mapping[str, Mapping[str, str]]
"""By mode, and by VPC, the isolation group."""


class Hosts:
    """The instances that may be isolated. ``configured`` names by mode the security groups to do it with."""

    def __init__(self, aws: Aws, instances: Instances, configured: Mapping[str, Sequence[str]]) -> None:
        self._aws = aws
        self._instances = instances
        self._configured = configured
        self._ours = frozenset(name for names in configured.values() for name in names)

    async def isolate(self, command: Command) -> Receipt:
        """Gives each interface the isolation group of its VPC alone."""
        mode = _mode(command)
        instance = await self._instances.one(command.native_id)
        if not instance.interfaces:
            message = f"{instance.instance_id} is {instance.state} and has no network interface to isolate"
            raise RejectedError(message, vendor=VENDOR, operation=command.verb)
        groups = await self._groups(instance.region, mode)
        wanted = {_name(interface): _group_for(interface, groups, command) for interface in instance.interfaces}
        changed = False
        for interface in instance.interfaces:
            name, now = _name(interface), _of(interface)
            if now == [wanted[name]]:
                continue
            theirs = [group for group in now if group not in self._ours]
            if theirs:
                await self._record(instance.region, name, theirs, command)
            await self._swap(instance.region, name, [wanted[name]])
            changed = True
        evidence: dict[str, Any] = {"groups_before": _all(instance), "state": instance.state}
        if "aws:autoscaling:groupName" in instance.tags:
            evidence["auto_scaling_group"] = instance.tags["aws:autoscaling:groupName"]
        repeated = command.began_otherwise("isolated", True)
        return Receipt(instance.instance_id, changed=changed or repeated, evidence=evidence)

    async def release(self, command: Command) -> Receipt:
        """Gives each isolated interface the groups back that it had, as the pre-state or its own tag says."""
        command.only()
        instance = await self._instances.one(command.native_id)
        isolated = [interface for interface in instance.interfaces if self._ours & set(_of(interface))]
        recorded = await self._recorded(instance, isolated)
        before = command.pre_state.get("groups")
        back = {name: self._theirs(before, name) or recorded.get(name, []) for name in map(_name, isolated)}
        unknown = sorted(name for name, groups in back.items() if not groups)
        if unknown:
            message = f"which security groups {', '.join(unknown)} had is not recorded; set them by hand"
            raise RejectedError(message, vendor=VENDOR, operation=command.verb)
        for name, groups in back.items():
            await self._swap(instance.region, name, groups)
            if name in recorded:
                marks = [{"Key": _RECORD}, {"Key": _ACTION}]
                await self._aws.call("ec2", "DeleteTags", instance.region, Resources=[name], Tags=marks)
        changed = bool(isolated) or command.began_otherwise("isolated", False)
        return Receipt(instance.instance_id, changed=changed, evidence={"groups_before": _all(instance)})

    async def effect(self, command: Command) -> tuple[Effect, dict[str, Any], str]:
        """Whether every interface has an isolation group alone (of the mode asked for), or none has one."""
        mode = _mode(command) if command.verb == "host.isolate" else ""
        if not mode:
            command.only()
        instance = await self._instances.one(command.native_id)
        groups = [_of(interface) for interface in instance.interfaces]
        held = {name for name in _MODES if groups and all(_alone(now, self._configured[name]) for now in groups)}
        touched = any(self._ours & set(now) for now in groups)
        done = mode in held if mode else not touched
        state = {"isolated": bool(held), "isolation": "".join(held), "groups": _all(instance)}
        native = ", ".join(sorted({name for now in groups for name in now})) or instance.state
        return (Effect.IN_EFFECT if done else Effect.NOT_IN_EFFECT), state, native

    async def _groups(self, region: str, mode: str) -> dict[str, str]:
        """The isolation group of each VPC. Raises RejectedError for one that would not isolate."""
        names = list(self._configured[mode])
        if not names:
            message = f"no security group is configured for mode {mode}; set {_setting(mode)}"
            raise RejectedError(message, vendor=VENDOR, operation="host.isolate")
        rows = await self._aws.rows(
            "ec2",
            "DescribeSecurityGroups",
            "SecurityGroups",
            region=region,
            Filters=[{"Name": "group-id", "Values": names}],
        )
        for row in rows:
            rules = [*(row.get("IpPermissions") or ()), *(row.get("IpPermissionsEgress") or ())]
            wide = [rule for rule in rules if mode == "full" or _WORLD & set(_ranges(rule))]
            if wide:
                message = f"{row.get('GroupId')} does not isolate: it has {len(wide)} rules that let traffic through"
                advice = "revoke them" if mode == "full" else "none may be open to the world"
                raise RejectedError(f"{message}; {advice}", vendor=VENDOR, operation="host.isolate")
        return {str(row.get("VpcId")): str(row.get("GroupId")) for row in rows}

    async def _record(self, region: str, name: str, groups: list[str], command: Command) -> None:
        text = " ".join(groups)
        if len(text) > _LONGEST:
            message = f"{name} has {len(groups)} security groups, more than a tag can record; isolate it by hand"
            raise RejectedError(message, vendor=VENDOR, operation=command.verb)
        marks = [{"Key": _RECORD, "Value": text}, {"Key": _ACTION, "Value": command.action_id[:_LONGEST]}]
        await self._aws.call("ec2", "CreateTags", region, Resources=[name], Tags=marks)

    async def _recorded(self, instance: Instance, interfaces: Sequence[Mapping[str, Any]]) -> dict[str, list[str]]:
        """What the tags of the interfaces say; DescribeInstances does not show them."""
        names = [_name(interface) for interface in interfaces]
        if not names:
            return {}
        rows = await self._aws.rows(
            "ec2",
            "DescribeNetworkInterfaces",
            "NetworkInterfaces",
            region=instance.region,
            Filters=[{"Name": "network-interface-id", "Values": names}],
        )
        found = {_name(row): tags(row.get("TagSet")).get(_RECORD, "").split() for row in rows}
        return {name: groups for name, groups in found.items() if groups}

    def _theirs(self, before: Any, name: str) -> list[str]:
        """The groups that the pre-state has for an interface, unless it was isolated already then."""
        groups = before.get(name) if isinstance(before, Mapping) else None
        found = [str(group) for group in groups] if isinstance(groups, Sequence) and not isinstance(groups, str) else []
        return [] if self._ours & set(found) else found

    async def _swap(self, region: str, name: str, groups: list[str]) -> None:
        await self._aws.call("ec2", "ModifyNetworkInterfaceAttribute", region, NetworkInterfaceId=name, Groups=groups)


def _mode(command: Command) -> str:
    command.only("mode")
    mode = str(command.parameters.get("mode") or "full")
    if mode not in _MODES:
        message = f"mode {mode!r}: write one of {', '.join(_MODES)}"
        raise RejectedError(message, vendor=VENDOR, operation=command.verb)
    return mode


def _group_for(interface: Mapping[str, Any], groups: Mapping[str, str], command: Command) -> str:
    vpc = str(interface.get("VpcId"))
    if vpc not in groups:
        message = f"no isolation group is in {vpc}, where {_name(interface)} is; add one to {_setting(_mode(command))}"
        raise RejectedError(message, vendor=VENDOR, operation=command.verb)
    return groups[vpc]


def _setting(mode: str) -> str:
    return "isolation_groups" if mode == "full" else "selective_groups"


def _name(interface: Mapping[str, Any]) -> str:
    return str(interface.get("NetworkInterfaceId") or "")


def _of(interface: Mapping[str, Any]) -> list[str]:
    return [str(group.get("GroupId")) for group in interface.get("Groups") or () if isinstance(group, Mapping)]


def _all(instance: Instance) -> dict[str, list[str]]:
    return {_name(interface): _of(interface) for interface in instance.interfaces}


def _alone(now: Sequence[str], isolating: Sequence[str]) -> bool:
    return len(now) == 1 and now[0] in isolating


def _ranges(rule: Mapping[str, Any]) -> list[str]:
    four = [str(row.get("CidrIp")) for row in rule.get("IpRanges") or ()]
    return [*four, *(str(row.get("CidrIpv6")) for row in rule.get("Ipv6Ranges") or ())]
