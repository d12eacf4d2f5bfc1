"""What a level asks for, in numbers: each requirement says what is there, what is needed and whether that is enough."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from nightdesk.autonomy.levels.evidence import DEFAULT_TERMS, Terms
from nightdesk.autonomy.levels.standing import Facts, Level, Proof, ceiling
from nightdesk.autonomy.levels.units import DecisionClass
from nightdesk.autonomy.risk.bounds import errors_allowed, items_needed

__all__ = ["DEFAULTS", "Demands", "Requirement", "missing", "next_level", "requirements"]


@dataclass(frozen=True, slots=True)
class Demands:
    """The numbers of the table of levels. They are tightened by configuration, loosened by two persons only."""

    healthy_hours: float = 24.0
    judged: int = 50
    agreement: float = 0.9
    canary_rate: float = 0.05
    """59 canaries without a miss, 93 with one."""
    containment_error: float = 0.01
    terms: Terms = DEFAULT_TERMS
    drills: int = 20
    rate: float = 0.99


DEFAULTS = Demands()


@dataclass(frozen=True, slots=True)
class Requirement:
    """One thing that a level asks for. ``share`` is how much of it is there, from 0 to 1, for a bar."""

    name: str
    met: bool
    have: str
    need: str
    share: float

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        return {"name": self.name, "met": self.met, "have": self.have, "need": self.need, "share": round(self.share, 4)}


def next_level(level: Level, decides: DecisionClass) -> Level | None:
    """The level after that one in its class; containment has no step between *recommend* and *contain*."""
    if level >= ceiling(decides):
        return None
    if decides.contains and level is Level.RECOMMEND:
        return Level.CONTAIN
    return Level(level + 1)


def requirements(
    level: Level, decides: DecisionClass, proof: Proof, facts: Facts, demands: Demands = DEFAULTS
) -> tuple[Requirement, ...]:
    """What entering that level asks for, besides persons."""
    found: Iterator[Requirement] = iter(())
    if level is Level.SHADOW:
        found = iter([_at_least("connector healthy", facts.healthy_hours, demands.healthy_hours, "h")])
    elif level is Level.RECOMMEND:
        found = _to_recommend(proof, demands)
    elif level is Level.CLOSE and not decides.contains:
        found = _to_close(proof, facts, demands)
    elif level is Level.CONTAIN and decides.contains:
        found = _to_contain(proof, facts, demands)
    return (*found, *_now(level, facts))


def missing(
    level: Level, decides: DecisionClass, proof: Proof, facts: Facts, demands: Demands = DEFAULTS
) -> tuple[Requirement, ...]:
    """What of it is not there yet."""
    return tuple(one for one in requirements(level, decides, proof, facts, demands) if not one.met)


def _to_recommend(proof: Proof, demands: Demands) -> Iterator[Requirement]:
    yield _at_least("judged blind", proof.judged, demands.judged, "cases")
    agreement = proof.agreed / proof.judged if proof.judged else 0.0
    yield _rate("agreement", agreement, demands.agreement)


def _to_close(proof: Proof, facts: Facts, demands: Demands) -> Iterator[Requirement]:
    yield from _to_recommend(proof, demands)
    goal = math.exp(demands.terms.goal)
    # What is won beyond the goal is laid aside, so reaching it is a matter of the last digit.
    yield _at_least("evidence (e-value)", proof.earned if proof.earned < goal * (1 - 1e-9) else goal, goal, "")
    yield _at_least("distinct days", proof.days, demands.terms.days, "days")
    yield _at_least("distinct entities", proof.entities, demands.terms.entities, "entities")
    yield from _canaries(proof, demands)
    yield _yes("threshold certified", facts.certified)


def _to_contain(proof: Proof, facts: Facts, demands: Demands) -> Iterator[Requirement]:
    yield from _to_recommend(proof, demands)
    allowed = errors_allowed(proof.recommended, demands.containment_error, demands.terms.delta)
    enough = allowed is not None and proof.rejected <= allowed
    need = f"at most {demands.containment_error:.4g} wrong, {1 - demands.terms.delta:.4g} sure"
    share = 1.0 if enough else min(0.99, proof.recommended / 299.0)
    yield Requirement(
        "containments judged",
        enough,
        f"{proof.recommended}, {proof.rejected} rejected",
        f"{need} (299/0, 473/1)",
        share,
    )
    yield _at_least("distinct days", proof.days, demands.terms.days, "days")
    yield _at_least("distinct entities", proof.entities, demands.terms.entities, "entities")
    yield _at_least("verified drills with undo", facts.drills, demands.drills, "drills")
    yield _rate("verified", facts.verified, demands.rate)
    yield _rate("undone", facts.undone, demands.rate)
    yield _yes("vendor's word never contradicted", not facts.lied)


def _canaries(proof: Proof, demands: Demands) -> Iterator[Requirement]:
    total, missed = proof.canaries + proof.canaries_missed, proof.canaries_missed
    needed = items_needed(missed, demands.canary_rate, demands.terms.delta)
    have, need = f"{proof.canaries} caught, {missed} missed", f"{needed - missed} caught, {missed} missed"
    yield Requirement("canaries, all rules", total >= needed, have, need, min(1.0, total / needed))
    own = f"{proof.canaries_caught} caught, {proof.canaries_failed} missed"
    met = proof.canaries_caught > 0 and not proof.canaries_failed
    yield Requirement("canaries, this rule", met, own, "1 caught, 0 missed", float(met))


def _now(level: Level, facts: Facts) -> Iterator[Requirement]:
    """What has to be so at the moment of granting a level on which the machine acts alone."""
    if not level.alone:
        return
    yield Requirement("no drift alarm", not facts.alarms, ", ".join(facts.alarms) or "none", "none", 1.0)
    yield Requirement("nothing in doubt", not facts.doubts, ", ".join(facts.doubts) or "nothing", "nothing", 1.0)
    yield Requirement("policy allows it", facts.policy >= level, facts.policy.word, level.word, 1.0)


def _at_least(name: str, have: float, need: float, unit: str) -> Requirement:
    shown, wanted = f"{have:.6g} {unit}".strip(), f"{need:.6g} {unit}".strip()
    return Requirement(name, have >= need, shown, wanted, 1.0 if need <= 0 else max(0.0, min(1.0, have / need)))


def _rate(name: str, have: float, need: float) -> Requirement:
    return Requirement(name, have >= need, f"{have:.2%}", f"{need:.0%}", max(0.0, min(1.0, have / need)))


def _yes(name: str, met: bool) -> Requirement:
    return Requirement(name, met, "yes" if met else "no", "yes", float(met))
