import asyncio
import json
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import httpx
import pytest
from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send

import nightdesk.connectors.trend_vision_one as package
from nightdesk.connectors.trend_vision_one import Connector
from nightdesk.connectors.trend_vision_one.payloads import agent_guid, sha1_of
from nightdesk.connectors.trend_vision_one.simulator import ALL_PERMISSIONS, Simulator
from nightdesk.sdk.context import Context, Network, Settings
from nightdesk.sdk.errors import (
    AuthError,
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
from nightdesk.sdk.ports import Command, Effect, Reading, Receipt
from nightdesk.sdk.records import Batch, Cursor
from nightdesk.sdk.secrets import Secret
from nightdesk.sdk.targets import AccountQuery, AssetQuery, Target
from nightdesk.sdk.testing import StoryAccount, StoryAlert, StoryDevice
from nightdesk.sdk.testing.fake_time import FakeTime
from nightdesk.sdk.testing.story import StoryProcess

T = TypeVar("T")
NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)
MANIFEST = load_manifest(Path(package.__file__).parent / "manifest.yaml")
DIGEST = "5f" * 32
PROCESS = StoryProcess("odd.exe", r"C:\Temp\odd.exe", "odd.exe -x", 4711, DIGEST)
LAPTOP = StoryDevice("d-1", "WS-0042", ("192.0.2.42",), processes=(PROCESS,))
GUID = agent_guid("d-1")
JDOE = StoryAccount("acc-1", "jdoe", "jdoe@corp.example.com", "CORP")
ALERTS = "/v3.0/workbench/alerts"


class Gate:
    """Stands before a simulator: does something before matching requests, answers in its place, keeps headers."""

    def __init__(self, simulator: Simulator) -> None:
        self.simulator = simulator
        self.before: tuple[str, Callable[[], None]] | None = None
        self.instead: Response | None = None
        self.filters: list[str] = []
        self.queries: list[str] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = dict(scope["headers"])
        self.filters.append(headers.get(b"tmv1-filter", b"").decode())
        self.queries.append(scope["query_string"].decode())
        asked = f"{scope['method']} {scope['path']}?{self.queries[-1]}"
        if self.before is not None and re.search(self.before[0], asked):
            meddle, self.before = self.before[1], None
            meddle()
        await (self.instead or self.simulator)(scope, receive, send)


@dataclass
class Site:
    """One simulator reached without a socket, and the time of both ends; every call builds its own connector."""

    simulator: Simulator
    time: FakeTime
    settings: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.gate = Gate(self.simulator)

    def run(self, work: Callable[[Connector], Awaitable[T]]) -> T:
        async def once() -> T:
            given = {**self.simulator.settings("https://api.eu.xdr.trendmicro.com"), **self.settings}
            values = validate_settings(MANIFEST, given, file="nightdesk.yaml", key="connectors.v1")
            network = Network(timeout=5, transport=httpx.ASGITransport(self.gate))
            context = Context("acme", "v1", Settings(values), network, self.time.clock, self.time.sleep)
            connector = Connector(context)
            try:
                return await work(connector)
            finally:
                await connector.aclose()

        return asyncio.run(once())

    def pull(self, cursor: Cursor | None = None, *, limit: int = 100, between: Any = None) -> list[Batch]:
        async def drained(connector: Connector) -> list[Batch]:
            batches = []
            async for batch in connector.pull("workbench_alerts", cursor, limit=limit):
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

    def effect(self, command: Command) -> Effect:
        return self.read(command).effect

    def orders(self) -> list[str]:
        return [task["action"] for task in self.simulator.tasks]

    def asked(self, path: str, method: str = "GET") -> int:
        return sum(1 for seen in self.simulator.seen if (seen.method, seen.path) == (method, path))


@pytest.fixture
def site() -> Site:
    time = FakeTime(NOON)
    simulator = Simulator(clock=time.clock, secret="key")
    simulator.add_devices([LAPTOP])
    simulator.add_accounts([JDOE])
    return Site(simulator, time)


def command(verb: str, target: str, native_id: str = "", key: str = "key-1", **fields: Any) -> Command:
    facts = fields.pop("facts", {})
    parsed = Target.parse(target)
    aimed = Target(parsed.kind, parsed.value, facts)
    return Command("acme", "action-1", verb, aimed, key, NOON, native_id or parsed.value, **fields)


