import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from nightdesk.connectors.trend_vision_one.payloads import agent_guid, sha1_of
from nightdesk.connectors.trend_vision_one.simulator import Simulator
from nightdesk.sdk.testing import StoryAlert, StoryDevice
from nightdesk.sdk.testing.fake_time import FakeTime
from nightdesk.sdk.testing.story import StoryProcess

NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)
PROCESS = StoryProcess("odd.exe", r"C:\Temp\odd.exe", "odd.exe -x", 4711, "5f" * 32, "winword.exe", "winword.exe /n")
LAPTOP = StoryDevice("d-1", "WS-0042", ("192.0.2.42",), processes=(PROCESS,))
GUID = agent_guid("d-1")
ALERTS = "/workbench/alerts"


class Client:
    """A caller with the key, and whatever headers a test gives."""

    def __init__(self, simulator: Simulator) -> None:
        self.simulator = simulator

    def ask(self, method: str, path: str, *, headers: dict[str, str] | None = None, **options: Any) -> httpx.Response:
        async def once() -> httpx.Response:
            transport = httpx.ASGITransport(self.simulator)
            async with httpx.AsyncClient(transport=transport, base_url="https://api.xdr.trendmicro.com") as client:
                signed = {"Authorization": f"Bearer {self.simulator.secret}", **(headers or {})}
                where = path if path.startswith("https") else f"/v3.0{path}"
                return await client.request(method, where, headers=signed, **options)

        return asyncio.run(once())

    def alerts(self, filter_text: str = "", **params: Any) -> httpx.Response:
        headers = {"TMV1-Filter": filter_text} if filter_text else {}
        return self.ask("GET", ALERTS, params=params, headers=headers)

    def order(self, path: str, *items: dict[str, Any]) -> list[dict[str, Any]]:
        response = self.ask("POST", path, json=list(items))
        assert response.status_code == 207
        return list(response.json())


@pytest.fixture
def time() -> FakeTime:
    return FakeTime(NOON)


@pytest.fixture
def simulator(time: FakeTime) -> Simulator:
    made = Simulator(clock=time.clock, secret="key")
    made.add_devices([LAPTOP])
    return made


@pytest.fixture
def client(simulator: Simulator) -> Client:
    return Client(simulator)


def raised(simulator: Simulator, uid: str, after: float = 0, **options: Any) -> str:
    told = NOON + timedelta(seconds=after)
    return simulator.add(StoryAlert(uid, told, "Odd process", "rule-1", "high", **options))


def test_without_a_start_only_the_last_day_is_listed(client: Client, simulator: Simulator) -> None:
    raised(simulator, "old", -2 * 86_400)
    young = raised(simulator, "young", -60)
    assert [row["id"] for row in client.alerts().json()["items"]] == [young]
    assert client.alerts(startDateTime="2026-10-01T00:00:00Z").json()["totalCount"] == 2


def test_the_next_link_forgets_the_filter_which_is_a_header(client: Client, simulator: Simulator) -> None:
    for number in range(12):
        raised(simulator, f"a{number}")
    for number in range(5):
        simulator.add(StoryAlert(f"b{number}", NOON, "Quiet", "r", "low"))
    first = client.alerts("severity eq 'high'").json()
    assert (first["totalCount"], first["count"], len(first["items"])) == (12, 10, 10)
    bare = client.ask("GET", first["nextLink"]).json()
    assert bare["totalCount"] == 17
    kept = client.ask("GET", first["nextLink"], headers={"TMV1-Filter": "severity eq 'high'"}).json()
    assert len(kept["items"]) == 2
    assert "nextLink" not in kept


@pytest.mark.parametrize(
    "params",
    [
        {"startDateTime": "2026-11-01T12:00:00.000Z"},
        {"startDateTime": "2026-13-01T12:00:00Z"},
        {"startDateTime": "2026-01-01T00:00:00Z"},
        {"startDateTime": "2026-11-01T11:00:00Z", "endDateTime": "2026-11-01T10:00:00Z"},
        {"dateTimeTarget": "closedDateTime"},
        {"orderBy": "updated asc"},
        {"top": "100"},
        {"skipToken": "x"},
    ],
)
def test_a_list_that_is_asked_for_wrongly_is_refused(client: Client, params: dict[str, str]) -> None:
    response = client.alerts(**params)
    assert response.status_code == 400
    assert response.json()["error"]["code"] == "BadRequest"


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("status eq 'Open' and not severity eq 'low'", 1),
        ("(status eq 'Closed' or severity eq 'high') and alertProvider eq 'SAE'", 1),
        ("contains(impactScopeEntityValue,'0042')", 1),
        ("impactScopeEntityValue eq 'ws-0042'", 0),
        ("indicatorValue eq 'odd.exe -x'", 1),
    ],
)
def test_filters_mean_what_they_say(client: Client, simulator: Simulator, text: str, count: int) -> None:
    raised(simulator, "a", device=LAPTOP, process=PROCESS)
    assert client.alerts(text).json()["totalCount"] == count


