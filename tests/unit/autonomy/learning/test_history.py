import random
from math import log1p

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.judged_groups import START, a_group

from nightdesk.autonomy.learning.catalogue import FEATURES, INDEX, NAMES
from nightdesk.autonomy.learning.groups import Group
from nightdesk.autonomy.learning.history import Bounds, History, Observation
from nightdesk.sdk.errors import NightdeskError

HOUR, DAY = 3600.0, 86400.0


def seen(groups: list[Group], group: Group, at: float | None = None) -> dict[str, float]:
    history = History()
    for one in groups:
        history.add(one)
    history.add(group)
    return read(history.look(group, at))


def read(observation: Observation) -> dict[str, float]:
    return dict(zip(NAMES, observation.values, strict=True))


def test_a_lone_group_has_no_past() -> None:
    values = seen([], a_group(alerts=4, lasts=59.0))
    assert values["alerts"] == log1p(4)
    assert values["duration"] == log1p(59)
    assert values["new_to_entity"] == values["new_to_tenant"] == 1.0
    assert values["since_last"] == log1p(DAY)
    assert {name: values[name] for name in NAMES if name.startswith(("same", "other", "new_rules", "burst"))} == {
        "burst": 0.0,
        "same_key_24h": 0.0,
        "same_rule_24h": 0.0,
        "other_rules_10m": 0.0,
        "other_rules_1h": 0.0,
        "other_alerts_10m": 0.0,
        "new_rules_1h": 0.0,
        "other_entities_1h": 0.0,
    }


def test_recency_counts_a_day_of_the_key_and_of_the_rule() -> None:
    past = [a_group(at=-DAY - 1), a_group(at=-DAY), a_group(at=-400), a_group(entity="ws-2", at=-500)]
    values = seen(past, a_group())
    assert values["same_key_24h"] == log1p(2)
    assert values["same_rule_24h"] == log1p(3)
    assert values["since_last"] == log1p(400)
    assert values["new_to_entity"] == values["new_to_tenant"] == 0.0


def test_context_counts_rules_within_ten_minutes_and_an_hour() -> None:
    past = [
        a_group(rule="old", at=-HOUR - 1),
        a_group(rule="hour", at=-HOUR),
        a_group(rule="hour", at=-1000, alerts=5),
        a_group(rule="soon", at=-600, alerts=3),
        a_group(rule="soon", at=-10, alerts=2),
        a_group(at=-30, alerts=7),
        a_group(rule="elsewhere", entity="ws-2", at=-1),
    ]
    values = seen(past, a_group())
    assert values["other_rules_10m"] == 1
    assert values["other_rules_1h"] == 2
    assert values["other_alerts_10m"] == log1p(3 + 2 + 7)


def test_new_rules_are_those_the_entity_had_not_seen_an_hour_ago() -> None:
    past = [a_group(rule="known", at=-5 * HOUR), a_group(rule="known", at=-60), a_group(rule="fresh", at=-50)]
    values = seen(past, a_group())
    assert values["other_rules_1h"] == 2
    assert values["new_rules_1h"] == 1


def test_other_entities_with_the_rule_are_counted_once_each() -> None:
    past = [a_group(entity=f"ws-{number % 3}", at=-number) for number in range(1, 30)]
    assert seen(past, a_group(entity="ws-0"))["other_entities_1h"] == log1p(2)


def test_a_burst_is_measured_against_the_keys_own_past() -> None:
    past = [a_group(at=-1000 * number, alerts=10) for number in range(1, 9)]
    assert seen(past, a_group(alerts=10))["burst"] == 0.0
    assert seen(past, a_group(alerts=11))["burst"] == pytest.approx((log1p(11) - log1p(10)) / 0.25)
    assert seen(past, a_group(alerts=100_000))["burst"] == 8.0
    assert seen(past[:1], a_group(alerts=100_000))["burst"] == 0.0, "one group is no past"


def test_what_comes_while_a_close_is_held_is_context_and_what_comes_later_is_not() -> None:
    group = a_group(lasts=100)
    later = [a_group(rule="soon", at=399), a_group(rule="just", at=400), a_group(rule="late", at=401)]
    assert seen(later, group, START + 400)["other_rules_10m"] == 2
    assert seen(later, group)["other_rules_10m"] == 0


def test_a_group_that_still_grows_counts_as_one_alert() -> None:
    growing = a_group(rule="other", at=10, alerts=50, lasts=200)
    assert seen([growing], a_group(), START + 100)["other_alerts_10m"] == log1p(1)
    assert seen([growing], a_group(), START + 210)["other_alerts_10m"] == log1p(50)


groups = st.builds(
    a_group,
    tenant=st.sampled_from(["acme", "umbrella"]),
    entity=st.sampled_from(["10.0.0.5", "ws-1"]),
    rule=st.sampled_from(["a", "b", "c"]),
    at=st.one_of(st.integers(-4000, 4000).map(float), st.sampled_from([0.0, -600.0, 600.0, -3600.0, -86400.0])),
    alerts=st.integers(1, 9),
    lasts=st.integers(-50, 300).map(float),
)


@given(st.lists(groups, max_size=25), groups, st.randoms(use_true_random=False))
def test_the_order_of_arrival_and_repetition_change_nothing(
    past: list[Group], group: Group, rng: random.Random
) -> None:
    once = seen(past, group, group.opened + 300)
    again = [*past, *past, group]
    rng.shuffle(again)
    assert seen(again, group, group.opened + 300) == once


