"""Suppressions asked for, agreed to and ended by persons: two to be quiet, one to be called again."""

from dataclasses import replace
from datetime import datetime, timedelta

from sqlalchemy import Connection, select

from nightdesk.autonomy.suppression import LONGEST, PREFIX, Asked, State, Suppression, rules_of
from nightdesk.hub.api.view import Principal, Role
from nightdesk.hub.store import Store, suppressions
from nightdesk.hub.store.decisions import latest_decisions
from nightdesk.hub.store.regroup import ask_again
from nightdesk.hub.store.schema import case_file
from nightdesk.hub.two_persons import Known, allowed, confirms
from nightdesk.sdk.case import CaseStatus
from nightdesk.sdk.errors import PolicyError

__all__ = ["ENDS", "agree", "ask", "end"]

ENDS = frozenset({Role.ANALYST, Role.APPROVER, Role.ADMIN})


def ask(store: Store, asked: Asked, *, by: Principal, reason: str, lasts: timedelta) -> Suppression:
    """Notes what one person wants to be quiet about; it holds once a second one agrees. Raises PolicyError."""
    allowed("a suppression", by)
    if not reason.strip():
        raise PolicyError("a suppression: say why; it is what the next person reads")
    if not timedelta() < lasts <= LONGEST:
        raise PolicyError(f"a suppression ends: give a time of at most {LONGEST.days} days, or sign a rule instead")

    def work(conn: Connection) -> Suppression:
        now = store.clock()
        made = Suppression(suppressions.new_id(conn, by.tenant), asked, by.name, reason, now, now + lasts)
        rules_of([made.to_json()])
        suppressions.put(conn, by.tenant, made, event="suppression.asked", by=by.name, at=now)
        return made

    return store.transact(work)


def agree(store: Store, suppression_id: str, *, by: Principal, known: Known) -> Suppression:
    """The second person's word: from now on it holds. Raises PolicyError for who may not, and for what is over."""
    subject = f"suppression {suppression_id}"
    allowed(subject, by)

    def work(conn: Connection) -> Suppression:
        now = store.clock()
        one = _one(conn, by.tenant, suppression_id, now)
        if one.state is not State.ASKED:
            raise PolicyError(f"{subject} is {one.state}: there is nothing to agree to")
        first = known(by.tenant, one.owner)
        if not confirms(subject, first, by):
            raise PolicyError(f"{subject}: {one.owner}, who asked for it, may not any more; ask for it anew")
        made = replace(one, state=State.ACTIVE, agreed_by=by.name)
        suppressions.put(conn, by.tenant, made, event="suppression.agreed", by=by.name, at=now)
        return made

    return store.transact(work)


def end(store: Store, suppression_id: str, *, by: Principal) -> tuple[Suppression, list[str]]:
    """Ends it, or declines one that was asked for; and the closed cases that are decided again without it (law 10)."""
    if by.role not in ENDS:
        raise PolicyError(f"suppression {suppression_id}: {by.name} has the role {by.role}, which ends none")

    def work(conn: Connection) -> tuple[Suppression, list[str]]:
        now = store.clock()
        one = _one(conn, by.tenant, suppression_id, now, over=True)
        if one.state in {State.ENDED, State.DECLINED}:
            raise PolicyError(f"suppression {suppression_id} is {one.state} already")
        declined = one.state is State.ASKED
        made = replace(one, state=State.DECLINED if declined else State.ENDED, ended_by=by.name)
        event = "suppression.declined" if declined else "suppression.ended"
        suppressions.put(conn, by.tenant, made, event=event, by=by.name, at=now)
        again = [] if declined else _closed_under(conn, by.tenant, one)
        for case_id in again:
            ask_again(conn, by.tenant, case_id, now)
        return made, again

    return store.transact(work)


def _one(conn: Connection, tenant: str, suppression_id: str, now: datetime, *, over: bool = False) -> Suppression:
    found = suppressions.suppression(conn, tenant, suppression_id, hold=True)
    if found is None:
        raise PolicyError(f"{tenant}: there is no suppression {suppression_id}; `nightdesk suppress list` names them")
    if not over and now >= found.expires_at:
        raise PolicyError(f"suppression {suppression_id}: its time was over at {found.expires_at.isoformat()}")
    return found


def _closed_under(conn: Connection, tenant: str, one: Suppression) -> list[str]:
    table = case_file.c
    closed = select(table.case_id).where(
        table.tenant == tenant, table.status == CaseStatus.CLOSED, table.latest_reason == "suppressed"
    )
    latest = latest_decisions(conn, tenant, [str(case_id) for case_id in conn.execute(closed).scalars()])
    name = PREFIX + one.suppression_id
    return sorted(case_id for case_id, decision in latest.items() if name in decision.inputs["rules"])
