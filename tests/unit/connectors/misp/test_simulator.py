import asyncio
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from nightdesk.connectors.misp.simulator import Simulator
from nightdesk.sdk.testing.fake_time import FakeTime
from nightdesk.sdk.testing.subject import an_alert

NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)
ADDRESS = {"type": "ip-dst", "category": "Network activity", "value": "203.0.113.7", "to_ids": "1"}


class Desk:
    """A simulator and requests with the user's key."""

    def __init__(self) -> None:
        self.time = FakeTime(NOON)
        self.simulator = Simulator(clock=self.time.clock)
        self.event = self.simulator.event.uuid

    def ask(self, path: str, body: Any = None, *, key: str = "", accept: str = "application/json") -> httpx.Response:
        headers = {"Authorization": key or self.simulator.secret, "Accept": accept}

        async def once() -> httpx.Response:
            transport = httpx.ASGITransport(self.simulator)
            async with httpx.AsyncClient(transport=transport, base_url="http://misp.example.com") as client:
                method = "GET" if body is None else "POST"
                return await client.request(method, path, headers=headers, json=body)

        return asyncio.run(once())

    def found(self, **filters: Any) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = self.ask("/attributes/restSearch", filters).json()["response"]["Attribute"]
        return rows

    def add(self, **changes: Any) -> dict[str, Any]:
        made: dict[str, Any] = self.ask(f"/attributes/add/{self.event}", {**ADDRESS, **changes}).json()["Attribute"]
        return made


@pytest.fixture
def desk() -> Desk:
    return Desk()


def test_a_wrong_key_is_a_403_that_says_so(desk: Desk) -> None:
    answer = desk.ask("/servers/getVersion", key="Bearer nothing")
    assert answer.status_code == 403
    assert answer.json()["message"].startswith("Authentication failed.")


def test_without_asking_for_json_one_gets_a_page(desk: Desk) -> None:
    assert desk.ask("/servers/getVersion", accept="*/*").headers["content-type"].startswith("text/html")


def test_numbers_are_text_and_flags_are_not(desk: Desk) -> None:
    made = desk.add()
    assert (made["id"], made["timestamp"], made["to_ids"]) == ("1", str(int(NOON.timestamp())), True)


def test_the_same_value_is_not_added_twice_but_after_a_deletion(desk: Desk) -> None:
    made = desk.add()
    again = desk.ask(f"/attributes/add/{desk.event}", ADDRESS)
    assert (again.status_code, again.json()["errors"]["value"]) == (
        403,
        ["A similar attribute already exists for this event."],
    )
    assert desk.ask(f"/attributes/delete/{made['id']}", {}).json() == {"message": "Attribute deleted."}
    assert desk.add()["uuid"] != made["uuid"]


@pytest.mark.parametrize("wrong", [{"type": "nothing"}, {"value": ""}, {"category": "Nothing"}])
def test_what_is_not_valid_is_a_403_with_the_fields(desk: Desk, wrong: dict[str, Any]) -> None:
    answer = desk.ask(f"/attributes/add/{desk.event}", {**ADDRESS, **wrong})
    assert (answer.status_code, answer.json()["message"]) == (403, "Could not add Attribute")
    assert answer.json()["errors"]


def test_who_does_not_own_an_event_makes_a_proposal_and_may_change_nothing(desk: Desk) -> None:
    theirs = desk.simulator.share(an_alert(desk.time, "one"))
    answer = desk.ask(f"/attributes/add/{theirs.event.number}", ADDRESS)
    assert (answer.status_code, "ShadowAttribute" in answer.json()) == (200, True)
    assert desk.ask(f"/attributes/delete/{theirs.number}", {}).status_code == 403


def test_deleted_ones_are_hidden_unless_they_are_asked_for(desk: Desk) -> None:
    made = desk.add()
    desk.ask(f"/attributes/delete/{made['uuid']}", {})
    assert desk.found() == []
    assert [row["deleted"] for row in desk.found(deleted=[0, 1])] == [True]
    assert desk.ask(f"/attributes/delete/{made['uuid']}", {}).status_code == 404
    assert desk.ask(f"/attributes/restore/{made['uuid']}", {}).json()["Attribute"]["deleted"] is False


def test_times_are_inclusive_deltas_or_ranges(desk: Desk) -> None:
    now = int(NOON.timestamp())
    desk.simulator.share(an_alert(desk.time, "one", seconds_ago=100))
    for bound, count in ((now - 100, 1), (now - 99, 0), ("2m", 1), ("1m", 0), ([now, now - 200], 1)):
        assert len(desk.found(attribute_timestamp=bound)) == count, bound
    assert desk.ask("/attributes/restSearch", {"attribute_timestamp": "yesterday"}).status_code == 400


def test_timestamp_alone_asks_for_the_events_too(desk: Desk) -> None:
    shared = desk.simulator.share(an_alert(desk.time, "one"))
    shared.event.timestamp = 5
    assert desk.found(timestamp="1d") == []
    assert len(desk.found(attribute_timestamp="1d")) == 1


def test_a_filter_that_is_not_known_is_no_filter(desk: Desk) -> None:
    assert desk.ask("/attributes/restSearch", {"attribute_timestmp": "1d"}).status_code == 500


def test_pages_are_cut_by_number(desk: Desk) -> None:
    for number in range(3):
        desk.simulator.share(an_alert(desk.time, f"{number}"))
    assert [len(desk.found(page=page, limit=2)) for page in (1, 2, 3)] == [2, 1, 0]


def test_a_change_unpublishes_the_event(desk: Desk) -> None:
    desk.simulator.publish(desk.simulator.event)
    desk.add()
    assert desk.found(published=True) == []


def test_an_edit_that_is_not_newer_is_refused(desk: Desk) -> None:
    made = desk.add()
    old = desk.ask(f"/attributes/edit/{made['id']}", {"to_ids": 0, "timestamp": made["timestamp"]})
    assert old.status_code == 403
    desk.time.advance(5)
    changed = desk.ask(f"/attributes/edit/{made['id']}", {"to_ids": 0}).json()["Attribute"]
    assert (changed["to_ids"], int(changed["timestamp"])) == (False, int(made["timestamp"]) + 5)


def test_nothing_on_a_list_is_an_empty_list(desk: Desk) -> None:
    desk.simulator.store.warninglists["Good"] = {"192.0.2.1"}
    assert desk.ask("/warninglists/checkValue", ["203.0.113.7"]).json() == []
    assert [row["name"] for row in desk.ask("/warninglists/checkValue", ["192.0.2.1"]).json()["192.0.2.1"]] == ["Good"]
