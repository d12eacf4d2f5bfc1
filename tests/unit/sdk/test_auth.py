import asyncio
import base64
import traceback
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import pytest
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.types import Receive, Scope, Send

from nightdesk.sdk.context import Context, Network, Settings
from nightdesk.sdk.errors import AuthError, ConfigError, RateLimitError, RejectedError, ResponseError, UnavailableError
from nightdesk.sdk.http import Auth, BasicAuth, HeaderAuth, HttpClient, OAuth2ClientCredentials
from nightdesk.sdk.secrets import Secret
from nightdesk.sdk.testing import serve
from nightdesk.sdk.testing.fake_time import FakeTime
from nightdesk.sdk.testing.scripted import Scripted


class TokenVendor:
    """Issues numbered tokens and accepts only the last; ``refusals`` are answered first by the token endpoint."""

    def __init__(self) -> None:
        self.refusals: list[Response] = []
        self.lifetime: Any = 1800
        self.status = 201
        self.forms: list[dict[str, str]] = []
        self.calls: list[str] = []
        self.valid = ""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        answer = await self.token(request) if request.url.path == "/oauth2/token" else self.call(request)
        await answer(scope, receive, send)

    async def token(self, request: Request) -> Response:
        self.forms.append(dict(parse_qsl((await request.body()).decode())))
        await asyncio.sleep(0)
        if self.refusals:
            return self.refusals.pop(0)
        self.valid = f"token-{len(self.forms)}"
        return JSONResponse({"access_token": self.valid, "expires_in": self.lifetime}, self.status)

    def call(self, request: Request) -> Response:
        sent = request.headers.get("authorization", "")
        self.calls.append(sent)
        return JSONResponse({"ok": 1}) if sent == f"Bearer {self.valid}" else JSONResponse({"message": "expired"}, 401)


class Site:
    """One server for all tests of this file, which show their own app in it."""

    def __init__(self) -> None:
        self.app: Any = None
        self.url = ""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.app(scope, receive, send)

    def show(self, app: Any) -> str:
        self.app = app
        return self.url


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    front = Site()
    with serve(front) as served:
        front.url = served.base_url
        yield front


OAUTH = OAuth2ClientCredentials("/oauth2/token", "client-7", Secret.literal("hush-hush"), scope="alerts.read")


def client(url: str, time: FakeTime, auth: Auth | None, network: Network | None = None) -> HttpClient:
    context = Context("tenant-a", "acme-1", Settings({}), network or Network(), time.clock, time.sleep)
    return HttpClient(context, vendor="acme", base_url=url, auth=auth, jitter=lambda: 0.0)


def ask(
    site: Site, app: Any, time: FakeTime, auth: Auth | None, *, times: int = 1, apart: float = 0.0, method: str = "GET"
) -> None:
    """Calls over real sockets, one after the other, ``apart`` seconds between them."""

    async def go(url: str) -> None:
        async with client(url, time, auth) as http:
            for _ in range(times):
                assert await http.json(method, "/alerts", operation="list alerts") == {"ok": 1}
                time.advance(apart)

    asyncio.run(go(site.show(app)))


@pytest.mark.parametrize(
    ("auth", "header", "value"),
    [
        (HeaderAuth("X-Api-Key", Secret.literal("hush-hush")), "x-api-key", "hush-hush"),
        (HeaderAuth("Authorization", Secret.literal("k"), prefix="ApiKey "), "authorization", "ApiKey k"),
        (
            BasicAuth("ann", Secret.literal("pä:ss")),
            "authorization",
            f"Basic {base64.b64encode('ann:pä:ss'.encode()).decode()}",
        ),
    ],
)
def test_a_request_is_signed(vendor: Scripted, time: FakeTime, auth: Auth, header: str, value: str) -> None:
    async def go() -> None:
        async with client(vendor.url, time, auth) as http:
            await http.request("GET", "/alerts", operation="list alerts")

    asyncio.run(go())
    assert vendor.seen[0].headers[header] == value


def test_a_secret_is_read_at_each_use_so_that_it_can_be_rotated(
    vendor: Scripted, time: FakeTime, tmp_path: Path
) -> None:
    file = tmp_path / "key"

    async def go() -> None:
        async with client(vendor.url, time, HeaderAuth("X-Key", Secret(f"file:{file}"))) as http:
            for value in ("old-key", "new-key"):
                file.write_text(f"{value}\n")
                await http.request("GET", "/alerts", operation="list alerts")

    asyncio.run(go())
    assert [request.headers["x-key"] for request in vendor.seen] == ["old-key", "new-key"]


