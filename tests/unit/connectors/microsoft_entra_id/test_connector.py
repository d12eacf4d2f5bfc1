import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import httpx
import pytest
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

import nightdesk.connectors.microsoft_entra_id as package
from nightdesk.connectors.microsoft_entra_id import Connector
from nightdesk.connectors.microsoft_entra_id.simulator import LEAST, Simulator
from nightdesk.sdk import ports
from nightdesk.sdk.context import Context, Network, Settings
from nightdesk.sdk.errors import (
    ConfigError,
    CursorExpiredError,
    NightdeskError,
    NotFoundError,
    RateLimitError,
    RejectedError,
    ResponseError,
    ScopeError,
    UnavailableError,
    UnsupportedError,
)
from nightdesk.sdk.manifest import load_manifest, validate_settings
from nightdesk.sdk.ports import Command, Effect, Reading, Receipt
from nightdesk.sdk.records import Batch, Cursor, RawRecord
from nightdesk.sdk.targets import Account, AccountQuery, Target
from nightdesk.sdk.testing import StoryAccount, StoryAlert
from nightdesk.sdk.testing.fake_time import FakeTime

T = TypeVar("T")
NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)
MANIFEST = load_manifest(Path(package.__file__).parent / "manifest.yaml")
ANNA = StoryAccount("a-1", "anna", "anna@corp.example.com", "CORP", "S-1-5-21-1-2-3-1001", ("finance",))
BEN = StoryAccount("a-2", "ben", "ben@corp.example.com", groups=("finance",))
GUEST = StoryAccount("a-3", "cara", "cara@partner.example.net")
CHIEF = StoryAccount("a-4", "chief", "chief@corp.example.com", privileged=True)
DETECTIONS = "/v1.0/identityProtection/riskDetections"


@dataclass
class Site:
    """One tenant and the time of both ends; every call builds its own connector."""

    simulator: Simulator
    time: FakeTime
    app: ASGIApp
    settings: dict[str, Any] = field(default_factory=dict)

    def connector(self) -> Connector:
        given = {**self.simulator.settings("https://graph.example.com"), **self.settings}
        values = validate_settings(MANIFEST, given, file="nightdesk.yaml", key="connectors.entra")
        network = Network(transport=httpx.ASGITransport(self.app))
        return Connector(Context("acme", "entra", Settings(values), network, self.time.clock, self.time.sleep))

    def run(self, work: Callable[[Connector], Awaitable[T]]) -> T:
        async def once() -> T:
            connector = self.connector()
            try:
                return await work(connector)
            finally:
                await connector.aclose()

        return asyncio.run(once())

    def pull(
        self,
        cursor: Cursor | None = None,
        *,
        stream: str = "risk_detections",
        limit: int = 500,
        between: Callable[[], None] = lambda: None,
    ) -> tuple[list[Batch], NightdeskError | None]:
        batches: list[Batch] = []

        async def work(connector: Connector) -> NightdeskError | None:
            try:
                async for batch in connector.pull(stream, cursor, limit=limit):
                    batches.append(batch)
                    between()
            except NightdeskError as error:
                return error
            return None

        return batches, self.run(work)

    def add(self, uid: str, *, after: float = 0, **options: Any) -> str:
        story = StoryAlert(uid, NOON + timedelta(seconds=after), "Odd sign-in", "unlikelyTravel", "high", user="anna")
        return self.simulator.add(replace(story, **options))

    def enrol(self, account: StoryAccount, **options: bool) -> str:
        return self.simulator.users.enrol([account], **options)[0]

    def find(self, **query: str) -> list[Account]:
        return list(self.run(lambda connector: connector.find_account(AccountQuery(**query))))

    def act(self, command: Command) -> Receipt:
        return self.run(lambda connector: connector.act(command))

    def write(self, command: Command) -> Receipt:
        return self.run(lambda connector: connector.write_back(command))

    def read(self, command: Command) -> Reading:
        return self.run(lambda connector: connector.read_back(command))

    def health(self) -> ports.Health:
        return self.run(lambda connector: connector.check_health())

    def wish(self, verb: str, native_id: str, target: str = "account:anna", **fields: Any) -> Command:
        now = self.time.clock()
        return Command("acme", "action-1", verb, Target.parse(target), "key-1", now, native_id, **fields)

    def verdict(self, native_id: str, *, pre_state: Mapping[str, Any] | None = None, **words: Any) -> Command:
        target, before = f"alert:{native_id}", pre_state or {}
        return self.wish("alert.set_disposition", native_id, target, parameters=words, pre_state=before)

    def asked(self, method: str, path: str = "") -> list[str]:
        return [seen.path for seen in self.simulator.seen if seen.method == method and path in seen.path]


