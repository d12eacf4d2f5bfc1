"""What QA certifies: coverage of the bounds in seeded draws, and the design's sample sizes."""

import random

import pytest

from nightdesk.autonomy.risk.contamination import (
    Stratum,
    contamination,
    estimate,
    miss_rate,
    missed_at_most,
    precision,
    reviews_needed,
)


def test_299_clean_reviews_bound_the_pile_at_one_percent() -> None:
    assert contamination([Stratum(100_000, 299, 0)], 0.05) < 0.01 < contamination([Stratum(100_000, 298, 0)], 0.05)


def test_a_pile_bounds_the_misses_and_their_rate() -> None:
    assert missed_at_most(0.01, 10_000) == 100
    assert miss_rate(0.01, 10_000, 100) == 0.5
    assert miss_rate(0.0, 10_000, 0) == 0.0


def test_a_miss_rate_by_qa_alone_takes_59315_clean_reviews() -> None:
    assert reviews_needed(0.01, 10_000, 50, 0.05) == 59_315


def test_a_stratum_without_a_sample_counts_as_all_attacks_and_a_whole_one_as_it_is() -> None:
    assert contamination([Stratum(10, 0, 0)], 0.05) == 1.0
    assert contamination([Stratum(10, 10, 1)], 0.05) == 0.1
    assert contamination([], 0.05) == 0.0


def drawn(chance: random.Random, closed: int, bad: int, judged: int) -> Stratum:
    return Stratum(closed, judged, sum(index < bad for index in chance.sample(range(closed), judged)))


def test_the_bound_covers_and_the_estimate_centres_in_seeded_draws() -> None:
    chance = random.Random(6)
    truth = (4 + 30) / 2_400
    below, sums = 0, 0.0
    for _ in range(800):
        strata = [drawn(chance, 2_000, 4, 150), drawn(chance, 400, 30, 80)]
        below += contamination(strata, 0.05) < truth
        sums += estimate(strata)
    assert below / 800 <= 0.06
    assert sums / 800 == pytest.approx(truth, rel=0.05)


def test_precision_of_containment_takes_299_without_an_error_for_one_percent_and_59_for_five() -> None:
    assert precision(299, 0, 0.01, 0.05).proven
    assert precision(59, 0, 0.05, 0.05).proven
    short = precision(298, 0, 0.01, 0.05)
    assert (short.proven, short.missing) == (False, 1)
    assert precision(473, 1, 0.01, 0.05).proven
    assert not precision(472, 1, 0.01, 0.05).proven
