"""Commands of the language at a real hub, over a socket, with a vendor behind it that keeps its own state."""

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.hubs import REGISTRY, browsing, opened, together
from tests.openc2 import EDR, MEDIA_TYPE, Desk, Reply, bound_tenants, desk

from nightdesk.autonomy.openc2.message import ACTIONS, Command
from nightdesk.autonomy.openc2.pairs import pairs_of
from nightdesk.autonomy.openc2.targets import STANDARD, TARGETS
from nightdesk.autonomy.openc2.wishes import milliseconds
from nightdesk.hub.api import openc2
from nightdesk.hub.approvals.wording import text_of
from nightdesk.hub.hub import Hub
from nightdesk.hub.openc2 import consumer
from nightdesk.hub.store import audit
from nightdesk.sdk.testing import StoryDevice, serve
from nightdesk.sdk.verbs import VERBS


@pytest.fixture
def at(tmp_path: Path) -> Iterator[Desk]:
    with desk(tmp_path) as made:
        yield made


# The way of a command.


def test_processing_first_and_ok_only_after_the_read_back(at: Desk) -> None:
    at.simulator.faults.add("late_effect", options={"seconds": 40})
    sent = at.isolate(command_id="c-1", args={"x-nightdesk": {"reason": "seen by the SOAR", "mode": "full"}})
    assert (sent.http.status_code, sent.status) == (200, 102)
    assert sent.text.startswith("approved: host.isolate of host:ws-0001")
    at.work(2)
    asked = at.state("c-1")
    assert (asked.status, asked.ours["state"], at.isolated()) == (102, "pending", False)
    at.work(60)
    done = at.state("c-1")
    assert (done.status, done.http.status_code, at.isolated()) == (200, 200, True)
    assert done.ours["state"] == "effective"
    assert done.ours["changed"] is True
    assert done.ours["evidence"]["effect"] == "in_effect"
    action = at.action(done)
    assert (action.requested_by, action.approval, action.reason) == ("ann", "direct", "seen by the SOAR")
    assert dict(action.parameters) == {"mode": "full"}
    again = at.send("query", {"command": "c-1"})
    assert again.response == done.response


def test_a_command_is_taken_at_both_paths_bare_or_in_its_envelope(at: Desk) -> None:
    bare = {"action": "query", "target": {"features": ["versions"]}}
    answer = at.client.post(
        "/openc2",
        json=bare,
        headers={**at.token("ann"), "Content-Type": "application/openc2-cmd+json;version=1.0", "X-Request-ID": "r-9"},
    )
    assert answer.json() == {"status": 200, "results": {"versions": ["1.0"]}}
    assert answer.headers["content-type"] == "application/openc2-rsp+json;version=1.0"
    assert answer.headers["x-request-id"] == "r-9"
    wrapped = at.send("query", {"features": ["versions"]})
    assert wrapped.http.headers["content-type"] == MEDIA_TYPE
    assert wrapped.http.headers["cache-control"] == "no-cache"
    assert wrapped.headers["request_id"] == "request-1"
    assert wrapped.headers["to"] == ["soar.example.com"]
    assert wrapped.headers["created"] == pytest.approx(milliseconds(at.clock.now), abs=1000)


def test_a_stop_time_is_a_lease_that_ends_in_an_undo(at: Desk) -> None:
    stop = milliseconds(at.clock.now) + 3_600_000
    at.isolate(command_id="c-1", args={"stop_time": stop})
    at.work(5)
    held = at.state("c-1")
    assert (held.status, held.ours["state"], held.ours["lease_until"]) == (200, "leased", stop)
    at.work(3500)
    assert at.isolated()
    at.work(200)
    over = at.state("c-1")
    assert (over.status, over.ours["state"], at.isolated()) == (404, "undone", False)
    assert "nothing of it is in force" in over.text


