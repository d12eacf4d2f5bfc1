"""An evaluation from judged groups to one document: what was promised, what came of it, and against what."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

from nightdesk.autonomy.evaluation.baselines import compared
from nightdesk.autonomy.evaluation.curve import Curve
from nightdesk.autonomy.evaluation.gate import Course, Gate, fleet_records, through_time
from nightdesk.autonomy.evaluation.loto import Tested, deciding, loto
from nightdesk.autonomy.evaluation.outcome import Outcome, mean_coverage, outcome, worst
from nightdesk.autonomy.evaluation.resampling import Violations, resampled_loto, resampled_stream
from nightdesk.autonomy.evaluation.stream import stream, trials
from nightdesk.autonomy.evaluation.units import HeldOut, Progress, held_out
from nightdesk.autonomy.learning.groups import Judged
from nightdesk.autonomy.levels.evidence import Terms
from nightdesk.autonomy.risk.bounds import probability

__all__ = ["Protocol", "Settings", "UnitKind", "evaluate"]

LADDER = (0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1)
_BUCKET = 6 * 3600.0


class Protocol(StrEnum):
    """LOTO closes by a threshold alone; STREAM in the order of time, with rights that are earned and lost."""

    LOTO = "loto"
    STREAM = "stream"


class UnitKind(StrEnum):
    """What counts as one attack: each group, or each cluster (tenant, attack step, rule)."""

    GROUP = "group"
    CLUSTER = "cluster"


@dataclass(frozen=True, slots=True)
class Settings:
    """What is promised and how it is tested."""

    protocol: Protocol = Protocol.LOTO
    unit: UnitKind = UnitKind.GROUP
    alpha: float = 0.01
    delta: float = 0.05
    resamplings: int = 1_000
    gate: Gate = field(default_factory=Gate)

    def __post_init__(self) -> None:
        probability("alpha", self.alpha)
        probability("delta", self.delta)


def evaluate(
    judged: Sequence[Judged], settings: Settings, progress: Progress | None = None
) -> tuple[dict[str, Any], Curve]:
    """(the document, its curve). Raises ConfigError for data that nothing can be learnt or held out from."""
    folds = held_out(judged, progress)
    clear = [one for one in judged if not one.unclear]
    attacks = [one for one in clear if one.attack]
    if settings.protocol is Protocol.STREAM:
        body, curve = _streamed(folds, settings, progress)
    else:
        body, curve = _left_out(folds, settings)
    document = {
        "protocol": settings.protocol,
        "unit": settings.unit,
        "alpha": settings.alpha,
        "delta": settings.delta,
        "data": {
            "tenants": len(folds),
            "groups": len(clear),
            "attacks": len(attacks),
            "attack_clusters": len({one.cluster for one in attacks}),
            "unclear_left_out": len(judged) - len(clear),
        },
        **body,
        "baselines": [{"name": name, **_summed(found)} for name, found in compared(folds)],
    }
    return document, curve


def _left_out(folds: Sequence[HeldOut], settings: Settings) -> tuple[dict[str, Any], Curve]:
    alpha, delta = settings.alpha, settings.delta
    scored = [deciding(fold) for fold in folds]
    found = {kind: loto(scored, alpha, delta, by_group=kind is UnitKind.GROUP) for kind in UnitKind}
    by_group = settings.unit is UnitKind.GROUP
    ladder = [(one, loto(scored, one, delta, by_group=by_group)) for one in LADDER]
    points = tuple((one * 100, mean_coverage(each.outcome for each in tested)) for one, tested in ladder)
    marks = tuple(f"{one:.3g}" for one, _ in points)
    curve = Curve("Benign groups closed at a promised miss rate", "promised miss rate, %", points, marks)
    drawn = resampled_loto(scored, alpha, delta, settings.resamplings)
    other = UnitKind.CLUSTER if by_group else UnitKind.GROUP
    body = {**_told(found[settings.unit]), f"by_{other}": _beside(found[other]), **_broken(drawn)}
    body["curve"] = [
        {"alpha": one, "coverage": mean_coverage(each.outcome for each in tested), "missed": _missed(tested)}
        for one, tested in ladder
    ]
    return body, curve


def _streamed(folds: Sequence[HeldOut], settings: Settings, progress: Progress | None) -> tuple[dict[str, Any], Curve]:
    alpha, delta, gate = settings.alpha, settings.delta, settings.gate
    tried = trials(folds, gate, progress)
    found = {kind: stream(tried, alpha, delta, gate, by_group=kind is UnitKind.GROUP) for kind in UnitKind}
    chosen = found[settings.unit]
    by_group = settings.unit is UnitKind.GROUP
    other = UnitKind.CLUSTER if by_group else UnitKind.GROUP
    curve = _over_time(folds, [course for _, course in chosen])
    drawn = resampled_stream(tried, alpha, delta, gate, settings.resamplings)
    body = {
        **_told([one for one, _ in chosen]),
        f"by_{other}": _beside([one for one, _ in found[other]]),
        **_broken(drawn),
        "gate": {"label_delay_s": gate.delay, "qa": gate.qa, "w0": gate.terms.fleet_verdicts},
        "product_terms": _strict(folds, [one for one, _ in chosen], gate),
        "curve": [{"hours": x, "coverage": share} for x, share in curve.points],
    }
    return body, curve


def _strict(folds: Sequence[HeldOut], found: Sequence[Tested], gate: Gate) -> dict[str, Any]:
    """The same thresholds with the bet and the caps that the product grants a level by: what the first days show."""
    terms = Terms(fleet_verdicts=gate.terms.fleet_verdicts)
    outcomes = []
    for fold, one in zip(folds, found, strict=True):
        course, tau = Course(), one.certificate.tau
        if tau is not None:
            fleet = fleet_records(fold.others.values(), tau)
            course = through_time(fold.own, tau, fleet, replace(gate, terms=terms))
        outcomes.append(outcome(fold.tenant, fold.own.units, course.closed, course.reopened))
    return _summed(outcomes)


def _told(found: Sequence[Tested]) -> dict[str, Any]:
    """The figures that come first, then each tenant's."""
    outcomes = [one.outcome for one in found]
    least = worst(outcomes)
    return {
        **_summed(outcomes),
        "worst_tenant": {"tenant": least.tenant, "coverage": least.coverage},
        "certified": all(one.certificate.certified for one in found),
        "certified_tenants": sum(one.certificate.certified for one in found),
        "certified_bound": max(one.certificate.bound for one in found),
        "more_attacks_needed": max(one.certificate.missing for one in found),
        "why": sorted({one.certificate.why for one in found}),
        "ece": max((one.ece for one in found if one.ece is not None), default=None),
        "per_tenant": [_tenant(one) for one in found],
    }


