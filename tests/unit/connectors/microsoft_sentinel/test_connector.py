import asyncio
import json
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import parse_qs

import httpx
import pytest
from starlette.types import Receive, Scope, Send

import nightdesk.connectors.microsoft_sentinel as package
from nightdesk.connectors.microsoft_sentinel import Connector
from nightdesk.connectors.microsoft_sentinel.simulator import ALL_ACTIONS, Simulator
from nightdesk.sdk.context import Context, Network, Settings
from nightdesk.sdk.errors import (
    ConfigError,
    CursorExpiredError,
    NightdeskError,
    NotFoundError,
    RejectedError,
    ResponseError,
    ScopeError,
    UnavailableError,
    UnsupportedError,
)
from nightdesk.sdk.manifest import load_manifest, validate_settings
from nightdesk.sdk.ports import Command, Effect, Health, Reading, Receipt
from nightdesk.sdk.records import Batch, Cursor, RawRecord
from nightdesk.sdk.secrets import Secret
from nightdesk.sdk.targets import Target
from nightdesk.sdk.testing import StoryAlert
from nightdesk.sdk.testing.fake_time import FakeTime

T = TypeVar("T")
NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)
MANIFEST = load_manifest(Path(package.__file__).parent / "manifest.yaml")
TARGET = "indicator:address:203.0.113.7"
PUT = re.compile(r"PUT .*/incidents/[^/]+$")


class Meddler:
    """Stands before a simulator and does something just before matching requests arrive."""

    def __init__(self, simulator: Simulator) -> None:
        self.simulator = simulator
        self.before: tuple[re.Pattern[str], Callable[[], None]] | None = None
        self.once = True

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self.before is not None and self.before[0].search(f"{scope['method']} {scope['path']}"):
            meddle = self.before[1]
            self.before = None if self.once else self.before
            meddle()
        await self.simulator(scope, receive, send)


@dataclass
class Site:
    """One simulator reached without a socket, and the time of both ends; every call builds its own connector."""

    simulator: Simulator
    time: FakeTime
    settings: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.meddler = Meddler(self.simulator)

    def run(self, work: Callable[[Connector], Awaitable[T]]) -> T:
        async def once() -> T:
            given = {**self.simulator.settings("https://management.azure.com"), **self.settings}
            values = validate_settings(MANIFEST, given, file="nightdesk.yaml", key="connectors.sentinel")
            network = Network(timeout=5, transport=httpx.ASGITransport(self.meddler))
            context = Context("acme", "sentinel", Settings(values), network, self.time.clock, self.time.sleep)
            connector = Connector(context)
            try:
                return await work(connector)
            finally:
                await connector.aclose()

        return asyncio.run(once())

    def pull(self, cursor: Cursor | None = None, *, limit: int = 100, between: Any = None) -> list[Batch]:
        async def drained(connector: Connector) -> list[Batch]:
            batches = []
            async for batch in connector.pull("incidents", cursor, limit=limit):
                batches.append(batch)
                if between is not None and len(batches) == 1:
                    between()
            return batches

        return self.run(drained)

    def add(self, uid: str, *, after: float = 0, **options: Any) -> str:
        told = NOON + timedelta(seconds=after)
        return self.simulator.add(StoryAlert(uid, told, f"Odd process {uid}", "rule-1", "high", **options))

    def write(self, command: Command) -> Receipt:
        return self.run(lambda connector: connector.write_back(command))

    def act(self, command: Command) -> Receipt:
        return self.run(lambda connector: connector.act(command))

    def read(self, command: Command) -> Reading:
        return self.run(lambda connector: connector.read_back(command))

    def one(self, native_id: str) -> RawRecord:
        return self.run(lambda connector: connector.read_one("incidents", native_id))

    def search(self, query: str, limit: int = 100) -> list[Any]:
        return list(self.run(lambda connector: connector.search(query, limit=limit)))

    def health(self) -> Health:
        return self.run(lambda connector: connector.check_health())

    def properties(self, native_id: str) -> dict[str, Any]:
        return dict(self.simulator.incidents[native_id]["properties"])