def isolate(verb: str = "host.isolate", **fields: Any) -> Command:
    return command(verb, "host:ws-0042", GUID, **fields)


def account(verb: str, **fields: Any) -> Command:
    return command(verb, "account:jdoe@corp.example.com", "jdoe@corp.example.com", **fields)


def kill(target: str = "process:odd.exe", **facts: str) -> Command:
    return command("process.terminate", target, GUID, facts=facts)


def dispose(native_id: str, key: str = "key-1", pre_state: Mapping[str, Any] | None = None, **words: Any) -> Command:
    verb = "alert.set_disposition"
    return command(verb, f"alert:{native_id}", native_id, key, parameters=words, pre_state=pre_state or {})


def natives(batches: list[Batch]) -> list[str]:
    return [record.native_id for batch in batches for record in batch.records]


# Pulling


def test_ties_of_one_second_come_out_once_though_the_page_size_is_the_vendors(site: Site) -> None:
    wanted = [site.add(f"a{number}", after=number // 12) for number in range(40)]
    site.time.advance(60)
    batches = site.pull(limit=4)
    assert sorted(natives(batches)) == sorted(wanted)
    assert max(len(batch.records) for batch in batches) == 4
    assert [batch.more for batch in batches] == [True] * (len(batches) - 1) + [False]
    assert natives(site.pull(batches[-1].cursor)) == []


def test_the_window_is_always_named_because_the_default_is_a_day(site: Site) -> None:
    site.settings["start"] = "2026-09-01T00:00:00Z"
    old = site.add("old", after=-40 * 86_400)
    assert natives(site.pull()) == [old]
    assert site.gate.queries[0].startswith("startDateTime=2026-09-01T00%3A00%3A00Z&dateTimeTarget=updatedDateTime")


def test_a_start_before_the_retention_is_asked_for_no_further_than_it_reaches(site: Site) -> None:
    site.settings["start"] = "2020-01-01T00:00:00Z"
    alert = site.add("kept", after=-100 * 86_400)
    assert natives(site.pull()) == [alert]


def test_the_filter_goes_along_with_every_page(site: Site) -> None:
    wanted = [site.add(f"a{number}") for number in range(25)]
    others = [site.simulator.add(StoryAlert(f"b{number}", NOON, "Quiet", "r", "low")) for number in range(15)]
    site.settings["filter"] = "severity eq 'high'"
    assert sorted(natives(site.pull())) == sorted(wanted)
    assert set(site.gate.filters) == {"severity eq 'high'"}
    assert len(site.gate.filters) > 2
    assert not set(others) & set(natives(site.pull()))


def test_an_alert_that_changes_between_two_pages_hides_no_other(site: Site) -> None:
    wanted = [site.add(f"a{number}", after=number) for number in range(30)]
    site.time.advance(3600)
    batches = site.pull(limit=10, between=lambda: site.simulator.triage(wanted[0], status="In Progress"))
    assert sorted(set(natives(batches))) == sorted(wanted)


def test_a_change_in_the_second_that_was_read_already_is_a_version_of_its_own(site: Site) -> None:
    native_id = site.add("one")
    first = site.pull()
    site.simulator.triage(native_id, status="In Progress")
    second = site.pull(first[-1].cursor)
    assert site.simulator.alerts[native_id]["updatedDateTime"] == "2026-11-01T12:00:00Z"
    assert natives(second) == [native_id]
    assert second[0].records[0].key != first[0].records[0].key


def test_a_record_is_what_the_vendor_wrote_byte_for_byte(site: Site) -> None:
    text = '{ "id" : "WB-1","score":1.10, "updatedDateTime":"2026-11-01T12:00:00Z", "é":"\\u00e9" }'
    site.gate.instead = Response(f'{{"count":2, "items": [\n {text} , "odd"]}}', media_type="application/json")
    (batch,) = site.pull()
    assert [record.payload.decode() for record in batch.records] == [text]
    assert [failure.payload for failure in batch.failures] == [b'"odd"']


@pytest.mark.parametrize("body", ["<html>sign in</html>", "[]", '{"items": 5}', '{"alerts": []}'])
def test_what_is_no_list_of_alerts_is_said_so(site: Site, body: str) -> None:
    site.gate.instead = Response(body, media_type="application/json")
    with pytest.raises(ResponseError, match="base_url"):
        site.pull()


def test_a_next_link_that_is_refused_or_goes_round_ends_the_pull(site: Site) -> None:
    for number in range(15):
        site.add(f"a{number}")

    def refuse() -> None:
        site.gate.instead = JSONResponse({"error": {"code": "BadRequest", "message": "Invalid skipToken"}}, 400)

    site.gate.before = ("skipToken", refuse)
    with pytest.raises(CursorExpiredError, match="restart"):
        site.pull()
    row = dict(next(iter(site.simulator.alerts.values())), updatedDateTime="2026-10-31T12:00:00Z")
    link = f"https://api.eu.xdr.trendmicro.com{ALERTS}?skipToken=1"
    site.gate.instead = JSONResponse({"items": [row], "nextLink": link})
    with pytest.raises(ResponseError, match="repeats"):
        site.pull()


@pytest.mark.parametrize("cursor", [{}, {"start": "x", "newest": {}, "seen": []}])
def test_a_cursor_that_is_not_ours_is_refused(site: Site, cursor: dict[str, Any]) -> None:
    with pytest.raises(CursorExpiredError):
        site.pull(cursor)


@pytest.mark.parametrize("given", [{"filter": "severity eq 'é'"}, {"filter": "a\nb"}, {"start": "yesterday"}])
def test_a_setting_that_cannot_work_is_said_at_once(site: Site, given: dict[str, str]) -> None:
    site.settings.update(given)
    with pytest.raises(ConfigError):
        site.pull()


# Writing back


def test_closing_names_the_result_although_only_the_status_changes(site: Site) -> None:
    native_id = site.add("one")
    receipt = site.write(dispose(native_id, status="closed"))
    assert receipt.evidence["written"] == {"status": "Closed", "investigationResult": "No Findings"}
    assert site.simulator.alert_state(native_id)["status"] == "closed"


def test_a_stale_etag_is_read_again_and_only_what_is_still_missing_is_written(site: Site) -> None:
    native_id = site.add("one")
    site.gate.before = ("PATCH", lambda: site.simulator.triage(native_id, investigationResult="True Positive"))
    receipt = site.write(dispose(native_id, status="closed", disposition="true-positive"))
    assert receipt.evidence["written"] == {"status": "Closed", "investigationResult": "True Positive"}
    assert receipt.evidence["before"]["disposition"] == "true-positive"
    assert site.asked(f"{ALERTS}/{native_id}", "PATCH") == 2


def test_an_alert_that_never_rests_is_given_up(site: Site) -> None:
    native_id = site.add("one")
    site.simulator.stir(native_id)
    with pytest.raises(UnavailableError, match="3 times"):
        site.write(dispose(native_id, status="closed"))
    assert site.asked(f"{ALERTS}/{native_id}", "PATCH") == 3


def test_an_alert_that_is_already_so_is_left_alone(site: Site) -> None:
    native_id = site.add("one")
    wish = dispose(native_id, status="closed", disposition="false-positive")
    site.write(wish)
    assert site.write(wish).changed is False
    was_open = {"status": "open", "disposition": ""}
    again = dispose(native_id, status="closed", disposition="false-positive", pre_state=was_open)
    assert site.write(again).changed is True
    assert site.asked(f"{ALERTS}/{native_id}", "PATCH") == 1


def test_an_undo_brings_in_progress_back(site: Site) -> None:
    native_id = site.add("one")
    site.simulator.triage(native_id, status="In Progress")
    wish = dispose(native_id, status="closed", disposition="false-positive")
    before = site.read(wish).state
    site.write(wish)
    site.write(dispose(native_id, "undo", before, status="open"))
    assert site.simulator.alerts[native_id]["status"] == "In Progress"


@pytest.mark.parametrize(
    ("word", "kept", "lost"),
    [
        ("likely-true-positive", "Noteworthy", False),
        ("benign-positive", "Benign True Positive", False),
        ("likely-false-positive", "False Positive", True),
        ("duplicate", "No Findings", True),
        ("", "No Findings", False),
    ],
)
def test_a_result_that_vision_one_does_not_know_is_a_loss(site: Site, word: str, kept: str, lost: bool) -> None:
    native_id = site.add("one")
    receipt = site.write(dispose(native_id, disposition=word))
    assert site.simulator.alerts[native_id]["investigationResult"] == kept
    assert bool(receipt.losses) is lost


@pytest.mark.parametrize(
    ("former", "state"),
    [
        ("New", {"status": "open", "disposition": "", "native_status": "New"}),
        ("False Positive", {"status": "closed", "disposition": "false-positive", "native_status": "False Positive"}),
        ("Closed", {"status": "closed", "disposition": "", "native_status": "Closed"}),
    ],
)
def test_the_deprecated_single_field_is_read(site: Site, former: str, state: dict[str, str]) -> None:
    site.gate.instead = JSONResponse({"id": "WB-1", "investigationStatus": former}, headers={"ETag": "bare"})
    assert site.read(dispose("WB-1", status="open")).state == state


def test_a_comment_becomes_one_note_however_often_it_is_sent(site: Site) -> None:
    native_id = site.add("one")
    say = command("alert.comment", f"alert:{native_id}", native_id, parameters={"comment": "seen"})
    assert site.effect(say) is Effect.NOT_IN_EFFECT
    for number in range(60):
        site.simulator.note(native_id, f"chatter {number}")
    for _ in range(2):
        assert site.write(say).changed is True
    notes = [text for text in site.simulator.alert_state(native_id)["comments"] if text.startswith("seen [nightdesk ")]
    assert len(notes) == 1
    assert site.effect(say) is Effect.IN_EFFECT


@pytest.mark.parametrize("native_id", ["", "..", "/"])
def test_an_alert_without_an_id_is_refused_before_anything_is_sent(site: Site, native_id: str) -> None:
    with pytest.raises(RejectedError):
        site.run(lambda connector: connector.read_one("workbench_alerts", native_id))
    assert site.simulator.seen == []


# Isolation


def test_isolation_counts_only_once_the_inventory_says_so(site: Site) -> None:
    site.simulator.faults.add("late_effect", options={"seconds": 30})
    assert site.act(isolate()).native_action_id == "00000001"
    reading = site.read(isolate())
    assert (reading.effect, reading.native_state) == (Effect.PENDING, "off, task 00000001 running")
    site.time.advance(30)
    assert site.read(isolate()).state["isolated"] is True
    assert site.effect(isolate()) is Effect.IN_EFFECT
    site.act(isolate())
    assert site.orders() == ["isolate"]


def test_a_207_with_an_error_inside_is_an_error(site: Site) -> None:
    site.gate.before = ("POST", site.simulator.fleet.devices.clear)
    with pytest.raises(NotFoundError, match="inside a 207: NotFound: The endpoint is not found"):
        site.act(isolate())


@pytest.mark.parametrize(
    ("body", "error"),
    [
        ([{"status": 403, "body": {"error": {"code": "AccessDenied"}}}], ScopeError),
        ([{"status": 500, "body": {}}], UnavailableError),
        ([{"body": "odd"}], UnavailableError),
        ([], ResponseError),
        ([{"status": 202}, {"status": 202}], ResponseError),
        ({"status": 202}, ResponseError),
    ],
)
def test_every_element_of_a_207_is_looked_at(site: Site, body: Any, error: type[NightdeskError]) -> None:
    site.gate.before = ("POST", lambda: setattr(site.gate, "instead", JSONResponse(body, 207)))
    with pytest.raises(error):
        site.act(isolate())


def test_a_task_that_waits_for_a_person_is_pending_until_that_person_decides(site: Site) -> None:
    site.simulator.want_approval()
    site.act(isolate())
    assert site.read(isolate()).native_state == "off, task 00000001 pendingApproval"
    assert site.effect(isolate()) is Effect.PENDING
    site.act(isolate())
    assert site.orders() == ["isolate"]
    site.simulator.decide("00000001", approved=False)
    assert site.effect(isolate()) is Effect.FAILED
    site.simulator.want_approval(False)
    site.act(isolate())
    assert site.effect(isolate()) is Effect.IN_EFFECT


def test_somebody_elses_failure_is_not_ours(site: Site) -> None:
    site.simulator.faults.add("accepted_then_failed")
    site.act(isolate(key="theirs"))
    assert site.effect(isolate(key="theirs")) is Effect.FAILED
    assert site.effect(isolate(key="ours")) is Effect.NOT_IN_EFFECT


def test_a_release_under_way_makes_isolation_untrue_and_is_opposed(site: Site) -> None:
    site.act(isolate())
    site.simulator.faults.add("late_effect", options={"seconds": 60})
    site.time.advance(1)
    site.act(isolate("host.release"))
    assert site.read(isolate()).state["isolated"] is True
    assert site.effect(isolate()) is Effect.NOT_IN_EFFECT
    site.act(isolate(key="key-2"))
    assert site.orders() == ["isolate", "restoreIsolate", "isolate"]


def test_an_inventory_that_lags_is_pending_for_a_while_and_then_no_effect(site: Site) -> None:
    site.act(isolate())
    site.simulator.fleet.devices[GUID].isolated = False
    assert site.effect(isolate()) is Effect.PENDING
    site.time.advance(16 * 60)
    assert site.effect(isolate()) is Effect.NOT_IN_EFFECT


def test_an_inventory_that_still_shows_what_was_released_is_not_believed(site: Site) -> None:
    site.act(isolate())
    site.time.advance(1)
    site.act(isolate("host.release"))
    site.simulator.fleet.devices[GUID].isolated = True
    assert site.effect(isolate()) is Effect.NOT_IN_EFFECT
    site.act(isolate(key="key-2"))
    assert site.orders() == ["isolate", "restoreIsolate", "isolate"]


def test_an_isolation_that_the_inventory_does_not_know_is_unknown(site: Site) -> None:
    site.simulator.hide_isolation(GUID)
    assert site.effect(isolate()) is Effect.UNKNOWN
    site.act(isolate())
    reading = site.read(isolate())
    assert reading.effect is Effect.UNKNOWN
    assert "isolated" not in reading.state


def test_a_host_that_was_isolated_before_us_is_not_our_change(site: Site) -> None:
    site.simulator.fleet.order(GUID, isolate=True)
    assert site.act(isolate()).changed is False
    assert site.act(isolate(pre_state={"isolated": False})).changed is True
    assert site.orders() == []


def test_modes_and_strange_parameters_are_lost_or_refused(site: Site) -> None:
    assert "mode=selective" in site.act(isolate(parameters={"mode": "selective"})).losses[0]
    with pytest.raises(UnsupportedError):
        site.act(isolate("host.release", parameters={"mode": "full"}))


# Finding


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({"hostname": "ws-0042"}, 1),
        ({"hostname": "ws-004"}, 0),
        ({"address": "192.0.2.42"}, 1),
        ({"address": "192.0.2.4"}, 0),
        ({"device_id": GUID}, 1),
        ({"device_id": ".."}, 0),
        ({}, 0),
    ],
)
def test_hosts_are_found_exactly(site: Site, query: dict[str, str], found: int) -> None:
    assets = site.run(lambda connector: connector.find_asset(AssetQuery(**query)))
    assert [asset.native_id for asset in assets] == [GUID] * found
    assert [asset.addresses for asset in assets] == [("192.0.2.42",)] * found


