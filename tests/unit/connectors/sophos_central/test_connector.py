import asyncio
import json
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import httpx
import pytest
from starlette.responses import JSONResponse, Response
from tests.goldens import ACME, normalizer

import nightdesk.connectors.sophos_central as package
from nightdesk.connectors.sophos_central import Connector
from nightdesk.connectors.sophos_central.payloads import uuid_of
from nightdesk.connectors.sophos_central.simulator import Simulator
from nightdesk.sdk.context import Context, Network, Settings
from nightdesk.sdk.errors import (
    ConfigError,
    CursorExpiredError,
    NightdeskError,
    NotFoundError,
    RejectedError,
    ResponseError,
    ScopeError,
    UnsupportedError,
)
from nightdesk.sdk.manifest import load_manifest, validate_settings
from nightdesk.sdk.ports import Command, Effect
from nightdesk.sdk.records import Batch, Cursor
from nightdesk.sdk.targets import AssetQuery, Target
from nightdesk.sdk.testing import StoryAlert, StoryDevice
from nightdesk.sdk.testing.fake_time import FakeTime
from nightdesk.sdk.testing.scripted import Scripted
from nightdesk.sdk.testing.subject import DEVICE, PROCESS

NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)
MANIFEST = load_manifest(Path(package.__file__).parent / "manifest.yaml")
URL = "https://api-eu02.central.example.com"
HOST = uuid_of("endpoint", DEVICE.device_id)
HASH = "ab" * 32
THEIRS = {"type": "sha256", "properties": {"sha256": HASH.upper()}, "comment": "nightdesk:other x"}
DAY = 24 * 3600


@dataclass
class Site:
    """One tenant and the time of both ends; every call builds its own connector."""

    time: FakeTime
    simulator: Simulator
    settings: dict[str, Any] = field(default_factory=dict)
    instead: Any = None

    def connector(self) -> Connector:
        given = {**self.simulator.settings(URL), **self.settings}
        values = validate_settings(MANIFEST, given, file="nightdesk.yaml", key="connectors.sophos")
        network = Network(timeout=5, transport=httpx.ASGITransport(self.instead or self.simulator))
        return Connector(Context("acme", "sophos", Settings(values), network, self.time.clock, self.time.sleep))

    def drain(self, cursor: Any, limit: int = 500, stream: str = "alerts") -> tuple[list[Batch], NightdeskError | None]:
        batches: list[Batch] = []

        async def work() -> NightdeskError | None:
            connector = self.connector()
            try:
                async for batch in connector.pull(stream, cursor, limit=limit):
                    batches.append(batch)  # noqa: PERF401  # what came before an error counts
            except NightdeskError as error:
                return error
            finally:
                await connector.aclose()
            return None

        return batches, asyncio.run(work())

    def pull(self, cursor: Cursor | None = None, **options: Any) -> list[Batch]:
        batches, error = self.drain(cursor, **options)
        assert error is None, error
        return batches

    def do(self, name: str, *given: Any) -> Any:
        async def work() -> Any:
            connector = self.connector()
            try:
                return await getattr(connector, name)(*given)
            finally:
                await connector.aclose()

        return asyncio.run(work())

    def add(self, uid: str, *, ago: float = 0, **options: Any) -> str:
        when = self.time.now - timedelta(seconds=ago)
        return self.simulator.add(StoryAlert(uid, when, "Odd process", "rule-1", "high", **options))

    def asked(self, path: str) -> list[dict[str, list[str]]]:
        return [parse_qs(request.query) for request in self.simulator.seen if request.path == path]


@pytest.fixture
def site() -> Site:
    return a_site()


def a_site(**options: Any) -> Site:
    time = FakeTime(NOON)
    simulator = Simulator(clock=time.clock, **options)
    simulator.add_devices([DEVICE])
    return Site(time, simulator)


