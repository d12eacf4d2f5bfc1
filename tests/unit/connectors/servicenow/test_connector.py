import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import parse_qs

import httpx
import pytest

import nightdesk.connectors.servicenow as package
from nightdesk.connectors.servicenow import Connector
from nightdesk.connectors.servicenow.simulator import Simulator
from nightdesk.sdk.context import Context, Network, Settings
from nightdesk.sdk.errors import (
    ConfigError,
    CursorExpiredError,
    NotFoundError,
    RejectedError,
    ResponseError,
    ScopeError,
    UnavailableError,
    UnsupportedError,
)
from nightdesk.sdk.manifest import load_manifest, validate_settings
from nightdesk.sdk.ports import CaseChange, Command, Effect, Health, Reading, Receipt
from nightdesk.sdk.records import Cursor
from nightdesk.sdk.secrets import Secret
from nightdesk.sdk.targets import Target
from nightdesk.sdk.testing.fake_time import FakeTime

T = TypeVar("T")
NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)
MANIFEST = load_manifest(Path(package.__file__).parent / "manifest.yaml")


@dataclass
class Site:
    """One simulator reached without a socket, and the time of both ends; every call builds its own connector."""

    simulator: Simulator
    time: FakeTime
    settings: dict[str, Any] = field(default_factory=dict)
    tenant: str = "acme"

    def run(self, work: Callable[[Connector], Awaitable[T]]) -> T:
        async def once() -> T:
            given = {**self.simulator.settings("https://acme.example.com"), **self.settings}
            values = validate_settings(MANIFEST, given, file="nightdesk.yaml", key="connectors.servicenow")
            network = Network(timeout=5, transport=httpx.ASGITransport(self.simulator))
            context = Context(self.tenant, "servicenow", Settings(values), network, self.time.clock, self.time.sleep)
            connector = Connector(context)
            try:
                return await work(connector)
            finally:
                await connector.aclose()

        return asyncio.run(once())

    def act(self, verb: str, key: str = "key-1", **parameters: Any) -> Receipt:
        return self.send(command(verb, key, **parameters))

    def send(self, wish: Command) -> Receipt:
        return self.run(lambda connector: connector.act(wish))

    def read(self, verb: str, key: str = "key-1", **parameters: Any) -> Reading:
        return self.run(lambda connector: connector.read_back(command(verb, key, **parameters)))

    def follow(self, cursor: Cursor | None, limit: int = 100) -> tuple[list[CaseChange], Cursor | None]:
        async def drained(connector: Connector) -> tuple[list[CaseChange], Cursor | None]:
            found: list[CaseChange] = []
            reached = cursor
            async for page in connector.follow_cases(cursor, limit=limit):
                found += page.changes
                reached = page.cursor or reached
            return found, reached

        return self.run(drained)

    def health(self) -> Health:
        return self.run(lambda connector: connector.check_health())

    def open(self, case_id: str = "case-7", **parameters: Any) -> str:
        given = {"title": "Odd process", "description": "Seen on WS-0042", "severity": "high", **parameters}
        return self.send(command("case.open", f"open-{case_id}", case_id, **given)).native_action_id

    def record(self, native_id: str) -> dict[str, str]:
        return dict(self.simulator.records()[native_id])

    def comments(self, native_id: str) -> list[str]:
        return list(self.simulator.case_states()[native_id]["comments"])


@pytest.fixture
def site() -> Site:
    time = FakeTime(NOON)
    return Site(Simulator(clock=time.clock), time)


def command(verb: str, key: str = "key-1", case_id: str = "case-7", pre_state: Any = None, **words: Any) -> Command:
    target = Target.parse(f"case:{case_id}")
    return Command("acme", "action-1", verb, target, key, NOON, parameters=words, pre_state=dict(pre_state or {}))


# Opening


def test_a_ticket_carries_the_case_and_a_priority_for_each_severity(site: Site) -> None:
    words = ("critical", "high", "medium", "low", "informational")
    records = [site.record(site.open(f"case-{word}", severity=word)) for word in words]
    assert [record["priority"] for record in records] == ["1", "2", "3", "4", "5"]
    assert records[0]["correlation_id"] == "case-critical"
    assert records[0]["correlation_display"] == "nightdesk:acme"
    assert records[0]["description"].startswith("Seen on WS-0042\n\n[nightdesk ")


def test_a_lost_reply_to_the_create_makes_no_second_ticket(site: Site) -> None:
    site.simulator.faults.add("lost_reply", method="POST", times=1)
    with pytest.raises(UnavailableError):
        site.open()
    again = command("case.open", "open-case-7", pre_state={"ticket": ""}, title="Odd process")
    assert site.send(again).changed is True
    assert len(site.simulator.case_states()) == 1


def test_the_same_case_of_another_tenant_or_integration_is_another_ticket(site: Site) -> None:
    site.simulator.add_ticket(correlation_id="case-7", correlation_display="monitoring")
    first = site.open()
    site.tenant = "umbrella"
    assert site.open() != first
    assert len(site.simulator.case_states()) == 3


