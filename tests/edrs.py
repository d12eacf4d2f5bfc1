"""An EDR on loopback that hears its orders to isolate, and at the n-th of them something happens."""

import asyncio
import os
import signal
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from starlette.types import Receive, Scope, Send

__all__ = ["CONTAINING", "ListeningEdr"]

CONTAINING = b"""
policy_id: containing
version: "1"
rules:
  - {id: contain-it, owner: jane@example.org, when: {techniques: [T1059.001]},
     then: {propose: {approval: policy, actions: [{verb: host.isolate, target: victim-host}]}}}
"""
"""Isolates the host of every alert about PowerShell, without a person."""


@dataclass
class ListeningEdr:
    """The application to serve in the simulator's place.

    ``before`` is done as the order number ``at_order`` is heard, before it is carried out; ``kills`` is the process
    that is killed once it is carried out and before it is answered.
    """

    simulator: Any
    at_order: int = 0
    before: Callable[[], object] = lambda: None
    kills: int = 0
    heard: list[str] = field(default_factory=list)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        order = scope["type"] == "http" and b"action_name=contain" in scope.get("query_string", b"")
        if order:
            self.heard.append(scope["path"])
        now = order and len(self.heard) == self.at_order
        if now:
            await asyncio.to_thread(self.before)
        if now and self.kills:
            await self.simulator(scope, receive, _nobody)
            os.kill(self.kills, signal.SIGKILL)
            return
        await self.simulator(scope, receive, send)

    @property
    def orders(self) -> list[str]:
        """What the vendor was really told to do to its devices, in order."""
        return [order.kind for device in self.simulator.fleet.devices.values() for order in device.orders]

    @property
    def isolations(self) -> int:
        """Isolations that the vendor was really told to make."""
        return self.orders.count("isolate")

    @property
    def isolated(self) -> set[str]:
        """The hosts that are cut off, as targets name them."""
        self.simulator.fleet.settle()
        return {one.hostname.lower() for one in self.simulator.fleet.devices.values() if one.isolated}


async def _nobody(_: Any) -> None:
    """The reply, on its way to who is dead by then."""
