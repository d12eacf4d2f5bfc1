"""Network ACLs: deny rules both ways, before every rule that allows. They are stateless, so open connections end too.

Source: https://docs.aws.amazon.com/vpc/latest/userguide/vpc-network-acls.html
"""

from collections.abc import Iterator, Mapping
from ipaddress import ip_network
from typing import Any

from nightdesk.connectors.aws.addresses import Network, covers
from nightdesk.connectors.aws.client import VENDOR, Aws
from nightdesk.sdk.errors import NotFoundError, RejectedError

__all__ = ["NetworkAcl"]

_LAST = 32_766  # the highest number of a rule of one's own
_TAKEN = "NetworkAclEntryAlreadyExists"
_TRIES = 5
_EVERYTHING = "-1"


class NetworkAcl:
    """One ACL, in whichever configured region it is."""

    def __init__(self, aws: Aws, name: str) -> None:
        self._aws = aws
        self.name = name
        self._region = ""

    async def takes(self, network: Network) -> bool:
        """Both versions."""
        return network.version in {4, 6}

    async def blocks(self, network: Network) -> bool | None:
        """Whether a rule denies all of it before any allows part of it; None when so in one direction alone."""
        entries = await self._entries()
        held = {_denied(entries, network, egress) for egress in (False, True)}
        return None if len(held) > 1 else held.pop()

    async def add(self, network: Network) -> None:
        """A rule each way, with the lowest free number. Raises RejectedError when none is left before the allowed."""
        for egress in (False, True):
            for _ in range(_TRIES):
                entries = await self._entries()
                if _denied(entries, network, egress):
                    break
                answer = await self._aws.call(
                    "ec2",
                    "CreateNetworkAclEntry",
                    self._region,
                    expects=(_TAKEN,),
                    NetworkAclId=self.name,
                    RuleNumber=self._free(entries, network, egress),
                    Protocol=_EVERYTHING,
                    RuleAction="deny",
                    Egress=egress,
                    **{"CidrBlock" if network.version == 4 else "Ipv6CidrBlock": str(network)},
                )
                if not answer.refusal:  # else somebody took the number meanwhile
                    break

    async def remove(self, network: Network) -> bool:
        """Takes the rules away that deny exactly this."""
        entries = await self._entries()
        own = [entry for entry in entries if _denies(entry) and _network(entry) == network]
        kept = [entry for entry in entries if entry not in own]
        wider = next((entry for entry in kept if _denies(entry) and _covers(entry, network)), None)
        if wider is not None and any(_denied(kept, network, egress) for egress in (False, True)):
            message = f"{self.name} denies {network} by a rule for {_network(wider)}, which stands for more"
            raise RejectedError(f"{message}; change it in AWS", vendor=VENDOR, operation="ip.unblock")
        for entry in own:
            await self._aws.call(
                "ec2",
                "DeleteNetworkAclEntry",
                self._region,
                expects=("InvalidNetworkAclEntry.NotFound",),
                NetworkAclId=self.name,
                RuleNumber=entry["RuleNumber"],
                Egress=entry["Egress"],
            )
        return bool(own)

    async def _entries(self) -> list[Mapping[str, Any]]:
        by_id = [{"Name": "network-acl-id", "Values": [self.name]}]
        for region in [self._region] if self._region else self._aws.regions:
            rows = await self._aws.rows("ec2", "DescribeNetworkAcls", "NetworkAcls", region=region, Filters=by_id)
            for row in rows:
                self._region = region
                return [entry for entry in row.get("Entries") or () if isinstance(entry, Mapping)]
        raise NotFoundError(f"no network ACL {self.name!r}", vendor=VENDOR, operation="ec2:DescribeNetworkAcls")

    def _free(self, entries: list[Mapping[str, Any]], network: Network, egress: bool) -> int:
        same = [entry for entry in entries if bool(entry.get("Egress")) is egress]
        taken = {_number(entry) for entry in same}
        allowing = [_number(entry) for entry in same if not _refuses(entry) and _overlaps(entry, network)]
        end = min([*allowing, _LAST + 1])
        number = next((number for number in range(1, end) if number not in taken), 0)
        if not number:
            message = f"{self.name} has no free number below {end}, where a rule allows it; renumber its rules"
            raise RejectedError(message, vendor=VENDOR, operation="ip.block")
        return number


def _denied(entries: list[Mapping[str, Any]], network: Network, egress: bool) -> bool:
    """Rules are tried by number, and the first that fits decides."""
    for entry in _ordered(entries, egress):
        if _denies(entry) and _covers(entry, network):
            return True
        if not _refuses(entry) and _overlaps(entry, network):
            return False
    return False


def _ordered(entries: list[Mapping[str, Any]], egress: bool) -> Iterator[Mapping[str, Any]]:
    own = (entry for entry in entries if bool(entry.get("Egress")) is egress and _number(entry) <= _LAST)
    return iter(sorted(own, key=_number))


def _number(entry: Mapping[str, Any]) -> int:
    return int(entry.get("RuleNumber") or 0)


def _refuses(entry: Mapping[str, Any]) -> bool:
    return str(entry.get("RuleAction")) == "deny"


def _denies(entry: Mapping[str, Any]) -> bool:
    """Everything, not one protocol."""
    return _refuses(entry) and str(entry.get("Protocol")) == _EVERYTHING and _number(entry) <= _LAST


def _network(entry: Mapping[str, Any]) -> Network | None:
    text = str(entry.get("CidrBlock") or entry.get("Ipv6CidrBlock") or "")
    try:
        return ip_network(text, strict=False)
    except ValueError:
        return None


def _covers(entry: Mapping[str, Any], network: Network) -> bool:
    own = _network(entry)
    return own is not None and covers(own, network)


def _overlaps(entry: Mapping[str, Any], network: Network) -> bool:
    own = _network(entry)
    return own is not None and own.version == network.version and own.overlaps(network)
