from datetime import timedelta
from typing import Any

import pytest
from tests.goldens import ACME
from tests.stix_validity import faults

from nightdesk.sdk.case import CaseStatus, Decision, Mode, Outcome, Verdict
from nightdesk.sdk.targets import Target
from nightdesk.sdk.testing.cases import CASE_TIME, a_case
from nightdesk.sdk.verbs import VERBS
from nightdesk.stix import casework
from nightdesk.stix.builder import AlertBuilder
from nightdesk.stix.bundle import bundle_bytes
from nightdesk.stix.header import Header
from nightdesk.stix.scope import EXTENSION

LATER = CASE_TIME + timedelta(minutes=7, microseconds=5)


def an_alert() -> tuple[list[dict[str, Any]], str, str]:
    """The objects of an alert, its incident and its host."""
    builder = AlertBuilder(ACME, product="acme_edr", vendor="ACME", name="ACME EDR")
    host = builder.asset("d-1", hostname="WS-0042")
    assert host is not None
    raw = {"sha256": "ab" * 32, "byte_count": 1, "media_type": "application/json"}
    objects, facts = builder.finish(Header(raw=raw, native_id="a-1", created=CASE_TIME))
    return objects, facts()["alert_id"], host


def a_decision(**changes: Any) -> Decision:
    facts: dict[str, Any] = {
        "tenant": "acme", "decision_id": "d-1", "case_id": "case-1", "decided_at": LATER, "outcome": Outcome.CLOSE,
        "verdict": Verdict.FALSE_POSITIVE, "mode": Mode.AUTONOMOUS, "reason_code": "earned",
        "reasons": ("Seen before.",), "checks": (), "policy_id": "starter", "policy_version": "1",
        "policy_sha256": "ab" * 32,
    }  # fmt: skip
    return Decision(**{**facts, **changes})


def an_action(host: str, **changes: Any) -> casework.ActionFacts:
    facts: dict[str, Any] = {
        "action_id": "act-1", "verb": "host.isolate", "target": Target.parse("host:WS-0042"), "target_ref": host,
        "state": "effective", "connector": "edr", "instance": "edr-main", "idempotency_key": "key-1",
        "created_at": CASE_TIME, "updated_at": LATER, "requested_at": CASE_TIME, "completed_at": LATER,
    }  # fmt: skip
    return casework.ActionFacts(**{**facts, **changes})


def judged(*entries: dict[str, Any], extensions: tuple[str, ...] = ()) -> list[str]:
    """What strangers say of an alert with these beside it."""
    objects, _, _ = an_alert()
    known = {entry["id"] for entry in objects}
    more = [entry for entry in (*ACME.standing(autonomy=True), *ACME.opening(*extensions)) if entry["id"] not in known]
    return faults(bundle_bytes(ACME, [*objects, *more, *entries]))


@pytest.mark.parametrize("status", list(CaseStatus))
def test_a_case_is_a_grouping(status: CaseStatus) -> None:
    _, incident, _ = an_alert()
    made = casework.grouping(ACME, a_case(status=status, updated_at=LATER), [incident], disposition=Verdict.TEST)
    assert judged(made, extensions=("case",)) == []
    facts = made["extensions"][EXTENSION["case"]]
    assert made["id"] == casework.case_id_ref(ACME, "case-1")
    assert ("closed_at" in facts) is (status is CaseStatus.CLOSED) is (facts.get("disposition") == "test")


def test_a_case_never_was_modified_before_it_was_opened() -> None:
    made = casework.grouping(ACME, a_case(updated_at=CASE_TIME - timedelta(hours=1)), ["x"], disposition=None)
    assert made["modified"] == made["created"]


