"""Turns stored cases into what the two pages show: every word, tone, order and limit is settled here, none in HTML."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import quote, urlencode

import orjson

from nightdesk.autonomy.actions import Action, ActionState, JournalEntry
from nightdesk.autonomy.clocks import ends_at
from nightdesk.autonomy.verification import verification_text, witness_of
from nightdesk.hub.console.book_models import run_row, waits_of
from nightdesk.hub.console.decision_picture import draw_decision
from nightdesk.hub.console.enriched import AnswerView
from nightdesk.hub.console.graph import draw
from nightdesk.hub.console.life import Step, steps
from nightdesk.hub.console.story import story
from nightdesk.hub.console.timeline import timeline
from nightdesk.hub.console.untrusted import safe_link, shortened
from nightdesk.hub.console.words import (
    ENTITY_KIND,
    OUTCOME,
    OUTCOME_TONE,
    STATE,
    STATE_TONE,
    STATUS,
    age,
    count,
    humanised,
    moment,
    reason,
)
from nightdesk.hub.keeping import can_be_undone
from nightdesk.hub.store.queries import CasePage, CaseRow
from nightdesk.sdk.case import Alert, CaseStatus, Decision, Entity, EntityKind

__all__ = ["PAGE", "case_page_model", "case_url", "decision_record", "lease_url", "queue_model", "text_of", "version"]

PAGE = 50
_REASON = 160
_ALERTS = 100
_ENTITIES = 200
_STATUS_TONE: Mapping[CaseStatus, str] = {
    CaseStatus.NEW: "calm",
    CaseStatus.OPEN: "calm",
    CaseStatus.WAITING: "neutral",
    CaseStatus.ESCALATED: "warn",
    CaseStatus.CLOSED: "good",
}
_EMPTY = {
    "": ("No cases yet", "The first alert that a connector delivers opens one, and it appears here by itself."),
    "new": ("No new cases", "Every case has been looked at, by the hub or by a person."),
    "open": ("No open cases", "Nobody is working on a case right now."),
    "waiting": ("Nothing is waiting", "No case is held for a quiet window or waits for an answer."),
    "escalated": ("Nothing needs a person", "No case is escalated. New ones appear here by themselves."),
    "closed": ("No closed cases yet", "Closed cases stay here with the reason and every check."),
}


@dataclass(frozen=True, slots=True)
class Tab:
    """One status to filter by."""

    key: str
    name: str
    count: int
    url: str
    current: bool


@dataclass(frozen=True, slots=True)
class Chip:
    """A short text in a tone."""

    text: str
    tone: str


@dataclass(frozen=True, slots=True)
class Row:
    """One case in the queue."""

    url: str
    title: str
    severity_id: int
    status: str
    status_tone: str
    entities: str
    alert_count: int
    outcome: str
    outcome_tone: str
    reason: str
    actions: tuple[Chip, ...]
    opened_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class ActionView:
    """One action with what its card shows; ``undo_url`` where its undo is asked for, empty when nothing is in force."""

    action: Action
    steps: list[Step]
    facts: list[tuple[str, str]]
    losses: str
    pre_state: list[tuple[str, str]]
    result: list[tuple[str, str]]
    journal: Sequence[JournalEntry]
    undo_url: str


@dataclass(frozen=True, slots=True)
class AlertView:
    """One alert with what its fold shows; ``link`` is empty unless a browser may follow it."""

    alert: Alert
    facts: list[tuple[str, str]]
    link: str


def case_url(case_id: str) -> str:
    """The page of a case."""
    return f"/console/cases/{quote(case_id, safe='')}"


def lease_url(action_id: str) -> str:
    """The page where an action is taken back or kept longer."""
    return f"/console/leases/{quote(action_id, safe='')}"


def queue_model(
    rows: Sequence[CaseRow],
    latest: Mapping[str, Decision],
    counts: Mapping[str, int],
    *,
    status: str,
    before: str,
    older: str,
) -> dict[str, Any]:
    """What the queue shows. ``before`` and ``older`` are page tokens: of this page and of the next, empty for none."""
    tabs = [Tab("", "All", sum(counts.values()), _queue_url("", ""), not status)]
    tabs += [
        Tab(key.value, STATUS[key], counts.get(key.value, 0), _queue_url(key.value, ""), status == key.value)
        for key in CaseStatus
    ]
    heading, text = ("No older cases", "This is the end of the list.") if before else _EMPTY[status]
    return {
        "tabs": tabs,
        "rows": [_row(row, latest.get(row.case_id)) for row in rows],
        "caption": f"{count(len(rows), 'case')}, newest change first",
        "empty": {"heading": heading, "text": text},
        "newest_url": _queue_url(status, "") if before else "",
        "older_url": _queue_url(status, older) if older else "",
        "fragment_url": _queue_url(status, before, "/console/rows"),
    }


def _queue_url(status: str, before: str, path: str = "/console/") -> str:
    query = urlencode({name: value for name, value in (("status", status), ("before", before)) if value})
    return f"{path}?{query}" if query else path


def _row(row: CaseRow, decision: Decision | None) -> Row:
    status = CaseStatus(row.status)
    outcome = decision.outcome if decision else None
    chips = [
        Chip(STATE[state] + (f" × {number}" if number > 1 else ""), STATE_TONE[state])
        for state in ActionState
        if (number := row.actions.get(state, 0))
    ]
    return Row(
        case_url(row.case_id),
        row.title,
        row.severity_id,
        STATUS[status],
        _STATUS_TONE[status],
        row.entity_summary,
        row.alert_count,
        OUTCOME[outcome] if outcome else "",
        OUTCOME_TONE[outcome] if outcome else "",
        shortened(reason(decision.reason_code, decision.reasons), _REASON) if decision else "",
        tuple(chips),
        row.opened_at,
        row.updated_at,
    )


def case_page_model(
    page: CasePage, now: datetime, known: Mapping[str, Sequence[AnswerView]] | None = None
) -> dict[str, Any]:
    """What the page of one case shows."""
    case = page.case
    decisions = list(page.decisions)
    happenings, left_out = timeline(case.alerts, decisions, page.actions, page.journal)
    entities = case.entities
    states = {action.action_id: action.state for action in page.actions}
    return {
        "case": case,
        "status": STATUS[case.status],
        "status_tone": _STATUS_TONE[case.status],
        "newest": decisions[-1] if decisions else None,
        "decisions": decisions[::-1],
        "picture": draw_decision(decisions[-1], case.alerts, page.actions) if decisions else None,
        "story": story(case, decisions, page.actions, now),
        "graph": draw(case),
        "runs": [run_row(run, waits_of(run, states)) for run in page.runs],
        "happenings": happenings,
        "left_out": left_out,
        "actions": [_action(action, page.journal.get(action.action_id, ()), now) for action in page.actions],
        "alerts": [_alert(alert) for alert in case.alerts[:_ALERTS]],
        "alerts_left_out": max(0, len(case.alerts) - _ALERTS),
        "facts": _case_facts(page),
        "entities_by_kind": _by_kind(entities[:_ENTITIES]),
        "entity_count": len(entities),
        "known": known or {},
        "entities_left_out": max(0, len(entities) - _ENTITIES),
        "version": version(page),
        "version_url": f"{case_url(case.case_id)}/version",
        "bundle_url": f"{case_url(case.case_id)}/bundle",
    }


def version(page: CasePage) -> str:
    """Changes whenever the case, a decision or an action does; the page asks for it to say that it is out of date."""
    parts = [
        page.case.updated_at.isoformat(),
        page.case.status,
        len(page.case.alerts),
        [decision.decision_id for decision in page.decisions],
        [(action.action_id, action.state, action.updated_at.isoformat()) for action in page.actions],
        [(run.run_id, run.state, run.updated_at.isoformat()) for run in page.runs],
    ]
    return hashlib.sha256(orjson.dumps(parts)).hexdigest()[:16]


def _case_facts(page: CasePage) -> list[tuple[str, str]]:
    case = page.case
    products = sorted({alert.product for alert in case.alerts})
    instances = sorted({alert.instance for alert in case.alerts})
    techniques = list(dict.fromkeys(technique for alert in case.alerts for technique in alert.techniques))
    return _rows(
        ("Alerts", f"{len(case.alerts):,}"),
        ("Products", ", ".join(map(humanised, products))),
        ("Connector instances", ", ".join(instances)),
        ("ATT&CK techniques", ", ".join(techniques)),
        ("Decisions", str(len(page.decisions))),
        ("Actions", str(len(page.actions))),
        ("Case id", case.case_id),
        ("Tenant", case.tenant),
    )


def _by_kind(entities: Sequence[Entity]) -> list[tuple[str, list[Entity]]]:
    return [
        (ENTITY_KIND[kind], found) for kind in EntityKind if (found := [item for item in entities if item.kind == kind])
    ]


def _action(action: Action, journal: Sequence[JournalEntry], now: datetime) -> ActionView:
    approval = "a person" if action.approval == "human" else f"the {action.approval}"
    facts = _rows(
        ("Target", action.target.key),
        ("Carried out by", action.instance),
        ("Requested by", action.requested_by),
        ("Approved by", action.approved_by),
        ("Approval needed from", "" if action.approved_by else approval),
        ("Why", action.reason),
        ("Parameters", text_of(action.parameters) if action.parameters else ""),
        ("Changed something", {True: "yes", False: "no, it was already so: nothing to undo", None: ""}[action.changed]),
        ("Effective", moment(action.effective_at) if action.effective_at else ""),
        ("Verified", verification_text(action)),
        ("Second source", "; ".join(one["text"] for one in witness_of(action).get("by", {}).values())),
        ("Ends at the vendor", _with_age(ends_at(action), now)),
        ("Must be effective by", _with_age(action.deadline, now)),
        ("Lease until", _with_age(action.lease_until, now)),
        ("Undo requested", moment(action.undo_requested_at) if action.undo_requested_at else ""),
        ("Undone", moment(action.undone_at) if action.undone_at else ""),
        ("Action id", action.action_id),
    )
    return ActionView(
        action,
        steps(action, journal),
        facts,
        ", ".join(action.losses),
        _pairs(action.pre_state),
        _pairs(action.result),
        journal,
        lease_url(action.action_id) if can_be_undone(action) else "",
    )


def _with_age(at: datetime | None, now: datetime) -> str:
    return f"{moment(at)} ({age(at, now)})" if at else ""


def _alert(alert: Alert) -> AlertView:
    confidence = "" if alert.confidence is None else f"{alert.confidence} of 100"
    facts = _rows(
        ("Rule", alert.rule_name or alert.rule_id),
        ("Rule id", alert.rule_id if alert.rule_name else ""),
        ("Rule version", alert.rule_version),
        ("First seen", moment(alert.first_seen)),
        ("Last seen", moment(alert.last_seen) if alert.last_seen != alert.first_seen else ""),
        ("Status at the source", alert.native_status),
        ("Verdict at the source", alert.native_verdict),
        ("Disposition", alert.disposition),
        ("Confidence", confidence),
        ("Tactics", ", ".join(alert.tactics)),
        ("Techniques", ", ".join(alert.techniques)),
        ("Product", alert.product),
        ("Connector instance", alert.instance),
        ("Id at the source", alert.native_id),
    )
    return AlertView(alert, facts, safe_link(alert.console_url))


def decision_record(decision: Decision) -> list[tuple[str, str]]:
    """What pins a decision down, for those who want to replay it."""
    return _rows(
        ("Reason code", decision.reason_code),
        ("Policy", decision.policy_id),
        ("Policy version", decision.policy_version),
        ("Policy SHA-256", decision.policy_sha256),
        ("Supersedes", decision.supersedes),
        ("Reviewer", decision.reviewer),
        ("Decision id", decision.decision_id),
        ("Inputs", text_of(decision.inputs) if decision.inputs else ""),
    )


def text_of(value: object) -> str:
    """A stored value as one text: a string as it is, anything else as JSON with sorted keys."""
    if isinstance(value, str):
        return value
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS | orjson.OPT_NON_STR_KEYS, default=str).decode()


def _pairs(values: Mapping[str, Any]) -> list[tuple[str, str]]:
    return [(str(name), text_of(value)) for name, value in sorted(values.items())]


def _rows(*rows: tuple[str, str]) -> list[tuple[str, str]]:
    return [row for row in rows if row[1]]
