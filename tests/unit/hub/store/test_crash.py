"""Law 1 and ``kill -9``: a process that dies anywhere leaves a store that balances, and a cursor that is true."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import func, select

from nightdesk.hub.store import Store
from nightdesk.hub.store.intake import audit_ledger, cursor, ledger
from nightdesk.hub.store.schema import inbox

pytestmark = pytest.mark.slow  # each life is a process

CHILD = """
import sys
from datetime import UTC, datetime
from nightdesk.hub.store import Store
from nightdesk.hub.store.intake import cursor, settle_normalised, store_page, waiting
from nightdesk.sdk.records import Batch, RawRecord

store = Store.open(sys.argv[1])
now = datetime(2026, 11, 1, tzinfo=UTC)
with store.read() as conn:
    at = (cursor(conn, "acme", "edr", "alerts") or {"next": 0})["next"]
while True:
    page = [RawRecord(b"x" * 3000, str(n)) for n in range(at - at % 7, at + 20)]
    with store.begin() as conn:
        store_page(conn, tenant="acme", instance="edr", stream="alerts", product="edr",
                   batch=Batch(page, {"next": at + 20}), received_at=now)
    print(at + 20, flush=True)
    with store.begin() as conn:
        settle_normalised(conn, waiting(conn, limit=15, tenant="acme"))
    at += 20
"""


def test_a_killed_process_loses_nothing_that_it_committed(store_url: str) -> None:
    """Killed after some pages, at whatever statement it had come to; seven lives on one database."""
    told = 0
    for pages_before in (1, 2, 9, 3, 14, 1, 5):
        with subprocess.Popen([sys.executable, "-c", CHILD, store_url], stdout=subprocess.PIPE, text=True) as child:
            assert child.stdout is not None
            for _ in range(pages_before):
                told = int(child.stdout.readline())
            os.kill(child.pid, signal.SIGKILL)
        store = Store.open(store_url)
        with store.read() as conn:
            position = cursor(conn, "acme", "edr", "alerts")
            stored = conn.execute(select(func.count()).select_from(inbox)).scalar_one()
            assert audit_ledger(conn) == []
            assert all(row.balanced for row in ledger(conn))
        store.close()
        assert position is not None
        assert position["next"] >= told, "a page that was reported as stored is gone"
        assert stored == position["next"], "the cursor is not that of the pages that are there"


def test_the_database_file_is_sound_after_a_kill(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/nightdesk.db"
    with subprocess.Popen([sys.executable, "-c", CHILD, url], stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        child.stdout.readline()
        os.kill(child.pid, signal.SIGKILL)
    store = Store.open(url)
    with store.read() as conn:
        assert conn.exec_driver_sql("PRAGMA integrity_check").scalar() == "ok"
    store.close()
