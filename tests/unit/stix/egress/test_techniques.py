import json
from pathlib import Path
from typing import Any

import pytest
from tests.consumers.inputs import an_alert

from nightdesk.sdk.errors import ConfigError
from nightdesk.stix import attack
from nightdesk.stix.egress.techniques import attack_file, named, verbatim

POWERSHELL = attack.technique("T1059.001")


def _mitre() -> list[dict[str, Any]]:
    """Objects in the form of MITRE's file; the texts are invented."""
    assert POWERSHELL is not None
    made_by = {"created_by_ref": "identity--m", "object_marking_refs": ["marking-definition--m"]}
    return [
        {"type": "attack-pattern", "id": POWERSHELL.stix_id, "name": "PowerShell", "description": "Long.", **made_by},
        {"type": "attack-pattern", "id": "attack-pattern--other", "name": "Other", **made_by},
        {"type": "identity", "id": "identity--m", "name": "M", "object_marking_refs": ["marking-definition--m"]},
        {"type": "marking-definition", "id": "marking-definition--m", "definition_type": "statement"},
    ]


def test_a_technique_that_is_referred_to_gets_its_name_and_its_page_and_no_description() -> None:
    assert POWERSHELL is not None
    (made,) = named(an_alert()[0])
    page = "https://attack.mitre.org/techniques/T1059/001"
    assert made == {
        "type": "attack-pattern",
        "spec_version": "2.1",
        "id": POWERSHELL.stix_id,
        "name": "PowerShell",
        "external_references": [{"source_name": "mitre-attack", "external_id": "T1059.001", "url": page}],
    }


def test_a_technique_that_is_there_or_that_nobody_knows_is_not_made() -> None:
    objects = an_alert()[0]
    assert named([*objects, *named(objects)]) == []
    assert named([{"id": "sighting--1", "sighting_of_ref": "attack-pattern--no-such"}]) == []


def test_a_revoked_technique_still_has_its_name() -> None:
    revoked = "attack-pattern--3d333250-30e4-4a82-9edc-756c68afc529"  # T1562, revoked in v19
    assert attack.technique("T1562") is not None
    (made,) = named([{"id": "sighting--1", "sighting_of_ref": revoked}])
    assert made["external_references"][0]["external_id"] == "T1562"


def test_objects_of_a_file_are_carried_to_the_letter_with_what_they_refer_to(tmp_path: Path) -> None:
    path = tmp_path / "enterprise-attack.json"
    path.write_text(json.dumps({"type": "bundle", "objects": _mitre()}), encoding="utf-8")
    made = verbatim(an_alert()[0], attack_file(path))
    assert made == [entry for entry in _mitre() if entry["name" if "name" in entry else "id"] != "Other"]


def test_what_the_file_does_not_know_stays_a_reference() -> None:
    assert verbatim(an_alert()[0], {}) == []


@pytest.mark.parametrize("text", ["", "[]", '{"objects": 7}', '{"objects": [{"name": "no id"}]}', "not JSON"])
def test_another_file_is_refused_with_its_name(text: str, tmp_path: Path) -> None:
    path = tmp_path / "attack.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=r"attack\.json.*enterprise-attack\.json"):
        attack_file(path)
    with pytest.raises(ConfigError, match="cannot be read"):
        attack_file(tmp_path / "missing.json")
