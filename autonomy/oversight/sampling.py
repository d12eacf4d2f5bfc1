"""Which closures a person looks at: drawn at once, each with a known chance, so that what they show can be weighed.

A draw depends on the tenant's secret and the decision's id alone: it can be made again, and nobody who closes knows it
beforehand. Chances follow Neyman (1934): a stratum gets looks in proportion to its closures times the spread of what
was found in it. Score bins times rule families are the strata.
"""

import hashlib
import hmac
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from nightdesk.autonomy.risk.contamination import Stratum, contamination, estimate

__all__ = [
    "FIRST",
    "Closure",
    "Draw",
    "Judged",
    "Pile",
    "Plan",
    "bin_of",
    "draw",
    "is_double",
    "pile",
    "plan",
    "stratum_of",
]

FIRST = 50
"""Closures after a promotion that are all looked at."""
_SHARE = 0.05
_A_DAY = 30
_DOUBLE = 0.1
_BINS = 10


@dataclass(frozen=True, slots=True)
class Closure:
    """A closure that may be drawn.

    ``nth`` counts those of its stratum today, ``since_grant`` those of its unit since the level was granted (0 where a
    signed rule closed it), both from 1.
    """

    decision_id: str
    stratum: str
    nth: int
    since_grant: int = 0


@dataclass(frozen=True, slots=True)
class Plan:
    """The chances of one day by stratum; ``otherwise`` is that of a stratum that the day before did not have."""

    chances: Mapping[str, float] = field(default_factory=dict)
    otherwise: float = 1.0

    def chance(self, closure: Closure) -> float:
        """How likely it is drawn: certain for the first ones after a promotion and for the first of its stratum."""
        if 0 < closure.since_grant <= FIRST or closure.nth <= 1:
            return 1.0
        return self.chances.get(closure.stratum, self.otherwise)


@dataclass(frozen=True, slots=True)
class Draw:
    """Whether a closure is looked at, with the chance it had."""

    drawn: bool
    chance: float


def bin_of(score: float | None, tau: float | None) -> int:
    """The odds of an attack as a share of the threshold's in ten parts, the nearest to it the last; -1 without a score.

    Both are log-odds, as thresholds compare them.
    """
    if score is None or tau is None or not math.isfinite(score):
        return -1
    return max(0, min(_BINS - 1, int(_BINS * math.exp(min(0.0, score - tau)))))


def stratum_of(family: str, place: int) -> str:
    """The stratum's name."""
    return f"{family}#{place if place >= 0 else 'unscored'}"


def plan(closed: Mapping[str, int], found: Mapping[str, tuple[int, int]], *, share: float = _SHARE) -> Plan:
    """Today's chances from yesterday's closures by stratum, and from what was ever found there as (judged, missed).

    Together at least ``share`` of them or thirty, whichever is more, and at least one in each stratum. What was found
    is read with half a miss among one more item (Jeffreys), or a stratum without a miss would never be looked at again.
    """
    total = sum(closed.values())
    if not total:
        return Plan(otherwise=1.0)
    wanted = min(total, max(math.ceil(share * total), _A_DAY))
    weights = {name: count * _spread(*found.get(name, (0, 0))) for name, count in closed.items() if count}
    looks = _allotted(weights, closed, wanted)
    return Plan({name: min(1.0, looks[name] / closed[name]) for name in looks}, otherwise=max(share, wanted / total))


def _spread(judged: int, missed: int) -> float:
    rate = (missed + 0.5) / (judged + 1)
    return math.sqrt(rate * max(0.0, 1 - rate)) or 1.0


def _allotted(weights: Mapping[str, float], closed: Mapping[str, int], wanted: int) -> dict[str, float]:
    """Looks by stratum, at least one and at most all; what a full stratum cannot take goes to the others."""
    looks = dict.fromkeys(weights, 1.0)
    open_strata = {name for name in weights if closed[name] > 1}
    left = max(0.0, wanted - len(looks))
    while open_strata and left > 1e-9:
        whole = sum(weights[name] for name in open_strata)
        given = {name: min(left * weights[name] / whole, closed[name] - looks[name]) for name in sorted(open_strata)}
        for name, more in given.items():
            looks[name] += more
        left -= sum(given.values())
        open_strata = {name for name in open_strata if closed[name] - looks[name] > 1e-9}
    return looks


def draw(key: bytes, closure: Closure, today: Plan) -> Draw:
    """Whether that closure is looked at. The same arguments draw the same for ever."""
    chance = today.chance(closure)
    return Draw(_uniform(key, "sample", closure.decision_id) < chance, chance)


def is_double(key: bytes, item_id: str) -> bool:
    """Whether a second person judges that item too: one in ten, for the agreement between people."""
    return _uniform(key, "double", item_id) < _DOUBLE


def _uniform(key: bytes, purpose: str, name: str) -> float:
    """A number in [0, 1) that only the key's holder can know beforehand."""
    digest = hmac.digest(key, f"{purpose}\0{name}".encode("utf-8", "backslashreplace"), hashlib.sha256)
    return int.from_bytes(digest[:8], "big") / 2.0**64


@dataclass(frozen=True, slots=True)
class Judged:
    """A drawn closure that was judged, with the chance it had."""

    stratum: str
    chance: float
    missed: bool


@dataclass(frozen=True, slots=True)
class Pile:
    """What the judged sample says of everything closed: shares of attacks, from 0 to 1.

    ``rate`` is the Horvitz-Thompson estimate over the drawn items' own chances, ``stratified`` the same by stratum,
    ``bound`` what the share exceeds with probability ``delta`` at most.
    """

    closed: int
    judged: int
    missed: int
    rate: float
    stratified: float
    bound: float
    delta: float


def pile(closed: Mapping[str, int], judged: Sequence[Judged], delta: float = 0.05) -> Pile:
    """The closed pile by what was looked at.

    Items that were certain to be drawn stand for themselves: they are strata of their own, judged whole.
    """
    certain = [one for one in judged if one.chance >= 1.0]
    drawn: dict[str, list[Judged]] = {}
    for one in judged:
        if one.chance < 1.0:
            drawn.setdefault(one.stratum, []).append(one)
    sure: dict[str, int] = {}
    for one in certain:
        sure[one.stratum] = sure.get(one.stratum, 0) + 1
    strata = [Stratum(len(certain), len(certain), _missed(certain))] if certain else []
    for name in sorted(closed):
        rest = max(len(drawn.get(name, ())), closed[name] - sure.get(name, 0))
        if rest:
            strata.append(Stratum(rest, len(drawn.get(name, ())), _missed(drawn.get(name, ()))))
    total = sum(one.closed for one in strata)
    weighed = sum(one.missed / one.chance for one in judged)
    return Pile(
        closed=total,
        judged=len(judged),
        missed=_missed(judged),
        rate=min(1.0, weighed / total) if total else 0.0,
        stratified=estimate(strata),
        bound=contamination(strata, delta) if judged else 1.0,
        delta=delta,
    )


def _missed(items: Iterable[Judged]) -> int:
    return sum(one.missed for one in items)
