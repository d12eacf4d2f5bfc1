"""What would have to be different for the other decision: the smallest change that crosses the threshold."""

from dataclasses import dataclass
from math import inf, nextafter

from nightdesk.autonomy.learning.tables import Steps, Tables

__all__ = ["Change", "counterfactual"]


@dataclass(frozen=True, slots=True)
class Change:
    """One feature, what it is, and what it would have to be."""

    name: str
    value: float
    instead: float


def counterfactual(tables: Tables, values: tuple[float, ...], tau: float) -> tuple[Change, ...]:
    """The smallest change of one feature, in standard deviations of it, that crosses ``tau``; of several if one cannot.

    A group closes when its log-odds are below ``tau``. Empty when no change within what was learnt crosses it.
    """
    closes = tables.logit(values) < tau
    single: list[tuple[float, int, float]] = []
    furthest: list[tuple[float, int, float]] = []
    for place, steps in enumerate(tables.steps):
        here = steps.at(values[place])
        best = (0.0, place, values[place])
        for instead in _elsewhere(steps, values[place]):
            gain = (steps.at(instead) - here) * (1 if closes else -1)
            if gain <= 0:
                continue
            cost = abs(instead - values[place]) / steps.spread
            if (tables.logit(_with(values, {place: instead})) < tau) != closes:
                single.append((cost, place, instead))
            best = max(best, (gain, place, instead), key=lambda one: one[0])
        if best[0]:
            furthest.append(best)
    if single:
        _, place, instead = min(single)
        return (Change(tables.steps[place].name, values[place], instead),)
    changed: dict[int, float] = {}
    for _, place, instead in sorted(furthest, key=lambda one: (-one[0], one[1])):
        changed[place] = instead
        if (tables.logit(_with(values, changed)) < tau) != closes:
            return tuple(Change(tables.steps[at].name, values[at], to) for at, to in changed.items())
    return ()


def _elsewhere(steps: Steps, value: float) -> list[float]:
    """The nearest value of each other step, within what was learnt from."""
    if steps.spread == 0:
        return []
    points = [nextafter(cut, inf) if cut >= value else cut for cut in steps.cuts]
    return [point for point in points if steps.low <= point <= steps.high]


def _with(values: tuple[float, ...], changed: dict[int, float]) -> tuple[float, ...]:
    return tuple(changed.get(place, value) for place, value in enumerate(values))
