from typing import Any

import pytest
from tests.consumers.inputs import an_alert, one

from nightdesk.stix.egress.facts import alert_of, in_words, request_in_words, techniques_of, window


def _incident(**changes: Any) -> dict[str, Any]:
    return one(an_alert(**changes)[0], "incident")


def test_an_incident_is_told_in_lines() -> None:
    told = in_words(
        _incident(
            status="open", verdict="true-positive", native_verdict="bad", product_version="7.1", description="It ran."
        )
    )
    assert told.splitlines() == [
        "- Alert: Unusual tool",
        "- Severity: high (7)",
        "- Status: open (to do)",
        "- Verdict: true-positive (bad)",
        "- Raised: 2026-11-20T09:00:00.000Z",
        "- Product: ACME EDR 7.1",
        "- Instance: acme_edr",
        "- Native id: a-1",
        "- Rule: Unusual tool",
        "- Console: https://console.example.com/alerts/a-1",
        "- Description: It ran.",
    ]


def test_what_is_not_known_has_no_line_and_the_same_word_is_not_said_twice() -> None:
    told = in_words(_incident(bare=True, rule={}, console_url=None, native_severity="High", native_status=None))
    assert "- Severity: high\n" in told
    assert "- Status: new\n" in told
    assert not [name for name in ("Rule", "Console", "Verdict", "Description") if f"- {name}" in told]


@pytest.mark.parametrize("title", ["Tool\n- Severity: low", "Tool\r\n- Severity: low", "Tool\u2028- Severity: low"])
def test_a_title_cannot_pass_for_another_fact(title: str) -> None:
    told = in_words(_incident(title=title))
    assert told.splitlines()[0] == "- Alert: Tool - Severity: low"
    assert [line for line in told.splitlines() if line.startswith("- Severity")] == ["- Severity: high (7)"]


def test_what_steers_a_screen_is_escaped() -> None:
    told = in_words(_incident(title="a\u202egpj.exe\x1b[31m")).splitlines()[0]
    assert told == r"- Alert: a\u202egpj.exe\u001b[31m"


def test_a_request_is_one_line() -> None:
    request = {"request_method": "GET", "request_value": "/a?b=c", "request_header": {"User-Agent": ["x\n- Alert: y"]}}
    told = request_in_words({"extensions": {"http-request-ext": request}})
    assert told == "- HTTP request: GET /a?b=c; User-Agent: x - Alert: y"


def test_the_window_is_that_of_the_observations_whatever_their_digits() -> None:
    incident = {**_incident(), "created": "2026-11-20T09:00:00.000Z"}
    incident["extensions"] = {
        ref: {**facts, "observed_data_refs": ["observed-data--1", "observed-data--2", "observed-data--no"]}
        for ref, facts in incident["extensions"].items()
    }
    by_id = {
        "observed-data--1": {"first_observed": "2026-11-20T08:59:59Z", "last_observed": "2026-11-20T09:00:01.5Z"},
        "observed-data--2": {"first_observed": "2026-11-20T08:59:59.5Z", "last_observed": "2026-11-20T09:00:01Z"},
    }
    assert window(incident, by_id) == ("2026-11-20T08:59:59Z", "2026-11-20T09:00:01.5Z")
    assert window(incident, {}) == (incident["created"], incident["created"])


def test_techniques_are_those_that_members_refer_to_and_do_not_list() -> None:
    by_id = {
        "incident--1": {"a_ref": "attack-pattern--1", "b_ref": "attack-pattern--2", "c_ref": "attack-pattern--gone"},
        "incident--2": {"a_ref": "attack-pattern--3"},
        **{f"attack-pattern--{number}": {} for number in (1, 2, 3)},
    }
    assert techniques_of(["incident--1", "attack-pattern--2", "incident--gone"], by_id) == ["attack-pattern--1"]


def test_an_incident_of_others_has_no_alert_extension() -> None:
    assert alert_of({"type": "incident"}) == {}
    assert in_words({"type": "incident", "name": "Theirs", "created": "2026-11-20T09:00:00.000Z"}).startswith("- Alert")
