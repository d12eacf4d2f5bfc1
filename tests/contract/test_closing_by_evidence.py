"""Laws 7, 10 and 11 where evidence closes: nothing given to the gate makes a decision bolder than policy and bounds."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nightdesk.autonomy.canonical import canonical
from nightdesk.autonomy.decide import CAUTION, DecisionContext, decide
from nightdesk.autonomy.evidence import Evidence
from nightdesk.autonomy.levels.gate import EARNED, Asked, Certificate, GateInputs, Say, ask
from nightdesk.autonomy.levels.standing import Level
from nightdesk.autonomy.policy import Policy
from nightdesk.autonomy.policy_file import parse_policy
from nightdesk.autonomy.record import replay, to_record
from nightdesk.autonomy.signing import Signature, SignedPolicy
from nightdesk.sdk.case import Alert, Case, CaseStatus, Decision, Outcome
from nightdesk.sdk.testing.cases import CASE_TIME, a_case, an_alert

POLICY = parse_policy(
    b"""
policy_id: p
version: 1
rules:
  - {id: noise, owner: j, when: {rule_id: noise}, then: {close: {verdict: benign-positive, at_once: true}}}
  - {id: over, owner: j, expires: 2026-01-01, when: {rule_id: over}, then: {close: {verdict: benign-positive}}}
  - {id: evil, owner: j, when: {rule_id: evil}, then: {escalate: {}}}
  - {id: worm, owner: j, when: {rule_id: worm}, then: {propose: {actions: [{verb: host.isolate, target: host}]}}}
  - {id: hands-off, owner: j, reason: line stops, when: {rule_id: never}, then: {never: [close]}}
