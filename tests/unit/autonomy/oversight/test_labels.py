"""Whose word counts: never a machine's, an attack only when it does not stand alone, caution where people disagree."""

from datetime import UTC, datetime
from itertools import count
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nightdesk.autonomy.oversight.labels import How, Label, LabelState, counted, is_machine, settled
from nightdesk.sdk.case import Verdict
from nightdesk.sdk.errors import PolicyError

AT = datetime(2026, 11, 20, 9, tzinfo=UTC)
_numbers = count(1)
A, B = Verdict.TRUE_POSITIVE, Verdict.BENIGN_POSITIVE
P, C, D, W = LabelState.PROVISIONAL, LabelState.CONFIRMED, LabelState.DISPUTED, LabelState.WITHDRAWN


def a_label(analyst: str = "ann", verdict: Verdict = B, **more: Any) -> Label:
    seq = next(_numbers)
    facts: dict[str, Any] = {"case_id": "case-1", "blind": True, "how": How.QUEUE, "stand": "close", **more}
    return Label("acme", f"label-{seq}", seq, "edr/r1@1", analyst=analyst, verdict=verdict, at=AT, **facts)


@pytest.mark.parametrize("name", ["", "  ", "engine", "Autonomy", "policy", "adviser", "ＨＵＢ"])
def test_a_machine_gives_no_label(name: str) -> None:
    assert is_machine(name)
    with pytest.raises(PolicyError, match="is no person"):
        a_label(name)


@pytest.mark.parametrize(
    ("words", "states"),
    [
        ([("ann", B)], [P]),
        ([("ann", A)], [P]),
        ([("ann", B), ("ben", B)], [C, C]),
        ([("ann", A), ("ben", A)], [C, C]),
        ([("ann", A), ("ANN", A)], [P, P]),
        ([("ann", A), ("ben", B)], [D, D]),
        ([("ann", A), ("ben", A), ("cat", B)], [C, C, D]),
        ([("ann", B), ("ben", B), ("cat", A)], [D, D, D]),
        ([("ann", B), ("ben", B), ("abe", B), ("cat", A)], [C, C, C, D]),
        ([("ann", Verdict.UNDETERMINED), ("ben", B)], [P, P]),
    ],
)
def test_words_are_weighed_together(words: list[tuple[str, Verdict]], states: list[LabelState]) -> None:
    assert [one.state for one in settled([a_label(*word) for word in words])] == states


def test_a_second_source_bears_out_an_attack_and_nothing_benign() -> None:
    assert settled([a_label(verdict=A, sources=("ids",))])[0].state is C
    assert settled([a_label(verdict=B, sources=("ids",))])[0].state is P


def test_a_withdrawn_word_is_not_heard() -> None:
    gone = a_label("ben", A, state=W)
    assert [one.state for one in settled([a_label("ann", A), gone])] == [P, W]


def test_what_counts_as_evidence() -> None:
    labels = [
        a_label(case_id="alone", verdict=B),
        a_label(case_id="attack-alone", verdict=A),
        a_label(case_id="attack", verdict=A, state=C),
        a_label("ben", case_id="attack", verdict=A, state=C),
        a_label(case_id="at-odds", verdict=B, state=D),
        a_label(case_id="gone", verdict=B, state=W),
        a_label(case_id="known", verdict=B, how=How.KNOWN),
        a_label(case_id="unsure", verdict=Verdict.UNDETERMINED),
        a_label(case_id="drill", verdict=Verdict.TEST),
    ]
    assert [(one.case_id, one.attack) for one in counted(labels)] == [("alone", False), ("attack", True)]


voices = st.lists(st.tuples(st.sampled_from(["ann", "ben", "cat", "abe", "ada"]), st.sampled_from([A, B])), max_size=6,
                  unique_by=lambda word: word[0])  # fmt: skip


@given(words=voices, more=st.sampled_from(["x", "y"]))
def test_one_more_attack_never_makes_more_benign_evidence_and_one_more_benign_never_more_attacks(
    words: list[tuple[str, Verdict]], more: str
) -> None:
    before = settled([a_label(*word) for word in words])
    with_attack = settled([*before, a_label(more, A)])
    with_benign = settled([*before, a_label(more, B)])
    assert sum(one.benign for one in counted(with_attack)) <= sum(one.benign for one in counted(before))
    assert sum(one.attack for one in counted(with_benign)) <= sum(one.attack for one in counted(before))


@given(words=voices)
def test_one_person_alone_never_confirms_anything(words: list[tuple[str, Verdict]]) -> None:
    states = [one.state for one in settled([a_label("ann", verdict) for _, verdict in words])]
    assert C not in states


def test_a_label_survives_the_store() -> None:
    label = a_label(sources=("ids",), known=True, comment="\u202e")
    assert Label.from_bytes(orjson.dumps(label.to_json())) == label
