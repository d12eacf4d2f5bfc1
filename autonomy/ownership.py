"""Whose change is it that a target shows now: the question every undo asks first (law 6).

Where the vendor names who or what made the last change (``changed_by``, ``changed_at``, ``order_id`` in the state of a
reading), a change that came after ours is left alone; elsewhere a later equal change by somebody else looks like ours.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from nightdesk.autonomy.actions import Action, ActionState
from nightdesk.autonomy.clocks import BY_VENDOR, ended_by_vendor
from nightdesk.autonomy.ledger import IN_FORCE, age, lease_end, lost_requests, same_wish
from nightdesk.sdk.ports import Effect, Reading
from nightdesk.sdk.verbs import verb

__all__ = [
    "decider",
    "differs",
    "has_passed",
    "instead_of_undo",
    "is_wanted_still",
    "nothing_to_do",
    "since",
    "successor",
]

_S = ActionState
_UNSEEN = frozenset({_S.UNVERIFIED, _S.UNDO_FAILED})
_WANTED = IN_FORCE | {_S.UNVERIFIED, _S.CONTRADICTED}
_MARKERS = ("changed_by", "changed_at", "order_id")


def decider(action: Action, rivals: Sequence[Action]) -> Action | None:
    """The other wish that says how the target is to be once this one is taken back, or None: then it is undone.

    A newer one that wants the same or ended our effect already, or else the newest one left, if it wants the same.
    """
    newer = [other for other in rivals if age(other) > age(action) and other.state in _WANTED]
    if newer:
        return newer[-1] if _decides(newer[-1], action) else None
    older = [other for other in rivals if other.state in IN_FORCE]
    return older[-1] if older and same_wish(older[-1], action) else None


def _decides(wish: Action, action: Action) -> bool:
    """A newer wish that keeps what is there, or that ended our effect already: nothing there now is ours to undo."""
    if same_wish(wish, action) or verb(action.verb).inverse == action.verb:
        return True
    return (
        wish.state in IN_FORCE
        and wish.effective_at is not None
        and action.effective_at is not None
        and wish.effective_at > action.effective_at
    )


def successor(action: Action, rivals: Sequence[Action]) -> Action | None:
    """The wish that came into force next after this one, or may have; what it found was our doing."""
    begun = since(action)
    later = [
        (when, age(other), other)
        for other in rivals
        if (other.state in IN_FORCE | _UNSEEN or _is_about_to_end(other))
        and begun
        and (when := since(other))
        and when > begun
    ]
    return min(later)[-1] if later else None


def _is_about_to_end(action: Action) -> bool:
    """Its undo is journalled and not asked of the vendor yet; what found it so has none to ask, and owes nothing."""
    return action.changed is not False and (
        action.state is _S.EXPIRED
        or (action.state is _S.UNDO_REQUESTED and not int(action.result.get("undo_attempts", 0)))
    )


def is_wanted_still(action: Action, heir: Action, rivals: Sequence[Action]) -> bool:
    """Whether another wish that the heir ended as well wants what the action wanted."""
    return any(
        other.state in IN_FORCE
        and same_wish(other, action)
        and (when := since(other)) is not None
        and (until := since(heir)) is not None
        and when < until
        for other in rivals
    )


def since(action: Action) -> datetime | None:
    """Since when the effect that it holds is there, or may be; one that was taken over is older than the wish."""
    taken = action.result.get("since")
    return datetime.fromisoformat(str(taken)) if taken else action.effective_at or action.requested_at


def has_passed(wish: Action, now: datetime) -> bool:
    """Whether a wish that found it so was asked for a time that is over: then it keeps nothing any more."""
    if wish.state is not _S.EFFECTIVE or wish.changed is not False or wish.effective_at is None:
        return False
    end = lease_end(wish, wish.effective_at)
    return end is not None and end <= now


def differs(wish: Action, before: Mapping[str, Any]) -> bool:
    """Whether the wish changes anything about a target that is as ``before``: the opposite of a verb is its before."""
    if verb(wish.verb).inverse != wish.verb:
        return False
    return any(before.get(name) != value for name, value in wish.parameters.items() if name in before)


def nothing_to_do(action: Action, now: Reading) -> str:
    """Why what is read now is not ours to undo, or nothing."""
    if now.effect is Effect.NOT_IN_EFFECT:
        if ended_by_vendor(action, now.observed_at):
            return BY_VENDOR
        return "no longer in effect: somebody else took it back before us"
    ours = action.result.get("state") or {}
    # After a repeated request the last order may be ours as well as the first.
    single = lost_requests(action) <= 1
    if single and any(name in ours and name in now.state and ours[name] != now.state[name] for name in _MARKERS):
        return "somebody else made the same change after ours: left alone"
    return ""


def instead_of_undo(action: Action) -> str:
    """What a person does with an action that cannot be undone as it stands."""
    if action.result.get("accept_only"):
        return f"nothing shows whether it took effect; propose {verb(action.verb).inverse}"
    if action.state in {_S.PROPOSED, _S.AWAITING_APPROVAL, _S.APPROVED}:
        return "cancel it"
    if action.state in {_S.REQUESTED, _S.ACCEPTED, _S.PENDING}:
        return "wait until it is settled"
    return "nothing was done that could be undone"
