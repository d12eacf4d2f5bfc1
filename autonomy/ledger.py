"""The journal as the engine sees it: moves stamped with the clock, and which actions stand in each other's way."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from nightdesk.autonomy.actions import Action, ActionState, Journal, StaleActionError
from nightdesk.sdk.context import Clock
from nightdesk.sdk.targets import Target
from nightdesk.sdk.verbs import TargetKind, verb

__all__ = [
    "ENGINE",
    "IN_FORCE",
    "Attention",
    "Ledger",
    "age",
    "family_of",
    "lease_end",
    "lost_requests",
    "same_wish",
    "slot",
    "slot_of",
]

Attention = Callable[[Action, str], None]
"""Called when a person has to look: the action and a sentence."""

ENGINE = "engine"
"""The actor of moves that no person made."""

_S = ActionState
_FILES_ON_HOSTS = frozenset({"file.quarantine", "file.fetch"})
IN_FORCE = frozenset({_S.EFFECTIVE, _S.LEASED, _S.RENEWED})


def family_of(action: Action) -> str:
    """The verb family: an action and its opposite share it."""
    return verb(action.verb).family


def slot(name: str, target: Target, source: str = "") -> str:
    """What has one wanted state: the target, and for what others have too (a process, a file, a number) whose it is.

    The same program on two hosts is two things to end; an alert's number means something at its ``source`` only.
    """
    wanted = verb(name)
    named = [source] if wanted.role == "source" else []
    if wanted.target is TargetKind.PROCESS or wanted.family in _FILES_ON_HOSTS:
        named = [target.facts.get(fact, "").lower() for fact in ("hostname", "pid", "path")]
    return "|".join([target.key, *filter(None, named)])


def slot_of(action: Action) -> str:
    """The slot that an action is about."""
    return slot(action.verb, action.target, action.instance)


def same_wish(one: Action, other: Action) -> bool:
    """Both want the target in the same state."""
    return one.verb == other.verb and dict(one.parameters) == dict(other.parameters)


def age(action: Action) -> tuple[int, datetime, str]:
    """Sorts the actions of a target: the last one's wish counts."""
    return (action.generation, action.created_at, action.action_id)


def lost_requests(action: Action) -> int:
    """Requests that went out and of which nobody knows that they did nothing."""
    return int(action.result.get("attempts", 0)) - int(action.result.get("not_done", 0))


def lease_end(action: Action, effective_at: datetime) -> datetime | None:
    """When it ends by itself: at the moment that was asked for, else so long after the effect; None: never."""
    moment, seconds = action.result.get("stop_at"), action.result.get("lease_seconds")
    if moment is not None:
        return datetime.fromisoformat(str(moment))
    return None if seconds is None else effective_at + timedelta(seconds=float(seconds))


class Ledger:
    """Moves and questions; holds no state of its own but the number of moves."""

    def __init__(self, journal: Journal, clock: Clock, on_attention: Attention | None = None) -> None:
        self.journal = journal
        self.clock = clock
        self.moves = 0
        self._on_attention = on_attention

    def move(
        self,
        action: Action,
        to: ActionState,
        note: str = "",
        *,
        actor: str = ENGINE,
        result: Mapping[str, Any] | None = None,
        seen: Mapping[str, Any] | None = None,
        **changes: Any,
    ) -> Action:
        """One move; ``result`` is merged into the action's, and both stand in the journal's line.

        ``seen``: see ``Journal.move``; what is merged into must still be as it was read, or another process's word
        would be lost.
        """
        facts = dict(result or {})
        if facts:
            changes["result"] = {**action.result, **facts}
            seen = {**(seen or {}), "result": action.result}
        self.moves += 1
        detail = {"note": note, **facts} if note else facts
        return self.journal.move(action, to, at=self.clock(), actor=actor, detail=detail, seen=seen, **changes)

    def set_out(self, action: Action, to: ActionState, note: str = "", *, at: str = "", **how: Any) -> Action:
        """The move after which a request leaves; in the tenant's turn, so that two processes send no two at once.

        ``at``: only what goes to that connector stands in its way. Raises StaleActionError while something does.
        """

        def work(journal: Journal) -> Action:
            alone = Ledger(journal, self.clock)
            there = [other for other in alone.rivals(action) if not at or other.instance in {"", at}]
            other = next(filter(alone.in_flight, there), None)
            if other is not None:
                raise StaleActionError(
                    f"{other.action_id} went out meanwhile: one change of {action.target.key} at a time"
                )
            return alone.move(action, to, note, **how)

        moved = self.journal.in_turn(action.tenant, work)
        self.moves += 1
        return moved

    def call_person(self, action: Action, text: str) -> None:
        """Tells whoever listens that a person has to look."""
        if self._on_attention is not None:
            self._on_attention(action, text)

    def settle(self, action: Action, to: ActionState, error: str, **changes: Any) -> Action:
        """A move to a state that a person has to look at; told first: a crash between may tell twice, never not."""
        self.call_person(replace(action, state=to, error=error), error)
        return self.move(action, to, error, error=error, **changes)

    def fresh(self, action: Action) -> Action:
        """The action as the journal has it now."""
        return self.journal.get(action.tenant, action.action_id) or action

    def rivals(self, action: Action) -> list[Action]:
        """The other actions of that target and family that are not over, oldest first."""
        standing = self.journal.standing(action.tenant, slot_of(action), family_of(action))
        return sorted((other for other in standing if other.action_id != action.action_id), key=age)

    def in_flight(self, action: Action) -> bool:
        """Asked of the vendor and not settled yet: nothing else may go to that target."""
        if action.state is _S.ACCEPTED:
            return not action.result.get("accept_only")
        if action.state is _S.UNDO_REQUESTED:
            return bool(action.result.get("undo_attempts")) and not action.result.get("undo_shown")
        return action.state in {_S.REQUESTED, _S.PENDING}
