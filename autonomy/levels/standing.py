"""How a unit stands, and what is known of it: plain values that a record can hold and a test can try.

``Proof`` is what people's judgements and canaries showed, ``Facts`` what is so now, ``Standing`` what was granted.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import IntEnum
from functools import cache
from typing import Any

from pydantic import TypeAdapter

from nightdesk.autonomy.levels.units import DecisionClass, Unit

__all__ = ["Facts", "Level", "Proof", "Standing", "Wish", "ceiling"]


class Level(IntEnum):
    """How far the machine may go. There is no fifth: what cannot be undone, or is tenant-wide, stays with people."""

    OFF = 0
    SHADOW = 1
    """Decides silently."""
    RECOMMEND = 2
    """Shows its verdict; a person clicks."""
    CLOSE = 3
    """Closes; people see samples."""
    CONTAIN = 4
    """Contains on a lease, verified and undoable."""

    @property
    def word(self) -> str:
        """For people."""
        return _WORDS[self]

    @property
    def alone(self) -> bool:
        """Whether the machine does something without a person."""
        return self >= Level.CLOSE


_WORDS = {
    Level.OFF: "off",
    Level.SHADOW: "shadow",
    Level.RECOMMEND: "recommend",
    Level.CLOSE: "auto-close",
    Level.CONTAIN: "auto-contain",
}


def ceiling(decides: DecisionClass) -> Level:
    """The highest level of that class of decisions."""
    return Level.CONTAIN if decides.contains else Level.CLOSE


@dataclass(frozen=True, slots=True)
class Proof:
    """What was shown since evidence counts for this unit; every number after caps, and without withdrawn labels.

    ``judged`` and ``agreed`` are blind judgements of cases on which the machine had taken a stand. ``earned``,
    ``losing`` and ``doubt`` are e-values: for the level, against it since it was granted, and against agreement;
    ``support`` is ``earned`` as if no attack had been found. ``newest`` is the number of the newest label looked at.
    """

    newest: int = 0
    judged: int = 0
    agreed: int = 0
    doubt: float = 1.0
    benign: int = 0
    attacks: int = 0
    earned: float = 1.0
    support: float = 1.0
    losing: float = 1.0
    reviewed: int = 0
    missed: int = 0
    prior: int = 0
    days: int = 0
    entities: int = 0
    canaries: int = 0
    canaries_missed: int = 0
    """Of the whole fleet, for they try the model and its threshold; the next two are of the unit's own family here."""
    canaries_caught: int = 0
    canaries_failed: int = 0
    protected: int = 0
    """Confirmed attacks on protected assets among what was closed."""
    recommended: int = 0
    rejected: int = 0
    left_out: int = 0
    """Judgements that the caps did not count."""

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        dumped: dict[str, Any] = _proofs().dump_python(self, mode="json")
        return dumped

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> "Proof":
        """Back from the record."""
        return _proofs().validate_python(dict(raw))


@dataclass(frozen=True, slots=True)
class Facts:
    """What is so now, from configuration, switches, connectors, the model and the engine's journal.

    ``policy`` is the highest level that the tenant's policy and its switches allow. ``verified`` and ``undone`` are
    shares of the last uses of the vendor action. ``parser`` is the mapping's version; ``doubts`` are reasons that what
    is known is incomplete (a stale model, an enrichment that is down). A fact that nobody gathered is the cautious one.
    """

    healthy_hours: float = 0.0
    certified: bool = False
    policy: Level = Level.RECOMMEND
    parser: str = ""
    alarms: tuple[str, ...] = ()
    doubts: tuple[str, ...] = ()
    drills: int = 0
    verified: float = 0.0
    undone: float = 0.0
    lied: bool = False

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        dumped: dict[str, Any] = _facts().dump_python(self, mode="json")
        return dumped

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> "Facts":
        """Back from the record."""
        return _facts().validate_python(dict(raw))


@dataclass(frozen=True, slots=True)
class Wish:
    """A person's wish to raise a unit, waiting for a second person."""

    level: Level
    by: str
    at: datetime
    reason: str


@dataclass(frozen=True, slots=True)
class Standing:
    """What a unit was granted.

    ``counts_after`` is the number of the newest label that counts no longer, ``granted_after`` that of the newest one
    when the level was granted.
    ``hold`` is what a person who lowered it allows at most; going past it takes two. ``clean_at`` is when a batch of
    samples or canaries was last clean. ``closed_before`` counts the unit's closures when it was granted, so that the
    first ones after it are all looked at. ``owed`` are actions whose undo could not be asked for yet.
    """

    unit: Unit
    level: Level = Level.OFF
    first_seen: datetime | None = None
    since: datetime | None = None
    granted_by: tuple[str, ...] = ()
    granted_at: datetime | None = None
    counts_after: int = 0
    forgot_at: datetime | None = None
    granted_after: int = 0
    hold: Level = Level.CONTAIN
    clean_at: datetime | None = None
    closed_before: int = 0
    parser: str = ""
    lost: str = ""
    lost_at: datetime | None = None
    wish: Wish | None = None
    owed: tuple[str, ...] = ()
    proof: Proof = field(default_factory=Proof)

    def with_changes(self, **changes: Any) -> "Standing":
        """The same with these fields changed."""
        return replace(self, **changes)

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        dumped: dict[str, Any] = _standings().dump_python(self, mode="json")
        return dumped

    @classmethod
    def from_bytes(cls, data: bytes) -> "Standing":
        """Back from the store."""
        return _standings().validate_json(data)


@cache
def _proofs() -> TypeAdapter[Proof]:
    return TypeAdapter(Proof)


@cache
def _facts() -> TypeAdapter[Facts]:
    return TypeAdapter(Facts)


@cache
def _standings() -> TypeAdapter[Standing]:
    return TypeAdapter(Standing)
