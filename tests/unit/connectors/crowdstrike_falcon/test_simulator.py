import asyncio
import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from nightdesk.connectors.crowdstrike_falcon.fql import FqlError, parse
from nightdesk.connectors.crowdstrike_falcon.simulator import ALL_SCOPES, PREFIX, Simulator
from nightdesk.sdk.testing import StoryAlert, StoryDevice
from nightdesk.sdk.testing.fake_time import FakeTime
from nightdesk.sdk.testing.story import StoryProcess

NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)
PROCESS = StoryProcess(
    "odd.exe", "C:\\Temp\\odd.exe", "odd.exe -x", 4711, "ab" * 32, "winword.exe", "winword.exe /n letter.docx"
)
LAPTOP = StoryDevice("aid-1", "WS-0042", ("192.0.2.42",), processes=(PROCESS,))
COMBINED = "/alerts/combined/alerts/v1"
ENTITIES = "/alerts/entities/alerts/v2"
PATCH = "/alerts/entities/alerts/v3"
ACTIONS = "/devices/entities/devices-actions/v2"
IOCS = "/iocs/entities/indicators/v1"
SESSIONS = "/real-time-response/entities/sessions/v1"
RESPONDER = "/real-time-response/entities/active-responder-command/v1"
ADMIN = "/real-time-response/entities/admin-command/v1"
SCANS = "/ods/entities/scans/v1"
QUARANTINE = "/quarantine/entities/quarantined-files/v1"
SCAN: Mapping[str, Any] = {
    "host_groups": [],
    "scan_inclusions": [],
    "scan_exclusions": [],
    **dict.fromkeys(("endpoint_notification", "quarantine"), False),
    **dict.fromkeys(("max_duration", "pause_duration"), 0),
    **{f"{where}_ml_level_{what}": 2 for where in ("sensor", "cloud") for what in ("detection", "prevention")},
    "hosts": ["cs-aid-1"],
    "file_paths": ["C:\\"],
    "description": "one",
    "initiated_from": "cloud_adhoc",
    "cpu_priority": 2,
}
INDICATOR = {
    "type": "sha256",
    "value": "ab" * 32,
    "action": "prevent",
    "severity": "high",
    "platforms": ["windows"],
    "applied_globally": True,
}


class Client:
    """An API client with one token."""

    def __init__(self, simulator: Simulator) -> None:
        self.simulator = simulator
        self.token = ""

    def call(self, method: str, path: str, **options: Any) -> httpx.Response:
        async def once() -> httpx.Response:
            transport = httpx.ASGITransport(self.simulator)
            async with httpx.AsyncClient(transport=transport, base_url="https://falcon.example.com") as client:
                return await client.request(method, path, **options)

        return asyncio.run(once())

    def sign_in(self, **changes: str) -> httpx.Response:
        form = {"client_id": self.simulator.client_id, "client_secret": self.simulator.secret, **changes}
        response = self.call("POST", "/oauth2/token", data=form)
        self.token = response.json().get("access_token", "")
        return response

    def ask(self, method: str, path: str, **options: Any) -> httpx.Response:
        if not self.token:
            self.sign_in()
        return self.call(method, path, headers={"Authorization": f"Bearer {self.token}"}, **options)

    def search(self, **body: Any) -> httpx.Response:
        return self.ask("POST", COMBINED, json=body)

    def update(self, native_id: str, *pairs: tuple[str, Any]) -> httpx.Response:
        rows = [{"name": name, "value": value} for name, value in pairs]
        return self.ask("PATCH", PATCH, json={"composite_ids": [native_id], "action_parameters": rows})

    def contain(self, device_id: str, action: str = "contain") -> httpx.Response:
        return self.ask("POST", ACTIONS, params={"action_name": action}, json={"ids": [device_id]})

    def session(self, **body: Any) -> httpx.Response:
        return self.ask("POST", SESSIONS, json={"device_id": "cs-aid-1", **body})

    def order(self, line: str, path: str = RESPONDER, **changes: str) -> httpx.Response:
        session_id = self.session(queue_offline=True).json()["resources"][0]["session_id"]
        body = {"base_command": line.partition(" ")[0], "command_string": line, "session_id": session_id, **changes}
        return self.ask("POST", path, json=body)

    def outcome(self, ordered: httpx.Response, path: str = RESPONDER, sequence_id: int = 0) -> dict[str, Any]:
        asked = {"cloud_request_id": ordered.json()["resources"][0]["cloud_request_id"], "sequence_id": sequence_id}
        answer = self.ask("GET", path, params=asked)
        return dict(answer.json()["resources"][0]) if answer.is_success else {"status": answer.status_code}

    def status(self, device_id: str) -> str:
        answer = self.ask("POST", "/devices/entities/devices/v2", json={"ids": [device_id]})
        return str(answer.json()["resources"][0]["status"])


