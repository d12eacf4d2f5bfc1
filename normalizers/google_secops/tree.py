"""Reading of nested objects: fields taken out of a copy, and what remains as values by path."""

from collections.abc import Callable, Hashable
from typing import Any, Final

__all__ = ["copied", "dicts", "key_of", "listed", "part", "spread", "take"]

_DEEPEST: Final = 12
_NOTHING: Final[tuple[Any, ...]] = (None, "", [], {})
_NESTED: Final = frozenset({dict, list})
_PLAIN: Final = frozenset({str, int, float})


def dicts(value: Any) -> list[dict[str, Any]]:
    """The objects in a list, or the one that stands alone."""
    return [item for item in (value if isinstance(value, list) else [value]) if isinstance(item, dict)]


def key_of(value: Any) -> Hashable:
    """What tells two values apart; one that is nested too deeply to be written is only itself."""
    if isinstance(value, str):
        return value
    try:
        return (repr(value),)
    except RecursionError:
        return id(value)


def copied(node: Any, depth: int = 0) -> Any:
    """A copy as deep as fields are taken out of it; what lies deeper is shared and never changed."""
    if depth >= _DEEPEST:
        return node
    depth += 1
    if node.__class__ is dict:
        return {name: copied(inner, depth) if inner.__class__ in _NESTED else inner for name, inner in node.items()}
    return [copied(inner, depth) for inner in node] if node.__class__ is list else node


def spread(node: Any, path: str, into: dict[str, dict[Hashable, Any]], depth: int = 0) -> None:
    """Every value that carries something goes under its dotted path, each once; lists add nothing to the path."""
    if node.__class__ is dict and depth < _DEEPEST:
        for name, inner in node.items():
            where = f"{path}.{name}" if path else name
            if inner.__class__ is not str:
                spread(inner, where, into, depth + 1)
            elif inner:
                into.setdefault(where, {}).setdefault(inner, inner)
    elif node.__class__ is list and depth < _DEEPEST:
        for inner in node:
            spread(inner, path, into, depth + 1)
    elif node or node not in _NOTHING:
        into.setdefault(path, {}).setdefault(key_of(node), node)


def take(node: dict[str, Any], *names: str) -> dict[str, Any]:
    """These fields of an object, taken out of it; only texts and numbers are."""
    found: dict[str, Any] = {}
    if node:
        for name in names:
            if name in node and node[name].__class__ in _PLAIN and node[name] != "":
                found[name] = node.pop(name)
    return found


def part(node: dict[str, Any], name: str) -> dict[str, Any]:
    """The object under a key, an empty one where there is none."""
    inner = node.get(name)
    return inner if isinstance(inner, dict) else {}


def listed(node: dict[str, Any], name: str, known: Callable[[str], object]) -> list[str]:
    """The values of a list that ``known`` takes, out of the list; what it does not take (redacted ones) stays."""
    found = node.get(name)
    if not found:
        return []
    items = found if isinstance(found, list) else [found]
    good = [item for item in items if isinstance(item, str) and known(item)]
    if good:
        node[name] = [item for item in items if item not in good]
    return good
