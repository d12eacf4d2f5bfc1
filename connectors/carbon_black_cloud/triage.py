"""Our words for an alert's state and Carbon Black's: a status, a determination, and the reason a closed one has."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from nightdesk.sdk.ports import Command
from nightdesk.sdk.triage import Verdicts, Wish

__all__ = ["VERDICTS", "Change", "change", "state"]

_DETERMINATIONS = frozenset({"TRUE_POSITIVE", "FALSE_POSITIVE"})
_NONE = "NONE"
_PLAIN = "RESOLVED"
_OPEN = ("OPEN", "IN_PROGRESS")
VERDICTS = Verdicts(
    "Carbon Black Cloud",
    to_vendor={
        "true-positive": "TRUE_POSITIVE",
        "likely-true-positive": "TRUE_POSITIVE",
        "benign-positive": "RESOLVED_BENIGN_KNOWN_GOOD",
        "likely-false-positive": "FALSE_POSITIVE",
        "false-positive": "FALSE_POSITIVE",
        "duplicate": "DUPLICATE_CLEANUP",
        "test": "OTHER",
        "undetermined": "OTHER",
        "": _NONE,
    },
    to_ours={
        "TRUE_POSITIVE": "true-positive",
        "FALSE_POSITIVE": "false-positive",
        "RESOLVED_BENIGN_KNOWN_GOOD": "benign-positive",
        "DUPLICATE_CLEANUP": "duplicate",
    },
)
"""What is no determination is a reason to close, which only a closed alert has."""


@dataclass(frozen=True, slots=True)
class Change:
    """What is still missing: the fields of the workflow call (none: all is as wished), and what cannot be said."""

    fields: Mapping[str, str]
    losses: tuple[str, ...]


def state(alert: Mapping[str, Any]) -> dict[str, str]:
    """Status and disposition in our words, and Carbon Black's own, which an undo gives back."""
    status, reason = (_word(alert, "workflow", name) for name in ("status", "closure_reason"))
    determination = _word(alert, "determination", "value") or _NONE
    closed = status == "CLOSED"
    verdict = determination if determination in _DETERMINATIONS else reason if closed else ""
    return {
        "status": "closed" if closed else "open",
        "disposition": VERDICTS.ours(verdict),
        "native_status": status,
        "closure_reason": reason,
        "determination": determination,
    }


def change(now: Mapping[str, str], wish: Wish, command: Command) -> Change:
    """What is missing of the wish; an alert that is as wished is left alone, whoever made it so."""
    closed = (wish.status or now["status"]) == "closed"
    fields: dict[str, str] = {}
    losses = VERDICTS.losses(wish)
    determination, reason = _verdict(now, wish, command)
    if determination != now["determination"]:
        fields["determination"] = determination
    if closed and (now["status"] != "closed" or (reason and reason != now["closure_reason"])):
        fields["closure_reason"] = reason or _before(command) or _PLAIN
    elif not closed and reason and not losses:
        losses = (f"disposition={wish.disposition}: Carbon Black Cloud says so of a closed alert only",)
    if closed != (now["status"] == "closed"):
        fields["status"] = "CLOSED" if closed else _reopened(command)
    elif fields:
        fields["status"] = now["native_status"] or "OPEN"
    return Change(fields, losses)


def _verdict(now: Mapping[str, str], wish: Wish, command: Command) -> tuple[str, str]:
    """The determination that the wish means, and the reason to close that goes with it, if it names one."""
    if wish.disposition is None:
        undone = wish.status == "open" and now["status"] == "closed" and command.pre_state.get("disposition") == ""
        return (_NONE if undone else now["determination"]), ""
    word = VERDICTS.word(wish.disposition)
    if word in _DETERMINATIONS:
        return word, ""
    return _NONE, "" if word == _NONE else word


def _reopened(command: Command) -> str:
    before = str(command.pre_state.get("native_status", ""))
    return before if before in _OPEN else _OPEN[0]


def _before(command: Command) -> str:
    """Why it was closed before somebody opened it; an undo closes it for that again."""
    closed = command.pre_state.get("status") == "closed"
    return str(command.pre_state.get("closure_reason") or "") if closed else ""


def _word(alert: Mapping[str, Any], outer: str, inner: str) -> str:
    found = alert.get(outer)
    return str(found.get(inner) or "").upper() if isinstance(found, Mapping) else ""
