import json
from datetime import timedelta
from typing import Any

import pytest

from nightdesk.sdk.context import Context, Settings
from nightdesk.sdk.errors import ConfigError, CursorExpiredError
from nightdesk.sdk.moments import SECOND, instant
from nightdesk.sdk.records import RawRecord
from nightdesk.sdk.sweep import Position, Times, start_of
from nightdesk.sdk.testing.fake_time import FakeTime

_SWEEPS = ("created", "updated")
_OVERLAP = timedelta(seconds=60)
_START = 1_000 * SECOND


def position(cursor: Any = None) -> Position:
    return Position.load(cursor, start=_START, sweeps=_SWEEPS, overlap=_OVERLAP)


def stored(at: Position) -> Position:
    return position(json.loads(json.dumps(at.dump())))


def read(item: Any, raw: bytes) -> tuple[RawRecord, Times]:
    key = f"{item['id']}:{item.get('updated')}"
    return RawRecord(raw, key, item["id"]), {name: instant(item.get(name), "s") for name in _SWEEPS}


def page(at: Position, sweep: str, *items: Any) -> list[str]:
    records, failures = at.page(sweep, [(item, json.dumps(item).encode()) for item in items], read)
    assert not failures
    return [record.key for record in records]


def test_a_first_position_asks_from_the_start() -> None:
    assert [position().since(sweep) for sweep in _SWEEPS] == [_START, _START]


def test_each_sweep_asks_again_for_its_own_overlap_and_never_before_the_start() -> None:
    at = position()
    page(at, "created", {"id": "a", "created": 1_200, "updated": 1_030})
    page(at, "updated", {"id": "a", "created": 1_200, "updated": 1_030})
    again = stored(at)
    assert again.since("created") == (1_200 - 60) * SECOND
    assert again.since("updated") == _START


def test_one_version_is_given_once_whichever_sweep_meets_it_and_a_new_one_again() -> None:
    at = position()
    assert page(at, "created", {"id": "a", "created": 1_200, "updated": 1_200}) == ["a:1200"]
    again = stored(at)
    assert page(again, "updated", {"id": "a", "created": 1_200, "updated": 1_200}) == []
    assert page(again, "updated", {"id": "a", "created": 1_200, "updated": 1_300}) == ["a:1300"]


def test_a_late_arrival_inside_the_overlap_is_given() -> None:
    at = position()
    page(at, "created", {"id": "a", "created": 1_200})
    assert page(stored(at), "created", {"id": "b", "created": 1_150}, {"id": "a", "created": 1_200}) == ["b:None"]


def test_what_no_sweep_can_meet_again_is_forgotten_and_nothing_else() -> None:
    at = position()
    page(at, "created", *({"id": f"old-{n}", "created": 1_100 + n} for n in range(5)))
    page(at, "created", {"id": "new", "created": 2_000}, {"id": "timeless"})
    at.forget()
    kept = at.dump()["seen"]
    assert len(kept) == 2
    assert page(stored(at), "created", {"id": "new", "created": 2_000}, {"id": "timeless"}) == []


def test_a_flood_is_remembered_in_bounds_and_repeats_rather_than_loses() -> None:
    at = position()
    given = page(at, "created", *({"id": f"n-{n}", "created": 1_200} for n in range(25_000)))
    at.forget()
    assert len(given) == 25_000
    assert len(at.dump()["seen"]) == 20_000


def test_an_element_that_is_no_alert_is_kept_as_a_failure_with_its_bytes() -> None:
    records, failures = position().page("created", [(7, b"7"), ({"id": "a"}, b'{"id": "a"}')], read)
    assert [record.native_id for record in records] == ["a"]
    assert [(failure.payload, failure.pointer) for failure in failures] == [(b"7", "/0")]


@pytest.mark.parametrize(
    "cursor",
    [
        {},
        {"start": 1, "newest": {"created": 1}, "seen": []},
        {"start": 1, "newest": {"created": 1, "updated": "x"}, "seen": []},
        {"start": 1, "newest": {"created": 1, "updated": -1}, "seen": []},
        {"start": None, "newest": {"created": 1, "updated": 1}, "seen": []},
        {"start": 1, "newest": {"created": 1, "updated": 1}, "seen": "abc"},
    ],
)
def test_a_cursor_of_somebody_else_is_refused(cursor: dict[str, Any]) -> None:
    with pytest.raises(CursorExpiredError):
        position(cursor)


def test_the_start_is_the_setting_or_a_while_ago() -> None:
    time = FakeTime()
    assert (
        start_of(Context("acme", "edr", Settings({}), clock=time.clock), hours=1)
        == (int(time.clock().timestamp()) - 3600) * SECOND
    )
    given = Context("acme", "edr", Settings({"start": "2026-11-01T00:00:00Z"}), clock=time.clock)
    assert start_of(given) == instant("2026-11-01T00:00:00Z")
    with pytest.raises(ConfigError, match="start"):
        start_of(Context("acme", "edr", Settings({"start": "monday"}), clock=time.clock))
