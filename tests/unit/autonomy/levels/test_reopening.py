"""A re-opening is a decision like any other: whole, and the same again from its inputs."""

from datetime import timedelta

from tests.stores import a_decision

from nightdesk.autonomy.levels.reopening import RECORDED, REOPEN, remade, reopened
from nightdesk.sdk.case import Mode, Outcome, Verdict
from nightdesk.sdk.testing.cases import CASE_TIME

WHY = {
    "unit": "close by edr/r1@1 at acme",
    "rule": "edr/r1@1",
    "cause": "canary",
    "text": "1 was not caught",
    "since": "s",
}
CLOSED = a_decision(outcome=Outcome.CLOSE)


def test_it_says_what_was_lost_why_and_by_whom() -> None:
    made = reopened(CLOSED, WHY, now=CASE_TIME + timedelta(hours=1), decision_id="d-2", by="ann")
    assert (made.outcome, made.verdict, made.mode) == (Outcome.REOPEN, Verdict.UNDETERMINED, Mode.AUTONOMOUS)
    assert (made.reason_code, made.reviewer, made.supersedes) == (REOPEN, "ann", CLOSED.decision_id)
    assert "ann withdrew it: 1 was not caught." in made.reasons
    assert made.inputs[RECORDED] == WHY
    assert (made.policy_id, made.policy_sha256) == (CLOSED.policy_id, CLOSED.policy_sha256)
    assert not made.proposals


def test_it_is_the_same_again() -> None:
    for by in ("", "ann"):
        made = reopened(CLOSED, WHY, now=CASE_TIME, decision_id="d-2", by=by)
        assert remade(made) == made
    assert "It was lost" in reopened(CLOSED, WHY, now=CASE_TIME, decision_id="d-2").reasons[1]
