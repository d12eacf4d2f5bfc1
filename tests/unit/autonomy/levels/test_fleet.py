"""What a tenant takes over from others: counts, from at least two others, and nothing once there was an attack."""

import pytest

from nightdesk.autonomy.levels.fleet import Contribution, prior_for, record_of

RULE = "edr/r1@1"


def told(**benign: int) -> list[Contribution]:
    return [Contribution(tenant, RULE, count, 0) for tenant, count in benign.items()]


def test_two_others_with_299_verdicts_lend_250() -> None:
    assert prior_for(RULE, "new", told(a=200, b=99)) == 250


@pytest.mark.parametrize(
    "others", [told(a=600), told(a=200, b=98), told(a=600, new=600), told(a=300, b=0), []], ids=str
)
def test_fewer_tenants_or_verdicts_lend_nothing(others: list[Contribution]) -> None:
    assert prior_for(RULE, "new", others) == 0


@pytest.mark.parametrize("where", ["a", "c", "new"])
def test_one_attack_anywhere_takes_it_everywhere(where: str) -> None:
    attacked = [*told(a=300, b=300), Contribution(where, RULE, 0, 1)]
    for tenant in ("new", "newer", "a"):
        assert prior_for(RULE, tenant, attacked) == 0


def test_another_rule_says_nothing_of_this_one() -> None:
    others = [*told(a=300, b=300), Contribution("a", "edr/r2@1", 0, 9)]
    assert prior_for(RULE, "new", others) == 250
    assert prior_for("edr/r2@1", "new", others) == 0


def test_no_count_is_told_of_one_tenant_alone() -> None:
    assert record_of(RULE, "new", told(a=1000)).benign == 0
    assert record_of(RULE, "new", told(a=400, b=600)).benign == 1000
