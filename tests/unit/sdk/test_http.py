import asyncio
from datetime import timedelta
from email.utils import format_datetime
from typing import Any

import httpx
import pytest
import structlog
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response

from nightdesk.sdk.context import Context, Network, Settings
from nightdesk.sdk.errors import (
    ConfigError,
    NotFoundError,
    RateLimitError,
    RejectedError,
    UnavailableError,
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


def test_json_is_decoded_and_integers_keep_every_digit(vendor: Scripted, time: FakeTime) -> None:
    vendor.script = [Response(b'{"id": 123456789012345678901234567890}', media_type="application/json")]
    assert ask(client(vendor.url, time)) == {"id": 123456789012345678901234567890}


def test_a_path_is_put_under_the_path_of_the_base_url(vendor: Scripted, time: FakeTime) -> None:
    send(client(f"{vendor.url}/api/", time), path="/alerts/7")
    assert vendor.seen[0].url.path == "/api/alerts/7"


def test_parameters_join_the_query_of_the_path_and_none_is_left_out(vendor: Scripted, time: FakeTime) -> None:
    send(client(vendor.url, time), path="/alerts?sort=asc", params={"limit": 5, "after": None, "id": ["a", "b"]})
    assert vendor.seen[0].query_params.multi_items() == [("sort", "asc"), ("limit", "5"), ("id", "a"), ("id", "b")]


@pytest.mark.parametrize(
    ("options", "body", "media"),
    [
        ({"json": {"a": [1]}}, b'{"a":[1]}', "application/json"),
        ({"json": []}, b"[]", "application/json"),
        ({"form": {"a": "1 2", "b": None}}, b"a=1+2", "application/x-www-form-urlencoded"),
        ({"content": b"raw", "headers": {"Content-Type": "text/x-ndjson"}}, b"raw", "text/x-ndjson"),
    ],
)
def test_a_body_is_sent_as_given(
    vendor: Scripted, time: FakeTime, options: dict[str, Any], body: bytes, media: str
) -> None:
    send(client(vendor.url, time), "POST", **options)
    assert (vendor.bodies[0], vendor.seen[0].headers["content-type"]) == (body, media)


def test_headers_of_client_and_call_are_sent_and_the_product_names_itself(vendor: Scripted, time: FakeTime) -> None:
    send(client(vendor.url, time, headers={"X-Tenant": "one", "X-Kind": "a"}), headers={"X-Kind": "b"})
    headers = vendor.seen[0].headers
    assert (headers["x-tenant"], headers["x-kind"], headers["accept"]) == ("one", "b", "application/json")
    assert headers["user-agent"].startswith("nightdesk/")


def test_an_unusable_body_is_rejected_before_anything_is_sent(vendor: Scripted, time: FakeTime) -> None:
    with pytest.raises(RejectedError, match="cannot be built"):
        send(client(vendor.url, time), "POST", json={"a": float("nan")})
    assert vendor.seen == []


# Where requests may go.


def test_an_absolute_url_of_the_same_origin_is_followed(vendor: Scripted, time: FakeTime) -> None:
    send(client(f"{vendor.url}/api", time), path=f"{vendor.url}/other?page=2")
    assert (vendor.seen[0].url.path, vendor.seen[0].url.query) == ("/other", "page=2")


@pytest.mark.parametrize(
    "path",
    ["http://other.example/x", "HTTPS://vendor.example/x", "http://vendor.example:8080/", "http://u@vendor.example/"],
)
def test_an_absolute_url_of_another_origin_is_refused(time: FakeTime, path: str) -> None:
    sent: list[httpx.Request] = []

    def keep(request: httpx.Request) -> httpx.Response:
        sent.append(request)
        return httpx.Response(200)

    transport = httpx.MockTransport(keep)
    with pytest.raises(RejectedError, match=r"is not the configured http://vendor\.example"):
        send(client("http://vendor.example", time, Network(transport=transport)), path=path)
    assert sent == []


@pytest.mark.parametrize("path", ["/alerts/../admin", "/alerts/%2e%2E/admin", "/a\\..\\b", ".."])
def test_a_path_that_climbs_is_refused(vendor: Scripted, time: FakeTime, path: str) -> None:
    with pytest.raises(RejectedError, match="climbs"):
        send(client(f"{vendor.url}/api", time), path=path)
    assert vendor.seen == []


def test_a_path_that_is_no_url_is_refused(vendor: Scripted, time: FakeTime) -> None:
    with pytest.raises(RejectedError, match="malformed"):
        send(client(vendor.url, time), path="/alerts/\x00")
    assert vendor.seen == []


def test_a_redirect_to_another_host_is_refused_by_name(vendor: Scripted, time: FakeTime) -> None:
    vendor.script = [RedirectResponse("https://eu.vendor.example/alerts?token=t0p", 308)]
    with pytest.raises(RejectedError, match=r"https://eu\.vendor\.example, was refused") as caught:
        send(client(vendor.url, time))
    assert "t0p" not in str(caught.value)
    assert len(vendor.seen) == 1


def test_a_redirect_within_the_host_is_refused_too(vendor: Scripted, time: FakeTime) -> None:
    vendor.script = [RedirectResponse("/login", 302)]
    with pytest.raises(RejectedError, match="within the host"):
        send(client(vendor.url, time))
    assert len(vendor.seen) == 1


@pytest.mark.parametrize(
    "url",
    [
        "vendor.example",
        "ftp://vendor.example",
        "https://",
        "https://u:p@vendor.example",
        "https://v.example/?a=1",
        "https://v.example:x",
    ],
)
def test_a_base_url_that_cannot_be_talked_to_is_a_configuration_error(time: FakeTime, url: str) -> None:
    with pytest.raises(ConfigError, match="base_url") as caught:
        client(url, time)
    assert "u:p" not in str(caught.value)


# Trying again.


def test_a_failing_get_is_tried_four_times_with_growing_waits(vendor: Scripted, time: FakeTime) -> None:
    vendor.script = [PlainTextResponse("down", 503)]
    with pytest.raises(UnavailableError, match="HTTP 503"):
        send(client(vendor.url, time))
    assert len(vendor.seen) == 4
    assert time.slept == [0.5, 1.0, 2.0]


@pytest.mark.parametrize("status", [500, 502, 503, 504])
@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
def test_a_repeatable_request_outlives_a_failure(vendor: Scripted, time: FakeTime, status: int, method: str) -> None:
    vendor.script = [PlainTextResponse("", status), JSONResponse({"ok": 1})]
    assert ask(client(vendor.url, time), method) == {"ok": 1}


@pytest.mark.parametrize("method", ["POST", "PATCH"])
def test_a_failed_change_is_not_repeated_unless_it_is_declared_repeatable(
    vendor: Scripted, time: FakeTime, method: str
) -> None:
    vendor.script = [PlainTextResponse("", 503), JSONResponse({"ok": 1})]
    with pytest.raises(UnavailableError):
        send(client(vendor.url, time), method)
    assert len(vendor.seen) == 1
    vendor.script = [PlainTextResponse("", 503), JSONResponse({"ok": 1})]
    assert ask(client(vendor.url, time), method, repeatable=True) == {"ok": 1}


def test_a_get_can_be_declared_unrepeatable(vendor: Scripted, time: FakeTime) -> None:
    vendor.script = [PlainTextResponse("", 503), JSONResponse({})]
    with pytest.raises(UnavailableError):
        send(client(vendor.url, time), repeatable=False)
    assert len(vendor.seen) == 1


def test_a_rate_limited_change_is_repeated_because_it_was_not_carried_out(vendor: Scripted, time: FakeTime) -> None:
    vendor.script = [JSONResponse({}, 429, headers={"Retry-After": "7"}), JSONResponse({"ok": 1})]
    assert ask(client(vendor.url, time), "POST", json={}) == {"ok": 1}
    assert time.slept == [7.0]
    assert vendor.bodies == [b"{}", b"{}"]


def test_a_rate_limit_without_a_time_backs_off(vendor: Scripted, time: FakeTime) -> None:
    vendor.script = [JSONResponse({}, 429), JSONResponse({}, 429), JSONResponse({})]
    send(client(vendor.url, time))
    assert time.slept == [0.5, 1.0]


def test_a_long_wait_is_left_to_the_caller(vendor: Scripted, time: FakeTime) -> None:
    vendor.script = [JSONResponse({}, 429, headers={"Retry-After": "61"})]
    with pytest.raises(RateLimitError) as caught:
        send(client(vendor.url, time))
    assert (caught.value.retry_after, time.slept, len(vendor.seen)) == (61.0, [], 1)


def test_an_http_date_is_measured_against_the_date_of_the_server(vendor: Scripted, time: FakeTime) -> None:
    theirs = time.now - timedelta(hours=3)
    headers = {
        "Date": format_datetime(theirs, usegmt=True),
        "Retry-After": format_datetime(theirs + timedelta(seconds=20), usegmt=True),
    }
    vendor.script = [JSONResponse({}, 429, headers=headers), JSONResponse({})]
    send(client(vendor.url, time))
    assert time.slept == [20.0]


def test_a_client_error_is_not_repeated(vendor: Scripted, time: FakeTime) -> None:
    vendor.script = [JSONResponse({}, 400)]
    with pytest.raises(RejectedError):
        send(client(vendor.url, time))
    assert len(vendor.seen) == 1


def test_the_rate_budget_spreads_calls_and_counts_repeats(vendor: Scripted, time: FakeTime) -> None:
    http = client(vendor.url, time, requests_per_minute=10)
    vendor.script = [PlainTextResponse("", 503), JSONResponse({})]

    async def thrice() -> None:
        async with http:
            await http.request(
                "GET", "/a", operation="a"
            )  # two requests: one at once; the burst's other is kept for actions
            await http.request("GET", "/a", operation="a")

    asyncio.run(thrice())
    assert time.slept == [0.5, pytest.approx(7.0), pytest.approx(7.5)]  # 8 a minute refill one in 7.5 s


# What is seen of a call.


def test_a_call_is_logged_without_its_query_and_body(vendor: Scripted, time: FakeTime) -> None:
    vendor.script = [JSONResponse({"b": "body-text"}, 404)]
    with structlog.testing.capture_logs() as lines, pytest.raises(NotFoundError):
        send(client(vendor.url, time), params={"q": "query-text"})
    assert lines == [
        {
            "event": "vendor call",
            "log_level": "debug",
            "tenant": "tenant-a",
            "instance": "acme-1",
            "vendor": "acme",
            "operation": "list alerts",
            "method": "GET",
            "path": "/alerts",
            "status": 404,
            "ms": 0.0,
            "error": "NotFoundError",
        }
    ]


def test_a_result_does_not_carry_the_signed_request(vendor: Scripted, time: FakeTime) -> None:
    response = send(client(vendor.url, time, auth=HeaderAuth("X-Key", Secret.literal("hush-hush"))))
    assert vendor.seen[0].headers["x-key"] == "hush-hush"
    assert "x-key" not in response.request.headers


def test_the_clock_skew_is_read_from_the_last_dated_answer(vendor: Scripted, time: FakeTime) -> None:
    http = client(vendor.url, time)
    assert http.clock_skew is None
    ahead = format_datetime(time.now + timedelta(seconds=90), usegmt=True)
    vendor.script = [JSONResponse({}, headers={"Date": ahead}), JSONResponse({})]
    send(http)
    assert http.clock_skew == 90.0
