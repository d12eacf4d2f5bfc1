import asyncio
import json
import socket
import traceback
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import certifi
import httpx
import orjson
import pytest
from elastic_transport import ApiResponseMeta, HttpHeaders, NodeConfig, TlsError
from elastic_transport import TransportError as WireError
from elasticsearch import ApiError, SerializationError
from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.types import Receive, Scope, Send

import nightdesk.connectors.elastic_security as package
from nightdesk.connectors.elastic_security import Connector, simulated_hosts
from nightdesk.connectors.elastic_security.answers import vendor_error
from nightdesk.connectors.elastic_security.orders import moment, outcome
from nightdesk.connectors.elastic_security.payloads import entity_id
from nightdesk.connectors.elastic_security.simulator import Simulator
from nightdesk.connectors.elastic_security.sweep import Position, field_of, key_of, record_of
from nightdesk.sdk import ports
from nightdesk.sdk.case import Verdict
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
    VendorError,
)
from nightdesk.sdk.manifest import load_manifest, validate_settings
from nightdesk.sdk.ports import Command, Effect
from nightdesk.sdk.records import Batch, Cursor, Failure
from nightdesk.sdk.secrets import Secret
from nightdesk.sdk.targets import AssetQuery, Target
from nightdesk.sdk.testing import Device, StoryAlert, StoryDevice, serve
from nightdesk.sdk.testing.fake_time import FakeTime
from nightdesk.sdk.testing.story import StoryProcess
from nightdesk.sdk.triage import marker

T = TypeVar("T")
NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)
MANIFEST = load_manifest(Path(package.__file__).parent / "manifest.yaml")
SHELL = StoryProcess(
    "sh.exe", r"C:\Temp\sh.exe", "sh.exe -c whoami", 4242, "ab" * 32, "word.exe", "word.exe /n invoice.docm"
)
LAPTOP = StoryDevice("0f3a-agent-1", "WS-0042", ("192.0.2.42", "2001:db8::42"), processes=(SHELL,))
SERVER = StoryDevice("0f3a-agent-2", "db-07", ("192.0.2.7",), "server", "Linux")


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
        values = validate_settings(MANIFEST, given, file="nightdesk.yaml", key="connectors.elastic")
        clock, sleep = self.time.clock, self.time.sleep
        return Connector(Context("tenant-a", "elastic", Settings(values), self.network, clock, sleep))

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

    def add(self, uid: str, *, after: float = 0, **options: Any) -> str:
        at = NOON + timedelta(seconds=after)
        return self.simulator.add(StoryAlert(uid, at, "Shell from a document", "rule-7", "high", **options))


class Stage:
    """One server for all tests: starting one each would take longer than the tests."""

    simulator: Simulator

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.simulator(scope, receive, send)


@pytest.fixture(scope="module")
def stage() -> Iterator[tuple[Stage, str]]:
    app = Stage()
    with serve(app) as served:
        yield app, served.base_url


@pytest.fixture
def site(stage: tuple[Stage, str]) -> Site:
    app, url = stage
    time = FakeTime(NOON + timedelta(minutes=1))
    app.simulator = Simulator(clock=time.clock, secret="RW5jb2RlZC1rZXktb2Ytb3Vycw")
    app.simulator.add_devices([LAPTOP, SERVER])
    return Site(app.simulator, url, time)


def command(site: Site, verb: str, target: str, native_id: str, **options: Any) -> Command:
    facts = options.pop("facts", {})
    parsed = Target.parse(target)
    wanted = {"tenant": "tenant-a", "action_id": "action-1", "idempotency_key": "key-1", "reason": "case needs it"}
    return Command(
        **{**wanted, **options},
        verb=verb,
        target=Target(parsed.kind, parsed.value, facts),
        requested_at=site.time.now,
        native_id=native_id,
    )


def keys(batches: list[Batch]) -> list[str]:
    return [record.key for batch in batches for record in batch.records]


def ids(batches: list[Batch]) -> list[str]:
    return [record.native_id for batch in batches for record in batch.records]


def last_cursor(batches: list[Batch]) -> Cursor:
    cursor = batches[-1].cursor
    assert cursor is not None
    return cursor


def test_every_port_that_the_manifest_declares_is_implemented() -> None:
    for port in (ports.Pulls, ports.ReadsOne, ports.WritesBack, ports.Acts, ports.ReadsBack, ports.FindsAssets):
        assert issubclass(Connector, port)
    assert issubclass(Connector, ports.ChecksHealth)
    assert not issubclass(Connector, ports.Searches)
    assert set(MANIFEST.roles) == {"siem", "edr"}


# Pulling.


def burst(site: Site) -> set[str]:
    """1,069 alerts, 700 of them at one millisecond, as slow rules write them."""
    return {site.add(f"b{number}", after=min(number, 100) if number < 800 else number - 699) for number in range(1069)}


@pytest.mark.parametrize("size", [pytest.param(1, marks=pytest.mark.slow), 7, 1000])
def test_a_burst_with_hundreds_of_equal_times_is_drained_exactly_once(site: Site, size: int) -> None:
    native_ids = burst(site)
    batches = site.pull(limit=size)
    assert max(len(batch.records) for batch in batches) <= size
    assert len(keys(batches)) == 1069
    assert set(ids(batches)) == native_ids
    assert len(set(keys(batches))) == 1069
    assert site.pull(last_cursor(batches)) == []
    assert site.simulator.search.open_pits == 0


def test_records_come_oldest_first(site: Site) -> None:
    expected = [site.add(f"a{number}", after=number) for number in (3, 1, 2)]
    assert ids(site.pull()) == [expected[1], expected[2], expected[0]]


def test_a_consumer_that_stores_one_page_a_poll_gets_all_and_nothing_twice(site: Site) -> None:
    native_ids = burst(site)
    got: list[str] = []
    cursor: Cursor | None = None

    async def first(connector: Connector) -> Batch | None:
        pages = connector.pull("alerts", cursor, limit=200)
        async for batch in pages:
            await pages.aclose()  # type: ignore[attr-defined]  # an async generator, which is an AsyncIterator
            return batch
        return None

    while (batch := site.run(first)) is not None:
        got.extend(record.native_id for record in batch.records)
        cursor = orjson.loads(orjson.dumps(batch.cursor))
    assert len(got) == 1069
    assert set(got) == native_ids
    assert site.simulator.search.open_pits == 0


def test_the_payload_is_the_hit_word_for_word(site: Site) -> None:
    native_id = site.add("a1", device=LAPTOP, process=SHELL)
    (record,) = site.pull()[0].records
    payload = json.loads(record.payload)
    assert set(payload) == {"_id", "_index", "_source"}
    assert payload["_id"] == record.native_id == native_id
    assert payload["_index"] == ".internal.alerts-security.alerts-default-000001"
    assert payload["_source"] == site.simulator.search.spaces["default"][native_id]
    assert record.product == "elastic_security"


def test_an_alert_that_becomes_visible_late_within_the_overlap_is_read(site: Site) -> None:
    site.add("a1", after=290)
    cursor = last_cursor(site.pull())
    late = site.add("late", after=10)
    assert ids(site.pull(cursor)) == [late]


def test_an_alert_later_than_the_overlap_is_the_declared_limit(site: Site) -> None:
    site.add("a1", after=400)
    cursor = last_cursor(site.pull())
    site.add("too late", after=10)
    assert site.pull(cursor) == []
    assert any("overlap" in limit for limit in MANIFEST.known_limits)


