"""Our words for an alert's state and Falcon's: status by ``update_status``, the verdict by the console's tags.

An alert has no verdict field; people and automations tag it ``true_positive``, ``false_positive`` or ``ignored``.
"""

from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Any

from nightdesk.sdk.errors import RejectedError, UnsupportedError
from nightdesk.sdk.ports import Command

__all__ = ["changes", "losses", "marker", "repeated", "settled", "state"]

_TAGS: Mapping[str, str] = {
    "true-positive": "true_positive",
    "likely-true-positive": "true_positive",
    "false-positive": "false_positive",
    "likely-false-positive": "false_positive",
    "benign-positive": "ignored",
    "duplicate": "ignored",
    "test": "ignored",
    "undetermined": "",
    "": "",
}
_DISPOSITIONS: Mapping[str, str] = {  # what a tag reads as
    "true_positive": "true-positive",
    "false_positive": "false-positive",
    "ignored": "benign-positive",
}
_STATUSES = ("open", "closed")
_PARAMETERS: Mapping[str, frozenset[str]] = {
    "alert.set_disposition": frozenset({"status", "disposition", "comment"}),
    "alert.comment": frozenset({"comment"}),
}


def state(alert: Mapping[str, Any]) -> dict[str, str]:
    """The alert's status and disposition in our words."""
    tag = next((tag for tag in _DISPOSITIONS if tag in _tags(alert)), "")
    status = "closed" if alert.get("status") == "closed" else "open"
    return {"status": status, "disposition": _DISPOSITIONS.get(tag, "")}


def marker(command: Command) -> str:
    """What a comment or description of this command ends with, so that a repeat finds it: neither is idempotent."""
    return f"[nightdesk {sha256(command.idempotency_key.encode()).hexdigest()[:16]}]"


def changes(alert: Mapping[str, Any], command: Command) -> list[dict[str, str]]:
    """The action parameters that are still missing. Raises RejectedError for a word that we do not know."""
    allowed = _PARAMETERS.get(command.verb)
    if allowed is None:
        raise UnsupportedError(f"{command.verb} does not write to an alert; it is for act")
    strange = set(command.parameters) - allowed
    if strange:
        raise UnsupportedError(f"{command.verb} has no parameter {', '.join(sorted(strange))}")
    wanted = [*_status(alert, command), *_verdict(alert, command)]
    comment = str(command.parameters.get("comment") or "").strip()
    if command.verb == "alert.comment" and not comment:
        raise RejectedError(f"{command.verb} on {command.native_id}: the comment is empty")
    if comment and not _has_comment(alert, command):
        wanted.append({"name": "append_comment", "value": f"{comment} {marker(command)}"})
    return wanted


def losses(command: Command) -> tuple[str, ...]:
    """What Falcon's tags cannot say."""
    word = _disposition(command)
    if word is None or _DISPOSITIONS.get(_TAGS[word], "") == word:
        return ()
    told = f"the tag {_TAGS[word]}" if _TAGS[word] else "no verdict tag"
    return (f"disposition={word}: Falcon keeps it as {told}",)


def settled(alert: Mapping[str, Any], command: Command) -> bool:
    """True when nothing that the command wants is missing."""
    return not changes(alert, command)


def repeated(alert: Mapping[str, Any], command: Command) -> bool:
    """True when an alert that is already so was made so by an earlier try of this command, as its pre-state shows."""
    if _has_comment(alert, command):
        return True
    before, word = command.pre_state, _disposition(command)
    otherwise = "status" in before and command.parameters.get("status") not in {None, before["status"]}
    tag = _TAGS.get(str(before.get("disposition", "")), "")
    return otherwise or ("disposition" in before and word is not None and _TAGS[word] != tag)


def _status(alert: Mapping[str, Any], command: Command) -> list[dict[str, str]]:
    status = command.parameters.get("status")
    if status is None:
        return []
    if status not in _STATUSES:
        raise RejectedError(f"status {status!r}: write one of {', '.join(_STATUSES)}")
    if status == state(alert)["status"]:
        return []
    return [{"name": "update_status", "value": "closed" if status == "closed" else "reopened"}]


def _verdict(alert: Mapping[str, Any], command: Command) -> list[dict[str, str]]:
    word = _disposition(command)
    if word is None:
        return []
    tag, there = _TAGS[word], _tags(alert)
    removed = [{"name": "remove_tag", "value": other} for other in _DISPOSITIONS if other != tag and other in there]
    return [*removed, *([{"name": "add_tag", "value": tag}] if tag and tag not in there else [])]


def _disposition(command: Command) -> str | None:
    raw = command.parameters.get("disposition")
    if raw is None:
        return None
    word = str(raw).replace("_", "-")
    if word not in _TAGS:
        raise RejectedError(f"disposition {raw!r}: write one of {', '.join(filter(None, _TAGS))}, or '' for none")
    return word


def _tags(alert: Mapping[str, Any]) -> Sequence[str]:
    tags = alert.get("tags")
    return [str(tag) for tag in tags] if isinstance(tags, list) else []


def _has_comment(alert: Mapping[str, Any], command: Command) -> bool:
    # The shape of an entry is not documented, so the marker is looked for anywhere in it.
    comments = alert.get("comments")
    return isinstance(comments, list) and any(marker(command) in str(comment) for comment in comments)
