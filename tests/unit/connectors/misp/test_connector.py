import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import httpx
import pytest
from starlette.responses import JSONResponse

import nightdesk.connectors.misp as package
from nightdesk.connectors.misp import Connector
from nightdesk.connectors.misp.simulator import Simulator
from nightdesk.connectors.misp.values import is_about
from nightdesk.sdk.context import Context, Network, Settings
from nightdesk.sdk.errors import (
    AuthError,
    CursorExpiredError,
    NightdeskError,
    NotFoundError,
    RejectedError,
    ResponseError,
    ScopeError,
    UnsupportedError,
    VendorError,
)
from nightdesk.sdk.manifest import load_manifest, validate_settings
from nightdesk.sdk.ports import Command, Effect, Opinion
from nightdesk.sdk.records import Batch, Cursor
from nightdesk.sdk.targets import Target
from nightdesk.sdk.testing import StoryAlert
from nightdesk.sdk.testing.fake_time import FakeTime
from nightdesk.sdk.testing.scripted import Scripted
from nightdesk.sdk.testing.subject import an_alert

T = TypeVar("T")
NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)
MANIFEST = load_manifest(Path(package.__file__).parent / "manifest.yaml")
BAD = "bad.example.com"


@dataclass
class Site:
    """One simulator, and the time of both ends."""

    time: FakeTime = field(default_factory=lambda: FakeTime(NOON))

    def __post_init__(self) -> None:
        self.simulator = Simulator(clock=self.time.clock)
        self.store = self.simulator.store
        self.app: Any = self.simulator
        self.settings: dict[str, Any] = {}

    def run(self, work: Callable[[Connector], Awaitable[T]]) -> T:
        async def once() -> T:
            given = {**self.simulator.settings("http://misp.example.com"), **self.settings}
            values = validate_settings(MANIFEST, given, file="nightdesk.yaml", key="connectors.misp")
            network = Network(timeout=5, transport=httpx.ASGITransport(self.app))
            connector = Connector(Context("acme", "misp", Settings(values), network, self.time.clock, self.time.sleep))
            try:
                return await work(connector)
            finally:
                await connector.aclose()

        return asyncio.run(once())

    def pull(self, cursor: Cursor | None = None, *, limit: int = 100) -> list[Batch]:
        async def all_of(connector: Connector) -> list[Batch]:
            return [batch async for batch in connector.pull("attributes", cursor, limit=limit)]

        return self.run(all_of)

    def alert(self, uid: str, *, ago: float = 30) -> StoryAlert:
        return an_alert(self.time, uid, seconds_ago=ago)

    def act(self, command: Command) -> Any:
        return self.run(lambda connector: connector.act(command))

    def effect(self, command: Command) -> Effect:
        return self.run(lambda connector: connector.read_back(command)).effect

    def enrich(self, target: str) -> list[Opinion]:
        return list(self.run(lambda connector: connector.enrich(Target.parse(target))))

    def error(self, work: Callable[[Connector], Awaitable[Any]]) -> NightdeskError:
        with pytest.raises(NightdeskError) as caught:
            self.run(work)
        return caught.value

    def changes(self) -> list[str]:
        return [seen.path.split("/")[2] for seen in self.simulator.mutations()]

    def ours(self) -> list[Any]:
        return [one for one in self.store.attributes if one.event is self.simulator.event]


@pytest.fixture
def site() -> Site:
    return Site()


def command(verb: str, about: str = f"domain:{BAD}", key: str = "key-1", **fields: Any) -> Command:
    target = Target.parse(f"indicator:{about}")
    return Command("acme", "action-1", f"indicator.{verb}", target, key, NOON, target.value, **fields)


def ids(batches: list[Batch]) -> list[str]:
    return [record.native_id for batch in batches for record in batch.records]


def reached(batches: list[Batch]) -> Cursor:
    found: Cursor = json.loads(json.dumps(batches[-1].cursor))
    return found


# Pulling


def test_an_event_that_is_published_later_brings_its_old_attributes(site: Site) -> None:
    old = site.simulator.share(site.alert("old", ago=86_400), published=False)
    site.simulator.share(site.alert("new"))
    first = site.pull()
    assert old.uuid not in ids(first)
    site.time.advance(3600)
    site.simulator.publish(old.event)
    assert ids(site.pull(reached(first))) == [old.uuid]


def test_both_sweeps_give_one_record_for_one_version(site: Site) -> None:
    shared = site.simulator.share(site.alert("one"))
    assert ids(site.pull()) == [shared.uuid]


def test_an_edit_comes_under_a_new_key_and_so_does_a_deletion(site: Site) -> None:
    shared = site.simulator.share(site.alert("one"))
    first = site.pull()
    shared.timestamp += 20
    second = site.pull(reached(first))
    shared.deleted = True  # in the same second
    third = site.pull(reached(second))
    assert ids(second) == ids(third) == [shared.uuid]
    keys = {record.key for batch in (*first, *second, *third) for record in batch.records}
    assert len(keys) == 3


