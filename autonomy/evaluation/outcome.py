"""What a way of closing did at one tenant: counted against the truth, in groups, attack clusters and attack steps."""

import statistics
from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from nightdesk.autonomy.evaluation.units import Unit
from nightdesk.autonomy.learning.calibration import platt
from nightdesk.sdk.errors import ConfigError, Problem

try:
    import numpy as np
except ImportError as error:
    raise ConfigError([Problem("nightdesk", "learn", "install nightdesk[learn] to evaluate the autonomy")]) from error

__all__ = ["Outcome", "calibration_error", "mean_coverage", "outcome", "worst"]

_BINS = 15


@dataclass(frozen=True, slots=True)
class Outcome:
    """One tenant's figures. ``coverage`` is the share of benign units closed, ``missed`` counts attacks closed.

    ``first_escalation`` are the seconds from the opening of each attack step to its first escalated group, for the
    steps that have one; a step without is in ``missed_steps``.
    """

    tenant: str
    benign: int
    closed: int
    attacks: int
    missed: int
    clusters: int
    missed_clusters: int
    steps: int
    missed_steps: tuple[str, ...]
    first_escalation: tuple[float, ...]

    @property
    def coverage(self) -> float:
        """The share of benign units that nobody had to look at."""
        return self.closed / self.benign if self.benign else 0.0

    @property
    def median_escalation(self) -> float | None:
        """Seconds until half of the escalated attack steps were with a person."""
        return statistics.median(self.first_escalation) if self.first_escalation else None


def outcome(tenant: str, units: Sequence[Unit], closed: Collection[int], reopened: Collection[int] = ()) -> Outcome:
    """Counts a closing, given by places in ``units``.

    What was re-opened saved nobody work, but was missed all the same.
    """
    clusters: dict[tuple[str, str, str], bool] = defaultdict(bool)
    steps: dict[str, list[Unit]] = defaultdict(list)
    benign = spared = attacks = missed = 0
    shut, again = set(closed), set(reopened)
    for place, unit in enumerate(units):
        if unit.known_benign:
            benign += 1
            spared += place in shut and place not in again
        elif unit.known_attack:
            attacks += 1
            missed += place in shut
            clusters[unit.cluster] |= place in shut
            steps[unit.incident].append(unit)
    seen = {unit.key for place, unit in enumerate(units) if unit.known_attack and place not in shut}
    waits: list[float] = []
    lost: list[str] = []
    for step, members in sorted(steps.items()):
        escalated = [unit.opened for unit in members if unit.key in seen]
        if escalated:
            waits.append(min(escalated) - min(unit.opened for unit in members))
        else:
            lost.append(step)
    counts = (benign, spared, attacks, missed, len(clusters), sum(clusters.values()), len(steps))
    return Outcome(tenant, *counts, tuple(lost), tuple(waits))


def mean_coverage(outcomes: Iterable[Outcome]) -> float:
    """The mean over tenants: a large tenant counts no more than a small one."""
    shares = [one.coverage for one in outcomes]
    return statistics.fmean(shares) if shares else 0.0


def worst(outcomes: Sequence[Outcome]) -> Outcome:
    """The tenant that is served least."""
    return min(outcomes, key=lambda one: (one.coverage, one.tenant))


def calibration_error(acted: Sequence[tuple[float, bool]], like: Sequence[tuple[float, bool]]) -> float | None:
    """The expected calibration error of what was acted on, in 15 bins of equal size (Naeini, Cooper, Hauskrecht 2015).

    Both are (score, attack). Probabilities come from what other tenants would have closed in the same way, through a
    rising logistic curve (Platt 1999), or as its share of attacks where there are none or only attacks. None when
    nothing was acted on.
    """
    if not acted or not like:
        return None
    shown = sorted(acted)
    probable = np.array(_probabilities([score for score, _ in shown], like))
    happened = np.array([attack for _, attack in shown], dtype=float)
    parts = np.array_split(np.arange(len(shown)), min(_BINS, len(shown)))
    off = (abs(probable[part].mean() - happened[part].mean()) * len(part) for part in parts)
    return float(sum(off) / len(shown))


def _probabilities(scores: Sequence[float], like: Sequence[tuple[float, bool]]) -> list[float]:
    attacks = sum(attack for _, attack in like)
    if 0 < attacks < len(like):
        curve = platt(np.array([score for score, _ in like]), np.array([attack for _, attack in like]))
        return [curve.probability(score) for score in scores]
    return [(attacks + 0.5) / (len(like) + 1)] * len(scores)
