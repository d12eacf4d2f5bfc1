import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import parse_qs

import httpx
import pytest

import nightdesk.connectors.google_secops as package
from nightdesk.connectors.google_secops import Connector
from nightdesk.connectors.google_secops.simulator import COLUMNS, TABLE, Simulator
from nightdesk.sdk import errors
from nightdesk.sdk.context import Context, Network, Settings
from nightdesk.sdk.manifest import load_manifest, validate_settings
from nightdesk.sdk.ports import Command, Effect
from nightdesk.sdk.records import Batch, Cursor
from nightdesk.sdk.targets import Target
from nightdesk.sdk.testing import StoryAlert
from nightdesk.sdk.testing.fake_time import FakeTime

T = TypeVar("T")
NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)
MANIFEST = load_manifest(Path(package.__file__).parent / "manifest.yaml")
OURS, CURATED = "nightdesk:acme", "ur_00000000-0000-4000-8000-000000000002"
SEARCH, UPDATE = "legacySearchDetections", "legacyUpdateAlert"
HARMLESS = {"status": "CLOSED", "verdict": "FALSE_POSITIVE", "reason": "REASON_NOT_MALICIOUS"}


@dataclass
class Site:
    """One simulator reached without a socket, and the time of both ends; every call builds its own connector."""

    simulator: Simulator
    time: FakeTime
    settings: dict[str, Any] = field(default_factory=dict)

    def run(self, work: Callable[[Connector], Awaitable[T]], transport: httpx.AsyncBaseTransport | None = None) -> T:
        async def once() -> T:
            given = {**self.simulator.settings("https://us-chronicle.googleapis.com"), **self.settings}
            values = validate_settings(MANIFEST, given, file="nightdesk.yaml", key="connectors.secops")
            network = Network(timeout=5, transport=transport or httpx.ASGITransport(self.simulator))
            connector = Connector(
                Context("acme", "secops", Settings(values), network, self.time.clock, self.time.sleep)
            )
            try:
                return await work(connector)
            finally:
                await connector.aclose()

        return asyncio.run(once())

    def pull(
        self,
        cursor: Cursor | None = None,
        *,
        limit: int = 100,
        pages: int = 10_000,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> list[Batch]:
        async def drained(connector: Connector) -> list[Batch]:
            batches: list[Batch] = []
            async for batch in connector.pull("detections", cursor, limit=limit):
                batches.append(batch)
                if len(batches) == pages:
                    break
            return batches

        return self.run(drained, transport)

    def add(self, uid: str, *, after: float = 0, **options: Any) -> str:
        told = NOON + timedelta(seconds=after)
        return self.simulator.add(StoryAlert(uid, told, f"Odd process {uid}", "rule-1", "high"), **options)

    def do(self, command: Command) -> Any:
        verb = command.verb.partition(".")[0]
        return self.run(lambda made: made.write_back(command) if verb == "alert" else made.act(command))

    def read(self, command: Command) -> Any:
        return self.run(lambda connector: connector.read_back(command))

    def feedback(self, native_id: str) -> dict[str, Any]:
        summary = self.simulator.collections[native_id].get("feedbackSummary", {})
        return {name: value for name, value in summary.items() if name not in {"idpUserId", "createTime"}}

    def asked(self, path: str) -> list[dict[str, str]]:
        queries = [parse_qs(seen.query) for seen in self.simulator.seen if seen.path.endswith(path)]
        return [{name: values[0] for name, values in query.items()} for query in queries]

    def rows(self) -> list[list[str]]:
        return [row["values"] for row in self.simulator.tables.rows[TABLE].values()]


@pytest.fixture
def site() -> Site:
    time = FakeTime(NOON)
    return Site(Simulator(clock=time.clock), time)


def triage(
    native_id: str, verb: str = "set_disposition", key: str = "k1", pre_state: Any = None, **said: Any
) -> Command:
    target, before = Target.parse(f"alert:{native_id}"), dict(pre_state or {})
    return Command("acme", "a1", f"alert.{verb}", target, key, NOON, native_id, parameters=said, pre_state=before)


def close(native_id: str, **said: Any) -> Command:
    return triage(native_id, status="closed", disposition="false-positive", **said)


def indicate(verb: str, value: str = "domain:bad.example.com", pre_state: Any = None, **said: Any) -> Command:
    target, before = Target.parse(f"indicator:{value}"), dict(pre_state or {})
    return Command("acme", "a2", f"indicator.{verb}", target, "k2", NOON, parameters=said, pre_state=before)


def natives(batches: list[Batch]) -> list[str]:
    return [record.native_id for batch in batches for record in batch.records]


def test_the_newest_come_first_so_an_interrupted_window_is_read_again_for_its_older_half(site: Site) -> None:
    names = [site.add(f"a{hours}", after=3600 * hours) for hours in range(0, 18, 3)]
    site.time.advance(16 * 3600)
    (first,) = site.pull(limit=2, pages=1)
    assert natives([first]) == [names[5], names[4]]
    assert first.more
    assert sorted(natives(site.pull(first.cursor, limit=2))) == sorted(names[:4])


def test_a_long_time_is_read_in_windows_of_a_day_and_each_drained_one_is_kept(site: Site) -> None:
    names = [site.add(f"day{day}", after=-86_400 * day - 100) for day in range(5, 0, -1)]
    site.settings["start"] = "2026-10-26T12:00:00Z"
    batches = site.pull()
    assert natives(batches) == names
    asked = site.asked(SEARCH)
    assert asked[0]["startTime"] == "2026-10-26T12:00:00.000000000Z"
    assert asked[0]["endTime"] == "2026-10-27T12:00:00.000000000Z"
    assert "endTime" not in asked[-1]
    assert {one["ruleId"] + one["listBasis"] + one["alertState"] for one in asked} == {"-CREATED_TIMEALERTING"}
    second = next(batch for batch in batches if natives([batch]) == [names[1]])
    assert natives(site.pull(second.cursor)) == names[2:]


def test_a_quiet_instance_is_not_asked_for_ever_from_its_first_day(site: Site) -> None:
    cursor = site.pull()[-1].cursor
    site.time.advance(10 * 86_400)
    cursor = site.pull(cursor)[-1].cursor
    site.simulator.seen.clear()
    site.pull(cursor)
    (asked,) = site.asked(SEARCH)
    assert asked["startTime"] >= "2026-11-09T00:00:00Z"


def test_a_page_cut_for_its_size_is_asked_for_again_with_fewer_and_one_that_never_fits_is_kept(site: Site) -> None:
    names = {site.add(f"a{number}", after=number) for number in range(9)}
    site.time.advance(60)
    site.simulator.faults.add("partial_answer", options={"fits": 2})
    batches = site.pull(limit=8)
    assert set(natives(batches)) == names
    assert [one["pageSize"] for one in site.asked(SEARCH)][:3] == ["8", "4", "2"]
    site.simulator.faults.clear()
    site.simulator.faults.add("partial_answer", options={"fits": 0})
    assert sum(len(batch.failures) for batch in site.pull(limit=4)) == len(names)


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b'{"error": {"code": 503, "status": "UNAVAILABLE"}}', errors.UnavailableError),
        (b'[{"error": {"code": 403, "status": "PERMISSION_DENIED"}}]', errors.ScopeError),
        (b'{"error": {"code": 400, "status": "INVALID_ARGUMENT"}}', errors.RejectedError),
        (b'{"nope": true}', errors.ResponseError),
        (b'{"detections": {"id": "de_1"}}', errors.ResponseError),
        (b"{}", None),
    ],
)
def test_of_the_successes_without_detections_only_an_empty_object_is_a_quiet_window(
    site: Site, body: bytes, kind: type[Exception] | None
) -> None:
    async def answer(request: httpx.Request) -> httpx.Response:
        token = b'{"access_token": "t", "expires_in": 3600}'
        return httpx.Response(200, content=token if request.url.path == "/token" else body)

    if kind is None:
        assert natives(site.pull(transport=httpx.MockTransport(answer))) == []
    else:
        with pytest.raises(kind):
            site.pull(transport=httpx.MockTransport(answer))


