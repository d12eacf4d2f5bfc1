"""What the console, the command line and the metrics read; every question costs the same with a million alerts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime

from sqlalchemy import Connection, func, literal, select, tuple_
from sqlalchemy import case as either

from nightdesk.autonomy.actions import Action, JournalEntry
from nightdesk.autonomy.playbooks.run import Run
from nightdesk.hub.store.actions import actions_of_case, entry_of
from nightdesk.hub.store.cases import case as read_case
from nightdesk.hub.store.codec import moment, stamp
from nightdesk.hub.store.decisions import decisions as read_decisions
from nightdesk.hub.store.playbooks import runs
from nightdesk.hub.store.schema import (
    LIVE,
    QUARANTINED,
    TEXT,
    WAITING,
    action_journal,
    case_file,
    chain_head,
    counter,
    inbox,
    ledger,
)
from nightdesk.hub.store.schema import (
    action as action_table,
)
from nightdesk.hub.store.sql import chunks
from nightdesk.sdk.case import Case, Decision

__all__ = ["CasePage", "CaseRow", "Totals", "case_list", "case_page", "closed_by_day", "status_counts", "totals"]


@dataclass(frozen=True, slots=True)
class CaseRow:
    """One line of the case list; ``actions`` counts the case's actions by state."""

    case_id: str
    title: str
    status: str
    severity_id: int
    opened_at: datetime
    updated_at: datetime
    alert_count: int
    entity_summary: str
    latest_outcome: str
    latest_reason: str
    actions: Mapping[str, int]

    @property
    def position(self) -> tuple[str, str]:
        """What ``case_list(before=…)`` takes to go on after this line."""
        return stamp(self.updated_at), self.case_id


@dataclass(frozen=True, slots=True)
class CasePage:
    """Everything about one case; ``journal`` by action id, each oldest first."""

    case: Case
    decisions: Sequence[Decision]
    actions: Sequence[Action]
    journal: Mapping[str, Sequence[JournalEntry]]
    runs: Sequence[Run] = ()
    """Playbook runs, newest first."""


@dataclass(frozen=True, slots=True)
class Totals:
    """One tenant's counts. ``actions`` are those that are not over, by state; ``cases`` by status."""

    received: int
    duplicate: int
    waiting: int
    quarantined: int
    alerts: int
    decisions: int
    cases: Mapping[str, int]
    actions: Mapping[str, int]


def case_list(
    conn: Connection,
    tenant: str,
    *,
    status: str | None = None,
    limit: int = 50,
    before: tuple[str, str] | None = None,
) -> list[CaseRow]:
    """Cases by their newest change, newest first; ``before`` is the ``position`` of the last line seen."""
    table = case_file.c
    statement = (
        select(case_file)
        .where(table.tenant == tenant)
        .order_by(table.updated_at.desc(), table.case_id.desc())
        .limit(limit)
    )
    if status is not None:
        statement = statement.where(table.status == str(status))
    if before is not None:
        here = tuple_(literal(before[0], TEXT), literal(before[1], TEXT))
        statement = statement.where(tuple_(table.updated_at, table.case_id) < here)
    rows = conn.execute(statement).all()
    actions = _actions_by_case(conn, tenant, [row.case_id for row in rows])
    return [
        CaseRow(
            row.case_id,
            row.title,
            row.status,
            row.severity_id,
            moment(row.opened_at),
            moment(row.updated_at),
            row.alert_count,
            row.entity_summary,
            row.latest_outcome,
            row.latest_reason,
            actions.get(row.case_id, {}),
        )
        for row in rows
    ]


def _actions_by_case(conn: Connection, tenant: str, case_ids: Sequence[str]) -> dict[str, dict[str, int]]:
    table = action_table.c
    found: dict[str, dict[str, int]] = {}
    for part in chunks(case_ids):
        statement = (
            select(table.case_id, table.state, func.count().label("number"))
            .where(table.tenant == tenant, table.case_id.in_(part))
            .group_by(table.case_id, table.state)
        )
        for case_id, state, number in conn.execute(statement):
            found.setdefault(case_id, {})[state] = number
    return found