def test_a_duration_counts_from_the_effect_and_a_stop_time_does_not(at: Desk) -> None:
    at.simulator.faults.add("late_effect", options={"seconds": 100})
    now = milliseconds(at.clock.now)
    at.isolate(1, command_id="length", args={"duration": 600_000})
    at.isolate(2, command_id="moment", args={"stop_time": now + 600_000})
    at.work(3)
    at.work(300)
    assert at.state("length").ours["lease_until"] >= now + 700_000
    assert at.state("moment").ours["lease_until"] == now + 600_000


def test_what_was_approved_after_its_end_never_goes_out(at: Desk) -> None:
    sent = at.isolate(who="soar", command_id="c-1", args={"stop_time": milliseconds(at.clock.now) + 60_000})
    at.clock.advance(61)
    at.hub.engine.approve(at.action(sent), "ann")
    at.work(5)
    assert (at.orders(), at.state("c-1").status, at.state("c-1").ours["state"]) == (0, 403, "cancelled")
    assert "its time is over" in at.state("c-1").text


def test_who_lets_it_go_reads_when_it_ends_and_answers_to_that(at: Desk) -> None:
    """The length that is left shrinks while people think; the moment is what they agree to."""
    stop = milliseconds(at.clock.now) + 600_000
    sent = at.isolate(who="soar", args={"stop_time": stop})
    at.work(3)
    (waits,) = at.client.get("/v1/approvals", headers=at.token("ann")).json()["approvals"]
    moment = datetime.fromtimestamp(stop / 1000, UTC)
    assert datetime.fromisoformat(waits["facts"]["stop_at"]) == moment
    waiting = at.hub.approvals.one("acme", at.action(sent).action_id)
    assert waiting is not None
    assert f"For: until {moment:%Y-%m-%d %H:%M:%S} UTC, then undone" in text_of(waiting.facts, "")


def test_another_command_takes_it_back(at: Desk) -> None:
    at.isolate(command_id="c-1")
    at.work(5)
    at.send("allow", {"device": {"hostname": "ws-0001"}}, command_id="c-2")
    at.work(5)
    assert (at.state("c-2").status, at.state("c-2").ours["verb"], at.isolated()) == (200, "host.release", False)
    first = at.state("c-1")
    assert (first.status, first.ours["superseded_by"]) == (404, at.state("c-2").ours["action_id"])
    assert "host.release decides now" in first.text
    again = at.isolate(command_id="c-1")
    assert (again.status, at.orders()) == (404, 2)
    at.isolate(command_id="c-3")
    at.work(5)
    assert (at.state("c-3").status, at.state("c-2").status, at.isolated()) == (200, 404, True)


# The same command again.


def test_the_same_command_again_is_answered_and_not_done_again(at: Desk) -> None:
    first = at.isolate(command_id="c-1")
    at.work(5)
    for wanted in ("status", "complete", "ack"):
        again = at.isolate(command_id="c-1", args={"response_requested": wanted})
        assert again.ours["action_id"] == first.ours["action_id"]
        assert again.status == (102 if wanted == "ack" else 200)
    at.work(5)
    assert at.orders() == 1


def test_a_repeat_after_its_end_is_answered_too(at: Desk) -> None:
    args = {"stop_time": milliseconds(at.clock.now) + 60_000}
    at.isolate(command_id="c-1", args=args)
    at.work(5)
    at.work(120)
    assert at.isolate(command_id="c-1", args=args).ours["state"] == "undone"
    assert at.orders() == 2


@pytest.mark.parametrize("change", [{"number": 2}, {"args": {"duration": 60_000}}, {"who": "otto"}])
def test_an_id_means_one_command_for_ever(at: Desk, change: dict[str, Any]) -> None:
    at.isolate(command_id="c-1")
    other = at.isolate(command_id="c-1", **change)
    assert (other.http.status_code, other.status) == (409, 400)
    assert "send this one with a new id" in other.text
    at.work(5)
    assert at.orders() == 1


