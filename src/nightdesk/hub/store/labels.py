"""Labels as they were given: appended, changed in their state only, each change with its line in the tenant's audit."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, select, update
from sqlalchemy import insert as plain_insert

from nightdesk.autonomy.levels.fleet import Contribution
from nightdesk.autonomy.levels.units import DecisionClass
from nightdesk.autonomy.oversight.labels import Label, LabelState, counted
from nightdesk.hub.store import audit
from nightdesk.hub.store.codec import dump, safe_key, stamp
from nightdesk.hub.store.schema import verdict_label as table
from nightdesk.hub.store.sql import chunks, take

__all__ = [
    "analysts",
    "confirmed",
    "contributions",
    "give",
    "of_analyst",
    "of_case",
    "of_cases",
    "of_rule",
    "of_tenant",
    "restate",
    "since",
    "withdraw",
]


def give(conn: Connection, labels: Sequence[Label]) -> list[Label]:
    """Appends one person's labels of one moment, numbered; returns them as stored."""
    if not labels:
        return []
    tenant = labels[0].tenant
    first = take(conn, tenant, "verdict_label", len(labels))
    stored = [replace(one, seq=seq, label_id=f"label-{seq:07d}") for seq, one in enumerate(labels, first)]
    conn.execute(plain_insert(table), [{"tenant": one.tenant, "seq": one.seq, **_row(one)} for one in stored])
    for one in stored:
        # What the machine would have done, and what was known, stand in the label and not where everybody reads.
        said = {"label_id": one.label_id, "case_id": one.case_id, "rule": one.rule, "verdict": one.verdict.value}
        _note(conn, tenant, "label.given", one.analyst, one.at, {**said, "blind": one.blind, "how": one.how.value})
    return stored


def restate(conn: Connection, before: Sequence[Label], after: Sequence[Label], *, at: datetime, by: str) -> None:
    """Stores the states that labels have together now; only those that changed are written."""
    for was, now in zip(before, after, strict=True):
        if was != now:
            _change(conn, now)
            moved = {"label_id": now.label_id, "from": was.state.value, "to": now.state.value}
            _note(conn, now.tenant, "label.state", by, at, moved)


def withdraw(conn: Connection, labels: Sequence[Label], why: str, *, at: datetime, by: str) -> list[Label]:
    """Takes them out of everything they count for; they stay readable."""
    gone = [replace(one, state=LabelState.WITHDRAWN, withdrawn_why=why) for one in labels if one.standing]
    for one in gone:
        _change(conn, one)
        _note(conn, one.tenant, "label.withdrawn", by, at, {"label_id": one.label_id, "rule": one.rule, "reason": why})
    return gone


def of_rule(conn: Connection, tenant: str, rule: str) -> list[Label]:
    """Every label of that rule in that tenant, oldest first."""
    return _read(conn, table.c.tenant == tenant, table.c.unit == safe_key(rule))


def of_tenant(conn: Connection, tenant: str) -> list[Label]:
    """Every label of that tenant, oldest first."""
    return _read(conn, table.c.tenant == tenant)


def since(conn: Connection, tenant: str, at: datetime) -> list[Label]:
    """The labels given since then, oldest first."""
    return _read(conn, table.c.tenant == tenant, table.c.at >= stamp(at))


def of_case(conn: Connection, tenant: str, case_id: str) -> list[Label]:
    """Every label of that case, oldest first."""
    return _read(conn, table.c.tenant == tenant, table.c.case_id == case_id)


def of_cases(conn: Connection, tenant: str, case_ids: Collection[str]) -> dict[str, list[Label]]:
    """The same of many cases; those without any are left out."""
    found: dict[str, list[Label]] = {}
    for part in chunks(sorted(set(case_ids))):
        for label in _read(conn, table.c.tenant == tenant, table.c.case_id.in_(part)):
            found.setdefault(label.case_id, []).append(label)
    return found


def confirmed(conn: Connection, tenant: str, *, limit: int) -> dict[str, list[Label]]:
    """The newest confirmed labels by case: what is known for certain."""
    where = (table.c.tenant == tenant, table.c.state == LabelState.CONFIRMED)
    statement = select(table.c.body).where(*where).order_by(table.c.seq.desc()).limit(limit)
    found: dict[str, list[Label]] = {}
    for body in conn.execute(statement).scalars():
        label = Label.from_bytes(body)
        found.setdefault(label.case_id, []).append(label)
    return found


def of_analyst(conn: Connection, tenant: str, analyst: str) -> list[Label]:
    """Every label of that person, oldest first."""
    return _read(conn, table.c.tenant == tenant, table.c.analyst == safe_key(analyst.casefold()))


def analysts(conn: Connection, tenant: str) -> list[str]:
    """Who judged anything there."""
    return sorted(conn.execute(select(table.c.analyst).where(table.c.tenant == tenant).distinct()).scalars())


def contributions(conn: Connection, tenants: Collection[str], rule: str) -> list[Contribution]:
    """Of each tenant how many cases of that rule it judged benign, and how many attacks: nothing else (law 3).

    Only what the machine would have closed counts as benign; an attack counts whatever it would have done.
    """
    found = []
    for tenant in sorted(tenants):
        labels = counted(of_rule(conn, tenant, rule))
        benign = sum(one.benign and one.blind and one.about(DecisionClass.CLOSE) for one in labels)
        attacks = sum(one.attack for one in labels)
        found.append(Contribution(tenant, rule, benign, attacks))
    return found


def _read(conn: Connection, *where: Any) -> list[Label]:
    statement = select(table.c.body).where(*where).order_by(table.c.seq)
    return [Label.from_bytes(body) for body in conn.execute(statement).scalars()]


def _change(conn: Connection, label: Label) -> None:
    where = (table.c.tenant == label.tenant, table.c.seq == label.seq)
    conn.execute(update(table).where(*where).values(state=label.state, body=dump(label.to_json())))


def _row(label: Label) -> dict[str, Any]:
    return {
        "label_id": label.label_id,
        "unit": safe_key(label.rule),
        "case_id": label.case_id,
        "analyst": safe_key(label.analyst.casefold()),
        "state": label.state,
        "at": stamp(label.at),
        "body": dump(label.to_json()),
    }


def _note(conn: Connection, tenant: str, event: str, by: str, at: datetime, detail: Mapping[str, Any]) -> None:
    audit.append(conn, tenant=tenant, at=at, actor=by, event=event, detail=detail)
