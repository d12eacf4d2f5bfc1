"""Who stands in for whom, and until when: one row a tenant, and a line of the audit for every change of it.

The row is the tenant's place of that name in the table of places; both are written in one transaction.
"""

from datetime import datetime, timedelta

from sqlalchemy import Connection

from nightdesk.autonomy.approvals import Delegation, Rules, same_person
from nightdesk.hub.store import Store, audit, intake
from nightdesk.hub.store.codec import moment, stamp
from nightdesk.hub.store.sql import take
from nightdesk.sdk.errors import PolicyError

__all__ = ["LONGEST", "current", "delegate", "withdraw"]

LONGEST = timedelta(days=31)
"""A delegation ends by itself after that at the latest."""

_PLACE = ("approvals", "delegations")


def current(conn: Connection, tenant: str, now: datetime) -> list[Delegation]:
    """Those that have not ended."""
    kept = (intake.cursor(conn, tenant, *_PLACE) or {}).get("delegations", ())
    found = [Delegation(one["giver"], one["taker"], moment(one["until"]), one.get("by", "")) for one in kept]
    return [one for one in found if one.until > now]


def delegate(store: Store, rules: Rules, tenant: str, wanted: Delegation, *, by: str, now: datetime) -> Delegation:
    """From now on the taker may vote for the giver. Raises PolicyError for what nobody may hand on so."""
    giver, taker, actor = (rules.person(name) for name in (wanted.giver, wanted.taker, by))
    if giver is None or not rules.entitled(wanted.giver):
        raise PolicyError(f"{wanted.giver} may not approve in {tenant}, and so has nothing to hand on")
    if taker is None:
        raise PolicyError(f"{wanted.taker} is nobody of {tenant}: add them to approvals.people")
    if rules.is_same(giver.name, taker.name):
        raise PolicyError(f"{giver.name} cannot stand in for {taker.name}: it is the same person")
    _check(rules, tenant, giver.name, by)
    if actor is not None and not same_person(by, giver.name) and rules.is_same(actor.name, taker.name):
        raise PolicyError(f"{by} cannot take {giver.name}'s vote: {giver.name} or another admin gives it")
    if not now < wanted.until <= now + LONGEST:
        raise PolicyError(f"a delegation ends within {LONGEST.days} days, and not before now: {wanted.until}")
    made = Delegation(giver.name, taker.name, wanted.until, actor.name if actor is not None else by)
    _write(store, tenant, made, by=by, now=now, event="approval.delegated")
    return made


def withdraw(store: Store, rules: Rules, tenant: str, wanted: Delegation, *, by: str, now: datetime) -> None:
    """Ends it now. Raises PolicyError for who may not, and when there is none."""
    _check(rules, tenant, wanted.giver, by)
    with store.read() as conn:
        if not any(_is(one, wanted) for one in current(conn, tenant, now)):
            raise PolicyError(f"{wanted.taker} does not stand in for {wanted.giver} in {tenant}")
    ended = Delegation(wanted.giver, wanted.taker, now)
    _write(store, tenant, ended, by=by, now=now, event="approval.delegation_ended")


def _check(rules: Rules, tenant: str, giver: str, by: str) -> None:
    actor = rules.person(by)
    if actor is None or not (same_person(by, giver) or actor.role == "admin"):
        raise PolicyError(f"{by or 'nobody'} cannot hand on {giver}'s vote: {giver} or an admin of {tenant} does")


def _is(one: Delegation, other: Delegation) -> bool:
    return same_person(one.giver, other.giver) and same_person(one.taker, other.taker)


def _write(store: Store, tenant: str, changed: Delegation, *, by: str, now: datetime, event: str) -> None:
    def work(conn: Connection) -> None:
        take(conn, tenant, "delegation")  # whoever else writes it waits for this row
        kept = [one for one in current(conn, tenant, now) if not _is(one, changed)]
        rows = [
            {"giver": one.giver, "taker": one.taker, "until": stamp(one.until), "by": one.by}
            for one in [*kept, *([changed] if changed.until > now else [])]
        ]
        intake.move_cursor(conn, tenant, *_PLACE, {"delegations": rows}, now)
        detail = {"from": changed.giver, "to": changed.taker, "until": stamp(changed.until)}
        audit.append(conn, tenant=tenant, at=now, actor=by, event=event, detail=detail)

    store.transact(work)