def test_one_name_of_two_agents_gives_both(site: Site) -> None:
    site.simulator.add_devices([StoryDevice("d-2", "WS-0042", ("192.0.2.43",))])
    assert len(site.run(lambda connector: connector.find_asset(AssetQuery(hostname="ws-0042")))) == 2


def test_a_name_that_would_change_the_filter_is_not_asked(site: Site) -> None:
    with pytest.raises(RejectedError, match="quotes"):
        site.run(lambda connector: connector.find_asset(AssetQuery(hostname="x' or type eq 'server")))
    assert site.simulator.seen == []


def test_accounts_of_one_name_in_two_domains_are_both_given(site: Site) -> None:
    site.simulator.add_accounts([StoryAccount("acc-2", "jdoe", "", "LAB")])
    by_name = site.run(lambda connector: connector.find_account(AccountQuery(name="jdoe")))
    assert {found.native_id for found in by_name} == {"jdoe@corp.example.com", "LAB\\jdoe"}
    by_domain = site.run(lambda connector: connector.find_account(AccountQuery(name="jdoe", domain="lab")))
    assert "LAB\\jdoe" in {found.native_id for found in by_domain}
    assert [found.domain for found in by_domain if found.domain] == ["LAB"]


# Processes, files, scripts


@pytest.mark.parametrize(
    ("target", "facts"),
    [
        ("process:odd.exe", {"pid": "4711"}),
        ("process:0ddba11e-0000-4000-8000-000000000001", {"pid": "4711", "path": r"C:\Temp\odd.exe"}),
        ("process:0ddba11e-0000-4000-8000-000000000001", {"pid": "4711"}),
        ("process:0ddba11e-0000-4000-8000-000000000001", {"sha1": sha1_of(DIGEST)}),
    ],
)
def test_a_process_is_ended_by_what_is_known_of_it(site: Site, target: str, facts: dict[str, str]) -> None:
    wish = kill(target, **facts)
    receipt = site.act(wish)
    assert bool(receipt.losses) is ("pid" not in facts)
    assert site.effect(wish) is Effect.IN_EFFECT
    assert site.simulator.fleet.devices[GUID].processes == {}
    site.act(wish)
    assert site.orders() == ["terminateProcess"]


