"""Switches as they stand in the store: read right before each request leaves, so that no process needs to be told.

Every change is one transaction with its line in the audit of the switch's tenant (``*`` is the installation).
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, select

from nightdesk.autonomy.ledger import ENGINE
from nightdesk.autonomy.switches import ANYWHERE, Position, Scope, Switch
from nightdesk.hub.store import audit
from nightdesk.hub.store.audit import AuditEntry
from nightdesk.hub.store.codec import load, moment, safe_key, safe_text, stamp
from nightdesk.hub.store.schema import audit as audit_table
from nightdesk.hub.store.schema import switch as table
from nightdesk.hub.store.sql import insert

__all__ = ["ask_to_start", "asked_at", "history", "known", "position", "positions", "start", "stop"]

_LATELY = 200  # changes of a tenant's switches among which a wish to start one is looked for; what is older is over
_STOPPED, _RUNNING = "stopped", "running"
_KEY = ["tenant", "scope", "subject"]


def positions(conn: Connection, tenant: str) -> list[Position]:
    """What is stopped for that tenant: its own switches and the installation's. One read of the primary key."""
    return [one for one in known(conn, tenant) if one.stopped]


def known(conn: Connection, tenant: str) -> list[Position]:
    """Every switch of that tenant and of the installation that was ever stopped, the installation's first."""
    statement = (
        select(table).where(table.c.tenant.in_(sorted({ANYWHERE, tenant}))).order_by(*(table.c[name] for name in _KEY))
    )
    return [_position(row) for row in conn.execute(statement)]


def position(conn: Connection, switch: Switch, *, hold: bool = False) -> Position | None:
    """How that switch stands; None when it was never touched. ``hold`` keeps others off until the transaction ends."""
    statement = select(table).where(*_where(switch))
    row = conn.execute(statement.with_for_update() if hold else statement).one_or_none()
    return None if row is None else _position(row)


def stop(conn: Connection, switch: Switch, *, by: str, reason: str, at: datetime) -> Position:
    """Stops it. Stopped again by a person: a wish to start it is over, and it is no longer a brake's alone."""
    before = position(conn, switch, hold=True)
    if before is not None and before.stopped and by == ENGINE:
        return before
    after = Position(switch, True, safe_text(reason), safe_text(by), at)
    _keep(conn, after)
    _note(conn, switch, "switch.stopped", by, at, {"reason": reason})
    return after


def ask_to_start(conn: Connection, before: Position, *, by: str, reason: str, at: datetime) -> Position:
    """Notes who wants it started again; it stays stopped."""
    after = Position(before.switch, True, before.reason, before.changed_by, before.changed_at, asked_by=safe_text(by))
    _keep(conn, after)
    _note(conn, before.switch, "switch.start_asked", by, at, {"reason": reason})
    return after


def start(conn: Connection, before: Position, *, by: str, reason: str, at: datetime) -> Position:
    """Starts it again; who may is for the caller to have checked."""
    after = Position(before.switch, False, safe_text(reason), safe_text(by), at)
    _keep(conn, after)
    _note(conn, before.switch, "switch.started", by, at, {"reason": reason, "asked_by": before.asked_by})
    return after


def asked_at(conn: Connection, switch: Switch) -> datetime | None:
    """When somebody last asked to start it again."""
    about = {"scope": switch.scope.value, "subject": switch.subject}
    for entry in history(conn, switch.tenant, limit=_LATELY):
        if entry.event == "switch.start_asked" and about.items() <= entry.detail.items():
            return entry.at
    return None


def history(conn: Connection, tenant: str, *, limit: int = 50) -> list[AuditEntry]:
    """The newest changes of that tenant's switches from its audit, newest first."""
    row = audit_table.c
    statement = (
        select(audit_table)
        .where(row.tenant == tenant, row.event.like("switch.%"))
        .order_by(row.seq.desc())
        .limit(limit)
    )
    found = []
    for line in conn.execute(statement):
        record = load(line.record)
        at = moment(record["at"])
        found.append(AuditEntry(tenant, line.seq, at, record["actor"], record["event"], record["detail"], line.hash))
    return found


def _where(switch: Switch) -> Sequence[Any]:
    return (
        table.c.tenant == switch.tenant,
        table.c.scope == switch.scope,
        table.c.subject == safe_key(switch.subject),
    )


def _keep(conn: Connection, after: Position) -> None:
    row = {
        "tenant": after.switch.tenant,
        "scope": after.switch.scope,
        "subject": safe_key(after.switch.subject),
        "state": _STOPPED if after.stopped else _RUNNING,
        "reason": after.reason,
        "changed_by": after.changed_by,
        "changed_at": stamp(after.changed_at),
        "asked_by": after.asked_by,
    }
    adding = insert(conn, table).values(row)
    conn.execute(adding.on_conflict_do_update(index_elements=_KEY, set_=row))


def _note(conn: Connection, switch: Switch, event: str, by: str, at: datetime, detail: Mapping[str, Any]) -> None:
    about = {"scope": switch.scope.value, "subject": switch.subject, **detail}
    audit.append(conn, tenant=switch.tenant, at=at, actor=by, event=event, detail=about)


def _position(row: Any) -> Position:
    return Position(
        switch=Switch(row.tenant, Scope(row.scope), row.subject),
        stopped=row.state == _STOPPED,
        reason=row.reason,
        changed_by=row.changed_by,
        changed_at=moment(row.changed_at),
        asked_by=row.asked_by,
    )
