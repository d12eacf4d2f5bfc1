import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.responses import HTMLResponse, JSONResponse, Response
from tests.goldens import ACME, normalizer

import nightdesk.connectors.stellar_cyber as package
from nightdesk.connectors.stellar_cyber import Connector
from nightdesk.connectors.stellar_cyber.simulator import Simulator
from nightdesk.sdk.context import Context, Network, Settings
from nightdesk.sdk.errors import (
    AuthError,
    ConfigError,
    CursorExpiredError,
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
from nightdesk.sdk.targets import Target
from nightdesk.sdk.testing import StoryAlert
from nightdesk.sdk.testing.fake_time import FakeTime
from nightdesk.sdk.testing.scripted import Scripted
from nightdesk.sdk.testing.subject import DEVICE

NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)
MANIFEST = load_manifest(Path(package.__file__).parent / "manifest.yaml")
URL = "https://example.stellarcyber.example.com"
CASES = "/connect/api/v1/cases"
TOKEN = "/connect/api/v1/access_token"


@dataclass
class Site:
    """One platform and the time of both ends; every call builds its own connector."""

    time: FakeTime
    simulator: Simulator
    settings: dict[str, Any] = field(default_factory=dict)
    instead: Any = None

    def connector(self) -> Connector:
        given = {**self.simulator.settings(URL), **self.settings}
        values = validate_settings(MANIFEST, given, file="nightdesk.yaml", key="connectors.stellar")
        network = Network(timeout=5, transport=httpx.ASGITransport(self.instead or self.simulator))
        return Connector(Context("acme", "stellar", Settings(values), network, self.time.clock, self.time.sleep))

    def pull(
        self, cursor: Cursor | None = None, limit: int = 500, between: Callable[[int], None] = lambda _: None
    ) -> list[Batch]:
        async def work() -> list[Batch]:
            connector = self.connector()
            batches = []
            try:
                async for batch in connector.pull("cases", cursor, limit=limit):
                    batches.append(batch)
                    between(len(batches))
            finally:
                await connector.aclose()
            return batches

        return asyncio.run(work())

    def do(self, name: str, *given: Any) -> Any:
        async def work() -> Any:
            connector = self.connector()
            try:
                return await getattr(connector, name)(*given)
            finally:
                await connector.aclose()

        return asyncio.run(work())

    def add(self, uid: str, *, ago: float = 60, **options: Any) -> str:
        when = self.time.now - timedelta(seconds=ago)
        return self.simulator.add(StoryAlert(uid, when, "Shadow copies deleted", "rule-1", "high", **options))

    def case(self, native_id: str) -> dict[str, Any]:
        return self.simulator.cases.cases[native_id]

    def sent(self, method: str) -> list[str]:
        return [one.path for one in self.simulator.seen if one.method == method and one.path != TOKEN]


@pytest.fixture
def site() -> Site:
    time = FakeTime(NOON)
    return Site(time, Simulator(clock=time.clock))


def answering(site: Site, *answers: Response) -> Site:
    """The same, where a token is given and then these answers."""
    token = JSONResponse({"access_token": "a.b.c", "exp": int(NOON.timestamp()) + 600, "token_type": "Bearer"})
    site.instead = Scripted(token, *answers)
    return site


def command(verb: str, native_id: str, pre_state: Any = None, **words: Any) -> Command:
    target = Target.parse(f"alert:{native_id}")
    return Command("acme", "a-1", verb, target, "key-1", NOON, native_id, parameters=words, pre_state=pre_state or {})


def close(native_id: str, pre_state: Any = None, **words: Any) -> Command:
    return command("alert.set_disposition", native_id, pre_state, **{"status": "closed", **words})


def names(batches: list[Batch]) -> list[str]:
    return [record.native_id for batch in batches for record in batch.records]


def keys(batches: list[Batch]) -> list[str]:
    return [record.key for batch in batches for record in batch.records]


# Pulling.