def test_the_cursor_moves_only_when_a_sweep_is_complete(site: Site) -> None:
    wanted = {site.simulator.share(site.alert(f"{number}", ago=30 + number)).uuid for number in range(5)}
    batches = site.pull(limit=2)
    moved = [batch.cursor["newest"]["changed"] for batch in batches if batch.cursor]
    assert moved[:3] == [0, 0, 0]
    assert moved[-1] == (int(NOON.timestamp()) - 30) * 10**9
    for number in range(len(batches)):
        stored = set(ids(batches[: number + 1]))
        assert stored | set(ids(site.pull(reached(batches[: number + 1]), limit=2))) == wanted


def test_a_short_page_is_not_the_last_one(site: Site) -> None:
    for number in range(3):
        site.simulator.share(site.alert(f"{number}"))
    site.pull(limit=2)
    pages = sum(seen.path == "/attributes/restSearch" for seen in site.simulator.seen)
    assert pages == 6  # two full and an empty one, by each sweep


def test_the_attributes_own_time_is_asked_for_and_not_the_events(site: Site) -> None:
    shared = site.simulator.share(site.alert("one"))
    shared.event.timestamp = 1  # synchronised from an instance that keeps its own
    assert ids(site.pull()) == [shared.uuid]


def test_drafts_come_only_when_they_are_wanted(site: Site) -> None:
    draft = site.simulator.share(site.alert("draft"), published=False)
    assert ids(site.pull()) == []
    site.settings = {"unpublished": True}
    assert ids(site.pull()) == [draft.uuid]


def test_what_we_published_is_no_news_to_us(site: Site) -> None:
    site.act(command("publish"))
    site.simulator.publish(site.simulator.event)
    assert ids(site.pull()) == []


def test_one_attribute_without_its_list_and_one_that_is_none_are_read(site: Site) -> None:
    alone = {"uuid": "u-1", "timestamp": "1793534400", "event_id": "1", "value": "x"}
    answers = [
        JSONResponse({"response": {"Attribute": alone}}),
        JSONResponse({"response": {"Attribute": [7]}}),
        JSONResponse({"response": {"Attribute": []}}),
        JSONResponse({"response": []}),
    ]
    site.app = Scripted(*answers)
    batches = site.pull()
    assert ids(batches) == ["u-1"]
    assert [failure.payload for batch in batches for failure in batch.failures] == [b"7"]


def test_one_attribute_is_read_as_it_was_written_or_not_found(site: Site) -> None:
    body = b'{"Attribute":  {"uuid":"u-1", "timestamp":"5","value":"a: }b"} }\n'
    site.app = Scripted(httpx_response(body))
    record = site.run(lambda connector: connector.read_one("attributes", "u-1"))
    assert (record.payload, record.key) == (b'{"uuid":"u-1", "timestamp":"5","value":"a: }b"}', "u-1|5")
    site.app = site.simulator
    error = site.error(lambda connector: connector.read_one("attributes", "nothing"))
    assert isinstance(error, NotFoundError)


def httpx_response(body: bytes) -> JSONResponse:
    made = JSONResponse(None)
    made.body = body
    made.headers["content-length"] = str(len(body))
    return made


def test_a_cursor_or_an_answer_that_is_not_ours_is_said_so(site: Site) -> None:
    error = site.error(lambda connector: anext(connector.pull("attributes", {"page": 3}, limit=5)))
    assert isinstance(error, CursorExpiredError)
    site.app = Scripted(JSONResponse({"response": {"Attribute": "none"}}))
    error = site.error(lambda connector: anext(connector.pull("attributes", None, limit=5)))
    assert isinstance(error, ResponseError)


def test_a_wrong_key_is_a_403_and_no_missing_permission(site: Site) -> None:
    site.simulator.secret = "another"
    settings = site.simulator.settings("http://misp.example.com")
    site.simulator.secret = "renewed"
    site.settings = {"auth_key": settings["auth_key"]}
    error = site.error(lambda connector: connector.read_one("attributes", "x"))
    assert isinstance(error, AuthError)
    assert len(site.simulator.seen) == 1


# Publishing


def test_published_is_an_attribute_for_detection_that_says_whose_it_is(site: Site) -> None:
    wish = command("publish", parameters={"name": "Beacon", "description": "seen here", "confidence": 80})
    receipt = site.act(wish)
    (made,) = site.ours()
    assert (made.type, made.category, made.value, made.to_ids) == ("domain", "Network activity", BAD, True)
    assert made.comment.startswith("Beacon: seen here [nightdesk ")
    assert "confidence" in receipt.losses[0]
    assert site.effect(wish) is Effect.IN_EFFECT


@pytest.mark.parametrize("given", [{"tlp": "red"}, {"valid_until": "2026-12-01T00:00:00Z"}])
def test_what_would_be_shared_wider_or_longer_than_allowed_is_refused(site: Site, given: Mapping[str, Any]) -> None:
    error = site.error(lambda connector: connector.act(command("publish", parameters=given)))
    assert isinstance(error, UnsupportedError)
    assert site.ours() == []


def test_a_repeat_adds_nothing(site: Site) -> None:
    site.act(command("publish"))
    assert site.act(command("publish")).changed is False
    assert site.act(command("publish", pre_state={"published": False})).changed is True
    assert site.changes() == ["add"]


