"""Durations as Go writes and reads them (``3h59m59.9s``, ``-1.5ms``): the only form that the Local API speaks."""

import re

__all__ = ["duration_text", "seconds_of"]

_UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_PART = r"(?:\d+\.?\d*|\.\d+)(?:ns|us|µs|μs|ms|s|m|h)"
_WHOLE = re.compile(rf"([+-]?)((?:{_PART})+|0)")
_ONE = re.compile(r"([\d.]+)([a-zµμ]+)")


def seconds_of(text: object) -> float | None:
    """Seconds of a duration; None for what Go does not take for one (``2d``, ``5``, ``3 hours``)."""
    match = _WHOLE.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        return None
    total = sum(float(number) * _UNITS[unit] for number, unit in _ONE.findall(match[2]))
    return -total if match[1] == "-" else total


def duration_text(seconds: float) -> str:
    """The duration in milliseconds at most, as whole as it is: ``3600s``, ``1500ms``."""
    thousandths = round(seconds * 1000)
    return f"{thousandths // 1000}s" if thousandths % 1000 == 0 else f"{thousandths}ms"
