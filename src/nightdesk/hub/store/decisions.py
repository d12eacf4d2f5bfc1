"""The record of every decision: appended, never changed, chained by hashes, replayable from its bytes (law 11)."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, bindparam, insert, select, update

from nightdesk.hub.store import chain
from nightdesk.hub.store.codec import decode_decision, encode_decision, maybe_stamp, safe_text, stamp
from nightdesk.hub.store.schema import HELD, case_file
from nightdesk.hub.store.schema import decision as decision_table
from nightdesk.hub.store.sql import chunks
from nightdesk.sdk.case import Decision
from nightdesk.sdk.errors import NightdeskError

__all__ = [
    "decision_head",
    "decisions",
    "holds_due",
    "latest_decisions",
    "link_at",
    "put_decisions",
    "sound",
    "verify_decisions",
]

_CHAIN = "decision"


def put_decisions(conn: Connection, decisions: Sequence[Decision]) -> None:
    """Appends these decisions in the order given. Raises when an id is used already or the case does not exist."""
    by_tenant: dict[str, list[Decision]] = {}
    for decision in decisions:
        by_tenant.setdefault(decision.tenant, []).append(decision)
    for tenant, made in sorted(by_tenant.items()):
        _refuse_repeats(conn, tenant, [decision.decision_id for decision in made])
        links = chain.extend(conn, tenant, _CHAIN, [encode_decision(decision) for decision in made])
        conn.execute(insert(decision_table), [_row(decision, link) for decision, link in zip(made, links, strict=True)])
        _show_latest(conn, tenant, {decision.case_id: decision for decision in made})


def _refuse_repeats(conn: Connection, tenant: str, ids: Sequence[str]) -> None:
    used = {name for name in ids if ids.count(name) > 1} if len(set(ids)) != len(ids) else set()
    for part in chunks(ids):
        statement = select(decision_table.c.decision_id).where(
            decision_table.c.tenant == tenant, decision_table.c.decision_id.in_(part)
        )
        used.update(conn.execute(statement).scalars())
    if used:
        raise NightdeskError(f"{tenant}: decision {min(used)} is recorded already; a decision is never replaced")


def _row(decision: Decision, link: chain.Link) -> dict[str, Any]:
    return {
        "tenant": decision.tenant,
        "seq": link.seq,
        "decision_id": decision.decision_id,
        "case_id": decision.case_id,
        "outcome": decision.outcome,
        "decided_at": stamp(decision.decided_at),
        "previous_hash": link.previous_hash,
        "hash": link.hash,
        "record": link.record,
    }


def _show_latest(conn: Connection, tenant: str, latest: dict[str, Decision]) -> None:
    statement = (
        update(case_file)
        .where(case_file.c.tenant == bindparam("of_tenant"), case_file.c.case_id == bindparam("of_case"))
        .values(
            latest_decision=bindparam("decision"),
            latest_outcome=bindparam("outcome"),
            latest_reason=bindparam("reason"),
            hold_until=bindparam("hold"),
        )
    )
    rows = [
        {
            "of_tenant": tenant,
            "of_case": case_id,
            "decision": decision.decision_id,
            "outcome": decision.outcome,
            "reason": safe_text(decision.reason_code),
            "hold": maybe_stamp(decision.hold_until),
        }
        for case_id, decision in sorted(latest.items())
    ]
    if conn.execute(statement, rows).rowcount != len(rows):
        raise NightdeskError(f"{tenant}: a decision names a case that does not exist; store the case before it")


def decisions(conn: Connection, tenant: str, case_id: str) -> list[Decision]:
    """Every decision of that case, oldest first."""
    table = decision_table.c
    statement = select(table.record).where(table.tenant == tenant, table.case_id == case_id).order_by(table.seq)
    return [decode_decision(record) for record in conn.execute(statement).scalars()]


def latest_decisions(conn: Connection, tenant: str, case_ids: Sequence[str]) -> dict[str, Decision]:
    """The newest decision of each of these cases; those without any are left out."""
    found = {}
    for part in chunks(sorted(set(case_ids))):
        statement = (
            select(decision_table.c.record)
            .join_from(
                case_file,
                decision_table,
                (decision_table.c.tenant == case_file.c.tenant)
                & (decision_table.c.decision_id == case_file.c.latest_decision),
            )
            .where(case_file.c.tenant == tenant, case_file.c.case_id.in_(part))
        )
        for record in conn.execute(statement).scalars():
            decision = decode_decision(record)
            found[decision.case_id] = decision
    return found


def holds_due(conn: Connection, now: datetime, *, limit: int = 1000) -> list[tuple[str, str, str]]:
    """(tenant, case, decision) of holds whose time has come and that no later decision replaced, longest due first."""
    table = case_file.c
    statement = (
        select(table.tenant, table.case_id, table.latest_decision)
        .where(HELD, table.hold_until <= stamp(now))
        .order_by(table.hold_until, table.tenant, table.case_id)
        .limit(limit)
    )
    return [(row.tenant, row.case_id, row.latest_decision) for row in conn.execute(statement)]


def decision_head(conn: Connection, tenant: str) -> chain.Head:
    """The newest link of that tenant's decisions: note it elsewhere, and nobody can rewrite what came before it."""
    return chain.head(conn, tenant, _CHAIN)


