"""A mapping as a value: where each STIX fact of one stream of a product comes from."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from nightdesk.stix.fields import HAS_POINTER
from nightdesk.stix.paths import Path_

__all__ = ["Alternative", "Condition", "Entry", "Expression", "Mapping_"]


@dataclass(frozen=True, slots=True)
class Alternative:
    """One way to a value: a path, a literal or a reference to an earlier object, and functions on it."""

    path: Path_ = ()
    relative: bool = False
    literal: str | None = None
    reference: str = ""
    calls: tuple[tuple[str, tuple[str, ...]], ...] = ()


Expression = tuple[Alternative, ...]
"""Alternatives in order; the first that gives a value counts."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One object to build. ``each`` repeats it over a list, ``when`` makes it conditional."""

    label: str
    kind: str
    fields: Mapping[str, Any]
    role: str = ""
    each: Alternative | None = None
    when: tuple[Expression, str, str] | None = None

    def expressions(self) -> Iterator[Expression]:
        """Every expression of its fields and its condition."""
        for value in self.fields.values():
            yield from _expressions(value)
        if self.when:
            yield self.when[0]

    @property
    def has_pointer(self) -> bool:
        """True for builders that report where a value came from."""
        return self.kind in HAS_POINTER


@dataclass(frozen=True, slots=True)
class Condition:
    """One thing that tells a form: a path that is there (and whose value a pattern finds), or one that is not."""

    path: Path_
    pattern: str = ""
    absent: bool = False


@dataclass(frozen=True)
class Mapping_:  # noqa: N801  # ``Mapping`` is collections.abc's
    """One stream of one product."""

    file: str
    product: str
    stream: str
    form: str
    vendor: str
    name: str
    version: int
    docs: str
    generic: bool
    timeless: bool
    recognise: tuple[Condition, ...]
    pages: tuple[Path_, ...]
    unwrap: Path_
    prepare: tuple[tuple[str, tuple[str, ...]], ...]
    scales: Mapping[str, Mapping[str, str]]
    alert: Mapping[str, Expression]
    scores: Mapping[str, Expression]
    observation: Mapping[str, Any]
    objects: tuple[Entry, ...]
    techniques: tuple[Expression, ...]
    tactics: tuple[Expression, ...]
    vendor_fields: Mapping[str, Expression]
    open: tuple[Path_, ...]
    ignore: tuple[tuple[Path_, str], ...]

    def expressions(self) -> Iterator[tuple[str, Expression, Path_]]:
        """Every expression as (what it feeds, itself, the path of the list it is relative to)."""
        for section in ("alert", "scores", "vendor_fields"):
            for name, expression in getattr(self, section).items():
                yield f"{section}.{name}", expression, ()
        for name, value in self.observation.items():
            for expression in _expressions(value):
                yield f"observation.{name}", expression, ()
        for group, expressions in (("technique", self.techniques), ("tactic", self.tactics)):
            for expression in expressions:
                yield group, expression, ()
        for entry in self.objects:
            base = entry.each.path if entry.each else ()
            for name, value in entry.fields.items():
                for expression in _expressions(value):
                    yield f"{entry.label} ({entry.kind}).{name}", expression, base
            if entry.when:
                yield f"{entry.label} ({entry.kind}).when", entry.when[0], base


def _expressions(value: Any) -> Iterator[Expression]:
    if isinstance(value, tuple) and value and isinstance(value[0], Alternative):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from _expressions(item)
    elif isinstance(value, tuple | list):
        for item in value:
            yield from _expressions(item)
