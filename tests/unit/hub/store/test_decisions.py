"""Law 11: the record of a decision comes back bit for bit, and cannot be changed unseen."""

from datetime import timedelta

import pytest
from sqlalchemy import select, text, update
from tests.stores import a_decision

from nightdesk.hub.store import Store
from nightdesk.hub.store.cases import CaseWrite, put_cases
from nightdesk.hub.store.decisions import (
    decision_head,
    decisions,
    holds_due,
    latest_decisions,
    put_decisions,
    verify_decisions,
)
from nightdesk.hub.store.schema import decision as decision_table
from nightdesk.sdk.case import CaseStatus, Outcome
from nightdesk.sdk.errors import NightdeskError
from nightdesk.sdk.testing.cases import CASE_TIME

HOUR = timedelta(hours=1)


def open_cases(store: Store, *names: tuple[str, str]) -> None:
    with store.begin() as conn:
        put_cases(conn, [CaseWrite(*name, "A case", CaseStatus.NEW, 2, CASE_TIME, CASE_TIME) for name in names])


def fill(store: Store) -> None:
    """Three decisions on two cases of acme, one of zeta."""
    open_cases(store, ("acme", "case-1"), ("acme", "case-2"), ("zeta", "case-1"))
    with store.begin() as conn:
        put_decisions(conn, [a_decision("d1"), a_decision("d2", "case-2"), a_decision("d1", tenant="zeta")])
        put_decisions(conn, [a_decision("d3", outcome=Outcome.CLOSE, supersedes="d1")])


def test_decisions_come_back_as_they_were_made_oldest_first(store: Store) -> None:
    fill(store)
    with store.read() as conn:
        assert decisions(conn, "acme", "case-1") == [
            a_decision("d1"),
            a_decision("d3", outcome=Outcome.CLOSE, supersedes="d1"),
        ]
        assert decisions(conn, "zeta", "case-1") == [a_decision("d1", tenant="zeta")]
        assert decisions(conn, "zeta", "case-2") == []
        assert {
            case: made.decision_id for case, made in latest_decisions(conn, "acme", ["case-1", "case-2"]).items()
        } == {
            "case-1": "d3",
            "case-2": "d2",
        }


def test_an_untouched_record_verifies_for_each_tenant(store: Store) -> None:
    fill(store)
    with store.read() as conn:
        assert verify_decisions(conn, "acme") == []
        assert verify_decisions(conn, "zeta") == []
        assert verify_decisions(conn, "nobody") == []
        assert (decision_head(conn, "acme").seq, decision_head(conn, "zeta").seq) == (3, 1)


@pytest.mark.parametrize("seq", [1, 2, 3])
@pytest.mark.parametrize("place", [0, 40, -1])
def test_a_flipped_bit_in_a_record_is_seen(store: Store, seq: int, place: int) -> None:
    fill(store)
    here = (decision_table.c.tenant == "acme", decision_table.c.seq == seq)
    with store.begin() as conn:
        record = bytearray(conn.execute(select(decision_table.c.record).where(*here)).scalar_one())
        record[place] ^= 1
        conn.execute(update(decision_table).where(*here).values(record=bytes(record)))
    with store.read() as conn:
        assert f"decision {seq} of acme: its content is not what was recorded" in verify_decisions(conn, "acme")
        assert verify_decisions(conn, "zeta") == []


@pytest.mark.parametrize(
    ("damage", "complaint"),
    [
        ("UPDATE decision SET outcome = 'close' WHERE tenant = 'acme' AND seq = 1", "columns differ"),
        ("UPDATE decision SET case_id = 'case-9' WHERE tenant = 'acme' AND seq = 2", "columns differ"),
        ("UPDATE decision SET decision_id = 'x' WHERE tenant = 'acme' AND seq = 2", "columns differ"),
        ("UPDATE decision SET decided_at = '2020-01-01T00:00:00.000000Z' WHERE tenant = 'acme'", "columns differ"),
        ("UPDATE decision SET previous_hash = 'x' WHERE tenant = 'acme' AND seq = 2", "does not follow"),
        ("UPDATE decision SET hash = 'x' WHERE tenant = 'acme' AND seq = 3", "not what was recorded"),
        ("DELETE FROM decision WHERE tenant = 'acme' AND seq = 1", "decision 1 is missing"),
        ("DELETE FROM decision WHERE tenant = 'acme' AND seq = 2", "decision 2 is missing"),
        ("DELETE FROM decision WHERE tenant = 'acme' AND seq = 3", "ends at 2, but 3 were recorded"),
        ("DELETE FROM decision WHERE tenant = 'acme'", "ends at 0, but 3 were recorded"),
        ("UPDATE case_file SET latest_decision = 'd1' WHERE case_id = 'case-1'", "case-1 of acme: shows decision d1"),
    ],
)
def test_every_other_change_is_seen_too(store: Store, damage: str, complaint: str) -> None:
    fill(store)
    with store.begin() as conn:
        conn.execute(text(damage))
    with store.read() as conn:
        assert any(complaint in found for found in verify_decisions(conn, "acme"))
        assert verify_decisions(conn, "zeta") == []


