from datetime import UTC, datetime, timedelta

from nightdesk.hub.story import DOMAIN_CONTROLLER, PATIENT_ZERO, night

START = datetime(2026, 11, 1, 20, tzinfo=UTC)


def test_the_same_start_tells_the_same_story() -> None:
    assert night(START, alerts=60) == night(START, alerts=60)
    assert night(START, alerts=60) != night(START, alerts=60, seed=8)


def test_every_alert_is_one_of_its_own_within_the_night() -> None:
    story = night(START, alerts=200)
    assert len({alert.uid for alert in story.alerts}) == len(story.alerts) == 200
    assert all(START <= alert.at <= START + timedelta(hours=4) for alert in story.alerts)
    assert list(story.alerts) == sorted(story.alerts, key=lambda alert: (alert.at, alert.uid))


def test_two_nights_share_no_alert() -> None:
    first, second = night(START, alerts=50), night(START + timedelta(days=1), alerts=50)
    assert not {alert.uid for alert in first.alerts} & {alert.uid for alert in second.alerts}


def test_the_attack_is_on_the_victim_and_on_a_server_that_must_not_be_touched() -> None:
    hosts = {alert.device.hostname for alert in night(START).endpoint if alert.device}
    assert hosts == {PATIENT_ZERO, DOMAIN_CONTROLLER}
    assert {DOMAIN_CONTROLLER, PATIENT_ZERO} <= {device.hostname for device in night(START).devices}
