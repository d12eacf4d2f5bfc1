import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import httpx
import pytest
from starlette.responses import JSONResponse
from starlette.types import Message, Receive, Scope, Send

import nightdesk.connectors.carbon_black_cloud as package
from nightdesk.connectors.carbon_black_cloud import Connector
from nightdesk.connectors.carbon_black_cloud.alerts import window
from nightdesk.connectors.carbon_black_cloud.simulator import Simulator
from nightdesk.sdk import errors
from nightdesk.sdk.context import Context, Network, Settings
from nightdesk.sdk.manifest import load_manifest, validate_settings
from nightdesk.sdk.ports import Command, Effect, Reading, Receipt
from nightdesk.sdk.records import Batch, Cursor
from nightdesk.sdk.targets import AssetQuery, Target
from nightdesk.sdk.testing import StoryAlert, StoryDevice
from nightdesk.sdk.testing.fake_time import FakeTime
from nightdesk.sdk.testing.scripted import Scripted
from nightdesk.sdk.testing.story import StoryProcess

NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)
MANIFEST = load_manifest(Path(package.__file__).parent / "manifest.yaml")
URL = "https://defense-eu.conferdeploy.net"
BAD = "ab" * 32
FILE = f"file:sha256:{BAD}"
ODD = StoryProcess("odd.exe", "C:\\Temp\\odd.exe", "odd.exe -x", 4711, BAD)
LAPTOP = StoryDevice("1", "WS-0042", ("192.0.2.42",), processes=(ODD,))
VERDICT = "alert.set_disposition"


@dataclass
class Site:
    """One organisation, what it was sent, and the time of both ends; the connector lives as long."""

    app: Any
    time: FakeTime
    settings: dict[str, Any] = field(default_factory=dict)
    bodies: list[tuple[str, Any]] = field(default_factory=list)
    built: Connector | None = None
    came: list[Batch] = field(default_factory=list)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def overheard() -> Message:
            message = await receive()
            if message.get("body"):
                self.bodies.append((scope["path"].rpartition("/")[2], json.loads(message["body"])))
            return message

        await self.app(scope, overheard, send)

    def run(self, work: Callable[[Connector], Awaitable[Any]]) -> Any:
        async def once() -> Any:
            if self.built is None:
                given = {**Simulator(secret="s3cret").settings(URL), **self.settings}
                values = Settings(validate_settings(MANIFEST, given, file="nightdesk.yaml", key="connectors.cbc"))
                network = Network(timeout=5, transport=httpx.ASGITransport(self))
                self.built = Connector(Context("acme", "cbc", values, network, self.time.clock, self.time.sleep))
            return await work(self.built)

        return asyncio.run(once())

    def pull(self, cursor: Cursor | None = None) -> list[Batch]:
        """What came before an error counts, too."""

        async def drained(connector: Connector) -> None:
            async for batch in connector.pull("alerts", cursor, limit=100):
                self.came.append(batch)

        self.came = []
        self.run(drained)
        return self.came

    def add(self, uid: str, *, ago: float = 30, **options: Any) -> str:
        at = self.time.clock() - timedelta(seconds=ago)
        return str(self.app.add(StoryAlert(uid, at, "Odd process", "rule-1", "high", **options)))

    def device(self, story: StoryDevice = LAPTOP) -> str:
        before = set(self.app.fleet.devices)
        self.app.add_devices([story])
        (number,) = set(self.app.fleet.devices) - before
        return str(number)

    def found(self, **query: str) -> list[str]:
        return [asset.native_id for asset in self.run(lambda one: one.find_asset(AssetQuery(**query)))]

    def do(self, command: Command) -> Receipt:
        port = "write_back" if command.verb.startswith("alert.") else "act"
        return cast("Receipt", self.run(lambda connector: getattr(connector, port)(command)))

    def read(self, command: Command) -> Reading:
        return cast("Reading", self.run(lambda connector: connector.read_back(command)))

    def sent(self, ending: str) -> list[Any]:
        return [body for name, body in self.bodies if name == ending]


