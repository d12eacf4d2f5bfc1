"""EC2 instances: which one a name, address or id stands for, and where it is."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from nightdesk.connectors.aws.client import VENDOR, Aws
from nightdesk.sdk.errors import NotFoundError
from nightdesk.sdk.targets import Asset, AssetQuery

__all__ = ["Instance", "Instances"]

_ID = re.compile(r"i-(?:[0-9a-f]{8}|[0-9a-f]{17})")
_GONE = frozenset({"terminated", "shutting-down"})  # still described for an hour, and nothing can be done to them
_LETTER = re.compile(r"[^\W\d_]")
_SPECIAL = re.compile(r"[*?\\]")
_ADDRESSES = (
    "private-ip-address",
    "ip-address",
    "network-interface.addresses.private-ip-address",
    "network-interface.addresses.association.public-ip",
)


@dataclass(frozen=True, slots=True)
class Instance:
    """One instance as EC2 describes it now."""

    region: str
    document: Mapping[str, Any]

    @property
    def instance_id(self) -> str:
        """Its id, unique in all regions."""
        return str(self.document.get("InstanceId") or "")

    @property
    def tags(self) -> dict[str, str]:
        """Its tags."""
        return tags(self.document.get("Tags"))

    @property
    def state(self) -> str:
        """``running``, ``stopped`` and so on."""
        return str((self.document.get("State") or {}).get("Name") or "")

    @property
    def interfaces(self) -> list[Mapping[str, Any]]:
        """Its network interfaces."""
        return [row for row in self.document.get("NetworkInterfaces") or () if isinstance(row, Mapping)]

    @property
    def names(self) -> set[str]:
        """What it is called: by its Name tag and by its private DNS name, whole and in short."""
        dns = str(self.document.get("PrivateDnsName") or "")
        return {name.casefold() for name in (self.tags.get("Name", ""), dns, dns.partition(".")[0]) if name}

    @property
    def addresses(self) -> list[str]:
        """Its addresses, the private ones first."""
        found = [str(self.document.get(name) or "") for name in ("PrivateIpAddress", "PublicIpAddress", "Ipv6Address")]
        for interface in self.interfaces:
            for row in interface.get("PrivateIpAddresses") or ():
                found += [
                    str(row.get("PrivateIpAddress") or ""),
                    str((row.get("Association") or {}).get("PublicIp") or ""),
                ]
            found += [str(row.get("Ipv6Address") or "") for row in interface.get("Ipv6Addresses") or ()]
        return list(dict.fromkeys(filter(None, found)))


class Instances:
    """The instances of the configured regions."""

    def __init__(self, aws: Aws) -> None:
        self._aws = aws
        self._where: dict[str, str] = {}

    async def one(self, instance_id: str) -> Instance:
        """The instance of that id. Raises NotFoundError."""
        if _ID.fullmatch(instance_id):
            first = self._where.get(instance_id)
            for region in sorted(self._aws.regions, key=lambda name: name != first):
                for found in await self._described(region, "instance-id", instance_id):
                    self._where[instance_id] = region
                    return found
        raise NotFoundError(f"no instance {instance_id!r}", vendor=VENDOR, operation="ec2:DescribeInstances")

    async def find(self, query: AssetQuery) -> Sequence[Asset]:
        """By id, else by Name tag or private DNS name, else by address; terminated ones are not among them."""
        names = {name.casefold() for name in (query.hostname, query.fqdn) if name}
        ids = [name for name in (query.device_id, *sorted(names)) if _ID.fullmatch(name)]
        found: list[Instance] = []
        for region in self._aws.regions:
            if ids:
                found += await self._described(region, "instance-id", *ids)
            elif names:
                found += await self._named(region, names)
            elif query.address:
                for name in (
                    _ADDRESSES if ":" not in query.address else ("network-interface.ipv6-addresses.ipv6-address",)
                ):
                    found += await self._described(region, name, query.address)
        unique = {instance.instance_id: instance for instance in found if instance.state not in _GONE}
        self._where.update({name: instance.region for name, instance in unique.items()})
        return [_asset(instance) for instance in unique.values()]

    async def _named(self, region: str, names: set[str]) -> list[Instance]:
        """Filters mind the case of letters, so each may be any; what comes is compared without regard to case."""
        patterns = sorted(_pattern(name) for name in names)
        rows = await self._described(region, "tag:Name", *patterns)
        rows += await self._described(region, "private-dns-name", *patterns, *(f"{name}.*" for name in patterns))
        return [instance for instance in rows if names & instance.names]

    async def _described(self, region: str, name: str, *values: str) -> list[Instance]:
        filters = [{"Name": name, "Values": list(values)}]
        rows = await self._aws.rows("ec2", "DescribeInstances", "Reservations", region=region, Filters=filters)
        return [
            Instance(region, instance)
            for reservation in rows
            for instance in reservation.get("Instances") or ()
            if isinstance(instance, Mapping)
        ]


def tags(rows: Any) -> dict[str, str]:
    """Tags as EC2 lists them, by key."""
    return {str(row.get("Key")): str(row.get("Value") or "") for row in rows or () if isinstance(row, Mapping)}


def _pattern(name: str) -> str:
    """A filter value that fits the name in any spelling of its letters, and other names too."""
    return _LETTER.sub("?", _SPECIAL.sub(r"\\\g<0>", name))


def _asset(instance: Instance) -> Asset:
    dns = str(instance.document.get("PrivateDnsName") or "").partition(".")[0]
    return Asset(
        native_id=instance.instance_id,
        hostname=instance.tags.get("Name") or dns or instance.instance_id,
        addresses=tuple(instance.addresses),
        asset_type="server",
        tags=tuple(f"{key}={value}" for key, value in sorted(instance.tags.items())),
        online=instance.state == "running",
    )
