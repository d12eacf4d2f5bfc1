"""A stored case as one STIX bundle: its alerts' objects, the grouping, decisions and executions, through the ledger."""

from collections.abc import Sequence

import orjson
from sqlalchemy import Connection

from nightdesk.autonomy.actions import Action
from nightdesk.autonomy.explain import explain
from nightdesk.hub.store import alerts, objects
from nightdesk.hub.store.queries import CasePage
from nightdesk.sdk.case import Case, Decision, Verdict
from nightdesk.stix.bundle import bundle_bytes, merge
from nightdesk.stix.casework import ActionFacts, course_of_action, execution, grouping, note, opinion
from nightdesk.stix.scope import Scope

__all__ = ["case_bundle"]

_UNGROUPED = frozenset({"marking-definition", "extension-definition", "note", "opinion"})


def case_bundle(conn: Connection, scope: Scope, page: CasePage) -> bytes:
    """The bundle; writes the versions of what the hub made to the version ledger, so it needs a writing transaction."""
    case = page.case
    stored = alerts.bundles(conn, scope.slug, [alert.alert_id for alert in case.alerts])
    observed = merge(orjson.loads(found.bundle)["objects"] for found in stored.values())
    made = [course_of_action(scope, verb) for verb in sorted({action.verb for action in page.actions})]
    made += [execution(scope, _facts(case, action)) for action in page.actions]
    outside = {scope.hub_ref, scope.autonomy_ref, *(entry["id"] for entry in scope.opening())}
    everything = (*observed, *made)
    members = [one["id"] for one in everything if one["type"] not in _UNGROUPED and one["id"] not in outside]
    verdict: Verdict | None = page.decisions[-1].verdict if page.decisions else None
    made.append(grouping(scope, case, members, disposition=verdict))
    incidents = [alert.alert_id for alert in case.alerts]
    for decision in page.decisions:
        made += _decision(scope, case, decision, incidents, page.actions)
    opening = [*scope.opening("case", "decision", "action"), *scope.standing(autonomy=True)]
    return bundle_bytes(scope, merge([opening, observed, objects.version(conn, scope.slug, made)]))


def _decision(
    scope: Scope, case: Case, decision: Decision, incidents: list[str], actions: Sequence[Action]
) -> list[dict[str, object]]:
    words = explain(decision, case)
    ids = [action.action_id for action in actions if action.decision_id == decision.decision_id]
    found = [note(scope, decision, abstract=words.abstract, content=words.content, incidents=incidents, actions=ids)]
    said = opinion(scope, decision, incidents)
    return [*found, said] if said else found


def _facts(case: Case, action: Action) -> ActionFacts:
    return ActionFacts(
        action_id=action.action_id,
        verb=action.verb,
        target=action.target,
        target_ref=_ref(case, action),
        state=action.state.value,
        connector=action.instance,
        instance=action.instance,
        idempotency_key=action.idempotency_key,
        created_at=action.created_at,
        updated_at=action.updated_at,
        requested_at=action.requested_at,
        completed_at=action.effective_at,
        expires_at=action.lease_until,
        approval="policy" if action.approval == "policy" else "human",
        parameters=action.parameters,
        decision_id=action.decision_id,
        error=action.error,
    )


def _ref(case: Case, action: Action) -> str:
    """The STIX object that was acted on: the alert itself, or the entity of that name; else the case's first alert."""
    for alert in case.alerts:
        if action.verb.startswith("alert.") and alert.native_id == action.target.value:
            return alert.alert_id
    for entity in case.entities:
        if entity.key == action.target.key and entity.ref:
            return entity.ref
    return case.alerts[0].alert_id