def answering(*answers: Response) -> Site:
    """A tenant whose data region answers what is given, after a token and who it is."""
    hosts = {"global": URL, "dataRegion": URL.replace("https", "http") + "/"}  # as the vendor's own example has it
    tokens = JSONResponse({"access_token": "token", "expires_in": 3600})
    site = a_site()
    site.instead = Scripted(tokens, JSONResponse({"id": "t", "idType": "tenant", "apiHosts": hosts}), tokens, *answers)
    return site


def command(verb: str, target: str = "host:ws-0042", native_id: str = HOST, **changes: Any) -> Command:
    return Command("acme", f"a-{verb}", verb, Target.parse(target), f"key-{verb}", NOON, native_id, **changes)


def close(native_id: str, pre_state: Any = None, **words: Any) -> Command:
    return command("alert.set_disposition", "alert:one", native_id, parameters=words, pre_state=pre_state or {})


def hashed(verb: str, **changes: Any) -> Command:
    return command(f"hash.{verb}", f"file:sha256:{HASH}", f"sha256:{HASH}", **changes)


def names(batches: list[Batch]) -> list[str]:
    return [record.native_id for batch in batches for record in batch.records]


def test_what_a_long_outage_lost_is_said_once_and_the_rest_is_read(site: Site) -> None:
    site.add("before")
    cursor = site.pull()[-1].cursor
    site.time.advance(60)
    site.add("lost")
    site.time.advance(DAY + 3600)
    kept = site.add("kept", ago=7200)
    batches, error = site.drain(cursor)
    assert isinstance(error, CursorExpiredError)
    assert "from 2026-11-01T12:00:00Z to 2026-11-01T13:11:00Z are not read" in str(error)
    assert names(batches) == []
    assert names(site.pull(batches[-1].cursor)) == [kept]


def test_a_quiet_feed_that_is_asked_often_enough_never_expires(site: Site) -> None:
    cursor = site.pull()[-1].cursor
    for _ in range(6):
        site.time.advance(DAY / 2)
        cursor = site.pull(cursor)[-1].cursor
    site.time.advance(DAY / 2)
    late = site.add("late", ago=DAY / 2 - 60)
    assert names(site.pull(cursor)) == [late]


def test_an_alert_that_came_in_behind_the_cursor_is_read_within_a_minute_and_once(site: Site) -> None:
    site.add("first")
    cursor = site.pull()[-1].cursor
    behind = site.add("behind", ago=300)
    site.time.advance(61)
    ahead = site.add("ahead")
    batches = site.pull(cursor)
    assert names(batches) == [ahead, behind]
    assert [batch.more for batch in batches] == [True, False]
    site.time.advance(61)
    assert names(site.pull(batches[-1].cursor)) == []


def test_a_look_back_that_was_interrupted_is_begun_again(site: Site) -> None:
    site.add("first")
    cursor = site.pull()[-1].cursor
    behind = {site.add(f"behind-{number}", ago=300 + number) for number in range(4)}
    site.time.advance(61)
    first = site.pull(cursor, limit=1)[:3]
    rest = site.pull(first[-1].cursor, limit=1)
    assert set(names(first)) < behind
    assert sorted(names(first) + names(rest)) == sorted(behind)


def test_a_cursor_that_is_refused_costs_nothing(site: Site) -> None:
    site.add("first")
    cursor = site.pull()[-1].cursor
    site.time.advance(5)
    second = site.add("second")
    site.simulator.feed.valid_cursors = False
    assert names(site.pull(cursor)) == [second]
    assert [next(iter(query)) for query in site.asked("/siem/v1/alerts")] == ["from_date", "cursor", "from_date"]


@pytest.mark.parametrize(
    ("start", "asked"), [("2026-11-01T11:00:00Z", 1793530800), ("2026-01-01T00:00:00Z", 1793448600)]
)
def test_the_feed_is_asked_in_epoch_seconds_within_its_reach(site: Site, start: str, asked: int) -> None:
    site.settings["start"] = start
    site.pull(limit=7)
    assert site.asked("/siem/v1/alerts") == [{"from_date": [str(asked)], "limit": ["200"]}]


