"""What OCSF spreads over an event and its evidences."""

from typing import Any

import pytest

from nightdesk.normalizers.ocsf.functions import FUNCTIONS

INSIDE, OUTSIDE = "10.80.1.31", "203.0.113.9"


def _ends(source: str, target: str) -> dict[str, Any]:
    return {"src_endpoint": {"ip": source, "port": 1}, "dst_endpoint": {"ip": target, "port": 2}}


def test_event_and_evidences_become_lists_and_the_callers_event_stays() -> None:
    record = {"category_uid": 2, "file": {"name": "a"}, "evidences": [{"file": {"name": "b"}, "data": 1}, "noise"]}
    made = FUNCTIONS["gather_evidence"](record)
    assert [item["name"] for item in made["all"]["file"]] == ["a", "b"]
    assert made["evidences"] == [{"data": 1}]
    assert record["file"] == {"name": "a"}


def test_of_a_finding_the_end_outside_is_the_attackers() -> None:
    made = FUNCTIONS["gather_evidence"]({"category_uid": 2, "evidences": [_ends(INSIDE, OUTSIDE)]})
    (source,), (target,) = made["all"]["src_endpoint"], made["all"]["dst_endpoint"]
    assert (FUNCTIONS["attacks"](source), FUNCTIONS["attacks"](target)) == (None, True)
    assert made["connections"][0]["src"] == INSIDE


def test_an_event_that_warns_of_nothing_blames_nobody() -> None:
    made = FUNCTIONS["gather_evidence"]({"category_uid": 4, "severity_id": 1, **_ends(OUTSIDE, INSIDE)})
    assert FUNCTIONS["attacks"](made["all"]["src_endpoint"][0]) is None


def test_a_warning_is_about_its_process_not_about_the_actors() -> None:
    record = {"category_uid": 2, "device": {"uid": "d"}, "process": {"pid": 1}, "actor": {"process": {"pid": 2}}}
    made = FUNCTIONS["gather_evidence"](record)["processes"]
    assert [(item["pid"], item["warns"], item["device_uid"]) for item in made] == [(1, True, "d"), (2, False, "d")]


def test_attacks_are_found_wherever_a_version_puts_them() -> None:
    one = {"technique": {"uid": "T1059"}, "sub_technique": {"uid": "T1059.001"}, "tactic": {"uid": "TA0002"}}
    two = {"technique": {"uid": "T1105"}, "tactics": [{"name": "Impact"}]}
    made = FUNCTIONS["gather_evidence"]({"attacks": [one], "finding_info": {"attacks": [two]}})
    assert (made["attack_ids"], made["tactic_ids"]) == (["T1059.001", "T1059", "T1105"], ["TA0002", "Impact"])


def test_the_digest_leaves_out_when_the_event_came_by() -> None:
    record = {"time": 1, "metadata": {"version": "1.4.0", "logged_time": 5}}
    again = {"time": 1, "metadata": {"version": "1.4.0", "logged_time": 9}}
    assert FUNCTIONS["digest"](record) == FUNCTIONS["digest"](again) != FUNCTIONS["digest"]({"time": 2})


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({"class_uid": 2004, "status_id": 1}, "new"),
        ({"class_uid": 2004, "status_id": 3}, "closed"),
        ({"class_uid": 2005, "status_id": 3}, "waiting"),
        ({"class_uid": 2001, "status_id": 1, "state_id": 4}, "closed"),
        ({"class_uid": 2004, "status_id": 99}, None),
        ({"class_uid": 2004}, None),
    ],
)
def test_a_findings_status_depends_on_its_class(fields: dict[str, int], status: str | None) -> None:
    assert FUNCTIONS["finding_status"]({"category_uid": 2, **fields}) == status


def test_a_status_that_is_none_is_refused_and_other_classes_have_an_outcome() -> None:
    with pytest.raises(ValueError, match="42"):
        FUNCTIONS["finding_status"]({"category_uid": 2, "status_id": 42})
    assert FUNCTIONS["event_status"]({"category_uid": 1, "status_id": 2}) == "2"
    assert FUNCTIONS["event_status"]({"category_uid": 2, "status_id": 2}) is None


@pytest.mark.parametrize(
    ("name", "value", "wanted"),
    [
        ("digest_of", {"algorithm_id": 3, "value": "ab" * 32}, "ab" * 32),
        ("digest_of", {"algorithm_id": 99, "value": "ab" * 32}, None),
        ("digest_of", "ab" * 32, None),
        ("plain_name", "web-1", "web-1"),
        ("plain_name", "IPv4 address of a device", None),
        ("is_host", {"ip": INSIDE, "hostname": "a"}, True),
        ("is_host", {"ip": OUTSIDE, "hostname": "a"}, None),
        ("mailbox", '"A, B" <a@x.example>', "a@x.example"),
        ("mailbox", 7, None),
    ],
)
def test_values_are_taken_for_what_they_are(name: str, value: object, wanted: object) -> None:
    assert FUNCTIONS[name](value) == wanted


def test_observables_are_told_apart_by_number() -> None:
    assert FUNCTIONS["observed"]({"type_id": 2, "value": OUTSIDE}, "address") is True
    assert FUNCTIONS["observed"]({"type_id": 2, "value": "x"}, "address") is None
    assert FUNCTIONS["observed"]({"type_id": 1, "value": None}, "domain") is None
