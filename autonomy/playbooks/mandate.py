"""What a run that a rule started may do at one step: never more than the rule could have proposed by itself, now.

The rule is asked for again at every step, so that whoever withdraws it, its signature or its playbook ends what it
allowed in one step (law 10), and the case's newest decision, so that what was learnt since counts (law 7).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from nightdesk.autonomy.containment import two_signers, unattended
from nightdesk.autonomy.guardrails import DecisionContext
from nightdesk.autonomy.playbooks.run import Run
from nightdesk.autonomy.playbooks.standing import book_of
from nightdesk.autonomy.policy import ACTS_ON, Policy
from nightdesk.autonomy.proposals import Approval
from nightdesk.autonomy.protected import bearer, protection_checks
from nightdesk.autonomy.signing import SignedPolicy
from nightdesk.autonomy.switches import TELLS, Position, Scope, rule_stopped, stopped_rules
from nightdesk.sdk.case import Decision
from nightdesk.sdk.targets import Target
from nightdesk.sdk.verbs import Risk, Verb

__all__ = ["Standing", "Terms", "halted_by", "own_inputs", "standing_of", "terms"]


@dataclass(frozen=True, slots=True)
class Standing:
    """What is left of a mandate. ``valid``: its rules stand as they were; ``alone``: policy may let actions go."""

    valid: bool
    alone: bool
    signers: int
    barred: str = ""
    """The rules that say never for the case as it is now."""


@dataclass(frozen=True, slots=True)
class Terms:
    """On what terms an action is asked for; ``refused`` says why it is not asked for at all."""

    approval: Approval = Approval.HUMAN
    lease: timedelta | None = None
    refused: str = ""


def standing_of(run: Run, policy: SignedPolicy | Policy, latest: Decision | None, now: datetime) -> Standing:
    """How the mandate stands now, by the policy of today and the case's newest decision."""
    mandate = run.mandate
    assert mandate is not None
    plain = policy.policy if isinstance(policy, SignedPolicy) else policy
    signers = len(policy.signers) if isinstance(policy, SignedPolicy) else 0
    rules = {rule.id: rule for rule in plain.rules}
    valid = signers > 0
    for name in mandate.rules:
        rule = rules.get(name)
        wanted = rule.then.playbook if rule is not None and not rule.expired(now) else None
        valid &= wanted is not None and (wanted.id, wanted.sha256) == (run.playbook_id, mandate.sha256)
    alone = valid and any(
        (one.playbook, one.sha256) == (run.playbook_id, mandate.sha256)
        and own_inputs(run, one.variables) == own_inputs(run, mandate.inputs)
        and one.approval == Approval.POLICY
        for one in (latest.starts if latest else ())
    )
    checks = latest.checks if latest else ()
    barred = next((one.value for one in checks if one.name == "never-contain" and not one.passed), "")
    return Standing(valid, alone, signers, barred)


def own_inputs(run: Run, values: Mapping[str, str]) -> dict[str, str]:
    """What it is done to, without the number of the case, which is another one after a merge."""
    kinds = book_of(run, run.playbook_id).header.inputs
    return {name: text for name, text in values.items() if kinds.get(name) not in {"case", "tenant"}}


def halted_by(run: Run, positions: list[Position]) -> Position | None:
    """The person's stop that ends this run: of everything, of its tenant, or of all that one of its rules does.

    A brake's stop hands each action to a person, as it does for any other, and the run goes on.
    """
    rules = run.mandate.rules if run.mandate else ()
    for one in positions:
        whole = one.switch.scope in {Scope.ALL, Scope.TENANT}
        ours = one.switch.scope is Scope.RULE and one.switch.subject in rules
        if one.stopped and not one.by_engine and run.mandate is not None and (whole or ours):
            return one
    return None


def terms(
    run: Run,
    standing: Standing,
    wanted: Verb,
    target: Target,
    policy: Policy,
    context: DecisionContext,
    positions: list[Position],
    lease: timedelta | None,
) -> Terms:
    """How an action may be asked for. ``lease`` is what the tenant gives a containment that a rule proposes."""
    mandate = run.mandate
    assert mandate is not None
    stopped = stopped_rules(positions)
    for name in mandate.rules:
        if rule_stopped(stopped, name, wanted.name) and not rule_stopped(stopped, name, ""):
            return Terms(refused=f"{wanted.name} of rule {name} is stopped")
    if wanted.risk <= Risk.R1 and wanted.role in TELLS:
        # Tickets and messages only tell people; a rule that no longer stands tells nobody by itself.
        return Terms(Approval.POLICY if standing.valid else Approval.HUMAN)
    if standing.barred:
        return Terms(refused=f"never for this case, by {standing.barred}")
    if wanted.name != wanted.family or wanted.target not in ACTS_ON:
        # No rule could propose it: it loosens something, or is done to what no alert names.
        return Terms(Approval.HUMAN)
    felt = bearer(wanted.name, target)
    facts = context.assets.get(felt.key)
    for check in protection_checks(target, policy, facts, name=wanted.name):
        if not check.passed:
            return Terms(refused=f"refused by {check.name}: {check.value}")
    held = lease if wanted.reversible else None
    if not standing.alone:
        return Terms(Approval.HUMAN, held)
    asked = unattended(
        two_signers(f"{wanted.name} {target.key}", standing.signers), wanted, target, 1, context, calm=True
    )
    return Terms(Approval.POLICY if all(check.passed for check in asked) else Approval.HUMAN, held)