@pytest.mark.parametrize("outcome", list(Outcome))
@pytest.mark.parametrize("mode", list(Mode))
def test_a_decision_is_a_note(outcome: Outcome, mode: Mode) -> None:
    _, incident, _ = an_alert()
    case = casework.grouping(ACME, a_case(), [incident], disposition=None)
    made = casework.note(
        ACME, a_decision(outcome=outcome, mode=mode), abstract="Closed", content="Because.", incidents=[incident],
        actions=["act-1"],
    )  # fmt: skip
    assert judged(case, made, extensions=("case", "decision")) == []
    assert (made["extensions"][EXTENSION["decision"]]["mode"] == "human") is (mode is Mode.HUMAN)


def test_a_decision_names_the_one_it_replaces() -> None:
    made = casework.note(ACME, a_decision(supersedes="d-0"), abstract="a", content="c", incidents=["i"])
    first = casework.note(ACME, a_decision(decision_id="d-0"), abstract="a", content="c", incidents=["i"])
    assert made["extensions"][EXTENSION["decision"]]["supersedes_ref"] == first["id"] != made["id"]


@pytest.mark.parametrize("verdict", list(Verdict))
def test_a_verdict_is_an_opinion_unless_it_is_none_on_the_incident(verdict: Verdict) -> None:
    _, incident, _ = an_alert()
    case = casework.grouping(ACME, a_case(), [incident], disposition=None)
    made = casework.opinion(ACME, a_decision(verdict=verdict), [incident])
    assert (made is None) is (verdict is Verdict.DUPLICATE)
    if made is not None:
        assert judged(case, made, extensions=("case",)) == []


def test_opinions_follow_the_verdict() -> None:
    found = {verdict: casework.opinion(ACME, a_decision(verdict=verdict), ["i"]) for verdict in Verdict}
    words = {verdict.value: made["opinion"] for verdict, made in found.items() if made}
    assert words["true-positive"] == "strongly-agree"
    assert words["undetermined"] == "neutral"
    assert words["false-positive"] == "strongly-disagree"


@pytest.mark.parametrize("name", sorted(VERBS))
def test_every_verb_has_a_course_of_action(name: str) -> None:
    made = casework.course_of_action(ACME, name)
    assert judged(made, extensions=("action",)) == []
    assert name in made["name"]


@pytest.mark.parametrize(
    ("state", "status"),
    [("proposed", "requested"), ("pending", "running"), ("effective", "succeeded"), ("leased", "succeeded"),
     ("failed", "failed"), ("unverified", "failed"), ("contradicted", "failed"), ("undone", "rolled-back"),
     ("awaiting_approval", "awaiting-approval"), ("rejected", "rejected"), ("cancelled", "cancelled")],
)  # fmt: skip
def test_an_execution_says_how_far_it_came(state: str, status: str) -> None:
    _, _, host = an_alert()
    made = casework.execution(ACME, an_action(host, state=state))
    facts = made["extensions"][EXTENSION["action"]]
    assert (facts["action_status"], facts["result"]["result_text"]) == (status, state)
    assert judged(casework.course_of_action(ACME, "host.isolate"), made, extensions=("action",)) == []


def test_an_execution_is_one_object_through_all_its_states() -> None:
    states = [casework.execution(ACME, an_action("x", state=state)) for state in ("pending", "effective", "undone")]
    assert len({made["id"] for made in states}) == 1
    assert casework.execution(ACME, an_action("x", action_id="act-2"))["id"] != states[0]["id"]


def test_an_execution_that_never_ended_has_no_end() -> None:
    made = casework.execution(ACME, an_action("x", state="pending", completed_at=None))
    assert "stop_time" not in made
    assert "completed_at" not in made["extensions"][EXTENSION["action"]]


def test_an_execution_without_a_connector_or_that_failed_says_so() -> None:
    made = casework.execution(ACME, an_action("x", state="failed", connector="", instance="", error="no such host"))
    facts = made["extensions"][EXTENSION["action"]]
    assert (facts["connector"], facts["result"]) == ("unrouted", {"result_code": 500, "result_text": "no such host"})
    assert "instance" not in facts
