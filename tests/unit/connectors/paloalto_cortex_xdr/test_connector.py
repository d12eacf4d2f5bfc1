import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any, TypeVar

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

import nightdesk.connectors.paloalto_cortex_xdr as package
from nightdesk.connectors.paloalto_cortex_xdr import Connector
from nightdesk.connectors.paloalto_cortex_xdr.memory import Memory
from nightdesk.connectors.paloalto_cortex_xdr.simulator import ALL_PERMISSIONS, Simulator
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
from nightdesk.sdk.ports import Command, Effect, Reading, Receipt
from nightdesk.sdk.records import Batch, Cursor
from nightdesk.sdk.targets import Asset, AssetQuery, Target
from nightdesk.sdk.testing import StoryAlert, StoryDevice
from nightdesk.sdk.testing.checks import acting, failing, pulling
from nightdesk.sdk.testing.fake_time import FakeTime
from nightdesk.sdk.testing.story import StoryProcess
from nightdesk.sdk.testing.subject import Ground, Subject
from nightdesk.sdk.verbs import TargetKind

T = TypeVar("T")
NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)
FOLDER = Path(package.__file__).parent
MANIFEST = load_manifest(FOLDER / "manifest.yaml")
BAD = "ab" * 32
MALWARE = StoryProcess("odd.exe", "C:\\Temp\\odd.exe", "odd.exe -x", 4711, BAD)
LAPTOP = StoryDevice("1", "WS-0042", ("192.0.2.42",), processes=(MALWARE,))
SERVER = StoryDevice("2", "db-07", ("192.0.2.7",), "server", "Linux")
ALERTS = "/public_api/v2/alerts/get_alerts_multi_events/"
STATUS = "/public_api/v1/actions/get_action_status/"
URL = "https://api-tenant.xdr.eu.paloaltonetworks.com"


@dataclass
class Site:
    """One simulator behind a name of the vendor's; the connector lives until ``restart``."""

    simulator: Simulator
    time: FakeTime
    settings: dict[str, Any] = field(default_factory=dict)
    app: Any = None
    stream: str = "alerts"
    built: Connector | None = None

    def run(self, work: Callable[[Connector], Awaitable[T]]) -> T:
        async def once() -> T:
            if self.built is None:
                given = {**self.simulator.settings(URL), **self.settings}
                values = Settings(validate_settings(MANIFEST, given, file="nightdesk.yaml", key="connectors.xdr"))
                network = Network(timeout=5, transport=httpx.ASGITransport(self.app or self.simulator))
                self.built = Connector(Context("acme", "xdr", values, network, self.time.clock, self.time.sleep))
            return await work(self.built)

        return asyncio.run(once())

    def restart(self) -> None:
        self.built = None

    def pull(self, cursor: Cursor | None = None, *, limit: int = 100, stream: str = "") -> list[Batch]:
        async def drained(connector: Connector) -> list[Batch]:
            return [batch async for batch in connector.pull(stream or self.stream, cursor, limit=limit)]

        return self.run(drained)

    def add(self, uid: str, *, after: float = 0, **options: Any) -> str:
        told = NOON + timedelta(seconds=after)
        return self.simulator.add(StoryAlert(uid, told, "Odd process", "rule-1", "high", **options))

    def find(self, **query: str) -> list[Asset]:
        return list(self.run(lambda connector: connector.find_asset(AssetQuery(**query))))

    def act(self, command: Command) -> Receipt:
        return self.run(lambda connector: connector.act(command))

    def write(self, command: Command) -> Receipt:
        return self.run(lambda connector: connector.write_back(command))

    def read(self, command: Command) -> Reading:
        return self.run(lambda connector: connector.read_back(command))

    def sent(self, ending: str) -> int:
        return sum(1 for seen in self.simulator.seen if seen.path.rstrip("/").endswith(ending))


@pytest.fixture
def time() -> FakeTime:
    return FakeTime(NOON + timedelta(minutes=1))


@pytest.fixture
def site(time: FakeTime) -> Site:
    simulator = Simulator(clock=time.clock)
    simulator.add_devices([LAPTOP, SERVER])
    return Site(simulator, time)


@pytest.fixture
def cases(time: FakeTime) -> Site:
    return Site(Simulator(clock=time.clock, works_on="incidents"), time, stream="incidents")


def command(verb: str, target: Target | str, native_id: str, key: str = "key-1", **fields: Any) -> Command:
    aim = Target.parse(target) if isinstance(target, str) else target
    return Command("acme", "action-1", verb, aim, key, NOON, native_id, **fields)


