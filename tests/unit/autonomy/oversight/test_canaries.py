"""What a canary shows: caught, missed, and a miss rate that is proven by their number."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import orjson
import pytest

from nightdesk.autonomy.oversight.canaries import Canary, CanaryState, due, proven, result
from nightdesk.sdk.case import Outcome
from nightdesk.sdk.errors import PolicyError

AT = datetime(2026, 11, 20, 9, tzinfo=UTC)
ONE = Canary("acme", "canary-1", "edr/r1", "edr/r1@1", "edr", "incident--1", AT, "abe", "drill of May")


def with_states(caught: int, missed: int) -> list[Canary]:
    return [replace(ONE, state=CanaryState.CAUGHT)] * caught + [replace(ONE, state=CanaryState.MISSED)] * missed


@pytest.mark.parametrize(
    ("outcome", "state"),
    [
        (Outcome.ESCALATE, CanaryState.CAUGHT),
        (Outcome.PROPOSE_CONTAINMENT, CanaryState.CAUGHT),
        (Outcome.CLOSE, CanaryState.MISSED),
        (Outcome.RECOMMEND, CanaryState.MISSED),
        (Outcome.HOLD, CanaryState.PLANTED),
    ],
)
def test_only_what_a_person_gets_to_see_is_caught(outcome: Outcome, state: CanaryState) -> None:
    assert ONE.settled(outcome, case_id="c", decision_id="d", at=AT).state is state


def test_the_first_decision_counts() -> None:
    missed = ONE.settled(Outcome.CLOSE, case_id="c", decision_id="d1", at=AT)
    assert missed.settled(Outcome.ESCALATE, case_id="c", decision_id="d2", at=AT) == missed


def test_nobody_is_told_before_it_is_decided() -> None:
    with pytest.raises(PolicyError, match="would spoil it"):
        ONE.revealed("abe", AT)
    told = ONE.settled(Outcome.CLOSE, case_id="c", decision_id="d", at=AT).revealed("abe", AT)
    assert told.revealed_by == "abe"
    assert told.revealed("ada", AT + timedelta(days=1)).revealed_by == "abe"


@pytest.mark.parametrize(
    ("caught", "missed", "to_five", "to_one"),
    [(0, 0, 59, 299), (58, 0, 1, 241), (59, 0, 0, 240), (299, 0, 0, 0), (92, 1, 0, 380)],
)
def test_how_many_more_are_needed(caught: int, missed: int, to_five: int, to_one: int) -> None:
    found = result(with_states(caught, missed))
    assert (found.to_five, found.to_one) == (to_five, to_one)
    assert (found.bound <= 0.05) is (to_five == 0)


def test_each_family_has_one_a_week() -> None:
    old = replace(ONE, planted_at=AT - timedelta(days=7))
    older = replace(ONE, family="edr/r2", planted_at=AT - timedelta(days=9))
    gone = replace(ONE, family="edr/r3", state=CanaryState.WITHDRAWN)
    assert due(["edr/r1", "edr/r2", "edr/r3"], [old, older, gone], AT) == ("edr/r3", "edr/r2", "edr/r1")
    assert due(["edr/r1"], [old, ONE], AT) == ()


def test_a_family_is_proven_by_every_one_of_at_least_one() -> None:
    assert proven(with_states(1, 0), "edr/r1")
    assert not proven(with_states(0, 0), "edr/r1")
    assert not proven(with_states(9, 1), "edr/r1")
    assert not proven([ONE], "edr/r1")
    assert not proven(with_states(1, 0), "edr/r2")


def test_a_canary_survives_the_store() -> None:
    assert Canary.from_bytes(orjson.dumps(ONE.to_json())) == ONE