@pytest.mark.parametrize("facts", [{}, {"sha1": "short"}, {"pid": "abc"}])
def test_a_process_that_is_not_named_is_not_guessed(site: Site, facts: dict[str, str]) -> None:
    with pytest.raises(RejectedError):
        site.act(kill(**facts))
    assert site.orders() == []


def test_a_process_id_that_nobody_or_two_images_had_is_refused(site: Site) -> None:
    with pytest.raises(NotFoundError, match="no activity"):
        site.act(kill("process:0ddba11e-0000-4000-8000-000000000001", pid="1"))


def test_a_process_that_is_gone_fails(site: Site) -> None:
    site.simulator.fleet.devices[GUID].processes.clear()
    wish = kill(pid="4711")
    site.act(wish)
    assert site.effect(wish) is Effect.FAILED


@pytest.mark.parametrize(("digest", "effect"), [(DIGEST, Effect.IN_EFFECT), ("ab" * 32, Effect.FAILED)])
def test_a_fetched_file_must_be_the_one_that_was_meant(site: Site, digest: str, effect: Effect) -> None:
    wish = command("file.fetch", f"file:sha256:{digest}", GUID, facts={"path": r"C:\Temp\odd.exe"})
    site.act(wish)
    reading = site.read(wish)
    assert reading.effect is effect
    assert reading.state["fileSha256"] == DIGEST
    assert "archive-password" not in repr(reading)


