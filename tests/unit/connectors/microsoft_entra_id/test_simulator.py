import asyncio
import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

import httpx
import pytest

from nightdesk.connectors.microsoft_entra_id.odata import ODataError, parse
from nightdesk.connectors.microsoft_entra_id.simulator import Simulator
from nightdesk.hub.registry import Registry
from nightdesk.sdk.testing import StoryAccount, StoryAlert
from nightdesk.sdk.testing.fake_time import FakeTime
from nightdesk.stix.ids import TenantKey
from nightdesk.stix.scope import Scope

NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)
BASE = "https://graph.example.com"
RISKS = "/identityProtection/riskDetections"
ANNA = StoryAccount("a-1", "anna", "anna@corp.example.com", "CORP", "S-1-5-21-1-2-3-1001", ("finance",))


class Client:
    """An app registration with one token, that lets a second pass before each call."""

    def __init__(self, simulator: Simulator, time: FakeTime) -> None:
        self.simulator = simulator
        self.time = time
        self.token = ""

    def call(self, method: str, path: str, **options: Any) -> httpx.Response:
        async def once() -> httpx.Response:
            transport = httpx.ASGITransport(self.simulator)
            async with httpx.AsyncClient(transport=transport, base_url=BASE) as client:
                return await client.request(method, path, **options)

        return asyncio.run(once())

    def sign_in(self, *, tenant: str = "", **changes: str) -> httpx.Response:
        form = {
            "grant_type": "client_credentials",
            "client_id": self.simulator.client_id,
            "client_secret": self.simulator.secret,
            "scope": f"{BASE}/.default",
            **changes,
        }
        response = self.call("POST", f"/{tenant or self.simulator.tenant_id}/oauth2/v2.0/token", data=form)
        self.token = response.json().get("access_token", "")
        return response

    def ask(
        self, method: str, path: str, *, headers: Mapping[str, str] | None = None, wait: float = 1, **options: Any
    ) -> httpx.Response:
        if not self.token:
            self.sign_in()
        self.time.advance(wait)
        signed = {"Authorization": f"Bearer {self.token}", **(headers or {})}
        return self.call(method, path if path.startswith("http") else f"/v1.0{path}", headers=signed, **options)

    def get(self, path: str, **query: Any) -> httpx.Response:
        text = urlencode({f"${name}": value for name, value in query.items()})
        return self.ask("GET", f"{path}?{text}" if text else path)


@pytest.fixture
def time() -> FakeTime:
    return FakeTime(NOON)


@pytest.fixture
def simulator(time: FakeTime) -> Simulator:
    return Simulator(clock=time.clock, secret="s3cret")


@pytest.fixture
def client(simulator: Simulator, time: FakeTime) -> Client:
    return Client(simulator, time)


@pytest.fixture
def anna(simulator: Simulator) -> str:
    return simulator.users.enrol([ANNA])[0]


def raised(simulator: Simulator, uid: str, **options: Any) -> str:
    story = StoryAlert(uid, NOON, "Odd sign-in", "unlikelyTravel", "high", user="anna")
    return simulator.add(replace(story, **options))


def error(response: httpx.Response) -> tuple[int, str]:
    return response.status_code, str(response.json()["error"]["code"])


# Tokens, permissions, throttles


def test_a_token_lives_an_hour(client: Client) -> None:
    assert client.sign_in().json()["expires_in"] == 3599
    assert client.get("/users").status_code == 200
    client.time.advance(3600)
    assert error(client.get("/users")) == (401, "InvalidAuthenticationToken")


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"tenant": "another"}, "invalid_request"),
        ({"client_id": "another"}, "unauthorized_client"),
        ({"client_secret": "wrong"}, "invalid_client"),
        ({"scope": "https://graph.example.com/User.Read.All"}, "invalid_scope"),
        ({"grant_type": "password"}, "unsupported_grant_type"),
    ],
)
def test_a_wrong_token_request_is_refused_by_name(client: Client, changes: dict[str, str], code: str) -> None:
    response = client.sign_in(**changes)
    assert response.status_code in {400, 401}
    assert response.json()["error"] == code


def test_an_error_has_graphs_envelope_and_its_request_id(client: Client) -> None:
    response = client.get("/users/nobody")
    assert error(response) == (404, "Request_ResourceNotFound")
    assert response.json()["error"]["innerError"]["request-id"] == response.headers["request-id"]


def test_what_nobody_consented_to_is_denied(client: Client, simulator: Simulator, anna: str) -> None:
    simulator.permissions = {"User.Read.All", "User-PasswordProfile.ReadWrite.All"}
    assert error(client.get(RISKS)) == (403, "Authorization_RequestDenied")
    change = {"accountEnabled": False}
    assert error(client.ask("PATCH", f"/users/{anna}", json=change)) == (403, "Authorization_RequestDenied")
    assert simulator.directory.accounts[anna].enabled


