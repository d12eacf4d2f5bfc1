import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from joserfc import jwt
from joserfc.jwk import RSAKey

from nightdesk.connectors.okta.scim import ScimError, parse
from nightdesk.connectors.okta.simulator import Simulator
from nightdesk.sdk.testing import StoryAccount, StoryAlert
from nightdesk.sdk.testing.fake_time import FakeTime

NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)
URL = "https://acme.example.com"
LOGS, USERS, ZONES = "/api/v1/logs", "/api/v1/users", "/api/v1/zones"
ANN = f"{USERS}/00uann"
ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


class Client:
    """An administrator with a token."""

    def __init__(self, simulator: Simulator) -> None:
        self.simulator = simulator
        self.authorization = f"SSWS {simulator.secret}"

    def call(self, method: str, path: str, **options: Any) -> httpx.Response:
        async def once() -> httpx.Response:
            transport = httpx.ASGITransport(self.simulator)
            headers = {"Authorization": self.authorization}
            async with httpx.AsyncClient(transport=transport, base_url=URL, headers=headers) as client:
                return await client.request(method, path, **options)

        return asyncio.run(once())

    def get(self, path: str, **params: Any) -> httpx.Response:
        return self.call("GET", path, params=params or None)

    def code(self, method: str, path: str, **options: Any) -> tuple[int, str]:
        response = self.call(method, path, **options)
        return response.status_code, response.json()["errorCode"] if response.status_code >= 400 else ""

    def status(self) -> str:
        return str(self.get(ANN).json()["status"])


@pytest.fixture
def time() -> FakeTime:
    return FakeTime(NOON)


@pytest.fixture
def simulator(time: FakeTime) -> Simulator:
    made = Simulator(clock=time.clock, secret="s3cret")
    made.add_accounts([StoryAccount("ann", "ann", "ann@corp.example.com", groups=("finance",))])
    return made


@pytest.fixture
def client(simulator: Simulator) -> Client:
    return Client(simulator)


def logged(simulator: Simulator, uid: str, *, ago: float = 0, told_ago: float = 0) -> str:
    at, told = (NOON - timedelta(seconds=seconds) for seconds in (ago, told_ago))
    return simulator.add(StoryAlert(uid, at, "Odd sign-in", "rule-1", "high", raised_at=told, user="ann"))


# The wire


def test_an_error_has_okta_s_envelope_and_every_answer_its_rate_limit(client: Client) -> None:
    response = client.get(f"{USERS}/nobody")
    assert response.status_code == 404
    assert set(response.json()) == {"errorCode", "errorSummary", "errorLink", "errorId", "errorCauses"}
    assert response.json()["errorCode"] == "E0000007"
    assert response.headers["x-rate-limit-remaining"] == "599"
    assert "retry-after" not in response.headers


def test_each_kind_of_endpoint_has_a_bucket_of_its_own_until_the_minute_ends(time: FakeTime) -> None:
    client = Client(Simulator(clock=time.clock, logs_per_minute=1))
    assert client.code("GET", LOGS) == (200, "")
    time.advance(20)
    refused = client.get(LOGS)
    assert (refused.status_code, refused.json()["errorCode"]) == (429, "E0000047")
    assert int(refused.headers["x-rate-limit-reset"]) == int(NOON.timestamp()) + 60
    assert client.code("GET", USERS) == (200, "")
    time.advance(40)
    assert client.code("GET", LOGS) == (200, "")


def test_a_token_is_taken_with_and_without_a_space_and_ends_after_30_idle_days(client: Client, time: FakeTime) -> None:
    time.advance(29 * 86_400)
    client.authorization = "SSWSs3cret"
    assert client.code("GET", USERS) == (200, "")
    time.advance(30 * 86_400 + 1)
    assert client.code("GET", USERS) == (401, "E0000011")


@pytest.mark.parametrize("authorization", ["", "SSWS other", "Bearer s3cret", "s3cret"])
def test_what_is_no_token_of_ours_is_refused(client: Client, authorization: str) -> None:
    client.authorization = authorization
    assert client.code("GET", LOGS) == (401, "E0000011")


# The service app


def _form(simulator: Simulator, key: RSAKey | None = None, **changes: Any) -> dict[str, str]:
    now = int(NOON.timestamp())
    name = simulator.tokens.client_id
    claims = {"iss": name, "sub": name, "aud": f"{URL}/oauth2/v1/token", "exp": now + 300, "jti": "one", **changes}
    signed = jwt.encode({"alg": "RS256"}, claims, key or RSAKey.import_key(simulator.tokens.private_key))
    return {
        "grant_type": "client_credentials",
        "scope": "okta.logs.read",
        "client_assertion_type": ASSERTION,
        "client_assertion": signed,
    }


