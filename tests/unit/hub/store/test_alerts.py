"""Alerts: new, updated or unchanged; an update keeps the case and the place in it."""

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select

from nightdesk.hub.store import Store
from nightdesk.hub.store.alerts import StoredBundle, alert, alerts_of_case, bundles, put_alerts
from nightdesk.hub.store.cases import CaseWrite, put_cases
from nightdesk.hub.store.schema import alert as alert_table
from nightdesk.sdk.case import Alert, CaseStatus
from nightdesk.sdk.testing.cases import CASE_TIME, an_alert


def case_of(*ids: str, case_id: str = "case-1", tenant: str = "acme") -> CaseWrite:
    return CaseWrite(tenant, case_id, "A case", CaseStatus.NEW, 2, CASE_TIME, CASE_TIME, ids)


def later(minutes: int, **changes: Any) -> Alert:
    return an_alert(modified=CASE_TIME + timedelta(minutes=minutes), **changes)


def test_an_alert_is_stored_with_its_bundle_and_loss_report(store: Store) -> None:
    given = an_alert("a")
    with store.begin() as conn:
        assert put_alerts(conn, [(1, given, b"bundle", b"loss")]) == ["new"]
    with store.read() as conn:
        assert alert(conn, "acme", "a") == given
        assert bundles(conn, "acme", ["a", "missing"]) == {"a": StoredBundle("a", b"bundle", b"loss")}
        assert alert(conn, "acme", "missing") is None


def test_the_same_again_is_unchanged(store: Store) -> None:
    with store.begin() as conn:
        put_alerts(conn, [(1, an_alert("a"), b"bundle", b"loss")])
        assert put_alerts(conn, [(2, an_alert("a"), b"bundle", b"loss")]) == ["unchanged"]
        assert conn.execute(select(alert_table.c.newest_seq)).scalar() == 1


@pytest.mark.parametrize(
    ("changed", "bundle", "loss"),
    [
        (an_alert("a", severity_id=4), b"bundle", b"loss"),
        (an_alert("a"), b"other", b"loss"),
        (an_alert("a"), b"bundle", b"x"),
    ],
    ids=["facts", "bundle", "loss"],
)
def test_whatever_differs_is_an_update(store: Store, changed: Alert, bundle: bytes, loss: bytes) -> None:
    with store.begin() as conn:
        put_alerts(conn, [(1, an_alert("a"), b"bundle", b"loss")])
        assert put_alerts(conn, [(2, changed, bundle, loss)]) == ["updated"]
        assert alert(conn, "acme", "a") == changed
        assert bundles(conn, "acme", ["a"])["a"] == StoredBundle("a", bundle, loss)


def test_an_update_keeps_the_case_and_the_place_in_it(store: Store) -> None:
    with store.begin() as conn:
        put_alerts(conn, [(1, an_alert("a"), b"1", b""), (2, an_alert("b"), b"1", b"")])
        put_cases(conn, [case_of("a", "b")])
        put_alerts(conn, [(3, later(1, alert_id="a", title="Newer"), b"2", b"")])
        found = alerts_of_case(conn, "acme", ["case-1"])["case-1"]
        assert [(entry.alert_id, entry.title) for entry in found] == [("a", "Newer"), ("b", "Something was seen")]
        row = conn.execute(select(alert_table).where(alert_table.c.alert_id == "a")).one()
        assert (row.seq, row.newest_seq, row.title) == (1, 3, "Newer")
        assert row.previous_sha256 not in {"", row.sha256}


def test_an_older_version_that_comes_late_changes_nothing(store: Store) -> None:
    with store.begin() as conn:
        put_alerts(conn, [(1, later(5, alert_id="a", title="New"), b"new", b"")])
        assert put_alerts(conn, [(2, later(1, alert_id="a", title="Old"), b"old", b"")]) == ["unchanged"]
        assert bundles(conn, "acme", ["a"])["a"].bundle == b"new"


def test_versions_within_one_page_follow_each_other(store: Store) -> None:
    with store.begin() as conn:
        items = [
            (seq, later(minute, alert_id="a"), b"%d" % minute, b"") for seq, minute in ((1, 0), (2, 9), (3, 4), (4, 9))
        ]
        assert put_alerts(conn, items) == ["new", "updated", "unchanged", "unchanged"]
        assert bundles(conn, "acme", ["a"])["a"].bundle == b"9"
        row = conn.execute(select(alert_table)).one()
        assert (row.seq, row.newest_seq) == (1, 2)


def test_two_tenants_with_the_same_alert_id_do_not_meet(store: Store) -> None:
    with store.begin() as conn:
        theirs = an_alert("a", tenant="zeta", title="Theirs")
        assert put_alerts(conn, [(1, an_alert("a"), b"1", b""), (1, theirs, b"2", b"")]) == ["new", "new"]
        put_cases(conn, [case_of("a")])
        assert alert(conn, "acme", "a") == an_alert("a")
        assert alert(conn, "zeta", "a") == theirs
        assert bundles(conn, "zeta", ["a"])["a"].bundle == b"2"
        assert alerts_of_case(conn, "zeta", ["case-1"]) == {}
        assert put_alerts(conn, [(2, an_alert("a", severity_id=5), b"3", b"")]) == ["updated"]
        assert alert(conn, "zeta", "a") == theirs


def test_text_that_an_engine_refuses_is_stored_all_the_same(store: Store) -> None:
    odd = an_alert("a", title="nul \0", native_id="n" * 9000 + "\0", rule_id="r\0")
    with store.begin() as conn:
        put_alerts(conn, [(1, odd, b"", b"")])
        assert alert(conn, "acme", "a") == odd


def test_a_large_page_keeps_the_order_of_its_answers(store: Store) -> None:
    items = [(number, an_alert(f"a{number:04}"), b"1", b"") for number in range(1069)]
    with store.begin() as conn:
        put_alerts(conn, items[::2])
        assert put_alerts(conn, items) == ["unchanged" if number % 2 == 0 else "new" for number in range(1069)]
        put_cases(conn, [case_of(*[entry.alert_id for _, entry, _, _ in reversed(items)])])
        assert [entry.alert_id for entry in alerts_of_case(conn, "acme", ["case-1"])["case-1"]] == [
            entry.alert_id for _, entry, _, _ in items
        ]