def test_an_instance_that_ignores_a_term_gives_rows_that_are_not_taken_for_ours(site: Site) -> None:
    site.open()
    site.simulator.forbid_query("correlation_id")
    with pytest.raises(ResponseError, match="asked for correlation_id 'case-8' the instance gave INC0000001"):
        site.open("case-8")
    site.simulator.hide("correlation_id")
    with pytest.raises(ScopeError, match="hides correlation_id of INC0000001"):
        site.open("case-8")
    assert len(site.simulator.case_states()) == 1


def test_a_protected_field_is_a_loss_and_a_protected_correlation_an_error(site: Site) -> None:
    site.simulator.protect("impact", "description")
    receipt = site.act("case.open", title="Odd", description="Seen", severity="critical")
    assert [loss.partition(":")[0] for loss in receipt.losses] == ["description", "severity"]
    site.simulator.protect("correlation_display")
    with pytest.raises(ScopeError, match="correlation_display of the new ticket INC0000002"):
        site.open("case-8")


def test_a_closed_ticket_is_not_opened_by_a_second_open(site: Site) -> None:
    native_id = site.open()
    site.simulator.edit_case(native_id, status="closed")
    with pytest.raises(RejectedError, match=r"case\.reopen"):
        site.open()
    assert site.read("case.open", title="x").effect is Effect.NOT_IN_EFFECT


@pytest.mark.parametrize("case_id", ["x^ORstate=1", "javascript:gs.getUserID()", "a\nb", "c" * 101])
def test_a_case_id_that_would_be_more_than_a_value_is_refused(site: Site, case_id: str) -> None:
    with pytest.raises(RejectedError):
        site.open(case_id)
    assert not site.simulator.mutations()


def test_words_that_are_not_ours_are_refused_before_anything_is_sent(site: Site) -> None:
    for verb, words in (
        ("case.open", {"title": " "}),
        ("case.open", {"title": "x", "severity": "awful"}),
        ("case.comment", {"comment": " "}),
    ):
        with pytest.raises(RejectedError):
            site.act(verb, **words)
    with pytest.raises(UnsupportedError, match="labels"):
        site.act("case.open", title="x", labels=["a"])
    with pytest.raises(UnsupportedError):
        site.act("alert.comment", comment="x")
    assert not site.simulator.mutations()


# Changing


def test_an_update_changes_only_what_differs_and_its_undo_restores_the_text(site: Site) -> None:
    native_id = site.open()
    before = site.read("case.update", title="Worse")
    assert site.act("case.update", title="Worse", severity="high").changed
    record = site.record(native_id)
    assert (record["short_description"], record["sys_mod_count"], record["priority"]) == ("Worse", "1", "2")
    assert site.act("case.update", title="Worse").changed is False
    restored = {name: before.state[name] for name in ("title", "description", "severity")}
    site.act("case.update", "key-2", **restored)
    assert site.record(native_id)["description"].count("[nightdesk ") == 1
    assert site.read("case.update", "key-2", **restored).effect is Effect.IN_EFFECT


def test_what_an_acl_drops_of_an_update_is_read_back_as_not_done(site: Site) -> None:
    site.open()
    site.simulator.protect("impact")
    assert [loss.partition(":")[0] for loss in site.act("case.update", severity="critical").losses] == ["severity"]
    assert site.read("case.update", severity="critical").effect is Effect.NOT_IN_EFFECT


def test_a_long_title_is_cut_and_that_is_a_loss(site: Site) -> None:
    native_id = site.open()
    receipt = site.act("case.update", title="a" * 200)
    assert receipt.losses == ("title: cut after 160 characters",)
    assert len(site.record(native_id)["short_description"]) == 160
    assert site.read("case.update", title="a" * 200).effect is Effect.IN_EFFECT


def test_hidden_journal_entries_are_no_silence(site: Site) -> None:
    native_id = site.open()
    site.act("case.comment", comment="first")
    site.simulator.hide_journal()
    with pytest.raises(ScopeError, match="sys_journal_field"):
        site.act("case.comment", comment="first")
    assert len(site.comments(native_id)) == 1


def test_closing_resolves_with_a_code_of_the_instance_and_reopening_restores_the_state(site: Site) -> None:
    native_id = site.open()
    before = site.read("case.close").state
    receipt = site.act("case.close", disposition="false_positive", comment="benign tool")
    record = site.record(native_id)
    assert (record["state"], record["close_code"]) == ("6", "No resolution provided")
    assert record["close_notes"].endswith("Disposition: false-positive")
    assert receipt.losses[0].startswith("disposition=false-positive: the close code is 'No resolution provided'")
    assert site.read("case.close", comment="benign tool").state["disposition"] == "false-positive"
    site.send(command("case.reopen", "key-2", pre_state=before))
    assert site.record(native_id)["state"] == before["native_status"] == "1"
    assert len(site.comments(native_id)) == 1


def test_a_code_that_says_the_disposition_is_no_loss_and_a_configured_one_is_always_taken(site: Site) -> None:
    native_id = site.open()
    assert site.act("case.close", disposition="duplicate").losses == ()
    assert site.record(native_id)["close_code"] == "Duplicate"
    site.settings["close_code"] = "User error"
    other = site.open("case-8")
    site.send(command("case.close", "key-2", "case-8"))
    assert site.record(other)["close_code"] == "User error"
    assert site.record(other)["close_notes"] == "Closed by nightdesk."