@pytest.fixture
def time() -> FakeTime:
    return FakeTime(NOON)


@pytest.fixture
def site(time: FakeTime) -> Site:
    simulator = Simulator(clock=time.clock, secret="s3cret")
    return Site(simulator, time, simulator)


@pytest.fixture
def anna(site: Site) -> str:
    return site.enrol(ANNA)


def records(batches: list[Batch]) -> list[RawRecord]:
    return [record for batch in batches for record in batch.records]


# Pulling


def test_identity_protection_is_asked_once_a_second_and_never_refuses(site: Site) -> None:
    wanted = {site.add(f"a{number}") for number in range(9)}
    batches, error = site.pull(limit=2)
    assert error is None
    assert {record.native_id for record in records(batches)} == wanted
    assert len(site.asked("GET", "riskDetections")) == len(batches)
    assert site.time.slept == pytest.approx([1.05] * (len(batches) - 1))


def test_a_throttle_that_another_application_used_up_is_waited_out_without_being_told_how_long(site: Site) -> None:
    site.add("one")
    site.simulator.faults.add("rate_limited", times=2, path="riskDetections", options={"bare": True})
    assert len(records(site.pull()[0])) == 1
    site.simulator.faults.add("rate_limited", path="riskDetections", options={"bare": True})
    assert isinstance(site.pull()[1], RateLimitError)


def test_a_page_is_never_larger_than_graph_takes(site: Site) -> None:
    site.add("one")
    batches, error = site.pull(limit=10_000)
    assert error is None
    assert len(records(batches)) == 1
    assert all("%24top=500" in seen.query for seen in site.simulator.seen if seen.path == DETECTIONS)


def test_an_empty_page_with_a_next_link_is_not_the_end(site: Site) -> None:
    site.add("one")
    site.simulator.faults.add("partial_answer", times=1)
    batches, _ = site.pull()
    assert [len(batch.records) for batch in batches] == [0, 1, 0]
    assert [batch.more for batch in batches] == [True, True, False]


def test_a_next_link_that_is_refused_means_starting_from_the_stored_time(site: Site) -> None:
    wanted = {site.add(f"a{number}", after=number) for number in range(4)}
    batches, error = site.pull(limit=2, between=site.simulator.forget_pages)
    assert isinstance(error, CursorExpiredError)
    assert len(batches) == 1
    again, error = site.pull(batches[0].cursor)
    assert error is None
    assert {record.native_id for record in records(batches + again)} == wanted
    assert len(records(batches + again)) == 4


def test_while_pages_come_unsorted_the_cursor_stays(site: Site) -> None:
    """Graph's pages name only $filter and $select; were $orderby ignored, newest would come first."""
    for number in range(6):
        site.add(f"a{number}", after=number)

    async def unsorted(scope: Scope, receive: Receive, send: Send) -> None:
        text = scope["query_string"].decode()
        kept = "&".join(part for part in text.split("&") if not part.startswith("%24orderby"))
        await site.simulator({**scope, "query_string": kept.encode()}, receive, send)

    site.app = unsorted
    batches, error = site.pull(limit=2)
    assert error is None
    assert [batch.cursor is None for batch in batches] == [True, True, False] * 2
    assert len(records(batches)) == 6
    assert records(site.pull(batches[-1].cursor)[0]) == []


def test_what_no_sweep_can_meet_again_is_forgotten(site: Site) -> None:
    for number in range(5):
        site.add(f"a{number}")
    first, _ = site.pull()
    site.add("late", after=7200)
    second, _ = site.pull(first[-1].cursor)
    sizes = [len(batches[-1].cursor["seen"]) for batches in (first, second) if batches[-1].cursor]
    assert sizes == [5, 1]


def test_risky_users_come_in_no_order_so_their_cursor_moves_at_the_end(site: Site) -> None:
    names = [site.enrol(replace(BEN, account_id=f"b-{number}", name=f"b{number}", email="")) for number in range(3)]
    site.simulator.risks.judge_users("confirmCompromised", names)
    batches, _ = site.pull(stream="risky_users", limit=2)
    assert {record.native_id for record in records(batches)} == set(names)
    assert [batch.cursor is None for batch in batches] == [True, False]


