import asyncio
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from nightdesk.connectors.thehive.simulator import Simulator
from nightdesk.sdk.testing.fake_time import FakeTime

NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)
START = int(NOON.timestamp() * 1000)
ALERT = {"type": "edr", "source": "falcon", "sourceRef": "a-1", "title": "Odd", "description": "x"}
CASE = {"title": "Odd", "description": "x"}


class Client:
    """A user of the API v1 with a key."""

    def __init__(self, simulator: Simulator) -> None:
        self.simulator = simulator
        self.headers = {"Authorization": f"Bearer {simulator.secret}"}

    def call(self, method: str, path: str, **options: Any) -> httpx.Response:
        async def once() -> httpx.Response:
            transport = httpx.ASGITransport(self.simulator)
            async with httpx.AsyncClient(transport=transport, base_url="https://acme.example.com") as client:
                return await client.request(method, f"/api/v1{path}", headers=self.headers, **options)

        return asyncio.run(once())

    def made(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        response = self.call("POST", path, json=body)
        assert response.status_code == 201, response.text
        found: dict[str, Any] = response.json()
        return found

    def query(self, *steps: dict[str, Any]) -> Any:
        response = self.call("POST", "/query", params={"name": "test"}, json={"query": list(steps)})
        assert response.status_code == 200, response.text
        return response.json()

    def refused(self, method: str, path: str, **options: Any) -> tuple[int, str]:
        response = self.call(method, path, **options)
        assert set(response.json()) == {"type", "message"}
        return response.status_code, response.json()["type"]


@pytest.fixture
def time() -> FakeTime:
    return FakeTime(NOON)


@pytest.fixture
def client(time: FakeTime) -> Client:
    return Client(Simulator(clock=time.clock, secret="s3cret"))


def where(operator: str, field: str, value: Any) -> dict[str, Any]:
    return {"_name": "filter", operator: {"_field": field, "_value": value}}


# Alerts and cases


def test_a_triple_exists_once(client: Client) -> None:
    made = client.made("/alert", ALERT)
    assert made["_id"].startswith("~")
    assert (made["stage"], "caseId" in made, "_updatedAt" in made) == ("New", False, False)
    assert client.refused("POST", "/alert", json=ALERT) == (400, "CreateError")
    client.made("/alert", {**ALERT, "sourceRef": "a-2"})


@pytest.mark.parametrize(
    "changes",
    [
        {"sourceRef": None},
        {"sourceRef": "x" * 129},
        {"title": ""},
        {"title": "x" * 513},
        {"severity": 5},
        {"severity": "high"},
        {"severity": True},
        {"tags": "phishing"},
        {"colour": "red"},
    ],
)
def test_an_alert_that_does_not_fit_is_refused(client: Client, changes: dict[str, Any]) -> None:
    assert client.refused("POST", "/alert", json={**ALERT, **changes}) == (400, "InvalidFormatAttributeError")


def test_an_alert_is_made_a_case_once(client: Client) -> None:
    alert = client.made("/alert", {**ALERT, "severity": 3, "tags": ["a"]})
    case = client.made(f"/alert/{alert['_id']}/case", {"title": "Better"})
    assert (case["title"], case["severityLabel"], case["tags"], case["stage"]) == ("Better", "HIGH", ["a"], "New")
    after = client.call("GET", f"/alert/{alert['_id']}").json()
    assert (after["caseId"], after["stage"]) == (case["_id"], "Imported")
    assert client.refused("POST", f"/alert/{alert['_id']}/case", json={}) == (400, "BadRequest")


def test_a_label_is_one_of_the_organisations_and_its_stage_follows(client: Client, time: FakeTime) -> None:
    case = client.made("/case", CASE)
    path = f"/case/{case['number']}"
    time.advance(1)
    changed = client.call("PATCH", path, json={"status": "FalsePositive", "impactStatus": "NoImpact", "addTags": ["b"]})
    assert (changed.status_code, changed.content) == (204, b"")
    after = client.call("GET", path).json()
    assert (after["stage"], after["_updatedAt"] - START, after["tags"]) == ("Closed", 1000, ["b"])
    assert client.refused("PATCH", path, json={"status": "falsepositive"}) == (400, "BadRequest")
    assert client.refused("PATCH", path, json={"impactStatus": "None"}) == (400, "InvalidFormatAttributeError")
    labels = {one["value"]: one["stage"] for one in client.query({"_name": "listCaseStatus"})}
    assert (labels["Duplicated"], labels["New"]) == ("Closed", "New")


def test_a_comment_does_not_move_its_case(client: Client) -> None:
    case = client.made("/case", CASE)
    said = client.made(f"/case/{case['_id']}/comment", {"message": "hello"})
    assert (said["createdAt"], said["isEdited"]) == (START, False)
    assert "_updatedAt" not in client.call("GET", f"/case/{case['_id']}").json()
    assert client.call("PATCH", f"/comment/{said['_id']}", json={"message": "bye"}).status_code == 204
    steps = [{"_name": "getCase", "idOrName": case["_id"]}, {"_name": "comments"}]
    page = {"_name": "page", "from": 0, "to": 10, "extraData": ["links"]}
    (found,) = client.query(*steps, page)
    assert (found["message"], found["isEdited"]) == ("bye", True)
    assert found["extraData"]["links"]["case"]["_id"] == case["_id"]
    assert client.call("DELETE", f"/comment/{said['_id']}").status_code == 204
    assert client.query(*steps) == []
    assert client.refused("POST", f"/case/{case['_id']}/comment", json={}) == (400, "InvalidFormatAttributeError")


# Queries


@pytest.mark.parametrize(
    ("step", "found"),
    [
        (where("_eq", "severity", 3), "2"),
        (where("_ne", "severity", 3), "13"),
        (where("_eq", "tags", "b"), "23"),
        (where("_gte", "_updatedAt", 0), "3"),
        (where("_gt", "_createdAt", START), "23"),
        (where("_lte", "_createdAt", START), "1"),
        (where("_like", "title", "NUMBER 2"), "2"),
        (where("_startsWith", "title", "number"), "123"),
        ({"_name": "filter", "_in": {"_field": "number", "_values": [1, 3]}}, "13"),
        ({"_name": "filter", "_between": {"_field": "number", "_from": 1, "_to": 3}}, "12"),
        ({"_name": "filter", "_has": "_updatedAt"}, "3"),
        ({"_name": "filter", "_any": None}, "123"),
        ({"_name": "filter", "_not": {"_has": "_updatedAt"}}, "12"),
        ({"_name": "filter", "_or": [{"_eq": {"_field": "number", "_value": n}} for n in (1, 2)]}, "12"),
        ({"_name": "filter", "_and": [{"_has": "_updatedAt"}, {"_eq": {"_field": "severity", "_value": 3}}]}, ""),
        ({"_name": "sort", "_fields": [{"severity": "desc"}, {"number": "desc"}]}, "231"),
        ({"_name": "page", "from": 1, "to": 3}, "23"),
    ],
)
def test_a_step_selects_and_sorts(client: Client, time: FakeTime, step: dict[str, Any], found: str) -> None:
    each: list[dict[str, Any]] = [{"severity": 1}, {"severity": 3, "tags": ["b"]}, {"severity": 2, "tags": ["b"]}]
    for number, more in enumerate(each, 1):
        client.made("/case", {**CASE, "title": f"number {number}", **more})
        time.advance(1)
    client.call("PATCH", "/case/3", json={"tlp": 1})
    assert "".join(str(row["number"]) for row in client.query({"_name": "listCase"}, step)) == found


def test_steps_walk_from_alerts_to_cases_and_back(client: Client) -> None:
    first, second = (client.made("/alert", {**ALERT, "sourceRef": name}) for name in ("a-1", "a-2"))
    case = client.made(f"/alert/{first['_id']}/case", {})
    assert [row["_id"] for row in client.query({"_name": "listAlert"}, {"_name": "case"})] == [case["_id"]]
    back = client.query({"_name": "getCase", "idOrName": case["number"]}, {"_name": "alerts"})
    assert [row["sourceRef"] for row in back] == ["a-1"]
    assert client.query({"_name": "getAlert", "idOrName": "edr;falcon;a-2"})[0]["_id"] == second["_id"]
    assert client.query({"_name": "listAlert"}, {"_name": "count"}) == 2


@pytest.mark.parametrize(
    "steps",
    [
        [],
        [{"_name": "listEverything"}],
        [{"_name": "listCase"}, {"_name": "shares"}],
        [{"_name": "listCase"}, {"_name": "filter", "severity": 3}],
        [{"_name": "listCase"}, {"_name": "filter", "_eq": {"severity": 3}}],
        [{"_name": "listCase"}, {"_name": "filter", "_has": "a", "_any": None}],
        [{"_name": "listCase"}, {"_name": "sort", "_fields": [{"number": "up"}]}],
        [{"_name": "listCase"}, {"_name": "page", "from": 5, "to": 5}],
        [{"_name": "listCase"}, {"_name": "page", "from": 0, "to": 5, "extraData": ["mood"]}],
        [{"_name": "listCase"}, {"_name": "count"}, {"_name": "output"}],
    ],
)
def test_a_query_that_means_nothing_is_refused(client: Client, steps: list[dict[str, Any]]) -> None:
    client.made("/case", CASE)
    assert client.refused("POST", "/query", json={"query": steps}) == (400, "BadRequest")


# The wire


def test_each_change_needs_its_permission(client: Client) -> None:
    case = client.made("/case", {**CASE, "status": "Other"})
    path = f"/case/{case['_id']}"
    client.simulator.permissions = {"manageAlert", "manageCase/update"}
    assert client.refused("PATCH", path, json={"status": "New"}) == (403, "AuthorizationError")
    assert client.call("PATCH", path, json={"title": "Again"}).status_code == 204
    assert client.refused("POST", f"{path}/comment", json={"message": "x"})[0] == 403
    alert = client.made("/alert", ALERT)
    assert client.refused("POST", f"/alert/{alert['_id']}/case", json={})[0] == 403
    assert client.call("GET", "/user/current").json()["permissions"] == ["manageAlert", "manageCase/update"]


def test_a_server_without_licence_answers_and_changes_nothing(client: Client) -> None:
    client.simulator.read_only = True
    assert client.query({"_name": "listCase"}) == []
    assert client.refused("POST", "/case", json=CASE) == (403, "AuthorizationError")


def test_who_is_nobody_or_elsewhere_is_refused_and_the_version_is_public(client: Client) -> None:
    assert client.refused("GET", "/case/~1") == (404, "NotFoundError")
    assert client.refused("POST", "/case", content=b"[")[0] == 400
    client.headers["X-Organisation"] = "umbrella"
    assert client.refused("GET", "/user/current") == (403, "AuthorizationError")
    client.headers = {"Authorization": "Bearer other"}
    assert client.refused("GET", "/user/current") == (401, "AuthenticationError")
    assert client.call("GET", "/status/public").json()["version"].startswith("5.")
