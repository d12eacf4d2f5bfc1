"""The ways to sign in that are more than a fixed secret: assertions, logins, computed headers."""

import asyncio
import base64
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any
from urllib.parse import parse_qsl

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from joserfc import jwt
from joserfc.jwk import ECKey, RSAKey
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send

from nightdesk.sdk.context import Context, Settings
from nightdesk.sdk.errors import AuthError, ConfigError, ResponseError
from nightdesk.sdk.http import Auth, ComputedAuth, HttpClient, LoginAuth, OAuth2JwtBearer
from nightdesk.sdk.secrets import Secret
from nightdesk.sdk.testing import serve
from nightdesk.sdk.testing.fake_time import FakeTime


class Login:
    """Gives numbered tokens to any POST on its login path, and takes only the last; keeps what it was asked."""

    def __init__(self, answer: Any = None) -> None:
        self.answer = answer
        self.asked: list[tuple[Mapping[str, str], bytes]] = []
        self.calls: list[Mapping[str, str]] = []
        self.valid = ""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        await (await self.login(request) if request.method == "POST" else self.call(request))(scope, receive, send)

    async def login(self, request: Request) -> Response:
        self.asked.append((request.headers, await request.body()))
        self.valid = "token-1" if self.answer else f"token-{len(self.asked)}"
        return JSONResponse(self.answer or {"access_token": self.valid, "data": {"token": self.valid}})

    def call(self, request: Request) -> Response:
        self.calls.append(request.headers)
        sent = request.headers.get("authorization", "") + request.headers.get("x-session", "")
        return JSONResponse({"ok": 1}, 200 if sent.endswith(self.valid) else 401)


@pytest.fixture
def login() -> Login:
    return Login()


@pytest.fixture
def url(login: Login) -> Iterator[str]:
    with serve(login) as served:
        yield served.base_url


def ask(url: str, auth: Auth, time: FakeTime, *, times: int = 1, apart: float = 0.0) -> None:
    async def go() -> None:
        context = Context("acme", "edr", Settings({}), clock=time.clock, sleep=time.sleep)
        async with HttpClient(context, vendor="acme_edr", base_url=url, auth=auth) as http:
            for _ in range(times):
                await http.json("GET", "/alerts", operation="list alerts")
                time.advance(apart)

    asyncio.run(go())


def pem(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey) -> str:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()


RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)


def test_a_grant_is_a_signed_assertion_of_who_asks_whom_for_what_and_until_when(login: Login, url: str) -> None:
    time = FakeTime()
    key = Secret.literal(pem(RSA))
    auth = OAuth2JwtBearer("/token", key, "svc@example.com", "https://example.com/token", scope="read", key_id="k-7")
    ask(url, auth, time)
    form = dict(parse_qsl(login.asked[0][1].decode()))
    token = jwt.decode(form["assertion"], RSAKey.import_key(pem(RSA)))
    now = int(time.clock().timestamp())
    assert form["grant_type"] == "urn:ietf:params:oauth:grant-type:jwt-bearer"
    assert token.header == {"alg": "RS256", "typ": "JWT", "kid": "k-7"}
    assert len(token.claims.pop("jti")) == 32
    assert token.claims == {
        "iss": "svc@example.com",
        "sub": "svc@example.com",
        "aud": "https://example.com/token",
        "scope": "read",
        "iat": now,
        "exp": now + 300,
    }
    assert login.calls[0]["authorization"] == "Bearer token-1"


def test_an_assertion_can_stand_for_a_client_secret(login: Login, url: str) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    auth = OAuth2JwtBearer(
        "/token", Secret.literal(pem(key)), "client-7", f"{url}/token", scope="okta.logs.read", algorithm="ES256",
        assertion="client",
    )  # fmt: skip
    ask(url, auth, FakeTime())
    form = dict(parse_qsl(login.asked[0][1].decode()))
    claims = jwt.decode(form["client_assertion"], ECKey.import_key(pem(key)), algorithms=["ES256"]).claims
    assert form["grant_type"] == "client_credentials"
    assert form["client_assertion_type"] == "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
    assert form["scope"] == "okta.logs.read"
    assert "scope" not in claims
    assert (claims["iss"], claims["sub"]) == ("client-7", "client-7")


