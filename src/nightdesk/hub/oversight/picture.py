"""How far every rule of a tenant is, in numbers: its level, what holds it, what is missing to the next one."""

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from sqlalchemy import Connection

from nightdesk.autonomy.evaluation.curve import Curve
from nightdesk.autonomy.levels.requirements import Requirement, next_level, requirements
from nightdesk.autonomy.levels.units import family_of
from nightdesk.autonomy.oversight.analysts import Trust, cohens_kappa
from nightdesk.autonomy.oversight.canaries import Catch, due, result
from nightdesk.autonomy.oversight.items import Item
from nightdesk.autonomy.oversight.sampling import Pile, pile
from nightdesk.hub.oversight.appraisal import Appraisal, look
from nightdesk.hub.oversight.judging import trust_of
from nightdesk.hub.oversight.office import Office
from nightdesk.hub.store import audit, canaries, labels, levels, queries, samples

__all__ = ["Picture", "UnitPicture", "picture"]

_WINDOW = timedelta(days=30)


@dataclass(frozen=True, slots=True)
class UnitPicture:
    """One unit: how it stands, and what the next level asks for. ``next_level`` is empty at the top."""

    look: Appraisal
    next_level: str
    asks: tuple[Requirement, ...]
    daily: tuple[int, ...]
    """Benign verdicts of the last 14 days, oldest first."""

    @property
    def lacking(self) -> tuple[str, ...]:
        """What is missing to the next level, for people."""
        return tuple(f"{ask.name} {ask.have} of {ask.need}" for ask in self.asks if not ask.met)

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        standing, bounds = self.look.standing, self.look.bounds
        wish = standing.wish
        return {
            **standing.unit.to_json(),
            "level": int(bounds.level),
            "level_name": bounds.level.word,
            "granted": standing.level.word,
            "held_by": bounds.held_by if bounds.level < standing.level or standing.hold < standing.level else "",
            "bounds": bounds.to_json(),
            "granted_by": list(standing.granted_by),
            "granted_at": standing.granted_at,
            "lost": standing.lost,
            "lost_at": standing.lost_at,
            "raise_asked": None if wish is None else {"level": wish.level.word, "by": wish.by, "at": wish.at},
            "proof": self.look.proof.to_json(),
            "next_level": self.next_level,
            "missing": [one.to_json() for one in self.asks if not one.met],
            "asks": [one.to_json() for one in self.asks],
            "daily": list(self.daily),
        }


@dataclass(frozen=True, slots=True)
class Picture:
    """One tenant as of ``at``. ``since`` begins the window of samples; canaries count from the first."""

    tenant: str
    at: datetime
    since: datetime
    units: tuple[UnitPicture, ...]
    pile: Pile
    canaries: Catch
    canaries_due: tuple[str, ...]
    waiting: int
    kappa: float | None
    analysts: tuple[Trust, ...]
    cases: dict[str, int]
    days: tuple[tuple[date, int, int], ...]
    """(day, closed, cases opened on it) of the window, oldest first; days without a case are left out."""
    history: tuple[audit.AuditEntry, ...]

    @property
    def coverage(self) -> float:
        """The share of the tenant's cases that are closed."""
        total = sum(self.cases.values())
        return self.cases.get("closed", 0) / total if total else 0.0

    @property
    def curve(self) -> Curve:
        """The share of each day's cases that are closed."""
        points = tuple((float(day.toordinal()), closed / opened) for day, closed, opened in self.days)
        title = f"{self.tenant}: share of the cases opened on each day that are closed"
        return Curve(title, "day of the month", points, tuple(str(day.day) for day, _, _ in self.days))

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            "tenant": self.tenant,
            "at": self.at,
            "since": self.since,
            "units": [one.to_json() for one in self.units],
            "coverage": {
                "closed": round(self.coverage, 4),
                "cases": self.cases,
                "days": [{"day": day, "closed": closed, "cases": opened} for day, closed, opened in self.days],
            },
            "closed_pile": self.pile,
            "canaries": self.canaries,
            "canaries_due": list(self.canaries_due),
            "waiting": self.waiting,
            "kappa": self.kappa,
            "analysts": [
                {"name": one.analyst, "known": one.known, "right": one.right, "weight": one.weight}
                for one in self.analysts
            ],
            "history": [
                {"seq": one.seq, "at": one.at, "by": one.actor, "event": one.event, **one.detail}
                for one in self.history
            ],
        }


def picture(office: Office, tenant: str) -> Picture:
    """Reads everything; changes nothing."""
    at = office.clock()
    since = at - _WINDOW
    with office.store.read() as conn:
        standings = levels.of_tenant(conn, tenant)
        units = tuple(_unit(conn, office, one.unit.rule, look(conn, office, one.unit, at=at), at) for one in standings)
        told = canaries.listed(conn, tenant)
        judged = samples.judged(conn, tenant, since)
        closed = samples.closed_by_stratum(conn, tenant, since.date(), at.date())
        doubles = [one for one in samples.judged_items(conn, tenant, since) if one.wanted > 1]
        return Picture(
            tenant,
            at,
            since,
            units,
            pile(closed, judged, office.demands.terms.delta),
            result(told, office.demands.terms.delta),
            due({family_of(one.unit.rule) for one in standings}, told, at),
            len(samples.open_items(conn, tenant)),
            cohens_kappa([pair for one in doubles if (pair := _pair(conn, one)) is not None]),
            tuple(trust_of(name, labels.of_analyst(conn, tenant, name)) for name in labels.analysts(conn, tenant)),
            queries.status_counts(conn, tenant),
            tuple((day, *counts) for day, counts in sorted(queries.closed_by_day(conn, tenant, since).items())),
            tuple(levels.history(conn, tenant, limit=20)),
        )


def _unit(conn: Connection, office: Office, rule: str, found: Appraisal, at: datetime) -> UnitPicture:
    unit = found.standing.unit
    after = next_level(found.standing.level, unit.decides)
    asks = () if after is None else requirements(after, unit.decides, found.proof, found.facts, office.demands)
    days = [(at - timedelta(days=number)).date() for number in range(13, -1, -1)]
    given = [one.at.date() for one in labels.of_rule(conn, unit.tenant, rule) if one.standing and one.benign]
    return UnitPicture(found, "" if after is None else after.word, asks, tuple(given.count(day) for day in days))


def _pair(conn: Connection, item: Item) -> tuple[bool, bool] | None:
    """What the two who judged an item said."""
    given = labels.of_case(conn, item.tenant, item.case_id)
    said = {one.analyst: one.attack for one in given if one.item_id == item.item_id}
    words = list(said.values())
    return (words[0], words[1]) if len(words) == 2 else None
