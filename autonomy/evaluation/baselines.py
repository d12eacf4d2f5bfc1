"""What simpler ways of closing do on the same groups: the figures that a learnt score has to beat."""

from collections.abc import Callable, Sequence

from nightdesk.autonomy.evaluation.outcome import Outcome, outcome
from nightdesk.autonomy.evaluation.units import HeldOut
from nightdesk.autonomy.levels.evidence import DAY

__all__ = ["BASELINES", "allow_list", "compared", "even_odds", "throttle"]


def throttle(fold: HeldOut) -> list[int]:
    """Closes what repeats: a rule on an entity that it named within the last 24 hours."""
    last: dict[tuple[str, str], float] = {}
    closed = []
    for place, unit in sorted(enumerate(fold.own.units), key=lambda one: (one[1].opened, one[0])):
        key = unit.rule, unit.entity
        if key in last and unit.opened - last[key] < DAY:
            closed.append(place)
        last[key] = unit.opened
    return closed


def allow_list(fold: HeldOut) -> list[int]:
    """Closes every rule that was noise at all other tenants that know it, ten times at least."""
    noise: dict[str, int] = {}
    attacks = set()
    for units in fold.others.values():
        for unit in units.units:
            if unit.known_attack:
                attacks.add(unit.rule)
            elif unit.known_benign:
                noise[unit.rule] = noise.get(unit.rule, 0) + 1
    listed = {rule for rule, count in noise.items() if count >= 10} - attacks
    return [place for place, unit in enumerate(fold.own.units) if unit.rule in listed]


def even_odds(fold: HeldOut) -> list[int]:
    """Closes what the model holds for an attack with a probability below 0.5; nothing is promised."""
    return [place for place, score in enumerate(fold.own.scores) if score < 0.0]


BASELINES: tuple[tuple[str, Callable[[HeldOut], Sequence[int]]], ...] = (
    ("plain throttle", throttle),
    ("allow-list", allow_list),
    ("probability below 0.5", even_odds),
)


def compared(folds: Sequence[HeldOut]) -> list[tuple[str, list[Outcome]]]:
    """Each baseline with its outcome at every tenant."""
    return [
        (name, [outcome(fold.tenant, fold.own.units, closing(fold)) for fold in folds]) for name, closing in BASELINES
    ]
