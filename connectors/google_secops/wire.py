"""How the simulated Chronicle API speaks: Google's errors, strict binding of parameters and bodies, quotas.

Sources: https://google.aip.dev/193 (errors), https://google.aip.dev/158 (pages), and the proto3 JSON mapping, by which
a field may be written in camelCase or in its own snake_case and an unknown one is refused.
"""

import json
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from nightdesk.sdk.context import Clock
from nightdesk.sdk.moments import instant

__all__ = [
    "CODES",
    "Call",
    "Endpoint",
    "GoogleError",
    "Quota",
    "bound",
    "camel",
    "fields",
    "flag",
    "json_body",
    "moment",
    "refusal",
    "whole",
]

Call = Callable[[Request], Awaitable[Response]]
Endpoint = tuple[str, str, str, frozenset[str], Call]
"""Method, what follows the instance in the path, IAM permission, versions that have it, handler."""

CODES: Mapping[int, str] = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    409: "ABORTED",
    429: "RESOURCE_EXHAUSTED",
    500: "INTERNAL",
    503: "UNAVAILABLE",
}
_SYSTEM = frozenset({"alt", "$alt", "prettyPrint", "fields", "key"})  # every Google API takes these
_ZULU = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?Z")
_MINUTE = 60.0


class GoogleError(Exception):
    """One refusal: HTTP status and message."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class Quota:
    """So many requests within a minute, by method; Google sends no header that says when to come back."""

    def __init__(self, clock: Clock, per_minute: int) -> None:
        self._clock = clock
        self._per_minute = per_minute
        self._spent: dict[str, list[float]] = {}

    def spend(self, name: str) -> None:
        """Counts one request. Raises GoogleError when there were too many."""
        now = self._clock().timestamp()
        recent = [past for past in self._spent.get(name, ()) if now - _MINUTE < past <= now]
        self._spent[name] = recent
        if len(recent) >= self._per_minute:
            message = f"Quota exceeded for quota metric '{name}' and limit '{name} per minute' of the consumer project."
            raise GoogleError(429, message)
        recent.append(now)


def refusal(status: int, message: str, headers: Mapping[str, str] | None = None) -> Response:
    """Google's envelope."""
    error = {"code": status, "message": message, "status": CODES.get(status, "UNKNOWN"), "details": []}
    return JSONResponse({"error": error}, status, headers=dict(headers or {}))


def camel(name: str) -> str:
    """A proto field's JSON name: ``timeRange.start_time`` is ``timeRange.startTime``."""
    return re.sub(r"_([a-z0-9])", lambda found: found[1].upper(), name)


def bound(request: Request, *known: str) -> dict[str, str]:
    """The query by JSON names. Raises GoogleError for a parameter that the method does not have."""
    given = {camel(name): value for name, value in request.query_params.items() if name not in _SYSTEM}
    strange = next((name for name in given if name not in known), None)
    if strange is not None:
        message = f'Invalid JSON payload received. Unknown name "{strange}": Cannot bind query parameter.'
        raise GoogleError(400, f"{message} Field '{strange}' could not be found in request message.")
    return given


async def json_body(request: Request, *known: str) -> dict[str, Any]:
    """The body by JSON names, its first level checked. Raises GoogleError."""
    try:
        body = json.loads(await request.body() or b"{}")
    except ValueError:
        body = None
    if not isinstance(body, dict):
        raise GoogleError(400, "Invalid JSON payload received. Unexpected token.")
    return fields(body, known)


def fields(value: Any, known: Sequence[str], at: str = "") -> dict[str, Any]:
    """An object's fields by JSON names. Raises GoogleError for one that the message does not have."""
    place = f" at '{at}'" if at else ""
    if not isinstance(value, dict):
        raise GoogleError(400, f"Invalid value{place}: an object is expected.")
    found = {camel(name): inner for name, inner in value.items()}
    strange = next((name for name in found if name not in known), None)
    if strange is not None:
        raise GoogleError(400, f'Invalid JSON payload received. Unknown name "{strange}"{place}: Cannot find field.')
    return found


def moment(given: Mapping[str, str], name: str) -> int | None:
    """A timestamp in nanoseconds, None when it is not given. Raises GoogleError."""
    text = given.get(name)
    if text is None:
        return None
    found = instant(text) if _ZULU.fullmatch(text) else None
    if found is None:
        raise GoogleError(400, f"Invalid value at '{name}' (type.googleapis.com/google.protobuf.Timestamp), \"{text}\"")
    return found


def whole(given: Mapping[str, str], name: str, default: int, most: int) -> int:
    """A size: the default when it is not given or 0, coerced to the most. Raises GoogleError."""
    text = given.get(name, "0")
    if not re.fullmatch(r"-?\d+", text):
        raise GoogleError(400, f"Invalid value at '{name}' (TYPE_INT32), \"{text}\"")
    if int(text) < 0:
        raise GoogleError(400, f"{name} must not be negative.")
    return min(int(text) or default, most)


def flag(given: Mapping[str, str], name: str) -> bool:
    """A boolean parameter. Raises GoogleError."""
    text = given.get(name, "false").lower()
    if text not in {"true", "false"}:
        raise GoogleError(400, f"Invalid value at '{name}' (TYPE_BOOL), \"{text}\"")
    return text == "true"
