import copy
from typing import Any

import pytest

from nightdesk.normalizers.proofpoint_tap.functions import FUNCTIONS

STRANGE: tuple[Any, ...] = (
    None, "", 0, 1.5, True, [], {}, [[]], {"threatsInfoMap": 7}, {"threatsInfoMap": ["x", None]}, "\x00",
    {"threatsInfoMap": [{"threatStatus": 1, "threat": []}], "messageParts": [None, {"md5": 1}]},
)  # fmt: skip


def _mail(*threats: dict[str, Any], **record: Any) -> dict[str, Any]:
    return {"threatsInfoMap": list(threats), **record}


def test_a_part_is_condemned_by_the_sandbox_or_by_its_hash() -> None:
    parts = [{"sha256": "ab" * 32}, {"sandboxStatus": "THREAT"}, {"sha256": "cd" * 32, "sandboxStatus": "CLEAN"}]
    record = _mail({"threat": "AB" * 32, "threatStatus": "active"}, messageParts=parts)
    before = copy.deepcopy(record)
    made = FUNCTIONS["judged"](record)
    assert [part.get("condemned") for part in made["messageParts"]] == [True, True, None]
    assert made["threatsInfoMap"][0]["attached"] is True
    assert FUNCTIONS["threat_hash"](made["threatsInfoMap"][0]) is None
    assert record == before


def test_what_was_taken_back_condemns_no_part() -> None:
    record = _mail({"threat": "ab" * 32, "threatStatus": "falsePositive"}, messageParts=[{"sha256": "ab" * 32}])
    assert "condemned" not in FUNCTIONS["judged"](record)["messageParts"][0]
    assert FUNCTIONS["hostile"](record) is None


@pytest.mark.parametrize(
    ("states", "wanted"),
    [(["active"], "new"), (["cleared", "active"], "new"), (["cleared", "expired"], "closed"), ([], None)],
)
def test_a_mail_is_closed_when_none_of_its_threats_stands(states: list[str], wanted: str | None) -> None:
    assert FUNCTIONS["status"](_mail(*({"threatStatus": state} for state in states))) == wanted


def test_a_status_in_no_table_is_wrong() -> None:
    with pytest.raises(ValueError, match="dormant"):
        FUNCTIONS["status"](_mail({"threatStatus": "Dormant"}))


def test_only_a_false_positive_of_every_threat_is_one() -> None:
    false, cleared = {"threatStatus": "falsePositive"}, {"threatStatus": "cleared"}
    assert FUNCTIONS["verdict"](_mail(false, false)) == "false-positive"
    assert FUNCTIONS["said"](_mail(false)) == "falsePositive"
    assert FUNCTIONS["verdict"](_mail(false, cleared)) is None


def test_the_certainty_is_the_score_of_what_the_mail_is_said_to_be() -> None:
    scores = {"spamScore": 90, "phishScore": 61.6, "malwareScore": 0}
    assert FUNCTIONS["certainty"](_mail({"classification": "PHISH"}, **scores)) == 62
    assert FUNCTIONS["certainty"](_mail({"classification": "malware"}, **scores)) is None


def test_folder_or_rule_of_a_quarantine_say_that_the_mail_was_kept_back() -> None:
    assert FUNCTIONS["quarantined"]({"quarantineRule": "module.sandbox.threat"}) == "quarantined"
    assert FUNCTIONS["quarantined"]({"quarantineFolder": None}) is None


@pytest.mark.parametrize(
    ("threat", "url", "domain"),
    [
        ("https://a.example/x", "https://a.example/x", None),
        ("a.example/x?y=1", "http://a.example/x?y=1", None),
        ("a.example", None, "a.example"),
        ("ab" * 32, None, None),
        ("+49 30 0", None, None),
    ],
)
def test_an_artefact_is_a_url_or_a_domain_by_its_shape(threat: str, url: str | None, domain: str | None) -> None:
    assert FUNCTIONS["threat_url"]({"threat": threat}) == url
    assert FUNCTIONS["threat_domain"]({"threat": threat}) == domain


def test_titles_and_summary_name_what_was_found() -> None:
    record = _mail(
        {"classification": "phish", "threatType": "url", "threat": "https://a.example", "threatStatus": "active"},
        {"classification": "MALWARE", "threatType": "attachment", "threat": "x"},
        subject="Invoice",
    )
    assert FUNCTIONS["mail_title"](record) == "Phish, malware message: Invoice"
    assert FUNCTIONS["summary"](record) == "phish url https://a.example (active); malware attachment x"
    click = {"classification": "phish", "recipient": ["ann@example.com"]}
    assert FUNCTIONS["click_title"](click) == "Click on a phish link by ann@example.com"


def test_the_last_threat_to_be_recognised_counts() -> None:
    times = ({"threatTime": "2026-10-14T08:00:00Z"}, {"threatTime": "2026-10-14T11:00:00+02:00"}, {"threatTime": "x"})
    assert FUNCTIONS["latest"](_mail(*times)) == "2026-10-14T09:00:00Z"


@pytest.mark.parametrize(("address", "wanted"), [("203.0.113.9", "203.0.113.9"), ("10.0.0.1", None), ("x", None)])
def test_an_own_address_is_no_attackers(address: str, wanted: str | None) -> None:
    assert FUNCTIONS["outside"](address) == wanted


def test_the_same_record_has_the_same_digest() -> None:
    assert FUNCTIONS["digest"]({"a": 1, "b": 2}) == FUNCTIONS["digest"]({"b": 2, "a": 1})
    assert FUNCTIONS["digest"]({"a": 1}) != FUNCTIONS["digest"]({"a": 2})


@pytest.mark.parametrize("value", STRANGE)
@pytest.mark.parametrize("name", sorted(FUNCTIONS))
def test_no_value_breaks_a_function(name: str, value: Any) -> None:
    value = {"messageParts": value} if name == "judged" and not isinstance(value, dict) else value
    FUNCTIONS[name](value)
