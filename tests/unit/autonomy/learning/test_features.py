from math import log1p

import pytest
from tests.judged_groups import a_group

from nightdesk.autonomy.learning.catalogue import FEATURES, INDEX
from nightdesk.autonomy.learning.features import Known, Vector, vector
from nightdesk.autonomy.learning.groups import Group
from nightdesk.autonomy.learning.history import History
from nightdesk.autonomy.learning.priors import Prior, View

HOT, COLD = Prior(2.0, 90, 3, 3), Prior(-6.0, 400, 4, 0)
VIEW = View(-2.0, {"login": COLD, "web-attack": HOT, "noise": COLD}, {"edr": Prior(-4.0, 900, 4, 2)}, {"x": HOT})


def of(group: Group, *past: Group, view: View = VIEW, known: Known = Known()) -> Vector:  # noqa: B008  (frozen)
    history = History()
    for one in (*past, group):
        history.add(one)
    return vector(history.look(group), view, known)


def value(found: Vector, name: str) -> float:
    return found.values[INDEX[name]]


def test_a_known_rule_brings_what_others_say_of_it() -> None:
    found = of(a_group(rule="web-attack"))
    assert value(found, "rule_prior") == 2.0
    assert value(found, "rule_support") == log1p(90)
    assert value(found, "rule_attack_tenants") == 1.0
    assert value(found, "source_prior") == -4.0
    assert found.unseen == ()


def test_an_unseen_rule_and_an_unseen_tool_are_told_and_stand_at_the_fleets_mean() -> None:
    found = of(a_group(rule="never", source="newtool"))
    assert value(found, "rule_prior") == value(found, "source_prior") == -2.0
    assert value(found, "rule_support") == 0.0
    assert found.unseen == ("rule never", "source newtool")


def test_the_hottest_rule_around_counts() -> None:
    group = a_group()
    past = [a_group(rule=rule, at=-30) for rule in ("noise", "web-attack", "never")]
    assert value(of(group, *past), "max_prior_1h") == 2.0
    assert value(of(group, *past[:1]), "max_prior_1h") == -6.0
    assert value(of(group, a_group(rule="web-attack", entity="ws-2", at=-30)), "max_prior_1h") == -8.0


def test_nothing_around_is_no_hotter_than_the_coldest_rule() -> None:
    colder = View(-2.0, {"noise": Prior(-9.5, 900, 4, 0)}, {}, {})
    alone, beside = of(a_group(), view=colder), of(a_group(), a_group(rule="noise", at=-30), view=colder)
    assert value(alone, "max_prior_1h") == value(beside, "max_prior_1h") == -8.0


def test_a_hotter_tactic_counts_and_an_unknown_one_is_missing() -> None:
    assert value(of(a_group(tactics=("x", "y"))), "tactic_prior") == 2.0
    assert "tactic_prior" in of(a_group(tactics=("y",))).missing


def test_what_is_unknown_is_neutral_and_missing() -> None:
    found = of(a_group())
    optional = {one.name for one in FEATURES if one.optional}
    assert set(found.missing) == optional
    assert all(value(found, one.name) == one.neutral for one in FEATURES if one.optional)


def test_what_is_no_number_is_unknown() -> None:
    assert "intel_age" in of(a_group(), known=Known(intel_age=float("nan"))).missing


def test_zero_is_known() -> None:
    found = of(a_group(), known=Known(intel_hits=0, confirmed_attacks=0))
    assert not {"intel_hits", "confirmed_attacks"} & set(found.missing)
    assert {"intel_age", "asset_criticality"} <= set(found.missing)


@pytest.mark.parametrize(
    ("known", "name", "expected"),
    [
        (Known(asset_criticality=4), "asset_criticality", 4.0),
        (Known(identity_privilege=1), "identity_privilege", 1.0),
        (Known(intel_hits=3), "intel_hits", log1p(3)),
        (Known(intel_age=10.0), "intel_age", log1p(10)),
        (Known(allow_listed=True), "allow_listed", 1.0),
        (Known(confirmed_attacks=2), "confirmed_attacks", log1p(2)),
        (Known(confirmed_benign=-5), "confirmed_benign", 0.0),
        (Known(verdict_age=30.0), "verdict_age", log1p(30)),
    ],
)
def test_facts_have_their_units(known: Known, name: str, expected: float) -> None:
    found = of(a_group(), known=known)
    assert value(found, name) == expected
    assert name not in found.missing


@pytest.mark.parametrize(("severity", "confidence", "missing"), [(0, -1, True), (5, 80, False), (99, 400, True)])
def test_the_vendors_own_numbers(severity: int, confidence: int, missing: bool) -> None:
    found = of(Group("acme", "ws-1", "login", 0.0, 0.0, 1, "edr", severity_id=severity, confidence=confidence))
    assert ({"severity", "confidence"} <= set(found.missing)) == missing
    assert (value(found, "severity"), value(found, "confidence")) == ((0.0, 50.0) if missing else (5.0, 80.0))