def test_the_message_s_id_stands_for_a_missing_command_id(at: Desk) -> None:
    sent = at.isolate()
    assert sent.ours["command_id"] == sent.headers["request_id"] == "request-1"
    bare = {"action": "scan", "target": {"device": {"hostname": "ws-0002"}}, "args": {"response_requested": "status"}}
    assert Reply(at.post(bare, X_Request_ID="from-the-header")).ours["command_id"] == "from-the-header"
    refused = Reply(at.post(bare))
    assert refused.status == 400
    assert "give command_id" in refused.text


def test_law_4_a_command_and_its_action_stand_or_fall_together(at: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    def crash(*_: Any) -> None:
        raise KeyboardInterrupt

    hub = at.hub
    caller = hub.authenticate("acme-ann-secret")
    assert caller is not None
    command = Command("contain", "device", TARGETS["device"].validate_python({"hostname": "ws-0001"}), command_id="c-1")
    monkeypatch.setattr(consumer, "put_command", crash)
    with pytest.raises(KeyboardInterrupt):
        hub.openc2.answer(caller, command, "r-1")
    monkeypatch.undo()
    assert hub.journal.standing("acme", "host:ws-0001", "host.isolate") == []
    assert at.state("c-1").status == 404
    at.work(5)
    assert at.orders() == 0
    restarted = Hub(hub.settings, REGISTRY, hub.store, clock=at.clock)
    assert restarted.openc2.answer(caller, command, "r-1").status == 102  # taken; then the process dies again
    again = Hub(hub.settings, REGISTRY, hub.store, clock=at.clock)
    assert again.openc2.answer(caller, command, "r-2").status == 102
    at.work(5)
    assert (at.orders(), at.state("c-1").status) == (1, 200)


def test_a_wish_that_stands_is_joined_and_another_end_is_not_lost_in_silence(at: Desk) -> None:
    first = at.isolate(command_id="c-1", args={"duration": 600_000})
    at.work(5)
    joined = at.isolate(command_id="c-2")
    assert joined.ours["action_id"] == first.ours["action_id"]
    assert "lease_until" in joined.ours
    refused = at.isolate(command_id="c-3", args={"duration": 60_000})
    assert (refused.http.status_code, refused.status) == (409, 400)
    assert "ends otherwise" in refused.text
    assert at.state("c-3").status == 404


# Taking back.


def test_a_command_that_did_not_go_out_is_cancelled(at: Desk) -> None:
    at.isolate(who="soar", command_id="c-1")
    cancelled = at.send("cancel", {"command": "c-1"}, "soar", command_id="c-2")
    assert (cancelled.status, cancelled.ours["state"]) == (200, "cancelled")
    assert at.send("cancel", {"command": "c-1"}, "soar").status == 200
    assert at.state("c-1").status == 403
    at.work(5)
    assert at.orders() == 0


def test_what_went_out_is_taken_back_by_another_command(at: Desk) -> None:
    at.isolate(command_id="c-1")
    at.work(5)
    refused = at.send("cancel", {"command": "c-1"})
    assert (refused.http.status_code, refused.status) == (409, 400)
    assert "send allow:device (host.release)" in refused.text
    assert at.isolated()


def test_only_who_asked_or_a_person_who_may_approve_cancels(at: Desk) -> None:
    at.isolate(who="soar", command_id="c-1")
    assert at.send("cancel", {"command": "c-1"}, "otto").status == 403
    assert at.send("cancel", {"command": "c-1"}, "ann").status == 200


# Who may what.


@pytest.mark.parametrize("who", ["soar", "otto"])
def test_law_10_what_a_machine_or_an_analyst_sends_waits_for_a_person(at: Desk, who: str) -> None:
    sent = at.isolate(who=who, command_id="c-1", args={"response_requested": "complete"})
    assert (sent.status, sent.ours["state"]) == (102, "awaiting_approval")
    assert f"nightdesk approve {sent.ours['action_id']}" in sent.text
    at.work(5)
    assert at.orders() == 0
    at.hub.engine.approve(at.action(sent), "ann")
    at.work(5)
    assert (at.state("c-1", who).status, at.orders()) == (200, 1)


def test_who_must_approve_is_called(at: Desk) -> None:
    sent = at.isolate(who="soar", command_id="c-1")
    with at.hub.store.read() as conn:
        lines = [(line.event, line.actor, line.detail) for line in audit.entries(conn, "acme")]
    told = [detail for event, _, detail in lines if event == "action.attention"]
    assert [detail["action_id"] for detail in told] == [sent.ours["action_id"]]
    (taken,) = ((actor, detail) for event, actor, detail in lines if event == "openc2.command")
    assert (taken[0], taken[1]["command"]["action"], taken[1]["request_id"]) == ("soar", "contain", "request-1")


def test_law_10_what_nobody_may_do_alone_waits_for_a_second_person(at: Desk) -> None:
    script = {"x-nightdesk": {"script": "id"}}
    sent = at.send("start", {"x-nightdesk:script": {"uid": "ws-0001"}}, "ann", command_id="c-1", args=script)
    assert (sent.status, sent.ours["state"]) == (102, "awaiting_approval")


@pytest.mark.parametrize(
    ("host", "status", "state", "said"),
    [
        ("dc-01", 403, "cancelled", "refused by never-touch"),
        ("jump-01", 102, "awaiting_approval", "nightdesk approve"),
    ],
)
def test_law_10_a_person_s_command_goes_past_the_guards_like_every_action(
    at: Desk, host: str, status: int, state: str, said: str
) -> None:
    assert at.send("contain", {"device": {"hostname": host}}, "ann", command_id="c-1").status == 102
    at.work(5)
    told = at.state("c-1")
    assert (told.status, told.ours["state"], at.orders()) == (status, state, 0)
    assert said in told.text


@pytest.mark.parametrize(("who", "said"), [("vera", "may only query"), ("feed", "delivers the alerts of edr")])
def test_who_only_looks_or_delivers_commands_nothing(at: Desk, who: str, said: str) -> None:
    refused = at.isolate(who=who, command_id="c-1")
    assert (refused.http.status_code, refused.status) == (403, 403)
    assert said in refused.text
    shown = at.send("query", {"features": ["pairs"]}, who)
    assert shown.results == {"pairs": {"query": ["command", "features"]}}
    assert at.state("c-1").status == 404


def test_a_wrong_or_missing_token_is_nobody(at: Desk) -> None:
    for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": "Basic YTpi"}):
        answer = at.client.post("/.well-known/openc2", content=b"{}", headers={"Content-Type": MEDIA_TYPE, **headers})
        reply = Reply(answer)
        assert (answer.status_code, reply.status) == (401, 401)
        assert answer.headers["www-authenticate"] == "Bearer"
        assert "Authorization: Bearer TOKEN" in reply.text


def test_law_3_the_command_of_another_tenant_is_not_there(at: Desk) -> None:
    sent = at.isolate(command_id="c-1")
    assert at.state("c-1", tenant="umbrella").status == 404
    assert at.send("query", {"command": "c-1"}, tenant="umbrella").status == 404
    assert at.send("cancel", {"command": "c-1"}, tenant="umbrella").status == 404
    theirs = at.isolate(2, tenant="umbrella", command_id="c-1")
    assert theirs.status == 102
    assert theirs.ours["action_id"] != sent.ours["action_id"]
    answers = [at.state("c-1", tenant="umbrella").http.text, at.send("query", {"features": ["pairs"]}).http.text]
    assert not [text for text in answers if "acme" in text or sent.ours["action_id"] in text]


def test_a_machine_sees_the_commands_that_it_sent(at: Desk) -> None:
    at.isolate(command_id="c-1")
    assert at.state("c-1", "soar").status == 404
    assert at.state("c-1", "vera").status == 102


# What can be done.


def test_features_are_what_is_bound_and_no_more(at: Desk) -> None:
    declared = set(REGISTRY.manifests[EDR].verbs)
    roles = set(REGISTRY.manifests[EDR].roles) | {"source"}
    wanted: dict[str, set[str]] = {"query": {"features", "command"}, "cancel": {"command"}}
    for one in VERBS.values():
        if one.name in declared and one.role in roles:
            for action, target in pairs_of(one):
                wanted.setdefault(action, set()).add(target)
    told = at.send("query", {"features": ["pairs", "profiles", "versions", "rate_limit", "pairs"]})
    assert {action: set(targets) for action, targets in told.results["pairs"].items()} == wanted
    assert "deny" in wanted
    assert "x-nightdesk:user_account" not in wanted["deny"]
    assert (told.results["versions"], told.results["profiles"]) == (["1.0"], ["x-nightdesk"])
    assert told.results["rate_limit"] == at.hub.settings.openc2.commands_per_minute
    assert at.send("query", {"features": []}).response == {"status": 200}


def test_what_the_features_do_not_name_is_not_implemented(at: Desk) -> None:
    refused = at.send("deny", {"x-nightdesk:user_account": {"uid": "jdoe"}}, command_id="c-1")
    assert (refused.http.status_code, refused.status) == (501, 501)
    assert "the role identity, which no connector has here" in refused.text
    assert at.state("c-1").status == 404


def test_features_take_no_other_argument(at: Desk) -> None:
    query = {"action": "query", "target": {"features": []}}
    assert Reply(at.post({**query, "args": {"response_requested": "complete"}})).status == 200
    for args in ({"response_requested": "ack"}, {"duration": 1}, {"x-nightdesk": {"reason": "x"}}):
        assert Reply(at.post({**query, "args": args})).status == 400
    assert Reply(at.post({**query, "actuator": {"x-nightdesk": {}}})).status == 200
    for where in ({"hostname": "ws-0001"}, {"connector": "edr"}):
        asked = Reply(at.post({**query, "actuator": {"x-nightdesk": where}}))
        assert (asked.status, "/actuator" in asked.text) == (400, True), "features are the tenant's, of no host"


def test_law_8_nothing_that_was_asked_for_is_dropped(at: Desk) -> None:
    device = {"device": {"hostname": "ws-0001"}}
    assert at.send("contain", device, args={"x-nightdesk": {"colour": "red"}}).status == 400
    assert at.send("scan", device, args={"duration": 1000}).status == 501
    assert at.send("contain", device, actuator={"x-nightdesk": {"connector": "edr"}}).status == 501
    at.work(5)
    assert at.orders() == 0


# How much of an answer.


def test_none_is_answered_with_nothing_and_done(at: Desk) -> None:
    command = {"action": "contain", "target": {"device": {"hostname": "ws-0001"}}, "command_id": "c-1"}
    answer = at.post({**command, "args": {"response_requested": "none"}})
    assert (answer.status_code, answer.content) == (200, b"")
    at.work(5)
    assert at.state("c-1").status == 200


def test_none_does_not_hide_a_refusal(at: Desk) -> None:
    command = {"action": "hunt", "target": {"device": {"hostname": "ws-0001"}}, "args": {"response_requested": "none"}}
    assert at.post(command).status_code == 400


def test_complete_waits_for_the_effect_while_the_hub_works(tmp_path: Path) -> None:
    simulator = REGISTRY.simulator(EDR)()
    simulator.add_devices([StoryDevice("dev-1", "WS-0001", ("192.0.2.1",))])
    with serve(simulator) as served, opened(together(*bound_tenants(tmp_path, simulator, served.base_url))) as hub:
        ended = threading.Event()

        async def work() -> None:
            try:
                while not ended.is_set():
                    if not await hub.engine.run_once():
                        await asyncio.sleep(0.01)
            finally:
                await hub.bindings.aclose()

        worker = threading.Thread(target=lambda: asyncio.run(work()))
        worker.start()
        try:
            with browsing(hub) as client:
                command = {"action": "contain", "target": {"device": {"hostname": "ws-0001"}}, "command_id": "c-1"}
                headers = {"Authorization": "Bearer acme-ann-secret", "Content-Type": MEDIA_TYPE}
                done = Reply(client.post("/.well-known/openc2", json=command, headers=headers, timeout=60))
        finally:
            ended.set()
            worker.join()
    assert (done.status, done.ours["state"]) == (200, "effective")


def test_complete_waits_no_longer_than_it_may(at: Desk) -> None:
    async def sleep(seconds: float) -> None:
        at.clock.advance(seconds)

    app = FastAPI()
    app.include_router(openc2.router(at.hub, sleep=sleep))
    before = at.clock.now
    command = {"action": "contain", "target": {"device": {"hostname": "ws-0001"}}, "command_id": "c-1"}

    async def ask() -> httpx.Response:
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://hub.example.test") as client:
            return await client.post("/openc2", json=command, headers=at.token("ann"))

    sent = Reply(asyncio.run(ask()))
    assert (sent.status, sent.ours["state"]) == (102, "approved")
    limit = at.hub.settings.openc2.wait.total_seconds()
    assert limit <= (at.clock.now - before).total_seconds() < limit + 1


# Whatever is sent.

_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=8,
)
_PARTS = {
    "action": st.sampled_from(ACTIONS) | _JSON,
    "target": st.dictionaries(st.sampled_from(sorted({*TARGETS, *STANDARD})), _JSON, min_size=1, max_size=1) | _JSON,
}
_MORE = {
    "args": st.dictionaries(st.sampled_from(["stop_time", "duration", "x-nightdesk"]), _JSON, max_size=2),
    "actuator": st.fixed_dictionaries(
        {"x-nightdesk": st.dictionaries(st.sampled_from(["hostname", "connector"]), _JSON)}
    ),
    "command_id": st.text(min_size=1, max_size=40) | _JSON,
}
_GOOD = st.sampled_from(
    [
        {"action": "contain", "target": {"device": {"hostname": "ws-0001"}}},
        {"action": "deny", "target": {"file": {"hashes": {"sha256": "ab" * 32}}}},
        {"action": "scan", "target": {"device": {"hostname": "no-such-host"}}},
        {"action": "cancel", "target": {"command": "none"}},
        {"action": "query", "target": {"features": ["pairs"]}},
    ]
)


