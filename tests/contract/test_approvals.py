"""Approvals over a real hub: a vendor and a chat system on sockets, people on every channel, processes that die."""

import asyncio
import json
import logging
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from email import message_from_bytes
from email.policy import SMTP
from pathlib import Path
from typing import Any, cast

import httpx
import pytest
from tests.hubs import REGISTRY, bind, browsing, opened, run_cli
from tests.servers.smtp import Inbox, smtp

from nightdesk.autonomy.actions import Action, ActionState
from nightdesk.autonomy.approvals import Delegation, Request
from nightdesk.autonomy.engine import Approval
from nightdesk.connectors.slack.simulator import Simulator as Chat
from nightdesk.hub.approvals.links import Link
from nightdesk.hub.hub import Hub
from nightdesk.hub.setup import private_file
from nightdesk.hub.store import audit
from nightdesk.sdk.targets import Target
from nightdesk.sdk.testing import Simulator, StoryDevice, serve
from nightdesk.sdk.testing.fake_time import FakeTime

_S = ActionState
HOST = Target.parse("host:ws-0042")
TOKENS = {
    "anna": "approver",
    "ben": "approver",
    "carl": "admin",
    "rob": "approver",
    "dora": "analyst",
    "feed": "service",
}
APPROVALS = {
    "needed": {"R2": 2},
    "people": {
        "anna": {"chat": "U0ANNA"},
        "ben": {"chat": "U0BEN"},
        "rob": {"chat": "U0ROB"},
        "dora": {"chat": "U0DORA"},
    },
    "ask": [{"to": "#soc-alerts"}],
    "url": "https://nightdesk.example.org",
}


@dataclass
class Office:
    """One tenant, its vendors, its people."""

    config: Path
    hub: Hub
    edr: Simulator
    chat: Chat
    time: FakeTime
    http: httpx.Client
    runner: asyncio.Runner

    def round(self, seconds: float = 30) -> None:
        """Everything there is to do now, the asking among it, and some time."""
        for _ in range(3):
            self.runner.run(self.hub.once(pull=False))
            self.hub.notes.once()
            self.time.advance(1)  # a read-back is later than its request
        self.time.advance(seconds)

    def isolate(self, *, by: str = "rob", lease: timedelta | None = timedelta(hours=1), **fields: Any) -> Action:
        made = self.hub.engine.propose(
            "acme", "host.isolate", HOST, requested_by=by, approval=Approval.HUMAN, lease=lease, **fields
        )
        self.round()
        return self.now(made)

    def now(self, action: Action) -> Action:
        found = self.hub.journal.get("acme", action.action_id)
        assert found is not None
        return found

    def digest(self, action: Action) -> str:
        request = Request.of(self.now(action))
        assert request is not None
        return request.digest

    def api(self, who: str, method: str, path: str, **options: Any) -> httpx.Response:
        return self.http.request(method, path, headers={"Authorization": f"Bearer secret-of-{who}"}, **options)

    def answer(self, who: str, action: Action, answer: str = "approve", **more: Any) -> httpx.Response:
        body = {"answer": answer, "digest": self.digest(action), **more}
        return self.api(who, "POST", f"/v1/approvals/{action.action_id}", json=body)

    def press(self, account: str, option: int = 0) -> httpx.Response:
        """A click on the newest request's button, as the chat system signs and posts it."""
        headers, body = self.chat.answer(option, account=account)
        return self.callback(headers, body)

    def callback(self, headers: dict[str, str], body: bytes, to: str = "acme/chat") -> httpx.Response:
        return self.http.post(f"/v1/callbacks/{to}", headers=headers, content=body)

    def link(self, action: Action, person: str) -> str:
        until = self.time.clock() + timedelta(hours=2)
        address = self.hub.approvals.links.address(Link("acme", action.action_id, self.digest(action), person, until))
        return address.removeprefix("https://nightdesk.example.org")

    def channels(self, action: Action) -> list[str]:
        votes = self.now(action).result["approval"]["votes"]
        return [vote["channel"].partition(":")[0] for vote in votes]

    @property
    def said(self) -> list[str]:
        return [str(one["text"]) for one in self.chat.messages()]

    @property
    def isolated(self) -> bool:
        self.edr.fleet.settle()
        (device,) = self.edr.fleet.devices.values()
        return device.isolated