def test_a_record_moved_to_another_tenant_is_seen(store: Store) -> None:
    fill(store)
    with store.begin() as conn:
        conn.execute(text("DELETE FROM decision WHERE tenant = 'zeta'"))
        conn.execute(text("DELETE FROM chain_head WHERE tenant = 'zeta'"))
        conn.execute(text("UPDATE decision SET tenant = 'zeta' WHERE tenant = 'acme'"))
        conn.execute(text("UPDATE chain_head SET tenant = 'zeta' WHERE tenant = 'acme'"))
    with store.read() as conn:
        assert any("not what was recorded" in found for found in verify_decisions(conn, "zeta"))


def test_a_decision_is_never_recorded_twice(store: Store) -> None:
    fill(store)
    for repeat in ([a_decision("d1")], [a_decision("d9"), a_decision("d9")]):
        with pytest.raises(NightdeskError, match="is recorded already"), store.begin() as conn:
            put_decisions(conn, repeat)
    with store.read() as conn:
        assert decision_head(conn, "acme").seq == 3
        assert verify_decisions(conn, "acme") == []


def test_a_decision_about_no_case_is_refused(store: Store) -> None:
    open_cases(store, ("zeta", "case-1"))
    with pytest.raises(NightdeskError, match="names a case that does not exist"), store.begin() as conn:
        put_decisions(conn, [a_decision()])


def test_a_hold_is_due_at_its_time_unless_a_later_decision_replaced_it(store: Store) -> None:
    open_cases(store, ("acme", "case-1"), ("acme", "case-2"), ("zeta", "case-1"))
    with store.begin() as conn:
        put_decisions(
            conn,
            [
                a_decision("d1", outcome=Outcome.HOLD, hold_until=CASE_TIME + 2 * HOUR),
                a_decision("d2", "case-2", outcome=Outcome.HOLD, hold_until=CASE_TIME + HOUR),
                a_decision("d3", tenant="zeta", outcome=Outcome.HOLD, hold_until=CASE_TIME + HOUR),
            ],
        )
        just_before = CASE_TIME + HOUR - timedelta(microseconds=1)
        assert holds_due(conn, just_before) == []
        due = [("acme", "case-2", "d2"), ("zeta", "case-1", "d3"), ("acme", "case-1", "d1")]
        assert holds_due(conn, CASE_TIME + HOUR) == due[:2]
        assert holds_due(conn, CASE_TIME + 2 * HOUR) == due
        assert holds_due(conn, CASE_TIME + 2 * HOUR, limit=1) == due[:1]
        put_decisions(conn, [a_decision("d4", "case-2", outcome=Outcome.CLOSE, supersedes="d2")])
        assert holds_due(conn, CASE_TIME + 2 * HOUR) == due[1:]
        put_decisions(conn, [a_decision("d5", outcome=Outcome.HOLD, hold_until=CASE_TIME + 9 * HOUR)])
        assert holds_due(conn, CASE_TIME + 2 * HOUR) == [("zeta", "case-1", "d3")]


def test_a_transaction_that_fails_leaves_the_chain_as_it_was(store: Store) -> None:
    fill(store)
    with store.read() as conn:
        before = decision_head(conn, "acme")
    with pytest.raises(NightdeskError, match="does not exist"), store.begin() as conn:
        put_decisions(conn, [a_decision("d4"), a_decision("d5", "missing")])
    with store.begin() as conn:
        assert decision_head(conn, "acme") == before
        put_decisions(conn, [a_decision("d4")])
        assert verify_decisions(conn, "acme") == []
