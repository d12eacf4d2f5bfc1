from typing import Any

from nightdesk.hub.console.timeline import MOST, timeline
from nightdesk.hub.store.queries import case_page


def test_alerts_decisions_and_steps_of_actions_are_one_line_of_time(stage: Any, hub: Any) -> None:
    stage.furnish(hub)
    with hub.store.read() as conn:
        page = case_page(conn, "north", "ND-2026-000001")
    assert page is not None
    happenings, left_out = timeline(page.case.alerts, page.decisions, page.actions, page.journal)
    assert left_out == 0
    assert [item.at for item in happenings] == sorted(item.at for item in happenings)
    assert sum(item.times for item in happenings if item.kind == "alert") == len(page.case.alerts)
    assert sum(item.kind == "decision" for item in happenings) == len(page.decisions)
    assert sum(item.kind == "action" for item in happenings) == sum(len(entries) for entries in page.journal.values())
    assert "by engine: isolated" in [item.detail for item in happenings]


def test_equal_alerts_in_a_row_are_one_line_with_its_end(stage: Any) -> None:
    alerts = [stage.alert(number) for number in (1, 2, 3)] + [stage.alert(4, title="Other"), stage.alert(5)]
    happenings, _ = timeline(alerts, (), (), {})
    assert [(item.times, item.text) for item in happenings] == [
        (3, alerts[0].title),
        (1, "Other"),
        (1, alerts[0].title),
    ]
    assert happenings[0].until == alerts[2].first_seen


def test_a_very_long_line_keeps_its_newest_part_and_says_how_much_is_missing(stage: Any) -> None:
    alerts = [stage.alert(number, title=f"Alert {number}") for number in range(MOST + 7)]
    happenings, left_out = timeline(alerts, (), (), {})
    assert (len(happenings), left_out) == (MOST, 7)
    assert happenings[-1].text == f"Alert {MOST + 6}"
