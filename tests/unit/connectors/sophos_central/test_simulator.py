import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from nightdesk.connectors.sophos_central.payloads import uuid_of
from nightdesk.connectors.sophos_central.simulator import Simulator
from nightdesk.sdk.testing import StoryAlert
from nightdesk.sdk.testing.fake_time import FakeTime
from nightdesk.sdk.testing.subject import DEVICE

NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)
HOST = uuid_of("endpoint", DEVICE.device_id)
FEED = "/siem/v1/alerts"
ALERTS = "/common/v1/alerts"
ENDPOINTS = "/endpoint/v1/endpoints"
ITEMS = "/endpoint/v1/settings/blocked-items"
ITEM = {"type": "sha256", "properties": {"sha256": "ab" * 32}, "comment": "c"}


class Client:
    """An API credential with one token."""

    def __init__(self) -> None:
        self.time = FakeTime(NOON)
        self.simulator = Simulator(clock=self.time.clock)
        self.simulator.add_devices([DEVICE])
        self.headers = {"X-Tenant-ID": self.simulator.tenant_id}

    def call(self, method: str, path: str, **options: Any) -> httpx.Response:
        async def once() -> httpx.Response:
            transport = httpx.ASGITransport(self.simulator)
            async with httpx.AsyncClient(transport=transport, base_url="https://central.example.com") as client:
                return await client.request(method, path, **options)

        return asyncio.run(once())

    def sign_in(self, **changes: str) -> httpx.Response:
        form = {"grant_type": "client_credentials", "scope": "token", "client_id": self.simulator.client_id}
        data = {**form, "client_secret": self.simulator.secret, **changes}
        return self.call("POST", "/api/v2/oauth2/token", data=data)

    def ask(self, method: str, path: str, json: Any = None, **params: Any) -> httpx.Response:
        if "Authorization" not in self.headers:
            self.headers["Authorization"] = f"Bearer {self.sign_in().json()['access_token']}"
        return self.call(method, path, headers=self.headers, params=params, json=json)

    def add(self, uid: str, ago: float = 0) -> str:
        return self.simulator.add(StoryAlert(uid, self.time.now - timedelta(seconds=ago), "Odd", "rule-1", "high"))


@pytest.fixture
def client() -> Client:
    return Client()


def test_the_sign_in_wants_its_scope_and_names_what_is_wrong(client: Client) -> None:
    wrong = [client.sign_in(scope=""), client.sign_in(client_id="x"), client.sign_in(client_secret="x")]
    assert [(answer.status_code, answer.json()["errorCode"]) for answer in wrong] == [
        (400, "oauth.invalid_request"),
        (401, "oauth.invalid_client_id"),
        (401, "oauth.invalid_client_secret"),
    ]


def test_a_token_lives_an_hour_and_a_tenant_must_be_named_by_its_header(client: Client) -> None:
    assert client.ask("GET", FEED).status_code == 200
    client.headers["X-Tenant-ID"] = "somebody-else"
    assert client.ask("GET", FEED).status_code == 403
    del client.headers["X-Tenant-ID"]
    answer = client.ask("GET", FEED)
    assert (answer.status_code, answer.json()["error"]) == (401, "Unauthorized")  # and not 400
    assert client.ask("GET", "/whoami/v1").status_code == 200
    client.time.advance(3600)
    assert client.ask("GET", "/whoami/v1").status_code == 401


@pytest.mark.parametrize(
    ("path", "params"),
    [
        (FEED, {"limit": 199}),
        (FEED, {"limit": 1001}),
        (FEED, {"from_date": "2026-11-01T11:00:00Z"}),
        (FEED, {"from_date": int(NOON.timestamp()) - 86_401}),
        (FEED, {"cursor": "made-up"}),
        (FEED, {"exclude_types": "x"}),
        (ALERTS, {"pageSize": 101}),
        (ENDPOINTS, {"pageSize": 501}),
        (ENDPOINTS, {"hostname": "WS-0042"}),
        (ENDPOINTS, {"view": "all"}),
    ],
)
def test_a_query_that_the_vendor_does_not_take_is_a_400(client: Client, path: str, params: Any) -> None:
    assert client.ask("GET", path, **params).status_code == 400


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", ITEMS, {**ITEM, "comment": ""}),
        ("POST", ITEMS, {**ITEM, "properties": {"sha256": "ab"}}),
        ("POST", ITEMS, {**ITEM, "until": "x"}),
        ("PATCH", f"{ENDPOINTS}/{HOST}/isolation", {"enabled": "yes"}),
        ("POST", f"{ENDPOINTS}/isolation", {"enabled": True, "ids": [HOST] * 51}),
    ],
)
def test_a_body_that_the_vendor_does_not_take_is_a_400(client: Client, method: str, path: str, body: Any) -> None:
    assert client.ask(method, path, body).status_code == 400