""",
    file="p",
)
SIGNED = SignedPolicy(POLICY, (Signature("jane", "k", "s", "t"),))
CERTIFICATE = Certificate(tau=-4.0, tie=0, n=299, k=0, alpha=0.01, delta=0.05)
BEST = Asked("edr/r1@-", Level.CLOSE, -6.0, "group-1", CERTIFICATE, CERTIFICATE, canaries=True)

rules = st.sampled_from(["quiet", "quiet", "quiet", "noise", "over", "evil", "worm", "never"])
asked = st.builds(
    Asked,
    rule=st.sampled_from(["edr/r1@-", "edr/r2@-"]),
    level=st.sampled_from([3, 3, 3, *range(5)]),
    score=st.one_of(st.just(-6.0), st.none(), st.floats(-9, 0)),
    key=st.just("k"),
    closing=st.sampled_from([CERTIFICATE, CERTIFICATE, None, replace(CERTIFICATE, tau=None)]),
    recommending=st.sampled_from([None, replace(CERTIFICATE, tau=-2.0)]),
    canaries=st.booleans(),
)
gates = st.builds(
    GateInputs,
    st.lists(asked, max_size=2).map(tuple),
    st.sampled_from([(), (), ("unseen rule r1",)]),
    st.booleans(),
)
contexts = st.builds(
    DecisionContext,
    missing=st.sampled_from([(), (), (), ("inventory",)]),
    closed_last_hour=st.sampled_from([0, 0, 0, 5000]),
    kill_switch=st.sampled_from([False, False, False, True]),
    with_person=st.sampled_from([False, False, False, True]),
)


@st.composite
def cases(draw: st.DrawFn) -> Case:
    given_alerts: list[Alert] = [
        an_alert(f"a{number}", rule_id=draw(rules), severity_id=draw(st.sampled_from([1, 2, 3, 5])))
        for number in range(draw(st.integers(1, 2)))
    ]
    return a_case(given_alerts, status=draw(st.sampled_from([CaseStatus.NEW, CaseStatus.WAITING, CaseStatus.CLOSED])))


def decided(
    case: Case,
    evidence: Evidence | None,
    context: DecisionContext | None = None,
    policy: SignedPolicy | Policy = SIGNED,
    **more: Any,
) -> Decision:
    given_facts: dict[str, Any] = {"now": CASE_TIME, "quiet": timedelta(0), **more}
    return decide(case, policy, context=context, decision_id="d", evidence=evidence, **given_facts)


def quiet_case(*names: str) -> Case:
    return a_case([an_alert(f"a{number}", rule_id=name) for number, name in enumerate(names or ("quiet",))])


def test_what_was_earned_closes_and_says_so() -> None:
    made = decided(quiet_case(), Evidence(GateInputs((BEST,))))
    assert (made.outcome, made.reason_code) == (Outcome.CLOSE, EARNED)
    assert all(check.passed for check in made.checks)
    assert {"gate-level", "gate-threshold", "gate-doubts"} <= {check.name for check in made.checks}


def test_it_waits_for_quiet() -> None:
    case = quiet_case()
    held = decided(case, Evidence(GateInputs((BEST,))), quiet=timedelta(seconds=300))
    assert (held.outcome, held.hold_until) == (Outcome.HOLD, CASE_TIME + timedelta(seconds=300))
    later = decided(
        case, Evidence(GateInputs((BEST,))), quiet=timedelta(seconds=300), now=CASE_TIME + timedelta(seconds=300)
    )
    assert later.outcome is Outcome.CLOSE


def test_level_two_recommends_and_less_escalates() -> None:
    def made(level: Level) -> Decision:
        return decided(quiet_case(), Evidence(GateInputs((replace(BEST, level=level),))))

    assert (made(Level.RECOMMEND).outcome, made(Level.RECOMMEND).reason_code) == (Outcome.RECOMMEND, "recommend-earned")
    for level in (Level.SHADOW, Level.OFF):
        assert (made(level).outcome, made(level).reason_code) == (Outcome.ESCALATE, "no-rule")
        assert "What was earned does not close it" in made(level).reasons[1]


@pytest.mark.parametrize("name", ["noise", "over", "evil", "worm", "never"])
def test_a_rule_of_the_policy_is_never_overruled(name: str) -> None:
    """Law 7: where a signed rule speaks of any alert of the case, evidence has no word in it."""
    for case in (quiet_case(name), quiet_case(name, "quiet"), quiet_case("quiet", name)):
        alone, beside = decided(case, None), decided(case, Evidence(GateInputs((BEST,))))
        assert beside.outcome is alone.outcome
        assert beside.outcome is not Outcome.CLOSE or name == "noise"
        assert beside.reason_code != EARNED


def test_nothing_is_closed_by_evidence_under_a_policy_that_nobody_signed() -> None:
    """Law 10: what was earned stands on the floor that a person signed."""
    for policy in (POLICY, Policy.unsigned(), SignedPolicy(POLICY, ())):
        assert decided(quiet_case(), Evidence(GateInputs((BEST,))), policy=policy).outcome is Outcome.ESCALATE


@given(case=cases(), gate=gates, context=contexts, policy=st.sampled_from([SIGNED, SIGNED, POLICY]))
@settings(deadline=None, max_examples=300)
def test_evidence_closes_only_what_no_rule_names_and_every_check_passed(
    case: Case, gate: GateInputs, context: DecisionContext, policy: SignedPolicy | Policy
) -> None:
    """Laws 7 and 10."""
    alone, beside = decided(case, None, context, policy), decided(case, Evidence(gate), context, policy)
    if CAUTION[beside.outcome] < CAUTION[alone.outcome]:
        assert alone.reason_code == "no-rule"
        assert (
            ask(gate, [check for check in beside.checks if check.name != "every-alert-covered"]).say is not Say.ESCALATE
        )
        assert {alert.rule_id for alert in case.alerts} == {"quiet"}
    else:
        assert beside.outcome is alone.outcome or beside.reason_code == EARNED
    if beside.reason_code == EARNED:
        assert beside.outcome is Outcome.CLOSE
        assert all(check.passed for check in beside.checks)
        assert min(one.level for one in gate.rules) >= Level.CLOSE
        assert all(one.below(one.closing) for one in gate.rules)


@st.composite
def worse(draw: st.DrawFn) -> tuple[GateInputs, GateInputs]:
    """Gate inputs, and the same with one thing more to be careful about."""
    before = draw(gates.filter(lambda gate: bool(gate.rules)))
    first, *rest = before.rules
    kind = draw(st.sampled_from(["doubt", "level", "score", "certificate", "rule", "protected", "unknown"]))
    if kind == "doubt":
        return before, replace(before, doubts=(*before.doubts, "two models disagree"))
    if kind == "protected":
        return before, replace(before, protected=True)
    if kind == "rule":
        return before, replace(before, rules=(*before.rules, draw(asked)))
    if kind == "unknown":
        return before, replace(before, rules=(*before.rules, Asked("edr/unknown@-", 0)))
    changed = {
        "level": replace(first, level=max(0, first.level - 1)),
        "score": replace(first, score=None if first.score is None else first.score + 3.0),
        "certificate": replace(first, closing=None, recommending=None),
    }[kind]
    return before, replace(before, rules=(changed, *rest))


@given(case=cases(), pair=worse(), context=contexts)
@settings(deadline=None, max_examples=300)
def test_one_more_reason_for_care_never_makes_a_decision_bolder(
    case: Case, pair: tuple[GateInputs, GateInputs], context: DecisionContext
) -> None:
    """Law 7."""
    before, after = (decided(case, Evidence(gate), context) for gate in pair)
    assert CAUTION[after.outcome] >= CAUTION[before.outcome]


@given(case=cases(), gate=gates, context=contexts, later=st.integers(0, 10**9))
@settings(deadline=None)
def test_a_decision_on_evidence_is_made_again_bit_for_bit(
    case: Case, gate: GateInputs, context: DecisionContext, later: int
) -> None:
    """Law 11."""
    score = {"model": "0" * 64, "rules": []}
    made = decided(case, Evidence(gate, score), context, now=CASE_TIME + timedelta(microseconds=later))
    stored = canonical(to_record(made))
    assert canonical(to_record(replay(orjson.loads(stored), case, SIGNED))) == stored
