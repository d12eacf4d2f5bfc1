from typing import Any

import pytest

from nightdesk.autonomy.conditions import When
from nightdesk.autonomy.matching import Facts, evaluate, forms, glob, in_network, tactics_of
from nightdesk.sdk.testing.cases import an_alert, an_entity


def ask(condition: dict[str, Any], *, closing: bool, severity: int = 2, count: int = 1, **changes: Any) -> bool | None:
    alert = an_alert(severity_id=severity, **changes)
    return evaluate(When.model_validate(condition), Facts(alert, severity, count), closing=closing)


def test_an_empty_condition_holds_for_every_alert() -> None:
    assert ask({}, closing=False) is True


@pytest.mark.parametrize(
    ("condition", "changes", "expected"),
    [
        ({"rule_id": "rule-1"}, {}, True),
        ({"rule_id": ["rule-2", "rule-1"]}, {}, True),
        ({"rule_id": "rule-2"}, {}, False),
        ({"rule_id": "rule-*"}, {}, True),
        ({"rule_name": "Port Scan"}, {"rule_name": "port scan"}, True),
        ({"source": "edr-main"}, {}, True),
        ({"source": "other"}, {}, False),
        ({"title": "*mimikatz*"}, {"title": "Seen: MIMIKATZ.exe"}, True),
        ({"title": "mimikatz"}, {"title": "Seen: mimikatz"}, False),
        ({"text": "mimikatz"}, {"description": "ran mimikatz now"}, True),
        ({"text": "ws-0042"}, {}, True),
        ({"severity_at_least": "high"}, {"severity": 4}, True),
        ({"severity_at_least": "high"}, {"severity": 3}, False),
        ({"severity_at_least": "high"}, {"severity": 0}, None),
        ({"severity_at_most": "low"}, {"severity": 99}, None),
        ({"techniques": "T1059"}, {"techniques": ("T1059.001",)}, True),
        ({"techniques": "T1059.001"}, {"techniques": ("T1059",)}, False),
        ({"techniques": "T1059"}, {}, False),
        ({"tactics": "exfiltration"}, {"tactics": ("TA0010",)}, True),
        ({"tactics": "TA0010"}, {"techniques": ("T1020",)}, True),
        ({"source_verdict": "true-positive"}, {"native_verdict": "TruePositive"}, True),
        ({"source_verdict": "true-positive"}, {"native_verdict": "true_positive"}, True),
        ({"source_verdict": "true-positive"}, {"native_verdict": "suspicious"}, False),
        ({"disposition": "blocked"}, {"disposition": "blocked"}, True),
        ({"disposition": "blocked"}, {}, False),
        ({"closed_at_source": True}, {"closed_at_source": True}, True),
        ({"case_alerts_at_least": 3}, {"count": 3}, True),
        ({"case_alerts_at_least": 3}, {"count": 2}, False),
        ({"entities": [{"kind": "host", "in": "WS-*"}]}, {}, True),
        ({"entities": [{"kind": "host", "role": "actor-host", "in": "ws-*"}]}, {}, False),
        ({"entities": [{"kind": "address", "in": "192.0.2.0/24"}]}, {}, False),
        ({"all": [{"rule_id": "rule-1"}, {"severity_at_least": "low"}]}, {}, True),
        ({"any": [{"rule_id": "rule-2"}, {"severity_at_least": "high"}]}, {}, False),
        ({"any": [{"rule_id": "rule-2"}, {"severity_at_least": "high"}]}, {"severity": 0}, None),
        ({"not": {"rule_id": "rule-2"}}, {}, True),
        ({"not": {"severity_at_most": "low"}}, {"severity": 0}, None),
    ],
)
def test_a_raising_rule_reads_its_matcher(condition: dict[str, Any], changes: dict[str, Any], expected: bool) -> None:
    assert ask(condition, closing=False, **changes) is expected


