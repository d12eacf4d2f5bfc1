import asyncio
import json
import traceback
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

import nightdesk.connectors.crowdstrike_falcon as package
from nightdesk.connectors.crowdstrike_falcon import Connector
from nightdesk.connectors.crowdstrike_falcon.simulator import ALL_SCOPES, Simulator
from nightdesk.sdk import ports
from nightdesk.sdk.context import Context, Network, Settings
from nightdesk.sdk.errors import (
    AuthError,
    ConfigError,
    CursorExpiredError,
    NightdeskError,
    NotFoundError,
    RateLimitError,
    RejectedError,
    ResponseError,
    ScopeError,
    UnavailableError,
    UnsupportedError,
)
from nightdesk.sdk.manifest import load_manifest, validate_settings
from nightdesk.sdk.moments import instant
from nightdesk.sdk.ports import Command, Effect
from nightdesk.sdk.records import Batch, Cursor
from nightdesk.sdk.secrets import Secret
from nightdesk.sdk.targets import Asset, AssetQuery, Target
from nightdesk.sdk.testing import Device, StoryAlert, StoryDevice, serve
from nightdesk.sdk.testing.fake_time import FakeTime
from nightdesk.sdk.testing.story import StoryProcess
from nightdesk.sdk.verbs import TargetKind

T = TypeVar("T")
NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)
MANIFEST = load_manifest(Path(package.__file__).parent / "manifest.yaml")
ODD = StoryProcess("odd tool.exe", "C:\\Temp\\odd tool.exe", "odd", 7720, "5f" * 32)
LAPTOP = StoryDevice("aid-1", "WS-0042", ("192.0.2.42",), processes=(ODD,))
SERVER = StoryDevice("aid-2", "db-07", ("192.0.2.7",), "server", "Linux")
BAD_HASH = "ab" * 32
COMBINED = "/alerts/combined/alerts/v1"


@dataclass
class Site:
    """One served simulator and the time of both ends; every call builds its own connector."""

    simulator: Simulator
    url: str
    time: FakeTime
    settings: dict[str, Any] = field(default_factory=dict)
    network: Network = field(default_factory=lambda: Network(timeout=5))

    def connector(self) -> Connector:
        given = {**self.simulator.settings(self.url), **self.settings}
        values = validate_settings(MANIFEST, given, file="nightdesk.yaml", key="connectors.falcon")
        return Connector(
            Context("tenant-a", "falcon", Settings(values), self.network, self.time.clock, self.time.sleep)
        )

    def run(self, work: Callable[[Connector], Awaitable[T]]) -> T:
        async def once() -> T:
            connector = self.connector()
            try:
                return await work(connector)
            finally:
                await connector.aclose()

        return asyncio.run(once())

    def pull(self, cursor: Cursor | None = None, *, limit: int = 1000) -> list[Batch]:
        async def drained(connector: Connector) -> list[Batch]:
            return [batch async for batch in connector.pull("alerts", cursor, limit=limit)]

        return self.run(drained)

    def pull_until_error(self, cursor: Cursor | None, *, limit: int) -> tuple[list[Batch], NightdeskError]:
        batches: list[Batch] = []

        async def work(connector: Connector) -> NightdeskError:
            try:
                async for batch in connector.pull("alerts", cursor, limit=limit):
                    batches.append(batch)  # noqa: PERF401  # what came before the error counts
            except NightdeskError as error:
                return error
            raise AssertionError("the pull ended well")

        return batches, self.run(work)

    def add(self, uid: str, *, after: float = 0, **options: Any) -> str:
        told = NOON + timedelta(seconds=after)
        return self.simulator.add(StoryAlert(uid, told, "Odd process", "rule-1", "high", **options))

    def health(self) -> ports.Health:
        return self.run(lambda connector: connector.check_health())

    def find(self, **query: str) -> list[Asset]:
        return list(self.run(lambda connector: connector.find_asset(AssetQuery(**query))))

    def act(self, command: Command) -> ports.Receipt:
        return self.run(lambda connector: connector.act(command))

    def write(self, command: Command) -> ports.Receipt:
        return self.run(lambda connector: connector.write_back(command))

    def read(self, command: Command) -> ports.Reading:
        return self.run(lambda connector: connector.read_back(command))


@pytest.fixture
def time() -> FakeTime:
    return FakeTime(NOON)


class Stage:
    """One server for all tests, with another simulator behind it for each."""

    def __init__(self) -> None:
        self.app: Any = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await self.app(scope, receive, send)


@pytest.fixture(scope="module")
def stage() -> Iterator[tuple[Stage, str]]:
    behind = Stage()
    with serve(behind) as served:
        yield behind, served.base_url


@pytest.fixture
def site(stage: tuple[Stage, str], time: FakeTime) -> Site:
    simulator = Simulator(clock=time.clock)
    simulator.add_devices([LAPTOP, SERVER])
    stage[0].app = simulator
    return Site(simulator, stage[1], time)


@pytest.fixture
def open_site(time: FakeTime) -> Callable[..., Site]:
    """A site round any app, reached without a socket under a name of the vendor's own."""

    def opened(simulator: Simulator, app: Any = None, url: str = "https://api.crowdstrike.com") -> Site:
        transport = httpx.ASGITransport(app or simulator)
        return Site(simulator, url, time, network=Network(timeout=5, transport=transport))

    return opened


def command(verb: str, target: str, native_id: str = "", key: str = "key-1", **fields: Any) -> Command:
    return Command("tenant-a", "action-1", verb, Target.parse(target), key, NOON, native_id, **fields)


def isolate(native_id: str = "cs-aid-1", **fields: Any) -> Command:
    return command("host.isolate", "host:ws-0042", native_id, **fields)


def release(native_id: str = "cs-aid-1", **fields: Any) -> Command:
    return command("host.release", "host:ws-0042", native_id, **fields)


def dispose(native_id: str, key: str = "key-1", pre_state: Any = None, **words: Any) -> Command:
    return command(
        "alert.set_disposition", "alert:one", native_id, key, parameters=words, pre_state=dict(pre_state or {})
    )


def keys(batches: list[Batch]) -> list[str]:
    return [record.key for batch in batches for record in batch.records]


def sent(site: Site, path: str, method: str = "POST") -> int:
    return sum(1 for seen in site.simulator.seen if (seen.method, seen.path) == (method, path))


