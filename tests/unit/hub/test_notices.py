from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from tests.hubs import REGISTRY, bind, opened, pullers

from nightdesk.hub.hub import Hub
from nightdesk.hub.notices import silence, sunset_warnings
from nightdesk.sdk.manifest import Sunset
from nightdesk.sdk.testing.fake_time import FakeTime

_MANIFEST = next(iter(REGISTRY.manifests.values()))
_NOW = datetime(2026, 11, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("days", "says"),
    [
        (91, ""),
        (90, "within 90 days"),
        (30, "within 30 days"),
        (7, "within 7 days"),
        (0, "within 7 days"),
        (-1, "ended"),
    ],
)
def test_the_end_of_an_api_is_announced_at_ninety_thirty_and_seven_days(days: int, says: str) -> None:
    today = date(2026, 11, 1)
    sunset = Sunset(api="alerts v1", on=today + timedelta(days=days), docs="https://docs.example.com", instead="v2")
    manifest = _MANIFEST.model_copy(update={"sunsets": (sunset,)})
    found = "".join(sunset_warnings(manifest, today))
    assert (says in found) if says else found == ""
    assert not found or "v2 replaces it" in found


def test_a_feed_is_silent_once_it_is_quiet_for_longer_than_allowed() -> None:
    assert silence(_NOW, _NOW + timedelta(hours=24), timedelta(days=1)) == ""
    assert "more than 24 h" in silence(_NOW, _NOW + timedelta(hours=25), timedelta(days=1))
    assert silence(_NOW, _NOW + timedelta(days=900), timedelta(0)) == ""


def test_a_silent_feed_is_told_once_shown_in_health_and_over_when_alerts_come(tmp_path: Path) -> None:
    time = FakeTime()
    config = bind(tmp_path, "acme", {"main": (REGISTRY.simulator(pullers()[0])(), "http://127.0.0.1:9")})
    with opened(config) as made:
        hub = Hub(made.settings, REGISTRY, made.store, clock=time.clock)
        hub.watch()
        assert hub.health()["notices"] == []
        time.advance(90_000)
        hub.watch()
        hub.watch()
        silent = [one for one in hub.health()["notices"] if one["kind"] == "silent"]
        assert len(silent) == len(hub.feeds)
        hub.feeds[0].state.last_alert_at = time.clock()
        hub.watch()
        about = {one["about"] for one in hub.health()["notices"]}
        assert f"main/{hub.feeds[0].state.stream}" not in about


def test_a_drift_and_a_sunset_are_told_once_for_all(tmp_path: Path) -> None:
    config = bind(tmp_path, "acme", {"main": (REGISTRY.simulator(pullers()[0])(), "http://127.0.0.1:9")})
    with opened(config) as hub:
        for _ in range(3):
            hub.notices.tell("acme", "drift", "main", "a field never seen before: x")
        assert [one.text for one in hub.notices.standing("acme")] == ["a field never seen before: x"]
        assert hub.notices.standing("umbrella") == []
