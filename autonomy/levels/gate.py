"""The last question before a case is closed by statistics: may it, with that score, those certificates, those levels?

Every rule of the case is asked for itself and the most cautious answer holds, so one more rule, doubt, failed check or
missing number can only raise caution (law 7). Everything looked at is JSON, and the same JSON gives the same answer for
ever (law 11). Canaries are not known here: a flag in sight of the decision would be a test that knows its answer.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cache
from typing import Any

from pydantic import TypeAdapter

from nightdesk.autonomy.levels.standing import Level
from nightdesk.autonomy.levels.units import DecisionClass, family_of
from nightdesk.autonomy.risk.threshold import Threshold
from nightdesk.sdk.case import Check, Decision, Outcome

__all__ = [
    "EARNED",
    "RECORDED",
    "Asked",
    "Certificate",
    "GateInputs",
    "GateRuling",
    "Say",
    "ask",
    "caution",
    "gate_of",
    "rules_closed_by",
]

RECORDED = "gate"
"""Where a decision's ``inputs`` hold the gate's."""
EARNED = "earned-level"
"""The reason code of a case that is closed because the gate said so."""


class Say(StrEnum):
    """The gate's answer, the boldest first."""

    CLOSE = "close"
    RECOMMEND = "recommend"
    ESCALATE = "escalate"


_CAUTION = {Say.CLOSE: 0, Say.RECOMMEND: 1, Say.ESCALATE: 2}


@dataclass(frozen=True, slots=True)
class Certificate:
    """A threshold as a record holds it; ``tau`` is None when nothing is promised."""

    tau: float | None
    tie: int
    n: int
    k: int | None
    alpha: float
    delta: float | None

    @classmethod
    def of(cls, threshold: Threshold) -> "Certificate":
        """What the threshold promises."""
        tau = threshold.tau if threshold.certified and math.isfinite(threshold.tau) else None
        return cls(tau, threshold.tie, threshold.n, threshold.k, threshold.alpha, threshold.delta)

    def closes(self, score: float, key: str) -> bool:
        """Whether that score lies below it."""
        if self.tau is None:
            return False
        return Threshold(self.tau, self.tie, self.n, self.k, self.alpha, self.delta).closes(score, key)


@dataclass(frozen=True, slots=True)
class Asked:
    """One rule of the case: its unit's level now, its score, and the certificates that hold for its family.

    ``key`` names the group that was scored. ``held_by`` says what holds the level down; ``evidence`` is shown and
    decides nothing. ``canaries`` says whether every canary of the family was caught, and there was one.
    """

    rule: str
    level: int
    score: float | None = None
    key: str = ""
    closing: Certificate | None = None
    recommending: Certificate | None = None
    canaries: bool = False
    held_by: str = ""
    evidence: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        # Not a number, or one without end, is no score; JSON has no word for it either.
        if self.score is not None and not math.isfinite(self.score):
            object.__setattr__(self, "score", None)

    def below(self, certificate: Certificate | None) -> bool:
        """Whether a certificate covers the score."""
        return certificate is not None and self.score is not None and certificate.closes(self.score, self.key)


@dataclass(frozen=True, slots=True)
class GateInputs:
    """Everything the gate looks at.

    ``doubts`` are the model's own reasons to abstain (an unseen rule, two models that disagree, a value out of range);
    ``protected``: an asset of the case is, or may be, of the protected set.
    """

    rules: tuple[Asked, ...]
    doubts: tuple[str, ...] = ()
    protected: bool = False

    def to_json(self) -> dict[str, Any]:
        """As JSON values, for the record."""
        dumped: dict[str, Any] = _adapter().dump_python(self, mode="json")
        return dumped

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> "GateInputs":
        """Back from the record."""
        return _adapter().validate_python(dict(raw))


@cache
def _adapter() -> TypeAdapter[GateInputs]:
    return TypeAdapter(GateInputs)


@dataclass(frozen=True, slots=True)
class GateRuling:
    """The answer, every check that was asked, and ``stand``: what the machine would do if nothing held it back."""

    say: Say
    checks: tuple[Check, ...]
    stand: str

    @property
    def failed(self) -> tuple[str, ...]:
        """The names of the checks that did not pass."""
        return tuple(check.name for check in self.checks if not check.passed)


def ask(inputs: GateInputs, checks: Sequence[Check] = ()) -> GateRuling:
    """The ruling. ``checks`` are those that the decision asked before: one that failed leaves nothing to a machine."""
    opinion = bool(inputs.rules) and not inputs.doubts
    stand = opinion and all(one.below(one.closing) for one in inputs.rules)
    shown = opinion and all(one.below(one.closing) or one.below(one.recommending) for one in inputs.rules)
    level = min((one.level for one in inputs.rules), default=Level.OFF)
    own = tuple(_checks(inputs))
    held = [check.name for check in own if not check.passed]
    before = [check.name for check in checks if not check.passed]
    if before or not shown or level < Level.RECOMMEND:
        say = Say.ESCALATE
    elif held:
        say = Say.RECOMMEND if set(held) <= {"gate-level", "gate-threshold"} else Say.ESCALATE
    else:
        say = Say.CLOSE
    return GateRuling(say, own, DecisionClass.CLOSE.value if stand else "")


def _checks(inputs: GateInputs) -> Iterator[Check]:
    rules = inputs.rules
    yield Check("gate-rules", bool(rules), str(len(rules)), "at least one rule that is known")
    yield Check("gate-doubts", not inputs.doubts, ", ".join(inputs.doubts), "the model doubts nothing")
    unscored = [one.rule for one in rules if one.score is None]
    yield Check("gate-score", not unscored, ", ".join(unscored), "every rule has a score")
    bare = [one.rule for one in rules if one.closing is None or one.closing.tau is None]
    yield Check("gate-certificate", not bare, ", ".join(bare), "a certified threshold for every rule's family")
    above = [f"{one.rule}: {one.score:.6g}" for one in rules if one.score is not None and not one.below(one.closing)]
    yield Check("gate-threshold", not above, ", ".join(above), "every score below its threshold")
    low = [f"{one.rule}: {Level(one.level).word}{_by(one)}" for one in rules if one.level < Level.CLOSE]
    yield Check("gate-level", not low, ", ".join(low), f"every rule at {Level.CLOSE.word}")
    untried = [family_of(one.rule) for one in rules if inputs.protected and not one.canaries]
    yield Check(
        "gate-protected", not untried, ", ".join(untried), "on a protected asset, every canary of the family caught"
    )


def _by(one: Asked) -> str:
    return f" (held by {one.held_by})" if one.held_by else ""


def caution(say: Say) -> int:
    """How cautious an answer is; law 7 is about this order."""
    return _CAUTION[say]


def gate_of(decision: Decision) -> GateInputs | None:
    """What the gate looked at when this was decided; None where it was not asked."""
    recorded = decision.inputs.get(RECORDED)
    return GateInputs.from_json(recorded) if isinstance(recorded, Mapping) else None


def rules_closed_by(decision: Decision) -> tuple[str, ...]:
    """The rules whose earned level closed the case; none where signed rules did, or nothing was closed."""
    inputs = gate_of(decision)
    if inputs is None or decision.outcome is not Outcome.CLOSE or decision.reason_code != EARNED:
        return ()
    return tuple(one.rule for one in inputs.rules)
