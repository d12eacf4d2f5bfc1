"""What an action's state is as a response: 200 only for what a read-back has shown and what still stands."""

from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any

from nightdesk.autonomy.actions import Action, ActionState
from nightdesk.autonomy.openc2.targets import NSID
from nightdesk.autonomy.openc2.wishes import milliseconds

__all__ = ["MOVING", "SAID", "Response", "Status", "response_of", "status_of"]

_S = ActionState
_EVIDENCE = ("effect", "observed_at", "state", "native_state")


class Status(IntEnum):
    """The status codes of the language (section 3.3.2.1); there are no others."""

    PROCESSING = 102
    OK = 200
    BAD_REQUEST = 400
    UNAUTHORIZED = 401
    FORBIDDEN = 403
    NOT_FOUND = 404
    INTERNAL_ERROR = 500
    NOT_IMPLEMENTED = 501
    SERVICE_UNAVAILABLE = 503


_STATUS = {
    **dict.fromkeys((_S.EFFECTIVE, _S.LEASED, _S.RENEWED), Status.OK),
    **dict.fromkeys((_S.REJECTED, _S.CANCELLED), Status.FORBIDDEN),
    **dict.fromkeys((_S.FAILED, _S.UNVERIFIED, _S.CONTRADICTED, _S.UNDO_FAILED), Status.INTERNAL_ERROR),
    _S.UNDONE: Status.NOT_FOUND,
}
MOVING = frozenset({_S.PROPOSED, _S.APPROVED, _S.REQUESTED, _S.ACCEPTED, _S.PENDING, _S.EXPIRED, _S.UNDO_REQUESTED})
"""States that the engine leaves by itself; the others wait for a person, a lease's end or nothing."""
SAID = {
    _S.PROPOSED: "it is looked at",
    _S.AWAITING_APPROVAL: "a person must let it go: `nightdesk approve {action}`",
    _S.APPROVED: "it goes out next",
    _S.REQUESTED: "the connector was asked",
    _S.ACCEPTED: "the connector took it; no read-back has shown it yet",
    _S.PENDING: "the connector works on it",
    _S.EFFECTIVE: "read back",
    _S.LEASED: "read back; it ends by itself",
    _S.RENEWED: "read back; it ends by itself, later than first asked",
    _S.REJECTED: "a person said no",
    _S.CANCELLED: "it was taken back before it went out",
    _S.FAILED: "it was not done",
    _S.UNVERIFIED: "no read-back showed it in time: a person must look",
    _S.CONTRADICTED: "something says otherwise than the read-back did: a person must look",
    _S.EXPIRED: "its time is over; it is being taken back",
    _S.UNDO_REQUESTED: "it is being taken back",
    _S.UNDONE: "it was taken back: nothing of it is in force",
    _S.UNDO_FAILED: "it could not be taken back: a person must look",
}
"""What each state means to who sent the command."""


@dataclass(frozen=True, slots=True)
class Response:
    """One response of the language. ``moving``: a later one will differ without anybody's doing."""

    status: Status
    text: str = ""
    results: dict[str, Any] = field(default_factory=dict)
    moving: bool = False

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        made: dict[str, Any] = {"status": int(self.status)}
        if self.text:
            made["status_text"] = self.text
        if self.results:
            made["results"] = self.results
        return made


def status_of(state: ActionState) -> Status:
    """The status of a command whose action is in this state."""
    return _STATUS.get(state, Status.PROCESSING)


def response_of(action: Action, command_id: str) -> Response:
    """How it stands with the command that became this action."""
    only = action.state is _S.ACCEPTED and action.result.get("accept_only")
    said = SAID[action.state].format(action=action.action_id)
    if only:
        said = f"{action.instance or 'the connector'} took it and cannot show its effect"
    why = f" ({action.error})" if action.error and action.error not in said else ""
    facts = {
        "command_id": command_id,
        "action_id": action.action_id,
        "verb": action.verb,
        "state": action.state.value,
        "changed": action.changed,
        "evidence": {name: action.result[name] for name in _EVIDENCE if name in action.result} or None,
        "losses": list(action.losses),
        "lease_until": None if action.lease_until is None else milliseconds(action.lease_until),
    }
    return Response(
        status_of(action.state),
        f"{action.state}: {action.verb} of {action.target.key}: {said}{why}",
        {NSID: {name: value for name, value in facts.items() if value is not None}},  # the language has no null
        moving=action.state in MOVING and not only,
    )
