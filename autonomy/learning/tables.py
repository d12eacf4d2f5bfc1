"""The learnt score as plain tables, one step function a feature: scored, explained and hashed without a library.

The score of a group is the intercept plus one number for each feature, and nothing else. So the explanation is the
computation itself, and what is recorded can be computed anew, bit for bit (law 11).
"""

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import exp
from typing import Any

from nightdesk.autonomy.canonical import fingerprint
from nightdesk.autonomy.learning.catalogue import FEATURE_SET, NAMES
from nightdesk.autonomy.learning.features import Vector
from nightdesk.sdk.errors import ConfigError, Problem

__all__ = ["Line", "Platt", "Score", "Steps", "Tables"]


@dataclass(frozen=True, slots=True)
class Steps:
    """One feature's part: ``values[i]`` holds above ``cuts[i - 1]`` up to and with ``cuts[i]``.

    ``low`` and ``high`` are the least and the greatest value learnt from; ``spread`` is their standard deviation.
    """

    name: str
    cuts: tuple[float, ...]
    values: tuple[float, ...]
    low: float
    high: float
    spread: float

    def at(self, value: float) -> float:
        """What the feature adds at a value."""
        return self.values[bisect_left(self.cuts, value)]


@dataclass(frozen=True, slots=True)
class Line:
    """The second opinion, a logistic regression: a weight for each feature, of (value - ``centre``) / ``scale``."""

    intercept: float
    weights: tuple[float, ...]
    centre: tuple[float, ...]
    scale: tuple[float, ...]

    def logit(self, values: Sequence[float]) -> float:
        """Its log-odds."""
        total = self.intercept
        for value, weight, centre, scale in zip(values, self.weights, self.centre, self.scale, strict=True):
            total += weight * ((value - centre) / scale)
        return total


@dataclass(frozen=True, slots=True)
class Platt:
    """Log-odds to probability, strictly rising, so the order of scores stays (Platt 1999)."""

    slope: float = 1.0
    offset: float = 0.0

    def probability(self, logit: float) -> float:
        """The probability of an attack."""
        moved = self.slope * logit + self.offset
        if moved >= 0:
            return 1.0 / (1.0 + exp(-min(moved, 700.0)))
        odds = exp(max(moved, -700.0))
        return odds / (1.0 + odds)


@dataclass(frozen=True, slots=True)
class Score:
    """A scored group. Thresholds compare ``logit``; ``probability`` and ``second`` are calibrated, for people, checks.

    ``contributions`` follow the catalogue; with ``intercept`` they add up to ``logit``, in their order, exactly.
    ``doubts`` say why the model should not be trusted here: each is a reason to abstain.
    """

    logit: float
    probability: float
    intercept: float
    contributions: tuple[float, ...]
    second: float
    doubts: tuple[str, ...]
    missing: tuple[str, ...]

    @property
    def disagreement(self) -> float:
        """How far the two models are apart, in probability."""
        return abs(self.probability - self.second)

    def reasons(self, most: int = 5) -> tuple[tuple[str, float], ...]:
        """The features that moved the score most, with what they added."""
        ranked = sorted(zip(NAMES, self.contributions, strict=True), key=lambda one: (-abs(one[1]), one[0]))
        return tuple(one for one in ranked[:most] if one[1])