def test_a_page_token_that_is_refused_expires_the_cursor_and_the_next_poll_has_the_rest(site: Site) -> None:
    names = {site.add(f"a{number}", after=number) for number in range(5)}
    site.time.advance(60)
    (first,) = site.pull(limit=2, pages=1)
    site.simulator.forget_pages()
    with pytest.raises(errors.CursorExpiredError, match="restart"):
        site.pull(first.cursor, limit=2)
    assert {*natives([first]), *natives(site.pull(first.cursor))} == names


def test_rules_of_google_are_asked_one_by_one_and_only_those_that_are_named(site: Site) -> None:
    named, own = site.add("named", curated=CURATED), site.add("own", after=1)
    site.add("other", curated=f"{CURATED[:-1]}9")
    site.time.advance(5)
    assert natives(site.pull()) == [own]
    site.settings["curated_rules"] = CURATED
    assert natives(site.pull()) == [own, named]
    assert [one["ruleId"] for one in site.asked("legacySearchCuratedDetections")] == [CURATED]
    site.simulator.permissions.discard("chronicle.legacies.legacySearchCuratedDetections")
    with pytest.raises(errors.ScopeError, match=r"SearchCuratedDetections on the project to nightdesk-\w+@soc-project"):
        site.pull()


def test_a_record_is_the_detection_as_it_was_written_in_a_page_and_alone_alerting_or_not(site: Site) -> None:
    native_id = site.add("one")
    collection = site.simulator.collections[native_id]
    collection["detection"][0]["alertState"] = "NOT_ALERTING"
    assert natives(site.pull()) == []
    site.settings["alerting_only"] = False
    (record,) = site.pull()[0].records
    assert record.payload == json.dumps(collection, separators=(",", ":"), ensure_ascii=False).encode()
    assert site.run(lambda connector: connector.read_one("detections", native_id)) == record


