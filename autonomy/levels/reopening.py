"""A closed case given back to people because the right by which it was closed is gone: a decision like any other.

Made from its inputs alone, so that the record gives it again bit for bit (law 11); a person's word is in it by name.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from nightdesk.sdk.case import Check, Decision, Mode, Outcome, Verdict

__all__ = ["RECORDED", "REOPEN", "remade", "reopened"]

REOPEN = "autonomy-withdrawn"
"""The reason code."""
RECORDED = "reopening"
"""Where such a decision's ``inputs`` hold why."""


def reopened(closed: Decision, why: Mapping[str, Any], *, now: datetime, decision_id: str, by: str = "") -> Decision:
    """The decision that re-opens what ``closed`` closed.

    ``why`` is JSON: the unit, the cause, a sentence (``text``) and since when closures are looked at again.
    ``by`` is the person who withdrew it, if one did.
    """
    inputs = {
        RECORDED: dict(why),
        "closed": {"decision_id": closed.decision_id, "decided_at": closed.decided_at.isoformat()},
        "by": by,
        "policy": {"id": closed.policy_id, "version": closed.policy_version, "sha256": closed.policy_sha256},
    }
    return _made(closed.tenant, closed.case_id, inputs, now=now, decision_id=decision_id)


def remade(told: Decision) -> Decision:
    """The same decision from what is recorded of it."""
    return _made(told.tenant, told.case_id, told.inputs, now=told.decided_at, decision_id=told.decision_id)


def _made(tenant: str, case_id: str, inputs: Mapping[str, Any], *, now: datetime, decision_id: str) -> Decision:
    why, closed, policy, by = inputs[RECORDED], inputs["closed"], inputs["policy"], str(inputs["by"])
    who = f"{by} withdrew it" if by else "It was lost"
    return Decision(
        tenant=tenant,
        decision_id=decision_id,
        case_id=case_id,
        decided_at=now,
        outcome=Outcome.REOPEN,
        verdict=Verdict.UNDETERMINED,
        mode=Mode.AUTONOMOUS,
        reason_code=REOPEN,
        reasons=(
            f"The case was closed by a right that no longer holds: {why['unit']}.",
            f"{who}: {why['text']}.",
            f"Everything it closed since {why['since']} is looked at again by a person.",
        ),
        checks=(Check("earned-level", False, str(why["cause"]), "the right by which a case was closed still holds"),),
        policy_id=policy["id"],
        policy_version=policy["version"],
        policy_sha256=policy["sha256"],
        inputs=dict(inputs),
        supersedes=str(closed["decision_id"]),
        reviewer=by,
    )