def case_page(conn: Connection, tenant: str, case_id: str) -> CasePage | None:
    """One case with its decisions, actions and their journal; None when the tenant has no such case."""
    case = read_case(conn, tenant, case_id)
    if case is None:
        return None
    actions = actions_of_case(conn, tenant, case_id)
    journal: dict[str, list[JournalEntry]] = {action.action_id: [] for action in actions}
    lines = action_journal.c
    for part in chunks(list(journal)):
        statement = (
            select(action_journal)
            .where(lines.tenant == tenant, lines.action_id.in_(part))
            .order_by(lines.action_id, lines.seq)
        )
        for row in conn.execute(statement):
            journal[row.action_id].append(entry_of(row))
    return CasePage(case, read_decisions(conn, tenant, case_id), actions, journal, runs(conn, tenant, case_id=case_id))


def status_counts(conn: Connection, tenant: str) -> dict[str, int]:
    """How many cases stand where."""
    statement = select(case_file.c.status, func.count()).where(case_file.c.tenant == tenant)
    return {row[0]: row[1] for row in conn.execute(statement.group_by(case_file.c.status))}


def closed_by_day(conn: Connection, tenant: str, since: datetime) -> dict[date, tuple[int, int]]:
    """By day (UTC) how many of the cases opened on it are closed now, and how many there are."""
    table = case_file.c
    day = func.substr(table.opened_at, 1, 10)
    closed = func.sum(either((table.status == "closed", 1), else_=0))
    statement = select(day, closed, func.count()).where(table.tenant == tenant, table.opened_at >= stamp(since))
    return {date.fromisoformat(row[0]): (int(row[1]), int(row[2])) for row in conn.execute(statement.group_by(day))}


def totals(conn: Connection) -> dict[str, Totals]:
    """The counts of every tenant, for metrics; from counters and partial indexes, so that scraping stays cheap."""
    came = select(ledger.c.tenant, func.sum(ledger.c.received), func.sum(ledger.c.duplicate)).group_by(ledger.c.tenant)
    received = {tenant: (int(count), int(repeats)) for tenant, count, repeats in conn.execute(came)}
    given = select(counter.c.tenant, counter.c.value).where(counter.c.name == "alert")
    alerts = {row[0]: row[1] for row in conn.execute(given)}
    decided = select(chain_head.c.tenant, chain_head.c.seq).where(chain_head.c.chain == "decision")
    decisions = {row[0]: row[1] for row in conn.execute(decided)}
    aside: dict[str, dict[str, int]] = {}
    for word, condition in (("waiting", WAITING), ("quarantined", QUARANTINED)):
        counting = select(inbox.c.tenant, func.count()).where(condition).group_by(inbox.c.tenant)
        aside[word] = {row[0]: row[1] for row in conn.execute(counting)}
    states: dict[str, dict[str, dict[str, int]]] = {"cases": {}, "actions": {}}
    by_status = select(case_file.c.tenant, case_file.c.status, func.count())
    by_state = select(action_table.c.tenant, action_table.c.state, func.count()).where(LIVE)
    for word, statement in (
        ("cases", by_status.group_by(case_file.c.tenant, case_file.c.status)),
        ("actions", by_state.group_by(action_table.c.tenant, action_table.c.state)),
    ):
        for tenant, state, number in conn.execute(statement):
            states[word].setdefault(tenant, {})[state] = number
    return {
        tenant: Totals(
            *received.get(tenant, (0, 0)),
            waiting=aside["waiting"].get(tenant, 0),
            quarantined=aside["quarantined"].get(tenant, 0),
            alerts=alerts.get(tenant, 0),
            decisions=decisions.get(tenant, 0),
            cases=states["cases"].get(tenant, {}),
            actions=states["actions"].get(tenant, {}),
        )
        for tenant in sorted(received.keys() | alerts.keys() | decisions.keys() | states["cases"].keys())
    }
