"""What the pile of closed units still hides, from a random sample of it, and how sure a containment is right.

A sample of the pile bounds the share of attacks *in the pile* cheaply; what it says of the share of attacks missed is
weak, because the pile is large. That is what canaries are for.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from nightdesk.autonomy.risk.bounds import items_needed, probability, upper_bound
from nightdesk.autonomy.risk.threshold import split_delta

__all__ = [
    "Precision",
    "Stratum",
    "contamination",
    "estimate",
    "miss_rate",
    "missed_at_most",
    "precision",
    "reviews_needed",
]


@dataclass(frozen=True, slots=True)
class Stratum:
    """A part of the closed pile: how many closed, how many of those drawn and judged, how many of those attacks."""

    closed: int
    judged: int
    missed: int


def contamination(strata: Sequence[Stratum], delta: float) -> float:
    """B: the share of attacks among closed units that is exceeded with probability ``delta`` at most.

    Clopper and Pearson 1934 in each stratum, with ``delta`` split among them: exact, however the samples are allotted.
    A stratum from which nothing was drawn counts as all attacks, and one that was judged whole counts as it is.
    """
    closed = sum(one.closed for one in strata)
    if not closed:
        return 0.0
    open_strata = [one for one in strata if one.judged < one.closed]
    part = split_delta(delta, len(open_strata))
    known = sum(one.missed for one in strata if one.judged >= one.closed)
    return (known + sum(one.closed * upper_bound(one.missed, one.judged, part) for one in open_strata)) / closed


def estimate(strata: Sequence[Stratum]) -> float:
    """The share of attacks among closed units, each weighted by how rarely its like is drawn.

    Horvitz and Thompson 1952: unbiased when every stratum has a sample; those without are left out.
    """
    drawn = [one for one in strata if one.judged]
    closed = sum(one.closed for one in drawn)
    return sum(one.closed * one.missed / one.judged for one in drawn) / closed if closed else 0.0


def missed_at_most(contaminated: float, closed: int) -> float:
    """How many attacks the pile hides at that share."""
    return contaminated * closed


def miss_rate(contaminated: float, closed: int, found: int) -> float:
    """The share of all attacks that was closed, at that share of attacks in the pile and with ``found`` beside it."""
    missed = missed_at_most(contaminated, closed)
    return missed / (missed + found) if missed else 0.0


def reviews_needed(alpha: float, closed: int, found: int, delta: float) -> int:
    """How many clean reviews of the pile show a miss rate of ``alpha``: the inverse of ``miss_rate``.

    For 1 %, 10,000 closed and 50 found it is some 59,000, more than there is to review: hence canaries.
    """
    probability("alpha", alpha)
    allowed = alpha * found / ((1 - alpha) * closed)
    return items_needed(0, min(allowed, 1 - 1e-12), delta)


@dataclass(frozen=True, slots=True)
class Precision:
    """What people's judgement of recommended containments shows. ``wrong`` is the bound of the share that is wrong."""

    judged: int
    rejected: int
    wrong: float
    proven: bool
    missing: int


def precision(judged: int, rejected: int, epsilon: float, delta: float) -> Precision:
    """C: whether at most ``epsilon`` of the recommended containments are wrong (Clopper and Pearson 1934).

    ``missing`` is how many further ones, none rejected, are needed.
    """
    needed = items_needed(rejected, epsilon, delta)
    return Precision(judged, rejected, upper_bound(rejected, judged, delta), judged >= needed, max(0, needed - judged))