def test_only_a_script_of_the_library_is_run_once_with_its_options(site: Site) -> None:
    wish = command("host.run_script", "host:ws-0042", GUID, parameters={"script": "clean up.ps1 -Deep 1"})
    with pytest.raises(NotFoundError, match="upload it"):
        site.act(wish)
    site.simulator.add_script("clean up.ps1")
    for _ in range(2):
        site.act(wish)
    (task,) = site.simulator.tasks
    assert (task["fileName"], task["parameter"]) == ("clean up.ps1", "-Deep 1")
    with pytest.raises(RejectedError, match="custom script"):
        site.act(command("host.run_script", "host:ws-0042", GUID, parameters={"script": "whoami"}))


# Accounts and mail


def test_an_account_is_disabled_told_and_enabled_by_its_tasks(site: Site) -> None:
    member = site.simulator.directory.accounts["acc-1"]
    off, on = account("account.disable"), account("account.enable", key="undo")
    assert (site.effect(off), site.effect(on)) == (Effect.NOT_IN_EFFECT, Effect.NOT_IN_EFFECT)
    site.act(off)
    assert member.enabled is False
    assert site.read(off).state["disabled"] is True
    assert site.act(account("account.disable", key="other")).changed is False
    site.act(on)
    assert member.enabled is True
    assert site.effect(off) is Effect.NOT_IN_EFFECT
    assert site.orders() == ["disableAccount", "enableAccount"]


