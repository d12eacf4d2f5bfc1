"""How the simulated Falcon speaks: its envelope, its rate-limit headers, and its refusals of malformed requests."""

import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from math import ceil
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from nightdesk.sdk.context import Clock

__all__ = ["BadRequestError", "Call", "Wire", "json_object", "names_in", "page_limit", "window"]

Call = Callable[[Request], Awaitable[Response]]
Routes = Sequence[tuple[str, str, str, Call]]
"""Method, path, scope, handler."""

_REACH = 10_000  # offset + limit must not exceed it


class BadRequestError(Exception):
    """What Falcon answers with 400."""


class Wire:
    """Counts requests and numbers answers."""

    def __init__(self, clock: Clock, per_minute: int) -> None:
        self._clock = clock
        self._per_minute = per_minute
        self._minute = 0
        self._spent = 0
        self._traces = 0

    def overspent(self) -> float:
        """Counts one request; seconds to wait when this minute's are used up, else 0."""
        now = self._clock().timestamp()
        if int(now) // 60 != self._minute:
            self._minute, self._spent = int(now) // 60, 0
        self._spent += 1
        return 60 - now % 60 if self._spent > self._per_minute else 0.0

    def envelope(
        self,
        resources: Sequence[Any] | None = (),
        *,
        status: int = 200,
        errors: Sequence[Mapping[str, Any]] = (),
        headers: Mapping[str, str] | None = None,
        **meta: Any,
    ) -> Response:
        """One answer; ``resources`` None leaves the key out, as the alert update does."""
        self._traces += 1
        trace = f"00000000-0000-4000-8000-{self._traces:012x}"
        body: dict[str, Any] = {"meta": {"query_time": 0.01, "trace_id": trace, **meta}, "errors": list(errors)}
        if resources is not None:
            body["resources"] = list(resources)
        left = str(max(self._per_minute - self._spent, 0))
        limits = {"X-Ratelimit-Limit": str(self._per_minute), "X-Ratelimit-Remaining": left}
        return JSONResponse(body, status, headers={"X-Cs-Traceid": trace, **limits, **(headers or {})})

    def refuse(self, status: int, message: str, headers: Mapping[str, str] | None = None) -> Response:
        """An error with nothing beside it."""
        return self.envelope(status=status, errors=[{"code": status, "message": message}], headers=headers)

    def come_back(self, seconds: float) -> dict[str, str]:
        """When to come back: epoch seconds, not a delta."""
        return {
            "X-Ratelimit-Remaining": "0",
            "X-RateLimit-RetryAfter": str(ceil(self._clock().timestamp() + seconds)),
        }


async def json_object(request: Request) -> dict[str, Any]:
    """The body. Raises BadRequestError when it is no JSON object."""
    try:
        body = json.loads(await request.body())
    except ValueError:
        body = None
    if not isinstance(body, dict):
        raise BadRequestError("the body is no JSON object")
    return body


def names_in(body: Mapping[str, Any], key: str, most: int) -> list[str]:
    """The ids under ``key``; the key differs by version of an endpoint, and the other one is no substitute."""
    names = body.get(key)
    if not isinstance(names, list) or not names or not all(isinstance(name, str) and name for name in names):
        raise BadRequestError(f"{key} is required: a list of ids")
    if len(names) > most:
        raise BadRequestError(f"at most {most} {key} in one request")
    return names


def page_limit(value: Any, most: int, *, least: int = 1) -> int:
    """A limit above the maximum is a 400, not a clamp."""
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise BadRequestError(f"limit must be {least} to {most}")
    return value


def window(request: Request, most: int, *, least: int = 1) -> tuple[int, int]:
    """Limit and offset of a query."""
    texts = [request.query_params.get(name, default) for name, default in (("limit", "100"), ("offset", "0"))]
    if not all(text.isdecimal() for text in texts):
        raise BadRequestError("limit and offset are numbers")
    limit, offset = page_limit(int(texts[0]), most, least=least), int(texts[1])
    if limit + offset > _REACH:
        raise BadRequestError(f"offset + limit must not exceed {_REACH}")
    return limit, offset
