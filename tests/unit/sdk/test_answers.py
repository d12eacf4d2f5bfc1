import asyncio
import gzip
import inspect as introspection
import socket
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from starlette.responses import HTMLResponse, JSONResponse, Response

from nightdesk.sdk.context import Context, Network, Settings
from nightdesk.sdk.errors import (
    AuthError,
    NotFoundError,
    RateLimitError,
    RejectedError,
    ResponseError,
    ScopeError,
    UnavailableError,
    VendorError,
)
from nightdesk.sdk.http import HeaderAuth, HttpClient
from nightdesk.sdk.secrets import Secret
from nightdesk.sdk.testing.fake_time import FakeTime
from nightdesk.sdk.testing.scripted import Scripted


def client(url: str, time: FakeTime, network: Network | None = None, **options: Any) -> HttpClient:
    context = Context(
        "tenant-a", "acme-1", Settings({}), network=network or Network(), clock=time.clock, sleep=time.sleep
    )
    return HttpClient(context, vendor="acme", base_url=url, jitter=lambda: 0.0, **options)


def send(http: HttpClient, method: str = "GET", path: str = "/alerts", **options: Any) -> httpx.Response:
    async def once() -> httpx.Response:
        async with http:
            return await http.request(method, path, operation="list alerts", **options)

    return asyncio.run(once())


def ask(http: HttpClient, method: str = "GET", path: str = "/alerts", **options: Any) -> Any:
    async def once() -> Any:
        async with http:
            return await http.json(method, path, operation="list alerts", **options)

    return asyncio.run(once())


# What answers mean.


@pytest.mark.parametrize(
    ("status", "kind", "words"),
    [
        (400, RejectedError, "rejected"),
        (401, AuthError, "env:ACME_KEY"),
        (403, ScopeError, "permission"),
        (404, NotFoundError, "not found"),
        (407, UnavailableError, "network.proxy"),
        (410, NotFoundError, "no longer there"),
        (500, UnavailableError, "server failed"),
        (304, ResponseError, "redirect"),
    ],
)
def test_a_status_becomes_an_error_that_says_what_to_do(
    vendor: Scripted, time: FakeTime, monkeypatch: pytest.MonkeyPatch, status: int, kind: type[VendorError], words: str
) -> None:
    monkeypatch.setenv("ACME_KEY", "hush-hush")
    vendor.script = [Response(b"", status)]
    with pytest.raises(kind, match=words) as caught:
        send(client(vendor.url, time, auth=HeaderAuth("X-Key", Secret("env:ACME_KEY"))))
    error = caught.value
    assert isinstance(error, VendorError)
    assert (error.vendor, error.operation, error.status) == ("acme", "list alerts", status)


def test_every_status_becomes_a_result_or_one_of_our_errors(time: FakeTime) -> None:
    for status in range(100, 600):
        transport = httpx.MockTransport(lambda _, status=status: httpx.Response(status))
        http = client("http://vendor.example", time, Network(transport=transport))
        if 200 <= status < 300:
            assert send(http, repeatable=False).status_code == status
            continue
        with pytest.raises(VendorError) as caught:
            send(http, repeatable=False)
        assert caught.value.status == status
        if status < 400:
            assert isinstance(caught.value, ResponseError)
        assert isinstance(caught.value, UnavailableError) == (status >= 500 or status in {407, 408, 425})


def httpx_errors() -> list[type[Exception]]:
    found = [kind for _, kind in introspection.getmembers(httpx, introspection.isclass)]
    return [kind for kind in found if issubclass(kind, Exception)]


def make(kind: type[Exception]) -> Exception:
    if kind is httpx.HTTPStatusError:
        request = httpx.Request("GET", "http://vendor.example")
        return httpx.HTTPStatusError("boom", request=request, response=httpx.Response(500, request=request))
    parameters = introspection.signature(kind).parameters
    return kind("boom") if "message" in parameters else kind()


@pytest.mark.parametrize("kind", httpx_errors())
def test_every_exception_of_httpx_becomes_one_of_our_errors(time: FakeTime, kind: type[Exception]) -> None:
    def fail(_: httpx.Request) -> httpx.Response:
        raise make(kind)

    with pytest.raises(VendorError, match=r"^acme: list alerts: .{20,}") as caught:
        send(client("http://vendor.example", time, Network(transport=httpx.MockTransport(fail))))
    assert isinstance(caught.value.__cause__, kind)
    # Only what may pass by itself was tried again.
    assert bool(time.slept) == (issubclass(kind, httpx.TransportError) and isinstance(caught.value, UnavailableError))