def test_an_account_that_one_directory_refuses_is_not_disabled(site: Site) -> None:
    site.simulator.split("jdoe@corp.example.com")
    site.act(account("account.disable"))
    reading = site.read(account("account.disable"))
    assert (reading.effect, reading.native_state) == (Effect.FAILED, "task 00000001 succeeded (OPAD failed)")


def test_sessions_are_ended_once_for_one_command_and_again_for_another(site: Site) -> None:
    for key in ("one", "one", "two"):
        site.act(account("account.revoke_sessions", key=key))
    assert site.orders() == ["forceSignOut"] * 2
    assert site.simulator.directory.accounts["acc-1"].sessions == 0
    assert site.effect(account("account.revoke_sessions", key="three")) is Effect.NOT_IN_EFFECT


@pytest.mark.parametrize(
    ("target", "facts", "moved"),
    [
        ("email:<m1@mail.example.com>", {}, {"u1", "u2"}),
        ("email:<m1@mail.example.com>", {"mailbox": "jdoe@corp.example.com"}, {"u1"}),
        ("email:u2", {}, {"u2"}),
    ],
)
def test_a_message_is_quarantined_where_it_was_meant_and_restored(
    site: Site, target: str, facts: dict[str, str], moved: set[str]
) -> None:
    for name, box in (("u1", "jdoe"), ("u2", "alice")):
        site.simulator.add_mail(name, "<m1@mail.example.com>", f"{box}@corp.example.com")
    away = command("email.quarantine", target, facts=facts)
    assert site.effect(away) is Effect.NOT_IN_EFFECT
    site.act(away)
    assert {name for name, mail in site.simulator.mails.items() if mail.quarantined} == moved
    assert site.effect(away) is Effect.IN_EFFECT
    site.act(command("email.restore", target, key="undo", facts=facts))
    assert not any(mail.quarantined for mail in site.simulator.mails.values())
    assert site.effect(away) is Effect.NOT_IN_EFFECT


