"""The console's words: what each code of the system is called on a page, how old a moment is, and in which tone."""

from collections.abc import Mapping
from datetime import UTC, datetime

from nightdesk.autonomy.actions import ActionState
from nightdesk.sdk.case import CaseStatus, EntityKind, Mode, Outcome, Verdict

__all__ = [
    "ENTITY_KIND",
    "ENTITY_WORDS",
    "MODE",
    "OUTCOME",
    "OUTCOME_TONE",
    "SEVERITY",
    "STATE",
    "STATE_TONE",
    "STATUS",
    "VERDICT",
    "age",
    "count",
    "humanised",
    "listed",
    "moment",
    "reason",
    "severity",
    "span_of",
    "verb_name",
]

SEVERITY: Mapping[int, tuple[str, str]] = {
    0: ("Unknown", "unknown"),
    1: ("Informational", "informational"),
    2: ("Low", "low"),
    3: ("Medium", "medium"),
    4: ("High", "high"),
    5: ("Critical", "critical"),
    6: ("Fatal", "critical"),
    99: ("Other", "unknown"),
}
"""OCSF ``severity_id``: its word and the style it is drawn in."""

STATUS: Mapping[CaseStatus, str] = {
    CaseStatus.NEW: "New",
    CaseStatus.OPEN: "Open",
    CaseStatus.WAITING: "Waiting",
    CaseStatus.ESCALATED: "Escalated",
    CaseStatus.CLOSED: "Closed",
}

OUTCOME: Mapping[Outcome, str] = {
    Outcome.CLOSE: "Close",
    Outcome.RECOMMEND: "Recommend closing",
    Outcome.ESCALATE: "Escalate to a person",
    Outcome.PROPOSE_CONTAINMENT: "Propose containment",
    Outcome.HOLD: "Hold and watch",
    Outcome.REOPEN: "Re-open",
}
OUTCOME_TONE: Mapping[Outcome, str] = {
    Outcome.CLOSE: "good",
    Outcome.RECOMMEND: "calm",
    Outcome.ESCALATE: "warn",
    Outcome.PROPOSE_CONTAINMENT: "bad",
    Outcome.HOLD: "neutral",
    Outcome.REOPEN: "warn",
}

VERDICT: Mapping[Verdict, str] = {
    Verdict.TRUE_POSITIVE: "true positive",
    Verdict.LIKELY_TRUE_POSITIVE: "likely true positive",
    Verdict.BENIGN_POSITIVE: "benign: it happened, and it was allowed",
    Verdict.UNDETERMINED: "undetermined",
    Verdict.LIKELY_FALSE_POSITIVE: "likely false positive",
    Verdict.FALSE_POSITIVE: "false positive",
    Verdict.DUPLICATE: "duplicate",
    Verdict.TEST: "test",
}

MODE: Mapping[Mode, str] = {
    Mode.AUTONOMOUS: "by the hub on its own",
    Mode.RECOMMENDED: "as a recommendation to a person",
    Mode.HUMAN: "by a person",
}

ENTITY_KIND: Mapping[EntityKind, str] = {
    EntityKind.HOST: "Host",
    EntityKind.DEVICE: "Device",
    EntityKind.ACCOUNT: "Account",
    EntityKind.ADDRESS: "Address",
    EntityKind.DOMAIN: "Domain",
    EntityKind.URL: "URL",
    EntityKind.FILE: "File",
    EntityKind.PROCESS: "Process",
    EntityKind.EMAIL: "E-mail",
    EntityKind.RESOURCE: "Resource",
}

ENTITY_WORDS: Mapping[EntityKind, tuple[str, str]] = {
    EntityKind.HOST: ("host", "hosts"),
    EntityKind.DEVICE: ("device", "devices"),
    EntityKind.ACCOUNT: ("account", "accounts"),
    EntityKind.ADDRESS: ("address", "addresses"),
    EntityKind.DOMAIN: ("domain", "domains"),
    EntityKind.URL: ("URL", "URLs"),
    EntityKind.FILE: ("file", "files"),
    EntityKind.PROCESS: ("process", "processes"),
    EntityKind.EMAIL: ("e-mail", "e-mails"),
    EntityKind.RESOURCE: ("resource", "resources"),
}
"""The kinds inside a sentence: one of them, several of them."""

