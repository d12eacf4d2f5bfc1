"""The action journal on the database: each method its own transaction, on disk before it returns (law 4)."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, TypeVar

from sqlalchemy import Connection, func, select, update
from sqlalchemy import insert as plain_insert

from nightdesk.autonomy.actions import FOLLOWS, Action, ActionState, Journal, JournalEntry, StaleActionError
from nightdesk.autonomy.ledger import slot_of
from nightdesk.hub.store.codec import decode_action, dump, load, maybe_stamp, moment, safe_key, safe_text, stamp
from nightdesk.hub.store.links import absorbed
from nightdesk.hub.store.prior import Joined
from nightdesk.hub.store.schema import LEASED, LIVE, OVER, action_journal
from nightdesk.hub.store.schema import action as action_table
from nightdesk.hub.store.sql import hold, insert, take
from nightdesk.hub.store.store import Store
from nightdesk.sdk.verbs import verb

__all__ = ["SqlJournal", "actions_of_case", "create_in", "entry_of", "move_in"]

_T = TypeVar("_T")
_NUMBERS = "action"
"""The counter that every creation takes: who holds it is alone in creating actions of that tenant."""
_FIXED = frozenset(
    {"tenant", "action_id", "verb", "target", "generation", "idempotency_key", "state", "created_at", "updated_at"}
)


def create_in(conn: Connection, action: Action, *, actor: str) -> Action:
    """Stores the action in the caller's transaction, so that a decision and what it proposes stand or fall together."""
    row = {
        "tenant": action.tenant,
        "action_id": action.action_id,
        "seq": take(conn, action.tenant, _NUMBERS),
        "decision_id": action.decision_id,
        "idempotency_key": safe_key(action.idempotency_key),
        "target_key": safe_key(slot_of(action)),
        "family": verb(action.verb).family,
        "generation": action.generation,
        "created_at": stamp(action.created_at),
        "moves": 1,
        **_changing(action),
    }
    adding = insert(conn, action_table).values(row)
    once = adding.on_conflict_do_nothing(index_elements=["tenant", "idempotency_key"])
    if conn.execute(once.returning(action_table.c.action_id)).one_or_none() is None:
        there = select(action_table.c.body).where(
            action_table.c.tenant == action.tenant, action_table.c.idempotency_key == row["idempotency_key"]
        )
        return decode_action(conn.execute(there).scalar_one())
    _note(conn, action, 1, at=action.created_at, actor=actor, detail={})
    return action


def move_in(
    conn: Connection,
    action: Action,
    to: ActionState,
    *,
    at: datetime,
    actor: str,
    detail: Mapping[str, Any],
    seen: Mapping[str, Any] | None = None,
    **changes: Any,
) -> Action:
    """``Journal.move`` in the caller's transaction. ``changes`` go onto the stored action, not the caller's copy."""
    fixed = sorted(_FIXED & changes.keys())
    if fixed:
        raise ValueError(f"{', '.join(fixed)} of an action never change by a move")
    if to != action.state and to not in FOLLOWS[action.state]:
        raise StaleActionError(f"action {action.action_id} of {action.tenant}: {to} does not follow {action.state}")
    where = (action_table.c.tenant == action.tenant, action_table.c.action_id == action.action_id)
    row = conn.execute(
        select(action_table.c.state, action_table.c.moves, action_table.c.body).where(*where).with_for_update()
    ).one_or_none()
    if row is None:
        raise StaleActionError(f"action {action.action_id} of {action.tenant} is not in the journal")
    if row.state != action.state:
        raise StaleActionError(
            f"action {action.action_id} of {action.tenant} is {row.state} by now, not {action.state}: read it again"
        )
    stored = decode_action(row.body)
    if any(getattr(stored, name) != value for name, value in (seen or {}).items()):
        raise StaleActionError(f"action {action.action_id} of {action.tenant} was added to meanwhile: read it again")
    moved = replace(stored, **changes, state=to, updated_at=at)
    conn.execute(update(action_table).where(*where).values(moves=row.moves + 1, **_changing(moved)))
    _note(conn, moved, row.moves + 1, at=at, actor=actor, detail=detail)
    return moved


def _changing(action: Action) -> dict[str, Any]:
    return {
        "case_id": action.case_id,
        "state": action.state,
        "updated_at": stamp(action.updated_at),
        "lease_until": maybe_stamp(action.lease_until),
        "body": dump(action),
    }


def _note(conn: Connection, action: Action, seq: int, *, at: datetime, actor: str, detail: Mapping[str, Any]) -> None:
    line = {
        "tenant": action.tenant,
        "action_id": action.action_id,
        "seq": seq,
        "at": stamp(at),
        "state": action.state,
        "actor": safe_text(actor),
        "detail": dump(detail),
    }
    conn.execute(plain_insert(action_journal), line)