def test_identity_protection_takes_one_request_a_second_and_says_nothing_of_when(client: Client) -> None:
    assert client.get(RISKS).status_code == 200
    refused = client.ask("GET", RISKS, wait=0.5)
    assert error(refused) == (429, "TooManyRequests")
    assert "retry-after" not in refused.headers
    assert client.ask("GET", "/identityProtection/riskyUsers", wait=0.5).status_code == 200


def test_reports_take_five_requests_in_ten_seconds_and_say_when_to_come_back(client: Client) -> None:
    body = {"requestIds": ["one"]}
    answers = [client.ask("POST", "/auditLogs/signIns/dismiss", json=body, wait=1) for _ in range(6)]
    assert [answer.status_code for answer in answers] == [204] * 5 + [429]
    assert answers[-1].headers["retry-after"] == "5"


# Collections


def test_pages_are_twenty_unless_asked_and_never_over_five_hundred(client: Client, simulator: Simulator) -> None:
    for number in range(23):
        raised(simulator, f"a{number}")
    first = client.get(RISKS).json()
    assert len(first["value"]) == 20
    rest = client.ask("GET", first["@odata.nextLink"]).json()
    assert len(rest["value"]) == 3
    assert "@odata.nextLink" not in rest
    assert error(client.get(RISKS, top=501))[0] == 400


@pytest.mark.parametrize(
    "query",
    [
        {"filter": "createdDateTime ge 2026-11-01T00:00:00Z"},
        {"filter": "detectedDateTime ge yesterday"},
        {"filter": "detectedDateTime ge 2026-11-01T00:00:00Z and"},
        {"orderby": "riskLevel"},
        {"skip": 5},
        {"top": 0},
        {"skiptoken": "made-up"},
    ],
)
def test_a_query_that_graph_does_not_take_is_refused(client: Client, query: dict[str, Any]) -> None:
    assert error(client.get(RISKS, **query))[0] == 400


def test_a_page_token_fits_its_own_query_and_can_expire(client: Client, simulator: Simulator) -> None:
    for number in range(3):
        raised(simulator, f"a{number}")
    link = client.get(RISKS, top=1).json()["@odata.nextLink"]
    assert client.ask("GET", link).status_code == 200
    assert client.ask("GET", link.replace("top=1", "top=2")).status_code == 400
    simulator.forget_pages()
    assert client.ask("GET", link).status_code == 400


def test_detections_are_filtered_by_when_they_were_detected_inclusively(client: Client, simulator: Simulator) -> None:
    wanted = raised(simulator, "a", raised_at=NOON + timedelta(hours=3))
    raised(simulator, "b", raised_at=NOON + timedelta(hours=2))
    found = client.get(RISKS, filter="detectedDateTime ge 2026-11-01T15:00:00.0000000Z").json()["value"]
    assert [row["id"] for row in found] == [wanted]
    assert found[0]["detectionTimingType"] == "offline"
    assert found[0]["activityDateTime"] < found[0]["detectedDateTime"]


@pytest.mark.parametrize(
    ("text", "fits"),
    [
        ("a eq 'O''NEILL'", True),
        ("a ne 'x' and (b eq false or startswith(a,'O'''))", True),
        ("b eq true or c lt 2026-11-01T12:00:00Z", False),
        ("c le 2026-11-01T12:00:00.0000000Z and c gt 2026-10-31T00:00:00Z", True),
    ],
)
def test_a_filter_is_read_as_odata(text: str, fits: bool) -> None:
    row = {"a": "o'neill", "b": False, "c": "2026-11-01T12:00:00.0000000Z"}
    assert parse(text, {"a": "text", "b": "flag", "c": "time"}).test(row) is fits


@pytest.mark.parametrize(
    "text", ["", "a", "a is 'x'", "a eq x", "a eq 'x", "(a eq 'x'", "a eq 'x')", "startswith(a 'x')"]
)
def test_a_broken_filter_is_refused(text: str) -> None:
    with pytest.raises(ODataError):
        parse(text, {"a": "text"})


# Risks


def test_a_risk_of_a_user_follows_from_his_detections(client: Client, simulator: Simulator, anna: str) -> None:
    raised(simulator, "a", severity="low")
    raised(simulator, "b", severity="critical")
    assert client.get("/identityProtection/riskyUsers").json()["value"] == []
    simulator.risks.recalculate()
    (row,) = client.get("/identityProtection/riskyUsers").json()["value"]
    assert (row["id"], row["riskLevel"], row["riskState"]) == (anna, "high", "atRisk")


def test_confirming_a_sign_in_raises_its_user_too(client: Client, simulator: Simulator, anna: str) -> None:
    row = simulator.risks.detections[raised(simulator, "a", severity="low")]
    client.ask("POST", "/auditLogs/signIns/confirmCompromised", json={"requestIds": [row["requestId"]]})
    assert (row["riskState"], row["riskLevel"]) == ("confirmedCompromised", "high")
    assert simulator.risks.risky_users[anna]["riskLevel"] == "high"


