import base64
import copy
import json
from typing import Any

import pytest

from nightdesk.normalizers.tanium.functions import FUNCTIONS

STRANGE: tuple[Any, ...] = (None, "", 0, 1.5, True, [], {}, [[]], [{}], {"a": {}}, "\x00", "{", "payload=e30=")


def _process(generation: int, *, depth: int) -> dict[str, Any]:
    made: dict[str, Any] = {"pid": generation, "args": f"p{generation}", "recorder_unique_id": f"u{generation}"}
    return made if generation == depth else {**made, "parent": _process(generation + 1, depth=depth)}


def _details(
    properties: dict[str, Any], actor: dict[str, Any] | None = None, platform: str = "Linux"
) -> dict[str, Any]:
    whats = [{"artifact_activity": {"acting_artifact": {"process": actor}}}] if actor else []
    return {
        "match": {"type": "process", "properties": properties},
        "finding": {"whats": whats, "system_info": {"platform": platform}},
    }


def _payload(details: dict[str, Any]) -> str:
    return "payload=" + base64.b64encode(json.dumps(details).encode()).decode()


def test_a_payload_becomes_the_match_that_it_holds() -> None:
    made = FUNCTIONS["opened"]({"Other Parameters": _payload(_details({"pid": 7, "args": "sh"})), "Priority": "high"})
    assert made["Chain"]["process"] == {"pid": 7, "args": "sh"}
    assert made["Priority"] == "high"
    assert "Parameters" not in made
    assert "Other Parameters" not in made


def test_a_payload_that_is_broken_stays_visible() -> None:
    made = FUNCTIONS["opened"]({"Other Parameters": "payload=%%%|name=x"})
    assert made == {"Parameters": {"payload": "%%%", "name": "x"}}


def test_a_bar_inside_a_value_belongs_to_it() -> None:
    made = FUNCTIONS["opened"]({"Other Parameters": "name=Curl | sh|type=signal"})
    assert made["Parameters"] == {"name": "Curl | sh", "type": "signal"}
    assert FUNCTIONS["opened"]({"Other Parameters": "no pairs"})["Parameters"] == {"text": "no pairs"}


def test_generations_get_their_places_and_the_eldest_are_named() -> None:
    made = FUNCTIONS["opened"]({"Match Details": _details(_process(1, depth=6))})
    assert {slot: item["pid"] for slot, item in made["Chain"].items()} == {
        "process": 1,
        "parent": 2,
        "grandparent": 3,
        "ancestor": 4,
    }
    assert made["Ancestors"] == "p5 < p6"
    assert made["Match Details"]["match"]["properties"] == {}


def test_what_only_the_acting_copy_knows_is_added() -> None:
    actor = {
        "pid": 7,
        "user": {"user": {"name": "ida", "domain": "CORP", "user_id": "S-1-5-21-1"}},
        "file": {"file": {"path": "C:\\a.exe", "hash": {"sha256": "ab"}}},
        "handles": ["h"],
    }
    details = _details(
        {"pid": 7, "user": "CORP\\ida", "file": {"fullpath": "C:\\a.exe", "md5": "cd"}}, actor, "Windows"
    )
    made = FUNCTIONS["opened"]({"Match Details": details})
    process = made["Chain"]["process"]
    assert process["user"] == {"name": "ida", "domain": "CORP", "uid": "S-1-5-21-1"}
    assert process["file"] == {"path": "C:\\a.exe", "md5": "cd", "sha256": "ab"}
    left = made["Match Details"]["finding"]["whats"][0]["artifact_activity"]["acting_artifact"]
    assert left == {"process": {"handles": ["h"]}}


def test_a_user_of_unix_has_no_domain_and_no_invented_id() -> None:
    actor = {"user": {"user": {"name": "root", "domain": "root", "user_id": "6018826305876723269"}}, "pid": 1}
    made = FUNCTIONS["opened"]({"Match Details": _details({"user": "root\\root"}, actor)})
    assert made["Chain"]["process"]["user"] == {"name": "root", "kind": "unix"}


def test_the_document_that_was_given_stays_as_it_was() -> None:
    document = {"Match Details": _details(_process(1, depth=3), {"pid": 1}), "Other Parameters": "name=x"}
    before = copy.deepcopy(document)
    FUNCTIONS["opened"](document)
    assert document == before


def test_nesting_without_end_is_cut() -> None:
    nested: dict[str, Any] = {}
    for _ in range(5000):
        nested = {"pid": 1, "parent": nested}
    made = FUNCTIONS["opened"]({"Match Details": _details(nested)})
    assert len(made["Chain"]) == 4


@pytest.mark.parametrize(
    ("document", "said"),
    [
        ({"Event Name": "detect.match", "Chain": {"process": {"file": {"path": "/a"}}}}, "detect.match: /a"),
        ({"Match Details": {"match": {"type": "file", "properties": {"fullpath": "/b"}}}}, "file match: /b"),
        ({"event": "process_start", "fields": {"file__full_path": "/c"}}, "process_start: /c"),
        ({"event": "process_end"}, "process_end"),
        ({}, None),
    ],
)
def test_an_alert_without_a_name_says_what_happened_to_what(document: dict[str, Any], said: str | None) -> None:
    assert FUNCTIONS["headline"](document) == said


def test_an_event_is_known_by_where_what_which_and_when() -> None:
    event = {"tanium_computer_id": 7, "hostname": "h", "event": "process_start", "timestamp": "t"}
    assert FUNCTIONS["event_key"]({**event, "fields": {"tanium_process_id": "-6"}}) == "7/process_start/-6/t"
    assert FUNCTIONS["event_key"](event) is None


def test_the_number_of_nobody_is_no_user() -> None:
    assert FUNCTIONS["user_id"](1001) == "1001"
    assert FUNCTIONS["user_id"](4294967295) is None
    assert FUNCTIONS["user_id"]("9" * 5000) is None


def test_techniques_are_found_in_a_list_as_text() -> None:
    assert FUNCTIONS["techniques"]('["T1105","T1059.004","T1105"]') == ["T1105", "T1059.004"]
    assert FUNCTIONS["techniques"](["T1105"]) == ["T1105"]
    assert FUNCTIONS["techniques"]("[]") == []
    assert FUNCTIONS["unquoted"]('"Ubuntu 22.04"') == "Ubuntu 22.04"


@pytest.mark.parametrize("name", sorted(set(FUNCTIONS) - {"opened"}))
@pytest.mark.parametrize("value", STRANGE)
def test_no_value_of_any_kind_breaks_a_function(name: str, value: object) -> None:
    assert FUNCTIONS[name](value) is None or isinstance(FUNCTIONS[name](value), str | list)


@pytest.mark.parametrize("value", STRANGE)
def test_no_part_of_any_kind_breaks_the_opening(value: object) -> None:
    properties = {"pid": value, "user": value, "file": value, "parent": value, "name": value}
    for document in (
        {"Other Parameters": value},
        {"Match Details": value},
        {"Match Details": {"match": value, "finding": value}},
        {"Match Details": {"match": {"type": "process", "properties": value}, "finding": {"whats": [value]}}},
        {"Match Details": _details(properties, {"user": value, "file": value, "parent": value})},
    ):
        assert isinstance(FUNCTIONS["opened"](document), dict)
