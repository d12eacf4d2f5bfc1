"""Alarms that what was learnt no longer fits: a unit that has one goes back to *recommend*.

Each compares what is seen now with what evidence was gathered on. None says that something is wrong; each says that
nobody knows any more that it is right.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

__all__ = [
    "ECE_LIMIT",
    "OVERRIDE_LIMIT",
    "PSI_LIMIT",
    "RateCusum",
    "calibration_error",
    "drifted_features",
    "overridden",
    "psi",
]

PSI_LIMIT = 0.2
"""Above it a population counts as changed (Siddiqi, Credit Risk Scorecards, 2006)."""
ECE_LIMIT = 0.02
OVERRIDE_LIMIT = 0.1
_BINS = 15
_EMPTY = 1e-4
"""What an empty bin counts as, or one item in a new bin would be an infinite change."""
_FEWEST = 100
"""Items on either side below which a share of bins says nothing."""
_FEWEST_WORDS = 20


def psi(before: Sequence[int], now: Sequence[int]) -> float:
    """Population stability index of two histograms over the same bins; 0 while one of them is too small to tell.

    Too few items alone give an index of about bins / items, so each side needs a hundred.
    """
    if len(before) != len(now):
        raise ValueError(f"two histograms of {len(before)} and {len(now)} bins cannot be compared")
    was, is_now = sum(before), sum(now)
    if min(was, is_now) < _FEWEST:
        return 0.0
    shares = ((max(one / was, _EMPTY), max(other / is_now, _EMPTY)) for one, other in zip(before, now, strict=True))
    return sum((other - one) * math.log(other / one) for one, other in shares)


def drifted_features(
    before: Mapping[str, Sequence[int]], now: Mapping[str, Sequence[int]], limit: float = PSI_LIMIT
) -> dict[str, float]:
    """The features whose index is over the limit. One that is gone now is a change without measure."""
    found = {name: psi(counts, now[name]) if name in now else math.inf for name, counts in sorted(before.items())}
    return {name: value for name, value in found.items() if value > limit}


@dataclass
class RateCusum:
    """Whether a rule fires much more often, or much more seldom, than it used to (Page 1954), day by day.

    ``usual`` is the count of a usual day. ``allowance`` and ``limit`` are in standard deviations of a Poisson count:
    one and eight raise a false alarm about once in many years and see a doubling within days.
    """

    usual: float
    allowance: float = 1.0
    limit: float = 8.0
    up: float = field(init=False, default=0.0)
    down: float = field(init=False, default=0.0)

    def see(self, count: int) -> bool:
        """Takes a day's count, says whether the alarm rings."""
        spread = math.sqrt(max(self.usual, 1.0))
        off = (count - self.usual) / spread
        self.up = max(0.0, self.up + off - self.allowance)
        self.down = max(0.0, self.down - off - self.allowance)
        return self.rings

    def see_all(self, counts: Sequence[int]) -> bool:
        """Takes days in their order; true when it rang on any."""
        rang = False
        for count in counts:
            rang = self.see(count) or rang
        return rang

    @property
    def rings(self) -> bool:
        """Whether it rings now."""
        return max(self.up, self.down) > self.limit


def calibration_error(judged: Sequence[tuple[float, bool]], bins: int = _BINS) -> float:
    """Expected calibration error of (probability told, attack or not) over bins of equal width; 0 without any.

    Naeini, Cooper and Hauskrecht 2015.
    """
    if not judged:
        return 0.0
    parts: dict[int, list[tuple[float, bool]]] = {}
    for told, true in judged:
        parts.setdefault(min(bins - 1, max(0, int(told * bins))), []).append((told, true))
    off = (abs(sum(told for told, _ in part) - sum(true for _, true in part)) for part in parts.values())
    return math.fsum(off) / len(judged)


def overridden(judged: int, differs: int, limit: float = OVERRIDE_LIMIT) -> bool:
    """Whether people decide otherwise too often, once enough of them decided."""
    return judged >= _FEWEST_WORDS and differs / judged > limit