@dataclass
class Relay:
    """Where mail goes, as far as a configuration is made from it."""

    port: int
    vendor: str = "smtp"

    def settings(self, _: str) -> dict[str, Any]:
        return {"host": "127.0.0.1", "port": self.port, "security": "none", "sender": "nightdesk@example.com"}


@contextmanager
def office_in(folder: Path, relay: int | None = None, **approvals: Any) -> Iterator[Office]:
    time = FakeTime()
    edr = REGISTRY.simulator("crowdstrike_falcon")(clock=time.clock)
    chat = cast("Chat", REGISTRY.simulator("slack")(clock=time.clock))
    edr.add_devices([StoryDevice("dev-1", "WS-0042", ("192.0.2.42",))])
    for name in TOKENS:
        private_file(folder / "secrets" / f"token.{name}", f"secret-of-{name}\n".encode())
    tokens = {name: {"role": role, "secret": f"file:secrets/token.{name}"} for name, role in TOKENS.items()}
    with serve(edr) as one, serve(chat) as other, asyncio.Runner() as runner:
        bound: dict[str, tuple[Simulator, str]] = {"edr": (edr, one.base_url), "chat": (chat, other.base_url)}
        if relay is not None:
            bound["mail"] = (cast("Simulator", Relay(relay)), "")
        config = bind(
            folder,
            "acme",
            bound,
            roles={"edr": "edr", "chat": "chat"},
            tokens=tokens,
            approvals={**APPROVALS, **approvals},
        )
        with opened(config) as made:
            hub = Hub(made.settings, REGISTRY, made.store, clock=time.clock, sleep=time.sleep)
            with browsing(hub) as http:
                yield Office(config, hub, edr, chat, time, http, runner)
            runner.run(hub.bindings.aclose())


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    with office_in(tmp_path) as made:
        yield made


def kind(answer: httpx.Response) -> str:
    return str(answer.json()["type"]).rpartition(":")[2]


def test_a_button_and_a_program_let_it_go_together(office: Office) -> None:
    action = office.isolate()
    (asked,) = office.said
    assert "host.isolate" in asked
    assert 'Target (host): "ws-0042"' in asked
    assert "2 of this tenant's approvers" in asked
    first = office.press("U0ANNA")
    assert first.json()["outcomes"][0]["state"] == "awaiting_approval"
    office.round()
    assert not office.isolated
    listed = office.api("dora", "GET", "/v1/approvals").json()["approvals"]
    assert [(one["action_id"], one["missing"]) for one in listed] == [(action.action_id, 1)]
    assert listed[0]["votes"][0]["who"] == "anna"
    assert listed[0]["facts"]["connector"] == "edr"
    second = office.answer("ben", action, comment="seen it")
    assert (second.status_code, second.json()["state"]) == (200, "approved")
    office.round()
    done = office.now(action)
    assert (done.state, done.approved_by, office.isolated) == (_S.LEASED, "anna, ben", True)
    assert office.channels(action) == ["chat", "api"]
    office.round()
    assert any(text.startswith("Approved: host.isolate of ws-0042") for text in office.said)
    with office.hub.store.read() as conn:
        lines = [one for one in audit.entries(conn, "acme") if one.event == "approval.vote"]
    assert [(one.actor, one.detail["answer"]) for one in lines] == [("anna", "approve"), ("ben", "approve")]


def test_one_no_on_a_button_stops_it(office: Office) -> None:
    action = office.isolate()
    office.answer("anna", action)
    assert office.press("U0BEN", 1).json()["outcomes"][0]["state"] == "rejected"
    office.round()
    assert (office.now(action).state, office.isolated) == (_S.REJECTED, False)
    office.round()
    assert any(text.startswith("Rejected: host.isolate") and "ben" in text for text in office.said)


def test_people_are_asked_once_whatever_dies(office: Office) -> None:
    office.isolate()
    for _ in range(3):
        office.round()
    fresh = Hub(office.hub.settings, REGISTRY, office.hub.store, clock=office.time.clock, sleep=office.time.sleep)
    for _ in range(2):
        fresh.notes.once()
        office.runner.run(fresh.once(pull=False))
    office.runner.run(fresh.bindings.aclose())
    assert len(office.said) == 1


