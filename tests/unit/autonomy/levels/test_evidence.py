"""What earns and loses the right to close: the design's numbers, the caps, and that no look at it cheats (law 10)."""

import random
import statistics

import pytest

from nightdesk.autonomy.levels.evidence import (
    DAY,
    Earning,
    FleetRecord,
    Losing,
    Terms,
    Verdict,
    fleet_prior,
)
from nightdesk.sdk.errors import ConfigError


def verdict(number: int, *, attack: bool = False, **given: object) -> Verdict:
    """The n-th of many: another entity, day and analyst each, so that no cap is met."""
    values: dict[str, object] = {
        "key": f"unit-{number}",
        "entity": f"host-{number % 40}",
        "at": (number // 40) * DAY,
        "analyst": f"a{number % 4}",
        "attack": attack,
    }
    return Verdict(**(values | given))  # type: ignore[arg-type]


def fed(earning: Earning, first: int, count: int) -> Earning:
    for number in range(first, first + count):
        assert earning.see(verdict(number))
    return earning


def test_397_clean_verdicts_earn_and_396_do_not() -> None:
    earning = fed(Earning(), 0, 396)
    assert not earning.standing.earned
    assert earning.standing.missing == ("1 agreed verdicts",)
    assert fed(earning, 396, 1).standing.earned
    assert earning.standing.value == pytest.approx(20.0)


def test_299_do_when_the_bet_is_on_none_at_all() -> None:
    terms = Terms(clean=0.0)
    assert terms.verdicts_needed == 299
    earning = fed(Earning(terms), 0, 299)
    assert earning.standing.earned
    earning.see(verdict(999, attack=True))
    assert "no number of verdicts" in earning.standing.missing[0]


def test_a_confirmed_attack_takes_the_right_at_once_and_costs_184_verdicts_however_long_it_was_held() -> None:
    earning = fed(Earning(), 0, 1500)
    assert earning.see(verdict(5000, attack=True))
    assert not earning.standing.earned
    assert not fed(earning, 2000, 183).standing.earned
    assert fed(earning, 3000, 1).standing.earned


def test_an_attack_counts_once_and_only_when_confirmed() -> None:
    earning = fed(Earning(), 0, 397)
    assert not earning.see(verdict(5000, attack=True, confirmed=False))
    assert earning.standing.earned
    assert earning.see(verdict(5000, attack=True))
    assert not earning.see(verdict(5000, attack=True))
    assert earning.standing.attacks == 1


def test_a_flood_on_one_entity_counts_ten_times_a_day() -> None:
    earning = Earning()
    taken = [earning.see(verdict(n, entity="host", at=0.0, analyst=f"a{n % 9}")) for n in range(2_000)]
    assert sum(taken) == 10
    assert earning.see(verdict(5_000, entity="host", at=DAY))
    assert earning.see(verdict(5_001, entity="other", at=0.0))


def test_the_same_unit_judged_again_is_no_further_evidence() -> None:
    earning = Earning()
    assert earning.see(verdict(1))
    assert not earning.see(verdict(1, analyst="other"))
    assert earning.standing.set_aside == 1


def test_one_analyst_labelling_500_times_does_not_promote_and_three_do() -> None:
    alone = Earning()
    for number in range(500):
        alone.see(verdict(number, analyst="eve"))
    assert alone.agreed == 158  # 40 % of 397
    assert not alone.standing.earned
    three = Earning()
    for number in range(500):
        three.see(verdict(number, analyst=f"a{number % 3}"))
    assert three.standing.earned


def test_a_cap_never_keeps_an_attack_out() -> None:
    earning = fed(Earning(), 0, 397)
    for number in range(20):
        earning.see(verdict(6000 + number, entity="host", at=0.0, analyst="eve"))
    assert earning.see(verdict(7000, attack=True, entity="host", at=0.0, analyst="eve"))
    assert not earning.standing.earned


def test_evidence_of_one_day_or_of_two_hosts_is_not_enough() -> None:
    one_day, two_hosts = Earning(Terms(per_entity_and_day=1_000)), Earning(Terms(per_entity_and_day=1_000))
    for number in range(400):
        one_day.see(verdict(number, at=5.0))
        two_hosts.see(verdict(number, entity=f"host-{number % 2}"))
    assert one_day.standing.missing == ("verdicts of 2 more days",)
    assert two_hosts.standing.missing == ("verdicts on 1 more entities",)


RECORD = FleetRecord(tenants=2, benign=299, attacks=0)


@pytest.mark.parametrize(
    ("record", "prior"),
    [
        (RECORD, 250),
        (FleetRecord(1, 5_000, 0), 0),
        (FleetRecord(2, 298, 0), 0),
        (FleetRecord(9, 90_000, 1), 0),
    ],
)
def test_the_fleet_prior_takes_two_tenants_299_benign_and_no_attack_anywhere(record: FleetRecord, prior: int) -> None:
    assert fleet_prior(record) == prior


def test_with_the_fleet_prior_147_verdicts_earn_and_an_attack_elsewhere_takes_it_back() -> None:
    earning = fed(Earning(prior=250), 0, 147)
    assert earning.standing.earned
    earning.withdraw_prior()
    assert earning.standing.missing == ("250 agreed verdicts",)
    assert fed(earning, 1000, 250).standing.earned


def test_what_was_earned_without_the_fleet_outlives_its_prior() -> None:
    earning = fed(Earning(prior=250), 0, 397)
    earning.withdraw_prior()
    assert earning.standing.earned


def test_a_rule_that_is_wrong_in_one_of_a_hundred_earns_in_at_most_five_of_a_hundred_tenants() -> None:
    """The promise itself: looked at after every label, for 800 labels, in 400 tenants (Monte Carlo noise 1.1 %)."""
    chance = random.Random(20)
    terms = Terms(days=0, entities=0)

    def earns() -> bool:
        earning = Earning(terms)
        for number in range(800):
            earning.see(verdict(number, attack=chance.random() < 0.01))
            if earning.earned:
                return True
        return False

    assert sum(earns() for _ in range(400)) <= 30


def items(chance: random.Random, rate: float, most: int) -> int | None:
    losing = Losing()
    for number in range(1, most + 1):
        if losing.see(attack=chance.random() < rate):
            return number
    return None


def test_a_right_held_rightly_is_lost_in_some_3_5_percent_over_5000_items() -> None:
    """Monte Carlo noise of 1,200 runs is 0.55 %."""
    chance = random.Random(7)
    lost = sum(items(chance, 0.01, 5_000) is not None for _ in range(1_200)) / 1_200
    assert 0.02 <= lost <= 0.055


def test_a_rule_that_is_wrong_in_one_of_twenty_is_lost_after_a_median_of_about_80_items() -> None:
    chance = random.Random(4)
    taken = sorted(items(chance, 0.05, 5_000) or 5_000 for _ in range(1_000))
    assert 70 <= statistics.median(taken) <= 90
    assert 160 <= taken[900] <= 195


def test_one_that_is_wrong_in_one_of_ten_after_36() -> None:
    chance = random.Random(5)
    assert 32 <= statistics.median(items(chance, 0.1, 5_000) or 5_000 for _ in range(1_000)) <= 40


def test_three_attacks_in_a_row_are_enough_and_revoked_stays_revoked() -> None:
    losing = Losing()
    assert not losing.see_all([True, True])
    assert losing.see(attack=True)
    assert losing.see_all([False] * 1_000)
    assert losing.value < 1.0


@pytest.mark.parametrize("name", ["epsilon", "foul", "delta"])
def test_terms_that_are_no_rates_are_refused_by_name(name: str) -> None:
    with pytest.raises(ConfigError, match=name):
        Terms(**{name: 1.5})