def test_the_cursor_is_made_of_data_and_not_of_the_clock(site: Site) -> None:
    site.add("a1", after=5)
    first = last_cursor(site.pull())
    site.time.advance(86_400)
    assert last_cursor(site.pull()) == first


def test_a_workflow_change_comes_as_a_new_version_and_a_mere_reread_does_not(site: Site) -> None:
    native_id = site.add("a1")
    before = site.pull()
    site.time.advance(4000)
    site.simulator.change(native_id, workflow_status="acknowledged", workflow_tags=["Duplicate"])
    after = site.pull(last_cursor(before))
    assert ids(after) == [native_id]
    assert keys(after) != keys(before)
    assert json.loads(after[0].records[0].payload)["_source"]["kibana.alert.workflow_status"] == "acknowledged"
    assert site.pull(last_cursor(after)) == []
    assert keys(site.pull()) == keys(after)


def test_a_first_workflow_change_is_read_however_long_nobody_polled(site: Site) -> None:
    site.settings["start"] = "now-1h"
    native_id = site.add("a1")
    cursor = last_cursor(site.pull())
    site.time.advance(86_400)
    site.simulator.change(native_id, workflow_status="closed")
    site.time.advance(86_400)
    assert ids(site.pull(cursor)) == [native_id]


def test_what_is_remembered_of_the_overlap_is_bounded_and_forgets_the_oldest_first() -> None:
    def hit(number: int) -> dict[str, Any]:
        at = (NOON + timedelta(milliseconds=number)).isoformat()
        return {"_id": str(number), "_source": {}, "sort": [at, number]}

    hits = [hit(number) for number in range(50_010)]
    fresh, position = Position().advance(hits, timedelta(seconds=300))
    assert len(fresh) == 50_010
    again, _ = position.advance([hits[0], hits[-1]], timedelta(seconds=300))
    assert [one["_id"] for _, one in again] == ["0"]
    assert sum(map(len, position.seen.values())) == 50_000


def test_a_suppressed_repetition_comes_as_a_new_version_though_its_timestamp_stays(site: Site) -> None:
    native_id = site.add("a1", labels={"suppressed": "1"})
    before = site.pull()
    assert len(keys(before)) == 1
    site.time.advance(4000)
    site.simulator.change(native_id, suppression__docs_count=9, suppression__end="2026-11-01T13:07:00.000Z")
    after = site.pull(last_cursor(before))
    assert ids(after) == [native_id]
    assert keys(after) != keys(before)


def test_the_shell_alert_of_a_sequence_and_its_building_blocks_come_together(site: Site) -> None:
    blocks = [site.add(f"block{number}", labels={"group": "seq-1", "building_block": "yes"}) for number in (1, 2)]
    shell = site.add("shell", labels={"group": "seq-1"})
    (batch,) = site.pull()
    groups = {json.loads(record.payload)["_source"]["kibana.alert.group.id"] for record in batch.records}
    assert {record.native_id for record in batch.records} == {*blocks, shell}
    assert groups == {"seq-1"}


def test_a_point_in_time_that_expires_between_two_pages_is_reopened_without_loss(site: Site) -> None:
    native_ids = {site.add(f"a{number}", after=number // 4) for number in range(12)}

    async def slowly(connector: Connector) -> list[Batch]:
        batches = []
        async for batch in connector.pull("alerts", None, limit=3):
            batches.append(batch)
            site.time.advance(121)
        return batches

    batches = site.run(slowly)
    assert sorted(ids(batches)) == sorted(native_ids)
    opened = [request for request in site.simulator.seen if request.path.endswith("/_pit") and request.method == "POST"]
    assert len(opened) > 1


def test_a_point_in_time_that_is_gone_twice_in_a_row_is_an_expired_cursor(site: Site) -> None:
    site.add("a1")
    late = FakeTime(site.time.now)
    site.simulator.search._now = lambda: _later(late)
    with pytest.raises(CursorExpiredError, match="stored time"):
        site.pull()


def _later(time: FakeTime) -> Any:
    time.advance(200)
    return time.now


@pytest.mark.parametrize("path", ["_search", "_pit"])
def test_a_lost_reply_is_no_loss(site: Site, path: str) -> None:
    native_ids = {site.add(f"a{number}", after=number) for number in range(9)}
    site.simulator.faults.add("lost_reply", path=path, after=0 if path == "_pit" else 1, times=1)
    assert sorted(ids(site.pull(limit=4))) == sorted(native_ids)


def test_missing_shards_stop_the_sweep_before_the_cursor_moves(site: Site) -> None:
    for number in range(6):
        site.add(f"a{number}", after=number)
    site.simulator.faults.add("partial_answer", after=1, times=1)
    got: list[Batch] = []

    async def interrupted(connector: Connector) -> None:
        async for batch in connector.pull("alerts", None, limit=3):
            got.append(batch)  # noqa: PERF401  # what came before the error is what is tested

    with pytest.raises(UnavailableError, match="shards"):
        site.run(interrupted)
    assert len(keys(got)) == 3
    assert len(set(keys(got) + keys(site.pull(last_cursor(got))))) == 6
    assert site.simulator.search.open_pits == 0


def test_a_space_that_never_had_an_alert_is_empty(site: Site) -> None:
    assert site.pull() == []


def test_a_sort_field_that_an_older_index_lacks_is_no_error(site: Site) -> None:
    site.simulator.search.mapped = {"@timestamp"}
    native_id = site.add("a1")
    assert ids(site.pull()) == [native_id]


@pytest.mark.parametrize(("start", "count"), [("now-1h", 1), ("now-3h", 2), ("2026-11-01T09:00:00+00:00", 2)])
def test_the_first_poll_begins_at_the_setting_start(site: Site, start: str, count: int) -> None:
    site.add("old", after=-7200)
    site.add("new")
    site.settings["start"] = start
    assert len(ids(site.pull())) == count


def test_a_hit_that_lacks_its_document_is_kept_as_a_failure() -> None:
    hit = {"_id": "a1", "_index": "x", "sort": ["2026-11-01T12:00:00.000Z", 1]}
    kept = record_of(key_of(hit), hit, "elastic_security")
    assert isinstance(kept, Failure)
    assert json.loads(kept.payload) == {"_id": "a1", "_index": "x"}


class Altered(httpx.AsyncBaseTransport):
    """The simulator's answers with some bytes exchanged."""

    def __init__(self, simulator: Simulator, old: bytes, new: bytes) -> None:
        self._inner, self._old, self._new = httpx.ASGITransport(simulator), old, new

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        answer = await self._inner.handle_async_request(request)
        body = (await answer.aread()).replace(self._old, self._new)
        headers = {name: value for name, value in answer.headers.items() if name != "content-length"}
        return httpx.Response(answer.status_code, headers=headers, content=body)


def test_half_a_surrogate_pair_or_a_huge_number_does_not_stop_the_page(site: Site) -> None:
    native_ids = [site.add("a1"), site.add("a2", after=1, description="HALF")]
    site.network = Network(transport=Altered(site.simulator, b"HALF", b"\\ud83d"))
    (batch,) = site.pull()
    assert [record.native_id for record in batch.records] == native_ids
    assert json.loads(batch.records[1].payload)["_source"]["message"] == "\ud83d"
    huge = {"_id": "a3", "_index": "x", "_source": {"big": 2**70}}
    record = record_of(key_of(huge), huge, "elastic_security")
    assert json.loads(record.payload)["_source"] == {"big": 2**70}


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (b'"pit_id"', b'"id"', ResponseError),
        (b'{"id"', b'{"name"', ResponseError),
        (b'"hits"', b'"found"', ResponseError),
        (b'"sort"', b'"order"', ResponseError),
        (b'"2026-11-01T12:00:00.000Z",0', b'"then",0', ResponseError),
        (b'"timed_out":false', b'"timed_out":true', UnavailableError),
    ],
)
def test_an_answer_of_another_shape_stops_the_pull_and_says_why(
    site: Site, old: bytes, new: bytes, expected: type[VendorError]
) -> None:
    native_id = site.add("a1")
    site.network = Network(transport=Altered(site.simulator, old, new))
    with pytest.raises(expected):
        site.pull()
    if expected is UnavailableError:
        with pytest.raises(expected, match="shards"):
            site.run(lambda connector: connector.read_one("alerts", native_id))


