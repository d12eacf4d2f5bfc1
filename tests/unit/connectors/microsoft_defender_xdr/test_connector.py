import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import httpx
import pytest
from tests.goldens import ACME, normalizer

import nightdesk.connectors.microsoft_defender_xdr as package
from nightdesk.connectors.microsoft_defender_xdr import Connector
from nightdesk.connectors.microsoft_defender_xdr.names import machine_id, sha1_of
from nightdesk.connectors.microsoft_defender_xdr.simulator import ALL_ROLES, Simulator
from nightdesk.sdk.context import Context, Network, Settings
from nightdesk.sdk.errors import (
    AuthError,
    ConfigError,
    CursorExpiredError,
    NightdeskError,
    NotFoundError,
    RejectedError,
    ScopeError,
    UnavailableError,
    UnsupportedError,
)
from nightdesk.sdk.manifest import load_manifest, validate_settings
from nightdesk.sdk.ports import Command, Effect, Reading, Receipt
from nightdesk.sdk.records import Batch, Cursor
from nightdesk.sdk.targets import Asset, AssetQuery, Target
from nightdesk.sdk.testing import StoryAlert, StoryDevice
from nightdesk.sdk.testing.fake_time import FakeTime
from nightdesk.sdk.testing.story import StoryProcess

T = TypeVar("T")
NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)
MANIFEST = load_manifest(Path(package.__file__).parent / "manifest.yaml")
ODD = StoryProcess("odd.exe", "C:\\Temp\\odd.exe", "odd.exe -x", 4711, "ab" * 32, "winword.exe")
LAPTOP = StoryDevice("laptop", "WS-0042", ("192.0.2.42",), processes=(ODD,))
SERVER = StoryDevice("server", "db-07", ("192.0.2.7",), "server", "Linux")
LAPTOP_ID, SERVER_ID = machine_id("laptop"), machine_id("server")
ALERTS = "/v1.0/security/alerts_v2"


@dataclass
class Site:
    """One simulated tenant and the time of both ends; every call builds its own connector."""

    simulator: Simulator
    time: FakeTime
    settings: dict[str, Any] = field(default_factory=dict)

    def run(self, work: Callable[[Connector], Awaitable[T]]) -> T:
        async def once() -> T:
            given = {**self.simulator.settings("https://defender.example.com"), **self.settings}
            values = validate_settings(MANIFEST, given, file="nightdesk.yaml", key="connectors.defender")
            network = Network(timeout=5, transport=httpx.ASGITransport(self.simulator))
            connector = Connector(
                Context("tenant-a", "defender", Settings(values), network, self.time.clock, self.time.sleep)
            )
            try:
                return await work(connector)
            finally:
                await connector.aclose()

        return asyncio.run(once())

    def add(self, uid: str, *, after: float = 0, **options: Any) -> str:
        told = NOON + timedelta(seconds=after)
        return self.simulator.add(StoryAlert(uid, told, "Odd process", "rule-1", "high", **options))

    def pull(self, cursor: Cursor | None = None, *, limit: int = 1000, stream: str = "alerts") -> list[Batch]:
        async def drained(connector: Connector) -> list[Batch]:
            return [batch async for batch in connector.pull(stream, cursor, limit=limit)]

        return self.run(drained)

    def pull_until_error(self, cursor: Cursor | None = None, *, limit: int) -> tuple[list[Batch], NightdeskError]:
        batches: list[Batch] = []

        async def work(connector: Connector) -> NightdeskError:
            try:
                async for batch in connector.pull("alerts", cursor, limit=limit):
                    batches.append(batch)  # noqa: PERF401  # what came before the error counts
            except NightdeskError as error:
                return error
            raise AssertionError("the pull ended well")

        return batches, self.run(work)

    def find(self, **query: str) -> list[Asset]:
        return list(self.run(lambda connector: connector.find_asset(AssetQuery(**query))))

    def act(self, command: Command) -> Receipt:
        return self.run(lambda connector: connector.act(command))

    def write(self, command: Command) -> Receipt:
        return self.run(lambda connector: connector.write_back(command))

    def read(self, command: Command) -> Reading:
        return self.run(lambda connector: connector.read_back(command))

    def actions(self) -> list[tuple[str, str]]:
        """Type and status of every machine action, oldest first."""
        return [(row["type"], row["status"]) for row in reversed(self.simulator.actions.actions())]


@pytest.fixture
def site() -> Site:
    time = FakeTime(NOON)
    simulator = Simulator(clock=time.clock, secret="s3cret")
    simulator.add_devices([LAPTOP, SERVER])
    return Site(simulator, time)


def command(verb: str, target: str = "host:ws-0042", native_id: str = LAPTOP_ID, **fields: Any) -> Command:
    key = fields.pop("key", "key-1")
    return Command("tenant-a", "action-1", verb, Target.parse(target), key, NOON, native_id, **fields)


