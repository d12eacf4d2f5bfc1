# requires: slack-sdk==3.47.0
"""Slack's own Python library against the simulator: posts, finds, replies, replaces buttons, deletes, verifies."""

import hashlib
import hmac
import json
import sys
from typing import Any

from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError
from slack_sdk.models.blocks import ActionsBlock, ButtonElement, HeaderBlock, SectionBlock
from slack_sdk.signature import Clock, SignatureVerifier


class _Noon(Clock):
    def now(self) -> float:
        return 1_793_534_400.0


def main() -> None:
    """Reads the settings from standard input; ends with a message when something is off."""
    given = json.load(sys.stdin)
    client = WebClient(given["bot_token"], base_url=given["base_url"].rstrip("/") + "/")
    me = client.auth_test()
    _expect("the team", me["team"], "Example")
    _expect("the scopes", "chat:write" in me.headers["x-oauth-scopes"], wanted=True)
    channel = given["channels"].partition("=")[2].partition(",")[0]
    blocks = [
        HeaderBlock(text="Isolate WS-0042?"),
        SectionBlock(text={"type": "plain_text", "text": "It beacons"}),
        ActionsBlock(elements=[ButtonElement(text="approve", action_id="nightdesk.option.0", value="0" * 16)]),
    ]
    metadata = {"event_type": "nightdesk_message", "event_payload": {"marker": "m-1"}}
    posted = client.chat_postMessage(channel=channel, text="Isolate?", blocks=blocks, metadata=metadata)
    ts = posted["ts"]
    client.chat_postMessage(channel=channel, text="because", thread_ts=ts)
    _finds(client, channel, ts)
    client.chat_update(channel=channel, ts=ts, text="approved", blocks=blocks[:2])
    (one,) = client.conversations_history(channel=channel, latest=ts, inclusive=True, limit=1)["messages"]
    _expect("the buttons are gone", [block["type"] for block in one["blocks"]], ["header", "section"])
    client.chat_delete(channel=channel, ts=ts)
    _refused("another channel", "channel_not_found", lambda: client.chat_postMessage(channel="C0", text="x"))
    stranger = WebClient("xoxb-wrong", base_url=given["base_url"].rstrip("/") + "/")
    _refused("another token", "invalid_auth", stranger.auth_test)
    _verifies(given["signing_secret"])


def _finds(client: WebClient, channel: str, ts: str) -> None:
    found: list[dict[str, Any]] = []
    for page in client.conversations_history(channel=channel, limit=1, include_all_metadata=True):
        found += page["messages"]
    _expect("the history", [(one["ts"], one["metadata"]["event_payload"]) for one in found], [(ts, {"marker": "m-1"})])
    replies = client.conversations_replies(channel=channel, ts=ts)["messages"]
    _expect("the thread", [one["text"] for one in replies], ["Isolate?", "because"])


def _verifies(secret: str) -> None:
    """The library takes what the simulator signs, which is computed here as there."""
    stamp, body = "1793534400", b"payload=%7B%7D"
    digest = hmac.new(secret.encode(), f"v0:{stamp}:".encode() + body, hashlib.sha256).hexdigest()
    verifier = SignatureVerifier(secret, _Noon())
    headers = {"X-Slack-Request-Timestamp": stamp, "X-Slack-Signature": f"v0={digest}"}
    _expect("a signature", verifier.is_valid_request(body, headers), wanted=True)
    _expect("a touched body", verifier.is_valid_request(body + b"&", headers), wanted=False)


def _refused(what: str, word: str, call: Any) -> None:
    try:
        call()
    except SlackApiError as error:
        _expect(what, error.response["error"], word)
        return
    sys.exit(f"{what} is taken")


def _expect(what: str, found: Any, wanted: Any) -> None:
    if found != wanted:
        sys.exit(f"{what}: {found!r} instead of {wanted!r}")


main()
