"""The audit says who did what, in order, and shows when somebody changed it."""

from datetime import timedelta

import pytest
from sqlalchemy import text

from nightdesk.hub.store import Store
from nightdesk.hub.store.audit import append, entries, verify
from nightdesk.sdk.testing.cases import CASE_TIME


def fill(store: Store) -> None:
    with store.begin() as conn:
        for number, tenant in enumerate(["acme", "acme", "zeta", "acme"]):
            append(
                conn,
                tenant=tenant,
                at=CASE_TIME + timedelta(minutes=number),
                actor="alice\0",
                event="case.close",
                detail={"case": number, "big": 2**70},
            )


def test_lines_come_back_in_order_and_in_pages(store: Store) -> None:
    fill(store)
    with store.read() as conn:
        first = entries(conn, "acme", limit=2)
        rest = entries(conn, "acme", after=first[-1].seq)
        assert [line.detail["case"] for line in first + rest] == [0, 1, 3]
        assert [(line.seq, line.actor, line.event) for line in rest] == [(3, "alice\0", "case.close")]
        assert rest[0].at == CASE_TIME + timedelta(minutes=3)
        assert rest[0].detail["big"] == 2**70
        assert [line.detail["case"] for line in entries(conn, "zeta")] == [2]
        assert verify(conn, "acme") == verify(conn, "zeta") == []


@pytest.mark.parametrize(
    ("damage", "complaint"),
    [
        ("UPDATE audit SET actor = 'bob' WHERE tenant = 'acme' AND seq = 2", "audit 2 of acme: its columns differ"),
        ("UPDATE audit SET event = 'x' WHERE tenant = 'acme' AND seq = 2", "audit 2 of acme: its columns differ"),
        ("UPDATE audit SET at = 'x' WHERE tenant = 'acme' AND seq = 2", "audit 2 of acme: its columns differ"),
        (
            "UPDATE audit SET record = (SELECT a.record FROM audit a WHERE a.tenant = 'zeta') WHERE tenant = 'acme'",
            "audit 3 of acme: its content is not what was recorded",
        ),
        ("DELETE FROM audit WHERE tenant = 'acme' AND seq = 2", "audit 3 of acme: audit 2 is missing before it"),
        ("DELETE FROM audit WHERE tenant = 'acme' AND seq = 3", "audit of acme: ends at 2, but 3 were recorded"),
    ],
)
def test_a_change_is_seen(store: Store, damage: str, complaint: str) -> None:
    fill(store)
    with store.begin() as conn:
        conn.execute(text(damage))
    with store.read() as conn:
        assert any(found.startswith(complaint) for found in verify(conn, "acme"))
        assert verify(conn, "zeta") == []
