from datetime import UTC, datetime, time
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nightdesk.autonomy.windows import Maintenance, Window
from nightdesk.sdk.targets import Target
from nightdesk.sdk.testing.cases import a_case, an_alert, an_entity

BERLIN = ZoneInfo("Europe/Berlin")
NIGHTS = Window("nights", days=frozenset({1}), begin=time(22), end=time(2), zone=BERLIN)  # Tuesdays into Wednesdays


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("moment", "is_open"),
    [
        ("2026-11-17T20:59", False),
        ("2026-11-17T21:00", True),  # 22:00 in Berlin, in winter
        ("2026-11-18T00:59", True),
        ("2026-11-18T01:00", False),
        ("2026-11-18T21:30", False),
        ("2026-07-14T20:00", True),  # 22:00 in Berlin, in summer
        ("2026-07-14T19:59", False),
    ],
)
def test_a_week_is_read_in_its_own_zone_and_over_midnight(moment: str, is_open: bool) -> None:
    assert NIGHTS.open_at(at(moment)) is is_open


def test_both_hours_of_one_name_count_when_the_clock_is_put_back() -> None:
    window = Window("w", days=frozenset({6}), begin=time(2), end=time(3), zone=BERLIN)
    assert [window.open_at(at(f"2026-10-25T0{hour}:30")) for hour in (0, 1, 2)] == [True, True, False]


def test_a_day_without_hours_is_a_whole_day() -> None:
    whole = Window("w", days=frozenset({0}), zone=ZoneInfo("UTC"))
    assert [whole.open_at(at(text)) for text in ("2026-11-16T00:00", "2026-11-16T23:59", "2026-11-18T00:00")] == [
        True,
        True,
        False,
    ]


def test_within_a_day_it_opens_at_its_first_second_and_is_shut_at_its_last() -> None:
    office = Window("w", days=frozenset({0}), begin=time(9), end=time(17), zone=ZoneInfo("UTC"))
    moments = ("08:59:59", "09:00:00", "16:59:59", "17:00:00")
    assert [office.open_at(at(f"2026-11-16T{text}")) for text in moments] == [False, True, True, False]


def test_one_that_is_open_once_begins_and_ends() -> None:
    once = Window("w", starts=at("2026-11-17T20:00"), ends=at("2026-11-17T22:00"))
    assert [once.open_at(at(f"2026-11-17T{hour}:00")) for hour in (19, 20, 21, 22)] == [False, True, True, False]


@given(st.datetimes(at("2026-01-01").replace(tzinfo=None), at("2027-01-01").replace(tzinfo=None)))
def test_weekdays_and_their_opposite_cover_every_moment_once_with_whole_days(moment: datetime) -> None:
    some = Window("a", days=frozenset({0, 2, 4}), begin=time(0), end=time(12), zone=BERLIN)
    rest = Window("b", days=frozenset({0, 2, 4}), begin=time(12), end=time(0), zone=BERLIN)
    other = Window("c", days=frozenset({1, 3, 5, 6}), begin=time(0), end=time(23, 59, 59, 999999), zone=BERLIN)
    now = moment.replace(tzinfo=UTC)
    assert sum(one.open_at(now) for one in (some, rest, other)) == 1


def test_work_covers_what_its_hosts_and_rules_are_in() -> None:
    now = at("2026-11-17T21:00")
    work = Maintenance(NIGHTS, "jane", hosts=("WS-00*",), rules=("Backup *",))
    here = a_case([an_alert(entities=(an_entity("host:ws-0042.corp.example.com"),))])
    ruled = a_case([an_alert(rule_name="backup failed", entities=())])
    other = a_case([an_alert(rule_name="x", entities=(an_entity("account:ws-0042"),))])
    assert [work.covers(case, now) for case in (here, ruled, other)] == [True, True, False]
    assert not work.covers(here, at("2026-11-19T21:00"))
    assert work.touches(Target.parse("host:ws-0001"), now)
    assert not work.touches(Target.parse("host:srv-1"), now)
    assert not Maintenance(NIGHTS, "jane", rules=("*",)).touches(Target.parse("host:ws-0001"), now)
