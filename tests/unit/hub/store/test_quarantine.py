"""What stands aside is kept whole, shown, and goes back to its old place when it is replayed."""

import pytest

from nightdesk.hub.store import Store
from nightdesk.hub.store.intake import audit_ledger, ledger, settle_normalised, settle_quarantined, store_page, waiting
from nightdesk.hub.store.quarantine import listed, one, replay
from nightdesk.sdk.records import Batch, RawRecord
from nightdesk.sdk.testing.cases import CASE_TIME


@pytest.fixture
def aside(store: Store) -> Store:
    """Five records of each of two tenants, all set aside."""
    with store.begin() as conn:
        for tenant in ("acme", "zeta"):
            store_page(
                conn,
                tenant=tenant,
                instance="edr-main",
                stream="alerts",
                product="acme_edr",
                batch=Batch([RawRecord(b"body %d" % number, f"k{number}", f"n{number}") for number in range(5)], None),
                received_at=CASE_TIME,
            )
        for row in waiting(conn, limit=10):
            settle_quarantined(conn, row, reason="no mapping", pointer="/id")
    return store


def test_records_aside_are_listed_in_pages_and_shown_with_their_bytes(aside: Store) -> None:
    with aside.read() as conn:
        first = listed(conn, "acme", limit=3)
        rest = listed(conn, "acme", after=first[-1].seq)
        assert [row.key for row in first + rest] == ["k0", "k1", "k2", "k3", "k4"]
        assert first[0].payload is None
        whole = one(conn, "acme", first[1].seq)
    assert whole is not None
    assert (whole.payload, whole.media_type, whole.native_id) == (b"body 1", "application/json", "n1")
    assert (whole.reason, whole.pointer, whole.attempts) == ("no mapping", "/id", 1)


def test_a_record_that_is_not_aside_is_not_shown(aside: Store) -> None:
    with aside.begin() as conn:
        replay(conn, "acme", [1])
        assert one(conn, "acme", 1) is None
        assert one(conn, "acme", 99) is None


def test_a_replay_puts_them_back_in_their_old_place(aside: Store) -> None:
    with aside.begin() as conn:
        assert replay(conn, "acme", [4, 2, 2, 99]) == 2
        assert [row.key for row in waiting(conn, limit=9)] == ["k1", "k3"]
        assert len(listed(conn, "acme")) == 3
        assert replay(conn, "acme") == 3
        assert len(waiting(conn, limit=9)) == 5
        assert audit_ledger(conn) == []


def test_a_replay_touches_no_other_tenant_and_nothing_that_is_settled(aside: Store) -> None:
    with aside.begin() as conn:
        replay(conn, "acme")
        settle_normalised(conn, waiting(conn, limit=9))
        assert replay(conn, "acme") == 0
        assert replay(conn, "acme", [1, 2]) == 0
        assert len(listed(conn, "zeta")) == 5
        assert [row.normalised for row in ledger(conn, "acme")] == [5]


def test_failing_again_counts_the_attempts_and_shows_the_newest_reason(aside: Store) -> None:
    with aside.begin() as conn:
        replay(conn, "acme", [1])
        (row,) = waiting(conn, limit=1)
        settle_quarantined(conn, row, reason="still no mapping", pointer="/time")
        again = one(conn, "acme", 1)
    assert again is not None
    assert (again.attempts, again.reason, again.pointer) == (2, "still no mapping", "/time")
