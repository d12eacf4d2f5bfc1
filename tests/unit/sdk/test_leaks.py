"""A vendor may throw a secret back; nothing that we raise, log or show may hold it."""

import asyncio
import base64
import traceback
from urllib.parse import quote

import httpx
import pytest
import structlog
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from nightdesk.sdk.context import Context, Network, Settings
from nightdesk.sdk.errors import RejectedError, VendorError
from nightdesk.sdk.http import Auth, BasicAuth, HeaderAuth, HttpClient, OAuth2ClientCredentials
from nightdesk.sdk.secrets import Secret
from nightdesk.sdk.testing.fake_time import FakeTime

# The mark keeps a secret from being a word of our own source, which a traceback rightly shows.
PRINTABLE = st.text(st.characters(min_codepoint=33, max_codepoint=126, exclude_characters="*"), min_size=6, max_size=40)
SECRETS = PRINTABLE.map("~9{}".format)


def echo(secret: str, token: str, status: int) -> ASGIApp:
    """A vendor that puts what it was sent wherever an error message could look for words."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        sent = " ".join([*request.headers.values(), (await request.body()).decode(), secret, token])
        answer: Response = JSONResponse({"message": f"you sent {sent}"}, status, headers={"X-Request-Id": sent})
        if 300 <= status < 400:
            answer.headers["Location"] = f"http://elsewhere.example/{secret}/{token}"
        if status == 200:
            answer = Response(sent, headers={"Content-Type": sent, "X-Request-Id": sent})
        if request.url.path == "/oauth2/token" and status != 500:
            answer = JSONResponse({"access_token": token, "expires_in": 60})
        await answer(scope, receive, send)

    return app


@settings(deadline=None, max_examples=60)
@given(secret=SECRETS, way=st.sampled_from([0, 1, 2]), status=st.sampled_from([200, 308, 400, 401, 403, 404, 429, 500]))
def test_a_secret_that_the_vendor_throws_back_is_never_shown(secret: str, way: int, status: int) -> None:
    token = f"{secret[::-1]}-token"
    hidden = Secret.literal(secret)
    oauth = OAuth2ClientCredentials("/oauth2/token", "client-7", hidden)
    auth: Auth = (HeaderAuth("X-Key", hidden), BasicAuth("ann", hidden), oauth)[way]
    issued = way == 2 and status != 500
    time = FakeTime()
    network = Network(transport=httpx.ASGITransport(echo(secret, token if issued else "", status)))
    context = Context("tenant-a", "acme-1", Settings({"key": hidden}), network, time.clock, time.sleep)
    http = HttpClient(context, vendor="acme", base_url="http://vendor.example", auth=auth)

    async def go() -> str:
        async with http:
            with pytest.raises(VendorError) as caught:
                await http.json("GET", f"/keys/{quote(secret, safe='')}", operation="list alerts", params={"k": secret})
        return "".join(traceback.format_exception(caught.value)) + repr(caught.value) + str(vars(caught.value))

    with structlog.testing.capture_logs() as lines:
        shown = asyncio.run(go())
    assert lines
    pair = base64.b64encode(f"ann:{secret}".encode()).decode()
    for seen in (shown, repr(lines), repr(http), repr(auth), repr(context)):
        assert secret not in seen
        assert quote(secret, safe="") not in seen
        assert pair not in seen
        assert token not in seen


@pytest.mark.parametrize("raised", [True, False])
def test_a_secret_inside_an_error_of_the_vendors_own_making_is_masked(raised: bool) -> None:
    def look(response: httpx.Response, operation: str) -> VendorError | None:
        error = RejectedError(response.json()["message"], operation=operation, request_id="r-hush-hush")
        if raised:
            raise error
        return error

    network = Network(transport=httpx.MockTransport(lambda _: httpx.Response(200, json={"message": "no hush-hush"})))
    auth = HeaderAuth("X-Key", Secret.literal("hush-hush"))
    context = Context("tenant-a", "acme-1", Settings({}), network)

    async def go() -> None:
        async with HttpClient(
            context, vendor="acme", base_url="http://vendor.example", auth=auth, inspect=look
        ) as http:
            await http.request("GET", "/alerts", operation="list alerts")

    with pytest.raises(RejectedError, match=r"list alerts: no \*\*\* \[request r-\*\*\*\]") as caught:
        asyncio.run(go())
    assert "hush" not in str(vars(caught.value))
