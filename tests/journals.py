"""The action journal in memory: a second implementation of the port, strict about the same things as the stored one."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

from tests.stores import prepared

from nightdesk.autonomy.actions import FOLLOWS, Action, ActionState, Journal, JournalEntry, StaleActionError
from nightdesk.autonomy.ledger import slot_of
from nightdesk.hub.store.actions import SqlJournal
from nightdesk.hub.store.store import Store
from nightdesk.sdk.verbs import verb

__all__ = ["KINDS", "MemoryJournal", "open_journal"]

KINDS = ("memory", "sqlite")
_T = TypeVar("_T")
_LEASED = frozenset({ActionState.LEASED, ActionState.RENEWED})


class MemoryJournal:
    """``nightdesk.autonomy.actions.Journal`` in two dictionaries; ``on_move`` sees every move that took place."""

    def __init__(self, on_move: Callable[[Action], None] | None = None) -> None:
        self._actions: dict[tuple[str, str], Action] = {}
        self._lines: dict[tuple[str, str], list[JournalEntry]] = {}
        self._on_move = on_move

    def create(self, action: Action, *, actor: str) -> Action:
        for other in self._actions.values():
            if (other.tenant, other.idempotency_key) == (action.tenant, action.idempotency_key):
                return other
        self._actions[action.tenant, action.action_id] = action
        self._note(action, action.created_at, actor, {})
        return action

    def in_turn(self, tenant: str, work: Callable[[Journal], _T]) -> _T:
        del tenant  # one thread, so nobody comes between
        return work(self)

    def get(self, tenant: str, action_id: str) -> Action | None:
        return self._actions.get((tenant, action_id))

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
        key = (action.tenant, action.action_id)
        stored = self._actions[key]
        if stored.state is not action.state:
            raise StaleActionError(f"{action.action_id} is {stored.state} by now, not {action.state}")
        if to is not action.state and to not in FOLLOWS[action.state]:
            raise StaleActionError(f"{action.action_id}: {to} does not follow {action.state}")
        if any(getattr(stored, name) != value for name, value in (seen or {}).items()):
            raise StaleActionError(f"{action.action_id} was added to meanwhile")
        moved = replace(stored, **changes, state=to, updated_at=at)
        json.dumps([dict(moved.result), dict(moved.pre_state), dict(moved.parameters)])
        self._actions[key] = moved
        self._note(moved, at, actor, detail)
        if self._on_move is not None:
            self._on_move(moved)
        return moved

    def next_generation(self, tenant: str, target_key: str, family: str) -> int:
        return max((one.generation for one in self._of(tenant, target_key, family)), default=0) + 1

    def standing(self, tenant: str, target_key: str, family: str) -> Sequence[Action]:
        return [one for one in self._of(tenant, target_key, family) if FOLLOWS[one.state]]

    def in_state(self, states: Sequence[ActionState], *, tenant: str | None = None) -> Sequence[Action]:
        return [one for one in self._actions.values() if one.state in states and tenant in {None, one.tenant}]

    def leases_due(self, now: datetime) -> Sequence[Action]:
        return [
            one
            for one in self._actions.values()
            if one.state in _LEASED and one.lease_until is not None and one.lease_until <= now
        ]

    def of_case(self, tenant: str, case_id: str) -> Sequence[Action]:
        return [one for one in self._actions.values() if (one.tenant, one.case_id) == (tenant, case_id)]

    def history(self, tenant: str, action_id: str) -> Sequence[JournalEntry]:
        return list(self._lines.get((tenant, action_id), ()))

    def _of(self, tenant: str, target_key: str, family: str) -> list[Action]:
        wanted = (tenant, target_key, family)
        return [one for one in self._actions.values() if (one.tenant, slot_of(one), verb(one.verb).family) == wanted]

    def _note(self, action: Action, at: datetime, actor: str, detail: Mapping[str, Any]) -> None:
        lines = self._lines.setdefault((action.tenant, action.action_id), [])
        copy = json.loads(json.dumps(dict(detail)))
        lines.append(JournalEntry(len(lines) + 1, action.tenant, action.action_id, at, action.state, actor, copy))


def open_journal(kind: str, folder: Path) -> tuple[Journal, Callable[[], None]]:
    """A fresh journal and how to close it."""
    if kind == "memory":
        return MemoryJournal(), lambda: None
    store = Store.open(prepared(f"sqlite:///{folder / 'journal.db'}"), synchronous="NORMAL")
    return SqlJournal(store), store.close