@pytest.fixture
def time() -> FakeTime:
    return FakeTime(NOON)


@pytest.fixture
def simulator(time: FakeTime) -> Simulator:
    made = Simulator(clock=time.clock, secret="s3cret")
    made.add_devices([LAPTOP])
    return made


@pytest.fixture
def client(simulator: Simulator) -> Client:
    return Client(simulator)


def raised(simulator: Simulator, uid: str, seconds: float = 0, **options: Any) -> str:
    return simulator.add(StoryAlert(uid, NOON + timedelta(seconds=seconds), "Odd process", "rule-1", "high", **options))


def message(response: httpx.Response) -> str:
    return str(response.json()["errors"][0]["message"])


# Authentication


def test_a_token_is_created_for_half_an_hour_and_names_its_cloud(client: Client, time: FakeTime) -> None:
    response = client.sign_in()
    assert response.status_code == 201
    assert response.json()["expires_in"] == 1799
    assert response.headers["x-cs-region"] == "us-1"
    assert client.search().status_code == 200
    time.advance(1799)
    assert client.search().status_code == 401


@pytest.mark.parametrize(
    ("changes", "status", "text"),
    [
        ({"client_id": "x"}, 400, "Failed to generate access token for clientID=x"),
        ({"client_secret": "x"}, 403, "Failed to issue access token - Not Authorized"),
        ({"client_secret": ""}, 400, "required"),
    ],
)
def test_wrong_credentials_get_the_documented_refusals(
    client: Client, changes: dict[str, str], status: int, text: str
) -> None:
    response = client.sign_in(**changes)
    assert response.status_code == status
    assert text in message(response)


def test_credentials_in_a_basic_header_are_not_taken(client: Client, simulator: Simulator) -> None:
    assert client.call("POST", "/oauth2/token", auth=(simulator.client_id, simulator.secret)).status_code == 400


def test_two_simulators_refuse_each_others_tokens(client: Client) -> None:
    client.sign_in()
    other = Client(Simulator(clock=lambda: NOON))
    other.token = client.token
    assert other.search().status_code == 401


@pytest.mark.parametrize("scope", sorted(ALL_SCOPES))
def test_each_call_needs_its_scope(client: Client, simulator: Simulator, scope: str) -> None:
    calls: dict[str, tuple[str, str, dict[str, Any]]] = {
        "alerts:read": ("POST", COMBINED, {"json": {}}),
        "alerts:write": ("PATCH", PATCH, {"json": {}}),
        "hosts:read": ("GET", "/devices/queries/devices/v1", {}),
        "hosts:write": ("POST", ACTIONS, {"json": {}}),
        "iocs:read": ("GET", "/iocs/combined/indicator/v1", {}),
        "iocs:write": ("DELETE", IOCS, {}),
        "rtr:read": ("POST", SESSIONS, {"json": {}}),
        "rtr:write": ("POST", RESPONDER, {"json": {}}),
        "rtr:admin": ("POST", ADMIN, {"json": {}}),
        "ods:read": ("GET", "/ods/queries/scans/v1", {}),
        "ods:write": ("POST", SCANS, {"json": {}}),
        "quarantine:read": ("POST", "/quarantine/entities/quarantined-files/GET/v1", {"json": {}}),
        "quarantine:write": ("PATCH", QUARANTINE, {"json": {}}),
    }
    method, path, options = calls[scope]
    assert client.ask(method, path, **options).status_code != 403
    simulator.scopes = set(ALL_SCOPES - {scope})
    assert client.ask(method, path, **options).status_code == 403


def test_a_client_of_another_cloud_is_told_which(time: FakeTime) -> None:
    client = Client(Simulator(clock=time.clock, home="eu-1"))
    assert client.sign_in().headers["x-cs-region"] == "eu-1"
    assert client.search().status_code == 403
    moved = Client(Simulator(clock=time.clock, home="us-2", redirects=True)).sign_in()
    assert moved.status_code == 308
    assert moved.headers["location"] == "https://api.us-2.crowdstrike.com/oauth2/token"


# Envelope and limits


def test_every_answer_has_the_envelope_a_trace_and_the_rate_limit(client: Client) -> None:
    for response in (client.search(), client.search(limit=1001), client.contain("nobody")):
        body = response.json()
        assert set(body) == {"meta", "errors", "resources"}
        assert body["meta"]["trace_id"] == response.headers["x-cs-traceid"]
        assert response.headers["x-ratelimit-limit"] == "6000"


