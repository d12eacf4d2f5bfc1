"""Groups of alerts as stored: what counting, scoring and judging read, and what a restart remembers."""

from collections.abc import Collection, Iterable, Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any, NamedTuple

from sqlalchemy import Connection, func, select, update

from nightdesk.autonomy.learning.groups import WINDOW, Group
from nightdesk.hub.store.codec import dump, load, safe_key, stamp
from nightdesk.hub.store.schema import alert_group
from nightdesk.hub.store.sql import chunks, insert

__all__ = [
    "Busy",
    "StoredGroup",
    "busiest",
    "daily",
    "first_groups",
    "groups_near",
    "groups_of_cases",
    "groups_since",
    "groups_with_cases",
    "move_groups",
    "put_groups",
]

StoredGroup = tuple[str, Group]
"""Its name and what it is."""


def put_groups(conn: Connection, tenant: str, groups: Mapping[str, Group], case_of: Mapping[str, str]) -> None:
    """Writes these groups by name as they are now; ``case_of`` has the case of each."""
    rows = [_row(tenant, name, group, case_of.get(name, "")) for name, group in sorted(groups.items())]
    if not rows:
        return
    adding = insert(conn, alert_group)
    new = adding.excluded
    conn.execute(
        adding.on_conflict_do_update(
            index_elements=["tenant", "group_id"],
            set_={
                "opened_at": new.opened_at,
                "last_seen": new.last_seen,
                "case_id": new.case_id,
                "alerts": new.alerts,
                "body": new.body,
            },
        ),
        rows,
    )


def move_groups(conn: Connection, tenant: str, taken: str, into: str, units: Iterable[tuple[str, str]]) -> None:
    """The groups of these (entity, rule) leave the case ``taken``."""
    table = alert_group.c
    for entity, rule in sorted(units):
        conn.execute(
            update(alert_group)
            .where(
                table.tenant == tenant,
                table.case_id == taken,
                table.entity_key == safe_key(entity),
                table.rule_key == safe_key(rule),
            )
            .values(case_id=into)
        )


def groups_near(
    conn: Connection, tenant: str, entities: Collection[str], since: float, until: float
) -> list[StoredGroup]:
    """Groups of these entities that an alert of that time (seconds since 1970) could belong to."""
    found: list[StoredGroup] = []
    table = alert_group.c
    for part in chunks(sorted({safe_key(one) for one in entities})):
        statement = select(alert_group).where(
            table.tenant == tenant,
            table.entity_key.in_(part),
            table.last_seen >= _stamp(since - WINDOW),
            table.opened_at <= _stamp(until + WINDOW),
        )
        found += [_group(row) for row in conn.execute(statement.order_by(table.opened_at, table.group_id))]
    return found


def groups_of_cases(conn: Connection, tenant: str, case_ids: Collection[str]) -> dict[str, list[StoredGroup]]:
    """The groups of these cases, oldest first; a case without any is left out."""
    found: dict[str, list[StoredGroup]] = {}
    table = alert_group.c
    for part in chunks(sorted(set(case_ids))):
        statement = select(alert_group).where(table.tenant == tenant, table.case_id.in_(part))
        for row in conn.execute(statement.order_by(table.opened_at, table.group_id)):
            found.setdefault(row.case_id, []).append(_group(row))
    return found


def groups_since(conn: Connection, tenant: str, since: datetime, *, limit: int = 100_000) -> Iterable[StoredGroup]:
    """Every group of that tenant last seen since then, oldest first: what a process remembers after a restart."""
    table = alert_group.c
    statement = (
        select(alert_group)
        .where(table.tenant == tenant, table.last_seen >= stamp(since))
        .order_by(table.opened_at, table.group_id)
        .limit(limit)
    )
    return [_group(row) for row in conn.execute(statement)]


def first_groups(conn: Connection, tenant: str, since: datetime) -> Iterable[Group]:
    """The first group of each rule on each entity since then."""
    table = alert_group.c
    firsts = (
        select(table.entity_key, table.rule_key, func.min(table.opened_at).label("opened_at"))
        .where(table.tenant == tenant, table.last_seen >= stamp(since))
        .group_by(table.entity_key, table.rule_key)
        .subquery()
    )
    same = (
        (table.entity_key == firsts.c.entity_key)
        & (table.rule_key == firsts.c.rule_key)
        & (table.opened_at == firsts.c.opened_at)
    )
    statement = select(alert_group).join(firsts, same).where(table.tenant == tenant)
    return [_group(row)[1] for row in conn.execute(statement.order_by(table.opened_at, table.group_id))]


def daily(conn: Connection, tenant: str, rule: str, since: datetime) -> dict[int, int]:
    """Groups of a rule by day (numbered from 1970, UTC); days without any are left out."""
    table = alert_group.c
    days = (
        select(func.substr(table.opened_at, 1, 10).label("day"))
        .where(table.tenant == tenant, table.rule_key == safe_key(rule), table.last_seen >= stamp(since))
        .subquery()
    )
    statement = select(days.c.day, func.count()).group_by(days.c.day)
    epoch = date(1970, 1, 1)
    return {(date.fromisoformat(text) - epoch).days: int(count) for text, count in conn.execute(statement)}


class Busy(NamedTuple):
    """A rule with its alerts and the entities that they are on."""

    rule: str
    title: str
    alerts: int
    entities: int


def busiest(conn: Connection, tenant: str, since: datetime, *, limit: int) -> list[Busy]:
    """The rules with the most alerts in groups last seen since then, the busiest first."""
    table = alert_group.c
    alerts = func.sum(table.alerts).label("total")
    statement = (
        select(table.rule_key, alerts, func.count(table.entity_key.distinct()), func.max(table.group_id))
        .where(table.tenant == tenant, table.last_seen >= stamp(since))
        .group_by(table.rule_key)
        .order_by(alerts.desc(), table.rule_key)
        .limit(limit)
    )
    found = []
    for _, total, entities, name in conn.execute(statement):
        one = select(alert_group).where(table.tenant == tenant, table.group_id == name)
        group = _group(conn.execute(one).one())[1]
        found.append(Busy(group.rule, group.title, int(total), int(entities)))
    return found


def groups_with_cases(conn: Connection, tenant: str, since: datetime) -> Iterable[tuple[str, str, Group]]:
    """(case, name, group) of every group of that tenant that opened since then, oldest first."""
    table = alert_group.c
    statement = select(alert_group).where(table.tenant == tenant, table.opened_at >= stamp(since))
    return [(row.case_id, *_group(row)) for row in conn.execute(statement.order_by(table.opened_at, table.group_id))]


def _stamp(seconds: float) -> str:
    return stamp(datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds))


def _row(tenant: str, name: str, group: Group, case_id: str) -> dict[str, Any]:
    return {
        "tenant": tenant,
        "group_id": name,
        "entity_key": safe_key(group.entity),
        "rule_key": safe_key(group.rule),
        "opened_at": _stamp(group.opened),
        "last_seen": _stamp(group.last),
        "case_id": case_id,
        "alerts": group.alerts,
        "body": dump({
            "entity": group.entity,
            "rule": group.rule,
            "opened": group.opened,
            "last": group.last,
            "source": group.source,
            "title": group.title,
            "severity_id": group.severity_id,
            "confidence": group.confidence,
            "tactics": list(group.tactics),
        }),
    }  # fmt: skip


def _group(row: Any) -> StoredGroup:
    body = load(row.body)
    body["tactics"] = tuple(body["tactics"])
    return row.group_id, Group(tenant=row.tenant, alerts=row.alerts, **body)
