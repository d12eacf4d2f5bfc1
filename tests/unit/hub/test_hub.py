import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.hubs import REGISTRY, a_story_alert, bind, opened, pullers

from nightdesk.hub.api.view import Role
from nightdesk.hub.casefile import case_bundle
from nightdesk.hub.hub import Hub
from nightdesk.hub.store import queries
from nightdesk.sdk.context import utc_now
from nightdesk.sdk.testing import Simulator, serve

_VENDOR = next(name for name in pullers() if "alert.set_disposition" in REGISTRY.manifests[name].writes_back)


@pytest.fixture
def simulator() -> Simulator:
    made = REGISTRY.simulator(_VENDOR)()
    made.add(a_story_alert("alert-1", utc_now(), 1))
    return made


@pytest.fixture
def hub(simulator: Simulator, tmp_path: Path) -> Iterator[Hub]:
    with serve(simulator) as served, opened(bind(tmp_path, "acme", {"main": (simulator, served.base_url)})) as made:
        yield made


def _once(hub: Hub, **options: bool) -> int:
    async def go() -> int:
        try:
            return await hub.once(**options)
        finally:
            await hub.bindings.aclose()

    return asyncio.run(go())


def test_once_does_what_there_is_and_then_nothing(hub: Hub) -> None:
    assert _once(hub) > 0
    assert _once(hub) == 0


def test_without_pulling_nobody_is_asked(hub: Hub, simulator: Simulator) -> None:
    assert _once(hub, pull=False) == 0
    assert simulator.seen == []


def test_a_token_is_one_principal_and_a_wrong_one_is_nobody(hub: Hub) -> None:
    token = hub.settings.tenants["acme"].tokens["console"].secret.reveal()
    found = hub.authenticate(token)
    assert found is not None
    assert (found.tenant, found.name, found.role) == ("acme", "console", Role.ANALYST)
    assert hub.authenticate(token[:-1]) is None
    assert hub.authenticate("") is None
    assert hub.principal("acme", "console") == found
    assert hub.principal("acme", "nobody") is None
    assert hub.principal("umbrella", "console") is None


def test_a_push_finds_its_instance_and_no_other(hub: Hub) -> None:
    found = hub.receiver("acme", "main")
    assert found is not None
    assert found[0] is hub.bindings.connector("acme", "main")
    assert hub.receiver("acme", "other") is None
    assert hub.receiver("umbrella", "main") is None


def test_a_running_hub_takes_in_and_stops_when_told(hub: Hub) -> None:
    async def go() -> None:
        running = asyncio.create_task(hub.run())
        async with asyncio.timeout(20):
            while not await asyncio.to_thread(_case_ids, hub):
                await asyncio.sleep(0.02)
        hub.stop()
        await asyncio.wait_for(running, 10)

    asyncio.run(go())
    assert [row["ok"] for row in hub.health()["feeds"]] == [True] * len(hub.feeds)


def test_a_case_is_one_bundle_with_its_decision(hub: Hub) -> None:
    import orjson

    _once(hub)
    (case_id,) = _case_ids(hub)
    scope = hub.settings.tenants["acme"].scope
    with hub.store.begin() as conn:
        page = queries.case_page(conn, "acme", case_id)
        assert page is not None
        first = case_bundle(conn, scope, page)
        again = case_bundle(conn, scope, page)
    assert first == again
    objects = {one["id"]: one for one in orjson.loads(first)["objects"]}
    kinds = [one["type"] for one in objects.values()]
    assert {"grouping", "incident", "note"} <= set(kinds)
    (grouping,) = (one for one in objects.values() if one["type"] == "grouping")
    assert set(grouping["object_refs"]) <= set(objects)
    assert {alert.alert_id for alert in page.case.alerts} <= set(grouping["object_refs"])


def _case_ids(hub: Hub) -> list[str]:
    with hub.store.read() as conn:
        return [row.case_id for row in queries.case_list(conn, "acme", limit=100)]
