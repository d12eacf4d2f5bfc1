from dataclasses import replace
from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nightdesk.autonomy.learning.catalogue import INDEX, NAMES
from nightdesk.autonomy.learning.flips import counterfactual
from nightdesk.autonomy.learning.tables import Line, Platt, Steps, Tables

FLAT = tuple(Steps(name, (), (0.0,), 0.0, 0.0, 0.0) for name in NAMES)
LINE = Line(0.0, (0.0,) * len(NAMES), (0.0,) * len(NAMES), (1.0,) * len(NAMES))


def tables(**steps: Steps) -> Tables:
    return Tables(-1.0, tuple(steps.get(one.name, one) for one in FLAT), LINE, Platt(), Platt())


ALERTS = Steps("alerts", (1.0, 3.0), (-2.0, 0.0, 4.0), 0.0, 9.0, 2.0)
RULES = Steps("other_rules_1h", (2.0,), (0.0, 3.0), 0.0, 5.0, 0.5)
BOTH = tables(alerts=ALERTS, other_rules_1h=RULES)


def at(alerts: float, rules: float) -> tuple[float, ...]:
    values = [0.0] * len(NAMES)
    values[INDEX["alerts"]], values[INDEX["other_rules_1h"]] = alerts, rules
    return tuple(values)


def test_an_escalated_group_is_told_the_nearest_way_to_close() -> None:
    (change,) = counterfactual(BOTH, at(2.0, 5.0), 0.5)
    assert (change.name, change.value, change.instead) == ("alerts", 2.0, 1.0), "half a deviation; rules would be six"


def test_a_closed_group_is_told_the_nearest_way_to_escalate() -> None:
    (change,) = counterfactual(BOTH, at(2.9, 1.0), 1.0)
    assert change.name == "alerts"
    assert 3.0 < change.instead < 3.0001


def test_two_features_change_when_one_is_not_enough() -> None:
    changes = counterfactual(BOTH, at(0.0, 0.0), 5.5)
    assert [one.name for one in changes] == ["alerts", "other_rules_1h"]


def test_nothing_within_what_was_learnt_crosses() -> None:
    assert counterfactual(BOTH, at(0.0, 0.0), 100.0) == ()
    narrow = tables(alerts=replace(ALERTS, high=2.0))
    assert counterfactual(narrow, at(0.0, 0.0), 1.0) == (), "no alerts beyond what was learnt from"
    assert counterfactual(BOTH, at(0.0, 0.0), -inf) == ()


@given(st.floats(0, 9), st.floats(0, 5), st.floats(-4, 7))
def test_a_change_that_is_told_does_cross(alerts: float, rules: float, tau: float) -> None:
    values = at(alerts, rules)
    changes = counterfactual(BOTH, values, tau)
    moved = {INDEX[one.name]: one.instead for one in changes}
    after = tuple(moved.get(place, value) for place, value in enumerate(values))
    if changes:
        assert (BOTH.logit(after) < tau) != (BOTH.logit(values) < tau)
        assert all(one.instead != one.value for one in changes)
    else:
        assert tau > 6.0 - 1e-9 or tau <= -3.0 + 1e-9


@pytest.mark.parametrize("tau", [-2.5, 0.0, 2.5])
def test_it_is_the_smallest_of_single_changes(tau: float) -> None:
    values = at(2.0, 1.0)
    changes = counterfactual(BOTH, values, tau)
    assert len(changes) == 1
    closes = BOTH.logit(values) < tau
    for cut in ALERTS.cuts:
        for instead in (cut, cut + 1e-9):
            crosses = (BOTH.logit(at(instead, 1.0)) < tau) != closes
            if crosses and changes[0].name == "alerts":
                assert abs(instead - 2.0) >= abs(changes[0].instead - 2.0) - 1e-8
