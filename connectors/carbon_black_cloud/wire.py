"""How the simulated Carbon Black Cloud speaks: key header, error envelope, sliding limit, search bodies."""

import json
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime, timedelta
from math import ceil
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from nightdesk.sdk.context import Clock

__all__ = ["BadRequestError", "Call", "DeniedError", "MissingError", "Routes", "Wire", "body_of", "millis", "paged"]

Call = Callable[[Request], Awaitable[Response]]
Routes = Sequence[tuple[str, str, str, Call]]
"""Method, path under the organisation, permission (empty: the handler asks), handler."""

_REACH = 10_000
_PERIOD = timedelta(minutes=5)


class BadRequestError(Exception):
    """What is answered with 400; ``reason`` stands where the query parser speaks."""

    def __init__(self, message: str, *, reason: str = "") -> None:
        self.reason = reason
        super().__init__(message)


class MissingError(Exception):
    """What is answered with 404."""


class DeniedError(Exception):
    """What is answered with 403: a permission that the key lacks, or a limit."""


class Wire:
    """Knows the one key, and counts requests in a window that slides."""

    def __init__(self, clock: Clock, *, token: str, per_period: int) -> None:
        self._clock = clock
        self._token = token
        self._per_period = per_period
        self._recent: deque[datetime] = deque()

    def knows(self, token: str) -> bool:
        """Whether the header holds secret, slash, id, in that order."""
        return token == self._token

    def overspent(self) -> float:
        """Counts one request; seconds to wait when the last five minutes' are used up, else 0."""
        now = self._clock()
        while self._recent and self._recent[0] <= now - _PERIOD:
            self._recent.popleft()
        self._recent.append(now)
        if len(self._recent) <= self._per_period:
            return 0.0
        return ceil((self._recent[0] + _PERIOD - now).total_seconds())

    def refuse(self, status: int, message: str, headers: Mapping[str, str] | None = None) -> Response:
        """The error envelope."""
        names = {400: "BAD_REQUEST", 401: "UNAUTHENTICATED", 403: "FORBIDDEN", 404: "NOT_FOUND", 409: "CONFLICT"}
        body = {"error_code": names.get(status, "ERROR"), "message": message}
        return JSONResponse(body, status, headers=dict(headers or {}))

    def malformed(self, error: BadRequestError) -> Response:
        """A 400, in the query parser's own shape where it speaks."""
        return JSONResponse({"reason": error.reason}, 400) if error.reason else self.refuse(400, str(error))


async def body_of(request: Request, *known: str) -> dict[str, Any]:
    """The JSON object of a request. Raises BadRequestError for none, and for a field that is not known."""
    try:
        body = json.loads(await request.body())
    except ValueError:
        body = None
    if not isinstance(body, dict):
        raise BadRequestError("the body is no JSON object")
    strange = sorted(set(body) - set(known))
    if strange:
        raise BadRequestError(f"unrecognised field {', '.join(strange)}")
    return body


def paged(rows: Sequence[Any], body: Mapping[str, Any], *, first: int) -> list[Any]:
    """The window that ``start`` and ``rows`` name. Raises BadRequestError beyond the first 10,000 results."""
    start, count = body.get("start", first), body.get("rows", 20)
    if not all(isinstance(each, int) and not isinstance(each, bool) for each in (start, count)):
        raise BadRequestError("start and rows are integers")
    if start < first or not 0 <= count <= _REACH or start - first + count > _REACH:
        raise BadRequestError(f"start begins at {first}, and start + rows stay within {_REACH}")
    return list(rows[start - first : start - first + count])


def millis(moment: datetime) -> str:
    """ISO 8601 with milliseconds and Z."""
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03d}Z"
