"""A real hub over real simulators on loopback: what law tests of the whole way need, and nothing pretended."""

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import structlog
from tests.stores import prepared
from typer.testing import CliRunner, Result

from nightdesk.hub.api.app import create_app
from nightdesk.hub.cli.app import app
from nightdesk.hub.config import HubSettings, load_config
from nightdesk.hub.hub import Hub
from nightdesk.hub.registry import Registry
from nightdesk.hub.setup import make_config, private_file
from nightdesk.hub.store import Store
from nightdesk.hub.store.ledger import LedgerRow, audit_ledger, ledger
from nightdesk.sdk.context import Network, utc_now
from nightdesk.sdk.secrets import Secret
from nightdesk.sdk.testing import Simulator, StoryAlert, StoryDevice, serve
from nightdesk.sdk.testing.fake_time import FakeTime
from nightdesk.sdk.testing.story import StoryProcess
from nightdesk.sdk.trust import trust

__all__ = [
    "REGISTRY",
    "VENDORS",
    "a_story_alert",
    "balanced",
    "bind",
    "browsing",
    "opened",
    "pullers",
    "run_cli",
    "together",
    "working",
]

REGISTRY = Registry.load(strangers=False)
VENDORS = sorted(REGISTRY.manifests)


def pullers() -> list[str]:
    """Every bundled vendor that declares pulls; first one that answers quickly, for tests that want any of them."""
    found = [vendor for vendor in VENDORS if REGISTRY.manifests[vendor].pulls]
    return sorted(found, key=lambda vendor: (vendor != "crowdstrike_falcon", vendor))


def bind(
    folder: Path,
    tenant: str,
    bound: Mapping[str, tuple[Simulator, str]],
    *,
    policy: bytes | None = None,
    signers: tuple[str, ...] = ("owner",),
    **more: Any,
) -> Path:
    """Writes a configuration that binds simulators by instance name; returns its path."""
    connectors: dict[str, Any] = {}
    for name, (simulator, url) in bound.items():
        settings = dict(simulator.settings(url))
        for key, value in settings.items():
            if isinstance(value, Secret):
                private_file(folder / "secrets" / f"{name}.{key}", f"{value.reveal()}\n".encode())
                settings[key] = f"file:secrets/{name}.{key}"
        connectors[name] = {"vendor": simulator.vendor, "poll_seconds": 0.1, "settings": settings}
    roles = {role: name for name, (simulator, _) in bound.items() for role in REGISTRY.manifest(simulator.vendor).roles}
    given = {"quiet_seconds": 0.0, "connectors": connectors, "roles": roles, **more}
    return make_config(folder, tenant, tenant.title(), at=utc_now(), signers=signers, policy=policy, more=given)


def together(*configs: Path) -> HubSettings:
    """One hub's settings of several tenants, each written by ``bind``; the store is the first one's."""
    read = [load_config(config, REGISTRY) for config in configs]
    return replace(read[0], tenants={slug: tenant for one in read for slug, tenant in one.tenants.items()})


@contextmanager
def opened(settings: HubSettings | Path, time: FakeTime | None = None) -> Iterator[Hub]:
    """A hub with an open store; the caller runs ``hub.once``.

    A hub in a ``time`` that its simulators share keeps every vendor's pace and waits out every retry there, at no cost;
    what is too fast for a vendor is refused in the same time. Without one the hub lives in ours.
    """
    made = load_config(settings, REGISTRY) if isinstance(settings, Path) else settings
    clock, sleep = (utc_now, asyncio.sleep) if time is None else (time.clock, time.sleep)
    store = Store.open(prepared(made.store), clock=clock, synchronous="NORMAL")
    try:
        yield Hub(made, REGISTRY, store, clock=clock, sleep=sleep)
    finally:
        store.close()


@contextmanager
def working(folder: Path, simulator: Simulator, time: FakeTime) -> Iterator[Hub]:
    """The hub of one tenant, acme, over one served simulator that lives in the same time."""
    with serve(simulator) as served, opened(bind(folder, "acme", {"main": (simulator, served.base_url)}), time) as hub:
        yield hub


@contextmanager
def browsing(hub: Hub) -> Iterator[httpx.Client]:
    """A client of the hub's own HTTP side, over a socket; it keeps cookies, follows nothing and has patience."""
    plain: dict[str, Any] = {"trust_env": False, "verify": trust(Network()), "timeout": 120.0}
    with serve(create_app(hub)) as served, httpx.Client(base_url=served.base_url, **plain) as client:
        yield client


def run_cli(*arguments: str | Path) -> Result:
    """One command as a person types it; logging is put back, because the command points it at its own stderr."""
    try:
        return CliRunner().invoke(app, [str(argument) for argument in arguments])
    finally:
        structlog.reset_defaults()


def balanced(store: Store) -> list[LedgerRow]:
    """The ledger, after proving law 1 for it."""
    with store.read() as conn:
        assert audit_ledger(conn) == []
        return ledger(conn)


def a_story_alert(uid: str, at: datetime, number: int = 0, **changes: Any) -> StoryAlert:
    """A plain alert; its host is the ``number``-th."""
    device = StoryDevice(f"dev-{number:04d}", f"WS-{number:04d}", (f"192.0.2.{number % 250 + 1}",))
    facts: dict[str, Any] = {
        "device": device,
        "user": f"user{number:04d}",
        "user_domain": "EXAMPLE",
        "process": StoryProcess(
            "tool.exe", r"C:\Tools\tool.exe", "tool.exe --quiet", 4000 + number, f"{number + 1:064x}"
        ),
        "technique_ids": ("T1059.001",),
        "tactic_ids": ("TA0002",),
        "raised_at": at,
    }
    return StoryAlert(uid, at - timedelta(seconds=1), "Unusual tool", "unusual-tool", "medium", **{**facts, **changes})
