import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

import nightdesk.connectors.sentinelone as package
from nightdesk.connectors.sentinelone import Connector
from nightdesk.connectors.sentinelone.selection import Selection
from nightdesk.connectors.sentinelone.simulator import ALL_PERMISSIONS, Simulator, Surface, agent_id
from nightdesk.sdk import ports
from nightdesk.sdk.context import Context, Network, Settings
from nightdesk.sdk.errors import (
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
from nightdesk.sdk.ports import Command, Effect
from nightdesk.sdk.records import Batch, Cursor
from nightdesk.sdk.secrets import Secret
from nightdesk.sdk.targets import AssetQuery, Target
from nightdesk.sdk.testing import StoryAlert, StoryDevice
from nightdesk.sdk.testing.fake_time import FakeTime
from nightdesk.sdk.testing.story import StoryProcess

T = TypeVar("T")
NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)
MANIFEST = load_manifest(Path(package.__file__).parent / "manifest.yaml")
TOOL = StoryProcess("tool.exe", r"C:\Temp\tool.exe", "tool.exe -x", 4711, "ab" * 32)
LAPTOP = StoryDevice("dev-1", "WS-0042", ("192.0.2.42",), processes=(TOOL,))
SERVER = StoryDevice("dev-2", "db-07", ("192.0.2.7",), "server", "Linux")
AGENT, OTHER = agent_id("dev-1"), agent_id("dev-2")
BAD_HASH = "cd" * 32
SURFACES = ("threats", "unified_alerts")


@dataclass
class Site:
    """One simulator and the time of both ends; every call builds its own connector."""

    simulator: Simulator
    time: FakeTime
    app: Any = None
    settings: dict[str, Any] = field(default_factory=dict)

    def run(self, work: Callable[[Connector], Awaitable[T]]) -> T:
        given = {**self.simulator.settings("https://usea1-example.sentinelone.net"), **self.settings}
        values = validate_settings(MANIFEST, given, file="nightdesk.yaml", key="connectors.s1")
        network = Network(timeout=5, transport=httpx.ASGITransport(self.app or self.simulator))

        async def once() -> T:
            connector = Connector(
                Context("tenant-a", "s1", Settings(values), network, self.time.clock, self.time.sleep)
            )
            try:
                return await work(connector)
            finally:
                await connector.aclose()

        return asyncio.run(once())

    @property
    def stream(self) -> str:
        return str(self.settings.get("surface") or self.simulator.settings("x")["surface"])

    def pull(self, cursor: Cursor | None = None, *, limit: int = 1000, stream: str = "") -> list[Batch]:
        async def drained(connector: Connector) -> list[Batch]:
            return [batch async for batch in connector.pull(stream or self.stream, cursor, limit=limit)]

        return self.run(drained)

    def pull_until_error(self, *, limit: int) -> tuple[list[Batch], NightdeskError]:
        batches: list[Batch] = []

        async def work(connector: Connector) -> NightdeskError:
            try:
                async for batch in connector.pull(self.stream, None, limit=limit):
                    batches.append(batch)  # noqa: PERF401  # what came before the error counts
            except NightdeskError as error:
                return error
            raise AssertionError("the pull ended well")

        return batches, self.run(work)

    def add(self, uid: str, *, after: float = 0, **options: Any) -> str:
        told = NOON + timedelta(seconds=after)
        return self.simulator.add(StoryAlert(uid, told, "Odd process", "rule-1", "high", **options))

    def detect(self, uid: str = "about-tool", **options: Any) -> str:
        return self.add(uid, **{"device": LAPTOP, "process": TOOL, **options})

    def act(self, command: Command) -> ports.Receipt:
        return self.run(lambda connector: connector.act(command))

    def write(self, command: Command) -> ports.Receipt:
        return self.run(lambda connector: connector.write_back(command))

    def read(self, command: Command) -> ports.Reading:
        return self.run(lambda connector: connector.read_back(command))

    def orders(self, agent: str = AGENT) -> int:
        return len(self.simulator.fleet.devices[agent].orders)

    def written(self) -> list[str]:
        return [seen.path.removeprefix("/web/api/v2.1") for seen in self.simulator.mutations()]


@pytest.fixture
def time() -> FakeTime:
    return FakeTime(NOON)


@pytest.fixture
def site(time: FakeTime) -> Site:
    simulator = Simulator(clock=time.clock)
    simulator.add_devices([LAPTOP, SERVER])
    return Site(simulator, time)


