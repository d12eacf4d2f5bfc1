import asyncio
import json
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any

import httpx
import pytest

from nightdesk.connectors.paloalto_cortex_xdr.simulator import ALL_PERMISSIONS, Simulator
from nightdesk.hub.registry import Registry
from nightdesk.sdk.testing import StoryAlert, StoryDevice
from nightdesk.sdk.testing.fake_time import FakeTime
from nightdesk.sdk.testing.story import StoryProcess
from nightdesk.stix.ids import TenantKey
from nightdesk.stix.scope import Scope

NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)
BAD = "ab" * 32
MALWARE = StoryProcess("odd.exe", "C:\\Temp\\odd.exe", "odd.exe -x", 4711, BAD, "winword.exe", "winword.exe /n a.docx")
LAPTOP = StoryDevice("1", "WS-0042", ("192.0.2.42",), processes=(MALWARE,))
ALERTS = "v2/alerts/get_alerts_multi_events/"
INCIDENTS = "v1/incidents/get_incidents/"
ENDPOINTS = "v1/endpoints/get_endpoint/"


class Client:
    """A program with the tenant's API key."""

    def __init__(self, simulator: Simulator, time: FakeTime) -> None:
        self.simulator = simulator
        self.time = time

    def signed(self, *, nonce: str = "n" * 64, skew: float = 0) -> dict[str, str]:
        moment = str(int((self.time.now.timestamp() + skew) * 1000))
        digest = sha256(f"{self.simulator.secret}{nonce}{moment}".encode()).hexdigest()
        return {"x-xdr-auth-id": "12", "x-xdr-nonce": nonce, "x-xdr-timestamp": moment, "Authorization": digest}

    def post(self, path: str, headers: dict[str, str], content: bytes) -> httpx.Response:
        async def once() -> httpx.Response:
            transport = httpx.ASGITransport(self.simulator)
            async with httpx.AsyncClient(transport=transport, base_url="https://api-tenant.example.com") as client:
                return await client.post(f"/public_api/{path}", headers=headers, content=content)

        return asyncio.run(once())

    def ask(self, path: str, **data: Any) -> httpx.Response:
        return self.post(path, self.signed(), json.dumps({"request_data": data}).encode())

    def reply(self, path: str, **data: Any) -> Any:
        response = self.ask(path, **data)
        assert response.status_code == 200, response.text
        return response.json()["reply"]


@pytest.fixture
def time() -> FakeTime:
    return FakeTime(NOON)


@pytest.fixture
def client(time: FakeTime) -> Client:
    simulator = Simulator(clock=time.clock, secret="s3cret")
    simulator.add_devices([LAPTOP])
    return Client(simulator, time)


def raised(client: Client, uid: str, seconds: float = 0, **options: Any) -> str:
    moment = NOON + timedelta(seconds=seconds)
    return client.simulator.add(StoryAlert(uid, moment, "Odd", "rule-1", **{"severity": "high", **options}))


def where(field: str, operator: str, value: Any) -> dict[str, Any]:
    return {"filters": [{"field": field, "operator": operator, "value": value}]}


def only(name: str = "cx1") -> dict[str, Any]:
    return where("endpoint_id_list", "in", [name])


# Authentication and envelope


def test_a_raw_key_with_nonce_and_time_is_no_signature(client: Client) -> None:
    headers = {**client.signed(), "Authorization": "s3cret"}
    assert client.post(ALERTS, headers, b'{"request_data": {}}').status_code == 401


@pytest.mark.parametrize("broken", [{"nonce": "short"}, {"skew": 301}, {"skew": -301}])
def test_a_nonce_has_64_letters_and_the_time_is_about_now(client: Client, broken: dict[str, Any]) -> None:
    body = b'{"request_data": {}}'
    assert client.post(ALERTS, client.signed(), body).status_code == 200
    assert client.post(ALERTS, client.signed(**broken), body).status_code == 401


def test_a_standard_key_is_compared_as_it_is_and_belongs_to_its_id(time: FakeTime) -> None:
    client = Client(Simulator(clock=time.clock, secret="s3cret", key_kind="standard"), time)
    for key_id, status in (("12", 200), ("13", 401)):
        headers = {"x-xdr-auth-id": key_id, "Authorization": "s3cret"}
        assert client.post(ALERTS, headers, b'{"request_data": {}}').status_code == status


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"request_data": []}'])
def test_a_body_without_request_data_is_a_bad_request_in_the_envelope(client: Client, body: bytes) -> None:
    response = client.post(ALERTS, client.signed(), body)
    assert (response.status_code, set(response.json()["reply"])) == (400, {"err_code", "err_msg", "err_extra"})


