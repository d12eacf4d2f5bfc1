"""What a person orders over HTTP: read once the caller is known, carried out beside the loop, refused with a reason."""

from collections.abc import Callable
from typing import Any, TypeVar

from fastapi import Request
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel, ValidationError

from nightdesk.hub.api.bodies import read_body
from nightdesk.hub.api.problems import ProblemError
from nightdesk.sdk.errors import PolicyError

__all__ = ["carried_out", "described", "read_order"]

_T = TypeVar("_T")
_Body = TypeVar("_Body", bound=BaseModel)
_LIMIT = 16 * 1024


async def read_order(request: Request, model: type[_Body], *, what_to_do: str = "") -> _Body:
    """The body as that model. Raises a 422 that names the key."""
    body = await read_body(request, _LIMIT)
    try:
        return model.model_validate_json(body.data)
    except ValidationError as error:
        first = error.errors()[0]
        raise ProblemError(
            422,
            "invalid-parameter",
            str(first["msg"]),
            where=f"{request.url.path}: {'.'.join(str(part) for part in first['loc']) or 'body'}",
            what_to_do=what_to_do or f"send {', '.join(model.model_fields)} as one JSON object",
        ) from error


async def carried_out(work: Callable[[], _T], request: Request, *, what_to_do: str) -> _T:
    """What ``work`` gives, done in a thread. Raises a 409 that says why it was refused."""
    try:
        return await run_in_threadpool(work)
    except PolicyError as error:
        raise ProblemError(
            409, "refused", str(error), where=f"{request.method} {request.url.path}", what_to_do=what_to_do
        ) from error


def described(model: type[BaseModel]) -> dict[str, Any]:
    """The body in the API's description; FastAPI does not see one that is read after the credential."""
    content = {"application/json": {"schema": model.model_json_schema()}}
    return {"requestBody": {"required": True, "content": content}}