@pytest.fixture
def unified(time: FakeTime) -> Site:
    return Site(Simulator(clock=time.clock, surface="unified_alerts"), time)


@pytest.fixture(params=SURFACES)
def either(time: FakeTime, request: pytest.FixtureRequest) -> Site:
    surface: Surface = request.param
    return Site(Simulator(clock=time.clock, surface=surface), time)


def command(verb: str, target: str, native_id: str = "", facts: Any = None, **fields: Any) -> Command:
    named = Target(Target.parse(target).kind, target.partition(":")[2], facts or {})
    return Command("tenant-a", "action-1", verb, named, "key-1", NOON, native_id, **fields)


def isolate(**fields: Any) -> Command:
    return command("host.isolate", "host:ws-0042", AGENT, **fields)


def dispose(native_id: str, pre_state: Any = None, **words: Any) -> Command:
    verb = "alert.set_disposition"
    return command(verb, "alert:one", native_id, parameters=words, pre_state=dict(pre_state or {}))


def on_file(verb: str, **facts: str) -> Command:
    return command(verb, f"file:sha256:{TOOL.sha256}", AGENT, facts)


def keys(batches: list[Batch]) -> list[str]:
    return [record.key for batch in batches for record in batch.records]


def answering(answer: Callable[[Request], Awaitable[Response]]) -> Starlette:
    return Starlette(routes=[Route("/{path:path}", answer, methods=["GET", "POST", "DELETE"])])


