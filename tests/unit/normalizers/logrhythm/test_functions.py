import copy
from typing import Any

import pytest

from nightdesk.normalizers.logrhythm.functions import FUNCTIONS

STRANGE: tuple[Any, ...] = (None, "", 0, 1.5, True, [], {}, [[]], {"a": {}}, "\x00", [1, None, "x"], -1, {"value": 5})


def _made(*events: Any) -> dict[str, Any]:
    made: dict[str, Any] = FUNCTIONS["gathered"]({"ID": 1, "Event": list(events)}, "Event")
    return made


def _event(**fields: Any) -> dict[str, Any]:
    made: dict[str, Any] = _made({"messageId": "m", **fields})["events"][0]
    return made


def test_an_origin_in_the_external_zone_attacks_an_own_host() -> None:
    event = _event(originIP="203.0.113.9", originZone="External", impactedHostName="srv-1", impactedIP="10.0.0.4")
    assert (event["attacker"], event["victim_host"], event["victim_address"]) == ("203.0.113.9", "srv-1", "10.0.0.4")
    assert "actor_address" not in event


def test_an_own_origin_attacks_nobody_from_outside() -> None:
    event = _event(originIP={"value": "203.0.113.9"}, originZoneName="Internal", impactedIP="198.51.100.4")
    assert event["actor_address"] == "203.0.113.9"
    assert "attacker" not in event
    assert "victim_address" not in event


def test_what_two_strangers_do_is_no_attack() -> None:
    event = _event(originIP="203.0.113.9", impactedIP="198.51.100.4", impactedZone="External")
    assert "attacker" not in event
    assert (event["origin"], event["impacted"]) == ("203.0.113.9", "198.51.100.4")


def test_a_listed_host_is_own_whatever_its_address() -> None:
    assert _event(impactedHostId=12, impactedIP="198.51.100.4", impactedName="web")["victim_host"] == "web"


def test_a_name_that_is_an_address_is_read_as_one() -> None:
    event = _event(impactedName="10.0.0.4", impactedHost="10.0.0.4")
    assert event["victim_address"] == "10.0.0.4"
    assert "victim_host" not in event


def test_two_accounts_are_who_acts_and_who_is_acted_on() -> None:
    event = _event(login="ida", account="svc-old")
    assert (event["actor"], event["victim_account"]) == ("ida", "svc-old")
    assert _event(login="ida", account="IDA")["victim_user"] == "ida"


def test_hashes_are_found_in_what_a_log_calls_hash() -> None:
    assert _event(hash="MD5=" + "a" * 32 + ",SHA256=" + "b" * 64)["hashes"] == ["a" * 32, "b" * 64]


def test_words_for_nothing_are_no_facts() -> None:
    made = _made(
        {
            "messageId": "m",
            "originPort": -1,
            "quantity": 0,
            "originLocation": {"name": "", "type": "NULL"},
            "zone": "Unknown",
            "policy": "p",
        }
    )
    assert made["events"] == [{"messageId": "m"}]
    assert made["facts"] == {"messageId": ["m"], "other": {"policy": "p"}}


def test_counts_and_times_of_all_events_are_one() -> None:
    rows = [
        {"count": 2, "priority": 9, "normalDate": "2026-06-20 12:27:03"},
        {"count": 3, "priority": 40, "normalDate": "2026-06-20 12:00:00"},
    ]
    facts = _made(*rows)["facts"]
    assert (facts["total"], facts["highest"]) == (5, 40)
    assert (facts["first"], facts["last"]) == ("2026-06-20T12:00:00Z", "2026-06-20T12:27:03Z")


def test_facts_of_several_events_stand_once() -> None:
    facts = _made({"policy": "a", "action": "x"}, {"policy": "b", "action": "x"}, {"policy": "a"})["facts"]
    assert facts == {"action": ["x"], "other": {"policy": ["a", "b"]}}


def test_what_is_no_event_stays_to_be_seen() -> None:
    assert FUNCTIONS["gathered"]({"Event": "none"}, "Event") == {"Event": "none"}


def test_the_document_that_was_given_stays_as_it_was() -> None:
    document = {"Event": [{"messageId": "m", "originIP": {"value": "10.0.0.1"}, "policy": "p"}]}
    before = copy.deepcopy(document)
    FUNCTIONS["gathered"](document, "Event")
    assert document == before


@pytest.mark.parametrize("value", STRANGE)
def test_no_event_is_too_strange(value: Any) -> None:
    names = (
        "messageId",
        "originIP",
        "originHostName",
        "impactedName",
        "impactedHostId",
        "originZone",
        "login",
        "account",
        "hash",
        "count",
    )
    made = _made(
        {
            **dict.fromkeys(names, value),
            "priority": value,
            "normalDate": value,
            "originLocation": value,
            "policy": value,
        }
    )
    assert isinstance(made["events"], list)
    assert FUNCTIONS["gathered"]({"Event": value}, "Event") is not None
