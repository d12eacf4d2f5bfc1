import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from nightdesk.connectors.microsoft_defender_xdr.names import machine_id
from nightdesk.connectors.microsoft_defender_xdr.odata import FilterError, Kind, parse
from nightdesk.connectors.microsoft_defender_xdr.simulator import ALL_ROLES, Simulator
from nightdesk.sdk.testing import StoryAlert, StoryDevice
from nightdesk.sdk.testing.fake_time import FakeTime

NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)
LAPTOP = StoryDevice("laptop", "WS-0042", ("192.0.2.42",))
MACHINE = machine_id("laptop")
GRAPH = "https://graph.microsoft.com/.default"
ENDPOINT = "https://api.securitycenter.microsoft.com/.default"
ALERTS = "/v1.0/security/alerts_v2"
INDICATOR = {
    "indicatorValue": "bad.example.com",
    "indicatorType": "DomainName",
    "action": "Block",
    "title": "t",
    "description": "d",
}


class Client:
    """An application with a token for each audience, as it is needed."""

    def __init__(self, simulator: Simulator) -> None:
        self.simulator = simulator
        self.tokens: dict[str, str] = {}

    def call(self, method: str, path: str, **options: Any) -> httpx.Response:
        async def once() -> httpx.Response:
            transport = httpx.ASGITransport(self.simulator)
            async with httpx.AsyncClient(transport=transport, base_url="https://graph.example.com") as client:
                return await client.request(method, path, **options)

        return asyncio.run(once())

    def sign_in(self, scope: str = GRAPH, tenant: str = "", **changes: str) -> httpx.Response:
        form = {
            "grant_type": "client_credentials",
            "client_id": self.simulator.client_id,
            "client_secret": self.simulator.secret,
            "scope": scope,
            **changes,
        }
        return self.call("POST", f"/{tenant or self.simulator.tenant_id}/oauth2/v2.0/token", data=form)

    def ask(self, method: str, path: str, *, scope: str = "", **options: Any) -> httpx.Response:
        scope = scope or (ENDPOINT if path.startswith("/api/") else GRAPH)
        if scope not in self.tokens:
            self.tokens[scope] = self.sign_in(scope).json()["access_token"]
        headers = {"Authorization": f"Bearer {self.tokens[scope]}", **options.pop("headers", {})}
        return self.call(method, path, headers=headers, **options)

    def order(self, path: str, **body: str) -> httpx.Response:
        return self.ask("POST", f"/api/machines/{MACHINE}/{path}", json=body)


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


def code(response: httpx.Response) -> str:
    return str(response.json()["error"]["code"])


# Tokens


@pytest.mark.parametrize(
    ("changes", "status", "text"),
    [
        ({"client_secret": "x"}, 401, "AADSTS7000215"),
        ({"client_id": "x"}, 400, "AADSTS700016"),
        ({"tenant": "x"}, 400, "AADSTS90002"),
        ({"scope": "https://graph.microsoft.com/User.Read"}, 400, "AADSTS1002012"),
        ({"grant_type": "password"}, 400, "AADSTS70003"),
    ],
)
def test_the_token_endpoint_refuses_with_its_own_codes(
    client: Client, changes: dict[str, str], status: int, text: str
) -> None:
    response = client.sign_in(**changes)
    assert response.status_code == status
    assert text in response.json()["error_description"]


def test_a_token_of_one_audience_is_refused_on_the_other_and_lives_an_hour(client: Client, time: FakeTime) -> None:
    assert client.ask("GET", ALERTS).status_code == 200
    assert code(client.ask("GET", ALERTS, scope=ENDPOINT)) == "InvalidAuthenticationToken"
    assert code(client.ask("GET", "/api/machines", scope=GRAPH)) == "Unauthorized"
    time.advance(3599)
    assert client.ask("GET", ALERTS).status_code == 401


def test_a_role_is_missing_until_a_token_is_issued_after_it_was_granted(simulator: Simulator, client: Client) -> None:
    simulator.roles = set(ALL_ROLES - {"Machine.Isolate"})
    assert code(client.order("isolate", Comment="c", IsolationType="Full")) == "Forbidden"
    simulator.roles.add("Machine.Isolate")
    assert client.order("isolate", Comment="c", IsolationType="Full").status_code == 403
    client.tokens.clear()
    assert client.order("isolate", Comment="c", IsolationType="Full").status_code == 201


