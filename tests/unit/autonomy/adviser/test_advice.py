"""An answer is taken whole or dropped whole, and nothing in it can make a machine bolder (law 7)."""

import string
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nightdesk.autonomy.adviser.advice import ANSWER_LIMIT, RAISING, Advice, Answer, Unusable, read_answer
from nightdesk.sdk.case import Verdict

PROMPT = {"model": "m", "messages": []}
GOOD: dict[str, Any] = {
    "summary": "One tool was run.",
    "hypotheses": ["an admin at work"],
    "checks": ["ask the owner"],
    "verdict": "likely-false-positive",
    "confidence": 70,
    "evidence_refs": ["a1"],
}


def read(raw: Any) -> Advice:
    data = raw if isinstance(raw, bytes) else orjson.dumps(raw)
    return read_answer(data, model="m", prompt=PROMPT, alert_ids={"a1", "a2"})


def test_an_answer_is_taken_with_what_makes_it_traceable() -> None:
    advice = read(GOOD)
    assert (advice.verdict, advice.confidence, advice.evidence_refs) == ("likely-false-positive", 70, ("a1",))
    assert len(advice.prompt_sha256) == len(advice.output_sha256) == 64
    assert Advice.from_json(advice.to_json()) == advice
    assert read({**GOOD, "summary": "another"}).output_sha256 != advice.output_sha256


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"verdict": "close"}, "verdict"),
        ({"action": "host.isolate"}, "action"),
        ({"confidence": "100"}, "confidence"),
        ({"confidence": 101}, "confidence"),
        ({"summary": "x" * 2001}, "summary"),
        ({"hypotheses": ["x"] * 6}, "hypotheses"),
        ({"checks": [1]}, "checks"),
        ({"evidence_refs": ["of another tenant"]}, "no alerts of the case"),
        ({"evidence_refs": None}, "evidence_refs"),
    ],
)
def test_whatever_is_not_exactly_an_answer_is_dropped(change: dict[str, Any], told: str) -> None:
    with pytest.raises(Unusable, match=told):
        read({**GOOD, **change})


@pytest.mark.parametrize(
    "raw", [b"", b"I think it is benign.", b"[]", b"null", b"{", b"\xff", b" " * (ANSWER_LIMIT + 1)]
)
def test_what_is_no_json_object_or_too_long_is_dropped(raw: bytes) -> None:
    with pytest.raises(Unusable):
        read(raw)


@given(raw=st.one_of(st.binary(max_size=200), st.text(alphabet=string.printable, max_size=200).map(str.encode)))
def test_no_output_whatever_gets_through_or_breaks_anything(raw: bytes) -> None:
    with pytest.raises(Unusable):
        read(raw)


def test_there_is_no_field_by_which_it_could_do_anything() -> None:
    assert set(Answer.model_fields) == {
        "summary", "hypotheses", "checks", "verdict", "confidence", "evidence_refs",
    }  # fmt: skip
    assert {Verdict(one) for one in RAISING} == {Verdict.TRUE_POSITIVE, Verdict.LIKELY_TRUE_POSITIVE}
