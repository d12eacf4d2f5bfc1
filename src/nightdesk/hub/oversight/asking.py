"""What the gate is given about a case: each rule's level as it counts now, beside the score and the certificates.

One call for whoever decides: ``ask(gate_inputs(…), checks)`` is the ruling, ``gate_inputs(…).to_json()`` what belongs
in the decision's inputs under ``RECORDED``.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from sqlalchemy import Connection

from nightdesk.autonomy.levels.gate import Asked, Certificate, GateInputs
from nightdesk.autonomy.levels.ladder import Bounds, bounds
from nightdesk.autonomy.levels.standing import Level, Standing
from nightdesk.autonomy.levels.units import DecisionClass, Unit, rule_keys
from nightdesk.autonomy.oversight.canaries import proven
from nightdesk.hub.oversight.judging import is_protected
from nightdesk.hub.oversight.office import Office
from nightdesk.hub.store import canaries, levels
from nightdesk.sdk.case import Case

__all__ = ["Known", "ScoredRule", "containing", "gate_inputs"]

Known = dict[str, Asked]
"""What was found of a tenant's rules already, without a score: levels do not change within one transaction."""


@dataclass(frozen=True, slots=True)
class ScoredRule:
    """What the model says of one rule of a case; ``key`` names the group that was scored."""

    score: float | None
    key: str
    closing: Certificate | None = None
    recommending: Certificate | None = None


def gate_inputs(
    conn: Connection,
    office: Office,
    case: Case,
    scores: Mapping[str, ScoredRule],
    *,
    at: datetime,
    doubts: Sequence[str] = (),
    known: Known | None = None,
) -> GateInputs:
    """Everything that the gate looks at, by rule. A rule without a score is one the model knows nothing of.

    ``known`` spares many cases of one tenant and transaction the same questions; it belongs to that transaction.
    """
    asked = []
    found = {} if known is None else known
    for rule in rule_keys(case.alerts):
        if rule not in found:
            found[rule] = _standing(conn, office, Unit(case.tenant, rule, DecisionClass.CLOSE), at)
        scored = scores.get(rule, ScoredRule(None, ""))
        asked.append(
            replace(
                found[rule],
                score=scored.score,
                key=scored.key,
                closing=scored.closing,
                recommending=scored.recommending,
            )
        )
    assets = office.tenants[case.tenant].assets
    shielded = any(is_protected(entity, assets.get(entity.key)) for entity in case.entities)
    return GateInputs(tuple(asked), tuple(doubts), shielded)


def containing(
    conn: Connection, office: Office, tenant: str, found: Sequence[Case], *, at: datetime
) -> dict[str, dict[str, tuple[str, ...]]]:
    """By case and decision class the detection rules that may contain alone now; most tenants have none."""
    acting = [one for one in levels.acting(conn, tenant) if one.unit.decides.contains]
    if not acting:
        return {}
    rules = {case.case_id: set(rule_keys(case.alerts)) for case in found}
    fired = set[str]().union(*rules.values())
    alone = [
        one.unit for one in acting
        if one.unit.rule in fired and _bounds(conn, office, one, at).level is Level.CONTAIN
    ]  # fmt: skip
    made: dict[str, dict[str, tuple[str, ...]]] = {}
    for case_id, own in rules.items():
        for unit in alone:
            if unit.rule in own:
                of = made.setdefault(case_id, {})
                of[unit.decides.value] = (*of.get(unit.decides.value, ()), unit.rule)
    return made


def _bounds(conn: Connection, office: Office, standing: Standing, at: datetime) -> Bounds:
    return bounds(standing, office.surroundings.facts(conn, standing, at), office.demands)


def _standing(conn: Connection, office: Office, unit: Unit, at: datetime) -> Asked:
    """One rule's level as it counts now, without a score."""
    standing = levels.standing(conn, unit)
    held = _bounds(conn, office, standing, at)
    return Asked(
        rule=unit.rule,
        level=int(held.level),
        canaries=proven(canaries.of_family(conn, unit.tenant, unit.family), unit.family),
        held_by=held.held_by if held.level < standing.level else "",
        evidence=_evidence(standing),
    )


def _evidence(standing: Standing) -> dict[str, object]:
    """What a record shows of the right: it decides nothing."""
    proof = standing.proof
    return {
        "e_value": proof.earned,
        "prior": proof.prior,
        "judged": proof.judged,
        "days": proof.days,
        "entities": proof.entities,
        "granted_by": list(standing.granted_by),
        "granted_at": standing.granted_at.isoformat() if standing.granted_at is not None else None,
    }