@pytest.mark.parametrize("text", ["status = 'Open'", "status eq Open", "nothing eq 'x'", "(status eq 'Open'", "status"])
def test_a_malformed_filter_is_refused(client: Client, text: str) -> None:
    assert client.alerts(text).status_code == 400


def test_an_update_needs_the_etag_of_what_was_read(client: Client, simulator: Simulator, time: FakeTime) -> None:
    path = f"{ALERTS}/{raised(simulator, 'a')}"
    etag = client.ask("GET", path).headers["etag"]
    body = {"status": "In Progress"}
    assert client.ask("PATCH", path, json=body).status_code == 400
    assert client.ask("PATCH", path, json=body, headers={"If-Match": etag.strip('"')}).status_code == 412
    time.advance(1.5)
    assert client.ask("PATCH", path, json=body, headers={"If-Match": etag}).status_code == 204
    refused = client.ask("PATCH", path, json=body, headers={"If-Match": etag})
    assert refused.json()["error"]["code"] == "ConditionNotMet"
    alert = client.ask("GET", path).json()
    assert (alert["status"], alert["investigationStatus"]) == ("In Progress", "In Progress")
    assert alert["updatedDateTime"] == "2026-11-01T12:00:01Z"


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"status": "Done"},
        {"investigationResult": "False"},
        {"severity": "low"},
        {"status": "Closed"},
        ["Closed"],
    ],
)
def test_an_update_that_the_workbench_does_not_know_is_refused(client: Client, simulator: Simulator, body: Any) -> None:
    path = f"{ALERTS}/{raised(simulator, 'a')}"
    etag = client.ask("GET", path).headers["etag"]
    assert client.ask("PATCH", path, json=body, headers={"If-Match": etag}).status_code == 400


def test_a_note_is_answered_by_its_address_spelt_as_the_vendors_library_reads_it(
    client: Client, simulator: Simulator
) -> None:
    path = f"{ALERTS}/{raised(simulator, 'a')}/notes"
    response = client.ask("POST", path, json={"content": "seen"})
    assert response.status_code == 201
    assert dict(response.headers.raw)[b"Location"].endswith(b"/notes/1")
    assert [note["content"] for note in client.ask("GET", path).json()["items"]] == ["seen"]
    assert client.ask("POST", path, json={"text": "x"}).status_code == 400


def test_each_item_of_an_order_has_an_outcome_of_its_own(client: Client) -> None:
    path = "/response/endpoints/isolate"
    good, bad, odd = client.order(path, {"agentGuid": GUID}, {"agentGuid": "nobody"}, {"agentGuid": GUID, "mode": "x"})
    assert good["status"] == 202
    assert good["headers"][0]["value"] == "https://api.xdr.trendmicro.com/v3.0/response/tasks/00000001"
    assert (bad["status"], bad["body"]["error"]["code"]) == (404, "NotFound")
    assert odd["status"] == 400
    assert client.ask("POST", path, json={"agentGuid": GUID}).status_code == 400


def test_a_name_of_several_agents_isolates_none(client: Client, simulator: Simulator) -> None:
    simulator.add_devices([StoryDevice("d-2", "WS-0042", ("192.0.2.43",))])
    (answer,) = client.order("/response/endpoints/isolate", {"endpointName": "WS-0042"})
    assert answer["status"] == 400
    assert not simulator.fleet.devices[GUID].isolated


def test_a_task_is_queued_while_the_host_is_off_and_runs_until_it_is_due(
    client: Client, simulator: Simulator, time: FakeTime
) -> None:
    simulator.faults.add("offline_host")
    simulator.faults.add("late_effect", options={"seconds": 5})
    client.order("/response/endpoints/isolate", {"agentGuid": GUID})

    def status() -> str:
        return str(client.ask("GET", "/response/tasks/00000001").json()["status"])

    assert status() == "queued"
    simulator.faults.faults.pop(0)
    assert status() == "running"
    time.advance(5)
    assert status() == "succeeded"
    assert client.ask("GET", f"/endpointSecurity/endpoints/{GUID}").json()["isolationStatus"] == "on"


def test_tasks_are_listed_by_action(client: Client) -> None:
    client.order("/response/endpoints/isolate", {"agentGuid": GUID, "description": "why"})
    client.order("/response/endpoints/restore", {"agentGuid": GUID})
    rows = client.ask("GET", "/response/tasks", params={"filter": "action eq 'isolate'", "top": 50}).json()["items"]
    assert [(row["action"], row["description"], row["status"]) for row in rows] == [("isolate", "why", "succeeded")]
    assert client.ask("GET", "/response/tasks", params={"top": 10}).status_code == 400


