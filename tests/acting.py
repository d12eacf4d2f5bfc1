"""A vendor at the port: simulated devices and alerts that can fail in every way a fault plan knows, and a switchboard.

Nothing here restates the engine: the vendor keeps its own state, and tests ask that state what really happened.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from nightdesk.autonomy.actions import Action, Journal
from nightdesk.autonomy.engine import Engine
from nightdesk.autonomy.routing import Route
from nightdesk.sdk import manifest
from nightdesk.sdk.errors import (
    AuthError,
    NightdeskError,
    PolicyError,
    RateLimitError,
    RejectedError,
    ResponseError,
    ScopeError,
    UnavailableError,
    UnsupportedError,
)
from nightdesk.sdk.ports import Command, Effect, Reading, Receipt
from nightdesk.sdk.targets import Target
from nightdesk.sdk.testing import Fault, FaultPlan, Fleet, StoryDevice
from nightdesk.sdk.testing.estate import Order
from nightdesk.sdk.testing.faults import FaultKind

__all__ = ["HOST", "Crash", "Edr", "Helpdesk", "Switchboard", "Ticking", "World", "declare"]

HOST = Target.parse("host:ws-0042")
DEVICE = StoryDevice("dev-1", "ws-0042", ("192.0.2.42",))
_HTTP: tuple[FaultKind, ...] = (
    "rate_limited",
    "server_error",
    "lost_reply",
    "truncated_body",
    "not_json",
    "expired_token",
    "missing_scope",
)


class Crash(BaseException):
    """The process is gone: nothing of ours may catch it."""


class Ticking:
    """A clock that never says the same twice."""

    def __init__(self) -> None:
        self.now = datetime(2026, 11, 1, 12, tzinfo=UTC)

    def __call__(self) -> datetime:
        self.now += timedelta(milliseconds=1)
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


def declare(**fields: Any) -> manifest.Action:
    """A manifest's line."""
    given: dict[str, Any] = {"read_back": "isolated", "inverse": "host.release", "parameters": ("mode",), **fields}
    return manifest.Action(stability="beta", scope="devices:write", docs="https://docs.example.com/isolate", **given)


@dataclass
class Edr:
    """A vendor that isolates devices. ``remembers`` repeated keys as the port promises; else each one is an order.

    ``names_orders``: its state names the last order. ``tells_pending``: it says so while an order is outstanding.
    """

    clock: Ticking
    faults: FaultPlan = field(default_factory=FaultPlan)
    remembers: bool = True
    names_orders: bool = False
    tells_pending: bool = True
    losses: tuple[str, ...] = ()
    commands: list[Command] = field(default_factory=list)
    reads: int = 0

    def __post_init__(self) -> None:
        self.fleet = Fleet(self.clock, self.faults)
        self.fleet.add([DEVICE])
        self.orders: dict[str, Order] = {}

    @property
    def isolated(self) -> bool:
        """What is really so now."""
        self.fleet.settle()
        return self.fleet.devices["dev-1"].isolated

    @property
    def order_count(self) -> int:
        """How many changes the vendor was really told to make."""
        return len(self.fleet.devices["dev-1"].orders)

    def by_hand(self, *, isolate: bool) -> None:
        """Somebody else does it, in the vendor's own console."""
        self.fleet.order("dev-1", isolate=isolate)

    async def act(self, command: Command) -> Receipt:
        fault = self.faults.take(_HTTP, method="POST", path="/act")
        if fault is not None and fault.kind != "lost_reply":
            raise _error(fault)
        self.commands.append(command)
        order = self.orders.get(command.idempotency_key) if self.remembers else None
        known = order is not None
        if order is None:
            order = self.fleet.order(command.native_id, isolate=command.verb == "host.isolate")
            self.orders[command.idempotency_key] = order
        if fault is not None:
            raise _error(fault)
        return Receipt(native_action_id=order.order_id, changed=not known, losses=self.losses)

    async def read_back(self, command: Command) -> Reading:
        self.reads += 1
        fault = self.faults.take(_HTTP, method="GET", path="/device")
        if fault is not None:
            raise _error(fault)
        self.fleet.settle()
        device = self.fleet.devices[command.native_id]
        wanted = command.verb == "host.isolate"
        state: dict[str, Any] = {"isolated": device.isolated}
        done = [order for order in device.orders if order.done]
        if self.names_orders and done:
            state["order_id"] = done[-1].order_id
        return Reading(self._effect(device.isolated, wanted, command), self.clock(), state)

    def _effect(self, isolated: bool, wanted: bool, command: Command) -> Effect:
        ours = self.orders.get(command.idempotency_key)
        if self.tells_pending and self.fleet.devices[command.native_id].pending is not None:
            return Effect.PENDING
        if isolated == wanted:
            return Effect.IN_EFFECT
        return Effect.FAILED if ours is not None and ours.failed else Effect.NOT_IN_EFFECT


