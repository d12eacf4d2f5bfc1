"""The sample: the first ones after a promotion all, at least so many a day, unbiased, and drawn the same again."""

import random
from statistics import fmean

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nightdesk.autonomy.oversight.sampling import (
    FIRST,
    Closure,
    Judged,
    Plan,
    bin_of,
    draw,
    is_double,
    pile,
    plan,
    stratum_of,
)

KEY = b"k" * 16


def test_the_first_fifty_after_a_promotion_are_all_looked_at() -> None:
    never = Plan({"s": 0.0}, 0.0)
    assert all(draw(KEY, Closure(f"d{nth}", "s", 9, nth), never).drawn for nth in range(1, FIRST + 1))
    assert not draw(KEY, Closure("d51", "s", 9, FIRST + 1), never).drawn
    assert not draw(KEY, Closure("signed", "s", 9, 0), never).drawn


def test_the_first_of_each_stratum_in_a_day_is_looked_at() -> None:
    never = Plan({"s": 0.0}, 0.0)
    assert draw(KEY, Closure("d", "s", 1), never).drawn
    assert not draw(KEY, Closure("d", "s", 2), never).drawn


def test_a_draw_is_the_same_for_ever_and_another_with_another_key() -> None:
    half = Plan({"s": 0.5})
    closures = [Closure(f"d{number}", "s", 2) for number in range(400)]
    first = [draw(KEY, one, half).drawn for one in closures]
    assert first == [draw(KEY, one, half).drawn for one in closures]
    assert first != [draw(b"x" * 16, one, half).drawn for one in closures]
    assert 150 < sum(first) < 250
    assert sum(is_double(KEY, f"item-{number}") for number in range(2000)) == pytest.approx(200, abs=50)


@given(
    closed=st.dictionaries(st.sampled_from("abcdefgh"), st.integers(1, 3000), min_size=1),
    found=st.dictionaries(st.sampled_from("abcdefgh"), st.tuples(st.integers(0, 400), st.integers(0, 20)), max_size=8),
)
@settings(max_examples=200, deadline=None)
def test_a_plan_gives_each_stratum_one_and_all_together_enough(
    closed: dict[str, int], found: dict[str, tuple[int, int]]
) -> None:
    known = {name: (judged, min(judged, missed)) for name, (judged, missed) in found.items()}
    made = plan(closed, known)
    total = sum(closed.values())
    expected = sum(closed[name] * made.chances[name] for name in closed)
    assert all(0.0 < made.chances[name] <= 1.0 for name in closed)
    assert all(closed[name] * made.chances[name] >= 1 - 1e-9 for name in closed)
    assert expected >= min(total, max(0.05 * total, 30)) - 1e-6
    assert expected <= max(0.05 * total + 1, 30, len(closed)) + len(closed)


def test_where_more_was_missed_more_is_looked_at() -> None:
    made = plan({"quiet": 1000, "odd": 1000}, {"quiet": (300, 0), "odd": (300, 30)})
    assert made.chances["odd"] > 4 * made.chances["quiet"]


def test_the_estimate_is_unbiased_over_many_draws() -> None:
    """Horvitz and Thompson's, with unequal chances: its mean is the truth."""
    rng = random.Random(7)
    chances = {"a": 0.05, "b": 0.3}
    closures = [(Closure(f"d{number}", "a" if number % 3 else "b", 2), rng.random() < 0.02) for number in range(3000)]
    truth = fmean(missed for _, missed in closures)
    rates = []
    for run in range(200):
        key = run.to_bytes(16, "big")
        judged = [
            Judged(one.stratum, told.chance, missed)
            for one, missed in closures
            if (told := draw(key, one, Plan(chances))).drawn
        ]
        rates.append(pile({"a": 2000, "b": 1000}, judged).rate)
    assert fmean(rates) == pytest.approx(truth, rel=0.1)


def test_the_bound_holds_in_19_of_20_samples() -> None:
    rng = random.Random(11)
    misses = {f"d{number}": rng.random() < 0.01 for number in range(2000)}
    strata = {name: "a" if int(name[1:]) % 2 else "b" for name in misses}
    truth = fmean(misses.values())
    violated = 0
    for run in range(300):
        key = run.to_bytes(16, "big")
        half = Plan({"a": 0.2, "b": 0.05})
        judged = [
            Judged(strata[name], told.chance, missed)
            for name, missed in misses.items()
            if (told := draw(key, Closure(name, strata[name], 2), half)).drawn
        ]
        violated += pile({"a": 1000, "b": 1000}, judged).bound < truth
    assert violated / 300 <= 0.06


def test_what_was_judged_whole_is_known_and_nothing_judged_shows_nothing() -> None:
    whole = pile({"a": 50}, [Judged("a", 1.0, number == 0) for number in range(50)])
    assert (whole.closed, whole.missed) == (50, 1)
    assert whole.rate == whole.bound == 0.02
    assert pile({"a": 50}, []).bound == 1.0
    assert pile({}, []).closed == 0


@pytest.mark.parametrize(
    ("score", "tau", "place"),
    [
        (-9.0, -4.0, 0),
        (-4.01, -4.0, 9),
        (-4.0, -4.0, 9),
        (-3.0, -4.0, 9),
        (-4.69, -4.0, 5),
        (0.1, 0.8, 4),
        (None, 0.2, -1),
        (0.1, None, -1),
        (float("nan"), 0.2, -1),
    ],
)
def test_a_bin_is_a_tenth_of_the_odds_at_the_threshold(score: float | None, tau: float | None, place: int) -> None:
    assert bin_of(score, tau) == place
    assert stratum_of("edr/r1", place).startswith("edr/r1#")
