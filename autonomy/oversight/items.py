"""What waits to be judged: a case, why it was chosen, and with what chance. People see the case and nothing else."""

from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from functools import cache
from typing import Any

from pydantic import TypeAdapter

from nightdesk.autonomy.approvals import same_person

__all__ = ["Item", "ItemState", "Kind"]


class Kind(StrEnum):
    """Why it waits."""

    SAMPLE = "sample"
    """A closure that was drawn."""
    SHADOW = "shadow"
    """A case that the machine would have closed, were it allowed to."""
    KNOWN = "known"
    """A case whose answer is known: it asks about the person."""


class ItemState(StrEnum):
    """How far it is."""

    OPEN = "open"
    JUDGED = "judged"
    WITHDRAWN = "withdrawn"


@dataclass(frozen=True, slots=True)
class Item:
    """One item. ``wanted`` is how many persons judge it, ``judged_by`` who did.

    ``chance`` is that of the draw, ``stratum`` where it was drawn from. ``only_for`` is the one person a known-answer
    item is meant for, ``known`` its answer (whether it was an attack).
    """

    tenant: str
    item_id: str
    kind: Kind
    case_id: str
    decision_id: str
    rules: tuple[str, ...]
    drawn_at: datetime
    stratum: str = ""
    chance: float = 1.0
    wanted: int = 1
    judged_by: tuple[str, ...] = ()
    missed: bool = False
    state: ItemState = ItemState.OPEN
    only_for: str = ""
    known: bool | None = None

    def waits_for(self, analyst: str) -> bool:
        """Whether that person may judge it."""
        if self.state is not ItemState.OPEN or any(same_person(analyst, one) for one in self.judged_by):
            return False
        return not self.only_for or same_person(analyst, self.only_for)

    def judged(self, analyst: str, *, attack: bool) -> "Item":
        """After one person's word."""
        by = (*self.judged_by, analyst)
        state = ItemState.JUDGED if len(by) >= self.wanted else ItemState.OPEN
        return replace(self, judged_by=by, missed=self.missed or attack, state=state)

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        dumped: dict[str, Any] = _adapter().dump_python(self, mode="json")
        return dumped

    @classmethod
    def from_bytes(cls, data: bytes) -> "Item":
        """Back from the store."""
        return _adapter().validate_json(data)


@cache
def _adapter() -> TypeAdapter[Item]:
    return TypeAdapter(Item)
