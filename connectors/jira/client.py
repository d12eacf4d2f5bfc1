"""Jira's REST API over HTTP: one site or one cloud id, answers that may be empty, refusals that name the permission."""

from collections.abc import Mapping
from typing import Any

import httpx

from nightdesk.sdk.context import Context
from nightdesk.sdk.errors import ResponseError, ScopeError, VendorError
from nightdesk.sdk.http import BasicAuth, HttpClient

__all__ = ["VENDOR", "Rest"]

VENDOR = "jira"
_ROOT = "/rest/api/3"
_REQUESTS_PER_MINUTE = 300


class Rest:
    """One site. Every call names the permission it needs, so that a 403 can say what to grant."""

    def __init__(self, context: Context) -> None:
        settings = context.settings
        self._http = HttpClient(
            context,
            vendor=VENDOR,
            base_url=settings.text("base_url"),
            auth=BasicAuth(settings.text("email"), settings.secret("api_token")),
            requests_per_minute=_REQUESTS_PER_MINUTE,
            inspect=_signed_in,
        )

    @property
    def clock_skew(self) -> float | None:
        """Seconds the vendor's clock is ahead of ours."""
        return self._http.clock_skew

    async def aclose(self) -> None:
        """Closes the connections."""
        await self._http.aclose()

    async def read(
        self,
        path: str,
        *,
        operation: str,
        scope: str,
        params: Mapping[str, Any] | None = None,
        json: Any = None,
    ) -> dict[str, Any]:
        """The object of a GET, or of a search, which is a POST that changes nothing."""
        method = "GET" if json is None else "POST"
        try:
            found = await self._http.json(
                method, f"{_ROOT}{path}", operation=operation, params=params, json=json, repeatable=True
            )
        except ScopeError as error:
            raise _refused(error, scope) from error
        if not isinstance(found, dict):
            raise ResponseError("the answer is no object", vendor=VENDOR, operation=operation)
        return found

    async def write(self, method: str, path: str, json: Any, *, operation: str, scope: str) -> dict[str, Any]:
        """The object that a change answers with, empty for one that answers nothing (204)."""
        try:
            response = await self._http.request(method, f"{_ROOT}{path}", operation=operation, json=json)
        except ScopeError as error:
            raise _refused(error, scope) from error
        return _document(response, operation) if response.content else {}


def _document(response: httpx.Response, operation: str) -> dict[str, Any]:
    try:
        found = response.json()
    except ValueError:
        found = None
    if not isinstance(found, dict):
        message = "the answer is no JSON object; what was asked for may have been done"
        raise ResponseError(message, vendor=VENDOR, operation=operation, status=response.status_code)
    return found


def _refused(error: ScopeError, scope: str) -> ScopeError:
    # What the HTTP client says first is advice without the permission's name; what Jira says comes behind it.
    theirs = str(error).partition(f"names for {error.operation}: ")[2].removesuffix(f" (HTTP {error.status})")
    return ScopeError(
        f"grant {scope} to the integration's account, in the project's permission scheme and in the token's scopes:"
        f" {theirs or 'no reason'}",
        vendor=VENDOR,
        operation=error.operation,
        status=error.status,
    )


def _signed_in(response: httpx.Response, operation: str) -> VendorError | None:
    """A page instead of JSON is no answer, whatever its status says."""
    if "text/html" not in response.headers.get("content-type", ""):
        return None
    message = "a web page came instead of JSON; check that base_url is the site's and that no sign-in page answers"
    return ResponseError(message, vendor=VENDOR, operation=operation, status=response.status_code)