@pytest.fixture
def time() -> FakeTime:
    return FakeTime(NOON)


@pytest.fixture
def site(time: FakeTime) -> Site:
    return Site(Simulator(clock=time.clock, secret="s3cret"), time)


def ids(batches: list[Batch]) -> list[str]:
    return [record.native_id for batch in batches for record in batch.records]


def wish(verb: str, native_id: str, target: str = "host:ws-0042", *, key: str = "k", **more: Any) -> Command:
    kept = {name: more.pop(name, {}) for name in ("pre_state", "facts")}
    parsed = Target.parse("alert:x" if verb.startswith("alert.") else target)
    named = Target(parsed.kind, parsed.value, kept["facts"])
    return Command("acme", "a1", verb, named, key, NOON, native_id, more, "test", "case-1", kept["pre_state"])


def kill(number: str, pid: int = ODD.pid, program: str = ODD.name, **more: Any) -> Command:
    return wish("process.terminate", number, f"process:{program}", facts={"pid": str(pid)}, **more)


def fetch(number: str, path: str = ODD.path) -> Command:
    return wish("file.fetch", number, FILE, facts={"path": path})


def test_each_search_begins_at_1_sorted_with_a_time_range_of_its_own_instead_of_two_weeks(site: Site) -> None:
    site.settings |= {"minimum_severity": 7, "types": "cb_analytics"}
    wanted = site.add("a", convicted_sha256=BAD, device=LAPTOP)
    site.add("b")
    (record,) = site.pull()[0].records
    assert record.payload == json.dumps(site.app.alerts[wanted], separators=(",", ":")).encode()
    fields = ["backend_timestamp", "backend_update_timestamp", "user_update_timestamp"]
    assert [body["sort"] for body in site.sent("_search")] == [[{"field": name, "order": "ASC"}] for name in fields]
    first, second, *_ = site.sent("_search")
    assert (first["start"], first["time_range"]["start"]) == (1, "2026-10-31T12:00:00.000Z")
    assert first["criteria"] == {"minimum_severity": 7, "type": ["CB_ANALYTICS"]}
    assert second["time_range"]["start"] == "2026-10-02T12:00:00.000Z"
    assert second["criteria"]["backend_update_timestamp"]["start"] == "2026-10-31T12:00:00.000Z"


@pytest.mark.parametrize(
    ("settings", "expected"),
    [({}, "old closed"), ({"changes_days": 10}, "closed"), ({"managed_detection": True}, "old closed new")],
)
def test_changes_come_whichever_time_they_move_as_far_as_they_are_looked_for(
    time: FakeTime, settings: dict[str, Any], expected: str
) -> None:
    site = Site(Simulator(clock=time.clock, secret="s3cret", backend_follows=False), time, settings)
    names = {site.add(uid, ago=ago): uid for uid, ago in (("old", 20 * 86400), ("new", 30), ("closed", 30))}
    cursor = site.pull()[-1].cursor
    site.time.advance(3600)
    site.add("later")  # so that nothing older is read once more anyway
    cursor = site.pull(cursor)[-1].cursor
    old, new, closed = names
    site.app.happened_again(old)  # moves the vendor's time
    site.app.resolve(closed, status="CLOSED")  # the users'
    site.app.judged_by_service(new, "LIKELY_THREAT")  # the service's
    assert " ".join(names[one] for one in ids(site.pull(cursor))) == expected


def test_changes_during_the_pull_shift_nobody_out_of_the_pages(site: Site, time: FakeTime) -> None:
    native_ids = [site.add(f"a{number}", ago=3600) for number in range(9)]
    site.add("newest")  # so that no older one is read once more by its arrival
    cursor = site.pull()[-1].cursor
    for one in native_ids:
        time.advance(600)
        site.app.happened_again(one)

    async def work(connector: Connector) -> set[str]:
        found: set[str] = set()
        async for batch in connector.pull("alerts", cursor, limit=2):
            for one in {record.native_id for record in batch.records} - found:
                time.advance(1)
                site.app.happened_again(one)  # so it moves to the end
            found |= {record.native_id for record in batch.records}
        return found

    assert site.run(work) >= set(native_ids)


