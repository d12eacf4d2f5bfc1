"""What the mappings need beside their paths: every value of a list in one field."""

from collections.abc import Callable, Mapping
from typing import Any, Final

import orjson

__all__ = ["FUNCTIONS"]


def gather(items: Any, path: str) -> str | None:
    """Every value at a path below a list, each once: a path with a list in it gives a field only the first."""
    found = [items]
    for step in path.split("."):
        level = [inner for item in found for inner in (item if isinstance(item, list) else [item])]
        found = [item[step] for item in level if isinstance(item, dict) and item.get(step) not in (None, "", [], {})]
    flat = [inner for item in found for inner in (item if isinstance(item, list) else [item])]
    if any(isinstance(item, dict | list) for item in flat):
        return orjson.dumps(flat).decode()
    return (
        ", ".join(dict.fromkeys(item if isinstance(item, str) else orjson.dumps(item).decode() for item in flat))
        or None
    )


FUNCTIONS: Final[Mapping[str, Callable[..., Any]]] = {"gather": gather}
