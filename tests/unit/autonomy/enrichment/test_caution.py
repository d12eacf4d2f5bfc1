from datetime import timedelta
from typing import Any

import pytest

from nightdesk.autonomy.decide import DecisionContext, decide
from nightdesk.autonomy.enrichment.caution import raises
from nightdesk.autonomy.enrichment.warnings import warned
from nightdesk.autonomy.guardrails import AssetFacts, Limits
from nightdesk.autonomy.policy_file import parse_policy
from nightdesk.autonomy.signing import Signature, SignedPolicy
from nightdesk.sdk.case import Decision, Outcome
from nightdesk.sdk.enrichment import (
    AssetFact,
    Enrichment,
    EnrichmentStatus,
    Fact,
    IdentityFact,
    IntelFact,
    VerdictsFact,
)
from nightdesk.sdk.testing.cases import CASE_TIME, a_case, an_alert, an_entity

SIGNATURES = (Signature("jane", "k", "s", "t"), Signature("omar", "k2", "s", "t"))
HOST = "host:ws-0042"
CLOSES = b"""
policy_id: p
version: 1
rules:
  - {id: noise, owner: jane, expires: 2027-12-31, when: {rule_id: rule-1},
     then: {close: {verdict: benign-positive, at_once: true}}}
"""
ISOLATES = b"""
policy_id: p
version: 1
rules:
  - {id: worm, owner: jane, when: {rule_id: rule-1},
     then: {propose: {approval: policy, actions: [{verb: host.isolate, target: victim-host}]}}}
"""


def said(*facts: Fact, entity: str = HOST) -> tuple[Enrichment, ...]:
    return (Enrichment(entity, "s", EnrichmentStatus.OK, CASE_TIME, 60.0, facts),)


def decided(policy: bytes = CLOSES, **context: Any) -> Decision:
    made = DecisionContext(assets={HOST: AssetFacts("workstation")}, fleet_size=500, **context)
    signed = SignedPolicy(parse_policy(policy, file="p"), SIGNATURES)
    case = a_case([an_alert(entities=(an_entity(HOST, "victim-host"),))])
    return decide(case, signed, now=CASE_TIME, quiet=timedelta(0), context=made, decision_id="d")


@pytest.mark.parametrize(
    ("fact", "code"),
    [
        (IntelFact("malicious", "feed"), "abstain-intel"),
        (IntelFact("suspicious", "feed"), "abstain-intel"),
        (AssetFact("critical"), "abstain-criticality"),
        (IdentityFact(vip=True), "abstain-vip"),
        (VerdictsFact("rule-9", "true-positive", 1, CASE_TIME - timedelta(days=89)), "abstain-prior-verdicts"),
    ],
)
def test_what_raises_gives_the_case_to_a_person_and_says_why(fact: Fact, code: str) -> None:
    made = decided(enrichment=said(fact))
    assert (made.outcome, made.reason_code) == (Outcome.ESCALATE, code)
    assert HOST in made.reasons[0]
    assert raises(said(fact))


@pytest.mark.parametrize(
    "fact",
    [
        IntelFact("benign", "feed", 99),
        IntelFact("unknown", "feed"),
        AssetFact("low"),
        IdentityFact(vip=False, privileged=True),
        VerdictsFact("rule-9", "false-positive", 500, CASE_TIME),
        VerdictsFact("rule-9", "true-positive", 1, CASE_TIME - timedelta(days=91)),
    ],
)
def test_what_does_not_raise_changes_nothing(fact: Fact) -> None:
    assert decided(enrichment=said(fact)).outcome is Outcome.CLOSE


def test_what_is_said_of_other_things_does_not_touch_the_case() -> None:
    assert decided(enrichment=said(IntelFact("malicious", "feed"), entity="host:other")).outcome is Outcome.CLOSE


def test_from_which_criticality_on_a_person_looks_is_a_limit() -> None:
    high = said(AssetFact("high"))
    assert decided(enrichment=high).outcome is Outcome.CLOSE
    assert decided(enrichment=high, limits=Limits(criticality=3)).outcome is Outcome.ESCALATE
    assert decided(enrichment=said(AssetFact("critical")), limits=Limits(criticality=5)).outcome is Outcome.CLOSE


def test_a_machine_contains_what_is_plain_and_known() -> None:
    assert [one.approval for one in decided(ISOLATES).proposals] == ["policy"]


@pytest.mark.parametrize(
    "fact", [AssetFact(tags=("domain-controller",)), AssetFact("critical"), AssetFact(asset_type="network-device")]
)
def test_what_any_source_calls_protected_is_proposed_to_nobody(fact: AssetFact) -> None:
    made = decided(ISOLATES, enrichment=said(fact))
    assert (made.outcome, made.proposals) == (Outcome.ESCALATE, ())


def test_a_machine_contains_nothing_while_an_answer_may_still_come() -> None:
    made = decided(ISOLATES, pending=("cmdb host:ws-0042: pending",), pending_until=CASE_TIME)
    assert [one.approval for one in made.proposals] == ["human"]


def test_a_thing_that_only_a_source_knows_is_no_better_known() -> None:
    signed = SignedPolicy(parse_policy(ISOLATES, file="p"), SIGNATURES)
    case = a_case([an_alert(entities=(an_entity(HOST, "victim-host"),))])
    context = DecisionContext(enrichment=said(AssetFact("low", asset_type="workstation")), fleet_size=500)
    made = decide(case, signed, now=CASE_TIME, quiet=timedelta(0), context=context, decision_id="d")
    assert [one.approval for one in made.proposals] == ["human"]


def test_warnings_are_gathered_from_every_source() -> None:
    told = (*said(AssetFact(tags=("lab",))), *said(IdentityFact(privileged=True, service=True, groups=("Ops",))))
    found = warned(told, HOST)
    assert found is not None
    assert (found.tags, found.privileged, found.groups) == (("lab", "service-account"), True, ("Ops",))
    assert warned(told, "host:other") is None
