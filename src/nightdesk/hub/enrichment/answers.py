"""Answers as rows of the store and back, and what is too long for one cut to a size that a record can carry."""

from collections.abc import Sequence
from dataclasses import fields, replace
from datetime import datetime
from functools import cache
from typing import Any

from pydantic import TypeAdapter, ValidationError

from nightdesk.hub.store.enrichment import Row
from nightdesk.sdk.enrichment import AllowFact, Enrichment, EnrichmentStatus, Fact

__all__ = ["as_json", "bounded", "from_row", "is_fresh", "newest", "stale", "to_row", "unsigned"]

_FACTS = 20
_ITEMS = 20
_TEXT = 200


@cache
def _adapter() -> TypeAdapter[Enrichment]:
    return TypeAdapter(Enrichment)


def as_json(answer: Enrichment) -> dict[str, Any]:
    """The answer as JSON values."""
    dumped: dict[str, Any] = _adapter().dump_python(answer, mode="json")
    return dumped


def to_row(answer: Enrichment) -> Row:
    """The answer as it is stored."""
    return Row(answer.source, answer.entity, answer.status, answer.fetched_at, answer.fresh_until, as_json(answer))


def from_row(row: Row) -> Enrichment | None:
    """The answer of a row; None when another version of the product wrote it, and so it is asked again."""
    try:
        return _adapter().validate_python(dict(row.body))
    except ValidationError:
        return None


def bounded(facts: Sequence[Fact]) -> tuple[Fact, ...]:
    """The facts with their texts and lists cut: a source must not fill the store, nor write control characters."""
    return tuple(_cut(fact) for fact in facts[:_FACTS])


def unsigned(facts: Sequence[Fact]) -> tuple[Fact, ...]:
    """The facts without entries of allow-lists: a source that verifies no signatures cannot make one (law 7)."""
    return tuple(fact for fact in facts if not isinstance(fact, AllowFact))


def stale(answer: Enrichment, reason: str) -> Enrichment:
    """The answer as one that no longer counts."""
    return replace(answer, status=EnrichmentStatus.STALE, reason=reason)


def _cut(fact: Fact) -> Fact:
    changes: dict[str, Any] = {}
    for one in fields(fact):
        value = getattr(fact, one.name)
        if isinstance(value, str) and one.name != "kind":
            changes[one.name] = _plain(value)
        elif isinstance(value, tuple):
            changes[one.name] = tuple(_plain(text) for text in value[:_ITEMS])
    return replace(fact, **changes)


def _plain(text: str) -> str:
    return "".join(char if char.isprintable() else " " for char in text[:_TEXT])


def newest(first: Enrichment | None, second: Enrichment | None) -> Enrichment | None:
    """Of two answers to one question the later one."""
    if first is None or second is None:
        return first or second
    return max(first, second, key=lambda one: one.fetched_at)


def is_fresh(answer: Enrichment, now: datetime) -> bool:
    """Whether it still counts, an error for as long as the source is not asked again."""
    return now < answer.fresh_until
