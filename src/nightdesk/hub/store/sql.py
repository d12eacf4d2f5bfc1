"""The little SQL that both engines spell differently or that every table needs: upserts, counters, bounded lists."""

from collections.abc import Iterator, Sequence
from typing import TypeVar

from sqlalchemy import Connection, Table
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import DBAPIError

from nightdesk.hub.store.schema import counter

__all__ = ["CHUNK", "chunks", "hold", "insert", "lost_race", "take"]

CHUNK = 500
"""Values in one ``IN`` list: far below both engines' limits, large enough that the statement's cost vanishes."""

_T = TypeVar("_T")
_RACES = frozenset({"40001", "40P01", "23505"})  # serialization_failure, deadlock_detected, unique_violation


def insert(conn: Connection, table: Table) -> postgresql.Insert | sqlite.Insert:
    """An INSERT that can say ON CONFLICT."""
    return postgresql.insert(table) if conn.dialect.name == "postgresql" else sqlite.insert(table)


def chunks(values: Sequence[_T], size: int = CHUNK) -> Iterator[Sequence[_T]]:
    """The values in parts of at most ``size``."""
    for start in range(0, len(values), size):
        yield values[start : start + size]


def take(conn: Connection, tenant: str, name: str, count: int = 1) -> int:
    """The first of ``count`` numbers that nobody else gets, from 1. Holds the counter until the transaction ends."""
    adding = insert(conn, counter).values(tenant=tenant, name=name, value=count)
    statement = adding.on_conflict_do_update(
        index_elements=["tenant", "name"], set_={"value": counter.c.value + count}
    ).returning(counter.c.value)
    last = conn.execute(statement).scalar_one()
    return int(last) - count + 1


def hold(conn: Connection, tenant: str, name: str) -> None:
    """Waits for whoever has that counter and keeps it until the transaction ends; SQLite has one writer anyway."""
    if conn.dialect.name == "postgresql":
        take(conn, tenant, name, 0)


def lost_race(error: DBAPIError) -> bool:
    """True when another PostgreSQL worker was first and the same transaction may simply be run again."""
    return getattr(error.orig, "sqlstate", None) in _RACES
