"""Playbook runs on the database: one row a run, changed by one worker at a time."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, select, update
from sqlalchemy import insert as plain_insert

from nightdesk.autonomy.playbooks.run import Run, RunState
from nightdesk.hub.store.codec import dump, load, stamp
from nightdesk.hub.store.links import absorbed
from nightdesk.hub.store.schema import playbook_run
from nightdesk.hub.store.sql import take
from nightdesk.sdk.errors import NightdeskError

__all__ = ["StaleRunError", "Stored", "add_run", "new_run_id", "run_of", "running", "runs", "save_run"]


class StaleRunError(NightdeskError):
    """Another worker changed the run meanwhile: read it again."""


@dataclass(frozen=True, slots=True)
class Stored:
    """A run, and how often it was changed."""

    run: Run
    moves: int


def new_run_id(conn: Connection, tenant: str) -> str:
    """The tenant's next run."""
    return f"run-{take(conn, tenant, 'playbook_run'):06d}"


def add_run(conn: Connection, run: Run) -> None:
    """A new run."""
    conn.execute(plain_insert(playbook_run), {"tenant": run.tenant, "run_id": run.run_id, "moves": 1, **_row(run)})


def save_run(conn: Connection, stored: Stored, run: Run) -> Stored:
    """The run as it is now, if nobody else changed it. Raises StaleRunError."""
    where = (
        playbook_run.c.tenant == run.tenant,
        playbook_run.c.run_id == run.run_id,
        playbook_run.c.moves == stored.moves,
    )
    done = conn.execute(update(playbook_run).where(*where).values(moves=stored.moves + 1, **_row(run)))
    if done.rowcount != 1:
        raise StaleRunError(f"{run.tenant}: {run.run_id} was changed meanwhile")
    return Stored(run, stored.moves + 1)


def run_of(conn: Connection, tenant: str, run_id: str, *, to_change: bool = False) -> Stored | None:
    """One run of that tenant; ``to_change`` keeps other workers from it until the transaction ends."""
    statement = select(playbook_run.c.moves, playbook_run.c.body).where(
        playbook_run.c.tenant == tenant, playbook_run.c.run_id == run_id
    )
    row = conn.execute(statement.with_for_update() if to_change else statement).one_or_none()
    return None if row is None else Stored(Run.from_json(load(row.body)), row.moves)


def running(conn: Connection, tenants: Sequence[str]) -> list[Stored]:
    """Every run of these tenants that is not over, longest unmoved first."""
    table = playbook_run.c
    statement = (
        select(table.moves, table.body)
        .where(table.tenant.in_(tenants), table.state == str(RunState.RUNNING))
        .order_by(table.updated_at, table.run_id)
    )
    return [Stored(Run.from_json(load(row.body)), row.moves) for row in conn.execute(statement)]


def runs(conn: Connection, tenant: str, *, case_id: str = "", playbook_id: str = "", limit: int = 50) -> list[Run]:
    """A tenant's runs, newest first; those of a case are also those of what was merged into it."""
    table = playbook_run.c
    statement = select(table.body).where(table.tenant == tenant)
    if case_id:
        statement = statement.where((table.case_id == case_id) | table.case_id.in_(absorbed(tenant, case_id)))
    if playbook_id:
        statement = statement.where(table.playbook_id == playbook_id)
    newest = statement.order_by(table.started_at.desc(), table.run_id.desc()).limit(limit)
    return [Run.from_json(load(body)) for body in conn.execute(newest).scalars()]


def _row(run: Run) -> dict[str, object]:
    return {
        "playbook_id": run.playbook_id,
        "case_id": run.case_id,
        "state": str(run.state),
        "started_at": stamp(run.started_at),
        "updated_at": stamp(run.updated_at),
        "body": dump(run.to_json()),
    }