def test_a_bearer_token_is_good_for_its_scopes_and_one_hour_and_is_nobody(client: Client, time: FakeTime) -> None:
    response = client.call("POST", "/oauth2/v1/token", data=_form(client.simulator))
    assert (response.status_code, response.json()["expires_in"]) == (200, 3600)
    client.authorization = f"Bearer {response.json()['access_token']}"
    assert client.code("GET", LOGS) == (200, "")
    assert client.code("GET", USERS) == (403, "E0000006")
    time.advance(3600)
    assert client.code("GET", LOGS) == (401, "E0000011")
    again = _form(client.simulator, jti="two", exp=int(NOON.timestamp()) + 7000) | {"scope": "okta.users.read"}
    whole = client.call("POST", "/oauth2/v1/token", data=again)
    client.authorization = f"Bearer {whole.json()['access_token']}"
    assert client.code("GET", f"{USERS}/me") == (404, "E0000007")


@pytest.mark.parametrize(
    "changes",
    [
        {"aud": URL},
        {"exp": int(NOON.timestamp()) + 3601},
        {"exp": int(NOON.timestamp())},
        {"sub": "else"},
        {"iss": "else"},
    ],
)
def test_an_assertion_with_a_wrong_claim_is_refused(client: Client, changes: dict[str, Any]) -> None:
    response = client.call("POST", "/oauth2/v1/token", data=_form(client.simulator, **changes))
    assert (response.status_code, response.json()["error"]) == (401, "invalid_client")


def test_an_assertion_is_used_once_by_its_own_key_and_a_secret_never(client: Client) -> None:
    form = _form(client.simulator)
    stranger = _form(client.simulator, RSAKey.generate_key(2048, private=True))
    secret = {"grant_type": "client_credentials", "scope": "okta.logs.read", "client_secret": "x"}
    found = [client.call("POST", "/oauth2/v1/token", data=each).status_code for each in (stranger, secret, form, form)]
    assert found == [401, 401, 200, 401]
    more = {**_form(client.simulator, jti="two"), "scope": "okta.logs.read okta.apps.read"}
    assert client.call("POST", "/oauth2/v1/token", data=more).json()["error"] == "invalid_scope"


# The log


def test_polling_always_has_a_next_link_and_follows_the_order_of_arrival(client: Client) -> None:
    response = client.get(LOGS, since="2026-11-01T11:00:00Z")
    late = logged(client.simulator, "late", ago=86_400)
    soon = logged(client.simulator, "soon")
    first = client.get(response.links["next"]["url"] + "&limit=1")
    assert [event["uuid"] for event in first.json()] == [late]
    second = client.get(first.links["next"]["url"])
    assert [event["uuid"] for event in second.json()] == [soon]
    last = client.get(second.links["next"]["url"])
    assert (last.json(), "next" in last.links) == ([], True)


def test_a_bounded_search_goes_by_published_and_ends(client: Client) -> None:
    old = logged(client.simulator, "old", ago=7200)
    new = logged(client.simulator, "new")
    logged(client.simulator, "before", ago=86_400)
    asked = {"since": "2026-11-01T09:00:00Z", "until": "2026-11-01T13:00:00Z", "limit": "1"}
    up = client.get(LOGS, **asked)
    rest = client.get(up.links["next"]["url"])
    assert [event["uuid"] for event in up.json() + rest.json()] == [old, new]
    assert "next" not in rest.links
    assert client.get(LOGS, **asked, sortOrder="DESCENDING").json()[0]["uuid"] == new


@pytest.mark.parametrize("changed", [{"filter": "uuid pr"}, {"q": "ann"}, {"sortOrder": "ASCENDING"}, {"after": "x"}])
def test_a_cursor_belongs_to_its_query(client: Client, changed: dict[str, str]) -> None:
    url = httpx.URL(client.get(LOGS).links["next"]["url"])
    assert client.code("GET", str(url)) == (200, "")
    assert client.code("GET", str(url.copy_merge_params(changed))) == (400, "E0000001")
    client.simulator.log.forget_cursors()
    assert client.code("GET", str(url)) == (400, "E0000001")


