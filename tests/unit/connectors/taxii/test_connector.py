import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import httpx
import pytest
import stix2
from starlette.responses import Response

import nightdesk.connectors.taxii as package
from nightdesk.connectors.taxii import Connector
from nightdesk.connectors.taxii.patterns import pattern_of
from nightdesk.connectors.taxii.simulator import Simulator
from nightdesk.sdk.context import Context, Network, Settings
from nightdesk.sdk.errors import (
    AuthError,
    CursorExpiredError,
    NightdeskError,
    NotFoundError,
    RejectedError,
    ResponseError,
    UnsupportedError,
    VendorError,
)
from nightdesk.sdk.manifest import load_manifest, validate_settings
from nightdesk.sdk.ports import Command, Effect
from nightdesk.sdk.records import Batch, Cursor
from nightdesk.sdk.targets import Target
from nightdesk.sdk.testing.fake_time import FakeTime
from nightdesk.sdk.testing.scripted import Scripted
from nightdesk.sdk.testing.subject import an_alert

T = TypeVar("T")
NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)
MANIFEST = load_manifest(Path(package.__file__).parent / "manifest.yaml")
END = "2026-12-01T00:00:00Z"
ADDED = {"X-TAXII-Date-Added-Last": "2026-11-01T11:00:00.000000Z"}
MEDIA = "application/taxii+json;version=2.1"


@dataclass
class Site:
    """One simulator, and the time of both ends."""

    time: FakeTime = field(default_factory=lambda: FakeTime(NOON))

    def __post_init__(self) -> None:
        self.simulator = Simulator(clock=self.time.clock)
        self.app: Any = self.simulator
        self.settings: dict[str, Any] = {}

    def run(self, work: Callable[[Connector], Awaitable[T]]) -> T:
        async def once() -> T:
            given = {**self.simulator.settings("http://taxii.example.com"), **self.settings}
            values = validate_settings(MANIFEST, given, file="nightdesk.yaml", key="connectors.taxii")
            network = Network(timeout=5, transport=httpx.ASGITransport(self.app))
            connector = Connector(Context("acme", "taxii", Settings(values), network, self.time.clock, self.time.sleep))
            try:
                return await work(connector)
            finally:
                await connector.aclose()

        return asyncio.run(once())

    def pull(self, cursor: Cursor | None = None, *, limit: int = 100, polls: int = 1) -> list[Batch]:
        async def all_of(connector: Connector) -> list[Batch]:
            found: list[Batch] = []
            reached = cursor
            for _ in range(polls):  # one connector, so that it knows the server's clock from the first on
                found = [batch async for batch in connector.pull("objects", reached, limit=limit)]
                reached = found[-1].cursor
            return found

        return self.run(all_of)

    def share(self, count: int = 1) -> list[str]:
        begin = len(self.simulator.shared.versions)
        return [self.simulator.add(an_alert(self.time, f"{begin + number:04d}")) for number in range(count)]

    def act(self, command: Command) -> Any:
        return self.run(lambda connector: connector.act(command))

    def effect(self, command: Command) -> Effect:
        return self.run(lambda connector: connector.read_back(command)).effect

    def error(self, work: Callable[[Connector], Awaitable[Any]]) -> NightdeskError:
        with pytest.raises(NightdeskError) as caught:
            self.run(work)
        return caught.value

    def asked(self, ending: str) -> list[str]:
        return [seen.query for seen in self.simulator.seen if seen.path.endswith(ending)]

    def published(self) -> list[dict[str, Any]]:
        return [one.content for one in self.simulator.published.versions if one.content["type"] == "indicator"]


@pytest.fixture
def site() -> Site:
    return Site()


def command(verb: str, about: str = "domain:bad.example.com", key: str = "key-1", **fields: Any) -> Command:
    target = Target.parse(f"indicator:{about}")
    at = fields.pop("at", NOON)
    return Command("acme", "action-1", f"indicator.{verb}", target, key, at, target.value, **fields)


def ids(batches: list[Batch]) -> list[str]:
    return [record.native_id for batch in batches for record in batch.records]


def reached(batches: list[Batch]) -> Cursor:
    found: Cursor = json.loads(json.dumps(batches[-1].cursor))
    return found


# Pulling


