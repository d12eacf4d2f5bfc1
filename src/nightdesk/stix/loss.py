"""What a mapping reads, deliberately ignores, and loses.

Coverage is known when the mapping is compiled, so a report costs one walk of the payload beside a tree of its paths.
"""

import itertools
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from nightdesk.stix.mapping import Mapping_
from nightdesk.stix.paths import LIST, Path_
from nightdesk.stix.reading import as_scalar, many

__all__ = ["Coverage", "LossReport", "leaves", "open_fields"]

_DEEPEST = 64
_DEEPEST_OPEN = 4
_NO_WORD = re.compile(r"[^A-Za-z0-9]+")
_NOTHING: tuple[Any, ...] = (None, "", [], {})


@dataclass(frozen=True, slots=True)
class LossReport:
    """One alert: leaf values read, ignored (with the reason), lost; wrong is (pointer, what was wanted, what stood)."""

    product: str
    stream: str
    version: int
    read: int
    ignored: Mapping[str, int]
    lost: tuple[str, ...]
    wrong: tuple[tuple[str, str, str], ...]

    def to_json(self) -> dict[str, Any]:
        """As written to NAME.loss.json."""
        return {
            "product": self.product,
            "stream": self.stream,
            "mapping_version": self.version,
            "leaves": self.read + sum(self.ignored.values()) + len(self.lost),
            "read": self.read,
            "ignored": [{"reason": reason, "leaves": count} for reason, count in sorted(self.ignored.items())],
            "lost": list(self.lost),
            "wrong": [{"pointer": pointer, "wanted": wanted, "found": found} for pointer, wanted, found in self.wrong],
        }

    @property
    def caution(self) -> tuple[str, ...]:
        """What makes the autonomy abstain: every value that was not what it must be."""
        return tuple(f"{pointer or '/'}: {wanted} expected, {found} found" for pointer, wanted, found in self.wrong)


@dataclass(slots=True)
class _Node:
    children: dict[str, "_Node"] = field(default_factory=dict)
    read: bool = False
    whole: bool = False
    open: bool = False
    reason: str | None = None


class Coverage:
    """The tree of a mapping's paths."""

    def __init__(self) -> None:
        self.root = _Node()

    @classmethod
    def of(cls, mapping: Mapping_) -> "Coverage":
        """Every path that an expression reads or an ``ignore`` names."""
        made = cls()
        for feeds, expression, base in mapping.expressions():
            for alternative in expression:
                if alternative.reference or alternative.literal is not None:
                    continue
                node = made._node((*base, *alternative.path) if alternative.relative else alternative.path)
                node.read = True
                # A vendor field carries an object whole; a condition or function that looks at one carries nothing.
                node.whole = node.whole or (feeds.startswith("vendor_fields.") and not alternative.calls)
        for entry in mapping.objects:
            if entry.each is not None:
                made._node(entry.each.path)
        for path in mapping.open:
            made._node(path).open = True
        if any(name == "raw_pairs" for name, _ in mapping.prepare):
            made._node(("_raw",)).read = True
        for path, reason in mapping.ignore:
            made._node(path).reason = reason
        return made

    def open_parts(self, paths: Iterable[Path_]) -> tuple[tuple[Path_, str, "_Node"], ...]:
        """What ``open_fields`` needs: path, the name its fields begin with, and what is read beneath by name."""
        return tuple((path, "_".join(step for step in path if step != LIST), self._node(path)) for path in paths)

    def _node(self, path: tuple[str, ...]) -> _Node:
        node = self.root
        for step in path:
            if step != LIST:
                node = node.children.setdefault(step, _Node())
        return node

    def walk(self, document: Mapping[str, Any]) -> tuple[int, Counter[str], list[str]]:
        """(leaves read, leaves ignored by reason, paths lost). Empty values carry nothing and count as nothing."""
        walk = _Walk()
        root = self.root
        walk.object(document, root, "", root.reason, 0, opened=root.open and root.reason is None)
        return walk.read, walk.ignored, list(walk.lost)