def test_confirming_a_user_leaves_a_detection_of_no_sign_in(client: Client, simulator: Simulator, anna: str) -> None:
    raised(simulator, "a")
    client.ask("POST", "/identityProtection/riskyUsers/confirmCompromised", json={"userIds": [anna]})
    (added,) = [row for row in simulator.risks.detections.values() if row["requestId"] is None]
    assert added["riskEventType"] == "adminConfirmedUserCompromised"
    client.ask("POST", "/identityProtection/riskyUsers/dismiss", json={"userIds": [anna]})
    assert {row["riskState"] for row in simulator.risks.detections.values()} == {"dismissed"}


@pytest.mark.parametrize(
    "body",
    [{}, {"requestIds": []}, {"requestIds": "one"}, {"requestIds": [1]}, {"requestIds": ["x"] * 61}, {"ids": ["x"]}],
)
def test_a_verdict_of_another_shape_is_refused(client: Client, body: dict[str, Any]) -> None:
    assert error(client.ask("POST", "/auditLogs/signIns/dismiss", json=body))[0] == 400


def test_a_newer_reason_is_told_only_to_who_asks_for_it(client: Client, simulator: Simulator, anna: str) -> None:
    native_id = raised(simulator, "a")
    simulator.risks.judge_users("confirmSafe", [anna])
    path = f"{RISKS}/{native_id}"
    asked = client.ask("GET", path, headers={"Prefer": "include-unknown-enum-members"}).json()
    assert asked["riskDetail"] == "adminConfirmedAccountSafe"
    assert client.get(path).json()["riskDetail"] == "unknownFutureValue"


def test_a_renamed_field_shows_in_answers_only(client: Client, simulator: Simulator) -> None:
    native_id = raised(simulator, "a")
    simulator.faults.add("drifted_field", options={"field": "riskLevel", "to": "risk"})
    assert client.get(f"{RISKS}/{native_id}").json()["risk"] == "high"
    assert simulator.risks.detections[native_id]["riskLevel"] == "high"


def test_a_story_comes_out_of_the_mapping_whole(simulator: Simulator, anna: str) -> None:
    native_id = raised(
        simulator,
        "a",
        rule_id="passwordSpray",
        source_address="198.51.100.7",
        technique_ids=("T1110.003",),
        raised_at=NOON + timedelta(hours=1),
    )
    simulator.risks.recalculate()
    normalizer, scope = Registry.load(strangers=False).normalizer(), Scope("acme", "Acme", TenantKey(b"k" * 32))
    risky_user = simulator.risks.risky_users[anna]
    told = [
        normalizer.normalize(simulator.vendor, json.dumps(payload).encode(), scope).objects
        for payload in (simulator.risks.detections[native_id], risky_user)
    ]
    for objects in told:
        (account,) = [each for each in objects if each["type"] == "user-account"]
        assert (account["user_id"], account["account_login"]) == (anna, "anna@corp.example.com")
    (incident,) = [each for each in told[0] if each["type"] == "incident"]
    assert incident["name"] == "Password spray"
    assert incident["created"] == "2026-11-01T13:00:00.000Z"
    assert "T1110.003" in {each.get("external_id") for each in incident["external_references"]}
    assert "198.51.100.7" in {each.get("value") for each in told[0]}
    (state,) = [each for each in told[1] if each["type"] == "incident"]
    assert state["name"] == "Risky user: anna@corp.example.com"


@pytest.mark.parametrize(
    ("user", "domain", "principal"),
    [
        ("ANNA", "corp.example.com", "anna@corp.example.com"),
        ("anna@corp.example.com", "", "anna@corp.example.com"),
        ("zoe", "CORP", "zoe@corp.example.com"),
        ("zoe", "lab.example.net", "zoe@lab.example.net"),
        ("", "", None),
    ],
)
def test_a_detection_is_about_the_account_that_the_story_means(
    simulator: Simulator, anna: str, user: str, domain: str, principal: str | None
) -> None:
    row = simulator.risks.detections[raised(simulator, "a", user=user, user_domain=domain)]
    assert row["userPrincipalName"] == principal
    assert (row["userId"] == anna) is (principal == "anna@corp.example.com")


# Directory


def test_whether_an_account_is_enabled_is_told_only_when_selected(client: Client, anna: str) -> None:
    assert "accountEnabled" not in client.get(f"/users/{anna}").json()
    assert client.get(f"/users/{anna}", select="accountEnabled").json()["accountEnabled"] is True
    assert "accountEnabled" not in client.get("/users").json()["value"][0]
    assert error(client.get(f"/users/{anna}", select="enabled"))[0] == 400