@pytest.mark.parametrize(
    ("item", "status"),
    [
        ({"fileSha1": sha1_of("5f" * 32)}, 202),
        ({"processId": 4711, "fileName": "odd.exe"}, 202),
        ({"processId": 4711}, 400),
        ({"fileName": "odd.exe"}, 400),
        ({"processId": "4711", "fileName": "odd.exe"}, 400),
    ],
)
def test_a_process_needs_its_hash_or_its_number_with_a_name(
    client: Client, simulator: Simulator, item: dict[str, Any], status: int
) -> None:
    (answer,) = client.order("/response/endpoints/terminateProcess", {"agentGuid": GUID, **item})
    assert answer["status"] == status
    assert bool(simulator.fleet.devices[GUID].processes) is (status != 202)


@pytest.mark.parametrize(
    "item",
    [
        {"domain": "bad.example.com", "ip": "203.0.113.7"},
        {"type": "domain", "value": "bad.example.com"},
        {"domain": "bad.example.com", "scanAction": "quarantine"},
        {"domain": "bad.example.com", "daysToExpiration": 0},
        {"fileSha256": "short"},
        {},
    ],
)
def test_an_object_that_breaks_a_rule_is_refused(client: Client, simulator: Simulator, item: dict[str, Any]) -> None:
    (answer,) = client.order("/threatintel/suspiciousObjects", item)
    assert answer["status"] == 400
    assert simulator.objects == {}


def test_objects_expire_and_are_deleted_by_value(client: Client, simulator: Simulator, time: FakeTime) -> None:
    client.order("/threatintel/suspiciousObjects", {"ip": "203.0.113.7", "daysToExpiration": 1})
    path, item = "/threatintel/suspiciousObjects/delete", {"ip": "203.0.113.7"}
    time.advance(86_400)
    assert client.ask("GET", "/threatintel/suspiciousObjects").json()["items"] == []
    assert [client.order(path, item)[0]["status"] for _ in range(2)] == [204, 404]


def test_keys_permissions_rates_and_sizes_are_refused_in_the_vendors_envelope(simulator: Simulator) -> None:
    client = Client(simulator)
    assert (
        client.ask("GET", ALERTS, headers={"Authorization": "Bearer x"}).json()["error"]["code"] == "InvalidCredentials"
    )
    simulator.permissions.discard("workbench.view")
    assert client.alerts().json()["error"]["code"] == "AccessDenied"
    assert client.ask("GET", "/healthcheck/connectivity").json() == {"status": "available"}
    large = client.ask("POST", "/response/endpoints/isolate", json=[{"description": "x" * 1_100_000}])
    assert large.status_code == 413
    limited = Client(Simulator(clock=FakeTime(NOON).clock, requests_per_minute=1))
    limited.alerts()
    refused = limited.alerts()
    assert (refused.status_code, refused.headers["retry-after"]) == (429, "60")
    simulator.faults.add("server_error", options={"status": 503})
    assert client.alerts().headers["content-type"].startswith("text/html")


def test_an_alert_tells_the_whole_story(simulator: Simulator) -> None:
    native_id = raised(
        simulator,
        "a",
        0.9,
        device=LAPTOP,
        process=PROCESS,
        user="jdoe",
        user_domain="CORP",
        technique_ids=("T1059.001",),
        destination_address="203.0.113.9",
        destination_port=443,
        domain="bad.example.com",
        convicted_sha256="ab" * 32,
    )
    alert = simulator.alerts[native_id]
    assert alert["createdDateTime"] == alert["updatedDateTime"] == "2026-11-01T12:00:00Z"
    account, host = alert["impactScope"]["entities"]
    assert account["entityValue"] == "CORP\\jdoe"
    assert host["entityValue"] == {"guid": GUID, "name": "WS-0042", "ips": ["192.0.2.42"]}
    assert alert["matchedRules"][0]["matchedFilters"][0]["mitreTechniqueIds"] == ["T1059.001"]
    values = {indicator["field"]: indicator["value"] for indicator in alert["indicators"]}
    assert values == {
        "processCmd": "odd.exe -x",
        "processFilePath": r"C:\Temp\odd.exe",
        "processFileHashSha1": sha1_of("5f" * 32),
        "processFileHashSha256": "5f" * 32,
        "processPid": "4711",
        "processUser": "CORP\\jdoe",
        "parentName": "winword.exe",
        "parentCmd": "winword.exe /n",
        "dst": "203.0.113.9",
        "dpt": "443",
        "hostName": "bad.example.com",
        "fileHashSha256": "ab" * 32,
    }
    with pytest.raises(ValueError, match="twice"):
        raised(simulator, "a")
