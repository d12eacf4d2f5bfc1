import asyncio
import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from nightdesk.connectors.sentinelone.payloads import ACCOUNT, SITE
from nightdesk.connectors.sentinelone.simulator import Simulator, agent_id
from nightdesk.sdk.testing import StoryAlert, StoryDevice
from nightdesk.sdk.testing.fake_time import FakeTime
from nightdesk.sdk.testing.story import StoryProcess

NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)
TOOL = StoryProcess("tool.exe", r"C:\Temp\tool.exe", "tool.exe -x", 4711, "ab" * 32)
LAPTOP = StoryDevice("dev-1", "WS-0042", ("192.0.2.42", "2001:db8::42"))
AGENT = agent_id("dev-1")
HASH = "cd" * 20
GRAPHQL = "/unifiedalerts/graphql"


class Client:
    """Speaks to one simulator as any client would."""

    def __init__(self, simulator: Simulator, time: FakeTime) -> None:
        self.simulator = simulator
        self.time = time
        self.authorization = f"ApiToken {simulator.secret}"

    def call(self, method: str, path: str, body: Any = None, **params: Any) -> httpx.Response:
        async def once() -> httpx.Response:
            transport = httpx.ASGITransport(self.simulator)
            async with httpx.AsyncClient(transport=transport, base_url="https://console.example.com") as client:
                headers = {"Authorization": self.authorization}
                return await client.request(
                    method, f"/web/api/v2.1{path}", json=body, params=params or None, headers=headers
                )

        return asyncio.run(once())

    def get(self, path: str, **params: Any) -> Any:
        answer = self.call("GET", path, **params)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def change(self, path: str, ids: list[str], **data: Any) -> int:
        answer = self.call("POST", path, {"filter": {"ids": ids}, "data": data})
        assert answer.status_code == 200, answer.text
        return int(answer.json()["data"]["affected"])

    def refusal(self, method: str, path: str, body: Any = None, **params: Any) -> tuple[int, Mapping[str, Any]]:
        answer = self.call(method, path, body, **params)
        assert answer.json()["data"] is None
        return answer.status_code, answer.json()["errors"][0]

    def graphql(self, query: str, **variables: Any) -> Any:
        before, self.authorization = self.authorization, f"Bearer {self.simulator.secret}"
        answer = self.call("POST", GRAPHQL, {"query": query, "variables": variables})
        self.authorization = before
        assert answer.status_code == 200, "a GraphQL error is a 200, too"
        return answer.json()

    def add(self, uid: str, *, after: float = 0, **options: Any) -> str:
        told = NOON + timedelta(seconds=after)
        return self.simulator.add(StoryAlert(uid, told, "Odd process", "rule-1", "high", **options))

    def threat(self, native_id: str) -> Any:
        (found,) = self.get("/threats", ids=native_id)["data"]
        return found


@pytest.fixture
def client() -> Client:
    time = FakeTime(NOON)
    made = Client(Simulator(clock=time.clock), time)
    made.simulator.add_devices([LAPTOP])
    return made


def test_the_default_limit_is_ten_and_more_than_a_thousand_is_refused(client: Client) -> None:
    for number in range(11):
        client.add(f"a{number}")
    page = client.get("/threats")
    assert len(page["data"]) == 10
    assert page["pagination"]["totalItems"] == 11
    assert client.refusal("GET", "/threats", limit=1001)[0] == 400
    assert client.refusal("GET", "/threats", skip=1001)[0] == 400


@pytest.mark.parametrize(
    "params",
    [
        {"created_at": "x"},
        {"createdAt__gte": "yesterday"},
        {"sortBy": "rank"},
        {"ids": ""},
        {"createdAt": "2026-11-01T12:00:00Z"},
        {"ids__gt": "1"},
    ],
)
def test_an_unknown_parameter_or_value_is_a_400_whose_code_begins_with_it(client: Client, params: Any) -> None:
    status, error = client.refusal("GET", "/threats", **params)
    assert (status, error["code"], error["title"]) == (400, 4000040, "Validation Error")