def test_the_cursor_moves_only_at_the_end_of_a_sweep(site: Site) -> None:
    site.share(5)
    batches = site.pull(limit=2)
    assert [batch.more for batch in batches] == [True, True, False]
    moved = [batch.cursor["newest"] for batch in batches if batch.cursor]
    assert moved[:2] == [0, 0]
    assert moved[2] == int(NOON.timestamp()) * 10**9


def test_a_token_is_never_sent_twice_so_a_lost_page_begins_the_sweep_again(site: Site) -> None:
    wanted = site.share(6)
    site.simulator.faults.add("lost_reply", path="objects/$", after=1, times=1)

    async def broken(connector: Connector) -> list[Batch]:
        pulled = connector.pull("objects", None, limit=2)
        found = [await anext(pulled)]
        with pytest.raises(VendorError):
            await anext(pulled)
        return found

    first = site.run(broken)
    assert len(site.asked("objects/")) == 2
    assert ids(first) + ids(site.pull(reached(first), limit=2)) == wanted


def test_a_first_page_that_is_lost_is_asked_for_again(site: Site) -> None:
    wanted = site.share(3)
    site.simulator.faults.add("server_error", path="objects/$", times=1)
    assert ids(site.pull()) == wanted


def test_what_became_visible_late_is_found_while_it_can_be_late(site: Site) -> None:
    site.share(2)
    cursor = reached(site.pull())
    site.simulator.faults.add("late_effect", options={"seconds": 300})
    late = site.share(1)
    site.simulator.faults.clear()
    site.time.advance(60)
    newer = site.share(1)
    cursor, found = reached(batches := site.pull(cursor)), ids(batches)
    assert found == newer
    site.time.advance(240)
    assert ids(site.pull(cursor)) == late


def test_a_bulk_load_of_one_instant_is_not_read_again_for_ever(site: Site) -> None:
    site.share(30)
    cursor = reached(site.pull())
    site.time.advance(601)
    before = len(site.asked("objects/"))
    assert ids(site.pull(cursor, polls=2, limit=10)) == []
    # Once with the server's clock unknown, three pages; then behind the newest, one.
    assert len(site.asked("objects/")) - before == 4
    assert "added_after=2026-11-01T12%3A00%3A00.000000Z" in site.asked("objects/")[-1]


def test_a_new_version_and_a_revocation_come_under_new_keys(site: Site) -> None:
    (native_id,) = site.share(1)
    first = site.pull()
    site.time.advance(5)
    site.simulator.revise(native_id, revoked=True)
    (record,) = [record for batch in site.pull(reached(first)) for record in batch.records]
    assert record.native_id == native_id
    assert record.key != first[0].records[0].key
    assert json.loads(record.payload)["revoked"] is True


def test_the_server_may_give_more_than_was_asked_for(site: Site) -> None:
    objects = [{"type": "indicator", "id": f"indicator--{number}", "modified": "x"} for number in range(5)]
    site.app = Scripted(Response(json.dumps({"objects": objects}), headers=ADDED, media_type=MEDIA))
    assert [len(batch.records) for batch in site.pull(limit=2)] == [2, 2, 1]


@pytest.mark.parametrize(
    ("body", "headers", "says"),
    [
        ({"objects": [{"id": "indicator--1"}]}, {}, "X-TAXII-Date-Added-Last"),
        (
            {"more": True, "objects": [{"id": "indicator--1"}]},
            ADDED,
            "token",
        ),
        ({"more": True, "next": "x", "objects": []}, {}, "no object"),
        ({"objects": {}}, {}, "array"),
        ([], {}, "object"),
    ],
)
def test_an_answer_that_cannot_be_gone_on_from_is_an_error(
    site: Site, body: Any, headers: dict[str, str], says: str
) -> None:
    site.app = Scripted(Response(json.dumps(body), headers=headers, media_type=MEDIA))
    error = site.error(lambda connector: anext(connector.pull("objects", None, limit=5)))
    assert isinstance(error, ResponseError)
    assert says in str(error)


def test_an_object_without_an_id_and_one_that_is_none_are_kept_as_evidence(site: Site) -> None:
    body = '{"objects": [{"type": "indicator"}, 7, {"type":"url","id":"url--1","value":"a"}]}'
    site.app = Scripted(Response(body, headers=ADDED, media_type=MEDIA))
    (batch,) = site.pull()
    assert [record.native_id for record in batch.records] == ["", "url--1"]
    assert [failure.payload for failure in batch.failures] == [b"7"]
    assert batch.records[1].payload == b'{"type":"url","id":"url--1","value":"a"}'


