"""Binomial bounds: the design's table, and agreement with exact rational arithmetic."""

from fractions import Fraction
from math import comb

import pytest

from nightdesk.autonomy.risk.bounds import (
    binomial_cdf,
    errors_allowed,
    items_needed,
    lower_bound,
    upper_bound,
)
from nightdesk.sdk.errors import ConfigError

TABLE = {
    (0.05, 0.05): {0: 59, 1: 93, 2: 124, 3: 153, 5: 208},
    (0.02, 0.05): {0: 149, 1: 236, 2: 313, 3: 386, 5: 523},
    (0.01, 0.05): {0: 299, 1: 473, 2: 628, 3: 773, 5: 1049},
    (0.01, 0.01): {0: 459, 1: 662, 2: 838, 3: 1001, 5: 1307},
    (0.005, 0.05): {0: 598, 1: 947, 2: 1258, 3: 1549, 5: 2100},
    (0.001, 0.05): {0: 2995, 1: 4742, 2: 6294, 3: 7752, 5: 10511},
}
ROWS = [(rate, delta, errors, items) for (rate, delta), row in TABLE.items() for errors, items in row.items()]


def exact_cdf(errors: int, items: int, rate: Fraction) -> Fraction:
    terms = (comb(items, k) * rate**k * (1 - rate) ** (items - k) for k in range(errors + 1))
    return sum(terms, Fraction(0))


@pytest.mark.parametrize(("rate", "delta", "errors", "items"), ROWS)
def test_items_needed_are_those_of_the_table(rate: float, delta: float, errors: int, items: int) -> None:
    assert items_needed(errors, rate, delta) == items


@pytest.mark.parametrize(("rate", "delta", "errors", "items"), ROWS)
def test_errors_allowed_turn_exactly_there(rate: float, delta: float, errors: int, items: int) -> None:
    assert errors_allowed(items, rate, delta) == errors
    assert errors_allowed(items - 1, rate, delta) == (errors - 1 if errors else None)


@pytest.mark.parametrize(
    ("errors", "items", "rate"), [(0, 5, "1/3"), (3, 40, "1/20"), (7, 9, "9/10"), (2, 300, "1/99")]
)
def test_the_cdf_is_that_of_rational_arithmetic(errors: int, items: int, rate: str) -> None:
    share = Fraction(rate)
    assert binomial_cdf(errors, items, float(share)) == pytest.approx(float(exact_cdf(errors, items, share)), rel=1e-12)


def test_the_cdf_at_its_edges() -> None:
    assert binomial_cdf(-1, 10, 0.5) == 0.0
    assert binomial_cdf(10, 10, 0.5) == 1.0
    assert binomial_cdf(3, 10, 0.0) == 1.0
    assert binomial_cdf(3, 10, 1.0) == 0.0
    assert binomial_cdf(0, 1_000_000, 0.5) == 0.0
    assert 0.49 < binomial_cdf(1_000, 1_000_000, 0.001) < 0.52


@pytest.mark.parametrize(("errors", "items"), [(0, 299), (1, 473), (4, 60), (59, 60)])
def test_an_upper_bound_is_where_so_few_errors_have_probability_delta(errors: int, items: int) -> None:
    assert binomial_cdf(errors, items, upper_bound(errors, items, 0.05)) == pytest.approx(0.05, rel=1e-9)


def test_a_lower_bound_mirrors_the_upper_one() -> None:
    assert lower_bound(20, 100, 0.05) == pytest.approx(0.1367, abs=5e-4)  # Clopper and Pearson's tables, 90 % two-sided
    assert lower_bound(0, 100, 0.05) == 0.0


def test_nothing_judged_bounds_nothing() -> None:
    assert upper_bound(0, 0, 0.05) == 1.0
    assert upper_bound(5, 5, 0.05) == 1.0
    assert errors_allowed(0, 0.01, 0.05) is None


@pytest.mark.parametrize("rate", [0.0, 1.0, -0.1, 5.0])
def test_a_rate_that_is_none_is_refused_by_name(rate: float) -> None:
    with pytest.raises(ConfigError, match="rate"):
        items_needed(0, rate, 0.05)
    with pytest.raises(ConfigError, match="delta"):
        upper_bound(0, 10, rate)
