"""What the firewall does with an address: who is in its group, and which rule decides about a connection.

Asked of the running firewall, so what is only in the candidate configuration does not count, and rules that Panorama
pushed do.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from xml.etree.ElementTree import SubElement

from nightdesk.connectors.paloalto_firewall.client import Firewall
from nightdesk.connectors.paloalto_firewall.documents import command, text_of
from nightdesk.sdk.context import Settings
from nightdesk.sdk.errors import ConfigError, Problem, RejectedError, UnsupportedError

__all__ = ["Network", "Policy", "Verdict", "covers"]

Network = IPv4Network | IPv6Network
_DENIES = frozenset({"deny", "drop", "reset-client", "reset-server", "reset-both"})
_TCP, _PORT = "6", "443"  # of the connection that is asked about
_DIRECTIONS = {"both": ("outbound", "inbound"), "outbound": ("outbound",), "inbound": ("inbound",)}


@dataclass(frozen=True, slots=True)
class Verdict:
    """Which rule decides about one direction, and whether that is one of ours that denies."""

    direction: str
    rule: str
    action: str
    ours: bool

    def __str__(self) -> str:
        return f"{self.direction}: {self.action or 'no action'} by {self.rule or 'no rule'}"


class Policy:
    """The group of blocked addresses and the rules that use it."""

    def __init__(self, firewall: Firewall, settings: Settings, instance: str) -> None:
        self._firewall = firewall
        self.group = settings.text("group", "nightdesk-block")
        names = settings.text("rules", "nightdesk-block").split(",")
        self.rules = tuple(name.strip() for name in names if name.strip())
        self._directions = _DIRECTIONS[settings.text("directions", "both")]
        self._zones = {"outbound": settings.text("outside_zone"), "inbound": settings.text("inside_zone")}
        try:
            inside = [ip_address(text.strip()) for text in settings.text("inside").split(",")]
        except ValueError as error:
            problem = f"must be addresses of the protected network, one of each version at most ({error})"
            raise ConfigError([Problem(instance, "inside", problem)]) from None
        self._inside = {address.version: str(address) for address in inside}

    def provable(self, network: Network) -> str:
        """Our side of the connection that is asked about. Raises UnsupportedError when none is configured."""
        found = self._inside.get(network.version)
        if found is None:
            raise UnsupportedError(
                f"{network}: no IPv{network.version} address is set as inside, so nothing could show that it is blocked"
            )
        return found

    async def members(self, operation: str) -> tuple[str, ...] | None:
        """Names of the group's members now; None when the firewall has no such group."""
        document = command("show/object/dynamic-address-group", {"name": self.group})
        result = await self._firewall.operate(document, operation)
        entries = [entry for entry in result.iter("entry") if text_of(entry, "group-name") == self.group]
        if not entries:
            return None
        return tuple(one.get("name", "") for entry in entries for one in entry.iterfind("member-list/entry"))

    async def verdicts(self, network: Network, operation: str) -> tuple[Verdict, ...]:
        """What the firewall would do with a connection of that address in each direction that must be closed."""
        address = str(network[1] if network.num_addresses > 2 else network[0])
        inside = self.provable(network)
        return tuple([await self._verdict(direction, inside, address, operation) for direction in self._directions])

    async def missing_rules(self, operation: str) -> tuple[str, ...]:
        """Which of our rules the running firewall does not have."""
        missing = []
        for name in self.rules:
            root = command("show/rule-hit-count/vsys/vsys-name")
            entry = SubElement(next(root.iter("vsys-name")), "entry", {"name": self._firewall.vsys})
            style = SubElement(SubElement(entry, "rule-base"), "entry", {"name": "security"})
            SubElement(SubElement(SubElement(style, "rules"), "list"), "member").text = name
            try:
                result = await self._firewall.operate(root, operation)
            except RejectedError:
                missing.append(name)
                continue
            if not any(entry.get("name") == name for entry in result.iterfind(".//rules/entry")):
                missing.append(name)
        return tuple(missing)

    async def _verdict(self, direction: str, inside: str, address: str, operation: str) -> Verdict:
        source, destination = (inside, address) if direction == "outbound" else (address, inside)
        asked = {"source": source, "destination": destination, "protocol": _TCP, "destination-port": _PORT}
        result = await self._firewall.operate(
            command("test/security-policy-match", {**self._between(direction), **asked}), operation
        )
        entry = result.find("rules/entry")
        if entry is None:
            return Verdict(direction, "", "", ours=False)
        rule, action = entry.get("name", ""), text_of(entry, "action").lower()
        return Verdict(direction, rule, action, ours=rule in self.rules and action in _DENIES)

    def _between(self, direction: str) -> Mapping[str, str]:
        """The zones, as far as they are configured; without them the firewall takes rules of any zone."""
        there = self._zones[direction]
        here = self._zones["inbound" if direction == "outbound" else "outbound"]
        return {name: zone for name, zone in (("from", here), ("to", there)) if zone}


def covers(member: str, network: Network) -> bool:
    """Whether a member (address, network or ``first-last``) stands for all of the network; a named object does not."""
    first, dash, last = member.partition("-")
    try:
        if dash:
            low, high = ip_address(first.strip()), ip_address(last.strip())
        else:
            found = ip_network(member.strip(), strict=False)
            low, high = found[0], found[-1]
    except ValueError:
        return False
    return low.version == network.version and int(low) <= int(network[0]) and int(network[-1]) <= int(high)
