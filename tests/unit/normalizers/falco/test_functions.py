"""What Falco says through the form of a value."""

from typing import Any

import pytest

from nightdesk.normalizers.falco.functions import FUNCTIONS


def _alert(**fields: Any) -> dict[str, Any]:
    return {"time": "2026-03-15T08:09:10.1Z", "rule": "r", "hostname": "h", "output_fields": fields}


def test_fields_without_a_value_are_left_out_of_a_copy() -> None:
    record = _alert(**{"proc.name": "<NA>", "user.uid": 0, "fd.name": ""})
    assert FUNCTIONS["without_na"](record)["output_fields"] == {"user.uid": 0}
    assert len(record["output_fields"]) == 3
    assert FUNCTIONS["without_na"]({"output_fields": None}) == {"output_fields": None}


def test_an_id_is_made_of_what_tells_alerts_apart() -> None:
    assert FUNCTIONS["alert_id"](_alert(**{"proc.pid": 7})) == "2026-03-15T08:09:10.1Z|r|h|7"
    assert FUNCTIONS["alert_id"]({"rule": "r"}) is None


@pytest.mark.parametrize(
    ("tag", "tactic"),
    [
        ("mitre_lateral_movement", "Lateral Movement"),
        ("mitre_command_and_control", "Command and Control"),
        ("TA0003", "TA0003"),
        ("container", None),
        (5, None),
    ],
)
def test_tags_name_tactics(tag: object, tactic: str | None) -> None:
    assert FUNCTIONS["tactic_of"](tag) == tactic


@pytest.mark.parametrize(
    ("address", "far"),
    [
        ("203.0.113.1", "203.0.113.1"),
        ("10.0.0.1", None),
        ("fd00::1", None),
        ("224.0.0.1", None),
        ("x", None),
        (5, None),
    ],
)
def test_only_an_end_outside_is_far(address: object, far: str | None) -> None:
    assert FUNCTIONS["far_end"](_alert(**{"fd.rip": address})) == far


def test_a_connection_is_read_from_the_descriptors_name() -> None:
    made = FUNCTIONS["connection"](_alert(**{"fd.name": "fd00::9:50100->2001:db8::1:443"}))
    assert made == [{"from_ip": "fd00::9", "from_port": "50100", "to_ip": "2001:db8::1", "to_port": "443"}]
    assert FUNCTIONS["connection"](_alert(**{"fd.name": "/etc/shadow"})) == []


def test_callers_of_an_api_server_are_listed() -> None:
    assert FUNCTIONS["source_ips"](_alert(**{"ka.sourceips": "(198.51.100.12,10.0.0.1)"})) == [
        "198.51.100.12",
        "10.0.0.1",
    ]
    assert FUNCTIONS["source_ips"](_alert(**{"ka.sourceips": 7})) == []