def test_requests_above_the_budget_are_told_when_to_come_back_in_epoch_seconds(time: FakeTime) -> None:
    client = Client(Simulator(clock=time.clock, requests_per_minute=2))
    time.advance(20)
    assert [client.search().status_code for _ in range(2)] == [200, 200]
    refused = client.search()
    assert refused.status_code == 429
    assert int(refused.headers["x-ratelimit-retryafter"]) == int(NOON.timestamp()) + 60
    time.advance(40)
    assert client.search().status_code == 200


def test_an_injected_rate_limit_speaks_the_same(client: Client, simulator: Simulator) -> None:
    simulator.faults.add("rate_limited", times=1, path=COMBINED, options={"retry_after": 9})
    response = client.search()
    assert int(response.headers["x-ratelimit-retryafter"]) == int(NOON.timestamp()) + 9
    assert response.json()["errors"] == [{"code": 429, "message": "too many requests"}]


@pytest.mark.parametrize("body", [b"", b"[]", b"{"])
def test_a_body_that_is_no_object_is_refused(client: Client, body: bytes) -> None:
    assert client.ask("POST", COMBINED, content=body).status_code == 400


@pytest.mark.parametrize("limit", [0, 1001, "10", True])
def test_a_limit_outside_the_range_is_refused_not_clamped(client: Client, limit: Any) -> None:
    assert client.search(limit=limit).status_code == 400


def test_a_query_reaches_no_further_than_ten_thousand(client: Client) -> None:
    path = "/alerts/queries/alerts/v2"
    assert client.ask("GET", path, params={"limit": 0}).status_code == 200
    assert client.ask("GET", path, params={"limit": 1000, "offset": 9000}).status_code == 200
    assert client.ask("GET", path, params={"limit": 1000, "offset": 9001}).status_code == 400
    assert client.ask("GET", path, params={"limit": "many"}).status_code == 400


# Alerts


def test_pages_follow_the_sort_and_end_without_a_token(client: Client, simulator: Simulator) -> None:
    wanted = [raised(simulator, f"a{number}", number) for number in range(5)]
    for direction, order in (("asc", wanted), ("desc", wanted[::-1])):
        found: list[str] = []
        after: dict[str, str] = {}
        while True:
            body = client.search(sort=f"created_timestamp|{direction}", limit=2, **after).json()
            found += [alert["composite_id"] for alert in body["resources"]]
            if "after" not in body["meta"]["pagination"]:
                break
            after = {"after": body["meta"]["pagination"]["after"]}
        assert found == order


def test_a_page_token_belongs_to_its_sort(client: Client, simulator: Simulator) -> None:
    for number in range(3):
        raised(simulator, f"a{number}", number)
    first = client.search(sort="created_timestamp|asc", limit=1).json()["meta"]["pagination"]["after"]
    assert client.search(sort="created_timestamp|asc", limit=1, after=first).status_code == 200
    assert "another sort" in message(client.search(sort="updated_timestamp|asc", limit=1, after=first))
    assert client.search(sort="created_timestamp|asc", after="bm9uZQ==").status_code == 400


def test_paging_runs_over_live_data(client: Client, simulator: Simulator, time: FakeTime) -> None:
    first, second = raised(simulator, "a", -2), raised(simulator, "b", -1)
    page = client.search(sort="updated_timestamp|asc", limit=1).json()
    assert page["resources"][0]["composite_id"] == first
    time.advance(1)
    simulator.triage(first, ("add_tag", "moved"))
    rest = client.search(sort="updated_timestamp|asc", limit=5, after=page["meta"]["pagination"]["after"]).json()
    assert [alert["composite_id"] for alert in rest["resources"]] == [second, first]


@pytest.mark.parametrize("sort", ["severity|asc", "created_timestamp", "created_timestamp|up", ""])
def test_a_sort_that_is_not_offered_is_refused(client: Client, sort: str) -> None:
    assert client.search(sort=sort).status_code == 400


def test_a_filter_narrows_by_time_to_the_nanosecond(client: Client, simulator: Simulator) -> None:
    native_id = raised(simulator, "a", 0.000123)
    created = simulator.alerts[native_id]["created_timestamp"]
    assert created == "2026-11-01T12:00:00.000123861Z"
    for operator, count in ((">=", 1), ("<=", 1), (">", 0), ("<", 0)):
        found = client.search(filter=f"created_timestamp:{operator}'{created}'").json()["resources"]
        assert len(found) == count


