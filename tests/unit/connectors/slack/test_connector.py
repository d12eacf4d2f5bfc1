import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import pytest
from starlette.responses import JSONResponse, PlainTextResponse

import nightdesk.connectors.slack as package
from nightdesk.connectors.slack import Connector
from nightdesk.connectors.slack.simulator import Simulator
from nightdesk.sdk.context import Context, Network, Settings
from nightdesk.sdk.errors import (
    AuthError,
    ConfigError,
    NightdeskError,
    NotFoundError,
    RateLimitError,
    RejectedError,
    ResponseError,
    ScopeError,
    UnavailableError,
    UnsupportedError,
    VendorError,
)
from nightdesk.sdk.manifest import load_manifest, validate_settings
from nightdesk.sdk.ports import Command, Effect, Health, Reading, Receipt
from nightdesk.sdk.targets import Target
from nightdesk.sdk.testing import serve
from nightdesk.sdk.testing.fake_time import FakeTime
from nightdesk.sdk.testing.scripted import Scripted

T = TypeVar("T")
NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)
MANIFEST = load_manifest(Path(package.__file__).parent / "manifest.yaml")
SOC = "C0123456789"


@dataclass
class Site:
    """One served simulator, and the time of both ends."""

    simulator: Simulator
    url: str
    time: FakeTime
    settings: dict[str, Any] = field(default_factory=dict)

    def run(self, work: Callable[[Connector], Awaitable[T]]) -> T:
        async def once() -> T:
            given = {**self.simulator.settings(self.url), **self.settings}
            values = validate_settings(MANIFEST, given, file="nightdesk.yaml", key="connectors.chat")
            context = Context("acme", "chat", Settings(values), Network(timeout=5), self.time.clock, self.time.sleep)
            connector = Connector(context)
            try:
                return await work(connector)
            finally:
                await connector.aclose()

        return asyncio.run(once())

    def act(self, command: Command) -> Receipt:
        return self.run(lambda connector: connector.act(command))

    def read(self, command: Command) -> Reading:
        return self.run(lambda connector: connector.read_back(command))

    def health(self) -> Health:
        return self.run(lambda connector: connector.check_health())

    def error(self, command: Command) -> NightdeskError:
        with pytest.raises(NightdeskError) as caught:
            self.act(command)
        return caught.value

    def posted(self) -> dict[str, Any]:
        """The one message that the app posted, as Slack has it."""
        (one,) = [one for one in self.simulator.channels.channels[SOC].messages if "bot_id" in one]
        return one


class Stage:
    """One server for all tests, with another application behind it for each."""

    def __init__(self) -> None:
        self.app: Any = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await self.app(scope, receive, send)


@pytest.fixture(scope="module")
def stage() -> Iterator[tuple[Stage, str]]:
    behind = Stage()
    with serve(behind) as served:
        yield behind, served.base_url


@pytest.fixture
def site(stage: tuple[Stage, str]) -> Site:
    time = FakeTime(NOON)
    simulator = Simulator(clock=time.clock)
    stage[0].app = simulator
    return Site(simulator, stage[1], time)


def notify(to: str = "soc-alerts", key: str = "key-1", **parameters: Any) -> Command:
    return _command("notify.send", to, key, {"title": "WS-0042", "text": "It beacons", **parameters})


def ask(to: str = "soc-alerts", key: str = "key-1", **parameters: Any) -> Command:
    return _command("approval.request", to, key, {"title": "Isolate WS-0042?", **parameters})


def _command(verb: str, to: str, key: str, parameters: dict[str, Any], **fields: Any) -> Command:
    target = Target.parse(f"person:{to}")
    return Command("acme", "action-1", verb, target, key, NOON, to, parameters, case_id="case-7", **fields)


# Once


def test_a_lost_answer_leaves_one_message_that_the_repeat_finds(site: Site) -> None:
    site.simulator.faults.add("lost_reply", path="chat.postMessage", times=1)
    assert isinstance(site.error(notify()), UnavailableError)
    receipt = site.act(notify())
    assert receipt.native_action_id == f"{SOC}/{site.posted()['ts']}"
    assert not receipt.changed


def test_a_repeat_that_began_without_the_message_is_a_change_of_ours(site: Site) -> None:
    before = site.read(notify())
    site.act(notify())
    again = _command("notify.send", "soc-alerts", "key-1", {"text": "It beacons"}, pre_state=before.state)
    assert (before.effect, site.act(again).changed) == (Effect.NOT_IN_EFFECT, True)


def test_another_command_with_the_same_words_is_another_message(site: Site) -> None:
    site.act(notify())
    site.act(notify(key="key-2"))
    assert len(site.simulator.messages()) == 2


