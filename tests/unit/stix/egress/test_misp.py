import copy
from datetime import datetime, timedelta
from typing import Any

from tests.consumers.inputs import CONVICTED, Objects, a_whole_case, an_alert, case_of, one

from nightdesk.stix.bundle import merge
from nightdesk.stix.egress.graph import references
from nightdesk.stix.egress.misp import misp
from nightdesk.stix.scope import FIXED_CREATED


def _of(objects: Objects, kind: str) -> Objects:
    return [entry for entry in objects if entry["type"] == kind]


def _two_alone() -> Objects:
    return copy.deepcopy(merge([an_alert("a-1", title="First")[0], an_alert("a-2", title="Second")[0]]))


def test_incidents_become_text_of_the_grouping() -> None:
    grouping = one(misp(a_whole_case()), "grouping")
    assert grouping["description"].startswith("2 alerts.\n\n- Alert: Unusual tool\n- Severity: high (7)\n")
    for native_id in ("a-1", "a-2"):
        assert f"- Native id: {native_id}\n" in grouping["description"]
        assert f"- Console: https://console.example.com/alerts/{native_id}" in grouping["description"]
    before = one(a_whole_case(), "grouping")
    assert (grouping["id"], grouping["name"], grouping["modified"]) == (
        before["id"],
        before["name"],
        before["modified"],
    )


def test_incidents_and_what_hangs_on_them_are_left_out_and_nothing_leads_nowhere() -> None:
    objects = misp(a_whole_case())
    known = {entry["id"] for entry in objects}
    assert not _of(objects, "incident")
    assert not _of(objects, "extension-definition")
    assert not [(entry["id"], ref) for entry in objects for ref in references(entry) if ref not in known]
    left = {
        (entry["relationship_type"], entry["source_ref"].partition("--")[0]) for entry in _of(objects, "relationship")
    }
    assert left == {
        ("resolves-to", "domain-name"), ("belongs-to", "ipv4-addr"), ("based-on", "indicator"),
        ("related-to", "course-of-action"),
    }  # fmt: skip


def test_techniques_are_embedded_and_listed() -> None:
    objects = misp(a_whole_case())
    technique = one(objects, "attack-pattern")
    assert (technique["created"], technique["modified"]) == (FIXED_CREATED, FIXED_CREATED)
    assert technique["id"] in one(objects, "grouping")["object_refs"]
    assert technique["id"] in {entry["sighting_of_ref"] for entry in _of(objects, "sighting")}


def test_what_was_said_of_incidents_is_said_of_the_event_and_listed_there() -> None:
    objects = misp(a_whole_case())
    grouping = one(objects, "grouping")
    for kind in ("note", "opinion"):
        assert one(objects, kind)["object_refs"] == [grouping["id"]]
        assert one(objects, kind)["id"] in grouping["object_refs"]


def test_a_note_on_an_incident_alone_goes_to_its_event() -> None:
    case = a_whole_case()
    note = one(case, "note")
    note["object_refs"] = [note["object_refs"][0]]
    objects = misp(case)
    assert one(objects, "note")["object_refs"] == [one(objects, "grouping")["id"]]


def test_an_alert_in_no_case_gets_a_grouping_of_its_own() -> None:
    before = an_alert()[0]
    incident = one(before, "incident")
    objects = misp(before)
    grouping = one(objects, "grouping")
    for name in ("name", "created", "modified", "created_by_ref", "object_marking_refs"):
        assert grouping[name] == incident[name]
    assert grouping["context"] == "suspicious-activity"
    assert grouping["description"].startswith("- Alert: Unusual tool\n")
    observables = {entry["id"] for entry in objects if "created" not in entry and entry["type"] != "marking-definition"}
    assert observables <= set(grouping["object_refs"])
    kinds = {ref.partition("--")[0] for ref in grouping["object_refs"]}
    assert {"indicator", "malware", "attack-pattern", "identity", "observed-data", "relationship", "sighting"} <= kinds
    assert incident["created_by_ref"] not in grouping["object_refs"]
    assert one(misp(an_alert()[0]), "grouping") == grouping
    assert one(misp(an_alert("a-2")[0]), "grouping")["id"] != grouping["id"]