@pytest.mark.parametrize(
    ("text", "fits"),
    [
        ("product:'epp'", True),
        ("product:['idp','epp']", True),
        ("product:['idp']", False),
        ("product:!'idp'", True),
        ("severity:>=70+severity:<=70", True),
        ("severity:70", True),
        ("severity:>70", False),
        ("show_in_ui:true+status:'new'", True),
        ("show_in_ui:false", False),
        ("", True),
    ],
)
def test_filters_mean_what_they_say(text: str, fits: bool) -> None:
    fields = {"product": "word", "severity": "number", "status": "word", "show_in_ui": "flag"}
    row = {"product": "epp", "severity": 70, "status": "new", "show_in_ui": True}
    assert parse(text, fields)(row) is fits


@pytest.mark.parametrize(
    "text",
    [
        "product:epp",
        "product:>'epp'",
        "product='epp'",
        "product:'epp' severity:70",
        "product:'epp'+",
        "+product:'epp'",
        "product:['epp'",
        "product:[epp]",
        "severity:'70'",
        "severity:high",
        "show_in_ui:'true'",
        "created_timestamp:>='yesterday'",
        "created_timestamp:>=2026",
        "nothing:'x'",
        "product:'epp',product:'idp'",
    ],
)
def test_a_malformed_filter_is_refused(client: Client, text: str) -> None:
    assert client.search(filter=text).status_code == 400
    with pytest.raises(FqlError):
        parse(text, {"product": "word", "severity": "number", "show_in_ui": "flag", "created_timestamp": "time"})


def test_a_quoted_host_name_minds_no_case_and_a_list_does() -> None:
    fields = {"hostname": "text"}
    for text, fits in (("hostname:'ws-0042'", True), ("hostname:['ws-0042']", False), ("hostname:'ws-00'", False)):
        assert parse(text, fields)({"hostname": "WS-0042"}) is fits
    assert parse("hostname:'ws-0042'", fields)({"hostname": "WS-0042-OLD"})


def test_reading_takes_composite_ids_and_reports_the_unknown(client: Client, simulator: Simulator) -> None:
    native_id = raised(simulator, "a")
    body = client.ask("POST", ENTITIES, json={"composite_ids": [native_id, "nobody"]}).json()
    assert [alert["composite_id"] for alert in body["resources"]] == [native_id]
    assert body["errors"] == [{"code": 404, "message": "nobody not found"}]
    refused: list[dict[str, list[str]]] = [{"ids": [native_id]}, {"composite_ids": []}, {"composite_ids": ["x"] * 1001}]
    for wrong in refused:
        assert client.ask("POST", ENTITIES, json=wrong).status_code == 400


def test_an_update_changes_the_alert_its_time_and_answers_without_resources(
    client: Client, simulator: Simulator, time: FakeTime
) -> None:
    native_id = raised(simulator, "a")
    time.advance(3)
    body = client.update(native_id, ("update_status", "closed"), ("append_comment", "done")).json()
    assert "resources" not in body
    assert body["meta"]["writes"] == {"resources_affected": 1}
    assert simulator.alerts[native_id]["updated_timestamp"] == "2026-11-01T12:00:03.000000000Z"
    assert simulator.alert_state(native_id) == {"status": "closed", "disposition": "", "comments": ["done"]}


def test_removals_go_before_additions(client: Client, simulator: Simulator) -> None:
    native_id = raised(simulator, "a")
    client.update(native_id, ("add_tag", "fc/one"), ("add_tag", "two"))
    client.update(native_id, ("add_tag", "two"), ("remove_tag", "two"), ("remove_tags_by_prefix", "fc/"))
    assert simulator.alerts[native_id]["tags"] == ["two"]


def test_assignment_visibility_and_its_end(client: Client, simulator: Simulator) -> None:
    native_id = raised(simulator, "a")
    client.update(native_id, ("assign_to_name", "Alice"), ("show_in_ui", "false"))
    assert simulator.alerts[native_id]["assigned_to_name"] == "Alice"
    assert simulator.alerts[native_id]["show_in_ui"] is False
    client.update(native_id, ("unassign", ""), ("show_in_ui", "true"))
    assert simulator.alerts[native_id]["assigned_to_name"] == ""


@pytest.mark.parametrize(
    "pair",
    [
        ("show_in_ui", True),
        ("show_in_ui", "yes"),
        ("update_status", "true_positive"),
        ("update_status", 1),
        ("set_verdict", "x"),
    ],
)
def test_an_update_that_falcon_does_not_know_is_refused_whole(
    client: Client, simulator: Simulator, pair: tuple[str, Any]
) -> None:
    native_id = raised(simulator, "a")
    before = json.dumps(simulator.alerts[native_id])
    assert client.update(native_id, ("add_tag", "x"), pair).status_code == 400
    assert json.dumps(simulator.alerts[native_id]) == before


