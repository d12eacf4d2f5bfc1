"""Rules that only hold back: what they forbid, what they ask a person for, and that nothing gets round them."""

from datetime import timedelta
from typing import Any

import pytest

from nightdesk.autonomy.bars import bars
from nightdesk.autonomy.decide import DecisionContext, decide
from nightdesk.autonomy.guardrails import AssetFacts
from nightdesk.autonomy.policy import Policy
from nightdesk.autonomy.policy_file import parse_policy
from nightdesk.autonomy.signing import Signature, SignedPolicy
from nightdesk.sdk.case import Decision, Mode, Outcome
from nightdesk.sdk.errors import ConfigError
from nightdesk.sdk.testing.cases import CASE_TIME, a_case, an_alert, an_entity

TWO = (Signature("jane", "k", "s", "t"), Signature("omar", "k2", "s", "t"))
HEAD = """
policy_id: p
version: 1
rules:
  - {id: noise, owner: j, when: {rule_id: noise}, then: {close: {verdict: benign-positive, at_once: true}}}
  - {id: slow, owner: j, when: {rule_id: slow}, then: {close: {verdict: benign-positive}}}
  - {id: worm, owner: j, when: {rule_id: worm},
     then: {propose: {approval: policy, actions: [{verb: host.isolate, target: host}]}}}
"""
CALM = DecisionContext(assets={"host:ws-0042": AssetFacts("workstation")}, fleet_size=100)


def policy(*rules: str) -> Policy:
    return parse_policy((HEAD + "".join(f"  - {rule}\n" for rule in rules)).encode(), file="p.yaml")


def decided(found: Policy, seconds: int = 0, **alert: Any) -> Decision:
    case = a_case([an_alert(**alert)])
    now = CASE_TIME + timedelta(seconds=seconds)
    quiet = timedelta(seconds=300)
    return decide(case, SignedPolicy(found, TWO), now=now, quiet=quiet, context=CALM, decision_id="d")


NEVER = "{id: hands, owner: j, reason: payroll, when: {title: '*payroll*'}, then: {never: [close, contain]}}"
ASK = "{id: ask, owner: j, reason: payroll, when: {title: '*payroll*'}, then: {require_approval: [close, contain]}}"


def test_what_a_rule_forbids_to_close_goes_to_a_person() -> None:
    assert decided(policy(NEVER), rule_id="noise").outcome is Outcome.CLOSE
    made = decided(policy(NEVER), rule_id="noise", title="payroll server")
    assert (made.outcome, made.reason_code) == (Outcome.ESCALATE, "abstain-never-close")
    assert "hands" in " ".join(made.reasons)


def test_what_a_rule_forbids_to_contain_is_not_proposed() -> None:
    free = decided(policy(NEVER), rule_id="worm")
    assert [(one.verb, one.approval) for one in free.proposals] == [("host.isolate", "policy")]
    held = decided(policy(NEVER), rule_id="worm", title="payroll server")
    assert (held.outcome, held.reason_code, held.proposals) == (Outcome.ESCALATE, "proposal-refused", ())
    assert "never-contain: hands" in " ".join(held.reasons)


@pytest.mark.parametrize("rule", ["noise", "slow"])
def test_what_needs_approval_is_recommended_instead_of_closed(rule: str) -> None:
    made = decided(policy(ASK), rule_id=rule, title="payroll server")
    assert (made.outcome, made.mode, made.reason_code) == (Outcome.RECOMMEND, Mode.RECOMMENDED, "approval-required")
    assert "A person has to agree: ask." in made.reasons


def test_what_needs_approval_is_contained_by_a_person_only() -> None:
    made = decided(policy(ASK), rule_id="worm", title="payroll server")
    assert [(one.verb, one.approval) for one in made.proposals] == [("host.isolate", "human")]


def test_a_missing_fact_counts_as_a_match() -> None:
    rule = "{id: grave, owner: j, reason: r, when: {severity_at_least: high}, then: {never: close}}"
    assert decided(policy(rule), rule_id="noise", severity_id=2).outcome is Outcome.CLOSE
    case = a_case([an_alert(rule_id="noise", severity_id=0)])
    assert bars(policy(rule), case).never_close == ("grave",)


def test_it_holds_when_expired() -> None:
    rule = "{id: hands, owner: j, reason: r, expires: 2020-01-01, then: {never: close}}"
    assert decided(policy(rule), rule_id="noise").reason_code == "abstain-never-close"


def test_another_alert_of_the_case_is_enough() -> None:
    found = policy(NEVER)
    case = a_case([an_alert("a", rule_id="noise"), an_alert("b", rule_id="noise", title="payroll")])
    assert bars(found, case).rules == ("hands",)


def test_a_policy_without_such_rules_asks_no_such_check() -> None:
    names = {check.name for check in decided(policy(), rule_id="noise").checks}
    assert names.isdisjoint({"never-close", "close-approval", "never-contain", "contain-approval"})


@pytest.mark.parametrize(
    ("rule", "key", "words"),
    [
        ("{id: x, owner: j, then: {never: close}}", "rules[3].reason", "says why"),
        ("{id: x, owner: j, reason: r, then: {never: [everything]}}", "rules[3].then.never[0]", "'close' or 'contain'"),
        ("{id: x, owner: j, reason: r, then: {never: []}}", "rules[3].then.never", "at least 1"),
        ("{id: x, owner: j, reason: r, then: {never: close, escalate: {}}}", "rules[3].then", "exactly one of"),
        (
            "{id: x, owner: j, reason: r, when: {severity_at_most: low}, then: {require_approval: close}}",
            "rules[3].when.severity_at_most",
            "a worse alert would escape",
        ),
    ],
)
def test_a_fault_says_its_line_what_is_wrong_and_what_to_do(rule: str, key: str, words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        policy(rule)
    found = {problem.key: problem.message for problem in caught.value.problems}
    assert set(found) == {key}
    assert found[key].startswith("line 9: ")
    assert words in found[key]


def test_an_address_in_a_never_rule_is_enough_among_others() -> None:
    rule = (
        "{id: ours, owner: j, reason: r, when: {entities: [{kind: address, in: [192.0.2.0/24]}]}, then: {never: close}}"
    )
    both = (an_entity("address:192.0.2.7"), an_entity("address:203.0.113.9"))
    assert decided(policy(rule), rule_id="noise", entities=both).outcome is Outcome.ESCALATE
    assert decided(policy(rule), rule_id="noise", entities=both[1:]).outcome is Outcome.CLOSE
