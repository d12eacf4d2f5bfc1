from typing import Any

import pytest

from nightdesk.normalizers.rapid7_insightidr.functions import FUNCTIONS

STRANGE: tuple[Any, ...] = (
    None,
    "",
    0,
    1.5,
    True,
    [],
    {},
    [[]],
    [{}],
    {"a": {}},
    "\x00",
    "on asset ",
    "rrn:",
    [{"type": 5}],
)


@pytest.mark.parametrize(
    ("title", "wanted"),
    [
        ("Process reported as malicious ran on asset ws-07.example.com", "ws-07.example.com"),
        ("Virus on asset SRV-ÄPFEL01, twice", "SRV-ÄPFEL01"),
        ("Login on asset 10.20.30.40.", "10.20.30.40"),
        ("A file on asset ../../etc/passwd", None),
        ("Somebody logged on", None),
    ],
)
def test_the_asset_in_a_title_is_found(title: str, wanted: str | None) -> None:
    assert FUNCTIONS["asset_of"](title) == wanted


def test_a_long_title_is_read_in_linear_time() -> None:
    assert FUNCTIONS["asset_of"]("on asset " + "a." * 200_000) is None


def test_the_organization_stands_in_the_resource_name() -> None:
    assert FUNCTIONS["organization"]("rrn:alerts:us1:0f1e-2d:alert:1:77") == "0f1e-2d"


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("01-01-2020T00:00:00", "2020-01-01T00:00:00Z"),
        ("19-11-2026T07:15:00", "2026-11-19T07:15:00Z"),
        ("11-19-2026T07:15:00", "2026-11-19T07:15:00Z"),
        ("03-04-2026T07:15:00", "03-04-2026T07:15:00"),
        ("2026-11-19T07:15:00Z", "2026-11-19T07:15:00Z"),
    ],
)
def test_a_time_is_turned_only_where_day_and_month_cannot_be_confused(text: str, wanted: str) -> None:
    assert FUNCTIONS["unambiguous"](text) == wanted


def test_the_times_of_several_alerts_are_put_in_order() -> None:
    alerts = [{"at": "2026-11-19T10:00:00Z"}, {"at": "2026-11-19T10:30:00+02:00"}, {"at": "soon"}, {}]
    assert FUNCTIONS["earliest"](alerts, "at") == "2026-11-19T10:30:00+02:00"
    assert FUNCTIONS["latest"](alerts, "at") == "2026-11-19T10:00:00Z"


def test_a_rule_is_read_as_an_object_and_as_its_name_alone() -> None:
    assert FUNCTIONS["part"]({"rule_rrn": "rrn:a", "rule_name": "A"}, "rule_name") == "A"
    assert FUNCTIONS["part"]("rrn:a", "rule_rrn") == "rrn:a"
    assert FUNCTIONS["part"]("rrn:a", "rule_name") is None


def test_the_alerts_of_a_list_are_counted() -> None:
    assert FUNCTIONS["counted"]([{"type": "a"}, {"type": "b"}]) == 2


@pytest.mark.parametrize("value", STRANGE)
def test_no_function_stumbles_over_a_strange_value(value: Any) -> None:
    words = {"earliest": ("type",), "latest": ("type",), "part": ("rule_name",)}
    for name, function in FUNCTIONS.items():
        made = function(value, *words.get(name, ()))
        assert made is None or name in {"unambiguous", "counted"}