def on_host(verb: str, native_id: str = "cx1", key: str = "key-1", **fields: Any) -> Command:
    return command(verb, "host:ws-0042", native_id, key, **fields)


def on_file(verb: str, path: str = MALWARE.path, value: str = f"sha256:{BAD}", **fields: Any) -> Command:
    facts = {"hostname": "WS-0042", **({"path": path} if path else {})}
    return command(verb, Target(TargetKind.FILE, value, facts), "cx1", **fields)


def on_alert(verb: str, native_id: str, key: str = "key-1", pre_state: Any = None, **words: Any) -> Command:
    return command(verb, f"alert:{native_id}", native_id, key, parameters=words, pre_state=dict(pre_state or {}))


def close(native_id: str, **words: Any) -> Command:
    return on_alert("alert.set_disposition", native_id, **{"status": "closed", **words})


def keys(batches: list[Batch]) -> list[str]:
    return [record.key for batch in batches for record in batch.records]


def answering(path: str, answer: Callable[[Any], Response]) -> Starlette:
    async def handler(request: Request) -> Response:
        return answer(await request.json())

    return Starlette(routes=[Route(path, handler, methods=["POST"])])


# Signing


def test_each_request_is_signed_anew_and_the_advanced_key_never_travels(site: Site) -> None:
    heard: list[dict[str, str]] = []

    async def ear(scope: Any, receive: Any, send: Any) -> None:
        heard.append({name.decode(): value.decode() for name, value in scope["headers"]})
        await site.simulator(scope, receive, send)

    site.app = ear
    site.pull()
    site.pull()
    first, second = heard
    assert first["x-xdr-nonce"] != second["x-xdr-nonce"]
    assert len(first["x-xdr-nonce"]) == 64
    assert first["x-xdr-timestamp"] == str(int(site.time.now.timestamp() * 1000))
    signed = f"{site.simulator.secret}{first['x-xdr-nonce']}{first['x-xdr-timestamp']}"
    assert first["authorization"] == sha256(signed.encode()).hexdigest()
    assert site.simulator.secret not in str(heard)


def test_a_standard_key_is_sent_as_it_is_and_must_be_called_one(time: FakeTime) -> None:
    site = Site(Simulator(clock=time.clock, key_kind="standard"), time)
    wanted = site.add("one")
    assert [record.native_id for record in site.pull()[0].records] == [wanted]
    site.restart()
    site.settings["key_kind"] = "advanced"
    with pytest.raises(AuthError, match="kind of key"):
        site.pull()


def test_a_clock_that_is_minutes_off_is_refused_and_named(site: Site) -> None:
    site.simulator.faults.add("clock_skew", options={"seconds": 400})
    with pytest.raises(AuthError, match="the clock of this machine"):
        site.pull()
    health = site.run(lambda connector: connector.check_health())
    assert any("differs by 400 s" in problem for problem in health.problems)


def test_the_consoles_address_is_not_the_apis(site: Site) -> None:
    site.settings["base_url"] = "https://tenant.xdr.eu.paloaltonetworks.com"
    with pytest.raises(ConfigError, match=r"https://api-tenant\.xdr\.eu"):
        site.pull()


@pytest.mark.parametrize("settings", [{"page_size": 101}, {"page_size": 0}, {"start": "yesterday"}])
def test_a_setting_that_cannot_work_is_said_at_once(site: Site, settings: dict[str, Any]) -> None:
    site.settings |= settings
    with pytest.raises(ConfigError, match=next(iter(settings))):
        site.pull()


# Pulling alerts