def test_a_wrong_path_is_a_plain_500_of_the_gateway_and_the_last_slash_does_not_matter(client: Client) -> None:
    wrong = client.ask("v1/incidents/incidents/")
    assert (wrong.status_code, wrong.headers["content-type"].partition(";")[0]) == (500, "text/plain")
    assert client.ask(ALERTS.rstrip("/")).status_code == client.ask(ALERTS).status_code == 200


@pytest.mark.parametrize("permission", sorted(ALL_PERMISSIONS))
def test_each_call_needs_its_permission(client: Client, permission: str) -> None:
    calls = {
        "alerts:view": ALERTS,
        "alerts:edit": "v1/alerts/update_alerts/",
        "endpoints:view": ENDPOINTS,
        "endpoints:isolate": "v1/endpoints/isolate",
        "endpoints:scan": "v1/endpoints/scan/",
        "endpoints:quarantine": "v1/quarantine/status/",
        "endpoints:retrieve": "v1/endpoints/file_retrieval/",
        "lists:edit": "v1/hash_exceptions/blocklist/",
        "scripts:run": "v1/scripts/run_script/",
    }
    assert client.ask(calls[permission]).status_code != 403
    client.simulator.permissions = set(ALL_PERMISSIONS - {permission})
    assert client.ask(calls[permission]).status_code == 403


def test_the_budget_of_a_minute_ends_in_429_and_comes_back(time: FakeTime) -> None:
    client = Client(Simulator(clock=time.clock, secret="s3cret", requests_per_minute=2), time)
    assert [client.ask(ALERTS).status_code for _ in range(3)] == [200, 200, 429]
    time.advance(60)
    assert client.ask(ALERTS).status_code == 200


# Lists


@pytest.mark.parametrize(
    "data",
    [
        {"search_from": 0, "search_to": 101},
        {"search_from": 5, "search_to": 5},
        {"search_from": "0"},
        {"sort": {"field": "name", "keyword": "asc"}},
        {"sort": {"field": "creation_time", "keyword": "up"}},
        {"limit": 5},
        where("modification_time", "gte", 0),
        where("creation_time", "gt", 0),
        where("creation_time", "gte", "2026-11-01"),
        where("alert_id_list", "in", ["880001"]),
        where("severity", "in", []),
        {"filters": [{"field": "severity", "value": ["high"]}]},
    ],
)
def test_what_the_lists_do_not_take_is_a_500_with_the_reason_in_err_extra(client: Client, data: dict[str, Any]) -> None:
    response = client.ask(ALERTS, **data)
    assert (response.status_code, response.json()["reply"]["err_code"]) == (500, 500)
    assert response.json()["reply"]["err_extra"]


def test_ids_are_numbers_in_filters_of_alerts_and_texts_in_those_of_incidents(client: Client) -> None:
    native_id = raised(client, "one")
    found = client.reply(ALERTS, **where("alert_id_list", "in", [int(native_id)]))
    assert [row["alert_id"] for row in found["alerts"]] == [native_id]
    assert client.ask(INCIDENTS, **where("incident_id_list", "in", [31])).status_code == 500
    assert client.reply(INCIDENTS, **where("incident_id_list", "in", ["31"]))["result_count"] == 1


def test_a_window_is_from_inclusive_to_exclusive_and_sorted_as_asked(client: Client) -> None:
    ids = [raised(client, f"a{number}", number) for number in range(5)]
    sort = {"field": "server_creation_time", "keyword": "asc"}
    page = client.reply(ALERTS, search_from=1, search_to=3, sort=sort)
    assert ([row["alert_id"] for row in page["alerts"]], page["total_count"], page["result_count"]) == (ids[1:3], 5, 2)
    last = client.reply(ALERTS, search_from=0, search_to=1, sort={**sort, "keyword": "desc"})
    assert last["alerts"][0]["alert_id"] == ids[4]


def test_filters_are_joined_by_and_and_bounds_are_inclusive(client: Client) -> None:
    for number in range(4):
        raised(client, f"a{number}", number, severity="high" if number % 2 else "low")
    at = int(NOON.timestamp() * 1000)
    filters = [
        {"field": "server_creation_time", "operator": "gte", "value": at + 1000},
        {"field": "server_creation_time", "operator": "lte", "value": at + 3000},
        {"field": "severity", "operator": "in", "value": ["HIGH"]},
    ]
    assert client.reply(ALERTS, filters=filters)["total_count"] == 2


def test_alert_sources_beside_another_filter_is_a_500(client: Client) -> None:
    raised(client, "one")
    sources = where("alert_sources", "in", ["XDR Analytics"])["filters"]
    assert client.reply(INCIDENTS, filters=sources)["result_count"] == 1
    starred = where("starred", "eq", False)["filters"]
    assert client.ask(INCIDENTS, filters=[*sources, *starred]).status_code == 500


