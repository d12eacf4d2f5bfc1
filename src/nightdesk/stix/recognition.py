"""Tells from a payload which mapping reads it."""

import re
from collections.abc import Callable
from typing import Any

from nightdesk.stix.mapping import Condition, Mapping_

__all__ = ["recogniser"]


def recogniser(mapping: Mapping_) -> Callable[[dict[str, Any]], bool]:
    """The mapping's conditions as one test; a document that lacks the first path's key costs one look."""
    unwrap = mapping.unwrap
    tests = [_test(condition) for condition in mapping.recognise]
    first = next((condition.path for condition in mapping.recognise if not condition.absent), ())
    entrances = frozenset({*first[:1], ".".join(first), *unwrap[:1]})

    def matches(document: dict[str, Any]) -> bool:
        if first and entrances.isdisjoint(document):
            return False
        candidate = document
        for step in unwrap:
            inner = candidate.get(step)
            if inner.__class__ is dict:
                candidate = inner
        return all(test(candidate) for test in tests)

    return matches


def _test(condition: Condition) -> Callable[[dict[str, Any]], bool]:
    path, joined = condition.path, ".".join(condition.path)
    search = re.compile(condition.pattern).search if condition.pattern else None

    def holds(document: dict[str, Any]) -> bool:
        value = _at(document, path, joined)
        if condition.absent:
            return value is None
        return value is not None and (search is None or search(str(value)) is not None)

    return holds


def _at(document: dict[str, Any], path: tuple[str, ...], joined: str) -> Any:
    """A value at a path, whether its keys are nested or dotted; of a list the first element."""
    node: Any = document.get(joined)
    if node is not None:
        return node
    node = document
    for step in path:
        if node.__class__ is list and node:
            node = node[0]
        if node.__class__ is not dict:
            return None
        node = node.get(step)
    return node
