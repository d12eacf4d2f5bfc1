"""What the console reads: lists in pages, a case as a whole, counts by tenant."""

from datetime import timedelta
from itertools import pairwise
from typing import Any

import pytest
from tests.stores import a_decision

from nightdesk.autonomy.actions import Action, ActionState
from nightdesk.hub.store import Store
from nightdesk.hub.store.actions import SqlJournal
from nightdesk.hub.store.alerts import put_alerts
from nightdesk.hub.store.cases import CaseWrite, put_cases
from nightdesk.hub.store.decisions import put_decisions
from nightdesk.hub.store.intake import settle_normalised, settle_quarantined, store_page, waiting
from nightdesk.hub.store.queries import CaseRow, Totals, case_list, case_page, status_counts, totals
from nightdesk.sdk.case import CaseStatus, Outcome
from nightdesk.sdk.records import Batch, RawRecord
from nightdesk.sdk.targets import Target
from nightdesk.sdk.testing.cases import CASE_TIME, an_alert

STATUSES = list(CaseStatus)


def an_action(action_id: str, **changes: Any) -> Action:
    facts: dict[str, Any] = {
        "tenant": "acme",
        "verb": "host.isolate",
        "target": Target.parse("host:ws-0042"),
        "generation": 1,
        "idempotency_key": action_id,
        "state": ActionState.PROPOSED,
        "created_at": CASE_TIME,
        "updated_at": CASE_TIME,
        "case_id": "case-01",
    }
    return Action(action_id=action_id, **{**facts, **changes})


def fill(store: Store) -> None:
    """Twenty cases of acme, two a minute, in every status; three of zeta."""
    with store.begin() as conn:
        put_alerts(conn, [(1, an_alert("a"), b"", b""), (2, an_alert("b"), b"", b"")])
        for tenant, count in (("acme", 20), ("zeta", 3)):
            put_cases(
                conn,
                [
                    CaseWrite(
                        tenant,
                        f"case-{number:02}",
                        f"Case {number} of {tenant}",
                        STATUSES[number % len(STATUSES)],
                        number % 5,
                        CASE_TIME,
                        CASE_TIME + timedelta(minutes=number // 2),
                        ["a", "b"] if (tenant, number) == ("acme", 1) else [],
                        ["host:ws-0042"],
                    )
                    for number in range(count)
                ],
            )
        put_decisions(
            conn, [a_decision("d1", "case-01"), a_decision("d2", "case-01", outcome=Outcome.CLOSE, reason_code="rule")]
        )
    journal = SqlJournal(store)
    for name in ("x", "y"):
        journal.create(an_action(name), actor="engine")
    action = journal.create(an_action("z"), actor="engine")
    journal.move(action, ActionState.REJECTED, at=CASE_TIME, actor="bob", detail={"why": "no"})


def test_the_list_is_newest_first_and_pages_without_gap_or_repeat(store: Store) -> None:
    fill(store)
    seen: list[CaseRow] = []
    with store.read() as conn:
        while page := case_list(conn, "acme", limit=3, before=seen[-1].position if seen else None):
            seen += page
    assert [row.case_id for row in seen] == [f"case-{number:02}" for number in reversed(range(20))]
    assert all(first.position > second.position for first, second in pairwise(seen))
    assert {row.title.split()[-1] for row in seen} == {"acme"}


@pytest.mark.parametrize("status", STATUSES)
def test_the_list_of_one_status_has_all_of_it_and_nothing_else(store: Store, status: CaseStatus) -> None:
    fill(store)
    with store.read() as conn:
        first = case_list(conn, "acme", status=status, limit=3)
        rest = case_list(conn, "acme", status=status, before=first[-1].position)
    expected = [f"case-{number:02}" for number in reversed(range(20)) if STATUSES[number % 5] == status]
    assert [row.case_id for row in first + rest] == expected
    assert {row.status for row in first + rest} == {status}


def test_a_line_says_what_is_going_on(store: Store) -> None:
    fill(store)
    with store.read() as conn:
        (row,) = [line for line in case_list(conn, "acme") if line.case_id == "case-01"]
    assert row == CaseRow(
        "case-01",
        "Case 1 of acme",
        STATUSES[1],
        1,
        CASE_TIME,
        CASE_TIME,
        2,
        "ws-0042",
        "close",
        "rule",
        {"proposed": 2, "rejected": 1},
    )


def test_a_case_page_is_the_whole_case(store: Store) -> None:
    fill(store)
    with store.read() as conn:
        page = case_page(conn, "acme", "case-01")
        assert case_page(conn, "acme", "missing") is None
        theirs = case_page(conn, "zeta", "case-01")
    assert page is not None
    assert [alert.alert_id for alert in page.case.alerts] == ["a", "b"]
    assert [decision.decision_id for decision in page.decisions] == ["d1", "d2"]
    assert [action.action_id for action in page.actions] == ["x", "y", "z"]
    assert {name: [line.state for line in lines] for name, lines in page.journal.items()} == {
        "x": ["proposed"],
        "y": ["proposed"],
        "z": ["proposed", "rejected"],
    }
    assert page.journal["z"][1].detail == {"why": "no"}
    assert theirs is not None
    assert (theirs.case.alerts, theirs.decisions, theirs.actions, theirs.journal) == ((), [], [], {})


def test_statuses_are_counted_by_tenant(store: Store) -> None:
    fill(store)
    with store.read() as conn:
        assert status_counts(conn, "acme") == dict.fromkeys(STATUSES, 4)
        assert status_counts(conn, "zeta") == dict.fromkeys(STATUSES[:3], 1)
        assert status_counts(conn, "nobody") == {}


def test_totals_are_those_of_each_tenant(store: Store) -> None:
    fill(store)
    with store.begin() as conn:
        assert totals(conn)["acme"] == Totals(0, 0, 0, 0, 2, 2, dict.fromkeys(STATUSES, 4), {"proposed": 2})
        records = [RawRecord(b"{}", key) for key in ("1", "2", "3", "4", "1")]
        store_page(
            conn,
            tenant="beta",
            instance="edr-main",
            stream="alerts",
            product="acme_edr",
            batch=Batch(records, None),
            received_at=CASE_TIME,
        )
        first, second, *_ = waiting(conn, limit=9, tenant="beta")
        settle_normalised(conn, [first])
        settle_quarantined(conn, second, reason="no id", pointer="")
        found = totals(conn)
    assert list(found) == ["acme", "beta", "zeta"]
    assert found["beta"] == Totals(5, 1, 2, 1, 0, 0, {}, {})
    assert found["zeta"] == Totals(0, 0, 0, 0, 0, 0, dict.fromkeys(STATUSES[:3], 1), {})
