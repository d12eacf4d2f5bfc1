"""Closures made by a right that is gone, given back to people: in the transaction that takes the right away (law 10).

The case is escalated by a recorded decision, and what was told the vendor is taken back the way every action is.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import structlog
from sqlalchemy import Connection, select

from nightdesk.autonomy.actions import Action, ActionState
from nightdesk.autonomy.ledger import Ledger
from nightdesk.autonomy.levels.gate import rules_closed_by
from nightdesk.autonomy.levels.reopening import reopened
from nightdesk.autonomy.pacing import Limits, Pace
from nightdesk.autonomy.proposals import Proposals
from nightdesk.autonomy.reversal import Reversal
from nightdesk.autonomy.routing import Route
from nightdesk.autonomy.switches import CLOSES
from nightdesk.hub.store import Store, cases, decisions
from nightdesk.hub.store.actions import SqlJournal
from nightdesk.hub.store.codec import decode_decision, stamp
from nightdesk.hub.store.prior import Joined, decision_counts
from nightdesk.hub.store.schema import case_file
from nightdesk.hub.store.schema import decision as decision_table
from nightdesk.sdk.case import CaseStatus, Decision
from nightdesk.sdk.errors import UnsupportedError
from nightdesk.sdk.targets import Target

__all__ = ["Reopened", "closures_since", "reopen", "take_back_later"]

_log = structlog.get_logger(__name__)
_S = ActionState
_WAITING = frozenset({_S.PROPOSED, _S.AWAITING_APPROVAL, _S.APPROVED})
_UNDER_WAY = frozenset({_S.REQUESTED, _S.ACCEPTED, _S.PENDING})
_THERE = frozenset({_S.EFFECTIVE, _S.LEASED, _S.RENEWED, _S.EXPIRED, _S.UNVERIFIED, _S.CONTRADICTED})
_LEASE = timedelta(hours=4)


@dataclass(frozen=True, slots=True)
class Reopened:
    """What was given back, and the actions whose undo can be asked for only once they are settled."""

    cases: tuple[str, ...] = ()
    owed: tuple[str, ...] = ()


class _Nobody:
    """A router for work on the journal alone: an undo that is asked for is sent by the engine, not here."""

    async def route(self, tenant: str, verb: str, target: Target, source_instance: str | None) -> Route:
        """Never."""
        raise UnsupportedError(f"{tenant}: {verb} {target} ({source_instance}) is routed by the engine, not from here")

    async def route_to(self, tenant: str, instance: str, verb: str, target: Target, native_id: str) -> Route:
        """Never."""
        raise UnsupportedError(f"{tenant}: {verb} {target} ({instance} {native_id}) is routed by the engine")


def closures_since(conn: Connection, tenant: str, rule: str, since: datetime) -> list[Decision]:
    """The decisions by which that rule's level closed cases that are still closed, since then."""
    row = case_file.c
    closed = (
        select(decision_table.c.record)
        .join_from(
            case_file,
            decision_table,
            (decision_table.c.tenant == row.tenant) & (decision_table.c.decision_id == row.latest_decision),
        )
        .where(row.tenant == tenant, row.status == CaseStatus.CLOSED, row.updated_at >= stamp(since))
        .order_by(decision_table.c.seq)
    )
    made = [decode_decision(record) for record in conn.execute(closed).scalars()]
    return [one for one in made if one.decided_at >= since and rule in rules_closed_by(one)]


def reopen(
    conn: Connection, store: Store, closed: Sequence[Decision], why: Mapping[str, Any], *, at: datetime, by: str = ""
) -> Reopened:
    """Escalates these cases and takes back what was told the vendors about them. All in the caller's transaction."""
    if not closed:
        return Reopened()
    tenant = closed[0].tenant
    counts = decision_counts(conn, tenant, [one.case_id for one in closed])
    made = [
        reopened(one, why, now=at, decision_id=f"{one.case_id}-{counts.get(one.case_id, 0) + 1:03d}", by=by)
        for one in closed
    ]
    decisions.put_decisions(conn, made)
    owed: list[str] = []
    for one in made:
        cases.set_status(conn, tenant, one.case_id, CaseStatus.ESCALATED, at=at)
        owed += _take_back(conn, store, tenant, SqlJournal(Joined(store, conn)).of_case(tenant, one.case_id), by, at)
    _log.warning("reopened", tenant=tenant, cases=len(made), unit=why.get("unit"), cause=why.get("cause"))
    return Reopened(tuple(one.case_id for one in made), tuple(owed))


def take_back_later(
    conn: Connection, store: Store, tenant: str, owed: Iterable[str], *, at: datetime
) -> tuple[str, ...]:
    """Asks again for what could not be taken back yet; returns what still cannot."""
    journal = SqlJournal(Joined(store, conn))
    found = [one for name in owed if (one := journal.get(tenant, name)) is not None]
    reopened_cases = cases.cases(conn, tenant, {one.case_id for one in found})
    # Closed again meanwhile, by a person or a signed rule: then what the vendor was told is right.
    wanted = [one for one in found if reopened_cases[one.case_id].status is not CaseStatus.CLOSED]
    return tuple(_take_back(conn, store, tenant, wanted, "", at))


def _take_back(
    conn: Connection, store: Store, tenant: str, actions: Iterable[Action], by: str, at: datetime
) -> list[str]:
    """Cancels what was not sent, asks for the undo of what is there; returns what is on its way."""
    ledger = Ledger(SqlJournal(Joined(store, conn)), lambda: at, None)
    proposals = Proposals(ledger, default_lease=_LEASE)
    reversal = Reversal(ledger, _Nobody(), Pace(lambda: at), Limits())
    who, why, owed = by or "autonomy", "the case is open again: the right that closed it is gone", []
    for action in actions:
        if action.verb != CLOSES or action.requested_by != "autonomy" or action.tenant != tenant:
            continue
        if action.state in _WAITING:
            proposals.cancel(action, who, why)
        elif action.state in _UNDER_WAY:
            owed.append(action.action_id)
        elif action.state in _THERE:
            reversal.request(action, actor=who, reason=why)
    return owed
