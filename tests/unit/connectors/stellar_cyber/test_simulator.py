import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from nightdesk.connectors.stellar_cyber.simulator import Simulator
from nightdesk.sdk.testing import StoryAlert
from nightdesk.sdk.testing.fake_time import FakeTime

NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)
MS = int(NOON.timestamp() * 1000)
USER = "svc-nightdesk@example.com"


class Client:
    """The user's API key, and one token when it is needed."""

    def __init__(self) -> None:
        self.time = FakeTime(NOON)
        self.simulator = Simulator(clock=self.time.clock)
        self.headers: dict[str, str] = {}

    def call(self, method: str, path: str, **options: Any) -> httpx.Response:
        async def once() -> httpx.Response:
            transport = httpx.ASGITransport(self.simulator)
            base = "https://stellar.example.com/connect/api/v1"
            async with httpx.AsyncClient(transport=transport, base_url=base) as client:
                return await client.request(method, path, **options)

        return asyncio.run(once())

    def sign_in(self, user: str = USER, key: str = "") -> httpx.Response:
        return self.call("POST", "/access_token", auth=(user, key or self.simulator.secret))

    def ask(self, method: str, path: str, json: Any = None, **params: Any) -> httpx.Response:
        if not self.headers:
            self.headers["Authorization"] = f"Bearer {self.sign_in().json()['access_token']}"
        return self.call(method, path, headers=self.headers, params=params, json=json)

    def names(self, **params: Any) -> list[str]:
        return [case["_id"] for case in self.ask("GET", "/cases", **params).json()["data"]["cases"]]

    def add(self, uid: str, ago: float = 0) -> str:
        return self.simulator.add(StoryAlert(uid, self.time.now - timedelta(seconds=ago), "Odd", "rule-1", "high"))


@pytest.fixture
def client() -> Client:
    return Client()


def test_a_token_is_given_for_the_users_own_key_alone_and_says_when_it_ends(client: Client) -> None:
    for wrong in (client.sign_in(key="x"), client.sign_in(user="x"), client.call("POST", "/access_token")):
        assert (wrong.status_code, wrong.json()["error"]["code"]) == (401, 401)
    good = client.sign_in().json()
    assert good["exp"] * 1000 == MS + 600_000
    assert good["access_token"].count(".") == 2


def test_a_token_ends_after_ten_minutes(client: Client) -> None:
    assert client.ask("GET", "/cases").status_code == 200
    client.time.advance(601)
    assert client.ask("GET", "/cases").status_code == 401


def test_the_api_key_itself_signs_no_call(client: Client) -> None:
    assert client.call("GET", "/cases", auth=(USER, client.simulator.secret)).status_code == 401


def test_a_list_has_ten_cases_unless_told_and_never_more_than_five_hundred(client: Client) -> None:
    for number in range(12):
        client.add(f"case-{number}")
    assert len(client.names()) == 10
    assert len(client.names(limit=500)) == 12
    assert client.ask("GET", "/cases", limit=501).status_code == 400
    assert client.ask("GET", "/cases", limit=3, skip=10).json()["data"]["total"] == 12


def test_both_ends_of_a_range_count(client: Client) -> None:
    client.add("before", ago=2)
    first, last = client.add("first", ago=1), client.add("last")
    given: dict[str, Any] = {"sort": "modified_at", "order": "asc"}
    assert client.names(**{"FROM~modified_at": MS - 1000}, **given) == [first, last]
    assert client.names(**{"FROM~modified_at": MS - 1000, "TO~modified_at": MS - 1000}, **given) == [first]


@pytest.mark.parametrize(
    "params",
    [{"from_modified_at": 1}, {"FROM~modified_at": "now-1h"}, {"sort": "nothing"}, {"order": "up"}, {"skip": -1}],
)
def test_a_query_that_the_platform_would_misread_is_refused(client: Client, params: dict[str, Any]) -> None:
    assert client.ask("GET", "/cases", **params).status_code == 400


def test_cases_are_filtered_by_tenant_status_score_and_ticket(client: Client) -> None:
    ours = client.add("ours")
    theirs = client.simulator.add_elsewhere(StoryAlert("theirs", NOON, "Odd", "rule-1", "low"))
    assert set(client.names()) == {ours, theirs}
    assert client.names(tenant_id=client.simulator.tenant_id) == [ours]
    assert client.names(min_score=50) == [ours]
    assert client.names(ticket_id=7002) == [theirs]
    assert client.names(status="Resolved,Cancelled") == []


def test_the_engine_moves_the_time_of_a_case(client: Client) -> None:
    native_id = client.add("one", ago=60)
    client.simulator.cases.touch(native_id, score=99.0)
    case = client.ask("GET", f"/cases/{native_id}").json()["data"]
    assert (case["modified_at"], case["version"], case["score"]) == (MS, 2, 99.0)


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"status": "Closed"},
        {"status": "New", "resolution": "Benign"},
        {"resolution": "True Positive"},
        {"status": "Resolved", "resolution": "Duplicate"},
        {"priority": "high"},
        {"tags": ["a"]},
        {"state": "Resolved"},
    ],
)
def test_a_change_outside_the_vendors_words_is_refused(client: Client, body: dict[str, Any]) -> None:
    native_id = client.add("one")
    assert client.ask("PUT", f"/cases/{native_id}", json=body).status_code == 400
    assert client.simulator.cases.cases[native_id]["version"] == 1


def test_a_case_is_resolved_tagged_and_opened_again(client: Client) -> None:
    path = f"/cases/{client.add('one', ago=60)}"
    made = client.ask("PUT", path, json={"status": "Resolved", "resolution": "Benign", "tags": {"add": ["a", "b"]}})
    case = made.json()["data"]
    assert (case["status"], case["resolution"], case["closed_at"], case["tags"]) == (
        "Resolved",
        "Benign",
        MS,
        ["a", "b"],
    )
    again = client.ask("PUT", path, json={"status": "New", "tags": {"delete": ["a"]}}).json()["data"]
    assert (again["status"], again["tags"]) == ("New", ["b"])
    assert not {"resolution", "closed", "closed_at"} & set(again)


def test_comments_are_kept_in_order_and_must_say_something(client: Client) -> None:
    path = f"/cases/{client.add('one')}/comments"
    for text in ("first", "second"):
        assert client.ask("POST", path, json={"comment": text}).json()["data"]["comment"] == text
    for wrong in ({"comment": " "}, {"comment": 1}, {"text": "x"}):
        assert client.ask("POST", path, json=wrong).status_code == 400
    assert [one["comment"] for one in client.ask("GET", path).json()["data"]] == ["first", "second"]


def test_a_user_who_may_only_look_changes_nothing(client: Client) -> None:
    native_id = client.add("one")
    client.simulator.permissions = {"Cases: View"}
    assert client.ask("PUT", f"/cases/{native_id}", json={"status": "Resolved"}).status_code == 403
    assert client.ask("POST", f"/cases/{native_id}/comments", json={"comment": "x"}).status_code == 403
    assert client.ask("GET", f"/cases/{native_id}").json()["data"]["status"] == "New"


def test_what_is_not_there_is_not_found(client: Client) -> None:
    for path in ("/cases/0", "/cases/0/comments"):
        answer = client.ask("GET", path)
        assert (answer.status_code, answer.json()) == (404, {"error": {"code": 404, "message": "case not found"}})


def test_a_story_raises_an_alert_once(client: Client) -> None:
    client.add("one")
    with pytest.raises(ValueError, match="twice"):
        client.add("one")
