import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from nightdesk.connectors.jira.simulator import Simulator
from nightdesk.sdk.testing.fake_time import FakeTime

NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)
API = "/rest/api/3"
SEARCH = f"{API}/search/jql"
PLACE = {"project": {"key": "SEC"}, "issuetype": {"name": "Task"}}


class Client:
    """The account of the simulator's settings."""

    def __init__(self, simulator: Simulator) -> None:
        self.simulator = simulator
        self.auth = ("nightdesk@example.com", simulator.secret)

    def call(self, method: str, path: str, **options: Any) -> httpx.Response:
        async def once() -> httpx.Response:
            transport = httpx.ASGITransport(self.simulator)
            async with httpx.AsyncClient(transport=transport, base_url="https://acme.example.com") as client:
                return await client.request(method, f"{API}{path}", auth=self.auth, **options)

        return asyncio.run(once())

    def create(self, **fields: Any) -> dict[str, Any]:
        response = self.call("POST", "/issue", json={"fields": {**PLACE, "summary": "Odd", **fields}})
        assert response.status_code == 201, response.text
        made: dict[str, Any] = response.json()
        return made

    def search(self, jql: str, **more: Any) -> dict[str, Any]:
        response = self.call("POST", "/search/jql", json={"jql": jql, **more})
        assert response.status_code == 200, response.text
        found: dict[str, Any] = response.json()
        return found

    def keys(self, jql: str) -> str:
        return "".join(issue["key"].removeprefix("SEC-") for issue in self.search(jql)["issues"])

    def errors(self, method: str, path: str, **options: Any) -> tuple[int, dict[str, str]]:
        response = self.call(method, path, **options)
        return response.status_code, response.json()["errors"] or {"": response.json()["errorMessages"][0]}


@pytest.fixture
def time() -> FakeTime:
    return FakeTime(NOON)


@pytest.fixture
def client(time: FakeTime) -> Client:
    return Client(Simulator(clock=time.clock, secret="s3cret", lag=0))


def text(*words: str) -> dict[str, Any]:
    nodes = [{"type": "text", "text": word} for word in words]
    return {"type": "doc", "version": 1, "content": [{"type": "paragraph", "content": nodes}]}


# Search


@pytest.mark.parametrize(
    ("jql", "found"),
    [
        ('labels = "a" ORDER BY key DESC', "31"),
        ("labels in (a, b)", "123"),
        ('labels = "A"', ""),
        ('project = SEC AND status = "to do"', "13"),
        ("statusCategory != done AND labels = b", ""),
        ('summary ~ "odd" ORDER BY created ASC, key ASC', "123"),
        ('updated >= "2026/11/01 12:01" ORDER BY updated ASC', "23"),
        ('project = SEC AND updated >= "-1m"', "3"),
        ("updated >= -2m", "23"),
    ],
)
def test_jql_selects_and_sorts(client: Client, time: FakeTime, jql: str, found: str) -> None:
    client.create(labels=["a"])
    time.advance(61)
    second = client.create(labels=["b"])["id"]
    client.call("POST", f"/issue/{second}/transitions", json={"transition": {"id": "41"}})
    time.advance(61)
    client.create(labels=["a"])
    assert "".join(sorted(client.keys(jql))) == "".join(sorted(found))
    assert "ORDER BY key DESC" not in jql or client.keys(jql) == found


@pytest.mark.parametrize(
    ("jql", "message"),
    [
        ("ORDER BY created", "Unbounded JQL queries are not allowed here."),
        ("colour = red", "Field 'colour' does not exist"),
        ('updated >= "2026/11/01 12:00:30"', "Date value '2026/11/01 12:00:30' for field 'updated' is invalid."),
        ("labels ~ a", "The operator '~' is not supported"),
        ("labels = a OR labels = b", "Error in the JQL Query"),
    ],
)
def test_a_query_that_means_nothing_is_refused(client: Client, jql: str, message: str) -> None:
    status, errors = client.errors("POST", "/search/jql", json={"jql": jql})
    assert status == 400
    assert errors[""].startswith(message)


def test_a_time_of_day_is_one_of_the_accounts_zone_and_knows_minutes(client: Client) -> None:
    client.create()
    client.simulator.api.offset = timedelta(hours=2)
    assert client.keys('updated >= "2026/11/01 14:00"') == "1"
    assert client.keys('updated >= "2026/11/01 14:01"') == ""


def test_the_index_is_late_and_issues_named_for_reconciliation_are_not(time: FakeTime) -> None:
    client = Client(Simulator(clock=time.clock, lag=5))
    made = client.create(labels=["a"])
    assert client.keys("labels = a") == ""
    assert client.search("labels = a", reconcileIssues=[int(made["id"])])["issues"][0]["id"] == made["id"]
    time.advance(5)
    client.call("PUT", f"/issue/{made['key']}", json={"update": {"labels": [{"remove": "a"}, {"add": "b"}]}})
    assert client.keys("labels = a") == "1"
    assert client.call("GET", f"/issue/{made['id']}").json()["fields"]["labels"] == ["b"]


def test_a_page_has_ids_alone_unless_fields_are_named_and_its_token_is_of_one_query(client: Client) -> None:
    for _ in range(3):
        client.create()
    first = client.search("project = SEC", maxResults=2)
    assert set(first["issues"][0]) == {"id", "key", "self"}
    assert (first["isLast"], "total" in first) == (False, False)
    last = client.search("project = SEC", maxResults=2, nextPageToken=first["nextPageToken"], fields=["summary"])
    assert last["isLast"] is True
    assert "nextPageToken" not in last
    assert [issue["fields"] for issue in last["issues"]] == [{"summary": "Odd"}]
    wrong = {"jql": "key = SEC-1", "nextPageToken": first["nextPageToken"]}
    assert client.errors("POST", "/search/jql", json=wrong)[0] == 400