@pytest.fixture(scope="module")
def standing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    with desk(tmp_path_factory.mktemp("standing")) as made:
        yield made


@settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.fixed_dictionaries(_PARTS, optional=_MORE) | _JSON | st.tuples(_GOOD, st.fixed_dictionaries({}, optional=_MORE))
)
def test_law_12_whatever_is_sent_is_answered_in_the_language(standing: Desk, sent: Any) -> None:
    command = {**sent[0], **sent[1]} if isinstance(sent, tuple) else sent
    standing.clock.advance(60)
    answer = standing.post(command, who="soar", X_Request_ID="r-1")
    reply = Reply(answer)
    assert reply.status in {102, 200, 400, 403, 404, 501}
    assert "Traceback" not in answer.text
    assert reply.status < 400 or reply.text
    assert answer.headers["content-type"] == MEDIA_TYPE


@pytest.mark.parametrize(
    ("body", "headers", "http", "said"),
    [
        (b"{}", {"Content-Type": "text/xml"}, 415, "header Content-Type"),
        (b"{}", {"Content-Type": "application/openc2+json;version=2.0"}, 415, "version=1.0"),
        (b"{}", {"Content-Encoding": "br"}, 415, "Content-Encoding"),
        (b" " * 70_000, {}, 413, "smaller parts"),
        (b"\x1f\x8b\x08broken", {"Content-Encoding": "gzip"}, 400, "damaged"),
        (b"", {}, 400, "no JSON"),
        (b"[" * 60_000, {}, 400, "nested too deeply"),
        (b'{"action": "scan", "target": {"device": {"hostname": "a b"}}}', {}, 400, "/target/device/hostname"),
        (b'{"action": "scan", "target": {"x-acme:toaster": {}}}', {}, 501, "x-acme:toaster"),
    ],
)
def test_law_12_a_refusal_says_what_where_and_what_to_do(
    standing: Desk, body: bytes, headers: dict[str, str], http: int, said: str
) -> None:
    standing.clock.advance(60)
    given = {"Content-Type": MEDIA_TYPE, **standing.token("ann"), "X-Request-ID": "r-1", **headers}
    answer = standing.client.post("/.well-known/openc2", content=body, headers=given)
    reply = Reply(answer)
    assert (answer.status_code, reply.status) == (http, 501 if http == 501 else 400)
    assert said in reply.text


