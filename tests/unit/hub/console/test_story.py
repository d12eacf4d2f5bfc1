from datetime import timedelta
from typing import Any

from nightdesk.hub.console.story import story
from nightdesk.hub.store.queries import case_page
from nightdesk.sdk.case import Case, CaseStatus, Outcome


def _told(stage: Any, hub: Any, case_id: str) -> dict[str, str]:
    with hub.store.read() as conn:
        page = case_page(conn, "north", case_id)
    assert page is not None
    paragraphs = story(page.case, page.decisions, page.actions, stage.NOW)
    return {paragraph.heading: " ".join(paragraph.sentences) for paragraph in paragraphs}


def test_a_case_is_told_as_what_where_why_and_what_was_done(stage: Any, hub: Any) -> None:
    stage.furnish(hub)
    told = _told(stage, hub, "ND-2026-000001")
    assert told["What happened"].startswith("7 alerts from acme edr between 2026-11-22 19:14:00 and 19:21:00 UTC")
    assert "most severe critical" in told["What happened"]
    assert "On host ws-0042. Involving account example\\j.doe." in told["Where and who"]
    assert "1 address, 1 domain, 1 file and 2 processes" in told["Where and who"]
    why = told["What was decided, and why"]
    assert "Containment was proposed 43 min ago, by the hub on its own: A signed rule proposes isolation" in why
    assert "1 of 4 checks did not pass." in why
    assert "Isolate host ws-0042: effective, on lease, lease ends in 3 h." in told["What was done"]
    assert "Disable account example\\j.doe: awaiting approval." in told["What was done"]


def test_only_the_newest_decision_is_told_as_the_one_that_holds(stage: Any, hub: Any) -> None:
    stage.store_case(hub, "ND-1", [stage.alert(1)])
    stage.decide(
        hub, stage.decision("ND-1", 1, outcome=Outcome.CLOSE), stage.decision("ND-1", 2, outcome=Outcome.REOPEN)
    )
    why = _told(stage, hub, "ND-1")["What was decided, and why"]
    assert why.startswith("The case was re-opened")
    assert "closed" not in why


def test_a_hold_says_until_when(stage: Any, hub: Any) -> None:
    stage.store_case(hub, "ND-1", [stage.alert(1)])
    until = stage.NOW + timedelta(minutes=5)
    stage.decide(hub, stage.decision("ND-1", outcome=Outcome.HOLD, hold_until=until))
    assert "held until 2026-11-22 20:05:00 UTC (in 5 min)" in _told(stage, hub, "ND-1")["What was decided, and why"]


def test_an_empty_case_is_told_too(stage: Any) -> None:
    case = Case("north", "ND-1", "", CaseStatus.NEW, 0, stage.NOW, stage.NOW)
    assert all(paragraph.sentences for paragraph in story(case, (), (), stage.NOW))
