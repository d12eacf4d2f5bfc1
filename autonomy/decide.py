"""One case, one policy, one moment: what is to be done, why, and what was checked on the way.

The order is fixed: hard policy, abstain checks, what was earned, outcome. A failed check gives the case to a person;
nothing after the hard policy can widen what it allows, and what was earned is asked only where no signed rule speaks of
any alert. The same arguments give the same decision for ever (law 11).
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from nightdesk.autonomy.adviser.advice import Advice
from nightdesk.autonomy.bars import NEVER_CLOSE, Bars, bars
from nightdesk.autonomy.canonical import fingerprint
from nightdesk.autonomy.containment import Containment, resolve
from nightdesk.autonomy.enrichment.caution import answered_by_lists
from nightdesk.autonomy.evidence import NOT_ASKED, Evidence, ruled
from nightdesk.autonomy.guardrails import DecisionContext, abstain_checks
from nightdesk.autonomy.levels.gate import EARNED, GateRuling, Say
from nightdesk.autonomy.policy import Policy, Rule, Ruling, judge, names_things
from nightdesk.autonomy.signing import SignedPolicy
from nightdesk.autonomy.starting import Starting, resolve_starts
from nightdesk.autonomy.suppression import rules_of, suppressing
from nightdesk.autonomy.switches import CLOSES, rule_stopped
from nightdesk.sdk.case import Case, CaseStatus, Check, Decision, Mode, Outcome, Verdict

__all__ = ["CAUTION", "DecisionContext", "decide"]

CAUTION: dict[Outcome, int] = {
    Outcome.CLOSE: 0,
    Outcome.HOLD: 1,
    Outcome.RECOMMEND: 2,
    Outcome.ESCALATE: 3,
    Outcome.PROPOSE_CONTAINMENT: 3,
    Outcome.REOPEN: 3,
}
"""How cautious each outcome is; law 7 is about this order."""

# When rules disagree, the graver word is told.
_GRAVITY = (
    Verdict.TRUE_POSITIVE,
    Verdict.LIKELY_TRUE_POSITIVE,
    Verdict.UNDETERMINED,
    Verdict.BENIGN_POSITIVE,
    Verdict.LIKELY_FALSE_POSITIVE,
    Verdict.FALSE_POSITIVE,
    Verdict.TEST,
    Verdict.DUPLICATE,
)
_NO_RULE = "no-rule"
_SENTENCES = {
    "caution": "A field was lost or could not be read, so what is known of the case is not complete",
    "severity-floor": "The severity is unknown or too high for a machine to close the case",
    "tactic-floor": "The technique is one that a person always looks at",
    "timestamps": "A time stamp lies in the future or out of order",
    "clock-skew": "A clock is wrong, so times cannot be compared",
    "enrichment": "An enrichment did not answer, and a missing answer is no good news",
    "intel": "A source of intelligence accuses what the case is about",
    "criticality": "The asset is so critical that a person looks at its cases",
    "vip": "A person looks at the cases of this account",
    "vip-listed": "The inventory lists somebody whose cases a person always sees",
    "prior-verdicts": "People confirmed an attack there before",
    "flood": "Far more alerts than usual arrive, and a flood can hide an attack",
    "new-cases": "Far more new cases than allowed arrive, and a flood can hide an attack",
    "close-budget": "As many cases were closed this hour as a machine may close",
    "maintenance": "Work was announced there, and what it breaks or hides a machine cannot tell",
    "kill-switch": "The kill switch is on",
    "rules-running": "A rule that would close the case is stopped",
    NEVER_CLOSE: "A rule forbids a machine to close this",
    "with-person": "A person has this case, and a machine does not close it under their hands",
}


@dataclass(frozen=True, slots=True)
class _Answer:
    """The part of a decision that the rules make."""

    outcome: Outcome
    verdict: Verdict
    code: str
    reasons: tuple[str, ...]
    hold_until: datetime | None = None


def decide(
    case: Case,
    policy: SignedPolicy | Policy,
    *,
    now: datetime,
    quiet: timedelta,
    context: DecisionContext | None = None,
    decision_id: str,
    supersedes: str = "",
    evidence: Evidence | None = None,
) -> Decision:
    """The decision. Ask again when an alert joins the case, and when ``hold_until`` has come.

    ``evidence`` is what was earned about the case's rules; without it only signed rules close.
    """
    surroundings = context or DecisionContext()
    plain = policy.policy if isinstance(policy, SignedPolicy) else policy
    signers = policy.signers if isinstance(policy, SignedPolicy) else ()
    standing = replace(plain, rules=(*plain.rules, *rules_of(surroundings.suppressions)))
    ruling = judge(standing, case, now)
    held = bars(plain, case)
    asked = (
        *_policy_checks(ruling, signers, case),
        *abstain_checks(case, surroundings, now),
        *_stopped(ruling, surroundings.stopped_rules),
        *held.checks(),
    )
    contained = held.on(resolve(ruling, plain, len(signers), surroundings, asked))
    started = resolve_starts(ruling, len(signers), surroundings, asked, held)
    arrived = surroundings.last_arrival or case.updated_at
    answer = _answer(ruling, asked, contained, started, now=now, hold_until=arrived + quiet)
    checks = (*asked, *contained.checks, *started.checks)
    if evidence is not None and answer.code == _NO_RULE and not any(ruling.closing):
        gate = ruled(evidence, asked)
        answer = _earned(answer, gate, now=now, hold_until=arrived + quiet)
        replaced = NOT_ASKED if gate.say is not Say.ESCALATE else frozenset()
        checks = (*(check for check in checks if check.name not in replaced), *gate.checks)
    answer = _approved(answer, held)
    answer = _advised(answer, surroundings)
    answer = _enriched(answer, case, surroundings, now)
    if case.status is CaseStatus.CLOSED and CAUTION[answer.outcome] >= CAUTION[Outcome.RECOMMEND]:
        reopened = ("The case was closed, and with what is known now it would not be.", *answer.reasons)
        answer = _Answer(Outcome.REOPEN, _graver(answer.verdict, Verdict.UNDETERMINED), answer.code, reopened)
    return Decision(
        tenant=case.tenant,
        decision_id=decision_id,
        case_id=case.case_id,
        decided_at=now,
        outcome=answer.outcome,
        verdict=answer.verdict,
        mode=Mode.RECOMMENDED if answer.outcome is Outcome.RECOMMEND else Mode.AUTONOMOUS,
        reason_code=answer.code,
        reasons=answer.reasons,
        checks=checks,
        policy_id=plain.policy_id,
        policy_version=plain.version,
        policy_sha256=plain.sha256,
        inputs=_inputs(case, signers, ruling, surroundings, quiet) | (evidence.recorded() if evidence else {}),
        proposals=contained.proposals,
        supersedes=supersedes,
        hold_until=answer.hold_until,
        starts=started.starts,
    )


def _policy_checks(ruling: Ruling, signers: tuple[str, ...], case: Case) -> Iterator[Check]:
    yield Check("policy-signed", bool(signers), ", ".join(signers), "at least one trusted signer")
    raised = [rule.id for rule in ruling.escalating]
    yield Check("no-escalate-rule", not raised, ", ".join(raised), "none matches")
    unsure = [rule.id for rule in ruling.unsure]
    yield Check("rules-answered", not unsure, ", ".join(unsure), "no raising rule lacks a fact or has expired")
    bare = [alert.alert_id for alert, rule in zip(case.alerts, ruling.closing, strict=True) if rule is None]
    shown = f"{len(bare)} of {len(case.alerts)} alerts are named by no rule" if bare else ""
    yield Check("every-alert-covered", ruling.covered, shown, "every alert has a rule that closes it")
    yield Check("rules-current", not ruling.expired, ", ".join(ruling.expired), "no rule that would close has expired")


def _stopped(ruling: Ruling, subjects: tuple[str, ...]) -> Iterator[Check]:
    """Asked while a rule is stopped: another rule that would close as well is no way round it (law 7)."""
    if subjects:
        used = {rule.id for rule in ruling.closing if rule and rule_stopped(subjects, rule.id, CLOSES)}
        yield Check("rules-running", not used, ", ".join(sorted(used)), f"none is stopped; are: {', '.join(subjects)}")


def _answer(
    ruling: Ruling,
    asked: tuple[Check, ...],
    contained: Containment,
    started: Starting,
    *,
    now: datetime,
    hold_until: datetime,
) -> _Answer:
    raised = _raised(ruling, contained, started)
    if raised is not None:
        return raised
    failed = {check.name: check for check in asked if not check.passed}
    if not ruling.covered:
        if ruling.expired:
            return _escalated("rule-expired", f"The rules {', '.join(ruling.expired)} have expired, so a person looks.")
        return _escalated(_NO_RULE, f"{failed['every-alert-covered'].value}, so a person looks.")
    if "policy-signed" in failed:
        return _escalated("policy-unsigned", "Nobody has signed the policy, and an unsigned policy closes nothing.")
    sentences = tuple(
        f"{_SENTENCES[name]} ({check.value or 'failed'}; allowed: {check.limit})."
        for name, check in failed.items()
        if name in _SENTENCES
    )
    if sentences:
        first = next(name for name in failed if name in _SENTENCES)
        return _escalated(f"abstain-{first}", *sentences)
    return _closed([rule for rule in ruling.closing if rule is not None], now=now, hold_until=hold_until)


def _earned(answer: _Answer, gate: GateRuling, *, now: datetime, hold_until: datetime) -> _Answer:
    """What evidence allows where no signed rule says anything; it waits for quiet as any close by a machine does."""
    if gate.say is Say.ESCALATE:
        failed = [f"{check.name}: {check.value or check.limit}" for check in gate.checks if not check.passed]
        if not gate.stand or not failed:
            return answer
        return replace(answer, reasons=(*answer.reasons, f"What was earned does not close it ({'; '.join(failed)})."))
    verdict = Verdict.LIKELY_FALSE_POSITIVE
    if gate.say is Say.RECOMMEND:
        lacking = [check.value for check in gate.checks if not check.passed]
        agree = f"It looks like noise, and a person has to agree ({'; '.join(lacking)})."
        return _Answer(Outcome.RECOMMEND, verdict, "recommend-earned", (agree,))
    why = "Every rule of the case has earned to close such cases, and every score is below its certified threshold."
    if now < hold_until:
        told = (why, "It is closed when no further alert has joined it until then.")
        return _Answer(Outcome.HOLD, verdict, "waiting-for-quiet", told, hold_until)
    return _Answer(Outcome.CLOSE, verdict, EARNED, (why,))


def _raised(ruling: Ruling, contained: Containment, started: Starting) -> _Answer | None:
    """The answer when a rule asks for a person, whatever else is true."""
    wanted = [
        *((rule, rule.then.propose.verdict) for rule, _ in ruling.proposing if rule.then.propose),
        *((rule, rule.then.playbook.verdict) for rule, _ in ruling.starting if rule.then.playbook),
        *((rule, rule.then.escalate.verdict) for rule in ruling.escalating if rule.then.escalate),
        *((rule, Verdict.UNDETERMINED) for rule in ruling.unsure),
    ]
    if not wanted:
        return None
    verdict = _graver(*(word for _, word in wanted))
    told = tuple(_by_rule(rule, "asks for a person") for rule, _ in wanted if rule not in ruling.unsure)
    told += tuple(_by_rule(rule, "may apply: it lacks a fact, or has expired") for rule in ruling.unsure)
    told += started.refusals
    if contained.proposals or started.starts:
        code = "propose-rule" if contained.proposals else "playbook-rule"
        ready = [f"{one.verb} {one.target} (approval: {one.approval})" for one in contained.proposals]
        told += (f"Ready: {', '.join(ready)}.",) if ready else ()
        told += tuple(f"Playbook {one.name} (approval: {one.approval}), once for this case." for one in started.starts)
        return _Answer(Outcome.PROPOSE_CONTAINMENT, verdict, code, told)
    if ruling.proposing:
        refused = [f"{check.name}: {check.value}" for check in contained.checks if not check.passed]
        told += (f"Nothing is proposed ({'; '.join(refused)}).",)
        return _Answer(Outcome.ESCALATE, verdict, "proposal-refused", told)
    if ruling.starting:
        return _Answer(Outcome.ESCALATE, verdict, "playbook-refused", told)
    code = "escalate-rule" if ruling.escalating else "rule-unsure"
    return _Answer(Outcome.ESCALATE, verdict, code, told)


def _approved(answer: _Answer, held: Bars) -> _Answer:
    """A close that a rule leaves to a person is a recommendation."""
    if not held.approve_close or CAUTION[answer.outcome] >= CAUTION[Outcome.RECOMMEND]:
        return answer
    told = f"A person has to agree: {', '.join(held.approve_close)}."
    return _Answer(Outcome.RECOMMEND, answer.verdict, "approval-required", (*answer.reasons, told))


def _advised(answer: _Answer, context: DecisionContext) -> _Answer:
    """The more cautious of what is decided and what the adviser thinks (law 7); its words are no reason."""
    if context.advice is None or CAUTION[answer.outcome] >= CAUTION[Outcome.ESCALATE]:
        return answer
    advice = Advice.from_json(context.advice)
    if not advice.raises:
        return answer
    verdict = _graver(answer.verdict, Verdict(advice.verdict))
    told = f"The adviser takes the case for an attack ({advice.verdict}), so a person looks."
    return _Answer(Outcome.ESCALATE, verdict, "adviser-raised", (told, *answer.reasons))


def _closed(rules: list[Rule], *, now: datetime, hold_until: datetime) -> _Answer:
    distinct = list({rule.id: rule for rule in rules}.values())
    verdict = _graver(*(rule.closing.verdict for rule in distinct if rule.closing))
    told = tuple(_by_rule(rule, "covers it") for rule in distinct)
    if any(rule.then.recommend is not None for rule in distinct):
        return _Answer(Outcome.RECOMMEND, verdict, "recommend-rule", (*told, "A person has to agree."))
    if now < hold_until and not all(rule.then.close and rule.then.close.at_once for rule in distinct):
        told += ("It is closed when no further alert has joined it until then.",)
        return _Answer(Outcome.HOLD, verdict, "waiting-for-quiet", told, hold_until)
    if suppressing(distinct):
        code = "suppressed"
    else:
        code = "allow-list" if any(names_things(rule.when) for rule in distinct) else "signed-rule"
    return _Answer(Outcome.CLOSE, verdict, code, told)


def _enriched(answer: _Answer, case: Case, context: DecisionContext, now: datetime) -> _Answer:
    """A close waits for the answers that may still come; one that a signed list let through says so."""
    listed = answered_by_lists(case, context.enrichment, context.allowed, now)
    if answer.outcome is Outcome.CLOSE and listed:
        told = (*answer.reasons, f"A signed allow-list answers for {', '.join(listed)}.")
        # A close by evidence stays one: levels, samples and re-opening know it by its code.
        answer = replace(answer, code=answer.code if answer.code == EARNED else "allow-list", reasons=told)
    if not context.pending or answer.outcome not in {Outcome.CLOSE, Outcome.RECOMMEND}:
        return answer
    told = (*answer.reasons, f"Still asked for: {', '.join(context.pending)}.")
    if answer.outcome is Outcome.RECOMMEND:
        return replace(answer, reasons=told, hold_until=context.pending_until)
    return _Answer(Outcome.HOLD, answer.verdict, "waiting-for-enrichment", told, context.pending_until or now)


def _escalated(code: str, *reasons: str) -> _Answer:
    return _Answer(Outcome.ESCALATE, Verdict.UNDETERMINED, code, reasons)


def _by_rule(rule: Rule, what: str) -> str:
    reason = f" {rule.reason}" if rule.reason else ""
    return f"Rule {rule.id} of {rule.owner} {what}.{reason}"


def _graver(*verdicts: Verdict) -> Verdict:
    return min(verdicts, key=_GRAVITY.index)


def _inputs(
    case: Case, signers: tuple[str, ...], ruling: Ruling, context: DecisionContext, quiet: timedelta
) -> dict[str, Any]:
    """What ``record.replay`` needs beside the case's alerts and the policy, as JSON values."""
    return {
        "alerts": [
            {"alert_id": one.alert_id, "content_sha256": one.content_sha256, "sha256": fingerprint(one)}
            for one in case.alerts
        ],
        "case": {
            "status": case.status.value,
            "severity_id": case.severity_id,
            "updated_at": case.updated_at.isoformat(),
        },
        "context": context.to_json(),
        "quiet_microseconds": quiet // timedelta(microseconds=1),
        "rules": [rule.id if rule else None for rule in ruling.closing],
        "signers": list(signers),
    }