def test_a_case_that_is_not_there_is_refused_before_anything_stands(at: Desk) -> None:
    refused = at.isolate(command_id="c-1", args={"x-nightdesk": {"case": "CASE-2026-09999"}})
    assert (refused.status, at.state("c-1").status) == (404, 404)
    assert "CASE-2026-09999" in refused.text
    at.work(5)
    assert at.orders() == 0


def test_an_alert_of_an_unknown_connector_is_not_found(at: Desk) -> None:
    args = {"x-nightdesk": {"verb": "alert.comment", "comment": "x"}}
    where = {"x-nightdesk": {"connector": "siem"}}
    refused = at.send("update", {"x-nightdesk:alert": {"uid": "a-1"}}, args=args, actuator=where)
    assert refused.status == 404
    assert "there are edr" in refused.text


def test_who_sends_too_much_is_told_when_to_come_back(at: Desk) -> None:
    limit = at.hub.settings.openc2.commands_per_minute
    query = {"action": "query", "target": {"features": []}}
    answers = [at.post(query).status_code for _ in range(limit)]
    assert answers == [200] * limit
    refused = at.post(query)
    assert (refused.status_code, Reply(refused).status) == (503, 503)
    assert 0 < int(refused.headers["retry-after"]) <= 60
    assert at.post(query, who="otto").status_code == 200, "each credential has its own"
    at.clock.advance(60)
    assert at.post(query).status_code == 200


