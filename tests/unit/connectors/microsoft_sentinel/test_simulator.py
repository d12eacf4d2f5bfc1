import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from nightdesk.connectors.microsoft_sentinel.simulated_query import QueryError, condition, kusto
from nightdesk.connectors.microsoft_sentinel.simulator import Simulator
from nightdesk.sdk.testing import StoryAlert
from nightdesk.sdk.testing.fake_time import FakeTime

NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)
ARM = "https://management.azure.com/.default"
LOGS = "https://api.loganalytics.io/.default"
VERSION = {"api-version": "2024-03-01"}
INDICATOR = {
    "displayName": "bad",
    "pattern": "[domain-name:value = 'bad.example.com']",
    "patternType": "domain-name",
    "source": "test",
    "validFrom": "2026-11-01T00:00:00Z",
}


class Client:
    """A service principal with one token."""

    def __init__(self) -> None:
        self.time = FakeTime(NOON)
        self.simulator = Simulator(clock=self.time.clock)
        self.tokens: dict[str, str] = {}

    def call(self, method: str, path: str, **options: Any) -> httpx.Response:
        async def once() -> httpx.Response:
            transport = httpx.ASGITransport(self.simulator)
            async with httpx.AsyncClient(transport=transport, base_url="https://management.azure.com") as client:
                return await client.request(method, path, **options)

        return asyncio.run(once())

    def sign_in(self, scope: str = ARM, **changes: str) -> httpx.Response:
        simulator = self.simulator
        form = {"grant_type": "client_credentials", "client_id": simulator.client_id, "scope": scope}
        tenant = changes.pop("tenant", simulator.tenant_id)
        data = {**form, "client_secret": simulator.secret, **changes}
        response = self.call("POST", f"/{tenant}/oauth2/v2.0/token", data=data)
        self.tokens[scope] = response.json().get("access_token", "")
        return response

    def ask(self, method: str, path: str, *, audience: str = ARM, **options: Any) -> httpx.Response:
        if audience not in self.tokens:
            self.sign_in(audience)
        return self.call(method, path, headers={"Authorization": f"Bearer {self.tokens[audience]}"}, **options)

    def sentinel(self, method: str, path: str, *, params: Any = None, **options: Any) -> httpx.Response:
        return self.ask(method, self.simulator.scope + path, params={**VERSION, **(params or {})}, **options)

    def add(self, uid: str, after: float = 0) -> str:
        return self.simulator.add(StoryAlert(uid, NOON + timedelta(seconds=after), "Odd process", "rule-1", "high"))

    def put(self, native_id: str, *, etag: str = "", **properties: Any) -> httpx.Response:
        given = {"title": "Odd process", "severity": "High", "status": "New", **properties}
        body = {"properties": {name: value for name, value in given.items() if value is not None}}
        return self.sentinel("PUT", f"/incidents/{native_id}", json={**body, "etag": etag} if etag else body)


@pytest.fixture
def client() -> Client:
    return Client()


def code(response: httpx.Response) -> tuple[int, str]:
    return response.status_code, response.json()["error"]["code"]


@pytest.mark.parametrize(
    ("changes", "status", "text"),
    [
        ({"tenant": "elsewhere"}, 400, "AADSTS90002"),
        ({"client_id": "stranger"}, 400, "AADSTS700016"),
        ({"client_secret": "wrong"}, 401, "AADSTS7000215"),
        ({"scope": "https://management.azure.com"}, 400, "AADSTS70011"),
        ({"grant_type": "password"}, 400, "AADSTS70003"),
    ],
)
def test_the_token_endpoint_checks_every_field(client: Client, changes: dict[str, str], status: int, text: str) -> None:
    response = client.sign_in(**changes)
    assert response.status_code == status
    assert text in response.json()["error_description"]


def test_a_token_of_one_audience_is_refused_by_the_other_and_ends_after_an_hour(client: Client) -> None:
    client.sign_in(LOGS)
    client.tokens[ARM] = client.tokens[LOGS]
    assert code(client.sentinel("GET", "/incidents")) == (401, "InvalidAuthenticationToken")
    client.sign_in(ARM)
    client.time.advance(3600)
    assert code(client.sentinel("GET", "/incidents")) == (401, "ExpiredAuthenticationToken")


def test_the_api_version_is_required_and_must_exist(client: Client) -> None:
    path = f"{client.simulator.scope}/incidents"
    assert code(client.ask("GET", path)) == (400, "MissingApiVersionParameter")
    assert code(client.ask("GET", path, params={"api-version": "2020-01-01"})) == (405, "UnsupportedApiVersion")
    assert client.ask("GET", path, params={"api-version": "2024-03-01"}).status_code == 200