@given(st.lists(groups, max_size=25), groups, st.lists(groups, max_size=10))
def test_nothing_that_opened_after_the_look_is_in_it(past: list[Group], group: Group, later: list[Group]) -> None:
    at = group.opened + 300
    before = [one for one in past if one.opened <= at]
    known = {(one.tenant, one.entity, one.rule, one.opened) for one in before}
    after = [one for one in later if one.opened > at and (one.tenant, one.entity, one.rule, one.opened) not in known]
    assert seen([*before, *after], group, at) == seen(before, group, at)


@given(st.lists(groups, max_size=25), groups)
def test_law_3_another_tenants_groups_are_nowhere_in_a_look(past: list[Group], group: Group) -> None:
    """Same hostname, same address, same rule at another tenant (scenario 7)."""
    own = [one for one in past if one.tenant == group.tenant]
    assert seen(past, group, group.opened + 300) == seen(own, group, group.opened + 300)


@given(st.lists(groups, max_size=25), groups)
def test_no_feature_is_negative_for_a_wrong_clock(past: list[Group], group: Group) -> None:
    """Shifted and replayed times (scenario 5): a window is empty at worst. A deviation may be below the mean."""
    values = seen(past, group)
    assert all(value >= 0 for name, value in values.items() if name not in {"burst", "tactic_prior"})
    assert values["since_last"] <= log1p(DAY)


def test_an_alert_from_the_future_does_not_empty_the_windows() -> None:
    history = History()
    for number in range(10):
        history.add(a_group(rule=f"r{number}", at=-number))
    history.add(a_group(rule="skewed", at=400 * DAY))
    group = a_group()
    history.add(group)
    assert read(history.look(group))["other_rules_10m"] == 10


def test_a_group_that_grew_is_the_same_group() -> None:
    history = History()
    for alerts, lasts in ((1, 0.0), (7, 90.0), (3, 20.0)):
        history.add(a_group(rule="other", alerts=alerts, lasts=lasts))
    group = a_group(at=200)
    history.add(group)
    values = read(history.look(group))
    assert values["other_alerts_10m"] == log1p(7)
    assert values["other_rules_10m"] == 1


def test_memory_stays_bounded_in_a_flood() -> None:
    bounds = Bounds(entities=20, rules=10, groups=50)
    history = History(bounds)
    for number in range(3000):
        history.add(a_group(entity=f"ws-{number % 40}", rule=f"r{number % 13}", at=number * 0.001))
    tenant = history._tenants["acme"]
    assert len(tenant.entities) == 20
    assert len(tenant.rules) == 10
    assert all(len(one.recent) <= 50 and len(one.pairs) <= 10 for one in tenant.entities.values())
    assert all(len(one.seen) <= 50 for one in tenant.rules.values())


def test_what_is_old_is_forgotten_as_time_goes_on() -> None:
    history = History()
    history.add(a_group(entity="skewed", at=900 * DAY))
    history.add(a_group(entity="gone"))
    for number in range(200):
        at = number * HOUR
        history.advance(START + at)
        history.add(a_group(at=at))
    entity = history._tenants["acme"].entities["ws-1"]
    assert len(entity.recent) <= 3
    assert len(entity.pairs["login"].seen) <= 26
    history.advance(START + 31 * DAY)
    assert "gone" not in history._tenants["acme"].entities


def test_observing_forgets_as_it_goes() -> None:
    history = History()
    stream = [a_group(entity="gone"), *(a_group(at=DAY + number * HOUR) for number in range(40 * 24))]
    assert len(list(history.observe(stream))) == len(stream)
    entities = history._tenants["acme"].entities
    assert list(entities) == ["ws-1"]
    assert len(entities["ws-1"].recent) <= 4


def test_times_that_are_no_numbers_are_refused() -> None:
    with pytest.raises(NightdeskError, match="its times are no numbers; give seconds since 1970"):
        History().add(a_group(at=float("nan")))


def test_observing_looks_when_a_close_could_be_decided() -> None:
    first, second, third = a_group(lasts=100), a_group(rule="b", at=400), a_group(rule="c", at=401)
    out = {one.group.rule: read(one) for one in History().observe([first, second, third])}
    assert out["login"]["other_rules_10m"] == 1, "what opened at the very moment is in, what opened later is not"
    assert out["b"]["other_rules_10m"] == 2
    at_once = {one.group.rule: read(one) for one in History().observe([first, second, third], hold=0.0)}
    assert at_once["login"]["other_rules_10m"] == 0


@settings(max_examples=30)
@given(st.lists(groups, max_size=30), st.randoms(use_true_random=False))
def test_observing_does_not_depend_on_the_order_of_equal_times(past: list[Group], rng: random.Random) -> None:
    unique = list({(one.tenant, one.entity, one.rule, one.opened): one for one in past}.values())
    shuffled = unique[:]
    rng.shuffle(shuffled)
    first = History().observe(sorted(unique, key=lambda one: one.opened))
    second = History().observe(sorted(shuffled, key=lambda one: one.opened))
    assert {one.group: one.values for one in first} == {one.group: one.values for one in second}


def test_the_catalogue_is_one_table() -> None:
    assert len(set(NAMES)) == len(FEATURES) == len(INDEX)
    assert all(one.unit and one.meaning for one in FEATURES)
    assert {one.sign for one in FEATURES} == {-1, 0, 1}
