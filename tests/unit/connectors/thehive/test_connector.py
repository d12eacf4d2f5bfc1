import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import httpx
import pytest
from starlette.types import Receive, Scope, Send

import nightdesk.connectors.thehive as package
from nightdesk.connectors.thehive import Connector
from nightdesk.connectors.thehive.simulator import Simulator
from nightdesk.sdk.context import Context, Network, Settings
from nightdesk.sdk.errors import (
    CursorExpiredError,
    NotFoundError,
    RejectedError,
    ScopeError,
    UnavailableError,
    UnsupportedError,
)
from nightdesk.sdk.manifest import load_manifest, validate_settings
from nightdesk.sdk.ports import CaseChange, Command, Effect, Health, Reading, Receipt
from nightdesk.sdk.records import Cursor
from nightdesk.sdk.targets import Target
from nightdesk.sdk.testing.fake_time import FakeTime

T = TypeVar("T")
NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)
MANIFEST = load_manifest(Path(package.__file__).parent / "manifest.yaml")


class Meddler:
    """Stands before a simulator and does something just before one matching request arrives."""

    def __init__(self, simulator: Simulator) -> None:
        self.simulator = simulator
        self.waiting: list[tuple[str, str, Callable[[], Any]]] = []
        self.passing = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self.waiting and scope["method"] == self.waiting[0][0] and scope["path"].endswith(self.waiting[0][1]):
            self.passing -= 1
            if self.passing < 0:
                self.waiting.pop(0)[2]()
        await self.simulator(scope, receive, send)


@dataclass
class Site:
    """One simulator reached without a socket, and the time of both ends; every call builds its own connector."""

    simulator: Simulator
    time: FakeTime
    settings: dict[str, Any] = field(default_factory=dict)
    tenant: str = "acme"

    def __post_init__(self) -> None:
        self.meddler = Meddler(self.simulator)

    def before(self, method: str, ending: str, meddle: Callable[[], Any], after: int = 0) -> None:
        """Does something before a request, the first one or one ``after`` so many."""
        self.meddler.waiting.append((method, ending, meddle))
        self.meddler.passing = after

    def run(self, work: Callable[[Connector], Awaitable[T]]) -> T:
        async def once() -> T:
            given = {**self.simulator.settings("https://acme.example.com"), **self.settings}
            values = validate_settings(MANIFEST, given, file="nightdesk.yaml", key="connectors.thehive")
            network = Network(timeout=5, transport=httpx.ASGITransport(self.meddler))
            context = Context(self.tenant, "thehive", Settings(values), network, self.time.clock, self.time.sleep)
            connector = Connector(context)
            try:
                return await work(connector)
            finally:
                await connector.aclose()

        return asyncio.run(once())

    def act(self, verb: str, key: str = "key-1", **parameters: Any) -> Receipt:
        return self.send(command(verb, key, at=self.time.now, **parameters))

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
        wish = command("case.open", f"open-{case_id}", case_id, at=self.time.now, **given)
        return self.send(wish).native_action_id

    def comments(self, native_id: str) -> list[str]:
        return list(self.simulator.case_states()[native_id]["comments"])

    def case(self, native_id: str) -> dict[str, Any]:
        return dict(self.simulator.records.cases[native_id])


@pytest.fixture
def site() -> Site:
    time = FakeTime(NOON)
    return Site(Simulator(clock=time.clock), time)


def command(
    verb: str, key: str = "key-1", case_id: str = "case-7", pre_state: Any = None, at: datetime = NOON, **words: Any
) -> Command:
    target = Target.parse(f"case:{case_id}")
    return Command("acme", "action-1", verb, target, key, at, parameters=words, pre_state=dict(pre_state or {}))


# Opening


def test_a_ticket_is_a_case_made_of_an_alert_with_our_case_id(site: Site) -> None:
    native_id = site.open(labels=["phishing"])
    (alert,) = site.simulator.records.alerts.values()
    assert (alert["type"], alert["source"], alert["sourceRef"]) == ("nightdesk", "nightdesk:acme", "case-7")
    assert (alert["caseId"], alert["status"]) == (native_id, "Imported")
    case = site.case(native_id)
    assert (case["severity"], case["tags"]) == (3, ["phishing"])
    assert case["description"].startswith("Seen on WS-0042\n\n[nightdesk ")


@pytest.mark.parametrize("path", ["/alert$", "/case$"])
def test_a_lost_reply_makes_no_second_ticket(site: Site, path: str) -> None:
    site.simulator.faults.add("lost_reply", method="POST", path=path, times=1)
    native_id = site.open()
    assert list(site.simulator.case_states()) == [native_id]
    assert len(site.simulator.records.alerts) == 1


def test_an_alert_that_was_not_made_a_case_is_made_one_by_the_next_try(site: Site) -> None:
    site.simulator.permissions -= {"manageAlert/import"}
    with pytest.raises(ScopeError, match="manageAlert/import and manageCase/create"):
        site.open()
    assert site.read("case.open", title="x").state == {"ticket": ""}
    site.simulator.permissions |= {"manageAlert/import"}
    assert site.open() in site.simulator.case_states()
    assert len(site.simulator.records.alerts) == 1


