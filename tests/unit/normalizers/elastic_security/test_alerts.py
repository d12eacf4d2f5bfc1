import json
from typing import Any

from tests.goldens import ACME, FIXTURES, normalizer

from nightdesk.stix.normalize import Normalized

CASE = FIXTURES / "elastic_security" / "search-hit" / "office-spawns-script.json"
HIT: dict[str, Any] = json.loads(CASE.read_text(encoding="utf-8"))


def normalized(document: dict[str, Any]) -> Normalized:
    return normalizer().normalize("elastic_security", json.dumps(document).encode(), ACME)


def nested(source: dict[str, Any]) -> dict[str, Any]:
    """The same document with an object where a key has a dot."""
    made: dict[str, Any] = {}
    for key, value in source.items():
        *steps, last = key.split(".")
        inner = made
        for step in steps:
            inner = inner.setdefault(step, {})
        inner[last] = value
    return made


def test_one_alert_is_one_incident_in_every_form() -> None:
    forms = [normalized(document) for document in (HIT, HIT["_source"], nested(HIT["_source"]))]
    assert len({made.alert.alert_id for made in forms}) == 1
    assert {made.alert.native_id for made in forms} == {HIT["_id"]}
    assert len({tuple(entity.key for entity in made.alert.entities) for made in forms}) == 1
    assert [made.loss.lost for made in forms] == [()] * 3


def test_a_change_of_workflow_is_a_later_version_of_the_same_objects() -> None:
    told = {
        "kibana.alert.workflow_status": "closed",
        "kibana.alert.workflow_status_updated_at": "2026-11-21T08:00:00.5Z",
    }
    before, after = normalized(HIT), normalized({**HIT, "_source": {**HIT["_source"], **told}})
    assert [entry["id"] for entry in after.objects] == [entry["id"] for entry in before.objects]
    assert (after.alert.created, after.alert.alert_id) == (before.alert.created, before.alert.alert_id)
    assert after.alert.modified > before.alert.modified
    assert after.alert.closed_at_source
    assert not before.alert.closed_at_source


def test_the_device_is_named_as_response_actions_name_it() -> None:
    (device,) = (entity for entity in normalized(HIT).alert.entities if entity.kind == "device")
    assert device.value == f"elastic_security:{HIT['_source']['agent']['id']}"


def test_a_detection_alert_is_not_taken_for_the_sensors_own() -> None:
    source = {**HIT["_source"], "event.kind": "signal", "event.module": "endpoint"}
    assert normalized(source).loss.stream == "alerts"
    bare = {key: value for key, value in source.items() if not key.startswith("kibana.")}
    assert normalized(bare).loss.stream == "endpoint"
