"""Each alarm rings for what it is about, stays quiet for what is usual, and needs enough to tell."""

import math
import random

import pytest

from nightdesk.autonomy.oversight.drift import (
    PSI_LIMIT,
    RateCusum,
    calibration_error,
    drifted_features,
    overridden,
    psi,
)


def test_psi_is_siddiqis() -> None:
    # (0.3 - 0.2) ln(0.3 / 0.2) + (0.7 - 0.8) ln(0.7 / 0.8)
    expected = 0.1 * math.log(1.5) - 0.1 * math.log(0.875)
    assert psi([200, 800], [300, 700]) == pytest.approx(expected)
    assert psi([200, 800], [20, 80]) == pytest.approx(0.0)
    assert psi([0, 1000], [500, 500]) > PSI_LIMIT


def test_too_few_items_ring_nothing() -> None:
    assert psi([99, 0], [0, 1000]) == 0.0


def test_histograms_of_other_bins_cannot_be_compared() -> None:
    with pytest.raises(ValueError, match="2 and 3 bins"):
        psi([1, 2], [1, 2, 3])


def test_a_feature_that_moved_or_is_gone_is_named() -> None:
    before = {"same": [500, 500], "moved": [900, 100], "gone": [500, 500]}
    found = drifted_features(before, {"same": [510, 490], "moved": [300, 700], "new": [1, 1]})
    assert set(found) == {"moved", "gone"}
    assert math.isinf(found["gone"])


def test_a_rule_that_fires_as_usual_rings_nothing_for_years() -> None:
    rng = random.Random(3)
    usual = [sum(rng.random() < 0.02 for _ in range(1000)) for _ in range(1000)]
    assert not RateCusum(20.0).see_all(usual)


@pytest.mark.parametrize("count", [40, 5])
def test_one_that_doubles_or_falls_away_rings_within_days(count: int) -> None:
    alarm = RateCusum(20.0)
    assert not alarm.see_all([20] * 30)
    days = next(day for day in range(1, 30) if alarm.see(count))
    assert days <= 5


def test_calibration_error_is_the_mean_gap_of_its_bins() -> None:
    assert calibration_error([]) == 0.0
    told = [(0.1, number < 10) for number in range(100)]
    assert calibration_error(told) == pytest.approx(0.0)
    assert calibration_error([(0.1, True)] * 100) == pytest.approx(0.9)
    assert calibration_error([(1.0, True), (0.0, False)]) == 0.0


def test_people_who_decide_otherwise_too_often() -> None:
    assert not overridden(19, 19)
    assert not overridden(20, 2)
    assert overridden(20, 3)