@pytest.fixture
def site() -> Site:
    time = FakeTime(NOON)
    return Site(Simulator(clock=time.clock), time)


def command(verb: str, native_id: str, key: str = "key-1", **fields: Any) -> Command:
    return Command("acme", "action-1", verb, Target.parse(f"alert:{native_id}"), key, NOON, native_id, **fields)


def dispose(native_id: str, key: str = "key-1", pre_state: Any = None, **words: Any) -> Command:
    return command("alert.set_disposition", native_id, key, parameters=words, pre_state=dict(pre_state or {}))


def close(native_id: str, disposition: str = "false-positive", **words: Any) -> Command:
    return dispose(native_id, status="closed", disposition=disposition, **words)


def indicate(verb: str, target: str = TARGET, **fields: Any) -> Command:
    return Command("acme", "action-2", verb, Target.parse(target), "key-2", NOON, **fields)


def natives(batches: list[Batch]) -> list[str]:
    return [record.native_id for batch in batches for record in batch.records]


def puts(site: Site) -> int:
    return sum(1 for seen in site.simulator.seen if PUT.match(f"{seen.method} {seen.path}"))


# Pulling


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_a_burst_of_equal_times_is_drained_exactly_once(site: Site, size: int) -> None:
    wanted = {site.add(f"a{number}", after=number // 40) for number in range(130)}
    batches = site.pull(limit=size)
    assert sorted(natives(batches)) == sorted(wanted)
    assert [batch.more for batch in batches] == [True] * (len(batches) - 1) + [False]
    assert all(len(batch.records) <= size for batch in batches)


def test_an_incident_that_changes_between_two_pages_makes_no_other_one_disappear(site: Site) -> None:
    names = [site.add(f"a{number}", after=number) for number in range(12)]
    site.time.advance(3600)
    batches = site.pull(limit=4, between=lambda: site.simulator.triage(names[0], status="Active"))
    assert set(natives(batches)) == set(names)
    assert natives(batches).count(names[0]) == 2


def test_an_incident_that_is_indexed_late_is_read(site: Site) -> None:
    site.add("early", after=500)
    cursor = site.pull()[-1].cursor
    late = site.add("late", after=100)
    assert natives(site.pull(cursor)) == [late]


def test_a_second_pull_reads_no_alerts_and_entities_again(site: Site) -> None:
    site.add("one")
    cursor = site.pull()[-1].cursor
    site.simulator.seen.clear()
    assert natives(site.pull(cursor)) == []
    assert not [seen for seen in site.simulator.seen if seen.path.endswith(("/alerts", "/entities"))]


def test_the_etag_is_the_version_so_a_comment_makes_a_new_one_within_the_same_instant(site: Site) -> None:
    native_id = site.add("one")
    first = site.pull()
    site.write(command("alert.comment", native_id, parameters={"comment": "seen"}))
    (record,) = [record for batch in site.pull(first[-1].cursor) for record in batch.records]
    assert record.native_id == native_id
    assert record.key != first[0].records[0].key


def test_a_record_is_the_incident_with_both_answers_beside_it_as_they_were_written(site: Site) -> None:
    native_id = site.add("one", user="jdoe", source_address="192.0.2.9")
    (record,) = site.pull()[0].records
    assert record.payload == site.one(native_id).payload
    incident = json.dumps(site.simulator.incidents[native_id], separators=(",", ":"), ensure_ascii=False).encode()
    assert record.payload.startswith(incident[:-1])
    whole = json.loads(record.payload)
    assert [alert["kind"] for alert in whole["alerts"]["value"]] == ["SecurityAlert"]
    assert {entity["kind"] for entity in whole["entities"]["entities"]} == {"Account", "Ip"}
    assert whole["entities"]["metaData"]


def test_an_incident_that_was_merged_away_after_its_page_is_delivered_without_its_alerts(site: Site) -> None:
    native_id = site.add("one")
    site.meddler.before = (re.compile(r"POST .*/alerts$"), lambda: site.simulator.remove(native_id))
    (record,) = site.pull()[0].records
    assert record.native_id == native_id
    assert "alerts" not in json.loads(record.payload)


def test_a_link_that_is_no_longer_accepted_expires_the_cursor(site: Site) -> None:
    for number in range(5):
        site.add(f"a{number}")
    with pytest.raises(CursorExpiredError, match="restart"):
        site.pull(limit=2, between=site.simulator.forget_pages)


def test_a_filter_that_the_service_ignores_does_not_keep_the_pull_going_round(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    ignored = "nightdesk.connectors.microsoft_sentinel.simulated_incidents.condition"
    monkeypatch.setattr(ignored, lambda text: lambda row: True)
    wanted = {site.add(f"a{number}", after=number) for number in range(9)}
    assert set(natives(site.pull(limit=2))) == wanted  # it ends


def test_a_link_is_sent_as_it_was_received(site: Site) -> None:
    for number in range(3):
        site.add(f"a{number}")
    assert len(natives(site.pull(limit=2))) == 3
    links = [parse_qs(seen.query) for seen in site.simulator.seen if "skipToken" in seen.query]
    assert links
    assert all(link["$filter"][0].startswith("properties/lastModifiedTimeUtc ge 2026") for link in links)


def test_a_cursor_of_another_connector_is_refused(site: Site) -> None:
    with pytest.raises(CursorExpiredError):
        site.pull({"created_timestamp": "2026-11-01T00:00:00Z"})


def test_a_wrong_workspace_says_which_settings_to_check(site: Site) -> None:
    site.settings = {"workspace": "ws-other"}
    with pytest.raises(NotFoundError, match="check subscription_id, resource_group and workspace"):
        site.pull()


def test_a_missing_role_is_named_with_the_action_that_azure_missed(site: Site) -> None:
    site.simulator.actions.clear()
    with pytest.raises(ScopeError, match=r"Microsoft Sentinel Reader.*incidents/read"):
        site.pull()


def test_an_unsupported_api_version_is_refused_at_once(site: Site) -> None:
    site.settings = {"api_version": "2019-01-01"}
    with pytest.raises(RejectedError, match="2019-01-01"):
        site.pull()


def test_a_name_that_does_not_exist_or_is_empty_is_no_incident(site: Site) -> None:
    site.add("one")
    with pytest.raises(NotFoundError):
        site.one("00000000-0000-4000-8000-000000000000")
    with pytest.raises(RejectedError, match="no incident is named"):
        site.one("")


@pytest.mark.parametrize(
    ("setting", "value"), [("page_size", 1001), ("api_version", "latest"), ("start", "yesterday"), ("cloud", "moon")]
)
def test_a_setting_that_cannot_work_is_refused_before_anything_is_sent(site: Site, setting: str, value: Any) -> None:
    site.settings = {setting: value}
    with pytest.raises(ConfigError, match=setting):
        site.pull()
    assert not site.simulator.seen


@pytest.mark.parametrize(
    ("cloud", "login", "resource"),
    [
        ("public", "login.microsoftonline.com", "https://management.azure.com"),
        ("usgov", "login.microsoftonline.us", "https://management.usgovcloudapi.net"),
        ("china", "login.chinacloudapi.cn", "https://management.chinacloudapi.cn"),
    ],
)
def test_each_cloud_has_its_own_directory_and_audience(cloud: str, login: str, resource: str) -> None:
    asked: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        return httpx.Response(200, json={"access_token": "token-1", "expires_in": 3599, "value": []})

    async def work() -> None:
        given = {
            **{name: f"the-{name}" for name in ("tenant_id", "client_id", "subscription_id", "resource_group")},
            "workspace": "ws",
            "client_secret": Secret.literal("hidden"),
            "cloud": cloud,
        }
        values = validate_settings(MANIFEST, given, file="nightdesk.yaml", key="sentinel")
        network = Network(transport=httpx.MockTransport(answer))
        connector = Connector(Context("acme", "sentinel", Settings(values), network))
        assert [batch async for batch in connector.pull("incidents", None, limit=1)]
        await connector.aclose()

    asyncio.run(work())
    assert str(asked[0].url) == f"https://{login}/the-tenant_id/oauth2/v2.0/token"
    assert parse_qs(asked[0].content.decode())["scope"] == [f"{resource}/.default"]
    assert str(asked[1].url).startswith(f"{resource}/subscriptions/the-subscription_id/")


# Writing back


def test_the_put_replaces_all_so_it_carries_what_was_there(site: Site) -> None:
    native_id = site.add("one", labels={"site-7": "x"})
    owner = {"objectId": "o-1", "email": None, "assignedTo": "An Analyst", "userPrincipalName": "an@example.com"}
    site.simulator.triage(native_id, owner=owner, description="What the analyst wrote", severity="Low")
    before = site.properties(native_id)
    assert site.write(close(native_id)).changed
    after = site.properties(native_id)
    written = {"status", "classification", "classificationReason", "lastModifiedTimeUtc"}
    assert {name: after.get(name) for name in before if name not in written} == {
        name: value for name, value in before.items() if name not in written
    }


@pytest.mark.parametrize(
    ("word", "classification", "reason", "lossy"),
    [
        ("true-positive", "TruePositive", "SuspiciousActivity", False),
        ("likely-true-positive", "TruePositive", "SuspiciousActivity", True),
        ("benign-positive", "BenignPositive", "SuspiciousButExpected", False),
        ("false-positive", "FalsePositive", "IncorrectAlertLogic", False),
        ("test", "BenignPositive", "SuspiciousButExpected", True),
        ("duplicate", "Undetermined", None, True),
        ("undetermined", "Undetermined", None, False),
    ],
)
def test_a_disposition_becomes_a_valid_pair(
    site: Site, word: str, classification: str, reason: str | None, lossy: bool
) -> None:
    native_id = site.add("one")
    receipt = site.write(close(native_id, word))
    properties = site.properties(native_id)
    assert (properties["classification"], properties.get("classificationReason")) == (classification, reason)
    assert bool(receipt.losses) is lossy
    assert site.read(close(native_id, word)).effect is Effect.IN_EFFECT


def test_closing_without_a_disposition_says_that_sentinel_wants_one(site: Site) -> None:
    native_id = site.add("one")
    receipt = site.write(dispose(native_id, status="closed"))
    assert site.properties(native_id)["classification"] == "Undetermined"
    assert "Undetermined" in receipt.losses[0]
    assert site.read(dispose(native_id, status="closed")).effect is Effect.IN_EFFECT


def test_a_closed_incident_without_a_new_disposition_keeps_its_own(site: Site) -> None:
    native_id = site.add("one")
    site.write(close(native_id, "true-positive"))
    receipt = site.write(dispose(native_id, "key-9", status="closed"))
    assert not receipt.changed
    assert not receipt.losses
    assert site.properties(native_id)["classification"] == "TruePositive"


def test_an_open_incident_has_no_classification(site: Site) -> None:
    native_id = site.add("one")
    with pytest.raises(RejectedError, match="closed ones only"):
        site.write(dispose(native_id, disposition="true-positive"))
    assert site.read(dispose(native_id, disposition="true-positive")).effect is Effect.NOT_IN_EFFECT
    receipt = site.write(dispose(native_id, status="open", disposition="true-positive"))
    assert "true-positive" in receipt.losses[0]
    assert not receipt.changed
    assert puts(site) == 0


def test_reopening_drops_the_classification_and_restores_the_status_of_before(site: Site) -> None:
    for began in ("New", "Active"):
        native_id = site.add(began)
        site.simulator.triage(native_id, status=began)
        before = site.read(close(native_id)).state
        site.write(close(native_id, comment="done"))
        undo = dispose(native_id, "undo", before, status="open")
        assert site.write(undo).changed
        properties = site.properties(native_id)
        assert properties["status"] == began
        assert not {"classification", "classificationReason", "classificationComment"} & set(properties)


def test_an_undo_restores_the_reason_and_comment_that_an_analyst_gave(site: Site) -> None:
    native_id = site.add("one")
    given = {
        "classification": "FalsePositive",
        "classificationReason": "InaccurateData",
        "classificationComment": "Test",
    }
    site.simulator.triage(native_id, status="Closed", **given)
    before = site.read(dispose(native_id, status="open")).state
    site.write(dispose(native_id, status="open"))
    assert "classification" not in site.properties(native_id)
    site.write(dispose(native_id, "undo", before, status=before["status"], disposition=before["disposition"]))
    after = site.properties(native_id)
    assert {name: after[name] for name in given} == given


def test_a_reopening_that_nobody_undoes_makes_it_active(site: Site) -> None:
    native_id = site.add("one")
    site.write(close(native_id))
    site.write(dispose(native_id, "other", status="open"))
    assert site.properties(native_id)["status"] == "Active"


def test_a_newer_version_is_merged_with_and_not_overwritten(site: Site) -> None:
    native_id = site.add("one")
    site.meddler.before = (PUT, lambda: site.simulator.triage(native_id, severity="Low", title="Renamed by a rule"))
    assert site.write(close(native_id)).changed
    properties = site.properties(native_id)
    assert (properties["severity"], properties["title"], properties["status"]) == ("Low", "Renamed by a rule", "Closed")
    assert puts(site) == 2
    assert site.time.slept


def test_a_storm_of_conflicts_ends_after_five_tries_and_names_the_way_out(site: Site) -> None:
    native_id = site.add("one")
    site.simulator.stir(native_id)
    with pytest.raises(UnavailableError, match="microsoft_defender_xdr"):
        site.write(close(native_id))
    assert puts(site) == 5
    assert site.properties(native_id)["status"] == "New"


def test_a_put_whose_answer_is_lost_is_our_change_and_made_once(site: Site) -> None:
    native_id = site.add("one")
    site.simulator.faults.add("lost_reply", method="PUT", times=1)
    assert site.write(close(native_id)).changed
    history = site.search("SecurityIncident | where Status == 'Closed'")
    assert len(history) == 1


def test_a_put_that_created_an_incident_is_an_error(site: Site) -> None:
    native_id = site.add("one")
    site.meddler.before = (PUT, lambda: site.simulator.remove(native_id))
    with pytest.raises(ResponseError, match="made an empty one"):
        site.write(close(native_id))


def test_a_repeat_writes_nothing_and_tells_whose_change_it_was(site: Site) -> None:
    native_id = site.add("one")
    site.write(close(native_id))
    told = puts(site)
    assert not site.write(close(native_id)).changed
    mine = dispose(native_id, pre_state={"status": "open"}, status="closed", disposition="false-positive")
    assert site.write(mine).changed
    assert puts(site) == told == 1


def test_a_comment_is_made_once_however_often_it_is_asked_for(site: Site) -> None:
    native_id = site.add("one")
    remark = command("alert.comment", native_id, parameters={"comment": "looked at"})
    assert site.read(remark).effect is Effect.NOT_IN_EFFECT
    site.simulator.faults.add("lost_reply", method="PUT", times=1)
    assert all(site.write(remark).changed for _ in range(3))
    assert site.read(remark).effect is Effect.IN_EFFECT
    (text,) = site.simulator.alert_state(native_id)["comments"]
    assert text.startswith("looked at [nightdesk ")
    site.write(command("alert.comment", native_id, "key-2", parameters={"comment": "looked at"}))
    assert len(site.simulator.alert_state(native_id)["comments"]) == 2


def test_the_comment_comes_after_the_put_because_it_moves_the_etag(site: Site) -> None:
    native_id = site.add("one")
    site.write(close(native_id, comment="because"))
    paths = [seen.path for seen in site.simulator.mutations()]
    assert [("/comments/" in path) for path in paths] == [False, True]
    site.simulator.triage(native_id, status="Active")
    assert site.read(close(native_id, comment="because")).effect is Effect.NOT_IN_EFFECT


def test_a_comment_that_is_too_long_is_refused_before_it_is_sent(site: Site) -> None:
    native_id = site.add("one")
    with pytest.raises(RejectedError, match="30000"):
        site.write(command("alert.comment", native_id, parameters={"comment": "x" * 30_000}))
    assert not site.simulator.mutations()


def test_a_write_to_an_incident_that_is_not_there_creates_none(site: Site) -> None:
    missing = "00000000-0000-4000-8000-000000000000"
    for wanted in (close(missing), command("alert.comment", missing, parameters={"comment": "x"})):
        with pytest.raises(NotFoundError):
            site.write(wanted)
    assert not site.simulator.incidents


def test_a_reader_may_not_write_and_is_told_to_become_a_responder(site: Site) -> None:
    native_id = site.add("one")
    site.simulator.actions = {action for action in ALL_ACTIONS if action.endswith("read")}
    with pytest.raises(ScopeError, match=r"Microsoft Sentinel Responder.*incidents/write"):
        site.write(close(native_id))


@pytest.mark.parametrize("verb", ["host.isolate", "indicator.publish"])
def test_a_verb_of_another_port_is_unsupported(site: Site, verb: str) -> None:
    with pytest.raises(UnsupportedError):
        site.write(command(verb, site.add("one")))


# Indicators


def test_an_indicator_is_published_read_back_and_withdrawn(site: Site) -> None:
    before = site.read(indicate("indicator.publish"))
    assert (before.effect, before.state["published"]) == (Effect.NOT_IN_EFFECT, False)
    receipt = site.act(indicate("indicator.publish", reason="seen in case 7"))
    properties = site.simulator.indicators[receipt.native_action_id]["properties"]
    assert properties["pattern"] == "[ipv4-addr:value = '203.0.113.7']"
    assert (properties["source"], properties["validFrom"]) == ("nightdesk:acme", "2026-11-01T12:00:00Z")
    assert properties["description"].startswith("seen in case 7 [nightdesk ")
    assert site.read(indicate("indicator.publish")).effect is Effect.IN_EFFECT
    assert site.act(indicate("indicator.publish")).changed, "the same command again finds its own mark"
    assert site.act(indicate("indicator.withdraw")).changed
    assert site.read(indicate("indicator.withdraw")).effect is Effect.IN_EFFECT
    assert not site.act(indicate("indicator.withdraw")).changed
    assert site.act(indicate("indicator.withdraw", pre_state={"published": True})).changed


def test_an_indicator_is_not_in_effect_before_it_can_be_found(site: Site) -> None:
    site.simulator.faults.add("late_effect", options={"seconds": 120})
    site.act(indicate("indicator.publish"))
    assert site.read(indicate("indicator.publish")).effect is Effect.NOT_IN_EFFECT
    site.act(indicate("indicator.publish"))
    site.time.advance(121)
    assert site.read(indicate("indicator.publish")).effect is Effect.IN_EFFECT
    assert len(site.simulator.indicators) == 1


def test_an_indicator_of_another_source_is_neither_counted_nor_withdrawn(site: Site) -> None:
    feed = {"displayName": "feed 203.0.113.7", "pattern": "[ipv4-addr:value = '203.0.113.7']", "source": "A feed"}
    name = site.simulator.add_indicator({**feed, "patternType": "ipv4-addr", "validFrom": "2026-11-01T00:00:00Z"})
    assert site.read(indicate("indicator.publish")).effect is Effect.NOT_IN_EFFECT
    assert not site.act(indicate("indicator.withdraw")).changed
    assert name in site.simulator.indicators


@pytest.mark.parametrize("ended", [{"validUntil": "2026-11-01T11:00:00Z"}, {"revoked": True}])
def test_an_indicator_that_ended_is_not_published(site: Site, ended: dict[str, Any]) -> None:
    ours = {"displayName": "203.0.113.7", "pattern": "[ipv4-addr:value = '203.0.113.7']", "source": "nightdesk:acme"}
    site.simulator.add_indicator({**ours, "patternType": "ipv4-addr", "validFrom": "2026-10-01T00:00:00Z", **ended})
    assert site.read(indicate("indicator.publish")).effect is Effect.NOT_IN_EFFECT


def test_criteria_that_the_service_ignores_make_us_touch_no_other_indicator(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nightdesk.connectors.microsoft_sentinel.simulated_indicators._fits", lambda row, asked: True)
    ours = {
        "displayName": "x",
        "patternType": "ipv4-addr",
        "validFrom": "2026-10-01T00:00:00Z",
        "source": "nightdesk:acme",
    }
    pattern = "[ipv4-addr:value = '203.0.113.7']"
    site.simulator.add_indicator({**ours, "pattern": pattern, "source": "A feed"})
    site.simulator.add_indicator({**ours, "pattern": pattern, "revoked": True})
    site.simulator.add_indicator({**ours, "pattern": "[ipv4-addr:value = '203.0.113.70']"})
    assert not site.act(indicate("indicator.withdraw")).changed
    assert len(site.simulator.indicators) == 3


@pytest.mark.parametrize(
    ("target", "kind", "pattern"),
    [
        ("domain:Bad.example.com", "domain-name", "[domain-name:value = 'bad.example.com']"),
        (f"file:{'ab' * 16}", "file", f"[file:hashes.'MD5' = '{'ab' * 16}']"),
        (f"file:{'ab' * 32}", "file", f"[file:hashes.'SHA-256' = '{'ab' * 32}']"),
        ("url:https://bad.example.com/it's", "url", "[url:value = 'https://bad.example.com/it\\'s']"),
        ("address:2001:db8::7", "ipv6-addr", "[ipv6-addr:value = '2001:db8::7']"),
    ],
)
def test_each_kind_of_target_is_published_as_its_pattern(site: Site, target: str, kind: str, pattern: str) -> None:
    wanted = indicate("indicator.publish", f"indicator:{target}")
    properties = site.simulator.indicators[site.act(wanted).native_action_id]["properties"]
    assert (properties["patternType"], properties["pattern"]) == (kind, pattern)
    assert site.read(wanted).effect is Effect.IN_EFFECT


@pytest.mark.parametrize("target", ["address:198.51.100.0/24", "host:ws-0042"])
def test_a_target_that_sentinel_has_no_indicator_for_is_refused(site: Site, target: str) -> None:
    with pytest.raises(UnsupportedError, match="single addresses"):
        site.act(indicate("indicator.publish", f"indicator:{target}"))
    assert not site.simulator.seen


def test_the_parameters_of_an_indicator_are_kept_in_its_own_fields(site: Site) -> None:
    words = {"name": "C2 of case 7", "description": "beacon", "tlp": "amber"}
    said = {**words, "valid_until": "2026-12-01T00:00:00Z", "confidence": 80}
    receipt = site.act(indicate("indicator.publish", parameters=said))
    properties = site.simulator.indicators[receipt.native_action_id]["properties"]
    assert (properties["displayName"], properties["confidence"]) == ("C2 of case 7", 80)
    assert properties["validUntil"] == "2026-12-01T00:00:00Z"
    assert properties["description"].startswith("beacon [nightdesk ")
    assert properties["objectMarkingRefs"] == ["marking-definition--55d920b0-5e8b-4f79-9ee9-91f868d9b421"]
    other = Command("acme", "action-3", "indicator.publish", Target.parse(TARGET), "key-3", NOON, parameters=said)
    again = site.act(other)
    assert not again.changed
    assert {loss.partition(":")[0] for loss in again.losses} == set(said)


@pytest.mark.parametrize("wrong", [{"valid_until": "soon"}, {"confidence": 101}, {"confidence": True}, {"tlp": "blue"}])
def test_a_parameter_of_an_indicator_that_means_nothing_is_refused(site: Site, wrong: dict[str, Any]) -> None:
    with pytest.raises(RejectedError, match=next(iter(wrong))):
        site.act(indicate("indicator.publish", parameters=wrong))
    assert not site.simulator.seen


# Searching, and health


def test_a_search_gives_rows_by_column_and_no_more_than_asked(site: Site) -> None:
    for number in range(3):
        site.add(f"a{number}")
    rows = site.search("SecurityAlert | where AlertSeverity == 'High' // of today", 2)
    assert [set(row) >= {"SystemAlertId", "AlertName", "TimeGenerated"} for row in rows] == [True, True]
    assert site.search("SecurityAlert | count;") == [{"Count": 3}]
    assert site.search("SecurityAlert", 0) == []


def test_a_partial_answer_to_a_search_is_an_error_although_it_is_a_200(site: Site) -> None:
    site.simulator.faults.add("partial_answer")
    with pytest.raises(ResponseError, match="memory budget"):
        site.search("SecurityAlert")


def test_a_query_that_is_wrong_is_rejected_with_the_reason(site: Site) -> None:
    with pytest.raises(RejectedError, match="NoSuchTable"):
        site.search("NoSuchTable | take 1")


def test_a_search_without_a_workspace_id_says_which_setting_is_missing(site: Site) -> None:
    site.settings = {"workspace_id": None}
    with pytest.raises(ConfigError, match="workspace_id"):
        site.search("SecurityAlert")
    assert site.health().ok, "what is not configured is not checked"


def test_the_health_check_finds_what_a_pull_and_a_search_would_miss(site: Site) -> None:
    site.add("one")
    assert site.health() == Health(ok=True, version="2024-03-01", clock_skew=0.0, latency=0.0)
    site.simulator.actions.discard("Microsoft.OperationalInsights/workspaces/query/read")
    assert "Log Analytics Reader" in site.health().problems[0]
    site.simulator.faults.add("clock_skew", options={"seconds": 600})
    assert any("clock" in problem for problem in site.health().problems)


def test_a_throttled_call_waits_as_long_as_azure_says(site: Site) -> None:
    native_id = site.add("one")
    site.simulator.faults.add("rate_limited", times=1, after=1, options={"retry_after": 17})
    assert site.one(native_id).native_id == native_id
    assert 17.0 in site.time.slept


def test_an_answer_that_is_no_list_is_an_error_with_its_request_id(site: Site) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("/token"):
            return httpx.Response(200, json={"access_token": "token-1", "expires_in": 3599})
        return httpx.Response(200, json={"value": {}}, headers={"x-ms-correlation-request-id": "corr-7"})

    async def work() -> NightdeskError:
        values = validate_settings(MANIFEST, site.simulator.settings("https://arm.example.com"), file="f", key="k")
        connector = Connector(
            Context("acme", "sentinel", Settings(values), Network(transport=httpx.MockTransport(answer)))
        )
        try:
            with pytest.raises(ResponseError) as caught:
                [batch async for batch in connector.pull("incidents", None, limit=1)]
        finally:
            await connector.aclose()
        return caught.value

    error = asyncio.run(work())
    assert "corr-7" in str(error)
