"""Merging and splitting in the store: every alert stays, caution only grows (law 7), and a person's word holds."""

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import func, select

from nightdesk.autonomy.correlate import Assignment
from nightdesk.hub.regrouping import merge_cases, split_case, unite
from nightdesk.hub.store import Store, audit, cases, links, queries
from nightdesk.hub.store.alerts import put_alerts
from nightdesk.hub.store.decisions import holds_due
from nightdesk.hub.store.schema import alert as alert_table
from nightdesk.hub.store.schema import case_file
from nightdesk.sdk.case import CaseStatus
from nightdesk.sdk.context import utc_now
from nightdesk.sdk.errors import PolicyError
from nightdesk.sdk.testing.cases import CASE_TIME, an_alert, an_entity

_NEW = CaseStatus.NEW


def _keep(store: Store, case_id: str, *alert_ids: str, host: str = "", **changes: Any) -> None:
    entities = (an_entity(f"host:{host or case_id}", "victim-host"),)
    found = [an_alert(name, entities=entities) for name in alert_ids]
    facts: dict[str, Any] = {"title": "A case", "status": _NEW, "severity_id": 2, "opened_at": CASE_TIME}
    with store.begin() as conn:
        put_alerts(conn, [(seq, alert, b"", b"") for seq, alert in enumerate(found, 1)])
        write = cases.CaseWrite(
            tenant="acme", case_id=case_id, updated_at=CASE_TIME, new_alert_ids=alert_ids,
            entity_keys=[entities[0].key], **{**facts, **changes},
        )  # fmt: skip
        cases.put_cases(conn, [write])


def _case(store: Store, case_id: str) -> Any:
    with store.read() as conn:
        return cases.case(conn, "acme", case_id)


def _where(store: Store) -> dict[str, str | None]:
    with store.read() as conn:
        rows = conn.execute(select(alert_table.c.alert_id, alert_table.c.case_id))
        return {row.alert_id: row.case_id for row in rows}


def test_a_merge_keeps_every_alert_and_the_graver_of_each(store: Store) -> None:
    _keep(store, "c1", "a", opened_at=CASE_TIME)
    _keep(store, "c2", "b", "c", severity_id=4, status=CaseStatus.ESCALATED, opened_at=CASE_TIME - timedelta(hours=1))
    assert merge_cases(store, "acme", "c1", ["c2"], by="ann", reason="one attack") == "c1"
    stays, gone = _case(store, "c1"), _case(store, "c2")
    assert {alert.alert_id for alert in stays.alerts} == {"a", "b", "c"}
    assert (stays.severity_id, stays.status) == (4, CaseStatus.ESCALATED)
    assert stays.opened_at == CASE_TIME - timedelta(hours=1)
    assert (gone.alerts, gone.status) == ((), CaseStatus.CLOSED)
    with store.read() as conn:
        touching = cases.cases_touching(conn, "acme", ["host:c1", "host:c2"], CASE_TIME - timedelta(days=1))
        assert {key: [one.case_id for one in found] for key, found in touching.items()} == {
            "host:c1": ["c1"], "host:c2": ["c1"],
        }  # fmt: skip
        assert {row.case_id: row.alert_count for row in queries.case_list(conn, "acme")} == {"c1": 3, "c2": 0}
        assert links.standing(conn, "acme", "c2") == "c1"
        (line,) = audit.entries(conn, "acme")
        assert (line.event, line.actor, line.detail["reason"]) == ("case.merged", "ann", "one attack")


def test_what_was_merged_into_a_case_that_is_merged_leads_to_the_last(store: Store) -> None:
    for name in ("c1", "c2", "c3"):
        _keep(store, name, f"{name}-a")
    merge_cases(store, "acme", "c2", ["c1"], by="ann", reason="one")
    merge_cases(store, "acme", "c3", ["c1"], by="ann", reason="c1 stands in c2")
    with store.read() as conn:
        assert [links.standing(conn, "acme", name) for name in ("c1", "c2", "c3")] == ["c3"] * 3
        assert {str(one) for one in conn.execute(links.absorbed("acme", "c3")).scalars()} == {"c1", "c2"}
        assert links.standing(conn, "zeta", "c1") == "c1"
    assert set(_where(store).values()) == {"c3"}


