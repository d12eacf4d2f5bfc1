"""What Zeek's records say in several fields at once."""

from typing import Any

import pytest

from nightdesk.normalizers.zeek.functions import FUNCTIONS

INSIDE, OUTSIDE = "10.30.1.17", "203.0.113.66"


def _notice(note: str, **fields: Any) -> dict[str, Any]:
    return {"ts": 1770105600.5, "note": note, **fields}


def test_an_id_is_made_of_what_tells_notices_apart() -> None:
    record = _notice("Scan::Port_Scan", src=OUTSIDE, dst=INSIDE, p=22)
    assert FUNCTIONS["notice_id"](record) == f"1770105600.5|Scan::Port_Scan|{OUTSIDE}|{INSIDE}|22"
    assert FUNCTIONS["notice_id"]({"note": "Scan::Port_Scan"}) is None
    assert FUNCTIONS["notice_id"](["no object"]) is None


def test_a_sighting_has_an_id_and_a_sentence() -> None:
    record = {
        "ts": 1,
        "uid": "C1",
        "seen": {"indicator": "a.example", "indicator_type": "Intel::DOMAIN", "where": "DNS"},
    }
    assert FUNCTIONS["sighting_id"](record) == "1|a.example|C1|DNS"
    assert FUNCTIONS["sighting_title"](record) == "Intel DOMAIN a.example seen in DNS"
    assert FUNCTIONS["sighting_title"]({"seen": 5}) is None


def test_the_source_of_a_scan_from_outside_is_the_attacker() -> None:
    record = _notice("Scan::Address_Scan", src=OUTSIDE, dst=INSIDE)
    names = ("attacker", "victim", "actor", "machine")
    assert [FUNCTIONS[name](record) for name in names] == [OUTSIDE, INSIDE, None, None]


def test_the_source_of_a_scan_from_inside_is_an_actor() -> None:
    record = _notice("SSH::Password_Guessing", src=INSIDE)
    assert [FUNCTIONS[name](record) for name in ("attacker", "victim", "actor")] == [None, None, INSIDE]


def test_other_notices_blame_nobody() -> None:
    record = _notice("SSL::Invalid_Server_Cert", src=INSIDE, dst=OUTSIDE)
    names = ("attacker", "victim", "actor", "machine")
    assert [FUNCTIONS[name](record) for name in names] == [None, None, None, INSIDE]


def test_what_bad_things_reached_is_a_victim() -> None:
    record = _notice("TeamCymruMalwareHashRegistry::Match", src=INSIDE, dst=OUTSIDE)
    assert [FUNCTIONS[name](record) for name in ("attacker", "victim", "machine")] == [None, INSIDE, None]


def test_behaviour_notices_name_techniques_and_a_tactic() -> None:
    record = _notice("ATTACK::Lateral_Movement", sub="T1021.002 Admin Shares + T1570 Transfer")
    assert FUNCTIONS["techniques_of"](record) == ["T1021.002", "T1570"]
    assert FUNCTIONS["tactic_of"](record) == "Lateral Movement"
    assert FUNCTIONS["techniques_of"](_notice("Weird::Activity", sub="T1021")) == []
    assert FUNCTIONS["tactic_of"](_notice("Weird::Activity")) is None


@pytest.mark.parametrize(
    ("name", "value", "wanted"),
    [
        ("notice_title", "SSL::Invalid_Server_Cert", "SSL: Invalid Server Cert"),
        ("notice_title", 5, None),
        ("file_name", "http://a.example/b/c.exe?d=e/f", "c.exe"),
        ("file_name", "share\\c.exe", "c.exe"),
        ("file_name", None, None),
        ("full_url", "a.example/b", "http://a.example/b"),
        ("full_url", "https://a.example/b", "https://a.example/b"),
        ("full_url", {}, None),
    ],
)
def test_texts_are_brought_to_their_form(name: str, value: object, wanted: str | None) -> None:
    assert FUNCTIONS[name](value) == wanted


def test_only_where_a_sender_stands_is_a_sender() -> None:
    seen = {"indicator_type": "Intel::EMAIL", "where": "SMTP::IN_FROM"}
    assert FUNCTIONS["sent_by"]({"seen": seen}) == "sender"
    assert FUNCTIONS["sent_by"]({"seen": seen | {"where": "SMTP::IN_TO"}}) is None


def test_a_sighting_happens_at_the_machine_inside_that_is_not_looked_for() -> None:
    ends = {"orig_h": OUTSIDE, "resp_h": INSIDE}
    assert FUNCTIONS["seen_at"]({"id": ends, "seen": {"indicator": OUTSIDE}}) == INSIDE
    assert FUNCTIONS["seen_at"]({"id": ends, "seen": {"indicator": INSIDE}}) is None