@dataclass
class Helpdesk:
    """A vendor whose alerts have a status, a disposition and comments."""

    clock: Ticking
    alerts: dict[str, dict[str, Any]] = field(default_factory=dict)
    comments: list[str] = field(default_factory=list)
    lose_replies: int = 0

    async def write_back(self, command: Command) -> Receipt:
        alert = self.alerts[command.native_id]
        alert.update({name: value for name, value in command.parameters.items() if name != "comment"})
        if "comment" in command.parameters:
            self.comments.append(command.parameters["comment"])
        if self.lose_replies:
            self.lose_replies -= 1
            raise UnavailableError("the connection broke", vendor="helpdesk", operation="update")
        return Receipt()

    async def read_back(self, command: Command) -> Reading:
        alert = self.alerts[command.native_id]
        wanted = {name: value for name, value in command.parameters.items() if name != "comment"}
        same = all(alert.get(name) == value for name, value in wanted.items())
        return Reading(Effect.IN_EFFECT if same else Effect.NOT_IN_EFFECT, self.clock(), dict(alert))


class Switchboard:
    """A router: which instance is bound, and what each declares."""

    def __init__(self, bound: str, **ports: object) -> None:
        self.bound = bound
        self.ports = ports
        self.native_id = "dev-1"
        self.refusal: NightdeskError | None = None
        self.declared: dict[str, manifest.Action] = {
            "host.isolate": declare(),
            "host.release": declare(inverse="host.isolate"),
        }

    async def route(self, tenant: str, verb: str, target: Target, source_instance: str | None) -> Route:
        if self.refusal is not None:
            raise self.refusal
        return await self.route_to(tenant, source_instance or self.bound, verb, target, self.native_id)

    async def route_to(self, tenant: str, instance: str, verb: str, target: Target, native_id: str) -> Route:
        if instance not in self.ports:
            raise PolicyError(f"{tenant} has no instance {instance}")
        if verb not in self.declared:
            raise UnsupportedError(f"{instance} cannot do {verb}")
        return Route(instance, "edr", native_id, self.declared[verb], self.ports[instance])


class World:
    """One device, its vendor, a journal and an engine that can be started again."""

    def __init__(self, journal: Journal, *, edr: Edr | None = None, **options: Any) -> None:
        self.clock = edr.clock if edr else Ticking()
        self.edr = edr or Edr(self.clock)
        self.journal = journal
        self.router = Switchboard("first", first=self.edr)
        self.calls: list[tuple[str, str]] = []
        self.options = options
        self.engine = self.restart()

    def restart(self) -> Engine:
        """A new process on the same journal."""
        self.engine = Engine(self.journal, self.router, self.clock, on_attention=self._call, **self.options)
        return self.engine

    def isolate(self, case_id: str = "case-1", verb: str = "host.isolate", **fields: Any) -> Action:
        """A person's own command, unless the fields say otherwise."""
        given: dict[str, Any] = {"requested_by": "ann", "approval": "direct", **fields}
        return self.engine.propose("acme", verb, HOST, case_id=case_id, **given)

    def run(self, seconds: float = 0.0, step: float = 5.0) -> None:
        """Lets the engine work for that long."""

        async def loop() -> None:
            left = seconds
            while True:
                rounds = 0
                while await self.engine.run_once():
                    rounds += 1
                    assert rounds < 100, "the engine moves without getting anywhere"
                if left <= 0:
                    return
                self.clock.advance(min(step, left))
                left -= step

        asyncio.run(loop())

    def undo(self, action: Action, actor: str = "bob") -> Action:
        return asyncio.run(self.engine.undo(action, actor=actor, reason="false alarm"))

    def now(self, action: Action) -> Action:
        """The action as the journal has it."""
        found = self.journal.get(action.tenant, action.action_id)
        assert found is not None
        return found

    def states(self, action: Action) -> list[str]:
        """The words of its life so far, repeated ones once."""
        words = [str(line.state) for line in self.journal.history(action.tenant, action.action_id)]
        return [word for index, word in enumerate(words) if index == 0 or words[index - 1] != word]

    def _call(self, action: Action, text: str) -> None:
        self.calls.append((action.action_id, text))


def _error(fault: Fault) -> NightdeskError:
    about: Mapping[str, Any] = {"vendor": "edr", "operation": "call"}
    if fault.kind == "rate_limited":
        return RateLimitError("too many", retry_after=float(fault.options.get("retry_after", 1)), **about)
    if fault.kind in {"truncated_body", "not_json"}:
        return ResponseError("no JSON", **about)
    if fault.kind == "expired_token":
        return AuthError("the token is expired", status=401, **about)
    if fault.kind == "missing_scope":
        return ScopeError("lacks devices:write", status=403, **about)
    if fault.options.get("status") == 400:
        return RejectedError("no such mode", status=400, **about)
    return UnavailableError("the connection broke", **about)