@pytest.mark.parametrize(
    ("old", "new"),
    [(b'"data"', b'"rows"'), (b'"metadata"', b'"facts"'), (b'"updated"', b'"changed"'), (b'"index"', b'"indices"')],
)
def test_an_answer_of_kibana_of_another_shape_is_never_taken_for_success(site: Site, old: bytes, new: bytes) -> None:
    native_id = site.add("a1")
    site.network = Network(transport=Altered(site.simulator, old, new))
    if old == b'"updated"':
        with pytest.raises(ResponseError):
            disposition(site, native_id, parameters={"status": "closed"})
    elif old == b'"index"':
        assert "no privileges told" in health(site).problems[0]
    else:
        with pytest.raises(ResponseError):
            act(site, "host.isolate")
    assert not site.simulator.fleet.devices[LAPTOP.device_id].isolated


def test_a_host_that_tells_nothing_of_its_isolation_is_unknown(site: Site) -> None:
    site.network = Network(transport=Altered(site.simulator, b'"isolation":false', b'"mood":false'))
    before = reading(site, "host.isolate")
    assert (before.effect, dict(before.state)) == (Effect.UNKNOWN, {})


def test_a_private_ca_is_loaded_for_both_services(site: Site) -> None:
    site.url, transport = "https://elastic.example.com", httpx.ASGITransport(site.simulator)
    site.network = Network(ca_file=certifi.where(), transport=transport)
    assert site.pull() == []


@pytest.mark.parametrize(
    "source",
    [
        {"kibana.alert.workflow_status": "open"},
        {"kibana": {"alert": {"workflow_status": "open"}}},
        {"kibana.alert": {"workflow_status": "open"}},
        {"kibana": {"alert.workflow_status": "open"}},
    ],
)
def test_a_field_is_found_however_its_name_is_cut(source: dict[str, Any]) -> None:
    assert field_of(source, "kibana.alert.workflow_status") == "open"
    assert field_of(source, "kibana.alert.workflow_tags") is None


def test_digits_below_a_microsecond_survive_in_the_position_and_only_lower_the_bound() -> None:
    hits = [{"_id": "a", "_source": {}, "sort": ["2026-11-01T12:00:00.123456789Z", 1]}]
    fresh, position = Position().advance(hits, timedelta(seconds=300))
    assert [hit["_id"] for _, hit in fresh] == ["a"]
    assert position.at == "2026-11-01T12:00:00.123456789Z"
    assert position.since(timedelta(seconds=300), "unused") == "2026-11-01T11:55:00.123456Z"


@pytest.mark.parametrize("cursor", [{"created": "x"}, {"created": {"at": "never", "seen": {}}}, {"created": {"at": 3}}])
def test_a_cursor_that_is_not_ours_says_what_to_do(site: Site, cursor: Cursor) -> None:
    with pytest.raises(CursorExpiredError, match="drop it"):
        site.pull(cursor)


# Reading one alert.


def test_one_alert_is_read_as_the_pull_reads_it(site: Site) -> None:
    native_id = site.add("a1")
    (pulled,) = site.pull()[0].records
    assert site.run(lambda connector: connector.read_one("alerts", native_id)) == pulled


def test_an_alert_that_cannot_be_seen_is_not_found_with_the_three_reasons(site: Site) -> None:
    native_id = site.add("a1")
    site.simulator.search.hidden.add(native_id)
    with pytest.raises(NotFoundError, match=r"another space, deleted, or hidden .* document level security"):
        site.run(lambda connector: connector.read_one("alerts", native_id))


# Errors of both services.


def test_an_unknown_key_is_an_auth_error_on_both_services(site: Site) -> None:
    site.settings["api_key"] = Secret.literal("c29tZWJvZHktZWxzZQ")
    with pytest.raises(AuthError, match="api_key"):
        site.pull()
    with pytest.raises(AuthError):
        site.run(lambda connector: connector.find_asset(AssetQuery(hostname="ws-0042")))


def test_a_missing_privilege_is_named_on_both_services(site: Site) -> None:
    site.add("a1")
    site.simulator.denied.add("read")
    with pytest.raises(ScopeError, match=r"index privilege read on \.alerts-security\.alerts-default"):
        site.pull()
    site.simulator.defend.denied = True
    with pytest.raises(ScopeError, match="Endpoint list in space default"):
        site.run(lambda connector: connector.find_asset(AssetQuery(hostname="ws-0042")))


def test_a_proxy_that_strips_the_product_header_is_named(site: Site) -> None:
    site.simulator.search.product_header = False
    with pytest.raises(ResponseError, match="X-Elastic-Product"):
        site.pull()


def test_an_overloaded_cluster_is_a_rate_limit_with_a_wait_of_our_own(site: Site) -> None:
    site.simulator.faults.add("rate_limited", options={"bare": True})
    with pytest.raises(RateLimitError, match="overloaded") as caught:
        site.pull()
    assert caught.value.retry_after > 0
    site.simulator.faults.clear()
    site.simulator.faults.add("rate_limited", options={"retry_after": 7})
    with pytest.raises(RateLimitError) as caught:
        site.pull()
    assert caught.value.retry_after == 7


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("server_error", UnavailableError),
        ("truncated_body", UnavailableError),
        ("not_json", ResponseError),
        ("redirect", RejectedError),
        ("expired_token", AuthError),
        ("missing_scope", ScopeError),
    ],
)
@pytest.mark.parametrize("service", ["elasticsearch", "kibana"])
def test_every_failure_becomes_an_error_that_says_what_to_do(
    site: Site, kind: Any, expected: type[VendorError], service: str
) -> None:
    site.simulator.faults.add(kind)

    async def ask(connector: Connector) -> None:
        if service == "kibana":
            await connector.find_asset(AssetQuery(hostname="ws-0042"))
        else:
            await anext(aiter(connector.pull("alerts", None, limit=10)))

    with pytest.raises(expected, match="elastic_security: ") as caught:
        site.run(ask)
    assert site.simulator.secret not in "".join(traceback.format_exception(caught.value))


def test_a_cluster_that_is_not_there_is_unavailable_and_says_what_to_check(site: Site) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        site.settings["elasticsearch_url"] = f"http://127.0.0.1:{probe.getsockname()[1]}"
        with pytest.raises(UnavailableError, match="elasticsearch_url"):
            site.pull()