def test_a_risky_user_comes_again_when_his_state_is_another(site: Site, anna: str) -> None:
    site.add("one")
    site.simulator.risks.recalculate()
    first, _ = site.pull(stream="risky_users")
    site.time.advance(7200)
    site.simulator.risks.judge_users("dismiss", [anna])
    second, _ = site.pull(first[-1].cursor, stream="risky_users")
    assert [json.loads(record.payload)["riskState"] for record in records(first + second)] == ["atRisk", "dismissed"]
    assert len({record.key for record in records(first + second)}) == 2


def test_a_record_is_graphs_own_text_with_all_seven_digits(site: Site) -> None:
    site.add("one", after=0.123457)
    (record,) = records(site.pull()[0])
    assert b'"detectedDateTime":"2026-11-01T12:00:00.1234579Z"' in record.payload


def test_the_newer_reasons_of_a_verdict_are_told_by_name(site: Site) -> None:
    native_id = site.add("one")
    site.simulator.risks.judge_sign_ins("dismiss", [site.simulator.risks.detections[native_id]["requestId"]])
    (record,) = records(site.pull()[0])
    assert json.loads(record.payload)["riskDetail"] == "adminDismissedRiskForSignIn"


def test_what_the_licence_hides_is_read_as_it_is_and_no_licence_is_said_so(site: Site) -> None:
    site.add("one")
    site.simulator.risks.licence = "P1"
    assert json.loads(records(site.pull()[0])[0].payload)["riskLevel"] == "hidden"
    site.simulator.risks.licence = ""
    _, error = site.pull()
    assert isinstance(error, RejectedError)
    assert "licence" in str(error)


@pytest.mark.parametrize(
    ("stream", "permission"),
    [("risk_detections", "IdentityRiskEvent.Read.All"), ("risky_users", "IdentityRiskyUser.Read.All")],
)
def test_a_missing_permission_is_named(site: Site, stream: str, permission: str) -> None:
    site.simulator.permissions.clear()
    _, error = site.pull(stream=stream)
    assert isinstance(error, ScopeError)
    assert permission in str(error)


@pytest.mark.parametrize("answer", [{"value": {"id": "one"}}, ["no", "object"]])
def test_an_answer_of_another_shape_is_an_error(site: Site, answer: Any) -> None:
    async def odd(scope: Scope, receive: Receive, send: Send) -> None:
        to = JSONResponse(answer) if "identityProtection" in scope["path"] else site.simulator
        await to(scope, receive, send)

    site.app = odd
    assert isinstance(site.pull()[1], ResponseError)


def test_what_is_no_risk_is_kept_as_a_failure(site: Site) -> None:
    async def odd(scope: Scope, receive: Receive, send: Send) -> None:
        rows = JSONResponse({"value": ["odd", {"id": "one", "riskState": "atRisk"}]})
        await (rows if "identityProtection" in scope["path"] else site.simulator)(scope, receive, send)

    site.app = odd
    batches, _ = site.pull()
    assert [failure.payload for failure in batches[0].failures] == [b'"odd"']
    assert [record.native_id for record in records(batches)] == ["one"]


def test_a_stream_that_is_not_declared_is_unsupported(site: Site) -> None:
    assert isinstance(site.pull(stream="sign_ins")[1], UnsupportedError)


@pytest.mark.parametrize(("key", "value"), [("tenant_id", "a/b"), ("tenant_id", ""), ("start", "yesterday")])
def test_a_setting_that_cannot_work_is_told_at_once(site: Site, key: str, value: str) -> None:
    site.settings[key] = value
    with pytest.raises(ConfigError, match=key):
        site.connector()


# Verdicts


