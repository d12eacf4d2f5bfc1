"""Canaries on the database: the only place that knows which alerts are not real, and no decision reads it."""

from collections.abc import Collection, Sequence
from datetime import datetime
from hashlib import sha256
from typing import Any

from sqlalchemy import Connection, func, select, update
from sqlalchemy import insert as plain_insert

from nightdesk.autonomy.oversight.canaries import Canary, CanaryState
from nightdesk.hub.store import audit
from nightdesk.hub.store.codec import dump, safe_key, stamp
from nightdesk.hub.store.schema import alert as alert_table
from nightdesk.hub.store.schema import canary as table
from nightdesk.hub.store.sql import chunks
from nightdesk.sdk.case import Alert
from nightdesk.sdk.errors import PolicyError

__all__ = [
    "among",
    "any_planted",
    "canary",
    "canary_id",
    "case_of",
    "counts",
    "keep",
    "listed",
    "of_family",
    "plant",
    "planted",
]


def canary_id(tenant: str, alert_id: str) -> str:
    """The id of the canary that an alert is, if it is one."""
    named = f"{tenant}\0{alert_id}".encode("utf-8", "backslashreplace")
    return f"canary-{sha256(named).hexdigest()[:20]}"


def plant(conn: Connection, one: Canary) -> None:
    """Stores a new canary. Raises PolicyError when that alert is one already."""
    if canary(conn, one.tenant, one.canary_id) is not None:
        raise PolicyError(f"{one.tenant}: {one.alert_id} is a canary already; plant it with a new id")
    conn.execute(plain_insert(table), {"tenant": one.tenant, "canary_id": one.canary_id, **_row(one)})
    _note(conn, one, "canary.planted", one.planted_by, one.planted_at)


def keep(conn: Connection, after: Canary, *, event: str, by: str, at: datetime) -> None:
    """Stores a canary as it is now."""
    where = (table.c.tenant == after.tenant, table.c.canary_id == after.canary_id)
    conn.execute(update(table).where(*where).values(_row(after)))
    _note(conn, after, event, by, at)


def canary(conn: Connection, tenant: str, name: str, *, hold: bool = False) -> Canary | None:
    """One canary."""
    statement = select(table.c.body).where(table.c.tenant == tenant, table.c.canary_id == name)
    body = conn.execute(statement.with_for_update() if hold else statement).scalar_one_or_none()
    return None if body is None else Canary.from_bytes(body)


def any_planted(conn: Connection, tenant: str) -> bool:
    """Whether that tenant ever had one: asked before every request that leaves, so it costs one look at an index."""
    return conn.execute(select(table.c.canary_id).where(table.c.tenant == tenant).limit(1)).first() is not None


def planted(conn: Connection, tenant: str) -> list[Canary]:
    """Those that are not decided yet, longest first."""
    return _read(conn, table.c.tenant == tenant, table.c.state == CanaryState.PLANTED)


def of_family(conn: Connection, tenant: str, family: str) -> list[Canary]:
    """Every canary of that family, oldest first."""
    return _read(conn, table.c.tenant == tenant, table.c.family == safe_key(family))


def listed(conn: Connection, tenant: str) -> list[Canary]:
    """Every canary of that tenant, oldest first."""
    return _read(conn, table.c.tenant == tenant)


def among(conn: Connection, tenant: str, alerts: Sequence[Alert]) -> dict[str, Canary]:
    """Which of these alerts are canaries, by alert id."""
    names = {canary_id(tenant, one.alert_id): one.alert_id for one in alerts}
    found: dict[str, Canary] = {}
    for part in chunks(sorted(names)):
        statement = select(table.c.canary_id, table.c.body).where(table.c.tenant == tenant, table.c.canary_id.in_(part))
        found.update({names[row.canary_id]: Canary.from_bytes(row.body) for row in conn.execute(statement)})
    return found


def counts(conn: Connection, tenants: Collection[str], since: datetime) -> tuple[int, int]:
    """(caught, missed) of all these tenants since then; numbers only (law 3)."""
    found = {CanaryState.CAUGHT: 0, CanaryState.MISSED: 0}
    for part in chunks(sorted(tenants)):
        statement = (
            select(table.c.state, func.count())
            .where(table.c.tenant.in_(part), table.c.state.in_(sorted(found)), table.c.planted_at >= stamp(since))
            .group_by(table.c.state)
        )
        for state, number in conn.execute(statement):
            found[CanaryState(state)] += int(number)
    return found[CanaryState.CAUGHT], found[CanaryState.MISSED]


def case_of(conn: Connection, one: Canary) -> str:
    """The case that the canary's alert is in; empty while it is in none."""
    row = alert_table.c
    statement = select(row.case_id).where(row.tenant == one.tenant, row.alert_id == one.alert_id)
    return str(conn.execute(statement).scalar_one_or_none() or "")


def _read(conn: Connection, *where: Any) -> list[Canary]:
    statement = select(table.c.body).where(*where).order_by(table.c.planted_at, table.c.canary_id)
    return [Canary.from_bytes(body) for body in conn.execute(statement).scalars()]


def _row(one: Canary) -> dict[str, Any]:
    return {
        "family": safe_key(one.family),
        "state": one.state,
        "planted_at": stamp(one.planted_at),
        "body": dump(one.to_json()),
    }


def _note(conn: Connection, one: Canary, event: str, by: str, at: datetime) -> None:
    # Neither the alert nor the case: whoever reads the audit is not to know which one it is before they judged it.
    detail = {"canary_id": one.canary_id, "family": one.family, "state": one.state.value, "origin": one.origin}
    audit.append(conn, tenant=one.tenant, at=at, actor=by, event=event, detail=detail)
