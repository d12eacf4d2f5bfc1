"""The simulated channels: who may write where, messages by their ``ts``, history newest first in pages.

Sources: https://docs.slack.dev/reference/methods (chat.postMessage, conversations.history, conversations.replies) and
https://docs.slack.dev/reference/block-kit/blocks for the limits of blocks.
"""

import base64
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from nightdesk.sdk.context import Clock

__all__ = ["Channel", "Channels", "SlackError", "truth"]

_MOST, _USUAL, _RESTRICTED = 999, 100, 15
_TEXT = 40_000
_TS = re.compile(r"\d+(\.\d{1,6})?")
_BLOCKS, _ELEMENTS = 50, {"actions": 25, "context": 10}
_TEXTS = {"header": 150, "section": 3000, "button": 75}
_STYLES = {None, "primary", "danger"}


class SlackError(Exception):
    """What Slack answers with ``ok: false``; ``fields`` stand beside the word."""

    def __init__(self, word: str, **fields: Any) -> None:
        self.fields = fields
        super().__init__(word)


@dataclass(slots=True)
class Channel:
    """One channel; ``joined``: the app was invited."""

    channel_id: str
    name: str
    private: bool = False
    joined: bool = True
    archived: bool = False
    messages: list[dict[str, Any]] = field(default_factory=list)

    @property
    def history_scope(self) -> str:
        """What it takes to read it."""
        return "groups:history" if self.private else "channels:history"


class Channels:
    """All channels by id. ``restricted``: the app gets 15 messages a page, whatever it asks for."""

    def __init__(self, clock: Clock, team_id: str) -> None:
        self.channels: dict[str, Channel] = {}
        self.restricted = False
        self.page = _MOST
        self.bot = {"bot_id": "B0NIGHTDESK", "app_id": "A0NIGHTDESK", "user": "U0NIGHTDESK", "team": team_id}
        self._clock = clock
        self._last = 0

    def make(
        self, channel_id: str, name: str, *, private: bool = False, joined: bool = True, archived: bool = False
    ) -> Channel:
        """A channel as somebody makes it."""
        return self.channels.setdefault(channel_id, Channel(channel_id, name, private, joined, archived))

    def post(self, given: Mapping[str, Any], *, keep: bool = True) -> dict[str, Any]:
        """``chat.postMessage``; the message as it was stored. ``keep`` False: Slack says yes and loses it."""
        channel = self.find(given)
        if not channel.joined:
            raise SlackError("channel_not_found" if channel.private else "not_in_channel")
        if channel.archived:
            raise SlackError("is_archived")
        blocks = _blocks(given.get("blocks"))
        text = given.get("text")
        if not blocks and not text:
            raise SlackError("no_text")
        if text is not None and not isinstance(text, str):
            raise SlackError("invalid_arguments", response_metadata={"messages": ["[ERROR] text must be a string"]})
        parent = given.get("thread_ts")
        if parent is not None and self.one(channel, parent) is None:
            raise SlackError("thread_not_found")
        message = {"type": "message", "subtype": "bot_message", "ts": self._ts(), "text": (text or "")[:_TEXT],
                   **self.bot, "blocks": blocks, **({"thread_ts": parent} if parent else {}),
                   **({"metadata": _metadata(given["metadata"])} if given.get("metadata") else {})}  # fmt: skip
        if keep:
            channel.messages.append(message)
        return message

    def history(self, given: Mapping[str, str]) -> dict[str, Any]:
        """``conversations.history``: newest first, without replies."""
        channel = self._readable(given)
        rows = [one for one in reversed(channel.messages) if one.get("thread_ts", one["ts"]) == one["ts"]]
        return self._paged(_between(rows, given), given)

    def replies(self, given: Mapping[str, str]) -> dict[str, Any]:
        """``conversations.replies``: the parent first, then its replies as they came."""
        channel = self._readable(given)
        parent = self.one(channel, given.get("ts"))
        if parent is None:
            raise SlackError("thread_not_found")
        rows = [one for one in channel.messages if one.get("thread_ts") == parent["ts"] and one is not parent]
        return self._paged([parent, *_between(rows, given)], given)

    def change(self, given: Mapping[str, Any], *, delete: bool) -> dict[str, Any]:
        """``chat.update`` and ``chat.delete`` of the app's own messages."""
        channel = self.find(given)
        message = self.one(channel, given.get("ts"))
        if message is None:
            raise SlackError("message_not_found")
        if message.get("bot_id") != self.bot["bot_id"]:
            raise SlackError("cant_delete_message" if delete else "cant_update_message")
        if delete:
            channel.messages.remove(message)
            return message
        blocks = _blocks(given.get("blocks"))
        message.update({"text": str(given.get("text") or ""), "blocks": blocks or message["blocks"]})
        return message

    def say(self, channel_id: str, text: str, *, user: str = "U0PERSON") -> str:
        """What a person writes; its ``ts``."""
        message = {"type": "message", "ts": self._ts(), "user": user, "text": text}
        self.channels[channel_id].messages.append(message)
        return str(message["ts"])

    def find(self, given: Mapping[str, Any]) -> Channel:
        """The channel of a call, by its id alone."""
        found = self.channels.get(str(given.get("channel", "")))
        if found is None:
            raise SlackError("channel_not_found")
        return found

    def one(self, channel: Channel, ts: Any) -> dict[str, Any] | None:
        """A message by its ``ts``, which is a text: a number finds nothing."""
        return next((one for one in channel.messages if isinstance(ts, str) and one["ts"] == ts), None)

    def _readable(self, given: Mapping[str, str]) -> Channel:
        channel = self.find(given)
        if not channel.joined:
            raise SlackError("channel_not_found" if channel.private else "not_in_channel")
        return channel

    def _paged(self, rows: list[dict[str, Any]], given: Mapping[str, str]) -> dict[str, Any]:
        limit = given.get("limit", str(_USUAL))
        if not limit.isdecimal() or not 1 <= int(limit) <= _MOST:
            raise SlackError("invalid_limit")
        size = min(int(limit), self.page, _RESTRICTED if self.restricted else _MOST)
        begin = _decoded(given["cursor"]) if given.get("cursor") else 0
        page, more = rows[begin : begin + size], len(rows) > begin + size
        with_metadata = truth(given.get("include_all_metadata"))
        hidden = () if with_metadata else ("metadata",)
        shown = [{name: value for name, value in one.items() if name not in hidden} for one in page]
        following = _encoded(begin + size) if more else ""
        return {"messages": shown, "has_more": more, "response_metadata": {"next_cursor": following}}

    def _ts(self) -> str:
        """The time, and unique."""
        self._last = max(int(self._clock().timestamp() * 1_000_000), self._last + 100)
        return f"{self._last // 1_000_000}.{self._last % 1_000_000:06d}"


