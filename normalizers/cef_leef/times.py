"""Times of CEF and LEEF lines: in words, with the device's zone, or by the line's own format."""

import re
from typing import Any, Final

from nightdesk.stix import values

__all__ = ["instant", "undated", "zoned"]

_MONTHS: Final = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
# CEF's and LEEF's own forms of a time in words; only one with a year and a zone says when something was.
_WORDED: Final = re.compile(
    r"(?:[A-Za-z]{3},? )?([A-Za-z]{3}) +(\d{1,2}),? (\d{4}) (\d\d:\d\d:\d\d)(?:[.,](\d{1,9}))? ?(\S{1,9})"
)
_ZONE: Final = re.compile(r"(?:UTC|GMT|Z)?(?:([+-])(\d\d):?(\d\d))?")
_TIME_KEYS: Final = ("rt", "start", "end", "deviceCustomDate1", "deviceCustomDate2", "devTime")
# SimpleDateFormat letters of devTimeFormat, each a pattern.
_LETTERS: Final = {
    "yyyy": r"(?P<year>\d{4})", "MMM": r"(?P<word>[A-Za-z]{3})", "MM": r"(?P<month>\d\d)", "M": r"(?P<month>\d\d?)",
    "dd": r"(?P<day>\d\d)", "d": r"(?P<day>\d\d?)", "HH": r"(?P<hour>\d\d)", "H": r"(?P<hour>\d\d?)",
    "mm": r"(?P<minute>\d\d)", "ss": r"(?P<second>\d\d)", "SSS": r"(?P<fraction>\d{3})",
    "SSSSSS": r"(?P<fraction>\d{6})", "EEE": r"[A-Za-z]{3}",
} | dict.fromkeys(("z", "zzz", "Z", *("X" * length for length in (1, 2, 3))), r"(?P<zone>\S+)")  # fmt: skip
_FORMAT: Final = re.compile(r"'([^']*)'|([A-Za-z])\2*|[^A-Za-z']")
_LONGEST: Final = 100


def zoned(record: dict[str, Any]) -> dict[str, Any]:
    """The record with the device's zone (``dtz``) behind its times without one, and ``devTimeFormat`` applied."""
    made = dict(record)
    for part in ("extension", "attributes"):
        fields = record.get(part)
        if not isinstance(fields, dict):
            continue
        zone, shape = fields.get("dtz"), fields.get("devTimeFormat")
        own = dict(fields)
        for key in _TIME_KEYS:
            text = own.get(key)
            if not isinstance(text, str) or instant(text) is not None:
                continue
            found = _by_format(text, shape) if key == "devTime" else None
            if found is None and isinstance(zone, str) and zone.strip() and _ZONE.fullmatch(zone.strip()):
                found = instant(f"{text} {zone.strip()}")
            own[key] = found or text
        made[part] = own
    return made


def _by_format(text: str, shape: Any) -> str | None:
    """A time read by a SimpleDateFormat pattern that has year and zone."""
    if not isinstance(shape, str) or len(shape) > _LONGEST or len(text) > _LONGEST:
        return None
    pattern = ""
    for match in _FORMAT.finditer(shape):
        letters = match[0] if match[2] else ""
        if letters and letters not in _LETTERS:
            return None
        pattern += _LETTERS[letters] if letters else re.escape(match[1] if match[1] is not None else match[0])
    try:
        found = re.fullmatch(pattern, text.strip())
    except re.error:
        return None
    parts = found.groupdict() if found else {}
    month = parts.get("month") or _month(parts.get("word") or "")
    if not (month and all(parts.get(name) for name in ("year", "day", "hour", "minute", "zone"))):
        return None
    clock = f"{parts['hour']:0>2}:{parts['minute']}:{parts.get('second') or '00'}"
    return _iso(parts["year"], month, parts["day"], clock, parts.get("fraction"), parts["zone"])


def _month(word: str) -> str | None:
    return str(_MONTHS.index(word.lower()) + 1) if word.lower() in _MONTHS else None


def _iso(year: str, month: str, day: str, clock: str, fraction: str | None, zone: str) -> str | None:
    found = _ZONE.fullmatch(zone)
    if not zone or found is None:
        return None
    offset = f"{found[1]}{found[2]}:{found[3]}" if found[1] else "Z"
    text = f"{year}-{month:0>2}-{day:0>2}T{clock}{'.' + fraction if fraction else ''}{offset}"
    return text if values.moment(text) else None


def instant(value: Any) -> Any:
    """A time that says when: ms since 1970, ISO 8601 with a zone, or ``Nov 01 2026 10:00:00.000 UTC``; else nothing."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return value
    text = value.strip()[:_LONGEST] if isinstance(value, str) else ""
    if values.parse_time(text):
        return text
    match = _WORDED.fullmatch(text)
    month = _month(match[1]) if match else None
    return _iso(match[3], month, match[2], match[4], match[5], match[6]) if match and month else None


def undated(value: Any) -> str | None:
    """A time that does not say when, as it was written."""
    return value if isinstance(value, str) and instant(value) is None else None
