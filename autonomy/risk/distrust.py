"""Which rules a score is not to be trusted with: learnt from tenants where it took their attacks for noise.

With few attacks a certified threshold hangs on the lowest-scored one. Where that is of a rule whose attacks look like
its noise (a busy processor, say), trusting the score with that rule costs the coverage of all others. So such a rule is
left to people, as far as that pays, and what is left is closed by a higher threshold at the same promise.
"""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import inf

__all__ = ["SHOWN", "Past", "ceiling", "distrusted"]

SHOWN = 0.02
"""The share of benign units that look most like attacks and always go to a person, whatever a certificate allows."""

_WORTH = 0.002
"""A rule is given up for a fifth of a percent more coverage, not for less."""


@dataclass(frozen=True, slots=True)
class Past:
    """One judged unit of a tenant: its rule, its score by a model that has not seen that tenant, what it was."""

    rule: str
    score: float
    attack: bool


def ceiling(tenants: Iterable[Iterable[Past]]) -> float:
    """The score from which nothing is closed: a share of what is benign, so it means the same on every model's scale.

    Attacks have no part in it, so it takes nothing from a threshold that is calibrated on them. Minus infinity without
    a benign unit.
    """
    benign = sorted(unit.score for one in tenants for unit in one if not unit.attack)
    return benign[min(len(benign) - 1, int((1 - SHOWN) * len(benign)))] if benign else -inf


def distrusted(tenants: Iterable[Sequence[Past]]) -> frozenset[str]:
    """The rules to leave to people: given up in the order of their lowest attack, while the coverage gains.

    Coverage is the mean over tenants of the benign units below the lowest attack of the rules that are kept. A
    threshold that is calibrated on a tenant's attacks must be calibrated with the rules distrusted by *other* tenants
    (cross-fitting), or the choice has seen what it is tested on.
    """
    past = [list(one) for one in tenants]
    top = ceiling(past)
    attacks = sorted((unit.score, unit.rule) for one in past for unit in one if unit.attack)
    benign = [_by_rule(one) for one in past]
    given_up: set[str] = set()
    kept: frozenset[str] = frozenset()
    best = -1.0
    for score, rule in attacks:
        if rule in given_up:
            continue
        share = _coverage(benign, given_up, min(score, top))
        if share > best + _WORTH:
            best, kept = share, frozenset(given_up)
        if score >= top:
            break
        given_up.add(rule)
    return kept


def _by_rule(units: Iterable[Past]) -> dict[str, list[float]]:
    found: dict[str, list[float]] = defaultdict(list)
    for unit in units:
        if not unit.attack:
            found[unit.rule].append(unit.score)
    for scores in found.values():
        scores.sort()
    return found


def _coverage(benign: Sequence[Mapping[str, list[float]]], without: set[str], threshold: float) -> float:
    shares = []
    for rules in benign:
        total = sum(map(len, rules.values()))
        closed = sum(bisect_left(scores, threshold) for rule, scores in rules.items() if rule not in without)
        shares.append(closed / total if total else 0.0)
    return sum(shares) / len(shares) if shares else 0.0
