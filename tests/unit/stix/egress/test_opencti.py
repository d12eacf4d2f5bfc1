import copy
from typing import Any

import pytest
from tests.consumers.inputs import Objects, a_whole_case, an_alert, case_of, one
from tests.goldens import ACME

from nightdesk.stix.egress.graph import references
from nightdesk.stix.egress.opencti import TLP_IDS, opencti
from nightdesk.stix.scope import EXTENSION, TLP, Scope


def _of(objects: Objects, kind: str) -> Objects:
    return [entry for entry in objects if entry["type"] == kind]


def _with_case(**facts: Any) -> Objects:
    objects = a_whole_case()
    one(objects, "grouping")["extensions"][EXTENSION["case"]].update(facts)
    return objects


def test_an_incident_uses_techniques_and_targets_assets_and_is_related_to_the_rest() -> None:
    objects = opencti(an_alert()[0])
    incident = one(objects, "incident")["id"]
    kinds = {
        (entry["relationship_type"], entry["target_ref"].partition("--")[0])
        for entry in _of(objects, "relationship")
        if entry["source_ref"] == incident
    }
    wanted = {("uses", "attack-pattern"), ("targets", "identity"), ("related-to", "observed-data")}
    assert kinds == {*wanted, ("related-to", "malware")}


def test_a_relationship_of_another_type_has_another_id_and_the_case_lists_that() -> None:
    before = a_whole_case()
    objects = opencti(before)
    changed = [entry for entry in _of(objects, "relationship") if entry["relationship_type"] in {"uses", "targets"}]
    assert len(changed) == 4
    assert not {entry["id"] for entry in changed} & {entry["id"] for entry in before}
    assert {entry["id"] for entry in changed} <= set(one(objects, "case-incident")["object_refs"])


def test_what_else_ends_at_an_asset_stays_as_it_is() -> None:
    objects = opencti(a_whole_case())
    course = one(objects, "course-of-action")["id"]
    (execution,) = (entry for entry in _of(objects, "relationship") if entry["source_ref"] == course)
    assert execution["relationship_type"] == "related-to"


def test_techniques_are_embedded_by_name_and_without_description() -> None:
    technique = one(opencti(an_alert()[0]), "attack-pattern")
    assert set(technique) == {"type", "spec_version", "id", "name", "external_references", "x_mitre_id"}
    assert technique["x_mitre_id"] == "T1059.001"


def test_an_incident_says_what_the_platform_asks_for() -> None:
    incident = one(opencti(an_alert(seconds=90)[0]), "incident")
    assert {name: incident[name] for name in ("severity", "source", "incident_type", "first_seen", "last_seen")} == {
        "severity": "high",
        "source": "ACME EDR",
        "incident_type": "alert",
        "first_seen": "2026-11-20T09:00:00Z",
        "last_seen": "2026-11-20T09:01:30Z",
    }
    assert set(incident["extensions"]) == set(one(an_alert()[0], "incident")["extensions"])


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ("unknown", None), ("other", None), ("informational", "low"), ("low", "low"), ("medium", "medium"),
        ("high", "high"), ("critical", "critical"), ("fatal", "critical"),
    ],
)  # fmt: skip
def test_a_severity_is_one_of_the_four_that_it_knows(ours: str, theirs: str | None) -> None:
    assert one(opencti(an_alert(severity=ours)[0]), "incident").get("severity") == theirs


def test_the_way_to_the_console_is_a_reference() -> None:
    first, *others = one(opencti(an_alert()[0]), "incident")["external_references"]
    assert first == {
        "source_name": "acme_edr",
        "external_id": "a-1",
        "url": "https://console.example.com/alerts/a-1",
    }
    assert [other["external_id"] for other in others] == ["r-1", "T1059.001", "TA0002"]
    before = an_alert()[0]
    one(before, "incident")["external_references"] = []
    (made,) = one(opencti(before), "incident")["external_references"]
    assert made["url"] == first["url"]
    without = one(opencti(an_alert(console_url=None)[0]), "incident")
    assert "url" not in without["external_references"][0]


def test_incidents_of_one_name_and_moment_are_told_apart() -> None:
    names = [entry["name"] for entry in _of(opencti(a_whole_case()), "incident")]
    assert names == ["Unusual tool [a-1]", "Unusual tool [a-2]"]
    alone = [entry["name"] for entry in _of(opencti(an_alert()[0]), "incident")]
    assert alone == ["Unusual tool"]
    other = case_of(an_alert("a-1"), an_alert("a-2", title="Another"))
    assert [entry["name"] for entry in _of(opencti(other), "incident")] == ["Unusual tool", "Another"]


