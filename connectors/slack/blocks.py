"""A message as Slack's blocks: what we say is data, so nothing in it is a link, a mention or a mark-up of its own.

Limits: 50 blocks a message, 150 letters a header, 3,000 a section, 75 a button, 25 buttons a block, 2,000 a value.
Source: https://docs.slack.dev/reference/block-kit/blocks
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from nightdesk.sdk.errors import RejectedError
from nightdesk.sdk.ports import Command

__all__ = ["ABOUT", "ACTION", "escaped", "message"]

ACTION = "nightdesk.option."
"""What the ``action_id`` of our buttons begins with; the number of the option follows."""

ABOUT = re.compile(r"[A-Za-z0-9][A-Za-z0-9.-]{0,199}")
"""What a button's value is: the hub's own id of what is asked."""

_HEADER, _SECTION, _SECTIONS, _FALLBACK = 150, 3000, 10, 3000
_BUTTON, _BUTTONS = 75, 25
_STYLES = {"approve": "primary", "yes": "primary", "reject": "danger", "deny": "danger", "no": "danger"}
_SCHEME = re.compile(r"\bhttp(s?)://", re.IGNORECASE)
_LINK = re.compile(r"https?://[^\s<>|]+")


def message(command: Command, approval_id: str) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The body of a message without its place, and what of the command it could not say.

    Raises RejectedError for options or a link that cannot be shown.
    """
    given = command.parameters
    title, text = (_defanged(str(given.get(name) or "").strip()) for name in ("title", "text"))
    title = " ".join(title.split())
    if not title and not text:
        raise RejectedError(f"{command.verb}: title and text are both empty")
    shown = [text[at : at + _SECTION] for at in range(0, len(text), _SECTION)]
    lost = []
    if len(shown) > _SECTIONS:
        shown = shown[:_SECTIONS]
        lost.append(f"text: cut after {_SECTIONS * _SECTION} letters")
    blocks: list[dict[str, Any]] = []
    if title:
        blocks.append({"type": "header", "text": _plain(_cut(title, _HEADER))})
    blocks += [{"type": "section", "text": _plain(part)} for part in shown]
    if len(title) > _HEADER:
        lost.append(f"title: cut after {_HEADER - 1} letters")
    notes = _notes(command)
    if notes:
        blocks.append({"type": "context", "elements": notes})
    if command.verb == "approval.request":
        blocks.append(_buttons(_options(given), _about(given) or approval_id))
    # Only the notification shows it, but some clients read mark-up there.
    fallback = escaped(_cut("\n".join(filter(None, (title, text))), _FALLBACK))
    silent = {"mrkdwn": False, "unfurl_links": False, "unfurl_media": False}
    return {"text": fallback, "blocks": blocks, **silent}, tuple(lost)


def escaped(text: str) -> str:
    """The three letters that are Slack's own mark-up, as it wants them."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _notes(command: Command) -> list[dict[str, Any]]:
    severity, link = command.parameters.get("severity"), str(command.parameters.get("link") or "")
    if link and not _LINK.fullmatch(link):
        raise RejectedError(f"link {link[:80]!r}: write an http or https address without spaces, <, > or |")
    words = [f"Severity: {severity}" if severity else "", f"Case: {command.case_id}" if command.case_id else ""]
    notes: list[dict[str, Any]] = [_plain(_cut(word, _SECTION)) for word in words if word]
    if link:
        notes.append({"type": "mrkdwn", "text": f"<{escaped(link)}|Open in nightdesk>"})
    return notes


def _about(given: Mapping[str, Any]) -> str:
    about = str(given.get("about") or "")
    if about and not ABOUT.fullmatch(about):
        raise RejectedError(f"about {about[:80]!r}: write an id of at most 200 letters, digits, dots and dashes")
    return about


def _options(given: Mapping[str, Any]) -> list[str]:
    raw = given.get("options") or ("approve", "reject")
    options = [str(option).strip() for option in raw] if isinstance(raw, Sequence) and not isinstance(raw, str) else []
    if not 0 < len(options) <= _BUTTONS or not all(0 < len(option) <= _BUTTON for option in options):
        raise RejectedError(f"options {raw!r}: write 1 to {_BUTTONS} texts of at most {_BUTTON} letters")
    if len(set(options)) < len(options):
        raise RejectedError(f"options {raw!r}: two are the same, so nobody could tell which was meant")
    return options


def _buttons(options: Sequence[str], approval_id: str) -> dict[str, Any]:
    """The value is the approval's id alone: what a click may do is the hub's to know, not the message's."""
    return {
        "type": "actions",
        "elements": [
            {
                "type": "button",
                "action_id": f"{ACTION}{number}",
                "text": _plain(option),
                "value": approval_id,
                **({"style": _STYLES[option.lower()]} if option.lower() in _STYLES else {}),
            }
            for number, option in enumerate(options)
        ],
    }


def _plain(text: str) -> dict[str, Any]:
    return {"type": "plain_text", "text": text, "emoji": False}


def _defanged(text: str) -> str:
    """Addresses that nobody should follow by a slip of the finger."""
    return _SCHEME.sub(lambda found: f"hxxp{found[1].lower()}://", text)


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"
