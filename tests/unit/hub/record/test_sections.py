"""A record whole: whatever went in has its line, whoever was asked and whatever came of it."""

from dataclasses import replace

from tests.stores import a_decision

from nightdesk.hub.record.replaying import Stored
from nightdesk.hub.record.sections import as_json_document, sections
from nightdesk.hub.store.chain import GENESIS, Link
from nightdesk.hub.store.codec import encode_decision
from nightdesk.sdk.case import Decision, Mode, PlaybookStart

INPUTS = {
    "alerts": [{"alert_id": "a-1", "content_sha256": "c", "sha256": "ab"}],
    "case": {"status": "new"},
    "context": {"advice": {"model": "m", "verdict": "true-positive"}, "limits": {"severity": 5}, "assets": {}},
    "quiet_microseconds": 7,
    "rules": [None, "near"],
    "signers": ["jane", "omar"],
    "gate": {"score": 0.5},
}


def shown(told: Decision) -> dict[str, dict[str, str]]:
    link = Link(3, GENESIS, "f" * 64, encode_decision(told))
    return {one.heading: dict(one.rows) for one in sections(Stored(link, told.decision_id, told.case_id, told), [])}


def test_every_input_version_and_answer_has_its_line() -> None:
    start = PlaybookStart("playbook--1", "cd" * 32, "Contain", approval="policy")
    found = shown(replace(a_decision(inputs=INPUTS, supersedes="d-0"), starts=(start,)))
    assert found["Decision"]["supersedes"] == "d-0"
    assert found["Inputs"]["alert 1"] == "a-1 sha256 ab"
    assert (found["Inputs"]["limits severity"], found["Inputs"]["assets"]) == ("5", "{}")
    assert found["Inputs"]["gate"] == '{"score":0.5}'
    assert found["Versions"]["signed by"] == "jane, omar"
    assert found["Versions"]["closing rule of alert 2"] == "near"
    assert found["Checks (0 of 1 passed)"] == {"FAILED evidence": "0 (wanted: 59)"}
    assert found["Adviser"] == {"model": "m", "verdict": "true-positive"}
    assert found["Actions"]["playbook"].startswith("Contain playbook--1 sha256 cdcd")
    assert found["Chain"]["number"] == "3"


def test_a_persons_decision_says_that_nothing_was_computed() -> None:
    made = a_decision(mode=Mode.HUMAN, reviewer="ann", inputs={}, checks=())
    found = shown(made)
    assert found["Decision"]["decided by"] == "ann"
    assert found["Inputs"] == {"": "none are recorded: a person decided"}
    assert found["Checks (0 of 0 passed)"] == {"": "none was asked"}
    assert found["Actions"] == {"": "none"}


def test_a_program_gets_the_record_as_it_stands() -> None:
    made = a_decision(inputs=INPUTS)
    link = Link(3, GENESIS, "f" * 64, encode_decision(made))
    document = as_json_document(Stored(link, "d", "c", made), [])
    assert document["record"]["inputs"] == INPUTS
    assert document["chain"] == {"seq": 3, "hash": "f" * 64, "previous_hash": GENESIS}