def test_a_closing_rule_takes_a_detection_by_its_exact_text_only() -> None:
    assert ask({"rule_name": "Port Scan"}, closing=True, rule_name="Port Scan") is True
    assert ask({"rule_name": "Port Scan"}, closing=True, rule_name="port scan") is False
    assert ask({"rule_id": "rule-1"}, closing=True, rule_id="") is None


def test_a_closing_rule_wants_every_address_in_its_list_not_only_one() -> None:
    rule = {"entities": [{"kind": "address", "in": ["192.0.2.0/24"]}]}
    inside, outside = an_entity("address:192.0.2.7"), an_entity("address:203.0.113.9")
    assert ask(rule, closing=True, entities=(inside,)) is True
    assert ask(rule, closing=True, entities=(inside, outside)) is False
    assert ask(rule, closing=False, entities=(inside, outside)) is True


def test_a_fact_that_is_missing_keeps_a_closing_rule_from_matching() -> None:
    assert ask({"entities": [{"kind": "address", "in": ["192.0.2.0/24"]}]}, closing=True, entities=()) is None
    assert ask({"techniques": "T1046"}, closing=True) is None
    assert ask({"not": {"tactics": "TA0040"}}, closing=True) is None
    assert ask({"not": {"tactics": "TA0040"}}, closing=True, tactics=("TA0007",)) is True


def test_one_grave_technique_among_others_is_enough_under_not_of_a_closing_rule() -> None:
    rule = {"not": {"techniques": "T1486"}}
    assert ask(rule, closing=True, techniques=("T1059", "T1486")) is False
    assert ask(rule, closing=True, techniques=("T1059",)) is True


def test_a_closing_rule_with_techniques_wants_all_of_them_named() -> None:
    assert ask({"techniques": ["T1046"]}, closing=True, techniques=("T1046", "T1003.001")) is False


def test_a_device_is_found_by_the_id_its_host_carries() -> None:
    rule = {"entities": [{"kind": "device", "in": "dev-7"}]}
    assert ask(rule, closing=True, entities=(an_entity("host:ws-1", device_id="dev-7"),)) is True
    assert ask(rule, closing=True, entities=(an_entity("host:ws-1", device_id="dev-8"),)) is False


def test_a_host_and_an_account_may_be_written_in_each_usual_way() -> None:
    assert set(forms("host", "ws-1.corp.example.com", {})) == {"ws-1.corp.example.com", "ws-1"}
    assert "jdoe" in forms("account", "CORP\\jdoe", {})
    assert "jdoe" in forms("account", "jdoe@example.com", {})
    assert forms("host", "192.0.2.1", {}) == ("192.0.2.1",)


@pytest.mark.parametrize(
    ("pattern", "text", "expected"),
    [
        ("svc_*", "SVC_backup", True),
        ("a?c", "abc", True),
        ("a?c", "ac", False),
        ("[ab]", "[AB]", True),
        ("[ab]", "a", False),
        ("*", "", True),
    ],
)
def test_a_glob_knows_the_star_and_the_question_mark(pattern: str, text: str, expected: bool) -> None:
    assert glob(pattern, text) is expected


def test_a_hostile_glob_subject_costs_little() -> None:
    assert glob("*a*a*a*a*a*a*a*b", "a" * 20_000) is False


@pytest.mark.parametrize(
    ("network", "text", "expected"),
    [
        ("192.0.2.0/24", "192.0.2.7", True),
        ("192.0.2.0/24", "192.0.3.7", False),
        ("192.0.2.0/24", "192.0.2.0/25", True),
        ("192.0.2.0/25", "192.0.2.0/24", False),
        ("2001:db8::/32", "2001:db8::1", True),
        ("192.0.2.0/24", "2001:db8::1", False),
        ("192.0.2.0/24", "ws-1", False),
    ],
)
def test_an_address_is_inside_a_network(network: str, text: str, expected: bool) -> None:
    assert in_network(network, text) is expected


def test_tactics_come_from_techniques_too() -> None:
    assert tactics_of(an_alert(techniques=("T1486",), tactics=("discovery",))) == {"TA0040", "TA0007"}
