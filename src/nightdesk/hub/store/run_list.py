"""What a list of runs is made of, without reading every run: which are at work, those that ended page by page."""

from collections.abc import Collection, Sequence
from heapq import merge
from itertools import islice
from operator import itemgetter

from sqlalchemy import Connection, literal, select, tuple_

from nightdesk.autonomy.actions import ActionState
from nightdesk.autonomy.playbooks.run import Run, RunState
from nightdesk.hub.store.codec import load
from nightdesk.hub.store.schema import LIVE, TEXT, playbook_run
from nightdesk.hub.store.schema import action as action_table
from nightdesk.hub.store.sql import chunks

__all__ = ["action_states", "approvals_awaited", "ended", "moves_at_work", "runs_named"]

_ENDS = (RunState.COMPLETED, RunState.FAILED, RunState.CANCELLED)


def moves_at_work(conn: Connection, tenant: str) -> dict[str, int]:
    """By run that is not over, how often it was changed: what was read of it at that count still holds."""
    table = playbook_run.c
    statement = select(table.run_id, table.moves).where(table.tenant == tenant, table.state == str(RunState.RUNNING))
    return {row.run_id: row.moves for row in conn.execute(statement)}


def runs_named(conn: Connection, tenant: str, run_ids: Sequence[str]) -> dict[str, tuple[int, Run]]:
    """These runs by id, each with how often it was changed."""
    table = playbook_run.c
    found: dict[str, tuple[int, Run]] = {}
    for part in chunks(run_ids):
        statement = select(table.run_id, table.moves, table.body).where(table.tenant == tenant, table.run_id.in_(part))
        found |= {row.run_id: (row.moves, Run.from_json(load(row.body))) for row in conn.execute(statement)}
    return found


def ended(
    conn: Connection, tenant: str, *, before: tuple[str, str] | None = None, limit: int = 50
) -> list[tuple[str, str]]:
    """Runs that are over as moment of the end and id, last ended first; ``before`` is the last one seen.

    Each kind of end is read along its index and the three are merged, so the first page costs the same with any number.
    """
    table = playbook_run.c
    kinds = []
    for state in _ENDS:
        statement = select(table.updated_at, table.run_id).where(table.tenant == tenant, table.state == str(state))
        if before is not None:
            here = tuple_(literal(before[0], TEXT), literal(before[1], TEXT))
            statement = statement.where(tuple_(table.updated_at, table.run_id) < here)
        newest = statement.order_by(table.updated_at.desc(), table.run_id.desc()).limit(limit)
        kinds.append([(row.updated_at, row.run_id) for row in conn.execute(newest)])
    return list(islice(merge(*kinds, key=itemgetter(0, 1), reverse=True), limit))


def approvals_awaited(conn: Connection, tenant: str) -> set[str]:
    """The actions of that tenant that wait for a person's approval."""
    table = action_table.c
    statement = select(table.action_id).where(
        table.tenant == tenant, table.state == str(ActionState.AWAITING_APPROVAL), LIVE
    )
    return set(conn.execute(statement).scalars())


def action_states(conn: Connection, tenant: str, action_ids: Collection[str]) -> dict[str, ActionState]:
    """Where these actions stand."""
    table = action_table.c
    found: dict[str, ActionState] = {}
    for part in chunks(list(action_ids)):
        statement = select(table.action_id, table.state).where(table.tenant == tenant, table.action_id.in_(part))
        found |= {row.action_id: ActionState(row.state) for row in conn.execute(statement)}
    return found
