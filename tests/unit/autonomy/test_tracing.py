"""Why a rule matched or not is told from the same answers that decide."""

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from tests.contract.test_law_07_caution_only_grows import cases, policies

from nightdesk.autonomy.policy import judge
from nightdesk.autonomy.policy_file import parse_policy
from nightdesk.autonomy.signing import SignedPolicy
from nightdesk.autonomy.tracing import trace
from nightdesk.sdk.case import Case
from nightdesk.sdk.testing.cases import CASE_TIME, a_case, an_alert, an_entity


def failure(when: str, then: str, **alert: Any) -> tuple[str, str, str, bool]:
    text = (
        f"policy_id: p\nversion: 1\nrules:\n  - {{id: r, owner: j, expires: 2030-01-01, when: {when}, then: {then}}}\n"
    )
    found = parse_policy(text.encode(), file="p")
    (only,) = trace(found, a_case([an_alert(**alert)]), CASE_TIME)
    (failed,) = only.failed
    return failed.key, failed.wanted, failed.found, failed.known


CLOSE, ESCALATE = "{close: {verdict: test}}", "{escalate: {}}"


@pytest.mark.parametrize(
    ("when", "then", "alert", "told"),
    [
        ("{rule_id: x}", CLOSE, {"rule_id": "y"}, ("when.rule_id", "x", "y", True)),
        ("{rule_id: x}", CLOSE, {"rule_id": ""}, ("when.rule_id", "x", "not said", False)),
        (
            "{rule_id: x, severity_at_most: low}",
            CLOSE,
            {"rule_id": "x", "severity_id": 4},
            ("when.severity_at_most", "at most low", "high", True),
        ),
        (
            "{rule_id: x, entities: [{kind: address, in: [192.0.2.0/24]}]}",
            CLOSE,
            {"rule_id": "x", "entities": (an_entity("address:192.0.2.1"), an_entity("address:203.0.113.9"))},
            ("when.entities[0]", "every address in 192.0.2.0/24", "192.0.2.1, 203.0.113.9", True),
        ),
        (
            "{rule_id: x, not: {title: '*evil*'}}",
            CLOSE,
            {"rule_id": "x", "title": "so evil"},
            ("when.not", "the condition under it not to hold", "title so evil", True),
        ),
        (
            "{all: [{rule_id: x}, {techniques: [T1046]}]}",
            CLOSE,
            {"rule_id": "x", "techniques": ("T1059",)},
            ("when.all[1].techniques", "T1046", "T1059", True),
        ),
        ("{severity_at_least: high}", ESCALATE, {}, ("when.severity_at_least", "at least high", "low", True)),
    ],
)
def test_the_first_condition_that_failed_is_told_with_its_value(
    when: str, then: str, alert: dict[str, Any], told: tuple[str, str, str, bool]
) -> None:
    assert failure(when, then, **alert) == told


@given(case=cases, policy=policies)
@settings(max_examples=150, deadline=None)
def test_what_is_traced_is_what_was_judged(case: Case, policy: SignedPolicy) -> None:
    now = CASE_TIME + timedelta(seconds=400)
    ruling = judge(policy.policy, case, now)
    traced = {one.rule: one for one in trace(policy.policy, case, now)}
    raised = {rule.id for rule in ruling.escalating} | {rule.id for rule, _ in ruling.proposing}
    for rule in policy.policy.rules:
        found = traced[rule.id]
        if rule.closing is None:
            assert (found.answer is True) == (rule.id in raised)
            assert (found.answer is None) == (rule.id in {one.id for one in ruling.unsure})
        assert found.matched + len(found.failed) == found.alerts
    for index, closer in enumerate(ruling.closing):
        assert closer is None or traced[closer.id].matched >= 1, index
