"""A dry run that is one: everything is computed, nothing can leave.

    with dry(settings) as tripwire:
        hub = Hub(tripwire.settings, registry, store)
        ...
        tripwire.check()

The settings inside hold no secret of a vendor, and connectors get a transport that refuses. What goes past it (a
vendor's own library, a thread, a look-up of a name, another program) is refused where Python itself is asked for it:
the audit events of PEP 578. Native code that opens sockets by itself is not seen; it has no credentials. By design
nobody tries; who does is named.
"""

import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import urlsplit
from weakref import WeakKeyDictionary, WeakSet

import httpx

from nightdesk.hub.config import HubSettings, InstanceSettings, TenantSettings
from nightdesk.sdk.context import Settings
from nightdesk.sdk.errors import PolicyError
from nightdesk.sdk.secrets import Secret

__all__ = ["Attempt", "Tripwire", "dry"]

_PLACEHOLDER = Secret.literal("dry-run")
_ACTIVE: ContextVar["Tripwire | None"] = ContextVar("nightdesk_dry_run", default=None)
_under_way: list["Tripwire"] = []
_outlived: WeakKeyDictionary[threading.Thread, "Tripwire"] = WeakKeyDictionary()
"""Threads that began within a dry run and were there when it ended: what they do later was begun in it."""
_installed: list[bool] = []

_SENDS: Mapping[str, int] = {
    "socket.connect": 1,
    "socket.getaddrinfo": 0,
    "socket.gethostbyaddr": 0,
    "socket.gethostbyname": 0,
    "socket.getnameinfo": 0,
    "socket.sendmsg": 1,
    "socket.sendto": 1,
}
"""What reaches the network, and which argument says where to. A look-up of a name is a message, too."""

_PROGRAMS = frozenset(
    {
        "os.exec",
        "os.fork",
        "os.forkpty",
        "os.posix_spawn",
        "os.spawn",
        "os.startfile",
        "os.system",
        "pty.spawn",
        "subprocess.Popen",
    }
)
"""What starts another process: nobody watches that."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """Somebody tried to reach the network. ``who`` is the connector whose address it was, when that is known."""

    who: str
    what: str


@dataclass
class Tripwire(httpx.AsyncBaseTransport):
    """Refuses every request and remembers it. ``settings`` are the hub's, harmless."""

    settings: HubSettings
    attempts: list[Attempt] = field(default_factory=list)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Refuses."""
        where = f"{request.url.scheme}://{request.url.host}{request.url.path}"
        raise self.tripped(request.url.host, f"{request.method} {where}")

    def tripped(self, host: str, what: str) -> PolicyError:
        """Remembers the attempt and gives the error for it."""
        attempt = Attempt(_owner(self.settings, host), what)
        self.attempts.append(attempt)
        return _refusal(attempt)

    def check(self) -> None:
        """Raises PolicyError when anybody tried: who swallows the refusal is named all the same."""
        if self.attempts:
            raise _refusal(self.attempts[0])


@contextmanager
def dry(settings: HubSettings) -> Iterator[Tripwire]:
    """Within it nothing of this process reaches a network or starts a program: it is for a process of its own."""
    if not _installed:
        sys.addaudithook(_refuse)  # for the life of the process: it can be added, never removed
        _installed.append(True)
    tripwire = Tripwire(settings)
    tripwire.settings = replace(
        settings,
        network=replace(settings.network, transport=tripwire, proxy=None),  # a proxy's URL may hold a password
        tenants={slug: _harmless(tenant) for slug, tenant in settings.tenants.items()},
    )
    before = WeakSet(threading.enumerate())
    token = _ACTIVE.set(tripwire)
    _under_way.append(tripwire)
    try:
        yield tripwire
    finally:
        _outlived.update({thread: tripwire for thread in threading.enumerate() if thread not in before})
        _under_way[:] = [one for one in _under_way if one is not tripwire]
        _ACTIVE.reset(token)


def _refuse(event: str, args: tuple[Any, ...]) -> None:
    if event in _SENDS:
        tripwire = _watching()
        if tripwire is not None:
            address = args[_SENDS[event]]
            host = str(address[0]) if isinstance(address, tuple) else str(address)
            raise tripwire.tripped(host, f"{event.removeprefix('socket.')} {host}")
    elif event in _PROGRAMS:
        tripwire = _watching()
        if tripwire is not None:  # not what it was given: there may be a secret in it
            raise tripwire.tripped("", f"to start a program ({event})")


def _watching() -> Tripwire | None:
    """The dry run that this code belongs to: its context's, else its thread's, else any that is under way.

    A context is lost on the way into a thread, an executor's above all, and asyncio looks names up in one.
    """
    return _ACTIVE.get() or _outlived.get(threading.current_thread()) or next(reversed(_under_way), None)


def _refusal(attempt: Attempt) -> PolicyError:
    return PolicyError(f"dry run: {attempt.who or 'somebody'} tried {attempt.what}; nothing was sent")


def _harmless(tenant: TenantSettings) -> TenantSettings:
    sources = tuple(replace(source, values=_without_secrets(source.values)) for source in tenant.enrichment.sources)
    adviser = tenant.adviser
    return replace(
        tenant,
        instances={name: _disarmed(instance) for name, instance in tenant.instances.items()},
        tokens={name: replace(token, secret=_PLACEHOLDER) for name, token in tenant.tokens.items()},
        enrichment=replace(tenant.enrichment, sources=sources),
        adviser=replace(adviser, key=_PLACEHOLDER) if adviser is not None and adviser.key is not None else adviser,
    )


def _disarmed(instance: InstanceSettings) -> InstanceSettings:
    return replace(instance, settings=_without_secrets(instance.settings))


def _without_secrets(settings: Settings) -> Settings:
    values: Mapping[str, Any] = settings.values
    return Settings({name: _PLACEHOLDER if isinstance(value, Secret) else value for name, value in values.items()})


def _owner(settings: HubSettings, host: str) -> str:
    """The connector that is configured for this host."""
    for slug, tenant in settings.tenants.items():
        for name, instance in tenant.instances.items():
            urls = (str(value) for value in instance.settings.values.values() if not isinstance(value, Secret))
            if any(urlsplit(url).hostname == host for url in urls if "://" in url):
                return f"{slug}/{name}"
    return ""
