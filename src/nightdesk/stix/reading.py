"""What compiled mappings call at run time: typed reads that report a wrong type and never raise."""

import math
import re
from datetime import datetime
from typing import Any, Protocol

import orjson

from nightdesk.stix import values

__all__ = [
    "COMPOUND",
    "EMPTY",
    "as_dict",
    "as_flag",
    "as_integer",
    "as_number",
    "as_scalar",
    "as_text",
    "as_time",
    "as_url",
    "digests",
    "listed",
    "many",
    "single",
    "texts",
]

COMPOUND = frozenset({list, dict})
EMPTY: dict[str, Any] = {}
_NOTHING: tuple[Any, ...] = (None, "", [], {})
_NEVER: tuple[Any, ...] = (None, [], {}, 0)
_NESTED: frozenset[type] = frozenset({dict, list})
_LARGEST = 2**53 - 1
"""STIX integers end here (section 2.8): a reader of JSON rounds what is larger."""
_WHOLE = ((10, re.compile(r"-?[0-9]{1,16}")), (16, re.compile(r"0[xX][0-9a-fA-F]{1,14}")))


class Reports(Protocol):
    """The builder, as far as reading needs it."""

    def problem(self, pointer: str, wanted: str, found: Any) -> None:
        """Notes that something else stood where ``wanted`` was expected."""


def as_dict(value: Any, pointer: str, report: Reports) -> dict[str, Any]:
    """An object; a list of one object is that object, a missing one is empty."""
    if value.__class__ is dict:
        found: dict[str, Any] = value
        return found
    if value in _NOTHING:
        return EMPTY
    if value.__class__ is list and value[0].__class__ is dict:
        if len(value) > 1:
            report.problem(pointer, "one object", value)
        first: dict[str, Any] = value[0]
        return first
    report.problem(pointer, "an object", value)
    return EMPTY


def single(value: Any, pointer: str, report: Reports) -> Any:
    """The one value of a list, for a function that takes one; several, or an object, are reported."""
    if value.__class__ is list:
        given = [item for item in value if item is not None and item != ""]
        if not given:
            return None
        if len(given) == 1 and given[0].__class__ not in COMPOUND:
            return given[0]
    report.problem(pointer, "one value", value)
    return None


def as_text(value: Any, pointer: str, report: Reports) -> str | None:
    """A text; a number is its digits, an empty text or a lone dash is nothing, a list of one is its element."""
    if value.__class__ is str:
        stripped = value.strip()
        return value if stripped and stripped != "-" else None
    if value is None:
        return None
    if value.__class__ is int:
        return str(value)
    if value.__class__ is float:
        return repr(value)
    if value.__class__ is bool:
        return "true" if value else "false"
    if value.__class__ is list:
        if not value:
            return None
        if len(value) == 1:
            return as_text(value[0], pointer, report)
    report.problem(pointer, "a text", value)
    return None


def as_integer(value: Any, pointer: str, report: Reports) -> int | None:
    """A whole number, also as its digits."""
    if value.__class__ is int and -_LARGEST <= value <= _LARGEST:
        whole: int = value
        return whole
    if value in _NOTHING:
        return None
    if value.__class__ is str:
        text = value.strip()
        if text in {"-", "N/A"}:
            return None
        for base, shape in _WHOLE:
            if shape.fullmatch(text) and abs(int(text, base)) <= _LARGEST:
                return int(text, base)
    if value.__class__ is float and value.is_integer() and abs(value) <= _LARGEST:
        return int(value)
    if value.__class__ is list and len(value) == 1:
        return as_integer(value[0], pointer, report)
    report.problem(pointer, "a whole number", value)
    return None


def as_number(value: Any, pointer: str, report: Reports) -> float | int | None:
    """A number, also as its digits."""
    if value is None or value == "":
        return None
    if value.__class__ is int or value.__class__ is float or value.__class__ is str:
        try:
            number = float(value)
        except (ValueError, OverflowError):
            number = math.inf
        if abs(number) <= _LARGEST:
            return int(number) if number.is_integer() and (value.__class__ is int or "." not in str(value)) else number
    report.problem(pointer, "a number", value)
    return None