@pytest.mark.parametrize("value", ["hush\thush", "hush\r\nX-Admin: 1", " hush-hush", "hush–hush", "hush\udc80"])
def test_a_secret_that_fits_no_header_is_a_configuration_error_that_does_not_show_it(
    site: Site, vendor: Scripted, time: FakeTime, value: str
) -> None:
    with pytest.raises(ConfigError, match="secret: literal") as caught:
        ask(site, vendor, time, HeaderAuth("X-Key", Secret.literal(value)))
    assert value.strip() not in "".join(traceback.format_exception(caught.value))
    assert vendor.seen == []


@pytest.mark.parametrize(
    "auth", [BasicAuth("ann", Secret.literal("hush\udc80")), HeaderAuth("X", Secret("env:UNSET_7"))]
)
def test_an_unreadable_secret_is_a_configuration_error(
    site: Site, vendor: Scripted, time: FakeTime, auth: Auth
) -> None:
    with pytest.raises(ConfigError):
        ask(site, vendor, time, auth)


# OAuth 2 client credentials.


@pytest.mark.parametrize("status", [200, 201])
def test_a_token_is_fetched_once_and_used_for_all_calls(site: Site, time: FakeTime, status: int) -> None:
    app = TokenVendor()
    app.status = status
    ask(site, app, time, OAUTH, times=3)
    assert app.forms == [
        {
            "grant_type": "client_credentials",
            "client_id": "client-7",
            "client_secret": "hush-hush",
            "scope": "alerts.read",
        }
    ]
    assert app.calls == ["Bearer token-1"] * 3


def test_extra_fields_are_sent_and_an_empty_scope_is_not(site: Site, time: FakeTime) -> None:
    app = TokenVendor()
    extra = {"audience": "https://api.vendor.example"}
    ask(site, app, time, OAuth2ClientCredentials("/oauth2/token", "c", Secret.literal("hush-hush"), extra=extra))
    assert (app.forms[0].get("audience"), "scope" in app.forms[0]) == ("https://api.vendor.example", False)


@pytest.mark.parametrize(
    ("lifetime", "apart", "fetches"),
    [
        (1800, 839.0, 1),  # calls at 0, 839 and 1678 s; 1800 - 120 = 1680
        (1800, 841.0, 2),
        ("1800", 1681.0, 3),
        (100, 51.0, 3),  # shorter than the margin: half of it
        (100, 24.0, 1),
        (None, 100_000.0, 1),  # not said: until it is refused
        ("soon", 100_000.0, 1),
    ],
)
def test_a_token_is_renewed_a_margin_before_it_expires(
    site: Site, time: FakeTime, lifetime: Any, apart: float, fetches: int
) -> None:
    app = TokenVendor()
    app.lifetime = lifetime
    ask(site, app, time, OAUTH, times=3, apart=apart)
    assert len(app.forms) == fetches


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_refused_token_is_renewed_once(site: Site, time: FakeTime, method: str) -> None:
    app = TokenVendor()

    async def go(url: str) -> None:
        async with client(url, time, OAUTH) as http:
            await http.json(method, "/alerts", operation="list alerts")
            app.valid = "revoked"
            await http.json(method, "/alerts", operation="list alerts")

    asyncio.run(go(site.show(app)))
    assert app.calls == ["Bearer token-1", "Bearer token-1", "Bearer token-2"]
    assert time.slept == []


def test_a_second_refusal_is_final(site: Site, time: FakeTime) -> None:
    class Never(TokenVendor):
        def call(self, request: Request) -> Response:
            self.calls.append(request.url.path)
            return JSONResponse({"message": "expired"}, 401)

    app = Never()
    with pytest.raises(AuthError, match="client id and client secret"):
        ask(site, app, time, OAUTH)
    assert (len(app.forms), len(app.calls)) == (2, 2)


def test_a_refused_fixed_key_is_not_sent_twice(site: Site, vendor: Scripted, time: FakeTime) -> None:
    vendor.script = [JSONResponse({}, 401)]
    with pytest.raises(AuthError):
        ask(site, vendor, time, HeaderAuth("X-Key", Secret.literal("hush-hush")))
    assert len(vendor.seen) == 1


def test_calls_at_the_same_time_share_one_token(site: Site, time: FakeTime) -> None:
    app = TokenVendor()

    async def crowd(http: HttpClient) -> None:
        await asyncio.gather(*(http.json("GET", "/alerts", operation="list alerts") for _ in range(8)))

    async def go(url: str) -> None:
        async with client(url, time, OAUTH) as http:
            await crowd(http)
            app.valid = "revoked"
            await crowd(http)

    asyncio.run(go(site.show(app)))
    assert len(app.forms) == 2