@pytest.mark.parametrize(
    ("params", "code"),
    [
        ({"limit": "1001"}, "E0000001"),
        ({"limit": "-1"}, "E0000001"),
        ({"sortOrder": "ascending"}, "E0000001"),
        ({"since": "yesterday"}, "E0000001"),
        ({"since": "2026-05-01T00:00:00Z"}, "E0000053"),
        ({"filter": 'eventType eqq "x"'}, "E0000053"),
        ({"filter": 'published gt "2026-01-01"'}, "E0000053"),
        ({"q": "x" * 41}, "E0000001"),
        ({"q": "a b c d e f g h i j k"}, "E0000001"),
    ],
)
def test_the_log_refuses_what_okta_refuses(client: Client, params: dict[str, str], code: str) -> None:
    assert client.code("GET", LOGS, params=params) == (400, code)


def test_keywords_are_whole_words_and_retention_is_90_days(client: Client) -> None:
    wanted = logged(client.simulator, "one")
    assert [event["uuid"] for event in client.get(LOGS, q="ODD").json()] == [wanted]
    assert client.get(LOGS, q="od").json() == []
    logged(client.simulator, "old", ago=91 * 86_400)
    kept = logged(client.simulator, "kept", ago=89 * 86_400)
    found = client.get(LOGS, since="2026-07-01T00:00:00Z", until="2026-11-01T12:00:00Z").json()
    assert [event["uuid"] for event in found] == [kept]


@pytest.mark.parametrize(
    ("text", "fits"),
    [
        ('a eq "x"', True),
        ('a eq "X"', False),
        ('a ne "x"', False),
        ('a sw "x" and b.c eq "2"', True),
        ('a eq "y" or (b.c co "2" and a pr)', True),
        ('a eq "x" and b.c eq "9" or a eq "x"', True),
        ('list.id eq "two"', True),
        ("z pr", False),
        ("", True),
    ],
)
def test_a_filter_compares_paths_and_joins_them(text: str, fits: bool) -> None:
    row = {"a": "x", "b": {"c": 2}, "list": [{"id": "one"}, {"id": "two"}]}
    assert parse(text, lambda *_: True)(row) is fits


@pytest.mark.parametrize(
    "text", ["a", "a eq", "a eq x", '(a eq "x"', 'a eq "x" b', 'a[b eq "x"]', 'a is "x"', '"a" eq "b"']
)
def test_a_malformed_filter_is_an_error(text: str) -> None:
    with pytest.raises(ScimError):
        parse(text, lambda *_: True)


# Users


def test_users_are_read_by_id_login_and_a_short_name_that_one_has(client: Client) -> None:
    for name in ("00uann", "ANN@corp.example.com", "ann"):
        assert client.get(f"{USERS}/{name}").json()["id"] == "00uann"
    client.simulator.add_accounts([StoryAccount("ann2", "ann", "ann@lab.example.com")])
    assert client.code("GET", f"{USERS}/ann") == (404, "E0000007")
    assert client.get(f"{USERS}/me").json()["profile"]["login"] == "admin@example.com"


def test_a_search_minds_no_case_and_a_filter_does(client: Client) -> None:
    assert len(client.get(USERS, search='profile.email eq "ANN@corp.example.com"').json()) == 1
    assert client.get(USERS, filter='profile.email eq "ANN@corp.example.com"').json() == []
    for params in ({"search": 'status ne "ACTIVE"'}, {"filter": 'profile.city eq "x"'}, {"search": "x"}):
        assert client.code("GET", USERS, params=params) == (400, "E0000031")
    assert client.code("GET", USERS, params={"limit": "201"}) == (400, "E0000001")


def test_a_list_of_users_is_paged_and_leaves_the_deactivated_out(client: Client) -> None:
    client.simulator.add_accounts([StoryAccount(f"u{n}", f"u{n}", f"u{n}@corp.example.com") for n in range(3)])
    client.simulator.users.record("00uu2").status = "DEPROVISIONED"
    first = client.get(USERS, limit="2")
    rest = client.get(first.links["next"]["url"])
    assert [user["id"] for user in first.json() + rest.json()] == ["00uann", "00uu0", "00uu1"]
    assert "next" not in rest.links
    assert len(client.get(USERS, search='status eq "DEPROVISIONED"').json()) == 1


def test_the_lifecycle_refuses_the_wrong_state(client: Client) -> None:
    def lifecycle(name: str, **params: str) -> tuple[int, str]:
        return client.code("POST", f"{ANN}/lifecycle/{name}", params=params)

    assert lifecycle("unsuspend") == (400, "E0000001")
    assert lifecycle("suspend") == (200, "")
    assert client.status() == "SUSPENDED"
    assert lifecycle("suspend") == (400, "E0000001")
    assert lifecycle("expire_password") == (403, "E0000038")
    assert lifecycle("unsuspend") == (200, "")
    assert lifecycle("expire_password") == (200, "")
    assert client.status() == "PASSWORD_EXPIRED"
    assert lifecycle("suspend") == (400, "E0000001")
    assert lifecycle("reset_password") == (400, "E0000001"), "sendEmail is required"
    assert lifecycle("reset_password", sendEmail="yes") == (400, "E0000001")
    assert lifecycle("reset_password", sendEmail="true") == (200, "")
    assert client.status() == "RECOVERY"


