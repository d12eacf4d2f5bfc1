"""MISP's types for the things that we name, and how to tell that an attribute is about one of them."""

from collections.abc import Mapping
from typing import Any

from nightdesk.sdk.errors import UnsupportedError
from nightdesk.sdk.kinds import TargetKind
from nightdesk.sdk.targets import Target

__all__ = ["is_about", "type_of", "value_of"]


def value_of(target: Target) -> str:
    """The value as MISP writes it. Raises UnsupportedError for a kind that it has no type for."""
    type_of(target)
    return target.value.partition(":")[2] if target.kind is TargetKind.FILE else target.value


def type_of(target: Target) -> tuple[str, str]:
    """The type and the category of an attribute about this. Raises UnsupportedError."""
    match target.kind:
        case TargetKind.ADDRESS:
            return "ip-dst", "Network activity"
        case TargetKind.DOMAIN:
            return "domain", "Network activity"
        case TargetKind.URL:
            return "url", "Network activity"
        case TargetKind.FILE:
            return target.value.partition(":")[0], "Payload delivery"
    raise UnsupportedError(f"misp: nothing is known or said about {target.key}; only address, domain, url and file")


def is_about(attribute: Mapping[str, Any], value: str) -> bool:
    """Whether it has exactly this value, alone or as a part of a composite (``ip-dst|port``, ``filename|sha256``).

    The search takes a percent sign for a wildcard, so what it finds is looked at again.
    """
    found = str(attribute.get("value", "")).lower()
    parts = found.split("|") if "|" in str(attribute.get("type", "")) else [found]
    return value.lower() in parts
