"""The two ends of a line, which may be anybody's: which is inside, what it is called, and who attacks whom."""

from collections.abc import Iterator
from typing import Any, Final

from nightdesk.stix import values
from nightdesk.stix.networks import is_inside, is_outside

__all__ = [
    "at",
    "attacks",
    "fields_of",
    "host",
    "level",
    "lonely",
    "site",
    "suffers",
    "texts_at",
    "unnamed",
    "unnamed_device",
]

# By side: where addresses, names and the IPv6 fields with their usual labels stand, in CEF's words and in LEEF's.
_SIDES: Final = {
    "source": (("src", "Source IPv6 Address", "c6a2"), ("shost", "sourceHostName", "srcHostName", "srcHost")),
    "destination": (
        ("dst", "Destination IPv6 Address", "c6a3"), ("dhost", "destinationHostName", "dstHostName", "dstHost"),
    ),
}  # fmt: skip
_LEVELS: Final = {
    "unknown": "unknown", "low": "low", "medium": "medium", "high": "high", "very-high": "critical",
    "very high": "critical", "critical": "critical", "informational": "informational", "info": "informational",
}  # fmt: skip
_QUIET: Final = frozenset({"informational", "low", "unknown"})
_TEN: Final = 10


def at(record: Any, *path: str) -> Any:
    """What stands at a path of keys."""
    for step in path:
        record = record.get(step) if isinstance(record, dict) else None
    return record


def fields_of(record: Any) -> dict[str, Any]:
    """Every field of the line by its key or its label; a labelled field does not hide a key of the dictionary."""
    parts = (at(record, name) for name in ("custom", "extension", "attributes"))
    return {key: value for part in parts if isinstance(part, dict) for key, value in part.items()}


def texts_at(record: Any, keys: tuple[str, ...]) -> Iterator[str]:
    """The texts under these keys or labels, in their order."""
    fields = fields_of(record)
    for key in keys:
        value = fields.get(key)
        if isinstance(value, str) and value.strip():
            yield value.strip()


def level(value: Any) -> str | None:
    """CEF's severity: 0 to 3 low, to 6 medium, to 8 high, to 10 very high, or the word. ValueError for any other."""
    text = str(value).strip().lower()
    if text in _LEVELS:
        return _LEVELS[text]
    number = float(text)
    if not 0 <= number <= _TEN:
        raise ValueError(value)
    return "low" if number < 4 else "medium" if number < 7 else "high" if number < 9 else "critical"


def address_of(record: Any, side: str) -> str | None:
    """The first address of this end, in its one form."""
    found = (values.address(text) for text in texts_at(record, _SIDES[side][0]))
    return next((pair[1] for pair in found if pair), None)


def _attacker_side(record: Any) -> str | None:
    """The end outside, when the other is inside and the line is grave: one of low severity tells of mere traffic."""
    said = at(record, "cef", "severity") or at(record, "attributes", "sev")
    try:
        quiet = level(said) in _QUIET
    except ValueError:
        quiet = True
    ends = {side: address_of(record, side) for side in _SIDES}
    for side, other in (("source", "destination"), ("destination", "source")):
        if not quiet and is_outside(ends[side]) and is_inside(ends[other]):
            return side
    return None


def attacks(record: Any, side: str) -> bool | None:
    """Whether this end (``source``, ``destination``) is the attacker's."""
    return True if _attacker_side(record) == side else None


def suffers(record: Any, side: str) -> bool | None:
    """Whether this end is the machine inside that the attacker talks to."""
    return True if _attacker_side(record) not in (None, side) else None


def host(record: Any, side: str) -> str | None:
    """The name of this end, when it is a machine inside or one whose address the line does not give."""
    name = next((text for text in texts_at(record, _SIDES[side][1]) if not values.address(text)), None)
    return None if name is None or is_outside(address_of(record, side)) else name


def site(record: Any, side: str) -> str | None:
    """The domain name of this end, when its address is outside."""
    name = next((text for text in texts_at(record, _SIDES[side][1]) if values.domain(text)), None)
    return name if name and is_outside(address_of(record, side)) else None


def unnamed(record: Any, side: str) -> str | None:
    """The address of this end as its id, when it suffers and has no name."""
    return address_of(record, side) if suffers(record, side) and not host(record, side) else None


def lonely(record: Any) -> bool | None:
    """Whether the line names no end: then it is about the device that speaks."""
    return None if any(next(texts_at(record, (*keys, *names)), None) for keys, names in _SIDES.values()) else True


def unnamed_device(record: Any) -> str | None:
    """The address of the device that speaks as its id, when it has no name."""
    named = any(not values.address(text) for text in texts_at(record, ("dvchost", "deviceHostName", "devName")))
    return None if named else next(texts_at(record, ("dvc",)), None)