@pytest.mark.parametrize("size", [1, 7, 100])
def test_ties_longer_than_a_page_and_many_pages_come_out_exactly_once(site: Site, size: int) -> None:
    wanted = {site.add(f"a{number}", after=number // 40) for number in range(130)}
    records = [record for batch in site.pull(limit=size) for record in batch.records]
    assert {record.native_id for record in records} == wanted
    assert len(records) == len({record.key for record in records}) == 130


def test_after_a_full_page_it_asks_from_the_last_time_and_not_by_growing_offsets(site: Site) -> None:
    bodies: list[dict[str, Any]] = []
    for number in range(250):
        site.add(f"a{number}", after=number)

    async def ear(scope: Any, receive: Any, send: Any) -> None:
        async def noting() -> Any:
            message = await receive()
            if message.get("body"):
                bodies.append(json.loads(message["body"])["request_data"])
            return message

        await site.simulator(scope, noting, send)

    site.app = ear
    site.pull()
    floors = [body["filters"][0]["value"] for body in bodies]
    assert floors == sorted(set(floors))
    assert {(body["search_from"], body["search_to"]) for body in bodies} == {(0, 100)}
    assert {body["filters"][0]["field"] for body in bodies} == {"server_creation_time"}


def test_a_late_agents_alert_with_an_old_creation_time_is_read(site: Site) -> None:
    site.add("early")
    cursor = site.pull()[-1].cursor
    old = NOON - timedelta(days=2)
    late = site.simulator.add(StoryAlert("late", old, "Odd", "rule-1", "high", raised_at=NOON))
    assert [record.native_id for record in site.pull(cursor)[0].records] == [late]


def test_a_second_pull_brings_nothing_twice_and_a_changed_alert_again(site: Site) -> None:
    native_id = site.add("one")
    site.add("two")
    first = site.pull()
    assert keys(site.pull(first[-1].cursor)) == []
    site.simulator.resolve(native_id, "resolved_false_positive")
    (record,) = site.pull(first[-1].cursor)[0].records
    assert record.native_id == native_id
    assert record.key not in keys(first)


def test_an_alert_is_followed_into_the_incident_it_is_merged_into(site: Site) -> None:
    native_id = site.add("one")
    site.add("two")
    cursor = site.pull()[-1].cursor
    site.simulator.merge("31", "32")
    (record,) = site.pull(cursor)[0].records
    assert (record.native_id, json.loads(record.payload)["case_id"]) == (native_id, 32)


def test_a_record_is_what_the_vendor_sent_byte_for_byte(site: Site) -> None:
    text = '{ "alert_id" : "7","n":1.10, "local_insert_ts":1793534460000, "é":"\\u00e9" }'
    body = f'{{"reply": {{"total_count":1, "result_count":1,\n "alerts" : [ {text} ]}} }}'
    site.app = answering(ALERTS, lambda _: Response(body, media_type="application/json"))
    assert [record.payload.decode() for record in site.pull()[0].records] == [text]


def test_times_in_seconds_of_older_tenants_are_understood(site: Site) -> None:
    rows = [{"alert_id": "7", "local_insert_ts": 1793534460}]
    site.app = answering(ALERTS, lambda _: JSONResponse({"reply": {"result_count": 1, "alerts": rows}}))
    cursor = site.pull()[-1].cursor
    assert cursor is not None
    assert cursor["newest"] == {"arrived": 1793534460_000_000_000}


def test_a_reply_in_another_order_is_paged_by_offset_so_that_nothing_is_skipped(site: Site) -> None:
    rows = [{"alert_id": str(number), "local_insert_ts": 1793534460000 - number} for number in range(250)]

    def answer(body: Any) -> Response:
        data = body["request_data"]
        fits = [row for row in rows if row["local_insert_ts"] >= data["filters"][0]["value"]]
        window = fits[data["search_from"] : data["search_to"]]
        return JSONResponse({"reply": {"result_count": len(window), "alerts": window}})

    site.app = answering(ALERTS, answer)
    assert len(keys(site.pull())) == 250


def test_a_partial_reply_keeps_what_came_moves_nothing_and_ends_the_pull(site: Site) -> None:
    for number in range(8):
        site.add(f"a{number}", after=number)
    site.simulator.faults.add("partial_answer", times=1)
    batches: list[Batch] = []

    async def work(connector: Connector) -> None:
        async for batch in connector.pull("alerts", None, limit=100):
            batches.append(batch)  # noqa: PERF401  # what came before the error counts

    with pytest.raises(ResponseError, match="more alerts than it holds"):
        site.run(work)
    assert [(len(batch.records), batch.cursor) for batch in batches] == [(4, None)]
    assert len(keys(site.pull())) == 8


@pytest.mark.parametrize("name", ["alert_id", "local_insert_ts", "last_modified_ts"])
def test_an_alert_whose_field_was_renamed_is_still_delivered_once(site: Site, name: str) -> None:
    for number in range(3):
        site.add(f"a{number}")
    site.simulator.faults.add("drifted_field", options={"field": name, "to": "renamed"})
    first = site.pull(limit=2)
    assert len(keys(first)) == len(set(keys(first))) == 3
    assert keys(site.pull(first[-1].cursor)) == []


def test_what_is_no_alert_is_kept_as_a_failure(site: Site) -> None:
    reply = {"result_count": 2, "alerts": [{"alert_id": "7"}, "odd"]}
    site.app = answering(ALERTS, lambda _: JSONResponse({"reply": reply}))
    (batch,) = site.pull()
    assert [failure.payload for failure in batch.failures] == [b'"odd"']
    assert len(batch.records) == 1


def test_a_cursor_of_another_stream_or_maker_is_refused(site: Site, cases: Site) -> None:
    cases.add("one")
    for cursor in (cases.pull()[-1].cursor, {"created_timestamp": "x"}):
        with pytest.raises(CursorExpiredError):
            site.pull(cursor)


# Pulling incidents, and which of the two an instance works on


class _Cases(Simulator):
    def __init__(self, **options: Any) -> None:
        super().__init__(**options, works_on="incidents")


class _OfIncidents(Subject):
    @property
    def simulator(self) -> type[Simulator]:
        return _Cases


@pytest.fixture(scope="module")
def ground() -> Iterator[Ground]:
    with Ground() as made:
        yield made


@pytest.mark.parametrize(
    "check",
    [
        pulling.any_page_size,
        pulling.resumes_anywhere,
        pulling.late_arrivals,
        pulling.new_versions,
        failing.a_blip_costs_nothing,
        acting.dispositions,
    ],
)
def test_incidents_keep_the_contract_of_alerts(ground: Ground, check: Any) -> None:
    asyncio.run(check(ground, _OfIncidents(package.__name__, FOLDER, MANIFEST)))


def test_incidents_are_filled_with_their_alerts_and_only_the_changed_ones_are_asked_for(cases: Site) -> None:
    native_id = cases.add("one", device=LAPTOP, process=MALWARE)
    (batch,) = cases.pull()
    full = json.loads(batch.records[0].payload)
    assert full["incident"]["incident_id"] == native_id
    assert full["alerts"]["data"][0]["actor_process_image_sha256"] == BAD
    cases.pull(batch.cursor)
    assert cases.sent("get_multiple_incidents_extra_data") == 1


def test_a_merged_incident_comes_again_as_a_duplicate(cases: Site) -> None:
    source, into = cases.add("one"), cases.add("two")
    cursor = cases.pull()[-1].cursor
    cases.simulator.merge(source, into)
    found = {record.native_id: json.loads(record.payload) for record in cases.pull(cursor)[0].records}
    assert found[source]["incident"]["status"] == "resolved_duplicate"
    assert found[into]["alerts"]["total_count"] == 2


def test_an_instance_works_on_one_of_the_two_for_their_numbers_collide(site: Site, cases: Site) -> None:
    site.add("one")
    cases.add("one")
    assert site.pull(stream="incidents") == []
    assert cases.pull(stream="alerts") == []
    with pytest.raises(UnsupportedError, match="works on alerts"):
        site.run(lambda connector: connector.read_one("incidents", "31"))
    with pytest.raises(NotFoundError):
        site.write(close("31"))
    with pytest.raises(UnsupportedError, match="no stream"):
        site.pull(stream="events")


# Errors


def test_a_success_with_an_error_inside_is_an_error(site: Site) -> None:
    reply = {"err_code": 500, "err_msg": "An error occurred", "err_extra": "bad filter"}
    site.app = answering(ALERTS, lambda _: JSONResponse({"reply": reply}))
    with pytest.raises(UnavailableError, match="An error occurred: bad filter"):
        site.pull()


def test_what_cortex_says_of_a_500_is_told(site: Site) -> None:
    reply = {"err_code": 500, "err_msg": "An error occurred", "err_extra": "search_to"}
    site.app = answering(ALERTS, lambda _: JSONResponse({"reply": reply}, 500))
    with pytest.raises(UnavailableError, match="An error occurred: search_to"):
        site.pull()


@pytest.mark.parametrize("reply", [{}, True, {"alerts": {}}])
def test_a_list_call_that_was_not_understood_is_an_error_and_no_empty_list(site: Site, reply: Any) -> None:
    site.app = answering(ALERTS, lambda _: JSONResponse({"reply": reply}))
    with pytest.raises(ResponseError):
        site.pull()


def test_a_missing_permission_is_named(site: Site) -> None:
    site.simulator.permissions = set(ALL_PERMISSIONS - {"endpoints:isolate"})
    with pytest.raises(ScopeError, match="'Response Actions: Isolate'"):
        site.act(on_host("host.isolate"))
    site.simulator.permissions = {"alerts:view"}
    health = site.run(lambda connector: connector.check_health())
    assert [problem for problem in health.problems if "Endpoint Administration: view" in problem]


def test_too_many_requests_without_a_word_on_when_to_come_back(time: FakeTime) -> None:
    site = Site(Simulator(clock=time.clock, requests_per_minute=0), time)
    with pytest.raises(RateLimitError):
        site.pull()


# Triage


@pytest.mark.parametrize(
    ("word", "vendor", "ours"),
    [
        ("true-positive", "STATUS_090_RESOLVED_TRUE_POSITIVE", "true-positive"),
        ("benign-positive", "STATUS_040_RESOLVED_KNOWN_ISSUE", "benign-positive"),
        ("duplicate", "STATUS_050_RESOLVED_DUPLICATE", "duplicate"),
        ("test", "STATUS_100_RESOLVED_SECURITY_TESTING", "test"),
        ("likely-false-positive", "STATUS_060_RESOLVED_FALSE_POSITIVE", "false-positive"),
        ("undetermined", "STATUS_070_RESOLVED_OTHER", ""),
    ],
)
def test_a_verdict_is_how_it_was_resolved(site: Site, word: str, vendor: str, ours: str) -> None:
    native_id = site.add("one")
    receipt = site.write(close(native_id, disposition=word, comment="why"))
    assert site.simulator.alerts[int(native_id)]["resolution_status"] == vendor
    assert bool(receipt.losses) is (word != ours)
    assert site.read(close(native_id, disposition=word)).effect is Effect.IN_EFFECT
    state = site.simulator.alert_state(native_id)
    assert state["disposition"] == ours
    assert state["comments"][0].startswith("why [nightdesk ")


def test_a_verdict_for_an_open_alert_is_refused_or_a_loss(site: Site) -> None:
    native_id = site.add("one")
    with pytest.raises(UnsupportedError, match="no verdict for an open alert"):
        site.write(on_alert("alert.set_disposition", native_id, disposition="test"))
    receipt = site.write(on_alert("alert.set_disposition", native_id, status="open", disposition="test"))
    assert (receipt.changed, len(receipt.losses)) == (False, 1)


@pytest.mark.parametrize("before", ["new", "under_investigation"])
def test_an_undo_gives_back_the_status_it_had(site: Site, before: str) -> None:
    native_id = site.add("one")
    site.simulator.resolve(native_id, before)
    state = site.read(close(native_id)).state
    assert state == {"status": "open", "disposition": "", "native_status": before}
    site.write(close(native_id, disposition="test"))
    site.write(on_alert("alert.set_disposition", native_id, "undo", state, status="open"))
    assert str(site.simulator.alerts[int(native_id)]["resolution_status"]).lower().endswith(before)


def test_what_automation_resolved_is_closed_and_left_alone(site: Site) -> None:
    native_id = site.add("one")
    site.simulator.resolve(native_id, "resolved_auto")
    assert site.write(close(native_id)).changed is False
    assert site.sent("update_alerts") == 0


def test_an_undo_of_a_reopening_closes_as_it_was_closed(site: Site) -> None:
    native_id = site.add("one")
    site.simulator.resolve(native_id, "resolved_other")
    state = site.read(on_alert("alert.set_disposition", native_id, status="open")).state
    site.write(on_alert("alert.set_disposition", native_id, status="open"))
    site.write(on_alert("alert.set_disposition", native_id, "undo", state, status="closed"))
    assert site.simulator.alerts[int(native_id)]["resolution_status"] == "STATUS_070_RESOLVED_OTHER"


def test_a_repeat_whose_first_reply_got_lost_writes_nothing_and_still_counts_as_ours(site: Site) -> None:
    native_id = site.add("one")
    wish = close(native_id, disposition="test", comment="why", pre_state={"status": "open", "disposition": ""})
    site.simulator.faults.add("lost_reply", path="update_alerts", times=1)
    with pytest.raises(NightdeskError):
        site.write(wish)
    site.restart()
    assert site.write(wish).changed is True
    assert site.sent("update_alerts") == 1
    assert len(site.simulator.alert_state(native_id)["comments"]) == 1


def test_what_somebody_else_closed_gets_our_comment_but_is_no_change_of_ours(site: Site) -> None:
    native_id = site.add("one")
    site.simulator.resolve(native_id, "resolved_security_testing")
    assert site.write(close(native_id, disposition="test", comment="why")).changed is False
    assert len(site.simulator.alert_state(native_id)["comments"]) == 1


def test_what_is_closed_once_more_is_not_commented_once_more(site: Site) -> None:
    native_id = site.add("one")
    site.write(close(native_id, comment="why"))
    site.simulator.resolve(native_id, "under_investigation")
    site.write(close(native_id, comment="why"))
    state = site.simulator.alert_state(native_id)
    assert (state["status"], len(state["comments"])) == ("closed", 1)


def test_the_comment_of_an_incidents_resolution_shows_and_marks_a_repeat(cases: Site) -> None:
    native_id = cases.add("one")
    cases.write(close(native_id, comment="why"))
    assert str(cases.simulator.incidents[native_id]["resolve_comment"]).startswith("why [nightdesk ")
    cases.restart()
    assert cases.write(close(native_id, comment="why")).changed is True
    assert cases.sent("update_incident") == 1


@pytest.mark.parametrize("unit", ["alerts", "incidents"])
def test_a_comment_is_written_once(time: FakeTime, unit: Any) -> None:
    site = Site(Simulator(clock=time.clock, works_on=unit), time)
    native_id = site.add("one")
    wish = on_alert("alert.comment", native_id, comment="seen")
    assert [site.write(wish).changed for _ in range(2)] == [True, True]
    assert len(site.simulator.alert_state(native_id)["comments"]) == 1
    with pytest.raises(UnsupportedError, match="no read-back"):
        site.read(wish)


def test_a_reply_that_does_not_name_our_alert_is_no_success(site: Site) -> None:
    native_id = site.add("one")
    row = dict(site.simulator.alerts[int(native_id)])

    def answer(body: Any) -> Response:
        if "update_data" in body["request_data"]:
            return JSONResponse({"reply": {"alerts_ids": []}})
        return JSONResponse({"reply": {"result_count": 1, "alerts": [row]}})

    site.app = answering("/public_api/{rest:path}", answer)
    with pytest.raises(ResponseError, match="does not name"):
        site.write(close(native_id))


def test_alerts_are_asked_for_by_number_and_what_is_none_is_refused(site: Site) -> None:
    with pytest.raises(RejectedError, match="no number"):
        site.write(close("x-1"))


# Hosts


def test_a_host_is_found_by_name_in_any_case_by_address_and_by_id(site: Site) -> None:
    for query in ({"hostname": "ws-0042"}, {"hostname": "WS-0042"}, {"address": "192.0.2.42"}, {"device_id": "cx1"}):
        assert [asset.native_id for asset in site.find(**query)] == ["cx1"]
    assert site.find(hostname="db-07")[0].asset_type == "server"
    assert site.find(hostname="ws-004") == site.find() == site.find(device_id="1") == []


def test_an_uninstalled_agent_is_no_host_and_two_that_were_alive_together_are_two(site: Site) -> None:
    site.simulator.uninstall("cx1")
    assert site.find(hostname="ws-0042") == []
    site.simulator.add_devices([StoryDevice("3", "db-07", ("192.0.2.8",), "server", "Linux")])
    site.time.advance(60)
    site.find(hostname="db-07")
    site.simulator.fleet.devices["cx2"].online = False
    site.time.advance(60)
    assert {asset.native_id for asset in site.find(hostname="db-07")} == {"cx2", "cx3"}


def test_a_record_that_fell_silent_before_the_other_began_is_the_same_machine(site: Site) -> None:
    site.find(hostname="db-07")
    site.simulator.fleet.devices["cx2"].online = False
    site.time.advance(3600)
    site.simulator.add_devices([StoryDevice("3", "db-07", ("192.0.2.7",), "server", "Linux")])
    site.time.advance(60)
    assert [asset.native_id for asset in site.find(hostname="db-07")] == ["cx3"]


def test_isolation_is_pending_until_is_isolated_says_so(site: Site) -> None:
    site.simulator.faults.add("late_effect", options={"seconds": 30})
    wish = on_host("host.isolate", pre_state={"isolated": False})
    assert site.read(wish).effect is Effect.NOT_IN_EFFECT
    assert site.act(wish).changed is True
    assert site.read(wish).native_state == "AGENT_PENDING_ISOLATION"
    assert site.read(wish).effect is Effect.PENDING
    site.restart()
    assert site.act(wish).changed is True  # adopted: the pre-state says that it began with us
    site.time.advance(31)
    assert (site.read(wish).effect, site.read(wish).state["isolated"]) == (Effect.IN_EFFECT, True)
    assert site.sent("/isolate") == 1


def test_a_host_that_is_isolated_already_is_left_alone(site: Site) -> None:
    site.simulator.fleet.ask("cx1", "isolate")
    assert site.act(on_host("host.isolate")).changed is False
    assert site.sent("/isolate") == 0


def test_an_isolation_is_not_queued_behind_a_release_nor_on_an_agent_that_is_away(site: Site) -> None:
    site.act(on_host("host.isolate"))
    site.simulator.faults.add("late_effect", options={"seconds": 30})
    site.act(on_host("host.release", key="key-2"))
    with pytest.raises(RejectedError, match="AGENT_PENDING_ISOLATION_CANCELLATION"):
        site.act(on_host("host.isolate", key="key-3"))
    site.simulator.faults.add("offline_host")
    with pytest.raises(RejectedError, match="DISCONNECTED"):
        site.act(on_host("host.isolate", "cx2", key="key-4"))
    with pytest.raises(NotFoundError):
        site.act(on_host("host.isolate", "cx9"))


def test_an_agent_that_goes_away_after_the_order_leaves_it_pending_without_end(site: Site) -> None:
    site.simulator.faults.add("late_effect", options={"seconds": 30})
    wish = on_host("host.isolate")
    site.act(wish)
    site.simulator.faults.add("offline_host")
    site.time.advance(86_400)
    assert site.read(wish).effect is Effect.PENDING
    assert site.read(on_host("host.release")).state["isolated"] is False


def test_an_order_that_the_agent_reports_as_failed_has_failed(site: Site) -> None:
    site.simulator.faults.add("accepted_then_failed")
    wish = on_host("host.isolate")
    site.act(wish)
    assert site.read(wish).effect is Effect.FAILED
    site.restart()
    assert site.read(wish).effect is Effect.NOT_IN_EFFECT  # its number is forgotten; the endpoint still says the truth


def test_a_selective_isolation_is_named_as_lost(site: Site) -> None:
    receipt = site.act(on_host("host.isolate", parameters={"mode": "selective"}))
    assert "mode=selective" in receipt.losses[0]


@pytest.mark.parametrize(
    ("word", "effect"),
    [
        ("COMPLETED_SUCCESSFULLY", Effect.IN_EFFECT),
        ("COMPLETED_PARTIAL", Effect.FAILED),
        ("COMPLETED_SUCCESSFULLY_WITH_EXCEPTIONS", Effect.FAILED),
        ("CANCELLED", Effect.FAILED),
        ("EXPIRED", Effect.FAILED),
        ("PENDING_ABORT", Effect.PENDING),
        ("SOMETHING_NEW", Effect.UNKNOWN),
    ],
)
def test_only_one_word_of_an_action_is_a_success(site: Site, word: str, effect: Effect) -> None:
    wish = on_host("host.scan")
    site.act(wish)
    built, site.built = site.built, None
    assert built is not None

    async def reworded(scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] == STATUS:
            await JSONResponse({"reply": {"data": {"cx1": word}}})(scope, receive, send)
        else:
            await site.simulator(scope, receive, send)

    site.app = reworded
    site.act(wish)
    assert site.read(wish).effect is effect


def test_a_scan_after_a_restart_is_judged_by_what_the_endpoint_showed_before(site: Site) -> None:
    wish = on_host("host.scan")
    assert site.read(wish).effect is Effect.NOT_IN_EFFECT
    site.act(wish)
    site.restart()
    began = on_host("host.scan", pre_state={"scan_status": "SCAN_STATUS_NONE"})
    assert site.read(began).effect is Effect.IN_EFFECT
    never = on_host("host.scan", "cx2", pre_state={"scan_status": "SCAN_STATUS_NONE"})
    assert site.read(never).effect is Effect.NOT_IN_EFFECT
    scanned_before = on_host("host.scan", pre_state={"scan_status": "SCAN_STATUS_SUCCESS"})
    assert site.read(scanned_before).effect is Effect.UNKNOWN
    with pytest.raises(UnsupportedError, match="path"):
        site.act(on_host("host.scan", parameters={"path": "C:\\"}))


def test_a_scan_that_runs_is_not_started_again(site: Site) -> None:
    site.simulator.faults.add("late_effect", options={"seconds": 30})
    site.act(on_host("host.scan"))
    assert site.act(on_host("host.scan", key="key-2")).changed is False
    assert site.sent("/scan") == 1


# Files, hashes, scripts


def test_a_file_is_quarantined_when_the_quarantine_says_so_and_restored(site: Site) -> None:
    wish, back = on_file("file.quarantine"), on_file("file.restore", key="key-2")
    assert site.read(wish).state == {"quarantined": False, "path": MALWARE.path}
    site.act(wish)
    assert site.read(wish).effect is Effect.IN_EFFECT
    site.restart()
    assert site.act(on_file("file.quarantine", key="key-3")).changed is False
    site.act(back)
    assert site.read(back).effect is Effect.IN_EFFECT
    assert site.simulator.fleet.devices["cx1"].files[MALWARE.path].quarantined is False


def test_an_accepted_quarantine_of_a_file_that_is_not_there_has_failed(site: Site) -> None:
    wish = on_file("file.quarantine", path="C:\\Temp\\other.exe")
    site.act(wish)
    assert site.read(wish).effect is Effect.FAILED


def test_a_file_needs_its_path_and_a_sha256(site: Site) -> None:
    with pytest.raises(RejectedError, match="under which path"):
        site.act(on_file("file.quarantine", path=""))
    with pytest.raises(UnsupportedError, match="SHA-256"):
        site.act(on_file("file.quarantine", value=f"md5:{'ab' * 16}"))


def test_a_file_is_fetched_once_a_command_and_its_download_named(site: Site) -> None:
    wish = on_file("file.fetch")
    assert site.read(wish).effect is Effect.NOT_IN_EFFECT
    assert site.act(wish).native_action_id == site.act(wish).native_action_id == "1001"
    reading = site.read(wish)
    assert reading.effect is Effect.IN_EFFECT
    assert "/download/" in reading.state["download"]
    assert site.sent("file_retrieval") == 1


def test_a_hash_is_blocked_once_and_one_that_is_listed_already_is_a_loss(site: Site) -> None:
    wish = command("hash.block", f"file:sha256:{BAD}", f"sha256:{BAD}", reason="ransomware")
    assert [site.act(wish).changed for _ in range(2)] == [True, True]
    assert "ransomware" in site.simulator.library.blocked[BAD]
    site.restart()
    again = site.act(wish)
    assert (again.changed, len(again.losses)) == (False, 1)
    assert "does not say on which" in again.losses[0]


def test_an_unknown_hash_is_off_the_list_already_but_an_outage_is_an_outage(site: Site) -> None:
    wish = command("hash.unblock", f"file:sha256:{BAD}", f"sha256:{BAD}")
    receipt = site.act(wish)
    assert (receipt.changed, len(receipt.losses)) == (False, 1)
    site.app = answering("/public_api/{rest:path}", lambda _: PlainTextResponse("Internal Server Error", 500))
    site.restart()
    for verb in ("hash.block", "hash.unblock"):
        with pytest.raises(UnavailableError):
            site.act(command(verb, f"file:sha256:{BAD}", f"sha256:{BAD}"))


def test_a_blocked_hash_is_unblocked_and_no_duration_is_pretended(site: Site) -> None:
    site.act(command("hash.block", f"file:sha256:{BAD}", ""))
    assert site.act(command("hash.unblock", f"file:sha256:{BAD}", "", "key-2")).changed is True
    assert site.simulator.library.blocked == {}
    with pytest.raises(UnsupportedError, match="duration"):
        site.act(command("hash.block", f"file:sha256:{BAD}", "", "key-3", parameters={"duration": 60}))


def test_a_library_script_runs_once_a_command_by_name_or_uid(site: Site) -> None:
    uid = site.simulator.library.add_script("collect_logs")
    wish = on_host("host.run_script", parameters={"script": "collect_logs"})
    assert site.act(wish).native_action_id == site.act(wish).native_action_id
    site.act(on_host("host.run_script", key="key-2", parameters={"script": uid}))
    assert site.simulator.library.runs == [(uid, ["cx1"]), (uid, ["cx1"])]
    with pytest.raises(NotFoundError, match="in the library"):
        site.act(on_host("host.run_script", key="key-3", parameters={"script": "rm -rf /"}))
    with pytest.raises(RejectedError, match="no script"):
        site.act(on_host("host.run_script", key="key-4"))


def test_no_action_is_sent_without_a_named_endpoint(site: Site) -> None:
    for wish in (on_host("host.isolate", ""), on_host("host.scan", ""), on_file("file.quarantine")):
        with pytest.raises(RejectedError, match="no endpoint is named"):
            site.act(command(wish.verb, wish.target, ""))
    assert site.simulator.mutations() == []


def test_an_action_that_reached_nobody_is_no_receipt(site: Site) -> None:
    async def reworded(scope: Any, receive: Any, send: Any) -> None:
        if "isolate" in scope["path"]:
            reply = {"action_id": "7", "status": "1", "endpoints_count": "0"}
            await JSONResponse({"reply": reply})(scope, receive, send)
        else:
            await site.simulator(scope, receive, send)

    site.app = reworded
    with pytest.raises(RejectedError, match="went to 0 endpoints"):
        site.act(on_host("host.isolate"))


def test_the_memory_of_what_was_asked_is_bounded() -> None:
    memory: Memory[int] = Memory()
    for number in range(1005):
        memory.note(str(number), number)
    assert (memory.get("4"), memory.get("5"), memory.get("1004")) == (None, 5, 1004)
