"""The gate: each thing it asks for is needed, and what it was given is enough to ask it again."""

from dataclasses import replace
from typing import Any

import orjson
import pytest
from tests.stores import a_decision

from nightdesk.autonomy.levels.gate import (
    EARNED,
    RECORDED,
    Asked,
    Certificate,
    GateInputs,
    Say,
    ask,
    gate_of,
    rules_closed_by,
)
from nightdesk.autonomy.levels.standing import Level
from nightdesk.autonomy.risk.threshold import Scored, learn_then_test
from nightdesk.sdk.case import Check, Outcome

CERTIFICATE = Certificate(tau=0.2, tie=0, n=299, k=0, alpha=0.01, delta=0.05)
WEAKER = replace(CERTIFICATE, tau=0.4, alpha=0.05, delta=None)
ASKED = Asked("edr/r1@1", Level.CLOSE, 0.1, "group-1", CERTIFICATE, WEAKER, canaries=True)
INPUTS = GateInputs((ASKED,))


def say(*changes: dict[str, Any], **more: Any) -> Say:
    rules = tuple(replace(ASKED, **one) for one in changes) or (ASKED,)
    return ask(GateInputs(rules, **more)).say


def test_everything_there_closes() -> None:
    ruling = ask(INPUTS, (Check("severity-floor", True),))
    assert (ruling.say, ruling.stand, ruling.failed) == (Say.CLOSE, "close", ())


@pytest.mark.parametrize(
    ("change", "answer", "failed"),
    [
        ({"level": Level.RECOMMEND}, Say.RECOMMEND, "gate-level"),
        ({"level": Level.SHADOW}, Say.ESCALATE, "gate-level"),
        ({"level": Level.OFF}, Say.ESCALATE, "gate-level"),
        ({"score": None}, Say.ESCALATE, "gate-score"),
        ({"score": float("nan")}, Say.ESCALATE, "gate-score"),
        ({"score": float("-inf")}, Say.ESCALATE, "gate-score"),
        ({"score": 0.3}, Say.RECOMMEND, "gate-threshold"),
        ({"score": 0.5}, Say.ESCALATE, "gate-threshold"),
        ({"closing": None}, Say.ESCALATE, "gate-certificate"),
        ({"closing": replace(CERTIFICATE, tau=None)}, Say.ESCALATE, "gate-certificate"),
        ({"closing": replace(CERTIFICATE, k=None)}, Say.ESCALATE, "gate-threshold"),
    ],
)
def test_each_thing_that_is_missing_raises_caution(change: dict[str, Any], answer: Say, failed: str) -> None:
    inputs = GateInputs((replace(ASKED, recommending=WEAKER if "score" in change else None, **change),))
    ruling = ask(inputs)
    assert ruling.say is answer
    assert failed in ruling.failed


def test_the_most_cautious_rule_of_a_case_decides() -> None:
    assert say({}, {"rule": "edr/r2@1", "level": Level.RECOMMEND}) is Say.RECOMMEND
    assert say({}, {"rule": "edr/r2@1", "score": None}) is Say.ESCALATE


def test_a_doubt_or_a_failed_check_leaves_nothing_to_a_machine() -> None:
    assert say(doubts=("unseen-rule",)) is Say.ESCALATE
    assert ask(INPUTS, (Check("flood", False),)).say is Say.ESCALATE
    assert ask(GateInputs(())).say is Say.ESCALATE


def test_a_protected_asset_needs_its_familys_canaries() -> None:
    assert say(protected=True) is Say.CLOSE
    assert say({"canaries": False}, protected=True) is Say.ESCALATE
    assert say({"canaries": False}) is Say.CLOSE


def test_its_stand_does_not_depend_on_levels_or_checks() -> None:
    low = GateInputs((replace(ASKED, level=Level.OFF),))
    assert ask(low, (Check("flood", False),)).stand == "close"
    assert ask(GateInputs((replace(ASKED, score=0.3),))).stand == ""
    assert ask(replace(INPUTS, doubts=("unseen-rule",))).stand == ""


def test_a_certificate_is_what_was_learnt() -> None:
    attacks = [Scored(0.5 + number / 1000, f"a{number}", (f"c{number}",)) for number in range(299)]
    proven = Certificate.of(learn_then_test(attacks, 0.01, 0.05))
    assert proven.closes(0.4, "x")
    assert not proven.closes(0.6, "x")
    bare = Certificate.of(learn_then_test(attacks[:100], 0.01, 0.05))
    assert bare.tau is None
    assert not bare.closes(0.0, "x")


def test_the_record_gives_the_same_ruling_bit_for_bit() -> None:
    odd = GateInputs((replace(ASKED, score=0.1 + 0.2, evidence={"e": 1e-17}),), doubts=("a",), protected=True)
    back = GateInputs.from_json(orjson.loads(orjson.dumps(odd.to_json())))
    assert back == odd
    assert ask(back) == ask(odd)


def test_only_a_closure_by_an_earned_level_is_one() -> None:
    closed = a_decision(outcome=Outcome.CLOSE, reason_code=EARNED, inputs={RECORDED: INPUTS.to_json()})
    assert rules_closed_by(closed) == ("edr/r1@1",)
    assert gate_of(closed) == INPUTS
    assert rules_closed_by(replace(closed, reason_code="signed-rule")) == ()
    assert rules_closed_by(replace(closed, outcome=Outcome.ESCALATE)) == ()
    assert rules_closed_by(a_decision()) == ()