class _Walk:
    """One document beside the tree; ``reason`` is that of the nearest ignored subtree, which all in it shares."""

    __slots__ = ("ignored", "lost", "read")

    def __init__(self) -> None:
        self.read = 0
        self.ignored: Counter[str] = Counter()
        self.lost: dict[str, None] = {}

    def object(
        self, value: Mapping[str, Any], node: _Node, path: str, reason: str | None, depth: int, *, opened: bool
    ) -> None:
        children = node.children
        for key, inner in value.items():
            kind = inner.__class__
            if inner is None or (not inner and (kind is str or kind is dict or kind is list)):
                continue
            child = children.get(key)
            if child is None:
                if node.whole or opened:
                    self.read += _leaf_count(inner)
                elif reason is not None:
                    self.ignored[reason] += _leaf_count(inner)
                elif kind is not list or _leaf_count(inner):
                    self.lost[f"{path}.{key}" if path else str(key)] = None
            elif child.read and kind is not dict and kind is not list:
                self.read += 1
            else:
                self._value(inner, child, f"{path}.{key}" if path else str(key), reason, depth + 1, opened=opened)

    def _value(self, value: Any, node: _Node, path: str, reason: str | None, depth: int, *, opened: bool) -> None:
        if value in _NOTHING:
            return
        reason = node.reason or reason
        opened = (opened or node.open) and reason is None
        kind = value.__class__
        if kind is list and depth < _DEEPEST:
            for item in value:
                self._value(item, node, path, reason, depth + 1, opened=opened)
        elif kind is dict and node.children and depth < _DEEPEST:
            self.object(value, node, path, reason, depth, opened=opened)
        elif opened or (node.read and (kind is not dict or not node.children)):
            self.read += _leaf_count(value)
        elif reason is not None:
            self.ignored[reason] += _leaf_count(value)
        else:
            self.lost[path or "/"] = None


def _leaf_count(value: Any) -> int:
    """The values in a subtree that carry something."""
    if value.__class__ is not dict and value.__class__ is not list:
        return 0 if value is None or value == "" else 1
    count = 0
    stack = [value]
    while stack:
        node = stack.pop()
        for inner in node.values() if node.__class__ is dict else node:
            if inner.__class__ is dict or inner.__class__ is list:
                stack.append(inner)
            elif inner is not None and inner != "":
                count += 1
    return count


def leaves(document: Mapping[str, Any], coverage: Coverage) -> Iterator[tuple[Any, str]]:
    """Every leaf value with its fate, ``read``, ``ignored`` or ``lost``, as ``Coverage.walk`` judges it."""
    stack: list[tuple[Any, _Node | None, str | None, bool, str]] = [(document, coverage.root, None, False, "lost")]
    while stack:
        value, node, reason, opened, fate = stack.pop()
        if value in _NOTHING:
            continue
        if node is not None:
            reason = node.reason or reason
            opened = (opened or node.open) and reason is None
            # What no path names below it: taken whole, one of invented keys, ignored with all the rest, or lost.
            fate = "read" if node.whole or opened else "ignored" if reason else "lost"
            if node.read and (value.__class__ is not dict or not node.children):
                fate = "read"
        if value.__class__ is list:
            stack.extend((item, node, reason, opened, fate) for item in value)
        elif value.__class__ is dict:
            known = node.children if node is not None else {}
            stack.extend((item, known.get(key), reason, opened, fate) for key, item in value.items())
        else:
            yield value, fate


class _Silent:
    """Where open fields report to: a value that JSON cannot carry is simply not among them."""

    def problem(self, pointer: str, wanted: str, found: Any) -> None:
        """Nobody listens."""


_SILENT = _Silent()


def open_fields(document: Mapping[str, Any], parts: tuple[tuple[Path_, str, _Node], ...]) -> dict[str, Any]:
    """The leaves of subtrees whose keys customers invent, flat by name, without what the mapping reads by path."""
    made: dict[str, Any] = {}
    for path, name, node in parts:
        for value in many(document, path, "", _SILENT):
            _collect(value, node, name, made, 0)
    return made


def _collect(value: Any, node: _Node | None, name: str, made: dict[str, Any], depth: int) -> None:
    if value.__class__ is dict and depth < _DEEPEST_OPEN:
        for key, inner in value.items():
            child = node.children.get(key) if node is not None else None
            if child is None or (child.children and inner.__class__ is dict and child.reason is None):
                _collect(inner, child, f"{name}_{_NO_WORD.sub('_', str(key)).strip('_')}", made, depth + 1)
        return
    found = as_scalar(value, "", _SILENT)
    if found is None:
        return
    free = next(
        candidate
        for candidate in itertools.chain([name], (f"{name}_{n}" for n in itertools.count(2)))
        if candidate not in made
    )
    made[free] = found
