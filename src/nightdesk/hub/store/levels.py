"""How units stand, on the database: one row a unit, its history in the tenant's audit, both in one transaction."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, select

from nightdesk.autonomy.levels.standing import Level, Standing
from nightdesk.autonomy.levels.units import DecisionClass, Unit
from nightdesk.hub.store import audit
from nightdesk.hub.store.audit import AuditEntry
from nightdesk.hub.store.codec import dump, load, moment, safe_key, stamp
from nightdesk.hub.store.schema import audit as audit_table
from nightdesk.hub.store.schema import unit_level as table
from nightdesk.hub.store.sql import insert, take

__all__ = ["acting", "ask_in_turn", "history", "keep", "note", "of_tenant", "raises", "standing"]

_KEY = ["tenant", "unit", "decision_class"]
_RAISES = ("level.raise_asked", "level.raised")
_LOOKED_AT = 2000
"""Newest audit lines of a tenant that are looked at for raises: minutes of them, even in a flood."""


def standing(conn: Connection, unit: Unit, *, hold: bool = False) -> Standing:
    """How that unit stands; one that was never seen is off. ``hold`` keeps others off until the transaction ends."""
    statement = select(table.c.body).where(*_where(unit))
    body = conn.execute(statement.with_for_update() if hold else statement).scalar_one_or_none()
    return Standing(unit) if body is None else Standing.from_bytes(body)


def of_tenant(conn: Connection, tenant: str) -> list[Standing]:
    """Every unit of that tenant, the highest levels first."""
    statement = (
        select(table.c.body)
        .where(table.c.tenant == tenant)
        .order_by(table.c.level.desc(), table.c.unit, table.c.decision_class)
    )
    return [Standing.from_bytes(body) for body in conn.execute(statement).scalars()]


def acting(conn: Connection, tenant: str) -> list[Standing]:
    """The units of that tenant whose level lets the machine act alone: few, and found by an index."""
    statement = (
        select(table.c.body)
        .where(
            table.c.tenant == tenant, table.c.decision_class.in_(sorted(DecisionClass)), table.c.level >= Level.CLOSE
        )
        .order_by(table.c.unit, table.c.decision_class)
    )
    return [Standing.from_bytes(body) for body in conn.execute(statement).scalars()]


def keep(conn: Connection, after: Standing, *, at: datetime) -> None:
    """Stores how it stands now."""
    unit = after.unit
    row = {
        "tenant": unit.tenant,
        "unit": safe_key(unit.rule),
        "decision_class": unit.decides,
        "level": int(after.level),
        "updated_at": stamp(at),
        "body": dump(after.to_json()),
    }
    adding = insert(conn, table).values(moves=1, **row)
    conn.execute(adding.on_conflict_do_update(index_elements=_KEY, set_={**row, "moves": table.c.moves + 1}))


def note(conn: Connection, unit: Unit, event: str, *, by: str, at: datetime, detail: Mapping[str, Any]) -> None:
    """A line about a unit in its tenant's audit; events begin with ``level.``."""
    about = {"rule": unit.rule, "decides": unit.decides.value, **detail}
    audit.append(conn, tenant=unit.tenant, at=at, actor=by, event=event, detail=about)


def history(conn: Connection, tenant: str, *, limit: int = 50) -> list[AuditEntry]:
    """The newest changes of that tenant's levels, newest first."""
    row = audit_table.c
    statement = (
        select(audit_table).where(row.tenant == tenant, row.event.like("level.%")).order_by(row.seq.desc()).limit(limit)
    )
    found = []
    for line in conn.execute(statement):
        record = load(line.record)
        at = moment(record["at"])
        found.append(AuditEntry(tenant, line.seq, at, record["actor"], record["event"], record["detail"], line.hash))
    return found


def raises(conn: Connection, tenant: str, since: datetime) -> int:
    """How often somebody asked for or agreed to a raise there since then."""
    row = audit_table.c
    newest = select(row.at, row.event).where(row.tenant == tenant).order_by(row.seq.desc()).limit(_LOOKED_AT).subquery()
    statement = select(newest.c.at).where(newest.c.event.in_(_RAISES), newest.c.at > stamp(since))
    return len(conn.execute(statement).all())


def ask_in_turn(conn: Connection) -> None:
    """Until this transaction ends, nobody else raises anything in any tenant, or two could each see only themselves."""
    take(conn, "*", "level raises")


def _where(unit: Unit) -> tuple[Any, ...]:
    return (
        table.c.tenant == unit.tenant,
        table.c.unit == safe_key(unit.rule),
        table.c.decision_class == DecisionClass(unit.decides),
    )
