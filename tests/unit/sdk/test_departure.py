"""The gate around an action's requests, over a socket: nothing leaves it once it is shut, however long it waited."""

import asyncio

import pytest
from starlette.responses import JSONResponse, Response

from nightdesk.sdk.context import Context, Network, Settings
from nightdesk.sdk.departure import Gate, gate, through
from nightdesk.sdk.errors import NightdeskError, PolicyError, UnavailableError
from nightdesk.sdk.http import HttpClient, OAuth2ClientCredentials
from nightdesk.sdk.secrets import Secret
from nightdesk.sdk.testing.fake_time import FakeTime
from nightdesk.sdk.testing.scripted import Scripted

OK = JSONResponse({"ok": True})
BUSY = JSONResponse({}, 429, headers={"Retry-After": "20"})


class Switch:
    """Off until told, or after so many questions."""

    def __init__(self, free: int = 99) -> None:
        self.free = free
        self.asked = 0

    def __call__(self) -> None:
        self.asked += 1
        if self.asked > self.free:
            raise PolicyError("stopped")


@pytest.fixture
def http(vendor: Scripted, time: FakeTime) -> HttpClient:
    context = Context("acme", "edr", Settings({}), network=Network(), clock=time.clock, sleep=time.sleep)
    return HttpClient(context, vendor="acme", base_url=vendor.url, jitter=lambda: 0.0)


def act(http: HttpClient, way_out: Gate, *calls: tuple[str, bool]) -> NightdeskError | None:
    """The calls of one action, method and whether it may be repeated; what ended them."""

    async def work() -> None:
        async with http:
            with through(way_out):
                for method, repeatable in calls:
                    await http.request(method, "/act", operation="act", repeatable=repeatable)

    try:
        asyncio.run(work())
    except NightdeskError as error:
        return error
    return None


def test_a_shut_gate_lets_nothing_out(vendor: Scripted, http: HttpClient) -> None:
    way_out = Gate(Switch(0))
    ended = act(http, way_out, ("POST", False))
    assert isinstance(ended, PolicyError)
    assert vendor.seen == []
    assert (way_out.sent, way_out.shut) == (0, ended)


def test_a_stop_during_the_vendors_wait_keeps_the_retry_in(vendor: Scripted, http: HttpClient) -> None:
    vendor.script = [BUSY, OK]
    way_out = Gate(Switch(1))
    assert isinstance(act(http, way_out, ("POST", False)), PolicyError)
    assert len(vendor.seen) == 1
    assert way_out.sent == 0  # the vendor said that it did nothing


def test_what_may_have_worked_counts_as_sent(vendor: Scripted, http: HttpClient) -> None:
    vendor.script = [JSONResponse({}, 503), OK]
    way_out = Gate(Switch(1))
    assert isinstance(act(http, way_out, ("PUT", True)), PolicyError)
    assert len(vendor.seen) == 1
    assert way_out.sent == 1


def test_what_the_vendor_has_begun_is_finished(vendor: Scripted, http: HttpClient) -> None:
    switch = Switch(1)
    assert act(http, Gate(switch), ("POST", False), ("POST", False), ("PUT", True)) is None
    assert len(vendor.seen) == 3
    assert switch.asked == 1


def test_but_no_part_of_it_is_sent_again(vendor: Scripted, http: HttpClient) -> None:
    vendor.script = [OK, BUSY, OK]
    assert isinstance(act(http, Gate(Switch(1)), ("POST", False), ("POST", False)), PolicyError)
    assert len(vendor.seen) == 2


@pytest.mark.parametrize("question", [("GET", True), ("POST", True)])
def test_a_question_begins_nothing(vendor: Scripted, http: HttpClient, question: tuple[str, bool]) -> None:
    assert isinstance(act(http, Gate(Switch(1)), question, ("POST", False)), PolicyError)
    assert len(vendor.seen) == 1


def test_a_refused_token_is_no_effect(vendor: Scripted, http: HttpClient) -> None:
    vendor.script = [JSONResponse({}, 403)]
    way_out = Gate(Switch())
    assert act(http, way_out, ("POST", False)) is not None
    assert way_out.sent == 0


def test_a_token_is_fetched_for_everybody_and_asks_nobody(vendor: Scripted, time: FakeTime) -> None:
    vendor.script = [JSONResponse({"access_token": "t", "expires_in": 600}), OK]
    context = Context("acme", "edr", Settings({}), network=Network(), clock=time.clock, sleep=time.sleep)
    auth = OAuth2ClientCredentials("/token", "me", Secret.literal("s"))
    switch = Switch(1)
    assert (
        act(HttpClient(context, vendor="acme", base_url=vendor.url, auth=auth), Gate(switch), ("POST", False)) is None
    )
    assert [request.url.path for request in vendor.seen] == ["/token", "/act"]
    assert switch.asked == 1


def test_what_cannot_be_read_shuts_the_gate_too(vendor: Scripted, http: HttpClient) -> None:
    def dark() -> None:
        raise UnavailableError("the switches cannot be read")

    way_out = Gate(dark)
    assert isinstance(act(http, way_out, ("POST", False)), UnavailableError)
    assert vendor.seen == []


def test_outside_an_action_there_is_no_gate(vendor: Scripted, http: HttpClient) -> None:
    async def work() -> Response:
        with through(Gate(Switch(0))):
            assert gate() is not None
        assert gate() is None
        async with http:
            return await http.request("POST", "/pull", operation="pull")  # type: ignore[return-value]  # httpx's own

    assert asyncio.run(work()).status_code == 200


def test_two_actions_at_once_have_a_gate_each(vendor: Scripted, http: HttpClient) -> None:
    async def one(way_out: Gate) -> bool:
        try:
            with through(way_out):
                await asyncio.sleep(0)
                await http.request("POST", "/act", operation="act")
        except PolicyError:
            return False
        return True

    async def both() -> list[bool]:
        async with http:
            return list(await asyncio.gather(one(Gate(Switch(0))), one(Gate(Switch()))))

    assert asyncio.run(both()) == [False, True]
    assert len(vendor.seen) == 1
