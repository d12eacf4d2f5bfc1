import asyncio
import socket
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.desks import TENANT, Desktop
from tests.hubs import REGISTRY, VENDORS

from nightdesk.hub.bindings import Bindings
from nightdesk.hub.config import HubSettings, InstanceSettings, TenantSettings
from nightdesk.hub.dryrun import dry
from nightdesk.sdk.context import Context, Network, Settings
from nightdesk.sdk.errors import PolicyError
from nightdesk.sdk.secrets import Secret
from nightdesk.sdk.targets import AssetQuery


@pytest.fixture
def desk(tmp_path: Path) -> Any:
    with ExitStack() as stack:
        yield Desktop(stack, tmp_path)


def _secrets(settings: HubSettings) -> set[str]:
    found = set()
    for tenant in settings.tenants.values():
        values = [value for one in tenant.instances.values() for value in one.settings.values.values()]
        found |= {value.reveal() for value in values if isinstance(value, Secret)}
        found |= {token.secret.reveal() for token in tenant.tokens.values()}
    return found


def test_the_settings_inside_hold_no_secret(desk: Desktop) -> None:
    with dry(desk.settings) as tripwire:
        assert _secrets(tripwire.settings) == {"dry-run"}
        assert tripwire.settings.network.transport is tripwire
    assert len(_secrets(desk.settings)) > 3, "outside they are as they were"


def test_a_connector_that_asks_is_refused_and_named(desk: Desktop) -> None:
    before = len(desk.simulators["edr"].seen)
    with dry(desk.settings) as tripwire:
        bindings = Bindings(tripwire.settings, REGISTRY, clock=desk.time.clock, sleep=desk.time.sleep)

        async def ask() -> None:
            connector = bindings.connector(TENANT, "edr")
            try:
                await connector.find_asset(AssetQuery(hostname="ws-0042"))
            finally:
                await bindings.aclose()

        with pytest.raises(PolicyError, match=r"dry run: .* tried POST http://127\.0\.0\.1"):
            asyncio.run(ask())
    (attempt,) = tripwire.attempts
    assert attempt.who.startswith("acme/")
    assert len(desk.simulators["edr"].seen) == before
    assert desk.time.slept == [], "it is not tried again"


@pytest.mark.parametrize("vendor", [name for name in VENDORS if REGISTRY.manifests[name].remote])
def test_every_connector_is_built_without_its_credentials_and_asks_nobody(vendor: str) -> None:
    """What a dry run does with each of them; a connector that signs in while it is built would be caught here."""
    manifest = REGISTRY.manifests[vendor]
    simulator = REGISTRY.simulator(vendor)() if manifest.simulated else None
    given = dict(simulator.settings("http://127.0.0.1:9")) if simulator else {}
    for name, setting in manifest.settings.items():
        given.setdefault(name, setting.default)
        if given[name] is None and setting.required:
            given[name] = Secret.literal("x") if setting.type == "secret" else setting.example
    instance = InstanceSettings("one", manifest, Settings(given), (), poll=None)  # type: ignore[arg-type]  # never polled
    tenant = TenantSettings(None, None, None, None, {}, {"one": instance}, {}, {})  # type: ignore[arg-type]  # only its instances are read
    with dry(HubSettings("", "", "", 0, Network(), {"acme": tenant})) as tripwire:
        settings = tripwire.settings.tenants["acme"].instances["one"].settings
        context = Context("acme", "one", settings, tripwire.settings.network)

        async def build() -> None:
            await REGISTRY.connector(vendor, context).aclose()

        asyncio.run(build())
    assert tripwire.attempts == []


def test_a_connection_past_the_transport_is_refused_too(desk: Desktop) -> None:
    """A vendor's own library opens sockets of its own."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        where = server.getsockname()
        with dry(desk.settings) as tripwire:
            with socket.socket() as one, pytest.raises(PolicyError, match=r"tried connect 127\.0\.0\.1; nothing"):
                one.connect(where)
            with pytest.raises(PolicyError, match=r"getaddrinfo vendor\.example\.com"):
                socket.getaddrinfo("vendor.example.com", 443)
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one, pytest.raises(PolicyError, match="sendto"):
                one.sendto(b"x", where)
        assert len(tripwire.attempts) >= 3
        socket.create_connection(where).close()


def test_threads_and_tasks_inside_are_inside(desk: Desktop) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        where = server.getsockname()

        async def elsewhere() -> None:
            await asyncio.to_thread(socket.create_connection, where)

        with dry(desk.settings) as tripwire, pytest.raises(PolicyError):
            asyncio.run(elsewhere())
        assert tripwire.attempts


def test_two_dry_runs_do_not_see_each_other(desk: Desktop) -> None:
    with dry(desk.settings) as outer:
        with dry(desk.settings) as inner, pytest.raises(PolicyError):
            asyncio.run(inner.handle_async_request(httpx.Request("GET", "https://vendor.example.com/a?secret=1")))
        assert outer.attempts == []
    assert [one.what for one in inner.attempts] == ["GET https://vendor.example.com/a"]
    assert inner.attempts[0].who == ""
