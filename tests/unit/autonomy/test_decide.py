from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from nightdesk.autonomy.decide import DecisionContext, decide
from nightdesk.autonomy.policy import Policy
from nightdesk.autonomy.policy_file import parse_policy
from nightdesk.autonomy.signing import Signature, SignedPolicy
from nightdesk.sdk.case import Case, CaseStatus, Decision, Mode, Outcome, Verdict
from nightdesk.sdk.testing.cases import CASE_TIME, a_case, an_alert, an_entity

TEXT = b"""
policy_id: p
version: 7
rules:
  - {id: slow, owner: jane, reason: Known noise., when: {rule_id: noise}, then: {close: {verdict: benign-positive}}}
  - {id: fast, owner: jane, when: {rule_id: test}, then: {close: {verdict: test, at_once: true}}}
  - {id: ask, owner: jane, when: {rule_id: ask}, then: {recommend: {verdict: false-positive}}}
  - {id: gone, owner: jane, expires: 2026-01-01, when: {rule_id: gone}, then: {close: {verdict: test}}}
  - {id: evil, owner: omar, when: {text: evil}, then: {escalate: {verdict: true-positive}}}
  - id: act
    owner: omar
    when: {text: worm}
    then: {propose: {actions: [{verb: host.isolate, target: victim-host}]}}
"""
POLICY = parse_policy(TEXT, file="p")
SIGNED = SignedPolicy(POLICY, (Signature("jane", "k", "s", "t"),))
QUIET = timedelta(seconds=300)


def decided(
    case: Case, policy: SignedPolicy | Policy = SIGNED, *, now: datetime = CASE_TIME, **context: Any
) -> Decision:
    return decide(case, policy, now=now, quiet=QUIET, context=DecisionContext(**context), decision_id="d-1")


def of(*rule_ids: str, **changes: Any) -> Case:
    return a_case([an_alert(f"a{index}", rule_id=name) for index, name in enumerate(rule_ids)], **changes)


def test_a_signed_rule_holds_until_the_case_has_been_quiet_and_then_closes() -> None:
    case = of("noise")
    held = decided(case)
    assert (held.outcome, held.hold_until) == (Outcome.HOLD, CASE_TIME + QUIET)
    assert decided(case, now=CASE_TIME + QUIET - timedelta(seconds=1)).outcome is Outcome.HOLD
    closed = decided(case, now=CASE_TIME + QUIET)
    assert (closed.outcome, closed.verdict, closed.mode) == (Outcome.CLOSE, Verdict.BENIGN_POSITIVE, Mode.AUTONOMOUS)
    assert (closed.reason_code, closed.hold_until) == ("signed-rule", None)
    assert closed.reasons == ("Rule slow of jane covers it. Known noise.",)


def test_the_wait_starts_at_the_last_arrival() -> None:
    late = CASE_TIME + timedelta(seconds=200)
    assert decided(of("noise"), now=CASE_TIME + QUIET, last_arrival=late).hold_until == late + QUIET


def test_a_rule_may_close_at_once() -> None:
    decision = decided(of("test"))
    assert (decision.outcome, decision.verdict) == (Outcome.CLOSE, Verdict.TEST)


def test_rules_that_disagree_wait_and_tell_the_graver_verdict() -> None:
    decision = decided(of("test", "noise"))
    assert (decision.outcome, decision.verdict) == (Outcome.HOLD, Verdict.BENIGN_POSITIVE)


def test_a_recommendation_waits_for_a_person() -> None:
    decision = decided(of("test", "ask"))
    assert (decision.outcome, decision.mode) == (Outcome.RECOMMEND, Mode.RECOMMENDED)
    assert decision.verdict is Verdict.FALSE_POSITIVE


def test_one_alert_that_no_rule_names_escalates_the_case() -> None:
    decision = decided(of("test", "unheard-of"))
    assert (decision.outcome, decision.reason_code) == (Outcome.ESCALATE, "no-rule")
    assert decision.reasons == ("1 of 2 alerts are named by no rule, so a person looks.",)


def test_an_expired_rule_closes_nothing() -> None:
    decision = decided(of("gone"))
    assert (decision.outcome, decision.reason_code) == (Outcome.ESCALATE, "rule-expired")


def test_an_unsigned_policy_closes_nothing() -> None:
    decision = decided(of("test"), POLICY)
    assert (decision.outcome, decision.reason_code) == (Outcome.ESCALATE, "policy-unsigned")
    assert decided(of("test"), Policy.unsigned()).outcome is Outcome.ESCALATE


def test_an_escalating_rule_wins_over_every_closing_one() -> None:
    decision = decided(a_case([an_alert(rule_id="test", title="EVIL thing")]))
    assert (decision.outcome, decision.verdict) == (Outcome.ESCALATE, Verdict.TRUE_POSITIVE)
    assert decision.reason_code == "escalate-rule"


def test_a_proposing_rule_escalates_with_containment_ready() -> None:
    case = a_case([an_alert(rule_id="test", title="a worm", entities=(an_entity("host:ws-0042", "victim-host"),))])
    decision = decided(case)
    assert decision.outcome is Outcome.PROPOSE_CONTAINMENT
    assert [(one.verb, one.target, one.approval) for one in decision.proposals] == [
        ("host.isolate", "host:ws-0042", "human")
    ]


def test_a_refused_proposal_still_escalates_and_says_why() -> None:
    case = a_case([an_alert(title="a worm", entities=(an_entity("host:dc01", "victim-host"),))])
    decision = decided(case)
    assert (decision.outcome, decision.reason_code, decision.proposals) == (Outcome.ESCALATE, "proposal-refused", ())
    assert "protected: host:dc01" in decision.reasons[-1]