def _api_error(status: int, body: Any = None) -> ApiError:
    meta = ApiResponseMeta(status, "1.1", HttpHeaders(), 0.1, NodeConfig("http", "es.example.com", 9200))
    return ApiError("the cluster's own words", meta, body)


def test_every_status_has_an_error_and_none_repeats_the_clusters_words() -> None:
    body = {"error": {"type": "some_exception", "reason": "private words"}}
    expected = {401: AuthError, 403: ScopeError, 404: NotFoundError, 429: RateLimitError, 400: RejectedError}
    for status in range(100, 600):
        error = vendor_error(_api_error(status, body), operation="search alerts", needs="read")
        assert isinstance(error, expected.get(status, UnavailableError if status >= 500 else VendorError))
        assert error.status == status
        assert "words" not in str(error)


@pytest.mark.parametrize(
    ("raised", "expected", "advice"),
    [
        (TlsError("x"), UnavailableError, "ca_file"),
        (SerializationError("x"), ResponseError, "elasticsearch_url"),
        (WireError("x"), UnavailableError, "again"),
    ],
)
def test_every_failure_of_the_wire_has_an_error(raised: WireError, expected: type[VendorError], advice: str) -> None:
    error = vendor_error(raised, operation="search alerts", needs="read")
    assert isinstance(error, expected)
    assert advice in str(error)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("space", "*"),
        ("space", "SOC"),
        ("page_size", 0),
        ("page_size", 10_001),
        ("overlap", -1),
        ("start", "yesterday"),
    ],
)
def test_a_setting_that_would_select_nothing_or_everything_is_refused_by_name(site: Site, key: str, value: Any) -> None:
    site.settings[key] = value
    with pytest.raises(ConfigError, match=f"settings: {key}: "):
        site.connector()


def test_what_is_not_declared_is_refused(site: Site) -> None:
    with pytest.raises(UnsupportedError, match="alerts"):
        site.run(lambda connector: connector.read_one("cases", "x"))
    wrong = command(site, "host.restrict_execution", "host:ws-0042", LAPTOP.device_id)
    for port in (Connector.act, Connector.read_back, Connector.write_back):
        with pytest.raises(UnsupportedError, match=r"host\.restrict_execution"):
            site.run(partial(port, command=wrong))
    with pytest.raises(UnsupportedError, match="mode"):
        act(site, "host.isolate", parameters={"mode": "selective"})


# Writing back.


def disposition(site: Site, native_id: str, **options: Any) -> ports.Receipt:
    wanted = command(site, "alert.set_disposition", "alert:a1", native_id, **options)
    return site.run(lambda connector: connector.write_back(wanted))


def disposition_reading(site: Site, native_id: str, **options: Any) -> ports.Reading:
    wanted = command(site, "alert.set_disposition", "alert:a1", native_id, **options)
    return site.run(lambda connector: connector.read_back(wanted))


def test_a_closed_alert_is_read_back_closed_with_its_tag_and_the_comment_is_a_loss(site: Site) -> None:
    native_id = site.add("a1")
    wanted = {"status": "closed", "disposition": "false-positive", "comment": "seen before"}
    assert disposition_reading(site, native_id, parameters=wanted).effect is Effect.NOT_IN_EFFECT
    receipt = disposition(site, native_id, parameters=wanted)
    assert receipt.changed
    assert receipt.losses == ("comment",)
    assert any("comment" in limit for limit in MANIFEST.known_limits)
    assert "comment" not in MANIFEST.writes_back["alert.set_disposition"].parameters
    assert site.simulator.alert_state(native_id)["status"] == "closed"
    assert site.simulator.search.spaces["default"][native_id]["kibana.alert.workflow_tags"] == ["False Positive"]
    reading = disposition_reading(site, native_id, parameters=wanted)
    assert reading.effect is Effect.IN_EFFECT
    assert reading.state["status"] == "closed"


@pytest.mark.parametrize("verdict", sorted(Verdict))
def test_each_disposition_is_written_and_read_back(site: Site, verdict: str) -> None:
    native_id = site.add("a1")
    disposition(site, native_id, parameters={"disposition": verdict})
    assert site.simulator.alert_state(native_id) == {"status": "open", "disposition": verdict, "comments": []}
    assert disposition_reading(site, native_id, parameters={"disposition": verdict}).effect is Effect.IN_EFFECT


def test_what_is_already_so_is_not_written_again(site: Site) -> None:
    native_id = site.add("a1")
    wanted = {"status": "closed", "disposition": "duplicate"}
    disposition(site, native_id, parameters=wanted)
    site.simulator.seen.clear()
    assert not disposition(site, native_id, parameters=wanted).changed
    assert not [request for request in site.simulator.mutations() if "/api/" in request.path]


def test_a_new_disposition_replaces_ours_and_leaves_the_tags_of_people(site: Site) -> None:
    native_id = site.add("a1")
    site.simulator.change(native_id, workflow_tags=["Team blue", "Duplicate"])
    disposition(site, native_id, parameters={"disposition": "true-positive"})
    assert site.simulator.search.spaces["default"][native_id]["kibana.alert.workflow_tags"] == [
        "Team blue",
        "True Positive",
    ]


def test_an_undo_restores_acknowledged_and_takes_our_tag_away(site: Site) -> None:
    native_id = site.add("a1")
    site.simulator.change(native_id, workflow_status="acknowledged")
    close = {"status": "closed", "disposition": "false-positive"}
    before = disposition_reading(site, native_id, parameters=close).state
    disposition(site, native_id, parameters=close, pre_state=before)
    undo = {"status": before["status"], "disposition": before["disposition"]}
    disposition(site, native_id, parameters=undo, pre_state=before)
    source = site.simulator.search.spaces["default"][native_id]
    assert source["kibana.alert.workflow_status"] == "acknowledged"
    assert source["kibana.alert.workflow_tags"] == []


def test_a_close_that_an_earlier_try_made_is_still_our_change(site: Site) -> None:
    native_id = site.add("a1")
    close = {"status": "closed", "disposition": "duplicate"}
    before = disposition_reading(site, native_id, parameters=close).state
    disposition(site, native_id, parameters=close, pre_state=before)
    assert disposition(site, native_id, parameters=close, pre_state=before).changed
    now = disposition_reading(site, native_id, parameters=close).state
    assert not disposition(site, native_id, parameters=close, pre_state=now).changed
    assert sum("signals" in path for path in posts(site)) == 2


def test_of_two_writers_the_last_wins_and_the_read_back_shows_it(site: Site) -> None:
    native_id = site.add("a1")
    disposition(site, native_id, parameters={"status": "closed"})
    site.simulator.change(native_id, workflow_status="open")
    assert disposition_reading(site, native_id, parameters={"status": "closed"}).effect is Effect.NOT_IN_EFFECT


def test_a_close_of_ours_comes_back_as_one_new_version(site: Site) -> None:
    native_id = site.add("a1")
    cursor = last_cursor(site.pull())
    site.time.advance(60)
    disposition(site, native_id, parameters={"status": "closed", "disposition": "false-positive"})
    (record,) = [record for batch in site.pull(cursor) for record in batch.records]
    source = json.loads(record.payload)["_source"]
    assert source["kibana.alert.workflow_tags"] == ["False Positive"]


