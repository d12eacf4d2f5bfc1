import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import httpx
import pytest

import nightdesk.connectors.jira as package
from nightdesk.connectors.jira import Connector
from nightdesk.connectors.jira.adf import document, text_of
from nightdesk.connectors.jira.simulator import Simulator
from nightdesk.sdk.context import Context, Network, Settings
from nightdesk.sdk.errors import (
    ConfigError,
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
            values = validate_settings(MANIFEST, given, file="nightdesk.yaml", key="connectors.jira")
            network = Network(timeout=5, transport=httpx.ASGITransport(self.simulator))
            context = Context(self.tenant, "jira", Settings(values), network, self.time.clock, self.time.sleep)
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

    def calls(self, method: str, ending: str) -> int:
        return sum(1 for seen in self.simulator.seen if seen.method == method and seen.path.endswith(ending))


@pytest.fixture
def site() -> Site:
    time = FakeTime(NOON)
    return Site(Simulator(clock=time.clock), time)


def command(
    verb: str, key: str = "key-1", case_id: str = "case-7", pre_state: Any = None, at: datetime = NOON, **words: Any
) -> Command:
    target = Target.parse(f"case:{case_id}")
    return Command("acme", "action-1", verb, target, key, at, parameters=words, pre_state=dict(pre_state or {}))


# Texts


@pytest.mark.parametrize(
    "text", ["one", "one\ntwo", "one\n\ntwo\nthree", "\n\na\n\n\n\nb\n", "a\n\n\nb", "*x* <b> & |", ""]
)
def test_a_text_survives_its_document_and_no_text_node_is_empty(text: str) -> None:
    made = document(text)
    wanted = "\n\n".join(part.strip("\n") for part in text.split("\n\n") if part.strip("\n"))
    assert text_of(made) == wanted
    assert '"text": ""' not in json.dumps(made)


def test_a_document_of_other_hands_is_read_with_its_mentions_and_lists() -> None:
    mention = {"type": "paragraph", "content": [{"type": "mention", "attrs": {"text": "@Ada"}}]}
    items = [
        {"type": "listItem", "content": [{"type": "paragraph", "content": [{"type": "text", "text": t}]}]} for t in "ab"
    ]
    made = {"type": "doc", "version": 1, "content": [mention, {"type": "bulletList", "content": items}, "?"]}
    assert text_of(made) == "@Ada\n\na\nb"


# Opening


def test_an_issue_carries_labels_to_be_searched_and_a_property_to_be_known_by(site: Site) -> None:
    issue = site.simulator.issue(site.open(labels=["phishing"]))
    assert issue["labels"] == ["nightdesk:acme", "nightdesk:acme:case-7", "phishing"]
    assert issue["properties"] == {"nightdesk": {"tenant": "acme", "case": "case-7"}}
    assert issue["priority"] == "High"
    assert text_of(issue["description"]).startswith("Seen on WS-0042\n\n[nightdesk ")


def test_a_lost_reply_is_looked_for_in_the_index_until_it_is_there(site: Site) -> None:
    site.simulator.content.lag = timedelta(seconds=6)
    site.simulator.faults.add("lost_reply", method="POST", path="/issue$", times=1)
    native_id = site.open()
    assert list(site.simulator.case_states()) == [native_id]
    assert sum(site.time.slept) == 7


def test_a_create_that_never_happened_is_an_error_to_be_tried_again(site: Site) -> None:
    site.simulator.faults.add("truncated_body", method="POST", path="/issue$", times=1)
    with pytest.raises(UnavailableError):
        site.open()
    assert not site.simulator.case_states()
    assert site.open() in site.simulator.case_states()


def test_a_repeat_waits_for_the_index_before_it_creates_again(site: Site) -> None:
    site.simulator.content.lag = timedelta(seconds=20)
    site.open()  # its own waits end before the index has it
    site.time.advance(1)
    again = command("case.open", "open-case-7", title="Odd process", pre_state={"ticket": ""})
    assert site.send(again).changed is True
    assert site.calls("POST", "/issue") == 1


def test_a_copy_of_our_issue_is_not_ours(site: Site) -> None:
    native_id = site.open()
    copied = site.simulator.copy(native_id)
    site.time.advance(5)
    site.act("case.comment", comment="hello")
    assert (len(site.comments(native_id)), len(site.comments(copied))) == (1, 0)
    site.time.advance(1)
    _, cursor = site.follow(None)
    site.time.advance(5)
    site.simulator.edit_case(copied, comment="who made this?")
    site.time.advance(5)
    assert site.follow(cursor)[0] == []
    site.simulator.remove(native_id)
    with pytest.raises(NotFoundError):
        site.act("case.comment", "key-2", comment="to whom?")


def test_an_issue_that_the_index_still_has_and_nobody_else_is_no_ticket(site: Site) -> None:
    site.simulator.remove(site.open())
    with pytest.raises(NotFoundError):
        site.act("case.comment", comment="hello")


def test_a_case_id_with_spaces_and_quotes_becomes_a_label_without(site: Site) -> None:
    native_id = site.open('my case" OR project = X')
    labels = site.simulator.issue(native_id)["labels"]
    assert len(labels) == 2
    assert not any(letter in "".join(labels) for letter in '" =')
    assert site.open('my case" OR project = X') == native_id


def test_what_the_project_wants_of_an_issue_is_named(site: Site) -> None:
    site.simulator.content.required = {"customfield_10042"}
    with pytest.raises(RejectedError, match="customfield_10042"):
        site.open()
    site.settings["issue_type"] = "Bug"
    with pytest.raises(NotFoundError, match="it has Task, Incident"):
        site.open()
    site.simulator.content.required = set()
    site.simulator.content.screen -= {"labels"}
    site.settings = {}
    assert any("no labels" in problem for problem in site.health().problems)


def test_a_priority_or_field_that_the_project_lacks_is_a_loss(site: Site) -> None:
    site.settings["priorities"] = "P1, P2, P3, P4, P5"
    assert "no priority 'P1'" in site.act("case.open", title="x", severity="critical").losses[0]
    site.simulator.content.screen -= {"priority"}
    assert site.act("case.update", severity="low").losses == ("severity: the project's screen has no priority",)
    assert site.read("case.update", severity="low").effect is Effect.NOT_IN_EFFECT


def test_a_closed_ticket_is_not_opened_by_a_second_open(site: Site) -> None:
    native_id = site.open()
    site.simulator.edit_case(native_id, status="closed")
    with pytest.raises(RejectedError, match=r"case\.reopen"):
        site.open()


def test_words_that_are_not_ours_are_refused_before_anything_is_sent(site: Site) -> None:
    for verb, words in (
        ("case.open", {"title": ""}),
        ("case.open", {"title": "x", "severity": "awful"}),
        ("case.open", {"title": "x", "labels": ["two words"]}),
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
    site.act("case.update", title="Worse", description="Again\n\nand again", severity="high")
    assert site.simulator.issue(native_id)["summary"] == "Worse"
    assert site.read("case.update", description="Again\n\nand again").effect is Effect.IN_EFFECT
    restored = {name: before[name] for name in ("title", "description", "severity")}
    site.act("case.update", "key-2", **restored)
    assert text_of(site.simulator.issue(native_id)["description"]) == before["description"]
    assert site.act("case.update", "key-2", **restored).changed is False
    assert site.calls("PUT", native_id) == 2


def test_a_comment_is_internal_and_the_same_command_makes_one(site: Site) -> None:
    native_id = site.open()
    site.simulator.faults.add("lost_reply", method="POST", path="/comment$", times=1)
    with pytest.raises(UnavailableError):
        site.act("case.comment", comment="hello")
    site.act("case.comment", comment="hello")
    assert len(site.comments(native_id)) == 1
    assert site.simulator.issue(native_id)["comments"][0]["jsdPublic"] is False
    with pytest.raises(RejectedError, match="32767"):
        site.act("case.comment", "key-2", comment="x" * 32_760)


def test_closing_takes_the_transition_that_is_offered_with_its_resolution(site: Site) -> None:
    native_id = site.open()
    before = site.read("case.close").state
    receipt = site.act("case.close", disposition="false_positive", comment="benign tool")
    issue = site.simulator.issue(native_id)
    assert (issue["status"], issue["resolution"]) == ("Done", "Won't Do")
    assert receipt.losses[0].startswith("disposition=false-positive: the resolution is")
    assert site.comments(native_id)[0].startswith("benign tool\nDisposition: false-positive [nightdesk ")
    site.send(command("case.reopen", "key-2", pre_state={**before, "native_status": "In Progress"}))
    assert site.simulator.issue(native_id)["status"] == "In Progress"


def test_a_resolution_that_says_the_disposition_is_no_loss_and_a_status_can_be_chosen(site: Site) -> None:
    native_id = site.open()
    assert site.act("case.close", disposition="duplicate").losses == ()
    assert site.read("case.close").state["disposition"] == "duplicate"
    site.act("case.reopen")
    site.settings["closed_status"] = "won't do"
    site.act("case.close", "key-2")
    assert site.simulator.issue(native_id)["status"] == "Won't Do"


def test_a_workflow_without_a_direct_way_says_where_it_leads(site: Site) -> None:
    site.open()
    site.simulator.content.workflow = {"To Do": {"11": "In Progress"}}
    with pytest.raises(RejectedError, match="to no closed status, only to In Progress"):
        site.act("case.close")


def test_a_transition_that_wants_more_than_a_resolution_says_what(site: Site) -> None:
    native_id = site.open()
    site.simulator.content.closing_screen = {"customfield_10050"}
    with pytest.raises(RejectedError, match="of SEC-1 wants Customfield_10050"):
        site.act("case.close")
    assert site.simulator.issue(native_id)["status"] == "To Do"


def test_who_is_offered_no_transition_lacks_the_permission(site: Site) -> None:
    site.open()
    site.simulator.permissions -= {"TRANSITION_ISSUES"}
    with pytest.raises(ScopeError, match="Transition Issues"):
        site.act("case.close")


def test_a_conflict_is_tried_again_and_comments_once(site: Site) -> None:
    native_id = site.open()
    site.simulator.api.conflicts = 1
    with pytest.raises(UnavailableError, match="same moment"):
        site.act("case.close", comment="done")
    site.act("case.close", comment="done")
    assert site.simulator.case_states()[native_id]["status"] == "closed"
    assert len(site.comments(native_id)) == 1


# Following


def test_the_last_minutes_are_read_again_and_told_once_to_the_millisecond(site: Site) -> None:
    native_id = site.open()
    _, cursor = site.follow(None)
    site.simulator.content.lag = timedelta(minutes=5)
    for number in range(3):
        site.time.advance(0.4)
        site.simulator.edit(native_id, summary=f"title {number}")
    site.time.advance(30)
    told, cursor = site.follow(cursor)
    assert [change.title for change in told] in ([], ["title 2"])
    site.time.advance(300)
    late, cursor = site.follow(cursor)
    assert [change.title for change in (*told, *late)] == ["title 2"]
    assert site.follow(cursor)[0] == []


def test_every_page_of_a_search_is_read(site: Site) -> None:
    _, cursor = site.follow(None)
    wanted = {site.open(f"case-{number}") for number in range(5)}
    site.tenant = "umbrella"
    site.open("case-1")
    site.tenant = "acme"
    site.time.advance(10)
    told, cursor = site.follow(cursor, limit=2)
    assert {change.native_id for change in told} == wanted
    assert {change.case_id for change in told} == {f"case-{number}" for number in range(5)}
    assert site.follow(cursor, limit=2)[0] == []


def test_the_time_zone_of_the_account_does_not_matter(site: Site) -> None:
    _, cursor = site.follow(None)
    site.simulator.api.offset = timedelta(hours=9)
    native_id = site.open()
    site.time.advance(7200)
    assert [change.native_id for change in site.follow(cursor)[0]] == [native_id]


def test_a_cursor_that_is_not_ours_is_expired(site: Site) -> None:
    with pytest.raises(CursorExpiredError):
        site.follow({"startAt": 10})


# Settings and health


def test_the_health_check_names_every_permission_that_is_missing(site: Site) -> None:
    assert site.health().ok
    site.simulator.permissions -= {"ADD_COMMENTS", "EDIT_ISSUES"}
    assert "grant EDIT_ISSUES, ADD_COMMENTS in SEC" in site.health().problems[0]
    site.simulator.api.deployment = "Server"
    assert "only Jira Cloud" in site.health().problems[0]


def test_a_project_that_is_no_key_and_too_few_priorities_are_mistakes(site: Site) -> None:
    site.settings = {"project": 'SEC" OR x', "priorities": "High, Low"}
    with pytest.raises(ConfigError) as caught:
        site.health()
    assert [problem.key for problem in caught.value.problems] == ["project", "priorities"]
