"""What a tenant can be commanded to do: by the roles that it binds, and by what their connectors declare."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.hubs import REGISTRY, bind, together

from nightdesk.autonomy.openc2.wishes import Wish
from nightdesk.hub.config import TenantSettings
from nightdesk.hub.openc2.features import check_possible, features, possible_verbs
from nightdesk.sdk.errors import NotFoundError, UnsupportedError
from nightdesk.sdk.targets import Target
from nightdesk.sdk.verbs import VERBS, TargetKind

ADDRESS = Target(TargetKind.ADDRESS, "203.0.113.7")


def _tenant(folder: Path, **more: Any) -> TenantSettings:
    bound = {name: (REGISTRY.simulator(name)(), "http://127.0.0.1:9") for name in ("crowdsec", "paloalto_cortex_xdr")}
    return together(bind(folder, "acme", bound, **more)).tenants["acme"]


def _pairs(tenant: TenantSettings) -> dict[str, list[str]]:
    found: dict[str, list[str]] = features(tenant, ["pairs"], commands=True, rate_limit=1)["pairs"]
    return found


def test_a_role_decides_which_connector_is_asked(tmp_path: Path) -> None:
    both = _tenant(tmp_path / "both", roles={"edr": "paloalto_cortex_xdr", "firewall": "crowdsec"})
    assert "device" in _pairs(both)["contain"]
    assert {"ipv4_net", "ipv6_net"} <= set(_pairs(both)["deny"])


def test_what_no_role_binds_cannot_be_commanded(tmp_path: Path) -> None:
    one = _tenant(tmp_path / "one", roles={"edr": "paloalto_cortex_xdr"})
    assert "ipv4_net" not in _pairs(one)["deny"]
    assert {verb.role for verb in possible_verbs(one)} == {"edr", "source"}
    with pytest.raises(UnsupportedError, match="the role firewall, which no connector has"):
        check_possible(one, Wish("ip.block", ADDRESS))
    none = _tenant(tmp_path / "none", roles={})
    assert {verb.role for verb in possible_verbs(none)} == {"source"}
    assert "contain" not in _pairs(none)


def test_what_the_bound_connector_does_not_declare_cannot_be_commanded(tmp_path: Path) -> None:
    tenant = _tenant(tmp_path, roles={"firewall": "crowdsec"})
    declared = set(REGISTRY.manifests["crowdsec"].verbs)
    assert {verb.name for verb in possible_verbs(tenant) if verb.role == "firewall"} == {
        name for name in declared if VERBS[name].role == "firewall"
    }
    with pytest.raises(UnsupportedError, match=r"domain\.block is not declared"):
        check_possible(tenant, Wish("domain.block", Target(TargetKind.DOMAIN, "bad.example.com")))


def test_law_8_a_parameter_is_honoured_refused_or_given_up(tmp_path: Path) -> None:
    tenant = _tenant(tmp_path, roles={"firewall": "crowdsec"})
    check_possible(tenant, Wish("ip.block", ADDRESS, {"duration": 3600}))
    with pytest.raises(UnsupportedError, match="cannot honour direction, scope"):
        check_possible(tenant, Wish("ip.block", ADDRESS, {"scope": "edge", "direction": "inbound"}))
    check_possible(tenant, Wish("ip.block", ADDRESS, {"direction": "inbound"}, accept_losses=("direction",)))


@pytest.mark.parametrize("end", [{"lease": timedelta(hours=1)}, {"stop_at": datetime(2027, 1, 1, tzinfo=UTC)}])
def test_what_cannot_be_ended_is_not_begun_for_a_time(tmp_path: Path, end: dict[str, Any]) -> None:
    tenant = _tenant(tmp_path, roles={"edr": "paloalto_cortex_xdr"})
    declared = REGISTRY.manifests["paloalto_cortex_xdr"].action("hash.block")
    assert declared.accept_only
    digest = Target(TargetKind.FILE, "ab" * 32)
    check_possible(tenant, Wish("hash.block", digest))
    with pytest.raises(UnsupportedError, match=r"cannot end hash\.block by itself"):
        check_possible(tenant, Wish("hash.block", digest, **end))


def test_an_alert_is_of_a_connector_that_is_there(tmp_path: Path) -> None:
    tenant = _tenant(tmp_path)
    alert = Target(TargetKind.ALERT, "a-1")
    check_possible(tenant, Wish("alert.set_disposition", alert, {"status": "closed"}, connector="paloalto_cortex_xdr"))
    with pytest.raises(NotFoundError, match="there are crowdsec, paloalto_cortex_xdr"):
        check_possible(tenant, Wish("alert.set_disposition", alert, connector="siem"))
    with pytest.raises(UnsupportedError, match="not declared"):
        check_possible(tenant, Wish("alert.set_disposition", alert, connector="crowdsec"))
