"""Law 8: what a vendor cannot honour is refused or declared, what no mapping reads is in the loss report."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from tests.hubs import REGISTRY, VENDORS, a_story_alert, pullers, working

from nightdesk.hub.hub import Hub
from nightdesk.hub.store import intake, queries
from nightdesk.hub.store.alerts import bundles
from nightdesk.sdk.manifest import Action
from nightdesk.sdk.records import Batch, RawRecord
from nightdesk.sdk.targets import Target
from nightdesk.sdk.testing.fake_time import FakeTime
from nightdesk.sdk.verbs import VERBS, TargetKind

_VALUES: dict[str, Any] = {"mode": "selective", "comment": "why", "disposition": "false-positive", "path": "C:\\"}


def _undeclared() -> Iterator[tuple[str, str, str]]:
    """Vendor, verb and a parameter of the verb that this vendor does not take."""
    for vendor in VENDORS:
        manifest = REGISTRY.manifests[vendor]
        for name in manifest.verbs:
            if VERBS[name].target in {TargetKind.HOST, TargetKind.ALERT}:
                for parameter in sorted(set(VERBS[name].parameters) - set(manifest.action(name).parameters)):
                    yield vendor, name, parameter


@pytest.mark.parametrize(("vendor", "name", "parameter"), list(_undeclared()))
def test_a_parameter_the_vendor_cannot_honour_stops_the_action(
    vendor: str, name: str, parameter: str, tmp_path: Path
) -> None:
    time = FakeTime()
    simulator = REGISTRY.simulator(vendor)(clock=time.clock)
    alert = a_story_alert("one", time.clock(), 1)
    native_id = simulator.add(alert)
    assert alert.device is not None
    simulator.add_devices([alert.device])
    on_host = VERBS[name].target is TargetKind.HOST
    target = Target.parse(f"host:{alert.device.hostname}") if on_host else Target(TargetKind.ALERT, native_id)
    with working(tmp_path, simulator, time) as hub:
        before = len(simulator.mutations())

        async def ask(**more: Any) -> Any:
            try:
                given = {"status": "closed"} if name == "alert.set_disposition" else {}
                action = hub.engine.propose(
                    "acme", name, target, requested_by="ann", approval="direct", source_instance="main",
                    parameters={**given, parameter: _VALUES[parameter]}, **more,
                )  # fmt: skip
                return await hub.engine.advance(action)
            finally:
                await hub.bindings.aclose()

        refused = asyncio.run(ask())
        assert refused.state == "failed"
        assert parameter in refused.error
        assert len(simulator.mutations()) == before
        consented = asyncio.run(ask(accept_losses=[parameter], case_id="another"))
        assert consented.state != "failed", consented.error
        assert parameter in consented.losses


def test_every_declared_parameter_is_one_of_its_verb() -> None:
    found = [(vendor, name) for vendor in VENDORS for name in REGISTRY.manifests[vendor].verbs]
    assert found
    for vendor, name in found:
        action: Action = REGISTRY.manifests[vendor].action(name)
        assert set(action.parameters) <= set(VERBS[name].parameters), (vendor, name)


_WITHOUT_A_MAPPING = {"syslog", "kafka_topic"}
"""Inputs whose alerts the readers of any vendor take: those carry a field that nobody named as a vendor field."""


@pytest.mark.parametrize("vendor", [vendor for vendor in pullers() if vendor not in _WITHOUT_A_MAPPING])
def test_a_field_that_no_mapping_reads_is_in_the_loss_report(vendor: str, tmp_path: Path) -> None:
    time = FakeTime()
    simulator = REGISTRY.simulator(vendor)(clock=time.clock)
    simulator.add(a_story_alert("one", time.clock(), 1))
    with working(tmp_path, simulator, time) as hub:
        plain, changed = asyncio.run(_normalised(hub))
    assert set(plain["lost"]) <= set(changed["lost"])
    (new,) = set(changed["lost"]) - set(plain["lost"])
    assert new.rpartition(".")[2] == "brand_new_field"
    assert changed["leaves"] == plain["leaves"] + 1
    assert changed["leaves"] == changed["read"] + sum(row["leaves"] for row in changed["ignored"]) + len(
        changed["lost"]
    )


async def _normalised(hub: Hub) -> tuple[dict[str, Any], dict[str, Any]]:
    """The loss report of the alert as it came, and of the same with a field more."""
    await hub.once()
    first = _report(hub)
    connector = hub.bindings.connector("acme", "main")
    instance = hub.settings.tenants["acme"].instances["main"]
    stream, spec = next(iter(instance.manifest.pulls.items()))
    records = [record async for batch in connector.pull(stream, None, limit=10) for record in batch.records]
    await hub.bindings.aclose()
    if records[0].payload.startswith(b"{"):
        document = orjson.loads(records[0].payload)
        inner = document.get("_source", document)  # inside a search hit's envelope
        inner["brand_new_field"] = "a value nobody expected"
        payload = orjson.dumps(document)
    else:
        payload = records[0].payload + b" brand_new_field=a value nobody expected"  # a line of CEF
    record = RawRecord(payload, f"{records[0].key} changed", records[0].native_id, records[0].product)
    with hub.store.begin() as conn:
        intake.store_page(
            conn, tenant="acme", instance="main", stream=stream, product=spec.product, batch=Batch([record], None),
            received_at=hub.clock(),
        )  # fmt: skip
    hub.pipeline.step()
    return first, _report(hub)


def _report(hub: Hub) -> dict[str, Any]:
    with hub.store.read() as conn:
        (row,) = queries.case_list(conn, "acme", limit=10)
        page = queries.case_page(conn, "acme", row.case_id)
        assert page is not None
        (alert,) = page.case.alerts
        found: dict[str, Any] = orjson.loads(bundles(conn, "acme", [alert.alert_id])[alert.alert_id].loss)
    return found