def test_one_native_id_of_two_instances_is_told_apart_by_the_instance() -> None:
    case = case_of(an_alert("a-1", instance="east"), an_alert("a-1", instance="west"))
    names = [entry["name"] for entry in _of(opencti(case), "incident")]
    assert names == ["Unusual tool [a-1] [east]", "Unusual tool [a-1] [west]"]


def test_a_case_is_a_container_of_its_own_kind() -> None:
    grouping = one(a_whole_case(), "grouping")
    objects = opencti(a_whole_case())
    case = one(objects, "case-incident")
    assert not _of(objects, "grouping")
    assert case["id"].partition("--")[2] != grouping["id"].partition("--")[2]
    assert {name: case[name] for name in ("name", "description", "created", "modified")} == {
        name: grouping[name] for name in ("name", "description", "created", "modified")
    }
    assert (case["severity"], case["priority"]) == ("high", "P2")
    assert case["external_references"] == [{"source_name": "nightdesk", "external_id": "case-1"}]
    assert not {"context", "extensions"} & set(case)
    assert len(case["object_refs"]) == len(grouping["object_refs"]) + 1
    assert one(objects, "attack-pattern")["id"] in case["object_refs"]


def test_a_case_keeps_the_priority_it_was_given_and_links_the_cases_of_products() -> None:
    native = [
        {"product": "desk", "instance": "d", "native_id": "7", "console_url": "https://desk.example.com/7"},
        {"product": "desk", "instance": "d", "native_id": "8"},
    ]
    case = one(opencti(_with_case(priority="p1", severity_id=0, native_cases=native)), "case-incident")
    assert case["priority"] == "P1"
    assert "severity" not in case
    assert case["external_references"][1:] == [
        {"source_name": "desk", "external_id": "7", "url": "https://desk.example.com/7"},
        {"source_name": "desk", "external_id": "8"},
    ]


def test_a_note_and_an_opinion_are_about_the_container() -> None:
    objects = opencti(a_whole_case())
    case = one(objects, "case-incident")["id"]
    for kind in ("note", "opinion"):
        assert case in one(objects, kind)["object_refs"]
        assert len(one(objects, kind)["object_refs"]) == 3


@pytest.mark.parametrize("word", TLP)
def test_markings_have_the_platforms_ids(word: str) -> None:
    objects = opencti(an_alert(scope=Scope("acme", "Acme GmbH", ACME.key, word))[0])
    definition = one(objects, "marking-definition")
    assert definition["id"] == TLP_IDS[word]
    assert {ref for entry in objects for ref in entry.get("object_marking_refs", ())} == {TLP_IDS[word]}
    said = definition.get("x_opencti_definition") or f"TLP:{definition['definition']['tlp'].upper()}"
    assert said.replace("WHITE", "CLEAR") == f"TLP:{word.upper()}"


def test_definitions_are_left_out_and_no_reference_leads_nowhere() -> None:
    objects = opencti(a_whole_case())
    known = {entry["id"] for entry in objects}
    assert not _of(objects, "extension-definition")
    assert not [(entry["id"], ref) for entry in objects for ref in references(entry) if ref not in known]


def test_what_refers_to_an_unknown_technique_is_left_out() -> None:
    objects = an_alert()[0]
    technique = one(opencti(objects), "attack-pattern")["id"]
    strange = copy.deepcopy(objects)
    for entry in strange:
        for name in ("target_ref", "sighting_of_ref"):
            if entry.get(name) == technique:
                entry[name] = "attack-pattern--00000000-0000-4000-8000-000000000000"
    left = {entry["id"] for entry in opencti(strange)}
    whole = {entry["id"] for entry in opencti(objects)}
    assert {ref.partition("--")[0] for ref in whole - left} == {"attack-pattern", "relationship", "sighting"}
    assert len(whole - left) == 3


def test_an_object_does_not_name_itself_as_its_author() -> None:
    assert not [entry for entry in opencti(a_whole_case()) if entry.get("created_by_ref") == entry["id"]]


def test_incidents_and_marks_of_others_pass() -> None:
    theirs = {"type": "incident", "id": "incident--1", "name": "Theirs", "created": "2026-11-20T09:00:00.000Z"}
    statement = {"type": "marking-definition", "id": "marking-definition--1", "definition_type": "statement"}
    assert opencti([theirs, statement]) == [theirs, statement]
