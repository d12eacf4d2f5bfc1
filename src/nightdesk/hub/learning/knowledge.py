"""What only the model and its calibration know of a unit: certified or not, what rings, what is in doubt.

Read from the store, so that a command line, the API and the running hub say the same.
"""

from dataclasses import dataclass, field
from urllib.parse import unquote

from sqlalchemy import Connection

from nightdesk.autonomy.levels.units import Unit
from nightdesk.autonomy.oversight.drift import overridden
from nightdesk.hub.learning.champions import Champions
from nightdesk.hub.oversight.facts import Knowledge
from nightdesk.hub.store import levels, models
from nightdesk.sdk.context import Clock

__all__ = ["EVERYBODY", "Knowing", "learnt_rule"]

EVERYBODY = ""
"""Under this name stand the alarms about all rules of a tenant."""


def learnt_rule(unit_rule: str) -> str:
    """A unit's rule as groups name it."""
    name, _, version = unit_rule.rpartition("@")
    return unquote(name) if version == "-" else f"{unquote(name)}@{unquote(version)}"


@dataclass
class Knowing:
    """A source of knowledge for an office. Without a model nothing is certified."""

    clock: Clock
    champions: Champions = field(default_factory=Champions)

    def __call__(self, conn: Connection, unit: Unit) -> Knowledge:
        """What is known of that unit now."""
        champion = self.champions.now(conn)
        if champion is None or unit.decides.contains:
            return Knowledge()
        rule = learnt_rule(unit.rule)
        claim = champion.learned.claim(unit.tenant)
        rings = models.alarms(conn, unit.tenant)
        told = [*rings.get(EVERYBODY, ()), *rings.get(unit.rule, ())]
        proof = levels.standing(conn, unit).proof
        if overridden(proof.judged, proof.judged - proof.agreed):
            told.append(f"people decide otherwise ({proof.judged - proof.agreed} of {proof.judged})")
        doubts = [one for one in (champion.stale(self.clock()),) if one]
        if rule in claim.distrusted:
            doubts.append("the score is not trusted with this rule")
        certified = claim.of(rule).tau is not None and not told
        return Knowledge(certified=certified, alarms=tuple(told), doubts=tuple(doubts))
