"""Suppressions as they stand, each change with its line in the tenant's audit."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, select

from nightdesk.autonomy.suppression import Asked, State, Suppression
from nightdesk.hub.store import audit
from nightdesk.hub.store.codec import dump, load, moment, safe_text, stamp
from nightdesk.hub.store.schema import suppression as table
from nightdesk.hub.store.sql import insert, take

__all__ = ["active", "known", "new_id", "put", "suppression"]


def new_id(conn: Connection, tenant: str) -> str:
    """The next number of that tenant."""
    return f"{take(conn, tenant, 'suppression'):06d}"


def put(conn: Connection, tenant: str, one: Suppression, *, event: str, by: str, at: datetime) -> None:
    """Writes it as it is now."""
    row = {
        "tenant": tenant,
        "suppression_id": one.suppression_id,
        "state": one.state,
        "owner": safe_text(one.owner),
        "created_at": stamp(one.created_at),
        "expires_at": stamp(one.expires_at),
        "body": dump({**one.to_json(), "ended_by": one.ended_by}),
    }
    adding = insert(conn, table).values(row)
    conn.execute(adding.on_conflict_do_update(index_elements=["tenant", "suppression_id"], set_=row))
    detail: Mapping[str, Any] = one.to_json()
    audit.append(conn, tenant=tenant, at=at, actor=by, event=event, detail=detail)


def suppression(conn: Connection, tenant: str, suppression_id: str, *, hold: bool = False) -> Suppression | None:
    """One of them; ``hold`` keeps others off until the transaction ends."""
    statement = select(table).where(table.c.tenant == tenant, table.c.suppression_id == suppression_id)
    row = conn.execute(statement.with_for_update() if hold else statement).one_or_none()
    return None if row is None else _read(row)


def known(conn: Connection, tenant: str, *, limit: int = 200) -> list[Suppression]:
    """The newest of that tenant, newest first."""
    statement = select(table).where(table.c.tenant == tenant)
    rows = conn.execute(statement.order_by(table.c.created_at.desc(), table.c.suppression_id.desc()).limit(limit))
    return [_read(row) for row in rows]


def active(conn: Connection, tenant: str, now: datetime) -> list[Suppression]:
    """Those that hold now, oldest first."""
    statement = select(table).where(
        table.c.tenant == tenant, table.c.state == State.ACTIVE, table.c.expires_at > stamp(now)
    )
    return [_read(row) for row in conn.execute(statement.order_by(table.c.suppression_id))]


def _read(row: Any) -> Suppression:
    body = load(row.body)
    asked = Asked(body["rule_id"], body["rule_name"], body["source"], tuple(body["entities"]), body["severity"])
    return Suppression(
        row.suppression_id,
        asked,
        body["owner"],
        body["reason"],
        moment(row.created_at),
        moment(row.expires_at),
        State(row.state),
        body["agreed_by"],
        body["ended_by"],
    )
