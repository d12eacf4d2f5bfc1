"""Reading of nested objects: fields taken out of a copy, and what remains as values by path."""

from collections.abc import Iterator
from typing import Any, Final

__all__ = ["copied", "dicts", "key_of", "leaves", "listed", "part", "take"]

_DEEPEST: Final = 12


def dicts(value: Any) -> list[dict[str, Any]]:
    """The objects in a list, or the one that stands alone."""
    return [item for item in (value if isinstance(value, list) else [value]) if isinstance(item, dict)]


def key_of(value: Any) -> str:
    """What tells two values apart; one that is nested too deeply to be written is only itself."""
    try:
        return repr(value)
    except RecursionError:
        return f"#{id(value)}"


def copied(node: Any, depth: int = 0) -> Any:
    """A copy as deep as fields are taken out of it; what lies deeper is shared and never changed."""
    if depth >= _DEEPEST:
        return node
    if isinstance(node, dict):
        return {name: copied(inner, depth + 1) for name, inner in node.items()}
    return [copied(inner, depth + 1) for inner in node] if isinstance(node, list) else node


def leaves(node: Any, path: str = "", depth: int = 0) -> Iterator[tuple[str, Any]]:
    """Every value that carries something, with its dotted path; lists add nothing to the path."""
    if isinstance(node, dict) and depth < _DEEPEST:
        for name, inner in node.items():
            yield from leaves(inner, f"{path}.{name}" if path else str(name), depth + 1)
    elif isinstance(node, list) and depth < _DEEPEST:
        for inner in node:
            yield from leaves(inner, path, depth + 1)
    elif node not in (None, "", [], {}):
        yield path, node


def take(node: Any, *names: str) -> dict[str, Any]:
    """These fields of an object, taken out of it; only texts and numbers are."""
    found = {}
    for name in names:
        value = node.get(name) if isinstance(node, dict) else None
        if isinstance(value, str | int | float) and not isinstance(value, bool) and value != "":
            found[name] = node.pop(name)
    return found


def part(node: Any, name: str) -> dict[str, Any]:
    """The object under a key, an empty one where there is none."""
    inner = node.get(name) if isinstance(node, dict) else None
    return inner if isinstance(inner, dict) else {}


def listed(node: dict[str, Any], name: str, known: Any) -> list[str]:
    """The values of a list that ``known`` takes, out of the list; what it does not take (redacted ones) stays."""
    found = node.get(name)
    items = found if isinstance(found, list) else [found]
    good = [item for item in items if isinstance(item, str) and known(item)]
    if good:
        node[name] = [item for item in items if item not in good]
    return good
