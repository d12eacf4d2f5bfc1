from typing import Any

import pytest

from nightdesk.autonomy.decide import decide
from nightdesk.autonomy.explain import explain
from nightdesk.autonomy.guardrails import BookFacts, DecisionContext, abstain_checks
from nightdesk.autonomy.policy import Policy, judge
from nightdesk.autonomy.policy_file import parse_policy
from nightdesk.autonomy.signing import Signature, SignedPolicy
from nightdesk.autonomy.starting import Starting, resolve_starts
from nightdesk.sdk.case import Decision, Outcome, Verdict
from nightdesk.sdk.testing.cases import CASE_TIME, a_case

ID = "playbook--ba67c1d1-e228-510a-9f7c-5f1d6ebf214d"
SHA = "ab" * 32
FOUND = BookFacts("Contain", SHA, {"__host__": "ws-0042"})


def a_policy(*rules: str) -> Policy:
    text = "policy_id: p\nversion: 1\nrules:\n" + "".join(f"  - {rule}\n" for rule in rules)
    return parse_policy(text.encode(), file="p")


def starts(name: str = "r", approval: str = "policy", more: str = "") -> str:
    return f"{{id: {name}, owner: j, {more} then: {{playbook: {{id: {ID}, sha256: {SHA}, approval: {approval}}}}}}}"


def resolved(*rules: str, signers: int = 2, **context: Any) -> Starting:
    policy = a_policy(*(rules or (starts(),)))
    books = context.pop("playbooks", {rule.id: FOUND for rule in policy.rules})
    given, case = DecisionContext(playbooks=books, **context), a_case()
    return resolve_starts(judge(policy, case, CASE_TIME), signers, given, abstain_checks(case, given, CASE_TIME))


def failed(found: Starting) -> set[str]:
    return {check.name for check in found.checks if not check.passed}


def test_what_was_signed_and_found_is_started() -> None:
    (start,) = resolved().starts
    assert (start.playbook, start.sha256, start.name, start.approval) == (ID, SHA, "Contain", "policy")
    assert (start.variables, start.rules) == ({"__host__": "ws-0042"}, ("r",))


@pytest.mark.parametrize(
    ("given", "failing", "words"),
    [
        ({"signers": 0}, {"playbook-signed"}, "nobody has signed"),
        ({"stopped_rules": ("r",)}, {"playbook-rule-running"}, "the rule is stopped"),
        ({"kill_switch": True}, {"playbook-running"}, "the kill switch is on"),
        (
            {"playbooks": {"r": BookFacts(unfit=("no playbook x",))}},
            {"playbook-known", "playbook-unchanged", "playbook-ready"},
            "no such playbook",
        ),
        ({"playbooks": {}}, {"playbook-known", "playbook-unchanged", "playbook-ready"}, "no such playbook"),
        ({"playbooks": {"r": BookFacts("Contain", "cd" * 32)}}, {"playbook-unchanged"}, "not what was signed for"),
        (
            {"playbooks": {"r": BookFacts("Contain", SHA, {}, ("roles: edr: none",))}},
            {"playbook-ready"},
            "(roles: edr: none)",
        ),
    ],
)
def test_every_doubt_is_told_and_starts_nothing(given: dict[str, Any], failing: set[str], words: str) -> None:
    found = resolved(**given)
    assert (found.starts, failed(found)) == ((), failing)
    assert words in found.refusals[0]


@pytest.mark.parametrize(
    ("given", "failing"),
    [({"signers": 1}, {"two-signers"}), ({"missing": ("inventory",)}, {"calm"}), ({"with_person": True}, {"calm"})],
)
def test_what_would_hold_a_containment_back_holds_its_actions_back(given: dict[str, Any], failing: set[str]) -> None:
    found = resolved(**given)
    assert [one.approval for one in found.starts] == ["human"]
    assert failed(found) == failing


def test_two_rules_that_want_the_same_start_it_once_and_the_more_careful_counts() -> None:
    (start,) = resolved(starts("a"), starts("b", approval="human")).starts
    assert (start.rules, start.approval) == (("a", "b"), "human")


def test_a_stopped_rule_is_not_got_round_by_another() -> None:
    """Law 7: what a stopped rule wants as well, another does not get without a person."""
    (start,) = resolved(starts("a"), starts("b"), stopped_rules=("a",)).starts
    assert (start.rules, start.approval) == (("b",), "human")


def test_other_inputs_are_another_start() -> None:
    other = BookFacts("Contain", SHA, {"__host__": "ws-7"})
    assert len(resolved(starts("a"), starts("b"), playbooks={"a": FOUND, "b": other}).starts) == 2


def test_a_long_reason_is_cut() -> None:
    found = resolved(playbooks={"r": BookFacts("Contain", SHA, {}, ("x" * 5000,))})
    assert len(found.refusals[0]) < 500


def _decided(*rules: str, signed: bool = True, **context: Any) -> Decision:
    policy = a_policy(*rules)
    books = {rule.id: FOUND for rule in policy.rules}
    signatures = (Signature("jane", "k", "s", "t"), Signature("omar", "l", "s", "t")) if signed else ()
    return decide(
        a_case(),
        SignedPolicy(policy, signatures),
        now=CASE_TIME,
        quiet=CASE_TIME - CASE_TIME,
        context=DecisionContext(**{"playbooks": books, **context}),
        decision_id="d",
    )


ISOLATES = "{id: i, owner: j, then: {propose: {actions: [{verb: host.isolate, target: host}]}}}"


def test_the_decision_gives_the_case_to_a_person_and_says_what_is_started() -> None:
    decision = _decided(starts("r"))
    assert (decision.outcome, decision.verdict) == (Outcome.PROPOSE_CONTAINMENT, Verdict.LIKELY_TRUE_POSITIVE)
    assert decision.reasons[-1] == "Playbook Contain (approval: policy), once for this case."
    told = explain(decision, a_case()).content.replace("\\", "")
    assert "Contain (abababababab) with __host__ “ws-0042”, approval: policy" in told


def test_what_is_proposed_beside_a_refused_playbook_is_still_proposed() -> None:
    decision = _decided(starts("r"), ISOLATES, playbooks={})
    assert [one.verb for one in decision.proposals] == ["host.isolate"]
    assert decision.reason_code == "propose-rule"
    assert any("was not started" in text for text in decision.reasons)


def test_an_expired_rule_starts_nothing_and_still_asks_for_a_person() -> None:
    decision = _decided(starts("r", more="expires: 2026-01-01,"))
    assert (decision.outcome, decision.reason_code, decision.starts) == (Outcome.ESCALATE, "rule-unsure", ())


def test_an_unsigned_rule_gives_the_case_to_a_person_and_says_why() -> None:
    decision = _decided(starts("r"), signed=False)
    assert (decision.outcome, decision.reason_code) == (Outcome.ESCALATE, "playbook-refused")
    assert decision.reasons[-1] == "The playbook Contain of rule r was not started: nobody has signed the policy."