_S = ActionState
STATE: Mapping[ActionState, str] = {
    _S.PROPOSED: "Proposed",
    _S.AWAITING_APPROVAL: "Awaiting approval",
    _S.APPROVED: "Approved",
    _S.REJECTED: "Rejected",
    _S.CANCELLED: "Cancelled",
    _S.REQUESTED: "Requested",
    _S.ACCEPTED: "Accepted, not yet verified",
    _S.PENDING: "Pending at the vendor",
    _S.EFFECTIVE: "Effective, read back",
    _S.FAILED: "Failed",
    _S.UNVERIFIED: "Unverified",
    _S.CONTRADICTED: "Contradicted",
    _S.LEASED: "Effective, on lease",
    _S.EXPIRED: "Lease expired",
    _S.RENEWED: "Effective, lease renewed",
    _S.UNDO_REQUESTED: "Undo requested",
    _S.UNDONE: "Undone, read back",
    _S.UNDO_FAILED: "Undo failed",
}
STATE_TONE: Mapping[ActionState, str] = {
    _S.PROPOSED: "neutral",
    _S.AWAITING_APPROVAL: "warn",
    _S.APPROVED: "calm",
    _S.REJECTED: "neutral",
    _S.CANCELLED: "neutral",
    _S.REQUESTED: "calm",
    _S.ACCEPTED: "calm",
    _S.PENDING: "calm",
    _S.EFFECTIVE: "good",
    _S.FAILED: "bad",
    _S.UNVERIFIED: "warn",
    _S.CONTRADICTED: "bad",
    _S.LEASED: "good",
    _S.EXPIRED: "warn",
    _S.RENEWED: "good",
    _S.UNDO_REQUESTED: "calm",
    _S.UNDONE: "neutral",
    _S.UNDO_FAILED: "bad",
}

_VERB_OBJECT = {"ip": "IP address", "url": "URL", "hash": "file hash", "search": "search", "notify": "notice"}
_SECOND = 1
_STEPS = ((86400 * 2, 86400, "d"), (3600 * 2, 3600, "h"), (60 * 2, 60, "min"), (0, _SECOND, "s"))


def severity(severity_id: int) -> tuple[str, str]:
    """Word and style of a severity; an unknown number is said, not hidden."""
    return SEVERITY.get(severity_id, (f"Severity {severity_id}", "unknown"))


def humanised(code: str) -> str:
    """A code as words: ``no_signed_rule`` is "No signed rule"."""
    words = " ".join(code.replace("_", " ").replace("-", " ").replace(".", " ").split())
    return words[:1].upper() + words[1:]


def reason(code: str, reasons: tuple[str, ...] = ()) -> str:
    """Why, in one sentence: the decision's own first reason, else its code as words."""
    return reasons[0] if reasons else humanised(code)


def verb_name(verb: str) -> str:
    """``host.isolate`` is "Isolate host"."""
    thing, _, deed = verb.partition(".")
    if not deed:
        return humanised(verb)
    named = _VERB_OBJECT.get(thing, thing)
    return f"{humanised(deed)} ({named})" if "_" in deed else f"{humanised(deed)} {named}"


def moment(at: datetime) -> str:
    """A moment in UTC, to the second."""
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def span_of(first: datetime, last: datetime) -> str:
    """Two moments joined by "and", the day only once where it is one day."""
    begin, end = first.astimezone(UTC), last.astimezone(UTC)
    if begin.date() == end.date():
        return f"{begin:%Y-%m-%d %H:%M:%S} and {end:%H:%M:%S} UTC"
    return f"{moment(first)} and {moment(last)}"


def age(at: datetime, now: datetime) -> str:
    """How long ago, or how far ahead, in the largest unit that says at least two of it."""
    seconds = int((now - at).total_seconds())
    distance = abs(seconds)
    if distance < 2:
        return "just now"
    for least, unit, word in _STEPS:
        if distance >= least:
            amount = f"{distance // unit} {word}"
            return f"{amount} ago" if seconds > 0 else f"in {amount}"
    return "just now"


def count(number: int, one: str, many: str = "") -> str:
    """``1 alert``, ``12 alerts``."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def listed(items: list[str], *, most: int = 3) -> str:
    """``a, b and c``; past ``most`` of them "a, b and 4 more"."""
    if not items:
        return ""
    if len(items) == 1:
        return items[0]
    if len(items) > most:
        return f"{', '.join(items[: most - 1])} and {len(items) - most + 1} more"
    return f"{', '.join(items[:-1])} and {items[-1]}"
