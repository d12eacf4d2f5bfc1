import asyncio
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from nightdesk.connectors.slack.simulator import Simulator
from nightdesk.sdk.testing.fake_time import FakeTime

NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)
SOC = "C0123456789"
BUTTON = {"type": "button", "action_id": "a", "value": "v", "text": {"type": "plain_text", "text": "ok"}}


class Client:
    """An app with its token."""

    def __init__(self, simulator: Simulator) -> None:
        self.simulator = simulator
        self.headers = {"Authorization": f"Bearer {simulator.token}"}

    def call(self, verb: str, method: str, **options: Any) -> dict[str, Any]:
        async def once() -> httpx.Response:
            transport = httpx.ASGITransport(self.simulator)
            async with httpx.AsyncClient(transport=transport, base_url="https://slack.example.com/api/") as client:
                return await client.request(verb, method, headers=self.headers, **options)

        response = asyncio.run(once())
        assert response.status_code == 200
        found: dict[str, Any] = response.json()
        return found

    def post(self, **message: Any) -> dict[str, Any]:
        return self.call("POST", "chat.postMessage", json={"channel": SOC, "text": "hello", **message})

    def history(self, **params: Any) -> dict[str, Any]:
        return self.call("GET", "conversations.history", params={"channel": SOC, **params})


@pytest.fixture
def client() -> Client:
    return Client(Simulator(clock=FakeTime(NOON).clock, secret="s3cret"))


@pytest.mark.parametrize(("header", "word"), [("", "not_authed"), ("Bearer xoxb-wrong", "invalid_auth"),
                                              ("Basic s3cret", "not_authed")])  # fmt: skip
def test_a_token_is_the_bearer_header_or_nothing(client: Client, header: str, word: str) -> None:
    client.headers = {"Authorization": header}
    assert client.post(token=client.simulator.token)["error"] == word


def test_a_scope_that_is_missing_is_named(client: Client) -> None:
    client.simulator.scopes = {"channels:history"}
    said = client.post()
    assert (said["error"], said["needed"], said["provided"]) == ("missing_scope", "chat:write", "channels:history")


def test_every_ts_is_a_text_of_its_own(client: Client) -> None:
    stamps = [client.post()["ts"] for _ in range(3)]
    assert len(set(stamps)) == 3
    assert all(isinstance(ts, str) and len(ts.partition(".")[2]) == 6 for ts in stamps)
    assert client.call("POST", "chat.update", json={"channel": SOC, "ts": float(stamps[0]), "text": "x"})["error"] == (
        "message_not_found"
    )


@pytest.mark.parametrize(
    "blocks",
    [
        [{"type": "divider"}] * 51,
        [{"type": "section", "text": {"type": "plain_text", "text": "x" * 3001}}],
        [{"type": "header", "text": {"type": "mrkdwn", "text": "x"}}],
        [{"type": "actions", "elements": [BUTTON, BUTTON]}],
        [{"type": "actions", "elements": [{**BUTTON, "action_id": str(n)} for n in range(26)]}],
        [{"type": "actions", "elements": [{**BUTTON, "style": "default"}]}],
        [{"type": "actions", "elements": [{**BUTTON, "value": "v" * 2001}]}],
        [{"type": "hologram"}],
    ],
)
def test_blocks_beyond_their_limits_are_refused_whole(client: Client, blocks: Any) -> None:
    said = client.post(blocks=blocks)
    assert said["error"] == "invalid_blocks"
    assert said["response_metadata"]["messages"]
    assert not client.simulator.messages()


def test_a_name_is_no_channel_and_a_private_one_hides(client: Client) -> None:
    client.simulator.channels.make("G0123456780", "secret", private=True, joined=False)
    client.simulator.channels.make("C0123456780", "open", joined=False)
    client.simulator.channels.make("C0123456781", "old", archived=True)
    words = [client.post(channel=name)["error"] for name in ("soc-alerts", "G0123456780", "C0123456780", "C0123456781")]
    assert words == ["channel_not_found", "channel_not_found", "not_in_channel", "is_archived"]


def test_history_is_newest_first_in_pages_without_metadata_unless_asked(client: Client) -> None:
    stamps = [client.post(metadata={"event_type": "e", "event_payload": {}})["ts"] for _ in range(5)]
    found: list[str] = []
    cursor = ""
    while True:
        page = client.history(limit=2, cursor=cursor)
        assert not any("metadata" in one for one in page["messages"])
        found += [one["ts"] for one in page["messages"]]
        cursor = page["response_metadata"]["next_cursor"]
        if not cursor:
            break
    assert found == stamps[::-1]
    assert client.history(limit=1, include_all_metadata="true")["messages"][0]["metadata"]["event_type"] == "e"


def test_bounds_are_exclusive_unless_inclusive(client: Client) -> None:
    first, second = client.post()["ts"], client.post()["ts"]
    assert [one["ts"] for one in client.history(oldest=first)["messages"]] == [second]
    one = client.history(latest=first, inclusive="true", limit=1)["messages"]
    assert [message["ts"] for message in one] == [first]


@pytest.mark.parametrize("params", [{"limit": 0}, {"limit": 1000}, {"cursor": "?"}, {"oldest": "yesterday"}])
def test_what_no_page_can_be_is_refused(client: Client, params: dict[str, Any]) -> None:
    assert client.history(**params)["ok"] is False


def test_replies_are_in_their_thread_alone(client: Client) -> None:
    parent = client.post()["ts"]
    reply = client.post(thread_ts=parent)["ts"]
    assert [one["ts"] for one in client.history()["messages"]] == [parent]
    found = client.call("GET", "conversations.replies", params={"channel": SOC, "ts": parent})["messages"]
    assert [one["ts"] for one in found] == [parent, reply]
    assert client.post(thread_ts="1.000000")["error"] == "thread_not_found"


def test_only_own_messages_are_changed(client: Client) -> None:
    theirs = client.simulator.channels.say(SOC, "mine")
    said = client.call("POST", "chat.delete", json={"channel": SOC, "ts": theirs})
    assert said["error"] == "cant_delete_message"


def test_an_unknown_method_says_so(client: Client) -> None:
    assert client.call("POST", "chat.shout", json={})["error"] == "unknown_method"
