"""What sources answered, kept until it no longer counts; and indicators, which are answers to questions not yet asked.

Every question names its tenant: an answer that one tenant paid for is not there for another (law 3).
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import Connection, delete, func, select

from nightdesk.hub.store.codec import dump, load, moment, safe_key, stamp
from nightdesk.hub.store.schema import enrichment as table
from nightdesk.hub.store.sql import chunks, insert

__all__ = ["Row", "count", "forget", "kept", "kept_of", "purge", "put", "starting_with"]

_PART = 200  # rows of one INSERT: seven values each, far below both engines' limits


class Row(NamedTuple):
    """One answer."""

    source: str
    key: str
    status: str
    fetched_at: datetime
    expires_at: datetime
    body: Mapping[str, Any]


def put(conn: Connection, tenant: str, rows: Sequence[Row]) -> None:
    """Stores these, each in place of what that source said of the same key before."""
    latest = {(row.source, safe_key(row.key)): row for row in rows}
    values = [
        {
            "tenant": tenant,
            "source": source,
            "key": key,
            "status": row.status,
            "fetched_at": stamp(row.fetched_at),
            "expires_at": stamp(row.expires_at),
            "body": dump(row.body),
        }
        for (source, key), row in sorted(latest.items())
    ]
    for part in chunks(values, _PART):
        adding = insert(conn, table).values(list(part))
        new = {name: adding.excluded[name] for name in ("status", "fetched_at", "expires_at", "body")}
        conn.execute(adding.on_conflict_do_update(index_elements=["tenant", "source", "key"], set_=new))


def kept(conn: Connection, tenant: str, source: str, keys: Iterable[str]) -> dict[str, Row]:
    """What that source said of these keys, by key; those it was never asked for are left out."""
    wanted = {safe_key(key): key for key in keys}
    found: dict[str, Row] = {}
    for part in chunks(sorted(wanted)):
        statement = select(table).where(table.c.tenant == tenant, table.c.source == source, table.c.key.in_(part))
        for row in conn.execute(statement):
            found[wanted[row.key]] = _kept(row)
    return found


def kept_of(conn: Connection, tenant: str, sources: Sequence[str], keys: Sequence[str]) -> list[Row]:
    """What these sources said of these keys, for a page."""
    found: list[Row] = []
    for source in sources:
        found += kept(conn, tenant, source, keys).values()
    return found


def starting_with(conn: Connection, tenant: str, source: str, prefix: str, *, limit: int) -> list[Row]:
    """Rows of that source whose key begins so, in the order of their keys."""
    statement = (
        select(table)
        .where(
            table.c.tenant == tenant,
            table.c.source == source,
            table.c.key >= prefix,
            table.c.key < f"{prefix}\U0010ffff",
        )
        .order_by(table.c.key)
        .limit(limit)
    )
    return [_kept(row) for row in conn.execute(statement)]


def forget(conn: Connection, tenant: str, source: str, keys: Sequence[str]) -> None:
    """Takes these away."""
    for part in chunks([safe_key(key) for key in keys]):
        conn.execute(delete(table).where(table.c.tenant == tenant, table.c.source == source, table.c.key.in_(part)))


def purge(conn: Connection, tenant: str, before: datetime) -> int:
    """Takes away what stopped counting before that time; returns how many rows that were."""
    statement = delete(table).where(table.c.tenant == tenant, table.c.expires_at < stamp(before))
    return int(conn.execute(statement).rowcount)


def count(conn: Connection, tenant: str) -> dict[tuple[str, str], int]:
    """How many rows each source has, by source and status."""
    statement = (
        select(table.c.source, table.c.status, func.count())
        .where(table.c.tenant == tenant)
        .group_by(table.c.source, table.c.status)
    )
    return {(row[0], row[1]): int(row[2]) for row in conn.execute(statement)}


def _kept(row: Any) -> Row:
    return Row(row.source, row.key, row.status, moment(row.fetched_at), moment(row.expires_at), load(row.body))
