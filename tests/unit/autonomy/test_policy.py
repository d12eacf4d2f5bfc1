from datetime import timedelta

from nightdesk.autonomy.policy import Policy, case_severity, judge
from nightdesk.autonomy.policy_file import parse_policy
from nightdesk.sdk.testing.cases import CASE_TIME, a_case, an_alert

TEXT = """
policy_id: p
version: 1
rules:
  - {id: first, owner: j, when: {rule_id: rule-1, severity_at_most: low}, then: {close: {verdict: benign-positive}}}
  - {id: second, owner: j, when: {rule_id: rule-1}, then: {close: {verdict: test}}}
  - {id: old, owner: j, expires: 2026-11-19, when: {rule_id: rule-2}, then: {close: {verdict: test}}}
  - {id: old-raise, owner: j, expires: 2026-11-19, when: {rule_id: rule-3}, then: {escalate: {}}}
  - id: old-act
    owner: j
    expires: 2026-11-19
    when: {rule_id: rule-4}
    then: {propose: {actions: [{verb: host.isolate, target: host}]}}
  - {id: grave, owner: j, when: {severity_at_least: high}, then: {escalate: {}}}
  - {id: old-set, owner: j, expires: 2026-11-19, then: {never_touch: {assets: dc*}}}
"""
POLICY = parse_policy(TEXT.encode(), file="p")


def test_the_first_rule_that_closes_an_alert_is_taken() -> None:
    ruling = judge(POLICY, a_case(), CASE_TIME)
    assert [rule.id for rule in ruling.closing if rule] == ["first"]
    assert ruling.covered


def test_of_rules_that_close_the_one_that_waits_least_is_taken() -> None:
    text = """
policy_id: p
version: 1
rules:
  - {id: ask, owner: j, when: {rule_id: rule-1}, then: {recommend: {verdict: test}}}
  - {id: wait, owner: j, when: {rule_id: [rule-1, rule-2]}, then: {close: {verdict: test}}}
  - {id: now, owner: j, when: {rule_id: rule-2}, then: {close: {verdict: test, at_once: true}}}
"""
    case = a_case([an_alert(), an_alert("alert-2", rule_id="rule-2")])
    ruling = judge(parse_policy(text.encode(), file="p"), case, CASE_TIME)
    assert [rule.id for rule in ruling.closing if rule] == ["wait", "now"]


def test_one_alert_without_a_rule_leaves_the_case_uncovered() -> None:
    ruling = judge(POLICY, a_case([an_alert(), an_alert("alert-2", rule_id="nobody-knows")]), CASE_TIME)
    assert [rule.id if rule else None for rule in ruling.closing] == ["first", None]
    assert not ruling.covered


def test_a_bound_on_severity_is_held_against_the_worst_the_case_ever_had() -> None:
    ruling = judge(POLICY, a_case([an_alert()], severity_id=3), CASE_TIME)
    assert [rule.id for rule in ruling.closing if rule] == ["second"]


def test_an_expired_rule_closes_nothing_and_is_named() -> None:
    ruling = judge(POLICY, a_case([an_alert(rule_id="rule-2")]), CASE_TIME)
    assert (ruling.covered, ruling.expired) == (False, ("old",))
    before = judge(POLICY, a_case([an_alert(rule_id="rule-2")]), CASE_TIME - timedelta(days=1))
    assert before.covered


def test_an_expired_rule_still_raises_and_protects() -> None:
    ruling = judge(POLICY, a_case([an_alert(rule_id="rule-3")]), CASE_TIME)
    assert [rule.id for rule in ruling.escalating] == ["old-raise"]
    assert [rule for rule, _ in POLICY.never_touch] == ["old-set"]


def test_an_expired_proposal_raises_without_acting() -> None:
    ruling = judge(POLICY, a_case([an_alert(rule_id="rule-4")]), CASE_TIME)
    assert (ruling.proposing, [rule.id for rule in ruling.unsure]) == ((), ["old-act"])


def test_a_raising_rule_that_lacks_a_fact_raises() -> None:
    ruling = judge(POLICY, a_case([an_alert(severity_id=0)]), CASE_TIME)
    assert [rule.id for rule in ruling.unsure] == ["grave"]


def test_the_severity_of_a_case_is_unknown_when_that_of_one_alert_is() -> None:
    assert case_severity(a_case([an_alert(severity_id=3), an_alert("b", severity_id=99)])) == 0
    assert case_severity(a_case([an_alert(severity_id=3)], severity_id=4)) == 4


def test_no_policy_covers_nothing() -> None:
    ruling = judge(Policy.unsigned(), a_case(), CASE_TIME)
    assert (ruling.covered, ruling.escalating, ruling.proposing) == (False, (), ())
