"""A suppression is a closing rule of two persons, and every guard that holds for a signed rule holds for it."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nightdesk.autonomy.decide import CAUTION, DecisionContext, decide
from nightdesk.autonomy.policy import Policy
from nightdesk.autonomy.policy_file import parse_policy
from nightdesk.autonomy.record import replay, to_record
from nightdesk.autonomy.signing import Signature, SignedPolicy
from nightdesk.autonomy.suppression import Asked, State, Suppression, rules_of
from nightdesk.sdk.case import Case, Decision, Outcome
from nightdesk.sdk.errors import ConfigError, PolicyError
from nightdesk.sdk.testing.cases import CASE_TIME, a_case, an_alert, an_entity

HOUR = timedelta(hours=1)
NOW = CASE_TIME + HOUR
SIGNED = SignedPolicy(Policy("p", "1", "0" * 64), (Signature("alice", "k", "s", "t"),))


def a_suppression(**asked: Any) -> Suppression:
    given = {"rule_id": "rule-1", **asked}
    return Suppression("000001", Asked(**given), "ann", "a broken printer", CASE_TIME, NOW + HOUR, State.ACTIVE, "ben")


def decided(case: Case, *holding: Suppression, policy: SignedPolicy | Policy = SIGNED, **more: Any) -> Decision:
    context = DecisionContext(suppressions=tuple(one.to_json() for one in holding), **more)
    return decide(case, policy, now=NOW, quiet=HOUR, context=context, decision_id="d-1")


def test_what_is_suppressed_is_closed_at_once_and_says_by_whom() -> None:
    made = decided(a_case(), a_suppression())
    assert (made.outcome, made.reason_code) == (Outcome.CLOSE, "suppressed")
    assert made.reasons == ("Rule suppression-000001 of ann and ben covers it. a broken printer",)
    assert decided(a_case()).outcome is Outcome.ESCALATE


@pytest.mark.parametrize(
    "case",
    [
        a_case([an_alert(), an_alert("other", rule_id="rule-2")]),
        a_case([an_alert(severity_id=4)]),
        a_case([an_alert(severity_id=0)]),
        a_case([an_alert(caution=("severity lost",))]),
        a_case([an_alert(tactics=("TA0040",))]),
    ],
    ids=["something else in the case", "graver", "unknown severity", "a field was lost", "a tactic of the floor"],
)
def test_law_07_whatever_makes_a_machine_abstain_does_so_here(case: Case) -> None:
    assert decided(case, a_suppression()).outcome is Outcome.ESCALATE


def test_it_holds_only_where_everything_of_the_kind_is_meant() -> None:
    meant = a_suppression(entities=("address:192.0.2.7",))
    address, stranger = an_entity("address:192.0.2.7"), an_entity("address:198.51.100.9")
    assert decided(a_case([an_alert(entities=(address,))]), meant).outcome is Outcome.CLOSE
    assert decided(a_case([an_alert(entities=(address, stranger))]), meant).outcome is Outcome.ESCALATE
    assert decided(a_case(), meant).outcome is Outcome.ESCALATE


def test_it_ends_by_itself_and_closes_nothing_without_a_signed_policy() -> None:
    over = replace(a_suppression(), expires_at=NOW)
    assert decided(a_case(), over).reason_code == "rule-expired"
    assert decided(a_case(), a_suppression(), policy=Policy.unsigned()).reason_code == "policy-unsigned"
    assert not over.active(NOW)
    assert not replace(a_suppression(), state=State.ASKED).active(CASE_TIME)


def test_law_11_a_decision_under_a_suppression_is_made_again_from_its_record() -> None:
    case = a_case()
    made = decided(case, a_suppression())
    assert replay(to_record(made), case, SIGNED) == made


def test_a_record_of_before_there_were_suppressions_keeps_its_bytes() -> None:
    assert "suppressions" not in DecisionContext().to_json()


@given(known=st.booleans(), severity=st.integers(0, 6), rule=st.sampled_from(["rule-1", "rule-2"]))
def test_law_07_an_escalation_is_never_suppressed(known: bool, severity: int, rule: str) -> None:
    text = b"policy_id: p\nversion: 1\nrules:\n- {id: all, owner: a, when: {}, then: {escalate: {}}}\n"
    policy = SignedPolicy(parse_policy(text, file="p.yaml"), (Signature("alice", "k", "s", "t"),))
    case = a_case([an_alert(severity_id=severity, rule_id=rule)])
    made = decided(case, *([a_suppression()] if known else []), policy=policy)
    assert CAUTION[made.outcome] >= CAUTION[Outcome.ESCALATE]


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({"rule_id": ""}, "must name the detection"),
        ({"rule_id": "rule-*"}, "write the exact text"),
        ({"entities": ("host:ws-1",)}, "can be chosen by an attacker"),
        ({"entities": ("address:nowhere",)}, "an address or CIDR network"),
        ({"entities": ("planet:mars",)}, "kind"),
        ({"severity": "enormous"}, "severity_at_most"),
    ],
)
def test_what_could_mean_more_than_was_meant_is_refused(asked: dict[str, Any], told: str) -> None:
    with pytest.raises(PolicyError, match=told):
        rules_of([a_suppression(**asked).to_json()])


def test_no_policy_calls_its_rule_like_a_suppression() -> None:
    text = b"policy_id: p\nversion: 1\nrules:\n- {id: suppression-1, owner: a, then: {escalate: {}}}\n"
    with pytest.raises(ConfigError, match="how suppressions are called"):
        parse_policy(text, file="p.yaml")
