"""What was done after a decision, whether anybody looked, and what of it can be taken back until when."""

from collections.abc import Iterator, Sequence
from datetime import datetime

from nightdesk.autonomy.actions import Action, ActionState
from nightdesk.autonomy.clocks import ends_at
from nightdesk.autonomy.ownership import instead_of_undo
from nightdesk.autonomy.reversal import UNDOABLE
from nightdesk.autonomy.verification import verification_text
from nightdesk.hub.console.words import STATE, age, count, moment, verb_name
from nightdesk.sdk.case import Decision
from nightdesk.sdk.verbs import verb

__all__ = ["done", "undoable"]

_S = ActionState
_MOST = 12
_LEVELS = {"V1": "accepted by the vendor, not read back", "V2": "read back at the vendor"}
_LEVELS["V3"] = f"{_LEVELS['V2']} and confirmed by a second source"
_NOTHING_SENT = frozenset({_S.PROPOSED, _S.AWAITING_APPROVAL, _S.APPROVED, _S.REJECTED, _S.CANCELLED})


def done(told: Decision, actions: Sequence[Action]) -> Iterator[str]:
    """Each action of the case, the decision's own first, with whether its effect was read back."""
    ordered = sorted(actions, key=lambda one: one.decision_id != told.decision_id)
    for one in ordered[:_MOST]:
        mine = "" if one.decision_id == told.decision_id else " (not by this decision)"
        yield f"{_named(one)}{mine}: {STATE[one.state][:1].lower()}{STATE[one.state][1:]}{_verified(one)}."
    if len(ordered) > _MOST:
        yield f"And {count(len(ordered) - _MOST, 'more action')} (`nightdesk cases show`)."
    for start in told.starts:
        yield f"The playbook {start.name} was started once for the case (approval: {start.approval})."
    there = {(one.verb, one.target.key) for one in actions}
    for proposal in told.proposals:
        if (proposal.verb, proposal.target) not in there:
            yield f"{verb_name(proposal.verb)} {proposal.target} was proposed, and no action of the case came of it."
    if not actions and not told.starts and not told.proposals:
        yield "No action was taken or proposed."


def undoable(actions: Sequence[Action], now: datetime) -> Iterator[str]:
    """What of it can be taken back, how, and until when it would stand by itself."""
    for one in actions[:_MOST]:
        yield f"{_named(one)} {_way_back(one, now)}."
    if not actions:
        yield "Nothing was done that could be undone."


def _named(one: Action) -> str:
    return f"{verb_name(one.verb)} {one.target.value}"


def _verified(one: Action) -> str:
    told = verification_text(one)
    if not told:
        return "" if one.state in _NOTHING_SENT else ", not read back"
    level, _, more = told.partition(",")
    when = f" at {moment(one.effective_at)}" if one.effective_at else ""
    if level == "V2" and one.state is _S.EFFECTIVE:
        return f"{when}{f' ({more.strip()})' if more else ''}"  # its own word says that it was read back
    return f", {_LEVELS.get(level, level)}{when}{f' ({more.strip()})' if more else ''}"


def _way_back(one: Action, now: datetime) -> str:
    wanted = verb(one.verb)
    if one.state is _S.UNDONE:
        return f"is undone since {moment(one.undone_at)}" if one.undone_at else "is undone"
    if one.state is _S.UNDO_REQUESTED:
        return "is being undone"
    if one.state not in UNDOABLE:
        return f"cannot be undone as it stands ({STATE[one.state].lower()}): {instead_of_undo(one)}"
    if one.changed is False:
        return "changed nothing: it was already so"
    if not wanted.inverse:
        return f"cannot be undone: {wanted.no_inverse}"
    how = f"can be undone at any time (`nightdesk undo {one.action_id}`)"
    ends = [
        f"by itself {moment(at)} ({age(at, now)}) when {whose} ends"
        for at, whose in ((one.lease_until, "its lease"), (ends_at(one), "the vendor's own clock"))
        if at is not None and at > now
    ]
    return f"{how}; it is taken back {' or '.join(ends)}" if ends else f"{how}; it does not end by itself"
