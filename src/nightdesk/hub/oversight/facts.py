"""What is so now of a unit: switches, connectors and the engine's journal; what the model knows comes from outside."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sqlalchemy import Connection, func, select

from nightdesk.autonomy.actions import ActionState
from nightdesk.autonomy.levels.standing import Facts, Level, Standing, ceiling
from nightdesk.autonomy.levels.units import Unit, classes_of
from nightdesk.autonomy.switches import Scope, everything_stopped
from nightdesk.autonomy.verification import Verdict, counts_as_verified, witness_of
from nightdesk.hub.store import switches
from nightdesk.hub.store.codec import decode_action, moment, stamp
from nightdesk.hub.store.schema import action as action_table
from nightdesk.hub.store.schema import cursor as cursor_table
from nightdesk.sdk.verbs import VERBS

__all__ = ["Knowledge", "Surroundings", "no_knowledge"]

_S = ActionState
_SILENT = timedelta(hours=24)
_MEMORY = timedelta(days=30)
_MOST = 2000
_WELL = frozenset({_S.EFFECTIVE, _S.LEASED, _S.RENEWED, _S.EXPIRED, _S.UNDO_REQUESTED, _S.UNDONE, _S.UNDO_FAILED})
_BADLY = frozenset({_S.UNVERIFIED, _S.CONTRADICTED, _S.FAILED})


@dataclass(frozen=True, slots=True)
class Knowledge:
    """What only the model and its calibration know of a unit. Nothing known is the cautious answer: not certified.

    ``parser`` is the version of the mapping that reads the product's alerts.
    """

    certified: bool = False
    alarms: tuple[str, ...] = ()
    doubts: tuple[str, ...] = ()
    parser: str = ""


def no_knowledge(conn: Connection, unit: Unit) -> Knowledge:  # noqa: ARG001  # the form of a source of knowledge
    """Without a model nothing is certified."""
    return Knowledge()


@dataclass(frozen=True, slots=True)
class Surroundings:
    """Gathers the facts of a unit in the caller's transaction."""

    knowledge: Callable[[Connection, Unit], Knowledge] = field(default=no_knowledge)

    def facts(self, conn: Connection, standing: Standing, now: datetime) -> Facts:
        """The facts as of now."""
        unit = standing.unit
        known = self.knowledge(conn, unit)
        drills, verified, undone, lied = _uses(conn, unit, now) if unit.decides.contains else (0, 0.0, 0.0, False)
        return Facts(
            healthy_hours=_healthy(conn, standing, now),
            certified=known.certified,
            policy=_allowed(conn, unit),
            parser=known.parser,
            alarms=known.alarms,
            doubts=known.doubts,
            drills=drills,
            verified=verified,
            undone=undone,
            lied=lied,
        )


def _allowed(conn: Connection, unit: Unit) -> Level:
    """The highest level that no switch forbids: what is stopped decides silently until two persons start it again."""
    positions = switches.positions(conn, unit.tenant)
    return Level.SHADOW if everything_stopped(positions) else ceiling(unit.decides)


def _healthy(conn: Connection, standing: Standing, now: datetime) -> float:
    """Hours since the unit was first seen; none while no pulled stream of the tenant moved for a day."""
    if standing.first_seen is None:
        return 0.0
    newest = select(func.max(cursor_table.c.moved_at)).where(cursor_table.c.tenant == standing.unit.tenant)
    moved = conn.execute(newest).scalar_one_or_none()
    if moved is not None and now - moment(moved) > _SILENT:
        return 0.0
    return max(0.0, (now - standing.first_seen) / timedelta(hours=1))


def _uses(conn: Connection, unit: Unit, now: datetime) -> tuple[int, float, float, bool]:
    """(verified drills with undo, share verified, share undone, whether any was contradicted) of the last 30 days.

    What a second source still looks at, or could not see, is no success and no failure; what it doubts is a failure.
    """
    families = sorted({one.family for name, one in VERBS.items() if unit.decides in classes_of([name])})
    row = action_table.c
    statement = (
        select(row.body)
        .where(row.tenant == unit.tenant, row.family.in_(families), row.created_at >= stamp(now - _MEMORY))
        .order_by(row.created_at.desc())
        .limit(_MOST)
    )
    used = [decode_action(body) for body in conn.execute(statement).scalars()]
    well = [one for one in used if one.state in _WELL and counts_as_verified(one)]
    badly = [one for one in used if one.state in _BADLY or witness_of(one).get("verdict") == Verdict.DOUBTFUL]
    back = [one for one in used if one.state is _S.UNDONE and one.effective_at is not None]
    stuck = [one for one in used if one.state is _S.UNDO_FAILED]
    verified = len(well) / (len(well) + len(badly)) if well or badly else 0.0
    undone = len(back) / (len(back) + len(stuck)) if back or stuck else 0.0
    demoted = any(one.switch.scope is Scope.VENDOR_ACTION and unit.decides in classes_of([one.switch.verb])
                  for one in switches.positions(conn, unit.tenant))  # fmt: skip
    drills = len([one for one in back if one in well])
    return drills, verified, undone, demoted or any(one.state is _S.CONTRADICTED for one in badly)
