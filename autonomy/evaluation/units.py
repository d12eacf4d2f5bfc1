"""The judged groups of each tenant as columns, and their scores by models that have seen nothing of that tenant."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import isfinite

from nightdesk.autonomy.learning.groups import Judged
from nightdesk.autonomy.learning.history import HOLD
from nightdesk.autonomy.learning.matrices import logits, matrix
from nightdesk.autonomy.learning.model import train
from nightdesk.autonomy.learning.rows import Rows, observe
from nightdesk.autonomy.learning.tables import Tables
from nightdesk.autonomy.risk.threshold import Scored
from nightdesk.sdk.errors import ConfigError, NightdeskError, Problem

__all__ = ["FEWEST_TENANTS", "HeldOut", "Progress", "Unit", "Units", "held_out"]

Progress = Callable[[str, int, int], None]
"""Told of long work: what, how much is done, of how much."""

FEWEST_TENANTS = 3
"""One to be held out, one to calibrate on, one to learn from."""


@dataclass(frozen=True, slots=True)
class Unit:
    """One judged group: its name, when it may be decided, and the truth about it."""

    key: str
    tenant: str
    rule: str
    entity: str
    opened: float
    decided: float
    attack: bool
    unclear: bool
    incident: str

    @property
    def cluster(self) -> tuple[str, str, str]:
        """What counts once (tenant, attack step, rule)."""
        return self.tenant, self.incident, self.rule

    @property
    def known_attack(self) -> bool:
        """An attack for certain."""
        return self.attack and not self.unclear

    @property
    def known_benign(self) -> bool:
        """None for certain."""
        return not self.attack and not self.unclear

    @classmethod
    def of(cls, judged: Judged) -> "Unit":
        """From what was read; decided when it has been quiet for as long as a close waits."""
        group = judged.group
        key = f"{group.tenant}/{group.entity}/{group.rule}/{group.opened:.3f}/{group.last:.3f}/{group.alerts}"
        decided = max(group.opened, group.last) + HOLD
        place = (key, group.tenant, group.rule, group.entity, group.opened, decided)
        return cls(*place, judged.attack, judged.unclear, judged.incident)


@dataclass(frozen=True, slots=True)
class Units:
    """One tenant's units in the order of decision, with the scores of one model that has not seen the tenant."""

    tenant: str
    units: tuple[Unit, ...]
    scores: tuple[float, ...]

    def attacks(self, *, by_group: bool) -> list[Scored]:
        """What a threshold is calibrated on; a cluster of its own for each group when groups are counted."""
        return [
            Scored(score, unit.key, (unit.key,) if by_group else unit.cluster)
            for unit, score in zip(self.units, self.scores, strict=True)
            if unit.known_attack
        ]

    def having(self, scores: Sequence[float]) -> "Units":
        """The same units with other scores."""
        return Units(self.tenant, self.units, tuple(scores))


@dataclass(frozen=True, slots=True)
class HeldOut:
    """A tenant whose labels nothing has seen: ``own`` are its units by a model of all the others.

    ``others`` are the others' units, each tenant's by a model of neither it nor the one held out. So what calibrates a
    threshold is scored as what it will be applied to: by a model that does not know the tenant. ``others`` is empty
    where no such model can be learnt.
    """

    tenant: str
    own: Units
    others: dict[str, Units]


def held_out(judged: Iterable[Judged], progress: Progress | None = None) -> list[HeldOut]:
    """Holds each tenant out in turn. Two that are held out together share one model, so n tenants take n (n + 1) / 2.

    Raises ConfigError without two tenants, or without the extra that trains.
    """
    rows = observe(judged)
    tenants = rows.tenants
    if len(tenants) < 2:
        raise ConfigError(
            [Problem("data", "tenant", f"{len(tenants)} tenant(s); at least 2 are needed to hold one out")]
        )
    pairs = list(combinations(tenants, 2)) if len(tenants) >= FEWEST_TENANTS else []
    units = {name: Units(name, tuple(Unit.of(row.judged) for row in rows.of([name])), ()) for name in tenants}
    inner: dict[tuple[str, str], Units] = {}
    total = len(pairs) + len(tenants)
    for done, pair in enumerate(pairs, 1):
        tables = _trained(rows, [name for name in tenants if name not in pair])
        for held, scored in (pair, pair[::-1]):
            if tables is not None:
                among = [name for name in tenants if name not in pair]
                inner[held, scored] = units[scored].having(_scores(rows, tables, scored, among))
        _told(progress, done, total)
    found = []
    for done, tenant in enumerate(tenants, len(pairs) + 1):
        among = [name for name in tenants if name != tenant]
        tables = _trained(rows, among)
        if tables is None:
            message = "no attacks, or nothing else, at the other tenants; there is nothing to learn"
            raise ConfigError([Problem("data", f"without tenant {tenant}", message)])
        own = units[tenant].having(_scores(rows, tables, tenant, among))
        found.append(HeldOut(tenant, own, {name: inner[tenant, name] for name in among if (tenant, name) in inner}))
        _told(progress, done, total)
    return found


def _told(progress: Progress | None, done: int, total: int) -> None:
    if progress is not None:
        progress("models of other tenants", done, total)


def _trained(rows: Rows, among: Sequence[str]) -> Tables | None:
    """A model of these tenants; None when they have only attacks or none."""
    kinds = {row.judged.attack for row in rows.of(among, clear=True)}
    if len(kinds) < 2:
        return None
    return train(rows, among)


def _scores(rows: Rows, tables: Tables, tenant: str, among: Sequence[str]) -> list[float]:
    """The log-odds that the product's thresholds compare."""
    scores = [float(one) for one in logits(tables, matrix(rows.of([tenant]), rows.fleet, among))]
    if not all(map(isfinite, scores)):
        raise NightdeskError(f"tenant {tenant}: a score is no number; look for values that are none in its groups")
    return scores
