"""Whether new attacks are still like those that a threshold was calibrated on: a bet that only wins when they are not.

Every promise of ``threshold`` stands on that. A game that is fair as long as it holds is played against it; who turns 1
into 20 has evidence at 1/20, at whatever moment it is looked at (Ville 1939).
"""

import bisect
from collections.abc import Iterable
from dataclasses import dataclass, field

from nightdesk.autonomy.risk.bounds import probability
from nightdesk.autonomy.risk.threshold import tie

__all__ = ["ALARM", "Exchangeability"]

ALARM = 20.0
"""1 / 0.05: what a fair game reaches with a probability of 5 % at most, ever."""

_STAKES = (0.0, -1.0, -1.9)
"""Bets on small p-values, from none to nearly all (1 + stake (p - 1/2) stays positive down to stake -2)."""
_JUMP = 0.01
"""The share that changes its bet at every step, so that a late change is bet on too (Vovk et al. 2021)."""
_WIDTH = 2.0**64
_ENOUGH = 1e12


@dataclass
class Exchangeability:
    """The game for one rule in one tenant (or one fleet), played with each confirmed attack's score in turn.

    An attack that scores low among those before it has a small p-value: the dangerous direction, for it drifts towards
    being closed. The simple jumper of Vovk, Petej, Nouretdinov, Ahlberg, Carlsson and Gammerman, "Retrain or not
    retrain" (COPA 2021), with one-sided bets; p-values are the smoothed ones of Vovk, Gammerman and Shafer (2005).
    """

    calibration: Iterable[float]
    seen: int = 0
    value: float = 1.0
    """What the stake of 1 has become."""
    highest: float = 1.0
    _scores: list[float] = field(init=False, repr=False)
    _capital: list[float] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._scores = sorted(self.calibration)
        self._capital = [1.0 / len(_STAKES)] * len(_STAKES)

    def see(self, score: float, key: str) -> float:
        """Plays one confirmed attack and returns the value. ``key`` breaks ties, so it is the unit's own name."""
        p = self.p_value(score, key)
        bisect.insort(self._scores, score)
        total = sum(self._capital)
        mixed = [(1 - _JUMP) * one + _JUMP * total / len(_STAKES) for one in self._capital]
        self._capital = [one * (1 + stake * (p - 0.5)) for one, stake in zip(mixed, _STAKES, strict=True)]
        self.seen += 1
        self.value = sum(self._capital)
        if self.value > _ENOUGH:  # long alarmed: winnings beyond are not staked again, so the number stays one
            self._capital = [one * _ENOUGH / self.value for one in self._capital]
            self.value = _ENOUGH
        self.highest = max(self.highest, self.value)
        return self.value

    def p_value(self, score: float, key: str) -> float:
        """The share of known attacks, itself among them, that score lower; a tie counts by its hash."""
        below = bisect.bisect_left(self._scores, score)
        same = bisect.bisect_right(self._scores, score) - below
        return (below + (same + 1) * (tie(key) / _WIDTH)) / (len(self._scores) + 1)

    def alarmed(self, delta: float = 1 / ALARM) -> bool:
        """Whether the game has ever reached 1 / ``delta``: what was promised is then withdrawn."""
        return self.highest >= 1 / probability("delta", delta) - 1e-9
