import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from tests.hubs import REGISTRY, a_story_alert, bind, opened, pullers

from nightdesk.hub.config import load_config
from nightdesk.hub.routes import Route, sort_out
from nightdesk.hub.store import intake
from nightdesk.sdk.context import utc_now
from nightdesk.sdk.errors import ConfigError
from nightdesk.sdk.records import Batch, RawRecord
from nightdesk.sdk.testing import serve

_ROUTES = (Route("cid", ("aaa*",), "acme"), Route("device.groups.name", ("umbrella",), "umbrella"))


def record(key: str, document: Any) -> RawRecord:
    return RawRecord(json.dumps(document).encode(), key, key, "acme_edr")


def test_each_alert_goes_to_the_one_tenant_that_is_named() -> None:
    batch = Batch(
        [
            record("a", {"cid": "aaa-1"}),
            record("b", {"cid": "bbb", "device": {"groups": [{"name": "all"}, {"name": "umbrella"}]}}),
            record("c", {"cid": "ccc"}),
            record("d", {"cid": "aaa-2", "device": {"groups": [{"name": "umbrella"}]}}),
            RawRecord(b"not json", "e"),
        ],
        {"at": 1},
    )
    routed = sort_out(batch, _ROUTES)
    assert {tenant: [one.key for one in found] for tenant, found in routed.by_tenant.items()} == {
        "acme": ["a"],
        "umbrella": ["b"],
    }
    assert [failure.key for failure in routed.nobodys] == ["c", "d", "e"]
    assert "no rule names a tenant" in str(routed.nobodys[0].error)
    assert "acme, umbrella" in str(routed.nobodys[1].error)


@given(st.lists(st.dictionaries(st.sampled_from(["cid", "x"]), st.sampled_from(["aaa", "b", 7, None]))))
def test_no_alert_is_lost_or_given_twice(documents: list[Any]) -> None:
    batch = Batch([record(str(number), document) for number, document in enumerate(documents)], None)
    routed = sort_out(batch, _ROUTES)
    given_away = [one.key for found in routed.by_tenant.values() for one in found]
    assert sorted([*given_away, *(one.key for one in routed.nobodys)]) == sorted(one.key for one in batch.records)


def _shared(tmp_path: Path, path: str, value: str, url: str, simulator: Any) -> Path:
    """An account of acme's that serves umbrella too."""
    config = bind(tmp_path, "acme", {"main": (simulator, url)})
    document = yaml.safe_load(config.read_text(encoding="utf-8"))
    acme = document["tenants"]["acme"]
    acme["connectors"]["main"]["routes"] = [{"path": path, "values": [value], "tenant": "umbrella"}]
    document["tenants"]["umbrella"] = {
        "name": "Umbrella", "key": acme["key"], "connectors": {"ours": {"shared": "acme/main"}},
    }  # fmt: skip
    config.write_text(yaml.safe_dump(document), encoding="utf-8")
    return config


def test_a_shared_accounts_page_is_parted_in_one_transaction_with_its_cursor(tmp_path: Path) -> None:
    vendor = pullers()[0]
    simulator = REGISTRY.simulator(vendor)()
    with serve(simulator) as served:
        connector = REGISTRY.manifest(vendor)
        assert connector.pulls
        for number in range(3):
            simulator.add(a_story_alert(f"alert-{number}", utc_now(), number))
        config = _shared(tmp_path, "nowhere", "x", served.base_url, simulator)

        async def go() -> tuple[int, int, Any]:
            with opened(config) as hub:
                try:
                    await hub.once()
                finally:
                    await hub.bindings.aclose()
                with hub.store.read() as conn:
                    rows = {row.tenant: row for tenant in hub.settings.tenants for row in intake.ledger(conn, tenant)}
                    stream = hub.feeds[0].state.stream
                    cursor = intake.cursor(conn, "acme", "main", stream)
                return rows["acme"].received, rows["acme"].quarantined, cursor

        received, quarantined, cursor = asyncio.run(go())
    assert (received, quarantined) == (3, 3)
    assert cursor is not None


def test_what_a_rule_names_arrives_at_that_tenant_under_its_own_connector(tmp_path: Path) -> None:
    vendor = "crowdstrike_falcon"
    simulator = REGISTRY.simulator(vendor)()
    with serve(simulator) as served:
        simulator.add(a_story_alert("theirs", utc_now(), 1))
        config = _shared(tmp_path, "cid", simulator.cid, served.base_url, simulator)  # type: ignore[attr-defined]  # Falcon's

        async def go() -> dict[str, tuple[str, int]]:
            with opened(config) as hub:
                try:
                    await hub.once()
                finally:
                    await hub.bindings.aclose()
                with hub.store.read() as conn:
                    found = [row for tenant in hub.settings.tenants for row in intake.ledger(conn, tenant)]
                return {row.tenant: (row.instance, row.normalised) for row in found}

        assert asyncio.run(go()) == {"acme": ("main", 0), "umbrella": ("ours", 1)}


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"shared": "acme/none"}, "is no account with routes"),
        ({"shared": "nobody/main"}, "is no account with routes"),
        ({"shared": "acme/main", "vendor": "okta"}, "says nothing but"),
        (None, "has no connector with"),
    ],
)
def test_a_part_of_an_account_that_makes_no_sense_is_said_so(tmp_path: Path, change: Any, says: str) -> None:
    simulator = REGISTRY.simulator(pullers()[0])()
    config = _shared(tmp_path, "cid", "x", "http://127.0.0.1:9", simulator)
    document = yaml.safe_load(config.read_text(encoding="utf-8"))
    connectors = {"ours": change} if change else {}
    document["tenants"]["umbrella"]["connectors"] = connectors
    config.write_text(yaml.safe_dump(document), encoding="utf-8")
    with pytest.raises(ConfigError, match=says):
        load_config(config, REGISTRY)


def test_a_part_of_a_shared_account_takes_no_role(tmp_path: Path) -> None:
    simulator = REGISTRY.simulator("crowdstrike_falcon")()
    config = _shared(tmp_path, "cid", "x", "http://127.0.0.1:9", simulator)
    document = yaml.safe_load(config.read_text(encoding="utf-8"))
    document["tenants"]["umbrella"]["roles"] = {"edr": "ours"}
    config.write_text(yaml.safe_dump(document), encoding="utf-8")
    with pytest.raises(ConfigError, match="its hosts are not told apart"):
        load_config(config, REGISTRY)