@pytest.mark.parametrize(
    ("words", "state", "lost"),
    [
        ({"status": "closed", "disposition": "false-positive"}, "confirmedSafe", []),
        ({"status": "closed", "disposition": "benign-positive"}, "dismissed", []),
        ({"status": "closed", "disposition": "likely-false-positive"}, "confirmedSafe", ["disposition"]),
        ({"status": "closed", "disposition": "duplicate"}, "dismissed", ["disposition"]),
        ({"status": "closed"}, "dismissed", ["disposition"]),
        ({"status": "closed", "disposition": "true-positive"}, "confirmedCompromised", ["status"]),
        ({"disposition": "false-positive"}, "confirmedSafe", ["disposition"]),
        ({"disposition": "true-positive"}, "confirmedCompromised", []),
        ({"status": "open", "disposition": "true-positive"}, "confirmedCompromised", []),
        ({"status": "open", "disposition": "false-positive"}, "atRisk", ["disposition"]),
        ({"status": "open"}, "atRisk", []),
        ({"disposition": ""}, "atRisk", []),
        ({"status": "closed", "disposition": "benign-positive", "comment": "seen"}, "dismissed", ["comment"]),
    ],
)
def test_a_verdict_says_what_entra_can_and_names_the_rest(
    site: Site, words: dict[str, Any], state: str, lost: list[str]
) -> None:
    native_id, other = site.add("one"), site.add("two")
    command = site.verdict(native_id, **words)
    receipt = site.write(command)
    assert site.simulator.risks.detections[native_id]["riskState"] == state
    assert site.simulator.risks.detections[other]["riskState"] == "atRisk"
    assert [loss.partition("=")[0].partition(":")[0] for loss in receipt.losses] == lost
    assert receipt.changed is (state != "atRisk")
    assert site.read(command).effect is Effect.IN_EFFECT


def test_a_closed_risk_reopens_only_as_confirmed_compromised_which_is_named(site: Site) -> None:
    native_id = site.add("one")
    before = site.read(site.verdict(native_id, status="closed")).state
    site.write(site.verdict(native_id, status="closed", disposition="false-positive"))
    undo = site.verdict(native_id, status="open", pre_state={"status": "closed"})
    (loss,) = site.write(undo).losses
    assert loss.startswith("status=open")
    assert before == {"status": "open", "disposition": ""}
    reading = site.read(undo)
    assert (reading.effect, reading.native_state) == (Effect.IN_EFFECT, "confirmedCompromised")
    repeat = site.write(undo)
    assert repeat.changed
    assert repeat.losses == (loss,)


def test_dismissing_a_confirmed_compromise_is_undone_without_a_loss(site: Site) -> None:
    native_id = site.add("one")
    site.write(site.verdict(native_id, disposition="true-positive"))
    before = dict(site.read(site.verdict(native_id, status="closed")).state)
    site.write(site.verdict(native_id, status="closed", disposition="benign-positive"))
    assert site.write(site.verdict(native_id, **before)).losses == ()
    assert site.simulator.alert_state(native_id)["disposition"] == "true-positive"


@pytest.mark.parametrize(
    ("words", "state", "lost"),
    [
        ({"status": "closed", "disposition": "true-positive"}, "dismissed", "disposition=true-positive"),
        ({"disposition": ""}, "dismissed", "disposition"),
        ({"disposition": "true-positive"}, "confirmedCompromised", "disposition=true-positive"),
    ],
)
def test_what_is_closed_is_not_raised_again_unless_that_is_asked_for(
    site: Site, words: dict[str, Any], state: str, lost: str
) -> None:
    native_id = site.add("one")
    site.write(site.verdict(native_id, status="closed"))
    (loss,) = site.write(site.verdict(native_id, **words)).losses
    assert loss.startswith(lost)
    assert site.simulator.risks.detections[native_id]["riskState"] == state


def test_a_verdict_given_already_is_not_sent_again(site: Site) -> None:
    native_id = site.add("one")
    command = site.verdict(native_id, status="closed", disposition="false-positive")
    site.write(command)
    assert not site.write(command).changed
    assert site.write(replace(command, pre_state={"status": "open", "disposition": ""})).changed
    assert len(site.asked("POST", "signIns")) == 1


def test_a_detection_of_no_sign_in_takes_no_verdict_of_its_own(site: Site, anna: str) -> None:
    native_id = site.add("one", rule_id="leakedCredentials")
    with pytest.raises(UnsupportedError, match=anna):
        site.write(site.verdict(native_id, status="closed"))
    assert site.asked("POST", "/v1.0/") == []