def dispose(native_id: str, pre_state: Any = None, **words: Any) -> Command:
    name, parameters = "alert.set_disposition", {key: value for key, value in words.items() if key != "key"}
    more = {"key": words["key"]} if "key" in words else {}
    return command(name, "alert:one", native_id, parameters=parameters, pre_state=dict(pre_state or {}), **more)


def keys(batches: list[Batch]) -> list[str]:
    return [record.key for batch in batches for record in batch.records]


def natives(batches: list[Batch]) -> list[str]:
    return [record.native_id for batch in batches for record in batch.records]


# Pulling


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_a_burst_with_equal_times_across_page_borders_is_drained_once_and_oldest_first(site: Site, size: int) -> None:
    wanted = [site.add(f"a{number}", after=number // 5) for number in range(40)]
    batches = site.pull(limit=size)
    times = [json.loads(record.payload)["lastUpdateDateTime"] for batch in batches for record in batch.records]
    assert sorted(natives(batches)) == sorted(wanted)
    assert len(set(keys(batches))) == len(keys(batches)) == 40
    assert times == sorted(times)
    assert [batch.more for batch in batches] == [True] * (len(batches) - 1) + [False]


def test_a_row_that_changes_while_pages_are_read_shifts_nobody_out(site: Site) -> None:
    wanted = [site.add(f"a{number}", after=number) for number in range(9)]

    async def work(connector: Connector) -> list[str]:
        found = []
        async for batch in connector.pull("alerts", None, limit=3):
            found += [record.native_id for record in batch.records]
            if len(found) == 3:
                site.time.advance(60)
                site.simulator.triage(wanted[0], status="inProgress")  # moves to the end of the list
        return found

    found = site.run(work)
    assert set(found) == set(wanted)
    assert found[-1] == wanted[0]


def test_where_orderby_has_no_effect_nothing_is_lost_and_the_cursor_moves_at_the_end(site: Site) -> None:
    wanted = {site.add(f"a{number}", after=number) for number in range(10)}
    site.simulator.ignore_order()
    batches = site.pull(limit=3)
    assert set(natives(batches)) == wanted
    assert [batch.cursor is None for batch in batches] == [True, True, True, False]
    assert natives(site.pull(batches[-1].cursor, limit=3)) == []


def test_a_stored_cursor_goes_on_after_any_page(site: Site) -> None:
    wanted = {site.add(f"a{number}", after=number // 3) for number in range(14)}
    pages = site.pull(limit=4)
    for number in range(1, len(pages)):
        again = site.pull(json.loads(json.dumps(pages[number - 1].cursor)), limit=4)
        assert set(natives(pages[:number])) | set(natives(again)) == wanted


def test_an_alert_that_becomes_queryable_late_is_read_within_half_an_hour(site: Site) -> None:
    site.add("early", after=1900)
    cursor = site.pull()[-1].cursor
    late, too_late = site.add("late", after=120), site.add("too late", after=60)
    assert natives(site.pull(cursor)) == [late]
    assert too_late in natives(site.pull())


def test_what_the_connector_wrote_itself_comes_again_as_a_new_version(site: Site) -> None:
    native_id = site.add("one")
    first = site.pull()
    site.time.advance(60)
    site.write(dispose(native_id, status="closed"))
    second = site.pull(first[-1].cursor)
    assert natives(second) == [native_id]
    assert keys(second) != keys(first)


def test_seven_digits_of_a_second_are_kept_in_the_bound(site: Site) -> None:
    site.add("one", after=0.123456)
    cursor = site.pull()[-1].cursor
    assert cursor is not None
    assert cursor["newest"]["updated"] % 1_000_000_000 == 123_456_200  # the simulator's seventh digit is 2
    assert keys(site.pull(cursor)) == []
    for number in range(1, 4):
        site.add(f"a{number}", after=0.123456 + number / 1_000_000)
    assert len(natives(site.pull(limit=1))) == 4


def test_a_206_keeps_what_came_leaves_the_cursor_and_ends_the_pull(site: Site) -> None:
    wanted = {site.add(f"a{number}", after=number) for number in range(8)}
    site.simulator.faults.add("partial_answer", path=ALERTS, after=1, times=1)
    batches, error = site.pull_until_error(limit=4)
    assert [(len(batch.records), batch.cursor is None) for batch in batches] == [(4, False), (1, True)]
    assert isinstance(error, UnavailableError)
    assert "Microsoft Defender for Endpoint/504" in str(error)
    assert set(natives(batches)) | set(natives(site.pull(batches[0].cursor))) == wanted


def test_a_refused_link_within_one_instant_means_starting_from_the_stored_time(site: Site) -> None:
    for number in range(6):
        site.add(f"a{number}")
    site.simulator.faults.add("server_error", path=ALERTS, after=2, times=1, options={"status": 400})
    batches, error = site.pull_until_error(limit=2)
    assert len(batches) == 2
    assert isinstance(error, CursorExpiredError)


def test_only_the_sources_asked_for_are_pulled(site: Site) -> None:
    endpoint = site.add("endpoint", device=LAPTOP)
    site.add("sign-in", user="jdoe@corp.example.com")
    site.settings["sources"] = "microsoftDefenderForEndpoint, microsoftDefenderForIdentity"
    assert natives(site.pull()) == [endpoint]


def test_newer_enum_words_arrive_as_they_are(site: Site) -> None:
    native_id = site.add("cloud")
    site.simulator.alerts[native_id]["serviceSource"] = "microsoftDefenderForCloud"
    (record,) = site.pull()[0].records
    assert json.loads(record.payload)["serviceSource"] == "microsoftDefenderForCloud"


def test_incidents_are_pulled_bare_and_only_where_they_are_wanted(site: Site) -> None:
    site.add("one", device=LAPTOP)
    site.add("two", device=LAPTOP)
    assert site.pull(stream="incidents") == []
    site.settings["incidents"] = True
    (record,) = site.pull(stream="incidents")[0].records
    assert record.native_id in site.simulator.incidents
    assert "alerts" not in json.loads(record.payload)
    assert not any("expand" in request.query for request in site.simulator.seen)


def test_a_story_comes_out_of_the_mapping_complete(site: Site) -> None:
    site.add(
        "one",
        device=LAPTOP,
        user="jdoe",
        user_domain="CORP",
        user_sid="S-1-5-21-1-2-3-1001",
        process=ODD,
        destination_address="203.0.113.9",
        technique_ids=("T1059.001",),
        tactic_ids=("TA0011",),
        convicted_sha256=ODD.sha256,
    )
    (record,) = site.pull()[0].records
    made = normalizer().normalize("microsoft_defender_xdr", record.payload, ACME)
    entities = {(entity.role, entity.value) for entity in made.alert.entities}
    assert {("victim-host", "ws-0042"), ("victim-user", "jdoe"), ("attacker-address", "203.0.113.9")} <= entities
    assert ("malicious-file", f"sha256:{ODD.sha256}") in entities
    assert (made.alert.techniques, made.alert.tactics) == (("T1059.001",), ("TA0011",))
    assert (made.alert.severity_id, made.alert.created) == (4, NOON)
    assert not made.loss.lost


def test_one_alert_or_incident_is_read_by_its_id(site: Site) -> None:
    native_id = site.add("one", device=LAPTOP)
    incident = next(iter(site.simulator.incidents))
    record = site.run(lambda connector: connector.read_one("alerts", native_id))
    assert record.key == keys(site.pull())[0]
    assert site.run(lambda connector: connector.read_one("incidents", incident)).native_id == incident
    with pytest.raises(NotFoundError):
        site.run(lambda connector: connector.read_one("alerts", "da0/../x"))


# Signing in


def test_each_surface_gets_a_token_of_its_own_audience(site: Site) -> None:
    async def both(connector: Connector) -> None:
        await connector.find_asset(AssetQuery(hostname="ws-0042"))
        await connector.search("DeviceInfo", limit=1)
        await connector.search("DeviceInfo", limit=1)

    site.run(both)
    tokens = [seen for seen in site.simulator.seen if seen.path.endswith("/oauth2/v2.0/token")]
    assert len(tokens) == 2


def test_a_wrong_secret_is_said_at_once_with_the_vendors_code(site: Site) -> None:
    site.settings["client_secret"] = "env:NOT_THERE"
    with pytest.raises(ConfigError):
        site.pull()
    other = Simulator(secret="other")
    site.settings = {"client_secret": other.settings("https://x.example.com")["client_secret"]}
    batches, error = site.pull_until_error(limit=1)
    assert batches == []
    assert isinstance(error, AuthError)
    assert "AADSTS7000215" in str(error)


@pytest.mark.parametrize(
    ("role", "verb"),
    [("Machine.Isolate", "host.isolate"), ("Machine.RestrictExecution", "host.restrict_execution")],
)
def test_a_missing_permission_is_named(site: Site, role: str, verb: str) -> None:
    site.simulator.roles.remove(role)
    with pytest.raises(ScopeError, match=role):
        site.act(command(verb))


def test_a_permission_that_is_consented_now_counts_from_the_next_token(site: Site) -> None:
    site.simulator.roles.remove("ThreatHunting.Read.All")

    async def twice(connector: Connector) -> None:
        with pytest.raises(ScopeError, match=r"ThreatHunting\.Read\.All"):
            await connector.search("DeviceInfo", limit=1)
        site.simulator.roles.add("ThreatHunting.Read.All")
        with pytest.raises(ScopeError):
            await connector.search("DeviceInfo", limit=1)
        site.time.advance(3600)
        assert len(await connector.search("DeviceInfo", limit=1)) == 1

    site.run(twice)


def test_health_names_every_missing_permission_and_leaves_out_what_is_switched_off(site: Site) -> None:
    assert site.run(lambda connector: connector.check_health()).ok
    site.simulator.roles = set(ALL_ROLES - {"Ti.ReadWrite.All", "Machine.Read.All"})
    health = site.run(lambda connector: connector.check_health())
    assert not health.ok
    assert [role for role in ("Ti.ReadWrite.All", "Machine.Read.All") if role in "".join(health.problems)] == [
        "Ti.ReadWrite.All",
        "Machine.Read.All",
    ]
    site.settings["endpoint"] = False
    assert site.run(lambda connector: connector.check_health()).ok


@pytest.mark.parametrize(
    ("settings", "key"), [({"page_size": 0}, "page_size"), ({"sources": "a b'c"}, "sources"), ({"start": "x"}, "start")]
)
def test_a_wrong_setting_is_named_when_the_connector_is_built(site: Site, settings: dict[str, Any], key: str) -> None:
    site.settings = settings
    with pytest.raises(ConfigError, match=key):
        site.pull()


# Machines


def test_a_machine_is_found_by_short_name_full_name_address_and_both_ids(site: Site) -> None:
    entra = next(iter(site.simulator.alerts[site.add("one", device=LAPTOP)]["evidence"]))["azureAdDeviceId"]
    queries: list[dict[str, str]] = [
        {"hostname": "ws-0042"},
        {"hostname": "WS-0042", "fqdn": "WS-0042.corp.example.com"},
        {"address": "192.0.2.42"},
        {"device_id": LAPTOP_ID},
        {"device_id": entra},
    ]
    for query in queries:
        (asset,) = site.find(**query)
        assert (asset.native_id, asset.hostname, asset.asset_type, asset.online) == (
            LAPTOP_ID,
            "ws-0042",
            "workstation",
            True,
        ), query


def test_an_empty_list_of_machines_may_be_a_404(site: Site) -> None:
    assert site.find(hostname="ws-9999") == site.find(hostname="ws-004") == []
    assert site.find(device_id="0" * 40) == []
    assert site.find(hostname="ws-0042", fqdn="ws-0042.other.example.com") == []
    assert [asset.native_id for asset in site.find(hostname="db-07", fqdn="db-07.corp.example.com")] == [SERVER_ID]


def test_a_name_with_a_quote_stays_a_name(site: Site) -> None:
    assert site.find(hostname="x' or 'a' eq 'a") == []


def test_of_a_reinstalled_machine_the_live_one_is_found_and_twins_are_both(site: Site) -> None:
    site.simulator.retire("laptop")
    site.time.advance(60)
    site.simulator.add_devices([StoryDevice("again", "WS-0042", ("192.0.2.43",))])
    site.time.advance(60)
    assert [asset.native_id for asset in site.find(hostname="ws-0042")] == [machine_id("again")]
    site.simulator.add_devices([StoryDevice("twin", "WS-0042", ("192.0.2.44",))])
    site.time.advance(60)
    assert len(site.find(hostname="ws-0042")) == 2


# Machine actions


def test_isolating_is_accepted_then_read_from_the_list_of_actions_then_undone(site: Site) -> None:
    before = site.read(command("host.isolate"))
    assert (before.effect, before.state) == (Effect.NOT_IN_EFFECT, {"isolated": False})
    site.simulator.faults.add("late_effect", options={"seconds": 30})
    receipt = site.act(command("host.isolate", reason="beacon", case_id="case-7"))
    assert receipt.changed
    assert site.read(command("host.isolate")).effect is Effect.PENDING
    site.time.advance(31)
    reading = site.read(command("host.isolate"))
    assert (reading.effect, reading.state) == (Effect.IN_EFFECT, {"isolated": True, "mode": "full"})
    (row,) = site.simulator.actions.actions()
    assert (row["id"], row["scope"]) == (receipt.native_action_id, "Full")
    assert row["requestorComment"].startswith("beacon case-7 [nightdesk ")
    site.act(command("host.release", key="undo"))
    site.time.advance(31)
    assert site.read(command("host.release", key="undo")).effect is Effect.IN_EFFECT
    assert not site.simulator.fleet.devices[LAPTOP_ID].isolated


def test_a_second_isolation_is_never_asked_for(site: Site) -> None:
    assert site.act(command("host.isolate")).changed
    assert site.act(command("host.isolate")).changed  # by its own mark: the change is this command's
    assert not site.act(command("host.isolate", key="other")).changed
    assert site.act(command("host.isolate", key="third", pre_state={"isolated": False})).changed
    assert site.actions() == [("Isolate", "Succeeded")]


def test_an_isolation_that_somebody_asked_for_in_the_portal_is_adopted(site: Site) -> None:
    site.simulator.faults.add("late_effect", options={"seconds": 30})
    row = site.simulator.ask("laptop", "isolate", IsolationType="Full")
    receipt = site.act(command("host.isolate"))
    assert (receipt.native_action_id, receipt.changed) == (row["id"], False)
    site.time.advance(31)
    assert site.read(command("host.isolate")).effect is Effect.IN_EFFECT


def test_an_action_that_came_between_reading_and_asking_is_adopted(site: Site) -> None:
    site.simulator.faults.add("late_effect", options={"seconds": 30})
    asked = site.simulator.actions.ask
    portal: dict[str, Any] = {}

    def faster(name: str, path: str, body: Any, requestor: str = "") -> dict[str, Any]:
        portal.update(asked(name, path, {**body, "Comment": "portal"}, "analyst@example.com"))
        return asked(name, path, body, requestor)

    site.simulator.actions.ask = faster  # type: ignore[method-assign]  # somebody is faster
    receipt = site.act(command("host.isolate"))
    assert (receipt.native_action_id, receipt.changed) == (portal["id"], False)


def test_releasing_a_machine_that_is_off_cancels_the_open_isolation(site: Site) -> None:
    site.simulator.faults.add("offline_host")
    site.act(command("host.isolate"))
    assert site.read(command("host.isolate")).effect is Effect.PENDING
    receipt = site.act(command("host.release", key="undo", pre_state={"isolated": False}))
    assert receipt.changed
    site.simulator.faults.clear()
    site.time.advance(60)
    assert site.actions() == [("Isolate", "Cancelled")]
    assert site.read(command("host.release", key="undo")).effect is Effect.IN_EFFECT
    assert site.read(command("host.isolate")).effect is Effect.FAILED
    assert not site.simulator.fleet.devices[LAPTOP_ID].isolated


def test_an_isolation_left_open_on_an_isolated_machine_does_not_outlive_the_release(site: Site) -> None:
    site.simulator.ask("laptop", "isolate", IsolationType="Full")
    site.simulator.ask("laptop", "isolate", IsolationType="Full")  # stays open, as on the service
    assert site.read(command("host.isolate")).effect is Effect.IN_EFFECT
    site.act(command("host.release"))
    assert site.actions() == [("Isolate", "Succeeded"), ("Isolate", "Cancelled"), ("Unisolate", "Succeeded")]
    assert site.read(command("host.release")).effect is Effect.IN_EFFECT


def test_of_two_that_succeeded_the_one_that_ended_later_counts(site: Site) -> None:
    site.simulator.faults.add("late_effect", options={"seconds": 10})
    site.simulator.faults.add("out_of_order")
    site.simulator.ask("laptop", "isolate", IsolationType="Full")
    site.simulator.ask("laptop", "unisolate")
    site.time.advance(20)
    assert site.actions() == [("Isolate", "Succeeded"), ("Unisolate", "Succeeded")]
    assert site.simulator.fleet.devices[LAPTOP_ID].isolated
    assert site.read(command("host.isolate")).effect is Effect.IN_EFFECT
    assert site.read(command("host.release")).effect is Effect.NOT_IN_EFFECT


def test_a_release_that_is_still_open_means_that_an_isolation_does_not_last(site: Site) -> None:
    site.act(command("host.isolate"))
    site.simulator.faults.add("late_effect", options={"seconds": 30})
    site.simulator.ask("laptop", "unisolate")
    assert site.read(command("host.isolate", key="later")).effect is Effect.NOT_IN_EFFECT
    assert site.act(command("host.isolate", key="later")).changed
    site.time.advance(60)
    assert site.read(command("host.isolate", key="later")).effect is Effect.IN_EFFECT
    assert site.actions() == [("Isolate", "Succeeded"), ("Unisolate", "Cancelled")]


def test_what_was_accepted_and_failed_is_read_as_failed_and_can_be_tried_again(site: Site) -> None:
    site.simulator.faults.add("accepted_then_failed")
    assert site.act(command("host.isolate")).changed
    reading = site.read(command("host.isolate"))
    assert (reading.effect, reading.native_state) == (Effect.FAILED, "")
    assert site.read(command("host.isolate", key="other")).effect is Effect.NOT_IN_EFFECT
    site.simulator.faults.clear()
    site.act(command("host.isolate"))
    assert site.read(command("host.isolate")).effect is Effect.IN_EFFECT


def test_full_covers_selective_with_a_loss_and_selective_is_not_full(site: Site) -> None:
    selective = {"mode": "selective"}
    site.act(command("host.isolate", parameters=selective))
    assert site.read(command("host.isolate", parameters=selective)).state == {"isolated": True, "mode": "selective"}
    assert site.read(command("host.isolate", key="full")).effect is Effect.NOT_IN_EFFECT
    with pytest.raises(RejectedError, match="release it first"):
        site.act(command("host.isolate", key="full"))
    site.act(command("host.release"))
    site.act(command("host.isolate", key="full"))
    receipt = site.act(command("host.isolate", key="again", parameters=selective))
    assert receipt.losses == ("mode=selective: the host is isolated fully already",)
    assert site.read(command("host.isolate", key="again", parameters=selective)).effect is Effect.IN_EFFECT


def test_what_the_platform_cannot_is_refused(site: Site) -> None:
    linux = command("host.isolate", "host:db-07", SERVER_ID, parameters={"mode": "selective"})
    with pytest.raises(RejectedError, match="not supported on Linux"):
        site.act(linux)
    with pytest.raises(UnsupportedError, match="unmanaged"):
        site.act(command("host.isolate", parameters={"mode": "unmanaged"}))
    with pytest.raises(UnsupportedError, match="path"):
        site.act(command("host.scan", parameters={"path": "C:\\"}))
    with pytest.raises(RejectedError, match="no machine is named"):
        site.read(command("host.isolate", native_id=""))


def test_an_isolation_whose_answer_was_lost_is_found_by_the_next_try(site: Site) -> None:
    site.simulator.faults.add("lost_reply", method="POST", path="/isolate$", times=1)
    with pytest.raises(UnavailableError):
        site.act(command("host.isolate"))
    assert site.act(command("host.isolate")).changed
    assert site.actions() == [("Isolate", "Succeeded")]


def test_restricting_execution_is_read_back_and_lifted(site: Site) -> None:
    site.act(command("host.restrict_execution"))
    assert site.read(command("host.restrict_execution")).state == {"restricted": True}
    assert site.simulator.fleet.devices[LAPTOP_ID].restricted
    assert site.read(command("host.isolate")).effect is Effect.NOT_IN_EFFECT
    site.act(command("host.lift_restriction"))
    assert site.read(command("host.lift_restriction")).effect is Effect.IN_EFFECT
    assert not site.simulator.fleet.devices[LAPTOP_ID].restricted


@pytest.mark.parametrize("verb", ["host.scan", "host.collect_evidence"])
def test_a_scan_or_package_counts_once_it_succeeded_and_is_asked_for_once(site: Site, verb: str) -> None:
    site.simulator.faults.add("late_effect", options={"seconds": 30})
    assert site.read(command(verb)).effect is Effect.NOT_IN_EFFECT
    assert site.act(command(verb)).changed
    assert site.read(command(verb)).effect is Effect.PENDING
    adopted = site.act(command(verb, key="other"))
    assert not adopted.changed
    site.time.advance(31)
    assert site.read(command(verb)).effect is Effect.IN_EFFECT
    assert site.read(command(verb, key="other")).effect is Effect.IN_EFFECT
    site.act(command(verb))
    assert len(site.actions()) == 1


def test_an_earlier_scan_of_somebody_elses_does_not_count(site: Site) -> None:
    site.simulator.ask("laptop", "runAntiVirusScan", ScanType="Full")
    site.time.advance(60)
    wish = Command("t", "a", "host.scan", Target.parse("host:ws-0042"), "k", site.time.clock(), LAPTOP_ID)
    assert site.read(wish).effect is Effect.NOT_IN_EFFECT
    assert site.act(wish).changed
    assert len(site.actions()) == 2


def test_a_file_named_by_sha256_is_quarantined_by_its_sha1(site: Site) -> None:
    wish = command("file.quarantine", f"file:sha256:{ODD.sha256}")
    site.act(wish)
    reading = site.read(wish)
    assert (reading.effect, reading.state["sha1"]) == (Effect.IN_EFFECT, sha1_of(ODD.sha256))
    assert site.simulator.fleet.devices[LAPTOP_ID].files[ODD.path].quarantined
    by_sha1 = command("file.quarantine", f"file:sha1:{sha1_of(ODD.sha256)}")
    assert site.read(by_sha1).effect is Effect.IN_EFFECT


def test_a_file_that_is_not_there_fails_and_an_unknown_hash_is_refused(site: Site) -> None:
    gone = command("file.quarantine", f"file:sha1:{'c0' * 20}")
    site.act(gone)
    assert site.read(gone).effect is Effect.FAILED
    with pytest.raises(RejectedError, match="has not seen this file"):
        site.act(command("file.quarantine", f"file:sha256:{'cd' * 32}"))
    with pytest.raises(UnsupportedError, match="sha1 or sha256"):
        site.act(command("file.quarantine", f"file:md5:{'cd' * 16}"))


# Indicators

OBSERVABLES = [
    ("hash", f"file:sha256:{'cd' * 32}", "FileSha256", "cd" * 32),
    ("hash", f"file:sha1:{'cd' * 20}", "FileSha1", "cd" * 20),
    ("ip", "address:203.0.113.7", "IpAddress", "203.0.113.7"),
    ("domain", "domain:Bad.example.com", "DomainName", "bad.example.com"),
    ("url", "url:https://bad.example.com/x?a='1'", "Url", "https://bad.example.com/x?a='1'"),
]


@pytest.mark.parametrize(("noun", "target", "kind", "value"), OBSERVABLES)
def test_a_block_is_an_indicator_that_blocks_until_it_is_deleted(
    site: Site, noun: str, target: str, kind: str, value: str
) -> None:
    block, unblock = command(f"{noun}.block", target), command(f"{noun}.unblock", target)
    assert site.read(block).effect is Effect.NOT_IN_EFFECT
    assert site.act(block).changed
    (row,) = site.simulator.indicators.values()
    assert (row["indicatorType"], row["indicatorValue"], row["action"]) == (kind, value, "Block")
    reading = site.read(block)
    assert (reading.effect, reading.state["ours"], reading.state["indicator_id"]) == (Effect.IN_EFFECT, True, row["id"])
    site.act(block)
    assert len(site.simulator.indicators) == 1
    site.act(unblock)
    assert not site.simulator.indicators
    assert site.read(unblock).effect is Effect.IN_EFFECT
    assert not site.act(unblock).changed


@pytest.mark.parametrize("action", ["Warn", "Audit", "Allowed"])
def test_what_only_warns_tells_or_allows_is_no_block_and_is_not_written_over(site: Site, action: str) -> None:
    value = {"indicatorType": "DomainName", "indicatorValue": "bad.example.com"}
    name = site.simulator.add_indicator(**value, action=action, generateAlert=True)
    wish = command("domain.block", "domain:bad.example.com")
    assert site.read(wish).effect is Effect.NOT_IN_EFFECT
    with pytest.raises(RejectedError, match=action):
        site.act(wish)
    assert site.simulator.indicators[name]["action"] == action


def test_a_block_of_one_device_group_leaves_the_others_open(site: Site) -> None:
    site.simulator.add_indicator(indicatorType="IpAddress", indicatorValue="203.0.113.7", rbacGroupNames=["lab"])
    wish = command("ip.block", "address:203.0.113.7")
    assert site.read(wish).effect is Effect.NOT_IN_EFFECT
    with pytest.raises(RejectedError, match="lab"):
        site.act(wish)


def test_somebody_elses_block_is_enough_and_is_not_ours_to_remove(site: Site) -> None:
    site.simulator.add_indicator(indicatorType="FileSha256", indicatorValue="CD" * 32)
    target = f"file:sha256:{'cd' * 32}"
    assert not site.act(command("hash.block", target)).changed
    reading = site.read(command("hash.block", target))
    assert (reading.effect, reading.state["ours"]) == (Effect.IN_EFFECT, False)
    with pytest.raises(RejectedError, match=r"analyst@example\.com"):
        site.act(command("hash.unblock", target))
    assert len(site.simulator.indicators) == 1


def test_an_indicator_that_could_not_be_seen_and_was_written_over_is_named(site: Site) -> None:
    name = site.simulator.add_indicator(indicatorType="DomainName", indicatorValue="Bad.Example.COM", action="Warn")
    (loss,) = site.act(command("domain.block", "domain:bad.example.com")).losses
    assert name in loss


def test_a_duration_ends_the_block_and_a_longer_one_prolongs_it(site: Site) -> None:
    short = command("ip.block", "address:203.0.113.7", parameters={"duration": 3600})
    site.act(short)
    assert site.read(short).state["ends_at"] == "2026-11-01T13:00:00Z"
    longer = command("ip.block", "address:203.0.113.7", parameters={"duration": 7200}, key="longer")
    assert site.act(longer).changed
    assert not site.act(command("ip.block", "address:203.0.113.7", parameters={"duration": 60}, key="less")).changed
    (row,) = site.simulator.indicators.values()
    assert row["expirationTime"] == "2026-11-01T14:00:00Z"
    site.time.advance(7201)
    assert site.read(longer).effect is Effect.NOT_IN_EFFECT


def test_a_block_that_never_ends_tells_no_end(site: Site) -> None:
    wish = command("ip.block", "address:203.0.113.7")
    assert "ends_at" not in site.act(wish).evidence
    assert "ends_at" not in site.read(wish).state
    site.act(command("ip.unblock", "address:203.0.113.7"))
    short = site.act(command("ip.block", "address:203.0.113.7", parameters={"duration": 3600}, key="short"))
    assert short.evidence["ends_at"] == "2026-11-01T13:00:00Z"


def test_a_longer_block_than_somebody_elses_is_a_loss(site: Site) -> None:
    until = "2026-11-01T13:00:00Z"
    site.simulator.add_indicator(indicatorType="IpAddress", indicatorValue="203.0.113.7", expirationTime=until)
    receipt = site.act(command("ip.block", "address:203.0.113.7"))
    assert not receipt.changed
    assert until in receipt.losses[0]


def test_an_indicator_that_went_meanwhile_is_what_was_wanted(site: Site) -> None:
    site.act(command("ip.block", "address:203.0.113.7"))
    site.simulator.faults.add("server_error", method="DELETE", times=1, options={"status": 404})
    assert site.act(command("ip.unblock", "address:203.0.113.7")).changed


@pytest.mark.parametrize(
    ("target", "parameters", "error"),
    [
        ("address:203.0.113.0/24", {}, UnsupportedError),
        ("address:10.1.2.3", {}, RejectedError),
        ("address:203.0.113.7", {"direction": "inbound"}, UnsupportedError),
        ("address:203.0.113.7", {"duration": -1}, RejectedError),
        ("address:203.0.113.7", {"duration": True}, RejectedError),
    ],
)
def test_what_cannot_be_blocked_so_is_refused(
    site: Site, target: str, parameters: dict[str, Any], error: type[NightdeskError]
) -> None:
    with pytest.raises(error):
        site.act(command("ip.block", target, parameters=parameters))
    assert not site.simulator.indicators


# Triage


def test_a_verdict_sets_classification_and_a_determination_that_goes_with_it(site: Site) -> None:
    native_id = site.add("one")
    site.write(dispose(native_id, disposition="true-positive"))
    row = site.simulator.alerts[native_id]
    assert (row["classification"], row["determination"], row["status"]) == ("truePositive", "other", "new")
    site.simulator.triage(native_id, determination="malware")
    site.write(dispose(native_id, status="closed", disposition="true-positive"))
    assert (row["determination"], row["status"]) == ("malware", "resolved")
    site.write(dispose(native_id, disposition="test"))
    assert (row["classification"], row["determination"]) == ("informationalExpectedActivity", "securityTesting")
    assert site.read(dispose(native_id, disposition="benign-positive")).effect is Effect.NOT_IN_EFFECT


def test_an_undo_restores_the_status_and_determination_that_were_there(site: Site) -> None:
    native_id = site.add("one")
    site.simulator.triage(native_id, status="inProgress", classification="truePositive", determination="phishing")
    wish = dispose(native_id, status="closed", disposition="false-positive")
    before = site.read(wish).state
    site.write(wish)
    site.write(dispose(native_id, before, status=before["status"], disposition=before["disposition"], key="undo"))
    row = site.simulator.alerts[native_id]
    assert (row["status"], row["classification"], row["determination"]) == ("inProgress", "truePositive", "phishing")


def test_words_are_compared_without_their_letter_case(site: Site) -> None:
    native_id = site.add("one")
    site.simulator.alerts[native_id].update(status="Resolved", classification="FalsePositive")
    wish = dispose(native_id, status="closed", disposition="false-positive")
    assert site.read(wish).effect is Effect.IN_EFFECT
    assert not site.write(wish).changed
    assert not [seen for seen in site.simulator.mutations() if seen.method == "PATCH"]


def test_a_comment_is_said_once_even_when_its_answer_was_lost(site: Site) -> None:
    native_id = site.add("one")
    wish = dispose(native_id, status="closed", comment="seen")
    site.simulator.faults.add("lost_reply", method="POST", path="comments$", times=1)
    with pytest.raises(UnavailableError):
        site.write(wish)
    assert site.write(wish).changed
    (text,) = site.simulator.alert_state(native_id)["comments"]
    assert text.startswith("seen [nightdesk ")
    assert site.read(wish).effect is Effect.IN_EFFECT
    with pytest.raises(RejectedError, match="empty"):
        site.write(command("alert.comment", "alert:one", native_id, parameters={"comment": " "}))


def test_words_that_graph_does_not_have_are_losses(site: Site) -> None:
    native_id = site.add("one")
    losses = site.write(dispose(native_id, disposition="likely-true-positive")).losses
    assert losses == ("disposition=likely-true-positive: Defender keeps it as truePositive",)
    assert site.write(dispose(native_id, disposition="true-positive")).losses == ()


def test_an_incident_is_written_by_its_number_and_a_merged_one_names_its_successor(site: Site) -> None:
    site.add("one", device=LAPTOP)
    ((name, row),) = site.simulator.incidents.items()
    wish = dispose(name, status="closed", disposition="true-positive", comment="done")
    site.write(wish)
    assert (row["status"], row["classification"], len(row["comments"])) == ("resolved", "truePositive", 1)
    assert site.read(wish).effect is Effect.IN_EFFECT
    site.write(dispose(name, status="open", key="again"))
    assert row["status"] == "active"
    row.update(status="redirected", redirectIncidentId="77")
    with pytest.raises(RejectedError, match="77"):
        site.write(dispose(name, status="open"))


# Searching


def test_a_search_hunts_with_the_limit_in_the_query(site: Site) -> None:
    for number in range(5):
        site.add(f"a{number}")
    rows = site.run(lambda connector: connector.search("AlertInfo | where Severity == 'High';", limit=3))
    assert len(rows) == 3
    assert rows[0]["Title"] == "Odd process"
    assert site.simulator.queries == ["AlertInfo | where Severity == 'High'\n| take 3"]
    with pytest.raises(RejectedError, match="NoSuchTable"):
        site.run(lambda connector: connector.search("NoSuchTable", limit=1))
    with pytest.raises(RejectedError, match="limit"):
        site.run(lambda connector: connector.search(" ; ", limit=1))
