"""Our words for an alert's or incident's state and Microsoft's: status, and classification with determination.

Letter case differs between Graph's resources, so words are compared without it and sent in Graph's own.
"""

from collections.abc import Mapping
from typing import Any

from nightdesk.sdk.errors import RejectedError
from nightdesk.sdk.ports import Command
from nightdesk.sdk.triage import Verdicts, Wish

__all__ = ["VERDICTS", "changes", "commented", "repeated", "settled", "state"]

_TEST = "securityTesting"
_EXPECTED = "informationalExpectedActivity"
_NONE = "unknown"

VERDICTS = Verdicts(
    "Defender",
    to_vendor={
        "true-positive": "truePositive",
        "likely-true-positive": "truePositive",
        "benign-positive": _EXPECTED,
        "likely-false-positive": "falsePositive",
        "false-positive": "falsePositive",
        "duplicate": _EXPECTED,
        "test": _TEST,
        "undetermined": _NONE,
        "": _NONE,
    },
    to_ours={
        "truePositive": "true-positive",
        "falsePositive": "false-positive",
        _EXPECTED: "benign-positive",
        _TEST: "test",
    },
)
"""A verdict is the classification; the expected activity that is a security test has a word of its own."""

_CLASSIFICATIONS = {word.lower(): word for word in ("truePositive", "falsePositive", _EXPECTED)}
# What the portal offers beside each classification; "other" is there with all, and claims nothing.
_OFFERED: Mapping[str, tuple[str, ...]] = {
    "truePositive": (
        "multiStagedAttack",
        "maliciousUserActivity",
        "compromisedAccount",
        "malware",
        "phishing",
        "unwantedSoftware",
        "other",
    ),
    _EXPECTED: ("lineOfBusinessApplication", "confirmedActivity", "other"),
    "falsePositive": ("notMalicious", "notEnoughDataToValidate", "other"),
    _NONE: (_NONE,),
}
_CLOSED = frozenset({"resolved", "redirected"})
_OPEN = {word.lower(): word for word in ("new", "active", "inProgress")}


def state(row: Mapping[str, Any]) -> dict[str, str]:
    """Status and disposition in our words, and what an undo needs to set Microsoft's own again."""
    return {
        "status": "closed" if _low(row, "status") in _CLOSED else "open",
        "disposition": VERDICTS.ours(_verdict(row)),
        **{f"native_{name}": str(row.get(name) or "") for name in ("status", "classification", "determination")},
    }


def changes(row: Mapping[str, Any], command: Command, wish: Wish, *, opened: str) -> dict[str, str]:
    """The properties that are still to be written. Raises RejectedError for an incident that lives on in another."""
    if _low(row, "status") == "redirected":
        raise RejectedError(
            f"incident {row.get('id')} was merged into {row.get('redirectIncidentId')}; write to that one"
        )
    fields: dict[str, str] = {}
    if wish.status is not None and wish.status != state(row)["status"]:
        before = _OPEN.get(str(command.pre_state.get("native_status") or "").lower())
        fields["status"] = "resolved" if wish.status == "closed" else before or opened
    if wish.disposition is not None and VERDICTS.word(wish.disposition) != _verdict(row):
        fields.update(_judged(VERDICTS.word(wish.disposition), row, command))
    return fields


def commented(row: Mapping[str, Any], wish: Wish) -> bool:
    """True when the comment that is wanted is there, or none is wanted."""
    return not wish.comment or _has_marker(row, wish)


def settled(row: Mapping[str, Any], command: Command, wish: Wish) -> bool:
    """True when nothing that the command wants is missing."""
    return not changes(row, command, wish, opened="") and commented(row, wish)


def repeated(row: Mapping[str, Any], command: Command, wish: Wish) -> bool:
    """True when a row that is already so was made so by an earlier try of this command."""
    return _has_marker(row, wish) or VERDICTS.repeated(command, wish)


def _judged(word: str, row: Mapping[str, Any], command: Command) -> dict[str, str]:
    """Classification and a determination that goes with it: the one before, else the present one, else ``other``."""
    if word == _TEST:
        return {"classification": _EXPECTED, "determination": _TEST}
    offered = {each.lower(): each for each in _OFFERED[word]}
    before = command.pre_state.get("native_determination")
    known = (offered.get(str(value or "").lower()) for value in (before, row.get("determination")))
    return {"classification": word, "determination": next(filter(None, known), _OFFERED[word][-1])}


def _verdict(row: Mapping[str, Any]) -> str:
    if _low(row, "determination") == _TEST.lower():
        return _TEST
    return _CLASSIFICATIONS.get(_low(row, "classification"), _NONE)


def _low(row: Mapping[str, Any], name: str) -> str:
    return str(row.get(name) or "").lower()


def _has_marker(row: Mapping[str, Any], wish: Wish) -> bool:
    comments = row.get("comments")
    return isinstance(comments, list) and any(wish.marker in str(comment) for comment in comments)
