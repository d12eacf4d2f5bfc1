from datetime import time
from typing import Any

import pytest
from pydantic import ValidationError

from nightdesk.autonomy.windows import Window
from nightdesk.hub.change_windows import MaintenanceConfig, WindowConfig, read_maintenance, read_windows

ONCE = {"starts": "2026-11-21T20:00:00+01:00", "ends": "2026-11-21T22:00:00+01:00"}


def read(given: dict[str, Any]) -> tuple[tuple[Window, ...], dict[str, str]]:
    wrong: dict[str, str] = {}
    found = read_windows("w", [WindowConfig.model_validate({"name": "n", **given})], wrong.__setitem__)
    return found, wrong


def test_a_weekly_window_is_read() -> None:
    (window,), wrong = read({"days": ["tue", "sun"], "from": "22:00", "to": "02:00", "timezone": "Europe/Berlin"})
    assert wrong == {}
    assert (window.days, window.begin, window.end) == (frozenset({1, 6}), time(22), time(2))
    assert str(window.zone) == "Europe/Berlin"


def test_a_window_that_is_open_once_is_read() -> None:
    (window,), wrong = read(ONCE)
    assert wrong == {}
    assert window.starts is not None
    assert window.starts.utcoffset() is not None


@pytest.mark.parametrize(
    ("given", "key", "why"),
    [
        ({}, "w.0", "give days"),
        ({"starts": ONCE["starts"]}, "w.0", "never be over"),
        ({"from": "22:00", "to": "02:00"}, "w.0.days", "name them"),
        ({"starts": ONCE["ends"], "ends": ONCE["starts"]}, "w.0.ends", "not after"),
        ({"days": ["tue"], "timezone": "Europe/Nowhere"}, "w.0.timezone", "no zone"),
        ({"days": ["tue"], "timezone": "../etc/passwd"}, "w.0.timezone", "no zone"),
        ({"days": ["tue"], "from": "22:00+01:00"}, "w.0.from", "local hour"),
    ],
)
def test_what_makes_no_sense_is_told(given: dict[str, Any], key: str, why: str) -> None:
    found, wrong = read(given)
    assert found == ()
    assert list(wrong) == [key]
    assert why in wrong[key]


@pytest.mark.parametrize("given", [{"days": ["someday"]}, {"starts": "2026-11-21T20:00:00"}, {"until": "now"}])
def test_what_is_no_window_is_an_error(given: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        read(given)


def test_announced_work_has_an_owner_and_names_something() -> None:
    wrong: dict[str, str] = {}
    good = MaintenanceConfig.model_validate({"name": "m", "owner": "jane", "hosts": ["ws-*"], **ONCE})
    empty = MaintenanceConfig.model_validate({"name": "m", "owner": "jane", **ONCE})
    (first, _) = read_maintenance("m", [good, empty], wrong.__setitem__)
    assert (first.owner, first.hosts, first.window.name) == ("jane", ("ws-*",), "m")
    assert wrong == {"m.1": "names no hosts and no rules"}
    with pytest.raises(ValidationError):
        MaintenanceConfig.model_validate({"name": "m", "hosts": ["ws-*"], **ONCE})