@pytest.mark.parametrize(
    "asked",
    [
        {"$top": "1001"},
        {"$top": "0"},
        {"$skip": "5"},
        {"$orderby": "createdTimeUtc asc"},
        {"$filter": "properties/lastModifiedTimeUtc ge '2026-11-01T00:00:00Z'"},
        {"$filter": "properties/status eq Closed"},
        {"$filter": "properties/nothing eq 'x'"},
        {"$skipToken": "made-up"},
    ],
)
def test_a_list_that_is_asked_for_wrongly_is_refused(client: Client, asked: dict[str, str]) -> None:
    assert code(client.sentinel("GET", "/incidents", params=asked)) == (400, "BadRequest")


def test_pages_are_linked_and_a_link_that_was_encoded_again_is_refused(client: Client) -> None:
    names = {client.add(f"a{number}") for number in range(5)}
    asked = {"$top": "2", "$orderby": "properties/createdTimeUtc asc", "$filter": "properties/status eq 'New'"}
    page = client.sentinel("GET", "/incidents", params=asked).json()
    assert "%20" in page["nextLink"]
    assert client.ask("GET", page["nextLink"].replace("%20", "%2520")).status_code == 400
    found = {row["name"] for row in page["value"]}
    while "nextLink" in page:
        page = client.ask("GET", page["nextLink"]).json()
        found |= {row["name"] for row in page["value"]}
    assert found == names


def test_a_put_clears_what_it_leaves_out_and_keeps_what_only_the_service_writes(client: Client) -> None:
    native_id = client.add("one")
    client.simulator.triage(native_id, description="kept?", owner={"objectId": "o-1"}, labels=[{"labelName": "x"}])
    before = client.simulator.incidents[native_id]["properties"]
    assert client.put(native_id).status_code == 200
    after = client.simulator.incidents[native_id]["properties"]
    assert "description" not in after
    assert (after["owner"]["objectId"], after["labels"]) == (None, [])
    assert (after["incidentNumber"], after["createdTimeUtc"]) == (before["incidentNumber"], before["createdTimeUtc"])


def test_a_stale_etag_is_a_conflict_and_none_at_all_overwrites(client: Client) -> None:
    native_id = client.add("one")
    etag = client.simulator.incidents[native_id]["etag"]
    assert client.put(native_id, etag=etag, severity="Low").status_code == 200
    assert code(client.put(native_id, etag=etag, severity="High")) == (409, "Conflict")
    assert client.put(native_id, severity="Medium").status_code == 200
    assert client.simulator.incidents[native_id]["properties"]["severity"] == "Medium"


def test_a_put_to_an_unknown_guid_creates_an_incident(client: Client) -> None:
    assert client.put("00000000-0000-4000-8000-000000000000").status_code == 201
    assert len(client.simulator.incidents) == 1


@pytest.mark.parametrize(
    "wrong",
    [
        {"title": None},
        {"severity": "Critical"},
        {"status": "Resolved"},
        {"status": "Closed"},
        {"status": "Closed", "classification": "BenignPositive"},
        {"status": "Closed", "classification": "TruePositive", "classificationReason": "InaccurateData"},
        {"status": "Closed", "classification": "Undetermined", "classificationReason": "SuspiciousActivity"},
        {"status": "Closed", "classification": "Malicious"},
    ],
)
def test_words_and_pairs_that_sentinel_does_not_have_are_refused(client: Client, wrong: dict[str, Any]) -> None:
    native_id = client.add("one")
    assert code(client.put(native_id, **wrong)) == (400, "BadRequest")
    assert client.simulator.alert_state(native_id)["status"] == "open"


def test_a_comment_has_the_callers_name_and_moves_the_etag(client: Client) -> None:
    native_id = client.add("one")
    etag = client.simulator.incidents[native_id]["etag"]
    path = f"/incidents/{native_id}/comments/c-1"
    assert client.sentinel("PUT", path, json={"properties": {"message": "first"}}).status_code == 201
    assert client.sentinel("PUT", path, json={"properties": {"message": "second"}}).status_code == 200
    assert code(client.put(native_id, etag=etag)) == (409, "Conflict")
    assert client.simulator.alert_state(native_id)["comments"] == ["second"]
    listed = client.sentinel("GET", f"/incidents/{native_id}/comments").json()["value"]
    assert [comment["name"] for comment in listed] == ["c-1"]
    assert client.sentinel("DELETE", path).status_code == 200
    assert client.sentinel("DELETE", path).status_code == 204
    assert client.sentinel("GET", path).status_code == 404


