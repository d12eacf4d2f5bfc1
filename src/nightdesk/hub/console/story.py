"""Tells a case in plain sentences: what happened, where and who, what was decided and why, what was done."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from nightdesk.autonomy.actions import Action, ActionState
from nightdesk.hub.console.words import (
    ENTITY_WORDS,
    MODE,
    STATE,
    VERDICT,
    age,
    count,
    listed,
    moment,
    reason,
    severity,
    span_of,
    verb_name,
)
from nightdesk.sdk.case import Case, Decision, EntityKind, Outcome

__all__ = ["Paragraph", "story"]

_WHERE = (EntityKind.HOST, EntityKind.DEVICE, EntityKind.RESOURCE)
_WHO = (EntityKind.ACCOUNT, EntityKind.EMAIL)
_DECIDED = {
    Outcome.CLOSE: "The case was closed",
    Outcome.RECOMMEND: "Closing the case is recommended",
    Outcome.ESCALATE: "The case was escalated to a person",
    Outcome.PROPOSE_CONTAINMENT: "Containment was proposed",
    Outcome.HOLD: "The case is held and watched",
    Outcome.REOPEN: "The case was re-opened",
}
_STANDING = frozenset({ActionState.EFFECTIVE, ActionState.LEASED, ActionState.RENEWED})


@dataclass(frozen=True, slots=True)
class Paragraph:
    """One heading and its sentences. They hold names from alerts: show them as untrusted text."""

    heading: str
    sentences: tuple[str, ...]


def story(case: Case, decisions: Sequence[Decision], actions: Sequence[Action], now: datetime) -> list[Paragraph]:
    """The case in four paragraphs."""
    return [
        Paragraph("What happened", tuple(_happened(case))),
        Paragraph("Where and who", tuple(_where_and_who(case))),
        Paragraph("What was decided, and why", tuple(_decided(decisions, now))),
        Paragraph("What was done", tuple(_done(actions, now))),
    ]


def _happened(case: Case) -> list[str]:
    if not case.alerts:
        return ["No alert is stored for this case."]
    first = min(alert.first_seen for alert in case.alerts)
    last = max(alert.last_seen for alert in case.alerts)
    products = sorted({alert.product.replace("_", " ") for alert in case.alerts})
    titles = list(dict.fromkeys(f"“{alert.title}”" for alert in case.alerts))
    worst = severity(max((alert.severity_id for alert in case.alerts if alert.severity_id != 99), default=0))[0].lower()
    span = f"at {moment(first)}" if first == last else f"between {span_of(first, last)}"
    sentences = [
        f"{count(len(case.alerts), 'alert')} from {listed(products)} {span}, the most severe {worst}: {listed(titles)}."
    ]
    techniques = list(dict.fromkeys(technique for alert in case.alerts for technique in alert.techniques))
    if techniques:
        sentences.append(f"ATT&CK: {listed(techniques, most=6)}.")
    return sentences


def _where_and_who(case: Case) -> list[str]:
    sentences = []
    for named_kinds, before in ((_WHERE, "On "), (_WHO, "Involving ")):
        named = [f"{ENTITY_WORDS[e.kind][0]} {e.value}" for e in case.entities if e.kind in named_kinds]
        if named:
            sentences.append(f"{before}{listed(named)}.")
    numbers = Counter(entity.kind for entity in case.entities if entity.kind not in (*_WHERE, *_WHO))
    if numbers:
        words = [count(numbers[kind], *ENTITY_WORDS[kind]) for kind in EntityKind if numbers[kind]]
        sentences.append(f"Also seen: {listed(words, most=6)}.")
    return sentences or ["The alerts name no host, account or other entity."]


def _decided(decisions: Sequence[Decision], now: datetime) -> list[str]:
    if not decisions:
        return ["Nothing has been decided yet."]
    newest = decisions[-1]
    why = reason(newest.reason_code, newest.reasons).rstrip(".")
    failed = [check for check in newest.checks if not check.passed]
    sentences = [
        f"{_DECIDED[newest.outcome]} {age(newest.decided_at, now)}, {MODE[newest.mode]}: {why}.",
        f"The verdict is {VERDICT[newest.verdict]}.",
    ]
    if newest.reviewer:
        sentences.append(f"Reviewed by {newest.reviewer}.")
    if failed:
        sentences.append(f"{len(failed)} of {count(len(newest.checks), 'check')} did not pass.")
    elif newest.checks:
        sentences.append(f"All {len(newest.checks)} checks passed." if len(newest.checks) > 1 else "Its check passed.")
    if newest.hold_until is not None and newest.hold_until > now:
        sentences.append(f"It is held until {moment(newest.hold_until)} ({age(newest.hold_until, now)}).")
    if len(decisions) > 1:
        sentences.append(f"{count(len(decisions) - 1, 'earlier decision')} came before it.")
    return sentences


def _done(actions: Sequence[Action], now: datetime) -> list[str]:
    if not actions:
        return ["No action was taken or proposed."]
    sentences = []
    for action in actions[:6]:
        sentence = f"{verb_name(action.verb)} {action.target.value}: {STATE[action.state].lower()}"
        if action.state in _STANDING and action.lease_until is not None:
            verb = "ends" if action.lease_until > now else "ended"
            sentence += f", lease {verb} {age(action.lease_until, now)}"
        if action.error:
            sentence += f" ({action.error})"
        sentences.append(f"{sentence}.")
    if len(actions) > 6:
        sentences.append(f"{len(actions) - 6} more below.")
    return sentences