def test_an_alert_of_another_space_is_not_found_and_the_space_is_named(site: Site) -> None:
    native_id = site.add("a1")
    site.settings["space"] = "soc"
    with pytest.raises(NotFoundError, match=r"alerts-soc"):
        disposition(site, native_id, parameters={"status": "closed"})
    with pytest.raises(NotFoundError, match="space soc has no alert"):
        site.run(lambda connector: connector._kibana.set_status(native_id, "closed"))


def test_a_named_space_works_end_to_end(site: Site) -> None:
    site.simulator.space = "soc"
    native_id = site.add("a1")
    assert ids(site.pull()) == [native_id]
    disposition(site, native_id, parameters={"status": "closed"})
    assert site.simulator.alert_state(native_id)["status"] == "closed"
    assert any(request.path.startswith("/s/soc/api/") for request in site.simulator.seen)


@pytest.mark.parametrize(
    "answer",
    [
        ({"updated": 0, "version_conflicts": 1}, UnavailableError),
        ({"updated": 0, "failures": [{"cause": "x"}]}, RejectedError),
        ({"updated": 0}, NotFoundError),
        ({"updated": 2}, ResponseError),
        ({}, ResponseError),
        ([], ResponseError),
    ],
)
def test_an_update_is_believed_only_when_it_counts_one(site: Site, answer: tuple[Any, type[VendorError]]) -> None:
    async def judge(connector: Connector) -> None:
        connector._kibana._updated_one(answer[0], "a1", "set alert status")

    with pytest.raises(answer[1]):
        site.run(judge)


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        ({"status": "acknowledged"}, RejectedError),
        ({"disposition": "nonsense"}, RejectedError),
        ({}, RejectedError),
        ({"status": "closed", "owner": "me"}, UnsupportedError),
    ],
)
def test_a_wrong_parameter_is_refused_before_anything_is_sent(
    site: Site, parameters: dict[str, str], expected: type[NightdeskError]
) -> None:
    native_id = site.add("a1")
    with pytest.raises(expected):
        disposition(site, native_id, parameters=parameters)
    assert site.simulator.seen == []


def test_a_lost_reply_to_a_status_is_asked_again_and_the_alert_is_closed(site: Site) -> None:
    native_id = site.add("a1")
    site.simulator.faults.add("lost_reply", path="signals/status", times=1)
    assert disposition(site, native_id, parameters={"status": "closed"}).changed
    assert site.simulator.alert_state(native_id)["status"] == "closed"


# Acting on hosts.


def act(site: Site, verb: str, **options: Any) -> ports.Receipt:
    wanted = command(site, verb, "host:ws-0042", options.pop("native_id", LAPTOP.device_id), **options)
    return site.run(lambda connector: connector.act(wanted))


def reading(site: Site, verb: str, **options: Any) -> ports.Reading:
    wanted = command(site, verb, "host:ws-0042", options.pop("native_id", LAPTOP.device_id), **options)
    return site.run(lambda connector: connector.read_back(wanted))


def posts(site: Site) -> list[str]:
    return [request.path for request in site.simulator.mutations()]


def test_an_isolated_host_is_in_effect_only_when_the_host_says_so(site: Site) -> None:
    before = reading(site, "host.isolate")
    assert (before.effect, before.state["isolated"]) == (Effect.NOT_IN_EFFECT, False)
    receipt = act(site, "host.isolate")
    assert receipt.changed
    assert receipt.native_action_id == site.simulator.defend.actions[0].action_id
    after = reading(site, "host.isolate")
    assert (after.effect, after.native_state) == (Effect.IN_EFFECT, "isolated, healthy")
    assert site.simulator.fleet.devices[LAPTOP.device_id].isolated
    assert not site.simulator.fleet.devices[SERVER.device_id].isolated


def test_an_offline_host_stays_pending_until_it_comes_back(site: Site) -> None:
    site.simulator.faults.add("offline_host", options={"device_id": LAPTOP.device_id})
    act(site, "host.isolate")
    assert reading(site, "host.isolate").effect is Effect.PENDING
    site.simulator.faults.clear()
    assert reading(site, "host.isolate").effect is Effect.IN_EFFECT


def test_a_late_effect_is_pending_before_it_is_true(site: Site) -> None:
    site.simulator.faults.add("late_effect", options={"seconds": 40})
    act(site, "host.isolate")
    assert reading(site, "host.isolate").effect is Effect.PENDING
    site.time.advance(41)
    assert reading(site, "host.isolate").effect is Effect.IN_EFFECT


def test_an_action_that_failed_after_acceptance_is_failed(site: Site) -> None:
    site.simulator.faults.add("accepted_then_failed")
    assert act(site, "host.isolate").changed
    assert reading(site, "host.isolate").effect is Effect.FAILED


def test_an_action_that_nobody_delivered_expires_as_failed(site: Site) -> None:
    site.simulator.faults.add("offline_host")
    wanted = command(site, "host.isolate", "host:ws-0042", LAPTOP.device_id)
    site.run(lambda connector: connector.act(wanted))
    site.time.advance(15 * 86_400)
    assert site.run(lambda connector: connector.read_back(wanted)).effect is Effect.FAILED


def test_a_release_by_somebody_else_is_seen_as_not_in_effect(site: Site) -> None:
    act(site, "host.isolate")
    site.time.advance(60)
    site.simulator.fleet.order(LAPTOP.device_id, isolate=False)
    assert reading(site, "host.isolate").effect is Effect.NOT_IN_EFFECT


def test_a_report_older_than_the_action_is_still_pending(site: Site) -> None:
    act(site, "host.isolate")
    site.simulator.fleet.devices[LAPTOP.device_id].isolated = False
    assert reading(site, "host.isolate").effect is Effect.PENDING


def test_a_lost_reply_does_not_isolate_twice(site: Site) -> None:
    site.simulator.faults.add("lost_reply", path="/action/isolate", times=1)
    site.simulator.faults.add("offline_host")
    with pytest.raises(UnavailableError):
        act(site, "host.isolate")
    repeated = act(site, "host.isolate")
    assert repeated.native_action_id == site.simulator.defend.actions[0].action_id
    assert posts(site) == ["/api/endpoint/action/isolate"]
    assert act(site, "host.isolate", idempotency_key="key-2").native_action_id != repeated.native_action_id


def test_a_host_that_is_already_isolated_is_success_without_change(site: Site) -> None:
    site.simulator.fleet.order(LAPTOP.device_id, isolate=True)
    receipt = act(site, "host.isolate")
    assert not receipt.changed
    assert posts(site) == []


def test_already_isolated_does_not_count_while_a_release_is_under_way(site: Site) -> None:
    site.simulator.fleet.order(LAPTOP.device_id, isolate=True)
    site.simulator.faults.add("late_effect", options={"seconds": 40})
    act(site, "host.release", idempotency_key="release-1")
    site.simulator.faults.clear()
    assert act(site, "host.isolate").changed


def test_a_release_undoes_an_isolation(site: Site) -> None:
    act(site, "host.isolate")
    assert act(site, "host.release", idempotency_key="key-2").changed
    released = reading(site, "host.release", idempotency_key="key-2")
    assert (released.effect, released.state["isolated"]) == (Effect.IN_EFFECT, False)
    assert posts(site) == ["/api/endpoint/action/isolate", "/api/endpoint/action/unisolate"]


def test_a_host_without_elastic_defend_is_rejected_and_not_believed(site: Site) -> None:
    site.simulator.defend.hosts.unenrolled.add(LAPTOP.device_id)
    with pytest.raises(RejectedError, match="Elastic Defend is not enrolled"):
        act(site, "host.isolate")