def test_the_same_command_from_many_at_once_is_one(at: Desk) -> None:
    command = {
        "action": "contain",
        "target": {"device": {"hostname": "ws-0001"}},
        "args": {"response_requested": "status"},
        "command_id": "c-1",
    }
    with ThreadPoolExecutor(8) as pool:
        replies = [Reply(answer) for answer in pool.map(lambda _: at.post(command), range(16))]
    assert {(reply.status, reply.ours["action_id"]) for reply in replies} == {(102, replies[0].ours["action_id"])}
    at.work(5)
    assert at.orders() == 1
    with at.hub.store.read() as conn:
        lines = [line.event for line in audit.entries(conn, "acme")]
    assert lines.count("openc2.command") == 1


def test_asking_how_it_stands_waits_for_nothing(at: Desk) -> None:
    at.isolate(command_id="c-1")
    asked = at.send("query", {"command": "c-1"}, args={"response_requested": "complete"})
    assert (asked.status, asked.ours["state"]) == (102, "approved")


@pytest.mark.parametrize("action", ["query", "cancel"])
def test_what_is_about_a_command_takes_no_argument_that_would_get_lost(at: Desk, action: str) -> None:
    at.isolate(command_id="c-1")
    for more in ({"args": {"duration": 1000}}, {"actuator": {"x-nightdesk": {"hostname": "ws-0001"}}}):
        refused = at.send(action, {"command": "c-1"}, **more)
        assert refused.status == 400
    assert at.state("c-1").ours["state"] == "approved"