def test_low_alerts_open_no_incident_and_extra_data_holds_the_alerts_of_one(client: Client) -> None:
    raised(client, "low", severity="low")
    assert client.simulator.incidents == {}
    raised(client, "high", device=LAPTOP, process=MALWARE, convicted_sha256=BAD)
    extra = client.reply("v1/incidents/get_incident_extra_data/", incident_id="31", alerts_limit=10)
    assert extra["alerts"]["data"][0]["action_process_image_sha256"] == BAD
    assert [each["is_malicious"] for each in extra["file_artifacts"]["data"]] == [True]
    assert client.ask("v1/incidents/get_incident_extra_data/", incident_id="99").status_code == 500


# Updates


@pytest.mark.parametrize("status", ["resolved_auto", "resolved", "STATUS_010_NEW", "resolved_threat_handled", ""])
def test_a_status_that_cannot_be_asked_for_is_refused_for_both(client: Client, status: str) -> None:
    native_id = raised(client, "one")
    for path, data in (
        ("v1/alerts/update_alerts/", {"alert_id_list": [native_id]}),
        ("v1/incidents/update_incident/", {"incident_id": "31"}),
    ):
        assert client.ask(path, **data, update_data={"status": status}).status_code == 500
        assert client.ask(path, **data, update_data={"status": "resolved_other"}).status_code == 200


def test_an_update_names_the_alerts_it_changed_and_stamps_them(client: Client, time: FakeTime) -> None:
    native_id = raised(client, "one")
    time.advance(5)
    reply = client.reply(
        "v1/alerts/update_alerts/", alert_id_list=[native_id, "7"], update_data={"status": "resolved_false_positive"}
    )
    assert reply == {"alerts_ids": [native_id]}
    row = client.simulator.alerts[int(native_id)]
    assert (row["resolution_status"], row["last_modified_ts"]) == (
        "STATUS_060_RESOLVED_FALSE_POSITIVE",
        int(time.now.timestamp() * 1000),
    )
    too_many = client.ask("v1/alerts/update_alerts/", alert_id_list=["1"] * 101, update_data={"comment": "x"})
    assert too_many.status_code == 500


def test_an_incidents_comment_is_added_and_not_shown_and_every_change_is_a_version(client: Client) -> None:
    raised(client, "one")
    before = client.simulator.incidents["31"]["modification_time"]
    comment = {"comment_action": "add", "value": "seen"}
    for _ in range(2):
        client.reply("v1/incidents/update_incident/", incident_id="31", update_data={"comment": comment})
    assert client.simulator.incidents["31"]["modification_time"] == before + 2
    assert "seen" not in str(client.reply(INCIDENTS))
    assert (
        client.ask("v1/incidents/update_incident/", incident_id="31", update_data={"comments": []}).status_code == 500
    )


def test_resolving_an_incident_resolves_its_alerts_only_when_asked(client: Client) -> None:
    native_id = raised(client, "one")
    for more, wanted in (({}, "open"), ({"resolve_all_alerts": True}, "closed")):
        changes = {"status": "resolved_other", **more}
        client.reply("v1/incidents/update_incident/", incident_id="31", update_data=changes)
        assert client.simulator.alert_state(native_id)["status"] == wanted


# Endpoints and actions


def test_isolation_goes_through_its_states_and_takes_one_endpoint_or_a_filter_but_not_both(
    client: Client, time: FakeTime
) -> None:
    client.simulator.faults.add("late_effect", options={"seconds": 30})

    def state() -> str:
        return str(client.reply(ENDPOINTS, **only())["endpoints"][0]["is_isolated"])

    assert client.ask("v1/endpoints/isolate", endpoint_id="cx1", **only()).status_code == 500
    reply = client.reply("v1/endpoints/isolate", endpoint_id="cx1")
    assert reply == {"action_id": 1001, "status": 1, "endpoints_count": 1}
    assert state() == "AGENT_PENDING_ISOLATION"
    assert client.ask("v1/endpoints/isolate", endpoint_id="cx1").status_code == 500
    time.advance(30)
    assert state() == "AGENT_ISOLATED"
    client.reply("v1/endpoints/unisolate", **only())
    assert state() == "AGENT_PENDING_ISOLATION_CANCELLATION"
    time.advance(30)
    assert state() == "AGENT_UNISOLATED"


def test_an_action_on_an_agent_that_is_away_stays_pending(client: Client) -> None:
    client.simulator.faults.add("offline_host")
    client.reply("v1/endpoints/isolate", endpoint_id="cx1")
    status = "v1/actions/get_action_status/"
    assert client.reply(status, group_action_id=1001)["data"] == {"cx1": "PENDING"}
    client.simulator.faults.clear()
    assert client.reply(status, group_action_id=1001)["data"] == {"cx1": "COMPLETED_SUCCESSFULLY"}
    assert client.ask(status, group_action_id=7).status_code == 500