def actions_of_case(conn: Connection, tenant: str, case_id: str) -> list[Action]:
    """All actions of a case and of those that were merged into it, oldest first."""
    own, merged = action_table.c.case_id == case_id, action_table.c.case_id.in_(absorbed(tenant, case_id))
    return _actions(conn, action_table.c.tenant == tenant, own | merged)


def _actions(conn: Connection, *where: Any) -> list[Action]:
    table = action_table.c
    statement = select(table.body).where(*where).order_by(table.created_at, table.tenant, table.seq)
    return [decode_action(body) for body in conn.execute(statement).scalars()]


def entry_of(row: Any) -> JournalEntry:
    """The journal line of that row."""
    return JournalEntry(
        row.seq, row.tenant, row.action_id, moment(row.at), ActionState(row.state), row.actor, load(row.detail)
    )


class SqlJournal:
    """``autonomy.actions.Journal`` on a store. A journal line's ``seq`` counts from 1 within its action."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def create(self, action: Action, *, actor: str) -> Action:
        """Stores it, or returns the one that has the same (tenant, idempotency key) already."""
        return self._store.transact(lambda conn: create_in(conn, action, actor=actor))

    def in_turn(self, tenant: str, work: Callable[[Journal], _T]) -> _T:
        """Holds the counter of the tenant's actions from before the first read until all is on disk.

        One turn for the whole tenant, not one a target: ``create`` takes that counter until its transaction ends, so
        two turns would be two locks that two workers could take in opposite order.
        """

        def alone(conn: Connection) -> _T:
            hold(conn, tenant, _NUMBERS)
            return work(SqlJournal(Joined(self._store, conn)))

        return self._store.transact(alone)

    def get(self, tenant: str, action_id: str) -> Action | None:
        """One action of that tenant."""
        with self._store.read() as conn:
            found = _actions(conn, action_table.c.tenant == tenant, action_table.c.action_id == action_id)
        return found[0] if found else None

    def move(
        self,
        action: Action,
        to: ActionState,
        *,
        at: datetime,
        actor: str,
        detail: Mapping[str, Any],
        seen: Mapping[str, Any] | None = None,
        **changes: Any,
    ) -> Action:
        """Appends to the journal and updates the action, if it is still in ``action.state``; else StaleActionError."""
        return self._store.transact(
            lambda conn: move_in(conn, action, to, at=at, actor=actor, detail=detail, seen=seen, **changes)
        )

    def next_generation(self, tenant: str, target_key: str, family: str) -> int:
        """One more than the highest generation of that target and verb family."""
        table = action_table.c
        statement = select(func.max(table.generation)).where(
            table.tenant == tenant, table.target_key == safe_key(target_key), table.family == family
        )
        with self._store.read() as conn:
            return int(conn.execute(statement).scalar() or 0) + 1

    def standing(self, tenant: str, target_key: str, family: str) -> Sequence[Action]:
        """Actions of that target and family that are not over, oldest first."""
        table = action_table.c
        with self._store.read() as conn:
            return _actions(
                conn,
                table.tenant == tenant,
                table.target_key == safe_key(target_key),
                table.family == family,
                table.state.not_in(OVER),
            )

    def in_state(self, states: Sequence[ActionState], *, tenant: str | None = None) -> Sequence[Action]:
        """Every action in one of these states, oldest first; the engine's work list, also after a crash."""
        where: list[Any] = [action_table.c.state.in_([str(state) for state in states])]
        if not set(states) & set(OVER):
            where.append(LIVE)
        if tenant is not None:
            where.append(action_table.c.tenant == tenant)
        with self._store.read() as conn:
            return _actions(conn, *where)

    def of_families(self, families: Collection[str], states: Collection[ActionState]) -> Sequence[Action]:
        """Every tenant's actions of these verb families that are in one of these states, oldest first."""
        table = action_table.c
        with self._store.read() as conn:
            return _actions(
                conn, table.family.in_(sorted(families)), table.state.in_([str(state) for state in states]), LIVE
            )

    def leases_due(self, now: datetime) -> Sequence[Action]:
        """Leased or renewed actions whose lease has run out."""
        with self._store.read() as conn:
            return _actions(conn, LEASED, action_table.c.lease_until <= stamp(now))

    def of_case(self, tenant: str, case_id: str) -> Sequence[Action]:
        """All actions of a case, oldest first."""
        with self._store.read() as conn:
            return actions_of_case(conn, tenant, case_id)

    def history(self, tenant: str, action_id: str) -> Sequence[JournalEntry]:
        """The journal of one action, oldest first."""
        table = action_journal.c
        statement = (
            select(action_journal).where(table.tenant == tenant, table.action_id == action_id).order_by(table.seq)
        )
        with self._store.read() as conn:
            return [entry_of(row) for row in conn.execute(statement)]
