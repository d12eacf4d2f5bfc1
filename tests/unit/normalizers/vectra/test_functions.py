import copy
from typing import Any

import pytest

from nightdesk.normalizers.vectra.functions import FUNCTIONS

STRANGE: tuple[Any, ...] = (
    None, "", 0, 1.5, True, [], {}, [[]], {"threat": [], "certainty": {}}, {"grouped_details": [5, [[]]]}, "\x00",
    {"custom": "x", "extension": 7}, {"category": 7, "summary": {"a": None}},
)  # fmt: skip
WORDS = {"of_kind": ("name", "host")}


@pytest.mark.parametrize(
    ("threat", "certainty", "wanted"),
    [(50, 50, "critical"), (50, 49, "high"), (49, 50, "medium"), (0, 0, "low"), ("62", "51", "critical")],
)
def test_severity_is_the_quadrant_of_threat_and_certainty(threat: Any, certainty: Any, wanted: str) -> None:
    assert FUNCTIONS["quadrant"]({"threat": threat, "certainty": certainty}) == wanted
    assert FUNCTIONS["quadrant"]({"custom": {"threat": threat, "certainty": certainty}}) == wanted


@pytest.mark.parametrize(
    "record", [{}, {"threat": 50}, {"threat": 101, "certainty": 50}, {"threat": "x", "certainty": 1}]
)
def test_without_both_scores_there_is_no_quadrant(record: dict[str, Any]) -> None:
    assert FUNCTIONS["quadrant"](record) is None


def test_a_detection_that_was_never_scored_has_no_severity() -> None:
    assert FUNCTIONS["scored"]({"threat": 0, "certainty": 0}) is None
    assert FUNCTIONS["scored"]({"threat": 10, "certainty": 0}) == "low"
    assert FUNCTIONS["scored"]({"threat": 0, "certainty": 0, "detection_category": "info"}) == "informational"
    assert FUNCTIONS["certain"](0) is None
    assert FUNCTIONS["certain"]("75") == 75


def test_details_are_gathered_by_what_they_name() -> None:
    record = {
        "detection_category": "COMMAND_AND_CONTROL",
        "grouped_details": [
            {
                "external_target": {"ip": "203.0.113.80", "name": "c2.example.net"},
                "src_ip": "10.0.0.9",
                "dst_ips": ["2001:0DB8::7"],
                "username": "ann@example.com",
                "user_agent": "curl/8",
                "function_call": "NetrShareEnum",
            }
        ],
        "summary": {"accounts": ["", "ben"], "description": "no.name.example here"},
    }
    before = copy.deepcopy(record)
    made = FUNCTIONS["gather"](record)
    assert made["found"] == {
        "theirs": ["2001:db8::7", "203.0.113.80"], "ours": ["10.0.0.9"], "domains": ["c2.example.net"],
        "accounts": ["ann@example.com", "ben"], "agents": ["curl/8"],
    }  # fmt: skip
    assert made["hostile"] is True
    assert record == before


def test_the_far_end_of_what_happens_inside_is_not_hostile() -> None:
    assert "hostile" not in FUNCTIONS["gather"]({"detection_category": "LATERAL_MOVEMENT", "grouped_details": []})
    assert FUNCTIONS["hostile"]({"extension": {"cat": "EXFILTRATION"}})


@pytest.mark.parametrize(
    ("category", "wanted"),
    [
        ("COMMAND & CONTROL", "TA0011"), ("command_and_control", "TA0011"), ("LATERAL MOVEMENT", "TA0008"),
        ("EXFILTRATION", "TA0010"), ("RECONNAISSANCE", "TA0007"), ("BOTNET_ACTIVITY", None), ("info", None),
    ],
)  # fmt: skip
def test_a_category_is_a_tactic_where_attack_has_one(category: str, wanted: str | None) -> None:
    assert FUNCTIONS["tactic"](category) == wanted


def test_a_name_made_of_an_address_is_none() -> None:
    assert FUNCTIONS["host_name"]("IP-10.1.2.3") is None
    assert FUNCTIONS["host_name"]("10.1.2.3") is None
    assert FUNCTIONS["host_name"]("nb-1") == "nb-1"
    assert FUNCTIONS["real"]("None") is None
    assert FUNCTIONS["real"]("x") == "x"


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("O365:ann@example.com", "ann@example.com"),
        ("AWS:123/ops", "123/ops"),
        ("CORP\\ann", "CORP\\ann"),
        ("None", None),
    ],
)
def test_an_account_loses_the_service_before_its_name(name: str, wanted: str | None) -> None:
    assert FUNCTIONS["login"](name) == wanted


def test_a_line_is_named_after_its_detection_or_after_its_entity_and_time() -> None:
    assert FUNCTIONS["line_id"]({"host_id": 519, "vectra_timestamp": "1793614530"}) == "host:519:1793614530"
    detection = {"cef": {"signature_id": "smb_brute_force"}, "extension": {"externalId": "77", "end": "1793614530000"}}
    assert FUNCTIONS["line_id"](detection) == "77"
    score = {"cef": {"signature_id": "hsc"}, "extension": {"externalId": "77", "end": "1793614530000"}}
    assert FUNCTIONS["line_id"](score) == "hsc:77:1793614530000"
    audit = {"message": "logout", "vectra_timestamp": "1793614530"}
    assert FUNCTIONS["line_id"](audit).startswith("sha256:")
    assert FUNCTIONS["line_id"](audit) != FUNCTIONS["line_id"]({**audit, "message": "login"})


def test_a_lock_did_something_only_where_it_succeeded() -> None:
    assert FUNCTIONS["lock_done"]({"action": "lock", "success": True}) == "contained"
    assert FUNCTIONS["lock_done"]({"custom": {"action": "unlock", "success": "True"}}) == "released"
    assert FUNCTIONS["lock_done"]({"action": "lock", "success": False}) is None
    assert FUNCTIONS["lock_done"]({"action": "lock"}) is None


def test_an_entity_gives_its_fields_only_as_what_it_is() -> None:
    entity = {"type": "account", "name": "ann"}
    assert FUNCTIONS["of_kind"](entity, "name", "account") == "ann"
    assert FUNCTIONS["of_kind"](entity, "name", "host") is None


def test_the_title_of_a_score_names_entity_and_last_detection() -> None:
    record = {"category": "ACCOUNT SCORING", "account_uid": "ann", "last_detection_type": "Data Smuggler"}
    assert FUNCTIONS["entity_title"](record) == "Account scoring of ann: Data Smuggler"


@pytest.mark.parametrize(("address", "wanted"), [("203.0.113.9", "203.0.113.9"), ("10.0.0.1", None), ("x", None)])
def test_an_own_address_is_no_attackers(address: str, wanted: str | None) -> None:
    assert FUNCTIONS["outside"](address) == wanted


def test_a_link_tells_which_console_speaks() -> None:
    assert FUNCTIONS["host_of"]("https://brain.example.com/hosts/7") == "brain.example.com"
    assert FUNCTIONS["host_of"]("brain") is None


@pytest.mark.parametrize("value", STRANGE)
@pytest.mark.parametrize("name", sorted(FUNCTIONS))
def test_no_value_breaks_a_function(name: str, value: Any) -> None:
    if name == "gather" and not isinstance(value, dict):
        value = {"grouped_details": value, "summary": value}
    FUNCTIONS[name](value, *WORDS.get(name, ()))