def test_a_cursor_goes_on_where_the_page_ended_and_belongs_to_its_sort(client: Client) -> None:
    for number in range(5):
        client.add(f"a{number}", after=number // 3)
    sort = {"sortBy": "createdAt", "sortOrder": "asc", "limit": 2}
    found: list[str] = []
    cursor: dict[str, str] = {}
    while True:
        page = client.get("/threats", **sort, **cursor)
        found += [threat["id"] for threat in page["data"]]
        if page["pagination"]["nextCursor"] is None:
            break
        cursor = {"cursor": page["pagination"]["nextCursor"]}
    assert len(found) == len(set(found)) == 5
    assert client.refusal("GET", "/threats", **{**sort, "sortBy": "updatedAt"}, **cursor)[0] == 400


def test_times_stand_inside_the_threat_and_bounds_are_inclusive_when_they_say_so(client: Client) -> None:
    native_id = client.add("one", after=0.5)
    info = client.threat(native_id)["threatInfo"]
    assert info["createdAt"] == info["updatedAt"] == "2026-11-01T12:00:00.500000Z"
    assert len(client.get("/threats", createdAt__gte=info["createdAt"])["data"]) == 1
    assert client.get("/threats", createdAt__gt=info["createdAt"])["data"] == []


def test_a_change_counts_only_what_was_otherwise(client: Client) -> None:
    native_id = client.add("one")
    assert client.change("/threats/incident", [native_id], incidentStatus="resolved") == 1
    assert client.change("/threats/incident", [native_id], incidentStatus="resolved") == 0
    assert client.change("/threats/analyst-verdict", ["1"], analystVerdict="suspicious") == 0
    assert client.threat(native_id)["threatInfo"]["updatedAt"] > "2026-11-01T12:00:00.000000Z"


def test_an_empty_filter_reaches_everything(client: Client) -> None:
    for number in range(3):
        client.add(f"a{number}")
    answer = client.call("POST", "/threats/incident", {"filter": {}, "data": {"incidentStatus": "resolved"}})
    assert answer.json() == {"data": {"affected": 3}}


@pytest.mark.parametrize(
    "body",
    [
        {"data": {"incidentStatus": "resolved"}},
        {"filter": {"ids": 1505199434242911034}, "data": {"incidentStatus": "resolved"}},
        {"filter": {"ids": [1505199434242911034]}, "data": {"incidentStatus": "resolved"}},
        {"filter": {"ids": ["1"]}, "data": {"incidentStatus": "closed"}},
        {"filter": {"ids": ["1"]}, "data": {"incidentStatus": "resolved", "comment": "x"}},
        {"filter": {"id": "1"}, "data": {"incidentStatus": "resolved"}},
    ],
)
def test_a_malformed_change_is_refused(client: Client, body: Any) -> None:
    assert client.refusal("POST", "/threats/incident", body)[0] == 400


def test_a_note_is_written_each_time_read_and_deleted(client: Client) -> None:
    native_id = client.add("one")
    for _ in range(2):
        assert client.change("/threats/notes", [native_id], text="seen") == 1
    notes = client.get(f"/threats/{native_id}/notes")["data"]
    assert [note["text"] for note in notes] == ["seen", "seen"]
    assert client.call("DELETE", f"/threats/{native_id}/notes/{notes[0]['id']}").status_code == 200
    assert client.refusal("DELETE", f"/threats/{native_id}/notes/{notes[0]['id']}")[0] == 404
    assert len(client.get(f"/threats/{native_id}/notes")["data"]) == 1
    assert client.refusal("GET", "/threats/1/notes")[0] == 404


def test_the_scheme_is_read_loosely_by_the_management_api_and_only_bearer_by_graphql(client: Client) -> None:
    for scheme in ("ApiToken", "APIToken", "Bearer"):
        client.authorization = f"{scheme} {client.simulator.secret}"
        client.get("/threats")
    client.authorization = f"ApiToken {client.simulator.secret}"
    assert client.refusal("POST", GRAPHQL, {"query": "{alert(id: 1) {id}}"})[1]["code"] == 4010010
    client.authorization = "Bearer wrong"
    assert client.refusal("GET", "/threats")[0] == 401
    assert client.get("/system/status") == {"data": {"health": "ok"}}, "the status asks nobody who they are"


def test_a_token_ends_and_says_when(client: Client) -> None:
    body = {"data": {"apiToken": client.simulator.secret}}
    assert client.call("POST", "/users/api-token-details", body).json()["data"]["expiresAt"].startswith("2027-04-30")
    client.time.advance(181 * 86_400)
    assert client.refusal("GET", "/threats")[0] == 401


def test_a_missing_permission_is_a_403_and_maintenance_a_page(client: Client) -> None:
    client.simulator.permissions.discard("Threats: View")
    assert client.refusal("GET", "/threats")[1]["code"] == 4030010
    client.simulator.maintenance = True
    answer = client.call("GET", "/agents")
    assert (answer.status_code, answer.headers["content-type"][:9]) == (503, "text/html")


def test_an_isolation_goes_through_disconnecting_and_waits_for_an_offline_agent(client: Client) -> None:
    client.simulator.faults.add("offline_host")
    assert client.change("/agents/actions/disconnect", [AGENT]) == 1
    (agent,) = client.get("/agents", ids=AGENT)["data"]
    assert (agent["networkStatus"], agent["isActive"]) == ("disconnecting", False)
    client.simulator.faults.clear()
    assert client.get("/agents", ids=AGENT)["data"][0]["networkStatus"] == "disconnected"
    client.change("/agents/actions/connect", [AGENT])
    assert client.get("/agents", ids=AGENT)["data"][0]["networkStatus"] == "connected"


def test_a_retired_agent_is_reached_by_nothing_and_shown_only_on_request(client: Client) -> None:
    client.simulator.retire(AGENT)
    assert client.change("/agents/actions/disconnect", [AGENT]) == 0
    assert client.get("/agents", computerName__contains="ws-0042")["data"] == []
    assert client.get("/agents", ids=AGENT)["data"][0]["isDecommissioned"] is True


def test_a_scan_begins_with_the_agent_ends_and_can_be_cut_short(client: Client) -> None:
    def state() -> tuple[str, Any]:
        (agent,) = client.get("/agents", ids=AGENT)["data"]
        return agent["scanStatus"], agent["scanFinishedAt"]

    assert state() == ("none", None)
    client.change("/agents/actions/initiate-scan", [AGENT])
    assert state() == ("started", None)
    client.time.advance(1200)
    assert state() == ("finished", "2026-11-01T12:20:00.000000Z")
    client.change("/agents/actions/initiate-scan", [AGENT])
    assert state() == ("started", None)
    assert client.change("/agents/actions/abort-scan", [AGENT]) == 1
    assert state() == ("aborted", None)


def test_a_mitigation_is_done_on_the_device_and_shows_on_the_threat(client: Client) -> None:
    native_id = client.add("one", device=LAPTOP, process=TOOL)
    assert client.change("/threats/mitigate/quarantine", [native_id]) == 1
    threat = client.threat(native_id)
    assert [(row["action"], row["status"]) for row in threat["mitigationStatus"]] == [("quarantine", "success")]
    assert threat["threatInfo"]["mitigationStatus"] == "mitigated"
    assert threat["threatInfo"]["incidentStatus"] == "unresolved", "mitigated and resolved are two things"
    assert client.simulator.fleet.devices[AGENT].files[TOOL.path].quarantined
    client.change("/threats/mitigate/un-quarantine", [native_id])
    assert client.threat(native_id)["threatInfo"]["mitigationStatus"] == "not_mitigated"
    assert not client.simulator.fleet.devices[AGENT].files[TOOL.path].quarantined
    assert client.refusal("POST", "/threats/mitigate/erase", {"filter": {"ids": [native_id]}})[0] == 400


def test_a_fetch_wants_a_password_and_tells_by_an_activity(client: Client) -> None:
    native_id = client.add("one", device=LAPTOP, process=TOOL)
    body = {"filter": {"ids": [native_id]}, "data": {"password": "short"}}
    assert client.refusal("POST", "/threats/fetch-file", body)[0] == 400
    assert client.change("/threats/fetch-file", [native_id], password="long enough".replace(" ", "-")) == 1
    (activity,) = client.get("/activities", activityTypes=86, threatIds=native_id)["data"]
    assert activity["data"]["filePath"].startswith("/agents/")
    assert client.get("/activities", activityTypes=80)["data"] == []


def restriction(scope: Mapping[str, Any], **data: Any) -> dict[str, Any]:
    return {"filter": dict(scope), "data": {"type": "black_hash", "value": HASH, "osType": "windows", **data}}


def test_the_blocklist_refuses_what_is_there_already_and_what_is_no_hash(client: Client) -> None:
    assert client.call("POST", "/restrictions", restriction({"tenant": True})).status_code == 200
    status, error = client.refusal("POST", "/restrictions", restriction({"tenant": True}))
    assert status == 400
    assert "already exists" in error["detail"]
    assert client.call("POST", "/restrictions", restriction({"tenant": True}, osType="linux")).status_code == 200
    for wrong in ({"value": "0" * 32}, {"osType": "amiga"}, {"type": "path"}, {"until": "x"}):
        assert client.refusal("POST", "/restrictions", restriction({"tenant": True}, **wrong))[0] == 400


def test_a_blocklist_is_of_a_scope_and_shows_its_parents_only_on_request(client: Client) -> None:
    client.call("POST", "/restrictions", restriction({"tenant": True}))
    client.call("POST", "/restrictions", restriction({"siteIds": [SITE]}, osType="linux"))
    assert client.refusal("GET", "/restrictions", type="black_hash")[0] == 400
    assert client.refusal("POST", "/restrictions", restriction({"siteIds": ["1"]}))[0] == 403

    def seen(**scope: str) -> list[str]:
        return sorted(row["osType"] for row in client.get("/restrictions", type="black_hash", **scope)["data"])

    assert seen(tenant="true") == ["windows"]
    assert seen(siteIds=SITE) == ["linux"]
    assert seen(siteIds=SITE, includeParents="true") == ["linux", "windows"]
    assert seen(accountIds=ACCOUNT, includeParents="true") == ["windows"]
    (row,) = client.get("/restrictions", type="black_hash", siteIds=SITE)["data"]
    assert client.refusal("DELETE", "/restrictions", {"data": {"ids": [row["id"]]}})[0] == 400
    deleted = client.call("DELETE", "/restrictions", {"data": {"ids": [row["id"]], "type": "black_hash"}})
    assert deleted.json() == {"data": {"affected": 1}}


def test_one_detection_has_another_id_on_each_surface(client: Client) -> None:
    native_id = client.add("one", device=LAPTOP, process=TOOL)
    page = client.graphql("{alerts(first: 10) {edges {node {id externalId asset {agentId}}} totalCount}}")
    (edge,) = page["data"]["alerts"]["edges"]
    assert edge["node"]["id"] != native_id
    assert (edge["node"]["externalId"], edge["node"]["asset"]) == (native_id, {"agentId": AGENT})
    node_id = edge["node"]["id"]
    found = client.graphql("query One($id: ID!) {alert(id: $id) {__typename name}}", id=node_id)
    assert found["data"]["alert"]["name"] == "Odd process"


@pytest.mark.parametrize(
    "query",
    [
        "{alerts(first: 101) {totalCount}}",
        "{alerts(first: 1, limit: 1) {totalCount}}",
        "{alerts(first: 1) {edges {node {identifier}}}}",
        "{alerts(first: 1) {edges {node {asset}}}}",
        "{alerts(first: 1) {edges {node {name {text}}}}}",
        "{alerts(first: 1, sorts: [{by: name, order: ASC}]) {totalCount}}",
        '{alerts(first: 1, filters: [{fieldId: "createdAt", dateTimeRange: {start: "x"}}]) {totalCount}}',
        '{alerts(first: 1, filters: [{fieldId: "createdAt", stringEqual: {value: "x"}}]) {totalCount}}',
        "{threats {id}}",
        "{alerts(first: 1) {totalCount}",
    ],
)
def test_a_wrong_query_is_a_200_with_errors_and_no_data(client: Client, query: str) -> None:
    answer = client.graphql(query)
    assert answer["data"] is None
    assert answer["errors"][0]["message"]


def trigger(action: str, payload: str, native_id: str) -> str:
    chosen = f'{{or: [{{and: [{{fieldId: "id", stringEqual: {{value: "{native_id}"}}}}]}}]}}'
    outcome = (
        "{__typename ... on ActionsTriggered {actions {actionId success {id} failure {errorType}}}"
        " ... on TriggerActionsError {errors {errorMessage}}}"
    )
    wanted = f'{{id: "{action}", payload: {payload}}}'
    return f"mutation {{alertTriggerActions(actions: [{wanted}], filter: {chosen}) {outcome}}}"


def test_an_action_reports_each_alert_and_an_unknown_one_is_passed_over(client: Client) -> None:
    client.add("one")
    (native_id,) = client.simulator.unified.alerts

    def outcome(action: str, payload: str) -> Any:
        return client.graphql(trigger(action, payload, native_id))["data"]["alertTriggerActions"]

    done = outcome("S1/alert/statusUpdate", "{status: {value: RESOLVED}}")
    assert done["actions"][0]["success"] == [{"id": native_id}]
    assert client.simulator.unified.alerts[native_id]["status"] == "RESOLVED"
    assert outcome("S1/alert/statusChange", "{status: {value: NEW}}")["actions"] == []
    wrong = client.graphql(trigger("S1/alert/statusUpdate", "{status: {value: CLOSED}}", native_id))
    assert wrong["data"] is None
    assert len(client.simulator.mutations()) == 3
    client.simulator.permissions.discard("Unified alerts: Manage")
    refused = outcome("S1/alert/statusUpdate", "{status: {value: NEW}}")["actions"][0]
    assert (refused["success"], refused["failure"]) == ([], [{"errorType": "MISSING_PERMISSION"}])


def test_a_mutation_without_a_filter_reaches_everything(client: Client) -> None:
    for number in range(3):
        client.add(f"a{number}")
    action = '{id: "S1/alert/addNote", payload: {note: {value: "x"}}}'
    query = (
        f"mutation {{alertTriggerActions(actions: [{action}]) {{... on ActionsTriggered {{actions {{alertCount}}}}}}}}"
    )
    assert client.graphql(query)["data"]["alertTriggerActions"]["actions"] == [{"alertCount": 3}]
    notes = client.graphql(
        f'{{alertNotes(alertId: "{next(iter(client.simulator.unified.alerts))}") {{data {{text}}}}}}'
    )
    assert notes["data"]["alertNotes"]["data"] == [{"text": "x"}]


def test_two_simulators_of_one_story_differ_only_in_their_secret(client: Client) -> None:
    first = client.add("one", device=LAPTOP, process=TOOL)
    other = Client(Simulator(clock=client.time.clock), client.time)
    assert other.add("one", device=LAPTOP, process=TOOL) == first
    assert json.dumps(other.threat(first)) == json.dumps(client.threat(first))
    other.authorization = client.authorization
    assert other.refusal("GET", "/threats")[0] == 401
    with pytest.raises(ValueError, match="twice"):
        client.add("one")
