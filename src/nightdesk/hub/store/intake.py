"""The inbox: a page of raw records and its cursor in one transaction, so that nothing is lost (law 1)."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple, Protocol

from sqlalchemy import Connection, delete, select, update
from sqlalchemy import insert as plain_insert

from nightdesk.hub.store.codec import dump, load, moment, safe_key, safe_text, stamp
from nightdesk.hub.store.ledger import LedgerRow, audit_ledger, ledger
from nightdesk.hub.store.quarantine import set_aside
from nightdesk.hub.store.schema import WAITING, inbox, inbox_payload
from nightdesk.hub.store.schema import cursor as cursor_table
from nightdesk.hub.store.schema import ledger as ledger_table
from nightdesk.hub.store.sql import chunks, insert, take
from nightdesk.sdk.errors import NightdeskError
from nightdesk.sdk.records import Batch, Cursor, Failure, RawRecord

__all__ = [
    "InboxRow",
    "LedgerRow",
    "PageStored",
    "audit_ledger",
    "cursor",
    "ledger",
    "move_cursor",
    "reset_cursor",
    "settle_normalised",
    "settle_quarantined",
    "store_page",
    "waiting",
]


class PageStored(NamedTuple):
    """What became of a page: received = duplicate + quarantined + waiting."""

    received: int
    duplicate: int
    quarantined: int
    waiting: int


@dataclass(frozen=True, slots=True)
class InboxRow:
    """One raw record that waits to be normalised; (tenant, seq) names it."""

    tenant: str
    seq: int
    instance: str
    stream: str
    product: str
    key: str
    native_id: str
    payload: bytes
    media_type: str
    received_at: datetime


class Numbered(Protocol):
    """Anything that names an inbox row."""

    @property
    def tenant(self) -> str:
        """Whose it is."""
        ...

    @property
    def seq(self) -> int:
        """Its number there."""
        ...


def store_page(
    conn: Connection,
    *,
    tenant: str,
    instance: str,
    stream: str,
    product: str,
    batch: Batch,
    received_at: datetime,
    cursor_of: str = "",
) -> PageStored:
    """Stores the records that are new, sets failures aside, counts the rest as duplicates, and moves the cursor.

    ``cursor_of`` names another cursor than the stream's own: a backfill's, which leaves the live one alone.

    A record without key is known by its bytes. A failure is a duplicate only of the same bytes: a whole record that
    comes later under its key is not one.
    """
    items: list[RawRecord | Failure] = [*batch.records, *batch.failures]
    seq = take(conn, tenant, "inbox", len(items))
    page: dict[str, tuple[int, RawRecord | Failure]] = {}
    for number, item in enumerate(items, seq):
        page.setdefault(_key(item), (number, item))
    for key in _known(conn, tenant, instance, stream, list(page)):
        del page[key]

    origin = {"tenant": tenant, "instance": instance, "stream": stream, "received_at": stamp(received_at)}
    rows, payloads, failures = [], [], []
    for key, (number, item) in page.items():
        row = {**origin, "seq": number, "key": key, "product": product, "native_id": "", "state": "quarantined"}
        media_type = "application/octet-stream"
        if isinstance(item, Failure):
            failures.append((number, str(item.error), item.pointer or getattr(item.error, "pointer", "")))
        else:
            row |= {"product": item.product or product, "native_id": safe_text(item.native_id), "state": "waiting"}
            media_type = safe_text(item.media_type)
        rows.append(row)
        payloads.append({"tenant": tenant, "seq": number, "payload": item.payload, "media_type": media_type})
    if rows:
        conn.execute(plain_insert(inbox), rows)
        conn.execute(plain_insert(inbox_payload), payloads)
    set_aside(conn, tenant, failures, at=received_at)

    duplicate = len(items) - len(rows)
    _count(conn, tenant, instance, stream, received=len(items), duplicate=duplicate)
    if batch.cursor is not None:
        move_cursor(conn, tenant, instance, cursor_of or stream, batch.cursor, received_at)
    return PageStored(len(items), duplicate, len(failures), len(rows) - len(failures))


def _key(item: RawRecord | Failure) -> str:
    if isinstance(item, RawRecord) and item.key:
        return safe_key(item.key)
    digest = hashlib.sha256(item.payload).hexdigest()
    return f"sha256:{digest}" if isinstance(item, RawRecord) else safe_key(f"failure:{item.key}:{digest}")


def _known(conn: Connection, tenant: str, instance: str, stream: str, keys: Sequence[str]) -> list[str]:
    known: list[str] = []
    for part in chunks(keys):
        statement = select(inbox.c.key).where(
            inbox.c.tenant == tenant, inbox.c.instance == instance, inbox.c.stream == stream, inbox.c.key.in_(part)
        )
        known += conn.execute(statement).scalars()
    return known


def _count(conn: Connection, tenant: str, instance: str, stream: str, *, received: int, duplicate: int) -> None:
    adding = insert(conn, ledger_table).values(
        tenant=tenant, instance=instance, stream=stream, received=received, duplicate=duplicate
    )
    conn.execute(
        adding.on_conflict_do_update(
            index_elements=["tenant", "instance", "stream"],
            set_={
                "received": ledger_table.c.received + received,
                "duplicate": ledger_table.c.duplicate + duplicate,
            },
        )
    )


def move_cursor(
    conn: Connection, tenant: str, instance: str, stream: str, position: Cursor, moved_at: datetime
) -> None:
    """Where to go on from now, for what brings no records of its own; a page moves its cursor with ``store_page``."""
    values = {"position": dump(position), "moved_at": stamp(moved_at)}
    adding = insert(conn, cursor_table).values(tenant=tenant, instance=instance, stream=stream, **values)
    conn.execute(adding.on_conflict_do_update(index_elements=["tenant", "instance", "stream"], set_=values))


def cursor(conn: Connection, tenant: str, instance: str, stream: str) -> Cursor | None:
    """Where to go on; None before the first page."""
    table = cursor_table.c
    statement = select(table.position).where(table.tenant == tenant, table.instance == instance, table.stream == stream)
    position = conn.execute(statement).scalar_one_or_none()
    found: Mapping[str, Any] | None = None if position is None else load(position)
    return found


def reset_cursor(conn: Connection, tenant: str, instance: str, stream: str) -> None:
    """Forgets where we were: the next pull starts from its beginning, and what is known already counts as duplicate."""
    table = cursor_table.c
    conn.execute(delete(cursor_table).where(table.tenant == tenant, table.instance == instance, table.stream == stream))


def waiting(conn: Connection, *, limit: int, tenant: str | None = None, claim: bool = False) -> list[InboxRow]:
    """What waits, in the order of its arrival; of all tenants when none is named.

    ``claim``: other PostgreSQL workers that claim skip these rows until this transaction ends, so it must be the one
    that settles them.
    """
    tenants = [tenant] if tenant is not None else list(conn.execute(select(ledger_table.c.tenant).distinct()).scalars())
    first: list[tuple[str, str, int]] = []
    for name in tenants:
        statement = (
            select(inbox.c.received_at, inbox.c.tenant, inbox.c.seq)
            .where(inbox.c.tenant == name, WAITING)
            .order_by(inbox.c.seq)
            .limit(limit)
        )
        if claim:
            statement = statement.with_for_update(skip_locked=True)
        first += [(row.received_at, row.tenant, row.seq) for row in conn.execute(statement)]
    if len(tenants) > 1:
        first = sorted(first)[:limit]
    found = {(row.tenant, row.seq): row for row in _rows(conn, first)}
    return [found[name, seq] for _, name, seq in first]


def _rows(conn: Connection, names: Iterable[tuple[str, str, int]]) -> Iterable[InboxRow]:
    by_tenant: dict[str, list[int]] = {}
    for _, tenant, seq in names:
        by_tenant.setdefault(tenant, []).append(seq)
    both = inbox.join(inbox_payload, (inbox_payload.c.tenant == inbox.c.tenant) & (inbox_payload.c.seq == inbox.c.seq))
    for tenant, numbers in by_tenant.items():
        for part in chunks(numbers):
            statement = (
                select(inbox, inbox_payload.c.payload, inbox_payload.c.media_type)
                .select_from(both)
                .where(inbox.c.tenant == tenant, inbox.c.seq.in_(part))
            )
            for row in conn.execute(statement):
                yield InboxRow(
                    tenant=row.tenant,
                    seq=row.seq,
                    instance=row.instance,
                    stream=row.stream,
                    product=row.product,
                    key=row.key,
                    native_id=row.native_id,
                    payload=row.payload,
                    media_type=row.media_type,
                    received_at=moment(row.received_at),
                )


def settle_normalised(conn: Connection, rows: Sequence[Numbered]) -> None:
    """These records are alerts now. Raises when one of them no longer waits: somebody else settled it."""
    _settle(conn, rows, "normalised")


def settle_quarantined(
    conn: Connection, row: InboxRow, *, reason: str, pointer: str, at: datetime | None = None
) -> None:
    """This record cannot be normalised; it is kept aside with the reason, ``at`` that time (else when it arrived)."""
    _settle(conn, [row], "quarantined")
    set_aside(conn, row.tenant, [(row.seq, reason, pointer)], at=at or row.received_at)


def _settle(conn: Connection, rows: Sequence[Numbered], state: str) -> None:
    by_tenant: dict[str, list[int]] = {}
    for row in rows:
        by_tenant.setdefault(row.tenant, []).append(row.seq)
    for tenant, numbers in by_tenant.items():
        for part in chunks(numbers):
            statement = update(inbox).where(inbox.c.tenant == tenant, inbox.c.seq.in_(part), inbox.c.state == "waiting")
            settled = conn.execute(statement.values(state=state)).rowcount
            if settled != len(part):
                raise NightdeskError(
                    f"{len(part) - settled} of {len(part)} inbox rows of {tenant} no longer wait; "
                    "somebody else settled them: roll back and read what waits again"
                )