def test_a_crash_between_asking_and_writing_it_down_asks_nobody_twice(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = office.hub.engine.propose("acme", "host.isolate", HOST, requested_by="rob", approval=Approval.HUMAN)
    office.runner.run(office.hub.once(pull=False))

    class Killed(BaseException):
        pass

    def dies(*_: Any, **__: Any) -> Action:
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(office.hub.journal, "move", dies)
        with pytest.raises(Killed):
            office.hub.notes.once()
    office.round()
    office.round()
    assert len(office.said) == 1
    assert len(office.now(made).result["approval"]["asked"]) == 1


@pytest.mark.parametrize("account", ["U0STRANGER", "U0DORA", "U0ROB"])
def test_who_may_not_learns_it_where_they_pressed(office: Office, account: str) -> None:
    action = office.isolate()
    for _ in range(3):
        assert office.press(account).json()["outcomes"][0]["refused"] == "not-entitled"
    office.round()
    assert office.now(action).result["approval"]["votes"] == []
    told = [text for text in office.said if "does not count" in text]
    assert len(told) == 1
    channel = office.chat.channels.channels["C0123456789"]
    ((thread, text),) = [
        (one.get("thread_ts"), one["text"]) for one in channel.messages if "does not count" in one["text"]
    ]
    assert thread == office.chat.messages()[0]["ts"], text


def test_the_same_click_again_is_no_second_vote(office: Office) -> None:
    action = office.isolate()
    headers, body = office.chat.answer(0, account="U0ANNA")
    assert office.callback(headers, body).json()["outcomes"][0]["state"] == "awaiting_approval"
    assert office.callback(headers, body).json()["outcomes"][0]["refused"] == "already-answered"
    assert len(office.now(action).result["approval"]["votes"]) == 1


def test_a_click_that_is_delivered_again_is_no_news_to_who_clicked(office: Office) -> None:
    """Chat systems repeat what was not answered in time; another click of the same person is told that it is one."""
    action = office.isolate()
    clicks = [office.chat.answer(0, account=account) for account in ("U0ANNA", "U0BEN")]
    for click in (clicks[0], clicks[0], clicks[1], clicks[1], clicks[0]):
        office.callback(*click)
    office.round()
    assert (office.now(action).approved_by, office.isolated) == ("anna, ben", True)
    assert not any("does not count" in text for text in office.said)
    office.press("U0ANNA")
    office.round()
    assert len([text for text in office.said if "does not count" in text]) == 1


def test_a_callback_that_is_not_the_vendors_does_nothing(office: Office) -> None:
    """Law 3 too: what one tenant's connector signed says nothing at another's address."""
    action = office.isolate()
    headers, body = office.chat.answer(0, account="U0ANNA")
    forged = body.replace(b"U0ANNA", b"U0BEN0")
    late = dict(headers)
    for sent in (office.callback({}, body), office.callback(headers, forged), office.callback(headers, body + b"&a=b")):
        assert (sent.status_code, kind(sent)) == (401, "unauthenticated")
    office.time.advance(301)
    assert office.callback(late, body).status_code == 401
    for to in ("acme/edr", "acme/none", "globex/chat"):
        assert office.callback(headers, body, to=to).status_code == 404
    assert office.now(action).result["approval"]["votes"] == []


def test_a_click_in_another_workspace_is_nobodys(office: Office) -> None:
    """An app that is installed in several signs for all of them with one secret."""
    action = office.isolate()
    _, body = office.chat.answer(0, account="U0ANNA")
    elsewhere = body.replace(b"T0123456789", b"T0999999999")
    assert elsewhere != body
    refused = office.callback(office.chat.signed(elsewhere), elsewhere)
    assert (refused.status_code, kind(refused)) == (401, "unauthenticated")
    assert "T0999999999" in refused.json()["detail"]
    assert office.now(action).result["approval"]["votes"] == []
    assert office.callback(office.chat.signed(body), body).status_code == 200


def test_an_old_button_does_not_approve_what_was_changed(office: Office) -> None:
    """The device was enrolled anew between the approval and the dispatch: it is another one than people saw."""
    action = office.isolate()
    old = office.chat.answer(0, account="U0ANNA")
    office.answer("anna", action)
    office.edr.fleet.devices.clear()
    office.edr.add_devices([StoryDevice("dev-2", "WS-0042", ("192.0.2.42",))])
    office.answer("ben", action)
    office.round()
    after = office.now(action)
    assert (after.state, office.isolated) == (_S.AWAITING_APPROVAL, False)
    assert len([text for text in office.said if text.startswith("Approve host.isolate")]) == 2
    assert office.callback(*old).json()["outcomes"][0]["refused"] == "changed"
    assert office.now(action).result["approval"]["votes"] == []
    body = {"answer": "approve", "digest": action.result["approval"]["digest"]}
    refused = office.api("anna", "POST", f"/v1/approvals/{action.action_id}", json=body)
    assert (refused.status_code, kind(refused)) == (409, "approval-changed")
    office.press("U0ANNA")
    office.press("U0BEN")
    office.round()
    assert (office.now(action).state, office.isolated) == (_S.LEASED, True)


@pytest.mark.parametrize(
    ("who", "status", "word"),
    [
        ("rob", 403, "approval-not-entitled"),
        ("dora", 403, "approval-not-entitled"),
        ("feed", 403, "forbidden"),
        ("nobody", 401, "unauthenticated"),
    ],
)
def test_the_api_says_who_may_not(office: Office, who: str, status: int, word: str) -> None:
    answer = office.answer(who, office.isolate())
    assert (answer.status_code, kind(answer)) == (status, word)
    assert answer.json()["what_to_do"]


def test_the_api_says_what_cannot_be_answered(office: Office) -> None:
    action = office.isolate()
    body = {"answer": "approve", "digest": office.digest(action)}
    unknown = office.api("anna", "POST", "/v1/approvals/act-unknown", json=body)
    assert (unknown.status_code, kind(unknown)) == (404, "approval-unknown")
    for wrong in ({"answer": "maybe"}, {"digest": "x"}, {"more": 1}):
        assert (
            office.api("anna", "POST", f"/v1/approvals/{action.action_id}", json={**body, **wrong}).status_code == 422
        )
    assert office.answer("anna", action).status_code == 200
    again = office.answer("anna", action)
    assert (again.status_code, kind(again)) == (409, "approval-already-answered")
    office.time.advance(3600)
    late = office.answer("ben", action)
    assert (late.status_code, kind(late)) == (410, "approval-too-late")


def test_what_a_message_cannot_show_whole_has_no_buttons(office: Office) -> None:
    """Somebody who saw a part of it must not be able to let all of it go (law 8)."""
    action = office.isolate(reason="x" * 2000)
    (said,) = office.said
    assert "too long to be answered here" in said
    (message,) = [one for one in office.chat.channels.channels["C0123456789"].messages if "bot_id" in one]
    assert "actions" not in {block["type"] for block in message["blocks"]}
    assert "x" * 2000 in office.http.get(office.link(action, "anna")).text


def test_where_it_would_be_done_must_be_known_before_anybody_agrees(office: Office) -> None:
    office.edr.fleet.devices.clear()
    action = office.isolate()
    refused = office.answer("anna", action)
    assert (refused.status_code, kind(refused)) == (409, "approval-not-ready")
    assert "knows 0 such hosts" in refused.json()["detail"]
    assert any("cannot be approved yet" in text for text in office.said)
    assert office.answer("anna", action, "reject").json()["state"] == "rejected"


def test_nobody_in_time_and_people_are_told(office: Office) -> None:
    action = office.isolate()
    office.answer("anna", action)
    office.time.advance(3700)
    office.round()
    office.round()
    after = office.now(action)
    assert (after.state, office.isolated) == (_S.CANCELLED, False)
    assert "1 of 2" in after.error
    assert any(text.startswith("Not approved in time: host.isolate") for text in office.said)


def test_what_a_tenant_left_behind_stops_nobody_else(office: Office) -> None:
    gone = office.hub.engine.propose("globex", "host.isolate", HOST, requested_by="rob", approval=Approval.HUMAN)
    action = office.isolate()
    office.answer("anna", action)
    office.answer("ben", action)
    office.round()
    assert office.isolated
    office.time.advance(3700)
    office.round()
    left = office.hub.journal.get("globex", gone.action_id)
    assert left is not None
    assert left.state is _S.CANCELLED


def test_a_delegate_votes_for_another_and_is_named(office: Office) -> None:
    until = office.time.clock() + timedelta(hours=8)
    office.hub.approvals.delegate("acme", Delegation("anna", "dora", until), by="anna")
    office.hub.approvals.delegate("acme", Delegation("rob", "ben", until), by="rob")
    action = office.isolate()
    assert office.press("U0DORA").json()["outcomes"][0]["state"] == "awaiting_approval"
    assert office.press("U0ANNA").json()["outcomes"][0]["refused"] == "already-answered"
    for_requester = office.answer("ben", action, on_behalf="rob")
    assert kind(for_requester) == "approval-not-entitled"
    assert office.answer("ben", action).json()["state"] == "approved"
    assert office.now(action).approved_by == "dora for anna, ben"


def test_opening_a_link_votes_for_nothing_and_its_form_votes_once(office: Office) -> None:
    action = office.isolate()
    path = office.link(action, "anna")
    for _ in range(3):
        page = office.http.get(path)
        assert page.status_code == 200
        assert "ws-0042" in page.text
        assert ">Approve</button>" in page.text
    assert office.now(action).result["approval"]["votes"] == []
    done = office.http.post(path, data={"answer": "approve"})
    assert (done.status_code, "Thank you" in done.text) == (200, True)
    again = office.http.post(path, data={"answer": "reject"})
    assert (again.status_code, "Already answered" in again.text) == (409, True)
    closed = office.http.get(path)
    assert (closed.status_code, ">Approve</button>" in closed.text) == (410, False)
    assert office.channels(action) == ["link"]
    office.http.post(office.link(action, "ben"), data={"answer": "approve"})
    office.round()
    assert office.isolated


def test_a_link_that_is_no_good_says_why(office: Office) -> None:
    action = office.isolate()
    mine, requester = office.link(action, "anna"), office.link(action, "rob")
    for wrong in ("/v1/approve/x.y", mine[:-3] + "AAA", mine.replace("/v1/approve/", "/v1/approve/x")):
        assert (office.http.get(wrong).status_code, office.http.post(wrong).status_code) == (404, 404)
    assert "may not answer" in office.http.post(requester, data={"answer": "approve"}).text
    unclear = office.http.post(mine, data={"answer": "maybe"})
    assert (unclear.status_code, ">Approve</button>" in unclear.text) == (200, True)
    office.time.advance(3600)
    for late in (office.http.get(mine), office.http.post(mine, data={"answer": "approve"})):
        assert (late.status_code, "Too late" in late.text) == (410, True)
    assert office.now(action).result["approval"]["votes"] == []


def test_a_link_page_takes_nothing_from_elsewhere_and_keeps_nothing(office: Office) -> None:
    page = office.http.get(office.link(office.isolate(reason="<script>alert(1)</script>\u202e"), "anna"))
    assert page.headers["referrer-policy"] == "no-referrer"
    assert page.headers["cache-control"] == "no-store"
    assert "set-cookie" not in page.headers
    assert not re.search(r"(?:src|href)=", page.text)
    assert "<script>" not in page.text
    assert "\u202e" not in page.text
    assert "U+202E" in page.text


def mails(inbox: Inbox) -> dict[str, str]:
    """What each address was sent last."""
    found = {}
    for envelope, _ in inbox.taken:
        message = message_from_bytes(cast("bytes", envelope.content), policy=SMTP)
        found[str(message["To"])] = str(message.get_content())
    return found


def path_in(mail: str) -> str:
    (address,) = re.findall(r"https://nightdesk\.example\.org(/\S+)>", mail)
    return str(address)


def test_a_mail_asks_each_person_with_a_link_of_their_own(tmp_path: Path) -> None:
    """A real mail server takes them; what it was given is all that is needed to answer, and only as oneself."""
    people = {name: {"mail": f"{name}@example.org"} for name in ("anna", "ben", "rob", "dora")}
    asks = [{"connector": "mail", "to": f"{name}@example.org"} for name in ("anna", "ben", "rob", "soc")]
    with smtp(None) as (inbox, port), office_in(tmp_path, port, people=people, ask=asks) as office:
        until = office.time.clock() + timedelta(hours=8)
        office.hub.approvals.delegate("acme", Delegation("anna", "dora", until), by="anna")
        action = office.isolate()
        for _ in range(3):
            office.round()
        sent = mails(inbox)
        assert sorted(sent) == [f"{name}@example.org" for name in ("anna", "ben", "dora", "soc")]
        assert len(inbox.taken) == 4, "everybody is asked once, and the requester not at all"
        assert path_in(sent["soc@example.org"]) == "/console/approvals"
        links = {name: path_in(sent[f"{name}@example.org"]) for name in ("anna", "ben", "dora")}
        assert len(set(links.values())) == 3
        assert all('Target (host): "ws-0042"' in text for text in sent.values())
        for path in links.values():
            assert office.http.get(path).status_code == 200
        assert office.now(action).result["approval"]["votes"] == []
        for name, said in (("dora", "Thank you"), ("anna", "Already answered"), ("ben", "Thank you")):
            assert said in office.http.post(links[name], data={"answer": "approve"}).text
        office.round()
        assert (office.now(action).approved_by, office.isolated) == ("dora for anna, ben", True)
        stored = str([(one.parameters, one.result) for one in office.hub.journal.in_state(list(_S), tenant="acme")])
        assert "approval:" in stored
        assert not any(path.rpartition(".")[2] in stored for path in links.values())


def test_where_a_link_could_be_passed_on_to_the_requester_people_sign_in(tmp_path: Path) -> None:
    """Whoever has a link answers with it; a tenant that wants more sends none, and takes none that it sent."""
    people = {name: {"mail": f"{name}@example.org"} for name in ("anna", "ben")}
    asks = [{"connector": "mail", "to": "anna@example.org"}]
    with smtp(None) as (inbox, port), office_in(tmp_path, port, people=people, ask=asks, links="sign-in") as office:
        action = office.isolate()
        for _ in range(2):
            office.round()
        (sent,) = mails(inbox).values()
        assert path_in(sent) == "/console/approvals"
        sent_before = office.link(action, "anna")
        assert office.http.get(sent_before).status_code == 404
        assert office.http.post(sent_before, data={"answer": "approve"}).status_code == 404
        assert office.now(action).result["approval"]["votes"] == []


def test_no_token_is_logged_or_stored(office: Office, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    action = office.isolate()
    path = office.link(action, "anna")
    token = path.rpartition("/")[2]
    office.http.get(path)
    office.http.put(path)
    office.http.post(path, data={"answer": "approve"})
    office.http.get(path)
    # The client of this test is not the hub; what it logs of its own requests is not looked at.
    logged = [record.getMessage() for record in caplog.records if not record.name.startswith(("httpx", "httpcore"))]
    assert token not in "\n".join(logged)
    office.hub.store.close()
    stored = b"".join(file.read_bytes() for file in office.config.parent.glob("nightdesk.db*"))
    assert action.action_id.encode() in stored
    assert token.partition(".")[2].encode() not in stored


def sign_in(office: Office, who: str) -> None:
    assert office.http.post("/console/login", data={"token": f"secret-of-{who}"}).status_code == 303


def form_of(page: str, answer: str = "approve") -> dict[str, str]:
    return {**dict(re.findall(r'<input type="hidden" name="(form|digest)" value="([^"]+)"', page)), "answer": answer}


def test_the_console_shows_everything_and_takes_answers(office: Office) -> None:
    action = office.isolate(reason="<b>bold</b>")
    sign_in(office, "anna")
    page = office.http.get("/console/approvals").text
    for shown in ("host.isolate", "ws-0042", "edr", "&lt;b&gt;bold", office.digest(action), "rob"):
        assert shown in page
    sent = office.http.post(f"/console/approvals/{action.action_id}", data=form_of(page))
    assert (sent.status_code, sent.headers["location"]) == (303, "/console/approvals")
    again = office.http.post(f"/console/approvals/{action.action_id}", data=form_of(page))
    assert (again.status_code, "answered already" in again.text) == (409, True)
    assert office.channels(action) == ["console"]


def test_the_console_takes_no_form_that_it_did_not_give(office: Office) -> None:
    action = office.isolate()
    sign_in(office, "anna")
    anna = form_of(office.http.get("/console/approvals").text)
    path = f"/console/approvals/{action.action_id}"
    assert office.http.post(path, data={**anna, "form": ""}).status_code == 403
    assert office.http.post(path, data={**anna, "form": "ü"}).status_code == 403
    assert office.http.post(path, data=anna, headers={"Sec-Fetch-Site": "cross-site"}).status_code == 403
    assert office.http.post("/console/approvals/act-other", data=anna).status_code == 403
    sign_in(office, "ben")
    assert office.http.post(path, data=anna).status_code == 403
    sign_in(office, "dora")
    page = office.http.get("/console/approvals").text
    assert 'name="answer"' not in page
    until = office.time.clock() + timedelta(hours=1)
    office.hub.approvals.delegate("acme", Delegation("anna", "dora", until), by="anna")
    assert 'name="answer"' in office.http.get("/console/approvals").text
    office.http.cookies.clear()
    assert office.http.post(path, data=anna).headers["location"].startswith("/console/login")
    assert office.http.get("/console/approvals").status_code == 303
    assert office.now(action).result["approval"]["votes"] == []


def _clis(folder: Path) -> list[Any]:
    return ["--tenant", "acme", "--config", folder / "nightdesk.yaml"]


@contextmanager
def real_time(folder: Path) -> Iterator[tuple[Simulator, Hub]]:
    """The same tenant with the clock of this machine, for commands and other processes."""
    edr = REGISTRY.simulator("crowdstrike_falcon")()
    edr.add_devices([StoryDevice("dev-1", "WS-0042", ("192.0.2.42",))])
    people = {
        "anna": {"role": "approver"},
        "ben": {"role": "approver"},
        "carl": {"role": "admin"},
        "dora": {"role": "viewer"},
    }
    with serve(edr) as served:
        approvals = {"needed": {"R2": 2}, "people": people}
        config = bind(folder, "acme", {"edr": (edr, served.base_url)}, roles={"edr": "edr"}, approvals=approvals)
        with opened(config) as hub:
            yield edr, hub


def _proposed(hub: Hub) -> Action:
    return hub.engine.propose("acme", "host.isolate", HOST, requested_by="rob", approval=Approval.HUMAN)


def test_commands_approve_refuse_delegate_and_reject(tmp_path: Path) -> None:
    with real_time(tmp_path) as (edr, hub):
        action = _proposed(hub)
        given = _clis(tmp_path)
        listed = run_cli("approvals", *given)
        assert listed.exit_code == 0
        assert "2 of 2 missing" in listed.stdout
        assert "Connector: edr" in listed.stdout
        refused = run_cli("approve", action.action_id, "--as", "rob", *given)
        assert (refused.exit_code, "ask another" in refused.stderr) == (1, True)
        assert run_cli("approve", action.action_id, "--as", "dora", *given).exit_code == 1
        stale = run_cli("approve", action.action_id, "--as", "anna", "--digest", "0" * 64, *given)
        assert (stale.exit_code, "changed since" in stale.stderr) == (1, True)
        assert run_cli("approve", "act-none", "--as", "anna", *given).exit_code == 1
        made = run_cli("delegate", "--from", "anna", "--to", "dora", "--until", "8h", "--as", "anna", *given, "--json")
        assert json.loads(made.stdout)["delegation"]["taker"] == "dora"
        first = run_cli("approve", action.action_id, "--as", "dora", *given, "--json")
        assert (first.exit_code, json.loads(first.stdout)["state"]) == (0, "awaiting_approval")
        assert "anna" in run_cli("approvals", *given).stdout
        assert edr.mutations() == []
        last = run_cli("approve", action.action_id, "--as", "ben", *given, "--json")
        assert (last.exit_code, json.loads(last.stdout)["state"]) == (0, "effective")
        assert json.loads(last.stdout)["approved_by"] == "dora for anna, ben"
        other = hub.engine.propose("acme", "host.release", HOST, requested_by="rob", approval=Approval.HUMAN)
        ended = run_cli("delegate", "--from", "anna", "--to", "dora", "--end", "--as", "carl", *given)
        assert ended.exit_code == 0
        assert run_cli("reject", other.action_id, "--as", "dora", *given).exit_code == 1
        no = run_cli("reject", other.action_id, "--as", "carl", "--reason", "not yet", *given, "--json")
        assert (no.exit_code, json.loads(no.stdout)["state"]) == (0, "rejected")
        for wrong in (["--until", "tomorrow"], ["--until", "2026-11-30T18:00:00"], [], ["--until", "8h", "--end"]):
            bad = run_cli("delegate", "--from", "anna", "--to", "dora", "--as", "anna", *wrong, *given)
            assert bad.exit_code == 2


_VOTER = Path(__file__).parents[1] / "killed_voter.py"


@contextmanager
def voter(folder: Path, *arguments: str) -> Iterator["subprocess.Popen[bytes]"]:
    """Somebody who votes from a process of their own."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    command = [sys.executable, str(_VOTER), str(folder / "nightdesk.yaml"), *arguments]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE) as process:
        try:
            yield process
        finally:
            process.kill()


def ended(process: "subprocess.Popen[bytes]") -> tuple[int, int]:
    """How it ended, and how many of its votes were taken."""
    out, _ = process.communicate(timeout=120)
    return process.returncode, out.count(b"taken")


def _settled(hub: Hub, action: Action) -> Action:
    async def go() -> Action:
        for _ in range(400):
            await hub.engine.run_once()
            found = hub.journal.get("acme", action.action_id)
            if found and found.state in {_S.EFFECTIVE, _S.LEASED, _S.FAILED, _S.CANCELLED, _S.UNVERIFIED}:
                await hub.bindings.aclose()
                return found
            await asyncio.sleep(0.02)
        raise AssertionError(f"{action.action_id} does not settle")

    return asyncio.run(go())


def _orders(edr: Simulator) -> int:
    (device,) = edr.fleet.devices.values()
    return len(device.orders)


def test_two_processes_vote_at_the_same_moment_and_both_count_once(tmp_path: Path) -> None:
    with real_time(tmp_path) as (edr, hub):
        action = _proposed(hub)
        with (
            voter(tmp_path, action.action_id, "anna", "20") as one,
            voter(tmp_path, action.action_id, "ben", "20") as two,
        ):
            for process in (one, two):
                assert process.stdout is not None
                assert process.stdout.readline() == b"ready\n"
            (tmp_path / "go").touch()
            assert [ended(one), ended(two)] == [(0, 1), (0, 1)], "each votes twenty times, and one of each counts"
        after = _settled(hub, action)
        votes = after.result["approval"]["votes"]
        assert sorted(vote["who"] for vote in votes) == ["anna", "ben"]
        assert after.state is _S.EFFECTIVE
        history = [line.state for line in hub.journal.history("acme", action.action_id)]
        assert (history.count(_S.APPROVED), history.count(_S.EFFECTIVE)) == (1, 1)
        assert _orders(edr) == 1


def test_killed_between_the_vote_and_the_dispatch_it_is_dispatched_once(tmp_path: Path) -> None:
    """Law 4: the vote is on disk before anything is sent, and is sent once by whoever comes next."""
    with real_time(tmp_path) as (edr, hub):
        action = _proposed(hub)
        (tmp_path / "go").touch()
        with voter(tmp_path, action.action_id, "anna", "1") as first:
            assert ended(first) == (0, 1)
        with voter(tmp_path, action.action_id, "ben", "1", "die") as last:
            assert ended(last) == (-signal.SIGKILL, 1)
        between = hub.journal.get("acme", action.action_id)
        assert between is not None
        assert (between.state, between.approved_by, _orders(edr)) == (_S.APPROVED, "anna, ben", 0)
        after = _settled(hub, action)
        assert (after.state, _orders(edr)) == (_S.EFFECTIVE, 1)
