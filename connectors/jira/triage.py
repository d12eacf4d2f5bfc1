"""Our words for a ticket and Jira's: severity as priority, status by category, resolution, texts with our marker."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from nightdesk.connectors.jira.adf import text_of
from nightdesk.connectors.jira.client import VENDOR
from nightdesk.sdk.errors import RejectedError, ResponseError
from nightdesk.sdk.ports import Command
from nightdesk.sdk.triage import DISPOSITIONS, is_ours, marker

__all__ = ["FIELDS", "NAMES", "PROPERTY", "SEVERITIES", "Ticket", "Words", "comment", "resolution", "verdict"]

SEVERITIES = ("critical", "high", "medium", "low", "informational")
PROPERTY = "nightdesk"
"""The issue property that says which case an issue was opened for; a copy of the issue does not have it."""

FIELDS = ("summary", "description", "status", "priority", "resolution", "updated")
NAMES: Mapping[str, str] = {"title": "summary", "description": "description", "severity": "priority"}
"""Which field a parameter becomes."""

_TITLE = 255  # characters of a summary; more are refused
_FIXED, _DECLINED = ("done", "fixed", "resolved"), ("won't do", "won't fix", "declined", "not a bug", "invalid")
_RESOLUTIONS: Mapping[str, tuple[str, ...]] = {  # the first that the transition offers
    "true-positive": ("true positive", *_FIXED),
    "likely-true-positive": ("true positive", *_FIXED),
    "benign-positive": ("benign positive", *_DECLINED, *_FIXED),
    "likely-false-positive": ("false positive", *_DECLINED, "cannot reproduce", *_FIXED),
    "false-positive": ("false positive", *_DECLINED, "cannot reproduce", *_FIXED),
    "duplicate": ("duplicate", *_DECLINED, *_FIXED),
    "test": ("test", *_DECLINED, *_FIXED),
    "undetermined": ("undetermined", "incomplete", "cannot reproduce", *_DECLINED, *_FIXED),
    "": _FIXED,
}


@dataclass(frozen=True, slots=True)
class Ticket:
    """One issue. ``category`` is its status's: ``new``, ``indeterminate`` or ``done``; names differ by workflow."""

    issue_id: str
    key: str
    title: str
    description: str
    status: str
    category: str
    priority: str
    resolution: str
    updated: str
    case_id: str
    tenant: str

    @classmethod
    def of(cls, issue: Any, operation: str) -> "Ticket":
        """Reads an issue. Raises ResponseError when it is none."""
        found = issue if isinstance(issue, Mapping) else {}
        issue_id, fields = found.get("id"), found.get("fields")
        if not isinstance(issue_id, str) or not isinstance(fields, Mapping) or not _at(fields, "status", "name"):
            raise ResponseError("the answer is no issue with id and status", vendor=VENDOR, operation=operation)
        return cls(
            issue_id,
            key=str(found.get("key", "")),
            title=str(fields.get("summary") or ""),
            description=text_of(fields.get("description")),
            status=_at(fields, "status", "name"),
            category=_at(fields, "status", "statusCategory", "key"),
            priority=_at(fields, "priority", "name"),
            resolution=_at(fields, "resolution", "name"),
            updated=str(fields.get("updated") or ""),
            case_id=_at(found, "properties", PROPERTY, "case"),
            tenant=_at(found, "properties", PROPERTY, "tenant"),
        )

    @property
    def closed(self) -> bool:
        """True in any status of the category done."""
        return self.category == "done"


@dataclass(frozen=True, slots=True)
class Words:
    """The site's names of priorities, gravest first, one for each of our severities."""

    priorities: Sequence[str]

    def severity(self, priority: str) -> str:
        """Our word; empty for a name that is none of them."""
        names = [name.casefold() for name in self.priorities]
        return SEVERITIES[names.index(priority.casefold())] if priority.casefold() in names else ""

    def fields(self, command: Command) -> dict[str, str]:
        """What title, description and severity become, as texts. Raises RejectedError for a word we do not have."""
        given, made = command.parameters, dict[str, str]()
        if given.get("title") is not None:
            made["summary"] = " ".join(str(given["title"]).split())[:_TITLE]
        if command.verb == "case.open" and not made.get("summary"):
            raise RejectedError(f"{command.verb} of {command.target.value}: the title is empty")
        if given.get("description") is not None or command.verb == "case.open":
            text = str(given.get("description") or "").strip()
            made["description"] = text if is_ours(text) else f"{text}\n\n{marker(command)}".strip()
        if given.get("severity") is not None:
            word = str(given["severity"]).lower()
            if word not in SEVERITIES:
                raise RejectedError(f"severity {given['severity']!r}: write one of {', '.join(SEVERITIES)}")
            made["priority"] = self.priorities[SEVERITIES.index(word)]
        return made

    def same(self, ticket: Ticket, name: str, wanted: Mapping[str, str]) -> bool:
        """Whether the ticket has what that parameter became; whose marker a text carries does not count."""
        value = wanted[NAMES[name]]
        if name == "severity":
            return ticket.priority.casefold() == value.casefold()
        return _bare(ticket.title if name == "title" else ticket.description) == _bare(value)

    def state(self, ticket: Ticket) -> dict[str, str]:
        """The ticket in our words, and the status that an undo restores."""
        word = ticket.resolution.lower().replace(" ", "-") if ticket.closed else ""
        return {
            "ticket": ticket.issue_id,
            "status": "closed" if ticket.closed else "open",
            "title": ticket.title,
            "description": ticket.description,
            "severity": self.severity(ticket.priority),
            "disposition": word if word in DISPOSITIONS else "",
            "native_status": ticket.status,
        }


def comment(command: Command) -> str:
    """The comment with our marker; closing with a disposition says it too, since no field of Jira's can.

    Empty when nothing is to be said. Raises RejectedError for a comment that says nothing.
    """
    text, word = str(command.parameters.get("comment") or "").strip(), verdict(command)
    if command.verb == "case.comment" and not text:
        raise RejectedError(f"{command.verb} on {command.target.value}: the comment is empty")
    if word:
        text = f"{text or 'Closed by nightdesk.'}\nDisposition: {word}"
    return f"{text} {marker(command)}" if text else ""


def verdict(command: Command) -> str:
    """The disposition, empty when none is given. Raises RejectedError for a word that we do not have."""
    word = str(command.parameters.get("disposition") or "").replace("_", "-")
    if word and word not in DISPOSITIONS:
        raise RejectedError(f"disposition {word!r}: write one of {', '.join(DISPOSITIONS)}")
    return word


def resolution(word: str, offered: Sequence[str]) -> str:
    """The first fitting resolution of those that are offered, else the first of them; empty when none is."""
    by_name = {name.lower(): name for name in offered}
    return next((by_name[name] for name in _RESOLUTIONS[word] if name in by_name), next(iter(offered), ""))


def _bare(text: str) -> str:
    lines = text.replace("\r\n", "\n").partition("[nightdesk ")[0].split("\n")
    return re.sub(r"\n{3,}", "\n\n", "\n".join(line.strip() for line in lines)).strip()


def _at(node: Any, *path: str) -> str:
    for name in path:
        node = node.get(name) if isinstance(node, Mapping) else None
    return node if isinstance(node, str) else ""