def test_the_old_search_is_gone(client: Client) -> None:
    status, errors = client.errors("GET", "/search", params={"jql": "project = SEC"})
    assert (status, "removed" in errors[""]) == (410, True)


# Issues


@pytest.mark.parametrize(
    ("fields", "wrong"),
    [
        ({"summary": ""}, "summary"),
        ({"summary": "a\nb"}, "summary"),
        ({"summary": "a" * 256}, "summary"),
        ({"labels": ["two words"]}, "labels"),
        ({"priority": {"name": "P1"}}, "priority"),
        ({"issuetype": {"name": "Bug"}}, "issuetype"),
        ({"project": {"key": "OPS"}}, "project"),
        ({"colour": "red"}, "colour"),
        ({"description": "plain"}, "description"),
        ({"description": text("")}, "description"),
        ({"description": {"type": "doc", "version": 1, "content": [{"type": "marquee"}]}}, "description"),
    ],
)
def test_an_issue_that_does_not_fit_is_refused_field_by_field(
    client: Client, fields: dict[str, Any], wrong: str
) -> None:
    body = {"fields": {**PLACE, "summary": "Odd", **fields}}
    status, errors = client.errors("POST", "/issue", json=body)
    assert (status, list(errors)) == (400, [wrong])
    assert not client.simulator.case_states()


def test_create_is_not_idempotent(client: Client) -> None:
    assert client.create()["key"] != client.create()["key"]


def test_a_status_is_changed_by_an_offered_transition_alone(client: Client) -> None:
    path = f"/issue/{client.create()['id']}"
    assert client.errors("PUT", path, json={"fields": {"status": {"name": "Done"}}})[1].keys() == {"status"}
    offered = client.call("GET", f"{path}/transitions", params={"expand": "transitions.fields"}).json()["transitions"]
    done = next(one for one in offered if one["to"]["statusCategory"]["key"] == "done" and one["hasScreen"])
    assert done["fields"]["resolution"]["required"] is True
    move = {"transition": {"id": done["id"]}}
    assert client.errors("POST", f"{path}/transitions", json=move)[1].keys() == {"resolution"}
    resolved = {**move, "fields": {"resolution": {"name": "Done"}}}
    assert client.call("POST", f"{path}/transitions", json=resolved).status_code == 204
    assert client.errors("POST", f"{path}/transitions", json=resolved)[0] == 400
    client.call("POST", f"{path}/transitions", json={"transition": {"id": "51"}})
    assert client.call("GET", path).json()["fields"]["resolution"] is None


def test_comments_are_documents_in_pages_and_may_be_internal(client: Client) -> None:
    path = f"/issue/{client.create()['key']}/comment"
    assert client.errors("POST", path, json={"body": "plain"})[1].keys() == {"comment"}
    assert client.errors("POST", path, json={"body": text("x" * 32_768)})[1].keys() == {"comment"}
    for word in ("first", "second"):
        assert client.call("POST", path, json={"body": text(word)}).status_code == 201
    secret = [{"key": "sd.public.comment", "value": {"internal": True}}]
    assert client.call("POST", path, json={"body": text("third"), "properties": secret}).json()["jsdPublic"] is False
    page = client.call("GET", path, params={"startAt": 1, "maxResults": 1, "orderBy": "-created"}).json()
    assert (page["total"], len(page["comments"]), page["comments"][0]["body"]) == (3, 1, text("second"))


def test_properties_come_with_an_issue_when_they_are_named(client: Client) -> None:
    body = {"fields": {**PLACE, "summary": "Odd"}, "properties": [{"key": "mine", "value": {"a": 1}}]}
    made = client.call("POST", "/issue", json=body).json()
    assert "properties" not in client.call("GET", f"/issue/{made['id']}").json()
    whole = client.call("GET", f"/issue/{made['id']}", params={"properties": "mine,other"}).json()
    assert whole["properties"] == {"mine": {"a": 1}}
    assert client.errors("GET", f"/issue/{made['id']}/properties/other")[0] == 404


# The wire


def test_who_may_not_browse_finds_nothing_and_who_may_not_move_is_offered_nothing(client: Client) -> None:
    made = client.create()
    client.simulator.permissions -= {"TRANSITION_ISSUES", "CREATE_ISSUES"}
    assert client.call("GET", f"/issue/{made['id']}/transitions").json() == {"transitions": []}
    assert client.errors("POST", "/issue", json={"fields": PLACE})[0] == 403
    client.simulator.permissions -= {"BROWSE_PROJECTS"}
    assert client.keys("project = SEC") == ""
    assert client.errors("GET", f"/issue/{made['id']}")[0] == 404
    held = client.call("GET", "/mypermissions", params={"permissions": "ADD_COMMENTS,CREATE_ISSUES"}).json()
    assert [one["havePermission"] for one in held["permissions"].values()] == [True, False]


def test_another_token_and_a_body_that_is_no_json_are_refused(client: Client) -> None:
    assert client.errors("POST", "/issue", content=b"{")[0] == 400
    client.auth = ("nightdesk@example.com", "other")
    assert client.errors("GET", "/myself") == (401, {"": "Client must be authenticated to access this resource."})


def test_too_many_requests_are_told_when_to_come_back(time: FakeTime) -> None:
    client = Client(Simulator(clock=time.clock, requests_per_minute=1))
    assert client.call("GET", "/myself").status_code == 200
    time.advance(20)
    refused = client.call("GET", "/myself")
    assert (refused.status_code, refused.headers["retry-after"]) == (429, "40")
    assert refused.headers["ratelimit-reason"] == "jira-quota-tenant-based"