@pytest.mark.parametrize(
    "body",
    [
        {"ids": ["x"], "action_parameters": [{"name": "add_tag", "value": "x"}]},
        {"composite_ids": ["x"]},
        {"composite_ids": ["x"], "action_parameters": []},
        {"composite_ids": ["x"], "action_parameters": [{"name": "add_tag"}]},
    ],
)
def test_an_update_in_an_older_shape_is_refused(client: Client, body: Mapping[str, Any]) -> None:
    assert client.ask("PATCH", PATCH, json=body).status_code == 400


def test_an_update_of_an_unknown_alert_is_a_success_with_an_error_inside(client: Client) -> None:
    response = client.update("nobody", ("add_tag", "x"))
    assert response.status_code == 200
    assert response.json()["meta"]["writes"] == {"resources_affected": 0}
    assert response.json()["errors"][0]["code"] == 404


def test_a_partial_answer_is_a_success_with_errors_and_half_the_alerts(client: Client, simulator: Simulator) -> None:
    for number in range(4):
        raised(simulator, f"a{number}", number)
    simulator.faults.add("partial_answer", times=1)
    response = client.search()
    assert response.status_code == 200
    assert len(response.json()["resources"]) == 2
    assert response.json()["errors"]
    assert len(client.search().json()["resources"]) == 4


def test_a_renamed_field_shows_in_answers_only(client: Client, simulator: Simulator) -> None:
    native_id = raised(simulator, "a")
    simulator.faults.add("drifted_field", options={"field": "severity", "to": "severity_score"})
    (alert,) = client.search().json()["resources"]
    assert "severity" not in alert
    assert alert["severity_score"] == simulator.alerts[native_id]["severity"]


def test_searches_are_no_mutations(client: Client, simulator: Simulator) -> None:
    native_id = raised(simulator, "a")
    client.search()
    client.ask("POST", ENTITIES, json={"composite_ids": [native_id]})
    client.status("cs-aid-1")
    assert simulator.mutations() == []
    client.update(native_id, ("add_tag", "x"))
    assert [seen.path for seen in simulator.mutations()] == [PATCH]


# Hosts


def test_containment_moves_through_pending_to_contained_and_back(
    client: Client, simulator: Simulator, time: FakeTime
) -> None:
    simulator.faults.add("late_effect", options={"seconds": 5})
    assert client.status("cs-aid-1") == "normal"
    assert client.contain("cs-aid-1").status_code == 202
    assert client.status("cs-aid-1") == "containment_pending"
    time.advance(5)
    assert client.status("cs-aid-1") == "contained"
    client.contain("cs-aid-1", "lift_containment")
    assert client.status("cs-aid-1") == "lift_containment_pending"
    time.advance(5)
    assert client.status("cs-aid-1") == "normal"


@pytest.mark.parametrize("action", ["contain", "lift_containment"])
def test_a_repeated_order_is_accepted_with_an_error_entry(client: Client, action: str) -> None:
    if action == "contain":
        client.contain("cs-aid-1")
    response = client.contain("cs-aid-1", action)
    assert response.status_code == 202
    assert response.json()["resources"] == []
    assert response.json()["errors"][0]["code"] == 409


def test_orders_for_what_is_not_there_are_refused(client: Client) -> None:
    response = client.contain("nobody")
    assert response.status_code == 404
    assert message(response) == "No matching device found for ID nobody"
    assert client.contain("cs-aid-1", "isolate").status_code == 400
    too_many = {"ids": ["cs-aid-1"] * 101}
    assert client.ask("POST", ACTIONS, params={"action_name": "contain"}, json=too_many).status_code == 400


def test_hosts_are_found_and_read(client: Client, simulator: Simulator) -> None:
    assert f"{PREFIX}aid-1" in simulator.fleet.devices
    query = client.ask("GET", "/devices/queries/devices/v1", params={"filter": "hostname:'ws-0042'"}).json()
    assert query["resources"] == ["cs-aid-1"]
    read = client.ask("POST", "/devices/entities/devices/v2", json={"ids": ["cs-aid-1", "nobody"]})
    assert read.status_code == 200
    assert read.json()["resources"][0]["hostname"] == "WS-0042"
    assert read.json()["errors"][0]["code"] == 404
    assert client.ask("POST", "/devices/entities/devices/v2", json={"ids": ["nobody"]}).status_code == 404


def test_a_retired_sensor_keeps_the_time_it_was_last_heard(
    client: Client, simulator: Simulator, time: FakeTime
) -> None:
    simulator.retire("cs-aid-1")
    time.advance(3600)
    (host,) = client.ask("POST", "/devices/entities/devices/v2", json={"ids": ["cs-aid-1"]}).json()["resources"]
    assert host["last_seen"] == "2026-11-01T12:00:00Z"


