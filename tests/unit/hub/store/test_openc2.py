"""A command is stored once in each tenant, word for word."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from sqlalchemy.exc import IntegrityError

from nightdesk.hub.store import Store
from nightdesk.hub.store.openc2 import Taken, put_command, taken_command

TAKEN = Taken(
    "acme",
    "c-1",
    "act-1",
    datetime(2026, 11, 1, 12, tzinfo=UTC),
    "soar",
    {
        "action": "deny",
        "target": {"x-nightdesk:url": {"uid": "caf\u00e9\x00 \U0001f600"}},
        "args": {"duration": 10**13},
    },
    "r-1",
)


def test_what_was_taken_is_read_back(store: Store) -> None:
    with store.begin() as conn:
        put_command(conn, TAKEN)
    with store.read() as conn:
        assert taken_command(conn, "acme", "c-1") == TAKEN
        assert taken_command(conn, "umbrella", "c-1") is None
        assert taken_command(conn, "acme", "c-2") is None


def test_an_id_is_taken_once_in_each_tenant(store: Store) -> None:
    with store.begin() as conn:
        put_command(conn, TAKEN)
        put_command(conn, replace(TAKEN, tenant="umbrella"))
    with pytest.raises(IntegrityError), store.begin() as conn:
        put_command(conn, replace(TAKEN, action_id="act-2"))
    with store.read() as conn:
        assert taken_command(conn, "acme", "c-1") == TAKEN