def test_a_page_that_holds_less_than_it_says_is_kept_and_the_cursor_stays(site: Site) -> None:
    wanted = {site.add("a"), site.add("b")}
    site.app.faults.add("partial_answer", times=1)
    with pytest.raises(errors.ResponseError, match="more alerts than it holds"):
        site.pull()
    assert [(len(batch.records), batch.cursor) for batch in site.came] == [(1, None)]
    assert set(ids(site.pull())) == wanted


def test_a_cursor_that_is_not_ours_and_settings_that_cannot_be_are_refused(site: Site) -> None:
    with pytest.raises(errors.CursorExpiredError):
        site.pull({"after": "x"})
    # Nor is a time range turned round by a vendor's clock that is far ahead.
    assert window(2 * 10**18, 10**18) == {"start": "2033-05-18T03:33:20.000Z", "end": "2033-05-18T03:33:20.001Z"}
    wrong = {"page_size": 1001, "changes_days": 0, "minimum_severity": 11, "types": "X", "org_key": "a/b", "start": "?"}
    for name, value in wrong.items():
        site.built, site.settings = None, {name: value}
        with pytest.raises(errors.ConfigError, match=name):
            site.pull()


def test_one_alert_is_closed_by_its_id_however_old_it_is_and_no_other(site: Site) -> None:
    native_id, other = site.add("old", ago=40 * 86400), site.add("other", ago=40 * 86400)
    close = wish(VERDICT, native_id, status="closed", disposition="false-positive", comment="known tool")
    assert site.read(close).effect is Effect.NOT_IN_EFFECT
    assert [site.do(close).changed, site.do(close).changed] == [True, True]  # its note shows whose it is
    (body,) = site.sent("workflow")
    assert (body["criteria"], body["determination"]) == ({"id": [native_id]}, "FALSE_POSITIVE")
    assert body["time_range"] == {"start": "2026-09-22T11:59:59.999Z", "end": "2026-11-01T12:00:00.000Z"}
    assert site.read(close).effect is Effect.IN_EFFECT
    assert site.app.alert_state(other)["status"] == "open"
    (said,) = site.app.alert_state(native_id)["comments"]
    assert said.startswith("known tool [nightdesk ")
    assert site.read(wish("alert.comment", native_id, comment="known tool")).effect is Effect.IN_EFFECT
    asked = len(site.app.seen)
    for vague in ("", "*", "a b", "../alerts", "1234"):
        with pytest.raises(errors.RejectedError, match="no id of an alert"):
            site.do(wish(VERDICT, vague, status="closed"))
    assert len(site.app.seen) == asked


def test_a_slow_job_is_pending_until_the_alert_says_so_and_a_failed_one_is_an_error(site: Site) -> None:
    slow, failing = (wish(VERDICT, site.add(uid), status="closed", key=uid) for uid in "ab")
    site.app.faults.add("late_effect", options={"seconds": 60})
    site.do(slow)
    assert site.read(slow).effect is Effect.PENDING
    site.time.advance(60)
    assert site.read(slow).effect is Effect.IN_EFFECT
    site.app.faults.clear()
    site.app.faults.add("accepted_then_failed")
    with pytest.raises(errors.RejectedError, match="job 7200001 failed"):
        site.do(failing)
    assert site.read(failing).effect is Effect.FAILED


@pytest.mark.parametrize(("total", "error"), [(0, errors.NotFoundError), (2, errors.ResponseError)])
def test_a_job_that_matched_other_than_one_alert_is_an_error(time: FakeTime, total: int, error: type) -> None:
    alert = {"id": "12345678", "backend_timestamp": "2026-11-01T11:00:00.000Z", "workflow": {"status": "OPEN"}}
    answers = [alert, {"request_id": "9"}, {"status": "COMPLETED"}, {"num_total": total}]
    with pytest.raises(error, match="job 9"):
        Site(Scripted(*map(JSONResponse, answers)), time).do(wish(VERDICT, "12345678", status="closed"))


