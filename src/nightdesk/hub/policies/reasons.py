"""Why a policy decides a case as it does: rule by rule, check by check, and what would have to change."""

from collections.abc import Iterator
from dataclasses import dataclass

from nightdesk.autonomy.decide import CAUTION
from nightdesk.autonomy.policy import Policy
from nightdesk.autonomy.tracing import Failed, RuleTrace, trace
from nightdesk.sdk.case import Case, Check, Decision, Outcome

__all__ = ["Reasons", "in_words", "reasons"]

_RAISES = frozenset({"escalate", "propose", "require_approval", "never"})
_CLOSES = frozenset({"close", "recommend"})
_NEAREST = 3
_TOLD = 4


@dataclass(frozen=True, slots=True)
class Reasons:
    """One decision taken apart. ``changes`` says what would have to be otherwise for the machine to close the case."""

    case_id: str
    decided_at: str
    policy_id: str
    version: str
    outcome: str
    verdict: str
    reason: str
    told: tuple[str, ...]
    proposals: tuple[str, ...]
    rules: tuple[RuleTrace, ...]
    failed_checks: tuple[Check, ...]
    passed_checks: int
    changes: tuple[str, ...]


def reasons(policy: Policy, case: Case, decision: Decision) -> Reasons:
    """Takes the decision of this policy about this case apart."""
    rules = tuple(trace(policy, case, decision.decided_at))
    failed = tuple(check for check in decision.checks if not check.passed)
    return Reasons(
        case.case_id,
        decision.decided_at.isoformat(),
        policy.policy_id,
        policy.version,
        decision.outcome.value,
        decision.verdict.value,
        decision.reason_code,
        decision.reasons,
        tuple(f"{one.verb} {one.target} (approval: {one.approval})" for one in decision.proposals),
        rules,
        failed,
        len(decision.checks) - len(failed),
        tuple(_changes(rules, failed, decision)),
    )


def _changes(rules: tuple[RuleTrace, ...], failed: tuple[Check, ...], decision: Decision) -> Iterator[str]:
    if CAUTION[decision.outcome] <= CAUTION[Outcome.HOLD]:
        return
    for one in rules:
        if one.effect in _RAISES and one.answer:
            yield f"rule {one.rule} ({one.effect}, of {one.owner}) must not match: it matches {_of(one)}"
        elif one.effect in _RAISES and one.answer is None:
            first = next((found for found in one.failed if not found.known), None)
            lacking = first.key if first else "its condition"
            yield f"rule {one.rule} ({one.effect}) must get the fact it lacks: {lacking}"
    closers = [one for one in rules if one.effect in _CLOSES]
    if not any(one.matched == one.alerts and not one.expired for one in closers):
        yield from _coverage(closers)
    for check in failed:
        if check.name not in {"no-escalate-rule", "rules-answered", "every-alert-covered"}:
            yield f"check {check.name} must pass: it is {check.value or 'not so'}, wanted is {check.limit}"


def _coverage(closers: list[RuleTrace]) -> Iterator[str]:
    if not closers:
        yield "a rule that closes must be written: the policy has none"
        return
    # Those that cover most, and lack least, first: what a person would look at.
    nearest = sorted(closers, key=lambda one: (-one.matched, sum(not found.known for found in one.failed)))
    for one in nearest[:_NEAREST]:
        if one.expired and one.matched:
            yield f"rule {one.rule} covers {_of(one)} and has expired: {one.owner} would have to renew it"
        for found in one.failed[:_TOLD]:
            yield f"for rule {one.rule} to cover {found.alert_id}: {_needs(found)}"


def _needs(found: Failed) -> str:
    be = "is not known" if not found.known else f"is {found.found}"
    return f"{found.key} {be}, it would have to be {found.wanted}"


def _of(one: RuleTrace) -> str:
    return f"{one.matched} of {one.alerts} alerts"


def in_words(found: Reasons) -> Iterator[str]:
    """Lines for a terminal; what comes from alerts is untrusted and for the caller to make visible."""
    yield f"{found.case_id} at {found.decided_at}, policy {found.policy_id} {found.version}"
    yield f"{found.outcome} as {found.verdict} ({found.reason})"
    yield from (f"  {text}" for text in found.told)
    yield from (f"  proposed: {text}" for text in found.proposals)
    yield "rules:"
    for one in found.rules:
        word = "matches" if one.answer else "lacks a fact" if one.answer is None else "does not match"
        ended = ", expired" if one.expired else ""
        yield f"  {one.rule} ({one.effect}{ended}): {word} ({_of(one)})"
        if one.matched < one.alerts:
            yield from (f"    {entry.alert_id}: {_needs(entry)}" for entry in one.failed[:_TOLD])
            more = len(one.failed) - _TOLD
            if more > 0:
                yield f"    and {more} more alerts"
    yield f"checks: {found.passed_checks} passed, {len(found.failed_checks)} failed"
    yield from (f"  {one.name}: {one.value or 'failed'} (wanted: {one.limit})" for one in found.failed_checks)
    if found.changes:
        yield "for a machine to close it:"
        yield from (f"  {text}" for text in found.changes)
