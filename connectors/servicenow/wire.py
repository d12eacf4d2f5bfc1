"""How the simulated instance speaks: its error envelope, its rate limit, its times, and bodies in JSON."""

import json
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime, timedelta
from hashlib import sha256
from math import ceil
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from nightdesk.sdk.context import Clock

__all__ = ["Call", "RefusedError", "Wire", "json_object", "stamp", "sys_id"]

Call = Callable[[Request], Awaitable[Response]]


class RefusedError(Exception):
    """A refusal in the instance's own words."""

    def __init__(self, status: int, message: str, detail: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.detail = detail


class Wire:
    """Counts requests by the hour, as a rate-limit rule does."""

    def __init__(self, clock: Clock, per_hour: int) -> None:
        self._clock = clock
        self._limit = per_hour
        self._hour: datetime | None = None
        self._spent = 0

    def spend(self) -> dict[str, str]:
        """Counts one request; the headers of the rule. Raises RefusedError when the hour's are used up."""
        hour = self._clock().replace(minute=0, second=0, microsecond=0)
        if hour != self._hour:
            self._hour, self._spent = hour, 0
        self._spent += 1
        if self._spent > self._limit:
            message = "Rate limit exceeded"
            raise RefusedError(429, message, f"Rate limit of {self._limit} requests per hour exceeded")
        return self._headers(self._limit - self._spent)

    def exhausted(self) -> dict[str, str]:
        """The headers of a refusal: when to come back."""
        wait = self._reset().timestamp() - self._clock().timestamp()
        return {**self._headers(0), "Retry-After": str(max(ceil(wait), 1))}

    def _headers(self, left: int) -> dict[str, str]:
        return {
            "X-RateLimit-Limit": str(self._limit),
            "X-RateLimit-Remaining": str(left),
            "X-RateLimit-Reset": str(int(self._reset().timestamp())),
        }

    def _reset(self) -> datetime:
        return self._clock().replace(minute=0, second=0, microsecond=0) + timedelta(hours=1)

    @staticmethod
    def refuse(error: RefusedError, headers: Mapping[str, str] | None = None) -> Response:
        """The envelope of an error."""
        body = {"error": {"message": str(error), "detail": error.detail}, "status": "failure"}
        return JSONResponse(body, error.status, headers=dict(headers or {}))


async def json_object(request: Request) -> dict[str, Any]:
    """The body. Raises RefusedError."""
    try:
        found = json.loads(await request.body())
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise RefusedError(400, "Exception while reading request", "The payload is not valid JSON")
    return found


def stamp(moment: datetime) -> str:
    """A time as the database has it: UTC, whole seconds."""
    return f"{moment:%Y-%m-%d %H:%M:%S}"


def sys_id(*parts: object) -> str:
    """32 hex digits that follow from the parts."""
    return sha256("\0".join(map(str, parts)).encode()).hexdigest()[:32]
