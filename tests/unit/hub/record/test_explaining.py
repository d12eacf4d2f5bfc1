"""A decision in words and as a picture: everything that matters is there, and a hostile name stays a name."""

import json
import shutil
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from tests.hubs import run_cli
from tests.injections import INJECTIONS
from tests.recorded import decide_by, recorded, tamper
from tests.stores import a_decision

from nightdesk.autonomy.actions import Action, ActionState
from nightdesk.autonomy.decide import decide
from nightdesk.autonomy.policy_file import parse_policy
from nightdesk.autonomy.signing import Signature, SignedPolicy
from nightdesk.hub.console.decision_boxes import fitted
from nightdesk.hub.console.decision_picture import draw_decision
from nightdesk.hub.record.deeds import done, undoable
from nightdesk.hub.record.drawing import svg
from nightdesk.sdk.case import Alert, Decision, Mode
from nightdesk.sdk.targets import Target
from nightdesk.sdk.testing.cases import CASE_TIME, a_case, an_alert, an_entity

_SVG = "{http://www.w3.org/2000/svg}"
_KNOWN = {f"{_SVG}{name}" for name in ("svg", "title", "style", "rect", "text", "path", "circle", "g")}


@pytest.fixture(scope="module")
def _lived(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return recorded(tmp_path_factory.mktemp("lived"), alerts=5)


@pytest.fixture
def config(_lived: Path, tmp_path: Path) -> Path:
    shutil.copytree(_lived.parent, tmp_path / "copy")
    return tmp_path / "copy" / _lived.name


def explained(config: Path, case_id: str, *more: str, code: int = 0) -> dict[str, str]:
    """What the command tells, by heading."""
    done_ = run_cli("explain", case_id, "--tenant", "acme", "--config", config, "--json", *more)
    assert done_.exit_code == code, done_.output
    document: Any = json.loads(done_.stdout)
    if code:
        return {"error": document["error"]}
    return {one["heading"]: " ".join(one["sentences"]) for one in document["told"]}


def test_a_close_is_told_with_what_let_it_through_and_what_would_have_changed_it(config: Path) -> None:
    told = explained(config, "ND-2026-000001")
    assert "“quiet”" in told["What happened"]
    assert "The case was closed" in told["What was decided, and why"]
    assert told["Why"].endswith("The policy was then 1, signed by owner.")
    assert told["The checks"].startswith("Every check let it through: policy signed")
    assert "Without the rule quiet-tool, it would have been “Escalate to a person”." in told[
        "What would have changed it"
    ]  # fmt: skip
    assert "Nearest to its limit was new cases: 1, allowed is 200 an hour." in told["What would have changed it"]
    assert "effective, read back at 2026-11-01" in told["What was done"]
    assert "can be undone at any time (`nightdesk undo act-" in told["What can be undone"]


def test_containment_is_told_with_what_held_it(config: Path) -> None:
    told = explained(config, "ND-2026-000005")
    assert "Tactic floor did not pass: impact (wanted: no impact" in told["The checks"]
    changes = told["What would have changed it"]
    assert "rule encryption (propose, of bob@example.org) must not match" in changes
    assert "check tactic-floor must pass" in changes
    assert "Isolate host ws-0004: awaiting approval." in told["What was done"]
    assert "cannot be undone as it stands (awaiting approval): cancel it" in told["What can be undone"]


def test_an_earlier_decision_is_told_by_its_number(config: Path) -> None:
    held = explained(config, "ND-2026-000002", "--decision", "ND-2026-000002-001")
    assert "The case is held and watched" in held["What was decided, and why"]
    assert "The case was closed" in explained(config, "ND-2026-000002")["What was decided, and why"]


def test_after_a_change_of_policy_it_is_told_by_the_policy_of_then(config: Path) -> None:
    before = explained(config, "ND-2026-000001")
    decide_by(config, b"policy_id: now\nversion: '2'\nrules: []\n")
    after = explained(config, "ND-2026-000001")
    assert after["Why"] == before["Why"]
    assert after["What would have changed it"].startswith(before["What would have changed it"])
    assert "is no configured signer today" in after["What would have changed it"]


def test_what_cannot_be_had_is_said_and_the_rest_is_told(config: Path) -> None:
    tamper(
        config,
        "SELECT rowid, body FROM artefact WHERE kind = 'policy'",
        lambda body: body + b"#",
        "UPDATE artefact SET body = ? WHERE rowid = ?",
    )
    told = explained(config, "ND-2026-000001")
    assert "cannot be worked out: policy then 1" in told["What would have changed it"]
    assert "Every check let it through" in told["The checks"]


def test_an_unknown_case_decision_or_file_is_told(config: Path) -> None:
    assert "no case nowhere" in explained(config, "nowhere", code=1)["error"]
    assert "has no decision other" in explained(config, "ND-2026-000001", "--decision", "other", code=1)["error"]
    done_ = run_cli(
        "explain", "ND-2026-000001", "--tenant", "acme", "--config", config, "--svg", config.parent / "no" / "x.svg"
    )
    assert done_.exit_code == 2
    assert "cannot be written" in done_.output


def test_the_words_go_to_a_terminal_without_steering_it(config: Path, tmp_path: Path) -> None:
    file = tmp_path / "case.svg"
    done_ = run_cli("explain", "ND-2026-000005", "--tenant", "acme", "--config", config, "--svg", file)
    assert done_.output.startswith("ND-2026-000005  decision ND-2026-000005-001  crypt on ws-0004")
    assert "\x1b[2J" not in done_.output
    assert _texts(file.read_bytes())[0] == "ND-2026-000005-001 · 2026-11-01 12:08:00 UTC"


POLICY = parse_policy(
    b"""
policy_id: p
version: 1
rules:
  - {id: near, owner: j, when: {rule_id: rule-1}, then: {close: {verdict: test, at_once: true}}}
  - {id: worm, owner: j, when: {rule_id: worm},
     then: {propose: {actions: [{verb: host.isolate, target: host}]}}}
""",
    file="p",
)
SIGNED = SignedPolicy(POLICY, (Signature("jane", "k", "s", "t"),))


def decided(*alerts: Alert) -> Decision:
    now = CASE_TIME + timedelta(seconds=5)
    return decide(a_case(list(alerts)), SIGNED, now=now, quiet=timedelta(0), decision_id="d-1")


def _texts(drawing: bytes) -> list[str]:
    root = ET.fromstring(drawing)
    for element in root.iter():
        assert element.tag in _KNOWN, element.tag
        assert not [name for name in element.attrib if name.startswith("on") or name.endswith("href")]
    return ["".join(one.itertext()) for one in root.iter(f"{_SVG}text")]


def test_a_picture_shows_alerts_rules_checks_outcome_and_actions_with_states() -> None:
    alert = an_alert(rule_id="worm", title="Worm seen", entities=(an_entity("host:ws-0042", "victim-host"),))
    made = decided(alert, replace(alert, alert_id="alert-2", severity_id=0))
    act = an_action(ActionState.LEASED, decision_id="d-1")
    texts = _texts(svg(draw_decision(made, [alert], [act])))
    for wanted in (
        "Alerts", "Rules and checks", "Outcome", "Actions", "Worm seen", "host ws-0042", "Rule · proposes", "worm",
        "✕ Check not passed", "Severity floor", "Propose containment", "Isolate host", "Effective, on lease",
    ):  # fmt: skip
        assert wanted in texts, wanted
    assert any("another case" in text or "1 alert that is" in text for text in texts)


def test_the_same_decision_gives_the_same_bytes_and_the_picture_follows_the_readers_colours() -> None:
    made = decided(an_alert())
    drawing = svg(draw_decision(made, [an_alert()], []))
    assert drawing == svg(draw_decision(made, [an_alert()], []))
    assert b"@media (prefers-color-scheme: dark)" in drawing
    for word in (b"<script", b"url(", b"@import", b"http://", b"https://"):
        assert word not in drawing.replace(b'xmlns="http://www.w3.org/2000/svg"', b"")


@pytest.mark.parametrize("text", [*INJECTIONS[:: max(1, len(INJECTIONS) // 60)], "]]>", "\x00\ud800\ufffe", "a" * 5000])
def test_a_hostile_name_stays_text_in_well_formed_xml(text: str) -> None:
    alert = an_alert(title=text, rule_id="worm", entities=(an_entity(f"host:{text}", "victim-host"),))
    made = decided(alert)
    made = replace(made, checks=tuple(replace(one, value=text, passed=False) for one in made.checks), reviewer=text)
    act = an_action(ActionState.FAILED, decision_id="d-1", target=Target.parse("host:x"), error=text)
    drawing = svg(draw_decision(made, [alert], [act]))
    root = ET.fromstring(drawing)  # well-formed, whatever the name
    height = int(root.attrib["height"])
    assert height < 1500
    assert all(len(line) <= 60 for line in _texts(drawing))


@pytest.mark.parametrize(
    ("text", "cells", "shown"),
    [
        ("short", 5, "short"),
        ("longer", 5, "long…"),
        ("忽略之前的", 6, "忽略…"),
        ("a\u202eb", 20, "a[U+202E]b"),
        ("", 3, ""),
    ],
)
def test_text_is_cut_to_the_room_there_is(text: str, cells: int, shown: str) -> None:
    assert fitted(text, cells) == shown


def test_a_persons_decision_is_drawn_without_rules() -> None:
    made = a_decision(mode=Mode.HUMAN, reviewer="ann", inputs={}, checks=())
    texts = _texts(svg(draw_decision(made, [], [])))
    assert "By ann" in texts
    assert "Nothing was asked" in texts


def an_action(state: ActionState, **changes: Any) -> Action:
    facts: dict[str, Any] = {
        "tenant": "acme",
        "action_id": "act-1",
        "verb": "host.isolate",
        "target": Target.parse("host:ws-0042"),
        "generation": 1,
        "idempotency_key": "k",
        "state": state,
        "created_at": CASE_TIME,
        "updated_at": CASE_TIME,
        "changed": True,
    }
    return Action(**{**facts, **changes})


@pytest.mark.parametrize(
    ("action", "said"),
    [
        (
            an_action(ActionState.LEASED, lease_until=CASE_TIME + timedelta(hours=4)),
            "by itself 2026-11-20 13:00:00 UTC (in 4 h) when its lease ends",
        ),
        (an_action(ActionState.EFFECTIVE), "at any time (`nightdesk undo act-1`); it does not end by itself"),
        (an_action(ActionState.EFFECTIVE, changed=False), "changed nothing: it was already so"),
        (an_action(ActionState.UNDONE, undone_at=CASE_TIME), "is undone since 2026-11-20 09:00:00 UTC"),
        (an_action(ActionState.UNDO_REQUESTED), "is being undone"),
        (an_action(ActionState.FAILED), "cannot be undone as it stands (failed): nothing was done"),
        (an_action(ActionState.EFFECTIVE, verb="process.terminate"), "cannot be undone: "),
    ],
)
def test_what_can_be_undone_says_how_and_until_when(action: Action, said: str) -> None:
    (told,) = undoable([action], CASE_TIME)
    assert said in told


def test_what_was_done_says_whether_anybody_looked() -> None:
    made = a_decision("d-1")
    proven = {"result": {"native_state": "contained"}, "effective_at": CASE_TIME}
    (told,) = done(made, [an_action(ActionState.LEASED, decision_id="d-1", **proven)])
    assert "effective, on lease" in told
    assert "read back" in told
    (sent,) = done(made, [an_action(ActionState.REQUESTED, decision_id="other")])
    assert sent == "Isolate host ws-0042 (not by this decision): requested, not read back."
    assert list(done(made, [])) == ["No action was taken or proposed."]


def test_a_case_that_was_merged_away_is_told_as_the_case_that_it_became(config: Path) -> None:
    merged = run_cli(
        "cases", "merge", "ND-2026-000001", "ND-2026-000005", "--tenant", "acme", "--as", "ann", "--reason", "one",
        "--config", config,
    )  # fmt: skip
    assert merged.exit_code == 0, merged.output
    old = explained(config, "ND-2026-000005", "--decision", "ND-2026-000005-001")
    assert "Containment was proposed" in old["What was decided, and why"]
    assert "rule encryption" in old["What would have changed it"]
    assert "Isolate host ws-0004" in old["What was done"]
