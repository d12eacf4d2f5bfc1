"""A case, its decisions and its actions as STIX: grouping, note, opinion, course-of-action, execution.

Pure functions: versions (created, modified) are given by the caller's version ledger. Source: STIX 2.1 sections 4.4,
4.6, 4.10; OpenC2 Language Specification 1.0.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from nightdesk.sdk.case import Case, Decision, Mode, Outcome, Verdict
from nightdesk.sdk.targets import Target
from nightdesk.sdk.verbs import VERBS
from nightdesk.stix import values
from nightdesk.stix.scope import EXTENSION, FIXED_CREATED, Scope

__all__ = ["ActionFacts", "case_id_ref", "course_of_action", "execution", "grouping", "note", "opinion"]

_EXT = "property-extension"
_OUTCOME = {
    Outcome.CLOSE: ("close", "autonomous"),
    Outcome.RECOMMEND: ("close", "recommended"),
    Outcome.ESCALATE: ("escalate", "autonomous"),
    Outcome.PROPOSE_CONTAINMENT: ("escalate", "autonomous"),
    Outcome.HOLD: ("hold", "autonomous"),
    Outcome.REOPEN: ("reopen", "autonomous"),
}
_OPINION = {
    Verdict.TRUE_POSITIVE: "strongly-agree",
    Verdict.LIKELY_TRUE_POSITIVE: "agree",
    Verdict.BENIGN_POSITIVE: "disagree",
    Verdict.UNDETERMINED: "neutral",
    Verdict.LIKELY_FALSE_POSITIVE: "disagree",
    Verdict.FALSE_POSITIVE: "strongly-disagree",
    Verdict.TEST: "strongly-disagree",
}
# The life of an action as STIX consumers see it; the word itself stands in ``result_text``.
_STATUS = {
    "proposed": "requested", "awaiting_approval": "awaiting-approval", "approved": "approved", "rejected": "rejected",
    "cancelled": "cancelled", "requested": "running", "accepted": "running", "pending": "running",
    "effective": "succeeded", "leased": "succeeded", "renewed": "succeeded", "expired": "succeeded",
    "undo_requested": "succeeded", "undo_failed": "succeeded", "failed": "failed", "unverified": "failed",
    "contradicted": "failed", "undone": "rolled-back",
}  # fmt: skip
_CODES = {"running": 102, "succeeded": 200, "failed": 500, "rolled-back": 200}


@dataclass(frozen=True, slots=True)
class ActionFacts:
    """What an execution says of an action; ``target_ref`` is the STIX id of what was acted on."""

    action_id: str
    verb: str
    target: Target
    target_ref: str
    state: str
    connector: str
    instance: str
    idempotency_key: str
    created_at: datetime
    updated_at: datetime
    requested_at: datetime | None = None
    completed_at: datetime | None = None
    expires_at: datetime | None = None
    approval: str = "none"
    parameters: Mapping[str, Any] = field(default_factory=dict)
    decision_id: str = ""
    error: str = ""


def case_id_ref(scope: Scope, case_id: str) -> str:
    """The grouping's id."""
    return scope.key.id("grouping", "case", case_id)


def grouping(scope: Scope, case: Case, object_refs: Sequence[str], *, disposition: Verdict | None) -> dict[str, Any]:
    """A case; ``object_refs`` is everything but notes, opinions and the creator identities."""
    facts: dict[str, Any] = {
        "extension_type": _EXT,
        "case_id": case.case_id,
        "tenant_ref": scope.tenant_ref,
        "case_status": case.status.value,
        "severity_id": case.severity_id,
        "opened_at": values.clock_text(case.opened_at),
    }
    if case.status.value == "closed":
        facts["closed_at"] = values.clock_text(case.updated_at)
        if disposition:
            facts["disposition"] = disposition.value
    return {
        "type": "grouping", "spec_version": "2.1", "id": case_id_ref(scope, case.case_id),
        "created_by_ref": scope.hub_ref, "created": values.created_text(case.opened_at),
        "modified": values.created_text(max(case.opened_at, case.updated_at)), "name": case.title,
        "description": f"{len(case.alerts)} alerts.", "context": "suspicious-activity",
        "object_refs": list(object_refs), "extensions": {EXTENSION["case"]: facts}, "object_marking_refs": scope.marks,
    }  # fmt: skip


def _decided(scope: Scope, kind: str, decision: Decision) -> dict[str, Any]:
    when = values.created_text(decision.decided_at)
    return {
        "type": kind, "spec_version": "2.1", "id": scope.key.id(kind, "decision", decision.decision_id),
        "created_by_ref": scope.autonomy_ref, "created": when, "modified": when, "authors": ["nightdesk autonomy"],
        "object_marking_refs": scope.marks,
    }  # fmt: skip