def test_a_security_incident_has_other_states(site: Site) -> None:
    site.settings["table"] = "sn_si_incident"
    native_id = site.open()
    site.act("case.close", disposition="false-positive")
    assert site.simulator.records("sn_si_incident")[native_id]["close_code"] == "False positive"
    site.act("case.reopen")
    assert site.simulator.case_states()[native_id]["status"] == "open"


def test_a_rule_that_refuses_is_no_missing_role(site: Site) -> None:
    native_id = site.open()
    site.simulator.edit(native_id, state="7")
    with pytest.raises(RejectedError, match="Business Rule"):
        site.act("case.reopen")
    receipt = site.act("case.close", comment="too late")
    assert receipt.changed is False
    assert receipt.losses == ("comment: the ticket is closed for good and takes none",)
    assert site.read("case.close", comment="too late").effect is Effect.IN_EFFECT


def test_a_protected_state_is_an_error_and_not_a_closed_ticket(site: Site) -> None:
    site.open()
    site.simulator.protect("state")
    with pytest.raises(ScopeError, match="kept the state 'New'"):
        site.act("case.close")


def test_a_reader_may_not_write_and_is_told_what_to_grant(site: Site) -> None:
    site.simulator.roles = {"snc_read_only"}
    with pytest.raises(ScopeError, match="grant the integration user the role itil"):
        site.open()


def test_a_ticket_that_is_named_is_read_by_its_sys_id(site: Site) -> None:
    native_id = site.simulator.add_ticket()
    wish = Command("acme", "a", "case.comment", Target.parse("case:case-9"), "k", NOON, native_id, {"comment": "hi"})
    site.send(wish)
    assert site.comments(native_id)[0].startswith("hi [nightdesk ")
    for name in ("0" * 32, "../sys_user"):
        with pytest.raises((NotFoundError, RejectedError)):
            site.send(Command("acme", "a", "case.close", Target.parse("case:case-9"), "k", NOON, name))


# Following


def test_pages_by_key_lose_nothing_in_a_second_with_many_changes(site: Site) -> None:
    _, cursor = site.follow(None)
    wanted = {site.open(f"case-{number}") for number in range(7)}
    site.time.advance(1)
    wanted |= {site.open(f"case-{number}") for number in range(7, 10)}
    told, cursor = site.follow(cursor, limit=2)
    assert sorted(change.native_id for change in told) == sorted(wanted)
    assert not any("sysparm_offset" in seen.query for seen in site.simulator.seen)
    assert "^NQ" in parse_qs(site.simulator.seen[-1].query)["sysparm_query"][0]
    assert site.follow(cursor, limit=2)[0] == []


def test_a_version_is_told_once_and_only_of_our_tickets(site: Site) -> None:
    native_id = site.open()
    site.time.advance(5)
    _, cursor = site.follow(None)
    site.time.advance(5)
    other = site.simulator.add_ticket(correlation_id="case-1", correlation_display="monitoring")
    site.simulator.edit(other, comments="not yours")
    site.simulator.edit(native_id, comments="who is this?")
    told, cursor = site.follow(cursor)
    assert [(change.native_id, change.version, change.case_id) for change in told] == [(native_id, "1", "case-7")]
    site.simulator.edit(native_id, work_notes="the same second")
    told, _ = site.follow(cursor)
    assert {comment.text for comment in told[0].comments} == {"who is this?", "the same second"}
    assert {comment.author for comment in told[0].comments} == {"a.analyst"}


def test_a_user_in_another_time_zone_would_miss_hours_and_is_refused(site: Site) -> None:
    _, cursor = site.follow(None)
    site.open()
    site.simulator.api.offset = timedelta(hours=9)
    with pytest.raises(RejectedError, match="time zone to GMT"):
        site.follow(cursor)
    assert any("time zone" in problem for problem in site.health().problems)


def test_a_cursor_that_is_not_ours_is_expired(site: Site) -> None:
    with pytest.raises(CursorExpiredError):
        site.follow({"offset": 10})


# Signing in, and what is wrong with the instance


@pytest.mark.parametrize("way", ["basic", "oauth", "api_key"])
def test_each_way_to_sign_in_works(site: Site, way: str) -> None:
    simulator = Simulator(clock=site.time.clock, way=way)
    assert Site(simulator, site.time).health() == Health(True, (), "api/now", 0.0, 0.0)


def test_two_ways_at_once_or_half_of_one_are_a_mistake(site: Site) -> None:
    for given in ({"api_key": Secret.literal("x")}, {"password": None}):
        site.settings = given
        with pytest.raises(ConfigError, match="username and password, or"):
            site.health()


def test_a_hibernating_instance_answers_200_and_is_not_healthy(site: Site) -> None:
    site.simulator.hibernating = True
    with pytest.raises(ResponseError, match="hibernates"):
        site.open()
    assert not site.health().ok