def test_verdicts_are_determinations_or_reasons_to_close_and_finer_ones_are_losses(site: Site) -> None:
    for word, determination, reason, reads in (
        ("true-positive", "TRUE_POSITIVE", "RESOLVED", "true-positive"),
        ("likely-false-positive", "FALSE_POSITIVE", "RESOLVED", "false-positive"),
        ("benign-positive", "NONE", "RESOLVED_BENIGN_KNOWN_GOOD", "benign-positive"),
        ("duplicate", "NONE", "DUPLICATE_CLEANUP", "duplicate"),
        ("undetermined", "NONE", "OTHER", ""),
    ):
        native_id = site.add(word)
        close = wish(VERDICT, native_id, key=word, status="closed", disposition=word)
        assert bool(site.do(close).losses) is (word != reads)
        alert = site.app.alerts[native_id]
        assert (alert["determination"]["value"], alert["workflow"]["closure_reason"]) == (determination, reason)
        assert (site.read(close).effect, site.read(close).state["disposition"]) == (Effect.IN_EFFECT, reads)
    still_open = site.do(wish(VERDICT, site.add("open"), disposition="benign-positive"))
    assert (still_open.changed, "of a closed alert only" in still_open.losses[0]) == (False, True)


def test_the_undo_gives_back_status_reason_and_determination(site: Site) -> None:
    close = {"status": "closed", "disposition": "true-positive"}
    for uid, before, then, back in (
        ("a", {"status": "IN_PROGRESS"}, close, "open"),
        ("b", {"status": "CLOSED", "closure_reason": "DUPLICATE_CLEANUP"}, {"status": "open"}, "closed"),
    ):
        native_id = site.add(uid)
        site.app.resolve(native_id, **before)
        had = site.read(wish(VERDICT, native_id, **then)).state
        site.do(wish(VERDICT, native_id, key=uid, **then))
        undo = wish(VERDICT, native_id, key=f"undo {uid}", pre_state=had, status=back)
        assert (site.do(undo).changed, site.read(undo).state) == (True, had)


def test_a_device_action_names_one_device_and_is_never_a_search(site: Site) -> None:
    number, other = site.device(), site.device(StoryDevice("2", "DB-07", ("192.0.2.7",), "server", "Linux"))
    isolate = wish("host.isolate", number)
    assert [site.do(isolate).changed, site.read(isolate).effect] == [True, Effect.IN_EFFECT]
    asked = {"action_type": "QUARANTINE", "device_id": [number], "options": {"toggle": "ON"}}
    assert site.sent("device_actions") == [asked]
    assert (site.do(isolate).changed, site.app.fleet.devices[other].isolated) == (False, False)
    with pytest.raises(errors.RejectedError, match="no number of a device"):
        site.do(wish("host.isolate", "all-of-them"))
    for _ in range(2):
        site.do(wish("host.scan", number, key="scan"))
    assert [body["action_type"] for body in site.sent("device_actions")] == ["QUARANTINE", "BACKGROUND_SCAN"]


def test_an_offline_device_is_pending_and_what_fails_in_silence_never_reads_in_effect(site: Site) -> None:
    number = site.device()
    isolate, release = wish("host.isolate", number), wish("host.release", number, key="r")
    site.app.faults.add("offline_host")
    assert [site.do(isolate).changed, site.do(isolate).changed] == [True, True]
    assert len(site.sent("device_actions")) == 1  # it waits already
    assert site.read(isolate).effect is Effect.PENDING
    site.app.faults.clear()
    assert site.read(isolate).effect is Effect.IN_EFFECT
    site.app.faults.add("accepted_then_failed")
    site.do(release)
    site.time.advance(3590)
    assert site.read(release).effect is Effect.PENDING
    site.time.advance(20)  # it talked all the time and would have taken the order
    assert site.read(release).effect is Effect.NOT_IN_EFFECT