def test_who_loses_a_race_finds_the_ticket_of_who_won(site: Site) -> None:
    triple = {"type": "nightdesk", "source": "nightdesk:acme", "sourceRef": "case-7"}
    site.before(
        "POST", "/alert", lambda: site.simulator.records.raise_alert({**triple, "title": "x", "description": "y"})
    )
    native_id = site.open()
    assert (site.case(native_id)["title"], len(site.simulator.records.alerts)) == ("x", 1)
    records = site.simulator.records
    site.before("POST", "/case", lambda: records.promote([*records.alerts.values()][-1], {}))
    site.open("case-8")
    assert len(site.simulator.case_states()) == 2


def test_a_rejection_that_is_no_duplicate_is_an_error(site: Site) -> None:
    with pytest.raises(RejectedError, match="Invalid format for description"):
        site.run(lambda connector: connector._tickets._anchor(command("case.open"), {"title": "x"}))


def test_the_same_case_of_another_tenant_is_another_ticket_and_a_closed_one_stays_closed(site: Site) -> None:
    native_id = site.open()
    site.tenant = "umbrella" * 9
    assert site.open() != native_id
    assert max(len(alert["source"]) for alert in site.simulator.records.alerts.values()) <= 64
    site.tenant = "acme"
    site.simulator.edit_case(native_id, status="closed")
    with pytest.raises(RejectedError, match=r"case\.reopen"):
        site.open()
    with pytest.raises(RejectedError, match="128 characters"):
        site.open("c" * 129)


def test_words_that_are_not_ours_are_refused_before_anything_is_sent(site: Site) -> None:
    for verb, words in (
        ("case.open", {"title": ""}),
        ("case.open", {"title": "x", "severity": "awful"}),
        ("case.open", {"title": "x", "labels": "phishing"}),
        ("case.comment", {"comment": ""}),
    ):
        with pytest.raises(RejectedError):
            site.act(verb, **words)
    with pytest.raises(UnsupportedError, match="labels"):
        site.act("case.update", labels=["a"])
    assert not site.simulator.seen


# Changing


def test_an_update_sends_what_differs_and_its_undo_restores_the_text(site: Site) -> None:
    native_id = site.open()
    before = site.read("case.update", title="Worse").state
    site.act("case.update", title="Worse", description="Again", severity="critical")
    assert (site.case(native_id)["title"], site.case(native_id)["severity"]) == ("Worse", 4)
    assert site.read("case.update", description="Again").effect is Effect.IN_EFFECT
    restored = {name: before[name] for name in ("title", "description", "severity")}
    site.act("case.update", "key-2", **restored)
    assert site.case(native_id)["description"] == before["description"]
    assert site.act("case.update", "key-2", **restored).changed is False


def test_what_thehive_cannot_hold_is_a_loss(site: Site) -> None:
    site.open()
    assert site.act("case.update", severity="informational").losses == (
        "severity=informational: TheHive keeps it as low",
    )
    assert site.act("case.update", title="a" * 600).losses == ("title: cut after 512 characters",)


def test_a_comment_is_made_once_though_its_answer_is_lost(site: Site) -> None:
    native_id = site.open()
    site.simulator.faults.add("lost_reply", method="POST", path="/comment$", times=1)
    with pytest.raises(UnavailableError):
        site.act("case.comment", comment="hello")
    assert site.act("case.comment", comment="hello").changed
    assert len(site.comments(native_id)) == 1


@pytest.mark.parametrize(
    ("word", "label", "exact"),
    [
        ("true_positive", "TruePositive", True),
        ("false-positive", "FalsePositive", True),
        ("likely-false-positive", "FalsePositive", False),
        ("duplicate", "Duplicated", True),
        ("undetermined", "Indeterminate", True),
        ("test", "Other", False),
        (None, "Other", True),
    ],
)
def test_a_disposition_is_a_label_of_the_stage_closed(site: Site, word: str | None, label: str, exact: bool) -> None:
    native_id = site.open()
    receipt = site.act("case.close", **({"disposition": word} if word else {}))
    assert (site.case(native_id)["status"], not receipt.losses) == (label, exact)


def test_closing_keeps_what_a_person_wrote_and_reopening_restores_the_label(site: Site) -> None:
    native_id = site.open()
    site.simulator.records.stages["Triage"] = "InProgress"
    site.simulator.edit(native_id, status="Triage", summary="mine", impactStatus="NoImpact")
    before = site.read("case.close").state
    site.act("case.close", comment="done")
    assert (site.case(native_id)["summary"], site.case(native_id)["impactStatus"]) == ("mine", "NoImpact")
    site.send(command("case.reopen", "key-2", pre_state=before))
    assert site.case(native_id)["status"] == "Triage"


