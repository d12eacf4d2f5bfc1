import asyncio
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from nightdesk.connectors.ibm_qradar.simulated_filter import FilterError, condition
from nightdesk.connectors.ibm_qradar.simulator import Simulator
from nightdesk.sdk.testing import StoryAlert
from nightdesk.sdk.testing.fake_time import FakeTime

ROW = {"id": 7, "status": "OPEN", "name": 'a "b"', "rules": [{"id": 3}], "tags": ["x"], "none": None, "flag": True}


class Client:
    """An authorized service at a console with three offenses, the first number 1201."""

    def __init__(self, *versions: str) -> None:
        self.time = FakeTime(datetime(2026, 11, 1, 12, tzinfo=UTC))
        self.simulator = Simulator(clock=self.time.clock, versions=versions or ("18.0", "20.0"))
        for uid in ("a", "b", "c"):
            self.simulator.add(StoryAlert(uid, self.time.now, f"Rule {uid}", uid, "medium", user="jdoe"))

    def call(self, method: str, path: str, headers: Any = None, **params: Any) -> httpx.Response:
        async def once() -> httpx.Response:
            transport = httpx.ASGITransport(self.simulator)
            async with httpx.AsyncClient(transport=transport, base_url="https://qradar.example.com/api") as client:
                given = {"SEC": self.simulator.secret, **(headers or {})}
                return await client.request(method, path, headers=given, params=params)

        return asyncio.run(once())

    def refused(self, method: str, path: str, headers: Any = None, **params: Any) -> tuple[int, int]:
        response = self.call(method, path, headers, **params)
        assert response.json()["http_response"]["code"] == response.status_code
        return response.status_code, response.json()["code"]


@pytest.fixture
def client() -> Client:
    return Client()


def test_a_range_is_inclusive_and_beyond_the_end_is_nothing(client: Client) -> None:
    page = client.call("GET", "/siem/offenses", {"Range": "items=1-2"}, sort="+id", fields="id,rules(type)")
    assert page.json() == [{"id": number, "rules": [{"type": "CRE_RULE"}]} for number in (1202, 1203)]
    assert page.headers["content-range"] == "items 1-2/3"
    assert client.call("GET", "/siem/offenses", {"Range": "items=9-12"}).json() == []
    assert len(client.call("GET", "/siem/offenses").json()) == 3


@pytest.mark.parametrize(
    ("headers", "params", "refusal"),
    [
        ({"SEC": "wrong"}, {}, (401, 18)),
        ({"Version": "17.0"}, {}, (422, 36)),
        ({"Range": "items=2-1"}, {}, (422, 1005)),
        ({}, {"filter": "status > OPEN"}, (422, 1010)),
        ({}, {"filter": "description = x"}, (422, 1010)),
        ({}, {"sort": "id"}, (422, 1030)),
        ({}, {"sort": "+rules"}, (422, 1030)),
        ({}, {"range": "0-5"}, (422, 1005)),
    ],
)
def test_a_list_refuses_what_its_documentation_does_not_know(
    client: Client, headers: Any, params: Any, refusal: tuple[int, int]
) -> None:
    assert client.refused("GET", "/siem/offenses", headers, **params) == refusal


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ("id >= 7 and not id > 7", True),
        ("id = 8 or (status = OPEN and id != 8)", True),
        ("id in (1, 7)", True),
        ("id not in (1, 7)", False),
        ("id between 5 and 6", False),
        (r'name = "a \"b\""', True),
        ('name like "a%"', True),
        ("rules contains (id=3)", True),
        ('tags contains "y"', False),
        ("none > 1 or not flag = true", False),
    ],
)
def test_the_filter_language(text: str, holds: bool) -> None:
    assert condition(text, ROW)(ROW) is holds


@pytest.mark.parametrize("text", ["id", "id 7", "id = 7 7", "(id = 7", "id = )", "id in 7", "other = 1", "id > x", "!"])
def test_a_filter_that_cannot_be_read_is_an_error(text: str) -> None:
    with pytest.raises(FilterError):
        condition(text, ROW)(ROW)


def test_persisted_times_came_with_version_15() -> None:
    client, old = Client("14.0", "15.0"), {"Version": "14.0"}
    assert "last_persisted_time" in client.call("GET", "/siem/offenses/1201").json()
    assert "last_persisted_time" not in client.call("GET", "/siem/offenses/1201", old).json()
    assert client.refused("GET", "/siem/offenses", old, filter="last_persisted_time > 1") == (422, 1010)


def test_closing_needs_a_usable_reason_and_a_closed_offense_takes_open_alone(client: Client) -> None:
    path = "/siem/offenses/1201"
    for given in ({"status": "CLOSED"}, {"status": "CLOSED", "closing_reason_id": 4}, {"status": "closed"}):
        assert client.refused("POST", path, **given) == (422, 1005)
    closed = client.call("POST", path, status="CLOSED", closing_reason_id=1, fields="id,status,closing_reason_id")
    assert closed.json() == {"id": 1201, "status": "CLOSED", "closing_reason_id": 1}
    assert client.refused("POST", path, follow_up="true") == (409, 1008)
    opened = client.call("POST", path, status="OPEN", assigned_to="jane").json()
    assert (opened["close_time"], opened["closing_reason_id"], opened["assigned_to"]) == (None, None, "jane")


def test_a_note_moves_the_persisted_time_alone_and_must_fit_a_request_line(client: Client) -> None:
    before = dict(client.simulator.offenses[1201])
    client.time.advance(60)
    assert client.call("POST", "/siem/offenses/1201/notes", note_text="seen").status_code == 201
    noted = client.simulator.offenses[1201]
    assert noted["last_persisted_time"] > before["last_persisted_time"]
    assert noted["last_updated_time"] == before["last_updated_time"]
    assert client.call("POST", "/siem/offenses/1201/notes", note_text="…" * 4000).status_code == 400


def test_a_set_shows_twenty_elements_without_a_range_and_decodes_a_value_once_more(client: Client) -> None:
    path = "/reference_data/sets/nightdesk-url"
    for number in range(25):
        client.call("POST", path, value=f"https://bad.example.com/{number}")
    assert len(client.call("GET", path).json()["data"]) == 20
    assert client.call("DELETE", f"{path}/https%3A%2F%2Fbad.example.com%2F3").status_code == 404
    assert client.call("DELETE", f"{path}/https%253A%252F%252Fbad.example.com%252F3").status_code == 200
    assert client.refused("DELETE", f"{path}/https%253A%252F%252Fbad.example.com%252F3") == (404, 1003)
    assert client.refused("POST", "/reference_data/sets/nightdesk-ip", value="bad.example.com") == (422, 1005)


def test_a_search_takes_its_steps_and_looks_back_a_minute_by_itself(client: Client) -> None:
    client.time.advance(120)
    assert client.refused("POST", "/ariel/searches", query_expression="DELETE FROM events") == (422, 2000)
    for query, rows in (("SELECT username FROM events", 0), ("SELECT username FROM events LAST 1 HOURS", 3)):
        made = client.call("POST", "/ariel/searches", query_expression=query)
        path = f"/ariel/searches/{made.json()['search_id']}"
        assert client.refused("GET", f"{path}/results") == (404, 1003)
        steps = [client.call("GET", path).json()["status"] for _ in range(3)]
        assert steps == ["EXECUTE", "SORTING", "COMPLETED"]
        assert len(client.call("GET", f"{path}/results").json()["events"]) == rows
        assert client.call("DELETE", path).status_code == 202
        assert client.refused("GET", path) == (404, 1002)
