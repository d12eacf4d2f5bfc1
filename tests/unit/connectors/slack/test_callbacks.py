import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

import pytest

from nightdesk.connectors.slack import callbacks
from nightdesk.connectors.slack.callbacks import Click, verified
from nightdesk.connectors.slack.simulator import Simulator
from nightdesk.sdk.errors import AuthError, MappingError
from nightdesk.sdk.secrets import Secret
from nightdesk.sdk.testing.fake_time import FakeTime

NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)
SOC = "C0123456789"
BUTTONS = {
    "type": "actions",
    "elements": [
        {"type": "button", "action_id": f"nightdesk.option.{number}", "value": "0123456789abcdef",
         "text": {"type": "plain_text", "text": text}}
        for number, text in enumerate(("approve", "reject"))
    ],
}  # fmt: skip


@pytest.fixture
def simulator() -> Simulator:
    return Simulator(clock=FakeTime(NOON).clock, secret="s3cret")


@pytest.fixture
def clicked(simulator: Simulator) -> tuple[dict[str, str], bytes]:
    ts = simulator.channels.post({"channel": SOC, "text": "?", "blocks": [BUTTONS]})["ts"]
    return simulator.click(SOC, ts, 1)


def read(simulator: Simulator, headers: dict[str, str], body: bytes, now: datetime = NOON) -> Click:
    return verified(headers, body, Secret.literal(simulator.signing_secret), now)


def forged(simulator: Simulator, payload: Any) -> tuple[dict[str, str], bytes]:
    """A request that Slack signed, whatever is in it."""
    body = payload if isinstance(payload, bytes) else urlencode({"payload": json.dumps(payload)}).encode()
    return simulator.signed(body), body


def test_a_click_says_who_what_and_where(simulator: Simulator, clicked: tuple[dict[str, str], bytes]) -> None:
    click = read(simulator, *clicked)
    ts = str(simulator.messages()[0]["ts"])
    said = {"label": "reject", "user_id": "U0PERSON", "username": "jdoe", "team_id": "T0123456789"}
    placed = {"channel_id": SOC, "message_ts": ts, "clicked_at": f"{NOON.timestamp():.6f}", "app_id": "A0NIGHTDESK"}
    assert replace(click, response_url="") == Click("0123456789abcdef", 1, **said, **placed)
    assert click.response_url.startswith("https://")
    assert click.response_url not in repr(click)


def test_header_names_in_any_letters_are_read(simulator: Simulator, clicked: tuple[dict[str, str], bytes]) -> None:
    headers, body = clicked
    assert read(simulator, {name.lower(): value for name, value in headers.items()}, body).option == 1


def test_the_scheme_is_the_vendors_own() -> None:
    # Made with slack-sdk 3.47.0 of this secret, moment and body.
    digest = "1d30a74f5a359acb15839eedd2e83635f44b75ee4236831398a5c5f5e28971f6"
    headers = {"X-Slack-Request-Timestamp": "1793534400", "X-Slack-Signature": f"v0={digest}"}
    body = b"payload=%7B%22type%22%3A%22view_submission%22%7D"
    with pytest.raises(MappingError, match="no click"):  # genuine, and no click
        verified(headers, body, Secret.literal("an-invented-signing-secret"), NOON)


@pytest.mark.parametrize("seconds", [-301, 301, 86_400])
def test_a_request_outside_five_minutes_is_a_replay(
    simulator: Simulator, clicked: tuple[dict[str, str], bytes], seconds: int
) -> None:
    with pytest.raises(AuthError, match="replay"):
        read(simulator, *clicked, NOON + timedelta(seconds=seconds))
    within = NOON + timedelta(seconds=299 if seconds > 0 else -299)
    assert read(simulator, *clicked, within).option == 1


@pytest.mark.parametrize(
    "changed",
    [
        {"X-Slack-Signature": ""},
        {"X-Slack-Signature": "v0=" + "0" * 64},
        {"X-Slack-Signature": "v0=é"},
        {"X-Slack-Request-Timestamp": ""},
        {"X-Slack-Request-Timestamp": "soon"},
        {"X-Slack-Request-Timestamp": str(int(NOON.timestamp()) + 1)},  # another time than was signed
    ],
)
def test_what_is_not_signed_as_it_came_is_refused(
    simulator: Simulator, clicked: tuple[dict[str, str], bytes], changed: dict[str, str]
) -> None:
    headers, body = clicked
    with pytest.raises(AuthError):
        read(simulator, {**headers, **changed}, body)


def test_a_body_that_was_touched_or_another_secret_is_refused(
    simulator: Simulator, clicked: tuple[dict[str, str], bytes]
) -> None:
    headers, body = clicked
    for touched in (body + b"&", body.replace(b"reject", b"repect"), body.replace(b"+", b"%20")):
        with pytest.raises(AuthError):
            read(simulator, headers, touched)
    with pytest.raises(AuthError):
        read(Simulator(secret="somebody-elses"), headers, body)


def test_nothing_is_parsed_before_the_signature_is_right(
    simulator: Simulator, clicked: tuple[dict[str, str], bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    def unexpected(_: object) -> None:
        raise AssertionError("parsed")

    monkeypatch.setattr(callbacks, "_read", unexpected)
    with pytest.raises(AuthError):
        read(simulator, {**clicked[0], "X-Slack-Signature": "v0=00"}, clicked[1])


def test_a_button_whose_value_is_no_id_names_no_approval(simulator: Simulator) -> None:
    told = {"type": "button", "action_id": "nightdesk.option.0", "value": "host.isolate WS-0042"}
    blocks = [{"type": "actions", "elements": [{**told, "text": {"type": "plain_text", "text": "approve"}}]}]
    ts = simulator.channels.post({"channel": SOC, "text": "?", "blocks": blocks})["ts"]
    with pytest.raises(MappingError, match="no approval"):
        read(simulator, *simulator.click(SOC, ts, 0))


def test_the_legacy_token_opens_nothing(simulator: Simulator) -> None:
    body = urlencode({"payload": json.dumps({"type": "block_actions", "token": simulator.signing_secret})}).encode()
    with pytest.raises(AuthError):
        read(simulator, {"X-Slack-Request-Timestamp": str(int(NOON.timestamp()))}, body)


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"payload=",
        b"payload={}&payload={}",
        b"\xff\xfe",
        [],
        {"type": "view_submission"},
        {"type": "block_actions", "actions": []},
        {"type": "block_actions", "actions": [{"action_id": "somebody.else", "value": "0123456789abcdef"}]},
        {"type": "block_actions", "actions": [{"action_id": "nightdesk.option.x", "value": "0123456789abcdef"}]},
        {"type": "block_actions", "actions": [{"action_id": "nightdesk.option.0", "value": "0123456789abcdef"}]},
    ],
)
def test_what_is_genuine_and_no_click_of_ours_is_no_click(simulator: Simulator, payload: Any) -> None:
    with pytest.raises(MappingError):
        read(simulator, *forged(simulator, payload))