def test_the_marker_is_found_on_any_page_however_busy_the_channel_is(site: Site) -> None:
    site.simulator.channels.restricted = True
    site.act(notify())
    for number in range(40):
        site.time.advance(1)
        site.simulator.channels.say(SOC, f"talk {number}")
    assert site.read(notify()).effect is Effect.IN_EFFECT
    site.act(notify())
    assert len(site.simulator.messages()) == 1


def test_nothing_older_than_the_command_is_searched(site: Site) -> None:
    site.act(notify())
    assert {seen.query for seen in site.simulator.seen if "history" in seen.path} == {
        f"channel={SOC}&oldest={NOON.timestamp() - 600:.6f}&limit=200&include_all_metadata=true"
    }


def test_a_message_is_found_though_slacks_clock_is_behind_ours(site: Site) -> None:
    site.simulator.faults.add("clock_skew", options={"seconds": -3600})
    site.act(notify())
    assert site.read(notify()).effect is Effect.IN_EFFECT


def test_a_marker_in_somebodys_words_is_not_the_message(site: Site) -> None:
    site.act(notify())
    mark = site.posted()["metadata"]["event_payload"]["marker"]
    site.simulator.channels.channels[SOC].messages.clear()
    site.simulator.channels.say(SOC, f"[nightdesk {mark}]")
    assert site.read(notify()).effect is Effect.NOT_IN_EFFECT


def test_a_receipt_for_a_message_that_nobody_has_is_no_effect(site: Site) -> None:
    site.simulator.faults.add("accepted_then_failed")
    site.act(notify())
    assert site.read(notify()).effect is Effect.NOT_IN_EFFECT


def test_a_thread_is_a_place_of_its_own(site: Site) -> None:
    parent = site.simulator.channels.say(SOC, "What is this?")
    there = f"soc-alerts/{parent}"
    site.act(notify(there))
    assert site.posted()["thread_ts"] == parent
    assert site.read(notify(there)).effect is Effect.IN_EFFECT
    assert site.read(notify()).effect is Effect.NOT_IN_EFFECT
    assert isinstance(site.error(notify("soc-alerts/1700000000.000100")), NotFoundError)
    assert isinstance(site.error(notify("soc-alerts/1700000000.0001")), RejectedError)


# What is said


def test_text_is_data_and_nothing_in_it_links_or_mentions(site: Site) -> None:
    site.act(notify(title="<!channel> & co", text="See HTTPS://bad.example.com/a <@U0PERSON>"))
    one = site.posted()
    assert one["text"] == "&lt;!channel&gt; &amp; co\nSee hxxps://bad.example.com/a &lt;@U0PERSON&gt;"
    assert [block["text"]["type"] for block in one["blocks"][:2]] == ["plain_text", "plain_text"]
    assert one["blocks"][1]["text"]["text"] == "See hxxps://bad.example.com/a <@U0PERSON>"


def test_unfurling_is_off_and_the_body_is_json_with_its_charset(stage: tuple[Stage, str], site: Site) -> None:
    history = JSONResponse({"ok": True, "messages": []})
    script = Scripted(history, history, JSONResponse({"ok": True, "channel": SOC, "ts": "1793534400.000100"}))
    stage[0].app = script
    site.act(notify())
    sent = json.loads(script.bodies[2])
    assert (sent["unfurl_links"], sent["unfurl_media"], sent["mrkdwn"]) == (False, False, False)
    assert script.seen[2].headers["content-type"] == "application/json; charset=utf-8"
    assert "token" not in sent


def test_a_link_is_the_only_thing_to_follow_and_cannot_break_out(site: Site) -> None:
    site.act(notify(link="https://desk.example.com/case?a=1&b=2", severity="high"))
    notes = site.posted()["blocks"][2]["elements"]
    assert [note["text"] for note in notes] == ["Severity: high", "Case: case-7",
        "<https://desk.example.com/case?a=1&amp;b=2|Open in nightdesk>"]  # fmt: skip
    for link in ("javascript:alert(1)", "https://a.example.com/|Click>", "https://a.example.com/ b"):
        assert isinstance(site.error(notify(key="key-2", link=link)), RejectedError)


def test_long_words_are_cut_where_slack_would_refuse_and_named_as_losses(site: Site) -> None:
    receipt = site.act(notify(title="t" * 400, text="x" * 40_000))
    assert [loss.partition(":")[0] for loss in receipt.losses] == ["text", "title"]
    assert [len(block["text"]["text"]) for block in site.posted()["blocks"][:11]] == [150, *[3000] * 10]


def test_a_button_says_which_option_and_never_what_it_does(site: Site) -> None:
    site.act(ask(options=["approve", "later", "reject"]))
    elements = site.posted()["blocks"][-1]["elements"]
    assert [button["action_id"] for button in elements] == [f"nightdesk.option.{number}" for number in range(3)]
    assert [button.get("style") for button in elements] == ["primary", None, "danger"]
    assert {button["value"] for button in elements} == {site.posted()["metadata"]["event_payload"]["marker"]}