def test_each_surface_counts_its_own_minute(time: FakeTime) -> None:
    client = Client(Simulator(clock=time.clock, requests_per_minute={"graph": 2, "endpoint": 1}))
    assert [client.ask("GET", ALERTS).status_code for _ in range(3)] == [200, 200, 429]
    first, second = (client.ask("GET", "/api/indicators") for _ in range(2))
    assert (first.status_code, second.status_code, second.headers["retry-after"]) == (200, 429, "60")
    time.advance(60)
    assert client.ask("GET", ALERTS).status_code == 200


def test_both_surfaces_have_their_own_error_envelope(client: Client) -> None:
    graph = client.ask("GET", f"{ALERTS}/nothing").json()["error"]
    endpoint = client.ask("GET", f"/api/machines/{'0' * 40}").json()["error"]
    assert set(graph) == {"code", "message", "innerError"}
    assert set(endpoint) == {"code", "message", "target"}
    assert (graph["code"], endpoint["code"]) == ("NotFound", "ResourceNotFound")


# Alerts and incidents


@pytest.mark.parametrize(
    "options",
    [
        {"$filter": "investigationState eq 'running'"},
        {"$filter": "lastUpdateDateTime ge '2026-11-01T00:00:00Z'"},
        {"$filter": "status eq new"},
        {"$filter": "status eq 'new' and"},
        {"$skip": "501"},
        {"$top": "0"},
        {"$orderby": "severity"},
        {"$search": "x"},
        {"$expand": "evidence"},
        {"$skiptoken": "x"},
    ],
)
def test_what_the_alerts_cannot_be_asked_is_a_400(client: Client, options: dict[str, str]) -> None:
    response = client.ask("GET", ALERTS, params=options)
    assert (response.status_code, code(response)) == (400, "BadRequest")


def test_pages_are_clamped_linked_and_newest_first(simulator: Simulator, client: Client) -> None:
    names = [raised(simulator, f"a{number}", number) for number in range(5)]
    assert len(client.ask("GET", ALERTS, params={"$top": "5000"}).json()["value"]) == 5
    first = client.ask("GET", ALERTS, params={"$top": "3", "$count": "true"}).json()
    second = client.ask("GET", first["@odata.nextLink"]).json()
    assert [row["id"] for row in [*first["value"], *second["value"]]] == names[::-1]
    assert first["@odata.count"] == 5
    assert "@odata.nextLink" not in second
    oldest = client.ask("GET", ALERTS, params={"$orderby": "lastUpdateDateTime asc", "$top": "1", "$select": "id"})
    assert oldest.json()["value"] == [{"id": names[0]}]


def test_a_filter_compares_to_the_seventh_digit(simulator: Simulator, client: Client) -> None:
    name = raised(simulator, "one", 0.5)
    moment = simulator.alerts[name]["lastUpdateDateTime"]
    assert moment == "2026-11-01T12:00:00.5000000Z"
    found = [
        len(client.ask("GET", ALERTS, params={"$filter": f"lastUpdateDateTime {sign} {moment}"}).json()["value"])
        for sign in ("ge", "gt")
    ]
    assert found == [1, 0]


def test_newer_enum_words_are_hidden_from_who_does_not_ask_for_them(simulator: Simulator, client: Client) -> None:
    name = raised(simulator, "one")
    simulator.alerts[name]["serviceSource"] = "microsoftSentinel"
    prefer = {"Prefer": "include-unknown-enum-members"}
    assert client.ask("GET", f"{ALERTS}/{name}").json()["serviceSource"] == "unknownFutureValue"
    assert client.ask("GET", f"{ALERTS}/{name}", headers=prefer).json()["serviceSource"] == "microsoftSentinel"


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"status": "Resolved"},
        {"status": "active"},
        {"classification": "TruePositive"},
        {"determination": "compromisedUser"},
        {"severity": "low"},
    ],
)
def test_an_update_takes_only_the_enumerations_own_words(
    simulator: Simulator, client: Client, fields: dict[str, str]
) -> None:
    name = raised(simulator, "one")
    assert client.ask("PATCH", f"{ALERTS}/{name}", json=fields).status_code == 400
    assert simulator.alerts[name]["status"] == "new"