# Suspicious objects


@pytest.mark.parametrize(
    ("verb", "target", "key"),
    [
        ("hash.block", f"file:sha1:{'ab' * 20}", ("fileSha1", "ab" * 20)),
        ("hash.block", f"file:sha256:{DIGEST}", ("fileSha256", DIGEST)),
        ("ip.block", "address:2001:db8::7", ("ip", "2001:db8::7")),
        ("domain.block", "domain:bad.example.com", ("domain", "bad.example.com")),
        ("url.block", "url:https://bad.example.com/x", ("url", "https://bad.example.com/x")),
        ("sender.block", "sender:eve@bad.example.com", ("senderMailAddress", "eve@bad.example.com")),
    ],
)
def test_objects_are_blocked_and_only_ours_unblocked(site: Site, verb: str, target: str, key: tuple[str, str]) -> None:
    wish, undo = command(verb, target), command(verb.replace(".block", ".unblock"), target, key="undo")
    site.act(wish)
    assert site.simulator.objects[key]["scanAction"] == "block"
    assert site.act(wish).changed is True
    assert site.act(command(verb, target, key="other")).changed is False
    site.act(undo)
    assert site.simulator.objects == {}
    assert site.act(undo).changed is False
    site.simulator.add_object({key[0]: key[1]})
    assert site.effect(wish) is Effect.IN_EFFECT
    with pytest.raises(RejectedError, match="somebody else"):
        site.act(undo)


def test_an_entry_that_only_logs_or_is_excepted_blocks_nothing_and_is_left_alone(site: Site) -> None:
    wish = command("domain.block", "domain:bad.example.com")
    site.simulator.add_object({"domain": "bad.example.com", "scanAction": "log"})
    assert site.effect(wish) is Effect.NOT_IN_EFFECT
    with pytest.raises(RejectedError, match="'log'"):
        site.act(wish)
    site.simulator.add_object({"domain": "bad.example.com"})
    site.simulator.exempt("domain", "bad.example.com")
    assert site.read(wish).native_state == "block, on the exception list"
    with pytest.raises(RejectedError, match="exception"):
        site.act(wish)


@pytest.mark.parametrize(("seconds", "days", "lost"), [(3600, 1, True), (2 * 86_400, 2, False)])
def test_a_block_lasts_whole_days(site: Site, seconds: int, days: int, lost: bool) -> None:
    wish = command("ip.block", "address:203.0.113.7", parameters={"duration": seconds})
    assert bool(site.act(wish).losses) is lost
    assert site.read(wish).state["expires"] == f"{NOON + timedelta(days=days):%Y-%m-%dT%H:%M:%SZ}"
    site.time.advance(days * 86_400)
    assert site.effect(wish) is Effect.NOT_IN_EFFECT