def test_an_agent_that_was_dropped_from_the_request_is_rejected(site: Site) -> None:
    async def both(connector: Connector) -> Any:
        http = connector._kibana._http
        original = http.json

        async def with_company(method: str, path: str, **options: Any) -> Any:
            if method == "POST":
                options["json"] = {**options["json"], "endpoint_ids": [SERVER.device_id, LAPTOP.device_id]}
            return await original(method, path, **options)

        http.json = with_company  # type: ignore[method-assign]  # another caller's valid id beside ours
        return await connector.act(command(site, "host.isolate", "host:ws-0042", LAPTOP.device_id))

    site.simulator.defend.hosts.unenrolled.add(LAPTOP.device_id)
    with pytest.raises(RejectedError, match="dropped agent"):
        site.run(both)
    assert "WARNING" in site.simulator.defend.actions[0].comment


def test_an_unknown_agent_is_not_found(site: Site) -> None:
    with pytest.raises(NotFoundError, match="no-such-agent"):
        act(site, "host.isolate", native_id="no-such-agent")


def test_a_host_action_without_agent_id_is_refused_before_anything_is_sent(site: Site) -> None:
    with pytest.raises(RejectedError, match="find the host first"):
        act(site, "host.isolate", native_id="")
    assert site.simulator.seen == []


def test_a_missing_licence_or_privilege_for_isolation_is_named(site: Site) -> None:
    site.simulator.faults.add("missing_scope", path="/action/isolate")
    with pytest.raises(ScopeError, match="Host isolation"):
        act(site, "host.isolate")


def test_the_comment_names_reason_case_and_mark(site: Site) -> None:
    act(site, "host.isolate", case_id="case-9")
    mark = marker(command(site, "host.isolate", "host:ws-0042", LAPTOP.device_id))
    assert site.simulator.defend.actions[0].comment == f"case needs it case case-9 {mark}"


def test_without_elastic_defend_hosts_are_neither_found_nor_changed(site: Site) -> None:
    site.settings["elastic_defend"] = False
    assert site.run(lambda connector: connector.find_asset(AssetQuery(hostname="WS-0042"))) == ()
    with pytest.raises(UnsupportedError, match="elastic_defend"):
        act(site, "host.isolate")
    assert site.simulator.seen == []


# Acting on processes.


def on_process(site: Site, verb: str, facts: dict[str, str]) -> ports.Command:
    return command(site, verb, "process:sh.exe", LAPTOP.device_id, facts=facts)


def do(site: Site, wanted: ports.Command) -> ports.Receipt:
    return site.run(lambda connector: connector.act(wanted))


def look(site: Site, wanted: ports.Command) -> ports.Reading:
    return site.run(lambda connector: connector.read_back(wanted))


def laptop(site: Site) -> Device:
    return site.simulator.fleet.devices[LAPTOP.device_id]


def test_a_process_is_ended_once_and_by_its_entity_id_when_it_has_one(site: Site) -> None:
    name = entity_id(LAPTOP, SHELL.pid, "2026-11-01T12:00:00.000Z")
    wanted = on_process(site, "process.terminate", {"entity_id": name, "pid": "1"})
    do(site, wanted)
    assert laptop(site).processes == {}
    assert site.simulator.defend.actions[0].parameters == {"entity_id": name}
    assert do(site, wanted).evidence["repeated"]
    assert len(laptop(site).orders) == 1


@pytest.mark.parametrize("verb", ["process.terminate", "process.suspend"])
def test_a_process_id_is_the_second_choice_and_a_name_is_none(site: Site, verb: str) -> None:
    do(site, on_process(site, verb, {"pid": "4242"}))
    assert site.simulator.defend.actions[0].parameters == {"pid": 4242}
    asked = len(site.simulator.seen)
    for facts in ({}, {"pid": "0"}, {"pid": "all"}):
        with pytest.raises(RejectedError, match="never stopped by its name"):
            do(site, on_process(site, verb, facts))
    assert len(site.simulator.seen) == asked


@pytest.mark.parametrize("verb", ["process.terminate", "process.suspend"])
def test_a_stopped_process_is_never_more_than_unknown_since_nothing_keeps_its_state(site: Site, verb: str) -> None:
    wanted = on_process(site, verb, {"pid": "4242"})
    assert look(site, wanted).effect is Effect.NOT_IN_EFFECT
    site.simulator.faults.add("offline_host")
    do(site, wanted)
    assert look(site, wanted).effect is Effect.PENDING
    site.simulator.faults.clear()
    assert look(site, wanted).effect is Effect.UNKNOWN
    assert MANIFEST.acts[verb].accept_only


def test_a_process_that_is_not_there_is_a_failed_action(site: Site) -> None:
    wanted = on_process(site, "process.terminate", {"pid": "77"})
    do(site, wanted)
    assert look(site, wanted).effect is Effect.FAILED


def test_a_suspended_process_stays_and_nothing_resumes_it(site: Site) -> None:
    do(site, on_process(site, "process.suspend", {"pid": "4242"}))
    assert laptop(site).processes[4242].suspended
    assert MANIFEST.acts["process.suspend"].irreversible
    with pytest.raises(UnsupportedError, match=r"process\.resume"):
        do(site, on_process(site, "process.resume", {"pid": "4242"}))


# Work on a host.


@pytest.mark.parametrize(
    ("device", "given", "path"),
    [
        (LAPTOP, {}, "C:\\"),
        (SERVER, {}, "/"),
        (SERVER, {"path": "/srv/www"}, "/srv/www"),
    ],
)
def test_a_scan_without_a_path_begins_at_the_root_of_that_system(
    site: Site, device: StoryDevice, given: dict[str, str], path: str
) -> None:
    act(site, "host.scan", native_id=device.device_id, parameters=given)
    assert site.simulator.defend.actions[0].parameters == {"path": path}
    assert [order.kind for order in site.simulator.fleet.devices[device.device_id].orders] == ["scan"]


