"""Clicks on our buttons, as Slack posts them: proved to come from Slack and to be fresh, before anything is read.

What a click may do is not decided here: Slack proves who clicked, not that this person may approve.
Source: https://docs.slack.dev/authentication/verifying-requests-from-slack
"""

import hashlib
import hmac
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from urllib.parse import parse_qs

from nightdesk.connectors.slack.blocks import ABOUT, ACTION
from nightdesk.connectors.slack.client import VENDOR
from nightdesk.sdk.errors import AuthError, MappingError
from nightdesk.sdk.secrets import Secret

__all__ = ["Click", "verified"]

_WINDOW = 300  # seconds that a request may be old, or early
_SECONDS = re.compile(r"[0-9]{1,12}")
_ADVICE = "check that signing_secret is that of the app (Basic Information)"


@dataclass(frozen=True, slots=True)
class Click:
    """One click. ``approval_id`` (the request's ``about``) and the place bind it to one request.

    ``option`` counts from 0.

    ``clicked_at`` (``action_ts``) is a text; the same click has the same one. ``response_url`` lets its holder write
    into the channel for half an hour.
    """

    approval_id: str
    option: int
    label: str
    user_id: str
    username: str
    team_id: str
    channel_id: str
    message_ts: str
    clicked_at: str
    app_id: str
    response_url: str = field(default="", repr=False)


def verified(headers: Mapping[str, str], body: bytes, secret: Secret, now: datetime) -> Click:
    """The click in a request, from its raw body.

    Raises AuthError for a request that is not signed with the app's signing secret or is older than five minutes, and
    MappingError for a genuine one that is no click on a button of ours.
    """
    _prove({name.lower(): value for name, value in headers.items()}, body, secret, now)
    return _read(body)


def _prove(headers: Mapping[str, str], body: bytes, secret: Secret, now: datetime) -> None:
    stamp, given = headers.get("x-slack-request-timestamp", ""), headers.get("x-slack-signature", "")
    if not _SECONDS.fullmatch(stamp) or not given:
        raise _refusal("the request is not signed")
    wanted = hmac.new(secret.reveal().encode(), b"v0:" + stamp.encode() + b":" + body, hashlib.sha256).hexdigest()
    # As bytes: compare_digest takes no text beyond ASCII, and a header may hold any.
    if not hmac.compare_digest(f"v0={wanted}".encode(), given.encode("utf-8", "replace")):
        raise _refusal(f"the signature is wrong; {_ADVICE}")
    if abs(now.timestamp() - int(stamp)) > _WINDOW:
        raise _refusal(f"signed more than {_WINDOW} s ago, or ahead; a replay, or the clock of this machine is wrong")


def _read(body: bytes) -> Click:
    try:
        (text,) = parse_qs(body.decode(), strict_parsing=True)["payload"]
        payload = json.loads(text)
    except (ValueError, KeyError, RecursionError):
        raise MappingError("a form with one payload of JSON is expected", source=VENDOR) from None
    if not isinstance(payload, dict) or payload.get("type") != "block_actions":
        raise MappingError("no click on a button", pointer="/type", source=VENDOR)
    actions = payload.get("actions")
    for number, action in enumerate(actions if isinstance(actions, list) else []):
        name = str(action.get("action_id", "")) if isinstance(action, dict) else ""
        if name.startswith(ACTION):
            return _click(payload, action, name.removeprefix(ACTION), number)
    raise MappingError("no button of ours", pointer="/actions", source=VENDOR)


def _click(payload: Mapping[str, Any], action: Mapping[str, Any], option: str, number: int) -> Click:
    value = str(action.get("value", ""))
    if not (option.isascii() and option.isdecimal()) or not ABOUT.fullmatch(value):
        raise MappingError("the button names no approval of ours", pointer=f"/actions/{number}/value", source=VENDOR)
    found = Click(
        approval_id=value,
        option=int(option),
        label=_text(action, "text", "text"),
        user_id=_text(payload, "user", "id"),
        username=_text(payload, "user", "username"),
        team_id=_text(payload, "team", "id") or _text(payload, "user", "team_id"),
        channel_id=_text(payload, "container", "channel_id") or _text(payload, "channel", "id"),
        message_ts=_text(payload, "container", "message_ts"),
        clicked_at=_text(action, "action_ts"),
        app_id=_text(payload, "api_app_id"),
        response_url=_text(payload, "response_url"),
    )
    for name in ("user_id", "team_id", "channel_id", "message_ts", "clicked_at"):
        if not getattr(found, name):
            raise MappingError(f"the click has no {name}, so it cannot be bound to its request", source=VENDOR)
    return found


def _text(place: Any, *path: str) -> str:
    for step in path:
        place = place.get(step) if isinstance(place, Mapping) else None
    return place if isinstance(place, str) else ""


def _refusal(message: str) -> AuthError:
    return AuthError(message, vendor=VENDOR, operation="verify click")