@pytest.mark.parametrize(
    "cursor", [{}, {"newest": "x", "position": {}}, {"newest": 1, "position": {"start": 1}}], ids=["", "x", "half"]
)
def test_a_cursor_that_is_not_ours_is_said_so(site: Site, cursor: dict[str, Any]) -> None:
    error = site.error(lambda connector: anext(connector.pull("objects", cursor, limit=5)))
    assert isinstance(error, CursorExpiredError)


def test_a_server_of_another_version_is_named_as_such(site: Site) -> None:
    body = {"title": "ProcessingError", "http_status": "406"}
    site.app = Scripted(Response(json.dumps(body), 406, media_type=MEDIA))
    error = site.error(lambda connector: connector.read_one("objects", "indicator--1"))
    assert isinstance(error, RejectedError)
    assert "2.0" in str(error)


def test_a_wrong_collection_is_not_an_object_that_is_missing(site: Site) -> None:
    site.settings = {"collection": "nothing"}
    error = site.error(lambda connector: connector.read_one("objects", "indicator--1"))
    assert isinstance(error, NotFoundError)
    assert "in the collection" not in str(error)


def test_without_a_username_the_password_is_a_bearer_token(site: Site) -> None:
    site.app = scripted = Scripted(Response("{}", media_type=MEDIA))
    site.settings = {"username": None}
    site.pull()
    (request,) = scripted.seen
    assert request.headers["authorization"] == f"Bearer {site.simulator.secret}"
    assert request.headers["accept"] == MEDIA


# Publishing


@pytest.mark.parametrize(
    ("about", "pattern"),
    [
        ("address:203.0.113.7", "[ipv4-addr:value = '203.0.113.7']"),
        ("address:203.0.113.0/24", "[ipv4-addr:value = '203.0.113.0/24']"),
        ("address:2001:db8::7", "[ipv6-addr:value = '2001:db8::7']"),
        ("domain:bad.example.com", "[domain-name:value = 'bad.example.com']"),
        ("url:https://bad.example.com/it's\\x", "[url:value = 'https://bad.example.com/it\\'s\\\\x']"),
        (f"file:{'ab' * 32}", f"[file:hashes.'SHA-256' = '{'ab' * 32}']"),
        (f"file:{'ab' * 16}", f"[file:hashes.MD5 = '{'ab' * 16}']"),
    ],
)
def test_a_pattern_is_one_comparison_that_stix_takes(about: str, pattern: str) -> None:
    made = pattern_of(Target.parse(about))
    assert made == pattern
    assert stix2.Indicator(pattern=made, pattern_type="stix").pattern == pattern


def test_nothing_is_published_about_a_host(site: Site) -> None:
    assert isinstance(site.error(lambda connector: connector.act(command("publish", "host:ws-0042"))), UnsupportedError)
    assert site.simulator.mutations() == []


def test_what_was_said_is_published_and_valid_stix(site: Site) -> None:
    said = {
        "name": "N",
        "description": "D",
        "confidence": 80,
        "tlp": "TLP:AMBER",
        "valid_until": END,
    }
    wish = command("publish", parameters=said)
    receipt = site.act(wish)
    (made,) = site.published()
    assert stix2.parse(made, version="2.1", allow_custom=False).confidence == 80
    assert made["object_marking_refs"] == ["marking-definition--55d920b0-5e8b-4f79-9ee9-91f868d9b421"]
    assert receipt.losses == ()
    state = site.run(lambda connector: connector.read_back(wish)).state
    assert (state["published"], state["tlp"], state["confidence"]) == (True, "amber", 80)


@pytest.mark.parametrize(
    "wrong",
    [{"confidence": 101}, {"confidence": "high"}, {"confidence": True}, {"tlp": "purple"}, {"valid_until": "soon"},
     {"valid_until": "2026-10-01T00:00:00Z"}],
)  # fmt: skip
def test_what_would_be_no_valid_indicator_is_refused_here(site: Site, wrong: dict[str, Any]) -> None:
    assert isinstance(site.error(lambda connector: connector.act(command("publish", parameters=wrong))), RejectedError)
    assert site.published() == []


def test_a_repeat_changes_nothing_and_says_so_unless_it_was_our_own_first_try(site: Site) -> None:
    assert site.act(command("publish")).changed is True
    assert site.act(command("publish")).changed is False
    assert site.act(command("publish", pre_state={"published": False})).changed is True
    assert len(site.published()) == 1


