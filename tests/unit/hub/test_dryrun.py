import asyncio
import os
import socket
import subprocess
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from contextvars import Context
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import httpx
import pytest
from tests.desks import TENANT, Desktop
from tests.hubs import REGISTRY, VENDORS

from nightdesk.hub.adviser.settings import AdviserSettings
from nightdesk.hub.bindings import Bindings
from nightdesk.hub.config import HubSettings, InstanceSettings, TenantSettings
from nightdesk.hub.dryrun import dry
from nightdesk.hub.enrichment.settings import SourceSettings
from nightdesk.sdk.context import Context as ConnectorContext
from nightdesk.sdk.context import Network, Settings
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
        context = ConnectorContext("acme", "one", settings, tripwire.settings.network)

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


def _in_a_thread(call: Callable[[], object]) -> None:
    raised: list[BaseException] = []

    def work() -> None:
        try:
            call()
        except PolicyError as error:
            raised.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    if raised:
        raise raised[0]


def _in_an_executor(call: Callable[[], object]) -> None:
    async def work() -> None:
        await asyncio.get_running_loop().run_in_executor(None, call)

    asyncio.run(work())


def _in_a_pool(call: Callable[[], object]) -> None:
    with ThreadPoolExecutor(1) as pool:
        pool.submit(call).result()


WAYS: list[Callable[[Callable[[], object]], object]] = [
    lambda call: asyncio.run(asyncio.to_thread(call)),
    _in_a_thread,
    _in_an_executor,
    _in_a_pool,
    lambda call: Context().run(call),
]


@pytest.mark.parametrize("way", WAYS, ids=["to_thread", "thread", "executor", "pool", "empty-context"])
def test_threads_and_tasks_inside_are_inside(desk: Desktop, way: Callable[[Callable[[], object]], object]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        where = server.getsockname()
        with dry(desk.settings) as tripwire, pytest.raises(PolicyError, match="tried getaddrinfo"):
            way(lambda: socket.create_connection(where))
        assert len(tripwire.attempts) == 1
        server.settimeout(0)
        with pytest.raises(BlockingIOError):
            server.accept()


def test_a_thread_that_was_there_before_sends_nothing_either(desk: Desktop) -> None:
    """A library's own worker is given its work later."""
    with ThreadPoolExecutor(1) as pool:
        pool.submit(int).result()
        with dry(desk.settings) as tripwire, pytest.raises(PolicyError):
            pool.submit(socket.getaddrinfo, "vendor.example.com", 443).result()
        assert [one.what for one in tripwire.attempts] == ["getaddrinfo vendor.example.com"]


def test_a_thread_that_outlives_it_sends_nothing_afterwards(desk: Desktop) -> None:
    over, raised = threading.Event(), []

    def later() -> None:
        over.wait()
        try:
            socket.getaddrinfo("localhost", 443)
        except PolicyError as error:
            raised.append(str(error))

    with dry(desk.settings) as tripwire:
        thread = threading.Thread(target=later)
        thread.start()
    over.set()
    thread.join()
    assert len(raised) == len(tripwire.attempts) == 1
    _in_a_thread(lambda: socket.getaddrinfo("localhost", 443))


@pytest.mark.parametrize(
    "look_up",
    [
        lambda: socket.gethostbyname("vendor.example.com"),
        lambda: socket.gethostbyname_ex("vendor.example.com"),
        lambda: socket.gethostbyaddr("192.0.2.1"),
        lambda: socket.getnameinfo(("192.0.2.1", 443), 0),
        lambda: asyncio.run(asyncio.open_connection("vendor.example.com", 443)),
    ],
    ids=["name", "name-ex", "address", "reverse", "asyncio"],
)
def test_a_look_up_of_a_name_is_a_message_too(desk: Desktop, look_up: Callable[[], object]) -> None:
    with dry(desk.settings) as tripwire, pytest.raises(PolicyError, match=r"vendor\.example\.com|192\.0\.2\.1"):
        look_up()
    assert len(tripwire.attempts) == 1


def test_a_datagram_leaves_by_no_call(desk: Desktop) -> None:
    with ExitStack() as stack:
        taker = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        taker.bind(("127.0.0.1", 0))
        one = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        with dry(desk.settings), pytest.raises(PolicyError, match=r"sendmsg 127\.0\.0\.1"):
            one.sendmsg([b"x"], [], 0, taker.getsockname())
        taker.setblocking(False)
        with pytest.raises(BlockingIOError):
            taker.recv(1)


@pytest.mark.parametrize(
    "start",
    [
        lambda: subprocess.run(["/bin/echo", "a-secret"], check=True),
        lambda: os.system("echo a-secret"),
        lambda: os.posix_spawn("/bin/echo", ["echo", "a-secret"], {}),
        os.fork,
        lambda: os.execv("/bin/echo", ["echo", "a-secret"]),
    ],
    ids=["subprocess", "system", "spawn", "fork", "exec"],
)
def test_no_program_is_started_that_nobody_watches(desk: Desktop, start: Callable[[], object]) -> None:
    with dry(desk.settings) as tripwire, pytest.raises(PolicyError, match="to start a program") as refused:
        start()
    assert "a-secret" not in str(refused.value)
    with pytest.raises(PolicyError, match="to start a program"):
        tripwire.check()


def test_who_swallows_the_refusal_is_named_all_the_same(desk: Desktop) -> None:
    with dry(desk.settings) as tripwire:
        tripwire.check()
        with suppress(PolicyError):
            socket.getaddrinfo("127.0.0.1", 443)
        with pytest.raises(PolicyError, match=r"acme/\w+ tried getaddrinfo 127\.0\.0\.1; nothing was sent"):
            tripwire.check()


def test_no_key_and_no_password_of_a_proxy_is_inside(desk: Desktop) -> None:
    tenant = desk.settings.tenants[TENANT]
    source = SourceSettings(
        "acme-intel", cast("Any", None), Path(), Settings({"key": Secret.literal("s3cret"), "n": 1})
    )
    adviser = AdviserSettings(
        "https://ai.example.com", "m", Secret.literal("s3cret"), cast("Any", None), timeout=1.0, at_once=1, per_hour=1
    )
    given = replace(tenant, enrichment=replace(tenant.enrichment, sources=(source,)), adviser=adviser)
    network = Network(proxy="http://user:s3cret@proxy.example.com:3128")
    with dry(replace(desk.settings, network=network, tenants={TENANT: given})) as tripwire:
        inside = tripwire.settings.tenants[TENANT]
        (kept,) = inside.enrichment.sources
        assert inside.adviser is not None
        assert (kept.values.values["n"], kept.values.secret("key").reveal()) == (1, "dry-run")
        assert inside.adviser.key == Secret.literal("dry-run")
        assert "s3cret" not in str(tripwire.settings.network)
    without = replace(given, adviser=replace(adviser, key=None))
    with dry(replace(desk.settings, tenants={TENANT: without})) as tripwire:
        assert tripwire.settings.tenants[TENANT].adviser == without.adviser


def test_two_dry_runs_do_not_see_each_other(desk: Desktop) -> None:
    with dry(desk.settings) as outer:
        with dry(desk.settings) as inner, pytest.raises(PolicyError):
            asyncio.run(inner.handle_async_request(httpx.Request("GET", "https://vendor.example.com/a?secret=1")))
        assert outer.attempts == []
    assert [one.what for one in inner.attempts] == ["GET https://vendor.example.com/a"]
    assert inner.attempts[0].who == ""
