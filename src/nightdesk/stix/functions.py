"""The closed list of functions a mapping may call: each takes a value and words and returns a value or None.

Documented in docs/reference/mappings.md; a product that needs more brings ``functions.py`` beside its mapping.
"""

import calendar
import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from nightdesk.stix import values
from nightdesk.stix.ids import observable_id

__all__ = ["FUNCTIONS", "Function", "check_call", "check_pattern"]

Function = Callable[..., Any]

_MONTHS = {name.lower(): at for at, name in enumerate(calendar.month_abbr) if name}
_PLAIN = re.compile(r"(\d{4})-(\d\d?)-(\d\d?)(?:[T ](\d\d?):(\d\d)(?::(\d\d)(?:[.,](\d+))?)?)?")
_WORDED = re.compile(
    r"(?:[A-Za-z]{3},? )?([A-Za-z]{3}) +(\d\d?) (\d{4}) (\d\d):(\d\d):(\d\d)(?:[.:](\d+))?(?: (?:UTC|GMT|Z))?"
)
_AMERICAN = re.compile(
    r"(\d\d?)/(\d\d?)/(\d{4}),? (\d\d?):(\d\d):(\d\d)(?:\.(\d+))?(?: ?([AaPp])[Mm])?(?: (?:UTC|GMT|Z))?"
)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else str(value)


def bands(value: Any, low: str, medium: str, high: str, critical: str) -> str | None:
    """A number to a severity word: below ``low`` informational, then low, medium, high, critical."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    limits = ((critical, "critical"), (high, "high"), (medium, "medium"), (low, "low"))
    return next((word for limit, word in limits if number >= float(limit)), "informational")


def split(value: Any, separator: str = ",") -> list[str]:
    """A text to a list at a separator (the word ``comma``, ``semicolon`` or ``space``, or the separator itself)."""
    named = {"comma": ",", "semicolon": ";", "space": " ", "bar": "|"}
    return [part.strip() for part in _text(value).split(named.get(separator, separator)) if part.strip()]


def after(value: Any, mark: str) -> str | None:
    """What stands after the last ``mark``; None without it."""
    _, found, rest = _text(value).rpartition(mark)
    return (rest or None) if found else None


def before(value: Any, mark: str) -> str | None:
    """What stands before the first ``mark``; None without it."""
    head, found, _ = _text(value).partition(mark)
    return (head or None) if found else None


def labelled(value: Any, label: str) -> str | None:
    """One of several ``NAME=value`` pairs, as Sysmon writes hashes."""
    for part in _text(value).split(","):
        name, _, rest = part.strip().partition("=")
        if name.lower() == label.lower() and rest:
            return rest
    return None


def basename(value: Any) -> str | None:
    """The last part of a path."""
    return values.split_path(_text(value))[1] or None


def shaped(value: Any, pattern: str) -> str | None:
    """The value when the whole of it matches a regular expression, else None."""
    text = _text(value)
    return text if re.fullmatch(pattern, text) else None


def flag(value: Any, word: str) -> str | None:
    """The word, when the value is true."""
    return word if value is True or _text(value).lower() in {"true", "1", "yes"} else None


def if_address(value: Any) -> str | None:
    """The value when it is an address; a host field often holds either."""
    return _text(value) if values.address(_text(value)) else None


def if_name(value: Any) -> str | None:
    """The value when it is no address."""
    text = _text(value).strip()
    return text if text and not values.address(text) else None


def if_domain(value: Any) -> str | None:
    """The value when it is a domain name."""
    return values.domain(_text(value))


def if_hash(value: Any) -> str | None:
    """The value when it is a hash."""
    return _text(value) if values.hash_name(_text(value)) else None


def if_technique(value: Any) -> str | None:
    """The value when it has the shape of an ATT&CK technique id."""
    return shaped(_text(value).strip().upper(), r"T\d{4}(\.\d{3})?")


def if_email(value: Any) -> str | None:
    """The value when it is a mail address."""
    return values.email(_text(value))


def if_url(value: Any) -> str | None:
    """The value when it is an absolute URL."""
    return values.url(_text(value))


def found(value: Any, pattern: str) -> str | None:
    r"""What a regular expression finds in a text: its first group, or all of the match; write a blank as ``\s``."""
    match = re.search(pattern, _text(value))
    if match is None:
        return None
    return (match[1] if match.re.groups else match[0]) or None


def utc(value: Any) -> Any:
    """A time without a zone, where the vendor's documentation says that it is UTC; anything else goes on as it is.

    Takes ``2026-11-01 10:00[:00[.123]]``, ``Nov 01 2026 10:00:00`` and ``11/1/2026 10:00:00 AM`` (month first).
    """
    text = _text(value).strip()
    parts: tuple[Any, ...]
    if match := _PLAIN.fullmatch(text):
        year, month, day, hour, minute, second, fraction = match.groups()
        parts = (year, month, day, hour or 0, minute or 0, second or 0)
    elif (match := _WORDED.fullmatch(text)) and match[1].lower() in _MONTHS:
        parts, fraction = (match[3], _MONTHS[match[1].lower()], *match.group(2, 4, 5, 6)), match[7]
    elif match := _AMERICAN.fullmatch(text):
        half = (match[8] or "").lower()
        hour = int(match[4]) % 12 + 12 * (half == "p") if half else int(match[4])
        parts, fraction = (match[3], match[1], match[2], hour, match[5], match[6]), match[7]
    else:
        return value
    year, *rest = map(int, parts)
    return "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}".format(year, *rest) + (f".{fraction}Z" if fraction else "Z")


def percent(value: Any) -> Any:
    """A share from 0 to 1 as 0 to 100."""
    return times(value, "100")


def times(value: Any, factor: str) -> Any:
    """A number multiplied, to the nearest whole; what is no number goes on as it is, to be reported."""
    try:
        return round(float(value) * float(factor))
    except (TypeError, ValueError, OverflowError):
        return value


def lower(value: Any) -> str:
    """Lower case."""
    return _text(value).lower()


def prefixed(value: Any, word: str) -> str:
    """``word:value``: one id of the vendor becomes the key of several things."""
    return f"{word}:{_text(value)}"


def address_id(value: Any) -> str | None:
    """The STIX id of an address: inside a list ``@label`` is the list's last object, not the element's own."""
    found = values.address(_text(value))
    return observable_id(found[0], {"value": found[1]}) if found else None


FUNCTIONS: Final[Mapping[str, Function]] = {
    function.__name__: function
    for function in (
        bands, split, after, before, labelled, basename, shaped, found, flag, if_address, if_name, if_domain, if_hash,
        if_email, if_url, if_technique, lower, prefixed, utc, percent, times, address_id,
    )
}  # fmt: skip


def check_call(name: str, function: Function, words: Sequence[str]) -> None:
    """Raises ValueError when the function cannot take these words, so that a mapping is refused when it is loaded."""
    try:
        inspect.signature(function).bind(None, *words)
    except TypeError as error:
        raise ValueError(f"{name} cannot take {' '.join(words) or 'no word'}: {error}") from error
    if name in {"shaped", "found"}:
        check_pattern(words[0])


def check_pattern(text: str) -> str:
    """The text, when it is a regular expression. Raises ValueError."""
    try:
        re.compile(text)
    except re.error as error:
        raise ValueError(f"{text!r} is no regular expression: {error}") from error
    return text