def test_a_scan_of_a_host_that_hides_its_system_needs_a_path(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(simulated_hosts, "system", lambda *_: {"type": "plan9"})
    with pytest.raises(RejectedError, match="give the path"):
        act(site, "host.scan")
    assert site.simulator.mutations() == []
    act(site, "host.scan", parameters={"path": "/usr"})
    assert posts(site) == ["/api/endpoint/action/scan"]


@pytest.mark.parametrize(("verb", "path"), [("host.scan", "scan"), ("host.collect_evidence", "running_procs")])
def test_work_on_a_host_is_in_effect_when_its_action_was_successful(site: Site, verb: str, path: str) -> None:
    assert reading(site, verb).effect is Effect.NOT_IN_EFFECT
    site.simulator.faults.add("late_effect", options={"seconds": 60})
    receipt = act(site, verb)
    assert reading(site, verb).effect is Effect.PENDING
    site.time.advance(61)
    done = reading(site, verb)
    assert (done.effect, done.state["action_id"]) == (Effect.IN_EFFECT, receipt.native_action_id)
    act(site, verb)
    assert posts(site) == [f"/api/endpoint/action/{path}"]


@pytest.mark.parametrize("verb", ["host.scan", "host.collect_evidence", "host.run_script"])
def test_work_that_failed_after_acceptance_is_failed(site: Site, verb: str) -> None:
    given = {"script": "hostname"} if verb == "host.run_script" else {}
    site.simulator.faults.add("accepted_then_failed")
    act(site, verb, parameters=given)
    assert reading(site, verb, parameters=given).effect is Effect.FAILED


def test_a_script_is_run_word_for_word_and_what_it_did_stays_unknown(site: Site) -> None:
    given = {"script": "ipconfig /all | findstr 192.0.2."}
    act(site, "host.run_script", parameters=given)
    assert site.simulator.defend.actions[0].parameters == {"command": given["script"]}
    assert reading(site, "host.run_script", parameters=given).effect is Effect.UNKNOWN
    assert MANIFEST.acts["host.run_script"].accept_only


@pytest.mark.parametrize("given", [{}, {"script": " "}, {"script": ["rm"]}])
def test_a_script_that_says_nothing_is_refused_before_anything_is_sent(site: Site, given: dict[str, Any]) -> None:
    with pytest.raises(RejectedError, match="needs a command"):
        act(site, "host.run_script", parameters=given)
    assert site.simulator.seen == []


@pytest.mark.parametrize(
    ("verb", "privilege"),
    [
        ("host.scan", "Scan operations"),
        ("host.collect_evidence", "Process operations"),
        ("host.run_script", "Execute operations"),
    ],
)
def test_the_sub_feature_that_lacks_is_named(site: Site, verb: str, privilege: str) -> None:
    site.simulator.faults.add("missing_scope", path="/api/endpoint/action/")
    given = {"script": "hostname"} if verb == "host.run_script" else {}
    assert privilege in MANIFEST.acts[verb].scope
    with pytest.raises(ScopeError, match=privilege):
        act(site, verb, parameters=given)


def fetch(site: Site, digest: str = SHELL.sha256, **facts: str) -> ports.Command:
    return command(site, "file.fetch", f"file:{digest}", LAPTOP.device_id, facts=facts or {"path": SHELL.path})


def test_a_fetched_file_is_the_one_whose_hash_was_asked_for(site: Site) -> None:
    wanted = fetch(site)
    assert look(site, wanted).effect is Effect.NOT_IN_EFFECT
    do(site, wanted)
    assert look(site, wanted).effect is Effect.IN_EFFECT
    laptop(site).files[SHELL.path].sha256 = "cd" * 32
    other = look(site, wanted)
    assert (other.effect, other.native_state) == (Effect.FAILED, "another file is at that path now")


def test_a_fetch_by_another_kind_of_hash_stays_unknown(site: Site) -> None:
    wanted = fetch(site, "ab" * 16)
    do(site, wanted)
    assert look(site, wanted).effect is Effect.UNKNOWN


def test_a_file_that_is_not_there_is_failed_and_one_without_a_path_is_refused(site: Site) -> None:
    gone = fetch(site, path=r"C:\Temp\gone.exe")
    do(site, gone)
    assert look(site, gone).effect is Effect.FAILED
    with pytest.raises(RejectedError, match="needs a path"):
        do(site, fetch(site, hostname="WS-0042"))


def test_an_isolation_that_an_earlier_try_made_is_still_our_change(site: Site) -> None:
    laptop(site).isolated = True
    assert not act(site, "host.isolate", pre_state={"isolated": True}).changed
    assert act(site, "host.isolate", pre_state={"isolated": False}).changed


# Blocking hashes.


def blocking(site: Site, verb: str = "hash.block", digest: str = "ab" * 32, **options: Any) -> ports.Command:
    return command(site, verb, f"file:{digest}", digest, **options)


LISTED = {"field": "file.hash.sha256", "operator": "included", "type": "match_any", "value": ["AB" * 32, "cd" * 32]}


def foreign(site: Site, item_id: str, **changed: Any) -> None:
    item = {"item_id": item_id, "name": f"by hand {item_id}", "entries": [LISTED], "tags": ["policy:all"]}
    site.simulator.blocklist.items[item_id] = {**item, "os_types": ["windows"], **changed}


def test_a_blocked_hash_is_one_entry_for_each_system_and_all_policies(site: Site) -> None:
    wanted = blocking(site)
    assert look(site, wanted).effect is Effect.NOT_IN_EFFECT
    assert do(site, wanted).changed
    items = list(site.simulator.blocklist.items.values())
    assert [item["os_types"] for item in items] == [["windows"], ["linux"], ["macos"]]
    assert {tuple(item["tags"]) for item in items} == {("policy:all",)}
    assert all(item["description"].endswith(marker(wanted)) for item in items)
    assert (look(site, wanted).effect, look(site, wanted).state) == (Effect.IN_EFFECT, {"blocked": True})
    assert not do(site, wanted).changed
    assert len(posts(site)) == 3


def test_a_block_that_broke_off_is_finished_by_the_next_try(site: Site) -> None:
    site.simulator.faults.add("server_error", path="/api/exception_lists/items", after=2, times=9)
    wanted = blocking(site)
    with pytest.raises(VendorError):
        do(site, wanted)
    made = set(site.simulator.blocklist.items)
    assert 0 < len(made) < 3
    site.simulator.faults.clear()
    assert look(site, wanted).effect is Effect.NOT_IN_EFFECT
    assert do(site, wanted).changed
    assert made < set(site.simulator.blocklist.items)
    assert look(site, wanted).effect is Effect.IN_EFFECT


def test_an_unblock_takes_our_entries_and_leaves_those_of_people(site: Site) -> None:
    do(site, blocking(site))
    foreign(site, "x1")
    back = blocking(site, "hash.unblock")
    assert do(site, back).evidence == {"left": ["by hand x1"]}
    assert set(site.simulator.blocklist.items) == {"x1"}
    assert look(site, back).effect is Effect.NOT_IN_EFFECT
    del site.simulator.blocklist.items["x1"]
    assert look(site, back).effect is Effect.IN_EFFECT
    assert not do(site, back).changed
    assert do(site, blocking(site, "hash.unblock", pre_state={"blocked": True})).changed


@pytest.mark.parametrize(
    "changed",
    [
        {"tags": ["policy:0f3a"]},
        {"os_types": ["linux"]},
        {"entries": [LISTED, {**LISTED, "field": "file.hash.md5", "value": ["ab" * 16]}]},
        {"entries": [{"field": "file.hash.md5", "operator": "included", "type": "match_any", "value": ["ab" * 16]}]},
        {"entries": [{"field": "file.path", "operator": "included", "type": "match", "value": "ab" * 32}]},
    ],
)
def test_an_entry_that_blocks_less_is_not_taken_for_a_block(site: Site, changed: dict[str, Any]) -> None:
    foreign(site, "l1", os_types=["linux"])
    foreign(site, "m1", os_types=["macos"])
    foreign(site, "x1", **changed)
    assert look(site, blocking(site)).effect is Effect.NOT_IN_EFFECT
    assert do(site, blocking(site)).changed
    assert [one for one in site.simulator.blocklist.items if one.startswith("nightdesk-")] == [
        f"nightdesk-windows-sha256-{'ab' * 32}"
    ]


def test_what_people_block_already_needs_nothing_of_ours(site: Site) -> None:
    for system in ("windows", "linux", "macos"):
        foreign(site, system, os_types=[system])
    assert look(site, blocking(site)).effect is Effect.IN_EFFECT
    assert not do(site, blocking(site)).changed
    assert posts(site) == []


def test_a_blocklist_of_more_than_a_page_is_read_whole(site: Site) -> None:
    for number in range(1000):
        foreign(site, f"n{number}", entries=[])
    foreign(site, "last")
    assert look(site, blocking(site, "hash.unblock")).native_state == "1 blocklist entries: by hand last"


def test_a_blocklist_that_nobody_made_is_empty_and_says_how_to_make_it(site: Site) -> None:
    site.simulator.blocklist.made = False
    assert look(site, blocking(site, "hash.unblock")).effect is Effect.IN_EFFECT
    with pytest.raises(RejectedError, match="open Security, Manage, Blocklist"):
        do(site, blocking(site))


def test_an_entry_of_ours_that_somebody_weakened_is_named(site: Site) -> None:
    do(site, blocking(site))
    site.simulator.blocklist.items[f"nightdesk-linux-sha256-{'ab' * 32}"]["tags"] = ["policy:0f3a"]
    assert look(site, blocking(site)).effect is Effect.NOT_IN_EFFECT
    with pytest.raises(RejectedError, match="changed by somebody"):
        do(site, blocking(site))


def test_a_block_knows_no_duration_and_needs_the_blocklist_privilege(site: Site) -> None:
    with pytest.raises(UnsupportedError, match="duration"):
        do(site, blocking(site, parameters={"duration": 3600}))
    site.simulator.blocklist.denied = True
    with pytest.raises(ScopeError, match="Blocklist"):
        do(site, blocking(site))


@pytest.mark.parametrize(
    ("action", "effect"),
    [
        ({"isCompleted": True, "wasSuccessful": True, "agentState": {"a": {"wasSuccessful": True}}}, Effect.IN_EFFECT),
        ({"isComplete": True, "wasSuccessful": True}, Effect.IN_EFFECT),
        ({"isCompleted": True, "wasSuccessful": True, "agentState": {"a": {"wasSuccessful": False}}}, Effect.FAILED),
        ({"isCompleted": True, "wasSuccessful": False}, Effect.FAILED),
        ({"isCompleted": False, "isExpired": True}, Effect.FAILED),
        ({"isCompleted": False}, Effect.PENDING),
    ],
)
def test_an_action_succeeded_only_if_every_agent_did(action: dict[str, Any], effect: Effect) -> None:
    assert outcome(action) is effect


def test_a_time_is_read_as_text_or_as_milliseconds() -> None:
    assert moment("2026-11-01T12:00:00.000Z") == moment(1_793_534_400_000) == NOON
    assert moment("soon") is moment(None) is None


# Finding hosts.


@pytest.mark.parametrize(
    "query",
    [
        AssetQuery(hostname="ws-0042"),
        AssetQuery(hostname="WS-0042"),
        AssetQuery(address="192.0.2.42"),
        AssetQuery(device_id=LAPTOP.device_id),
        AssetQuery(device_id="of-another-vendor", hostname="ws-0042"),
    ],
)
def test_a_host_is_found_by_what_is_known_of_it(site: Site, query: AssetQuery) -> None:
    (asset,) = site.run(lambda connector: connector.find_asset(query))
    assert (asset.native_id, asset.hostname, asset.asset_type) == (LAPTOP.device_id, "WS-0042", "workstation")
    assert set(LAPTOP.addresses) <= set(asset.addresses)
    assert asset.online is True


def test_none_and_several_hosts_are_both_answers(site: Site) -> None:
    twin = type(LAPTOP)("0f3a-agent-3", "WS-0042", ("192.0.2.43",))
    site.simulator.add_devices([twin])
    found = site.run(lambda connector: connector.find_asset(AssetQuery(hostname="WS-0042")))
    assert {asset.native_id for asset in found} == {LAPTOP.device_id, twin.device_id}
    assert site.run(lambda connector: connector.find_asset(AssetQuery(hostname="nobody"))) == ()
    assert site.run(lambda connector: connector.find_asset(AssetQuery())) == ()


def test_more_hosts_than_a_page_are_all_found(site: Site) -> None:
    many = [type(LAPTOP)(f"agent-{number}", "clone", (f"198.51.100.{number}",)) for number in range(150)]
    site.simulator.add_devices(many)
    assert len(site.run(lambda connector: connector.find_asset(AssetQuery(hostname="clone")))) == 150


def test_a_selector_that_matches_a_thousand_hosts_is_refused(site: Site) -> None:
    site.simulator.add_devices(StoryDevice(f"agent-{number}", "clone", ()) for number in range(1001))
    with pytest.raises(RejectedError, match="more exactly"):
        site.run(lambda connector: connector.find_asset(AssetQuery(hostname="clone")))


def test_a_hostile_name_cannot_widen_the_search(site: Site) -> None:
    name = 'x" or united.endpoint.host.ip : "192.0.2.7'
    assert site.run(lambda connector: connector.find_asset(AssetQuery(hostname=name))) == ()
    assert site.run(lambda connector: connector.find_asset(AssetQuery(hostname="*"))) == ()


def test_an_offline_or_unenrolled_host_is_told_as_such(site: Site) -> None:
    site.simulator.fleet.devices[SERVER.device_id].online = False
    (asset,) = site.run(lambda connector: connector.find_asset(AssetQuery(hostname="db-07")))
    assert (asset.online, asset.asset_type) == (False, "server")
    site.simulator.defend.hosts.unenrolled.add(SERVER.device_id)
    assert site.run(lambda connector: connector.find_asset(AssetQuery(hostname="db-07"))) == ()


# Health.


def health(site: Site) -> ports.Health:
    return site.run(lambda connector: connector.check_health())


def test_a_healthy_deployment_tells_its_version(site: Site) -> None:
    found = health(site)
    assert (found.ok, found.problems, found.version) == (True, (), "8.19.3")
    assert found.clock_skew is not None
    assert abs(found.clock_skew) < 2


def test_every_missing_privilege_is_named(site: Site) -> None:
    site.simulator.denied.update({"write", "maintenance"})
    (problem,) = health(site).problems
    assert "lacks write, maintenance on .alerts-security.alerts-default" in problem
    site.simulator.denied.clear()
    site.simulator.defend.denied = True
    assert "Endpoint list" in health(site).problems[0]


def test_health_reports_a_wrong_key_and_a_clock_that_is_off_instead_of_raising(site: Site) -> None:
    site.simulator.faults.add("clock_skew", options={"seconds": 120})
    found = health(site)
    assert not found.ok
    assert "120 s off" in found.problems[0]
    site.settings["api_key"] = Secret.literal("c29tZWJvZHktZWxzZQ")
    assert any("api_key" in problem for problem in health(site).problems)


@pytest.fixture
def prefixed(site: Site) -> Iterator[Site]:
    """The same deployment behind a gateway that serves it under a path."""
    with serve(Starlette(routes=[Mount("/elastic", site.simulator)])) as served:
        yield Site(site.simulator, f"{served.base_url}/elastic", site.time)


def test_a_deployment_under_a_path_is_reached(prefixed: Site) -> None:
    native_id = prefixed.add("a1")
    assert ids(prefixed.pull()) == [native_id]
    assert health(prefixed).ok


def test_a_replaced_transport_carries_both_services(site: Site) -> None:
    native_id = site.add("a1")
    site.url, site.network = "https://elastic.example.com", Network(transport=httpx.ASGITransport(site.simulator))
    assert ids(site.pull()) == [native_id]
    assert health(site).ok
