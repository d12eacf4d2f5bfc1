"""An action's life as steps on a line: what is behind it, where it stands, what is still to come, where it broke."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from nightdesk.autonomy.actions import Action, ActionState, JournalEntry
from nightdesk.hub.console.words import STATE

__all__ = ["Step", "steps"]

_S = ActionState
_LINE = ("Approved", "Requested", "Accepted", "Effective", "Leased", "Undone")
_STEP: Mapping[ActionState, int] = {
    _S.PROPOSED: -1,
    _S.AWAITING_APPROVAL: 0,
    _S.APPROVED: 0,
    _S.REJECTED: 0,
    _S.CANCELLED: 0,
    _S.REQUESTED: 1,
    _S.ACCEPTED: 2,
    _S.PENDING: 3,
    _S.EFFECTIVE: 3,
    _S.FAILED: 3,
    _S.UNVERIFIED: 3,
    _S.CONTRADICTED: 3,
    _S.LEASED: 4,
    _S.RENEWED: 4,
    _S.EXPIRED: 4,
    _S.UNDO_REQUESTED: 5,
    _S.UNDONE: 5,
    _S.UNDO_FAILED: 5,
}
_REACHES = frozenset(
    {_S.APPROVED, _S.REQUESTED, _S.ACCEPTED, _S.EFFECTIVE, _S.LEASED, _S.RENEWED, _S.UNDONE},
)
_BREAKS = frozenset({_S.REJECTED, _S.CANCELLED, _S.FAILED, _S.CONTRADICTED, _S.UNDO_FAILED})
_DOUBTS = frozenset({_S.UNVERIFIED, _S.EXPIRED})


@dataclass(frozen=True, slots=True)
class Step:
    """One step. ``status``: done, now, broken, doubtful, passed over, or to come; ``note`` says it in a word."""

    name: str
    status: str
    at: datetime | None = None
    note: str = ""


def steps(action: Action, journal: Sequence[JournalEntry]) -> list[Step]:
    """The line of this action, from its journal; its own stamps fill in where the journal has none."""
    reached: dict[int, datetime] = {}
    for entry in journal:
        if entry.state in _REACHES:
            reached.setdefault(_STEP[entry.state], entry.at)
    for place, stamp in ((1, action.requested_at), (2, action.accepted_at), (3, action.effective_at)):
        if stamp is not None:
            reached.setdefault(place, stamp)
    if action.undone_at is not None:
        reached.setdefault(5, action.undone_at)
    here = _STEP[action.state]
    furthest = max([*reached, here])
    line = []
    for place, name in enumerate(_LINE):
        at = reached.get(place)
        if place == here and action.state not in _REACHES:
            status = "broken" if action.state in _BREAKS else "doubtful" if action.state in _DOUBTS else "now"
            line.append(Step(name, status, at or action.updated_at, STATE[action.state]))
        elif at is not None:
            line.append(Step(name, "done", at))
        else:
            line.append(Step(name, "passed over" if place < furthest else "to come"))
    return line