def test_a_verdict_on_a_risky_user_covers_all_his_open_detections_and_says_so(site: Site, anna: str) -> None:
    native_id = site.add("one", rule_id="leakedCredentials")
    site.simulator.risks.recalculate()
    command = site.verdict(anna, status="closed", disposition="benign-positive")
    (loss,) = site.write(command).losses
    assert "every open detection" in loss
    assert site.read(command).effect is Effect.IN_EFFECT
    assert site.simulator.alert_state(native_id)["status"] == "closed"


def test_a_user_whose_risk_is_being_calculated_is_pending(site: Site, anna: str) -> None:
    site.add("one")
    site.simulator.risks.recalculate()
    site.simulator.faults.add("late_effect", options={"seconds": 90})
    command = site.verdict(anna, status="closed", disposition="benign-positive")
    site.write(command)
    assert site.read(command).effect is Effect.PENDING
    site.time.advance(90)
    assert site.read(command).effect is Effect.IN_EFFECT


@pytest.mark.parametrize("disposition", ["true-positive", "benign-positive"])
def test_confirming_a_user_is_not_sent_twice_blindly_and_a_dismissal_is(
    site: Site, anna: str, disposition: str
) -> None:
    site.add("one")
    site.simulator.risks.recalculate()
    site.simulator.faults.add("lost_reply", times=1, method="POST", path="riskyUsers")
    command = site.verdict(anna, disposition=disposition)
    if disposition == "true-positive":
        with pytest.raises(UnavailableError):
            site.write(command)
        assert site.read(command).effect is Effect.IN_EFFECT
        assert not site.write(command).changed
    else:
        assert site.write(command).changed
    assert (len(site.asked("POST", "riskyUsers")) == 1) is (disposition == "true-positive")


def test_a_verdict_that_the_vendor_swallows_is_not_in_effect(site: Site) -> None:
    native_id = site.add("one")
    site.simulator.faults.add("accepted_then_failed")
    command = site.verdict(native_id, status="closed")
    assert site.write(command).changed
    assert site.read(command).effect is Effect.NOT_IN_EFFECT


@pytest.mark.parametrize(("verb", "native_id"), [("alert.comment", "x"), ("alert.set_disposition", "unknown")])
def test_what_cannot_be_written_is_refused(site: Site, verb: str, native_id: str) -> None:
    with pytest.raises((UnsupportedError, NotFoundError)):
        site.write(site.wish(verb, native_id, "alert:x", parameters={"comment": "hello"}))


# Finding accounts


@pytest.mark.parametrize(
    "query",
    [
        {"email": "ANNA@corp.example.com"},
        {"sid": "S-1-5-21-1-2-3-1001"},
        {"sid": "S-1-5-21-9-9-9-1001", "email": "anna@corp.example.com"},
        {"name": "anna"},
        {"name": "Anna", "domain": "corp"},
        {"name": "anna", "domain": "corp.example.com"},
    ],
)
def test_an_account_is_found_by_whatever_identifies_it(site: Site, anna: str, query: dict[str, str]) -> None:
    site.enrol(BEN)
    (account,) = site.find(**query)
    assert account == Account(
        native_id=anna,
        name="anna",
        domain="corp.example.com",
        email="anna@corp.example.com",
        sid="S-1-5-21-1-2-3-1001",
        enabled=True,
        privileged=False,
        groups=("finance",),
    )


@pytest.mark.parametrize(
    "query",
    [
        {"name": "ann"},
        {"name": "anna", "domain": "other"},
        {"email": "nna@corp.example.com"},
        {"name": "anna", "sid": "S-1-5-21-9-9-9-500"},
        {"native_id": "00000000-0000-4000-8000-000000000000", "name": "anna"},
        {"name": "anna' or '1' eq '1"},
    ],
)
def test_a_part_of_a_name_or_another_identifier_finds_nobody(site: Site, anna: str, query: dict[str, str]) -> None:
    assert anna
    assert site.find(**query) == []


def test_accounts_of_one_name_are_all_answers(site: Site, anna: str) -> None:
    other = site.enrol(StoryAccount("a-9", "anna", "anna@branch.example.com", "BRANCH"))
    assert {account.native_id for account in site.find(name="anna")} == {anna, other}


def test_a_name_with_an_apostrophe_and_a_guests_name_with_a_hash_are_sent_whole(site: Site) -> None:
    irish = site.enrol(StoryAccount("a-8", "o'neill", "o'neill@corp.example.com"))
    guest = site.enrol(GUEST, guest=True)
    assert [account.native_id for account in site.find(name="o'neill")] == [irish]
    principal = "cara_partner.example.net#EXT#@tenant.example.com"
    for query in ({"email": principal}, {"native_id": principal}):
        assert [account.native_id for account in site.find(**query)] == [guest]


