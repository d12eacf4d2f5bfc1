"""Tenants as they happen: a group is closed when it scores below a threshold *and* its rule has earned that here.

The promise is about both together. The other tenants are run through the same gate, each by models and fleet counts
of neither it nor the tenant held out, and their attacks that were closed are counted. So an attack whose rule had no
right to close is caught, however low it scores; with the score alone one tenant's exfiltration, scored as the noise
that its rule is elsewhere, would drag the threshold of everybody down.
"""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from nightdesk.autonomy.evaluation.gate import Course, Gate, fleet_records, through_time
from nightdesk.autonomy.evaluation.loto import Certificate, Tested, acted, past_of
from nightdesk.autonomy.evaluation.outcome import calibration_error, outcome
from nightdesk.autonomy.evaluation.units import HeldOut, Progress, Unit, Units
from nightdesk.autonomy.risk.bounds import errors_allowed, items_needed
from nightdesk.autonomy.risk.distrust import SHOWN
from nightdesk.autonomy.risk.threshold import Threshold

__all__ = ["SHARES", "Step", "Trial", "certified", "prefix", "stream", "trials", "worth"]

Cluster: TypeAlias = tuple[str, str, str]

SHARES = (0.1, 0.3, 0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.93, 0.95, 0.97, 1 - SHOWN)
"""The thresholds tried, from the lowest, as shares of what is benign at the other tenants; fixed beforehand."""

_WORTH = 0.005
"""A threshold is raised for half a percent more coverage, not for less."""


@dataclass(frozen=True, slots=True)
class Step:
    """What one threshold does at the tenants it is calibrated on: which attacks are closed, and how much besides.

    ``acted`` are (score, attack) of everything closed.
    """

    threshold: float
    groups: frozenset[str]
    clusters: frozenset[Cluster]
    coverage: float
    acted: tuple[tuple[float, bool], ...]


@dataclass(frozen=True, slots=True)
class Trial:
    """One tenant held out, and the others run through the gate at each threshold of the grid."""

    fold: HeldOut
    steps: tuple[Step, ...]
    groups: int
    clusters: frozenset[Cluster]


def trials(folds: Sequence[HeldOut], gate: Gate, progress: Progress | None = None) -> list[Trial]:
    """Runs every other tenant of every fold; the long part of a stream."""
    found = []
    for done, fold in enumerate(folds, 1):
        attacks = [unit for one in fold.others.values() for unit in one.units if unit.known_attack]
        steps = tuple(_step(fold.others, threshold, gate) for threshold in _grid(fold.others))
        found.append(Trial(fold, steps, len({one.key for one in attacks}), frozenset(one.cluster for one in attacks)))
        if progress is not None:
            progress("other tenants through the gate", done, len(folds))
    return found


def _grid(others: Mapping[str, Units]) -> list[float]:
    """The thresholds of ``SHARES``: attacks have no part in them, so the order is fixed before they are seen."""
    benign = sorted(one.score for units in others.values() for one in past_of(units) if not one.attack)
    return [benign[min(len(benign) - 1, int(share * len(benign)))] for share in SHARES] if benign else []


def _step(others: Mapping[str, Units], threshold: float, gate: Gate) -> Step:
    missed: list[Unit] = []
    shut: list[tuple[float, bool]] = []
    shares = []
    for name, own in others.items():
        fleet = fleet_records((one for other, one in others.items() if other != name), threshold)
        course = through_time(own, threshold, fleet, gate)
        missed.extend(own.units[place] for place in course.closed if own.units[place].attack)
        shut.extend(acted(own, course.closed))
        shares.append(outcome(name, own.units, course.closed, course.reopened).coverage)
    groups, clusters = frozenset(one.key for one in missed), frozenset(one.cluster for one in missed)
    return Step(threshold, groups, clusters, statistics.fmean(shares), tuple(shut))


def certified(trial: Trial, alpha: float, delta: float, *, by_group: bool) -> Threshold:
    """The threshold that the promise allows: from the lowest up while the misses are few enough (fixed sequence).

    Learn then Test (arXiv 2110.01052, section 2.2): the order is fixed before the data are seen, so no correction is
    due, and the share missed need not grow with the threshold, which here it does not. All thresholds passed are
    certified together, so the choice among them is free: the lowest that closes nearly as much as any.
    """
    n = trial.groups if by_group else len(trial.clusters)
    passed = prefix([len(one.groups if by_group else one.clusters) for one in trial.steps], n, alpha, delta)
    if not passed:
        return Threshold(float("-inf"), 0, n, None, alpha, delta, max(0, items_needed(0, alpha, delta) - n))
    place = worth([one.coverage for one in trial.steps[:passed]])
    chosen = trial.steps[place]
    return Threshold(chosen.threshold, 0, n, len(chosen.groups if by_group else chosen.clusters), alpha, delta)


def prefix(missed: Sequence[int], n: int, alpha: float, delta: float) -> int:
    """How many thresholds of the fixed sequence pass before the first that does not."""
    allowed = errors_allowed(n, alpha, delta)
    if allowed is None:
        return 0
    return next((place for place, count in enumerate(missed) if count > allowed), len(missed))


def worth(coverage: Sequence[float]) -> int:
    """The first threshold that closes nearly as much as the best of them."""
    best = max(coverage)
    return next(place for place, share in enumerate(coverage) if share >= best - _WORTH)


def stream(
    done: Sequence[Trial], alpha: float, delta: float, gate: Gate, *, by_group: bool
) -> list[tuple[Tested, Course]]:
    """Each tenant held out and run through the gate with the threshold that the others certify."""
    found = []
    for trial in done:
        threshold = certified(trial, alpha, delta, by_group=by_group)
        own, course = trial.fold.own, Course()
        like: tuple[tuple[float, bool], ...] = ()
        if threshold.certified:
            course = through_time(own, threshold.tau, fleet_records(trial.fold.others.values(), threshold.tau), gate)
            like = next(one.acted for one in trial.steps if one.threshold == threshold.tau)
        figures = outcome(own.tenant, own.units, course.closed, course.reopened)
        ece = calibration_error(acted(own, course.closed), like)
        certificate = Certificate.of(threshold, delta)
        found.append((Tested(certificate, figures, ece, tuple(course.closed), _more(own, course)), course))
    return found


def _more(own: Units, course: Course) -> tuple[tuple[str, object], ...]:
    return (
        ("reopened", len(course.reopened)),
        ("reopened_attacks", sum(own.units[place].known_attack for place in course.reopened)),
        ("rights_earned", course.earned),
        ("rights_lost", course.lost),
        ("qa_drawn", course.drawn),
        ("qa_share", course.drawn / len(course.closed) if course.closed else 0.0),
    )