def verify_decisions(conn: Connection, tenant: str) -> list[str]:
    """What was changed since it was decided; empty when nothing was. Reads every decision of the tenant."""
    found: list[str] = []
    latest: dict[str, str] = {}

    def links() -> Iterator[chain.Link]:
        statement = select(decision_table).where(decision_table.c.tenant == tenant).order_by(decision_table.c.seq)
        for row in conn.execute(statement, execution_options={"yield_per": 1000}):
            link = chain.Link(row.seq, row.previous_hash, row.hash, row.record)
            yield link
            latest[row.case_id] = row.decision_id
            problem = sound(row) if chain.intact(tenant, _CHAIN, link) else ""
            if chain.intact(tenant, _CHAIN, link) and (problem := sound(row)):
                found.append(problem)

    broken = chain.problems(conn, tenant, _CHAIN, links()) + found
    shown = select(case_file.c.case_id, case_file.c.latest_decision).where(case_file.c.tenant == tenant)
    broken += [
        f"case {row.case_id} of {tenant}: shows decision {row.latest_decision or 'none'}, "
        f"the record ends with {latest.get(row.case_id, 'none')}"
        for row in conn.execute(shown, execution_options={"yield_per": 1000})
        if row.latest_decision != latest.get(row.case_id, "")
    ]
    return broken


def sound(row: Any) -> str:
    """What is wrong with one row by itself, or nothing: then its record may be read. The chain is another question."""
    link = chain.Link(row.seq, row.previous_hash, row.hash, row.record)
    if not chain.intact(row.tenant, _CHAIN, link):
        return f"decision {row.seq} of {row.tenant}: its content is not what was recorded"
    return "" if _agrees(row) else f"decision {row.seq} of {row.tenant}: its columns differ from its record"


def link_at(conn: Connection, tenant: str, seq: int) -> chain.Head | None:
    """The link of that number, to be compared with one that was noted down; None when there is none."""
    where = (decision_table.c.tenant == tenant, decision_table.c.seq == seq)
    row = conn.execute(select(decision_table.c.seq, decision_table.c.hash).where(*where)).one_or_none()
    return None if row is None else chain.Head(row.seq, row.hash)


def _agrees(row: Any) -> bool:
    made = decode_decision(row.record)
    recorded = (made.tenant, made.decision_id, made.case_id, made.outcome, stamp(made.decided_at))
    return recorded == (row.tenant, row.decision_id, row.case_id, row.outcome, row.decided_at)
