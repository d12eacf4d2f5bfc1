"""Cases: their headers, which alerts are theirs, and the index from an entity to the cases that touch it."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, bindparam, func, select, update
from sqlalchemy import case as either

from nightdesk.hub.store.alerts import alerts_of_case
from nightdesk.hub.store.codec import moment, safe_key, safe_text, stamp
from nightdesk.hub.store.schema import alert as alert_table
from nightdesk.hub.store.schema import case_entity, case_file
from nightdesk.hub.store.sql import chunks, insert, take
from nightdesk.sdk.case import Case, CaseStatus
from nightdesk.sdk.errors import NightdeskError

__all__ = [
    "CaseRef",
    "CaseWrite",
    "case",
    "cases",
    "cases_touching",
    "new_case_ids",
    "put_cases",
    "raise_severity",
    "set_status",
    "set_statuses",
]

_SHOWN_FIRST = ("host", "account", "email", "address")
_SHOWN = 3


@dataclass(frozen=True, slots=True)
class CaseRef:
    """A case that an entity was seen in; ``last_seen`` is the newest sight of that entity there."""

    case_id: str
    status: CaseStatus
    updated_at: datetime
    opened_at: datetime
    last_seen: datetime


@dataclass(frozen=True, slots=True)
class CaseWrite:
    """A case as it is to stand, the alerts that join it now, and the entities to find it by.

    ``last_seen`` is the time at which these entities were seen (``updated_at`` when None).
    """

    tenant: str
    case_id: str
    title: str
    status: CaseStatus
    severity_id: int
    opened_at: datetime
    updated_at: datetime
    new_alert_ids: Sequence[str] = ()
    entity_keys: Collection[str] = ()
    last_seen: datetime | None = None


def new_case_ids(conn: Connection, tenant: str, opened: Sequence[datetime]) -> list[str]:
    """One ``ND-2026-000731`` for each case opened at these times: numbered per tenant and year, in the order given."""
    years = [when.year for when in opened]
    following = {year: take(conn, tenant, f"case {year}", years.count(year)) for year in sorted(set(years))}
    ids = []
    for year in years:
        ids.append(f"ND-{year:04d}-{following[year]:06d}")
        following[year] += 1
    return ids


def cases_touching(
    conn: Connection, tenant: str, entity_keys: Collection[str], since: datetime, *, per_key: int = 25
) -> dict[str, list[CaseRef]]:
    """For each entity the cases it was seen in since then, newest sight first; entities without any are left out.

    At most ``per_key`` cases an entity: what is seen in more of them tells none apart, and correlation drops it.
    """
    asked = {safe_key(key): key for key in entity_keys}
    seen = case_entity.c
    rank = func.row_number().over(partition_by=seen.entity_key, order_by=(seen.last_seen.desc(), seen.case_id.desc()))
    rows: list[tuple[str, str, str]] = []
    for part in chunks(sorted(asked)):
        newest = (
            select(seen.entity_key, seen.case_id, seen.last_seen, rank.label("rank"))
            .where(seen.tenant == tenant, seen.entity_key.in_(part), seen.last_seen >= stamp(since))
            .subquery()
        )
        statement = select(newest).where(newest.c.rank <= per_key).order_by(newest.c.entity_key, newest.c.rank)
        rows += [(key, case_id, last_seen) for key, case_id, last_seen, _ in conn.execute(statement)]
    headers = _headers(conn, tenant, sorted({case_id for _, case_id, _ in rows}))
    found: dict[str, list[CaseRef]] = {}
    for key, case_id, last_seen in rows:
        found.setdefault(asked[key], []).append(CaseRef(case_id, *headers[case_id], moment(last_seen)))
    return found


def _headers(conn: Connection, tenant: str, ids: Sequence[str]) -> dict[str, tuple[CaseStatus, datetime, datetime]]:
    table = case_file.c
    found = {}
    for part in chunks(ids):
        statement = select(table.case_id, table.status, table.updated_at, table.opened_at)
        for case_id, status, updated_at, opened_at in conn.execute(
            statement.where(table.tenant == tenant, table.case_id.in_(part))
        ):
            found[case_id] = (CaseStatus(status), moment(updated_at), moment(opened_at))
    return found


def put_cases(conn: Connection, writes: Sequence[CaseWrite]) -> None:
    """Stores these cases, moves their new alerts into them, and indexes their entities.

    Raises when an alert does not exist or belongs to another case; an alert that is in its case already stays there.
    """
    if not writes:
        return
    joined = _join_alerts(conn, writes)
    adding = insert(conn, case_file)
    new = adding.excluded
    statement = adding.on_conflict_do_update(
        index_elements=["tenant", "case_id"],
        set_={
            "title": new.title,
            "status": new.status,
            "severity_id": new.severity_id,
            "updated_at": new.updated_at,
            "alert_count": case_file.c.alert_count + new.alert_count,
            "entity_summary": either(
                (case_file.c.entity_summary == "", new.entity_summary), else_=case_file.c.entity_summary
            ),
        },
    )
    rows = [_header(write, count) for write, count in zip(writes, joined, strict=True)]
    conn.execute(statement, sorted(rows, key=lambda row: (row["tenant"], row["case_id"])))
    _index_entities(conn, writes)


def _header(write: CaseWrite, count: int) -> dict[str, Any]:
    return {
        "tenant": write.tenant,
        "case_id": write.case_id,
        "title": safe_text(write.title),
        "status": write.status,
        "severity_id": write.severity_id,
        "opened_at": stamp(write.opened_at),
        "updated_at": stamp(write.updated_at),
        "alert_count": count,
        "entity_summary": safe_text(_summary(write.entity_keys)),
        "latest_decision": "",
        "latest_outcome": "",
        "latest_reason": "",
        "hold_until": None,
    }


def _summary(keys: Iterable[str]) -> str:
    """The few entities that a person would name the case by."""
    rank = {kind: place for place, kind in enumerate(_SHOWN_FIRST)}
    shown = sorted(keys, key=lambda key: (rank.get(key.partition(":")[0], len(rank)), key))
    return ", ".join(key.partition(":")[2][:80] for key in shown[:_SHOWN])


def _join_alerts(conn: Connection, writes: Sequence[CaseWrite]) -> list[int]:
    """How many alerts each write really adds."""
    at: dict[tuple[str, str], str | None] = {}
    for tenant in sorted({write.tenant for write in writes}):
        wanted = sorted({alert for write in writes if write.tenant == tenant for alert in write.new_alert_ids})
        for part in chunks(wanted):
            statement = select(alert_table.c.alert_id, alert_table.c.case_id).where(
                alert_table.c.tenant == tenant, alert_table.c.alert_id.in_(part)
            )
            at.update({(tenant, row.alert_id): row.case_id for row in conn.execute(statement)})
    moves: list[dict[str, str]] = []
    joined: list[int] = []
    for write in writes:
        before = len(moves)
        for alert_id in write.new_alert_ids:
            name = (write.tenant, alert_id)
            if name not in at:
                raise NightdeskError(f"{write.tenant}: alert {alert_id} does not exist; store it before its case")
            if at[name] not in {None, write.case_id}:
                raise NightdeskError(f"{write.tenant}: alert {alert_id} is in {at[name]}, not in {write.case_id}")
            if at[name] is None:
                at[name] = write.case_id
                moves.append({"of_tenant": write.tenant, "of_alert": alert_id, "to": write.case_id})
        joined.append(len(moves) - before)
    if moves:
        where = (alert_table.c.tenant == bindparam("of_tenant"), alert_table.c.alert_id == bindparam("of_alert"))
        conn.execute(update(alert_table).where(*where).values(case_id=bindparam("to")), moves)
    return joined


def _index_entities(conn: Connection, writes: Sequence[CaseWrite]) -> None:
    rows: dict[tuple[str, str, str], str] = {}
    for write in writes:
        when = stamp(write.last_seen or write.updated_at)
        for key in write.entity_keys:
            name = (write.tenant, safe_key(key), write.case_id)
            rows[name] = max(rows.get(name, ""), when)
    if not rows:
        return
    adding = insert(conn, case_entity)
    statement = adding.on_conflict_do_update(
        index_elements=["tenant", "entity_key", "case_id"],
        set_={"last_seen": adding.excluded.last_seen},
        where=adding.excluded.last_seen > case_entity.c.last_seen,
    )
    conn.execute(
        statement,
        [
            {"tenant": tenant, "entity_key": key, "case_id": case_id, "last_seen": when}
            for (tenant, key, case_id), when in sorted(rows.items())
        ],
    )


def case(conn: Connection, tenant: str, case_id: str) -> Case | None:
    """One case of that tenant, with its alerts in the order of their arrival."""
    return cases(conn, tenant, [case_id]).get(case_id)


def cases(conn: Connection, tenant: str, case_ids: Collection[str]) -> dict[str, Case]:
    """These cases by id; those that do not exist are left out."""
    names = sorted(set(case_ids))
    alerts = alerts_of_case(conn, tenant, names)
    found = {}
    for part in chunks(names):
        statement = select(case_file).where(case_file.c.tenant == tenant, case_file.c.case_id.in_(part))
        for row in conn.execute(statement):
            found[row.case_id] = Case(
                tenant,
                row.case_id,
                row.title,
                CaseStatus(row.status),
                row.severity_id,
                moment(row.opened_at),
                moment(row.updated_at),
                alerts.get(row.case_id, ()),
            )
    return found


def raise_severity(conn: Connection, tenant: str, case_id: str, severity_id: int) -> None:
    """The case is that grave from now on."""
    statement = update(case_file).where(case_file.c.tenant == tenant, case_file.c.case_id == case_id)
    conn.execute(statement.values(severity_id=severity_id))


def set_status(conn: Connection, tenant: str, case_id: str, status: CaseStatus, *, at: datetime) -> None:
    """Changes where the case stands. Raises when there is no such case."""
    set_statuses(conn, tenant, {case_id: status}, at=at)


def set_statuses(conn: Connection, tenant: str, statuses: Mapping[str, CaseStatus], *, at: datetime) -> None:
    """Changes where these cases stand. Raises when one of them is not there."""
    if not statuses:
        return
    where = (case_file.c.tenant == bindparam("of_tenant"), case_file.c.case_id == bindparam("of_case"))
    statement = update(case_file).where(*where).values(status=bindparam("now"), updated_at=bindparam("since"))
    rows = [
        {"of_tenant": tenant, "of_case": case_id, "now": status, "since": stamp(at)}
        for case_id, status in statuses.items()
    ]
    if conn.execute(statement, rows).rowcount != len(rows):
        raise NightdeskError(f"{tenant}: there is no case {' or '.join(statuses)}")
