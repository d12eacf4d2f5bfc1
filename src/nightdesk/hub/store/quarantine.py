"""Records that could not become alerts: kept with bytes and reason, shown, and replayed when the cause is gone."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, select, update

from nightdesk.hub.store.codec import moment, safe_text, stamp
from nightdesk.hub.store.schema import QUARANTINED, inbox, inbox_payload, quarantine
from nightdesk.hub.store.sql import chunks, insert

__all__ = ["QuarantineRow", "listed", "one", "replay", "set_aside"]


@dataclass(frozen=True, slots=True)
class QuarantineRow:
    """One record aside. ``payload`` is None in lists. ``attempts`` counts how often it was set aside."""

    tenant: str
    seq: int
    instance: str
    stream: str
    product: str
    key: str
    native_id: str
    reason: str
    pointer: str
    attempts: int
    received_at: datetime
    quarantined_at: datetime
    payload: bytes | None = None
    media_type: str = ""


_COLUMNS = (
    inbox.c.tenant,
    inbox.c.seq,
    inbox.c.instance,
    inbox.c.stream,
    inbox.c.product,
    inbox.c.key,
    inbox.c.native_id,
    quarantine.c.reason,
    quarantine.c.pointer,
    quarantine.c.attempts,
    inbox.c.received_at,
    quarantine.c.quarantined_at,
)
_BOTH = inbox.join(quarantine, (quarantine.c.tenant == inbox.c.tenant) & (quarantine.c.seq == inbox.c.seq))


def set_aside(conn: Connection, tenant: str, rows: Sequence[tuple[int, str, str]], *, at: datetime) -> None:
    """Notes (seq, reason, pointer) of inbox rows whose state the caller sets in the same transaction."""
    if not rows:
        return
    adding = insert(conn, quarantine)
    statement = adding.on_conflict_do_update(
        index_elements=["tenant", "seq"],
        set_={
            "reason": adding.excluded.reason,
            "pointer": adding.excluded.pointer,
            "quarantined_at": adding.excluded.quarantined_at,
            "attempts": quarantine.c.attempts + 1,
        },
    )
    when = stamp(at)
    conn.execute(
        statement,
        [
            {
                "tenant": tenant,
                "seq": seq,
                "reason": safe_text(reason),
                "pointer": safe_text(pointer),
                "quarantined_at": when,
                "attempts": 1,
            }
            for seq, reason, pointer in rows
        ],
    )


def listed(conn: Connection, tenant: str, *, after: int = 0, limit: int = 100) -> list[QuarantineRow]:
    """What stands aside, oldest first, after that number."""
    statement = (
        select(*_COLUMNS)
        .select_from(_BOTH)
        .where(inbox.c.tenant == tenant, QUARANTINED, inbox.c.seq > after)
        .order_by(inbox.c.seq)
        .limit(limit)
    )
    return [_row(row._asdict()) for row in conn.execute(statement)]


def one(conn: Connection, tenant: str, seq: int) -> QuarantineRow | None:
    """One record with its bytes; None when it does not stand aside."""
    statement = (
        select(*_COLUMNS, inbox_payload.c.payload, inbox_payload.c.media_type)
        .select_from(
            _BOTH.join(inbox_payload, (inbox_payload.c.tenant == inbox.c.tenant) & (inbox_payload.c.seq == inbox.c.seq))
        )
        .where(inbox.c.tenant == tenant, inbox.c.seq == seq, QUARANTINED)
    )
    row = conn.execute(statement).one_or_none()
    return None if row is None else _row(row._asdict())


def _row(values: dict[str, object]) -> QuarantineRow:
    times = {name: moment(str(values[name])) for name in ("received_at", "quarantined_at")}
    return QuarantineRow(**{**values, **times})  # type: ignore[arg-type]  # the columns are the fields, one for one


def replay(conn: Connection, tenant: str, seqs: Collection[int] | None = None) -> int:
    """Puts these records (all when None) back to those that wait, in their old place; says how many."""
    statement = update(inbox).where(inbox.c.tenant == tenant, QUARANTINED).values(state="waiting")
    if seqs is None:
        return conn.execute(statement).rowcount
    return sum(conn.execute(statement.where(inbox.c.seq.in_(part))).rowcount for part in chunks(sorted(set(seqs))))
