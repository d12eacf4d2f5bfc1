"""What people and the hub did, one hash-chained line each."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, insert, select

from nightdesk.hub.store import chain
from nightdesk.hub.store.codec import dump, load, moment, safe_text, stamp
from nightdesk.hub.store.schema import audit

__all__ = ["AuditEntry", "append", "entries", "verify"]

_CHAIN = "audit"


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One line of the audit."""

    tenant: str
    seq: int
    at: datetime
    actor: str
    event: str
    detail: Mapping[str, Any]
    hash: str


def append(
    conn: Connection, *, tenant: str, at: datetime, actor: str, event: str, detail: Mapping[str, Any]
) -> AuditEntry:
    """Adds a line; it stands once the transaction is committed."""
    record = dump({"actor": actor, "at": stamp(at), "detail": detail, "event": event, "tenant": tenant})
    (link,) = chain.extend(conn, tenant, _CHAIN, [record])
    row = {
        "tenant": tenant,
        "seq": link.seq,
        "at": stamp(at),
        "actor": safe_text(actor),
        "event": safe_text(event),
        "previous_hash": link.previous_hash,
        "hash": link.hash,
        "record": record,
    }
    conn.execute(insert(audit), row)
    return AuditEntry(tenant, link.seq, at, actor, event, detail, link.hash)


def entries(conn: Connection, tenant: str, *, after: int = 0, limit: int = 100) -> list[AuditEntry]:
    """Lines of that tenant after that number, oldest first."""
    statement = select(audit).where(audit.c.tenant == tenant, audit.c.seq > after).order_by(audit.c.seq).limit(limit)
    found = []
    for row in conn.execute(statement):
        record = load(row.record)
        found.append(
            AuditEntry(
                tenant, row.seq, moment(record["at"]), record["actor"], record["event"], record["detail"], row.hash
            )
        )
    return found


def verify(conn: Connection, tenant: str) -> list[str]:
    """What was changed since it was written; empty when nothing was."""
    found: list[str] = []

    def links() -> Iterator[chain.Link]:
        statement = select(audit).where(audit.c.tenant == tenant).order_by(audit.c.seq)
        for row in conn.execute(statement, execution_options={"yield_per": 1000}):
            link = chain.Link(row.seq, row.previous_hash, row.hash, row.record)
            yield link
            if chain.intact(tenant, _CHAIN, link) and not _agrees(row):
                found.append(f"audit {row.seq} of {tenant}: its columns differ from its record")

    return chain.problems(conn, tenant, _CHAIN, links()) + found


def _agrees(row: Any) -> bool:
    record = load(row.record)
    return bool(
        (row.at, row.actor, row.event) == (record["at"], safe_text(record["actor"]), safe_text(record["event"]))
    )
