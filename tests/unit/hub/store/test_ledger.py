"""The balance is counted from the rows, so a row that vanishes is seen."""

import pytest
from sqlalchemy import text

from nightdesk.hub.store import Store
from nightdesk.hub.store.intake import settle_quarantined, store_page, waiting
from nightdesk.hub.store.ledger import LedgerRow, audit_ledger, ledger
from nightdesk.sdk.records import Batch, RawRecord
from nightdesk.sdk.testing.cases import CASE_TIME


@pytest.fixture
def filled(store: Store) -> Store:
    """Two records that wait and one aside for acme, one that waits for zeta."""
    with store.begin() as conn:
        for tenant, count in (("acme", 3), ("zeta", 1)):
            store_page(
                conn,
                tenant=tenant,
                instance="edr-main",
                stream="alerts",
                product="acme_edr",
                batch=Batch([RawRecord(b"{}", f"k{number}") for number in range(count)], None),
                received_at=CASE_TIME,
            )
        settle_quarantined(conn, waiting(conn, limit=1, tenant="acme")[0], reason="no id", pointer="")
    return store


def test_every_stream_has_its_balance(filled: Store) -> None:
    with filled.read() as conn:
        assert ledger(conn) == [
            LedgerRow("acme", "edr-main", "alerts", 3, 0, 0, 1, 2),
            LedgerRow("zeta", "edr-main", "alerts", 1, 0, 0, 0, 1),
        ]
        assert ledger(conn, "zeta") == ledger(conn)[1:]
        assert audit_ledger(conn) == []


@pytest.mark.parametrize(
    ("damage", "complaint"),
    [
        ("DELETE FROM inbox WHERE tenant = 'acme' AND seq = 3", "acme/edr-main/alerts: received 3, but duplicate 0"),
        ("DELETE FROM ledger WHERE tenant = 'acme'", "acme/edr-main/alerts: received 0, but"),
        ("UPDATE ledger SET duplicate = 1 WHERE tenant = 'acme'", "acme/edr-main/alerts: received 3, but duplicate 1"),
        (
            "UPDATE inbox SET state = 'gone' WHERE tenant = 'acme' AND seq = 2",
            "acme: inbox row 2 has the unknown state",
        ),
        ("DELETE FROM inbox_payload WHERE tenant = 'acme' AND seq = 2", "acme: inbox row 2 has lost its bytes"),
        ("DELETE FROM quarantine WHERE tenant = 'acme'", "acme: inbox row 1 has lost its reason"),
    ],
)
def test_whatever_is_lost_is_named(filled: Store, damage: str, complaint: str) -> None:
    with filled.begin() as conn:
        conn.execute(text(damage))
    with filled.read() as conn:
        assert any(found.startswith(complaint) for found in audit_ledger(conn))
        assert audit_ledger(conn, "zeta") == []
