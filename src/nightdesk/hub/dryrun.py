"""A dry run that is one: everything is computed, nothing can leave.

    with dry(settings) as tripwire:
        hub = Hub(tripwire.settings, registry, store)
        ...
    assert not tripwire.attempts

The settings inside hold no secret, connectors get a transport that refuses, and whatever opens a connection past it (a
vendor's own library) is refused where Python does so. By design nobody tries; who does is named.
"""

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import urlsplit

import httpx

from nightdesk.hub.config import HubSettings, InstanceSettings, TenantSettings
from nightdesk.sdk.context import Settings
from nightdesk.sdk.errors import PolicyError
from nightdesk.sdk.secrets import Secret

__all__ = ["Attempt", "Tripwire", "dry"]

_PLACEHOLDER = Secret.literal("dry-run")
_ACTIVE: ContextVar["Tripwire | None"] = ContextVar("nightdesk_dry_run", default=None)
_GUARDED = frozenset({"socket.connect", "socket.getaddrinfo", "socket.sendto"})
_installed: list[bool] = []


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
        return PolicyError(f"dry run: {attempt.who or 'somebody'} tried {what}; nothing was sent")


@contextmanager
def dry(settings: HubSettings) -> Iterator[Tripwire]:
    """Within it, code of this thread (and the tasks and threads it starts) reaches no network."""
    if not _installed:
        sys.addaudithook(_refuse)  # for the life of the process: it can be added, never removed
        _installed.append(True)
    tripwire = Tripwire(settings)
    tripwire.settings = replace(
        settings,
        network=replace(settings.network, transport=tripwire),
        tenants={slug: _harmless(tenant) for slug, tenant in settings.tenants.items()},
    )
    token = _ACTIVE.set(tripwire)
    try:
        yield tripwire
    finally:
        _ACTIVE.reset(token)


def _refuse(event: str, args: tuple[Any, ...]) -> None:
    if event not in _GUARDED:
        return
    tripwire = _ACTIVE.get()
    if tripwire is not None:
        address = args[0] if event == "socket.getaddrinfo" else args[1]
        host = str(address[0]) if isinstance(address, tuple) else str(address)
        raise tripwire.tripped(host, f"{event.removeprefix('socket.')} {host}")


def _harmless(tenant: TenantSettings) -> TenantSettings:
    return replace(
        tenant,
        instances={name: _without_secrets(instance) for name, instance in tenant.instances.items()},
        tokens={name: replace(token, secret=_PLACEHOLDER) for name, token in tenant.tokens.items()},
    )


def _without_secrets(instance: InstanceSettings) -> InstanceSettings:
    values: Mapping[str, Any] = instance.settings.values
    plain = {name: _PLACEHOLDER if isinstance(value, Secret) else value for name, value in values.items()}
    return replace(instance, settings=Settings(plain))


def _owner(settings: HubSettings, host: str) -> str:
    """The connector that is configured for this host."""
    for slug, tenant in settings.tenants.items():
        for name, instance in tenant.instances.items():
            urls = (str(value) for value in instance.settings.values.values() if not isinstance(value, Secret))
            if any(urlsplit(url).hostname == host for url in urls if "://" in url):
                return f"{slug}/{name}"
    return ""