def test_some_filters_need_the_advanced_query_capabilities(client: Client, anna: str) -> None:
    query = urlencode({"$filter": "onPremisesSamAccountName eq 'anna'"})
    assert error(client.ask("GET", f"/users?{query}")) == (400, "Request_UnsupportedQuery")
    eventual = {"ConsistencyLevel": "eventual"}
    assert error(client.ask("GET", f"/users?{query}", headers=eventual))[0] == 400
    found = client.ask("GET", f"/users?{query}&$count=true", headers=eventual).json()
    assert ([row["id"] for row in found["value"]], found["@odata.count"]) == ([anna], 1)


def test_a_guest_is_named_with_a_hash_that_must_be_escaped(client: Client, simulator: Simulator) -> None:
    (native_id,) = simulator.users.enrol([ANNA], guest=True)
    principal = "anna_corp.example.com%23EXT%23@tenant.example.com"
    assert client.get(f"/users/{principal}").json()["id"] == native_id
    client.ask("POST", f"/users/{native_id}/revokeSignInSessions")
    assert simulator.directory.accounts[native_id].sessions == 1


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"accountEnabled": "no"},
        {"enabled": False},
        {"passwordProfile": {}},
        {"passwordProfile": {"password": "x", "unheard": True}},
    ],
)
def test_a_change_that_graph_does_not_know_is_refused(client: Client, anna: str, body: dict[str, Any]) -> None:
    assert error(client.ask("PATCH", f"/users/{anna}", json=body)) == (400, "Request_BadRequest")


def test_a_forced_password_change_can_be_taken_back(client: Client, simulator: Simulator, anna: str) -> None:
    for forced in (True, False):
        profile = {"passwordProfile": {"forceChangePasswordNextSignIn": forced}}
        assert client.ask("PATCH", f"/users/{anna}", json=profile).status_code == 204
        assert simulator.directory.accounts[anna].must_change_password is forced


def test_a_role_of_its_own_lets_the_application_change_an_administrator(client: Client, simulator: Simulator) -> None:
    (native_id,) = simulator.users.enrol([replace(ANNA, privileged=True)])
    path, body = f"/users/{native_id}", {"accountEnabled": False}
    assert client.ask("PATCH", path, json=body).status_code == 403
    simulator.users.privileged_app = True
    assert client.ask("PATCH", path, json=body).status_code == 204


def test_members_are_added_by_reference_once_and_removed_by_reference(
    client: Client, simulator: Simulator, anna: str
) -> None:
    group = simulator.groups.add("payroll")
    path = f"/groups/{group}/members"
    body = {"@odata.id": f"{BASE}/v1.0/directoryObjects/{anna}"}
    assert client.ask("POST", f"{path}/$ref", json={"@odata.id": anna}).status_code == 400
    assert client.ask("POST", f"{path}/$ref", json=body).status_code == 204
    assert error(client.ask("POST", f"{path}/$ref", json=body)) == (400, "Request_BadRequest")
    assert client.ask("DELETE", f"{path}/{anna}").status_code == 404
    assert client.ask("DELETE", f"{path}/{anna}/$ref").status_code == 204
    assert error(client.ask("DELETE", f"{path}/{anna}/$ref"))[0] == 404


def test_the_default_method_is_deleted_last_and_the_password_never(
    client: Client, simulator: Simulator, anna: str
) -> None:
    simulator.directory.accounts[anna].factors = 2
    base = f"/users/{anna}/authentication"
    password, default, phone = client.get(f"{base}/methods").json()["value"]
    path = f"{base}/microsoftAuthenticatorMethods/{default['id']}"
    assert client.ask("DELETE", f"{base}/passwordMethods/{password['id']}").status_code == 404
    assert error(client.ask("DELETE", path)) == (400, "badRequest")
    assert client.ask("DELETE", f"{base}/phoneMethods/{phone['id']}").status_code == 204
    assert client.ask("DELETE", path).status_code == 204
    assert simulator.directory.accounts[anna].factors == 0


def test_reading_and_signing_in_change_nothing(client: Client, simulator: Simulator, anna: str) -> None:
    client.get(f"/users/{anna}")
    assert simulator.mutations() == []
    client.ask("POST", f"/users/{anna}/revokeSignInSessions")
    assert [seen.path for seen in simulator.mutations()] == [f"/v1.0/users/{anna}/revokeSignInSessions"]


def test_a_story_raises_each_alert_once_and_the_same_under_the_same_secret(
    simulator: Simulator, time: FakeTime
) -> None:
    native_id = raised(simulator, "a")
    assert raised(Simulator(clock=time.clock, secret="s3cret"), "a") == native_id
    assert raised(Simulator(clock=time.clock, secret="other"), "a") != native_id
    with pytest.raises(ValueError, match="twice"):
        raised(simulator, "a")