def test_a_case_comes_out_of_its_mapping_with_host_severity_and_times(site: Site) -> None:
    site.add("one", device=DEVICE, description="vssadmin ran")
    (record,) = site.pull()[0].records
    made = normalizer().normalize("stellar_cyber", record.payload, ACME)
    assert (made.loss.stream, made.loss.lost, made.loss.wrong) == ("cases", (), ())
    for part in ("WS-0042", "Shadow copies deleted", "vssadmin ran", "2026-11-01T11:59:00", record.native_id):
        assert part in made.bundle.decode(), part


def test_a_case_about_a_user_comes_out_with_the_account(site: Site) -> None:
    site.add("one", user="jdoe")
    made = normalizer().normalize("stellar_cyber", site.pull()[0].records[0].payload, ACME)
    assert '"jdoe"' in made.bundle.decode()


def test_cases_that_change_while_one_instant_is_paged_take_nobody_with_them(site: Site) -> None:
    wanted = {site.add(f"case-{number}") for number in range(7)}

    def change(page: int) -> None:
        if page == 1:  # the first of the page that was read: all others move up by one
            site.simulator.cases.touch(next(iter(site.simulator.cases.cases)), score=80.0)

    batches = site.pull(limit=2, between=change)
    assert set(names(batches)) == wanted
    assert len(keys(batches)) == len(set(keys(batches))) == 8
    assert max(len(batch.records) for batch in batches) == 2


def test_cases_of_one_instant_that_never_hold_still_are_left_to_the_next_poll(site: Site) -> None:
    one = {"_id": "a" * 24, "modified_at": int(NOON.timestamp() * 1000) - 86_400_000, "cust_id": "t"}
    pages = [JSONResponse({"data": {"cases": [{**one, "_id": f"{n:024x}"}], "total": 9}}) for n in range(40)]
    answering(site, *pages).settings["tenant_id"] = "t"
    with pytest.raises(UnavailableError, match="cases of one instant moved"):
        site.pull(limit=1)


