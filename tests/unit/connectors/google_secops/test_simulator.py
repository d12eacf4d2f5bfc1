import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from joserfc import jwt
from joserfc.jwk import RSAKey

from nightdesk.connectors.google_secops.simulated_tokens import AUDIENCE, SCOPE
from nightdesk.connectors.google_secops.simulator import ALL_PERMISSIONS, TABLE, Simulator
from nightdesk.sdk.testing import StoryAlert
from nightdesk.sdk.testing.fake_time import FakeTime

NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)
URL = "https://us-chronicle.googleapis.com"
SEARCH, CURATED, GET, UPDATE = (
    f"/legacy:legacy{name}" for name in ("SearchDetections", "SearchCuratedDetections", "GetAlert", "UpdateAlert")
)
ROWS = f"/dataTables/{TABLE}/dataTableRows"
GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
RANGE = {"timeRange.startTime": "2026-11-01T00:00:00Z", "timeRange.endTime": "2026-11-02T00:00:00Z"}


class Client:
    """A service account with one token."""

    def __init__(self, **options: Any) -> None:
        self.time = FakeTime(NOON)
        self.simulator = Simulator(clock=self.time.clock, **options)
        self.token = ""

    def call(self, method: str, path: str, **options: Any) -> httpx.Response:
        async def once() -> httpx.Response:
            transport = httpx.ASGITransport(self.simulator)
            async with httpx.AsyncClient(transport=transport, base_url=URL) as client:
                return await client.request(method, path, **options)

        return asyncio.run(once())

    def sign_in(self, key: str = "", kid: str = "", grant: str = GRANT, **changes: Any) -> httpx.Response:
        tokens, now = self.simulator.tokens, int(self.time.clock().timestamp())
        claims = {"iss": tokens.client_email, "aud": AUDIENCE, "iat": now, "exp": now + 600, "scope": SCOPE}
        pem = RSAKey.import_key(key or tokens.private_key)
        header = {"alg": "RS256", "kid": kid or tokens.key_id}
        assertion = jwt.encode(header, {**claims, **changes}, pem, algorithms=["RS256"])
        return self.call("POST", "/token", data={"grant_type": grant, "assertion": assertion})

    def ask(self, method: str, path: str, *, version: str = "v1alpha", **options: Any) -> httpx.Response:
        self.token = self.token or self.sign_in().json()["access_token"]
        headers = {"Authorization": f"Bearer {self.token}"}
        return self.call(method, f"/{version}/{self.simulator.instance}{path}", headers=headers, **options)

    def search(self, path: str = SEARCH, **params: Any) -> httpx.Response:
        return self.ask("GET", path, params={"ruleId": "-", **params})

    def add(self, uid: str, after: float = 0, **options: Any) -> str:
        alert = StoryAlert(uid, NOON + timedelta(seconds=after), "Odd process", "rule-1", "high", user="jdoe")
        return self.simulator.add(alert, **options)


@pytest.fixture
def client() -> Client:
    return Client()


def code(response: httpx.Response) -> tuple[int, str]:
    error = response.json()["error"]
    assert error["code"] == response.status_code
    return response.status_code, error["status"]


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"grant": "client_credentials"}, "unsupported_grant_type"),
        ({"key": "other"}, "invalid_grant"),
        ({"kid": "other"}, "invalid_grant"),
        ({"iss": "somebody@example.com"}, "invalid_grant"),
        ({"aud": f"{URL}/token"}, "invalid_grant"),
        ({"exp": int(NOON.timestamp()) + 3601}, "invalid_grant"),
        ({"exp": int(NOON.timestamp())}, "invalid_grant"),
        ({"iat": int(NOON.timestamp()) + 301, "exp": int(NOON.timestamp()) + 900}, "invalid_grant"),
        ({"scope": ""}, "invalid_scope"),
        ({"scope": "https://www.googleapis.com/auth/gmail"}, "invalid_scope"),
    ],
)
def test_only_a_fresh_assertion_of_the_own_key_for_this_endpoint_gives_a_token(
    client: Client, changes: dict[str, Any], error: str
) -> None:
    if "key" in changes:
        changes = {"key": RSAKey.generate_key(2048, private=True).as_pem(private=True).decode()}
    response = client.sign_in(**changes)
    assert (response.status_code, response.json()["error"]) == (400, error)


def test_a_missing_permission_another_instance_or_version_and_an_old_token_are_refused(client: Client) -> None:
    client.simulator.permissions = set(ALL_PERMISSIONS - {"chronicle.legacies.legacySearchDetections"})
    assert "(or it may not exist)" in client.search().json()["error"]["message"]
    client.simulator.permissions = set(ALL_PERMISSIONS)
    other = client.simulator.instance.replace("soc-project", "other")
    headers = {"Authorization": f"Bearer {client.token}"}
    refused = client.call("GET", f"/v1alpha/{other}{SEARCH}", params={"ruleId": "-"}, headers=headers)
    assert code(refused) == (403, "PERMISSION_DENIED")
    assert code(client.ask("GET", SEARCH, version="v1", params={"ruleId": "-"})) == (404, "NOT_FOUND")
    client.time.advance(3601)
    assert code(client.search()) == (401, "UNAUTHENTICATED")


def test_a_quota_is_counted_a_minute_and_a_method_and_says_no_time(client: Client) -> None:
    client = Client(requests_per_minute=2)
    client.search()
    client.search()
    refused = client.search()
    assert code(refused) == (429, "RESOURCE_EXHAUSTED")
    assert "retry-after" not in refused.headers
    assert client.ask("GET", ROWS).status_code == 200
    client.time.advance(61)
    assert client.search().status_code == 200


