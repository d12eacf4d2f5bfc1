from datetime import UTC, datetime, timedelta

from nightdesk.hub.rates import HourlyRate

START = datetime(2026, 11, 20, 8, 0, tzinfo=UTC)


def test_the_last_hour_forgets_what_is_older() -> None:
    rate = HourlyRate()
    rate.add(START, 10)
    rate.add(START + timedelta(minutes=50), 5)
    assert rate.last_hour(START + timedelta(minutes=55)) == 15
    assert rate.last_hour(START + timedelta(minutes=60, seconds=-1)) == 15
    assert rate.last_hour(START + timedelta(minutes=60)) == 5


def test_there_is_no_median_before_three_whole_hours() -> None:
    rate = HourlyRate()
    for hour in range(3):
        rate.add(START + timedelta(hours=hour), 100)
    assert rate.median() == 0
    rate.add(START + timedelta(hours=3), 1)
    assert rate.median() == 100


def test_a_silent_hour_counts_as_one_without_alerts() -> None:
    rate = HourlyRate()
    rate.add(START, 100)
    rate.add(START + timedelta(hours=4), 1)
    assert rate.median() == 0
