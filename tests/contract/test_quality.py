"""Each connector's claims, proved on its simulator; no connector is below silver."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from tests.hubs import REGISTRY, VENDORS

from nightdesk.hub.grading import grade
from nightdesk.hub.quality import TIERS, tier_of
from nightdesk.sdk.testing.subject import Ground

_ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def ground() -> Iterator[Ground]:
    with Ground() as made:
        yield made


@pytest.mark.parametrize("vendor", VENDORS)
def test_no_connector_claims_less_than_silver(vendor: str) -> None:
    assert TIERS.index(tier_of(REGISTRY.folders[vendor])) >= TIERS.index("silver")


@pytest.mark.parametrize("vendor", VENDORS)
def test_only_a_real_server_makes_a_connector_verified(vendor: str) -> None:
    said = yaml.safe_load((REGISTRY.folders[vendor] / "quality.yaml").read_text(encoding="utf-8"))
    assert said["evidence"] == ("simulated" if REGISTRY.manifests[vendor].simulated else "verified")
    if not REGISTRY.manifests[vendor].simulated:
        assert "for_real" in said["real_server"]
        assert (_ROOT / said["real_server"]).is_file()


@pytest.mark.slow
@pytest.mark.parametrize("vendor", VENDORS)
def test_what_a_connector_claims_is_proved(vendor: str, ground: Ground) -> None:
    found = asyncio.run(grade(REGISTRY, vendor, ground))
    assert [row for row in found.rules if row.state == "failed"] == []
    assert found.tier == tier_of(REGISTRY.folders[vendor])
    assert found.proof == ("verified" if not REGISTRY.manifests[vendor].simulated else "simulated")
