"""What a mapping may do to a document before its paths are read; the caller's document is never changed."""

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

import orjson

from nightdesk.stix.paths import LIST, parse_path

__all__ = ["PREPARE"]

_PAIR = re.compile(r'(?:^|[,\s])\s*([A-Za-z_][\w.:-]*)=(?:"((?:[^"\\]|\\.)*)"|([^,\s"]+))')
_LEADING_TIME = re.compile(r"^\s*(\d{9,10}(?:\.\d+)?)")
_ESCAPE = re.compile(r"\\(.)")


def expand_dots(document: dict[str, Any]) -> dict[str, Any]:
    """Dotted keys beside nested objects (Elasticsearch ``_source``) become nested objects; nested ones win."""
    if not any("." in key for key in document):
        return document
    result: dict[str, Any] = {}
    dotted: list[tuple[str, Any]] = []
    for key, value in document.items():
        if "." in key:
            dotted.append((key, value))
        else:
            result[key] = value
    copied: set[tuple[str, ...]] = set()
    for key, value in dotted:
        node, steps = result, key.split(".")
        for depth, step in enumerate(steps[:-1], start=1):
            child = node.get(step)
            if not isinstance(child, dict):
                child = {} if child is None else {"": child}
                node[step] = child
                copied.add(tuple(steps[:depth]))
            elif tuple(steps[:depth]) not in copied:
                # The caller's document is not ours to change.
                child = dict(child)
                node[step] = child
                copied.add(tuple(steps[:depth]))
            node = child
        if isinstance(node.get(steps[-1]), dict) and isinstance(value, dict):
            node[steps[-1]] = {**value, **node[steps[-1]]}
        else:
            node.setdefault(steps[-1], value)
    return result


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
    for path in paths:
        document = _replaced(document, parse_path(path), _decoded)
    return document


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

    return _replaced(document, parse_path(path), named)


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
