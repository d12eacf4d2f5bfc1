"""Groups: one rule on one entity within five minutes, however often and in whatever order it is told."""

import random
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nightdesk.autonomy.grouping import entity_of, group_id, grouped, rule_of
from nightdesk.sdk.case import Alert
from nightdesk.sdk.testing.cases import CASE_TIME, an_alert, an_entity


def at(alert_id: str, seconds: float, host: str = "x", rule: str = "r1", **more: object) -> Alert:
    when = CASE_TIME + timedelta(seconds=seconds)
    return an_alert(
        alert_id, first_seen=when, last_seen=when, rule_id=rule, entities=(an_entity(f"host:{host}"),), **more
    )


def test_one_rule_on_one_entity_within_the_window_is_one_group() -> None:
    made = grouped([at("a", 0), at("b", 300), at("c", 301), at("d", 10, host="y"), at("e", 10, rule="r2")])
    sizes = sorted((group.entity, group.rule, group.alerts) for group in made.groups.values())
    assert sizes == [
        ("host:x", "acme_edr/r1", 1),
        ("host:x", "acme_edr/r1", 2),
        ("host:x", "acme_edr/r2", 1),
        ("host:y", "acme_edr/r1", 1),
    ]
    assert made.of_alert["a"] == made.of_alert["b"] != made.of_alert["c"]


def test_a_group_of_another_page_takes_more_and_keeps_its_name() -> None:
    first = grouped([at("a", 100)])
    (name,) = first.groups
    later = grouped([at("b", 200), at("c", 50)], first.groups.items())
    assert set(later.groups) == {name}
    group = later.groups[name]
    assert (group.alerts, group.last - group.opened) == (3, 150)
    assert name == group_id(first.groups[name])


def test_what_is_graver_stays() -> None:
    page = [at("a", 0, severity_id=4, confidence=30), at("b", 1, severity_id=1, confidence=None, tactics=("TA0002",))]
    (group,) = grouped(page).groups.values()
    assert (group.severity_id, group.confidence, group.tactics) == (4, 30, ("TA0002",))


@given(
    rows=st.lists(st.tuples(st.integers(0, 900), st.sampled_from("xy"), st.sampled_from(["r1", "r2"])), max_size=30),
    seed=st.integers(0, 100),
)
@settings(deadline=None)
def test_the_order_of_arrival_in_a_page_changes_nothing_and_no_alert_is_lost(
    rows: list[tuple[int, str, str]], seed: int
) -> None:
    page = [at(f"a{number:02}", *row) for number, row in enumerate(rows)]
    made = grouped(page)
    assert grouped(random.Random(seed).sample(page, len(page))) == made
    assert sum(group.alerts for group in made.groups.values()) == len(page) == len(made.of_alert)
    assert all(group.last - group.opened <= 300 for group in made.groups.values())


def test_law_03_the_same_host_at_two_tenants_is_two_groups() -> None:
    ours, theirs = grouped([at("a", 0)]), grouped([at("a", 0, tenant="zeta")])
    assert set(ours.groups).isdisjoint(theirs.groups)


@pytest.mark.parametrize(
    ("entities", "expected"),
    [
        ((), "instance:edr-main"),
        (("account:jdoe",), "account:jdoe"),
        (("account:jdoe", "host:x"), "host:x"),
        (("file:abc", "address:203.0.113.5"), "address:203.0.113.5"),
    ],
)
def test_an_alert_happened_to_its_host_before_anything_else(entities: tuple[str, ...], expected: str) -> None:
    assert entity_of(an_alert(entities=tuple(an_entity(one) for one in entities))) == expected


def test_of_two_hosts_the_victim_is_meant() -> None:
    assert entity_of(an_alert(entities=(an_entity("host:a"), an_entity("host:b", "victim-host")))) == "host:b"


def test_another_version_is_another_rule() -> None:
    assert rule_of(an_alert(rule_version="2")) == "acme_edr/rule-1@2"
    assert rule_of(an_alert()) == "acme_edr/rule-1"
    assert rule_of(an_alert(rule_id="", rule_name="")) == "acme_edr/Something was seen"