def test_an_identifier_of_entras_own_is_looked_for_where_it_stands(site: Site) -> None:
    native_id = site.enrol(replace(BEN, sid="S-1-12-1-4-5-6-7"))
    assert [account.native_id for account in site.find(sid="S-1-12-1-4-5-6-7")] == [native_id]


def test_who_holds_a_role_is_privileged_and_not_known_is_not_no(site: Site) -> None:
    site.enrol(CHIEF)
    assert site.find(name="chief")[0].privileged is True
    site.simulator.permissions.discard("Directory.Read.All")
    assert site.find(name="chief")[0].privileged is None


# Changing accounts


@pytest.mark.parametrize("verb", ["account.disable", "account.revoke_sessions", "account.reset_password"])
def test_a_change_counts_once_the_directory_shows_it(site: Site, anna: str, verb: str) -> None:
    site.simulator.faults.add("late_effect", options={"seconds": 60})
    command = site.wish(verb, anna)
    assert site.read(command).effect is Effect.NOT_IN_EFFECT
    site.act(command)
    assert site.read(command).effect is Effect.NOT_IN_EFFECT
    site.time.advance(61)
    assert site.read(command).effect is Effect.IN_EFFECT


def test_what_is_so_already_is_no_change_unless_an_earlier_try_made_it_so(site: Site, anna: str) -> None:
    command = site.wish("account.disable", anna)
    before = site.read(command).state
    assert before["enabled"] is True
    site.act(command)
    assert not site.act(command).changed
    assert site.act(replace(command, pre_state=before)).changed
    assert len(site.asked("PATCH")) == 1


def test_a_synced_account_is_disabled_with_a_loss_and_the_sync_may_undo_it(site: Site) -> None:
    native_id = site.enrol(ANNA, synced=True)
    command = site.wish("account.disable", native_id)
    (loss,) = site.act(command).losses
    assert "Active Directory" in loss
    assert site.read(command).effect is Effect.IN_EFFECT
    site.simulator.users.synchronise()
    reading = site.read(command)
    assert (reading.effect, reading.state["synced"]) == (Effect.NOT_IN_EFFECT, True)


def test_a_synced_accounts_password_and_a_guests_sessions_are_refused_before_they_are_tried(site: Site) -> None:
    synced, guest = site.enrol(ANNA, synced=True), site.enrol(GUEST, guest=True)
    with pytest.raises(RejectedError, match="Active Directory"):
        site.act(site.wish("account.reset_password", synced))
    with pytest.raises(RejectedError, match="home tenant"):
        site.act(site.wish("account.revoke_sessions", guest))
    assert site.asked("PATCH") == []
    assert site.asked("POST", "revoke") == []


@pytest.mark.parametrize(
    ("verb", "permission"),
    [
        ("account.disable", "User.EnableDisableAccount.All"),
        ("account.revoke_sessions", "User.RevokeSessions.All"),
        ("account.reset_password", "User-PasswordProfile.ReadWrite.All"),
    ],
)
def test_each_change_needs_its_own_permission_alone_and_names_it(
    site: Site, anna: str, verb: str, permission: str
) -> None:
    site.simulator.permissions = {"User.Read.All", permission}
    site.act(site.wish(verb, anna))
    site.simulator.permissions = set(LEAST) - {permission}
    with pytest.raises(ScopeError, match=permission):
        site.act(site.wish(verb, site.enrol(BEN)))


def test_an_administrator_is_left_to_a_person(site: Site) -> None:
    with pytest.raises(ScopeError, match="leave those to a person"):
        site.act(site.wish("account.disable", site.enrol(CHIEF)))


@pytest.mark.parametrize("status", [200, 204])
@pytest.mark.parametrize("ahead", [-45, 0.7, 45])
def test_revoked_is_told_in_whole_seconds_of_the_vendors_clock(
    site: Site, anna: str, status: int, ahead: float
) -> None:
    site.simulator.users.revoke_status = status
    site.simulator.faults.add("clock_skew", options={"seconds": ahead})
    site.time.advance(0.9)
    command = site.wish("account.revoke_sessions", anna)
    command = replace(command, pre_state=site.read(command).state)
    assert site.read(command).effect is Effect.NOT_IN_EFFECT
    (loss,) = site.act(command).losses
    assert "access tokens" in loss
    assert site.read(command).effect is Effect.IN_EFFECT
    assert site.read(replace(command, pre_state={})).effect is Effect.IN_EFFECT
    assert site.act(command).changed
    assert len(site.asked("POST", "revoke")) == 1


