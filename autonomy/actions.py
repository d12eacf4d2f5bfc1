"""One action's life as values: its states, what may follow what, and what the journal must keep.

The words are fixed: proposed → awaiting_approval → approved | rejected | cancelled → requested → accepted → pending →
effective | failed | unverified | contradicted → leased → expired | renewed → undo_requested → undone | undo_failed.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Protocol, TypeVar

from nightdesk.sdk.errors import NightdeskError
from nightdesk.sdk.targets import Target

__all__ = ["FOLLOWS", "Action", "ActionState", "Journal", "JournalEntry", "StaleActionError"]

_T = TypeVar("_T")


class ActionState(StrEnum):
    """Where an action stands."""

    PROPOSED = "proposed"
    AWAITING_APPROVAL = "awaiting_approval"
    APPROVED = "approved"
    REJECTED = "rejected"
    CANCELLED = "cancelled"
    REQUESTED = "requested"
    ACCEPTED = "accepted"
    PENDING = "pending"
    EFFECTIVE = "effective"
    FAILED = "failed"
    UNVERIFIED = "unverified"
    CONTRADICTED = "contradicted"
    LEASED = "leased"
    EXPIRED = "expired"
    RENEWED = "renewed"
    UNDO_REQUESTED = "undo_requested"
    UNDONE = "undone"
    UNDO_FAILED = "undo_failed"


_S = ActionState
FOLLOWS: Mapping[ActionState, frozenset[ActionState]] = {
    _S.PROPOSED: frozenset({_S.AWAITING_APPROVAL, _S.APPROVED, _S.REJECTED, _S.CANCELLED}),
    _S.AWAITING_APPROVAL: frozenset({_S.APPROVED, _S.REJECTED, _S.CANCELLED}),
    _S.APPROVED: frozenset({_S.AWAITING_APPROVAL, _S.REQUESTED, _S.EFFECTIVE, _S.FAILED, _S.CANCELLED}),
    _S.REQUESTED: frozenset(
        {_S.ACCEPTED, _S.PENDING, _S.EFFECTIVE, _S.FAILED, _S.UNVERIFIED, _S.CANCELLED, _S.AWAITING_APPROVAL}
    ),
    _S.ACCEPTED: frozenset({_S.PENDING, _S.EFFECTIVE, _S.FAILED, _S.UNVERIFIED, _S.CONTRADICTED}),
    _S.PENDING: frozenset({_S.EFFECTIVE, _S.FAILED, _S.UNVERIFIED, _S.CONTRADICTED}),
    _S.EFFECTIVE: frozenset({_S.LEASED, _S.CONTRADICTED, _S.UNDO_REQUESTED}),
    _S.UNVERIFIED: frozenset({_S.EFFECTIVE, _S.FAILED, _S.CONTRADICTED, _S.UNDO_REQUESTED}),
    _S.CONTRADICTED: frozenset({_S.UNDO_REQUESTED}),
    _S.LEASED: frozenset({_S.EXPIRED, _S.RENEWED, _S.UNDO_REQUESTED, _S.CONTRADICTED}),
    _S.RENEWED: frozenset({_S.EXPIRED, _S.RENEWED, _S.UNDO_REQUESTED, _S.CONTRADICTED}),
    _S.EXPIRED: frozenset({_S.UNDO_REQUESTED}),
    _S.UNDO_REQUESTED: frozenset({_S.UNDONE, _S.UNDO_FAILED}),
    _S.UNDO_FAILED: frozenset({_S.UNDO_REQUESTED, _S.UNDONE}),
    _S.REJECTED: frozenset(),
    _S.CANCELLED: frozenset(),
    _S.FAILED: frozenset(),
    _S.UNDONE: frozenset(),
}
"""What may follow what; nothing else may, and the journal refuses it.

What policy approved goes back to *awaiting approval* when a guard wants a person to look first. What was requested goes
there, or is cancelled, only while it is certain that no request of it did anything.
"""


class StaleActionError(NightdeskError):
    """Somebody else moved the action meanwhile, or the move is not one of FOLLOWS: read it again."""


@dataclass(frozen=True, slots=True)
class Action:
    """One wanted change. ``instance`` is the connector that acts and that any undo goes to.

    ``pre_state`` is what a read-back said before; ``changed`` False means the target was already so and there is
    nothing to undo. ``result`` holds the newest evidence, ``error`` a person's sentence.
    """

    tenant: str
    action_id: str
    verb: str
    target: Target
    generation: int
    idempotency_key: str
    state: ActionState
    created_at: datetime
    updated_at: datetime
    instance: str = ""
    native_id: str = ""
    case_id: str = ""
    decision_id: str = ""
    parameters: Mapping[str, Any] = field(default_factory=dict)
    reason: str = ""
    requested_by: str = ""
    approval: str = "human"
    approved_by: str = ""
    pre_state: Mapping[str, Any] = field(default_factory=dict)
    result: Mapping[str, Any] = field(default_factory=dict)
    losses: tuple[str, ...] = ()
    changed: bool | None = None
    error: str = ""
    requested_at: datetime | None = None
    accepted_at: datetime | None = None
    effective_at: datetime | None = None
    deadline: datetime | None = None
    lease_until: datetime | None = None
    undo_requested_at: datetime | None = None
    undone_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class JournalEntry:
    """One line of the append-only journal."""

    seq: int
    tenant: str
    action_id: str
    at: datetime
    state: ActionState
    actor: str
    detail: Mapping[str, Any]


class Journal(Protocol):
    """Durable actions. Every method is one transaction; a move is on disk before it returns (law 4)."""

    def create(self, action: Action, *, actor: str) -> Action:
        """Stores it, or returns the one that has the same (tenant, idempotency key) already."""
        ...

    def in_turn(self, tenant: str, work: Callable[["Journal"], _T]) -> _T:
        """One transaction around ``work``, in which nobody else creates an action of that tenant.

        What ``work`` reads from the journal that it is given is still so when it creates there. It may be called again.
        """
        ...

    def get(self, tenant: str, action_id: str) -> Action | None:
        """One action of that tenant."""
        ...

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
        """Appends to the journal and updates the action, if it is still in ``action.state``; else StaleActionError.

        ``changes`` are fields of Action. ``to == action.state`` only records progress (a new read-back). ``seen`` are
        fields that must still be so too: for what two may add to at once.
        """
        ...

    def next_generation(self, tenant: str, target_key: str, family: str) -> int:
        """One more than the highest generation of that slot (``ledger.slot``) and verb family."""
        ...

    def standing(self, tenant: str, target_key: str, family: str) -> Sequence[Action]:
        """Actions of that slot (``ledger.slot``) and family that are not over, oldest first."""
        ...

    def in_state(self, states: Sequence[ActionState], *, tenant: str | None = None) -> Sequence[Action]:
        """Every action in one of these states, oldest first; the engine's work list, also after a crash."""
        ...

    def leases_due(self, now: datetime) -> Sequence[Action]:
        """Leased or renewed actions whose lease has run out."""
        ...

    def of_case(self, tenant: str, case_id: str) -> Sequence[Action]:
        """All actions of a case, oldest first."""
        ...

    def history(self, tenant: str, action_id: str) -> Sequence[JournalEntry]:
        """The journal of one action, oldest first."""
        ...
