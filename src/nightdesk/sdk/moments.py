"""Vendors' times as whole nanoseconds since 1970, so that no digit that orders two alerts is lost."""

import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any, Literal

__all__ = ["SECOND", "Unit", "instant", "iso"]

Unit = Literal["iso", "s", "ms", "us", "ns"]

SECOND = 1_000_000_000
"""Nanoseconds."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LAST = 253_402_300_800 * SECOND  # the year 10000, which no time text can say
_SCALES = {"s": SECOND, "ms": 1_000_000, "us": 1_000, "ns": 1}
_ISO = re.compile(r"(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d:\d\d)(?:[.,](\d+))?\s*([Zz]|UTC|[+-]\d\d:?\d\d)?")


def instant(value: Any, unit: Unit = "iso") -> int | None:
    """Nanoseconds since 1970 of an ISO 8601 text (UTC when it names no zone) or of a number of ``unit``.

    None when it is no time: wrong type, wrong form, or outside the years 1970 to 9999.
    """
    found = _of_text(value) if unit == "iso" else _of_number(value, _SCALES[unit])
    return found if found is not None and 0 <= found < _LAST else None


def iso(moment: int, digits: int = 0) -> str:
    """``2026-11-01T00:00:00.123Z`` with 0 to 9 digits of a second; cut, never rounded up, so it is safe as a bound."""
    seconds, rest = divmod(moment, SECOND)
    text = f"{_EPOCH + timedelta(seconds=seconds):%Y-%m-%dT%H:%M:%S}"
    return f"{text}.{rest:09d}"[: len(text) + 1 + digits] + "Z" if digits else f"{text}Z"


def _of_text(value: Any) -> int | None:
    found = _ISO.fullmatch(value.strip()) if isinstance(value, str) else None
    if found is None:
        return None
    day, time, fraction, zone = found.groups()
    sign = "" if zone is None or zone in {"Z", "z", "UTC"} else zone
    try:
        whole = datetime.fromisoformat(f"{day}T{time}{sign or '+00:00'}")
    except ValueError:
        return None
    return (whole - _EPOCH) // timedelta(seconds=1) * SECOND + int((fraction or "")[:9].ljust(9, "0"))


def _of_number(value: Any, scale: int) -> int | None:
    if isinstance(value, bool) or not isinstance(value, int | float | str | Decimal):
        return None
    if isinstance(value, int):
        return value * scale
    try:
        return int(Decimal(str(value).strip()) * scale)
    except (InvalidOperation, OverflowError, ValueError):
        return None