def _tenant(one: Tested) -> dict[str, Any]:
    done, promise = one.outcome, one.certificate
    return {
        "tenant": done.tenant,
        "coverage": done.coverage,
        "benign": done.benign,
        "closed": done.closed,
        "attacks": done.attacks,
        "missed": done.missed,
        "attack_clusters": done.clusters,
        "missed_clusters": done.missed_clusters,
        "attack_steps": done.steps,
        "missed_steps": list(done.missed_steps),
        "certified": promise.certified,
        "n": promise.n,
        "k": promise.k,
        "threshold": promise.tau,
        "certified_bound": promise.bound,
        "more_attacks_needed": promise.missing,
        "ece": one.ece,
        "first_escalation_s": {
            "median": done.median_escalation,
            "longest": max(done.first_escalation, default=None),
        },
        **dict(one.more),
    }


def _summed(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    return {
        "coverage": mean_coverage(outcomes),
        "missed": sum(one.missed for one in outcomes),
        "missed_clusters": sum(one.missed_clusters for one in outcomes),
        "missed_steps": sum(len(one.missed_steps) for one in outcomes),
        "attack_steps": sum(one.steps for one in outcomes),
    }


def _beside(found: Sequence[Tested]) -> dict[str, Any]:
    return {
        **_summed([one.outcome for one in found]),
        "worst_coverage": worst([one.outcome for one in found]).coverage,
        "certified_tenants": sum(one.certificate.certified for one in found),
        "n": [one.certificate.n for one in found],
        "k": [one.certificate.k for one in found],
        "more_attacks_needed": max(one.certificate.missing for one in found),
    }


def _missed(found: Iterable[Tested]) -> int:
    return sum(one.outcome.missed for one in found)


def _broken(drawn: Sequence[Violations]) -> dict[str, Any]:
    made = [one for one in drawn if one.draws]
    return {
        "violations": {
            "rate": max((one.rate for one in made), default=None),
            "resamplings": max((one.draws for one in made), default=0),
            "counted_in": "clusters",
            "per_tenant": {one.tenant: one.rate for one in made},
            "clusters_drawn": {one.tenant: one.drawn for one in made},
            "clusters_known": {one.tenant: one.pool for one in made},
        }
    }


def _over_time(folds: Sequence[HeldOut], courses: Sequence[Course]) -> Curve:
    """The share of benign groups closed in each six hours since a tenant's first, as a mean over tenants."""
    buckets: dict[int, list[float]] = {}
    for fold, course in zip(folds, courses, strict=True):
        shut = set(course.closed) - course.reopened
        start = min((unit.opened for unit in fold.own.units), default=0.0)
        counts: dict[int, list[int]] = {}
        for place, unit in enumerate(fold.own.units):
            if unit.known_benign:
                cell = counts.setdefault(int((unit.opened - start) // _BUCKET), [0, 0])
                cell[0] += 1
                cell[1] += place in shut
        for bucket, (all_of, closed) in counts.items():
            buckets.setdefault(bucket, []).append(closed / all_of)
    points = tuple((bucket * 6.0, sum(shares) / len(shares)) for bucket, shares in sorted(buckets.items()))
    marks = tuple(f"{x:.0f}" if x % 24 == 0 else "" for x, _ in points)
    return Curve("Benign groups closed as rights are earned", "hours since the tenant's first alert", points, marks)
