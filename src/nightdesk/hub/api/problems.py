"""Errors as RFC 9457 problem documents: every one says what happened, where, and what to do."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException

from nightdesk.sdk.errors import NightdeskError

__all__ = ["MEDIA_TYPE", "ProblemError", "install", "problem_response"]

MEDIA_TYPE = "application/problem+json"
_TYPE = "urn:nightdesk:problem:"
_TRY = {
    404: "check the path; the API's description is at /v1/openapi.json",
    405: "use the method that the API's description at /v1/openapi.json names for this path",
}


class ProblemError(NightdeskError):
    """One refused request; ``kind`` is the stable last part of the problem's type."""

    def __init__(
        self,
        status: int,
        kind: str,
        detail: str,
        *,
        where: str,
        what_to_do: str,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self.status = status
        self.kind = kind
        self.detail = detail
        self.where = where
        self.what_to_do = what_to_do
        self.headers = headers
        super().__init__(f"{where}: {detail}; {what_to_do}")


def problem_response(problem: ProblemError) -> Response:
    """The answer that carries this problem."""
    body = {
        "type": f"{_TYPE}{problem.kind}",
        "title": HTTPStatus(problem.status).phrase,
        "status": problem.status,
        "detail": problem.detail,
        "where": problem.where,
        "what_to_do": problem.what_to_do,
    }
    return JSONResponse(body, status_code=problem.status, media_type=MEDIA_TYPE, headers=problem.headers)


async def _problem(_: Request, error: Exception) -> Response:
    assert isinstance(error, ProblemError)
    return problem_response(error)


async def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return problem_response(
        ProblemError(
            error.status_code,
            HTTPStatus(error.status_code).phrase.lower().replace(" ", "-"),
            f"{request.method} {request.url.path}: {error.detail}",
            where=request.url.path,
            what_to_do=_TRY.get(error.status_code, "correct the request and send it again"),
            headers=error.headers,
        )
    )


async def _invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    first: Mapping[str, Any] = error.errors()[0]
    return problem_response(
        ProblemError(
            422,
            "invalid-parameter",
            str(first["msg"]),
            where=f"{request.url.path}: {'.'.join(str(part) for part in first['loc'])}",
            what_to_do="correct this parameter; the API's description is at /v1/openapi.json",
        )
    )


async def _unexpected(request: Request, _: Exception) -> Response:
    # Nothing of the exception is shown: it may hold a payload or a secret. The server's log has it.
    return problem_response(
        ProblemError(
            500,
            "internal",
            "the hub failed on this request",
            where=request.url.path,
            what_to_do="send it again; nothing was stored by the failed one. If it lasts, read the hub's log",
        )
    )


def install(app: FastAPI) -> None:
    """Makes every failure of this application a problem document."""
    app.add_exception_handler(ProblemError, _problem)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(Exception, _unexpected)