@pytest.mark.parametrize(
    "params",
    [
        *(
            {"filter": "x"},
            {"listBasis": "UPDATED_TIME"},
            {"alertState": "OPEN"},
            {"startTime": "2026-11-01T12:00:00+01:00"},
        ),
        *({"pageSize": "many"}, {"pageSize": -1}, {"pageToken": "nonsense"}),
        *({"ruleId": ""}, {"ruleId": "ur_1"}, {"ruleId": "-@v_1_0"}),
        {"startTime": "2026-11-02T00:00:00Z", "endTime": "2026-11-01T00:00:00Z"},
    ],
)
def test_a_search_that_google_would_not_understand_is_refused(client: Client, params: dict[str, Any]) -> None:
    assert code(client.search(**params)) == (400, "INVALID_ARGUMENT")


def test_pages_come_newest_first_and_a_token_fits_its_own_request_only(client: Client) -> None:
    names = [client.add(f"a{number}", number) for number in range(5)]
    first = client.search(pageSize=2, list_basis="CREATED_TIME").json()
    assert [row["id"] for row in first["detections"]] == [names[4], names[3]]
    token = first["nextPageToken"]
    assert code(client.search(pageSize=2, pageToken=token)) == (400, "INVALID_ARGUMENT")
    client.add("between", 9)
    rest = client.search(pageSize=9, listBasis="CREATED_TIME", pageToken=token).json()
    assert [row["id"] for row in rest["detections"]] == names[2::-1]
    assert "nextPageToken" not in rest
    cut = client.search(pageSize=2, maxRespSizeBytes=2500).json()
    assert (len(cut["detections"]), cut["respTooLargeDetectionsTruncated"]) == (1, True)


def test_the_end_is_exclusive_and_the_basis_says_which_time_is_meant(client: Client) -> None:
    told = NOON + timedelta(hours=2)
    late = client.simulator.add(StoryAlert("late", NOON, "Odd", "rule-1", "low", raised_at=told))
    window = {"startTime": "2026-11-01T14:00:00Z", "endTime": "2026-11-01T15:00:00Z"}
    assert client.search(**window).json() == {}
    assert [row["id"] for row in client.search(listBasis="CREATED_TIME", **window).json()["detections"]] == [late]
    window = {"startTime": "2026-11-01T13:00:00Z", "endTime": "2026-11-01T14:00:00Z"}
    assert client.search(listBasis="CREATED_TIME", **window).json() == {}


def test_feedback_changes_what_it_names_and_shows_no_defaults(client: Client) -> None:
    native_id = client.add("one")
    said = {"status": "CLOSED", "verdict": "TRUE_POSITIVE", "confidence_score": 80, "comment": "x"}
    client.ask("POST", UPDATE, json={"alert_id": native_id, "feedback": said})
    client.time.advance(5)
    feedback = {"verdict": "VERDICT_UNSPECIFIED", "comment": ""}
    alert = client.ask("POST", UPDATE, json={"alertId": native_id, "feedback": feedback}).json()
    summary = alert["feedbackSummary"]
    assert summary.pop("idpUserId") == client.simulator.tokens.client_email
    assert summary == {"status": "CLOSED", "confidenceScore": 80, "createTime": alert["lastUpdatedTime"]}
    assert [one.get("comment") for one in alert["feedbackHistory"]] == ["x", None]


@pytest.mark.parametrize(
    "feedback",
    [
        *({}, None, {"status": "DONE"}, {"verdict": "BENIGN"}, {"reason": ""}, {"priority": "HIGH"}, {"comment": None}),
        *({"confidenceScore": 101}, {"severity": "HIGH"}, {"disregarded": "yes"}, {"assignee": "jdoe"}),
    ],
)
def test_feedback_with_a_wrong_value_is_refused(client: Client, feedback: Any) -> None:
    response = client.ask("POST", UPDATE, json={"alertId": client.add("one"), "feedback": feedback})
    assert code(response) == (400, "INVALID_ARGUMENT")


@pytest.mark.parametrize(
    "body",
    [
        {"requests": []},
        {"requests": [{"dataTableRow": {"values": ["only one"]}}]},
        {"requests": [{"dataTableRow": {"values": [1] * 8}}]},
        {"requests": [{"dataTableRow": {"values": [""] * 8, "createTime": "x"}}]},
        {"requests": [{"row": {}}]},
        {"requests": [{"dataTableRow": {"values": [""] * 8}}] * 1001},
        {"rows": []},
    ],
)
def test_rows_that_do_not_fit_the_table_are_refused_and_none_is_made(client: Client, body: dict[str, Any]) -> None:
    assert code(client.ask("POST", f"{ROWS}:bulkCreate", json=body)) == (400, "INVALID_ARGUMENT")
    assert not client.simulator.tables.rows[TABLE]


def test_a_search_compares_fields_exactly_or_by_a_pattern_within_a_time(client: Client) -> None:
    client.add("one")
    fits = {'user = "jdoe" AND metadata.event_type != "PROCESS_LAUNCH"': 1, 'user = "jd"': 0, "user = /^jd/": 1}
    for query, count in fits.items():
        assert len(client.ask("GET", ":udmSearch", params={"query": query, **RANGE}).json().get("events", ())) == count
    for params in ({"query": 'user = "a" OR', **RANGE}, {"query": "user = /(/", **RANGE}, {"query": 'user = "a"'}):
        assert code(client.ask("GET", ":udmSearch", params=params)) == (400, "INVALID_ARGUMENT")
