"""How the simulated platform speaks: its error envelope, its query parameters, its JSON bodies."""

import json
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

__all__ = ["Call", "RefusedError", "given", "json_object", "millis", "number", "refusal"]

Call = Callable[[Request], Awaitable[Response]]


class RefusedError(Exception):
    """What the vendor answers with an error envelope."""

    def __init__(self, status: int, message: str) -> None:
        self.status = status
        super().__init__(message)


def refusal(status: int, message: str, headers: Mapping[str, str] | None = None) -> Response:
    """The envelope of an error."""
    return JSONResponse({"error": {"code": status, "message": message}}, status, headers=dict(headers or {}))


def millis(moment: datetime) -> int:
    """The vendor's time: milliseconds since 1970."""
    return int(moment.timestamp() * 1000)


def given(request: Request, *known: str) -> dict[str, str]:
    """The query. Raises RefusedError for a name that is unknown or comes twice: the platform ignores it in silence."""
    pairs = request.query_params.multi_items()
    found = dict(pairs)
    if set(found) - set(known) or len(found) != len(pairs):
        raise RefusedError(400, f"unknown or repeated query parameter among {', '.join(sorted(found))}")
    return found


def number(query: Mapping[str, str], name: str, default: int, most: int | None = None) -> int:
    """A whole number. Raises RefusedError for anything else, or beyond the most."""
    text = query.get(name, str(default))
    if not (text.isascii() and text.isdecimal()) or (most is not None and int(text) > most):
        raise RefusedError(400, f"{name} must be a whole number{'' if most is None else f' of at most {most}'}")
    return int(text)


async def json_object(request: Request, *known: str) -> dict[str, Any]:
    """The body. Raises RefusedError when it is no JSON object of some of these fields."""
    if not request.headers.get("content-type", "").startswith("application/json"):
        raise RefusedError(400, "the body must be application/json")
    try:
        body = json.loads(await request.body())
    except ValueError:
        body = None
    if not isinstance(body, dict) or not body:
        raise RefusedError(400, "the body is no JSON object, or is empty")
    if set(body) - set(known):
        raise RefusedError(400, f"unknown field in the body: {', '.join(sorted(set(body) - set(known)))}")
    return body