def test_alerts_in_no_case_do_not_get_into_each_others_event() -> None:
    together = {entry["name"]: entry for entry in _of(misp(_two_alone()), "grouping")}
    assert set(together) == {"First", "Second"}
    for number, title in (("a-1", "First"), ("a-2", "Second")):
        alone = one(misp(an_alert(number, title=title)[0]), "grouping")
        assert set(together[title]["object_refs"]) == set(alone["object_refs"])
        assert together[title]["description"] == alone["description"]


def test_an_alert_beside_a_case_is_an_event_beside_it() -> None:
    case = case_of(an_alert("a-1"))
    objects = misp(copy.deepcopy(merge([case, an_alert("a-2", title="Beside")[0]])))
    assert {entry["name"] for entry in _of(objects, "grouping")} == {"Unusual tool on WS-0042", "Beside"}


def test_an_observation_of_an_instant_is_a_millisecond_newer() -> None:
    instant, long = an_alert(seconds=0)[0], an_alert(seconds=1)[0]
    for before, shift in ((instant, 1), (long, 0)):
        seen = one(before, "observed-data")
        after = one(misp(before), "observed-data")
        moved = datetime.fromisoformat(after["modified"]) - datetime.fromisoformat(seen["modified"])
        assert moved == timedelta(milliseconds=shift)
        assert {**after, "modified": seen["modified"]} == seen


def test_a_request_goes_as_text_and_the_connection_stays() -> None:
    before = an_alert()[0]
    requests = [entry for entry in _of(before, "network-traffic") if "extensions" in entry]
    assert requests
    objects = misp(before)
    assert len(_of(objects, "network-traffic")) == len(_of(before, "network-traffic"))
    assert not [entry for entry in _of(objects, "network-traffic") if "extensions" in entry]
    assert "- HTTP request: get /a?b=c; User-Agent: Invented/1.0" in one(objects, "grouping")["description"]


def test_only_the_request_is_taken_off_a_connection() -> None:
    before = an_alert()[0]
    for entry in _of(before, "network-traffic"):
        entry.setdefault("extensions", {})["tcp-ext"] = {"src_flags_hex": "02"}
    assert all(set(entry["extensions"]) == {"tcp-ext"} for entry in _of(misp(before), "network-traffic"))


def test_a_mail_address_is_listed_by_one_observation_of_an_event() -> None:
    case = a_whole_case()
    (mail,) = _of(case, "email-addr")
    assert [mail["id"] in entry["object_refs"] for entry in _of(case, "observed-data")] == [True, True]
    objects = misp(case)
    assert [mail["id"] in entry["object_refs"] for entry in _of(objects, "observed-data")] == [True, False]
    assert mail["id"] in one(objects, "grouping")["object_refs"]
    apart = misp(_two_alone())
    assert [mail["id"] in entry["object_refs"] for entry in _of(apart, "observed-data")] == [True, True]


def test_addresses_with_their_network_and_nothing_else_are_listed_without_it() -> None:
    before = an_alert()[0]
    network, address = one(before, "autonomous-system")["id"], _of(before, "ipv4-addr")[0]["id"]
    seen = one(before, "observed-data")
    for refs, left in (
        ([address, network], [address]),
        ([network], [network]),
        ([address, network, one(before, "file")["id"]], [address, network, one(before, "file")["id"]]),
    ):
        seen["object_refs"] = refs
        objects = misp(before)
        assert one(objects, "observed-data")["object_refs"] == left
        assert one(objects, "autonomous-system")["id"] in one(objects, "grouping")["object_refs"]


def test_a_process_of_which_nothing_is_known_is_left_out_and_its_image_stays() -> None:
    before = an_alert()[0]
    process = one(before, "process")
    kept: dict[str, Any] = {name: process[name] for name in ("type", "spec_version", "id", "image_ref")}
    objects = misp([kept if entry is process else entry for entry in before])
    assert not _of(objects, "process")
    assert len(_of(objects, "file")) == 1


def test_the_convicted_address_keeps_its_indicator() -> None:
    indicator = one(misp(an_alert()[0]), "indicator")
    assert CONVICTED in indicator["pattern"]
