import asyncio
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from tests.hubs import REGISTRY, a_story_alert, bind, opened, pullers

from nightdesk.hub.hub import Hub
from nightdesk.hub.pipeline import Pipeline
from nightdesk.hub.store import intake, queries
from nightdesk.hub.story import PATIENT_ZERO, night
from nightdesk.sdk.context import utc_now
from nightdesk.sdk.records import Batch, RawRecord
from nightdesk.sdk.testing import serve

_VENDOR = pullers()[0]
_STREAM, _SPEC = next(iter(REGISTRY.manifests[_VENDOR].pulls.items()))


@pytest.fixture
def payloads() -> list[RawRecord]:
    """Three alerts as the vendor sends them: two of one host, one of another."""
    simulator = REGISTRY.simulator(_VENDOR)()
    for number, host in enumerate((1, 1, 2)):
        simulator.add(a_story_alert(f"alert-{number}", utc_now(), host))

    async def fetch(url: str) -> list[RawRecord]:
        from nightdesk.sdk.context import Context, Settings
        from nightdesk.sdk.manifest import validate_settings

        values = validate_settings(REGISTRY.manifests[_VENDOR], simulator.settings(url), file="test", key="settings")
        connector = REGISTRY.connector(_VENDOR, Context("acme", "main", Settings(values)))
        try:
            return [one async for batch in connector.pull(_STREAM, None, limit=10) for one in batch.records]
        finally:
            await connector.aclose()

    with serve(simulator) as served:
        return asyncio.run(fetch(served.base_url))


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Hub]:
    with opened(bind(tmp_path, "acme", {"main": (REGISTRY.simulator(_VENDOR)(), "http://127.0.0.1:9")})) as made:
        yield made


def _store(hub: Hub, *records: RawRecord, product: str = _SPEC.product) -> None:
    with hub.store.begin() as conn:
        intake.store_page(
            conn, tenant="acme", instance="main", stream=_STREAM, product=product, batch=Batch(records, None),
            received_at=utc_now(),
        )  # fmt: skip


def _cases(hub: Hub) -> list[queries.CaseRow]:
    with hub.store.read() as conn:
        return list(queries.case_list(conn, "acme", limit=100))


def test_alerts_of_one_host_become_one_case_and_each_case_a_decision(hub: Hub, payloads: list[RawRecord]) -> None:
    _store(hub, *payloads)
    progress = hub.pipeline.step()
    assert (progress.normalised, progress.quarantined) == (3, 0)
    assert sorted(row.alert_count for row in _cases(hub)) == [1, 2]
    assert {decision.case_id for decision in progress.decided} == {row.case_id for row in _cases(hub)}
    assert not hub.pipeline.step()


def test_a_later_alert_of_the_host_joins_its_case(hub: Hub, payloads: list[RawRecord]) -> None:
    for record in payloads:
        _store(hub, record)
        hub.pipeline.step()
    assert sorted(row.alert_count for row in _cases(hub)) == [1, 2]


def test_the_same_version_again_decides_nothing(hub: Hub, payloads: list[RawRecord]) -> None:
    _store(hub, *payloads)
    hub.pipeline.step()
    _store(hub, *(replace(record, key=f"{record.key} again") for record in payloads))
    again = hub.pipeline.step()
    assert (again.normalised, again.decided) == (3, ())
    assert sorted(row.alert_count for row in _cases(hub)) == [1, 2]


def test_a_step_takes_no_more_than_its_limit(hub: Hub, payloads: list[RawRecord]) -> None:
    _store(hub, *payloads)
    assert [hub.pipeline.step(limit=2).normalised for _ in range(3)] == [2, 1, 0]


def test_alerts_of_a_tenant_that_was_taken_out_wait(hub: Hub, payloads: list[RawRecord]) -> None:
    _store(hub, *payloads)
    without = Pipeline(hub.store, REGISTRY.normalizer(), {}, clock=utc_now)
    assert not without.step()
    assert hub.pipeline.step().normalised == 3


def test_a_product_without_a_normaliser_sets_its_own_alerts_aside(hub: Hub, payloads: list[RawRecord]) -> None:
    _store(hub, replace(payloads[0], product="no_such_product"), *payloads[1:])
    progress = hub.pipeline.step()
    assert (progress.normalised, progress.quarantined) == (2, 1)


def test_a_story_becomes_a_case_about_its_victim(tmp_path: Path) -> None:
    simulator = REGISTRY.simulator(_VENDOR)()
    story = night(utc_now(), alerts=0)
    for alert in story.endpoint:
        simulator.add(replace(alert, raised_at=utc_now()))
    with serve(simulator) as served, opened(bind(tmp_path, "acme", {"main": (simulator, served.base_url)})) as hub:

        async def go() -> None:
            await hub.once()
            await hub.bindings.aclose()

        asyncio.run(go())
        victims = [row for row in _cases(hub) if PATIENT_ZERO.lower() in row.title.lower()]
        assert len(victims) == 1
        assert victims[0].alert_count == 3


def _store_for(hub: Hub, tenant: str, *records: RawRecord) -> None:
    with hub.store.begin() as conn:
        intake.store_page(
            conn, tenant=tenant, instance="main", stream=_STREAM, product=_SPEC.product, batch=Batch(records, None),
            received_at=utc_now(),
        )  # fmt: skip


def test_alerts_of_a_tenant_without_configuration_wait_and_hold_nobody_up(hub: Hub, payloads: list[RawRecord]) -> None:
    _store_for(hub, "gone", *payloads)
    _store(hub, *payloads)
    assert hub.pipeline.step(limit=3).normalised == 3
    with hub.store.read() as conn:
        assert len(intake.waiting(conn, limit=10, tenant="gone")) == 3


def test_a_page_that_breaks_is_raised_after_the_other_tenants_had_their_turn(
    hub: Hub, payloads: list[RawRecord]
) -> None:
    acme = hub.settings.tenants["acme"]
    broken = replace(acme, scope=replace(acme.scope, slug="broken"), policy=None)  # type: ignore[arg-type]  # the fault
    tenants = {"broken": broken, "acme": acme}
    pipeline = Pipeline(hub.store, REGISTRY.normalizer(), tenants, clock=utc_now)
    _store_for(hub, "broken", *payloads)
    _store(hub, *payloads)
    with pytest.raises(AttributeError):
        pipeline.step()
    assert len(_cases(hub)) == 2
    with hub.store.read() as conn:
        assert len(intake.waiting(conn, limit=10, tenant="broken")) == 3