def test_who_was_restarted_still_knows_that_a_silent_device_may_do_it_yet(site: Site, time: FakeTime) -> None:
    time.now = NOON - timedelta(minutes=1)
    number = site.device()
    site.app.faults.add("offline_host")
    time.now = NOON
    asked = wish("host.isolate", number, pre_state={"isolated": False})  # by a process that is gone
    assert site.read(asked).effect is Effect.PENDING
    site.app.faults.clear()
    assert site.read(asked).effect is Effect.NOT_IN_EFFECT


def test_who_was_restarted_is_told_by_the_journal_that_an_order_was_taken(site: Site) -> None:
    number = site.device()
    isolate, release = wish("host.isolate", number), wish("host.release", number, pre_state={"isolated": False})
    assert site.read(isolate).effect is Effect.NOT_IN_EFFECT
    assert site.read(replace(isolate, outstanding=True)).effect is Effect.PENDING
    assert site.read(replace(release, outstanding=True)).effect is Effect.IN_EFFECT
    site.app.fleet.devices[number].isolated = True
    assert site.read(replace(isolate, outstanding=True)).effect is Effect.IN_EFFECT


def test_quarantined_without_a_contact_since_the_request_is_no_effect_yet(site: Site, time: FakeTime) -> None:
    time.now = NOON - timedelta(minutes=1)
    number = site.device()
    site.app.faults.add("offline_host")
    site.app.fleet.devices[number].isolated = True  # as if the field ran ahead of the sensor
    time.now = NOON
    asked, anyway = (wish("host.isolate", number, pre_state={"isolated": before}) for before in (False, True))
    assert [site.read(asked).effect, site.read(anyway).effect] == [Effect.PENDING, Effect.IN_EFFECT]
    site.app.faults.clear()
    assert site.read(asked).effect is Effect.IN_EFFECT


def test_a_device_is_found_by_its_name_without_the_domain_by_address_and_by_id(time: FakeTime) -> None:
    site = Site(Simulator(clock=time.clock, secret="s3cret", domain="CORP"), time)
    number = site.device()
    for query in ({"hostname": "ws-0042"}, {"address": "192.0.2.42"}, {"device_id": number}):
        assert site.found(**query) == [number]
    assert site.found(hostname="ws-004") == site.found(address="192.0.2.4") == site.found(hostname='x" OR "WS') == []
    site.app.fleet.devices[number].online = False
    time.advance(60)
    new = site.device(StoryDevice("1b", "WS-0042", ("192.0.2.43",)))  # its sensor was installed anew
    time.advance(60)
    assert site.found(hostname="ws-0042") == [new]
    for online in (True, False):  # it was alive beside the new one, so they are two machines
        site.app.fleet.devices[number].online = online
        time.advance(60)
        assert set(site.found(hostname="ws-0042")) == {number, new}
    site.app.deregister(number)
    assert site.found(hostname="ws-0042") == [new]
    with pytest.raises(errors.RejectedError, match="DEREGISTERED"):
        site.do(wish("host.isolate", number))


def test_a_process_is_killed_once_and_seen_gone_from_the_device_in_one_session(site: Site) -> None:
    number = site.device()
    assert site.read(kill(number)).effect is Effect.NOT_IN_EFFECT
    assert site.do(kill(number)).native_action_id == site.do(kill(number)).native_action_id == f"1:{number}/3"
    assert site.read(kill(number)).effect is Effect.IN_EFFECT
    assert site.app.open_sessions == [f"1:{number}"]
    assert site.do(kill(number, key="later")).changed is False


def test_a_process_id_that_another_program_has_by_now_is_left_alone(site: Site) -> None:
    number, guid = site.device(), "0b1c7b1e-8f0a-4a53-9d1c-0f6d0c3c2a11"
    moved = kill(number, program=guid, key="b", pre_state={"path": "C:\\Temp\\another.exe"})
    for gone in (kill(number, program="evil.exe"), moved):
        assert [site.read(gone).effect, site.do(gone).changed] == [Effect.IN_EFFECT, False]
    nameless = site.do(kill(number, program=guid, key="c"))
    assert [loss.partition(":")[0] for loss in nameless.losses] == ["program"]
    assert not site.app.fleet.devices[number].processes


