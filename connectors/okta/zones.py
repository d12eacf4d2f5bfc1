"""Addresses in one network zone of usage BLOCKLIST, which Okta refuses before it looks at any policy.

A zone can only be replaced whole, so every change reads it first and gives everything else back as it was.
Source: https://developer.okta.com/docs/api/openapi/okta-management/management/tag/NetworkZone/
"""

import asyncio
from collections.abc import Mapping
from ipaddress import IPv4Address, IPv4Network, ip_network
from typing import Any

from nightdesk.connectors.okta.client import VENDOR, Okta
from nightdesk.sdk.errors import RejectedError, UnsupportedError
from nightdesk.sdk.ports import Command, Effect, Receipt

__all__ = ["READ", "Zones"]

READ = "okta.networkZones.read"
_MANAGE = "okta.networkZones.manage"
_PATH = "/api/v1/zones"
_THEIRS = ("_links", "created", "lastUpdated", "system")  # what Okta writes itself
_Span = tuple[IPv4Address, IPv4Address]


class Zones:
    """The one zone that is ours to edit, by its name or id."""

    def __init__(self, okta: Okta, zone: str) -> None:
        self._okta = okta
        self._zone = zone
        self._lock = asyncio.Lock()  # two changes at once would each give back a zone without the other's

    async def block(self, command: Command) -> Receipt:
        """Adds the address unless an entry covers it. Raises RejectedError for a zone that does not block."""
        command.only()
        network = _network(command)
        async with self._lock:
            zone = await self.zone()
            if zone.get("status") != "ACTIVE" or zone.get("type") != "IP":
                raise self._refusal(command, f"is {zone.get('status')} and of type {zone.get('type')}; it must be an"
                                    " active IP zone")  # fmt: skip
            entries = _entries(zone)
            if any(_covers(entry, network) for entry in entries):
                return Receipt(str(zone["id"]), changed=command.began_otherwise("blocked", True))
            await self._replace(command, zone, [*entries, {"type": "CIDR", "value": str(network)}])
        return Receipt(str(zone["id"]), evidence={"gateways_before": len(entries)})

    async def unblock(self, command: Command) -> Receipt:
        """Takes the address's own entry away; one that stands for more addresses is left alone and is the error."""
        command.only()
        network = _network(command)
        async with self._lock:
            zone = await self.zone()
            entries = _entries(zone)
            kept = [entry for entry in entries if _span(entry) != (network[0], network[-1])]
            wider = next((entry for entry in kept if _covers(entry, network)), None)
            if wider is not None:
                problem = (
                    f"blocks {network} by the entry {wider.get('value')}, which stands for more; change it in Okta"
                )
                raise self._refusal(command, problem)
            if len(kept) == len(entries):
                return Receipt(str(zone["id"]), changed=command.began_otherwise("blocked", False))
            await self._replace(command, zone, kept)
        return Receipt(str(zone["id"]), evidence={"gateways_before": len(entries)})

    async def effect(self, command: Command) -> tuple[Effect, dict[str, Any], str]:
        """Whether an active zone of usage BLOCKLIST covers the address."""
        command.only()
        network = _network(command)
        zone = await self.zone()
        status = str(zone.get("status", ""))
        blocked = status == "ACTIVE" and any(_covers(entry, network) for entry in _entries(zone))
        wanted = command.verb == "ip.block"
        state = {"blocked": blocked, "zone": str(zone["id"]), "gateways": len(_entries(zone))}
        return (Effect.IN_EFFECT if blocked is wanted else Effect.NOT_IN_EFFECT), state, status

    async def zone(self) -> Mapping[str, Any]:
        """The zone as it is now. Raises RejectedError that says which there are."""
        rows = await self._okta.every(
            _PATH, operation="read zones", scope=READ, params={"filter": 'usage eq "BLOCKLIST"', "limit": "200"}
        )
        zones = [row for row in rows if row.get("usage") == "BLOCKLIST" and row.get("id")]
        found = [row for row in zones if self._zone in (row.get("id"), row.get("name"))]
        if len(found) != 1:
            names = ", ".join(sorted(str(row.get("name")) for row in zones)) or "none"
            raise RejectedError(
                f"{len(found)} zones of usage BLOCKLIST are called {self._zone!r}, one is needed; set block_zone to one"
                f" of: {names}",
                vendor=VENDOR,
                operation="read zones",
            )
        return found[0]

    async def _replace(self, command: Command, zone: Mapping[str, Any], entries: list[Mapping[str, Any]]) -> None:
        body = {name: value for name, value in zone.items() if name not in _THEIRS} | {"gateways": entries}
        await self._okta.ask(
            "PUT",
            f"{_PATH}/{zone['id']}",
            operation=command.verb,
            scope=_MANAGE,
            json=body,
            repeatable=False,  # sent again, it would undo what another hand did to the zone meanwhile
        )

    def _refusal(self, command: Command, problem: str) -> RejectedError:
        return RejectedError(f"the zone {self._zone!r} {problem}", vendor=VENDOR, operation=command.verb)


def _network(command: Command) -> IPv4Network:
    network = ip_network(command.target.value)
    if not isinstance(network, IPv4Network):
        raise UnsupportedError(f"{command.target.key}: Okta's documentation of IP zones knows IPv4 only")
    return network


def _entries(zone: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    found = zone.get("gateways")
    return [entry for entry in found if isinstance(entry, Mapping)] if isinstance(found, list) else []


def _span(entry: Mapping[str, Any]) -> _Span | None:
    """First and last address of an entry, None for what is not understood."""
    value = str(entry.get("value", ""))
    try:
        if entry.get("type") == "CIDR":
            network = IPv4Network(value, strict=False)
            return network[0], network[-1]
        first, _, last = value.partition("-")
        return IPv4Address(first.strip()), IPv4Address(last.strip())
    except ValueError:
        return None


def _covers(entry: Mapping[str, Any], network: IPv4Network) -> bool:
    span = _span(entry)
    return span is not None and span[0] <= network[0] and network[-1] <= span[1]
