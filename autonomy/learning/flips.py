"""What would have to be different for the other decision: the smallest change that crosses the threshold."""

from bisect import bisect_left
from collections.abc import Iterator, Sequence
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


def counterfactual(tables: Tables, values: Sequence[float], tau: float) -> tuple[Change, ...]:
    """The smallest change of one feature, in standard deviations of it, that crosses ``tau``; of several if one cannot.

    A group closes when its log-odds are below ``tau``. Empty when no change within what was learnt crosses it.
    """
    logit = tables.logit(values)
    closes = logit < tau
    enough = abs(tau - logit) - _ROUNDING
    single: list[tuple[float, int, float]] = []
    furthest: list[tuple[float, int, float]] = []
    for place, steps in enumerate(tables.steps):
        best = 0.0, place, values[place]
        for gain, instead in _gains(steps, values[place], closes):
            if gain >= enough:
                single.append((abs(instead - values[place]) / steps.spread, place, instead))
            if gain > best[0]:
                best = gain, place, instead
        if best[0]:
            furthest.append(best)
    for _, place, instead in sorted(single):
        if _crosses(tables, values, {place: instead}, tau, closes=closes):
            return (Change(tables.steps[place].name, values[place], instead),)
    changed: dict[int, float] = {}
    for _, place, instead in sorted(furthest, key=lambda one: (-one[0], one[1])):
        changed[place] = instead
        if _crosses(tables, values, changed, tau, closes=closes):
            return tuple(Change(tables.steps[at].name, values[at], to) for at, to in changed.items())
    return ()


_ROUNDING = 1e-6
"""More than sums differ by when they are taken in another order; who might cross is computed anew."""


def _gains(steps: Steps, value: float, closes: bool) -> Iterator[tuple[float, float]]:
    """How far each other step moves the score towards the other decision, with its value nearest to this one.

    Only what was learnt from: no value below the lowest seen or above the highest.
    """
    if steps.spread == 0:
        return
    here = bisect_left(steps.cuts, value)
    now = steps.values[here]
    for place, then in enumerate(steps.values):
        gain = then - now if closes else now - then
        if gain <= 0:
            continue
        instead = steps.cuts[place] if place < here else nextafter(steps.cuts[place - 1], inf)
        if steps.low <= instead <= steps.high:
            yield gain, instead


def _crosses(tables: Tables, values: Sequence[float], changed: dict[int, float], tau: float, *, closes: bool) -> bool:
    other = list(values)
    for place, instead in changed.items():
        other[place] = instead
    return (tables.logit(other) < tau) != closes
