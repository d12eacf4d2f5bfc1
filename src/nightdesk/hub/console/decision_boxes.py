"""What stands in the boxes of a decision's picture: a few words each, foreign text made visible and cut to fit."""

import unicodedata
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from nightdesk.autonomy.actions import Action
from nightdesk.hub.console.untrusted import plain
from nightdesk.hub.console.words import (
    ENTITY_WORDS,
    MODE,
    OUTCOME,
    OUTCOME_TONE,
    STATE,
    STATE_TONE,
    VERDICT,
    count,
    humanised,
    moment,
    severity,
    verb_name,
)
from nightdesk.sdk.case import Alert, Decision, EntityKind, Mode

__all__ = ["Content", "actions_of", "alerts_of", "decided_on", "fitted", "outcome_of", "questions_of"]

_CAPTION, _LABEL, _UNDER = 26, 20, 26
_MOST = 6
_FIRST = (EntityKind.HOST, EntityKind.ACCOUNT, EntityKind.DEVICE, EntityKind.RESOURCE, EntityKind.EMAIL)
_TOLD_BY_CHECK = {
    "no-escalate-rule": ("Rule · asks for a person", "warn"),
    "rules-answered": ("Rule · lacks a fact", "warn"),
    "rules-current": ("Rule · has expired", "neutral"),
    "rules-running": ("Rule · is stopped", "warn"),
}
"""Checks whose value names rules: shown as those rules."""


_BY = {Mode.AUTONOMOUS: "By the hub on its own", Mode.RECOMMENDED: "Recommended to a person"}


class Content(NamedTuple):
    """The lines of one box, each with its style; ``full`` is the whole text."""

    tone: str
    lines: tuple[tuple[str, str], ...]
    full: str


def fitted(text: str, cells: int) -> str:
    """The text on one line of that many narrow letters; wide ones (CJK) count twice."""
    seen = plain(text)
    if _cells(seen) <= cells:
        return seen
    while _cells(seen) > cells - 1:
        seen = seen[: min(len(seen) - 1, cells)]
    return f"{seen}…"


def _cells(text: str) -> int:
    return sum(2 if unicodedata.east_asian_width(letter) in "WF" else 1 for letter in text)


def _halved(text: str, cells: int) -> tuple[str, ...]:
    """The text on one line or, broken at a space, on two."""
    seen = plain(text)
    if _cells(seen) <= cells:
        return (seen,)
    head, used = "", 0
    for word in seen.split(" "):
        used += _cells(word) + bool(head)
        if used > cells:
            break
        head = f"{head} {word}" if head else word
    if not head:
        return (fitted(seen, cells),)
    return head, fitted(seen[len(head) + 1 :], cells)


def _content(tone: str, caption: str, label: str, *under: str) -> Content:
    full = plain(": ".join(text for text in (caption, label, *under) if text))
    lines = [("caption", fitted(caption, _CAPTION)), *(("label", text) for text in _halved(label, _LABEL))]
    lines += [("under", fitted(text, _UNDER)) for text in under if text]
    return Content(tone, tuple(lines), full)


def decided_on(decision: Decision) -> list[str]:
    """The ids of the alerts that were decided on; a person's decision names none."""
    rows = decision.inputs.get("alerts")
    return [row["alert_id"] for row in rows] if isinstance(rows, list) else []


def alerts_of(decision: Decision, alerts: Sequence[Alert]) -> list[Content]:
    """The alerts that were decided on, equal ones as one, each with whom it is about."""
    wanted = decided_on(decision)
    known = {alert.alert_id: alert for alert in alerts}
    groups: dict[tuple[str, str, int], list[Alert]] = {}
    for name in wanted or known:
        if name in known:
            one = known[name]
            groups.setdefault((one.title, one.product, one.severity_id), []).append(one)
    found = [_alerts(group) for group in groups.values()]
    away = sum(name not in known for name in wanted)
    return [
        *found[:_MOST],
        *_more(len(found) - _MOST, "more kind of alert", "more kinds of alerts"),
        *_more(away, "alert that is in another case now", "alerts that are in another case now"),
    ] or [_content("neutral", "Alerts", "none is recorded")]