def as_flag(value: Any, pointer: str, report: Reports) -> bool | None:
    """Yes or no, also as a word."""
    if value.__class__ is bool:
        found: bool = value
        return found
    if value is None or value == "":
        return None
    word = str(value).strip().lower()
    if word in {"true", "yes", "1"}:
        return True
    if word in {"false", "no", "0"}:
        return False
    report.problem(pointer, "yes or no", value)
    return None


def as_time(value: Any, pointer: str, report: Reports) -> datetime | None:
    """A time with a zone, or a count since 1970 (0 is how vendors write *never*)."""
    if value.__class__ is str:
        if not value or value == "0":
            return None
        found = values.parse_time(value)
    elif value in _NEVER:
        return None
    elif value.__class__ is list and len(value) == 1:
        return as_time(value[0], pointer, report)
    elif value.__class__ is int or value.__class__ is float:
        found = values.epoch(repr(value))
    else:
        found = None
    if found is None:
        report.problem(pointer, "a time with a zone, 2000 to 2100", value)
    return found


def as_url(value: Any, pointer: str, report: Reports) -> str | None:
    """An absolute URL."""
    text = as_text(value, pointer, report)
    if text is None:
        return None
    found = values.url(text)
    if found is None:
        report.problem(pointer, "an absolute URL", value)
    return found


def as_scalar(value: Any, pointer: str, report: Reports) -> str | int | float | bool | None:
    """A scalar as it is; a list joined (each element once), an object as JSON: vendor fields are flat."""
    if value.__class__ is str:
        text: str = value
        return text or None
    if value.__class__ is bool:
        found: bool = value
        return found
    if value in _NOTHING:
        return None
    if value.__class__ is float and math.isfinite(value):
        return float(value)
    if value.__class__ is int:
        return int(value) if -_LARGEST <= value <= _LARGEST else str(value)
    if value.__class__ is list and len(value) == 1 and value[0].__class__ is str:
        return value[0] or None
    if value.__class__ is list and list in {item.__class__ for item in value}:
        value = [inner for item in value for inner in (item if item.__class__ is list else (item,))]
    try:
        if value.__class__ is list and _NESTED.isdisjoint([item.__class__ for item in value]):
            return ", ".join(dict.fromkeys(_word(item) for item in value if item not in _NOTHING)) or None
        return orjson.dumps(value).decode()
    except orjson.JSONEncodeError:
        # Nested past what the encoder takes, or an integer of more than 64 bits.
        report.problem(pointer, "a value that JSON can carry", value)
        return None


def _word(item: Any) -> str:
    return item if item.__class__ is str else orjson.dumps(item).decode()


def many(node: Any, steps: tuple[str, ...], pointer: str, report: Reports) -> list[Any]:
    """Every value at a path with lists in it; an unexpected list is walked, a single value is a list of one."""
    found = [node]
    for depth, step in enumerate(steps):
        following: list[Any] = []
        for item in found:
            if step == "[]":
                if item.__class__ is list:
                    following += item
                else:
                    following.append(item)
            elif item.__class__ is dict:
                value = item.get(step)
                if value is not None:
                    following.append(value)
            else:
                for inner in item if item.__class__ is list else (item,):
                    if inner.__class__ is dict:
                        value = inner.get(step)
                        if value is not None:
                            following.append(value)
                    elif inner is not None and inner != "":
                        before = "".join(f"/{'*' if passed == '[]' else passed}" for passed in steps[:depth])
                        report.problem(pointer + before, "an object", inner)
        if not following:
            return following
        found = following
    return [item for item in found if item is not None and item != ""]


def listed(value: Any) -> Any:
    """A value as a list without its empty elements."""
    if value.__class__ is not list:
        return [value] if value != "" else ()
    if None in value or "" in value:
        return [item for item in value if item is not None and item != ""]
    return value


def texts(items: Any, pointer: str, report: Reports) -> list[str]:
    """A flat list of texts."""
    result: list[str] = []
    for item in items if items.__class__ is list else [items]:
        if item.__class__ is list:
            result.extend(texts(item, pointer, report))
            continue
        text = as_text(item, pointer, report)
        if text is not None:
            result.append(text)
    return result


def digests(items: Any, pointer: str, report: Reports) -> list[str]:
    """The hashes among texts; a run of zeros is how vendors write *none*, anything else is reported."""
    result: list[str] = []
    for text in texts(items, pointer, report):
        if values.hash_name(text) is not None:
            result.append(text)
        elif text.strip("0"):
            report.problem(pointer, "a hash", text)
    return result