# Indicators


def test_an_indicator_is_made_found_and_deleted_by_id(client: Client, simulator: Simulator) -> None:
    made = client.ask("POST", IOCS, json={"indicators": [INDICATOR]})
    assert made.status_code == 201
    (row,) = made.json()["resources"]
    found = client.ask(
        "GET", "/iocs/combined/indicator/v1", params={"filter": f"type:'sha256'+value:'{INDICATOR['value']}'"}
    )
    assert [other["id"] for other in found.json()["resources"]] == [row["id"]]
    assert client.ask("DELETE", IOCS, params={"ids": row["id"]}).status_code == 200
    assert simulator.indicators == {}
    assert client.ask("DELETE", IOCS, params={"ids": row["id"]}).status_code == 404
    assert client.ask("DELETE", IOCS).status_code == 400


def test_a_duplicate_indicator_is_refused(client: Client) -> None:
    client.ask("POST", IOCS, json={"indicators": [INDICATOR]})
    again = client.ask("POST", IOCS, json={"indicators": [INDICATOR]})
    assert again.status_code == 400
    assert "Duplicate" in message(again)


def test_an_indicator_is_changed_by_its_id_and_what_is_not_named_stays(client: Client, simulator: Simulator) -> None:
    made = client.ask("POST", IOCS, json={"indicators": [INDICATOR]}).json()["resources"][0]
    later = {"id": made["id"], "expiration": "2027-01-01T00:00:00Z"}
    assert client.ask("PATCH", IOCS, json={"indicators": [later]}).status_code == 200
    (row,) = simulator.indicators.values()
    assert (row["expiration"], row["action"]) == ("2027-01-01T00:00:00Z", made["action"])
    for wrong in ({"id": "nobody"}, {**later, "value": "cd" * 32}, {**later, "expiration": "soon"}, "x"):
        assert client.ask("PATCH", IOCS, json={"indicators": [wrong]}).status_code == 400
    assert client.ask("PATCH", IOCS, json={}).status_code == 400


@pytest.mark.parametrize(
    "change",
    [
        {"type": "sha1"},
        {"value": "short"},
        {"action": "block"},
        {"type": "domain", "value": "bad.example.com"},
        {"severity": None},
        {"severity": "urgent"},
        {"platforms": []},
        {"platforms": ["amiga"]},
        {"applied_globally": False},
        {"expiration": "tomorrow"},
        {"unheard": "of"},
    ],
)
def test_an_indicator_that_breaks_a_rule_is_refused(
    client: Client, simulator: Simulator, change: Mapping[str, Any]
) -> None:
    assert client.ask("POST", IOCS, json={"indicators": [{**INDICATOR, **change}]}).status_code == 400
    assert simulator.indicators == {}


def test_network_indicators_only_detect(client: Client) -> None:
    network = {**INDICATOR, "type": "ipv4", "value": "203.0.113.9"}
    assert client.ask("POST", IOCS, json={"indicators": [network]}).status_code == 400
    assert client.ask("POST", IOCS, json={"indicators": [{**network, "action": "detect"}]}).status_code == 201


def test_a_delete_filter_takes_precedence_and_deletes_in_bulk(client: Client, simulator: Simulator) -> None:
    rows = [{**INDICATOR, "value": pair * 32} for pair in ("ab", "cd")]
    names = [row["id"] for row in client.ask("POST", IOCS, json={"indicators": rows}).json()["resources"]]
    client.ask("DELETE", IOCS, params={"ids": names[0], "filter": "type:'sha256'"})
    assert simulator.indicators == {}


# Real Time Response, scans, quarantine


def test_a_session_is_given_again_until_it_idled_out_and_a_command_needs_a_living_one(
    client: Client, time: FakeTime
) -> None:
    first = client.session().json()["resources"][0]
    time.advance(599)
    second = client.session().json()["resources"][0]
    assert (second["session_id"], second["existing_aid_sessions"]) == (first["session_id"], 1)
    time.advance(600)
    assert client.order("kill 4711", session_id=first["session_id"]).status_code == 404
    assert client.session().json()["resources"][0]["session_id"] != first["session_id"]


def test_an_offline_host_has_a_session_only_for_who_waits(client: Client, simulator: Simulator) -> None:
    assert client.session(device_id="nobody", queue_offline=True).status_code == 404
    simulator.faults.add("offline_host")
    refused = client.session()
    assert (refused.status_code, refused.json()["errors"][0]["code"]) == (404, 40401)
    assert client.session(queue_offline=True).json()["resources"][0]["offline_queued"] is True


