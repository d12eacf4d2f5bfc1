"""Our words for a ticket and ServiceNow's: severity as impact and urgency, state, close code, texts with our marker.

Out of the box the priority follows from impact and urgency, one number for each of our severities.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from nightdesk.connectors.servicenow.client import Row
from nightdesk.sdk.errors import RejectedError
from nightdesk.sdk.ports import Command
from nightdesk.sdk.triage import DISPOSITIONS, is_ours, marker

__all__ = [
    "FLOWS",
    "NAMES",
    "Flow",
    "close_code",
    "comment",
    "disposition",
    "fields",
    "notes",
    "same",
    "severity",
    "state",
    "verdict",
]


@dataclass(frozen=True, slots=True)
class Flow:
    """The states of a table: which of them are closed, which are locked, and what we set."""

    closed: frozenset[str]
    locked: frozenset[str]
    close: str
    reopen: str


FLOWS: Mapping[str, Flow] = {
    "incident": Flow(frozenset({"6", "7", "8"}), frozenset({"7", "8"}), close="6", reopen="2"),
    "sn_si_incident": Flow(frozenset({"3", "7"}), frozenset({"7"}), close="3", reopen="16"),
}
NAMES: Mapping[str, tuple[str, ...]] = {
    "title": ("short_description",),
    "description": ("description",),
    "severity": ("impact", "urgency"),
}
"""Which fields a parameter becomes."""

_MATRIX: Mapping[str, tuple[str, str]] = {  # impact and urgency
    "critical": ("1", "1"),
    "high": ("2", "1"),
    "medium": ("2", "2"),
    "low": ("3", "2"),
    "informational": ("3", "3"),
}
_PRIORITIES = tuple(_MATRIX)  # by impact + urgency - 2
_TITLE = 160  # characters of short_description; more are cut off without a word
_VERDICT = re.compile(r"^Disposition: ([a-z-]+)$", re.MULTILINE)
_DONE = ("solution provided", "solved (permanently)", "threat mitigated")
_NOTHING = ("no resolution provided", "not solved (not reproducible)", "user error")
_CODES: Mapping[str, tuple[str, ...]] = {  # the first that the instance has
    "true-positive": _DONE,
    "likely-true-positive": _DONE,
    "benign-positive": ("benign positive", *_NOTHING),
    "likely-false-positive": ("false positive", *_NOTHING),
    "false-positive": ("false positive", *_NOTHING),
    "duplicate": ("duplicate", *_NOTHING),
    "test": _NOTHING,
    "undetermined": _NOTHING,
    "": _DONE,
}


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


def fields(command: Command) -> dict[str, str]:
    """What title, description and severity become. Raises RejectedError for a word that we do not have."""
    given, made = command.parameters, dict[str, str]()
    if given.get("title") is not None:
        made["short_description"] = " ".join(str(given["title"]).split())[:_TITLE]
    if command.verb == "case.open" and not made.get("short_description"):
        raise RejectedError(f"{command.verb} of {command.target.value}: the title is empty")
    if given.get("description") is not None or command.verb == "case.open":
        text = str(given.get("description") or "").strip()
        made["description"] = text if is_ours(text) else f"{text}\n\n{marker(command)}".strip()
    if given.get("severity") is not None:
        pair = _MATRIX.get(str(given["severity"]).lower())
        if pair is None:
            raise RejectedError(f"severity {given['severity']!r}: write one of {', '.join(_MATRIX)}")
        made["impact"], made["urgency"] = pair
    return made


def same(row: Row, name: str, wanted: Mapping[str, str]) -> bool:
    """Whether the ticket has what the parameter of that name became; whose marker a text carries does not count."""
    if name == "severity":
        return severity(row.value("impact"), row.value("urgency")) == severity(wanted["impact"], wanted["urgency"])
    return all(_bare(row.value(field)) == _bare(wanted[field]) for field in NAMES[name])


def severity(impact: str, urgency: str) -> str:
    """Our word for the priority that follows from both; empty when either is none of 1 to 3."""
    if not {impact, urgency} <= {"1", "2", "3"}:
        return ""
    return _PRIORITIES[int(impact) + int(urgency) - 2]


def disposition(row: Row) -> str:
    """Our word as we left it in the close notes; empty for a ticket that was closed by others, or is open."""
    found = _VERDICT.search(row.value("close_notes").replace("\r", ""))
    return found[1] if found and found[1] in DISPOSITIONS else ""


def notes(said: str, word: str) -> str:
    """Close notes, which a resolved incident must have."""
    return "\n".join(filter(None, (said or "Closed by nightdesk.", f"Disposition: {word}" if word else "")))


def close_code(word: str, choices: Sequence[str]) -> str:
    """The first fitting close code that the instance has, else its first one."""
    by_name = {choice.lower(): choice for choice in choices}
    return next((by_name[name] for name in _CODES[word] if name in by_name), choices[0])


def state(row: Row, flow: Flow) -> dict[str, str]:
    """The ticket in our words, and the words of ServiceNow's that an undo restores."""
    closed = row.value("state") in flow.closed
    return {
        "ticket": row.value("sys_id"),
        "status": "closed" if closed else "open",
        "title": row.value("short_description"),
        "description": row.value("description"),
        "severity": severity(row.value("impact"), row.value("urgency")),
        "disposition": disposition(row) if closed else "",
        "native_status": row.value("state"),
    }


def _bare(text: str) -> str:
    return text.replace("\r\n", "\n").partition("[nightdesk ")[0].strip()
