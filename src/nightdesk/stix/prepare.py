"""What a mapping may do to a document before its paths are read; the caller's document is never changed."""

import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, Final

import orjson

from nightdesk.stix.paths import LIST, parse_path

__all__ = ["PREPARE"]

_PAIR = re.compile(r'(?:^|[,\s])\s*([A-Za-z_][\w.:-]*)=(?:"((?:[^"\\]|\\.)*)"|([^,\s"]+))')
_LEADING_TIME = re.compile(r"^\s*(\d{9,10}(?:\.\d+)?)")
_ESCAPE = re.compile(r"\\(.)")


def expand_dots(document: dict[str, Any]) -> dict[str, Any]:
    """Dotted keys beside nested objects (Elasticsearch ``_source``) become nested objects; nested ones win."""
    result: dict[str, Any] = {}
    dotted: list[tuple[tuple[str, ...], Any]] = []
    for key, value in document.items():
        steps = _steps(key)
        if len(steps) > 1:
            dotted.append((steps, value))
        else:
            result[key] = value
    if not dotted:
        return document
    # The objects made or copied here, by where they stand: the caller's document is not ours to change.
    own: dict[tuple[str, ...], dict[str, Any]] = {(): result}
    for steps, value in dotted:
        node = own.get(steps[:-1])
        if node is None:
            node = _opened(own, steps[:-1])
        last = steps[-1]
        known = node.get(last)
        if known is None and last not in node:
            node[last] = value
        elif known.__class__ is dict and value.__class__ is dict:
            node[last] = {**value, **known}
            own.pop(steps, None)
    return result


@lru_cache(maxsize=65536)
def _steps(key: str) -> tuple[str, ...]:
    return tuple(key.split("."))


def _opened(own: dict[tuple[str, ...], dict[str, Any]], steps: tuple[str, ...]) -> dict[str, Any]:
    """The object at that place, made or copied when it is not ours yet."""
    node = own.get(steps)
    if node is None:
        outer = _opened(own, steps[:-1])
        child = outer.get(steps[-1])
        node = dict(child) if child.__class__ is dict else {} if child is None else {"": child}
        own[steps] = outer[steps[-1]] = node
    return node


def raw_pairs(document: dict[str, Any]) -> dict[str, Any]:
    """The ``key="value"`` pairs of a stash event's ``_raw`` stand as fields where the row itself lacks them."""
    raw = document.get("_raw")
    if not isinstance(raw, str):
        return document
    result = dict(document)
    found: dict[str, Any] = {}
    leading = _LEADING_TIME.match(raw)
    if leading:
        found["_raw_time"] = leading[1]
    for match in _PAIR.finditer(raw):
        key = match[1]
        value = _ESCAPE.sub(r"\1", match[2]) if match[2] is not None else match[3]
        if key in found and found[key] != value:
            known = found[key]
            found[key] = [*known, value] if isinstance(known, list) else [known, value]
        else:
            found[key] = value
    for key, value in found.items():
        result.setdefault(key, value)
    return result


def parse_json(document: dict[str, Any], *paths: str) -> dict[str, Any]:
    """Texts that hold JSON (Sentinel's ``Entities``) become what they hold; a text that is no JSON stays a text."""
    made: Any = document
    for path in paths:
        made = _replaced(made, _path(path), _decoded)
    return dict(made)


@lru_cache(maxsize=1024)
def _path(text: str) -> tuple[str, ...]:
    """The paths of all mappings' steps are few, and every alert asks for its own."""
    return parse_path(text)


def by_name(document: dict[str, Any], path: str, name: str, value: str) -> dict[str, Any]:
    """A list of ``{name: …, value: …}`` becomes an object by name; a name that comes again collects a list."""

    def named(items: Any) -> Any:
        if not isinstance(items, list) or not all(isinstance(item, dict) and name in item for item in items):
            return items
        made: dict[str, Any] = {}
        for item in items:
            key, found = str(item[name]), item.get(value)
            if key not in made:
                made[key] = found
            elif isinstance(made[key], list):
                made[key] = [*made[key], found]
            else:
                made[key] = [made[key], found]
        return made

    return dict(_replaced(document, _path(path), named))


def _decoded(value: Any) -> Any:
    if isinstance(value, list):
        return [_decoded(item) for item in value]
    if not isinstance(value, str) or value.lstrip()[:1] not in {"{", "["}:
        return value
    try:
        return orjson.loads(value)
    except orjson.JSONDecodeError:
        return value


def _replaced(node: Any, steps: tuple[str, ...], change: Callable[[Any], Any]) -> Any:
    """The node with the value at that path changed; what lies beside it is shared, not copied."""
    if not steps:
        return change(node)
    step, rest = steps[0], steps[1:]
    if isinstance(node, list):
        return [_replaced(item, rest if step == LIST else steps, change) for item in node]
    if step == LIST:
        return _replaced(node, rest, change)
    if not isinstance(node, dict) or node.get(step) is None:
        return node
    inner = node[step]
    made = _replaced(inner, rest, change)
    return node if made is inner else {**node, step: made}


PREPARE: Final[Mapping[str, Callable[..., dict[str, Any]]]] = {
    function.__name__: function for function in (expand_dots, raw_pairs, parse_json, by_name)
}