@dataclass(frozen=True, slots=True)
class Tables:
    """A model as it is stored, compared and used. ``learnt`` says from what: rows, attacks, tenants."""

    intercept: float
    steps: tuple[Steps, ...]
    second: Line
    calibration: Platt
    second_calibration: Platt
    learnt: tuple[tuple[str, int], ...] = ()
    feature_set: str = FEATURE_SET

    def logit(self, values: Sequence[float]) -> float:
        """The log-odds of one group; the order of the sum is that of the catalogue."""
        total = self.intercept
        for steps, value in zip(self.steps, values, strict=True):
            total += steps.values[bisect_left(steps.cuts, value)]
        return total

    def score(self, group: Vector) -> Score:
        """Score one group and say why."""
        contributions = tuple(
            steps.values[bisect_left(steps.cuts, value)] for steps, value in zip(self.steps, group.values, strict=True)
        )
        logit = self.intercept
        for one in contributions:
            logit += one
        return Score(
            logit,
            self.calibration.probability(logit),
            self.intercept,
            contributions,
            self.second_calibration.probability(self.second.logit(group.values)),
            self.doubts(group),
            group.missing,
        )

    def doubts(self, group: Vector) -> tuple[str, ...]:
        """Words never seen, and values more than a standard deviation outside of what was learnt from.

        Beyond its last cut a step is flat, so a little further changes nothing; much further is another world.
        """
        told = [f"unseen {word}" for word in group.unseen]
        for steps, value in zip(self.steps, group.values, strict=True):
            if not steps.low - steps.spread <= value <= steps.high + steps.spread and steps.name not in group.missing:
                told.append(f"{steps.name} {value:g} outside {steps.low:g} to {steps.high:g}")
        return tuple(told)

    @property
    def model_id(self) -> str:
        """SHA-256 of the content: equal tables are one model."""
        return fingerprint(self.plain())

    def plain(self) -> dict[str, Any]:
        """JSON-able, and read again by ``read``."""
        return {
            "kind": "additive",
            "feature_set": self.feature_set,
            "intercept": self.intercept,
            "steps": [
                {
                    "name": one.name,
                    "cuts": list(one.cuts),
                    "values": list(one.values),
                    "low": one.low,
                    "high": one.high,
                    "spread": one.spread,
                }
                for one in self.steps
            ],
            "second": {
                "intercept": self.second.intercept,
                "weights": list(self.second.weights),
                "centre": list(self.second.centre),
                "scale": list(self.second.scale),
            },
            "calibration": [self.calibration.slope, self.calibration.offset],
            "second_calibration": [self.second_calibration.slope, self.second_calibration.offset],
            "learnt": dict(self.learnt),
        }

    @classmethod
    def read(cls, plain: Mapping[str, Any], *, file: str = "model") -> "Tables":
        """From what ``plain`` gave. Raises ConfigError for tables of another feature set, or damaged ones."""
        try:
            tables = cls(
                float(plain["intercept"]),
                tuple(
                    Steps(
                        str(one["name"]),
                        tuple(map(float, one["cuts"])),
                        tuple(map(float, one["values"])),
                        float(one["low"]),
                        float(one["high"]),
                        float(one["spread"]),
                    )
                    for one in plain["steps"]
                ),
                Line(
                    float(plain["second"]["intercept"]),
                    *(tuple(map(float, plain["second"][key])) for key in ("weights", "centre", "scale")),
                ),
                Platt(*map(float, plain["calibration"])),
                Platt(*map(float, plain["second_calibration"])),
                tuple(sorted((str(key), int(value)) for key, value in plain["learnt"].items())),
                str(plain["feature_set"]),
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise _fault(file, f"is no model: {error!r}; train again") from error
        tables.check(file)
        return tables

    def check(self, file: str = "model") -> None:
        """Raise ConfigError unless every table fits the catalogue."""
        if self.feature_set != FEATURE_SET or tuple(one.name for one in self.steps) != NAMES:
            raise _fault(file, f"has features of set {self.feature_set!r}, not {FEATURE_SET!r}; train again")
        for one in self.steps:
            rising = all(low < high for low, high in zip(one.cuts, one.cuts[1:], strict=False))
            if len(one.values) != len(one.cuts) + 1 or not rising:
                raise _fault(file, f"feature {one.name}: its steps do not fit its cuts; train again")
        if {len(self.second.weights), len(self.second.centre), len(self.second.scale)} != {len(NAMES)}:
            raise _fault(file, "the second model does not fit the features; train again")
        if self.calibration.slope <= 0 or self.second_calibration.slope <= 0:
            raise _fault(file, "a calibration that does not rise would turn the order of scores round; train again")


def _fault(file: str, message: str) -> ConfigError:
    return ConfigError([Problem(file, "", message)])