def test_an_incident_takes_a_hundred_comments_of_thirty_thousand_characters(client: Client) -> None:
    native_id = client.add("one")
    path = f"/incidents/{native_id}/comments"
    for number in range(100):
        client.sentinel("PUT", f"{path}/c-{number}", json={"properties": {"message": "x"}})
    assert client.sentinel("PUT", f"{path}/c-100", json={"properties": {"message": "x"}}).status_code == 400
    assert client.sentinel("PUT", f"{path}/c-1", json={"properties": {"message": "x" * 30_001}}).status_code == 400


def test_the_buckets_run_dry_say_how_long_and_fill_again(client: Client) -> None:
    native_id = client.add("one")
    answers = [client.sentinel("POST", f"/incidents/{native_id}/alerts") for _ in range(201)]
    assert {answer.status_code for answer in answers[:200]} == {200}
    assert answers[0].headers["x-ms-ratelimit-remaining-subscription-writes"] == "199"
    assert (answers[200].status_code, answers[200].headers["retry-after"]) == (429, "1")
    assert client.sentinel("GET", "/incidents").status_code == 200, "reads have a bucket of their own"
    client.time.advance(1)
    assert client.sentinel("POST", f"/incidents/{native_id}/alerts").status_code == 200


@pytest.mark.parametrize(
    "wrong",
    [{"patternType": "url"}, {"pattern": "bad.example.com"}, {"source": ""}, {"confidence": 101}, {"validFrom": None}],
)
def test_an_indicator_must_be_whole_and_of_its_type(client: Client, wrong: dict[str, Any]) -> None:
    body = {"kind": "indicator", "properties": {**INDICATOR, **wrong}}
    path = "/threatIntelligence/main/createIndicator"
    assert code(client.sentinel("POST", path, json=body)) == (400, "BadRequest")


def test_one_indicator_of_a_source_and_pattern_is_kept(client: Client) -> None:
    path, body = "/threatIntelligence/main/createIndicator", {"kind": "indicator", "properties": INDICATOR}
    first = client.sentinel("POST", path, json=body)
    again = client.sentinel("POST", path, json=body)
    assert (first.status_code, again.status_code) == (201, 200)
    assert first.json()["name"] == again.json()["name"]
    query = "/threatIntelligence/main/queryIndicators"
    assert client.sentinel("POST", query, json={"keywords": ["BAD.example"]}).json()["value"]
    assert not client.sentinel("POST", query, json={"sources": ["another"]}).json()["value"]
    assert code(client.sentinel("POST", query, json={"pattern": "x"})) == (400, "BadRequest")


def test_every_change_of_an_incident_is_a_row_of_its_own(client: Client) -> None:
    native_id = client.add("one")
    client.simulator.triage(native_id, status="Active")
    path = f"/v1/workspaces/{client.simulator.workspace_id}/query"
    query = f"SecurityIncident | where IncidentName == '{native_id}' | project Status"
    table = client.ask("POST", path, audience=LOGS, json={"query": query}).json()["tables"][0]
    assert (table["columns"], table["rows"]) == ([{"name": "Status", "type": "string"}], [["New"], ["Active"]])
    assert code(client.ask("POST", path, audience=LOGS, json={"query": ".show tables"})) == (400, "BadArgumentError")


def test_seven_digits_of_a_second_are_told_apart() -> None:
    test = condition("properties/lastModifiedTimeUtc gt 2026-11-01T12:00:00.1234566Z and properties/status ne 'Closed'")
    assert test({"lastModifiedTimeUtc": "2026-11-01T12:00:00.1234567Z", "status": "New"})
    assert not test({"lastModifiedTimeUtc": "2026-11-01T12:00:00.1234566Z", "status": "New"})
    assert not test({"lastModifiedTimeUtc": "2026-11-01T12:00:01Z", "status": "Closed"})


def test_what_a_query_says_in_quotes_is_no_operator_and_no_comment() -> None:
    rows = [{"Url": "https://a.example/x|y", "N": 1}, {"Url": "https://b.example and more", "N": 2}]
    assert kusto("T | where Url == 'https://a.example/x|y' // the | first", {"T": rows}) == rows[:1]
    assert kusto("T | where Url has 'more' and N >= 2 | sort by N asc", {"T": rows}) == rows[1:]
    for wrong in ("T | where Nothing == 1", "T | explode", "U", "T | where N"):
        with pytest.raises(QueryError):
            kusto(wrong, {"T": rows})
