"""What the hub hands a connector when it builds it: settings, clock, network, and nothing global."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import httpx

from nightdesk.sdk.errors import ConfigError, Problem
from nightdesk.sdk.secrets import Secret

__all__ = ["Clock", "Context", "Network", "Settings", "Sleep", "utc_now"]

Clock = Callable[[], datetime]
Sleep = Callable[[float], Awaitable[None]]


def utc_now() -> datetime:
    """The present in UTC; everything that needs the time takes a clock, and this is the real one."""
    return datetime.now(UTC)


def _unheard(_: float) -> None:
    """Nobody compares clocks."""


@dataclass(frozen=True, slots=True)
class Network:
    """How to reach vendors: outbound proxy URL, file with a private CA, seconds to wait.

    ``transport`` replaces the network in tests (an ``httpx.ASGITransport`` round a simulator).
    """

    proxy: str | None = None
    ca_file: str | None = None
    timeout: float = 30.0
    transport: httpx.AsyncBaseTransport | None = None


@dataclass(frozen=True, slots=True)
class Settings:
    """One instance's settings, already validated against the manifest."""

    values: Mapping[str, Any]

    def text(self, name: str, default: str = "") -> str:
        """A string setting."""
        value = self.values.get(name)
        return default if value is None else str(value)

    def integer(self, name: str, default: int = 0) -> int:
        """A whole-number setting."""
        value = self.values.get(name)
        return default if value is None else int(value)

    def flag(self, name: str, default: bool = False) -> bool:
        """A yes/no setting."""
        value = self.values.get(name)
        return default if value is None else bool(value)

    def secret(self, name: str) -> Secret:
        """A secret setting, unread."""
        value = self.values.get(name)
        if not isinstance(value, Secret):
            raise ConfigError([Problem("settings", name, "is required and must be a reference (env:NAME, file:PATH)")])
        return value

    def has(self, name: str) -> bool:
        """True when the setting was given."""
        return self.values.get(name) is not None


@dataclass(frozen=True, slots=True)
class Context:
    """Everything outside a connector that it may use."""

    tenant: str
    instance: str
    settings: Settings
    network: Network = field(default_factory=Network)
    clock: Clock = utc_now
    sleep: Sleep = asyncio.sleep
    on_skew: Callable[[float], None] = _unheard
    """Told with each dated answer how many seconds the vendor's clock is ahead of ours."""
