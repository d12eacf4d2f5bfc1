"""How the simulated console speaks: versions, its error envelope, Range paging, and who may call what.

Source: https://www.ibm.com/docs/en/qradar-common?topic=versions-api-error-messages
"""

import re
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from nightdesk.connectors.ibm_qradar.simulated_filter import FilterError, Test, condition, picked

__all__ = ["Call", "Console", "Listing", "RefusedError", "Routes", "allowed", "number", "paged", "version_of"]

Call = Callable[[Request], Awaitable[Response]]
Routes = Sequence[tuple[str, str, str, Call]]
"""Method, path under /api, capability of the user role, handler."""

_RANGE = re.compile(r"items=(\d+)-(\d+)")
_SAID: Mapping[int, str] = {
    401: "You are unauthorized to access the requested resource.",
    403: "Your account is not authorized to access the requested resource.",
    404: "We could not find the resource you requested.",
    409: "The request could not be completed because there was a conflict.",
    422: "The request was well-formed but was unable to be followed due to semantic errors.",
    500: "Unexpected internal server error.",
    503: "The service is unavailable.",
}


class RefusedError(Exception):
    """One refusal: HTTP status, the endpoint's own code, its message."""

    def __init__(self, status: int, code: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code


class Console:
    """What every request passes: the token, the version, the capability.

    ``versions`` are served, older ones are removed, as help/versions says.
    """

    def __init__(self, secret: str, capabilities: Iterable[str], versions: Sequence[str]) -> None:
        self._secret = secret
        self.capabilities = set(capabilities)
        self.versions = tuple(versions)

    def guard(self, capability: str, call: Call) -> Call:
        """The handler behind its checks."""

        async def guarded(request: Request) -> Response:
            try:
                self._check(request, capability)
                return await call(request)
            except RefusedError as error:
                return self.refuse(error.status, error.code, str(error))
            except FilterError as error:
                return self.refuse(422, 1030 if "sort" in str(error) else 1010, str(error))

        return guarded

    def _check(self, request: Request, capability: str) -> None:
        if request.headers.get("sec") != self._secret:
            raise RefusedError(401, 18, "No SEC header present in request. Please provide it via a SEC header.")
        if version_of(request, self.versions) not in self.versions:
            served = ", ".join(self.versions)
            message = f"Version {request.headers['version']} is not supported; supported are {served}"
            raise RefusedError(422, 36, message)
        if capability and capability not in self.capabilities:
            raise RefusedError(403, 1009, "User does not have the required capability to perform the action.")

    def refuse(self, status: int, code: int, message: str, headers: Mapping[str, str] | None = None) -> Response:
        """The envelope of an error."""
        said = _SAID.get(status, "The request failed.")
        body = {
            "http_response": {"code": status, "message": said},
            "code": code,
            "description": said,
            "details": {},
            "message": message,
        }
        return JSONResponse(body, status, headers=dict(headers or {}))

    async def help_versions(self, _: Request) -> Response:
        """``GET /help/versions``: the served ones, and one that was removed."""
        oldest = f"{int(float(self.versions[0])) - 1}.0"
        rows = [(oldest, True), *((version, False) for version in self.versions)]
        return JSONResponse(
            [
                {"id": at, "version": version, "deprecated": removed, "removed": removed, "root_resource_ids": [at]}
                for at, (version, removed) in enumerate(rows, 1)
            ]
        )


class Listing:
    """One collection's GET: filter, fields and Range over rows; ``unordered`` fields take no ``<`` and ``>``."""

    def __init__(self, known: Iterable[str], unordered: Iterable[str] = ()) -> None:
        self._known = tuple(known)
        self._unordered = tuple(unordered)

    def rows(
        self, request: Request, rows: Iterable[Mapping[str, Any]], *, first: int | None = None
    ) -> tuple[list[Any], int, int, int]:
        """What is asked of the rows, from where to where, and of how many. ``first``: without a Range only so many."""
        test: Test = condition(request.query_params["filter"], self._known, self._unordered) if (
            request.query_params.get("filter")
        ) else (lambda _: True)  # fmt: skip
        found = [row for row in rows if test(row)]
        start, end = _span(request, len(found) if first is None else first)
        fields = request.query_params.get("fields", "")
        return [picked(row, fields) if fields else row for row in found[start:end]], start, end, len(found)

    def answer(self, request: Request, rows: Iterable[Mapping[str, Any]]) -> Response:
        """The page as a JSON array."""
        page, start, _, total = self.rows(request, rows)
        return paged(request, page, page, start, total)


def paged(request: Request, body: Any, page: Sequence[Any], start: int, total: int) -> Response:
    """An answer with its Content-Range when one was asked for: inclusive, from zero."""
    if "range" not in request.headers:
        return JSONResponse(body)
    headers = {"Content-Range": f"items {start}-{start + max(len(page), 1) - 1}/{total}"}
    return JSONResponse(body, 206 if len(page) < total else 200, headers=headers)


def version_of(request: Request, versions: Sequence[str]) -> str:
    """The version of the API that a request means: the one it names, else the newest."""
    return request.headers.get("version", versions[-1])


def allowed(request: Request, *names: str) -> None:
    """Raises RefusedError for a query parameter that is none of these."""
    strange = sorted(set(request.query_params) - {*names, "fields"})
    if strange:
        raise RefusedError(422, 1005, f"Request parameter '{strange[0]}' is not valid")


def number(text: str, what: str) -> int:
    """A whole number of a path or query. Raises RefusedError."""
    if not text.isdecimal():
        raise RefusedError(
            422, 1005, f"Failed to transform user parameter '{what}' with a content type of 'TEXT_PLAIN'"
        )
    return int(text)


def _span(request: Request, otherwise: int) -> tuple[int, int]:
    text = request.headers.get("range")
    if text is None:
        return 0, otherwise
    found = _RANGE.fullmatch(text)
    if found is None or int(found[1]) > int(found[2]):
        raise RefusedError(422, 1005, f"The Range header is not valid: {text}")
    return int(found[1]), int(found[2]) + 1
