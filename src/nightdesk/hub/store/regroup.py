"""Alerts moved from one case to another, with the index by which the next alert finds them: nothing is lost (law 1)."""

from collections.abc import Collection
from datetime import datetime

from sqlalchemy import Connection, delete, func, select, update

from nightdesk.hub.store.codec import safe_key, stamp
from nightdesk.hub.store.schema import alert as alert_table
from nightdesk.hub.store.schema import alert_group, case_entity, case_file
from nightdesk.hub.store.sql import chunks, insert
from nightdesk.sdk.case import CaseStatus

__all__ = ["ask_again", "hand_over", "move_alerts", "settle"]


def hand_over(conn: Connection, tenant: str, taken: str, into: str) -> None:
    """Every alert, group and indexed entity of ``taken`` belongs to ``into`` from now on."""
    for table in (alert_table, alert_group):
        conn.execute(update(table).where(table.c.tenant == tenant, table.c.case_id == taken).values(case_id=into))
    seen = case_entity.c
    mine = (seen.tenant == tenant, seen.case_id == taken)
    rows = [
        {"tenant": tenant, "entity_key": row.entity_key, "case_id": into, "last_seen": row.last_seen}
        for row in conn.execute(select(seen.entity_key, seen.last_seen).where(*mine).order_by(seen.entity_key))
    ]
    if not rows:
        return
    adding = insert(conn, case_entity)
    conn.execute(
        adding.on_conflict_do_update(
            index_elements=["tenant", "entity_key", "case_id"],
            set_={"last_seen": adding.excluded.last_seen},
            where=adding.excluded.last_seen > seen.last_seen,
        ),
        rows,
    )
    conn.execute(delete(case_entity).where(*mine))


def move_alerts(
    conn: Connection, tenant: str, taken: str, into: str, alert_ids: Collection[str], left_behind: Collection[str]
) -> None:
    """These alerts leave ``taken``, which is found by the entity keys of ``left_behind`` alone from then on."""
    for part in chunks(sorted(alert_ids)):
        conn.execute(
            update(alert_table)
            .where(alert_table.c.tenant == tenant, alert_table.c.case_id == taken, alert_table.c.alert_id.in_(part))
            .values(case_id=into)
        )
    seen, kept = case_entity.c, {safe_key(key) for key in left_behind}
    there = conn.execute(select(seen.entity_key).where(seen.tenant == tenant, seen.case_id == taken)).scalars().all()
    for part in chunks(sorted(set(there) - kept)):
        conn.execute(delete(case_entity).where(seen.tenant == tenant, seen.case_id == taken, seen.entity_key.in_(part)))


def settle(
    conn: Connection,
    tenant: str,
    case_id: str,
    *,
    status: CaseStatus,
    severity_id: int,
    opened_at: datetime,
    updated_at: datetime,
) -> None:
    """Writes the header after alerts came or went; they are counted anew."""
    count = select(func.count()).where(alert_table.c.tenant == tenant, alert_table.c.case_id == case_id)
    conn.execute(
        update(case_file)
        .where(case_file.c.tenant == tenant, case_file.c.case_id == case_id)
        .values(
            status=status,
            severity_id=severity_id,
            opened_at=stamp(opened_at),
            updated_at=stamp(updated_at),
            alert_count=count.scalar_subquery(),
            hold_until=None,
        )
    )


def ask_again(conn: Connection, tenant: str, case_id: str, at: datetime) -> None:
    """The case is decided again at the pipeline's next turn, as one whose quiet window has passed."""
    conn.execute(
        update(case_file)
        .where(case_file.c.tenant == tenant, case_file.c.case_id == case_id)
        .values(hold_until=stamp(at))
    )
