"""What the pages of what is in force show: a row for each, how much of its time is left, and what an undo would do."""

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from nightdesk.autonomy.actions import Action, ActionState
from nightdesk.autonomy.approvals import same_person
from nightdesk.autonomy.ownership import instead_of_undo, since
from nightdesk.hub.console.presentation import case_url, lease_url
from nightdesk.hub.console.words import STATE, STATE_TONE, moment, verb_name
from nightdesk.hub.held import Held, time_left
from nightdesk.hub.keeping import can_be_kept, can_be_undone, is_stuck
from nightdesk.sdk.verbs import verb

__all__ = ["CHOICES", "LeaseRow", "choices_of", "facts_of", "lease_row", "no_undo", "undo_text", "version_of", "whose"]

CHOICES = {"4": "4 hours", "24": "24 hours", "168": "7 days"}
"""How much longer a form keeps something: hours from now, by what the form sends."""


@dataclass(frozen=True, slots=True)
class LeaseRow:
    """One effect in the list. ``share`` is what is left of its time in hundredths, None when it has no end.

    ``offers`` is what a person can ask for now.
    """

    action_id: str
    url: str
    verb: str
    target: str
    instance: str
    case_id: str
    case_url: str
    state: str
    tone: str
    since: datetime | None
    ends_at: datetime | None
    vendor_ends_at: datetime | None
    left: str
    share: int | None
    stuck: bool
    said: str
    offers: str


def lease_row(action: Action, row: Held) -> LeaseRow:
    """That one as the list shows it."""
    begun = since(action)
    state, tone = STATE[action.state], STATE_TONE[action.state]
    late = is_stuck(row)
    return LeaseRow(
        action_id=row.action_id,
        url=lease_url(row.action_id),
        verb=verb_name(row.verb),
        target=action.target.value,
        instance=row.instance,
        case_id=row.case_id,
        case_url=case_url(row.case_id),
        state=state,
        tone="bad" if late else tone,
        since=begun,
        ends_at=row.ends_at,
        vendor_ends_at=row.vendor_ends_at,
        left="" if row.ends_at is None else time_left(row.seconds_left),
        share=_share(begun, row),
        stuck=late,
        said=row.said,
        offers="" if not can_be_undone(action) else "Undo or keep" if can_be_kept(action) else "Undo",
    )


def _share(begun: datetime | None, row: Held) -> int | None:
    if row.ends_at is None or row.seconds_left is None:
        return None
    whole = (row.ends_at - begun).total_seconds() if begun else 0.0
    return max(0, min(100, round(100 * row.seconds_left / whole))) if whole > 0 else 0


def facts_of(action: Action) -> list[tuple[str, str]]:
    """Who wanted it and why, and who kept it."""
    rows = (
        ("Target", action.target.key),
        ("Carried out by", action.instance),
        ("Requested by", action.requested_by),
        ("Approved by", action.approved_by),
        ("Why", action.reason),
        ("In force since", moment(begun) if (begun := since(action)) else ""),
        ("Kept longer by", str(action.result.get("renewed_by", ""))),
        ("Undo requested", moment(action.undo_requested_at) if action.undo_requested_at else ""),
        ("Undone", moment(action.undone_at) if action.undone_at else ""),
        ("What became of it", str(action.result.get("undo", "")) if action.state is ActionState.UNDONE else ""),
        ("Action id", action.action_id),
    )
    return [row for row in rows if row[1]]


def undo_text(action: Action) -> str:
    """What an undo does, and where, in words that end in the target."""
    wanted = verb(action.verb)
    if wanted.inverse == wanted.name:
        return "The values from before are set again for"
    return f"{verb_name(wanted.inverse)} ({wanted.inverse}):"


def no_undo(action: Action) -> str:
    """Why there is nothing to take back now, or nothing."""
    if can_be_undone(action):
        return ""
    wanted = verb(action.verb)
    if action.state is ActionState.UNDO_REQUESTED:
        return "The undo is on its way: this page shows it when it was read back."
    if action.state is ActionState.UNDONE:
        return "It is over: nothing of it is in force."
    if action.changed is False:
        return "It was so before us: nothing of it is ours to take back."
    if not wanted.inverse:
        return f"It cannot be undone: {wanted.no_inverse}."
    return f"It cannot be undone as it stands: {instead_of_undo(action)}."


def choices_of(action: Action, now: datetime) -> list[tuple[str, str]]:
    """The ends that are later than the lease has: what a form sends and what it says."""
    if not can_be_kept(action):
        return []
    until = action.lease_until
    return [
        (hours, f"{text}: {end.astimezone(UTC):%Y-%m-%d %H:%M} UTC")
        for hours, text in CHOICES.items()
        if (end := now + timedelta(hours=int(hours))) and (until is None or end > until)
    ]


def whose(action: Action, name: str) -> bool:
    """Whether that person kept it longer last time, so that another has to now."""
    return same_person(str(action.result.get("renewed_by", "")), name)


def version_of(action: Action) -> str:
    """Of what the forms of its page ask: changes when they would ask something else."""
    parts = (action.state.value, str(action.lease_until), str(action.result.get("renewed_by", "")))
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]