def test_a_cursor_goes_on_where_the_page_ended_and_belongs_to_its_stream(client: Client) -> None:
    wanted = [client.add(f"a{number}", ago=500 - number) for number in range(201)]
    first = client.ask("GET", FEED, limit=200).json()
    second = client.ask("GET", FEED, limit=200, cursor=first["next_cursor"]).json()
    assert (first["has_more"], second["has_more"]) == (True, False)
    assert [row["id"] for row in first["items"] + second["items"]] == wanted
    assert client.ask("GET", FEED, cursor=second["next_cursor"]).json()["items"] == []
    assert client.ask("GET", "/siem/v1/events", cursor=second["next_cursor"]).status_code == 400


def test_a_cursor_that_is_too_old_is_silently_taken_for_the_last_day(client: Client) -> None:
    client.add("before")
    cursor = client.ask("GET", FEED).json()["next_cursor"]
    client.time.advance(60)
    client.add("lost")
    client.time.advance(86_401)
    kept = client.add("kept")
    del client.headers["Authorization"]
    assert [row["id"] for row in client.ask("GET", FEED, cursor=cursor).json()["items"]] == [kept]


def test_the_list_of_alerts_holds_open_ones_and_only_allowed_actions_work(client: Client) -> None:
    names = sorted(client.add(f"a{number}") for number in range(3))
    page = client.ask("GET", ALERTS, pageSize=2).json()
    rest = client.ask("GET", ALERTS, pageSize=2, pageFromKey=page["pages"]["nextKey"]).json()
    assert [row["id"] for row in page["items"] + rest["items"]] == names
    assert "nextKey" not in rest["pages"]
    actions = f"{ALERTS}/{names[0]}/actions"
    statuses = [client.ask("POST", actions, {"action": name}).status_code for name in ("cleanPua", "x", "acknowledge")]
    assert statuses == [400, 400, 201]
    assert client.ask("GET", f"{ALERTS}/{names[0]}").status_code == 404


def test_isolation_has_no_state_while_it_is_under_way(client: Client) -> None:
    path = f"{ENDPOINTS}/{HOST}/isolation"
    client.simulator.faults.add("late_effect", options={"seconds": 30})
    assert client.ask("POST", f"{ENDPOINTS}/isolation", {"enabled": True, "ids": [HOST]}).status_code == 202
    assert "enabled" not in client.ask("GET", path).json()
    client.time.advance(30)
    assert client.ask("GET", path).json()["enabled"] is True
    assert client.ask("GET", f"{ENDPOINTS}/{HOST}").json()["isolation"]["adminIsolated"] is True


def test_one_hash_is_blocked_once(client: Client) -> None:
    made = client.ask("POST", ITEMS, ITEM)
    assert (made.status_code, client.ask("POST", ITEMS, ITEM).status_code) == (201, 409)
    assert client.ask("GET", ITEMS, pageTotal="true").json()["pages"]["total"] == 1
    assert client.ask("DELETE", f"{ITEMS}/{made.json()['id']}").json() == {"deleted": True}
    assert client.ask("DELETE", f"{ITEMS}/{made.json()['id']}").status_code == 404


def test_eleven_requests_within_a_second_are_too_many(client: Client) -> None:
    assert [client.ask("GET", FEED).status_code for _ in range(11)] == [200] * 10 + [429]
    client.time.advance(1)
    assert client.ask("GET", FEED).status_code == 200
