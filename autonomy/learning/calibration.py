"""Scores as probabilities, and how far those are from the truth.

Fitted on scores that no model gave to what it learnt from. The map rises strictly, so thresholds mean the same before
and after it.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from math import log

from nightdesk.autonomy.learning.matrices import Floats, Labels, rounded
from nightdesk.autonomy.learning.tables import Platt, Tables
from nightdesk.sdk.errors import ConfigError, NightdeskError, Problem

try:
    import numpy as np
    from sklearn.linear_model import LogisticRegression
    from threadpoolctl import threadpool_limits
except ImportError as error:
    raise ConfigError([Problem("nightdesk", "learn", "install nightdesk[learn] to calibrate a model")]) from error

__all__ = ["brier", "calibrated", "expected_error", "platt"]

BINS = 15
_FLAT = 0.001


def platt(logits: Floats, truth: Labels, weight: Floats | None = None) -> Platt:
    """Fit slope and offset to scores and truths.

    The truths are Platt's smoothed ones (Platt 1999, 2.2), so that scores that separate perfectly have a finite slope.
    Scores that do not rise with attacks say nothing: all of them become the share of attacks, still in their order.
    """
    attacks = int(truth.sum())
    benign = len(truth) - attacks
    if not attacks or not benign:
        raise NightdeskError(f"calibration needs attacks and benign groups; there are {attacks} and {benign}")
    goal = np.where(truth, (attacks + 1) / (attacks + 2), 1 / (benign + 2))
    column = np.concatenate([logits, logits]).reshape(-1, 1)
    sides = np.concatenate([np.ones(len(truth)), np.zeros(len(truth))])
    counted = np.ones(len(truth)) if weight is None else weight
    shares = np.concatenate([goal * counted, (1 - goal) * counted])
    with threadpool_limits(limits=1):
        line = LogisticRegression(C=np.inf, max_iter=1000).fit(column, sides, sample_weight=shares)
    slope, offset = rounded(line.coef_[0][0]), rounded(line.intercept_[0])
    if slope < _FLAT:
        share = float(shares[: len(truth)].sum() / counted.sum())
        return Platt(_FLAT, rounded(log(share / (1 - share))))
    return Platt(slope, offset)


def calibrated(tables: Tables, logits: Floats, second: Floats, truth: Labels, weight: Floats) -> Tables:
    """The tables with both models calibrated on scores of tenants that were held out."""
    fitted, fitted_second = platt(logits, truth, weight), platt(second, truth, weight)
    return replace(tables, calibration=fitted, second_calibration=fitted_second)


def expected_error(probabilities: Sequence[float], truth: Sequence[bool], bins: int = BINS) -> float:
    """Expected calibration error: the mean distance of probability and frequency over bins of equal width.

    Naeini, Cooper and Hauskrecht 2015. 0 when nothing is given.
    """
    sums = [[0.0, 0.0, 0.0] for _ in range(bins)]
    for probability, attack in zip(probabilities, truth, strict=True):
        row = sums[min(int(probability * bins), bins - 1)]
        row[0] += 1
        row[1] += probability
        row[2] += attack
    total = sum(row[0] for row in sums)
    return sum(abs(row[1] - row[2]) for row in sums) / total if total else 0.0


def brier(probabilities: Iterable[float], truth: Iterable[bool]) -> float:
    """The mean squared distance of probability and truth (Brier 1950). 0 when nothing is given."""
    distances = [(probability - attack) ** 2 for probability, attack in zip(probabilities, truth, strict=True)]
    return sum(distances) / len(distances) if distances else 0.0
