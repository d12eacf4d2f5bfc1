"""Raising takes two persons, one an admin of that tenant; lowering takes one; raising in many tenants at once pauses.

A stolen account of whoever serves many tenants could otherwise raise all of them before anybody looks.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

import structlog
from sqlalchemy import Connection

from nightdesk.autonomy.ledger import ENGINE
from nightdesk.autonomy.levels.ladder import Cause, Loss, grant, wish
from nightdesk.autonomy.levels.standing import Level, Standing, ceiling
from nightdesk.autonomy.levels.units import Unit
from nightdesk.autonomy.switches import ANYWHERE, Position, Scope, Switch
from nightdesk.hub.api.view import Principal
from nightdesk.hub.oversight.appraisal import Appraisal, appraise, revoke
from nightdesk.hub.oversight.office import Office
from nightdesk.hub.oversight.persons import RAISES, WITHDRAWS, admitted
from nightdesk.hub.store import levels, samples, switches
from nightdesk.hub.two_persons import confirms
from nightdesk.sdk.errors import PolicyError

__all__ = ["PAUSE", "Raised", "agree", "promote", "withdraw"]

_log = structlog.get_logger(__name__)
PAUSE = Switch(ANYWHERE, Scope.LEVELS)
"""The switch that stops raising in every tenant; two persons start it again, as they do with any."""
_WINDOW = timedelta(minutes=10)
_TENANTS = 2
_PATIENCE = timedelta(days=7)
_Work = Callable[[Connection, datetime], "Raised"]


@dataclass(frozen=True, slots=True)
class Raised:
    """How a unit stands after a word for it; ``done`` when it was the second one."""

    standing: Standing
    done: bool


def promote(office: Office, unit: Unit, level: Level, *, by: Principal, reason: str) -> Raised:
    """The first person's wish to raise the unit. Raises PolicyError for who may not, or while raising is paused.

    Asking already tells what is missing: what has not been earned is refused before a second person is bothered.
    """
    admitted(by, unit.tenant, RAISES, "raising a level")
    _explained(unit, reason)

    def work(conn: Connection, at: datetime) -> Raised:
        look = appraise(conn, office, unit, at=at)
        if look.standing.first_seen == at:
            raise PolicyError(f"{unit} was never seen: no decision was about it, so there is nothing to raise")
        asked = wish(look.standing, level, by.name, now=at, reason=reason)
        grant(asked, look.proof, look.facts, "", now=at, demands=office.demands)
        levels.keep(conn, asked, at=at)
        detail = {"to": int(level), "reason": reason, "proof": look.proof.to_json()}
        levels.note(conn, unit, "level.raise_asked", by=by.name, at=at, detail=detail)
        return Raised(asked, done=False)

    return _unless_paused(office, unit, work)


def agree(office: Office, unit: Unit, *, by: Principal, reason: str) -> Raised:
    """The second person's word: raises it, on the evidence as it is now.

    Who asked is looked up again: a credential that was revoked since no longer counts.
    """
    admitted(by, unit.tenant, RAISES, "raising a level")
    _explained(unit, reason)

    def work(conn: Connection, at: datetime) -> Raised:
        look = appraise(conn, office, unit, at=at)
        asked = look.standing.wish
        if asked is None:
            raise PolicyError(f"{unit}: nobody asked to raise it; the first person says `autonomy promote`")
        if at - asked.at > _PATIENCE:
            raise PolicyError(f"{unit}: {asked.by} asked more than {_PATIENCE.days} days ago; ask anew")
        first = office.known(unit.tenant, asked.by)
        is_same = partial(office.is_same, unit.tenant)
        if not confirms(str(unit), first, by, is_same=is_same):
            raise PolicyError(f"{unit}: {asked.by}, who asked, may no longer raise levels; ask anew")
        raised = grant(look.standing, look.proof, look.facts, by.name, now=at, demands=office.demands)
        raised = raised.with_changes(closed_before=samples.closures_of(conn, unit.tenant, unit.rule))
        levels.keep(conn, raised, at=at)
        detail = {
            "from": int(look.standing.level),
            "to": int(raised.level),
            "asked_by": asked.by,
            "reason": reason,
            "proof": look.proof.to_json(),
            "facts": look.facts.to_json(),
        }
        levels.note(conn, unit, "level.raised", by=by.name, at=at, detail=detail)
        return Raised(raised, done=True)

    return _unless_paused(office, unit, work)


def withdraw(office: Office, unit: Unit, to: Level, *, by: Principal, reason: str) -> Appraisal:
    """Lowers the unit at once; what it closed since its last clean batch is open again when this returns.

    No pause stops it, and a wish to raise the unit is over. Raises PolicyError for who may not, or without a reason.
    """
    admitted(by, unit.tenant, WITHDRAWS, "withdrawing a level")
    _explained(unit, reason)

    def work(conn: Connection) -> Appraisal:
        at = office.clock()
        before = levels.standing(conn, unit, hold=True)
        if before.first_seen is None:
            raise PolicyError(f"{unit} was never seen: there is nothing to withdraw")
        if to >= before.level and before.wish is None and to >= min(before.hold, ceiling(unit.decides)):
            raise PolicyError(f"{unit} is at {before.level.word}: that is no more than {to.word}")
        return revoke(conn, office, unit, Loss(Cause.PERSON, to, reason), at=at, by=by.name)

    return office.store.transact(work)


class _PausedError(PolicyError):
    """Raising is stopped."""


def _unless_paused(office: Office, unit: Unit, work: _Work) -> Raised:
    """Runs ``work`` unless raising is stopped, or would be by too many tenants at once: then it stops it."""

    def guarded(conn: Connection) -> Raised | Position:
        at = office.clock()
        levels.ask_in_turn(conn)
        stopped = [one for one in switches.positions(conn, unit.tenant) if one.switch.scope is Scope.LEVELS]
        if stopped:
            raise _PausedError(f"{unit}: {stopped[0].told()}; two persons start it again")
        before = switches.position(conn, PAUSE)
        since = at - _WINDOW if before is None else max(at - _WINDOW, before.changed_at)
        active = {slug for slug in office.tenants if levels.raises(conn, slug, since)} | {unit.tenant}
        if len(active) > _TENANTS:
            minutes = _WINDOW // timedelta(minutes=1)
            why = f"levels were to be raised in {len(active)} tenants within {minutes} minutes; {_TENANTS} are allowed"
            return switches.stop(conn, PAUSE, by=ENGINE, reason=why, at=at)
        return work(conn, at)

    done = office.store.transact(guarded)
    if isinstance(done, Position):
        _log.warning("brake", switch=str(done.switch), reason=done.reason)
        raise _PausedError(f"{unit}: {done.told()}; two persons start it again")
    return done


def _explained(unit: Unit, reason: str) -> None:
    if not reason.strip():
        raise PolicyError(f"{unit}: say why; it is what the next person reads")
