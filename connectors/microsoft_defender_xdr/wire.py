"""How the simulated tenant speaks: two surfaces with one error shape each, their quotas, and pages of OData."""

import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from math import ceil
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from nightdesk.sdk.context import Clock

__all__ = ["ENDPOINT", "GRAPH", "Call", "RefusedError", "Routes", "Wire", "json_object", "number_of", "only_options"]

GRAPH = "graph"
ENDPOINT = "endpoint"
Call = Callable[[Request], Awaitable[Response]]
Routes = Sequence[tuple[str, str, tuple[str, ...], Call]]
"""Method, path, the roles of which one is needed, handler."""


class RefusedError(Exception):
    """What a surface answers with an error."""

    def __init__(self, code: str, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.status = status


class Wire:
    """Counts the requests of each surface and numbers answers."""

    def __init__(self, clock: Clock, per_minute: Mapping[str, int]) -> None:
        self._clock = clock
        self._per_minute = per_minute
        self._spent: dict[str, tuple[int, int]] = {}
        self._answers = 0

    def overspent(self, surface: str) -> float:
        """Counts one request; seconds to wait when this minute's are used up, else 0."""
        now = self._clock().timestamp()
        minute, spent = self._spent.get(surface, (0, 0))
        spent = spent + 1 if minute == int(now) // 60 else 1
        self._spent[surface] = (int(now) // 60, spent)
        return ceil(60 - now % 60) if spent > self._per_minute[surface] else 0.0

    def refuse(
        self, surface: str, status: int, code: str, message: str, headers: Mapping[str, str] | None = None
    ) -> Response:
        """The error envelope of that surface."""
        self._answers += 1
        name = f"00000000-0000-4000-8000-{self._answers:012x}"
        error: dict[str, Any] = {"code": code, "message": message}
        if surface == ENDPOINT:
            error["target"] = f"|{name}."
        else:
            error["innerError"] = {"date": f"{self._clock():%Y-%m-%dT%H:%M:%S}", "request-id": name}
        return JSONResponse({"error": error}, status, headers={"request-id": name, **(headers or {})})


async def json_object(request: Request) -> dict[str, Any]:
    """The body. Raises RefusedError when it is no JSON object or is not said to be one."""
    if not request.headers.get("content-type", "").startswith("application/json"):
        raise RefusedError("InvalidRequestBody", "Content-Type must be application/json")
    try:
        body = json.loads(await request.body())
    except ValueError:
        body = None
    if not isinstance(body, dict):
        raise RefusedError("InvalidRequestBody", "Request body is incorrect")
    return body


def only_options(request: Request, *known: str) -> None:
    """Raises RefusedError for a query option that the call does not have."""
    strange = sorted(set(request.query_params) - set(known))
    if strange:
        raise RefusedError("BadRequest", f"Query option '{strange[0]}' is not allowed")


def number_of(request: Request, name: str, default: int, *, least: int = 0) -> int:
    """A whole-number query option. Raises RefusedError."""
    text = request.query_params.get(name, str(default))
    if not text.isdecimal() or int(text) < least:
        raise RefusedError("BadRequest", f"Invalid value '{text}' for {name}")
    return int(text)
