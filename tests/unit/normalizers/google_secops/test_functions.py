import copy
from typing import Any

import pytest

from nightdesk.normalizers.google_secops.functions import FUNCTIONS
from nightdesk.normalizers.google_secops.tree import spread

STRANGE: tuple[Any, ...] = (None, "", 0, 1.5, True, [], {}, [[]], [{}], {"a": {}}, "\x00", [1, None, "x"], 2**70)


def _wrapped(**udm: Any) -> dict[str, Any]:
    return {"event": {"timestamp": "2026-11-19T08:00:00Z", "idm": {"readOnlyUdm": udm}}}


def _held(kind: str = "NETWORK_CONNECTION", **udm: Any) -> dict[str, Any]:
    made: dict[str, Any] = FUNCTIONS["event_held"](_wrapped(metadata={"eventType": kind}, **udm))
    return made


def _roles(made: dict[str, Any]) -> dict[str, str]:
    return {host["address"] or host["hostname"]: host["role"] for host in made.get("hosts", [])}


def test_who_comes_from_outside_to_an_own_machine_is_an_attacker() -> None:
    made = _held(principal={"ip": ["203.0.113.9"]}, target={"ip": ["10.0.0.4"]})
    assert made["attackers"] == ["203.0.113.9"]
    assert _roles(made) == {"10.0.0.4": "victim"}


def test_between_two_own_machines_one_acts_and_one_is_the_victim() -> None:
    made = _held(principal={"ip": ["10.0.0.9"]}, target={"ip": ["10.0.0.4"]})
    assert _roles(made) == {"10.0.0.9": "actor", "10.0.0.4": "victim"}
    assert "attackers" not in made


def test_the_machine_that_asks_a_name_server_is_what_it_is_about() -> None:
    made = _held("NETWORK_DNS", principal={"ip": ["10.0.0.9"]}, target={"ip": ["10.0.0.53"]})
    assert _roles(made) == {"10.0.0.9": "victim", "10.0.0.53": "other"}


def test_a_name_asked_for_in_traffic_is_no_machine_of_the_company() -> None:
    made = _held(principal={"hostname": "ws-1"}, target={"hostname": "www.example.com", "ip": ["198.51.100.4"]})
    assert [host["hostname"] for host in made["hosts"]] == ["ws-1"]
    assert made["domains"] == ["www.example.com"]


def test_two_outsides_leave_nobody_to_blame() -> None:
    made = _held(principal={"ip": ["203.0.113.9"]}, target={"ip": ["198.51.100.4"]})
    assert "attackers" not in made
    assert made["addresses"] == ["203.0.113.9", "198.51.100.4"]


def test_the_principals_process_is_the_parent_of_what_it_launched() -> None:
    made = _held("PROCESS_LAUNCH", principal={"process": {"pid": "1"}}, target={"process": {"pid": "2"}})
    launched = next(chain for chain in made["chains"] if chain.get("malicious"))
    assert (launched["process_pid"], launched["parent_pid"]) == ("2", "1")


def test_a_process_ran_under_the_principals_account() -> None:
    who = {"user": {"userid": "ida", "windowsSid": "S-1-5-21-7"}, "hostname": "ws-1"}
    chain = _held("PROCESS_LAUNCH", principal=who, target={"process": {"pid": "2"}})["chains"][0]
    assert (chain["host"], chain["user"], chain["user_uid"]) == ("ws-1", "ida", "S-1-5-21-7")


def test_a_process_is_read_up_to_its_grandparent() -> None:
    tree = {"pid": "3", "parentProcess": {"pid": "2", "parentProcess": {"pid": "1", "commandLine": "init"}}}
    chain = _held("PROCESS_LAUNCH", target={"process": tree})["chains"][0]
    assert (chain["process_pid"], chain["parent_pid"], chain["grandparent_commandLine"]) == ("3", "2", "init")


def test_who_acts_on_another_account_is_told_from_who_is_alone() -> None:
    both = _held("USER_CREATION", principal={"user": {"userid": "ida"}}, target={"user": {"userid": "new"}})
    alone = _held("USER_LOGIN", principal={"user": {"userid": "ida"}})
    assert [account.get("acts") for account in both["accounts"]] == [True, None]
    assert alone["accounts"][0]["alone"] is True


def test_only_a_file_that_malware_was_found_in_is_bad() -> None:
    file, named = {"file": {"sha256": "a" * 64}}, {"threatName": "W32/X", "category": ["SOFTWARE_MALICIOUS"]}
    assert _held("SCAN_FILE", target=file, securityResult=[named])["files"][0]["bad"] is True
    assert "bad" not in _held("SCAN_FILE", target=file, securityResult=[{"threatName": "Policy"}])["files"][0]