def test_a_record_with_other_content_is_a_new_version_and_one_in_other_order_is_not(site: Site) -> None:
    name = site.add("one")
    batches = site.pull()
    record = site.simulator.feed.records("alerts")[name]
    for severity, wanted in ((record.pop("severity"), []), ("critical", [name])):
        record["severity"] = severity
        site.time.advance(61)
        batches = site.pull(batches[-1].cursor)
        assert names(batches) == wanted


def test_events_are_a_stream_of_their_own_without_the_types_that_are_excluded(site: Site) -> None:
    site.add("alert")
    site.simulator.add_event("updated")
    scanned = site.simulator.add_event("scanned", "SavScanComplete")
    site.settings["exclude_types"] = "Event::Endpoint::UpdateSuccess, Event::Endpoint::UpdateReboot"
    assert names(site.pull(stream="events")) == [scanned]
    assert isinstance(site.drain(None, stream="detections")[1], UnsupportedError)


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ({"has_more": True, "items": []}, "missing or repeats"),
        ({"has_more": False, "next_cursor": "n"}, "no items"),
        ({"has_more": False, "next_cursor": "n", "items": {}}, "no array"),
        (["odd"], "expected a JSON object"),
    ],
)
def test_an_answer_of_another_shape_is_said_to_be_one(body: Any, why: str) -> None:
    batches, error = answering(JSONResponse(body)).drain(None)
    assert isinstance(error, ResponseError)
    assert why in str(error)
    assert batches == []


def test_a_record_is_kept_byte_for_byte_and_what_is_none_is_kept_as_a_failure() -> None:
    text = '{ "id" : "a1","n":1.10, "created_at":"x", "\u00e9":"\\u00e9" }'
    body = f'{{"has_more":false,"next_cursor":"n","items":[\n {text} , null]}}'
    (batch,) = answering(Response(body, media_type="application/json")).pull()
    assert [record.payload.decode() for record in batch.records] == [text]
    assert [(failure.payload, failure.pointer) for failure in batch.failures] == [(b"null", "/1")]


def test_a_stored_cursor_of_another_connector_is_refused(site: Site) -> None:
    cursor = dict(site.pull()[-1].cursor or {})
    for strange in ({"page": 1}, {**cursor, "heard": "noon"}, {**cursor, "token": None}):
        assert isinstance(site.drain(strange)[1], CursorExpiredError)


def test_one_alert_is_read_from_the_feed_for_a_day(site: Site) -> None:
    old, young = site.add("old", ago=DAY + 60), site.add("young")
    assert json.loads(site.do("read_one", "alerts", young).payload)["id"] == young
    with pytest.raises(NotFoundError, match="24 hours"):
        site.do("read_one", "alerts", old)


def test_what_the_simulator_raises_is_read_whole(site: Site) -> None:
    options: dict[str, Any] = {
        "user": "jdoe",
        "user_domain": "CORP",
        "process": PROCESS,
        "destination_address": "203.0.113.9",
    }
    site.add("whole", device=DEVICE, **options)
    made = normalizer().normalize("sophos_central", site.pull()[0].records[0].payload, ACME)
    assert (made.loss.stream, made.loss.lost, made.loss.wrong) == ("siem_alerts", (), ())
    for part in ("WS-0042", "CORP", "powershell.exe", "203.0.113.9", PROCESS.sha256, "2026-11-01T12:00:00"):
        assert part in made.bundle.decode(), part


def test_another_data_region_than_the_configured_one_is_named_and_not_talked_to() -> None:
    site = a_site(region="https://api-us03.central.example.com")
    error = site.drain(None)[1]
    assert isinstance(error, ConfigError)
    assert "base_url: the tenant's data region is https://api-us03.central.example.com; write that" in str(error)
    assert not site.do("check_health").ok
    assert {request.path for request in site.simulator.seen} == {"/api/v2/oauth2/token", "/whoami/v1"}


