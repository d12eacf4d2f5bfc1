"""Our words for an alert's state and Cortex's: one status says open or resolved, and resolved as what."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from nightdesk.sdk.errors import UnsupportedError
from nightdesk.sdk.ports import Command
from nightdesk.sdk.triage import Verdicts, Wish

__all__ = ["VERDICTS", "Change", "change", "plain", "settled", "state"]

_OPEN = frozenset({"new", "under_investigation"})
_REOPENED = "under_investigation"
_OTHER = "resolved_other"
_NUMBER = re.compile(r"^status_\d+_")
VERDICTS = Verdicts(
    "Cortex",
    to_vendor={
        "true-positive": "resolved_true_positive",
        "likely-true-positive": "resolved_true_positive",
        "benign-positive": "resolved_known_issue",
        "likely-false-positive": "resolved_false_positive",
        "false-positive": "resolved_false_positive",
        "duplicate": "resolved_duplicate",
        "test": "resolved_security_testing",
        "undetermined": _OTHER,
        "": _OTHER,
    },
    to_ours={
        "resolved_true_positive": "true-positive",
        "resolved_threat_handled": "true-positive",  # its name before 3.x
        "resolved_known_issue": "benign-positive",
        "resolved_false_positive": "false-positive",
        "resolved_duplicate": "duplicate",
        "resolved_duplicate_incident": "duplicate",
        "resolved_security_testing": "test",
    },
)


@dataclass(frozen=True, slots=True)
class Change:
    """What is still missing: a status to set (empty: none), and whether the comment is."""

    status: str
    comment: bool
    losses: tuple[str, ...]


def plain(word: Any) -> str:
    """``STATUS_060_RESOLVED_FALSE_POSITIVE`` and ``resolved_false_positive`` are the same word."""
    return _NUMBER.sub("", str(word or "").strip().lower())


def state(word: Any) -> dict[str, str]:
    """Status and disposition in our words, and Cortex's own, which an undo gives back.

    What is not known to be resolved counts as open, and every ``resolved_…`` as closed: new ones keep appearing.
    """
    native = plain(word)
    status = "closed" if native.startswith("resolved") else "open"
    return {"status": status, "disposition": VERDICTS.ours(native), "native_status": native}


def change(now: Mapping[str, str], wish: Wish, command: Command, *, said: bool) -> Change:
    """What is missing of the wish. ``said``: its comment is there. Raises UnsupportedError for a verdict left open."""
    target, losses = _target(now, wish, command)
    same = target == now["native_status"] or not target
    return Change("" if same else target, bool(wish.comment) and not said, losses)


def settled(now: Mapping[str, str], wish: Wish, command: Command) -> bool:
    """True when status and verdict are as wished; comments cannot be read back."""
    return not change(now, wish, command, said=True).status


def _target(now: Mapping[str, str], wish: Wish, command: Command) -> tuple[str, tuple[str, ...]]:
    """The status that the wish means, empty when the present one does."""
    status = wish.status or now["status"]
    losses: tuple[str, ...] = ()
    if status == "open":
        if wish.disposition and wish.status is None:
            raise UnsupportedError("Cortex has no verdict for an open alert; close it with the verdict")
        if wish.disposition:
            losses = (f"disposition={wish.disposition}: Cortex has no verdict for an open alert",)
        if now["status"] == "open":
            return "", losses
        before = str(command.pre_state.get("native_status", ""))
        return (before if before in _OPEN else _REOPENED), losses
    losses = VERDICTS.losses(wish)
    if wish.disposition is None:
        return ("" if now["status"] == "closed" else _OTHER), losses
    word = VERDICTS.word(wish.disposition)
    if now["status"] == "closed" and VERDICTS.ours(word) == now["disposition"]:
        return "", losses  # an older or an automatic word for the same
    return word, losses