def test_the_list_of_httpx_exceptions_is_not_empty() -> None:
    assert {httpx.ConnectError, httpx.InvalidURL, httpx.StreamConsumed, httpx.ProxyError} <= set(httpx_errors())


@pytest.mark.parametrize(
    "body",
    [
        {"errors": [{"code": 400, "message": "no such filter"}]},
        {"errors": [{"detail": "no such filter"}]},
        {"errors": ["no such filter"]},
        {"error": {"type": "x", "reason": "no such filter"}},
        {"error": {"code": "x", "message": "no such filter"}},
        {"error": "invalid_request", "error_description": "no such filter"},
        {"error": "no such filter"},
        {"message": "no such\n\tfilter"},
        {"messages": [{"type": "ERROR", "text": "no such filter"}]},
    ],
)
def test_the_message_of_a_known_envelope_is_quoted(vendor: Scripted, time: FakeTime, body: Any) -> None:
    vendor.script = [JSONResponse(body, 400)]
    with pytest.raises(RejectedError, match=r"rejected: no such filter \(HTTP 400\)$"):
        send(client(vendor.url, time))


def test_no_other_part_of_a_body_and_no_long_message_is_quoted(vendor: Scripted, time: FakeTime) -> None:
    vendor.script = [JSONResponse({"message": "x" * 500, "data": "customer"}, 400)]
    with pytest.raises(RejectedError) as caught:
        send(client(vendor.url, time))
    assert "x" * 199 + "…" in str(caught.value)
    assert "x" * 200 not in str(caught.value)
    assert "customer" not in str(caught.value)


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        ({}, {"X-Request-Id": "r-7"}),
        ({}, {"X-Cs-Traceid": "r-7"}),
        ({}, {"X-Cs-TraceId": "r-7"}),
        ({}, {"X-Amzn-RequestId": "r-7"}),
        ({}, {"X-Acme-Request-Id": "r-7", "X-Acme-Correlation-Request-Id": "shared", "X-Correlation-Id": "shared"}),
        ({"meta": {"trace_id": "r-7"}}, {"X-Grid": "no", "Etag-Id": "no"}),
    ],
)
def test_the_request_id_is_kept(vendor: Scripted, time: FakeTime, body: Any, headers: dict[str, str]) -> None:
    vendor.script = [JSONResponse(body, 400, headers=headers)]
    with pytest.raises(RejectedError, match=r"\[request r-7\]") as caught:
        send(client(vendor.url, time))
    assert caught.value.request_id == "r-7"


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (HTMLResponse("<html>sign in, customer</html>"), "30 bytes of text/html"),
        (Response(b"", 200), "0 bytes of no content type"),
        (Response(b'{"a": customer}', media_type="application/json"), r"application/json \(broken at 6\)"),
        (Response(b"[" * 100_000, media_type="application/json"), "100000 bytes"),
        (Response(b'{"a": NaN}', media_type="application/json"), "10 bytes"),
        (Response(b"\xff\xfe\xfa", media_type="application/json"), "3 bytes"),
    ],
)
def test_an_answer_that_is_no_json_is_described_and_not_shown(
    vendor: Scripted, time: FakeTime, answer: Response, words: str
) -> None:
    vendor.script = [answer]
    with pytest.raises(ResponseError, match=words) as caught:
        ask(client(vendor.url, time))
    assert "customer" not in str(caught.value)
    assert caught.value.__cause__ is None


@pytest.mark.parametrize("over_sockets", [True, False])
def test_an_answer_that_breaks_off_is_fetched_again(vendor: Scripted, time: FakeTime, over_sockets: bool) -> None:
    cut = Response(b'{"trunc', headers={"content-length": "4096"}, media_type="application/json")
    vendor.script = [cut, JSONResponse({"ok": 1})]
    network = Network() if over_sockets else Network(transport=httpx.ASGITransport(vendor))
    assert ask(client(vendor.url, time, network)) == {"ok": 1}
    vendor.script = [cut]
    with pytest.raises(UnavailableError, match="broke off"):
        send(client(vendor.url, time, network), "POST")