def test_every_write_is_a_new_version_even_within_one_tick(simulator: Simulator, client: Client) -> None:
    name = raised(simulator, "one")
    times = [simulator.alerts[name]["lastUpdateDateTime"]]
    times += [
        client.ask("PATCH", f"{ALERTS}/{name}", json={"status": status}).json()["lastUpdateDateTime"]
        for status in ("resolved", "inProgress")
    ]
    body = {"@odata.type": "microsoft.graph.security.alertComment", "comment": "hello"}
    assert client.ask("POST", f"{ALERTS}/{name}/comments", json=body).json()["value"][0]["comment"] == "hello"
    times.append(simulator.alerts[name]["lastUpdateDateTime"])
    assert times == sorted(set(times))
    assert client.ask("POST", f"{ALERTS}/{name}/comments", json={"comment": "x"}).status_code == 400


def test_incidents_page_by_fifty_and_break_when_too_many_alerts_are_expanded(
    simulator: Simulator, client: Client
) -> None:
    for number in range(60):
        raised(simulator, f"a{number}", number)
    bare = client.ask("GET", "/v1.0/security/incidents", params={"$top": "1000"}).json()
    assert len(bare["value"]) == 50
    expanded = client.ask("GET", "/v1.0/security/incidents", params={"$expand": "alerts", "$top": "1"})
    assert len(expanded.json()["value"][0]["alerts"]) == 1
    for number in range(200):
        raised(simulator, f"b{number}")
    assert client.ask("GET", "/v1.0/security/incidents", params={"$expand": "alerts"}).status_code == 500


# Machines and actions


@pytest.mark.parametrize(
    ("path", "body", "wanted"),
    [
        ("isolate", {"IsolationType": "Full"}, "MissingRequiredParameter"),
        ("isolate", {"comment": "c", "IsolationType": "Full"}, "MissingRequiredParameter"),
        ("isolate", {"Comment": "c", "IsolationType": "full"}, "InvalidInput"),
        ("isolate", {"Comment": "c", "IsolationType": "Full", "x": "y"}, "InvalidRequestBody"),
        ("runAntiVirusScan", {"Comment": "c"}, "InvalidInput"),
        ("StopAndQuarantineFile", {"Comment": "c", "Sha1": "ab" * 32}, "InvalidInput"),
    ],
)
def test_an_action_needs_its_parameters_in_their_own_letter_case(
    client: Client, path: str, body: dict[str, str], wanted: str
) -> None:
    response = client.order(path, **body)
    assert (response.status_code, code(response)) == (400, wanted)


def test_a_second_action_of_a_kind_is_refused_while_one_is_open(simulator: Simulator, client: Client) -> None:
    simulator.faults.add("offline_host")
    made = client.order("isolate", Comment="c", IsolationType="Full").json()
    assert made["status"] == "Pending"
    assert code(client.order("isolate", Comment="c", IsolationType="Full")) == "ActiveRequestAlreadyExists"
    path = f"/api/machineactions/{made['id']}"
    assert client.ask("POST", f"{path}/cancel", json={"Comment": "c"}).json()["status"] == "Cancelled"
    assert client.ask("POST", f"{path}/cancel", json={"Comment": "c"}).status_code == 400
    simulator.faults.clear()
    assert client.ask("GET", path).json()["status"] == "Cancelled"
    assert not simulator.fleet.devices[MACHINE].isolated


def test_isolating_what_is_isolated_stays_open(simulator: Simulator, client: Client, time: FakeTime) -> None:
    client.order("isolate", Comment="c", IsolationType="Full")
    client.order("isolate", Comment="c", IsolationType="Full")
    time.advance(86_400)
    assert [row["status"] for row in simulator.actions.actions()] == ["Pending", "Succeeded"]


def test_the_list_and_the_single_action_call_the_last_change_differently(client: Client) -> None:
    name = client.order("collectInvestigationPackage", Comment="c").json()["id"]
    one = client.ask("GET", f"/api/machineactions/{name}").json()
    (row,) = client.ask("GET", "/api/machineactions", params={"$filter": f"machineId eq '{MACHINE}'"}).json()["value"]
    assert one["lastUpdateDateTimeUtc"] == row["lastUpdateTimeUtc"]
    assert "lastUpdateTimeUtc" not in one
    assert "value" in client.ask("GET", f"/api/machineactions/{name}/getPackageUri").json()


