"""What a decision is given of earned autonomy: what the gate looks at, and how the model came to its scores.

Both are JSON values in the decision's inputs, so that the decision is made again from its record alone (law 11).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from nightdesk.autonomy.levels.gate import RECORDED, GateInputs, GateRuling, ask
from nightdesk.sdk.case import Check

__all__ = ["NOT_ASKED", "SCORED", "Evidence", "ruled"]

SCORED = "score"
"""Where a decision's ``inputs`` hold the model's part: which model, what it saw, what it added up."""
NOT_ASKED = frozenset({"every-alert-covered"})
"""What is asked of signed rules alone: the gate stands in its place."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """``score`` is what the gate's numbers were computed from; it is kept for people and replay and decides nothing."""

    gate: GateInputs
    score: Mapping[str, Any] = field(default_factory=dict)

    def recorded(self) -> dict[str, Any]:
        """The entries of the decision's inputs."""
        return {RECORDED: self.gate.to_json(), SCORED: dict(self.score)}

    @classmethod
    def of(cls, inputs: Mapping[str, Any]) -> "Evidence | None":
        """Back from a record; None where the gate was not asked."""
        found = inputs.get(RECORDED)
        return cls(GateInputs.from_json(found), inputs.get(SCORED, {})) if isinstance(found, Mapping) else None


def ruled(evidence: Evidence, asked: Sequence[Check]) -> GateRuling:
    """The gate's word after everything that was asked before; a failed check leaves nothing to it."""
    return ask(evidence.gate, [check for check in asked if check.name not in NOT_ASKED])
