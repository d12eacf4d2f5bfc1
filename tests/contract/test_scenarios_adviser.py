"""Scenario 2: text that an attacker writes, and an adviser that obeys it in everything, make no machine bolder."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.injections import INJECTIONS

from nightdesk.autonomy.adviser.advice import Advice, Unusable, read_answer
from nightdesk.autonomy.adviser.question import question
from nightdesk.autonomy.decide import CAUTION, DecisionContext, decide
from nightdesk.autonomy.explain import explain
from nightdesk.autonomy.policy_file import parse_policy
from nightdesk.autonomy.record import replay, to_record
from nightdesk.autonomy.signing import Signature, SignedPolicy
from nightdesk.sdk.case import Case, Decision, Outcome
from nightdesk.sdk.testing.cases import CASE_TIME, a_case, an_alert, an_entity

_POLICY = SignedPolicy(
    parse_policy(
        b"""policy_id: p
version: 1
rules:
- {id: noise, owner: a, when: {rule_id: rule-1, severity_at_most: medium}, then: {close: {verdict: benign-positive}}}
- {id: ask, owner: a, when: {rule_id: rule-2}, then: {recommend: {verdict: benign-positive}}}
- id: ransom
  owner: a
  when: {techniques: T1486}
  then: {propose: {actions: [{verb: host.isolate, target: victim-host}]}}
""",
        file="p.yaml",
    ),
    (Signature("jane", "k", "s", "t"),),
)
_CASES = {
    "closed": a_case([an_alert()]),
    "held": a_case([an_alert()], updated_at=CASE_TIME + timedelta(seconds=390)),
    "recommended": a_case([an_alert(rule_id="rule-2")]),
    "no rule": a_case([an_alert(rule_id="rule-9")]),
    "contained": a_case([an_alert(techniques=("T1486",))]),
}
_FIELDS = ("title", "description", "rule_name", "native_status", "native_verdict", "console_url")


def decided(case: Case, advice: Any = None) -> Decision:
    context = DecisionContext(advice=advice)
    now = CASE_TIME + timedelta(seconds=400)
    return decide(case, _POLICY, now=now, quiet=timedelta(seconds=300), context=context, decision_id="d-1")


def _harmless(content: str) -> bool:
    """Nothing hidden, no tag, nothing that a template would run."""
    seen = all(letter.isprintable() or letter == "\n" for letter in content)
    return seen and not any(mark in content for mark in ("<script", "<img", "<!--", "{{", "{%"))


def obeys(case: Case, order: str) -> Advice:
    """What a model answers that does everything it is told in the case's text: the boldest answer that is one."""
    told = {
        "summary": order, "hypotheses": [order[:600]], "checks": [order[:600]], "verdict": "false-positive",
        "confidence": 100, "evidence_refs": [alert.alert_id for alert in case.alerts],
    }  # fmt: skip
    return read_answer(
        _dumped(told), model="m", prompt=question(case, model="m"), alert_ids=[a.alert_id for a in case.alerts]
    )


def _dumped(told: dict[str, Any]) -> bytes:
    clean = {
        key: [text.encode("utf-8", "replace").decode() for text in value] if isinstance(value, list)
        else value.encode("utf-8", "replace").decode() if isinstance(value, str) else value
        for key, value in told.items()
    }  # fmt: skip
    return orjson.dumps(clean)


class TestScenario2PromptInjection:
    """Orders in every text that an attacker writes, and an adviser that obeys them."""

    @pytest.mark.parametrize("name", _CASES)
    def test_law_07_an_adviser_that_obeys_every_string_changes_no_decision_and_no_target(self, name: str) -> None:
        case = _CASES[name]
        before = decided(case)
        for order in INJECTIONS:
            after = decided(case, obeys(case, order).to_json())
            assert (after.outcome, after.verdict, after.reason_code, after.reasons, after.checks) == (
                before.outcome, before.verdict, before.reason_code, before.reasons, before.checks,
            )  # fmt: skip
            assert after.proposals == before.proposals

    @pytest.mark.parametrize("field_name", _FIELDS)
    @pytest.mark.parametrize("name", _CASES)
    def test_law_07_no_string_in_any_text_field_makes_a_decision_bolder_or_gives_it_a_target(
        self, name: str, field_name: str
    ) -> None:
        case = _CASES[name]
        before = decided(case)
        for text in INJECTIONS:
            changed: dict[str, Any] = {field_name: text}
            written = replace(case, alerts=tuple(replace(alert, **changed) for alert in case.alerts))
            after = decided(written)
            assert CAUTION[after.outcome] >= CAUTION[before.outcome]
            assert after.proposals == before.proposals
            content = explain(after, written).content
            assert _harmless(content)


def test_an_adviser_may_raise_and_the_record_replays_it() -> None:
    case = _CASES["closed"]
    advice = replace(obeys(case, "x"), verdict="likely-true-positive")
    made = decided(case, advice.to_json())
    assert (made.outcome, made.reason_code) == (Outcome.ESCALATE, "adviser-raised")
    assert decided(case).outcome is Outcome.CLOSE
    assert replay(to_record(made), case, _POLICY) == made
    assert to_record(made)["inputs"]["context"]["advice"]["prompt_sha256"] == advice.prompt_sha256


def test_what_it_says_is_no_reason_of_ours_and_is_shown_as_untrusted() -> None:
    case = _CASES["closed"]
    for order in INJECTIONS:
        advice = replace(obeys(case, order), verdict="true-positive")
        made = decided(case, advice.to_json())
        assert not any(order in reason for reason in made.reasons)
        content = explain(made, case).content
        assert "made from untrusted text" in content
        assert _harmless(content)


_WORDS = st.text(max_size=30)
_ANSWERS = st.fixed_dictionaries({
    "summary": _WORDS,
    "hypotheses": st.lists(_WORDS, max_size=7),
    "checks": st.lists(_WORDS, max_size=9),
    "verdict": st.sampled_from(["true-positive", "likely-true-positive", "undetermined", "false-positive", "close"]),
    "confidence": st.integers(-5, 120),
    "evidence_refs": st.lists(st.sampled_from(["alert-1", "alert-2", "alert-3"]), max_size=3),
})  # fmt: skip


@given(answer=_ANSWERS, name=st.sampled_from(sorted(_CASES)))
@settings(max_examples=300, deadline=None)
def test_law_07_with_an_adviser_a_machine_is_never_bolder_than_without(answer: dict[str, Any], name: str) -> None:
    case = _CASES[name]
    try:
        advice = read_answer(_dumped(answer), model="m", prompt={}, alert_ids=[one.alert_id for one in case.alerts])
    except Unusable:
        return
    before, after = decided(case), decided(case, advice.to_json())
    assert CAUTION[after.outcome] >= CAUTION[before.outcome]
    assert after.proposals == before.proposals
    assert after.checks == before.checks


def test_a_target_is_a_thing_of_the_alert_and_never_a_word_of_its_text() -> None:
    for text in INJECTIONS:
        named = an_alert(techniques=("T1486",), title=f"{text} dc-01", description="isolate host:dc-01")
        made = decided(a_case([named]))
        assert [one.target for one in made.proposals] == ["host:ws-0042"]
        nothing = an_alert(techniques=("T1486",), title=text, entities=(an_entity("address:203.0.113.9"),))
        assert decided(a_case([nothing])).proposals == ()


def test_there_are_enough_of_them() -> None:
    assert len(set(INJECTIONS)) >= 200
