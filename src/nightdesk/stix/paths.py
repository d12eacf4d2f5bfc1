"""Paths into a payload: ``a.b.*.c`` as steps."""

import re
from typing import Any, Final

__all__ = ["LIST", "Path_", "parse_path", "value_at"]

LIST: Final = "[]"
Path_ = tuple[str, ...]
_STEP = re.compile(r"`([^`]+)`|([^.\[\]`]+)")


def parse_path(text: str) -> Path_:
    """``a.b.*.c`` as steps, ``*`` for every element of a list; a key with a dot stands in backquotes."""
    steps: list[str] = []
    rest = text
    while rest:
        if rest.startswith(".") and steps:
            rest = rest[1:]
        match = _STEP.match(rest)
        if match is None:
            raise ValueError(f"{text!r} is no path")
        steps.append(match[1] or (LIST if match[2] == "*" else match[2]))
        rest = rest[match.end() :]
    return tuple(steps)


def value_at(node: Any, *steps: str) -> Any:
    """What stands at a path through objects; None where there is nothing, or no object on the way."""
    for step in steps:
        node = node.get(step) if isinstance(node, dict) else None
    return node
