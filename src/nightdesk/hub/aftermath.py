"""What a decision leads to: wishes for the action engine, journalled in the same transaction as the decision."""

from datetime import timedelta

from nightdesk.autonomy.actions import Journal
from nightdesk.autonomy.proposals import Approval, Proposals
from nightdesk.hub.config import TenantSettings
from nightdesk.sdk.case import Alert, Case, Decision, Outcome, Proposal
from nightdesk.sdk.targets import Target
from nightdesk.sdk.verbs import TargetKind, verb

__all__ = ["AUTONOMY", "containment_lease", "follow"]

AUTONOMY = "autonomy"
_CLOSE = "alert.set_disposition"
_BLOCK_LEASE = timedelta(hours=24)
_FLEET_WIDE = frozenset({"hash.block", "ip.block", "domain.block", "url.block"})


def follow(proposals: Proposals, journal: Journal, decision: Decision, case: Case, tenant: TenantSettings) -> int:
    """Close: the vendors' own alerts are closed. Containment: its proposals. Returns how many wishes there are."""
    count = 0
    if decision.outcome is Outcome.CLOSE:
        wanted = {one.target.value for one in journal.of_case(case.tenant, case.case_id) if one.verb == _CLOSE}
        for alert in case.alerts:
            if alert.native_id not in wanted and not alert.closed_at_source and _can_close(tenant, alert):
                _close(proposals, decision, alert)
                count += 1
    for proposal in decision.proposals:
        _contain(proposals, decision, proposal, tenant)
        count += 1
    return count


def _can_close(tenant: TenantSettings, alert: Alert) -> bool:
    instance = tenant.instances.get(alert.source)
    return instance is not None and _CLOSE in instance.manifest.writes_back


def _close(proposals: Proposals, decision: Decision, alert: Alert) -> None:
    comment = f"nightdesk case {decision.case_id}: {' '.join(decision.reasons)[:500]}"
    proposals.propose(
        decision.tenant,
        _CLOSE,
        Target(TargetKind.ALERT, alert.native_id),
        requested_by=AUTONOMY,
        approval=Approval.POLICY,
        case_id=decision.case_id,
        decision_id=decision.decision_id,
        parameters={"status": "closed", "disposition": decision.verdict.value, "comment": comment},
        reason=decision.reason_code,
        source_instance=alert.source,
        accept_losses=("comment", "disposition"),
        rules=[rule for rule in decision.inputs.get("rules", ()) if rule],
    )


def _contain(proposals: Proposals, decision: Decision, proposal: Proposal, tenant: TenantSettings) -> None:
    parsed = Target.parse(proposal.target)
    proposals.propose(
        decision.tenant,
        proposal.verb,
        Target(parsed.kind, parsed.value, proposal.facts),
        requested_by=AUTONOMY,
        approval=Approval(proposal.approval),
        case_id=decision.case_id,
        decision_id=decision.decision_id,
        parameters=proposal.parameters,
        reason=decision.reason_code,
        rules=proposal.rules,
        lease=containment_lease(proposal.verb, tenant),
    )


def containment_lease(name: str, tenant: TenantSettings) -> timedelta | None:
    """How long a containment holds that nobody gave an end; None for what cannot be taken back, and so not leased."""
    if not verb(name).reversible:
        return None
    return tenant.leases.get(name, _BLOCK_LEASE if name in _FLEET_WIDE else timedelta(hours=4))
