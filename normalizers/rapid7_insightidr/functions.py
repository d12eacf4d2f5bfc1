"""What InsightIDR's records say in words: the asset in a title, times of several alerts, a rule as id or object."""

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from nightdesk.stix import values

__all__ = ["FUNCTIONS"]

# "Process reported as malicious ran on asset ws-07.example.com": at most a domain name's length is looked at.
_ASSET: Final = re.compile(r"\bon asset (\w(?:[\w.:-]{0,252}\w)?)(?=[\s,;)]|[.:]?$)")
_ORGANIZATION: Final = re.compile(r"rrn:[a-z-]+:[a-z0-9-]+:([0-9A-Za-z-]+):")
_DASHED: Final = re.compile(r"(\d\d)-(\d\d)-(\d{4})T(\d\d:\d\d:\d\d)")
_MONTHS: Final = 12


def _texts(elements: Any, key: str) -> list[str]:
    items = elements if isinstance(elements, list) else [elements]
    found = [item.get(key) for item in items if isinstance(item, dict)]
    return [text for text in found if isinstance(text, str) and text.strip()]


def asset_of(title: Any) -> str | None:
    """The asset that a detection rule's title names."""
    found = _ASSET.search(title) if isinstance(title, str) else None
    return found[1] if found else None


def organization(rrn: Any) -> str | None:
    """The organization in a resource name."""
    found = _ORGANIZATION.match(rrn) if isinstance(rrn, str) else None
    return found[1] if found else None


def counted(elements: Any) -> int | None:
    """How many elements a list has."""
    return len(elements) or None if isinstance(elements, list) else None


def _moments(elements: Any, key: str) -> list[str]:
    known = [(found, text) for text in _texts(elements, key) if (found := values.parse_time(text))]
    return [text for _, text in sorted(known)]


def earliest(elements: Any, key: str) -> str | None:
    """The first of the times under that key."""
    return next(iter(_moments(elements, key)), None)


def latest(elements: Any, key: str) -> str | None:
    """The last of the times under that key."""
    return next(iter(_moments(elements, key)[::-1]), None)


def unambiguous(value: Any) -> Any:
    """``01-01-2020T00:00:00``, as the documentation of this list writes times, where day and month cannot be confused.

    What reads both ways goes on as it is, to be reported; so does every other form.
    """
    found = _DASHED.fullmatch(value.strip()) if isinstance(value, str) else None
    if found is None:
        return value
    first, second, year, clock = found.groups()
    if first != second and int(first) <= _MONTHS and int(second) <= _MONTHS:
        return value
    month, day = (second, first) if int(first) > _MONTHS else (first, second)
    return f"{year}-{month}-{day}T{clock}Z"


def part(rule: Any, name: str) -> str | None:
    """A part of a detection rule, which stands as an object or as its resource name alone."""
    found = rule.get(name) if isinstance(rule, dict) else rule if name == "rule_rrn" else None
    return found if isinstance(found, str) else None


FUNCTIONS: Final[Mapping[str, Callable[..., Any]]] = {
    function.__name__: function for function in (asset_of, organization, counted, earliest, latest, unambiguous, part)
}
