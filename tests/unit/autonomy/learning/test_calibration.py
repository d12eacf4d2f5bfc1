import numpy as np
import pytest

from nightdesk.autonomy.learning.calibration import brier, expected_error, platt
from nightdesk.sdk.errors import NightdeskError


def drawn(slope: float, offset: float, count: int = 40_000) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(7)
    logits = rng.normal(-1.0, 3.0, count)
    return logits, rng.random(count) < 1 / (1 + np.exp(-(slope * logits + offset)))


def test_it_finds_the_slope_and_offset_that_scores_were_drawn_with() -> None:
    found = platt(*drawn(0.6, -1.5))
    assert found.slope == pytest.approx(0.6, abs=0.03)
    assert found.offset == pytest.approx(-1.5, abs=0.06)


def test_after_it_probabilities_are_frequencies() -> None:
    logits, truth = drawn(0.4, -2.0)
    found = platt(logits, truth)
    said = [found.probability(float(one)) for one in logits]
    raw = [1 / (1 + np.exp(-one)) for one in logits]
    assert expected_error(said, truth.tolist()) < 0.005
    assert expected_error(raw, truth.tolist()) > 0.05
    assert brier(said, truth.tolist()) < brier(raw, truth.tolist())


def test_scores_that_separate_have_a_finite_slope() -> None:
    logits = np.concatenate([np.full(50, -4.0), np.full(5, 4.0)])
    found = platt(logits, logits > 0)
    assert 0 < found.slope < 3


def test_scores_that_fall_with_attacks_say_only_how_many_there_are() -> None:
    logits, truth = drawn(-1.0, -2.0)
    found = platt(logits, truth)
    assert 0 < found.slope <= 0.001
    assert found.probability(0.0) == pytest.approx(truth.mean(), abs=0.01)


def test_weights_count() -> None:
    logits, truth = drawn(0.6, -1.5, 4000)
    found = platt(logits, truth, np.where(truth, 0.1, 1.0))
    assert found.offset == pytest.approx(-1.5 + np.log(0.1), abs=0.3)


def test_calibrating_needs_both_kinds() -> None:
    with pytest.raises(NightdeskError, match="there are 0 and 3"):
        platt(np.zeros(3), np.zeros(3, dtype=np.bool_))


def test_the_error_is_the_distance_of_probability_and_frequency() -> None:
    assert expected_error([0.9] * 10, [True] * 9 + [False]) == pytest.approx(0.0)
    assert expected_error([0.9] * 10, [False] * 10) == pytest.approx(0.9)
    assert expected_error([0.1, 0.9, 1.0], [False, True, True]) == pytest.approx(0.2 / 3)
    assert expected_error([], []) == brier([], []) == 0.0
    assert brier([0.0, 1.0, 0.5], [False, True, True]) == pytest.approx(0.25 / 3)
