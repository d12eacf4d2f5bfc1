"""A bundle read back gives the facts that decisions ask for, as the normaliser gave them."""

from pathlib import Path

import orjson
import pytest
from tests.hubs import REGISTRY

from nightdesk.sdk.case import Alert
from nightdesk.sdk.errors import MappingError
from nightdesk.stix.files import Refused, read_alerts
from nightdesk.stix.ids import TenantKey
from nightdesk.stix.projection import alerts_of
from nightdesk.stix.scope import Scope

FIXTURES = Path(__file__).parents[2] / "fixtures"
SCOPE = Scope("acme", "Acme", TenantKey.derived("acme"))
NORMALIZER = REGISTRY.normalizer()
FILES = [
    file
    for folder in sorted(FIXTURES.iterdir())
    if folder.name in NORMALIZER.products
    for file in sorted((folder / "alerts").glob("*.json"))[:2]
]
PLAIN = (
    "alert_id", "instance", "native_id", "title", "severity_id", "confidence", "rule_id", "rule_name", "rule_version",
    "native_status", "native_verdict", "closed_at_source", "disposition", "techniques", "tactics",
)  # fmt: skip


def facts(alert: Alert) -> dict[str, object]:
    return {name: getattr(alert, name) for name in PLAIN}


def test_there_are_fixtures_of_many_products() -> None:
    assert len({file.parts[-3] for file in FILES}) > 10


@pytest.mark.parametrize("file", FILES, ids=lambda file: f"{file.parts[-3]}/{file.stem}")
def test_what_the_hub_wrote_comes_back_as_decisions_ask_for_it(file: Path) -> None:
    for _, made in read_alerts(NORMALIZER, file.parts[-3], file.read_bytes(), SCOPE):
        if isinstance(made, Refused):
            continue
        (back,) = alerts_of(orjson.loads(made.bundle)["objects"], "acme")
        alert = made.alert
        assert facts(back) == facts(alert)
        named = {(one.key, one.role) for one in alert.entities if one.role != "other" and one.kind != "resource"}
        assert named <= {(one.key, one.role) for one in back.entities}


def test_a_bundle_without_an_incident_is_refused() -> None:
    with pytest.raises(MappingError, match="without an incident"):
        alerts_of([{"type": "identity", "id": "identity--1"}], "acme")