# Pulling


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_a_burst_of_one_instant_is_drained_once_on_either_surface(either: Site, size: int) -> None:
    wanted = {either.add(f"a{number}", after=number // 90) for number in range(123)}
    records = [record for batch in either.pull(limit=size) for record in batch.records]
    assert len(records) == len({record.key for record in records}) == 123
    assert {record.native_id for record in records} == wanted


def test_the_limit_is_always_asked_for_because_the_consoles_own_is_ten(site: Site) -> None:
    site.add("one")
    site.pull(limit=50_000)
    queries = [seen.query for seen in site.simulator.seen if seen.path.endswith("/threats")]
    assert len(queries) == 2
    assert all("limit=1000&" in query and "skip=" not in query for query in queries)


@pytest.mark.parametrize("stop", [1, 3, 5])
def test_a_pull_that_stops_anywhere_goes_on_without_loss_or_repeat(either: Site, stop: int) -> None:
    for number in range(25):
        either.add(f"a{number}", after=number // 9)
    first = either.pull(limit=7)[:stop]
    again = either.pull(json.loads(json.dumps(first[-1].cursor)), limit=7)
    found = keys(first) + keys(again)
    assert len(found) == len(set(found)) == 25


def test_the_cursor_moves_with_the_times_that_stand_inside_the_threat(site: Site) -> None:
    site.add("one", after=-0.5)
    cursor = site.pull()[-1].cursor
    assert cursor is not None
    assert cursor["newest"] == dict.fromkeys(("created", "updated"), int(NOON.timestamp() * 1e9) - 500_000_000)


def test_a_late_arrival_of_an_old_event_and_a_changed_alert_are_read(either: Site) -> None:
    first = either.add("first", after=60)
    cursor = either.pull()[-1].cursor
    late = either.add("late", after=-120)
    either.write(dispose(first, status="closed"))
    found = {record.native_id for batch in either.pull(cursor) for record in batch.records}
    assert found == {late, first}


def test_the_other_surface_is_not_read_because_it_has_the_same_detections_under_other_ids(either: Site) -> None:
    either.add("one")
    (other,) = set(SURFACES) - {either.stream}
    assert either.pull(stream=other) == []
    assert either.simulator.seen == []
    with pytest.raises(UnsupportedError, match="no stream 'custom'"):
        either.pull(stream="custom")


def test_a_partial_answer_keeps_what_came_moves_nothing_and_ends_the_pull(either: Site) -> None:
    for number in range(8):
        either.add(f"a{number}", after=number)
    either.simulator.faults.add("partial_answer", after=1, times=1)
    batches, error = either.pull_until_error(limit=4)
    assert [(len(batch.records), batch.cursor is None) for batch in batches] == [(4, False), (2, True)]
    assert isinstance(error, UnavailableError)
    assert len(set(keys(batches) + keys(either.pull(batches[0].cursor)))) == 8


def test_a_refused_page_token_means_starting_from_the_stored_time(site: Site) -> None:
    async def answer(request: Request) -> Response:
        if "cursor" in request.query_params:
            detail = {"code": 4000040, "title": "Validation Error", "detail": "cursor: Invalid cursor."}
            return JSONResponse({"errors": [detail], "data": None}, 400)
        return JSONResponse({"data": [{"id": "1"}], "pagination": {"nextCursor": "t"}})

    site.app = answering(answer)
    batches, error = site.pull_until_error(limit=1)
    assert len(batches) == 1
    assert isinstance(error, CursorExpiredError)


def test_a_refused_relay_cursor_means_the_same(unified: Site) -> None:
    async def answer(request: Request) -> Response:
        if "after:" in (await request.json())["query"]:
            error = {"message": "Invalid cursor", "extensions": {"classification": "ValidationError"}}
            return JSONResponse({"data": None, "errors": [error]})
        page = {"edges": [{"node": {"id": "x"}}], "pageInfo": {"hasNextPage": True, "endCursor": "t"}}
        return JSONResponse({"data": {"alerts": page}})

    unified.app = answering(answer)
    assert isinstance(unified.pull_until_error(limit=1)[1], CursorExpiredError)


def test_a_page_token_that_repeats_ends_the_pull(site: Site) -> None:
    asked: list[str] = []

    async def answer(request: Request) -> Response:
        asked.append(str(request.url))
        again = "same" if len(asked) < 9 else None  # the test ends, whatever the connector does
        return JSONResponse({"data": [{"id": "1"}], "pagination": {"nextCursor": again}})

    site.app = answering(answer)
    error = site.pull_until_error(limit=1)[1]
    assert isinstance(error, ResponseError)
    assert "repeats" in str(error)


@pytest.mark.parametrize("surface", SURFACES)
def test_a_record_is_what_the_vendor_wrote_and_what_is_none_is_a_failure(site: Site, surface: str) -> None:
    text = '{ "id" : "1", "n":1.10, "big":123456789012345678901, "note": "a } b", "é":"\\u00e9" }'
    page = f'{{"data": [{text}, "odd"], "pagination": null}}'
    if surface == "unified_alerts":
        page = f'{{"data": {{"alerts": {{"edges": [ {{"node" :  {text} }}, "odd" ], "pageInfo": {{}} }} }} }}'

    async def answer(_: Request) -> Response:
        return Response(page, media_type="application/json")

    site.app, site.settings["surface"] = answering(answer), surface
    first = site.pull()[0]
    assert [record.payload.decode() for record in first.records] == [text]
    assert [failure.payload for failure in first.failures] == [b'"odd"']


def test_a_page_in_place_of_json_is_said_to_be_one(site: Site) -> None:
    async def answer(_: Request) -> Response:
        return HTMLResponse("<html>sign in</html>")

    site.app = answering(answer)
    error = site.pull_until_error(limit=1)[1]
    assert isinstance(error, ResponseError)
    assert "text/html" in str(error)


def test_a_tenant_whose_schema_lacks_fields_is_read_without_them(unified: Site) -> None:
    unified.add("one", device=LAPTOP, process=TOOL)
    unified.simulator.unified.lacks = {"rawData", "ticketId"}
    (record,) = unified.pull()[0].records
    payload = json.loads(record.payload)
    assert not {"rawData", "ticketId"} & set(payload)
    assert payload["asset"]["name"] == "WS-0042"


def test_a_tenant_without_a_change_time_is_refused_not_read_for_ever(unified: Site) -> None:
    unified.simulator.unified.lacks = {"updatedAt"}
    error = unified.pull_until_error(limit=1)[1]
    assert isinstance(error, RejectedError)
    assert "updatedAt" in str(error)


def test_a_field_within_another_is_left_out_by_its_path_or_by_its_type() -> None:
    selection = Selection()
    assert selection.drop("Validation error (FieldUndefined@[alerts/edges/node/process/file/md5]) : no")
    assert selection.drop('Cannot query field "agentId" on type "Asset".')
    assert selection.drop('Cannot query field "scope" on type "RealTime".')
    assert "file {name path sha256 sha1 size}" in selection.text
    assert "agentId" not in selection.text
    assert "realTime" not in selection.text
    assert not selection.drop("internal error")


def test_one_alert_is_read_by_an_id_that_can_mean_nothing_else(either: Site) -> None:
    native_id = either.add("one")
    read = either.run(lambda connector: connector.read_one(either.stream, native_id))
    assert read.native_id == native_id
    assert read.key == either.pull()[0].records[0].key
    with pytest.raises(RejectedError, match="is no id of"):
        either.run(lambda connector: connector.read_one(either.stream, f"{native_id},2"))
    unknown = native_id.translate(str.maketrans("0123456789", "1234567890"))
    with pytest.raises(NotFoundError):
        either.run(lambda connector: connector.read_one(either.stream, unknown))


# Writing back


def test_closing_sends_status_and_verdict_together_and_touches_no_other_alert(site: Site) -> None:
    native_id, other = site.add("one"), site.add("two")
    site.simulator.threats.needs_verdict = True
    site.write(dispose(native_id, status="closed", disposition="true-positive"))
    assert site.written() == ["/threats/incident"]
    assert site.simulator.alert_state(native_id) == {"status": "closed", "disposition": "true-positive", "comments": []}
    assert site.simulator.alert_state(other)["status"] == "open"


def test_a_policy_that_wants_a_verdict_is_told_and_not_worked_round(site: Site) -> None:
    native_id = site.add("one")
    site.simulator.threats.needs_verdict = True
    with pytest.raises(RejectedError, match="verdict is required"):
        site.write(dispose(native_id, status="closed"))


def test_an_alert_that_is_already_so_is_left_alone(either: Site) -> None:
    wish = dispose(either.add("one"), status="closed", disposition="false-positive", comment="seen")
    assert either.read(wish).effect is Effect.NOT_IN_EFFECT
    assert either.write(wish).changed
    told = len(either.written())
    assert either.read(wish).effect is Effect.IN_EFFECT
    assert either.write(wish).changed, "its own note shows that an earlier try did it"
    plain = dispose(wish.native_id, status="closed")
    assert not either.write(plain).changed
    assert either.write(dispose(wish.native_id, {"status": "open"}, status="closed")).changed
    assert len(either.written()) == told
    assert len(either.simulator.alert_state(wish.native_id)["comments"]) == 1


def test_in_progress_is_open_and_stays_in_progress(site: Site) -> None:
    native_id = site.add("one")
    site.simulator.threats.change(native_id, incidentStatus="in_progress")
    assert not site.write(dispose(native_id, status="open")).changed
    assert site.written() == []


def test_what_the_scale_cannot_say_is_named_as_lost(site: Site, unified: Site) -> None:
    benign = site.write(dispose(site.add("one"), disposition="benign-positive"))
    assert benign.losses == ("disposition=benign-positive: SentinelOne keeps it as false_positive",)
    assert site.written() == ["/threats/analyst-verdict"]
    assert unified.write(dispose(unified.add("one"), disposition="benign-positive")).losses == ()


def test_a_finer_verdict_of_the_vendors_is_not_overwritten(unified: Site) -> None:
    native_id = unified.add("one")
    unified.simulator.unified.change(native_id, analystVerdict="TRUE_POSITIVE_RANSOMWARE")
    assert not unified.write(dispose(native_id, disposition="true-positive")).changed
    unified.write(dispose(native_id, disposition=""))
    assert unified.simulator.unified.alerts[native_id]["analystVerdict"] == "UNDEFINED"


def test_a_change_that_reached_nobody_is_an_error_unless_the_threat_is_so(site: Site) -> None:
    native_id = site.add("one")
    threat = {"id": native_id, "threatInfo": {"incidentStatus": "unresolved", "analystVerdict": "undefined"}}

    async def answer(request: Request) -> Response:
        if request.method == "POST":
            return JSONResponse({"data": {"affected": 0}})
        return JSONResponse({"data": [threat], "pagination": {"nextCursor": None}})

    site.app = answering(answer)
    with pytest.raises(RejectedError, match="was not reached"):
        site.write(dispose(native_id, status="closed"))


def test_a_threat_that_somebody_else_resolved_meanwhile_is_resolved(site: Site) -> None:
    native_id = site.add("one")

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["path"].endswith("/threats/incident"):
            site.simulator.threats.change(native_id, incidentStatus="resolved")
        await site.simulator(scope, receive, send)

    site.app = app
    assert site.write(dispose(native_id, status="closed")).native_action_id == native_id


def test_a_change_of_more_than_was_named_is_an_error(site: Site) -> None:
    async def answer(_: Request) -> Response:
        return JSONResponse({"data": {"affected": 7}})

    command_ = isolate()
    row = {"id": AGENT, "networkStatus": "connected"}

    async def agents(request: Request) -> Response:
        return await answer(request) if request.method == "POST" else JSONResponse({"data": [row]})

    site.app = answering(agents)
    with pytest.raises(ResponseError, match="7 were changed instead of 1"):
        site.act(command_)


def test_notes_with_quotes_and_lines_arrive_as_they_are(either: Site) -> None:
    native_id = either.add("one")
    text = 'say "no" \\ to\n{this} $x é'
    either.write(command("alert.comment", "alert:one", native_id, parameters={"comment": text}))
    (note,) = either.simulator.alert_state(native_id)["comments"]
    assert note.startswith(f"{text} [nightdesk ")


def test_a_refusal_inside_the_graphql_success_names_the_permission(unified: Site) -> None:
    native_id = unified.add("one")
    unified.simulator.permissions.discard("Unified alerts: Manage")
    with pytest.raises(ScopeError, match="Unified alerts: Manage"):
        unified.write(dispose(native_id, status="closed"))


def test_too_many_users_at_once_means_waiting(unified: Site) -> None:
    native_id = unified.add("one")
    unified.simulator.unified.busy = True
    with pytest.raises(RateLimitError) as caught:
        unified.write(dispose(native_id, status="closed"))
    assert caught.value.retry_after == 30


@pytest.mark.parametrize("actions", [[], [{"actionId": "S1/alert/statusUpdate", "success": [{"id": "else"}]}]])
def test_an_action_that_does_not_name_the_alert_is_no_success(unified: Site, actions: list[Any]) -> None:
    native_id = unified.add("one")
    node = {"id": native_id, "status": "NEW", "analystVerdict": "UNDEFINED"}

    async def answer(request: Request) -> Response:
        if "mutation" in (await request.json())["query"]:
            outcome = {"__typename": "ActionsTriggered", "actions": actions}
            return JSONResponse({"data": {"alertTriggerActions": outcome}})
        return JSONResponse({"data": {"alerts": {"edges": [{"node": node}], "pageInfo": {}}}})

    unified.app = answering(answer)
    with pytest.raises(ResponseError, match="instead of"):
        unified.write(dispose(native_id, status="closed"))


@pytest.mark.parametrize(
    "outcome",
    [
        {"__typename": "TriggerActionsScheduled", "bulkActionTriggerId": "7"},
        {"__typename": "ActionsTriggered", "actions": [{"actionId": "S1/alert/statusUpdate", "skip": [{"id": "ID"}]}]},
    ],
)
def test_what_is_planned_or_skipped_is_accepted_and_left_to_the_read_back(unified: Site, outcome: Any) -> None:
    native_id = unified.add("one")
    node = {"id": native_id, "status": "NEW", "analystVerdict": "UNDEFINED"}
    told = json.loads(json.dumps(outcome).replace('ID"', f'{native_id}"'))

    async def answer(request: Request) -> Response:
        if "mutation" in (await request.json())["query"]:
            return JSONResponse({"data": {"alertTriggerActions": told}})
        return JSONResponse({"data": {"alerts": {"edges": [{"node": node}], "pageInfo": {}}}})

    unified.app = answering(answer)
    wish = dispose(native_id, status="closed")
    assert unified.write(wish).changed
    assert unified.read(wish).effect is Effect.NOT_IN_EFFECT


def test_an_alert_of_before_a_change_of_surface_is_still_written_to(site: Site) -> None:
    native_id = site.add("one")
    site.settings["surface"] = "unified_alerts"
    site.write(dispose(native_id, status="closed"))
    assert site.simulator.alert_state(native_id)["status"] == "closed"


# Hosts


def test_isolation_counts_once_the_agent_says_disconnected(site: Site) -> None:
    site.simulator.faults.add("late_effect", options={"seconds": 60})
    assert site.read(isolate()).effect is Effect.NOT_IN_EFFECT
    assert site.act(isolate()).changed
    reading = site.read(isolate())
    assert (reading.effect, reading.native_state) == (Effect.PENDING, "disconnecting")
    site.act(isolate())
    assert site.orders() == 1, "one on its way is not asked for again"
    site.time.advance(61)
    reading = site.read(isolate())
    assert (reading.effect, reading.state["isolated"]) == (Effect.IN_EFFECT, True)
    assert not site.act(isolate()).changed
    assert site.act(isolate(pre_state={"isolated": False})).changed


def test_an_order_that_failed_leaves_the_host_connected(site: Site) -> None:
    site.simulator.faults.add("accepted_then_failed")
    assert site.act(isolate()).changed
    assert site.read(isolate()).effect is Effect.NOT_IN_EFFECT


def test_an_agent_that_is_not_eligible_is_an_error_not_a_success(site: Site) -> None:
    site.simulator.retire(AGENT)
    with pytest.raises(RejectedError, match="decommissioned"):
        site.act(isolate())


def test_a_selective_isolation_is_a_named_loss(site: Site) -> None:
    assert "mode=selective" in site.act(isolate(parameters={"mode": "selective"})).losses[0]
    with pytest.raises(UnsupportedError, match="duration"):
        site.act(isolate(parameters={"duration": 5}))


def test_a_scan_counts_when_it_runs_or_ended_since_it_was_asked_for(site: Site) -> None:
    wish = command("host.scan", "host:ws-0042", AGENT)
    site.act(wish)
    assert site.read(wish).native_state == "started"
    site.act(wish)
    assert site.orders() == 1
    site.time.advance(3600)
    assert site.read(wish).effect is Effect.IN_EFFECT
    later = Command(**{**{name: getattr(wish, name) for name in wish.__slots__}, "requested_at": site.time.clock()})
    site.time.advance(60)
    assert site.read(later).effect is Effect.NOT_IN_EFFECT, "a scan of before is none"
    with pytest.raises(UnsupportedError, match="path"):
        site.act(command("host.scan", "host:ws-0042", AGENT, parameters={"path": "C:\\"}))


@pytest.mark.parametrize(
    ("query", "wanted"),
    [
        (AssetQuery(hostname="ws-0042"), [AGENT]),
        (AssetQuery(hostname="db-07", fqdn="db-07.corp"), [OTHER]),
        (AssetQuery(hostname="ws-004"), []),
        (AssetQuery(address="192.0.2.7"), [OTHER]),
        (AssetQuery(address="192.0.2.4"), []),
        (AssetQuery(device_id=AGENT), [AGENT]),
        (AssetQuery(), []),
    ],
)
def test_a_host_is_found_by_the_whole_of_what_is_known(site: Site, query: AssetQuery, wanted: list[str]) -> None:
    assert [asset.native_id for asset in site.run(lambda connector: connector.find_asset(query))] == wanted


def test_a_retired_agent_is_not_found_and_a_list_of_names_is_refused(site: Site) -> None:
    site.simulator.retire(AGENT)
    for query in (AssetQuery(hostname="ws-0042"), AssetQuery(device_id=AGENT)):
        assert list(site.run(lambda connector, query=query: connector.find_asset(query))) == []  # type: ignore[misc]
    with pytest.raises(RejectedError, match="cannot be searched"):
        site.run(lambda connector: connector.find_asset(AssetQuery(hostname="a,b")))


# Processes and files, by threat


def test_a_process_is_ended_by_its_threat_and_its_number_is_a_loss(site: Site) -> None:
    site.detect()
    wish = command("process.terminate", "process:tool.exe", AGENT, {"pid": "4711", "path": TOOL.path})
    assert site.read(wish).effect is Effect.NOT_IN_EFFECT
    receipt = site.act(wish)
    assert "pid=4711" in receipt.losses[0]
    assert site.read(wish).effect is Effect.IN_EFFECT
    assert site.simulator.fleet.devices[AGENT].processes == {}
    assert not site.act(wish).changed
    assert site.orders() == 1


def test_a_file_is_quarantined_in_all_its_threats_and_restored(site: Site) -> None:
    site.detect("one")
    site.detect("two")
    site.detect("elsewhere", device=SERVER)
    quarantine, restore = on_file("file.quarantine"), on_file("file.restore", path=TOOL.path)
    site.act(quarantine)
    reading = site.read(quarantine)
    assert (reading.effect, reading.state["quarantined"]) == (Effect.IN_EFFECT, True)
    assert site.orders(OTHER) == 0, "the same file on another host is left alone"
    site.time.advance(1)
    site.act(restore)
    assert site.read(restore).effect is Effect.IN_EFFECT
    assert site.read(quarantine).effect is Effect.NOT_IN_EFFECT
    assert not site.simulator.fleet.devices[AGENT].files[TOOL.path].quarantined


def test_an_offline_agent_is_pending_and_not_asked_again(site: Site) -> None:
    site.detect()
    site.simulator.faults.add("offline_host")
    site.act(on_file("file.quarantine"))
    site.act(on_file("file.quarantine"))
    assert site.read(on_file("file.quarantine")).effect is Effect.PENDING
    assert site.orders() == 1


def test_a_failure_counts_only_if_it_is_of_this_request(site: Site) -> None:
    site.detect()
    site.simulator.faults.add("accepted_then_failed")
    site.act(on_file("file.quarantine"))
    assert site.read(on_file("file.quarantine")).effect is Effect.FAILED
    wish = on_file("file.quarantine")
    later = Command(**{**{n: getattr(wish, n) for n in wish.__slots__}, "requested_at": NOON + timedelta(minutes=5)})
    assert site.read(later).effect is Effect.NOT_IN_EFFECT


def test_a_restore_that_failed_leaves_the_file_quarantined(site: Site) -> None:
    site.detect()
    site.act(on_file("file.quarantine"))
    assert site.read(on_file("file.quarantine")).effect is Effect.IN_EFFECT
    site.simulator.faults.add("accepted_then_failed")
    site.time.advance(1)
    back = replace(on_file("file.restore"), idempotency_key="key-2", requested_at=site.time.clock())
    site.act(back)
    assert site.read(back).effect is Effect.FAILED
    assert site.read(on_file("file.quarantine")).effect is Effect.IN_EFFECT
    assert site.read(replace(back, requested_at=NOON + timedelta(minutes=5))).effect is Effect.NOT_IN_EFFECT


@pytest.mark.parametrize(
    "wish",
    [
        command("file.quarantine", f"file:sha256:{BAD_HASH}", AGENT),
        on_file("file.quarantine", path="C:\\Temp\\other.exe"),
        command("process.terminate", "process:explorer.exe", AGENT, {"pid": "4711"}),
        command("process.terminate", "process:tool.exe", OTHER),
    ],
)
def test_what_no_engine_of_that_agent_detected_is_refused(site: Site, wish: Command) -> None:
    site.detect()
    with pytest.raises(RejectedError, match="reaches only what"):
        site.act(wish)
    assert site.written() == []


def test_a_program_of_the_system_that_was_misused_is_not_quarantined(site: Site) -> None:
    native_id = site.detect()
    site.simulator.threats.threats[native_id]["threatInfo"]["isFileless"] = True
    with pytest.raises(RejectedError, match="reaches only what"):
        site.act(on_file("file.quarantine"))


def test_a_fetched_file_is_proved_by_the_activity_of_its_threat(site: Site) -> None:
    site.detect()
    site.simulator.faults.add("offline_host")
    site.act(on_file("file.fetch"))
    assert site.read(on_file("file.fetch")).effect is Effect.NOT_IN_EFFECT
    site.simulator.faults.clear()
    reading = site.read(on_file("file.fetch"))
    assert reading.effect is Effect.IN_EFFECT
    assert str(reading.state["download"]).startswith(f"/agents/{AGENT}/uploads/")
    assert not site.act(on_file("file.fetch")).changed
    assert site.orders() == 1


@pytest.mark.parametrize("password", [None, Secret.literal("short"), Secret.literal("with a space in it")])
def test_a_fetch_needs_a_password_that_the_console_takes(site: Site, password: Secret | None) -> None:
    site.detect()
    site.settings["fetch_password"] = password
    with pytest.raises(ConfigError, match="fetch_password"):
        site.act(on_file("file.fetch"))


# The blocklist


def block(**fields: Any) -> Command:
    return command("hash.block", f"file:sha256:{BAD_HASH}", reason="ransomware", **fields)


def unblock(**fields: Any) -> Command:
    return command("hash.unblock", f"file:sha256:{BAD_HASH}", **fields)


def theirs(site: Site, system: str) -> str:
    data = {"type": "black_hash", "value": BAD_HASH, "osType": system, "description": "by hand"}
    return str(site.simulator.blocklist.add(data, {"tenant": True}, "analyst")["id"])


def test_a_hash_is_blocked_on_every_system_and_unblocked_by_id(site: Site) -> None:
    assert site.act(block()).changed
    entries = site.simulator.blocklist.entries
    assert sorted(row["osType"] for row in entries.values()) == ["linux", "macos", "windows"]
    assert all(row["description"].startswith("nightdesk:tenant-a ransomware [nightdesk ") for row in entries.values())
    assert site.read(block()).effect is Effect.IN_EFFECT
    site.act(block())
    assert len(entries) == 3
    assert site.read(unblock()).state["ours"] is True
    assert site.act(unblock()).changed
    assert entries == {}
    assert site.read(unblock()).effect is Effect.IN_EFFECT
    assert not site.act(unblock()).changed
    assert site.act(unblock(pre_state={"ours": True})).changed


def test_one_system_alone_is_no_block_and_only_what_is_missing_is_made(site: Site) -> None:
    theirs(site, "windows")
    assert site.read(block()).effect is Effect.NOT_IN_EFFECT
    site.act(block())
    assert site.read(block()).effect is Effect.IN_EFFECT
    assert len(site.simulator.blocklist.entries) == 3


def test_somebody_elses_entry_is_never_deleted(site: Site) -> None:
    stranger = theirs(site, "windows")
    site.act(block())
    assert "windows by 'analyst'" in site.act(unblock()).losses[0]
    assert list(site.simulator.blocklist.entries) == [stranger]
    assert site.read(unblock()).effect is Effect.NOT_IN_EFFECT
    with pytest.raises(RejectedError, match="did not make"):
        site.act(unblock())


def test_an_entry_that_somebody_else_made_meanwhile_blocks_as_well(site: Site) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["method"] == "POST" and not site.simulator.blocklist.entries:
            theirs(site, "windows")
        await site.simulator(scope, receive, send)

    site.app = app
    assert len(site.act(block()).evidence["made"]) == 2
    assert site.read(block()).effect is Effect.IN_EFFECT


def test_an_entry_of_the_scope_above_counts_and_the_scope_is_kept_to(site: Site) -> None:
    from nightdesk.connectors.sentinelone.payloads import SITE

    theirs(site, "windows")
    site.settings.update(site_ids=SITE, block_os_types="windows,linux")
    site.act(block())
    made = [row for row in site.simulator.blocklist.entries.values() if row["userName"] == "nightdesk"]
    assert [(row["osType"], row["scope"]) for row in made] == [("linux", {"siteIds": [SITE]})]
    assert site.read(block()).effect is Effect.IN_EFFECT


def test_what_the_blocklist_does_not_know_is_refused(site: Site) -> None:
    with pytest.raises(UnsupportedError, match="sha1 and sha256"):
        site.act(command("hash.block", f"file:md5:{'0' * 32}"))
    with pytest.raises(UnsupportedError, match="duration"):
        site.act(block(parameters={"duration": 60}))


# Permissions, settings, health


def test_a_missing_permission_is_named(site: Site) -> None:
    site.simulator.permissions.discard("Endpoints: Disconnect from network")
    with pytest.raises(ScopeError, match="Endpoints: Disconnect from network"):
        site.act(isolate())


@pytest.mark.parametrize("permission", ["Threats: View", "Endpoints: View", "Blocklist: View"])
def test_the_health_check_names_every_missing_read_permission(site: Site, permission: str) -> None:
    site.simulator.permissions = set(ALL_PERMISSIONS - {permission})
    health = site.run(lambda connector: connector.check_health())
    assert not health.ok
    assert len(health.problems) == 1
    assert permission in health.problems[0]


def test_the_health_check_warns_of_a_token_that_ends_soon(site: Site) -> None:
    site.simulator.token_ends = (NOON + timedelta(days=13)).timestamp()
    health = site.run(lambda connector: connector.check_health())
    assert health.ok
    assert "2026-11-14" in health.problems[0]
    assert health.version == "25.1.3"


def test_a_console_in_maintenance_is_unavailable(site: Site) -> None:
    site.simulator.maintenance = True
    assert isinstance(site.pull_until_error(limit=1)[1], UnavailableError)
    assert not site.run(lambda connector: connector.check_health()).ok


def test_a_clock_that_differs_is_told(site: Site) -> None:
    site.simulator.faults.add("clock_skew", options={"seconds": 600})
    health = site.run(lambda connector: connector.check_health())
    assert "600 s" in health.problems[0]


@pytest.mark.parametrize(
    ("given", "key"),
    [
        ({"page_size": 1001}, "page_size"),
        ({"start": "yesterday"}, "start"),
        ({"account_ids": "1", "site_ids": "2"}, "site_ids"),
        ({"block_os_types": "windows,amiga"}, "block_os_types"),
        ({"surface": "both"}, "surface"),
    ],
)
def test_a_wrong_setting_is_told_before_anything_is_asked(site: Site, given: dict[str, Any], key: str) -> None:
    site.settings.update(given)
    with pytest.raises(ConfigError, match=key):
        site.pull()


def test_the_lists_keep_to_the_configured_accounts(site: Site) -> None:
    site.add("one", device=LAPTOP)
    site.settings["account_ids"] = "1"
    assert keys(site.pull()) == []
    assert list(site.run(lambda connector: connector.find_asset(AssetQuery(hostname="ws-0042")))) == []
