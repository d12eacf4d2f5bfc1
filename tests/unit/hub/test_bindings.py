import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.hubs import REGISTRY, VENDORS, bind

from nightdesk.hub.bindings import Bindings
from nightdesk.hub.config import load_config
from nightdesk.sdk.errors import PolicyError, UnsupportedError
from nightdesk.sdk.targets import Target
from nightdesk.sdk.testing import Simulator, StoryDevice, serve

_EDR = next(name for name in VENDORS if "host.isolate" in REGISTRY.manifests[name].acts)
_HOST = Target.parse("host:ws-0042")


@pytest.fixture
def simulator() -> Simulator:
    made = REGISTRY.simulator(_EDR)()
    made.add_devices([StoryDevice("dev-1", "WS-0042", ("192.0.2.42",))])
    return made


@pytest.fixture
def bindings(simulator: Simulator, tmp_path: Path) -> Iterator[Bindings]:
    with serve(simulator) as served:
        yield Bindings(load_config(bind(tmp_path, "acme", {"edr": (simulator, served.base_url)}), REGISTRY), REGISTRY)


def test_a_host_verb_goes_to_the_role_with_the_vendors_own_device_id(bindings: Bindings, simulator: Simulator) -> None:
    async def go() -> None:
        route = await bindings.route("acme", "host.isolate", _HOST, None)
        again = await bindings.route_to("acme", "edr", "host.release", _HOST, route.native_id)
        assert (route.instance, route.vendor) == ("edr", _EDR)
        assert route.native_id in simulator.fleet.devices
        assert again.native_id == route.native_id
        assert again.port is route.port is bindings.connector("acme", "edr")
        await bindings.aclose()

    asyncio.run(go())


def test_a_host_that_is_unknown_or_there_twice_is_not_guessed(bindings: Bindings, simulator: Simulator) -> None:
    async def go() -> None:
        with pytest.raises(PolicyError, match="knows 0 such hosts"):
            await bindings.route("acme", "host.isolate", Target.parse("host:ws-9999"), None)
        simulator.add_devices([StoryDevice("dev-2", "WS-0042", ("192.0.2.43",))])
        with pytest.raises(PolicyError, match="knows 2 such hosts"):
            await bindings.route("acme", "host.isolate", _HOST, None)
        await bindings.aclose()

    asyncio.run(go())


def test_another_products_device_id_does_not_choose_the_host(bindings: Bindings, simulator: Simulator) -> None:
    async def go() -> str:
        target = Target(_HOST.kind, _HOST.value, {"device_id": "another-products-id"})
        try:
            return (await bindings.route("acme", "host.isolate", target, None)).native_id
        finally:
            await bindings.aclose()

    assert asyncio.run(go()) in simulator.fleet.devices


def test_an_alert_goes_back_to_where_it_came_from_and_nowhere_else(bindings: Bindings) -> None:
    target = Target.parse("alert:some-id")

    async def go() -> None:
        route = await bindings.route("acme", "alert.set_disposition", target, "edr")
        assert (route.instance, route.native_id) == ("edr", "some-id")
        with pytest.raises(PolicyError, match="which connector the alert came from"):
            await bindings.route("acme", "alert.set_disposition", target, None)
        with pytest.raises(UnsupportedError, match="no connector 'siem'"):
            await bindings.route("acme", "alert.set_disposition", target, "siem")
        await bindings.aclose()

    asyncio.run(go())


def test_a_role_that_nobody_has_and_a_tenant_that_is_unknown_are_named(bindings: Bindings) -> None:
    with pytest.raises(UnsupportedError, match="role 'mail'"):
        asyncio.run(bindings.route("acme", "email.quarantine", Target.parse("email:some-id"), None))
    with pytest.raises(UnsupportedError, match="umbrella"):
        asyncio.run(bindings.route("umbrella", "host.isolate", _HOST, None))
    with pytest.raises(UnsupportedError, match="no connector 'other'; it has edr"):
        bindings.connector("acme", "other")