def test_a_revocation_in_the_second_of_the_command_is_not_missed_for_a_clock_that_is_half_a_second_off(
    site: Site, anna: str
) -> None:
    site.simulator.faults.add("clock_skew", options={"seconds": 0.5})
    command = site.wish("account.revoke_sessions", anna)
    site.time.advance(0.2)
    site.act(command)
    site.time.advance(0.3)
    assert site.read(command).effect is Effect.IN_EFFECT


@pytest.mark.parametrize(("verb", "orders"), [("account.revoke_sessions", 1), ("account.disable", 2)])
def test_after_a_lost_reply_a_state_is_set_again_and_sessions_are_not_ended_again(
    site: Site, anna: str, verb: str, orders: int
) -> None:
    command = site.wish(verb, anna)
    command = replace(command, pre_state=site.read(command).state)
    site.simulator.faults.add("lost_reply", path="/users/", method="POST" if orders == 1 else "PATCH", times=1)
    site.time.advance(2)
    with nullcontext() if orders > 1 else pytest.raises(UnavailableError):
        site.act(command)
    assert site.simulator.directory.accounts[anna].changes == orders
    assert site.read(command).effect is Effect.IN_EFFECT


@pytest.mark.parametrize("later", [0, 600])
def test_sessions_revoked_before_the_command_are_revoked_again(site: Site, anna: str, later: float) -> None:
    site.act(site.wish("account.revoke_sessions", anna))
    site.time.advance(later)
    command = site.wish("account.revoke_sessions", anna)
    command = replace(command, pre_state=site.read(command).state)
    assert site.read(command).effect is Effect.NOT_IN_EFFECT
    site.time.advance(1)
    site.act(command)
    assert site.read(command).effect is Effect.IN_EFFECT
    assert len(site.asked("POST", "revoke")) == 2


@pytest.mark.parametrize("with_mfa", [True, False])
def test_a_forced_password_change_may_ask_for_another_factor(site: Site, anna: str, with_mfa: bool) -> None:
    site.settings["password_change_with_mfa"] = with_mfa
    command = site.wish("account.reset_password", anna)
    (loss,) = site.act(command).losses
    assert "the old one opens one more sign-in" in loss
    record = site.simulator.users.record(anna)
    assert record is not None
    assert record["passwordProfile"]["forceChangePasswordNextSignInWithMfa"] is with_mfa
    assert record["passwordProfile"]["forceChangePasswordNextSignIn"] is not with_mfa
    assert site.read(command).effect is Effect.IN_EFFECT


def test_a_parameter_or_verb_that_is_not_declared_is_refused(site: Site, anna: str) -> None:
    with pytest.raises(UnsupportedError):
        site.act(site.wish("account.disable", anna, parameters={"duration": 60}))
    with pytest.raises(UnsupportedError):
        site.act(site.wish("host.isolate", anna))
    with pytest.raises(NotFoundError):
        site.act(site.wish("account.disable", "00000000-0000-4000-8000-000000000000"))


# Factors


def test_all_factors_go_the_default_one_last(site: Site, anna: str) -> None:
    site.simulator.directory.accounts[anna].factors = 8
    command = site.wish("account.require_reauth_factors", anna)
    assert site.read(command).state["factors"] == 8
    receipt = site.act(command)
    assert len(receipt.evidence["deleted"]) == 8
    assert site.asked("DELETE")[-1].split("/")[-2] == "microsoftAuthenticatorMethods"
    assert site.read(command).effect is Effect.IN_EFFECT
    assert not site.act(command).changed
    assert site.act(replace(command, pre_state={"factors": 8})).changed


def test_a_kind_of_factor_that_is_not_known_stays_is_named_and_is_not_in_effect(site: Site, anna: str) -> None:
    site.simulator.methods.unheard_of = True
    command = site.wish("account.require_reauth_factors", anna)
    (loss,) = site.act(command).losses
    assert "palmAuthenticationMethod" in loss
    assert site.read(command).effect is Effect.NOT_IN_EFFECT