@pytest.mark.parametrize("options", ["approve", ["x" * 76], ["same", "same"], [""], [str(n) for n in range(26)]])
def test_options_that_cannot_be_buttons_are_refused_before_anything_is_sent(site: Site, options: Any) -> None:
    assert isinstance(site.error(ask(options=options)), RejectedError)
    assert not site.simulator.seen


@pytest.mark.parametrize("wish", [notify(options=["a"]), ask(severity="high")])
def test_a_parameter_of_another_verb_is_refused(site: Site, wish: Command) -> None:
    assert isinstance(site.error(wish), UnsupportedError)


# Where to


@pytest.mark.parametrize(("to", "kind"), [("night-shift", NotFoundError), ("U0PERSON", UnsupportedError)])
def test_a_name_that_is_not_configured_is_never_guessed(site: Site, to: str, kind: type[NightdeskError]) -> None:
    assert isinstance(site.error(notify(to)), kind)
    assert not site.simulator.seen


def test_a_channel_is_named_by_its_id_too(site: Site) -> None:
    site.act(notify(SOC))
    assert site.read(notify("#soc-alerts")).effect is Effect.IN_EFFECT


def test_a_channel_without_an_id_is_a_wrong_setting(site: Site) -> None:
    site.settings = {"channels": "soc-alerts=soc"}
    with pytest.raises(ConfigError, match="soc-alerts"):
        site.health()


# What goes wrong


@pytest.mark.parametrize(
    ("word", "kind"),
    [("invalid_auth", AuthError), ("token_revoked", AuthError), ("token_expired", AuthError),
     ("missing_scope", ScopeError), ("channel_not_found", NotFoundError), ("not_in_channel", RejectedError),
     ("is_archived", RejectedError), ("msg_too_long", RejectedError), ("a_new_word", RejectedError),
     ("fatal_error", UnavailableError), ("ratelimited", RateLimitError)],
)  # fmt: skip
def test_a_status_200_that_is_not_ok_is_that_error(
    stage: tuple[Stage, str], site: Site, word: str, kind: type[VendorError]
) -> None:
    stage[0].app = Scripted(JSONResponse({"ok": False, "error": word, "needed": "channels:history"}))
    error = site.error(notify())
    assert type(error) is kind
    assert word in str(error) or kind is ScopeError
    assert kind is not ScopeError or "channels:history" in str(error)


def test_the_wait_that_slack_asks_for_is_kept_and_nothing_is_posted_twice(site: Site) -> None:
    site.simulator.faults.add("rate_limited", times=1, path="chat.postMessage", options={"retry_after": 7})
    site.act(notify())
    assert 7.0 in site.time.slept
    assert len(site.simulator.messages()) == 1


def test_details_of_invalid_blocks_are_told(stage: tuple[Stage, str], site: Site) -> None:
    details = {"messages": ["[ERROR] must be less than 3001 characters"]}
    stage[0].app = Scripted(JSONResponse({"ok": False, "error": "invalid_blocks", "response_metadata": details}))
    assert "less than 3001" in str(site.error(notify()))


@pytest.mark.parametrize("answer", [PlainTextResponse("<html>"), JSONResponse({"messages": []}), JSONResponse([])])
def test_an_answer_that_does_not_say_ok_is_unusable(stage: tuple[Stage, str], site: Site, answer: Any) -> None:
    stage[0].app = Scripted(answer)
    assert isinstance(site.error(notify()), ResponseError)


def test_pages_that_go_round_in_a_circle_end(stage: tuple[Stage, str], site: Site) -> None:
    stage[0].app = Scripted(JSONResponse({"ok": True, "messages": [], "response_metadata": {"next_cursor": "again"}}))
    assert isinstance(site.error(notify()), ResponseError)


def test_an_app_that_may_write_and_not_read_sends_nothing(site: Site) -> None:
    site.simulator.scopes = {"chat:write"}
    assert isinstance(site.error(notify()), ScopeError)
    assert not site.simulator.messages()


def test_health_looks_into_every_channel_and_at_the_scopes(site: Site) -> None:
    site.simulator.channels.make("C0123456780", "approvals", joined=False)
    site.simulator.channels.make("G0123456780", "secret", private=True, joined=False)
    site.simulator.scopes = {"channels:history", "groups:history"}
    scope, public, private = site.health().problems
    assert "chat:write" in scope
    assert "#approvals" in public
    assert "/invite" in public
    assert "#secret" in private
    assert not site.simulator.mutations()


def test_health_says_when_clicks_would_be_taken_for_replays(site: Site) -> None:
    site.simulator.faults.add("clock_skew", options={"seconds": 400})
    (problem,) = site.health().problems
    assert "clicks" in problem
