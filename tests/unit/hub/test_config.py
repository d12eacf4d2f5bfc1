from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.hubs import REGISTRY, bind, pullers

from nightdesk.autonomy.guardrails import AssetFacts
from nightdesk.autonomy.policy import Policy
from nightdesk.autonomy.signing import SignedPolicy
from nightdesk.hub.config import config_schema, load_config
from nightdesk.hub.openc2.limits import OpenC2Config
from nightdesk.sdk.errors import ConfigError


@pytest.fixture
def config(tmp_path: Path) -> Path:
    return bind(tmp_path, "acme", {"main": (REGISTRY.simulator(pullers()[0])(), "http://127.0.0.1:9")})


def _edit(config: Path, **tenant: Any) -> Path:
    document = yaml.safe_load(config.read_text(encoding="utf-8"))
    document["tenants"]["acme"].update(tenant)
    config.write_text(yaml.safe_dump(document), encoding="utf-8")
    return config


def _said(config: Path) -> str:
    with pytest.raises(ConfigError) as caught:
        load_config(config, REGISTRY)
    return str(caught.value)


def test_a_made_configuration_loads(config: Path) -> None:
    settings = load_config(config, REGISTRY)
    tenant = settings.tenants["acme"]
    assert isinstance(tenant.policy, SignedPolicy)
    assert tenant.instances["main"].pulls == tuple(REGISTRY.manifests[pullers()[0]].pulls)
    assert tenant.instances["main"].poll == timedelta(seconds=0.1)
    assert tenant.tokens["console"].role == "analyst"
    assert tenant.scope.slug == "acme"


def test_paths_are_relative_to_the_file_and_not_to_the_shell(
    config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    assert load_config(config, REGISTRY).store == f"sqlite:///{tmp_path / 'nightdesk.db'}"


def test_without_a_policy_nothing_is_signed(config: Path) -> None:
    assert isinstance(load_config(_edit(config, policy=None, signers={}), REGISTRY).tenants["acme"].policy, Policy)


def test_a_policy_that_was_changed_after_signing_is_refused(config: Path) -> None:
    policy = config.parent / "policies" / "acme.yaml"
    policy.write_bytes(policy.read_bytes() + b"\n# one line more\n")
    assert "acme.yaml" in _said(config)


def test_a_signer_without_a_key_file_is_named(config: Path) -> None:
    assert "missing.pub" in _said(_edit(config, signers={"owner": "policies/missing.pub"}))


def test_a_tenant_key_that_is_none_says_how_to_make_one(config: Path) -> None:
    (config.parent / "secrets" / "acme.key").write_text("short\n", encoding="utf-8")
    assert "nightdesk init" in _said(config)


def test_the_inventory_is_read_by_host_name(config: Path) -> None:
    (config.parent / "assets.csv").write_text(
        "hostname,type,tags\nDC-01.example.com,server,tier0 domain-controller\nws-1,workstation,\n", encoding="utf-8"
    )
    assets = load_config(_edit(config, assets="assets.csv"), REGISTRY).tenants["acme"].assets
    assert assets == {
        "host:dc-01": AssetFacts(asset_type="server", tags=("tier0", "domain-controller")),
        "host:ws-1": AssetFacts(asset_type="workstation", tags=()),
    }


def test_an_inventory_without_its_columns_is_named(config: Path) -> None:
    (config.parent / "assets.csv").write_text("name;kind\n", encoding="utf-8")
    assert "lacks the column hostname, type" in _said(_edit(config, assets="assets.csv"))
    assert "cannot be read" in _said(_edit(config, assets="nowhere.csv"))


def test_limits_and_leases_reach_the_tenant(config: Path) -> None:
    changed = _edit(config, limits={"hosts_per_hour": 0.5}, lease_seconds={"host.isolate": 60})
    tenant = load_config(changed, REGISTRY).tenants["acme"]
    assert tenant.limits.hosts_per_hour == 0.5
    assert tenant.leases == {"host.isolate": timedelta(seconds=60)}


def test_a_role_goes_only_to_a_connector_that_offers_it(config: Path) -> None:
    assert "offers" in _said(_edit(config, roles={"mail": "main"}))
    assert "no connector 'nobody'" in _said(_edit(config, roles={"edr": "nobody"}))


def test_a_slug_that_is_no_slug_is_refused(config: Path) -> None:
    document = yaml.safe_load(config.read_text(encoding="utf-8"))
    document["tenants"] = {"Acme Corp": document["tenants"]["acme"]}
    config.write_text(yaml.safe_dump(document), encoding="utf-8")
    assert "slug" in _said(config)


def test_the_limits_of_openc2_are_read_and_checked(config: Path) -> None:
    assert load_config(config, REGISTRY).openc2 == OpenC2Config()
    document = yaml.safe_load(config.read_text(encoding="utf-8"))
    config.write_text(yaml.safe_dump({**document, "openc2": {"wait_seconds": 2.5, "commands_per_minute": 7}}))
    read = load_config(config, REGISTRY).openc2
    assert (read.wait, read.commands_per_minute) == (timedelta(seconds=2.5), 7)
    config.write_text(yaml.safe_dump({**document, "openc2": {"wait_seconds": 3600}}))
    assert "openc2.wait_seconds" in _said(config)


def test_the_schema_describes_what_is_accepted() -> None:
    schema = config_schema()
    assert schema["additionalProperties"] is False
    assert {"store", "http", "network", "openc2", "playbooks", "shared", "brakes", "tenants", "learning"} == set(
        schema["properties"]
    )


def test_a_folder_of_playbooks_is_there_and_is_beside_the_file(config: Path) -> None:
    document = yaml.safe_load(config.read_text(encoding="utf-8"))
    config.write_text(yaml.safe_dump({**document, "playbooks": "books"}), encoding="utf-8")
    assert "playbooks: books is no folder" in _said(config)
    (config.parent / "books").mkdir()
    assert load_config(config, REGISTRY).playbooks == config.parent.resolve() / "books"


def test_how_second_sources_are_asked_is_the_tenants_own(config: Path) -> None:
    witness = {"ask": ["main"], "looks_seconds": [30], "grace_seconds": {"host.isolate": 90}}
    document = yaml.safe_load(_edit(config, witness=witness).read_text(encoding="utf-8"))
    document["tenants"]["acme"]["connectors"]["main"]["management_peers"] = ["198.51.100.0/24", "edr.example.net"]
    config.write_text(yaml.safe_dump(document), encoding="utf-8")
    tenant = load_config(config, REGISTRY).tenants["acme"]
    assert (tenant.witness.ask, tenant.witness.looks_seconds) == (["main"], [30])
    assert tenant.witness.tolerated_skew_seconds == 120.0
    assert tenant.instances["main"].management_peers == ("198.51.100.0/24", "edr.example.net")


@pytest.mark.parametrize(
    ("witness", "said"),
    [
        ({"ask": ["siem"]}, "no connector 'siem'; there are main"),
        ({"grace_seconds": {"host.scan": 5}}, "no second source can see it; there are host.isolate"),
        ({"looks_seconds": []}, "tenants.acme.witness.looks_seconds"),
        ({"look": 1}, "no such key"),
    ],
)
def test_what_is_wrong_with_them_is_said_with_its_key(config: Path, witness: dict[str, Any], said: str) -> None:
    assert said in _said(_edit(config, witness=witness))