def test_a_head_answer_may_announce_a_length_without_a_body(vendor: Scripted, time: FakeTime) -> None:
    vendor.script = [Response(b"", 200, headers={"content-length": "4096"})]
    network = Network(transport=httpx.ASGITransport(vendor))
    assert send(client(vendor.url, time, network), "HEAD").status_code == 200


def test_a_compressed_answer_is_unpacked(vendor: Scripted, time: FakeTime) -> None:
    vendor.script = [Response(gzip.compress(b'{"ok": 1}'), headers={"content-encoding": "gzip"})]
    assert ask(client(vendor.url, time)) == {"ok": 1}


def test_an_answer_above_the_size_limit_is_cut_off_also_when_it_was_compressed(
    vendor: Scripted, time: FakeTime
) -> None:
    bomb = gzip.compress(bytes(65 * 1024 * 1024), 1)
    vendor.script = [Response(bomb, headers={"content-encoding": "gzip"})]
    with pytest.raises(ResponseError, match="larger than 64 MiB"):
        send(client(vendor.url, time))
    assert len(vendor.seen) == 1


# An error inside a success.

Inspect = Callable[[httpx.Response, str], VendorError | None]


def partial(kind: type[VendorError], **fields: Any) -> Inspect:
    def look(response: httpx.Response, operation: str) -> VendorError | None:
        return kind("half an answer", operation=operation, **fields) if response.json().get("partial") else None

    return look


def test_an_error_inside_a_success_is_raised(vendor: Scripted, time: FakeTime) -> None:
    vendor.script = [JSONResponse({"partial": True})]
    with pytest.raises(RejectedError, match="list alerts: half an answer"):
        send(client(vendor.url, time, inspect=partial(RejectedError)))
    assert len(vendor.seen) == 1


@pytest.mark.parametrize(
    ("look", "waits"),
    [(partial(UnavailableError), [0.5]), (partial(RateLimitError, retry_after=9.0), [9.0])],
)
def test_a_passing_error_inside_a_success_is_tried_again_when_repeatable(
    vendor: Scripted, time: FakeTime, look: Inspect, waits: list[float]
) -> None:
    vendor.script = [JSONResponse({"partial": True}), JSONResponse({"ok": 1})]
    assert ask(client(vendor.url, time, inspect=look)) == {"ok": 1}
    assert time.slept == waits
    vendor.script = [JSONResponse({"partial": True}), JSONResponse({"ok": 1})]
    with pytest.raises((UnavailableError, RateLimitError)):
        send(client(vendor.url, time, inspect=look), "POST")


def test_an_inspection_that_raises_is_treated_like_one_that_returns(vendor: Scripted, time: FakeTime) -> None:
    def look(response: httpx.Response, operation: str) -> VendorError | None:
        if response.json().get("partial"):
            raise UnavailableError("half an answer", operation=operation)
        return None

    vendor.script = [JSONResponse({"partial": True}), JSONResponse({"ok": 1})]
    assert ask(client(vendor.url, time, inspect=look)) == {"ok": 1}


def test_a_failure_is_not_inspected(vendor: Scripted, time: FakeTime) -> None:
    vendor.script = [JSONResponse({"partial": True}, 400)]
    with pytest.raises(RejectedError, match="rejected"):
        send(client(vendor.url, time, inspect=partial(AuthError)))


def test_a_refused_connection_is_named(time: FakeTime) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    with pytest.raises(UnavailableError, match=r"cannot connect to 127\.0\.0\.1 .*base URL"):
        send(client(f"http://127.0.0.1:{port}", time))
    assert len(time.slept) == 3


def test_a_redirect_to_a_malformed_address_is_refused(vendor: Scripted, time: FakeTime) -> None:
    vendor.script = [Response(b"", 302, headers={"Location": "http://vendor.example:x/"})]
    with pytest.raises(UnavailableError, match="Invalid URL in location header"):
        send(client(vendor.url, time))


@pytest.mark.parametrize("body", [b'{"message": ', b'["no", "object"]', b"[" * 100_000, b'{"message": {"a": 1}}'])
def test_an_error_without_a_readable_message_is_an_error_all_the_same(
    vendor: Scripted, time: FakeTime, body: bytes
) -> None:
    vendor.script = [Response(body, 400)]
    with pytest.raises(RejectedError, match=r"was rejected \(HTTP 400\)$"):
        send(client(vendor.url, time))