def test_closing_says_status_verdict_reason_and_comment_at_once_and_only_once(site: Site) -> None:
    native_id = site.add("one")
    site.simulator.triage(native_id, comment="asked the owner")
    wish = close(native_id, comment="benign tool")
    assert site.do(wish).changed
    said = site.feedback(native_id)
    assert said.pop("comment").startswith("asked the owner\n\nbenign tool [nightdesk ")
    assert said == HARMLESS
    assert site.read(wish).native_state == "CLOSED FALSE_POSITIVE REASON_NOT_MALICIOUS"
    site.simulator.triage(native_id, comment="replaced by somebody")
    assert site.do(wish).changed
    assert site.read(wish).effect is Effect.IN_EFFECT
    assert len(site.asked(UPDATE)) == 1


def test_an_alert_that_was_so_before_is_unchanged_and_one_that_an_earlier_try_made_so_is_not(site: Site) -> None:
    native_id = site.add("one")
    site.simulator.triage(native_id, status="CLOSED", verdict="FALSE_POSITIVE")
    assert site.do(close(native_id)).changed is False
    assert site.do(triage(native_id, status="closed", pre_state={"status": "open"})).changed is True
    assert site.asked(UPDATE) == []


@pytest.mark.parametrize(
    "before",
    [
        {},
        {"status": "REVIEWED", "verdict": "TRUE_POSITIVE"},
        {"status": "OPEN", "verdict": "TRUE_POSITIVE", "reason": "REASON_MAINTENANCE", "priority": "PRIORITY_HIGH"},
    ],
)
def test_an_undo_gives_back_status_verdict_and_reason_as_they_were(site: Site, before: dict[str, str]) -> None:
    native_id = site.add("one")
    if before:
        site.simulator.triage(native_id, **before)
    state = site.read(close(native_id)).state
    site.do(close(native_id))
    again = {name: state[name] for name in ("status", "disposition") if state[name]}
    undo = triage(native_id, key="undo", pre_state=state, **again)
    site.do(undo)
    assert site.feedback(native_id) == (before or {"status": "NEW"})
    assert site.read(undo).effect is Effect.IN_EFFECT


@pytest.mark.parametrize(
    ("word", "verdict", "reason", "lost"),
    [
        ("true-positive", "TRUE_POSITIVE", "REASON_MALICIOUS", False),
        ("likely-true-positive", "TRUE_POSITIVE", "REASON_MALICIOUS", True),
        ("benign-positive", "TRUE_POSITIVE", "REASON_NOT_MALICIOUS", False),
        ("test", "TRUE_POSITIVE", "REASON_MAINTENANCE", True),
        ("undetermined", None, None, True),
        ("", None, None, False),
    ],
)
def test_each_of_our_words_is_a_verdict_with_a_reason_or_a_named_loss(
    site: Site, word: str, verdict: str | None, reason: str | None, lost: bool
) -> None:
    native_id = site.add("one")
    site.simulator.triage(native_id, verdict="FALSE_POSITIVE", reason="REASON_MALICIOUS")
    wish = triage(native_id, disposition=word)
    assert bool(site.do(wish).losses) is lost
    said = site.feedback(native_id)
    assert (said.get("verdict"), said.get("reason")) == (verdict, reason)
    assert site.read(wish).effect is Effect.IN_EFFECT


def test_an_answer_with_the_new_feedback_is_no_proof_and_a_lost_one_is_not_sent_twice(site: Site) -> None:
    native_id = site.add("one")
    site.simulator.faults.add("accepted_then_failed")
    site.do(close(native_id))
    assert site.read(close(native_id)).effect is Effect.NOT_IN_EFFECT
    site.simulator.faults.clear()
    site.simulator.faults.add("lost_reply", path=UPDATE, times=1)
    note = triage(native_id, "comment", comment="seen")
    with pytest.raises(errors.UnavailableError):
        site.do(note)
    assert site.do(note).changed
    assert len(site.simulator.alert_state(native_id)["comments"]) == 1