def test_what_the_sensor_cannot_do_reads_failed_and_what_nobody_says_is_refused(site: Site) -> None:
    number = site.device()
    missing = fetch(number, "C:\\Temp\\gone.exe")
    site.do(missing)
    assert (site.read(missing).effect, site.read(missing).native_state) == (Effect.FAILED, "ERROR not found")
    site.app.faults.add("accepted_then_failed")
    site.do(kill(number, key="failing"))
    assert site.read(kill(number, key="failing")).effect is Effect.FAILED
    for vague in (kill(number, pid=0), fetch(number, "")):
        with pytest.raises(errors.RejectedError, match="nobody says"):
            site.do(vague)


def test_a_sensor_that_does_not_call_in_is_refused_and_no_session_is_left_waiting(site: Site) -> None:
    number = site.device()
    site.app.faults.add("offline_host")
    assert site.read(kill(number)).effect is Effect.UNKNOWN
    with pytest.raises(errors.RejectedError, match="did not call in"):
        site.do(fetch(number))
    assert site.app.open_sessions == []
    full = JSONResponse({"error_code": "FORBIDDEN", "message": "Session limit reached"}, 403)
    with pytest.raises(errors.RateLimitError, match="most sessions"):  # and no missing permission
        Site(Scripted(full), site.time).do(kill("1"))


def test_a_fetched_file_lies_at_live_response_until_its_session_ends(site: Site) -> None:
    number = site.device()
    assert site.read(fetch(number)).effect is Effect.NOT_IN_EFFECT
    assert site.do(fetch(number)) == site.do(fetch(number))
    reading = site.read(fetch(number))
    assert reading.effect is Effect.IN_EFFECT
    assert reading.state["download"].endswith(f"/sessions/1%3A{number}/files/file-1/content")
    site.time.advance(16 * 60)
    assert site.read(fetch(number)).effect is Effect.UNKNOWN


def test_a_ban_is_made_once_with_our_sign_and_what_people_decided_is_theirs(site: Site) -> None:
    block, unblock = wish("hash.block", BAD, FILE), wish("hash.unblock", BAD, FILE)
    assert [site.do(block).changed, site.do(block).changed] == [True, False]
    (made,) = site.app.overrides.values()
    assert made["description"].startswith("nightdesk:acme test case-1 [nightdesk ")
    assert (site.read(block).effect, site.read(block).state["ours"]) == (Effect.IN_EFFECT, True)
    assert (site.do(unblock).changed, site.read(block).effect) == (True, Effect.NOT_IN_EFFECT)
    approved = site.app.override(BAD, "WHITE_LIST")
    with pytest.raises(errors.RejectedError, match="approved by rosa@"):
        site.do(block)
    banned = site.app.override(BAD.upper(), "BLACK_LIST")
    assert site.do(block).changed is False
    with pytest.raises(errors.RejectedError, match="banned by rosa@"):
        site.do(unblock)
    assert set(site.app.overrides) == {approved, banned}


def test_a_403_names_the_permission_and_the_org_key_and_what_is_not_declared_is_unsupported(site: Site) -> None:
    site.app.permissions -= {"device.quarantine EXECUTE"}
    with pytest.raises(errors.ScopeError, match=r"lacks 'device\.quarantine EXECUTE', or org_key"):
        site.do(wish("host.isolate", site.device()))
    site.app.permissions -= {"device READ"}
    (problem,) = site.run(lambda connector: connector.check_health()).problems
    assert "'device READ'" in problem
    for wrong in (wish("host.scan", "1", path="C:\\"), wish("hash.block", "x", f"file:md5:{'a' * 32}")):
        with pytest.raises(errors.UnsupportedError):
            site.do(wrong)
    with pytest.raises(errors.UnsupportedError, match="no read-back"):
        site.read(wish("host.scan", "1"))
