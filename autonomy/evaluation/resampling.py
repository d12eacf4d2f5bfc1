"""How often the promise is broken when the attacks it is calibrated on are drawn anew: it may be in 5 % of the draws.

Drawn are clusters (tenant, attack step, rule), with replacement, from all attacks as models scored them that know
nothing of their tenant. The true miss rate is that of the pool they are drawn from.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from nightdesk.autonomy.evaluation.gate import Gate, fleet_records, through_time
from nightdesk.autonomy.evaluation.loto import Deciding
from nightdesk.autonomy.evaluation.stream import Trial, prefix, worth
from nightdesk.autonomy.risk.bounds import errors_allowed, items_needed
from nightdesk.autonomy.risk.threshold import lowest_per_cluster
from nightdesk.sdk.errors import ConfigError, Problem

try:
    import numpy as np
except ImportError as error:
    raise ConfigError([Problem("nightdesk", "learn", "install nightdesk[learn] to evaluate the autonomy")]) from error

__all__ = ["Violations", "resampled_loto", "resampled_stream"]

_SEED = 20


@dataclass(frozen=True, slots=True)
class Violations:
    """One tenant's share of draws in which more than alpha of the pool's attacks would have been closed.

    ``drawn`` clusters a draw, of a pool of ``pool``. Where there are too few to promise anything, as many are drawn as
    the promise needs: then it is the procedure that is tested, not the data.
    """

    tenant: str
    rate: float
    draws: int
    drawn: int
    pool: int


def resampled_loto(folds: Sequence[Deciding], alpha: float, delta: float, draws: int) -> list[Violations]:
    """Thresholds of ``loto``, calibrated on drawn clusters."""
    found = []
    for number, scored in enumerate(folds):
        calibrating = [one for units in scored.others.values() for one in units.attacks(by_group=False)]
        pool = sorted(one.rank for one in lowest_per_cluster([*calibrating, *scored.own.attacks(by_group=False)]))
        have = len(lowest_per_cluster(calibrating))
        drawn = max(have, items_needed(0, alpha, delta)) if have else 0
        allowed = errors_allowed(drawn, alpha, delta)
        if allowed is None or not draws:
            found.append(Violations(scored.own.tenant, 0.0, 0, drawn, len(pool)))
            continue
        top = sum(score < scored.ceiling for score, _ in pool)
        ranks = np.random.default_rng(_SEED + number).integers(0, len(pool), size=(draws, drawn))
        beyond = np.minimum(np.partition(ranks, allowed, axis=1)[:, allowed], top)
        found.append(Violations(scored.own.tenant, float((beyond / len(pool) > alpha).mean()), draws, drawn, len(pool)))
    return found


def resampled_stream(trials: Sequence[Trial], alpha: float, delta: float, gate: Gate, draws: int) -> list[Violations]:
    """Thresholds of ``stream``, certified on drawn clusters: the whole gate, at every threshold of the grid."""
    found = []
    for number, trial in enumerate(trials):
        own = trial.fold.own
        ours = sorted({unit.cluster for unit in own.units if unit.known_attack})
        pool = [*sorted(trial.clusters), *ours]
        have = len(trial.clusters)
        drawn = max(have, items_needed(0, alpha, delta)) if have else 0
        if not drawn or not draws:
            found.append(Violations(own.tenant, 0.0, 0, drawn, len(pool)))
            continue
        lost = np.zeros((len(pool), len(trial.steps)), dtype=np.int64)
        for column, step in enumerate(trial.steps):
            course = through_time(own, step.threshold, fleet_records(trial.fold.others.values(), step.threshold), gate)
            closed = {own.units[place].cluster for place in course.closed if own.units[place].known_attack}
            closed |= step.clusters
            lost[:, column] = [one in closed for one in pool]
        chance = np.random.default_rng(_SEED + number)
        counts = chance.multinomial(drawn, np.full(len(pool), 1 / len(pool)), size=draws) @ lost
        rates = lost.mean(axis=0)
        coverage = [one.coverage for one in trial.steps]
        broken = 0
        for row in counts:
            passed = prefix([int(one) for one in row], drawn, alpha, delta)
            broken += bool(passed) and bool(rates[worth(coverage[:passed])] > alpha)
        found.append(Violations(own.tenant, broken / draws, draws, drawn, len(pool)))
    return found