def test_an_answer_that_was_lost_leads_to_no_duplicate(site: Site) -> None:
    site.simulator.faults.add("lost_reply", path="/add/", times=1)
    assert isinstance(site.error(lambda connector: connector.act(command("publish"))), VendorError)
    site.act(command("publish"))
    assert len(site.ours()) == 1


def test_withdrawn_is_deleted_softly_and_comes_back_by_being_restored(site: Site) -> None:
    site.act(command("publish"))
    site.act(command("withdraw", key="key-2"))
    (made,) = site.ours()
    assert made.deleted
    assert site.effect(command("withdraw")) is Effect.IN_EFFECT
    assert site.effect(command("publish")) is Effect.NOT_IN_EFFECT
    site.act(command("publish", key="key-3"))
    assert (len(site.ours()), made.deleted) == (1, False)
    assert site.changes() == ["add", "delete", "restore"]


def test_one_that_no_longer_serves_detection_is_made_to_again(site: Site) -> None:
    site.act(command("publish"))
    site.ours()[0].to_ids = False
    assert site.effect(command("publish")) is Effect.NOT_IN_EFFECT
    site.act(command("publish", key="key-2"))
    assert site.ours()[0].to_ids
    assert site.changes() == ["add", "edit"]


def test_what_somebody_else_put_into_our_event_counts_and_stays(site: Site) -> None:
    site.store.attach(site.simulator.event, "domain", "Network activity", BAD, comment="by hand")
    assert site.act(command("publish")).changed is False
    error = site.error(lambda connector: connector.act(command("withdraw")))
    assert isinstance(error, RejectedError)
    assert site.changes() == []


def test_a_proposal_is_not_taken_for_an_attribute(site: Site) -> None:
    site.simulator.event.org = "2"
    error = site.error(lambda connector: connector.act(command("publish")))
    assert isinstance(error, ScopeError)
    assert "proposal" in str(error)
    assert len(site.simulator.proposals) == 1


def test_a_validation_error_is_a_403_and_no_missing_permission(site: Site) -> None:
    site.app = Scripted(
        JSONResponse({"response": {"Attribute": []}}), JSONResponse({"message": "Could not add Attribute"}, 403)
    )
    error = site.error(lambda connector: connector.act(command("publish")))
    assert isinstance(error, RejectedError)


def test_without_an_event_nothing_is_published(site: Site) -> None:
    site.settings = {"event": None}
    error = site.error(lambda connector: connector.act(command("publish")))
    assert isinstance(error, UnsupportedError)
    assert "event" in str(error)


# Opinions


def test_a_warninglist_comes_before_any_attribute(site: Site) -> None:
    target = Target.parse(f"domain:{BAD}")
    site.simulator.judge(target, "malicious")
    site.simulator.judge(target, "benign")
    (opinion,) = site.enrich(target.key)
    assert (opinion.verdict, opinion.labels) == ("benign", ("List of things that are well known",))


@pytest.mark.parametrize(
    ("to_ids", "decayed", "verdict"),
    [(True, None, "malicious"), (True, False, "malicious"), (True, True, "unknown"), (False, None, "suspicious")],
)
def test_only_what_is_for_detection_and_not_past_its_time_is_malicious(
    site: Site, to_ids: bool, decayed: bool | None, verdict: str
) -> None:
    event = site.store.event("E", "2")
    site.store.attach(event, "domain", "Network activity", BAD, to_ids=to_ids, decayed=decayed, tags=["tlp:red", "apt"])
    (opinion,) = site.enrich(f"domain:{BAD}")
    assert (opinion.verdict, opinion.labels, opinion.evidence["tlp"]) == (verdict, ("apt",), ["tlp:red"])
    assert opinion.link == f"http://misp.example.com/events/view/{event.number}"


def test_a_percent_sign_in_a_url_is_no_wildcard(site: Site) -> None:
    event = site.store.event("E", "2")
    site.store.attach(event, "url", "Network activity", "https://bad.example.com/aXXb")
    assert site.enrich("url:https://bad.example.com/a%b") == []


def test_a_part_of_a_composite_is_the_thing_itself() -> None:
    assert is_about({"type": "ip-dst|port", "value": "203.0.113.7|443"}, "203.0.113.7")
    assert is_about({"type": "filename|sha256", "value": f"a.exe|{'AB' * 32}"}, "ab" * 32)
    assert not is_about({"type": "url", "value": "https://x.example.com/a|203.0.113.7"}, "203.0.113.7")


def test_our_own_indicator_is_no_second_voice(site: Site) -> None:
    site.act(command("publish"))
    assert site.enrich(f"domain:{BAD}") == []
    assert isinstance(site.error(lambda connector: connector.enrich(Target.parse("host:ws-1"))), UnsupportedError)


def test_health_asks_for_what_a_key_without_api_access_lacks(site: Site) -> None:
    health = site.run(lambda connector: connector.check_health())
    assert (health.ok, health.version) == (True, "2.5.34")
    site.simulator.faults.add("missing_scope", path="restSearch")
    assert not site.run(lambda connector: connector.check_health()).ok