def test_a_platform_that_gives_fewer_than_asked_for_is_read_to_its_total(site: Site) -> None:
    site.simulator.cases.cap = 3
    wanted = {site.add(f"case-{number}", ago=number // 5 + 60) for number in range(20)}
    assert set(names(site.pull())) == wanted


def test_pages_go_on_from_the_last_change_and_skip_nothing_between_instants(site: Site) -> None:
    wanted = [site.add(f"case-{number}", ago=90 - number) for number in range(5)]
    batches = site.pull(limit=2)
    late = site.add("late", ago=88)  # the instant of one that was read
    assert names(batches) == wanted
    assert names(site.pull(batches[-1].cursor, limit=2)) == [late]
    queries = [one.query for one in site.simulator.seen if one.path == CASES]
    assert all("FROM~modified_at=" in query and "order=asc" in query for query in queries)
    assert sum("skip=" in query for query in queries) <= 2  # among the two of one instant alone


def test_the_cursor_forgets_what_no_poll_meets_again(site: Site) -> None:
    for number in range(5):
        site.add(f"old-{number}", ago=3600)
    site.add("new")
    cursor = site.pull()[-1].cursor
    assert cursor is not None
    assert len(cursor["seen"]) == 1


def test_a_live_case_comes_once_a_poll_in_its_last_state(site: Site) -> None:
    native_id = site.add("one")
    cursor = site.pull()[-1].cursor
    for score in (76.0, 81.5, 88.0):
        site.time.advance(5)
        site.simulator.cases.touch(native_id, score=score, size=3)
    batches = site.pull(cursor)
    assert names(batches) == [native_id]
    assert json.loads(batches[0].records[0].payload)["score"] == 88.0
    assert names(site.pull(batches[-1].cursor)) == []


def test_another_tenants_cases_are_dropped_though_the_parameter_was_ignored(site: Site) -> None:
    site.simulator.cases.knows_tenants = False
    theirs = site.simulator.add_elsewhere(StoryAlert("theirs", NOON, "Odd", "rule-1", "low"))
    ours = site.add("ours")
    assert names(site.pull(limit=1)) == [ours]
    with pytest.raises(NotFoundError, match="another tenant"):
        site.do("read_one", "cases", theirs)
    with pytest.raises(NotFoundError, match="another tenant"):
        site.do("write_back", close(theirs))
    for verb in ("write_back", "read_back"):
        with pytest.raises(NotFoundError, match="another tenant"):
            site.do(verb, command("alert.comment", theirs, comment="x"))
    assert site.simulator.mutations() == []


def test_without_a_tenant_every_tenants_cases_are_read(site: Site) -> None:
    site.settings["tenant_id"] = ""
    theirs = site.simulator.add_elsewhere(StoryAlert("theirs", NOON, "Odd", "rule-1", "low"))
    ours = site.add("ours")
    assert set(names(site.pull())) == {theirs, ours}


def test_what_is_no_case_is_a_failure_beside_the_others_and_a_case_without_time_is_kept(site: Site) -> None:
    cases = [7, {"_id": "a1", "cust_id": "t"}, {"_id": "a2", "cust_id": "t", "modified_at": 1793534400000}]
    answering(site, JSONResponse({"data": {"cases": cases, "total": 3}})).settings["tenant_id"] = "t"
    (batch,) = site.pull()
    assert [record.native_id for record in batch.records] == ["a1", "a2"]
    assert [failure.payload for failure in batch.failures] == [b"7"]


def test_a_cursor_of_somebody_else_has_expired(site: Site) -> None:
    with pytest.raises(CursorExpiredError):
        site.pull({"offset": 3})


def test_one_case_is_word_for_word_what_the_platform_wrote(site: Site) -> None:
    written = '{ "score":91.80,"_id":"c1",  "modified_at":1710948331749.0 , "name":"é \\u00e9 }," }'
    body = f'{{"meta": [1, {{"data": 2}}], "data":  {written} , "more": null}}'
    answering(site, Response(body, media_type="application/json")).settings["tenant_id"] = ""
    record = site.do("read_one", "cases", "c1")
    assert record.payload == written.encode()
    assert record.key == "c1:1710948331749"


def test_another_case_than_was_asked_for_is_no_answer(site: Site) -> None:
    answering(site, JSONResponse({"data": {"_id": "c2"}})).settings["tenant_id"] = ""
    with pytest.raises(ResponseError, match="does not hold case c1"):
        site.do("read_one", "cases", "c1")


# Tokens and errors.


def test_a_token_is_used_until_a_minute_before_its_end(site: Site) -> None:
    async def work() -> list[int]:
        connector, counts = site.connector(), []
        for seconds in (0, 500, 60):
            site.time.advance(seconds)
            await connector.check_health()
            counts.append(sum(one.path == TOKEN for one in site.simulator.seen))
        await connector.aclose()
        return counts

    assert asyncio.run(work()) == [1, 1, 2]


def test_the_end_that_the_platform_names_counts_and_not_the_usual_one(site: Site) -> None:
    tokens = [JSONResponse({"access_token": f"a.b.{n}", "exp": int(NOON.timestamp()) + 130}) for n in range(2)]
    page = JSONResponse({"data": {"cases": [], "total": 0}})
    site.instead = Scripted(tokens[0], page, tokens[1], page)

    async def work() -> None:
        connector = site.connector()
        await connector.check_health()
        site.time.advance(71)
        await connector.check_health()
        await connector.aclose()

    asyncio.run(work())
    assert [one.url.path for one in site.instead.seen] == [TOKEN, CASES, TOKEN, CASES]


def test_a_token_that_is_refused_is_renewed_once(site: Site) -> None:
    async def work() -> bool:
        connector = site.connector()
        await connector.check_health()
        site.simulator._tokens.clear()
        health = await connector.check_health()
        await connector.aclose()
        return health.ok

    assert asyncio.run(work())
    assert sum(one.path == TOKEN for one in site.simulator.seen) == 2


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        ({"code": 401, "message": "token expired"}, AuthError),
        ({"code": 403, "message": "denied"}, ScopeError),
        ({"code": 404, "message": "gone"}, NotFoundError),
        ({"code": "E7", "message": "bad filter"}, RejectedError),
        ("bad filter", RejectedError),
    ],
)
def test_a_success_with_an_error_inside_is_that_error(site: Site, error: Any, kind: type[Exception]) -> None:
    answering(site, JSONResponse({"error": error}))
    with pytest.raises(kind) as caught:
        site.pull()
    assert type(caught.value) is kind