def test_a_queued_command_waits_its_seven_days_and_runs_when_the_host_is_back(
    client: Client, simulator: Simulator, time: FakeTime
) -> None:
    simulator.faults.add("offline_host")
    ordered = client.order(f"get {PROCESS.path}")
    session_id = ordered.json()["resources"][0]["session_id"]
    queued = {"ids": [session_id]}
    path = "/real-time-response/entities/queued-sessions/GET/v1"
    assert client.ask("POST", path, json=queued).json()["resources"][0]["Commands"][0]["status"] == "PENDING"
    assert client.outcome(ordered)["complete"] is False
    time.advance(6 * 86_400)
    simulator.faults.clear()
    client.token = ""
    assert client.outcome(ordered)["complete"] is True
    assert client.ask("POST", path, json=queued).json()["resources"][0]["status"] == "FINISHED"
    (file,) = client.ask("GET", "/real-time-response/entities/file/v2", params={"session_id": session_id}).json()[
        "resources"
    ]
    assert (file["complete"], file["sha256"]) == (True, PROCESS.sha256)


@pytest.mark.parametrize(
    ("line", "path", "changes"),
    [
        ("runscript -CloudFile='x'", RESPONDER, {}),
        ("format c:", ADMIN, {}),
        ("kill 4711", RESPONDER, {"base_command": "get"}),
        ("kill 4711", RESPONDER, {"session_id": ""}),
        ("kill 4711", RESPONDER, {"comment": "why"}),
    ],
)
def test_a_command_of_another_level_or_shape_is_refused(
    client: Client, simulator: Simulator, line: str, path: str, changes: dict[str, str]
) -> None:
    assert client.order(line, path, **changes).status_code == 400
    assert 4711 in simulator.fleet.devices["cs-aid-1"].processes


def test_output_comes_in_chunks_at_the_level_that_ran_it(client: Client, simulator: Simulator) -> None:
    simulator.add_script("long", "0123456789" * 4)
    ordered = client.order("runscript -CloudFile='long'", ADMIN)
    first, second = (client.outcome(ordered, ADMIN, number) for number in (0, 1))
    assert (first["complete"], second["complete"]) == (False, True)
    assert first["stdout"] + second["stdout"] == "0123456789" * 4
    assert client.outcome(ordered, ADMIN, 2) == client.outcome(ordered, RESPONDER) == {"status": 404}
    assert client.ask("GET", ADMIN, params={"cloud_request_id": "x"}).status_code == 400


def test_a_path_with_a_space_needs_quotes(client: Client, simulator: Simulator) -> None:
    files = simulator.fleet.devices["cs-aid-1"].files
    files["C:\\a b"] = files[PROCESS.path]
    assert client.outcome(client.order("get C:\\a b"))["stderr"]
    assert not client.outcome(client.order('get "C:\\a b"'))["stderr"]


@pytest.mark.parametrize(
    "change",
    [
        {"description": None},
        {"cpu_priority": 6},
        {"cpu_priority": True},
        {"hosts": []},
        {"file_paths": []},
        {"sensor_ml_level_prevention": 3},
        {"unheard": "of"},
    ],
)
def test_a_scan_that_breaks_a_rule_is_refused(client: Client, simulator: Simulator, change: Mapping[str, Any]) -> None:
    assert client.ask("POST", SCANS, json={**SCAN, **change}).status_code == 400
    assert (
        client.ask("POST", SCANS, json={name: SCAN[name] for name in SCAN if name != "quarantine"}).status_code == 400
    )
    assert simulator.scans == {}


def test_scans_are_found_by_time_and_read_by_id(client: Client, time: FakeTime) -> None:
    made = [client.ask("POST", SCANS, json=SCAN).json()["resources"][0]["id"]]
    time.advance(60)
    made.append(client.ask("POST", SCANS, json=SCAN).json()["resources"][0]["id"])
    query = {"filter": "created_on:>='2026-11-01T12:00:30Z'", "sort": "created_on|desc"}
    assert client.ask("GET", "/ods/queries/scans/v1", params=query).json()["resources"] == made[1:]
    read = client.ask("GET", "/ods/entities/scans/v2", params={"ids": [made[0], "nothing"]}).json()
    assert [row["status"] for row in read["resources"]] == ["completed"]
    assert read["errors"][0]["code"] == 404
    assert client.ask("GET", "/ods/queries/scans/v1", params={"sort": "status|asc"}).status_code == 400


