"""What is held, in which order people read it, and how long it has left in words."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from nightdesk.autonomy.actions import Action, ActionState
from nightdesk.hub.held import held, time_left
from nightdesk.sdk.targets import Target

NOW = datetime(2026, 10, 25, 0, 30, tzinfo=UTC)
S = ActionState


def an_action(name: str, state: ActionState = S.LEASED, ends: float | None = None, **changes: Any) -> Action:
    until = None if ends is None else NOW + timedelta(seconds=ends)
    given: dict[str, Any] = {"lease_until": until, "changed": True, "instance": "edr", "case_id": "case-1"}
    host = Target.parse("host:ws-0042")
    verb = changes.pop("verb", "host.isolate")
    return Action("acme", name, verb, host, 1, "key", state, NOW, NOW, **{**given, **changes})


def test_trouble_comes_first_then_the_next_end_and_what_never_ends_last() -> None:
    rows = held(
        [
            an_action("forever", S.EFFECTIVE),
            an_action("also forever", S.EFFECTIVE),
            an_action("later", ends=7200),
            an_action("soon", ends=60),
            an_action("overdue", S.EXPIRED, ends=-60),
            an_action("refused", S.UNDO_FAILED, error="not undone: no right"),
        ],
        NOW,
    )
    assert [one.action_id for one in rows] == ["refused", "overdue", "soon", "later", "forever", "also forever"]
    assert [one.seconds_left for one in rows] == [None, -60, 60, 7200, None, None]
    assert rows[0].said == "not undone: no right"


def test_what_somebody_else_did_or_what_has_no_way_back_is_not_held() -> None:
    scan = an_action("scan", S.EFFECTIVE, verb="host.scan")
    assert held([an_action("theirs", S.EFFECTIVE, changed=False), scan], NOW) == []
    (unsure,) = held([an_action("unsure", S.UNVERIFIED, changed=None)], NOW)
    assert unsure.action_id == "unsure"


def test_every_end_is_told_in_utc_whatever_zone_it_was_given_in() -> None:
    """On the night when the clocks of Berlin are set back, 02:30 there is twice."""
    summer, winter = timezone(timedelta(hours=2)), timezone(timedelta(hours=1))
    ends = [datetime(2026, 10, 25, 2, 30, tzinfo=zone) for zone in (summer, winter)]
    rows = held([an_action(str(at.utcoffset()), lease_until=at) for at in reversed(ends)], NOW)
    assert [one.seconds_left for one in rows] == [0, 3600]
    assert [one.ends_at and one.ends_at.isoformat() for one in rows] == [
        "2026-10-25T00:30:00+00:00",
        "2026-10-25T01:30:00+00:00",
    ]


@pytest.mark.parametrize("why", ["clock_lost", "clock_held"])
def test_a_vendor_that_ends_it_sooner_is_told_beside_the_lease(why: str) -> None:
    end = (NOW + timedelta(minutes=5)).astimezone(timezone(timedelta(hours=9))).isoformat()
    result = {why: "no right", "ends_at": end, "renewed_by": "bob"}
    (row,) = held([an_action("block", ends=7200, result=result)], NOW)
    assert row.said == "the vendor ends it sooner: no right"
    assert row.vendor_ends_at == NOW + timedelta(minutes=5)
    assert row.renewed_by == "bob"
    assert row.vendor_ends_at.tzinfo is UTC


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "never"),
        (0, "0 min ago"),
        (59, "in 0 min"),
        (60, "in 1 min"),
        (3599, "in 59 min"),
        (3600, "in 1 h 0 min"),
        (86399, "in 23 h 59 min"),
        (86400, "in 1 d 0 h"),
        (100000, "in 1 d 3 h"),
        (-125, "2 min ago"),
        (-90000, "1 d 1 h ago"),
    ],
)
def test_how_long_is_left_in_words(seconds: int | None, text: str) -> None:
    assert time_left(seconds) == text
