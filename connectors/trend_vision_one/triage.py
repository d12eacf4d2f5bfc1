"""Our words for an alert's state and Vision One's: ``status`` and ``investigationResult``, and notes for comments.

Older tenants have the deprecated ``investigationStatus`` alone, which is read and never written.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from nightdesk.sdk.ports import Command
from nightdesk.sdk.triage import Verdicts, Wish

__all__ = ["VERDICTS", "changes", "noted", "settled", "state"]

VERDICTS = Verdicts(
    "Vision One",
    to_vendor={
        "true-positive": "True Positive",
        "likely-true-positive": "Noteworthy",
        "false-positive": "False Positive",
        "likely-false-positive": "False Positive",
        "benign-positive": "Benign True Positive",
        "test": "Benign True Positive",
        "duplicate": "No Findings",
        "undetermined": "No Findings",
        "": "No Findings",
    },
    to_ours={
        "True Positive": "true-positive",
        "Noteworthy": "likely-true-positive",
        "False Positive": "false-positive",
        "Benign True Positive": "benign-positive",
    },
)
_OPEN = ("Open", "In Progress")
_FORMER_OPEN = ("New", "In Progress")


def state(alert: Mapping[str, Any]) -> dict[str, str]:
    """The alert's status and disposition in our words, and its own word for the status, which an undo gives back."""
    former, native = str(alert.get("investigationStatus") or ""), str(alert.get("status") or "")
    opened = native in _OPEN if native else former in _FORMER_OPEN
    result = alert.get("investigationResult")
    word = str(result) if result is not None else former
    return {
        "status": "open" if opened else "closed",
        "disposition": VERDICTS.ours(word),
        "native_status": native or former,
    }


def changes(alert: Mapping[str, Any], command: Command, wish: Wish) -> dict[str, str]:
    """The fields that are still missing, empty when the alert is already so.

    A closing names the result too, even an unchanged one: some tenants refuse one without.
    """
    now, fields = state(alert), dict[str, str]()
    result = str(alert.get("investigationResult") or VERDICTS.word(now["disposition"]))
    if wish.disposition is not None and VERDICTS.word(wish.disposition) != result:
        fields["investigationResult"] = VERDICTS.word(wish.disposition)
    if wish.status is not None and wish.status != now["status"]:
        fields["status"] = "Closed" if wish.status == "closed" else _opened(command)
    if fields.get("status") == "Closed":
        fields.setdefault("investigationResult", result)
    return fields


def noted(notes: Iterable[Mapping[str, Any]], wish: Wish) -> bool:
    """True when there is nothing to say, or a note of this command is there."""
    return not wish.comment or any(wish.marker in str(note.get("content", "")) for note in notes)


def settled(alert: Mapping[str, Any], notes: Iterable[Mapping[str, Any]], command: Command, wish: Wish) -> bool:
    """True when nothing that the command wants is missing."""
    return not changes(alert, command, wish) and noted(notes, wish)


def _opened(command: Command) -> str:
    """What an alert that is opened again is: In Progress if it was so before we closed it."""
    before = command.pre_state.get("native_status")
    return str(before) if before in _OPEN else "Open"