def test_a_reset_gives_its_link_only_when_no_mail_is_sent_and_ends_sessions_only_when_asked(client: Client) -> None:
    reset = f"{ANN}/lifecycle/reset_password"
    assert client.call("POST", reset, params={"sendEmail": "true"}).json() == {}
    assert client.simulator.directory.accounts["00uann"].sessions == 1
    answer = client.call("POST", reset, params={"sendEmail": "false", "revokeSessions": "true"}).json()
    assert answer["resetPasswordUrl"].startswith(URL)
    assert client.simulator.directory.accounts["00uann"].sessions == 0


def test_clearing_sessions_takes_an_id_leaves_tokens_unless_asked_and_is_logged(client: Client) -> None:
    assert client.code("DELETE", f"{USERS}/ann/sessions") == (404, "E0000007")
    assert client.call("DELETE", f"{ANN}/sessions").status_code == 204
    assert client.simulator.users.record("00uann").tokens == 1
    client.call("DELETE", f"{ANN}/sessions", params={"oauthTokens": "true"})
    assert client.simulator.users.record("00uann").tokens == 0
    (event,) = client.get(LOGS, filter='eventType eq "user.session.clear" and target.id eq "00uann"').json()
    assert event["outcome"]["result"] == "SUCCESS"


def test_only_a_super_administrator_touches_an_administrator(client: Client) -> None:
    client.simulator.directory.accounts["00uann"].privileged = True
    calls = [("POST", f"{ANN}/lifecycle/suspend"), ("DELETE", f"{ANN}/sessions")]
    assert [client.code(*call) for call in calls] == [(403, "E0000006")] * 2
    client.simulator.users.super_admin = True
    assert client.code(*calls[0]) == (200, "")


# Groups and zones


def test_a_membership_changes_in_okta_s_own_groups_alone(client: Client) -> None:
    (group,) = client.get("/api/v1/groups", search='profile.name eq "FINANCE"').json()
    member = f"/api/v1/groups/{group['id']}/users/00uann"
    assert client.call("DELETE", member).status_code == 204
    assert [row["profile"]["name"] for row in client.get(f"{ANN}/groups").json()] == ["Everyone"]
    assert client.call("PUT", member).status_code == 204
    app = client.simulator.groups.make("finance", kind="APP_GROUP")
    assert client.code("PUT", f"/api/v1/groups/{app.group_id}/users/00uann") == (403, "E0000006")
    assert client.code("PUT", "/api/v1/groups/00gnone/users/00uann") == (404, "E0000007")


@pytest.mark.parametrize(
    "changes",
    [
        {"type": "DYNAMIC"},
        {"name": ""},
        {"usage": "DENY"},
        {"gateways": []},
        {"gateways": [{"type": "RANGE", "value": "203.0.113.9-203.0.113.1"}]},
        {"gateways": [{"type": "CIDR", "value": "2001:db8::/32"}]},
        {"gateways": [{"type": "IP", "value": "203.0.113.9"}]},
        {"gateways": [{"type": "CIDR", "value": f"198.51.{n >> 8}.{n & 255}/32"} for n in range(1001)]},
    ],
)
def test_a_zone_is_checked_before_it_is_replaced(client: Client, changes: dict[str, Any]) -> None:
    zone_id = client.simulator.zones.make("SOC", "BLOCKLIST", "203.0.113.1/32")
    zone = client.get(f"{ZONES}/{zone_id}").json()
    assert client.code("PUT", f"{ZONES}/{zone_id}", json={**zone, **changes}) == (400, "E0000001")
    assert client.get(f"{ZONES}/{zone_id}").json() == zone


def test_what_a_replacement_leaves_out_is_gone(client: Client) -> None:
    zone_id = client.simulator.zones.make("SOC", "BLOCKLIST", "203.0.113.1/32")
    body = {"type": "IP", "name": "SOC", "proxies": [{"type": "CIDR", "value": "192.0.2.1/32"}]}
    assert client.code("PUT", f"{ZONES}/{zone_id}", json=body) == (200, "")
    zone = client.get(f"{ZONES}/{zone_id}").json()
    assert (zone["gateways"], zone["usage"]) == (None, "POLICY")
    assert client.code("PUT", f"{ZONES}/{zone_id}", content=b"[]") == (400, "E0000003")
