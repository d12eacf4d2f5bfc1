"""What EVE says in several fields at once."""

from typing import Any

import pytest

from nightdesk.normalizers.suricata.functions import FUNCTIONS

INSIDE, OUTSIDE = "10.20.4.31", "203.0.113.77"


def _alert(**fields: Any) -> dict[str, Any]:
    rule = {"gid": 1, "signature_id": 7, "category": "Misc Attack", "signature": "LOCAL x"}
    return {
        "timestamp": "2026-03-04T09:12:44.318207+0000",
        "src_ip": INSIDE,
        "dest_ip": OUTSIDE,
        "alert": rule,
    } | fields


def test_two_alerts_of_one_flow_have_two_ids() -> None:
    first, second = _alert(flow_id=9, tx_id=0), _alert(flow_id=9, tx_id=1)
    assert FUNCTIONS["alert_id"](first) == "9:1:7:2026-03-04T09:12:44.318207+0000:0"
    assert FUNCTIONS["alert_id"](first) != FUNCTIONS["alert_id"](second)


def test_without_a_flow_the_ends_are_part_of_the_id() -> None:
    assert FUNCTIONS["alert_id"](_alert()) == f"{INSIDE}:{OUTSIDE}:1:7:2026-03-04T09:12:44.318207+0000"
    assert FUNCTIONS["alert_id"]({"alert": {}}) is None


@pytest.mark.parametrize(
    ("priority", "word"), [(1, "high"), ("2", "medium"), (3, "low"), (4, "informational"), (255, "informational")]
)
def test_a_priority_falls_from_one(priority: object, word: str) -> None:
    assert FUNCTIONS["level"](priority) == word


@pytest.mark.parametrize("priority", [0, 256, True, "urgent", [1], None])
def test_what_is_no_priority_is_refused(priority: object) -> None:
    with pytest.raises(ValueError, match=r".*"):
        FUNCTIONS["level"](priority)


def test_the_end_outside_attacks_the_end_inside() -> None:
    for record in (_alert(), _alert(src_ip=OUTSIDE, dest_ip=INSIDE)):
        assert (FUNCTIONS["attacker"](record), FUNCTIONS["victim"](record)) == (OUTSIDE, INSIDE)


@pytest.mark.parametrize(
    "record",
    [
        _alert(dest_ip="10.0.0.9"),
        _alert(dest_ip="224.0.0.251"),
        _alert(src_ip="198.51.100.1"),
        _alert(alert={"category": "Not Suspicious Traffic"}),
        _alert(alert={"signature": "ET INFO Invented remark"}),
        {"src_ip": 7},
        [],
    ],
)
def test_nobody_is_blamed_where_nothing_says_who(record: object) -> None:
    names = ("attacker", "victim", "actor")
    assert [FUNCTIONS[name](record) for name in names] == [None, None, None]


def test_the_rule_may_blame_a_machine_inside() -> None:
    record = _alert(alert={"source": {"ip": INSIDE}, "target": {"ip": "10.20.8.5"}})
    assert (FUNCTIONS["actor"](record), FUNCTIONS["victim"](record)) == (INSIDE, "10.20.8.5")
    assert FUNCTIONS["attacker"](record) is None


def test_hostile_metadata_names_the_attacking_end() -> None:
    record = _alert(alert={"metadata": {"hostile": ["dest_ip"]}})
    assert (FUNCTIONS["attacker"](record), FUNCTIONS["victim"](record)) == (OUTSIDE, INSIDE)


def test_a_packet_to_the_client_is_turned_round() -> None:
    record = _alert(src_port=80, dest_port=4000, direction="to_client", flow={"bytes_toserver": 5, "bytes_toclient": 6})
    (made,) = FUNCTIONS["connection"](record)
    assert (made["from_address"], made["to_port"], made["sent_bytes"], made["received_bytes"]) == (OUTSIDE, 80, 5, 6)


def test_bytes_of_an_unknown_direction_are_not_guessed() -> None:
    (made,) = FUNCTIONS["connection"](_alert(src_port=80, dest_port=4000, flow={"bytes_toserver": 5}))
    assert made["sent_bytes"] is None
    assert FUNCTIONS["connection"](_alert()) == []


@pytest.mark.parametrize(
    ("http", "url"),
    [
        ({"hostname": "a.example", "url": "/x?y"}, "http://a.example/x?y"),
        ({"hostname": "a.example", "url": "/x", "http_port": 8080}, "http://a.example:8080/x"),
        ({"hostname": "a.example", "url": "http://b.example/z"}, "http://b.example/z"),
        ({"url": "/x"}, None),
        ({"hostname": "a.example", "url": 5}, None),
        ("GET /", None),
    ],
)
def test_a_request_has_an_address(http: object, url: str | None) -> None:
    assert FUNCTIONS["request_url"]({"http": http}) == url


def test_questions_and_answers_are_found_in_every_version() -> None:
    old = {"query": [{"rrname": "A.example"}], "answer": {"answers": [{"rdata": "192.0.2.1"}]}}
    new = {"queries": [{"rrname": "a.example."}], "answers": [{"rdata": "192.0.2.1"}], "grouped": {"A": ["192.0.2.2"]}}
    assert FUNCTIONS["questions"]({"dns": old}) == FUNCTIONS["questions"]({"dns": new}) == ["a.example"]
    assert FUNCTIONS["answers"]({"dns": old}) == ["192.0.2.1"]
    assert FUNCTIONS["answers"]({"dns": new}) == ["192.0.2.1", "192.0.2.2"]
    assert FUNCTIONS["questions"]({"dns": "?"}) == FUNCTIONS["answers"](None) == []


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ('"Dept, Billing" <b@lure.example>', "b@lure.example"),
        ("<a@x.example>", "a@x.example"),
        ("müller@x.example", None),
        (5, None),
    ],
)
def test_a_mailbox_is_the_address_alone(text: object, address: str | None) -> None:
    assert FUNCTIONS["mailbox"](text) == address


@pytest.mark.parametrize(
    ("name", "value", "wanted"),
    [
        ("link", "pay.example/a", "http://pay.example/a"),
        ("link", "", None),
        ("cve", "CVE_2017_11882", "CVE-2017-11882"),
        ("cve", "2026-90001", "CVE-2026-90001"),
        ("cve", "n/a", None),
        ("host_name", "A.example:8080", "a.example"),
        ("host_name", "10.0.0.1", None),
    ],
)
def test_spellings_are_brought_to_one(name: str, value: object, wanted: str | None) -> None:
    assert FUNCTIONS[name](value) == wanted