def test_a_label_that_the_organisation_lacks_is_replaced_and_named(site: Site) -> None:
    native_id = site.open()
    del site.simulator.records.stages["FalsePositive"]
    receipt = site.act("case.close", disposition="false-positive")
    assert receipt.losses == ("disposition=false-positive: TheHive keeps it as Other",)
    before = {"status": "open", "native_status": "Gone"}
    site.send(command("case.reopen", "key-2", pre_state=before))
    assert site.case(native_id)["status"] == "InProgress"
    for label in ("Other", "TruePositive", "Indeterminate", "Duplicated"):
        site.simulator.records.stages.pop(label)
    with pytest.raises(RejectedError, match="no case status of the stage Closed"):
        site.act("case.close", "key-3")


def test_reopening_has_a_permission_of_its_own(site: Site) -> None:
    site.open()
    site.act("case.close")
    site.simulator.permissions -= {"manageCase/reopen"}
    with pytest.raises(ScopeError, match="manageCase/reopen"):
        site.act("case.reopen", "key-2")


def test_a_licence_that_ended_is_no_missing_permission(site: Site) -> None:
    site.simulator.read_only = True
    with pytest.raises(RejectedError, match="renew its licence"):
        site.open()


def test_a_ticket_that_is_named_is_read_by_its_id(site: Site) -> None:
    native_id = site.simulator.records.open_case({"title": "theirs", "description": "x"})["_id"]
    site.send(
        Command("acme", "a", "case.comment", Target.parse("case:case-9"), "k", NOON, native_id, {"comment": "hi"})
    )
    assert site.comments(native_id)[0].startswith("hi [nightdesk ")
    for name in ("~1", "../user/current"):
        with pytest.raises((NotFoundError, RejectedError)):
            site.send(Command("acme", "a", "case.close", Target.parse("case:case-9"), "k", NOON, name))


# Following


def test_a_change_and_a_comment_are_told_though_a_comment_moves_nothing(site: Site) -> None:
    native_id = site.open()
    site.time.advance(5)
    _, cursor = site.follow(None)
    site.time.advance(5)
    site.simulator.edit_case(native_id, comment="who is this?")
    assert "_updatedAt" not in site.case(native_id)
    told, cursor = site.follow(cursor)
    assert [(change.case_id, change.status, change.comments[-1].text) for change in told] == [
        ("case-7", "open", "who is this?")
    ]
    assert told[0].comments[0].author == "ada@example.com"
    site.time.advance(5)
    site.simulator.edit_case(native_id, status="closed", comment="nobody")
    told, cursor = site.follow(cursor)
    assert [change.status for change in told] == ["closed"]
    assert site.follow(cursor)[0] == []


def test_our_own_comment_is_no_news(site: Site) -> None:
    site.open()
    _, cursor = site.follow(None)
    site.time.advance(5)
    site.act("case.comment", comment="hello")
    assert site.follow(cursor)[0] == []


@pytest.mark.parametrize("size", [1, 2, 3, 100])
def test_changes_of_one_millisecond_are_all_told_in_any_page_size(site: Site, size: int) -> None:
    wanted = {site.open(f"case-{number}") for number in range(5)}
    site.simulator.records.open_case({"title": "theirs", "description": "x"})
    _, cursor = site.follow(None)
    site.time.advance(5)
    for native_id in site.simulator.case_states():
        site.simulator.edit(native_id, severity=4)
    told, _ = site.follow(cursor, limit=size)
    assert sorted(change.native_id for change in told) == sorted(wanted)


def test_a_case_that_changes_between_two_pages_hides_no_other(site: Site) -> None:
    names = [site.open(f"case-{number}") for number in range(6)]
    _, cursor = site.follow(None)
    for native_id in names:
        site.time.advance(60)
        site.simulator.edit(native_id, severity=4)
    site.time.advance(60)
    site.before("POST", "/query", lambda: site.simulator.edit(names[0], severity=1), after=1)
    told, _ = site.follow(cursor, limit=2)
    assert {change.native_id for change in told} == set(names)


def test_a_merged_ticket_is_told_for_each_of_its_cases(site: Site) -> None:
    first, second = site.open("case-1"), site.open("case-2")
    _, cursor = site.follow(None)
    site.time.advance(5)
    merged = site.simulator.records.merge(first, second)["_id"]
    site.simulator.edit_case(merged, status="closed")
    told, _ = site.follow(cursor)
    assert [(change.case_id, change.status) for change in told] == [("case-1", "closed"), ("case-2", "closed")]
    assert site.send(command("case.comment", "key-9", "case-1", comment="one of both")).native_action_id == merged


def test_a_cursor_that_is_not_ours_is_expired(site: Site) -> None:
    with pytest.raises(CursorExpiredError):
        site.follow({"from": 10})


def test_the_health_check_names_every_permission_that_is_missing(site: Site) -> None:
    assert site.health() == Health(True, (), "5.4.0-1", 0.0, 0.0)
    site.simulator.permissions = {"manageCase", "manageAlert/create"}
    assert (
        "grant manageAlert/import, manageComment to the profile of nightdesk@example.com" in site.health().problems[0]
    )
    site.settings["organisation"] = "umbrella"
    assert "not in this organisation" in site.health().problems[0]
