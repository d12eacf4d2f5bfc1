"""How the simulated Sophos Central speaks: its error envelope, its rate limits, its two ways of paging."""

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from nightdesk.sdk.context import Clock

__all__ = [
    "Call",
    "RefusedError",
    "Routes",
    "Wire",
    "by_key",
    "by_number",
    "given",
    "json_object",
    "number",
    "stamp",
]

Call = Callable[[Request], Awaitable[Response]]
Routes = Sequence[tuple[str, str, Call]]
"""Method, path, handler."""

_WORDS = {400: "badRequest", 401: "Unauthorized", 403: "Forbidden", 404: "notFound", 409: "conflict"}
LIMITS: tuple[tuple[int, int], ...] = ((1, 10), (60, 100), (3600, 1000))
"""Seconds, and requests within them."""


class RefusedError(Exception):
    """What the vendor answers with an error envelope."""

    def __init__(self, status: int, message: str) -> None:
        self.status = status
        super().__init__(message)


class Wire:
    """Counts requests and numbers errors."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._spent: deque[float] = deque()
        self._errors = 0

    def spend(self) -> None:
        """Counts one request. Raises RefusedError when a limit is passed."""
        now = self._clock().timestamp()
        while self._spent and self._spent[0] <= now - LIMITS[-1][0]:
            self._spent.popleft()
        for seconds, most in LIMITS:
            if len(self._spent) >= most and self._spent[-most] > now - seconds:
                raise RefusedError(429, "Too Many Requests")
        self._spent.append(now)

    def refuse(self, status: int, message: str, headers: Mapping[str, str] | None = None) -> Response:
        """The envelope of an error."""
        self._errors += 1
        name = f"00000000-0000-4000-8000-{self._errors:012x}"
        body = {
            "error": _WORDS.get(status, "tooManyRequests" if status == 429 else "internalServerError"),
            "correlationId": name,
            "requestId": name,
            "createdAt": stamp(self._clock()),
            "message": message,
        }
        return JSONResponse(body, status, headers=dict(headers or {}))


def stamp(moment: datetime) -> str:
    """The vendor's time: UTC with milliseconds."""
    utc = moment.astimezone(UTC)
    return f"{utc:%Y-%m-%dT%H:%M:%S}.{utc.microsecond // 1000:03d}Z"


def given(request: Request, *known: str) -> dict[str, str]:
    """The query. Raises RefusedError for a name that is unknown or comes twice."""
    pairs = request.query_params.multi_items()
    found = dict(pairs)
    if set(found) - set(known) or len(found) != len(pairs):
        raise RefusedError(400, f"unknown or repeated query parameter among {', '.join(sorted(found))}")
    return found


def number(query: Mapping[str, str], name: str, default: int, least: int, most: int) -> int:
    """A whole number. Raises RefusedError beyond its bounds, which is no clamp."""
    text = query.get(name, str(default))
    if not text.isdecimal() or not least <= int(text) <= most:
        raise RefusedError(400, f"{name} must be between {least} and {most}")
    return int(text)


def by_key(rows: Sequence[Mapping[str, Any]], query: Mapping[str, str], *, default: int, most: int) -> Response:
    """One page of rows in the order of their ids; the key of the next page is there only when there is one."""
    size = number(query, "pageSize", default, 1, most)
    ordered = sorted(rows, key=lambda row: str(row["id"]))
    pages: dict[str, Any] = {"size": size, "maxSize": most}
    if "pageFromKey" in query:
        pages["fromKey"] = query["pageFromKey"]
        behind = _key(query["pageFromKey"])
        ordered = [row for row in ordered if str(row["id"]) > behind]
    if len(ordered) > size:
        pages["nextKey"] = urlsafe_b64encode(str(ordered[size - 1]["id"]).encode()).decode()
    if query.get("pageTotal") == "true":
        pages["total"] = -(-len(rows) // size)
    return JSONResponse({"items": ordered[:size], "pages": pages})


def by_number(rows: Sequence[Mapping[str, Any]], query: Mapping[str, str], *, default: int, most: int) -> Response:
    """One numbered page; how many there are is said only when asked for."""
    size, page = number(query, "pageSize", default, 1, most), number(query, "page", 1, 1, 1_000_000)
    pages: dict[str, Any] = {"current": page, "size": size, "maxSize": most}
    if query.get("pageTotal") == "true":
        pages |= {"total": max(-(-len(rows) // size), 1), "items": len(rows)}
    return JSONResponse({"items": list(rows[(page - 1) * size : page * size]), "pages": pages})


async def json_object(request: Request, *known: str) -> dict[str, Any]:
    """The body. Raises RefusedError when it is no JSON object of these fields."""
    try:
        body = json.loads(await request.body())
    except ValueError:
        body = None
    if not isinstance(body, dict):
        raise RefusedError(400, "the body is no JSON object")
    if set(body) - set(known):
        raise RefusedError(400, f"unknown field in the body: {', '.join(sorted(set(body) - set(known)))}")
    return body


def _key(text: str) -> str:
    try:
        return urlsafe_b64decode(text).decode()
    except ValueError:
        raise RefusedError(400, "pageFromKey is invalid") from None
