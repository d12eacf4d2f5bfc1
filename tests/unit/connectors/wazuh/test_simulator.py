from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from nightdesk.connectors.wazuh.simulator import Simulator
from nightdesk.sdk.testing import serve
from nightdesk.sdk.testing.fake_time import FakeTime

BAD = "203.0.113.7"
ALERTS = "/wazuh-alerts-*/_search"


@dataclass
class Manager:
    """One simulator asked as any client would."""

    simulator: Simulator
    http: httpx.Client
    time: FakeTime
    token: str = ""

    def login(self, password: str = "") -> httpx.Response:
        pair = (self.simulator.username, password or self.simulator.api_password)
        return self.http.post("/security/user/authenticate", auth=pair)

    def ask(self, method: str, path: str, **options: Any) -> httpx.Response:
        self.token = self.token or self.login().json()["data"]["token"]
        headers = {"Authorization": f"Bearer {self.token}", **options.pop("headers", {})}
        return self.http.request(method, path, headers=headers, **options)

    def respond(self, query: str, command: str, **data: str) -> httpx.Response:
        body = {"command": command, "arguments": [], "alert": {"data": data}}
        return self.ask("PUT", f"/active-response{query}", json=body)

    def search(self, body: Any = None, path: str = ALERTS) -> httpx.Response:
        auth = (self.simulator.username, self.simulator.secret)
        return self.http.post(path, auth=auth, json=body)

    def listed(self) -> list[str]:
        """What each gateway's newest listing says."""
        query = {"bool": {"filter": [{"term": {"location": "nightdesk-firewall"}}]}}
        body = {"size": 2, "sort": [{"timestamp": {"order": "desc"}}], "query": query}
        return [hit["_source"]["full_log"] for hit in self.search(body).json()["hits"]["hits"]]


@pytest.fixture
def manager() -> Iterator[Manager]:
    time = FakeTime()
    simulator = Simulator(clock=time.clock)
    with serve(simulator) as served, httpx.Client(base_url=served.base_url) as client:
        yield Manager(simulator, client, time)


def test_a_token_lasts_a_quarter_of_an_hour(manager: Manager) -> None:
    assert manager.http.get("/agents").json()["detail"] == "No authorization token provided"
    assert manager.ask("GET", "/agents").status_code == 200
    manager.time.advance(901)
    assert manager.ask("GET", "/agents").json() == {"title": "Unauthorized", "detail": "Invalid token"}
    pair = (manager.simulator.username, manager.simulator.api_password)
    assert len(manager.http.post("/security/user/authenticate?raw=true", auth=pair).text) == 64


def test_fifty_wrong_passwords_lock_the_door_for_five_minutes(manager: Manager) -> None:
    for _ in range(50):
        assert manager.login("wrong").status_code == 401
    assert manager.login().json()["error"] == 6000
    manager.time.advance(301)
    assert manager.login().status_code == 200


def test_more_than_three_hundred_requests_a_minute_are_refused_without_a_hint(manager: Manager) -> None:
    for _ in range(300):
        manager.ask("GET", "/agents?limit=1")
    answer = manager.ask("GET", "/agents?limit=1")
    assert (answer.status_code, answer.json()["error"]) == (429, 6001)
    assert "retry-after" not in answer.headers
    manager.time.advance(60)
    assert manager.ask("GET", "/agents?limit=1").status_code == 200


def test_an_agent_that_is_not_there_is_an_error_inside_a_success(manager: Manager) -> None:
    answer = manager.ask("GET", "/agents?agents_list=007")
    assert answer.status_code == 200
    assert answer.json()["error"] == 1
    assert answer.json()["data"]["failed_items"][0]["error"]["code"] == 1701
    assert manager.ask("GET", "/agents?hostname=x").status_code == 400
    assert manager.ask("GET", "/agents?agents_list=1").status_code == 400
    assert manager.ask("GET", "/agents?limit=100001").status_code == 400


def test_a_response_without_a_list_goes_to_every_agent(manager: Manager) -> None:
    data = manager.respond("", "firewall-drop600", srcip=BAD).json()["data"]
    assert data["affected_items"] == ["901", "902", "903"]


@pytest.mark.parametrize(
    ("query", "command", "code"),
    [("?agents_list=000", "!firewall-drop", 1703), ("?agents_list=901", "firewall-drop", 1652),
     ("?agents_list=901", "firewall-drop60", 1652), ("?agents_list=902", "firewall-drop600", 1707),
     ("?agents_list=903", "firewall-drop600", 1750)],
)  # fmt: skip
def test_why_a_response_failed_is_a_code(manager: Manager, query: str, command: str, code: int) -> None:
    manager.simulator.faults.add("offline_host", options={"device_id": "902"})
    manager.simulator.agents.agents["903"].disabled = True
    answer = manager.respond(query, command, srcip=BAD).json()
    assert answer["error"] == 1
    assert answer["data"]["failed_items"][0]["error"]["code"] == code
    both = manager.respond(f"{query},901", "!firewall-drop", srcip=BAD).json()
    assert both["error"] == (2 if code != 1652 else 0)


@pytest.mark.parametrize(
    ("options", "status"),
    [
        ({"content": b"{"}, 406),
        ({"content": b"{", "headers": {"Content-Type": "application/json"}}, 400),
        ({"json": {"arguments": []}}, 400),
        ({"json": {"command": "!firewall-drop", "custom": True}}, 400),
        ({"json": {"command": "!firewall-drop", "alert": {"srcip": BAD}}}, 400),
        ({"json": {"command": "!firewall-drop", "arguments": [1]}}, 400),
    ],
)
def test_a_body_that_is_not_of_the_form_is_refused(manager: Manager, options: dict[str, Any], status: int) -> None:
    answer = manager.ask("PUT", "/active-response?agents_list=901", **options)
    assert answer.status_code == status
    assert manager.ask("PUT", "/active-response?agent=901", json={"command": "!x"}).status_code == 400


def test_a_script_is_reported_before_it_works_and_listed_when_it_has(manager: Manager) -> None:
    manager.simulator.faults.add("late_effect", options={"device_id": "901", "seconds": 90})
    manager.respond("?agents_list=901", "firewall-drop600", srcip=BAD)
    reports = manager.search({"query": {"term": {"rule.groups": "active_response"}}}).json()["hits"]["hits"]
    assert [hit["_source"]["rule"]["id"] for hit in reports] == ["651"]
    manager.time.advance(60)
    assert not any(BAD in text for text in manager.listed())
    manager.time.advance(60)
    assert [BAD in text for text in manager.listed()].count(True) == 1
    manager.time.advance(480)
    assert not any(BAD in text for text in manager.listed())
    rules = [hit["_source"]["rule"]["id"] for hit in manager.search({"size": 50}).json()["hits"]["hits"]]
    assert rules.count("652") == 1
