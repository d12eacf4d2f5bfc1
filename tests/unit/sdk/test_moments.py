from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nightdesk.sdk.moments import SECOND, Unit, instant, iso

_NOON = 1_793_534_400 * SECOND  # 2026-11-01T12:00:00Z


@pytest.mark.parametrize(
    ("value", "unit", "wanted"),
    [
        ("2026-11-01T12:00:00Z", "iso", _NOON),
        ("2026-11-01 12:00:00", "iso", _NOON),
        ("2026-11-01T12:00:00.123456789Z", "iso", _NOON + 123_456_789),
        ("2026-11-01T12:00:00.1234567899Z", "iso", _NOON + 123_456_789),
        ("2026-11-01T14:00:00.5+02:00", "iso", _NOON + SECOND // 2),
        ("2026-11-01T12:00:00 UTC", "iso", _NOON),
        (1_793_534_400, "s", _NOON),
        ("1793534400.25", "s", _NOON + SECOND // 4),
        (1_793_534_400_007, "ms", _NOON + 7_000_000),
        (1_793_534_400_000_001, "us", _NOON + 1000),
        (_NOON + 1, "ns", _NOON + 1),
    ],
)
def test_a_time_keeps_every_digit_that_orders_it(value: Any, unit: Unit, wanted: int) -> None:
    assert instant(value, unit) == wanted


@pytest.mark.parametrize(
    ("value", "unit"),
    [
        (None, "iso"),
        ("", "iso"),
        ("yesterday", "iso"),
        ("2026-13-01T00:00:00Z", "iso"),
        ("2026-11-01", "iso"),
        (1_793_534_400, "iso"),
        ("soon", "s"),
        (True, "s"),
        (float("nan"), "s"),
        (float("inf"), "ms"),
        (-1, "s"),
        (10**30, "s"),
        ([], "ms"),
    ],
)
def test_what_is_no_time_is_none(value: Any, unit: Unit) -> None:
    assert instant(value, unit) is None


@given(st.integers(0, 250_000_000_000 * SECOND), st.integers(0, 9))
def test_a_bound_is_never_later_than_the_moment_it_stands_for(moment: int, digits: int) -> None:
    text = iso(moment, digits)
    found = instant(text)
    assert found is not None
    assert 0 <= moment - found < 10 ** (9 - digits)
