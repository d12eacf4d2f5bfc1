"""Cases: numbers, alerts that join them, and finding them by what they touch."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select

from nightdesk.hub.store import Store
from nightdesk.hub.store.alerts import put_alerts
from nightdesk.hub.store.cases import (
    CaseRef,
    CaseWrite,
    case,
    cases,
    cases_touching,
    new_case_ids,
    put_cases,
    set_status,
)
from nightdesk.hub.store.schema import case_file
from nightdesk.sdk.case import Case, CaseStatus
from nightdesk.sdk.errors import NightdeskError
from nightdesk.sdk.testing.cases import CASE_TIME, an_alert

HOUR = timedelta(hours=1)


def stop(_: object) -> None:
    raise ZeroDivisionError


def a_write(case_id: str = "case-1", **changes: Any) -> CaseWrite:
    facts: dict[str, Any] = {
        "tenant": "acme",
        "title": "A case",
        "status": CaseStatus.NEW,
        "severity_id": 2,
        "opened_at": CASE_TIME,
        "updated_at": CASE_TIME,
    }
    return CaseWrite(case_id=case_id, **{**facts, **changes})


def fill(store: Store, *alert_ids: str, tenant: str = "acme") -> None:
    with store.begin() as conn:
        put_alerts(conn, [(seq, an_alert(name, tenant=tenant), b"", b"") for seq, name in enumerate(alert_ids, 1)])


def test_cases_are_numbered_by_tenant_and_year_in_the_order_asked(store: Store) -> None:
    new_year = datetime(2027, 1, 1, tzinfo=UTC)
    with store.begin() as conn:
        assert new_case_ids(conn, "acme", [CASE_TIME, new_year, CASE_TIME]) == [
            "ND-2026-000001",
            "ND-2027-000001",
            "ND-2026-000002",
        ]
        assert new_case_ids(conn, "acme", [CASE_TIME]) == ["ND-2026-000003"]
        assert new_case_ids(conn, "zeta", [CASE_TIME]) == ["ND-2026-000001"]
        assert new_case_ids(conn, "zeta", []) == []


def test_a_number_of_a_transaction_that_failed_is_given_again(store: Store) -> None:
    with pytest.raises(ZeroDivisionError), store.begin() as conn:
        stop(new_case_ids(conn, "acme", [CASE_TIME]))
    with store.begin() as conn:
        assert new_case_ids(conn, "acme", [CASE_TIME]) == ["ND-2026-000001"]


def test_a_case_comes_back_with_its_alerts_in_the_order_of_arrival(store: Store) -> None:
    fill(store, "b", "a", "c")
    with store.begin() as conn:
        put_cases(conn, [a_write(new_alert_ids=["c", "a"])])
        put_cases(conn, [a_write(new_alert_ids=["b"], status=CaseStatus.ESCALATED, updated_at=CASE_TIME + HOUR)])
        assert case(conn, "acme", "case-1") == Case(
            "acme",
            "case-1",
            "A case",
            CaseStatus.ESCALATED,
            2,
            CASE_TIME,
            CASE_TIME + HOUR,
            (an_alert("b"), an_alert("a"), an_alert("c")),
        )
        assert conn.execute(select(case_file.c.alert_count)).scalar() == 3
        assert case(conn, "acme", "missing") is None


def test_an_update_changes_the_header_but_not_when_it_was_opened(store: Store) -> None:
    with store.begin() as conn:
        put_cases(conn, [a_write()])
        put_cases(
            conn, [a_write(title="Worse", severity_id=5, opened_at=CASE_TIME + HOUR, updated_at=CASE_TIME + HOUR)]
        )
        found = case(conn, "acme", "case-1")
    assert found is not None
    assert (found.title, found.severity_id, found.opened_at, found.updated_at) == (
        "Worse",
        5,
        CASE_TIME,
        CASE_TIME + HOUR,
    )


def test_an_alert_counts_once_however_often_it_joins(store: Store) -> None:
    fill(store, "a")
    with store.begin() as conn:
        put_cases(conn, [a_write(new_alert_ids=["a", "a"]), a_write(new_alert_ids=["a"])])
        put_cases(conn, [a_write(new_alert_ids=["a"])])
        assert conn.execute(select(case_file.c.alert_count)).scalar() == 1


def test_an_alert_is_in_one_case_only(store: Store) -> None:
    fill(store, "a")
    with pytest.raises(NightdeskError, match="alert a is in case-1, not in case-2"), store.begin() as conn:
        put_cases(conn, [a_write(new_alert_ids=["a"]), a_write("case-2", new_alert_ids=["a"])])
    with store.read() as conn:
        assert cases(conn, "acme", ["case-1", "case-2"]) == {}


def test_a_case_of_an_alert_that_is_not_stored_is_refused(store: Store) -> None:
    fill(store, "a", tenant="zeta")
    with pytest.raises(NightdeskError, match="acme: alert a does not exist"), store.begin() as conn:
        put_cases(conn, [a_write(new_alert_ids=["a"])])


def test_cases_are_found_by_the_entities_they_touch_newest_sight_first(store: Store) -> None:
    host, address = "host:ws-0042", "address:203.0.113.7"
    with store.begin() as conn:
        put_cases(
            conn,
            [
                a_write("case-1", entity_keys=[host, address], last_seen=CASE_TIME),
                a_write("case-2", entity_keys=[host], last_seen=CASE_TIME + HOUR, status=CaseStatus.CLOSED),
                a_write("case-3", entity_keys=["host:other"]),
            ],
        )
        found = cases_touching(conn, "acme", [host, address, "host:unseen"], CASE_TIME)
        assert found == {
            host: [
                CaseRef("case-2", CaseStatus.CLOSED, CASE_TIME, CASE_TIME, CASE_TIME + HOUR),
                CaseRef("case-1", CaseStatus.NEW, CASE_TIME, CASE_TIME, CASE_TIME),
            ],
            address: [CaseRef("case-1", CaseStatus.NEW, CASE_TIME, CASE_TIME, CASE_TIME)],
        }
        recent = cases_touching(conn, "acme", [host, address], CASE_TIME + timedelta(microseconds=1))
        assert {key: [ref.case_id for ref in refs] for key, refs in recent.items()} == {host: ["case-2"]}
        assert cases_touching(conn, "acme", [], CASE_TIME) == {}


def test_a_sight_moves_forward_only(store: Store) -> None:
    with store.begin() as conn:
        for last_seen in (CASE_TIME + HOUR, CASE_TIME):
            put_cases(conn, [a_write(entity_keys=["host:a"], last_seen=last_seen)])
        assert cases_touching(conn, "acme", ["host:a"], CASE_TIME)["host:a"][0].last_seen == CASE_TIME + HOUR
        put_cases(conn, [a_write(entity_keys=["host:a"], updated_at=CASE_TIME + 2 * HOUR)])
        assert cases_touching(conn, "acme", ["host:a"], CASE_TIME)["host:a"][0].last_seen == CASE_TIME + 2 * HOUR


def test_something_seen_everywhere_is_found_in_its_newest_cases_only(store: Store) -> None:
    with store.begin() as conn:
        writes = [
            a_write(f"case-{number:03}", entity_keys=["domain:example.com"], last_seen=CASE_TIME + number * HOUR)
            for number in range(30)
        ]
        put_cases(conn, writes)
        found = cases_touching(conn, "acme", ["domain:example.com"], CASE_TIME, per_key=3)["domain:example.com"]
    assert [ref.case_id for ref in found] == ["case-029", "case-028", "case-027"]


def test_a_thousand_entities_are_asked_for_at_once(store: Store) -> None:
    keys = [f"address:2001:db8::{number:x}" for number in range(1300)]
    with store.begin() as conn:
        put_cases(conn, [a_write(entity_keys=keys)])
        assert cases_touching(conn, "acme", keys, CASE_TIME).keys() == set(keys)


def test_an_entity_longer_than_an_index_entry_is_found(store: Store) -> None:
    url = "url:https://host.example/" + "x" * 9000 + "\0"
    with store.begin() as conn:
        put_cases(conn, [a_write(entity_keys=[url])])
        assert list(cases_touching(conn, "acme", [url, url + "y"], CASE_TIME)) == [url]


def test_two_tenants_with_equal_cases_and_entities_do_not_meet(store: Store) -> None:
    fill(store, "a")
    fill(store, "a", tenant="zeta")
    with store.begin() as conn:
        put_cases(
            conn,
            [
                a_write(entity_keys=["host:a"], new_alert_ids=["a"]),
                a_write(tenant="zeta", title="Theirs", new_alert_ids=["a"]),
            ],
        )
        assert cases_touching(conn, "zeta", ["host:a"], CASE_TIME) == {}
        set_status(conn, "zeta", "case-1", CaseStatus.CLOSED, at=CASE_TIME)
        ours, theirs = case(conn, "acme", "case-1"), case(conn, "zeta", "case-1")
    assert ours is not None
    assert theirs is not None
    assert (ours.title, ours.status) == ("A case", CaseStatus.NEW)
    assert (theirs.title, theirs.status) == ("Theirs", CaseStatus.CLOSED)
    assert {alert.tenant for alert in ours.alerts} == {"acme"}


def test_a_status_changes_with_its_time(store: Store) -> None:
    with store.begin() as conn:
        put_cases(conn, [a_write()])
        set_status(conn, "acme", "case-1", CaseStatus.WAITING, at=CASE_TIME + HOUR)
        found = case(conn, "acme", "case-1")
        assert found is not None
        assert (found.status, found.updated_at) == (CaseStatus.WAITING, CASE_TIME + HOUR)
        with pytest.raises(NightdeskError, match="acme: there is no case case-9"):
            set_status(conn, "acme", "case-9", CaseStatus.CLOSED, at=CASE_TIME)


def test_a_case_is_summed_up_by_who_it_is_about(store: Store) -> None:
    keys = ["url:https://a.example", "account:bob", "file:sha256:00", "host:ws-1"]
    with store.begin() as conn:
        put_cases(conn, [a_write()])
        put_cases(conn, [a_write(entity_keys=keys)])
        put_cases(conn, [a_write(entity_keys=["host:ws-0"])])
        assert conn.execute(select(case_file.c.entity_summary)).scalar() == "ws-1, bob, sha256:00"