def test_an_answer_that_was_lost_leads_to_no_second_version(site: Site) -> None:
    site.simulator.faults.add("lost_reply", method="POST", times=1)
    site.error(lambda connector: connector.act(command("publish")))
    site.act(command("publish"))
    assert len(site.published()) == 1


def test_other_words_make_a_newer_version_of_the_same(site: Site) -> None:
    site.act(command("publish", parameters={"name": "old", "confidence": 10}))
    wish = command("publish", key="key-2", parameters={"name": "new"})  # asked in the same millisecond
    assert site.effect(wish) is Effect.NOT_IN_EFFECT
    site.act(wish)
    first, second = site.published()
    assert (second["id"], second["created"]) == (first["id"], first["created"])
    assert second["modified"] > first["modified"]
    assert (second["name"], second["confidence"]) == ("new", 10)
    assert site.effect(wish) is Effect.IN_EFFECT


def test_a_revoked_one_never_gets_another_version(site: Site) -> None:
    site.act(command("publish"))
    site.act(command("withdraw", key="key-2", at=NOON + timedelta(seconds=1)))
    assert site.effect(command("withdraw")) is Effect.IN_EFFECT
    site.act(command("publish", key="key-3", at=NOON + timedelta(seconds=2)))
    first, revoked, anew = site.published()
    assert (revoked["id"], revoked["revoked"]) == (first["id"], True)
    assert anew["id"] != first["id"]
    assert site.effect(command("publish")) is Effect.IN_EFFECT
    assert site.effect(command("withdraw")) is Effect.NOT_IN_EFFECT


def test_one_that_has_ended_is_not_in_effect_and_is_brought_back(site: Site) -> None:
    site.act(command("publish", parameters={"valid_until": "2026-11-02T00:00:00Z"}))
    site.time.advance(86_400)
    assert site.effect(command("publish")) is Effect.NOT_IN_EFFECT
    site.act(command("publish", key="key-2", at=site.time.now))
    assert "valid_until" not in site.published()[-1]
    assert site.effect(command("publish")) is Effect.IN_EFFECT


def test_accepted_is_not_published(site: Site) -> None:
    site.simulator.faults.add("late_effect", options={"seconds": 60})
    site.act(command("publish"))
    assert site.time.slept.count(1.0) == 5
    assert site.effect(command("publish")) is Effect.NOT_IN_EFFECT
    site.time.advance(60)
    assert site.effect(command("publish")) is Effect.IN_EFFECT


def test_a_202_with_failures_is_an_error(site: Site) -> None:
    site.simulator.faults.add("accepted_then_failed")
    error = site.error(lambda connector: connector.act(command("publish")))
    assert isinstance(error, RejectedError)
    assert "Unable to process object" in str(error)


def test_another_tenant_has_an_author_and_indicators_of_its_own(site: Site) -> None:
    site.act(command("publish"))
    site.settings = {"username": "other"}
    site.simulator.username = "other"
    site.act(command("publish"))
    assert len({one["id"] for one in site.published()}) == len({one["created_by_ref"] for one in site.published()}) == 2


def test_what_somebody_else_put_under_our_id_is_left_alone(site: Site) -> None:
    site.act(command("publish"))
    site.simulator.published.versions[-1].content["created_by_ref"] = "identity--somebody"
    error = site.error(lambda connector: connector.act(command("withdraw")))
    assert isinstance(error, RejectedError)
    assert len(site.published()) == 1


def test_without_a_collection_of_our_own_nothing_is_published(site: Site) -> None:
    site.settings = {"publish_collection": None}
    error = site.error(lambda connector: connector.act(command("publish")))
    assert isinstance(error, UnsupportedError)
    assert "publish_collection" in str(error)


def test_health_names_the_right_that_is_missing(site: Site) -> None:
    site.simulator.published.can_write = False
    health = site.run(lambda connector: connector.check_health())
    assert not health.ok
    assert "can_write" in health.problems[0]


def test_an_account_that_is_refused_is_told_in_one_request(site: Site) -> None:
    site.simulator.secret = "another"
    site.settings = {"password": site.simulator.settings("http://x.example")["password"]}
    site.simulator.secret = "renewed"
    assert isinstance(site.error(lambda connector: connector.read_one("objects", "indicator--1")), AuthError)
    assert len(site.simulator.seen) == 1
