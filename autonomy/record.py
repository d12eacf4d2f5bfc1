"""Decisions as records that outlive the process: written, read, made again bit for bit, chained so a change shows."""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from functools import cache
from typing import Any

from pydantic import TypeAdapter, ValidationError

from nightdesk.autonomy.canonical import canonical, fingerprint
from nightdesk.autonomy.decide import decide
from nightdesk.autonomy.evidence import Evidence
from nightdesk.autonomy.guardrails import DecisionContext
from nightdesk.autonomy.levels.reopening import RECORDED, remade
from nightdesk.autonomy.policy import Policy
from nightdesk.autonomy.signing import SignedPolicy
from nightdesk.sdk.case import Alert, Case, CaseStatus, Decision, Mode
from nightdesk.sdk.errors import PolicyError

__all__ = ["GENESIS", "again", "as_it_stood", "broken_link", "from_record", "link", "replay", "to_record"]

GENESIS = "0" * 64
"""What the first record of a chain follows."""


@cache
def _adapter() -> TypeAdapter[Decision]:
    return TypeAdapter(Decision)


def to_record(decision: Decision) -> dict[str, Any]:
    """The decision as JSON values; ``canonical`` of it is what is hashed."""
    dumped: dict[str, Any] = _adapter().dump_python(decision, mode="json")
    if not decision.starts:
        # It came later: a record made before it has the same bytes.
        del dumped["starts"]
    return dumped


def from_record(record: Mapping[str, Any]) -> Decision:
    """The decision of a record. Raises PolicyError when it is none."""
    try:
        return _adapter().validate_python(dict(record))
    except ValidationError as error:
        keys = ", ".join(sorted({str(entry["loc"][0]) for entry in error.errors() if entry["loc"]}))
        raise PolicyError(f"this is no decision record ({keys}): restore it from the backup") from error


def replay(record: Mapping[str, Any], case: Case, policy: SignedPolicy | Policy) -> Decision:
    """The decision made again from its record, the alerts it looked at and the policy of then.

    Alerts that joined the case later are left out. Raises PolicyError when an alert or the policy is not the one that
    was decided on, or when a person decided: there is nothing to compute then.
    """
    told = from_record(record)
    if RECORDED in told.inputs:
        return remade(told)  # a level was lost: neither alerts nor policy had a say
    if told.mode is Mode.HUMAN:
        raise PolicyError(f"decision {told.decision_id} was made by {told.reviewer or 'a person'}: nothing to replay")
    plain = policy.policy if isinstance(policy, SignedPolicy) else policy
    signers = policy.signers if isinstance(policy, SignedPolicy) else ()
    inputs = told.inputs
    if plain.sha256 != told.policy_sha256 or list(signers) != inputs["signers"]:
        raise PolicyError(
            f"decision {told.decision_id} was made under policy {told.policy_id} {told.policy_version} "
            f"({told.policy_sha256[:12]}, signed by {', '.join(inputs['signers']) or 'nobody'}): load that one"
        )
    return again(told, case, policy)


def again(told: Decision, case: Case, policy: SignedPolicy | Policy, *, now: datetime | None = None) -> Decision:
    """What this policy says of what was decided on then, at that moment or at ``now``: for any policy.

    Raises PolicyError when an alert is not the one that was decided on.
    """
    inputs = told.inputs
    return decide(
        as_it_stood(told, case),
        policy,
        now=now or told.decided_at,
        quiet=timedelta(microseconds=inputs["quiet_microseconds"]),
        context=DecisionContext.from_json(inputs["context"]),
        decision_id=told.decision_id,
        supersedes=told.supersedes,
        evidence=Evidence.of(inputs),
    )


def as_it_stood(told: Decision, case: Case) -> Case:
    """The case as it was decided on. Raises PolicyError when an alert is missing or not the one of then."""
    state = told.inputs["case"]
    return replace(
        case,
        status=CaseStatus(state["status"]),
        severity_id=state["severity_id"],
        updated_at=datetime.fromisoformat(state["updated_at"]),
        alerts=_alerts(told.inputs["alerts"], case, told.decision_id),
    )


def _alerts(rows: Iterable[Mapping[str, str]], case: Case, decision_id: str) -> tuple[Alert, ...]:
    known = {(alert.alert_id, fingerprint(alert)): alert for alert in case.alerts}
    found: list[Alert] = []
    for row in rows:
        alert = known.get((row["alert_id"], row["sha256"]))
        if alert is None:
            raise PolicyError(
                f"decision {decision_id}: alert {row['alert_id']} is missing or not the one that was decided on "
                f"({row['sha256'][:12]}): rebuild it from its stored payload with the mapping of then"
            )
        found.append(alert)
    return tuple(found)


def link(previous: str, record: Mapping[str, Any]) -> str:
    """The hash of a record in its chain: over the hash before it and its own canonical bytes."""
    return hashlib.sha256(previous.encode("ascii") + b"\n" + canonical(record)).hexdigest()


def broken_link(chain: Iterable[tuple[Mapping[str, Any], str]]) -> int | None:
    """The index of the first record whose hash is not the one its chain gives; None when all are."""
    previous = GENESIS
    for index, (record, told) in enumerate(chain):
        if link(previous, record) != told:
            return index
        previous = told
    return None
