"""Entra's times are read as it writes them, and an address is the attacker's only where the detection says so."""

from typing import Any

import pytest

from nightdesk.normalizers.microsoft_entra_id.functions import FUNCTIONS


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("2026-09-09T9:59:27.958Z", "2026-09-09T09:59:27.958Z"),
        ("2026-09-09T19:59:27Z", "2026-09-09T19:59:27Z"),
        ("soon", "soon"),
        (5, 5),
    ],
)
def test_an_hour_of_one_digit_is_padded(written: Any, read: Any) -> None:
    assert FUNCTIONS["padded"](written) == read


def _risk(**fields: Any) -> dict[str, Any]:
    return {"riskEventType": "maliciousIPAddress", "riskState": "atRisk", "ipAddress": "198.51.100.4", **fields}


def test_an_address_that_the_detection_is_about_attacks() -> None:
    assert FUNCTIONS["attacking"](_risk()) == "198.51.100.4"


@pytest.mark.parametrize(
    "fields",
    [
        {"riskEventType": "unfamiliarFeatures"},
        {"riskState": "confirmedSafe"},
        {"riskState": "dismissed"},
        {"ipAddress": "127.0.0.1"},
        {"ipAddress": "10.4.0.7"},
        {"ipAddress": "fe80::1"},
        {"ipAddress": None},
        {"ipAddress": {"a": 1}},
        {"riskEventType": None},
    ],
)
def test_any_other_address_does_not(fields: dict[str, Any]) -> None:
    assert FUNCTIONS["attacking"](_risk(**fields)) is None


def test_what_is_no_risk_has_no_attacker() -> None:
    assert FUNCTIONS["attacking"](["x"]) is None


def test_a_risky_user_is_known_by_the_records_own_id() -> None:
    assert FUNCTIONS["user_of"]({"id": "u1"}) == "u1"
    assert FUNCTIONS["user_of"]({"id": "r1", "riskEventType": "generic"}) is None


def test_additional_information_is_read_by_its_keys() -> None:
    document = {"properties": {"additionalInfo": '[{"Key": "userAgent", "Value": "curl/8"}]'}}
    made = FUNCTIONS["information"](document, "properties.additionalInfo")
    assert made["properties"]["additionalInfo"] == {"userAgent": "curl/8"}
    assert document["properties"]["additionalInfo"].startswith("[")


@pytest.mark.parametrize("odd", [None, 5, "x", "[", '[{"Key"', [1], {"a": 1}])
def test_information_of_another_shape_stays_as_it_is(odd: Any) -> None:
    assert FUNCTIONS["information"]({"additionalInfo": odd}, "additionalInfo")["additionalInfo"] == odd


@pytest.mark.parametrize(
    ("name", "mail"),
    [("a@example.org", "a@example.org"), ("a_example.com#EXT#@t.example.org", "a@example.com"), ("#EXT#@t", None)],
)
def test_a_guest_has_the_address_of_home(name: str, mail: str | None) -> None:
    assert FUNCTIONS["mail_of"](name) == mail


def test_a_state_has_a_title() -> None:
    assert FUNCTIONS["risky_user"]("a@example.org") == "Risky user: a@example.org"
