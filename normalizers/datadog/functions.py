"""Datadog's envelopes put aside: what the product found, beside the resource's own id, tags and time."""

from collections.abc import Callable, Mapping
from typing import Any, Final

__all__ = ["FUNCTIONS"]


def opened(document: Any) -> Any:
    """The record with its attributes beside its id, and under ``detail`` what the API wraps once or twice more.

    The documentation names the inner object ``custom``; recorded answers name it ``attributes``, or nest one in the
    other (https://docs.datadoghq.com/api/latest/security-monitoring/).
    """
    outer = document.get("attributes") if isinstance(document, dict) else None
    if not isinstance(outer, dict):
        return document
    inner: dict[str, Any] = {}
    rest = {key: value for key, value in outer.items() if key not in ("attributes", "custom")}
    for name in ("attributes", "custom"):
        found = outer.get(name)
        if isinstance(found, dict):
            nested = found.get("custom")
            inner |= {key: value for key, value in found.items() if key != "custom"}
            inner |= nested if isinstance(nested, dict) else {}
    kept = {key: value for key, value in document.items() if key != "attributes"}
    return {**rest, **kept, "detail": inner}


def command(process: Any) -> str | None:
    """The command line of a process whose arguments stand as a list or a text, after what it calls itself."""
    if not isinstance(process, dict):
        return None
    for key in ("cmdline", "command_line"):
        if isinstance(process.get(key), str) and process[key]:
            return str(process[key])
    parts = process.get("args")
    words = [part for part in parts if isinstance(part, str)] if isinstance(parts, list) else []
    words = words or ([parts] if isinstance(parts, str) and parts else [])
    image = process.get("executable")
    path = image.get("path") if isinstance(image, dict) else None
    return " ".join([path, *words]) if words and isinstance(path, str) else None


FUNCTIONS: Final[Mapping[str, Callable[..., Any]]] = {function.__name__: function for function in (opened, command)}