# Pulling


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_a_burst_of_equal_times_is_drained_exactly_once(site: Site, size: int) -> None:
    wanted = {site.add(f"a{number}", after=number // 300) for number in range(1069)}
    batches = site.pull(limit=size)
    records = [record for batch in batches for record in batch.records]
    assert len(records) == len({record.key for record in records}) == 1069
    assert {record.native_id for record in records} == wanted
    assert all(len(batch.records) <= size for batch in batches)
    assert [batch.more for batch in batches] == [True] * (len(batches) - 1) + [False]


def test_the_page_size_never_exceeds_what_the_vendor_takes(site: Site) -> None:
    site.add("one")
    assert len(keys(site.pull(limit=50_000))) == 1


@pytest.mark.parametrize("stop", [1, 3, 5, 9])
def test_a_pull_that_stops_anywhere_goes_on_from_its_stored_cursor_without_loss_or_repeat(
    site: Site, stop: int
) -> None:
    wanted = {site.add(f"a{number}", after=number // 9) for number in range(25)}
    first = site.pull(limit=7)[:stop]
    again = site.pull(json.loads(json.dumps(first[-1].cursor)), limit=7)
    assert sorted(keys(first) + keys(again)) == sorted(set(keys(first) + keys(again)))
    assert {key.rsplit(":2026", 1)[0] for key in keys(first) + keys(again)} == wanted


def test_a_second_pull_brings_nothing_twice(site: Site) -> None:
    site.add("one")
    cursor = site.pull()[-1].cursor
    site.add("two", after=60)
    assert len(keys(site.pull(cursor))) == 1


def test_an_alert_that_became_visible_late_is_read(site: Site) -> None:
    site.add("early", after=500)
    cursor = site.pull()[-1].cursor
    late = site.add("late", after=100)
    batches = site.pull(cursor)
    assert [record.native_id for batch in batches for record in batch.records] == [late]


def test_a_changed_alert_comes_as_a_new_version(site: Site) -> None:
    native_id = site.add("one")
    site.add("two")
    first = site.pull()
    site.time.advance(7200)
    site.simulator.triage(native_id, ("update_status", "in_progress"))
    second = site.pull(first[-1].cursor)
    (record,) = [record for batch in second for record in batch.records]
    assert record.native_id == native_id
    assert record.key not in keys(first)
    assert json.loads(record.payload)["status"] == "in_progress"


def test_two_changes_within_one_tick_are_two_versions(site: Site) -> None:
    native_id = site.add("one")
    cursor = site.pull()[-1].cursor
    seen = []
    for status in ("in_progress", "closed"):
        site.simulator.triage(native_id, ("update_status", status))
        batches = site.pull(cursor)
        cursor = batches[-1].cursor
        seen += keys(batches)
    assert len(set(seen)) == 2


def test_an_empty_answer_does_not_reset_the_cursor(site: Site) -> None:
    site.add("one", after=30)
    cursor = site.pull()[-1].cursor
    site.simulator.faults.add("partial_answer", path="nowhere")
    site.time.advance(86_400)
    again = site.pull(cursor)
    assert keys(again) == []
    assert again[-1].cursor == cursor


def test_the_cursor_holds_the_vendors_own_time_to_the_nanosecond_and_never_our_clock(site: Site) -> None:
    site.add("one", after=-3600.5)
    site.add("two", after=-3600.000003)
    cursor = site.pull()[-1].cursor
    assert cursor is not None
    told = instant("2026-11-01T10:59:59.999997979Z")
    assert cursor["newest"] == {"created_timestamp": told, "updated_timestamp": told}


def test_the_cursor_of_a_page_is_not_past_the_page(site: Site) -> None:
    for number in range(6):
        site.add(f"a{number}", after=number)
    for batch in site.pull(limit=2)[:3]:
        newest = max(json.loads(record.payload)["created_timestamp"] for record in batch.records)
        assert batch.cursor is not None
        assert batch.cursor["newest"] == {"created_timestamp": instant(newest), "updated_timestamp": 0}


def test_the_first_pull_starts_a_day_back_or_where_it_is_told(site: Site) -> None:
    site.add("old", after=-25 * 3600)
    young = site.add("young", after=-23 * 3600)
    assert [record.native_id for batch in site.pull() for record in batch.records] == [young]
    site.settings["start"] = "2026-10-01T00:00:00Z"
    assert len(keys(site.pull())) == 2


def test_reading_again_never_goes_back_behind_the_start(site: Site) -> None:
    site.settings["start"] = "2026-11-01T12:00:00Z"
    site.add("first", after=5)
    cursor = site.pull()[-1].cursor
    site.add("before", after=-30)
    assert keys(site.pull(cursor)) == []


def test_the_start_stays_where_the_first_pull_set_it(site: Site) -> None:
    cursor = site.pull()[-1].cursor
    site.add("one", after=10)
    site.time.advance(48 * 3600)
    assert len(keys(site.pull(cursor))) == 1


def test_only_the_products_asked_for_are_pulled(site: Site) -> None:
    endpoint = site.add("endpoint", device=LAPTOP)
    site.add("identity", user="alice")
    site.settings["products"] = "epp, overwatch"
    assert [record.native_id for batch in site.pull() for record in batch.records] == [endpoint]


def test_a_record_is_what_the_vendor_sent_byte_for_byte(site: Site, open_site: Callable[..., Site]) -> None:
    text = '{ "composite_id" : "c:1","n":1.10, "big":123456789012345678901,"updated_timestamp":"x", "é":"\\u00e9" }'
    body = f'{{"errors": [], "meta": {{"a": [1]}} , "resources" :[\n {text} , {{"composite_id":"c:2"}}\n]  }}'

    async def answer(_: Request) -> Response:
        return Response(body, media_type="application/json")

    fake = open_site(site.simulator, _app(answer))
    records = [record for batch in fake.pull() for record in batch.records]
    assert [record.payload.decode() for record in records] == [text, '{"composite_id":"c:2"}']


def test_what_is_no_alert_is_kept_as_a_failure(site: Site, open_site: Callable[..., Site]) -> None:
    async def answer(_: Request) -> Response:
        return JSONResponse({"resources": [{"composite_id": "c:1", "updated_timestamp": "x"}, "odd", None]})

    batches = open_site(site.simulator, _app(answer)).pull()
    assert [(failure.payload, failure.pointer) for failure in batches[0].failures] == [
        (b'"odd"', "/1"),
        (b"null", "/2"),
    ]
    assert keys(batches) == ["c:1:x"]


@pytest.mark.parametrize("name", ["composite_id", "updated_timestamp", "created_timestamp"])
def test_an_alert_whose_field_was_renamed_is_still_delivered_once(site: Site, name: str) -> None:
    for number in range(3):
        site.add(f"a{number}", after=number)
    site.simulator.faults.add("drifted_field", options={"field": name, "to": "renamed"})
    first = site.pull(limit=2)
    assert len(keys(first)) == len(set(keys(first))) == 3
    assert keys(site.pull(first[-1].cursor)) == []


def test_an_alert_without_status_is_not_called_open(site: Site) -> None:
    native_id = site.add("a1")
    site.simulator.faults.add("drifted_field", options={"field": "status", "to": "moved"})
    with pytest.raises(ResponseError, match="no status"):
        site.read(dispose(native_id, status="open"))


def test_a_partial_answer_keeps_what_came_moves_nothing_and_ends_the_pull(site: Site) -> None:
    for number in range(8):
        site.add(f"a{number}", after=number)
    site.simulator.faults.add("partial_answer", path=COMBINED, after=1, times=1)
    batches, error = site.pull_until_error(None, limit=4)
    assert [(len(batch.records), batch.cursor is None) for batch in batches] == [(4, False), (2, True)]
    assert isinstance(error, UnavailableError)
    assert "some shards did not answer" in str(error)
    assert len(set(keys(batches) + keys(site.pull(batches[0].cursor)))) == 8


def test_a_page_token_that_is_refused_means_starting_from_the_stored_time(
    site: Site, open_site: Callable[..., Site]
) -> None:
    async def answer(request: Request) -> Response:
        if "after" in await request.json():
            return JSONResponse({"errors": [{"code": 400, "message": "invalid after token"}]}, 400)
        return JSONResponse({"resources": [{"composite_id": "c"}], "meta": {"pagination": {"after": "t"}}})

    batches, error = open_site(site.simulator, _app(answer)).pull_until_error(None, limit=1)
    assert len(batches) == 1
    assert isinstance(error, CursorExpiredError)


def test_a_page_token_that_repeats_ends_the_pull(site: Site, open_site: Callable[..., Site]) -> None:
    async def answer(_: Request) -> Response:
        return JSONResponse({"resources": [{"composite_id": "c"}], "meta": {"pagination": {"after": "same"}}})

    _, error = open_site(site.simulator, _app(answer)).pull_until_error(None, limit=1)
    assert isinstance(error, ResponseError)
    assert "repeats" in str(error)


@pytest.mark.parametrize(
    "cursor",
    [
        {},
        {"start": "yesterday", "newest": {"created_timestamp": 0, "updated_timestamp": 0}, "seen": []},
        {"start": 0, "newest": {"created_timestamp": 0}, "seen": []},
    ],
)
def test_a_cursor_that_is_not_ours_is_refused(site: Site, cursor: Cursor) -> None:
    _, error = site.pull_until_error(cursor, limit=1)
    assert isinstance(error, CursorExpiredError)


def test_what_is_remembered_is_bounded(site: Site) -> None:
    for number in range(5):
        site.add(f"old{number}", after=-7200)
    first = site.pull()[-1].cursor
    assert first is not None
    assert len(first["seen"]) == 5
    site.add("new", after=0)
    second = site.pull(first)[-1].cursor
    assert second is not None
    assert len(second["seen"]) == 1


def test_one_alert_is_read_as_it_is_now(site: Site) -> None:
    native_id = site.add("one")
    site.simulator.triage(native_id, ("update_status", "closed"))
    record = site.run(lambda connector: connector.read_one("alerts", native_id))
    assert (record.native_id, record.product) == (native_id, "crowdstrike_falcon")
    assert json.loads(record.payload)["status"] == "closed"
    assert record.key in keys(site.pull())


def test_an_unknown_alert_is_not_found(site: Site) -> None:
    with pytest.raises(NotFoundError, match="nobody not found"):
        site.run(lambda connector: connector.read_one("alerts", "nobody"))


def test_there_is_no_other_stream(site: Site) -> None:
    with pytest.raises(UnsupportedError, match="there is alerts"):
        site.run(lambda connector: connector.read_one("detects", "x"))


# Transport


def test_a_rate_limit_is_waited_out_as_the_vendor_says(site: Site) -> None:
    site.add("one")
    site.simulator.faults.add("rate_limited", path=COMBINED, times=1, options={"retry_after": 17})
    assert len(keys(site.pull())) == 1
    assert site.time.slept == [17.0]


def test_a_long_rate_limit_is_left_to_the_caller_with_its_seconds(site: Site) -> None:
    site.simulator.faults.add("rate_limited", path=COMBINED, options={"retry_after": 300})
    _, error = site.pull_until_error(None, limit=1)
    assert isinstance(error, RateLimitError)
    assert error.retry_after == pytest.approx(300, abs=1)


def test_a_token_that_expires_between_pages_is_renewed_once(site: Site) -> None:
    for number in range(4):
        site.add(f"a{number}", after=number)
    site.simulator.faults.add("expired_token", path=COMBINED, after=1, times=1)
    assert len(keys(site.pull(limit=2))) == 4
    assert sent(site, "/oauth2/token") == 2


def test_a_token_is_used_for_half_an_hour_and_renewed_before_its_end(site: Site) -> None:
    async def work(connector: Connector) -> None:
        for wait in (0, 1600, 100):
            site.time.advance(wait)
            await connector.find_asset(AssetQuery(hostname="ws-0042"))

    site.run(work)
    assert sent(site, "/oauth2/token") == 2


def test_a_missing_scope_is_named(site: Site) -> None:
    site.simulator.scopes -= {"alerts:read"}
    _, error = site.pull_until_error(None, limit=1)
    assert isinstance(error, ScopeError)
    assert "'Alerts: read'" in str(error)


def test_a_missing_write_scope_is_named(site: Site) -> None:
    site.simulator.scopes -= {"hosts:write"}
    with pytest.raises(ScopeError, match="'Hosts: write'"):
        site.act(isolate())


def test_wrong_credentials_are_said_once_and_not_tried_again(site: Site) -> None:
    site.settings["client_secret"] = Secret.literal("not-the-secret")
    _, error = site.pull_until_error(None, limit=1)
    assert isinstance(error, AuthError)
    assert sent(site, "/oauth2/token") == 1


def test_a_sign_in_page_instead_of_json_is_a_broken_answer(site: Site) -> None:
    site.simulator.faults.add("not_json", path=COMBINED)
    _, error = site.pull_until_error(None, limit=1)
    assert isinstance(error, ResponseError)
    assert "text/html" in str(error)
    assert "sign in" not in str(error)


def test_the_error_names_the_cloud_when_the_api_refuses_because_of_it(open_site: Callable[..., Site]) -> None:
    site = open_site(Simulator(clock=lambda: NOON, home="eu-1"))
    _, error = site.pull_until_error(None, limit=1)
    assert isinstance(error, ScopeError)
    assert "set base_url to https://api.eu-1.crowdstrike.com" in str(error)
    assert any("https://api.eu-1.crowdstrike.com" in problem for problem in site.health().problems)


def test_a_redirect_to_another_cloud_is_not_followed_but_named(open_site: Callable[..., Site]) -> None:
    site = open_site(Simulator(clock=lambda: NOON, home="us-2", redirects=True))
    _, error = site.pull_until_error(None, limit=1)
    assert isinstance(error, RejectedError)
    assert "https://api.us-2.crowdstrike.com" in str(error)
    assert {request.path for request in site.simulator.seen} == {"/oauth2/token"}


def test_a_clients_own_cloud_is_no_problem(open_site: Callable[..., Site]) -> None:
    assert open_site(Simulator(clock=lambda: NOON)).health().ok


def test_the_child_cid_goes_with_the_token_request(open_site: Callable[..., Site]) -> None:
    bodies: list[str] = []
    simulator = Simulator(clock=lambda: NOON)

    async def spy(scope: Any, receive: Any, send: Any) -> None:
        async def listening() -> Any:
            message = await receive()
            bodies.append(message.get("body", b"").decode())
            return message

        await simulator(scope, listening, send)

    site = open_site(simulator, spy)
    site.settings["member_cid"] = "child-7"
    site.pull()
    assert "member_cid=child-7" in bodies[0]


def test_no_error_shows_the_secret_or_a_token(site: Site, open_site: Callable[..., Site]) -> None:
    secret = site.simulator.secret

    async def leak(_: Request) -> Response:
        return JSONResponse({"resources": [], "errors": [{"code": 500, "message": f"broken {secret}"}]})

    texts = []
    for faulty, fault in ((site, "not_json"), (site, "server_error"), (open_site(site.simulator, _app(leak)), "")):
        site.simulator.faults.clear()
        if fault:
            site.simulator.faults.add(fault)  # type: ignore[arg-type]  # one of the kinds
        _, error = faulty.pull_until_error(None, limit=1)
        texts.append("".join(traceback.format_exception(error)))
    assert "broken ***" in texts[-1]
    assert not [text for text in texts if secret in text]
    assert secret not in repr(vars(site.connector()))


# Settings


@pytest.mark.parametrize(
    ("key", "value"), [("page_size", 0), ("page_size", 1001), ("start", "yesterday"), ("products", "epp,'x'")]
)
def test_a_setting_that_cannot_work_is_refused_by_name(site: Site, key: str, value: Any) -> None:
    site.settings[key] = value
    with pytest.raises(ConfigError, match=key):
        site.connector()


def test_what_is_declared_is_implemented(site: Site) -> None:
    connector = site.connector()
    for port in (
        ports.Pulls,
        ports.ReadsOne,
        ports.WritesBack,
        ports.Acts,
        ports.ReadsBack,
        ports.FindsAssets,
        ports.ChecksHealth,
    ):
        assert isinstance(connector, port)
    assert not isinstance(connector, ports.Searches)


@pytest.mark.parametrize("verb", ["ip.block", "process.suspend"])
def test_what_is_not_declared_is_refused(site: Site, verb: str) -> None:
    target = "address:203.0.113.9" if verb == "ip.block" else "process:x"
    for call in (site.act, site.read):
        with pytest.raises(UnsupportedError):
            call(command(verb, target))
    with pytest.raises(UnsupportedError):
        site.write(command("host.isolate", "host:ws-0042", site.add("one")))


# Containment


def test_isolation_of_an_offline_host_is_pending_until_it_checks_in(site: Site) -> None:
    site.simulator.faults.add("offline_host", options={"device_id": "cs-aid-1"})
    assert site.read(isolate()).effect is Effect.NOT_IN_EFFECT
    assert site.act(isolate()).changed
    pending = site.read(isolate())
    assert (pending.effect, pending.native_state) == (Effect.PENDING, "containment_pending")
    assert pending.state["isolated"] is False
    site.simulator.faults.clear()
    reading = site.read(isolate())
    assert (reading.effect, reading.native_state, reading.state["isolated"]) == (Effect.IN_EFFECT, "contained", True)
    assert site.simulator.fleet.devices["cs-aid-1"].isolated


def test_an_order_that_is_under_way_is_not_given_again(site: Site) -> None:
    site.simulator.faults.add("offline_host", options={"device_id": "cs-aid-1"})
    site.act(isolate())
    assert not site.act(isolate(key="another")).changed
    assert len(site.simulator.mutations()) == 1


def test_isolation_that_takes_effect_late_is_pending_meanwhile(site: Site) -> None:
    site.simulator.faults.add("late_effect", options={"device_id": "cs-aid-1", "seconds": 40})
    site.act(isolate())
    assert site.read(isolate()).effect is Effect.PENDING
    site.time.advance(41)
    assert site.read(isolate()).effect is Effect.IN_EFFECT


def test_isolation_that_was_accepted_and_failed_is_never_in_effect(site: Site) -> None:
    site.simulator.faults.add("accepted_then_failed", options={"device_id": "cs-aid-1"})
    assert site.act(isolate()).changed
    assert site.read(isolate()).effect is Effect.NOT_IN_EFFECT


def test_release_is_pending_then_normal(site: Site) -> None:
    site.act(isolate())
    site.simulator.faults.add("offline_host", options={"device_id": "cs-aid-1"})
    assert site.act(release()).changed
    pending = site.read(release())
    assert (pending.effect, pending.native_state) == (Effect.PENDING, "lift_containment_pending")
    assert pending.state["isolated"] is True
    assert site.read(isolate()).effect is Effect.NOT_IN_EFFECT
    site.simulator.faults.clear()
    assert site.read(release()).effect is Effect.IN_EFFECT


@pytest.mark.parametrize("make", [isolate, release])
def test_a_host_that_is_already_so_is_left_alone(site: Site, make: Callable[[], Command]) -> None:
    if make is isolate:
        site.act(isolate(key="somebody"))
    before = len(site.simulator.mutations())
    assert not site.act(make()).changed
    assert len(site.simulator.mutations()) == before
    assert site.read(make()).effect is Effect.IN_EFFECT


def test_a_lost_reply_is_found_by_reading_back_and_a_repeat_is_still_our_change(site: Site) -> None:
    site.simulator.faults.add("lost_reply", path="devices-actions", times=1)
    pre_state = site.read(isolate()).state
    with pytest.raises(UnavailableError):
        site.act(isolate(pre_state=pre_state))
    assert len(site.simulator.mutations()) == 1
    assert site.read(isolate()).effect is Effect.IN_EFFECT
    assert site.act(isolate(pre_state=pre_state)).changed
    assert len(site.simulator.fleet.devices["cs-aid-1"].orders) == 1


def test_a_refusal_because_somebody_was_faster_is_no_error(site: Site, open_site: Callable[..., Site]) -> None:
    simulator = site.simulator

    async def racing(scope: Any, receive: Any, send: Any) -> None:
        if scope["path"].endswith("devices-actions/v2"):
            simulator.fleet.order("cs-aid-1", isolate=True)
        await simulator(scope, receive, send)

    receipt = open_site(simulator, racing).act(isolate())
    assert not receipt.changed
    assert len(simulator.fleet.devices["cs-aid-1"].orders) == 1


@pytest.mark.parametrize("status", [202, 409])
def test_a_refusal_that_left_the_host_as_it_was_is_an_error(
    site: Site, open_site: Callable[..., Site], status: int
) -> None:
    simulator = site.simulator

    async def refusing(scope: Any, receive: Any, send: Any) -> None:
        if not scope["path"].endswith("devices-actions/v2"):
            await simulator(scope, receive, send)
            return
        errors = {"errors": [{"code": 409, "message": "cannot be contained"}], "resources": []}
        await JSONResponse(errors, status)(scope, receive, send)

    with pytest.raises(RejectedError, match="cannot be contained"):
        open_site(simulator, refusing).act(isolate())


def test_selective_isolation_is_declared_as_a_loss(site: Site) -> None:
    assert "mode=selective" in site.act(isolate(parameters={"mode": "selective"})).losses[0]
    assert site.act(isolate("cs-aid-2", parameters={"mode": "full"})).losses == ()


def test_a_parameter_that_containment_does_not_have_is_refused(site: Site) -> None:
    with pytest.raises(UnsupportedError, match="duration"):
        site.act(isolate(parameters={"duration": 60}))
    assert site.simulator.mutations() == []


@pytest.mark.parametrize(("native_id", "error"), [("cs-nobody", NotFoundError), ("", RejectedError)])
def test_a_device_that_is_not_there_is_an_error_and_nothing_is_sent(
    site: Site, native_id: str, error: type[NightdeskError]
) -> None:
    for call in (site.act, site.read):
        with pytest.raises(error):
            call(isolate(native_id))
    assert site.simulator.mutations() == []


# Assets


def test_a_host_is_found_by_name_whatever_the_case(site: Site) -> None:
    for name in ("ws-0042", "WS-0042", "Ws-0042"):
        (asset,) = site.find(hostname=name)
        assert (asset.native_id, asset.hostname, asset.asset_type) == ("cs-aid-1", "WS-0042", "workstation")
    assert site.find(hostname="db-07")[0].asset_type == "server"


def test_a_longer_name_that_the_search_also_returns_is_not_the_host(site: Site) -> None:
    site.simulator.add_devices([StoryDevice("aid-3", "WS-0042-OLD", ("192.0.2.43",))])
    assert [asset.native_id for asset in site.find(hostname="ws-0042")] == ["cs-aid-1"]


def test_a_host_is_found_by_address_and_by_device_id(site: Site) -> None:
    assert [asset.native_id for asset in site.find(address="192.0.2.7")] == ["cs-aid-2"]
    assert [asset.native_id for asset in site.find(device_id="cs-aid-2")] == ["cs-aid-2"]
    assert [asset.native_id for asset in site.find(device_id="other-vendor", hostname="ws-0042")] == ["cs-aid-1"]


def test_a_host_that_nobody_knows_is_no_asset(site: Site) -> None:
    assert site.find(hostname="elsewhere") == []
    assert site.find(device_id="other-vendor") == []
    assert site.find() == []


def test_a_reinstalled_sensor_is_found_by_its_newest_record(site: Site) -> None:
    site.simulator.retire("cs-aid-1")
    site.time.advance(3600)
    site.simulator.add_devices([StoryDevice("aid-9", "ws-0042", ("192.0.2.42",))])
    site.time.advance(60)
    assert [asset.native_id for asset in site.find(hostname="ws-0042")] == ["cs-aid-9"]
    assert [asset.native_id for asset in site.find(address="192.0.2.42")] == ["cs-aid-9"]


def test_two_machines_of_one_name_are_both_returned(site: Site) -> None:
    site.time.advance(3600)
    site.simulator.add_devices([StoryDevice("aid-9", "ws-0042", ("192.0.2.99",))])
    site.time.advance(60)
    assert sorted(asset.native_id for asset in site.find(hostname="ws-0042")) == ["cs-aid-1", "cs-aid-9"]


def test_a_machine_that_fell_silent_after_its_namesake_appeared_was_not_reinstalled(site: Site) -> None:
    site.time.advance(3600)
    site.simulator.add_devices([StoryDevice("aid-9", "ws-0042", ("192.0.2.99",))])
    site.time.advance(3600)
    site.simulator.retire("cs-aid-1")
    site.time.advance(3600)
    assert sorted(asset.native_id for asset in site.find(hostname="ws-0042")) == ["cs-aid-1", "cs-aid-9"]


def test_a_name_that_would_change_the_query_is_refused(site: Site) -> None:
    with pytest.raises(RejectedError, match="cannot be searched"):
        site.find(hostname="x'+hostname:'y")


# Hashes


def block(key: str = "key-1", target: str = f"file:{BAD_HASH}", **fields: Any) -> Command:
    return command("hash.block", target, key=key, **fields)


def unblock(key: str = "key-2", **fields: Any) -> Command:
    return command("hash.unblock", f"file:{BAD_HASH}", key=key, **fields)


def foreign(site: Site, **fields: Any) -> str:
    return site.simulator.add_indicator(
        {
            "type": "sha256",
            "value": BAD_HASH,
            "action": "prevent",
            "severity": "high",
            "platforms": ["windows"],
            "applied_globally": True,
            "source": "analyst",
            **fields,
        }
    )


def test_a_hash_is_blocked_read_back_and_unblocked(site: Site) -> None:
    assert site.read(block()).effect is Effect.NOT_IN_EFFECT
    assert site.act(block(reason="ransomware", case_id="case-7")).changed
    (indicator,) = site.simulator.indicators.values()
    assert (indicator["action"], indicator["applied_globally"], indicator["source"]) == (
        "prevent",
        True,
        "nightdesk:tenant-a",
    )
    assert "ransomware case-7" in indicator["description"]
    reading = site.read(block())
    assert (reading.effect, reading.native_state, reading.state["ours"]) == (Effect.IN_EFFECT, "prevent", True)
    assert site.act(unblock()).changed
    assert site.simulator.indicators == {}
    assert site.read(unblock()).effect is Effect.IN_EFFECT


def test_a_block_is_repeated_safely(site: Site) -> None:
    site.simulator.faults.add("lost_reply", path="^/iocs/entities", times=1)
    with pytest.raises(UnavailableError):
        site.act(block())
    assert site.act(block()).changed
    assert not site.act(block("key-of-another-case")).changed
    assert len(site.simulator.indicators) == 1


def test_an_unblock_is_repeated_safely(site: Site) -> None:
    site.act(block())
    pre_state = site.read(unblock()).state
    site.simulator.faults.add("lost_reply", path="^/iocs/entities", times=1)
    with pytest.raises(UnavailableError):
        site.act(unblock(pre_state=pre_state))
    assert site.act(unblock(pre_state=pre_state)).changed
    assert not site.act(unblock()).changed


def test_only_our_own_indicator_is_deleted_and_by_id_alone(site: Site) -> None:
    foreign(site, value="cd" * 32)
    site.act(block())
    site.act(unblock())
    (deletion,) = [seen for seen in site.simulator.mutations() if seen.method == "DELETE"]
    assert "ids=" in deletion.query
    assert "filter" not in deletion.query
    assert [row["value"] for row in site.simulator.indicators.values()] == ["cd" * 32]


def test_a_block_of_somebody_else_counts_but_is_never_undone(site: Site) -> None:
    foreign(site)
    assert not site.act(block()).changed
    assert site.read(block()).effect is Effect.IN_EFFECT
    with pytest.raises(RejectedError, match="'analyst'"):
        site.act(unblock())
    assert len(site.simulator.indicators) == 1


@pytest.mark.parametrize(
    "fields", [{"action": "detect"}, {"action": "allow"}, {"applied_globally": False, "host_groups": ["g"]}]
)
def test_an_indicator_that_does_not_block_everywhere_is_neither_a_block_nor_overwritten(
    site: Site, fields: Mapping[str, Any]
) -> None:
    foreign(site, **fields)
    assert site.read(block()).effect is Effect.NOT_IN_EFFECT
    with pytest.raises(RejectedError, match="change it in Falcon"):
        site.act(block())


def test_a_block_for_a_time_expires(site: Site) -> None:
    site.act(block(parameters={"duration": 3600}))
    assert site.read(block()).effect is Effect.IN_EFFECT
    site.time.advance(3601)
    assert site.read(block()).effect is Effect.NOT_IN_EFFECT


def test_a_longer_block_prolongs_our_indicator_and_a_shorter_one_leaves_it(site: Site) -> None:
    first = site.act(block(parameters={"duration": 3600}))
    assert first.evidence["ends_at"] == "2026-11-01T13:00:00Z"
    longer = site.act(block(key="longer", parameters={"duration": 7200}))
    assert (longer.changed, longer.evidence["ends_at"], longer.losses) == (True, "2026-11-01T14:00:00Z", ())
    assert not site.act(block(key="less", parameters={"duration": 60})).changed
    (row,) = site.simulator.indicators.values()
    assert (row["expiration"], row["action"], row["applied_globally"]) == ("2026-11-01T14:00:00Z", "prevent", True)
    assert site.read(block()).state["ends_at"] == "2026-11-01T14:00:00Z"
    endless = site.act(block(key="endless"))
    assert not endless.changed
    assert endless.losses == (f"duration: our indicator {row['id']} blocks until 2026-11-01T14:00:00Z",)


def test_an_indicator_of_ours_that_has_expired_makes_room_and_somebody_elses_does_not(site: Site) -> None:
    site.act(block(parameters={"duration": 60}))
    site.time.advance(61)
    assert site.read(block()).native_state == "no_action"
    assert not site.act(unblock()).changed, "it blocks nothing any longer"
    again = site.act(block(key="again"))
    assert again.changed
    (row,) = site.simulator.indicators.values()
    assert "expiration" not in row
    foreign(site, value="cd" * 32, expiration="2026-11-01T13:00:00Z")
    site.time.advance(7200)
    with pytest.raises(RejectedError, match="expired True"):
        site.act(block(target=f"file:{'cd' * 32}"))


def test_a_block_of_somebody_else_that_ends_earlier_is_a_loss(site: Site) -> None:
    name = foreign(site, expiration="2026-11-01T13:00:00Z")
    receipt = site.act(block(parameters={"duration": 7200}))
    assert not receipt.changed
    assert receipt.losses == (f"duration: somebody else's indicator {name} blocks until 2026-11-01T13:00:00Z",)


@pytest.mark.parametrize("duration", ["PT1H", 0, -5, True, 10**9])
def test_a_duration_that_is_no_number_of_seconds_is_refused(site: Site, duration: Any) -> None:
    with pytest.raises(RejectedError, match="duration"):
        site.act(block(parameters={"duration": duration}))


def test_hash_kinds_that_falcon_lacks_are_refused_and_weak_ones_declared(site: Site) -> None:
    with pytest.raises(UnsupportedError, match="sha256 and md5"):
        site.act(block(target=f"file:{'ab' * 20}"))
    assert "md5" in site.act(block(target=f"file:{'ab' * 16}")).losses[0]


# Commands on a host


RESPONDER = "/real-time-response/entities/active-responder-command/v1"
ADMIN = "/real-time-response/entities/admin-command/v1"
AWAY = {"device_id": "cs-aid-1"}


def on_host(verb: str, key: str = "key-1", native_id: str = "cs-aid-1", **facts: str) -> Command:
    known = {"pid": "7720", "path": ODD.path, **facts}
    target = Target(TargetKind.PROCESS, ODD.name, known)
    if verb.startswith("file."):
        target = Target(TargetKind.FILE, f"sha256:{ODD.sha256}", known)
    return Command("tenant-a", "action-1", verb, target, key, NOON, native_id)


def script(text: Any, key: str = "key-1") -> Command:
    return command("host.run_script", "host:ws-0042", "cs-aid-1", key, parameters={"script": text})


def laptop(site: Site) -> Device:
    return site.simulator.fleet.devices["cs-aid-1"]


def test_a_process_is_ended_by_its_id_and_told_by_the_commands_status(site: Site) -> None:
    assert site.read(on_host("process.terminate")).effect is Effect.NOT_IN_EFFECT
    assert site.act(on_host("process.terminate")).evidence["command"] == "kill 7720"
    assert laptop(site).processes == {}
    reading = site.read(on_host("process.terminate"))
    assert (reading.effect, reading.native_state, reading.state["terminated"]) == (Effect.IN_EFFECT, "complete", True)


def test_a_kill_that_is_under_way_is_pending_and_one_that_failed_says_why(site: Site) -> None:
    site.simulator.faults.add("late_effect", options={**AWAY, "seconds": 40})
    site.act(on_host("process.terminate"))
    assert site.read(on_host("process.terminate")).effect is Effect.PENDING
    site.simulator.faults.clear()
    site.time.advance(41)
    assert site.read(on_host("process.terminate")).effect is Effect.IN_EFFECT
    site.act(on_host("process.terminate", pid="4"))
    reading = site.read(on_host("process.terminate", pid="4"))
    assert (reading.effect, reading.state["terminated"]) == (Effect.FAILED, False)
    assert "identifier 4" in reading.native_state


def test_a_kill_whose_answer_was_lost_is_found_in_the_sessions_log_and_not_given_again(site: Site) -> None:
    site.simulator.faults.add("lost_reply", path=RESPONDER, method="POST", times=1)
    with pytest.raises(UnavailableError):
        site.act(on_host("process.terminate"))
    receipt = site.act(on_host("process.terminate"))
    assert (receipt.changed, receipt.evidence["found"]) == (True, True)
    assert sent(site, RESPONDER) == 1


def test_a_kill_of_an_earlier_command_is_not_taken_for_this_ones(site: Site) -> None:
    site.act(on_host("process.terminate"))
    site.time.advance(60)
    later = replace(on_host("process.terminate", "key-2"), requested_at=NOON + timedelta(seconds=60))
    assert site.read(later).effect is Effect.NOT_IN_EFFECT
    assert not site.act(later).evidence["found"]
    assert site.read(later).effect is Effect.FAILED  # the process is gone since the first


def test_times_in_the_log_are_held_against_the_vendors_clock(site: Site) -> None:
    site.simulator.faults.add("clock_skew", options={"seconds": -90})
    site.act(on_host("process.terminate"))
    assert site.read(on_host("process.terminate")).effect is Effect.IN_EFFECT


def test_a_kill_does_not_wait_for_a_host_that_is_offline(site: Site) -> None:
    site.simulator.faults.add("offline_host", options=AWAY)
    with pytest.raises(UnavailableError, match="is the host offline"):
        site.act(on_host("process.terminate"))
    site.act(on_host("file.fetch"))
    with pytest.raises(UnavailableError, match="does not wait"):  # though a queued session is there now
        site.act(on_host("process.terminate"))
    site.simulator.faults.clear()
    site.simulator.fleet.settle()
    assert list(laptop(site).processes) == [7720]


@pytest.mark.parametrize("pid", ["", "0", "-1", "7720 7721", "all", "1e3"])
def test_a_process_without_one_plain_id_is_refused_before_anything_is_sent(site: Site, pid: str) -> None:
    with pytest.raises(RejectedError, match="process id"):
        site.act(on_host("process.terminate", pid=pid))
    assert site.simulator.seen == []


def test_a_host_id_that_would_change_the_query_is_refused(site: Site) -> None:
    for native_id in ("", "x'+user_id:'@me"):
        with pytest.raises(RejectedError, match="no device id"):
            site.act(on_host("process.terminate", native_id=native_id))
    assert site.simulator.seen == []


def test_each_level_of_command_names_its_own_scope(site: Site) -> None:
    site.simulator.scopes -= {"rtr:write", "rtr:admin"}
    with pytest.raises(ScopeError, match="'Real time response: write'"):
        site.act(on_host("process.terminate"))
    with pytest.raises(ScopeError, match=r"'Real time response \(admin\): write'"):
        site.act(script("triage"))
    site.simulator.scopes -= {"rtr:read"}
    with pytest.raises(ScopeError, match="'Real time response: read'"):
        site.act(on_host("process.terminate"))


def test_the_open_session_of_a_host_is_used_again_until_it_idles_out(site: Site) -> None:
    first = site.act(on_host("process.terminate")).evidence["session_id"]
    site.time.advance(599)
    second = site.act(on_host("process.terminate", pid="4")).evidence["session_id"]
    site.time.advance(600)
    third = site.act(on_host("process.terminate", pid="8")).evidence["session_id"]
    assert first == second != third
    assert site.read(on_host("process.terminate")).effect is Effect.IN_EFFECT


def test_a_file_is_fetched_once_its_upload_is_complete_and_its_hash_the_wanted_one(site: Site) -> None:
    site.simulator.faults.add("late_effect", options={**AWAY, "seconds": 40})
    assert site.act(on_host("file.fetch")).evidence["command"] == f'get "{ODD.path}"'
    pending = site.read(on_host("file.fetch"))
    assert (pending.effect, pending.native_state) == (Effect.PENDING, "UPLOADING")
    site.time.advance(41)
    reading = site.read(on_host("file.fetch"))
    assert (reading.effect, reading.state["fetched"], reading.state["sha256"]) == (Effect.IN_EFFECT, True, ODD.sha256)


def test_another_file_at_the_path_is_not_the_one_that_was_meant(site: Site) -> None:
    laptop(site).files[ODD.path].sha256 = "cd" * 32
    site.act(on_host("file.fetch"))
    reading = site.read(on_host("file.fetch"))
    assert (reading.effect, reading.state["fetched"]) == (Effect.FAILED, False)
    assert "cdcd" in reading.native_state


def test_a_file_that_is_not_there_is_a_failure_in_the_sensors_words(site: Site) -> None:
    site.act(on_host("file.fetch", path="C:\\gone.exe"))
    reading = site.read(on_host("file.fetch", path="C:\\gone.exe"))
    assert reading.effect is Effect.FAILED
    assert "Check your filename" in reading.native_state


def test_a_fetch_waits_for_an_offline_host_and_is_not_queued_twice(site: Site) -> None:
    site.simulator.faults.add("offline_host", options=AWAY)
    assert site.act(on_host("file.fetch")).evidence["queued"]
    assert site.act(on_host("file.fetch")).evidence["found"]
    reading = site.read(on_host("file.fetch"))
    assert (reading.effect, sent(site, RESPONDER)) == (Effect.PENDING, 1)
    site.time.advance(86_400)
    site.simulator.faults.clear()
    assert site.read(on_host("file.fetch")).effect is Effect.IN_EFFECT


def test_a_queued_fetch_that_somebody_withdrew_is_no_longer_on_its_way(site: Site) -> None:
    site.simulator.faults.add("offline_host", options=AWAY)
    evidence = site.act(on_host("file.fetch"))
    assert site.simulator.withdraw(evidence.evidence["session_id"], evidence.native_action_id)
    reading = site.read(on_host("file.fetch"))
    assert (reading.effect, reading.native_state) == (Effect.NOT_IN_EFFECT, "withdrawn")
    assert not site.act(on_host("file.fetch")).evidence["found"]


@pytest.mark.parametrize("path", ["", 'C:\\a" & kill 4', "C:\\a\nkill 4"])
def test_a_path_that_would_be_another_command_is_refused(site: Site, path: str) -> None:
    with pytest.raises(RejectedError, match="path"):
        site.act(on_host("file.fetch", path=path))
    assert site.simulator.seen == []


def test_a_custom_script_runs_with_its_options_and_its_output_is_put_together(site: Site) -> None:
    site.simulator.add_script("triage.ps1", "one line\n" * 9)
    order = script("triage.ps1 -Depth 'two levels'")
    assert site.read(order).effect is Effect.NOT_IN_EFFECT
    line = "runscript -CloudFile='triage.ps1' -CommandLine=```-Depth 'two levels'```"
    assert site.act(order).evidence["command"] == line
    reading = site.read(order)
    assert (reading.effect, reading.state["stdout"]) == (Effect.IN_EFFECT, "one line\n" * 9)
    site.act(order)
    assert sent(site, ADMIN) == 1


@pytest.mark.parametrize("text", ["", "dir/triage.ps1", "x' -Raw=whoami", "a ```; whoami```", "a -x\nkill 4", None])
def test_a_script_that_is_no_name_with_options_is_refused(site: Site, text: Any) -> None:
    with pytest.raises(RejectedError, match="custom script"):
        site.act(script(text))
    assert site.simulator.seen == []


def test_a_script_that_the_tenant_lacks_fails_and_is_not_run_again_by_the_same_command(site: Site) -> None:
    site.act(script("missing.ps1"))
    assert site.read(script("missing.ps1")).effect is Effect.FAILED
    site.act(script("missing.ps1"))
    assert sent(site, ADMIN) == 1


# Scans


def scan(key: str = "key-1", target: str = "host:ws-0042", native_id: str = "cs-aid-1", **fields: Any) -> Command:
    return command("host.scan", target, native_id, key, **fields)


def test_a_scan_reports_alone_covers_the_system_drive_and_is_told_by_its_status(site: Site) -> None:
    site.simulator.faults.add("late_effect", options={**AWAY, "seconds": 600})
    site.act(scan(reason="odd process", case_id="case-7"))
    (made,) = site.simulator.scans.values()
    assert (made["hosts"], made["file_paths"], made["quarantine"]) == (["cs-aid-1"], ["C:\\"], False)
    assert "odd process case-7" in made["description"]
    reading = site.read(scan())
    assert (reading.effect, reading.native_state) == (Effect.PENDING, "running")
    site.time.advance(601)
    reading = site.read(scan())
    assert (reading.effect, reading.state["scanned"]) == (Effect.IN_EFFECT, True)


def test_one_command_is_one_scan_and_another_one_another(site: Site) -> None:
    site.simulator.faults.add("lost_reply", path="^/ods/entities/scans/v1", times=1)
    with pytest.raises(UnavailableError):
        site.act(scan())
    site.act(scan())
    assert len(site.simulator.scans) == 1
    site.act(scan("key-2", parameters={"path": "C:\\Users\\jdoe"}))
    assert [row["file_paths"] for row in site.simulator.scans.values()] == [["C:\\"], ["C:\\Users\\jdoe"]]


def test_a_scan_of_an_offline_host_is_pending_and_a_failed_one_failed(site: Site) -> None:
    site.simulator.faults.add("offline_host", options=AWAY)
    site.act(scan())
    assert (site.read(scan()).effect, site.read(scan()).native_state) == (Effect.PENDING, "pending")
    site.simulator.faults.clear()
    site.simulator.faults.add("accepted_then_failed", options=AWAY)
    site.act(scan("key-2"))
    assert site.read(scan("key-2")).effect is Effect.FAILED


def test_linux_is_not_scanned_on_demand_and_an_empty_path_is_refused(site: Site) -> None:
    with pytest.raises(UnsupportedError, match="'Linux'"):
        site.act(scan(target="host:db-07", native_id="cs-aid-2"))
    with pytest.raises(RejectedError, match="path"):
        site.act(scan(parameters={"path": " "}))
    assert site.simulator.scans == {}


# Quarantined files


def test_a_quarantined_file_is_released_and_quarantined_again(site: Site) -> None:
    site.add("one", device=LAPTOP, process=ODD)
    laptop(site).files[ODD.path].quarantined = True
    assert site.read(on_host("file.restore")).state["quarantined"] is True
    assert site.act(on_host("file.restore")).changed
    assert not laptop(site).files[ODD.path].quarantined
    assert site.read(on_host("file.restore")).effect is Effect.IN_EFFECT
    assert site.act(on_host("file.quarantine")).changed
    assert site.read(on_host("file.quarantine")).effect is Effect.IN_EFFECT
    assert site.read(on_host("file.restore")).effect is Effect.NOT_IN_EFFECT


def test_a_file_that_is_already_so_is_left_alone_and_a_repeat_is_still_our_change(site: Site) -> None:
    site.add("one", device=LAPTOP, process=ODD)
    assert not site.act(on_host("file.restore")).changed
    assert site.act(replace(on_host("file.restore"), pre_state={"quarantined": True})).changed
    assert site.simulator.mutations() == []


def test_a_release_counts_only_once_the_host_carried_it_out(site: Site) -> None:
    site.add("one", device=LAPTOP, process=ODD)
    laptop(site).files[ODD.path].quarantined = True
    site.simulator.faults.add("offline_host", options=AWAY)
    site.act(on_host("file.restore"))
    assert site.read(on_host("file.restore")).effect is Effect.NOT_IN_EFFECT
    site.simulator.faults.clear()
    assert site.read(on_host("file.restore")).effect is Effect.IN_EFFECT


def test_an_order_may_come_until_its_host_has_talked_for_an_hour_since(site: Site) -> None:
    """The file's record shows no order that was taken, and none that failed: the journal says there was one."""
    site.add("one", device=LAPTOP, process=ODD)
    laptop(site).files[ODD.path].quarantined = True
    site.simulator.faults.add("offline_host", options=AWAY)
    restore = replace(on_host("file.restore"), outstanding=True)
    site.time.advance(7200)
    assert site.read(restore).effect is Effect.PENDING
    site.simulator.faults.clear()
    assert site.read(replace(restore, requested_at=site.time.now - timedelta(seconds=3590))).effect is Effect.PENDING
    late = replace(restore, requested_at=site.time.now - timedelta(seconds=3610))
    assert site.read(late).effect is Effect.NOT_IN_EFFECT


@pytest.mark.parametrize("verb", ["file.quarantine", "file.restore"])
def test_a_file_that_no_sensor_quarantined_cannot_be_reached(site: Site, verb: str) -> None:
    assert site.read(on_host(verb)).effect is Effect.NOT_IN_EFFECT
    with pytest.raises(RejectedError, match="never quarantined"):
        site.act(on_host(verb))
    with pytest.raises(UnsupportedError, match="by sha256"):
        site.act(command(verb, f"file:{'ab' * 16}", "cs-aid-1"))
    assert site.simulator.mutations() == []


# Writing back


def test_a_false_positive_is_closed_tagged_commented_and_read_back(site: Site) -> None:
    native_id = site.add("one")
    order = dispose(native_id, status="closed", disposition="false-positive", comment="known tool")
    assert site.read(order).effect is Effect.NOT_IN_EFFECT
    receipt = site.write(order)
    assert (receipt.changed, receipt.losses) == (True, ())
    state = site.simulator.alert_state(native_id)
    assert (state["status"], state["disposition"]) == ("closed", "false-positive")
    assert state["comments"][0].startswith("known tool [nightdesk ")
    reading = site.read(order)
    assert (reading.effect, reading.native_state) == (Effect.IN_EFFECT, "closed")
    assert reading.state == {"status": "closed", "disposition": "false-positive"}


def test_a_write_back_is_one_request_and_its_repeat_none(site: Site) -> None:
    native_id = site.add("one")
    order = dispose(native_id, status="closed", disposition="true-positive", comment="real")
    site.simulator.faults.add("lost_reply", method="PATCH", times=1)
    with pytest.raises(UnavailableError):
        site.write(order)
    assert site.write(order).changed
    assert len(site.simulator.mutations()) == 1
    assert len(site.simulator.alert_state(native_id)["comments"]) == 1


def test_an_alert_that_somebody_closed_already_is_left_alone(site: Site) -> None:
    native_id = site.add("one")
    site.simulator.triage(native_id, ("update_status", "closed"), ("add_tag", "false_positive"))
    assert not site.write(dispose(native_id, status="closed", disposition="false-positive")).changed
    ours = dispose(native_id, status="closed", pre_state={"status": "open", "disposition": ""})
    assert site.write(ours).changed
    assert site.simulator.mutations() == []


def test_a_closed_alert_is_reopened_and_its_verdict_taken_back(site: Site) -> None:
    native_id = site.add("one")
    before = site.read(dispose(native_id, status="closed")).state
    site.write(dispose(native_id, status="closed", disposition="false-positive"))
    site.write(dispose(native_id, "key-2", **before))
    assert site.simulator.alerts[native_id]["status"] == "reopened"
    assert site.simulator.alerts[native_id]["tags"] == []


def test_a_changed_verdict_replaces_the_tag_and_keeps_the_others(site: Site) -> None:
    native_id = site.add("one")
    site.simulator.triage(native_id, ("add_tag", "vip"), ("add_tag", "false_positive"))
    site.write(dispose(native_id, disposition="true_positive"))
    assert site.simulator.alerts[native_id]["tags"] == ["vip", "true_positive"]


@pytest.mark.parametrize(
    ("word", "tag"),
    [
        ("likely-true-positive", "true_positive"),
        ("likely-false-positive", "false_positive"),
        ("duplicate", "ignored"),
        ("test", "ignored"),
    ],
)
def test_a_verdict_finer_than_the_tags_is_a_declared_loss_and_reads_back(site: Site, word: str, tag: str) -> None:
    native_id = site.add("one")
    receipt = site.write(dispose(native_id, disposition=word))
    assert word in receipt.losses[0]
    assert site.simulator.alerts[native_id]["tags"] == [tag]
    assert site.read(dispose(native_id, disposition=word)).effect is Effect.IN_EFFECT


@pytest.mark.parametrize("words", [{"status": "done"}, {"disposition": "fishy"}])
def test_a_word_that_is_not_ours_is_refused_before_anything_is_sent(site: Site, words: dict[str, str]) -> None:
    with pytest.raises(RejectedError, match="write one of"):
        site.write(dispose(site.add("one"), **words))
    assert site.simulator.mutations() == []


def test_a_parameter_that_a_write_back_does_not_have_is_refused(site: Site) -> None:
    with pytest.raises(UnsupportedError, match="owner"):
        site.write(dispose(site.add("one"), owner="alice"))


def test_comments_of_two_commands_are_both_kept_and_each_only_once(site: Site) -> None:
    native_id = site.add("one")
    orders = [
        command("alert.comment", "alert:one", native_id, key, parameters={"comment": "seen"}) for key in ("a", "b")
    ]
    for order in (*orders, *orders):
        site.write(order)
    assert len(site.simulator.alert_state(native_id)["comments"]) == 2
    assert site.read(orders[0]).effect is Effect.IN_EFFECT
    with pytest.raises(RejectedError, match="empty"):
        site.write(command("alert.comment", "alert:one", native_id, parameters={"comment": " "}))


def test_our_own_write_back_comes_back_as_a_new_version(site: Site) -> None:
    native_id = site.add("one")
    cursor = site.pull()[-1].cursor
    site.time.advance(5)
    site.write(dispose(native_id, status="closed"))
    assert len(keys(site.pull(cursor))) == 1


def test_writing_to_an_alert_that_is_not_there_fails(site: Site) -> None:
    with pytest.raises(NotFoundError):
        site.write(dispose("nobody", status="closed"))
    with pytest.raises(RejectedError, match="no alert is named"):
        site.write(dispose("", status="closed"))


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        ({"errors": [{"code": 404, "message": "gone"}], "meta": {}}, NotFoundError),
        ({"errors": [], "meta": {"writes": {"resources_affected": 0}}}, ResponseError),
    ],
)
def test_a_success_that_changed_nothing_is_an_error(
    site: Site, open_site: Callable[..., Site], answer: Mapping[str, Any], error: type[NightdeskError]
) -> None:
    simulator = site.simulator

    async def idle(scope: Any, receive: Any, send: Any) -> None:
        app = JSONResponse(answer) if scope["method"] == "PATCH" else simulator
        await app(scope, receive, send)

    with pytest.raises(error):
        open_site(simulator, idle).write(dispose(site.add("one"), status="closed"))


# Health


def test_a_healthy_instance_says_so(site: Site) -> None:
    health = site.health()
    assert (health.ok, health.problems) == (True, ())
    assert health.clock_skew == pytest.approx(0, abs=1)
    assert site.simulator.mutations() == []


@pytest.mark.parametrize(
    ("scope", "name"),
    [("alerts:read", "Alerts: read"), ("hosts:read", "Hosts: read"), ("iocs:read", "IOC Management: read")],
)
def test_each_missing_scope_is_a_problem_of_its_own(site: Site, scope: str, name: str) -> None:
    site.simulator.scopes = set(ALL_SCOPES - {scope})
    (problem,) = site.health().problems
    assert f"'{name}'" in problem


def test_all_missing_scopes_are_reported_at_once(site: Site) -> None:
    site.simulator.scopes = set()
    assert len(site.health().problems) == 3


@pytest.mark.parametrize(("seconds", "ok"), [(119, True), (-119, True), (130, False), (-130, False)])
def test_a_clock_that_is_two_minutes_off_is_a_problem(site: Site, seconds: int, ok: bool) -> None:
    site.simulator.faults.add("clock_skew", options={"seconds": seconds})
    health = site.health()
    assert health.ok is ok
    assert ok or "clock" in health.problems[0]


def test_wrong_credentials_are_one_problem_and_one_attempt(site: Site) -> None:
    site.settings["client_id"] = "unknown"
    (problem,) = site.health().problems
    assert "client id and client secret" in problem
    assert sent(site, "/oauth2/token") == 1


def test_a_broken_api_is_a_problem_and_not_an_exception(site: Site) -> None:
    site.simulator.faults.add("server_error", path="^/alerts")
    assert not site.health().ok


def _app(answer: Callable[[Request], Awaitable[Response]]) -> Starlette:
    """A vendor that gives a token and answers every search alike."""

    async def token(_: Request) -> Response:
        return JSONResponse({"access_token": "t0ken", "expires_in": 1799}, 201)

    return Starlette(
        routes=[Route("/oauth2/token", token, methods=["POST"]), Route(COMBINED, answer, methods=["POST"])]
    )