def note(
    scope: Scope,
    decision: Decision,
    *,
    abstract: str,
    content: str,
    incidents: Sequence[str],
    actions: Sequence[str] = (),
) -> dict[str, Any]:
    """A decision with its reasons."""
    outcome, mode = _OUTCOME[decision.outcome]
    facts: dict[str, Any] = {
        "extension_type": _EXT,
        "decision_id": decision.decision_id,
        "outcome": outcome,
        "verdict": decision.verdict.value,
        "mode": Mode.HUMAN.value if decision.mode is Mode.HUMAN else mode,
        "policy": {
            "policy_id": decision.policy_id,
            "policy_version": decision.policy_version,
            "sha256": decision.policy_sha256,
        },
        "reason_codes": [decision.reason_code],
    }
    if actions:
        facts["action_ids"] = list(actions)
    if decision.supersedes:
        facts["supersedes_ref"] = scope.key.id("note", "decision", decision.supersedes)
    return {
        **_decided(scope, "note", decision), "abstract": abstract, "content": content,
        "object_refs": [*incidents, case_id_ref(scope, decision.case_id)], "extensions": {EXTENSION["decision"]: facts},
    }  # fmt: skip


def opinion(scope: Scope, decision: Decision, incidents: Sequence[str]) -> dict[str, Any] | None:
    """The verdict as an opinion on the incidents; a duplicate has none."""
    word = _OPINION.get(decision.verdict)
    if word is None:
        return None
    return {
        **_decided(scope, "opinion", decision), "opinion": word, "explanation": " ".join(decision.reasons),
        "object_refs": [*incidents, case_id_ref(scope, decision.case_id)],
    }  # fmt: skip


def course_of_action(scope: Scope, name: str) -> dict[str, Any]:
    """The library entry of a verb."""
    verb = VERBS[name]
    action, target = verb.openc2
    return {
        "type": "course-of-action", "spec_version": "2.1", "id": scope.key.id("course-of-action", name, target),
        "created_by_ref": scope.hub_ref, "created": FIXED_CREATED, "modified": FIXED_CREATED, "name": name,
        "description": f"{name.replace('.', ': ').replace('_', ' ')}. Risk class {verb.risk.name}. "
        + (f"Undone by {verb.inverse}." if verb.inverse else f"No inverse: {verb.no_inverse}."),
        "extensions": {
            EXTENSION["action"]: {
                "extension_type": _EXT, "record_kind": "definition", "verb": action, "target_type": target,
            }
        },
        "object_marking_refs": scope.marks,
    }  # fmt: skip


def execution(scope: Scope, action: ActionFacts) -> dict[str, Any]:
    """One execution of a verb on one target; each change of state is a new version of the same relationship."""
    verb = VERBS[action.verb]
    word, target = verb.openc2
    status = _STATUS[action.state]
    coa = scope.key.id("course-of-action", action.verb, target)
    requested = action.requested_at or action.created_at
    started = values.clock_text(requested)
    facts: dict[str, Any] = {
        "extension_type": _EXT, "record_kind": "execution", "verb": word, "target_type": target,
        "action_id": action.action_id, "action_status": status, "connector": action.connector or "unrouted",
        "requested_at": started, "reversible": verb.reversible, "idempotency_key": action.idempotency_key,
        "openc2": {
            "action": word, "target": action.target.openc2(target), "args": {"response_requested": "complete"},
            "command_id": action.action_id,
        },
        "approval": {"approval_mode": action.approval if action.approval in {"policy", "human"} else "none"},
        "result": {"result_code": _CODES.get(status, 102), "result_text": action.error or action.state},
    }  # fmt: skip
    if action.instance:
        facts["instance"] = action.instance
    if action.decision_id:
        facts["decision_ref"] = scope.key.id("note", "decision", action.decision_id)
    if action.expires_at:
        facts["expires_at"] = values.clock_text(action.expires_at)
    made: dict[str, Any] = {
        "type": "relationship", "spec_version": "2.1",
        "id": scope.key.id("relationship", coa, "related-to", action.target_ref, action.action_id),
        "created_by_ref": scope.autonomy_ref, "created": values.created_text(action.created_at),
        "modified": values.created_text(max(action.created_at, action.updated_at)), "relationship_type": "related-to",
        "source_ref": coa, "target_ref": action.target_ref, "start_time": started,
        "object_marking_refs": scope.marks,
    }  # fmt: skip
    if action.completed_at and action.completed_at >= requested:
        facts["completed_at"] = values.clock_text(action.completed_at)
        if action.completed_at > requested:
            made["stop_time"] = facts["completed_at"]
    made["extensions"] = {EXTENSION["action"]: facts}
    return made