def test_a_factor_that_may_not_be_deleted_ends_the_attempt(site: Site) -> None:
    with pytest.raises(ScopeError, match=r"UserAuthenticationMethod\.ReadWrite\.All"):
        site.act(site.wish("account.require_reauth_factors", site.enrol(CHIEF)))


# Memberships


@pytest.mark.parametrize("lost", [True, False])
def test_a_membership_is_taken_and_given_back_also_when_the_reply_is_lost(site: Site, anna: str, lost: bool) -> None:
    if lost:
        site.simulator.faults.add("lost_reply", times=1, method="DELETE")
        site.simulator.faults.add("lost_reply", times=1, method="POST", path="/groups/")
    remove = site.wish("account.remove_from_group", anna, "membership:anna/finance")
    add = site.wish("account.add_to_group", anna, "membership:anna/finance")
    before = site.read(remove)
    assert (before.effect, before.state["member"]) == (Effect.NOT_IN_EFFECT, True)
    assert site.act(remove).changed
    assert site.read(remove).effect is Effect.IN_EFFECT
    assert not site.act(remove).changed
    assert site.act(add).changed
    assert site.simulator.directory.accounts[anna].groups == {"finance"}
    assert all(path.endswith("/$ref") for path in site.asked("DELETE"))


def test_of_two_groups_of_one_name_none_is_taken_and_an_id_names_one(site: Site, anna: str) -> None:
    other = site.simulator.groups.add("finance")
    with pytest.raises(RejectedError, match=other):
        site.act(site.wish("account.remove_from_group", anna, "membership:anna/finance"))
    command = site.wish("account.add_to_group", anna, f"membership:anna/{other}")
    site.act(command)
    assert site.read(command).effect is Effect.IN_EFFECT
    with pytest.raises(NotFoundError):
        site.act(site.wish("account.add_to_group", anna, "membership:anna/financ"))


@pytest.mark.parametrize(("kind", "why"), [("dynamic", "rule"), ("synced", "Active Directory")])
def test_a_group_that_nobody_changes_by_hand_is_refused_before_it_is_tried(
    site: Site, anna: str, kind: str, why: str
) -> None:
    site.simulator.groups.add("everyone", dynamic=kind == "dynamic", synced=kind == "synced")
    with pytest.raises(RejectedError, match=why):
        site.act(site.wish("account.add_to_group", anna, "membership:anna/everyone"))
    assert site.asked("POST", "/groups/") == []


def test_a_group_that_grants_a_role_needs_a_role_permission_which_is_named(site: Site, anna: str) -> None:
    site.simulator.groups.add("admins", grants_role=True)
    with pytest.raises(ScopeError, match=r"RoleManagement\.ReadWrite\.Directory"):
        site.act(site.wish("account.add_to_group", anna, "membership:anna/admins"))


def test_a_refusal_for_another_reason_is_not_taken_for_a_repeat(site: Site, anna: str) -> None:
    site.simulator.groups.add("payroll")
    site.simulator.faults.add("server_error", method="POST", path="/groups/", options={"status": 400})
    with pytest.raises(RejectedError):
        site.act(site.wish("account.add_to_group", anna, "membership:anna/payroll"))


# Health


def test_the_health_check_names_every_permission_that_is_missing(site: Site) -> None:
    site.simulator.permissions = {"IdentityRiskEvent.Read.All"}
    health = site.health()
    assert not health.ok
    assert [
        name for name in ("IdentityRiskEvent", "IdentityRiskyUser", "User.Read") if name in str(health.problems)
    ] == [
        "IdentityRiskyUser",
        "User.Read",
    ]


def test_the_health_check_tells_a_missing_licence_and_a_wrong_clock(site: Site) -> None:
    site.simulator.risks.licence = ""
    assert [problem for problem in site.health().problems if "licence" in problem]
    site.simulator.risks.licence = "P2"
    site.simulator.faults.add("clock_skew", options={"seconds": 600})
    (problem,) = site.health().problems
    assert "600 s" in problem


def test_wrong_credentials_are_tried_once(site: Site) -> None:
    site.settings["tenant_id"] = "another-tenant"
    (problem,) = site.health().problems
    assert "AADSTS90002" in problem
    assert len(site.simulator.seen) == 1
