"""Closing by the other tenants' threshold: the promise holds in seeded draws, and fails when the rank is wrong."""

import math
from random import Random

import pytest
from tests.made_tenants import fold, unit

from nightdesk.autonomy.evaluation import resampling
from nightdesk.autonomy.evaluation.loto import Deciding, deciding, loto
from nightdesk.autonomy.evaluation.resampling import resampled_loto
from nightdesk.autonomy.evaluation.units import HeldOut, Units
from nightdesk.autonomy.risk import threshold
from nightdesk.autonomy.risk.bounds import errors_allowed
from nightdesk.autonomy.risk.distrust import Past, ceiling, distrusted


def plain(held: HeldOut) -> Deciding:
    """Without distrust and ceiling, which would only make it safer."""
    return Deciding(held.own, held.others, math.inf)


def broken(draws: int) -> float:
    """The share of calibrations whose threshold closes more than 5 % of attacks like them; scores are uniform."""
    chance = Random(1)
    taus = []
    for _ in range(draws):
        (tested,) = loto([plain(fold(chance, attacks=124, benign=2))], 0.05, 0.05, by_group=False)
        assert tested.certificate.tau is not None
        taus.append(tested.certificate.tau)
    return sum(tau > 0.05 for tau in taus) / draws


def test_the_promise_holds_in_seeded_draws() -> None:
    """Target 5 %; Monte Carlo noise of 500 draws is 1 %."""
    assert broken(500) <= 0.08


def test_a_threshold_one_rank_too_high_breaks_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def bolder(items: int, rate: float, delta: float) -> int | None:
        allowed = errors_allowed(items, rate, delta)
        return None if allowed is None else allowed + 1

    monkeypatch.setattr(threshold, "errors_allowed", bolder)
    assert broken(500) > 0.09


def test_too_few_attacks_close_nothing_and_say_how_many_more() -> None:
    (tested,) = loto([plain(fold(Random(2), attacks=40))], 0.01, 0.05, by_group=True)
    assert (tested.outcome.closed, tested.outcome.missed, tested.closed) == (0, 0, ())
    assert (tested.certificate.n, tested.certificate.k, tested.certificate.missing) == (40, None, 259)
    assert tested.certificate.bound == 1.0
    assert "259 more are needed" in tested.certificate.why


def test_without_other_tenants_to_calibrate_on_nothing_is_closed() -> None:
    held = fold(Random(2), attacks=40)
    (tested,) = loto([deciding(HeldOut("own", held.own, {}))], 0.5, 0.05, by_group=True)
    assert (tested.outcome.closed, tested.certificate.n) == (0, 0)


def test_what_is_closed_scores_below_the_threshold_and_the_unclear_is_not_counted() -> None:
    held = fold(Random(3), attacks=80)
    grey = unit(999, tenant="own", unclear=True)
    own = Units("own", (*held.own.units, grey), (*held.own.scores, -9.0))
    (tested,) = loto([plain(HeldOut("own", own, held.others))], 0.05, 0.05, by_group=True)
    tau = tested.certificate.tau
    assert tau is not None
    closed = {own.units[place].key for place in tested.closed}
    expected = {one.key for one, score in zip(own.units, own.scores, strict=True) if score < tau and not one.unclear}
    assert closed == expected
    assert tested.outcome.benign == 50


def past(rule: str, benign: list[float], attacks: list[float]) -> list[Past]:
    return [Past(rule, one, attack=False) for one in benign] + [Past(rule, one, attack=True) for one in attacks]


SPREAD = [-5 + index / 100 for index in range(400)]


def test_a_small_rule_whose_attacks_score_as_noise_is_left_to_people() -> None:
    tenants = [past("common", SPREAD, [3.0]) + past("odd", [-4.5] * 4, [-4.8]) for _ in range(3)]
    assert distrusted(tenants) == {"odd"}


def test_a_rule_that_most_groups_are_of_is_kept_with_a_lower_threshold() -> None:
    tenants = [past("common", SPREAD, [-1.5]) + past("odd", [-4.5] * 4, [3.0]) for _ in range(3)]
    assert distrusted(tenants) == frozenset()


def test_distrust_is_learnt_from_other_tenants_alone() -> None:
    def units(name: str, low: float) -> Units:
        made = [unit(number, tenant=name, rule="common") for number in range(400)]
        made += [unit(400, tenant=name, rule="common", incident="a"), unit(401, tenant=name, rule="odd", incident="b")]
        return Units(name, tuple(made), (*SPREAD, 3.0, low))

    others = {"x": units("x", -4.8), "y": units("y", 3.0), "z": units("z", 3.0)}
    scored = deciding(HeldOut("own", units("own", -4.9), others))
    assert scored.others["x"].scores[401] == -4.8  # its own attack did not make the others distrust the rule
    assert scored.others["y"].scores[401] == math.inf
    assert scored.own.scores[401] == math.inf


def test_the_fiftieth_most_like_an_attack_is_always_shown() -> None:
    assert ceiling([past("r", [float(one) for one in range(100)], [500.0])]) == 98.0
    assert ceiling([]) == -math.inf
    scored = deciding(fold(Random(5), attacks=400, benign=200))
    sure = threshold.Threshold(math.inf, 0, 9, 0, 0.5, 0.05)
    closed = scored.closed(scored.own, sure)
    assert 150 < len(closed) < 220
    assert all(scored.own.scores[place] < scored.ceiling for place in closed)


def test_in_resampling_the_promise_is_broken_in_five_percent_at_most() -> None:
    folds = [plain(fold(Random(seed), attacks=600)) for seed in range(4)]
    found = resampled_loto(folds, 0.05, 0.05, 1_000)
    assert all(one.draws == 1_000 and one.drawn == 600 for one in found)
    assert 0.0 < max(one.rate for one in found) <= 0.06


def test_resampling_finds_a_broken_threshold(monkeypatch: pytest.MonkeyPatch) -> None:
    def bolder(items: int, rate: float, delta: float) -> int:
        return (errors_allowed(items, rate, delta) or 0) + 4

    monkeypatch.setattr(resampling, "errors_allowed", bolder)
    found = resampled_loto([plain(fold(Random(0), attacks=600))], 0.05, 0.05, 1_000)
    assert found[0].rate > 0.06


def test_resampling_with_too_few_attacks_draws_as_many_as_the_promise_needs() -> None:
    (found,) = resampled_loto([plain(fold(Random(0), attacks=60))], 0.01, 0.05, 200)
    assert (found.drawn, found.pool) == (299, 80)
