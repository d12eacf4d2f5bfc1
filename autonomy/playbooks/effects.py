"""What an action's life says to the step that waits for it."""

from collections.abc import Mapping

from nightdesk.autonomy.actions import Action, ActionState
from nightdesk.autonomy.playbooks.run import Told

__all__ = ["told"]

_S = ActionState
_OPEN = frozenset({_S.PROPOSED, _S.AWAITING_APPROVAL, _S.APPROVED, _S.REQUESTED, _S.ACCEPTED, _S.PENDING})
_FAILED: Mapping[ActionState, str] = {
    _S.FAILED: "failed",
    _S.UNVERIFIED: "unverified",
    _S.CONTRADICTED: "contradicted",
    _S.REJECTED: "rejected",
    _S.CANCELLED: "cancelled",
}


def told(key: str, action: Action) -> Told:
    """How that step stands. Effective means read back (law 5): what cannot be read back is only *accepted*."""
    losses = f"without {', '.join(action.losses)}" if action.losses else ""
    if action.state is _S.ACCEPTED and action.result.get("accept_only"):
        note = "; ".join(text for text in (f"accepted, no read-back: {action.result['accept_only']}", losses) if text)
        return Told(key, action.action_id, "accepted", note)
    if action.state in _OPEN:
        return Told(key, action.action_id)
    if action.state in _FAILED:
        return Told(key, action.action_id, _FAILED[action.state], action.error)
    if action.effective_at is None:  # taken back before it was ever seen
        return Told(key, action.action_id, "undone", action.error)
    already = "it was so already" if action.changed is False else ""
    return Told(key, action.action_id, "effective", "; ".join(text for text in (already, losses) if text))