@pytest.mark.parametrize("kind", ["partner", "organization"])
def test_the_credential_of_a_partner_finds_its_tenant_by_id_on_any_page(kind: str) -> None:
    site = a_site(id_type=kind)
    name = site.add("one")
    assert names(site.pull()) == [name]
    assert [query["page"] for query in site.asked(f"/{kind}/v1/tenants")] == [["1"], ["2"]]
    site.settings["tenant_id"] = uuid_of("nobody")
    assert f"the {kind} of this credential has no tenant" in str(site.drain(None)[1])
    site.settings["tenant_id"] = ""
    assert f"of a {kind}, so name which of its tenants" in str(site.drain(None)[1])


def test_the_role_that_is_missing_and_the_tenant_that_is_not_ours_are_named(site: Site) -> None:
    site.simulator.role = "Service Principal ReadOnly"
    assert site.do("check_health").ok
    with pytest.raises(ScopeError, match="Service Principal Management"):
        site.do("act", command("host.isolate"))
    site.simulator.role = "Service Principal Forensics"
    problems = site.do("check_health").problems
    assert ["Service Principal ReadOnly" in problem for problem in problems] == [True] * 4
    site.settings["tenant_id"] = uuid_of("somebody else")
    assert f"the credential is of tenant {site.simulator.tenant_id}" in str(site.drain(None)[1])


def test_acknowledging_takes_one_alert_off_the_list_with_our_message(site: Site) -> None:
    one, other = site.add("one"), site.add("other")
    wish = close(one, status="closed", disposition="false-positive", comment="A test")
    assert site.do("read_back", wish).state == {"status": "open", "disposition": ""}
    lost = site.do("write_back", wish).losses
    assert lost == ("disposition=false-positive: Sophos Central keeps no verdict",)
    assert set(site.simulator.alerts.open) == {other}
    (message,) = site.simulator.alert_state(one)["comments"]
    assert message.startswith("A test [nightdesk ")
    assert site.do("read_back", wish).effect is Effect.IN_EFFECT
    assert not site.do("write_back", wish).changed
    assert site.do("write_back", close(one, {"status": "open"}, status="closed")).changed
    assert len(site.simulator.mutations()) == 1


def test_an_acknowledged_alert_is_not_opened_again(site: Site) -> None:
    one = site.add("one")
    assert not site.do("write_back", close(one, status="open")).changed
    site.simulator.acknowledge(one)
    with pytest.raises(RejectedError, match="no call brings it back"):
        site.do("write_back", close(one, status="open"))
    assert site.do("read_back", close(one, status="open")).effect is Effect.NOT_IN_EFFECT


def test_what_sophos_cannot_do_to_an_alert_is_refused(site: Site) -> None:
    one, broken = site.add("one"), site.add("broken")
    site.simulator.alerts.open[one]["allowedActions"] = ["cleanPua"]
    site.simulator.alerts.failing.add(broken)
    with pytest.raises(RejectedError, match="allowedActions: cleanPua"):
        site.do("write_back", close(one, status="closed"))
    with pytest.raises(ResponseError, match="the action was taken and failed: internal"):
        site.do("write_back", close(broken, status="closed"))
    with pytest.raises(RejectedError, match="only acknowledge"):
        site.do("write_back", close(one, comment="Seen"))
    with pytest.raises(RejectedError, match="no id of an alert"):
        site.do("read_back", close("../alerts", status="closed"))


def test_isolation_is_pending_while_the_vendor_shows_no_state_and_real_once_it_does(site: Site) -> None:
    wish = command("host.isolate", reason="Beacon", case_id="case-7")
    site.simulator.faults.add("offline_host")
    site.do("act", wish)
    assert site.do("read_back", wish).effect is Effect.PENDING
    site.simulator.faults.clear()
    reading = site.do("read_back", wish)
    assert (reading.effect, reading.state["isolated"]) == (Effect.IN_EFFECT, True)
    assert not site.do("act", wish).changed
    assert site.do("act", command("host.isolate", pre_state={"isolated": False})).changed
    assert len(site.simulator.mutations()) == 1