@pytest.mark.parametrize("status", [200, 400, 500])
def test_a_limit_is_known_by_its_words_and_means_a_minute(site: Site, status: int) -> None:
    answering(site, JSONResponse({"error": {"code": 1, "message": "Rate limit exceeded"}}, status))
    with pytest.raises(RateLimitError) as caught:
        site.pull()
    assert caught.value.retry_after == 60


def test_a_sign_in_page_says_where_to_look(site: Site) -> None:
    answering(site, HTMLResponse("<html>sign in</html>"))
    with pytest.raises(ResponseError, match="wrong base_url"):
        site.pull()


@pytest.mark.parametrize("data", [None, {}, {"incidents": []}, {"cases": {"a": 1}}, []])
def test_a_page_without_its_list_is_no_empty_page(site: Site, data: Any) -> None:
    answering(site, JSONResponse({"data": data}))
    with pytest.raises(ResponseError):
        site.pull()


def test_a_platform_without_cases_is_told_to_be_too_old(site: Site) -> None:
    answering(site, JSONResponse({"error": {"code": 404, "message": "no route"}}, 404))
    with pytest.raises(NotFoundError, match=r"release 4\.3\.7"):
        site.pull()


def test_the_missing_permission_is_named(site: Site) -> None:
    native_id = site.add("one")
    site.simulator.permissions = {"Cases: View"}
    with pytest.raises(ScopeError, match="'Cases: Edit'"):
        site.do("write_back", close(native_id))
    site.simulator.permissions = set()
    health = site.do("check_health")
    assert not health.ok
    assert "'Cases: View'" in health.problems[0]


def test_a_clock_that_is_off_is_a_problem(site: Site) -> None:
    site.simulator.faults.add("clock_skew", options={"seconds": 45})
    health = site.do("check_health")
    assert "45 s" in health.problems[0]
    assert round(health.clock_skew) == 45


@pytest.mark.parametrize(("name", "value"), [("page_size", 0), ("page_size", 500), ("start", "yesterday")])
def test_settings_out_of_bounds_are_refused(site: Site, name: str, value: Any) -> None:
    site.settings[name] = value
    with pytest.raises(ConfigError, match=name):
        site.connector()


def test_what_is_not_declared_is_refused(site: Site) -> None:
    native_id = site.add("one")
    for name, given in (("write_back", command("host.isolate", native_id)), ("read_back", command("x", native_id))):
        with pytest.raises(UnsupportedError):
            site.do(name, given)
    with pytest.raises(UnsupportedError, match="there is cases"):
        site.do("read_one", "alerts", native_id)
    with pytest.raises(RejectedError, match="no case is named"):
        site.do("read_one", "cases", " ")


# Writing back.


@pytest.mark.parametrize(
    ("word", "resolution", "lost"),
    [
        ("true-positive", "True Positive", False),
        ("likely-true-positive", "True Positive", True),
        ("benign-positive", "Benign", False),
        ("false-positive", "False Positive", False),
        ("test", "Benign", True),
        ("duplicate", None, True),
    ],
)
def test_a_closed_case_is_resolved_with_the_word_nearest_to_ours(
    site: Site, word: str, resolution: str | None, lost: bool
) -> None:
    native_id = site.add("one")
    wish = close(native_id, disposition=word)
    receipt = site.do("write_back", wish)
    assert (site.case(native_id)["status"], site.case(native_id).get("resolution")) == ("Resolved", resolution)
    assert any(word in loss for loss in receipt.losses) is lost
    assert site.do("read_back", wish).effect is Effect.IN_EFFECT


def test_the_same_again_is_not_written_and_changed_only_if_we_did_it(site: Site) -> None:
    native_id = site.add("one")
    wish = close(native_id, disposition="false-positive")
    before = site.do("read_back", wish)
    assert site.do("write_back", wish).changed
    assert not site.do("write_back", wish).changed
    assert site.do("write_back", close(native_id, before.state, disposition="false-positive")).changed
    assert len(site.sent("PUT")) == 1