@pytest.mark.parametrize(
    ("code", "changes", "context"),
    [
        ("abstain-caution", {"caution": ("lost: /severity",)}, {}),
        ("abstain-severity-floor", {"severity_id": 5}, {}),
        ("abstain-tactic-floor", {"techniques": ("T1486",)}, {}),
        ("abstain-enrichment", {}, {"missing": ("inventory",)}),
        ("abstain-flood", {}, {"alerts_last_hour": 10_000}),
        ("abstain-kill-switch", {}, {"kill_switch": True}),
        ("abstain-with-person", {}, {"with_person": True}),
    ],
)
def test_a_failed_check_gives_the_case_to_a_person(code: str, changes: dict[str, Any], context: dict[str, Any]) -> None:
    decision = decided(a_case([an_alert(rule_id="test", **changes)]), **context)
    assert (decision.outcome, decision.verdict, decision.reason_code) == (
        Outcome.ESCALATE,
        Verdict.UNDETERMINED,
        code,
    )
    assert decision.reasons[0].endswith(").")


def test_every_check_is_recorded_passed_ones_too() -> None:
    decision = decided(of("test"))
    assert all(check.passed for check in decision.checks)
    assert {"policy-signed", "every-alert-covered", "flood", "kill-switch"} <= {one.name for one in decision.checks}


def test_a_closed_case_that_would_not_be_closed_now_is_reopened() -> None:
    decision = decided(of("test", "unheard-of", status=CaseStatus.CLOSED))
    assert (decision.outcome, decision.reason_code) == (Outcome.REOPEN, "no-rule")
    assert decision.reasons[0].startswith("The case was closed")
    asked = decided(of("ask", status=CaseStatus.CLOSED))
    assert (asked.outcome, asked.verdict) == (Outcome.REOPEN, Verdict.UNDETERMINED)


def test_a_reopened_case_keeps_its_proposals() -> None:
    alert = an_alert(title="a worm", entities=(an_entity("host:ws-0042", "victim-host"),))
    decision = decided(a_case([alert], status=CaseStatus.CLOSED))
    assert (decision.outcome, len(decision.proposals)) == (Outcome.REOPEN, 1)


def test_a_closed_case_stays_closed_while_its_rules_cover_it() -> None:
    assert decided(of("test", status=CaseStatus.CLOSED)).outcome is Outcome.CLOSE


def test_a_machine_never_closes_a_case_that_was_escalated() -> None:
    decision = decided(of("test", status=CaseStatus.ESCALATED))
    assert (decision.outcome, decision.reason_code) == (Outcome.ESCALATE, "abstain-with-person")


def test_a_case_without_alerts_goes_to_a_person() -> None:
    assert decided(replace(a_case(), alerts=())).outcome is Outcome.ESCALATE


def test_the_decision_names_its_case_policy_and_predecessor() -> None:
    decision = decide(of("test"), SIGNED, now=CASE_TIME, quiet=QUIET, decision_id="d-2", supersedes="d-1")
    assert (decision.tenant, decision.case_id, decision.decision_id, decision.supersedes) == (
        "acme",
        "case-1",
        "d-2",
        "d-1",
    )
    assert (decision.policy_id, decision.policy_version, decision.policy_sha256) == ("p", "7", POLICY.sha256)
    assert decision.inputs["signers"] == ["jane"]
    assert decision.inputs["rules"] == ["fast"]


# Stopped rules.


def test_a_stopped_rule_closes_nothing_and_the_record_says_what_was_looked_at() -> None:
    decision = decided(of("test"), stopped_rules=("fast",))
    assert (decision.outcome, decision.reason_code) == (Outcome.ESCALATE, "abstain-rules-running")
    assert decision.reasons == (
        "A rule that would close the case is stopped (fast; allowed: none is stopped; are: fast).",
    )
    assert decision.inputs["context"]["stopped_rules"] == ["fast"]
    (check,) = [one for one in decision.checks if one.name == "rules-running"]
    assert (check.passed, check.value) == (False, "fast")


@pytest.mark.parametrize("subject", ["slow", "fast/host.isolate", "evil"])
def test_a_rule_closes_on_while_others_are_stopped(subject: str) -> None:
    decision = decided(of("test"), stopped_rules=(subject,))
    assert decision.outcome is Outcome.CLOSE
    assert [one.passed for one in decision.checks if one.name == "rules-running"] == [True]


def test_the_closing_half_of_a_rule_can_be_stopped_alone() -> None:
    assert decided(of("test"), stopped_rules=("fast/alert.set_disposition",)).outcome is Outcome.ESCALATE


def test_a_stopped_rule_still_raises() -> None:
    case = a_case([an_alert(rule_id="test", description="evil")])
    before, after = decided(case), decided(case, stopped_rules=("evil",))
    assert (
        (before.outcome, before.verdict) == (after.outcome, after.verdict) == (Outcome.ESCALATE, Verdict.TRUE_POSITIVE)
    )


def test_a_stopped_rule_proposes_nothing_and_the_case_still_goes_to_a_person() -> None:
    host = an_entity("host:ws-0042", "victim-host")
    case = a_case([an_alert(rule_id="test", description="worm", entities=(host,))])
    assert decided(case).outcome is Outcome.PROPOSE_CONTAINMENT
    assert decided(case).proposals[0].rules == ("act",)
    stopped = decided(case, stopped_rules=("act",))
    assert (stopped.outcome, stopped.reason_code, stopped.proposals) == (Outcome.ESCALATE, "proposal-refused", ())
    assert "rule-running: host.isolate host:ws-0042 of rule act" in stopped.reasons[-1]


def test_without_a_stopped_rule_a_decision_is_the_one_of_before() -> None:
    decision = decided(of("test"))
    assert "stopped_rules" not in decision.inputs["context"]
    assert "rules-running" not in {one.name for one in decision.checks}