def test_isolation_that_failed_after_it_was_accepted_is_not_in_effect(site: Site) -> None:
    site.simulator.faults.add("accepted_then_failed")
    assert "mode=selective" in site.do("act", command("host.isolate", parameters={"mode": "selective"})).losses[0]
    assert site.do("read_back", command("host.isolate")).effect is Effect.NOT_IN_EFFECT


def test_an_endpoint_that_isolates_itself_is_not_called_released(site: Site) -> None:
    site.simulator.endpoints.itself.add(HOST)
    reading = site.do("read_back", command("host.release"))
    assert (reading.effect, reading.native_state) == (Effect.NOT_IN_EFFECT, "self-isolated")
    assert "keeps itself cut off" in site.do("act", command("host.release")).losses[0]


def test_an_endpoint_that_cannot_be_isolated_or_is_not_there_is_said_to_be_so(site: Site) -> None:
    site.simulator.endpoints.unsupported.add(HOST)
    with pytest.raises(RejectedError, match="not supported or not licensed"):
        site.do("act", command("host.isolate"))
    with pytest.raises(NotFoundError):
        site.do("read_back", command("host.isolate", native_id=uuid_of("gone")))
    with pytest.raises(RejectedError, match="no id of an endpoint"):
        site.do("act", command("host.scan", native_id="isolation"))
    assert site.do("act", command("host.scan")).evidence["status"] == "requested"
    with pytest.raises(UnsupportedError, match="no state of a scan"):
        site.do("read_back", command("host.scan"))


def test_endpoints_are_found_by_whole_name_address_or_id_and_all_of_them(site: Site) -> None:
    twin, other = uuid_of("endpoint", "dev-2"), StoryDevice("dev-3", "WS-00421", ("192.0.2.4",))
    site.simulator.add_devices([StoryDevice("dev-2", "ws-0042", ("2001:db8::7",), "server", "Linux"), other])
    for query, wanted in (
        (AssetQuery(hostname="ws-0042", fqdn="ws-0042.corp.example.com"), {HOST, twin}),
        (AssetQuery(address="2001:db8::7"), {twin}),
        (AssetQuery(device_id=HOST.upper()), {HOST}),
    ):
        assert {asset.native_id for asset in site.do("find_asset", query)} == wanted


def test_a_hash_is_found_on_any_page_and_only_our_item_of_it_is_deleted(site: Site) -> None:
    for number in range(101):
        site.simulator.items.create({**THEIRS, "properties": {"sha256": f"{number:064x}"}}, "analyst")
    site.do("act", hashed("block", reason="Loader"))
    assert site.do("read_back", hashed("block")).state == {"blocked": True, "ours": True}
    assert site.do("act", hashed("block")).changed  # the item holds this command's marker
    site.do("act", hashed("unblock"))
    assert site.do("read_back", hashed("unblock")).effect is Effect.IN_EFFECT
    assert not site.do("act", hashed("unblock")).changed
    assert site.do("act", hashed("unblock", pre_state={"blocked": True})).changed
    assert len(site.simulator.items.items) == 101


def test_what_somebody_else_blocked_stays_and_counts_as_blocked(site: Site) -> None:
    site.simulator.items.create(THEIRS, "analyst")
    assert not site.do("act", hashed("block")).changed
    with pytest.raises(RejectedError, match="did not make"):
        site.do("act", hashed("unblock"))
    with pytest.raises(UnsupportedError, match="sha256 only"):
        site.do("act", command("hash.block", f"file:md5:{'ab' * 16}"))
    assert site.simulator.mutations() == []


def test_a_block_whose_answer_was_lost_is_made_once(site: Site) -> None:
    site.simulator.faults.add("lost_reply", path="blocked-items", method="POST", times=1)
    with pytest.raises(NightdeskError):
        site.do("act", hashed("block"))
    assert site.do("act", hashed("block")).changed
    assert len(site.simulator.items.items) == 1
