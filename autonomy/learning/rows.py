"""Judged groups as rows to learn from: observed once, then given the priors of any set of other tenants."""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from nightdesk.autonomy.learning.groups import Judged
from nightdesk.autonomy.learning.history import HOLD, History, Observation
from nightdesk.autonomy.learning.priors import FEWEST_TENANTS, Fleet

__all__ = ["Row", "Rows", "fewest_among", "observe"]


@dataclass(frozen=True, slots=True)
class Row:
    """A judged group and what was known of it when it was decided."""

    judged: Judged
    seen: Observation


@dataclass(frozen=True, slots=True)
class Rows:
    """All rows and the counts of the fleet behind them."""

    rows: tuple[Row, ...]
    fleet: Fleet

    @property
    def tenants(self) -> tuple[str, ...]:
        """Whose rows they are, sorted."""
        return tuple(sorted({row.judged.group.tenant for row in self.rows}))

    def of(self, tenants: Iterable[str], *, clear: bool = False) -> tuple[Row, ...]:
        """The rows of some tenants, in their order; ``clear`` leaves out what has no certain label."""
        wanted = set(tenants)
        return tuple(
            row for row in self.rows if row.judged.group.tenant in wanted and not (clear and row.judged.unclear)
        )


def observe(judged: Iterable[Judged], *, hold: float = HOLD) -> Rows:
    """Stream judged groups through a history, in whatever order they are given; the unclear is seen too.

    A group that is given twice is one piece of evidence: its largest form counts, and an attack if one verdict says so.
    """
    once: dict[tuple[float, str, str, str], Judged] = {}
    for one in sorted(judged, key=lambda one: (one.group.alerts, one.group.last)):
        key = one.group.opened, one.group.tenant, one.group.entity, one.group.rule
        known = once.get(key)
        once[key] = one if known is None or one.attack or not known.attack else replace(known, group=one.group)
    ordered = [once[key] for key in sorted(once)]
    labels = {id(one.group): one for one in ordered}
    seen = History().observe((one.group for one in ordered), hold=hold)
    rows = tuple(Row(labels[id(one.group)], one) for one in seen)
    return Rows(rows, Fleet.of(ordered))


def fewest_among(others: int) -> int:
    """Tenants that a count needs behind it in a split of the fleet: as in use, or all there are in a smaller one."""
    return min(FEWEST_TENANTS, max(others, 1))
