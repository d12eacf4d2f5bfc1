"""Values of variables: what each type admits, and how a text that names variables gets its values."""

import ipaddress
import re
import uuid
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from nightdesk.autonomy.playbooks.model import Variable
from nightdesk.sdk.errors import PolicyError

__all__ = ["MENTION", "TYPES", "filled", "mentioned", "misfit", "with_values"]

MENTION = re.compile(r"(__[a-zA-Z_][a-zA-Z0-9_-]{0,199}?__):value")


def _hexes(*lengths: int) -> Callable[[str], object]:
    def check(value: str) -> None:
        if not re.fullmatch(r"[0-9a-fA-F]+", value) or (lengths and len(value) not in lengths):
            raise ValueError(value)

    return check


def _bool(value: str) -> None:
    if value.lower() not in {"true", "false"}:
        raise ValueError(value)


def _matches(pattern: str) -> Callable[[str], object]:
    def check(value: str) -> None:
        if not re.fullmatch(pattern, value):
            raise ValueError(value)

    return check


TYPES: Mapping[str, Callable[[str], object]] = {
    "bool": _bool,
    "float": float,
    "hexstring": _hexes(),
    "integer": int,
    "ipv4-addr": ipaddress.IPv4Network,
    "ipv6-addr": ipaddress.IPv6Network,
    "long": int,
    "mac-addr": _matches(r"[0-9a-fA-F]{2}(?:[:-][0-9a-fA-F]{2}){5}"),
    "hash": _hexes(32, 40, 64, 96, 128),
    "md5-hash": _hexes(32),
    "sha256-hash": _hexes(64),
    "string": str,
    "uri": _matches(r"[a-zA-Z][a-zA-Z0-9+.-]*:\S+"),
    "uuid": uuid.UUID,
}
"""Executed types; each call raises ValueError for a text that is none."""


def misfit(variable: Variable, value: str) -> str:
    """Why this text is no value of that variable, or nothing."""
    check = TYPES.get(variable.type)
    if check is None:
        return f"variables of the type {variable.type} are not executed by nightdesk; it knows {', '.join(TYPES)}"
    try:
        check(value)
    except ValueError:
        return f"{value[:80]!r} is no {variable.type}"
    return ""


def mentioned(value: Any) -> Iterator[str]:
    """The variables that a JSON value names, in any of its texts."""
    if isinstance(value, str):
        yield from (found[1] for found in MENTION.finditer(value))
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from mentioned(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from mentioned(item)


def filled(value: Any, values: Mapping[str, str]) -> Any:
    """The JSON value with every mention replaced, inside texts only: a value never becomes structure.

    Raises PolicyError for a variable without a value.
    """
    if isinstance(value, str):
        return MENTION.sub(lambda found: _value(found[1], values), value)
    if isinstance(value, Mapping):
        return {name: filled(item, values) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [filled(item, values) for item in value]
    return value


def with_values(variables: Mapping[str, Variable]) -> dict[str, str]:
    """Those that have a value from the beginning."""
    return {name: one.value for name, one in variables.items() if one.value is not None}


def _value(name: str, values: Mapping[str, str]) -> str:
    try:
        return values[name]
    except KeyError:
        raise PolicyError(f"{name} has no value yet") from None
