"""Our words for a ticket and TheHive's: severity as a number, status as a label with a stage, texts with our marker."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from nightdesk.connectors.thehive.client import VENDOR
from nightdesk.sdk.errors import RejectedError, ResponseError
from nightdesk.sdk.ports import Command
from nightdesk.sdk.triage import DISPOSITIONS, Verdicts, is_ours, marker

__all__ = ["NAMES", "VERDICTS", "Ticket", "comment", "fields", "label", "lost", "same", "state", "verdict"]

NAMES = ("title", "description", "severity")
"""Parameters and fields of one name."""

VERDICTS = Verdicts(
    "TheHive",
    to_vendor={
        "true-positive": "TruePositive",
        "likely-true-positive": "TruePositive",
        "benign-positive": "Other",
        "likely-false-positive": "FalsePositive",
        "false-positive": "FalsePositive",
        "duplicate": "Duplicated",
        "test": "Other",
        "undetermined": "Indeterminate",
        "": "Other",
    },
    to_ours={
        "TruePositive": "true-positive",
        "FalsePositive": "false-positive",
        "Duplicated": "duplicate",
        "Indeterminate": "undetermined",
    },
)

_SEVERITIES: Mapping[str, int] = {"informational": 1, "low": 1, "medium": 2, "high": 3, "critical": 4}
_WORDS: Mapping[int, str] = {1: "low", 2: "medium", 3: "high", 4: "critical"}
_TITLE = 512  # characters; more are refused


@dataclass(frozen=True, slots=True)
class Ticket:
    """One case of TheHive. ``status`` is a label of the organisation's own; ``stage`` is what counts."""

    case_id: str
    number: int
    title: str
    description: str
    severity: int
    status: str
    stage: str
    summary: str
    impact: str
    created: int
    updated: int | None

    @classmethod
    def of(cls, found: Mapping[str, Any], operation: str) -> "Ticket":
        """Reads a case. Raises ResponseError when it is none."""
        case_id, stage = found.get("_id"), found.get("stage")
        severity, created, updated = found.get("severity"), found.get("_createdAt"), found.get("_updatedAt")
        if not isinstance(case_id, str) or not isinstance(stage, str) or not isinstance(created, int):
            raise ResponseError("the answer is no case with _id and stage", vendor=VENDOR, operation=operation)
        number = found.get("number")
        return cls(
            case_id,
            number=number if isinstance(number, int) else 0,
            title=str(found.get("title") or ""),
            description=str(found.get("description") or ""),
            severity=severity if isinstance(severity, int) else 0,
            status=str(found.get("status") or ""),
            stage=stage,
            summary=str(found.get("summary") or ""),
            impact=str(found.get("impactStatus") or ""),
            created=created,
            updated=updated if isinstance(updated, int) else None,  # absent until the first update
        )

    @property
    def closed(self) -> bool:
        """True in any status of the stage Closed."""
        return self.stage == "Closed"


def comment(command: Command) -> str:
    """The comment with our marker, empty when none is given. Raises RejectedError for a comment that says nothing."""
    text = str(command.parameters.get("comment") or "").strip()
    if command.verb == "case.comment" and not text:
        raise RejectedError(f"{command.verb} on {command.target.value}: the comment is empty")
    return f"{text} {marker(command)}" if text else ""


def verdict(command: Command) -> str:
    """The disposition, empty when none is given. Raises RejectedError for a word that we do not have."""
    word = str(command.parameters.get("disposition") or "").replace("_", "-")
    if word and word not in DISPOSITIONS:
        raise RejectedError(f"disposition {word!r}: write one of {', '.join(DISPOSITIONS)}")
    return word


def fields(command: Command) -> dict[str, Any]:
    """What title, description and severity become. Raises RejectedError for a word that we do not have."""
    given, made = command.parameters, dict[str, Any]()
    if given.get("title") is not None:
        made["title"] = " ".join(str(given["title"]).split())[:_TITLE]
    if command.verb == "case.open" and not made.get("title"):
        raise RejectedError(f"{command.verb} of {command.target.value}: the title is empty")
    if given.get("description") is not None or command.verb == "case.open":
        text = str(given.get("description") or "").strip()
        made["description"] = text if is_ours(text) else f"{text}\n\n{marker(command)}".strip()
    if given.get("severity") is not None:
        word = str(given["severity"]).lower()
        if word not in _SEVERITIES:
            raise RejectedError(f"severity {given['severity']!r}: write one of {', '.join(_SEVERITIES)}")
        made["severity"] = _SEVERITIES[word]
    return made


def lost(command: Command, wanted: Mapping[str, Any]) -> tuple[str, ...]:
    """What TheHive's fields cannot hold of the parameters."""
    whole = " ".join(str(command.parameters.get("title") or "").split())
    cut = ["title: cut after 512 characters"] if whole != wanted.get("title", whole) else []
    word = str(command.parameters.get("severity") or "").lower()
    kept = _WORDS.get(wanted.get("severity", 0), "")
    return (*cut, *([f"severity={word}: TheHive keeps it as {kept}"] if word and word != kept else []))


def same(ticket: Ticket, name: str, wanted: Mapping[str, Any]) -> bool:
    """Whether the ticket has what that parameter became; whose marker a text carries does not count."""
    if name == "severity":
        return bool(ticket.severity == wanted["severity"])
    return _bare(ticket.title if name == "title" else ticket.description) == _bare(wanted[name])


def state(ticket: Ticket) -> dict[str, str]:
    """The ticket in our words, and the label that an undo restores."""
    return {
        "ticket": ticket.case_id,
        "status": "closed" if ticket.closed else "open",
        "title": ticket.title,
        "description": ticket.description,
        "severity": _WORDS.get(ticket.severity, ""),
        "disposition": VERDICTS.ours(ticket.status) if ticket.closed else "",
        "native_status": ticket.status,
    }


def label(preferred: Sequence[str], offered: Sequence[str]) -> str:
    """The first preferred label that the organisation has, else its first one; empty when it has none."""
    return next((name for name in preferred if name in offered), next(iter(offered), ""))


def _bare(text: str) -> str:
    return text.replace("\r\n", "\n").partition("[nightdesk ")[0].strip()
