"""How the simulated site speaks: its error envelope, its rate limit, its times, bodies, and documents it refuses."""

import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from math import ceil
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from nightdesk.sdk.context import Clock

__all__ = ["NOT_SEEN", "Call", "RefusedError", "Wire", "checked_document", "json_object", "said", "stamp"]

Call = Callable[[Request], Awaitable[Response]]
NOT_SEEN = "Issue does not exist or you do not have permission to see it."
_BLOCKS = frozenset(
    {"paragraph", "heading", "bulletList", "orderedList", "listItem", "codeBlock", "blockquote", "panel"}
)
_INLINE = frozenset({"text", "hardBreak", "mention", "emoji", "inlineCard", "date", "status"})
_LONGEST = 32_767


class RefusedError(Exception):
    """A refusal: messages for the whole request, or one for each field."""

    def __init__(self, status: int, /, *messages: str, **fields: str) -> None:
        super().__init__(*messages)
        self.status = status
        self.messages = messages
        self.fields = fields


class Wire:
    """Counts requests by the minute; the site's cost-based limits are not public."""

    def __init__(self, clock: Clock, per_minute: int) -> None:
        self._clock = clock
        self._limit = per_minute
        self._minute = -1
        self._spent = 0

    def spend(self) -> None:
        """Counts one request. Raises RefusedError when the minute's are used up."""
        minute = int(self._clock().timestamp()) // 60
        if minute != self._minute:
            self._minute, self._spent = minute, 0
        self._spent += 1
        if self._spent > self._limit:
            raise RefusedError(429, "Rate limit exceeded.")

    def exhausted(self) -> dict[str, str]:
        """The headers of a refusal for too many requests."""
        wait = 60 - self._clock().timestamp() % 60
        return {
            "Retry-After": str(max(ceil(wait), 1)),
            "X-RateLimit-Limit": str(self._limit),
            "X-RateLimit-Remaining": "0",
            "RateLimit-Reason": "jira-quota-tenant-based",
        }

    @staticmethod
    def refuse(error: RefusedError, headers: Mapping[str, str] | None = None) -> Response:
        """The envelope of an error."""
        body = {"errorMessages": list(error.messages), "errors": error.fields}
        return JSONResponse(body, error.status, headers=dict(headers or {}))


async def json_object(request: Request) -> dict[str, Any]:
    """The body. Raises RefusedError."""
    try:
        found = json.loads(await request.body())
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise RefusedError(400, "There was an error parsing JSON. Check that your request body is valid.")
    return found


def stamp(moment: datetime) -> str:
    """Jira's time: milliseconds, and a zone without a colon."""
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03d}+0000"


def checked_document(found: Any, field: str) -> dict[str, Any]:
    """A document in Atlassian's form. Raises RefusedError for anything else, an empty text node too."""
    if isinstance(found, str):
        message = "Operation value must be an Atlassian Document (see the Atlassian Document Format)"
        raise RefusedError(400, **{field: message})
    if not _is_document(found):
        raise RefusedError(400, **{field: "INVALID_INPUT"})
    if len(said(found)) > _LONGEST:
        message = "The entered text is too long. It exceeds the allowed limit of 32,767 characters."
        raise RefusedError(400, **{field: message})
    document: dict[str, Any] = found
    return document


def said(document: Any) -> str:
    """The text of a document, as the site shows it: blocks one below the other."""
    if not isinstance(document, dict):
        return ""
    parts = [_inline(block) for block in document.get("content", ())]
    return "\n\n".join(parts)


def _inline(block: Mapping[str, Any]) -> str:
    nodes: Sequence[Mapping[str, Any]] = block.get("content", ())
    return "".join("\n" if node["type"] == "hardBreak" else node.get("text", "") or _inline(node) for node in nodes)


def _is_document(found: Any) -> bool:
    if not isinstance(found, dict) or (found.get("type"), found.get("version")) != ("doc", 1):
        return False
    content = found.get("content")
    return isinstance(content, list) and all(_is_node(node, _BLOCKS) for node in content)


def _is_node(node: Any, kinds: frozenset[str]) -> bool:
    if not isinstance(node, dict) or node.get("type") not in kinds:
        return False
    if node["type"] == "text":
        return isinstance(node.get("text"), str) and bool(node["text"])
    content = node.get("content", [])
    return isinstance(content, list) and all(_is_node(inner, _BLOCKS | _INLINE) for inner in content)
