"""A unit looked at again: its labels, canaries and facts, what follows from them, and what has to be re-opened.

Everything of one look is in the caller's transaction: a level never goes without its closures, nor they without it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection

from nightdesk.autonomy.levels.fleet import prior_for
from nightdesk.autonomy.levels.ladder import Bounds, Cause, Loss, Step, advance, bounds, lower
from nightdesk.autonomy.levels.proof import CanaryCounts, prove
from nightdesk.autonomy.levels.standing import Facts, Level, Proof, Standing
from nightdesk.autonomy.levels.units import Unit
from nightdesk.autonomy.oversight.canaries import CanaryState
from nightdesk.hub.oversight.office import Office
from nightdesk.hub.oversight.reopening import Reopened, closures_since, reopen, take_back_later
from nightdesk.hub.store import canaries, labels, levels, samples

__all__ = ["Appraisal", "another_version", "appraise", "look", "revoke"]

_MACHINE = "autonomy"
_CANARIES_COUNT = timedelta(days=365)


@dataclass(frozen=True, slots=True)
class Appraisal:
    """What a look found: how the unit stands, on what, and which cases were given back."""

    standing: Standing
    proof: Proof
    facts: Facts
    bounds: Bounds
    reopened: tuple[str, ...] = ()
    reasons: tuple[str, ...] = ()


def look(conn: Connection, office: Office, unit: Unit, *, at: datetime) -> Appraisal:
    """How the unit stands and on what, changing nothing."""
    standing = levels.standing(conn, unit)
    proof, facts = _proof(conn, office, standing, at), office.surroundings.facts(conn, standing, at)
    return Appraisal(standing, proof, facts, bounds(standing, facts, office.demands))


def appraise(conn: Connection, office: Office, unit: Unit, *, at: datetime) -> Appraisal:
    """Looks again, and does what the machine does by itself: down at once, up no further than *recommend*."""
    before = _held(conn, unit, at)
    proof, facts = _proof(conn, office, before, at), office.surroundings.facts(conn, before, at)
    return _taken(conn, office, before, advance(before, proof, facts, at, office.demands), proof, facts, at=at)


def revoke(conn: Connection, office: Office, unit: Unit, loss: Loss, *, at: datetime, by: str = "") -> Appraisal:
    """Takes the level away for that reason, whatever the evidence says. ``by`` is the person who does it."""
    before = _held(conn, unit, at)
    proof, facts = _proof(conn, office, before, at), office.surroundings.facts(conn, before, at)
    step = lower(before.with_changes(proof=proof), loss, now=at, by=by)
    return _taken(conn, office, before, step, proof, facts, at=at, by=by)


def another_version(
    conn: Connection, office: Office, unit: Unit, acting: Sequence[Standing], *, at: datetime
) -> tuple[Appraisal, ...]:
    """The rule fires in that version now: what any other one earned is over (2.5), and is earned anew if it returns."""
    same = [one for one in acting if one.unit.family == unit.family and one.unit.decides is unit.decides]
    found = []
    for other in same:
        if other.unit == unit:
            continue
        told = f"the rule fires as version {unit.version or 'unnamed'} now"
        found.append(revoke(conn, office, other.unit, Loss(Cause.VERSION, Level.OFF, told), at=at))
    return tuple(found)


def _held(conn: Connection, unit: Unit, at: datetime) -> Standing:
    standing = levels.standing(conn, unit, hold=True)
    return standing if standing.first_seen is not None else standing.with_changes(first_seen=at)


def _proof(conn: Connection, office: Office, standing: Standing, at: datetime) -> Proof:
    unit = standing.unit
    # Where it went wrong once, others' experience is no argument any more.
    lent = 0
    if not standing.counts_after and not unit.decides.contains and len(office.tenants) > 2:  # see fleet
        told = labels.contributions(conn, office.tenants, unit.rule)
        lent = prior_for(unit.rule, unit.tenant, told, office.demands.terms)
    since = standing.forgot_at
    own = [
        one.state
        for one in canaries.of_family(conn, unit.tenant, unit.family)
        if since is None or (one.settled_at is not None and one.settled_at > since)
    ]
    caught, missed = canaries.counts(conn, office.tenants, at - _CANARIES_COUNT)
    counts = CanaryCounts(caught, missed, own.count(CanaryState.CAUGHT), own.count(CanaryState.MISSED))
    given = labels.of_rule(conn, unit.tenant, unit.rule)
    return prove(standing, given, prior=lent, canaries=counts, terms=office.demands.terms)


def _taken(
    conn: Connection,
    office: Office,
    before: Standing,
    step: Step,
    proof: Proof,
    facts: Facts,
    *,
    at: datetime,
    by: str = "",
) -> Appraisal:
    """Stores what a step led to, with its line in the audit, and re-opens what it has to."""
    unit, after = before.unit, step.standing
    given_back = Reopened()
    if step.reopen_since is not None and step.loss is not None:
        why = {
            "unit": str(unit),
            "rule": unit.rule,
            "cause": step.loss.cause.value,
            "text": step.loss.text,
            "since": step.reopen_since.isoformat(),
        }
        closed = closures_since(conn, unit.tenant, unit.rule, step.reopen_since)
        given_back = reopen(conn, office.store, closed, why, at=at, by=by)
    owed = take_back_later(conn, office.store, unit.tenant, before.owed, at=at) if before.owed else ()
    after = after.with_changes(owed=(*owed, *given_back.owed), clean_at=_clean_at(conn, after))
    if step.loss is not None:
        detail: dict[str, Any] = {"from": int(before.level), **step.loss.to_json(), "reopened": len(given_back.cases)}
        levels.note(conn, unit, "level.lost", by=by or _MACHINE, at=at, detail=detail)
    elif after.level != before.level:
        detail = {"from": int(before.level), "to": int(after.level), "proof": proof.to_json()}
        levels.note(conn, unit, "level.gained", by=_MACHINE, at=at, detail=detail)
    if after != before or before.first_seen == at:
        levels.keep(conn, after, at=at)
    return Appraisal(after, proof, facts, bounds(after, facts, office.demands), given_back.cases, step.reasons)


def _clean_at(conn: Connection, standing: Standing) -> datetime | None:
    """When a batch was last clean: samples judged without a gap or a miss, or a canary caught."""
    unit = standing.unit
    if not standing.level.alone:
        return standing.clean_at
    caught = [
        one.settled_at
        for one in canaries.of_family(conn, unit.tenant, unit.family)
        if one.state is CanaryState.CAUGHT and one.settled_at is not None
    ]
    known = [standing.clean_at, samples.newest_clean(conn, unit.tenant, unit.rule), max(caught, default=None)]
    return max((one for one in known if one is not None), default=None)