def test_an_indicator_is_one_row_of_ours_that_is_taken_out_again(site: Site) -> None:
    said: dict[str, Any] = {
        "name": "beacon",
        "confidence": 80,
        "tlp": "TLP:AMBER",
        "valid_until": "2027-01-01T00:00:00Z",
    }
    wish, back = indicate("publish", **said), indicate("withdraw")
    strangers = [["bad.example.com", "domain", "intel", *[""] * 5], ["x.BAD.example.com", "domain", OURS, *[""] * 5]]
    for row in strangers * 501:
        site.simulator.tables.put(TABLE, row)
    assert [loss.partition(":")[0] for loss in site.do(wish).losses] == ["valid_until"]
    made = dict(zip(COLUMNS, site.rows()[-1], strict=True))
    assert made.pop("description").startswith("[nightdesk ")
    told = {"value": "bad.example.com", "type": "domain", "source": OURS, "name": "beacon"}
    assert made == {**told, "confidence": "80", "tlp": "amber", "valid_until": "2027-01-01T00:00:00Z"}
    again = site.do(wish)
    assert (again.changed, len(again.losses)) == (False, len(said))
    assert site.do(indicate("publish", pre_state={"published": False})).changed is True
    assert site.do(back).changed
    assert site.read(back).effect is Effect.IN_EFFECT
    assert site.rows() == strangers * 501
    assert site.do(back).changed is False


def test_columns_are_filled_by_name_and_what_has_none_is_a_loss(site: Site) -> None:
    site.simulator.tables.make("short", {"source": "STRING", "value": "STRING"})
    site.settings["indicator_table"] = "short"
    receipt = site.do(indicate("publish", "address:203.0.113.7", tlp="red"))
    assert [row["values"] for row in site.simulator.tables.rows["short"].values()] == [[OURS, "203.0.113.7"]]
    assert receipt.losses == ("tlp: the table short has no such column",)


@pytest.mark.parametrize(
    ("table", "wish", "kind", "text"),
    [
        (TABLE, indicate("publish", confidence=101), errors.RejectedError, "0 to 100"),
        (TABLE, indicate("publish", tlp="pink"), errors.RejectedError, "amber"),
        (TABLE, indicate("publish", valid_until="soon"), errors.RejectedError, "2026-11-01T00:00:00Z"),
        (TABLE, indicate("publish", "address:203.0.113.0/24"), errors.UnsupportedError, "single addresses"),
        (TABLE, indicate("withdraw", name="x"), errors.UnsupportedError, "name"),
        ("", indicate("publish"), errors.RejectedError, "set indicator_table"),
        ("gone", indicate("publish"), errors.NotFoundError, "README.md"),
        ("bare", indicate("publish"), errors.RejectedError, "no column source"),
    ],
)
def test_what_cannot_be_published_is_refused(
    site: Site, table: str, wish: Command, kind: type[Exception], text: str
) -> None:
    site.simulator.tables.make("bare", {"value": "STRING"})
    site.settings["indicator_table"] = table
    with pytest.raises(kind, match=text):
        site.do(wish)
    assert not site.simulator.mutations()
    assert site.run(lambda connector: connector.check_health()).ok is (table in {TABLE, ""})


def test_a_search_brings_events_or_says_that_some_are_missing(site: Site) -> None:
    for number in range(3):
        site.add(f"a{number}", after=-number)
    site.add("old", after=-90_000)
    query = 'metadata.event_type = "GENERIC_EVENT"'
    assert len(site.run(lambda connector: connector.search(query, limit=10))) == 3
    assert len(site.run(lambda connector: connector.search(query, limit=2))) == 2
    with pytest.raises(errors.RejectedError, match="does not compile"):
        site.run(lambda connector: connector.search("no query", limit=2))
    site.simulator.faults.add("partial_answer", options={"fits": 1})
    with pytest.raises(errors.ResponseError, match="only 1 of the events"):
        site.run(lambda connector: connector.search(query, limit=10))


def test_the_region_is_in_the_address_and_the_location_in_the_name(site: Site) -> None:
    asked: list[httpx.URL] = []

    async def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request.url)
        return httpx.Response(200, json={"access_token": "t", "expires_in": 3600})

    site.settings = {"base_url": None, "region": "eu", "location": "europe", "search_version": "v1beta"}
    site.run(lambda connector: connector.search("x", limit=1), httpx.MockTransport(answer))
    name = f"projects/soc-project/locations/europe/instances/{site.simulator.customer_id}"
    assert str(asked[-1]).partition("?")[0] == f"https://eu-chronicle.googleapis.com/v1beta/{name}:udmSearch"


def test_settings_that_cannot_be_are_named(site: Site) -> None:
    wrong = {"region": "us/../x", "location": "US", "project_id": "a/b", "customer_id": "acme", "curated_rules": "-"}
    for name, value in {**wrong, "indicator_table": "a-b", "overlap_minutes": 9, "page_size": 1001}.items():
        site.settings = {name: value}
        with pytest.raises(errors.ConfigError, match=name):
            site.pull()