def test_a_scan_shows_how_far_it_is_and_can_be_aborted(client: Client) -> None:
    client.simulator.faults.add("late_effect", options={"seconds": 30})

    def state() -> str:
        return str(client.reply(ENDPOINTS, **only())["endpoints"][0]["scan_status"])

    assert state() == "SCAN_STATUS_NONE"
    client.reply("v1/endpoints/scan/", **only())
    assert state() == "SCAN_STATUS_IN_PROGRESS"
    client.reply("v1/endpoints/abort_scan/", **only())
    assert state() == "SCAN_STATUS_CANCELED"


def test_a_file_is_quarantined_on_its_endpoint_and_restored_by_its_hash(client: Client) -> None:
    file = {"endpoint_id": "cx1", "file_path": MALWARE.path, "file_hash": BAD}
    assert client.ask("v1/endpoints/restore/", file_hash=BAD, endpoint_id="cx1").status_code == 500
    client.reply("v1/endpoints/quarantine/", **only(), file_path=MALWARE.path, file_hash=BAD)
    assert client.reply("v1/quarantine/status/", files=[file]) == [{**file, "status": True}]
    assert client.reply("v1/endpoints/restore/", file_hash=BAD, endpoint_id="cx1") == {"action_id": 1002}
    assert client.reply("v1/quarantine/status/", files=[file]) == [{**file, "status": False}]


def test_files_are_retrieved_by_platform_twenty_at_most(client: Client) -> None:
    path = "v1/endpoints/file_retrieval/"
    assert client.ask(path, **only(), files={"linux": ["/etc/passwd"]}).status_code == 500
    assert client.ask(path, **only(), files={"windows": [MALWARE.path] * 21}).status_code == 500
    client.reply(path, **only(), files={"windows": [MALWARE.path]})
    details = client.reply("v1/actions/file_retrieval_details/", group_action_id=1001)
    assert "/download/" in details["data"]["cx1"]


def test_a_hash_that_is_allowed_cannot_be_blocked_and_an_unknown_one_not_removed(client: Client) -> None:
    client.simulator.library.allowed.add(BAD)
    refused = client.ask("v1/hash_exceptions/blocklist/", hash_list=[BAD])
    assert "already been added to the allow or block list" in refused.json()["reply"]["err_extra"]
    assert client.ask("v1/hash_exceptions/blocklist/remove/", hash_list=[BAD]).status_code == 500
    assert client.ask("v1/hash_exceptions/blocklist/", hash_list=["ab" * 16]).status_code == 500
    assert client.reply("v1/hash_exceptions/blocklist/", hash_list=["cd" * 32]) is True


def test_the_short_list_names_every_endpoint(client: Client) -> None:
    (row,) = client.reply("v1/endpoints/get_endpoints/")
    assert row == {"agent_id": "cx1", "agent_status": "CONNECTED", "host_name": "WS-0042", "ip": ["192.0.2.42"]}


# What comes out of the mapping


@pytest.mark.parametrize("unit", ["alerts", "incidents"])
def test_a_story_comes_out_of_its_mapping_whole(time: FakeTime, unit: Any) -> None:
    client = Client(Simulator(clock=time.clock, secret="s3cret", works_on=unit), time)
    options: dict[str, Any] = {"device": LAPTOP, "user": "alice", "user_domain": "CORP", "process": MALWARE}
    options |= {"technique_ids": ("T1059.001",), "tactic_ids": ("TA0002",), "destination_address": "203.0.113.9"}
    native_id = raised(client, "one", **options)
    path = "v1/incidents/get_multiple_incidents_extra_data/" if unit == "incidents" else ALERTS
    (row,) = client.reply(path)[unit]
    normalizer = Registry.load(strangers=False).normalizer()
    scope = Scope("acme", "acme", TenantKey.derived("acme"))
    found = normalizer.normalize("paloalto_cortex_xdr", json.dumps(row).encode(), scope)
    alert = found.alert
    assert (alert.native_id, alert.severity_id, alert.first_seen) == (native_id, 4, NOON)
    assert (alert.techniques, alert.tactics) == (("T1059.001",), ("TA0002",))
    named = {(str(entity.kind), entity.value) for entity in alert.entities}
    assert named >= {
        ("host", "ws-0042"),
        ("account", "alice"),
        ("address", "203.0.113.9"),
        ("file", f"sha256:{BAD}"),
        ("device", "paloalto_cortex_xdr:cx1"),
    }
    commands = {each.get("command_line") for each in found.objects if each["type"] == "process"}
    assert commands == {"odd.exe -x", "winword.exe /n a.docx"}
    assert found.loss.lost == ()
    assert found.loss.wrong == ()