def test_a_release_that_drops_the_resolution_is_found_out(site: Site) -> None:
    site.simulator.cases.keeps_resolutions = False
    native_id = site.add("one")
    wish = close(native_id, disposition="false-positive")
    receipt = site.do("write_back", wish)
    assert any("set resolutions: false" in loss for loss in receipt.losses)
    assert site.do("read_back", wish).effect is Effect.NOT_IN_EFFECT
    site.settings["resolutions"] = False
    again = site.do("write_back", wish)
    assert any("keeps none" in loss for loss in again.losses)
    assert site.do("read_back", wish).effect is Effect.IN_EFFECT


def test_an_open_case_takes_no_disposition(site: Site) -> None:
    native_id = site.add("one")
    with pytest.raises(RejectedError, match="close it with the disposition"):
        site.do("write_back", close(native_id, status=None, disposition="true-positive"))
    receipt = site.do("write_back", close(native_id, status="open", disposition="true-positive"))
    assert not receipt.changed
    assert any("true-positive" in loss for loss in receipt.losses)
    assert site.simulator.mutations() == []


def test_an_undo_gives_the_case_the_status_that_it_had(site: Site) -> None:
    native_id = site.add("one")
    site.simulator.cases.touch(native_id, by="ann", status="Escalated")
    wish = close(native_id, disposition="true-positive")
    before = site.do("read_back", wish)
    assert before.effect is Effect.NOT_IN_EFFECT
    site.do("write_back", wish)
    undo = close(native_id, before.state, status="open")
    site.do("write_back", undo)
    assert site.case(native_id)["status"] == "Escalated"
    reading = site.do("read_back", undo)
    assert (reading.effect, reading.native_state) == (Effect.IN_EFFECT, "Escalated")


def test_a_cancelled_case_counts_as_closed_and_becomes_resolved_for_a_resolution(site: Site) -> None:
    native_id = site.add("one")
    site.simulator.cases.touch(native_id, status="Cancelled")
    assert not site.do("write_back", close(native_id)).changed
    assert site.case(native_id)["status"] == "Cancelled"
    site.do("write_back", close(native_id, disposition="false-positive"))
    assert (site.case(native_id)["status"], site.case(native_id)["resolution"]) == ("Resolved", "False Positive")


def test_a_resolution_cannot_be_taken_away_and_that_is_said(site: Site) -> None:
    native_id = site.add("one")
    site.simulator.cases.touch(native_id, status="Resolved", resolution="Benign")
    receipt = site.do("write_back", close(native_id, disposition=""))
    assert receipt.losses == ("disposition: no call takes the resolution Benign away",)
    assert not receipt.changed


def test_a_comment_whose_answer_was_lost_is_not_written_twice(site: Site) -> None:
    native_id = site.add("one")
    wish = command("alert.comment", native_id, comment="looked at it")
    assert site.do("read_back", wish).effect is Effect.NOT_IN_EFFECT
    site.simulator.faults.add("lost_reply", method="POST", path="/comments$", times=1)
    with pytest.raises(UnavailableError):
        site.do("write_back", wish)
    assert site.do("write_back", wish).changed
    (said,) = site.simulator.alert_state(native_id)["comments"]
    assert said.startswith("looked at it [nightdesk ")
    assert site.do("read_back", wish).effect is Effect.IN_EFFECT


def test_a_disposition_is_not_in_effect_before_its_comment_is_there(site: Site) -> None:
    native_id = site.add("one")
    wish = close(native_id, disposition="benign-positive", comment="a test of ours")
    site.do("write_back", close(native_id, disposition="benign-positive"))
    assert site.do("read_back", wish).effect is Effect.NOT_IN_EFFECT
    assert site.do("write_back", wish).changed
    assert site.do("read_back", wish).effect is Effect.IN_EFFECT
    assert len(site.sent("PUT")) == len(site.sent("POST")) == 1