def truth(value: Any) -> bool:
    """Slack takes ``true`` and ``1``."""
    return str(value).lower() in {"true", "1"}


def _between(rows: Iterable[dict[str, Any]], given: Mapping[str, str]) -> list[dict[str, Any]]:
    """Those after ``oldest`` and before ``latest``, both exclusive unless ``inclusive``."""
    bounds = [given.get(name) or "" for name in ("oldest", "latest")]
    for name, bound in zip(("oldest", "latest"), bounds, strict=True):
        if bound and not _TS.fullmatch(bound):
            raise SlackError(f"invalid_ts_{name}")
    low, high = float(bounds[0] or 0), float(bounds[1] or "inf")
    if truth(given.get("inclusive")):
        return [one for one in rows if low <= float(one["ts"]) <= high]
    return [one for one in rows if low < float(one["ts"]) < high]


def _metadata(given: Any) -> dict[str, Any]:
    if not isinstance(given, dict) or not isinstance(given.get("event_type"), str) \
            or not isinstance(given.get("event_payload"), dict):  # fmt: skip
        raise SlackError("invalid_metadata_format")
    return given


def _blocks(given: Any) -> list[dict[str, Any]]:
    """The blocks of a message. Raises SlackError for the first that breaks a limit."""
    if given is None:
        return []
    if isinstance(given, str):  # as a form carries them
        given = json.loads(given)
    if not isinstance(given, list) or len(given) > _BLOCKS:
        raise _invalid(f"no more than {_BLOCKS} items allowed", "/blocks")
    seen: set[str] = set()
    for at, block in enumerate(given):
        where, kind = f"/blocks/{at}", block.get("type")
        if kind in _TEXTS:
            _text(block.get("text"), _TEXTS[kind], f"{where}/text", plain=kind == "header")
        elif kind in _ELEMENTS:
            elements = block.get("elements")
            if not isinstance(elements, list) or not 1 <= len(elements) <= _ELEMENTS[kind]:
                raise _invalid(f"1 to {_ELEMENTS[kind]} elements", f"{where}/elements")
            for element in elements:
                if kind == "actions":
                    _button(element, seen, f"{where}/elements")
                else:
                    _text(element, _TEXTS["section"], f"{where}/elements")
        elif kind != "divider":
            raise _invalid(f"unsupported type: {kind}", where)
    return given


def _button(element: Mapping[str, Any], seen: set[str], where: str) -> None:
    name, value = element.get("action_id", ""), element.get("value", "")
    if element.get("type") != "button" or len(name) > 255 or len(value) > 2000 or element.get("style") not in _STYLES:
        raise _invalid("invalid button", where)
    if name in seen:
        raise _invalid(f"`action_id` {name} already exists", where)
    seen.add(name)
    _text(element.get("text"), _TEXTS["button"], where, plain=True)


def _text(given: Any, most: int, where: str, *, plain: bool = False) -> None:
    kinds = {"plain_text"} if plain else {"plain_text", "mrkdwn"}
    if not isinstance(given, dict) or given.get("type") not in kinds:
        raise _invalid("a text object is needed", where)
    if not 1 <= len(str(given.get("text", ""))) <= most:
        raise _invalid(f"must be 1 to {most} characters", where)


def _invalid(what: str, where: str) -> SlackError:
    details = {"messages": [f"[ERROR] {what} [json-pointer:{where}]"]}
    return SlackError("invalid_blocks", response_metadata=details)


def _encoded(begin: int) -> str:
    return base64.b64encode(f"next_ts:{begin}".encode()).decode()


def _decoded(cursor: str) -> int:
    try:
        return int(base64.b64decode(cursor, validate=True).decode().removeprefix("next_ts:"))
    except ValueError:
        raise SlackError("invalid_cursor") from None
