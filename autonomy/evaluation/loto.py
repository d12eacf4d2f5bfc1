"""Leave one tenant out: what a threshold promised on other tenants' attacks does at one that nobody has seen.

A unit is closed when it scores below the threshold, below the ceiling, and its rule is not one that the other tenants
distrust the score with. The promise is about all three together, for attacks are calibrated on through all three.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from nightdesk.autonomy.evaluation.outcome import Outcome, calibration_error, outcome
from nightdesk.autonomy.evaluation.units import HeldOut, Units
from nightdesk.autonomy.risk.bounds import upper_bound
from nightdesk.autonomy.risk.distrust import Past, ceiling, distrusted
from nightdesk.autonomy.risk.threshold import Threshold, learn_then_test

__all__ = ["Certificate", "Deciding", "Tested", "acted", "deciding", "loto", "past_of"]


@dataclass(frozen=True, slots=True)
class Certificate:
    """What is promised for one tenant and on what: ``bound`` is the least miss rate that ``k`` of ``n`` show."""

    n: int
    k: int | None
    tau: float | None
    bound: float
    missing: int
    why: str

    @property
    def certified(self) -> bool:
        """Whether anything may be closed."""
        return self.k is not None

    @classmethod
    def of(cls, threshold: Threshold, delta: float) -> "Certificate":
        """From a threshold."""
        certified = threshold.k is not None
        bound = upper_bound(threshold.k or 0, threshold.n, delta) if certified else 1.0
        tau = threshold.tau if certified else None
        return cls(threshold.n, threshold.k, tau, bound, threshold.missing, threshold.why)


@dataclass(frozen=True, slots=True)
class Tested:
    """One tenant: the promise and what came of it. ``more`` are further figures of a protocol, by name."""

    certificate: Certificate
    outcome: Outcome
    ece: float | None
    closed: tuple[int, ...]
    more: tuple[tuple[str, object], ...] = ()


def trusted(units: Units, without: frozenset[str]) -> Units:
    """The units with the scores that decide: a rule that is left to people scores above everything."""
    return units.having([
        math.inf if unit.rule in without else score for unit, score in zip(units.units, units.scores, strict=True)
    ])  # fmt: skip


@dataclass(frozen=True, slots=True)
class Deciding:
    """One fold with the scores that decide, and the score from which nothing is closed."""

    own: Units
    others: dict[str, Units]
    ceiling: float

    def closed(self, units: Units, threshold: Threshold) -> tuple[int, ...]:
        """The places of what the threshold closes, and nothing from the ceiling on."""
        return tuple(
            place
            for place, (unit, score) in enumerate(zip(units.units, units.scores, strict=True))
            if not unit.unclear and score < self.ceiling and threshold.closes(score, unit.key)
        )


def deciding(fold: HeldOut) -> Deciding:
    """The fold with each tenant's rules that *other* tenants distrust left to people.

    So the choice of rules is part of what is calibrated, and has seen neither the tenant that it calibrates on nor the
    one that it is for.
    """
    past = {name: past_of(units) for name, units in fold.others.items()}
    others = {
        name: trusted(units, distrusted(one for other, one in past.items() if other != name))
        for name, units in fold.others.items()
    }
    return Deciding(trusted(fold.own, distrusted(past.values())), others, ceiling(past.values()))


def past_of(units: Units) -> list[Past]:
    """What is known of a tenant's units for certain."""
    return [
        Past(unit.rule, score, unit.attack)
        for unit, score in zip(units.units, units.scores, strict=True)
        if not unit.unclear
    ]


def acted(units: Units, places: Sequence[int]) -> list[tuple[float, bool]]:
    """(score, attack) of some units, for their calibration error."""
    return [(units.scores[place], units.units[place].attack) for place in places]


def loto(folds: Sequence[Deciding], alpha: float, delta: float, *, by_group: bool) -> list[Tested]:
    """Each tenant closed by the threshold of the others (Learn then Test); without a promise, nothing is closed."""
    found = []
    for scored in folds:
        others = scored.others.values()
        attacks = [one for units in others for one in units.attacks(by_group=by_group)]
        threshold = learn_then_test(attacks, alpha, delta)
        closed = scored.closed(scored.own, threshold)
        like = [one for units in others for one in acted(units, scored.closed(units, threshold))]
        ece = calibration_error(acted(scored.own, closed), like)
        figures = outcome(scored.own.tenant, scored.own.units, closed)
        found.append(Tested(Certificate.of(threshold, delta), figures, ece, closed))
    return found