def _alerts(group: Sequence[Alert]) -> Content:
    word, tone = severity(group[0].severity_id)
    times = f" × {len(group)}" if len(group) > 1 else ""
    entities = list({entity.key: entity for alert in group for entity in alert.entities}.values())
    first = sorted((one for one in entities if one.kind in _FIRST), key=lambda one: _FIRST.index(one.kind))
    named = [f"{ENTITY_WORDS[one.kind][0]} {one.value}" for one in (first or entities)[:2]]
    rest = len(entities) - len(named)
    about = " · ".join(named) + (f" +{rest}" if rest and named else "")
    return _content(tone, f"{word} alert{times}", group[0].title, about)


def questions_of(decision: Decision) -> list[Content]:
    """The rules that took part, each check that did not pass, and the ones that did as one."""
    rules: dict[tuple[str, str], Content] = {}

    def add(names: Iterable[str | None], what: str, tone: str, under: str = "") -> None:
        for name in names:
            if name:
                rules.setdefault((name, what), _content(tone, what, name, under))

    closing = decision.inputs.get("rules", ())
    add(closing, "Rule · would close", "good")
    for proposal in decision.proposals:
        add(proposal.rules, "Rule · proposes", "bad", verb_name(proposal.verb))
    for start in decision.starts:
        add(start.rules, "Rule · starts a playbook", "bad", start.name)
    failed = [check for check in decision.checks if not check.passed]
    for check in failed:
        if check.name in _TOLD_BY_CHECK:
            add(check.value.split(", "), *_TOLD_BY_CHECK[check.name])
    held = [
        _content("bad", "✕ Check not passed", humanised(check.name), check.value)
        for check in failed
        if check.name not in _TOLD_BY_CHECK
    ]
    passed = [check.name for check in decision.checks if check.passed]
    let = [_content("good", f"✓ {count(len(passed), 'check')} passed", ", ".join(map(humanised, passed)))]
    found = [*list(rules.values())[:_MOST], *_more(len(rules) - _MOST, "more rule", "more rules")]
    found += [*held[:_MOST], *_more(len(held) - _MOST, "more check not passed", "more checks not passed")]
    found += let if passed else []
    return found or [_content("neutral", "Nothing was asked", f"decided {MODE[decision.mode]}")]


def outcome_of(decision: Decision) -> list[Content]:
    """The outcome first; then until when it is held, what an adviser said, and by which policy."""
    who = _BY.get(decision.mode) or f"By {decision.reviewer or 'a person'}"
    said = VERDICT[decision.verdict]
    found = [
        _content(
            OUTCOME_TONE[decision.outcome],
            who,
            OUTCOME[decision.outcome],
            said[:1].upper() + said[1:],
            humanised(decision.reason_code),
        )
    ]
    if decision.hold_until is not None:
        found.append(_content("neutral", "Held until", moment(decision.hold_until)))
    advice = decision.inputs.get("context", {}).get("advice")
    if advice:
        raised = decision.reason_code == "adviser-raised"
        what = "Adviser · raised it" if raised else "Adviser · changed nothing"
        found.append(_content("warn" if raised else "neutral", what, humanised(str(advice.get("verdict", "")))))
    if decision.policy_id and decision.policy_id != "none":
        signed = ", ".join(decision.inputs.get("signers", ()))
        named = f"{decision.policy_id} {decision.policy_version}"
        found.append(_content("neutral", "Policy", named, f"signed by {signed}" if signed else "not signed"))
    return found


def actions_of(decision: Decision, actions: Sequence[Action]) -> list[Content]:
    """What this decision led to with its state, what it proposed and nothing came of, and playbooks."""
    proposed = {(one.verb, one.target) for one in decision.proposals}
    # What an earlier decision asked for already is not asked for twice.
    own = [one for one in actions if one.decision_id == decision.decision_id or (one.verb, one.target.key) in proposed]
    found = [
        _content(STATE_TONE[one.state], verb_name(one.verb), one.target.value, STATE[one.state])
        for one in own
    ]  # fmt: skip
    there = {(one.verb, one.target.key) for one in own}
    found += [
        _content("neutral", verb_name(one.verb), one.target.partition(":")[2], "Proposed")
        for one in decision.proposals
        if (one.verb, one.target) not in there
    ]
    found += [_content("calm", "Playbook", one.name, f"approval: {one.approval}") for one in decision.starts]
    left = found[_MOST:]
    return [*found[:_MOST], *_more(len(left), "more action", "more actions")] or [
        _content("neutral", "Actions", "None followed")
    ]


def _more(number: int, one: str, many: str) -> list[Content]:
    return [_content("neutral", "And", f"{count(number, one, many)}")] if number > 0 else []