def test_calls_at_the_same_time_share_one_refusal(site: Site, time: FakeTime) -> None:
    app = TokenVendor()
    app.refusals = [JSONResponse({}, 403)]

    async def go(url: str) -> list[Any]:
        async with client(url, time, OAUTH) as http:
            calls = (http.json("GET", "/alerts", operation="list alerts") for _ in range(5))
            failed = await asyncio.gather(*calls, return_exceptions=True)
            assert await http.json("GET", "/alerts", operation="list alerts") == {"ok": 1}  # asked anew, later
            return failed

    assert {type(error) for error in asyncio.run(go(site.show(app)))} == {AuthError}
    assert len(app.forms) == 2


@pytest.mark.parametrize("status", [400, 401, 403, 404, 408, 422])
def test_a_refusing_token_endpoint_is_asked_once(site: Site, time: FakeTime, status: int) -> None:
    app = TokenVendor()
    app.refusals = [JSONResponse({"error": "invalid_client", "error_description": "no such client"}, status)] * 9
    with pytest.raises(AuthError, match=r"the token endpoint refused; check client id .*: no such client"):
        ask(site, app, time, OAUTH)
    assert (len(app.forms), app.calls, time.slept) == (1, [], [])


def test_a_busy_or_failing_token_endpoint_is_asked_again(site: Site, time: FakeTime) -> None:
    app = TokenVendor()
    app.refusals = [JSONResponse({}, 429, headers={"Retry-After": "5"}), JSONResponse({}, 503)]
    ask(site, app, time, OAUTH)
    assert (len(app.forms), time.slept) == (3, [5.0, 1.0])


@pytest.mark.parametrize(("status", "kind"), [(429, RateLimitError), (502, UnavailableError)])
def test_a_token_endpoint_that_stays_down_costs_four_requests_and_no_more(
    site: Site, time: FakeTime, status: int, kind: type[Exception]
) -> None:
    app = TokenVendor()
    app.refusals = [JSONResponse({}, status)] * 99
    with pytest.raises(kind):
        ask(site, app, time, OAUTH)
    assert (len(app.forms), app.calls) == (4, [])


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (JSONResponse({"token": "x"}), ResponseError),
        (JSONResponse({"access_token": "hush\nhush"}), ResponseError),
        (JSONResponse([]), ResponseError),
        (PlainTextResponse("<html>"), ResponseError),
        (RedirectResponse("https://eu.vendor.example/oauth2/token", 308), RejectedError),
    ],
)
def test_an_unusable_token_answer_is_an_error(
    site: Site, time: FakeTime, answer: Response, kind: type[Exception]
) -> None:
    app = TokenVendor()
    app.refusals = [answer]
    with pytest.raises(kind, match="authenticate"):
        ask(site, app, time, OAUTH)


def test_a_token_may_come_from_another_host_but_calls_may_not_go_there(site: Site, time: FakeTime) -> None:
    issuer, api = TokenVendor(), TokenVendor()
    api.valid = "token-1"

    async def go(login: str, url: str) -> None:
        auth = OAuth2ClientCredentials(f"{login}/oauth2/token", "c", Secret.literal("hush-hush"))
        async with client(url, time, auth) as http:
            await http.json("GET", "/alerts", operation="list alerts")
            with pytest.raises(RejectedError, match="nowhere else"):
                await http.json("GET", f"{login}/alerts", operation="list alerts")

    with serve(issuer) as first:
        asyncio.run(go(first.base_url, site.show(api)))
    assert (len(issuer.forms), issuer.calls, api.calls) == (1, [], ["Bearer token-1"])


@pytest.mark.parametrize("url", ["http://", "https://u:p@login.example/token"])
def test_an_impossible_token_url_is_a_configuration_error(time: FakeTime, url: str) -> None:
    with pytest.raises(ConfigError, match="token_url"):
        client("https://vendor.example", time, OAuth2ClientCredentials(url, "c", Secret.literal("hush-hush")))


def test_time_to_renew_is_counted_from_the_question_and_not_from_the_answer(site: Site, time: FakeTime) -> None:
    class Slow(TokenVendor):
        async def token(self, request: Request) -> Response:
            time.now += timedelta(seconds=1000)
            return await super().token(request)

    app = Slow()
    ask(site, app, time, OAUTH, times=2, apart=700.0)
    assert len(app.forms) == 2