def test_no_machine_says_that_it_is_isolated_and_no_machines_are_a_404(client: Client) -> None:
    before = client.ask("GET", f"/api/machines/{MACHINE}").json()
    client.order("isolate", Comment="c", IsolationType="Full")
    assert client.ask("GET", f"/api/machines/{MACHINE}").json() == before
    assert client.ask("GET", "/api/machines", params={"$filter": "computerDnsName eq 'x'"}).status_code == 404
    assert code(client.ask("GET", "/api/machines", params={"$filter": "machineTags eq 'x'"})) == "ODataError"


# Indicators and hunting


@pytest.mark.parametrize(
    "change",
    [
        {"title": ""},
        {"action": "AlertAndBlock"},
        {"action": "Audit"},
        {"action": "BlockAndRemediate"},
        {"severity": "high"},
        {"indicatorType": "IpAddress", "indicatorValue": "203.0.113.0/24"},
        {"indicatorType": "IpAddress", "indicatorValue": "10.0.0.1"},
        {"indicatorType": "FileSha256", "indicatorValue": "ab" * 20},
        {"expirationTime": "2026-11-01T11:00:00Z"},
        {"expirationTime": "tomorrow"},
        {"tags": "x"},
    ],
)
def test_an_indicator_that_breaks_a_rule_is_refused(
    simulator: Simulator, client: Client, change: dict[str, str]
) -> None:
    assert client.ask("POST", "/api/indicators", json={**INDICATOR, **change}).status_code == 400
    assert not simulator.indicators


def test_submitting_the_same_value_writes_over_it_but_for_its_application(client: Client) -> None:
    first = client.ask("POST", "/api/indicators", json={**INDICATOR, "application": "a"}).json()
    second = client.ask("POST", "/api/indicators", json={**INDICATOR, "application": "b", "action": "Warn"}).json()
    assert (second["id"], second["application"], second["action"]) == (first["id"], "a", "Warn")
    assert client.ask("DELETE", f"/api/indicators/{first['id']}").status_code == 204
    assert client.ask("DELETE", f"/api/indicators/{first['id']}").status_code == 404


def test_without_the_wider_role_only_own_indicators_are_seen(simulator: Simulator, client: Client) -> None:
    name = simulator.add_indicator(indicatorType="DomainName", indicatorValue="bad.example.com")
    assert len(client.ask("GET", "/api/indicators").json()["value"]) == 1
    simulator.roles = {"Ti.ReadWrite"}
    client.tokens.clear()
    assert client.ask("GET", "/api/indicators").json()["value"] == []
    assert client.ask("DELETE", f"/api/indicators/{name}").status_code == 404
    assert client.ask("POST", "/api/indicators", json=INDICATOR).status_code == 403


def test_hunting_knows_its_tables_and_columns(simulator: Simulator, client: Client) -> None:
    raised(simulator, "one")

    def hunt(query: str) -> httpx.Response:
        return client.ask("POST", "/v1.0/security/runHuntingQuery", json={"Query": query})

    assert hunt("AlertInfo | where Title has 'odd' | project Title | take 1").json()["results"] == [
        {"Title": "Odd process"}
    ]
    for query in ("Nothing", "AlertInfo | where Colour == 'x'", "AlertInfo | evaluate bag_unpack(x)", ""):
        assert hunt(query).status_code == 400


FIELDS: dict[str, Kind] = {"a": "text", "b": "text", "at": "time", "id": "guid", "on": "flag"}
ROW = {"a": "x'y", "b": "two", "at": "2026-11-01T12:00:00.1Z", "id": "AB000000-0000-4000-8000-00000000000A", "on": True}


@pytest.mark.parametrize(
    ("text", "fits"),
    [
        ("a eq 'x''y'", True),
        ("a eq 'x' or b eq 'two'", True),
        ("(a eq 'x' or b eq 'two') and b ne 'two'", False),
        ("startswith(b,'tw')", True),
        ("b in ('one','two')", True),
        ("at le 2026-11-01T12:00:00.1000000Z", True),
        ("id eq ab000000-0000-4000-8000-00000000000a", True),
        ("on eq true", True),
        ("", True),
    ],
)
def test_a_filter_reads_as_odata_does(text: str, fits: bool) -> None:
    assert parse(text, FIELDS)(ROW) is fits


@pytest.mark.parametrize(
    "text", ["a eq", "a = 'x'", "c eq 'x'", "a eq 'x", "(a eq 'x'", "a eq 'x' b", "startswith(at,'2')", "id eq 'x'"]
)
def test_a_filter_that_is_none_is_an_error(text: str) -> None:
    with pytest.raises(FilterError):
        parse(text, FIELDS)
