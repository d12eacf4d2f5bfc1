"""Whether a model still fits what comes in: what groups look like, what judged attacks scored, how right it was.

Every figure is held against the time the model was learnt from. An alarm says that nobody knows any more that it is
right: units that act by it go back to *recommend*.
"""

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from nightdesk.autonomy.learned.artefact import Baseline
from nightdesk.autonomy.learning.catalogue import INDEX
from nightdesk.autonomy.learning.features import Vector
from nightdesk.autonomy.oversight.drift import ECE_LIMIT, RateCusum, calibration_error, drifted_features
from nightdesk.autonomy.risk.exchangeability import ALARM, Exchangeability

__all__ = ["PlayedAttack", "Window", "alarm_of_attacks", "alarm_of_calibration", "alarm_of_rate"]

_DAY = 86400.0
_FEWEST = 300
"""Groups in a window: with eight bins, chance alone moves the index by 0.03 then."""
_JUDGED = 100
_BEFORE = 14
"""Days that a rule's usual rate is taken from."""


@dataclass
class Window:
    """How the groups of one tenant looked in the last day or two, by the bins of its baseline."""

    baseline: Baseline
    since: float = 0.0
    counts: dict[str, list[int]] = field(default_factory=dict)
    older: dict[str, list[int]] = field(default_factory=dict)
    _known: set[str] = field(default_factory=set, repr=False)

    def see(self, key: str, vector: Vector, now: float) -> None:
        """Takes a group in, once."""
        if now - self.since >= _DAY:
            stale = now - self.since >= 2 * _DAY
            self.since, self.older, self.counts = now, {} if stale else self.counts, {}
            self._known.clear()
        if key in self._known:
            return
        self._known.add(key)
        for name, (cuts, _) in self.baseline.items():
            bins = self.counts.setdefault(name, [0] * (len(cuts) + 1))
            bins[bisect_left(cuts, vector.values[INDEX[name]])] += 1

    def alarms(self) -> tuple[str, ...]:
        """The features that are distributed otherwise than when the model was learnt."""
        now: dict[str, Sequence[int]] = {}
        before: dict[str, Sequence[int]] = {}
        for name, (cuts, counts) in self.baseline.items():
            both = [
                one + other
                for one, other in zip(
                    self.counts.get(name, [0] * (len(cuts) + 1)),
                    self.older.get(name, [0] * (len(cuts) + 1)),
                    strict=True,
                )
            ]
            if sum(both) >= _FEWEST:
                now[name], before[name] = both, counts
        return tuple(f"feature {name} (PSI {value:.2g})" for name, value in drifted_features(before, now).items())


@dataclass(frozen=True, slots=True)
class PlayedAttack:
    """A confirmed attack case with the score that it was decided on."""

    key: str
    score: float


def alarm_of_attacks(calibration: Iterable[float], attacks: Iterable[PlayedAttack]) -> str:
    """What the game says of attacks, in the order of their confirmation; empty while they score as they used to."""
    game = Exchangeability(calibration)
    for one in attacks:
        game.see(one.score, one.key)
    if not game.alarmed():
        return ""
    return f"attacks score lower than those calibrated on ({game.seen} since, {game.highest:.3g} of {ALARM:g})"


def alarm_of_calibration(judged: Sequence[tuple[float, bool]]) -> str:
    """What probabilities told of judged cases in the zone that closes are worth; empty while they are right."""
    if len(judged) < _JUDGED:
        return ""
    error = calibration_error(judged)
    return f"calibration error {error:.3f} over {len(judged)} judged" if error > ECE_LIMIT else ""


def alarm_of_rate(rule: str, daily: Mapping[int, int], today: int) -> str:
    """Whether a rule fires far more often or seldom in the last week than in the two before; ``daily`` is by day."""
    first, last = today - 7 - _BEFORE, today - 7
    if not daily or min(daily) > first:
        return ""  # not known for long enough to have a usual rate
    usual = sum(daily.get(day, 0) for day in range(first, last)) / _BEFORE
    rang = RateCusum(usual).see_all([daily.get(day, 0) for day in range(last, today)])
    return f"rate of {rule} (usually {usual:.3g} groups a day)" if rang else ""