def test_what_is_redacted_stays_among_the_facts() -> None:
    made = _held(principal={"ip": ["10.0.XX.XX"], "mac": ["88:a6:XX:XX:XX:XX"]}, target={"file": {"md5": "gone"}})
    facts = made["facts"]["events"]
    assert (facts["principal.ip"], facts["principal.mac"]) == ("10.0.XX.XX", "88:a6:XX:XX:XX:XX")
    assert facts["target.file.md5"] == "gone"


def test_the_gravest_of_several_results_counts() -> None:
    made = _held(securityResult=[{"severity": "LOW"}, {"severity": "CRITICAL"}, {"severity": "MEDIUM"}])
    assert made["result"]["worst"] == "CRITICAL"


def test_an_event_without_an_id_has_that_of_its_content() -> None:
    first, again, other = (_held(principal={"ip": [text]})["event_id"] for text in ("10.0.0.1", "10.0.0.1", "10.0.0.2"))
    assert first == again != other
    assert FUNCTIONS["event_held"](_wrapped(metadata={"productLogId": "log-1"}))["event_id"] == "log-1"


def test_an_event_that_two_elements_refer_to_counts_once() -> None:
    event = {"metadata": {"eventType": "USER_LOGIN"}, "principal": {"user": {"userid": "ida"}}}
    elements = [{"label": label, "references": [{"event": event}]} for label in "ab"]
    made = FUNCTIONS["detection_held"]({"id": "de_1", "collectionElements": elements, "detection": [{"ruleName": "r"}]})
    assert made["total"] == 1
    assert [element["label"] for element in made["elements"]] == ["a", "b"]


def test_labels_of_a_rule_are_read_by_name() -> None:
    detail = {
        "ruleLabels": [{"key": "severity", "value": "Low"}, {"key": "tag", "value": "a"}, {"key": "tag", "value": "b"}]
    }
    made = FUNCTIONS["detection_held"]({"detection": [detail]})
    assert made["details"][0]["ruleLabels"] == {"severity": "Low", "tag": ["a", "b"]}


def test_the_documents_that_were_given_stay_as_they_were() -> None:
    udm = {
        "metadata": {"eventType": "PROCESS_LAUNCH"},
        "principal": {"ip": ["10.0.0.1"], "process": {"pid": "1"}},
        "target": {"process": {"pid": "2", "file": {"md5": "a" * 32}}},
    }
    event, detection = _wrapped(**udm), {"collectionElements": [{"references": [{"event": udm}]}], "detection": [{}]}
    before = copy.deepcopy((event, detection))
    FUNCTIONS["event_held"](event)
    FUNCTIONS["detection_held"](detection)
    assert (event, detection) == before


def test_nesting_without_end_is_no_reason_to_stumble() -> None:
    deep: Any = "x"
    for _ in range(900):
        deep = [deep]
    assert _held(target={"a": deep}, additional={"b": deep}, securityResult=[{"c": deep}])["event_id"]
    found: dict[str, Any] = {}
    spread({"a": deep}, "", found)
    assert [len(values) for values in found.values()] == [1]


@pytest.mark.parametrize("value", STRANGE)
def test_no_document_is_too_strange(value: Any) -> None:
    nouns = ("principal", "src", "target", "about", "observer", "network", "securityResult", "additional", "metadata")
    inner = dict.fromkeys(
        (
            "ip",
            "mac",
            "natIp",
            "hostname",
            "asset",
            "user",
            "process",
            "file",
            "port",
            "url",
            "resource",
            "cloud",
            "http",
            "dns",
            "email",
            "severity",
            "attackDetails",
            "detectionFields",
            "category",
            "eventType",
        ),
        value,
    )
    for udm in (dict.fromkeys(nouns, value), dict.fromkeys(nouns, inner), {name: [inner, value] for name in nouns}):
        assert isinstance(FUNCTIONS["event_held"](_wrapped(**udm)), dict)
        detection = {
            "collectionElements": [value, {"references": [{"event": udm}, value]}],
            "detection": [inner, value],
        }
        assert isinstance(FUNCTIONS["detection_held"](detection), dict)
    assert isinstance(FUNCTIONS["event_held"]({"event": value}), dict)
    assert isinstance(FUNCTIONS["detection_held"]({"collectionElements": value, "detection": value}), dict)
