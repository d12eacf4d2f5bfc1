from math import exp

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.judged_groups import a_fleet, a_group

from nightdesk.autonomy.learning.groups import Judged
from nightdesk.autonomy.learning.priors import FEWEST_TENANTS, Fleet, Prior


def judged(tenant: str, rule: str, attacks: int, benign: int) -> list[Judged]:
    rows = [Judged(a_group(tenant, rule=rule, at=number), attack=True) for number in range(attacks)]
    return rows + [Judged(a_group(tenant, rule=rule, at=-number), attack=False) for number in range(benign)]


def share(log_odds: float) -> float:
    return 1 / (1 + exp(-log_odds))


def a_view(*rows: list[Judged], tenant: str = "own", fewest: int = FEWEST_TENANTS) -> dict[str, Prior]:
    return dict(Fleet.of([one for part in rows for one in part]).view(tenant, fewest=fewest).rules)


def test_a_rule_is_told_with_its_support() -> None:
    prior = a_view(judged("a", "r", 1, 9), judged("b", "r", 0, 10), judged("c", "r", 2, 8))["r"]
    assert (prior.groups, prior.tenants, prior.attack_tenants) == (30, 3, 2)
    assert prior.attack_share == 2 / 3
    assert share(prior.log_odds) == pytest.approx((3 + 0.1) / 31), "too few rules to tell a fleet's: mean 0.1, weight 1"


def test_law_3_two_other_tenants_are_too_few_to_be_told() -> None:
    two = judged("a", "r", 0, 50), judged("b", "r", 0, 50), judged("own", "r", 50, 0)
    assert a_view(*two) == {}
    assert "r" in a_view(*two, judged("c", "r", 0, 1))


@given(st.lists(st.tuples(st.integers(0, 40), st.integers(0, 40)), min_size=1, max_size=6))
def test_law_3_a_tenants_own_labels_never_reach_its_view(own: list[tuple[int, int]]) -> None:
    others = [row for row in a_fleet(4) if row.group.tenant != "t0"]
    mine = [row for number, (attacks, benign) in enumerate(own) for row in judged("t0", f"r{number}", attacks, benign)]
    alone = Fleet.of(others).view("t0")
    assert Fleet.of([*others, *mine]).view("t0") == alone


def test_law_3_what_one_tenant_adds_is_seen_only_beside_two_others() -> None:
    fleet = [*judged("a", "secret-rule", 5, 5), *judged("b", "secret-rule", 5, 5), *judged("c", "known", 1, 1)]
    view = Fleet.of(fleet).view("own")
    assert view.rules == {}
    assert view.base == Fleet.of([]).view("own").base, "not even the mean of all rules"


def test_a_flood_of_one_tenant_does_not_decide_for_all() -> None:
    calm = judged("a", "r", 0, 300), judged("b", "r", 0, 300)
    flooded = a_view(*calm, judged("c", "r", 100_000, 0))["r"]
    assert share(flooded.log_odds) == pytest.approx((30 + 0.1) / (90 + 1))
    assert flooded.groups == 100_600


def test_more_attacks_never_lower_the_log_odds() -> None:
    before = float("-inf")
    for attacks in range(20):
        now = a_view(judged("a", "r", attacks, 20), judged("b", "r", 0, 20), judged("c", "r", 0, 20))["r"].log_odds
        assert now > before
        before = now


def test_the_mean_of_a_fleet_is_that_of_its_rules() -> None:
    rows = [
        judged(tenant, f"r{rule}", 5 if rule == 0 else 0, 5 if rule == 0 else 10)
        for tenant in "abc"
        for rule in range(10)
    ]
    view = Fleet.of([one for part in rows for one in part]).view("own")
    assert share(view.base) == pytest.approx(0.05)
    assert share(view.rules["r1"].log_odds) < 0.01
    assert 0.4 < share(view.rules["r0"].log_odds) < 0.5


def test_the_unclear_counts_nowhere() -> None:
    assert Fleet.of([Judged(a_group(), attack=True, unclear=True)]).tenants() == ()


def test_tools_and_tactics_are_counted_once_a_group() -> None:
    rows = [
        Judged(a_group(tenant, at=number, tactics=("exfiltration", "exfiltration")), attack=number == 0)
        for tenant in "abc"
        for number in range(4)
    ]
    view = Fleet.of(rows).view("own")
    assert view.tactics["exfiltration"].groups == view.sources["edr"].groups == 12
    assert view.tactics["exfiltration"].attack_tenants == 3


def test_a_split_of_the_fleet_sees_only_those_in_it() -> None:
    fleet = Fleet.of([*judged("a", "r", 1, 1), *judged("b", "r", 0, 9), *judged("c", "r", 0, 9)])
    assert fleet.view("a", among=["a", "b"], fewest=1).rules["r"].groups == 9
    assert fleet.tenants() == ("a", "b", "c")
