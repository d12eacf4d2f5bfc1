"""Looks whether the model still fits: what comes in, what judged attacks score, how right it is, how often rules fire.

What rings is stored by tenant, so that every process sees it, and rings until it no longer does or another model came.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from math import floor

from sqlalchemy import Connection

from nightdesk.autonomy.evidence import SCORED
from nightdesk.autonomy.learned.watching import PlayedAttack, alarm_of_attacks, alarm_of_calibration, alarm_of_rate
from nightdesk.autonomy.levels.gate import ask, gate_of
from nightdesk.hub.learning.champions import Champion, Champions
from nightdesk.hub.learning.knowledge import EVERYBODY, learnt_rule
from nightdesk.hub.learning.labelled import canary_cases, verdicts
from nightdesk.hub.store import Store, decisions, groups, labels, levels, models
from nightdesk.sdk.case import Decision, Mode
from nightdesk.sdk.context import Clock

__all__ = ["Watch"]

_AGAIN = timedelta(minutes=10)
_DAYS = timedelta(days=22)
_DAY = 86400.0


@dataclass(frozen=True, slots=True)
class _Told:
    """A judged case with what the model had said of it."""

    at: datetime
    key: str
    attack: bool
    score: float
    probability: float
    stood: bool


@dataclass
class Watch:
    """Blocking; one thread calls it. ``seen`` are the alarms about what comes in, by tenant."""

    store: Store
    tenants: Iterable[str]
    clock: Clock
    seen: Callable[[str], tuple[str, ...]]
    _champions: Champions = field(default_factory=Champions)
    _looked: datetime | None = None

    def once(self) -> int:
        """Looks if ten minutes have passed; how many tenants something is news of."""
        at = self.clock()
        if self._looked is not None and at - self._looked < _AGAIN:
            return 0
        self._looked = at
        return self.look()

    def look(self) -> int:
        """Looks now."""
        at = self.clock()
        with self.store.read() as conn:
            champion = self._champions.now(conn)
            rings = {} if champion is None else self._rings(conn, champion, at)
        if champion is None:
            return 0
        return self.store.transact(
            lambda conn: sum(models.ring(conn, tenant, rings[tenant], at=at) for tenant in sorted(rings))
        )

    def _rings(self, conn: Connection, champion: Champion, at: datetime) -> dict[str, dict[str, list[str]]]:
        told = {tenant: _judged(conn, tenant, champion) for tenant in self.tenants}
        everywhere = _attacks(champion, [one for of in told.values() for one in of])
        found: dict[str, dict[str, list[str]]] = {}
        for tenant, of in told.items():
            shut = [(one.probability, one.attack) for one in of if one.stood]
            alarms = [everywhere, _attacks(champion, of), alarm_of_calibration(shut), *self.seen(tenant)]
            found[tenant] = {EVERYBODY: sorted({one for one in alarms if one}), **_rates(conn, tenant, at)}
        return found


def _attacks(champion: Champion, told: Iterable[_Told]) -> str:
    """The game over confirmed attacks, in the order in which people judged them."""
    attacks = sorted((one for one in told if one.attack), key=lambda one: (one.at, one.key))
    return alarm_of_attacks(champion.learned.attacks, [PlayedAttack(one.key, one.score) for one in attacks])


def _judged(conn: Connection, tenant: str, champion: Champion) -> list[_Told]:
    """Cases judged since the model was trained that it had scored itself; planted ones are no sample of attacks."""
    given = labels.since(conn, tenant, champion.trained_at)
    known = verdicts(given)
    planted = canary_cases(conn, tenant)
    when = {label.case_id: label.at for label in given}
    found = []
    for case_id, attack in sorted(known.items()):
        if case_id in planted:
            continue
        said = _said(decisions.decisions(conn, tenant, case_id), champion.learned.model_id)
        if said is not None:
            score, probability, stood = said
            found.append(_Told(when[case_id], f"{tenant}/{case_id}", attack, score, probability, stood))
    return found


def _said(history: Iterable[Decision], model_id: str) -> tuple[float, float, bool] | None:
    """The case's highest score by that model when a machine last decided it, and whether it would have closed."""
    for one in reversed(list(history)):
        told = one.inputs.get(SCORED)
        inputs = gate_of(one)
        if one.mode is Mode.HUMAN or not told or inputs is None or told["model"] != model_id or not told["rules"]:
            continue
        highest = max(told["rules"], key=lambda row: row["logit"])
        return highest["logit"], highest["probability"], bool(ask(inputs).stand)
    return None


def _rates(conn: Connection, tenant: str, at: datetime) -> Mapping[str, list[str]]:
    """Of the rules that act alone: whether one fires far more often or seldom than it used to."""
    acting = {one.unit.rule: learnt_rule(one.unit.rule) for one in levels.acting(conn, tenant)}
    if not acting:
        return {}
    today = floor(at.timestamp() / _DAY)
    found = {}
    for unit_rule, rule in acting.items():
        told = alarm_of_rate(rule, groups.daily(conn, tenant, rule, at - _DAYS), today)
        if told:
            found[unit_rule] = [told]
    return found
