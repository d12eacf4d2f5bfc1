"""The connector with the real SDK over real sockets, against a simulated splunkd and a clock that stands still."""

import asyncio
import logging
import ssl
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest
from starlette.responses import JSONResponse

from nightdesk.connectors.splunk_es import Connector
from nightdesk.connectors.splunk_es.reviews import refusal
from nightdesk.connectors.splunk_es.simulator import Simulator
from nightdesk.connectors.splunk_es.splunkd import REQUESTS_PER_MINUTE
from nightdesk.sdk.context import Context, Network, Settings
from nightdesk.sdk.errors import (
    AuthError,
    ConfigError,
    CursorExpiredError,
    MappingError,
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
from nightdesk.sdk.ports import (
    ChecksHealth,
    Command,
    Effect,
    Pulls,
    ReadsBack,
    ReadsOne,
    Receives,
    Searches,
    WritesBack,
)
from nightdesk.sdk.records import Batch, Cursor
from nightdesk.sdk.secrets import Secret
from nightdesk.sdk.targets import Target
from nightdesk.sdk.testing import StoryAlert, StoryDevice, serve
from nightdesk.sdk.verbs import TargetKind

MANIFEST = Path(__file__).parents[4] / "connectors" / "splunk_es" / "manifest.yaml"
NOON = datetime(2026, 3, 2, 12, 0, 0, tzinfo=UTC)
Scenario = Callable[[Connector], Awaitable[Any]]


@dataclass
class Clock:
    now: datetime = NOON

    def __call__(self) -> datetime:
        return self.now

    def forward(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


@dataclass
class Stage:
    """One server for all tests of this module; each puts its own simulator on it."""

    base_url: str = ""
    simulator: Any = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await self.simulator(scope, receive, send)


@dataclass
class Bench:
    """A simulated tenant, its clock, and what the connector slept."""

    stage: Stage
    clock: Clock = field(default_factory=Clock)
    slept: list[float] = field(default_factory=list)
    simulator: Simulator = field(init=False)

    def __post_init__(self) -> None:
        self.simulator = Simulator(clock=self.clock, secret="tok-5f2c9a71e0")

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)

    def context(self, base_url: str, **settings: Any) -> Context:
        given = {**self.simulator.settings(base_url), **settings}
        values = validate_settings(load_manifest(MANIFEST), given, file="test", key="splunk")
        return Context("acme", "splunk-1", Settings(values), clock=self.clock, sleep=self.sleep)

    def run(self, scenario: Scenario, **settings: Any) -> Any:
        async def whole(base_url: str) -> Any:
            connector = Connector(self.context(base_url, **settings))
            try:
                return await scenario(connector)
            finally:
                await connector.aclose()

        self.stage.simulator = self.simulator
        return asyncio.run(whole(self.stage.base_url))

    def story(self, number: int = 1, **fields: Any) -> str:
        at = fields.pop("at", self.clock.now)
        alert = StoryAlert(f"story-{number}", at, f"Odd thing {number}", "R-7", "high", **fields)
        return self.simulator.add(alert)


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    built = Stage()
    with serve(built) as served:
        built.base_url = served.base_url
        yield built


@pytest.fixture
def bench(stage: Stage) -> Bench:
    return Bench(stage)


async def drain(connector: Connector, cursor: Cursor | None = None, limit: int = 1000) -> list[Batch]:
    return [batch async for batch in connector.pull("notables", cursor, limit=limit)]


async def collect(batches: AsyncIterator[Batch], into: list[Batch]) -> None:
    async for batch in batches:
        into.append(batch)  # noqa: PERF401  # what came before an error must be seen


async def sweep(connector: Connector, cursor: Cursor | None = None) -> tuple[list[str], Cursor]:
    """Native ids of one sweep and the cursor behind it, as a hub would store it."""
    batches = await drain(connector, cursor)
    assert not batches[-1].more
    behind = batches[-1].cursor
    assert behind is not None
    return [record.native_id for batch in batches for record in batch.records], orjson.loads(orjson.dumps(behind))


def command(native_id: str, verb: str = "alert.set_disposition", key: str = "key-1", **fields: Any) -> Command:
    pre_state = fields.pop("pre_state", {})
    return Command(
        tenant="acme",
        action_id="a-1",
        verb=verb,
        target=Target(TargetKind.ALERT, native_id or "unnamed"),
        idempotency_key=key,
        requested_at=NOON,
        native_id=native_id,
        parameters=fields,
        pre_state=pre_state,
    )


def row(record: Any) -> dict[str, Any]:
    found: dict[str, Any] = orjson.loads(record.payload)
    return found


# Pulling


@pytest.mark.parametrize("limit", [pytest.param(1, marks=pytest.mark.slow), 7, 1000])
def test_a_burst_in_one_second_is_drained_exactly_once_at_any_page_size(bench: Bench, limit: int) -> None:
    wanted = {bench.story(number) for number in range(1069)}
    bench.clock.forward(1)

    batches = bench.run(lambda connector: drain(connector, limit=limit))

    keys = [record.key for batch in batches for record in batch.records]
    assert len(keys) == len(set(keys)) == 1069
    assert {record.native_id for batch in batches for record in batch.records} == wanted
    assert max(len(batch.records) for batch in batches) <= limit
    assert [batch.more for batch in batches[-2:]] == [True, False]


def test_a_sweep_goes_on_in_the_middle_of_a_second(bench: Bench) -> None:
    wanted = {bench.story(number) for number in range(20)}
    bench.clock.forward(1)

    async def interrupted(connector: Connector) -> list[str]:
        first = (await drain(connector, limit=7))[0]
        rest = await drain(connector, first.cursor, limit=7)
        return [record.native_id for batch in (first, *rest) for record in batch.records]

    ids = bench.run(interrupted)
    assert len(ids) == 20
    assert set(ids) == wanted


def test_what_happened_long_ago_but_is_indexed_now_is_found(bench: Bench) -> None:
    early = bench.story(1)
    bench.clock.forward(60)

    async def later(connector: Connector) -> tuple[list[str], list[str]]:
        first, cursor = await sweep(connector)
        late = bench.story(2, at=NOON - timedelta(days=9), raised_at=bench.clock.now)
        bench.clock.forward(1)
        second, _ = await sweep(connector, cursor)
        assert second == [late]
        return first, second

    first, _ = bench.run(later)
    assert first == [early]


def test_an_event_time_in_the_future_is_found(bench: Bench) -> None:
    ahead = bench.story(1, at=NOON + timedelta(hours=3), raised_at=NOON)
    bench.clock.forward(1)
    ids, _ = bench.run(sweep)
    assert ids == [ahead]


def test_a_second_that_was_read_is_read_again_for_what_came_later_in_it(bench: Bench) -> None:
    first = bench.story(1)
    bench.clock.forward(1)

    async def twice(connector: Connector) -> None:
        ids, cursor = await sweep(connector)
        assert ids == [first]
        second = bench.story(2, at=NOON, raised_at=NOON)
        ids, cursor = await sweep(connector, cursor)
        assert ids == [second]
        ids, _ = await sweep(connector, cursor)
        assert ids == []

    bench.run(twice)


def test_the_present_second_is_read_and_read_again(bench: Bench) -> None:
    first = bench.story(1)

    async def present(connector: Connector) -> None:
        ids, cursor = await sweep(connector)
        assert ids == [first]
        second = bench.story(2)
        ids, cursor = await sweep(connector, cursor)
        assert ids == [second]
        third = bench.story(3, raised_at=bench.clock.now)
        bench.clock.forward(100)
        ids, _ = await sweep(connector, cursor)
        assert ids == [third]

    bench.run(present)


def test_a_job_id_with_signs_and_spaces_is_encoded(bench: Bench) -> None:
    bench.simulator.searches.prefix = "scheduler__admin@example.com__search__A rule_at_"
    bench.story(1)
    bench.clock.forward(1)
    assert len(bench.run(sweep)[0]) == 1
    assert bench.simulator.searches.jobs == {}


def test_the_newest_seconds_are_left_to_settle(bench: Bench) -> None:
    bench.story(1)
    bench.clock.forward(29)

    async def patient(connector: Connector) -> None:
        ids, cursor = await sweep(connector)
        assert ids == []
        bench.clock.forward(2)
        ids, _ = await sweep(connector, cursor)
        assert len(ids) == 1

    bench.run(patient, settle=30)


def test_a_first_sweep_without_alerts_still_fixes_where_it_began(bench: Bench) -> None:
    async def quiet(connector: Connector) -> None:
        ids, cursor = await sweep(connector)
        assert ids == []
        assert cursor["index_time"] == int((NOON - timedelta(days=1)).timestamp())

    bench.run(quiet, start=None)


def test_a_review_is_a_new_version_of_the_notable(bench: Bench) -> None:
    native_id = bench.story(1)
    bench.story(2)
    bench.clock.forward(10)

    async def reviewed(connector: Connector) -> None:
        before = [record for batch in await drain(connector) for record in batch.records]
        cursor = (await drain(connector))[-1].cursor
        bench.simulator.review(native_id, status="2", comment="looking")
        bench.clock.forward(10)
        batches = await drain(connector, cursor)
        (after,) = [record for batch in batches for record in batch.records]
        assert after.native_id == native_id
        assert after.key not in {record.key for record in before}
        assert row(after)["status"] == "2"
        ids, _ = await sweep(connector, batches[-1].cursor)
        assert ids == [], "the look-behind must not bring the same review again"

    bench.run(reviewed)


def test_a_review_that_is_stored_late_is_found_within_the_look_behind(bench: Bench) -> None:
    native_id, other = bench.story(1), bench.story(2)
    bench.clock.forward(100)

    async def late(connector: Connector) -> None:
        bench.simulator.review(other, status="2")
        bench.clock.forward(5)
        _, cursor = await sweep(connector)
        bench.clock.now -= timedelta(seconds=45)
        bench.simulator.review(native_id, status="4")
        bench.clock.forward(50)
        ids, _ = await sweep(connector, cursor)
        assert ids == [native_id]

    bench.run(late)


def test_two_reviews_in_one_second_are_two_versions(bench: Bench) -> None:
    native_id = bench.story(1)
    keys = []
    for status in ("2", "3"):
        bench.simulator.review(native_id, status=status)
        keys.append(bench.run(lambda connector: connector.read_one("notables", native_id)).key)
    assert len(set(keys)) == 2


def test_more_reviews_than_a_page_come_in_pages_with_their_cursors(bench: Bench) -> None:
    ids = [bench.story(number) for number in range(9)]
    bench.clock.forward(5)

    async def many(connector: Connector) -> None:
        _, cursor = await sweep(connector)
        for native_id in ids:
            bench.simulator.review(native_id, status="2")
            bench.clock.forward(1)
        batches = await drain(connector, cursor, limit=4)
        assert [len(batch.records) for batch in batches] == [4, 4, 1, 0]
        rest, _ = await sweep(connector, batches[0].cursor)
        assert rest == ids[4:], "in the order of the reviews"

    bench.run(many)


def test_the_key_does_not_depend_on_where_a_row_was_read(bench: Bench) -> None:
    bench.story(1)
    native_id = bench.story(2)
    bench.clock.forward(1)

    async def twice(connector: Connector) -> None:
        swept = next(
            record for batch in await drain(connector) for record in batch.records if record.native_id == native_id
        )
        alone = await connector.read_one("notables", native_id)
        assert row(swept)["_serial"] != row(alone)["_serial"]
        assert swept.key == alone.key

    bench.run(twice)


def test_times_come_as_epochs_beside_the_users_time_zone(bench: Bench) -> None:
    bench.story(1, at=NOON - timedelta(minutes=5), raised_at=NOON)
    bench.clock.forward(1)
    batches = bench.run(drain)
    found = row(batches[0].records[0])
    assert found["_time"].endswith("+05:30")
    assert float(found["nd_time"]) == (NOON - timedelta(minutes=5)).timestamp()
    assert int(found["nd_indextime"]) == int(NOON.timestamp())


def test_rows_of_a_raw_search_are_named_by_their_place_in_the_index(bench: Bench) -> None:
    bench.story(1)
    bench.clock.forward(1)

    async def raw(connector: Connector) -> None:
        (record,) = [record for batch in await drain(connector) for record in batch.records]
        found = row(record)
        assert "event_id" not in found
        assert record.native_id == f"{found['_bkt']}:{found['_cd']}"
        assert (await connector.read_one("notables", record.native_id)).key == record.key
        with pytest.raises(RejectedError, match="is no event id"):
            await connector.write_back(command(record.native_id, status="closed"))

    bench.run(raw, search="search index=notable")
    assert not any("notable_update" in seen.path for seen in bench.simulator.seen)


def test_a_result_limit_below_the_page_size_loses_nothing(bench: Bench) -> None:
    bench.simulator.searches.max_result_rows = 10
    wanted = {bench.story(number) for number in range(35)}
    bench.clock.forward(1)
    ids, _ = bench.run(sweep)
    assert len(ids) == 35
    assert set(ids) == wanted


def test_the_servers_default_limit_on_sorting_loses_nothing(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nightdesk.connectors.splunk_es.spl._SORT_LIMIT", 10)
    wanted = {bench.story(number) for number in range(25)}
    for native_id in wanted:
        bench.simulator.review(native_id, status="2")
    ids, _ = bench.run(sweep)
    assert set(ids) == wanted
    rows = bench.run(lambda connector: connector.search("search `notable` | sort event_id", limit=100))
    assert len(rows) == 10, "the limit is there"


def test_a_failed_job_is_an_error_and_is_not_half_read(bench: Bench) -> None:
    bench.story(1)
    bench.clock.forward(1)
    bench.simulator.faults.add("accepted_then_failed", path="/search/")
    with pytest.raises(UnavailableError, match="did not exit cleanly"):
        bench.run(drain)
    assert bench.simulator.searches.jobs == {}


def test_a_partial_answer_gives_its_rows_but_never_moves_the_cursor(bench: Bench) -> None:
    for number in range(6):
        bench.story(number)
    bench.clock.forward(1)
    bench.simulator.faults.add("partial_answer", path="/search/", times=1)
    seen: list[Batch] = []

    async def partial(connector: Connector) -> None:
        with pytest.raises(UnavailableError, match="status=Down"):
            await collect(connector.pull("notables", None, limit=100), seen)
        assert [batch.cursor for batch in seen] == [None]
        assert len(seen[0].records) == 3
        ids, _ = await sweep(connector)
        assert len(ids) == 6

    bench.run(partial)


def test_an_error_beside_http_200_and_a_finished_job_is_a_failed_search(bench: Bench) -> None:
    bench.story(1)
    bench.clock.forward(1)
    bench.simulator.faults.add("partial_answer", path="/search/", options={"type": "error"})
    with pytest.raises(UnavailableError, match="the search failed: Unable to distribute"):
        bench.run(drain)


def test_a_partial_answer_about_one_notable_is_not_an_answer(bench: Bench) -> None:
    native_id = bench.story(1)
    bench.simulator.faults.add("partial_answer", path="/search/")
    with pytest.raises(UnavailableError, match="incomplete"):
        bench.run(lambda connector: connector.read_one("notables", native_id))


def test_fewer_rows_than_announced_are_noticed(bench: Bench) -> None:
    for number in range(5):
        bench.story(number)
    bench.clock.forward(1)

    async def short(connector: Connector) -> None:
        pages = connector.pull("notables", None, limit=2)
        await anext(pages)
        (job,) = bench.simulator.searches.jobs.values()
        del job.rows[2:]
        with pytest.raises(UnavailableError, match="only 2 of 5 rows came"):
            await anext(pages)

    bench.run(short)


def test_more_rows_than_a_job_keeps_are_fetched_by_the_next_sweep(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nightdesk.connectors.splunk_es.jobs.MAX_RESULTS", 6)
    wanted = []
    for number in range(14):
        wanted.append(bench.story(number))
        bench.clock.forward(1)

    async def capped(connector: Connector) -> None:
        got: list[str] = []
        cursor: Cursor | None = None
        for _ in range(5):
            batches = await drain(connector, cursor)
            got += [record.native_id for batch in batches for record in batch.records]
            cursor = batches[-1].cursor
            if not batches[-1].more:
                break
        assert got == wanted

    bench.run(capped)


def test_a_clock_that_was_set_back_moves_nothing(bench: Bench) -> None:
    bench.story(1)
    bench.clock.forward(1)

    async def back(connector: Connector) -> None:
        _, cursor = await sweep(connector)
        bench.clock.forward(-3600)
        ids, again = await sweep(connector, cursor)
        assert (ids, again) == ([], cursor)

    bench.run(back)


def test_a_review_without_a_time_is_an_answer_out_of_shape(bench: Bench) -> None:
    bench.simulator.review(bench.story(1), status="2")
    bench.clock.forward(1)
    bench.simulator.faults.add("drifted_field", options={"field": "nd_review_time"})
    with pytest.raises(ResponseError, match="no time"):
        bench.run(drain)


def test_the_whole_lookback_can_be_lifted(bench: Bench) -> None:
    ancient = bench.story(1, at=NOON - timedelta(days=900), raised_at=NOON)
    bench.clock.forward(1)
    start = (NOON - timedelta(hours=1)).isoformat()
    assert bench.run(sweep, start=start)[0] == []
    assert bench.run(sweep, start=start, lookback_days=0)[0] == [ancient]


def test_it_works_through_any_transport_it_is_given(bench: Bench) -> None:
    bench.story(1)
    bench.clock.forward(1)
    plain = bench.context("http://splunk.example.com:8089")
    network = Network(transport=httpx.ASGITransport(bench.simulator))

    async def inside() -> int:
        connector = Connector(Context("acme", "s", plain.settings, network, clock=bench.clock, sleep=bench.sleep))
        try:
            return len((await sweep(connector))[0])
        finally:
            await connector.aclose()

    assert asyncio.run(inside()) == 1


def test_a_warning_that_is_known_to_be_harmless_can_be_named(bench: Bench) -> None:
    bench.story(1)
    bench.clock.forward(1)
    bench.simulator.faults.add("partial_answer", path="/search/")
    ids, _ = bench.run(sweep, ignore_warnings="idx-2 because peer")
    assert len(ids) == 1


def test_a_search_that_the_server_finalized_early_is_partial(bench: Bench) -> None:
    bench.simulator.searches.finalizes = True
    with pytest.raises(UnavailableError, match="srchMaxTime"):
        bench.run(drain)


def test_a_search_that_never_ends_is_given_up_and_deleted(bench: Bench) -> None:
    bench.simulator.searches.stuck = True
    with pytest.raises(UnavailableError, match="did not finish within 300 s"):
        bench.run(drain)
    polls = [seen for seen in bench.simulator.seen if seen.method == "GET" and "/search/" in seen.path]
    assert 150 < len(polls) < 170
    assert bench.simulator.searches.jobs == {}


def test_an_exhausted_search_quota_is_retried_then_named(bench: Bench) -> None:
    bench.simulator.searches.quota = 0
    with pytest.raises(UnavailableError, match="maximum number of concurrent historical searches") as caught:
        bench.run(drain)
    assert caught.value.status == 503
    creates = [seen for seen in bench.simulator.seen if seen.method == "POST" and seen.path.endswith("/jobs/")]
    assert len(creates) == 4
    assert len([seconds for seconds in bench.slept if seconds > 0]) == 3


def test_jobs_are_deleted_even_when_a_sweep_is_left_early(bench: Bench) -> None:
    for number in range(5):
        bench.story(number)
    bench.clock.forward(1)

    async def early(connector: Connector) -> None:
        pages = connector.pull("notables", None, limit=1)
        await anext(pages)
        assert len(bench.simulator.searches.jobs) == 1
        await pages.aclose()  # type: ignore[attr-defined]  # the port promises only an iterator

    bench.run(early)
    assert bench.simulator.searches.jobs == {}


def test_a_job_that_is_gone_means_search_again(bench: Bench) -> None:
    for number in range(3):
        bench.story(number)
    bench.clock.forward(1)

    async def gone(connector: Connector) -> None:
        pages = connector.pull("notables", None, limit=1)
        await anext(pages)
        bench.simulator.searches.jobs.clear()
        with pytest.raises(UnavailableError, match="expired"):
            await anext(pages)

    bench.run(gone)


def test_the_sticky_cookie_of_a_search_head_is_kept_and_the_token_still_sent(bench: Bench) -> None:
    bench.simulator.searches.search_heads = 2
    wanted = [bench.story(number) for number in range(3)]
    bench.clock.forward(1)
    for _ in range(2):
        ids, _cursor = bench.run(sweep)
        assert sorted(ids) == sorted(wanted)


@pytest.mark.parametrize(("version", "root"), [("9.4.1", "/search/v2/jobs/"), ("9.0.1", "/search/jobs/")])
def test_the_job_paths_follow_the_servers_version(bench: Bench, version: str, root: str) -> None:
    bench.simulator.version = version
    bench.story(1)
    bench.clock.forward(1)
    ids, _ = bench.run(sweep)
    assert len(ids) == 1
    assert {root in seen.path for seen in bench.simulator.seen if "/search/" in seen.path} == {True}


def test_user_and_app_lead_the_paths_when_they_are_set(bench: Bench) -> None:
    bench.story(1)
    bench.clock.forward(1)
    ids, _ = bench.run(sweep, app="SplunkEnterpriseSecuritySuite", owner="nobody")
    assert len(ids) == 1
    assert any(
        seen.path.startswith("/servicesNS/nobody/SplunkEnterpriseSecuritySuite/search/")
        for seen in bench.simulator.seen
    )


def test_every_search_begins_as_the_api_demands(bench: Bench) -> None:
    with pytest.raises(ConfigError, match=r"must begin with 'search ' or '\|'"):
        bench.run(drain, search="index=notable")


def test_a_search_that_drops_the_index_time_is_refused(bench: Bench) -> None:
    bench.story(1)
    bench.clock.forward(1)
    with pytest.raises(ConfigError, match="no _indextime"):
        bench.run(drain, search="search `notable` | table event_id, rule_name")


def test_a_cursor_of_another_kind_is_named(bench: Bench) -> None:
    with pytest.raises(CursorExpiredError, match="restart from the start"):
        bench.run(lambda connector: drain(connector, {"page": 3}))


@pytest.mark.parametrize(
    "settings",
    [
        {"start": "yesterday"},
        {"ignore_warnings": "("},
        {"index": "*"},
        {"base_url": "https://splunk.example.com/en-GB"},
        {"base_url": "https://splunk.example.com:99999"},
    ],
)
def test_a_setting_that_cannot_work_is_refused_at_once(bench: Bench, settings: dict[str, str]) -> None:
    with pytest.raises(ConfigError, match=next(iter(settings))):
        Connector(bench.context(**{"base_url": "https://splunk.example.com:8089", **settings}))


# Errors


@pytest.mark.parametrize(
    ("fault", "options", "error"),
    [
        ("expired_token", {}, AuthError),
        ("missing_scope", {}, ScopeError),
        ("rate_limited", {"retry_after": 600}, RateLimitError),
        ("server_error", {"status": 500}, UnavailableError),
        ("redirect", {}, RejectedError),
        ("not_json", {}, ResponseError),
        ("truncated_body", {}, UnavailableError),
    ],
)
def test_what_any_server_can_do_wrong_becomes_the_right_error(
    bench: Bench, fault: Any, options: dict[str, Any], error: type[VendorError]
) -> None:
    bench.simulator.faults.add(fault, options=options)
    with pytest.raises(error) as caught:
        bench.run(drain)
    assert type(caught.value) is error


def test_a_wrong_token_stops_at_once(bench: Bench) -> None:
    with pytest.raises(AuthError, match="credentials were refused"):
        bench.run(drain, token=Secret.literal("another"))
    assert len(bench.simulator.seen) == 1


def test_a_missing_capability_is_named(bench: Bench) -> None:
    native_id = bench.story(1)
    bench.simulator.capabilities.discard("edit_notable_events")
    with pytest.raises(ScopeError, match="edit_notable_events"):
        bench.run(lambda connector: connector.write_back(command(native_id, status="closed")))


def test_no_error_shows_a_token_that_splunk_repeats(bench: Bench) -> None:
    token = bench.simulator.secret
    native_id = bench.story(1)
    bench.simulator.frozen.add(native_id)
    bench.simulator.refusal = f"token {token} may not do this"

    async def failing(connector: Connector) -> list[str]:
        said = [repr(connector)]

        async def note(call: Awaitable[Any]) -> None:
            with pytest.raises(VendorError) as caught:
                await call
            said.append("".join(traceback.format_exception(caught.value)))

        await note(connector.search(f"search `notable` | unknown{token}", limit=1))
        await note(connector.write_back(command(native_id, status="closed")))
        bench.simulator.faults.add("accepted_then_failed", path="/search/", options={"text": f"no peer for {token}"})
        await note(connector.search("search `notable`", limit=1))
        return said

    said = bench.run(failing)
    assert "unknown***" in said[1]
    assert "token *** may not do this" in said[2]
    assert "no peer for ***" in said[3]
    assert token not in "".join(said)


def test_no_log_line_shows_a_secret(bench: Bench, caplog: pytest.LogCaptureFixture, capsys: Any) -> None:
    caplog.set_level(logging.DEBUG)
    native_id = bench.story(1)

    async def work(connector: Connector) -> None:
        await drain(connector)
        await connector.write_back(command(native_id, status="closed"))
        await connector.check_health()
        for headers in ({"Authorization": f"Splunk {bench.simulator.hec_token}"}, {"Authorization": "Splunk x"}):
            with pytest.raises((AuthError, MappingError)):
                connector.receive("hec", headers, b"")

    bench.run(work)
    logged = caplog.text + "".join(capsys.readouterr())
    assert "vendor call" in logged
    assert bench.simulator.secret not in logged


def test_a_private_ca_must_be_named_and_then_works(bench: Bench, tmp_path: Path) -> None:
    bench.story(1)
    bench.clock.forward(1)
    with tls(bench.simulator, tmp_path) as base_url:

        async def over_tls(ca_file: str | None) -> list[Batch]:
            plain = bench.context(base_url)
            network = Network(ca_file=ca_file)
            context = Context("acme", "s", plain.settings, network, clock=bench.clock, sleep=bench.sleep)
            connector = Connector(context)
            try:
                return await drain(connector)
            finally:
                await connector.aclose()

        with pytest.raises(UnavailableError, match="ca_file"):
            asyncio.run(over_tls(None))
        assert asyncio.run(over_tls(str(tmp_path / "ca.pem")))[0].records


@contextmanager
def tls(app: Any, folder: Path) -> Iterator[str]:
    """Serves over TLS with a certificate of its own."""
    import ipaddress
    import socket
    import threading
    import time

    import uvicorn
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "splunk.example.com")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    (folder / "ca.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    pem, pkcs8 = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    (folder / "key.pem").write_bytes(key.private_bytes(pem, pkcs8, serialization.NoEncryption()))
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    config = uvicorn.Config(
        app,
        log_level="critical",
        lifespan="off",
        date_header=False,
        ssl_certfile=str(folder / "ca.pem"),
        ssl_keyfile=str(folder / "key.pem"),
        ssl_version=ssl.PROTOCOL_TLS_SERVER,
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.005)
    yield f"https://127.0.0.1:{listener.getsockname()[1]}"
    server.should_exit = True
    thread.join(timeout=5)
    listener.close()


# Reading one, searching


def test_one_notable_is_read_however_old_it_is(bench: Bench) -> None:
    native_id = bench.story(1, at=NOON - timedelta(days=400))
    record = bench.run(lambda connector: connector.read_one("notables", native_id))
    assert record.native_id == native_id
    assert record.product == "splunk_es"
    assert row(record)["rule_name"] == "Odd thing 1"


def test_a_notable_that_is_not_there_is_said_so(bench: Bench) -> None:
    with pytest.raises(NotFoundError, match="index was rebuilt"):
        bench.run(lambda connector: connector.read_one("notables", "AAAA@@notable@@00"))


@pytest.mark.parametrize("native_id", ["", "*", 'x" OR "1', "`notable`", "a | delete", "a)"])
def test_an_id_can_never_become_a_part_of_the_search(bench: Bench, native_id: str) -> None:
    with pytest.raises(RejectedError, match="is no event id"):
        bench.run(lambda connector: connector.read_one("notables", native_id))
    assert bench.simulator.seen == []


def test_a_search_gives_at_most_what_was_asked_for(bench: Bench) -> None:
    for number in range(30):
        bench.story(number)
    rows = bench.run(lambda connector: connector.search("search `notable` | sort 0 event_id", limit=12))
    assert len(rows) == 12
    assert bench.simulator.searches.jobs == {}


@pytest.mark.parametrize(
    "query",
    ["search index=notable | delete", "| makeresults | outputlookup x.csv", "search a [search b |  COLLECT index=c]"],
)
def test_a_search_that_could_change_something_is_refused(bench: Bench, query: str) -> None:
    with pytest.raises(RejectedError, match="only reads"):
        bench.run(lambda connector: connector.search(query, limit=1))
    assert bench.simulator.seen == []


def test_a_search_must_begin_with_search_or_a_pipe(bench: Bench) -> None:
    with pytest.raises(RejectedError, match="must begin with"):
        bench.run(lambda connector: connector.search("index=notable", limit=1))


def test_a_search_that_splunk_cannot_parse_is_rejected_in_its_words(bench: Bench) -> None:
    with pytest.raises(RejectedError, match="Unknown search command 'frobnicate'"):
        bench.run(lambda connector: connector.search("search `notable` | frobnicate", limit=1))


# Writing back


def test_a_closed_notable_reads_back_closed_and_is_restored_exactly(bench: Bench) -> None:
    native_id = bench.story(1)
    bench.simulator.review(native_id, status="3", disposition="disposition:4")
    bench.clock.forward(1)
    close = command(native_id, status="closed", disposition="benign-positive", comment="backup job")

    async def there_and_back(connector: Connector) -> None:
        before = await connector.read_back(close)
        assert before.effect is Effect.NOT_IN_EFFECT
        assert before.state["status"] == "open"
        receipt = await connector.write_back(close)
        assert receipt.changed
        assert receipt.losses == ()
        after = await connector.read_back(close)
        assert after.effect is Effect.IN_EFFECT
        assert (after.state["native_status"], after.state["native_disposition"]) == ("5", "disposition:2")
        assert bench.simulator.alert_state(native_id)["comments"] == ["backup job [nightdesk:key-1]"]
        undo = command(
            native_id, key="key-2", status="open", disposition=before.state["disposition"], pre_state=before.state
        )
        await connector.write_back(undo)
        restored = await connector.read_back(undo)
        assert restored.effect is Effect.IN_EFFECT
        assert (restored.state["native_status"], restored.state["native_disposition"]) == ("3", "disposition:4")

    bench.run(there_and_back)


def test_a_pre_state_alone_is_enough_to_restore_it(bench: Bench) -> None:
    native_id = bench.story(1)
    before = {"native_status": "2", "native_disposition": "disposition:0"}
    bench.simulator.review(native_id, status="5")
    bench.run(lambda connector: connector.write_back(command(native_id, pre_state=before)))
    assert bench.simulator.reviews[-1]["status"] == "2"


def test_a_repeated_command_is_carried_out_once(bench: Bench) -> None:
    native_id = bench.story(1)
    close = command(native_id, status="closed", comment="done")

    async def twice(connector: Connector) -> None:
        await connector.write_back(close)
        bench.simulator.review(native_id, status="1", comment="an analyst reopened it")
        again = await connector.write_back(close)
        assert again.evidence == {"repeated": True}

    bench.run(twice)
    assert bench.simulator.alert_state(native_id)["status"] == "open"
    assert len([seen for seen in bench.simulator.seen if seen.path == "/services/notable_update"]) == 1


def test_a_lost_reply_is_not_sent_again_and_reads_back_as_done(bench: Bench) -> None:
    native_id = bench.story(1)
    close = command(native_id, status="closed")
    bench.simulator.faults.add("lost_reply", path="notable_update", times=1)

    async def lost(connector: Connector) -> None:
        with pytest.raises(UnavailableError):
            await connector.write_back(close)
        assert (await connector.read_back(close)).effect is Effect.IN_EFFECT
        assert (await connector.write_back(close)).evidence == {"repeated": True}

    bench.run(lost)
    assert len(bench.simulator.reviews) == 1


def test_what_is_already_so_is_not_written(bench: Bench) -> None:
    native_id = bench.story(1)
    bench.simulator.review(native_id, status="5")
    receipt = bench.run(lambda connector: connector.write_back(command(native_id, status="closed", comment="x")))
    assert not receipt.changed
    assert receipt.losses == ("comment: not written, because nothing was changed",)
    assert len(bench.simulator.reviews) == 1


def test_a_comment_is_written_once_and_read_back(bench: Bench) -> None:
    native_id = bench.story(1)
    say = command(native_id, "alert.comment", comment="seen before")

    async def said(connector: Connector) -> None:
        assert (await connector.read_back(say)).effect is Effect.NOT_IN_EFFECT
        await connector.write_back(say)
        await connector.write_back(say)
        assert (await connector.read_back(say)).effect is Effect.IN_EFFECT

    bench.run(said)
    assert bench.simulator.alert_state(native_id) == {
        "status": "open",
        "disposition": "",
        "comments": ["seen before [nightdesk:key-1]"],
    }


def test_success_false_with_http_200_is_a_rejection_in_splunks_words(bench: Bench) -> None:
    native_id = bench.story(1)
    bench.simulator.refusal = "A disposition is required to close."
    with pytest.raises(RejectedError, match="A disposition is required to close"):
        bench.run(lambda connector: connector.write_back(command(native_id, status="closed")))
    assert bench.simulator.reviews == []


def test_success_true_with_a_failure_count_is_a_rejection(bench: Bench) -> None:
    native_id = bench.story(1)
    bench.simulator.frozen.add(native_id)
    with pytest.raises(RejectedError, match="0 updated, 1 failed"):
        bench.run(lambda connector: connector.write_back(command(native_id, status="closed")))


def test_success_for_something_that_was_not_changed_is_seen_by_the_read_back(bench: Bench) -> None:
    native_id = bench.story(1)
    close = command(native_id, status="closed")
    bench.simulator.faults.add("accepted_then_failed", path="notable_update")

    async def unchanged(connector: Connector) -> None:
        await connector.write_back(close)
        assert (await connector.read_back(close)).effect is Effect.NOT_IN_EFFECT

    bench.run(unchanged)


def test_an_id_that_splunk_would_accept_blindly_is_not_found(bench: Bench) -> None:
    with pytest.raises(NotFoundError):
        bench.run(lambda connector: connector.write_back(command("AAAA@@notable@@00", status="closed")))
    assert bench.simulator.reviews == []


def test_the_tenants_own_statuses_and_dispositions_are_used(bench: Bench) -> None:
    native_id = bench.story(1)
    bench.simulator.statuses["10"] = "Handed Over"
    bench.simulator.dispositions["disposition:9"] = "Red Team"
    wanted = command(native_id, status="handed over", disposition="Red Team")

    async def customised(connector: Connector) -> None:
        await connector.write_back(wanted)
        reading = await connector.read_back(wanted)
        assert reading.effect is Effect.IN_EFFECT
        assert reading.native_state == "10 disposition:9"
        for status in ("retired", "under investigation", "no such"):
            with pytest.raises(RejectedError, match="Handed Over"):
                await connector.write_back(command(native_id, status=status))

    bench.run(customised)


@pytest.mark.parametrize("verdict", ["likely-false-positive", "duplicate", "test"])
def test_a_verdict_that_splunk_lacks_is_written_as_the_nearest_and_declared(bench: Bench, verdict: str) -> None:
    native_id = bench.story(1)
    receipt = bench.run(
        lambda connector: connector.write_back(command(native_id, status="closed", disposition=verdict))
    )
    assert len(receipt.losses) == 1
    assert verdict in receipt.losses[0]


def test_a_version_without_dispositions_closes_and_declares_the_loss(bench: Bench) -> None:
    native_id = bench.story(1)
    bench.simulator.dispositions.clear()
    receipt = bench.run(
        lambda connector: connector.write_back(command(native_id, status="closed", disposition="false-positive"))
    )
    assert receipt.losses == ("disposition: this version of Enterprise Security has none",)
    assert bench.simulator.alert_state(native_id)["status"] == "closed"


def test_a_disposition_that_was_disabled_is_refused_before_anything_is_sent(bench: Bench) -> None:
    native_id = bench.story(1)
    del bench.simulator.dispositions["disposition:3"]
    with pytest.raises(RejectedError, match="no enabled disposition for false-positive"):
        bench.run(lambda connector: connector.write_back(command(native_id, disposition="false-positive")))
    assert bench.simulator.reviews == []


def test_a_tenant_without_a_closing_status_is_told_so(bench: Bench) -> None:
    native_id = bench.story(1)
    del bench.simulator.statuses["5"]
    with pytest.raises(RejectedError, match="no enabled status means closed; there are In Progress, New"):
        bench.run(lambda connector: connector.write_back(command(native_id, status="closed")))


def test_a_tenant_without_the_shipped_new_reopens_to_its_first_open_status(bench: Bench) -> None:
    native_id = bench.story(1)
    bench.simulator.review(native_id, status="5")
    del bench.simulator.statuses["1"]
    bench.run(lambda connector: connector.write_back(command(native_id, status="open")))
    assert bench.simulator.reviews[-1]["status"] == "0"


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        ("ValueError: Invalid owner value.", "ValueError: Invalid owner value."),
        ({"success": "1", "success_count": "1", "failure_count": "0"}, ""),
        ({"success": True, "message": "1 event updated successfully"}, ""),
        ({"success": True, "success_count": 0, "failure_count": 0}, "0 updated, 0 failed: no reason given"),
        ({"success": "false"}, "no reason given"),
    ],
)
def test_every_known_shape_of_an_update_answer_is_understood(answer: Any, why: str) -> None:
    assert refusal(answer) == why


def test_a_required_comment_is_there_even_when_none_was_given(bench: Bench) -> None:
    native_id = bench.story(1)
    bench.simulator.comment_required = True
    bench.run(lambda connector: connector.write_back(command(native_id, status="closed")))
    assert bench.simulator.alert_state(native_id)["status"] == "closed"


def test_other_verbs_and_streams_are_not_supported(bench: Bench) -> None:
    async def wrong(connector: Connector) -> None:
        for call in (
            connector.write_back(command("a", "host.isolate")),
            connector.read_back(command("a", "host.isolate")),
            connector.read_one("cases", "a"),
        ):
            with pytest.raises(UnsupportedError):
                await call
        with pytest.raises(UnsupportedError):
            await anext(connector.pull("cases", None, limit=1))
        with pytest.raises(UnsupportedError):
            connector.receive("cases", {}, b"")
        with pytest.raises(RejectedError, match="needs a status or a disposition"):
            await connector.write_back(command("a"))
        with pytest.raises(RejectedError, match="needs a comment"):
            await connector.write_back(command("a", "alert.comment"))

    bench.run(wrong)


# Health


def test_health_proves_token_capabilities_search_and_clock(bench: Bench) -> None:
    health = bench.run(lambda connector: connector.check_health())
    assert health.ok, health.problems
    assert health.version == "9.4.1"
    assert health.clock_skew == 0


def test_health_names_a_missing_capability_and_where_to_grant_it(bench: Bench) -> None:
    bench.simulator.capabilities = {"search"}
    health = bench.run(lambda connector: connector.check_health())
    assert not health.ok
    assert "edit_notable_events" in health.problems[0]
    assert "nightdesk_reader" in health.problems[0]


@pytest.mark.parametrize(
    ("fault", "text"),
    [("expired_token", "credentials were refused"), ("partial_answer", "incomplete"), ("not_json", "shape")],
)
def test_health_never_raises_for_what_the_vendor_does_wrong(bench: Bench, fault: Any, text: str) -> None:
    bench.simulator.faults.add(fault)
    health = bench.run(lambda connector: connector.check_health())
    assert not health.ok
    assert text in health.problems[0]


def test_health_names_an_answer_without_an_entry(bench: Bench) -> None:
    class Elsewhere(Simulator):
        def _whoami(self, *_: Any) -> JSONResponse:
            return JSONResponse({"entry": []})

    bench.simulator = Elsewhere(clock=bench.clock, secret=bench.simulator.secret)
    health = bench.run(lambda connector: connector.check_health())
    assert health.problems == ("splunk_es: check token: the answer holds no entry; check base_url",)


def test_health_of_a_token_that_may_not_search_does_not_search(bench: Bench) -> None:
    bench.simulator.capabilities = {"edit_notable_events"}
    health = bench.run(lambda connector: connector.check_health())
    assert [problem.split("capability ")[1].split(";")[0] for problem in health.problems] == ["search"]
    assert not any("/search/" in seen.path for seen in bench.simulator.seen)


def test_health_reports_clocks_that_differ_by_more_than_settle(bench: Bench) -> None:
    bench.simulator.faults.add("clock_skew", options={"seconds": 300})
    health = bench.run(lambda connector: connector.check_health(), settle=30)
    assert health.clock_skew == 300
    assert any("clocks differ by +300 s" in problem for problem in health.problems)


# The manifest


def test_the_manifest_declares_what_the_connector_does(bench: Bench) -> None:
    manifest = load_manifest(MANIFEST)
    connector = Connector(bench.context("https://splunk.example.com:8089"))
    for port in (Pulls, Receives, ReadsOne, WritesBack, ReadsBack, Searches, ChecksHealth):
        assert isinstance(connector, port)
    assert set(manifest.pulls) == {"notables"}
    assert set(manifest.receives) == {"hec"}
    assert {stream.product for stream in (*manifest.pulls.values(), *manifest.receives.values())} == {"splunk_es"}
    assert set(manifest.writes_back) == {"alert.set_disposition", "alert.comment"}
    assert manifest.acts == {}
    assert manifest.limits.requests_per_minute == REQUESTS_PER_MINUTE
    asyncio.run(connector.aclose())


def test_the_manifests_example_settings_build_a_connector() -> None:
    manifest = load_manifest(MANIFEST)
    examples = {name: one.example for name, one in manifest.settings.items() if one.example is not None}
    values = validate_settings(manifest, examples, file="example", key="splunk_es")
    Connector(Context("acme", "splunk-1", Settings(values)))


def test_several_values_are_a_list_and_one_is_not(bench: Bench) -> None:
    bench.story(1, device=StoryDevice("d-1", "WS-0042", ("192.0.2.10", "192.0.2.11")))
    bench.story(2, device=StoryDevice("d-2", "WS-0043", ("192.0.2.12",)))
    bench.clock.forward(1)
    records = bench.run(drain)[0].records
    assert sorted(str(row(record)["dest_ip"]) for record in records) == ["192.0.2.12", "['192.0.2.10', '192.0.2.11']"]
