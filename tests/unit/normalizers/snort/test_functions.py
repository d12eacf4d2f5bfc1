"""What Snort's alerts leave to their reader."""

from typing import Any

import pytest

from nightdesk.normalizers.snort.functions import FUNCTIONS

INSIDE, OUTSIDE = "10.70.3.8", "203.0.113.61"
LINE = (
    '03/16/26-07:15:30.250001 [Drop] [**] [1:29:7] "ET x" [**] [Classification: Misc Attack] [Priority: 2] '
    "[AppID: HTTP] <eth1> {TCP} 2001:db8::1:40111 -> 10.70.3.8:445"
)


def test_a_line_is_taken_apart() -> None:
    made = FUNCTIONS["take_apart"]({"message": LINE})
    assert made == {
        "message": LINE, "timestamp": "03/16/26-07:15:30.250001", "action": "Drop", "gid": "1", "sid": "29", "rev": "7",
        "rule": "1:29:7", "msg": "ET x", "class": "Misc Attack", "priority": "2", "appid": "HTTP", "iface": "eth1",
        "proto": "TCP", "src_addr": "2001:db8::1", "src_port": "40111", "dst_addr": "10.70.3.8", "dst_port": "445",
    }  # fmt: skip


@pytest.mark.parametrize("record", [{"message": "no alert"}, {"message": 7}, {}])
def test_what_is_no_line_stays(record: dict[str, Any]) -> None:
    assert FUNCTIONS["take_apart"](record) is record


def test_a_long_line_is_refused_in_linear_time() -> None:
    record = {"message": "[1:1:1] " + "[Classification: " * 100_000}
    assert FUNCTIONS["take_apart"](record) is record


def test_ends_and_rule_are_completed_and_what_is_there_wins() -> None:
    record = {"src_ap": "fd00::1:80", "dst_ap": f"{INSIDE}:0", "proto": "TCP", "rule": "1:2:3", "sid": 9, "msg": '"m"'}
    made = FUNCTIONS["complete"](record)
    assert (made["src_addr"], made["src_port"], made["dst_addr"], made["dst_port"]) == ("fd00::1", "80", INSIDE, "0")
    assert (made["gid"], made["sid"], made["rev"], made["msg"]) == ("1", 9, "3", "m")
    assert record["msg"] == '"m"'


def test_without_ports_there_is_an_address_alone() -> None:
    made = FUNCTIONS["complete"]({"src_ap": "198.51.100.3:0", "proto": "ICMP"})
    assert made["src_addr"] == "198.51.100.3"
    assert "src_port" not in made


@pytest.mark.parametrize(
    ("record", "moment"),
    [
        ({"seconds": 1773645330, "timestamp": "03/16-07:15:30.250001"}, "2026-03-16T07:15:30.250001Z"),
        ({"timestamp": "26/03/16-07:15:30.25"}, "2026-03-16T07:15:30.25Z"),
        ({"timestamp": "03/16/26-07:15:30"}, "2026-03-16T07:15:30Z"),
        ({"timestamp": "03/16/2026-07:15:30"}, "2026-03-16T07:15:30Z"),
        ({"timestamp": "03/16-07:15:30"}, None),
        ({"timestamp": "03/16-07:15:30", "syslog": {"timestamp": "Mar 16 07:15:31"}}, None),
        ({"timestamp": "03/16-07:15:30", "syslog": {"timestamp": "Mar 16 2026 07:15:31"}}, "2026-03-16T07:15:31Z"),
        ({"syslog": {"timestamp": "2026-03-16T08:15:31+01:00"}}, "2026-03-16T08:15:31+01:00"),
        ({"seconds": "soon", "syslog": 5}, None),
        ("text", None),
    ],
)
def test_a_time_needs_a_year(record: object, moment: str | None) -> None:
    assert FUNCTIONS["alert_time"](record) == moment


def test_an_id_is_made_of_what_tells_alerts_apart() -> None:
    record = {"rule": "1:2:3", "seconds": 1773645330, "src_addr": OUTSIDE, "dst_addr": INSIDE, "pkt_num": 7}
    assert FUNCTIONS["alert_id"](record) == f"1:2:3|2026-03-16T07:15:30Z|{OUTSIDE}|{INSIDE}|7"
    assert FUNCTIONS["alert_id"]({"rule": None}) is None


@pytest.mark.parametrize(
    ("priority", "word"), [(1, "high"), ("2", "medium"), (3, "low"), (4, "informational"), (0, None)]
)
def test_a_priority_falls_from_one(priority: object, word: str | None) -> None:
    assert FUNCTIONS["level"](priority) == word


@pytest.mark.parametrize("priority", [5, -1, True, "grave", None, [1]])
def test_what_is_no_priority_is_refused(priority: object) -> None:
    with pytest.raises(ValueError, match=r".*"):
        FUNCTIONS["level"](priority)


@pytest.mark.parametrize(
    ("record", "roles"),
    [
        ({"src_addr": OUTSIDE, "dst_addr": INSIDE}, [OUTSIDE, INSIDE, None]),
        ({"src_addr": INSIDE, "dst_addr": OUTSIDE}, [OUTSIDE, INSIDE, None]),
        ({"src_addr": INSIDE, "dst_addr": "10.0.0.9"}, [None, None, None]),
        ({"src_addr": INSIDE, "dst_addr": "10.0.0.9", "target": "10.0.0.9"}, [None, "10.0.0.9", INSIDE]),
        ({"src_addr": OUTSIDE, "dst_addr": INSIDE, "class": "misc-activity"}, [None, None, None]),
        ({"src_addr": INSIDE, "dst_addr": "224.0.0.1"}, [None, None, None]),
        ([], [None, None, None]),
    ],
)
def test_the_end_outside_attacks_unless_the_rule_says_otherwise(record: object, roles: list[str | None]) -> None:
    assert [FUNCTIONS[name](record) for name in ("attacker", "victim", "actor")] == roles


def test_an_alert_without_a_message_is_called_by_its_rule() -> None:
    assert FUNCTIONS["rule_title"]("1:2:3") == "Snort rule 1:2:3"
    assert FUNCTIONS["rule_title"](5) is None
