"""Known attacks among the alerts, to see whether they are closed: their flag is kept where no decision can see it.

To show a miss rate of 1 % by looking at closures takes sixty thousand clean looks where fifty attacks a year are found;
299 canaries show it too. A canary is replayed or mutated from an attack that really was one. Whatever is decided of it
reaches no vendor: it is journalled to a shadow of the connector.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from functools import cache
from typing import Any

from pydantic import TypeAdapter

from nightdesk.autonomy.risk.bounds import items_needed, upper_bound
from nightdesk.sdk.case import Outcome
from nightdesk.sdk.errors import PolicyError

__all__ = ["WEEK", "Canary", "CanaryState", "Catch", "due", "proven", "result"]

WEEK = timedelta(days=7)
"""At least one canary for each family in that time."""

_CAUGHT = frozenset({Outcome.ESCALATE, Outcome.PROPOSE_CONTAINMENT, Outcome.REOPEN})
_OPEN = frozenset({Outcome.HOLD})


class CanaryState(StrEnum):
    """What became of it."""

    PLANTED = "planted"
    CAUGHT = "caught"
    MISSED = "missed"
    WITHDRAWN = "withdrawn"
    """Taken back before it was decided: says nothing."""


@dataclass(frozen=True, slots=True)
class Canary:
    """One planted attack. ``alert_id`` is the alert that it becomes, by which it is known here and nowhere else.

    ``origin`` names the attack it was made from. Who asks is told that it was one only after it was decided.
    """

    tenant: str
    canary_id: str
    family: str
    rule: str
    instance: str
    alert_id: str
    planted_at: datetime
    planted_by: str
    origin: str
    state: CanaryState = CanaryState.PLANTED
    case_id: str = ""
    decision_id: str = ""
    outcome: str = ""
    settled_at: datetime | None = None
    revealed_at: datetime | None = None
    revealed_by: str = ""

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        dumped: dict[str, Any] = _adapter().dump_python(self, mode="json")
        return dumped

    @classmethod
    def from_bytes(cls, data: bytes) -> "Canary":
        """Back from the store."""
        return _adapter().validate_json(data)

    def settled(self, outcome: Outcome, *, case_id: str, decision_id: str, at: datetime) -> "Canary":
        """The canary after the decision about its case; unchanged while that is only held.

        A recommendation to close is a miss: what it shows a person is that they may click it away.
        """
        if self.state is not CanaryState.PLANTED or outcome in _OPEN:
            return self
        state = CanaryState.CAUGHT if outcome in _CAUGHT else CanaryState.MISSED
        return replace(
            self, state=state, outcome=outcome.value, case_id=case_id, decision_id=decision_id, settled_at=at
        )

    def revealed(self, by: str, at: datetime) -> "Canary":
        """Told to a person. Raises PolicyError while it is not decided: then nobody may know of it."""
        if self.state is CanaryState.PLANTED:
            raise PolicyError(
                f"{self.canary_id} is not decided yet: telling of it now would spoil it; withdraw it instead"
            )
        return replace(self, revealed_at=self.revealed_at or at, revealed_by=self.revealed_by or by)


@cache
def _adapter() -> TypeAdapter[Canary]:
    return TypeAdapter(Canary)


@dataclass(frozen=True, slots=True)
class Catch:
    """How many canaries were caught, and what that shows of attacks missed."""

    caught: int
    missed: int
    bound: float
    """The miss rate that is exceeded with probability ``delta`` at most."""
    to_five: int
    to_one: int
    """Further clean ones that show at most 5 % and 1 %."""


def result(canaries: Iterable[Canary], delta: float = 0.05) -> Catch:
    """What they show (Clopper and Pearson 1934)."""
    states = [one.state for one in canaries]
    caught, missed = states.count(CanaryState.CAUGHT), states.count(CanaryState.MISSED)
    total = caught + missed
    bound = upper_bound(missed, total, delta) if total else 1.0
    five, one = (max(0, items_needed(missed, rate, delta) - total) for rate in (0.05, 0.01))
    return Catch(caught, missed, bound, five, one)


def due(families: Iterable[str], canaries: Iterable[Canary], now: datetime) -> tuple[str, ...]:
    """The families that have had no canary for a week, longest without one first."""
    newest: dict[str, datetime] = {}
    for one in canaries:
        if one.state is not CanaryState.WITHDRAWN:
            newest[one.family] = max(newest.get(one.family, one.planted_at), one.planted_at)
    lacking = [one for one in set(families) if one not in newest or now - newest[one] >= WEEK]
    return tuple(sorted(lacking, key=lambda one: (newest[one].isoformat() if one in newest else "", one)))


def proven(canaries: Iterable[Canary], family: str) -> bool:
    """Whether every canary of that family was caught, and there was one."""
    theirs = [one.state for one in canaries if one.family == family]
    return CanaryState.CAUGHT in theirs and CanaryState.MISSED not in theirs
