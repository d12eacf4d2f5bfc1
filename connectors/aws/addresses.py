"""Blocked addresses: in every network ACL and WAF IP set that is configured, each read back from its own entries."""

import asyncio
from collections.abc import Sequence
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Any, Protocol

from nightdesk.connectors.aws.client import VENDOR
from nightdesk.sdk.errors import RejectedError
from nightdesk.sdk.ports import Command, Effect, Receipt

__all__ = ["Addresses", "Network", "Wall", "covers"]

Network = IPv4Network | IPv6Network


class Wall(Protocol):
    """One place where addresses are blocked."""

    @property
    def name(self) -> str:
        """What the vendor calls it."""
        ...

    async def takes(self, network: Network) -> bool:
        """Whether it can hold addresses of that version."""
        ...

    async def blocks(self, network: Network) -> bool | None:
        """Whether all of the network is blocked there now; None when it is in part."""
        ...

    async def add(self, network: Network) -> None:
        """Blocks it there. Raises VendorError."""
        ...

    async def remove(self, network: Network) -> bool:
        """Takes its own entry away; False when there is none. Raises RejectedError when a wider one remains."""
        ...


class Addresses:
    """The walls of one instance."""

    def __init__(self, walls: Sequence[Wall]) -> None:
        self._walls = walls
        self._lock = asyncio.Lock()  # numbers of rules are chosen by what is free

    async def block(self, command: Command) -> Receipt:
        """Adds the address wherever it is missing."""
        async with self._lock:
            network, walls = await self._places(command)
            missing = [wall for wall in walls if await wall.blocks(network) is not True]
            for wall in missing:
                await wall.add(network)
        return self._receipt(command, [wall.name for wall in missing])

    async def unblock(self, command: Command) -> Receipt:
        """Takes the address's own entries away."""
        async with self._lock:
            network, walls = await self._places(command)
            removed = [wall.name for wall in walls if await wall.remove(network)]
        return self._receipt(command, removed)

    async def effect(self, command: Command) -> tuple[Effect, dict[str, Any], str]:
        """Blocked is what every wall blocks, unblocked what none does."""
        network, walls = await self._places(command)
        held = {wall.name: await wall.blocks(network) for wall in walls}
        wanted = command.verb == "ip.block"
        done = all(held[name] is wanted for name in held)
        state = {"blocked": all(held.values()), "walls": held}
        return (Effect.IN_EFFECT if done else Effect.NOT_IN_EFFECT), state, ""

    async def _places(self, command: Command) -> tuple[Network, list[Wall]]:
        command.only()
        network = ip_network(command.target.value)
        walls = [wall for wall in self._walls if await wall.takes(network)]
        if not walls:
            message = f"nothing is configured that holds IPv{network.version}; set network_acls or waf_ip_sets"
            raise RejectedError(message, vendor=VENDOR, operation=command.verb)
        return network, walls

    def _receipt(self, command: Command, changed: list[str]) -> Receipt:
        again = command.began_otherwise("blocked", command.verb == "ip.block")
        return Receipt(command.target.value, changed=bool(changed) or again, evidence={"changed": changed})


def covers(own: Network, network: Network) -> bool:
    """Whether the first network holds all of the second."""
    first, last = int(own.network_address), int(own.broadcast_address)
    inside = first <= int(network.network_address) and int(network.broadcast_address) <= last
    return own.version == network.version and inside
