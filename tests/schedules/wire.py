"""The way from connectors to simulators: a request takes a while, may be where the process dies, and is noted."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import httpx
from tests.schedules.fuse import Fuse
from tests.schedules.vendors import place_of

from nightdesk.hub.bindings import Bindings
from nightdesk.sdk.ports import Command, Reading
from nightdesk.sdk.testing import Simulator
from nightdesk.sdk.verbs import Risk, verb

__all__ = ["Asked", "Calls", "Line", "Watched", "Wires", "current"]

_FAST, _SLOW = 0.02, 0.4  # seconds that a request takes


@dataclass(frozen=True, slots=True)
class Asked:
    """What the engine wants of a connector right now. ``number`` orders the calls."""

    tenant: str
    instance: str
    kind: str
    command: Command | None
    number: int


@dataclass(slots=True)
class Line:
    """One request as it went over the wire."""

    at: datetime
    host: str
    asked: str
    request: str
    status: int | str


@dataclass(slots=True)
class _Host:
    tenant: str
    instance: str
    simulator: Simulator
    transport: httpx.ASGITransport


_CURRENT: ContextVar[Asked | None] = ContextVar("asked", default=None)


def current() -> Asked | None:
    """On whose behalf this runs."""
    return _CURRENT.get()


class Wires(httpx.AsyncBaseTransport):
    """Every vendor by its host name. ``look`` is called around each request that reaches one."""

    def __init__(self, fuse: Fuse, dice: random.Random, clock: Callable[[], datetime]) -> None:
        self._fuse = fuse
        self._dice = dice
        self._clock = clock
        self._hosts: dict[str, _Host] = {}
        self.look: Callable[[], None] = lambda: None
        self.lines: list[Line] = []
        self.wrong: list[str] = []
        self.guarded: dict[tuple[str, str], set[str]] = {}
        """Native ids of what nobody may touch, by tenant and instance."""
        self.protected_requests = 0

    def add(self, tenant: str, instance: str, simulator: Simulator) -> str:
        """Gives it an address."""
        host = f"{instance}.{tenant}.example.com"
        self._hosts[host] = _Host(tenant, instance, simulator, httpx.ASGITransport(_Probe(simulator, self)))
        return f"https://{host}"

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Sends it. Raises Killed where the fuse says."""
        host, asked = self._hosts[request.url.host], _CURRENT.get()
        kind = asked.kind if asked else "health"
        line = Line(self._clock(), request.url.host, kind, f"{request.method} {request.url.raw_path.decode()}", "")
        self.lines.append(line)
        if asked is None or (asked.tenant, asked.instance) != (host.tenant, host.instance):
            self.wrong.append(f"{asked} talks to {request.url.host}")
        if asked is not None and asked.command is not None and kind == "act":
            wanted = verb(asked.command.verb)
            if wanted.risk >= Risk.R2 and wanted.name == wanted.family:
                self._guard(request, host, line)
        line.status = "killed before"
        self._fuse.cross(f"{kind}: before a request")
        await asyncio.sleep(self._dice.uniform(_FAST, _SLOW))
        self._fuse.cross(f"{kind}: as a request leaves")
        response = await host.transport.handle_async_request(request)
        line.status = f"{response.status_code}, killed before the reply"
        self._fuse.cross(f"{kind}: before the reply")
        line.status = response.status_code
        return response

    def _guard(self, request: httpx.Request, host: _Host, line: Line) -> None:
        named = str(request.url) + request.content.decode("utf-8", "replace")
        for native_id in self.guarded.get((host.tenant, host.instance), ()):
            if native_id in named:
                self.protected_requests += 1
                self.wrong.append(f"{line.request} names what nobody may touch: {native_id}")


class _Probe:
    """Round a simulator: looks at what is true before and after each request."""

    def __init__(self, simulator: Simulator, wires: Wires) -> None:
        self._simulator = simulator
        self._wires = wires

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self._wires.look()
        await self._simulator(scope, receive, send)
        self._wires.look()


@dataclass
class Calls:
    """What is going on and what the connectors said last; outlives a process only where the story asks it."""

    sending: dict[tuple[str, ...], Command] = field(default_factory=dict)
    clashes: list[str] = field(default_factory=list)
    readings: dict[str, tuple[Reading, bool | None]] = field(default_factory=dict)
    """By action: its newest reading, and whether the slot was on when it was read."""
    made: int = 0


class Watched(Bindings):
    """The hub's own bindings; each connector is seen through a pane."""

    def __init__(self, calls: Calls, on_read: Callable[[Asked, Reading], None], *given: Any, **options: Any) -> None:
        super().__init__(*given, **options)
        self._calls = calls
        self._on_read = on_read

    def connector(self, tenant: str, name: str) -> Any:
        """The connector behind its pane."""
        return _Pane(super().connector(tenant, name), tenant, name, self._calls, self._on_read)


class _Pane:
    def __init__(
        self, port: Any, tenant: str, instance: str, calls: Calls, on_read: Callable[[Asked, Reading], None]
    ) -> None:
        self._port, self._tenant, self._instance = port, tenant, instance
        self._calls, self._on_read = calls, on_read

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._port, name)
        if name not in {"act", "write_back", "read_back", "find_asset", "find_account"}:
            return found

        async def watched(argument: Any) -> Any:
            return await self._watch(name, found, argument)

        return watched

    async def _watch(self, name: str, call: Callable[[Any], Awaitable[Any]], argument: Any) -> Any:
        kind = {"act": "act", "write_back": "act", "read_back": "read"}.get(name, "find")
        command = argument if isinstance(argument, Command) else None
        self._calls.made += 1
        asked = Asked(self._tenant, self._instance, kind, command, self._calls.made)
        token = _CURRENT.set(asked)
        place = self._place(command)
        if kind == "act" and command is not None:
            other = self._calls.sending.get(place)
            if other is not None:
                self._calls.clashes.append(f"{command.action_id} is sent while {other.action_id} is")
            self._calls.sending[place] = command
        try:
            answer = await call(argument)
            if kind == "read":
                self._on_read(asked, answer)
            return answer
        finally:
            _CURRENT.reset(token)
            if kind == "act":
                self._calls.sending.pop(place, None)

    def _place(self, command: Command | None) -> tuple[str, ...]:
        what = (*place_of(command.target), command.verb.partition(".")[0]) if command else ("", "", "")
        return (self._tenant, self._instance, *what)
