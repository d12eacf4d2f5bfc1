"""What ECS says with several fields at once, and what of a document is not ECS."""

from typing import Any

import pytest

from nightdesk.normalizers.ecs.functions import FUNCTIONS

INSIDE, OUTSIDE = "10.90.1.9", "203.0.113.90"


def _alert(source: str | None, destination: str | None, kind: str = "alert") -> dict[str, Any]:
    return {"event": {"kind": kind}, "source": {"ip": source}, "destination": {"address": destination}}


def test_what_is_not_ecs_stands_apart() -> None:
    record = {"@timestamp": "t", "event": {}, "invented": {"a": 1}, "_id": "x"}
    made = FUNCTIONS["set_apart"](record)
    assert made == {"@timestamp": "t", "event": {}, "_id": "x", "vendor_own": {"invented": {"a": 1}}}
    assert "invented" in record
    assert FUNCTIONS["set_apart"]({"event": 1}) == {"event": 1}


def test_the_digest_leaves_out_what_the_way_adds() -> None:
    record = {"event": {"action": "a", "ingested": "1"}, "agent": {"ephemeral_id": "1"}}
    again = {"event": {"action": "a", "ingested": "2"}, "agent": {"ephemeral_id": "2"}}
    assert FUNCTIONS["digest"](record) == FUNCTIONS["digest"](again) != FUNCTIONS["digest"]({"event": {"action": "b"}})


@pytest.mark.parametrize(
    ("severity", "word"),
    [(21, "low"), (47, "medium"), (73, "high"), (99, "critical"), (3, None), ("73", None), (None, None)],
)
def test_only_four_numbers_have_a_word(severity: object, word: str | None) -> None:
    assert FUNCTIONS["graded"](severity) == word


def test_a_headline_is_the_first_line() -> None:
    assert FUNCTIONS["headline"]("one\ntwo") == "one"
    assert FUNCTIONS["headline"]("x" * 500) == "x" * 200
    assert FUNCTIONS["headline"](" ") is None
    assert FUNCTIONS["headline"](["one"]) is None


def test_denied_is_denied_unless_it_failed() -> None:
    assert FUNCTIONS["stopped"]({"type": ["denied"], "outcome": "success"}) == "denied"
    assert FUNCTIONS["stopped"]({"type": "denied", "outcome": "failure"}) is None
    assert FUNCTIONS["stopped"]("denied") is None


@pytest.mark.parametrize(
    ("record", "address"),
    [
        (_alert(OUTSIDE, INSIDE), OUTSIDE),
        (_alert(INSIDE, OUTSIDE), OUTSIDE),
        (_alert(OUTSIDE, None), OUTSIDE),
        (_alert(OUTSIDE, "198.51.100.1"), None),
        (_alert(INSIDE, "10.0.0.1"), None),
        (_alert(OUTSIDE, INSIDE, kind="event"), None),
        ("text", None),
    ],
)
def test_only_an_alert_blames_the_end_outside(record: object, address: str | None) -> None:
    assert FUNCTIONS["attacker"](record) == address


def test_a_registry_key_is_hive_and_key() -> None:
    assert FUNCTIONS["key_of"]({"hive": "HKLM", "key": "Software\\Run", "path": "p"}) == "HKLM\\Software\\Run"
    assert FUNCTIONS["key_of"]({"path": "HKLM\\X\\v"}) == "HKLM\\X\\v"
    assert FUNCTIONS["key_of"]([]) is None
