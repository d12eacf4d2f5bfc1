"""How the simulated server speaks: its error envelope, its ids and times, and bodies that are JSON objects."""

import json
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

__all__ = ["Call", "RefusedError", "json_object", "millis", "refusal"]

Call = Callable[[Request], Awaitable[Response]]
_KINDS: Mapping[int, str] = {
    400: "BadRequest",
    401: "AuthenticationError",
    403: "AuthorizationError",
    404: "NotFoundError",
    429: "RateLimit",
}


class RefusedError(Exception):
    """A refusal; ``kind`` is empty for the usual one of its status."""

    def __init__(self, status: int, message: str, kind: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.kind = kind or _KINDS.get(status, "InternalError")


def refusal(error: RefusedError, headers: Mapping[str, str] | None = None) -> Response:
    """The envelope of an error."""
    return JSONResponse({"type": error.kind, "message": str(error)}, error.status, headers=dict(headers or {}))


async def json_object(request: Request) -> dict[str, Any]:
    """The body. Raises RefusedError."""
    try:
        found = json.loads(await request.body())
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise RefusedError(400, "Invalid Json", "BadRequest")
    return found


def millis(moment: datetime) -> int:
    """TheHive's time: milliseconds since 1970."""
    return int(moment.timestamp() * 1000)