def test_an_entry_of_ours_is_written_anew_to_last_longer_and_somebody_elses_is_a_loss(site: Site) -> None:
    target = "address:203.0.113.7"
    first = command("ip.block", target, parameters={"duration": 86_400})
    assert site.act(first).evidence["ends_at"] == f"{NOON + timedelta(days=1):%Y-%m-%dT%H:%M:%SZ}"
    longer = command("ip.block", target, key="longer", parameters={"duration": 3 * 86_400})
    assert site.act(longer).changed
    assert site.read(longer).state["ends_at"] == f"{NOON + timedelta(days=3):%Y-%m-%dT%H:%M:%SZ}"
    assert not site.act(command("ip.block", target, key="less", parameters={"duration": 60})).changed
    site.simulator.add_object({"ip": "203.0.113.7", "daysToExpiration": 2})
    receipt = site.act(longer)
    assert not receipt.changed
    assert receipt.losses == (
        f"duration: an entry that stands already blocks until {NOON + timedelta(days=2):%Y-%m-%dT%H:%M:%SZ}",
    )


def test_an_entry_without_days_of_its_own_is_renewed_by_the_tenants_default(site: Site) -> None:
    wish = command("url.block", "url:https://bad.example.com/x")
    site.act(wish)
    site.time.advance(29 * 86_400)
    again = replace(wish, idempotency_key="renewal-1", renewal=1, requested_at=site.time.clock())
    assert site.act(again).changed
    end = f"{NOON + timedelta(days=59):%Y-%m-%dT%H:%M:%SZ}"
    assert site.read(again).state["ends_at"] == end
    orders = len(site.simulator.mutations())
    assert site.act(again).changed, "its reply got lost"
    assert len(site.simulator.mutations()) == orders


@pytest.mark.parametrize(
    "wish",
    [
        command("hash.block", f"file:md5:{'ab' * 16}"),
        command("ip.block", "address:203.0.113.0/24"),
        command("sender.block", "sender:bad.example.com"),
        command("ip.block", "address:203.0.113.7", parameters={"direction": "inbound"}),
    ],
)
def test_what_the_list_cannot_hold_is_refused(site: Site, wish: Command) -> None:
    with pytest.raises(UnsupportedError):
        site.act(wish)
    assert site.simulator.mutations() == []


def test_an_object_far_down_the_list_is_found(site: Site) -> None:
    site.simulator.add_object({"domain": "bad.example.com"})
    site.time.advance(1)
    for number in range(450):
        site.simulator.add_object({"ip": f"198.51.{100 + number // 250}.{number % 250}"})
    assert site.effect(command("domain.block", "domain:bad.example.com")) is Effect.IN_EFFECT


# Refusals and health


def test_a_refused_key_says_what_may_be_wrong_with_it(site: Site) -> None:
    site.settings["api_key"] = Secret.literal("another")
    with pytest.raises(AuthError, match=r"region of https://api\.eu\.xdr"):
        site.pull()


@pytest.mark.parametrize(
    ("lacking", "wish", "named"),
    [
        ("isolate", isolate(), "Isolate endpoint"),
        ("tasks.view", isolate(), "Task List tab"),
        ("accounts", account("account.disable"), "Enable/Disable user account"),
        ("objects.manage", command("domain.block", "domain:bad.example.com"), "Manage lists"),
    ],
)
def test_a_missing_permission_is_named(site: Site, lacking: str, wish: Command, named: str) -> None:
    site.simulator.permissions = set(ALL_PERMISSIONS - {lacking})
    with pytest.raises(ScopeError, match=re.escape(named)):
        site.act(wish)


def test_the_health_check_names_each_missing_permission_that_is_wanted(site: Site) -> None:
    site.simulator.permissions = {"workbench.view"}
    health = site.run(lambda connector: connector.check_health())
    assert [
        bool(re.search(word, text)) for word, text in zip(("Inventory", "Task", "Object"), health.problems, strict=True)
    ]
    site.settings["response"] = False
    assert site.run(lambda connector: connector.check_health()).ok


def test_a_vendor_that_is_not_available_is_not_healthy(site: Site) -> None:
    site.settings["response"] = False
    site.gate.instead = JSONResponse({"status": "maintenance", "items": []})
    health = site.run(lambda connector: connector.check_health())
    assert health.problems == ("Vision One says that it is not available; try again later",)


def test_a_gateways_html_is_an_outage(site: Site) -> None:
    site.simulator.faults.add("server_error", options={"status": 502})
    with pytest.raises(UnavailableError):
        site.pull()


def test_repeats_survive_json(site: Site) -> None:
    site.add("one")
    cursor = json.loads(json.dumps(site.pull()[-1].cursor))
    assert natives(site.pull(cursor)) == []