def test_a_split_leaves_every_alert_on_one_side_and_both_as_cautious_as_before(store: Store) -> None:
    _keep(store, "c1", "a", "b", host="x", status=CaseStatus.ESCALATED, severity_id=4)
    new = split_case(store, "acme", "c1", ["b"], by="ann", reason="another host's")
    assert _where(store) == {"a": "c1", "b": new}
    for name in ("c1", new):
        part = _case(store, name)
        assert (part.status, part.severity_id, len(part.alerts)) == (CaseStatus.ESCALATED, 4, 1)
    with store.read() as conn:
        assert {row.case_id: row.alert_count for row in queries.case_list(conn, "acme")} == {"c1": 1, new: 1}
        assert {case_id for _, case_id, _ in holds_due(conn, utc_now())} == {"c1", new}


def test_a_case_is_no_longer_found_by_what_left_it(store: Store) -> None:
    _keep(store, "c1", "a", host="x")
    _keep(store, "c2", "b", host="y")
    merge_cases(store, "acme", "c1", ["c2"], by="ann", reason="one")
    new = split_case(store, "acme", "c1", ["b"], by="ben", reason="two after all")
    with store.read() as conn:
        touching = cases.cases_touching(conn, "acme", ["host:x", "host:y"], CASE_TIME - timedelta(days=1))
    assert {key: [one.case_id for one in found] for key, found in touching.items()} == {
        "host:x": ["c1"], "host:y": [new],
    }  # fmt: skip


@pytest.mark.parametrize("status", [CaseStatus.OPEN, CaseStatus.CLOSED])
def test_the_machine_merges_what_is_open_and_nothing_that_is_closed(store: Store, status: CaseStatus) -> None:
    _keep(store, "c1", "a")
    _keep(store, "c2", "b", status=status)
    with store.begin() as conn:
        found = unite(conn, "acme", [Assignment("new", "c1", ("host:x",), "shares", ("c2",))], CASE_TIME)
    assert found == ({"c2": "c1"} if status is CaseStatus.OPEN else {})


def test_what_a_person_took_apart_the_machine_does_not_put_together(store: Store) -> None:
    _keep(store, "c1", "a", "b")
    new = split_case(store, "acme", "c1", ["b"], by="ann", reason="two stories")
    with store.begin() as conn:
        assert unite(conn, "acme", [Assignment("n", "c1", ("host:x",), "shares", (new,))], CASE_TIME) == {}
    assert merge_cases(store, "acme", "c1", [new], by="ben", reason="one after all") == "c1"


def test_merges_of_one_page_that_meet_become_one_case(store: Store) -> None:
    for name in ("c1", "c2", "c3"):
        _keep(store, name, f"{name}-a")
    page = [Assignment("n1", "c1", (), "shares", ("c2",)), Assignment("n2", "c2", (), "shares", ("c3",))]
    with store.begin() as conn:
        assert unite(conn, "acme", page, CASE_TIME) == {"c2": "c1", "c3": "c1"}
    assert {alert.alert_id for alert in _case(store, "c1").alerts} == {"c1-a", "c2-a", "c3-a"}


@pytest.mark.parametrize(
    ("ids", "told"),
    [(["a", "b"], "at least one alert on either side"), ([], "at least one"), (["zz"], "has no alert zz")],
)
def test_a_split_that_cannot_be_is_refused_and_changes_nothing(store: Store, ids: list[str], told: str) -> None:
    _keep(store, "c1", "a", "b")
    with pytest.raises(PolicyError, match=told):
        split_case(store, "acme", "c1", ids, by="ann", reason="why")
    assert _where(store) == {"a": "c1", "b": "c1"}
    with store.read() as conn:
        assert conn.execute(select(func.count()).select_from(case_file)).scalar_one() == 1


@pytest.mark.parametrize(
    ("into", "others", "by", "reason", "told"),
    [
        ("c1", ["nope"], "ann", "why", "no case nope"),
        ("c1", ["c1"], "ann", "why", "one case already"),
        ("c1", ["c2"], "", "why", "no person"),
        ("c1", ["c2"], "correlation", "why", "no person"),
        ("c1", ["c2"], "ann", " ", "say why"),
        ("c1", ["c2", "nope"], "ann", "why", "no case nope"),
    ],
)
def test_a_merge_that_cannot_be_is_refused_whole(
    store: Store, into: str, others: list[str], by: str, reason: str, told: str
) -> None:
    _keep(store, "c1", "a")
    _keep(store, "c2", "b")
    with pytest.raises(PolicyError, match=told):
        merge_cases(store, "acme", into, others, by=by, reason=reason)
    assert _where(store) == {"a": "c1", "b": "c2"}


def test_law_03_a_merge_reaches_no_other_tenant(store: Store) -> None:
    _keep(store, "c1", "a")
    _keep(store, "c2", "b")
    with pytest.raises(PolicyError, match="no case c1"):
        merge_cases(store, "zeta", "c1", ["c2"], by="ann", reason="why")
