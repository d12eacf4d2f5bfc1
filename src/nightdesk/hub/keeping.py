"""What a person does at the console or over the API with what is in force: look at it, take it back, keep it longer.

Nothing here waits for a vendor: what is asked for is on disk when these return, and the running hub goes on with it.
"""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import TypeVar

from nightdesk.autonomy.actions import Action, ActionState, StaleActionError
from nightdesk.autonomy.engine import Engine
from nightdesk.autonomy.reversal import UNDOABLE
from nightdesk.hub.held import Held, held
from nightdesk.hub.store import Store
from nightdesk.hub.store.actions import SqlJournal
from nightdesk.sdk.errors import NightdeskError, PolicyError, UnsupportedError
from nightdesk.sdk.verbs import verb

__all__ = [
    "HELD",
    "LONGEST",
    "SHORTEST",
    "action_of",
    "can_be_kept",
    "can_be_undone",
    "in_force",
    "is_stuck",
    "keep_longer",
    "stuck",
    "take_back",
]

_T = TypeVar("_T")
_S = ActionState
_ENDING = frozenset({_S.EXPIRED, _S.UNDO_REQUESTED})
_OWED = _ENDING | {_S.LEASED, _S.RENEWED}
"""What has an end that is ours to bring about. A newer wish may have contradicted an action: then it is that one's."""
HELD = UNDOABLE | {_S.UNDO_REQUESTED}
"""States in which something of ours may be in force at a vendor."""
SHORTEST, LONGEST = timedelta(hours=0.01), timedelta(hours=8784)
"""How long from now a lease may be made, as ``nightdesk renew --hours`` has it: a leap year at most."""
_LATE = 60  # seconds: an end that is this long ago was not just reached
_TRIES = 5


def in_force(store: Store, tenant: str, now: datetime) -> list[tuple[Action, Held]]:
    """What is held for the tenant, in the order of ``held``, each with its action."""
    found = {one.action_id: one for one in SqlJournal(store).in_state(sorted(HELD), tenant=tenant)}
    return [(found[row.action_id], row) for row in held(found.values(), now)]


def stuck(store: Store, tenant: str, now: datetime) -> list[Held]:
    """What is there though it should be gone. Asked for by every page, so what simply holds is not read for it."""
    journal = SqlJournal(store)
    ending = journal.in_state(sorted(_ENDING | {_S.UNDO_FAILED}), tenant=tenant)
    overdue = [one for one in journal.leases_due(now) if one.tenant == tenant]
    return [row for row in held([*ending, *overdue], now) if is_stuck(row)]


def is_stuck(row: Held) -> bool:
    """Whether its undo failed, or its end is past and it is still there."""
    late = row.seconds_left is not None and row.seconds_left <= -_LATE
    return row.state == _S.UNDO_FAILED or (late and row.state in _OWED)


def action_of(store: Store, tenant: str, action_id: str) -> Action | None:
    """That action, unless it is another tenant's or nobody's."""
    return SqlJournal(store).get(tenant, action_id)


def can_be_undone(action: Action) -> bool:
    """Whether a person can ask for its undo now: something of it may be in force, and it was not so before us."""
    return action.state in UNDOABLE and action.changed is not False and bool(verb(action.verb).inverse)


def can_be_kept(action: Action) -> bool:
    """Whether it has a lease that runs."""
    return action.state in {_S.LEASED, _S.RENEWED}


def take_back(store: Store, engine: Engine, tenant: str, action_id: str, *, by: str, reason: str) -> Action | None:
    """Journals the undo; what is undone or being undone stays as it is. None: the tenant has no such action.

    Raises PolicyError with the engine's own sentence.
    """
    return _on_fresh(store, tenant, action_id, lambda one: engine.request_undo(one, actor=by, reason=reason))


def keep_longer(  # whom it concerns, until when, who says so and why
    store: Store, engine: Engine, tenant: str, action_id: str, until: datetime, *, by: str, reason: str = ""
) -> Action | None:
    """Renews the lease. None: the tenant has no such action. Raises PolicyError with the engine's own sentence."""
    return _on_fresh(store, tenant, action_id, lambda one: engine.renew(one, until, by, reason))


def _on_fresh(store: Store, tenant: str, action_id: str, work: Callable[[Action], _T]) -> _T | None:
    """``work`` on the action as it is now; what the engine or a person moved meanwhile is read again."""
    stale: NightdeskError | None = None
    for _ in range(_TRIES):
        found = action_of(store, tenant, action_id)
        if found is None:
            return None
        try:
            return work(found)
        except StaleActionError as error:
            stale = error
        except UnsupportedError as error:
            raise PolicyError(str(error)) from error
    raise PolicyError(f"{action_id} is being moved by others: look at it again, then ask once more") from stale
