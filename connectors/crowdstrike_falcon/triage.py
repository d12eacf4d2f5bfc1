"""Our words for an alert's state and Falcon's: status by ``update_status``, the verdict by the console's tags.

An alert has no verdict field; people and automations tag it ``true_positive``, ``false_positive`` or ``ignored``.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from nightdesk.connectors.crowdstrike_falcon.client import VENDOR
from nightdesk.sdk.errors import ResponseError
from nightdesk.sdk.ports import Command
from nightdesk.sdk.triage import Verdicts, Wish

__all__ = ["VERDICTS", "changes", "repeated", "state"]

VERDICTS = Verdicts(
    "Falcon",
    to_vendor={
        "true-positive": "true_positive",
        "likely-true-positive": "true_positive",
        "false-positive": "false_positive",
        "likely-false-positive": "false_positive",
        "benign-positive": "ignored",
        "duplicate": "ignored",
        "test": "ignored",
        "undetermined": "",
        "": "",
    },
    to_ours={"true_positive": "true-positive", "false_positive": "false-positive", "ignored": "benign-positive"},
)


def state(alert: Mapping[str, Any]) -> dict[str, str]:
    """The alert's status and disposition in our words. Raises ResponseError where it says none, which is not *open*."""
    if not isinstance(alert.get("status"), str):
        raise ResponseError("the alert has no status; the API has changed", vendor=VENDOR, operation="read alert")
    tag = next((tag for tag in VERDICTS.to_ours if tag in _tags(alert)), "")
    return {"status": "closed" if alert.get("status") == "closed" else "open", "disposition": VERDICTS.ours(tag)}


def changes(alert: Mapping[str, Any], wish: Wish) -> list[dict[str, str]]:
    """The action parameters that are still missing; none when the alert is already so."""
    wanted: list[dict[str, str]] = []
    if wish.status not in {None, state(alert)["status"]}:
        wanted.append({"name": "update_status", "value": "closed" if wish.status == "closed" else "reopened"})
    if wish.disposition is not None:
        tag, there = VERDICTS.word(wish.disposition), _tags(alert)
        others = [other for other in VERDICTS.to_ours if other != tag and other in there]
        wanted += [{"name": "remove_tag", "value": other} for other in others]
        wanted += [{"name": "add_tag", "value": tag}] if tag and tag not in there else []
    if wish.comment and not _noted(alert, wish):
        wanted.append({"name": "append_comment", "value": wish.comment})
    return wanted


def repeated(alert: Mapping[str, Any], command: Command, wish: Wish) -> bool:
    """True when an alert that is already so was made so by an earlier try of this command."""
    return _noted(alert, wish) or VERDICTS.repeated(command, wish)


def _tags(alert: Mapping[str, Any]) -> Sequence[str]:
    tags = alert.get("tags")
    return [str(tag) for tag in tags] if isinstance(tags, list) else []


def _noted(alert: Mapping[str, Any], wish: Wish) -> bool:
    # The shape of an entry is not documented, so the marker is looked for anywhere in it.
    comments = alert.get("comments")
    return isinstance(comments, list) and any(wish.marker in str(comment) for comment in comments)