@pytest.mark.parametrize("key", ["", "hush-hush", pem(ec.generate_private_key(ec.SECP256R1()))])
def test_a_key_that_cannot_sign_is_a_configuration_error_that_does_not_show_it(url: str, key: str) -> None:
    auth = OAuth2JwtBearer("/token", Secret.literal(key), "svc", url)
    with pytest.raises(ConfigError) as caught:
        ask(url, auth, FakeTime())
    assert key[:20] not in str(caught.value) or not key


def test_a_login_is_made_with_basic_and_its_token_used_until_it_ends(login: Login, url: str) -> None:
    auth = LoginAuth("/login", Secret.literal("pw"), username="wui", token=("data", "token"), lifetime=900)
    ask(url, auth, FakeTime(), times=5, apart=300)
    expected = base64.b64encode(b"wui:pw").decode()
    assert [headers["authorization"] for headers, _ in login.asked] == [f"Basic {expected}"] * 2
    assert [headers["authorization"] for headers in login.calls] == ["Bearer token-1"] * 3 + ["Bearer token-2"] * 2


def test_a_login_may_want_the_password_in_json_and_its_token_in_a_header_of_its_own(login: Login, url: str) -> None:
    auth = LoginAuth(
        "/login", Secret.literal("pw"), body=lambda password: {"user": "u", "password": password}, header="X-Session",
        prefix="",
    )  # fmt: skip
    ask(url, auth, FakeTime())
    assert login.asked[0][1] == b'{"user":"u","password":"pw"}'
    assert login.calls[0]["x-session"] == "token-1"


@pytest.mark.parametrize("end", ["2026-11-01T12:10:00Z", 1_793_535_000, "1793535000"])
def test_the_end_that_a_login_names_is_kept(login: Login, url: str, end: Any) -> None:
    login.answer = {"access_token": "token-1", "expire": end}  # 600 s after the start of time
    auth = LoginAuth("/login", Secret.literal("pw"), username="u", expires=("expire",), lifetime=9e9, margin=60)

    async def go() -> list[int]:
        time = FakeTime()
        logins = []
        context = Context("acme", "edr", Settings({}), clock=time.clock, sleep=time.sleep)
        async with HttpClient(context, vendor="acme_edr", base_url=url, auth=auth) as http:
            for seconds in (0, 530, 20):
                time.advance(seconds)
                login.valid = "token-1"
                await http.request("GET", "/alerts", operation="list alerts")
                logins.append(len(login.asked))
                login.valid = "token-1"
        return logins

    assert asyncio.run(go()) == [1, 1, 2]


def test_a_refused_login_token_is_renewed_once(login: Login, url: str) -> None:
    auth = LoginAuth("/login", Secret.literal("pw"), username="u")

    async def go() -> None:
        time = FakeTime()
        context = Context("acme", "edr", Settings({}), clock=time.clock, sleep=time.sleep)
        async with HttpClient(context, vendor="acme_edr", base_url=url, auth=auth) as http:
            await http.request("GET", "/alerts", operation="list alerts")
            login.valid = "revoked"
            await http.request("GET", "/alerts", operation="list alerts")

    asyncio.run(go())
    assert len(login.asked) == 2


def test_a_login_answer_without_its_token_names_where_it_was_expected(login: Login, url: str) -> None:
    login.answer = {"data": {}}
    auth = LoginAuth("/login", Secret.literal("pw"), username="u", token=("data", "token"))
    with pytest.raises(ResponseError, match=r"data\.token"):
        ask(url, auth, FakeTime())


def test_computed_headers_are_made_anew_for_each_request(login: Login, url: str) -> None:
    def compute(revealed: Sequence[str], now: datetime) -> Mapping[str, str]:
        return {"Authorization": hashlib.sha256(f"{revealed[0]}{now:%S}".encode()).hexdigest(), "X-Time": f"{now:%S}"}

    ask(url, ComputedAuth((Secret.literal("key"),), compute), FakeTime(), times=2, apart=1)
    assert [headers["x-time"] for headers in login.calls] == ["00", "01"]
    assert [headers["authorization"] for headers in login.calls] == [
        hashlib.sha256(text.encode()).hexdigest() for text in ("key00", "key01")
    ]


def test_a_refused_computed_header_is_advised_on_and_not_sent_twice(login: Login, url: str) -> None:
    login.valid = "never"
    auth = ComputedAuth((Secret.literal("hush"),), lambda _, __: {"Authorization": "x"}, advice="make a new key")
    with pytest.raises(AuthError, match="make a new key"):
        ask(url, auth, FakeTime())
    assert len(login.calls) == 1
