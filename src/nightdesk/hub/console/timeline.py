"""Everything that happened in a case on one line of time: alerts, decisions, and each step of each action."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from nightdesk.autonomy.actions import Action, JournalEntry
from nightdesk.hub.console.words import (
    MODE,
    OUTCOME,
    OUTCOME_TONE,
    STATE,
    STATE_TONE,
    VERDICT,
    reason,
    severity,
    verb_name,
)
from nightdesk.sdk.case import Alert, Decision

__all__ = ["MOST", "Happening", "timeline"]

MOST = 400
_RANK = {"alert": 0, "decision": 1, "action": 2}


@dataclass(frozen=True, slots=True)
class Happening:
    """One line. ``text`` and ``detail`` may hold foreign text; ``label`` and ``tone`` never do.

    ``times`` counts equal alerts in a row, the last of them at ``until``.
    """

    at: datetime
    kind: str
    tone: str
    label: str
    text: str
    detail: str = ""
    until: datetime | None = None
    times: int = 1


def timeline(
    alerts: Sequence[Alert],
    decisions: Sequence[Decision],
    actions: Sequence[Action],
    journal: Mapping[str, Sequence[JournalEntry]],
) -> tuple[list[Happening], int]:
    """Oldest first, equal alerts in a row as one; and how many of the oldest were left out to keep the page short."""
    happenings = [*map(_alert, alerts), *map(_decision, decisions)]
    for action in actions:
        happenings.extend(_step(action, entry) for entry in journal.get(action.action_id, ()))
    happenings.sort(key=lambda happening: (happening.at, _RANK[happening.kind]))
    folded = list(_folded(happenings))
    return folded[-MOST:], max(0, len(folded) - MOST)


def _alert(alert: Alert) -> Happening:
    word, style = severity(alert.severity_id)
    return Happening(alert.first_seen, "alert", style, f"{word} alert", alert.title, alert.rule_name or alert.rule_id)


def _decision(decision: Decision) -> Happening:
    detail = f"{VERDICT[decision.verdict]}, decided {MODE[decision.mode]}"
    return Happening(
        decision.decided_at,
        "decision",
        OUTCOME_TONE[decision.outcome],
        f"Decision: {OUTCOME[decision.outcome]}",
        reason(decision.reason_code, decision.reasons),
        detail,
    )


def _step(action: Action, entry: JournalEntry) -> Happening:
    return Happening(
        entry.at,
        "action",
        STATE_TONE[entry.state],
        STATE[entry.state],
        f"{verb_name(action.verb)} {action.target.value}",
        f"by {entry.actor}{_said(entry.detail)}",
    )


def _said(detail: Mapping[str, Any]) -> str:
    """What a journal entry says in words, where it does."""
    for name in ("error", "reason", "message", "native_state"):
        if detail.get(name):
            return f": {detail[name]}"
    return ""


def _folded(happenings: Iterable[Happening]) -> Iterable[Happening]:
    held: Happening | None = None
    for happening in happenings:
        if held is not None and happening.kind == "alert" and _same(held, happening):
            held = replace(held, times=held.times + 1, until=happening.at)
            continue
        if held is not None:
            yield held
        held = happening
    if held is not None:
        yield held


def _same(one: Happening, other: Happening) -> bool:
    return (one.kind, one.label, one.text, one.detail) == (other.kind, other.label, other.text, other.detail)
