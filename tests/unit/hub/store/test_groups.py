"""Stored groups: written as they grow, found by what an alert could belong to, remembered after a restart."""

from dataclasses import replace
from datetime import UTC, datetime

from nightdesk.autonomy.learning.groups import Group
from nightdesk.hub.store import Store
from nightdesk.hub.store.groups import (
    daily,
    first_groups,
    groups_near,
    groups_of_cases,
    groups_since,
    groups_with_cases,
    move_groups,
    put_groups,
)

_GROUP = Group("acme", "host:x", "edr/r1@2", 1_000_000.0, 1_000_200.5, 3, "edr", "Título\ud800", 4, 70, ("TA0002",))


def _put(store: Store, **groups: Group) -> None:
    with store.begin() as conn:
        put_groups(conn, "acme", groups, dict.fromkeys(groups, "c1"))


def test_a_group_is_read_back_as_it_was_and_replaced_as_it_grows(store: Store) -> None:
    _put(store, g1=_GROUP)
    more = replace(_GROUP, alerts=9, last=1_000_300.0)
    _put(store, g1=more)
    with store.read() as conn:
        assert groups_of_cases(conn, "acme", ["c1"]) == {"c1": [("g1", more)]}


def test_what_an_alert_could_belong_to_is_found_and_nothing_else(store: Store) -> None:
    other = replace(_GROUP, entity="host:y")
    old = replace(_GROUP, opened=900_000.0, last=900_000.0)
    _put(store, g1=_GROUP, g2=other, g3=old)
    with store.read() as conn:
        assert [name for name, _ in groups_near(conn, "acme", ["host:x"], 1_000_400.0, 1_000_400.0)] == ["g1"]
        assert groups_near(conn, "acme", ["host:x"], 1_000_501.0, 1_000_501.0) == []
        assert groups_near(conn, "zeta", ["host:x"], 1_000_400.0, 1_000_400.0) == []
        since = datetime.fromtimestamp(950_000, UTC)
        assert [name for name, _ in groups_since(conn, "acme", since)] == ["g1", "g2"]


def test_groups_leave_a_case_by_what_they_are(store: Store) -> None:
    _put(store, g1=_GROUP, g2=replace(_GROUP, rule="edr/r2"))
    with store.begin() as conn:
        move_groups(conn, "acme", "c1", "c2", {("host:x", "edr/r2")})
    with store.read() as conn:
        found = groups_of_cases(conn, "acme", ["c1", "c2"])
    assert {case: [name for name, _ in groups] for case, groups in found.items()} == {"c1": ["g1"], "c2": ["g2"]}


def test_days_firsts_and_cases_are_told_for_one_tenant(store: Store) -> None:
    day = 86_400.0
    later = replace(_GROUP, opened=_GROUP.opened + day, last=_GROUP.last + day)
    _put(store, g1=_GROUP, g2=later, g3=replace(later, opened=later.opened + 1), g4=replace(later, rule="edr/r2"))
    with store.read() as conn:
        begin = datetime(1970, 1, 1, tzinfo=UTC)
        assert daily(conn, "acme", "edr/r1@2", begin) == {11: 1, 12: 2}
        assert daily(conn, "zeta", "edr/r1@2", begin) == {}
        assert sorted((one.rule, one.opened) for one in first_groups(conn, "acme", begin)) == [
            ("edr/r1@2", _GROUP.opened),
            ("edr/r2", later.opened),
        ]
        found = list(groups_with_cases(conn, "acme", datetime.fromtimestamp(later.opened, UTC)))
        assert [(case_id, name) for case_id, name, _ in found] == [("c1", "g2"), ("c1", "g4"), ("c1", "g3")]