def test_a_quarantined_file_is_known_by_host_and_hash_and_changed_by_word(client: Client, simulator: Simulator) -> None:
    raised(simulator, "a", device=LAPTOP, process=PROCESS)
    name = f"cs-aid-1_{PROCESS.sha256}"

    def state() -> str:
        path = "/quarantine/entities/quarantined-files/GET/v1"
        return str(client.ask("POST", path, json={"ids": [name]}).json()["resources"][0]["state"])

    for action, word in (("unrelease", "quarantined"), ("release", "released"), ("delete", "deleted")):
        assert client.ask("PATCH", QUARANTINE, json={"ids": [name], "action": action}).status_code == 200
        assert state() == word
    assert client.ask("PATCH", QUARANTINE, json={"ids": [name], "action": "release"}).status_code == 400
    assert client.ask("PATCH", QUARANTINE, json={"ids": [name], "action": "restore"}).status_code == 400
    assert client.ask("PATCH", QUARANTINE, json={"ids": ["x"], "action": "release"}).status_code == 404


# Payloads


def test_an_endpoint_alert_tells_the_whole_story(simulator: Simulator) -> None:
    native_id = raised(
        simulator,
        "a",
        device=LAPTOP,
        process=PROCESS,
        user="alice",
        user_domain="CORP",
        user_sid="S-1-5-21-1-2-3-1001",
        technique_ids=("T1059.001",),
        tactic_ids=("TA0002",),
        destination_address="203.0.113.9",
        destination_port=443,
        domain="bad.example.com",
        convicted_sha256="ab" * 32,
        raised_at=NOON + timedelta(minutes=3),
    )
    alert = simulator.alerts[native_id]
    assert native_id == f"{simulator.cid}:{alert['id']}"
    assert alert["id"].startswith("ind:cs-aid-1:")
    assert alert["device"]["hostname"] == "WS-0042"
    assert alert["device"]["device_id"] == alert["agent_id"] == "cs-aid-1"
    assert alert["device"]["status"] == "normal"
    assert (alert["product"], alert["type"], alert["severity"], alert["severity_name"]) == ("epp", "ldt", 70, "High")
    assert (alert["filename"], alert["sha256"], alert["local_process_id"]) == ("odd.exe", "ab" * 32, "4711")
    assert alert["filepath"] == "\\Device\\HarddiskVolume3\\Temp\\odd.exe"
    assert alert["parent_details"]["cmdline"] == "winword.exe /n letter.docx"
    assert (alert["user_name"], alert["user_id"], alert["logon_domain"]) == ("alice", "S-1-5-21-1-2-3-1001", "CORP")
    assert alert["mitre_attack"] == [
        {
            "pattern_id": alert["pattern_id"],
            "tactic": "Execution",
            "tactic_id": "TA0002",
            "technique": "Command and Scripting Interpreter",
            "technique_id": "T1059.001",
        }
    ]
    assert (alert["technique_id"], alert["tactic_id"]) == ("T1059.001", "TA0002")
    assert alert["network_accesses"][0]["remote_address"] == "203.0.113.9"
    assert alert["dns_requests"][0]["domain_name"] == "bad.example.com"
    assert alert["ioc_value"] == "ab" * 32
    assert alert["timestamp"] == "2026-11-01T12:00:00.000Z"
    assert alert["created_timestamp"] == alert["updated_timestamp"] == "2026-11-01T12:03:00.000000000Z"


def test_an_alert_without_host_and_process_is_an_identity_alert(simulator: Simulator) -> None:
    alert = simulator.alerts[raised(simulator, "a", user="alice", source_address="198.51.100.7")]
    assert (alert["product"], alert["source_account_name"]) == ("idp", "alice")
    assert alert["source_endpoint_address_ip4"] == "198.51.100.7"
    assert "device" not in alert


def test_an_orphan_process_has_no_parent(simulator: Simulator) -> None:
    orphan = StoryProcess("sh", "/bin/sh", "sh", 1, "cd" * 32)
    alert = simulator.alerts[raised(simulator, "a", device=LAPTOP, process=orphan)]
    assert "parent_details" not in alert
    assert alert["filepath"] == "/bin/sh"


def test_one_story_gives_the_same_bytes_under_the_same_secret(time: FakeTime) -> None:
    def told(secret: str) -> str:
        simulator = Simulator(clock=time.clock, secret=secret)
        return json.dumps(simulator.alerts[raised(simulator, "a", device=LAPTOP, process=PROCESS)])

    assert told("one") == told("one")
    assert told("one") != told("two")


def test_a_story_raises_each_alert_once(simulator: Simulator) -> None:
    raised(simulator, "a")
    with pytest.raises(ValueError, match="twice"):
        raised(simulator, "a")
