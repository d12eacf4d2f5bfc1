"""TheHive's API over HTTP: one organisation, queries as steps, changes that answer nothing, permissions in refusals."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import httpx

from nightdesk.sdk.context import Context
from nightdesk.sdk.errors import RejectedError, ResponseError, ScopeError, VendorError
from nightdesk.sdk.http import HeaderAuth, HttpClient

__all__ = ["VENDOR", "Api", "Step"]

Step = Mapping[str, Any]
"""One operation of a query; ``_name`` says which."""

VENDOR = "thehive"
_ROOT = "/api/v1"
_REQUESTS_PER_MINUTE = 600  # ours: the server has no limit of its own
_LICENCE = "licen"  # a licence that ended makes the server read-only, with a 403


class Api:
    """One organisation. Every call names the permission it needs, so that a 403 can say what to grant."""

    def __init__(self, context: Context) -> None:
        settings = context.settings
        organisation = settings.text("organisation")
        self._http = HttpClient(
            context,
            vendor=VENDOR,
            base_url=settings.text("base_url"),
            auth=HeaderAuth("Authorization", settings.secret("api_key"), prefix="Bearer "),
            headers={"X-Organisation": organisation} if organisation else None,
            requests_per_minute=_REQUESTS_PER_MINUTE,
            inspect=_of_the_api,
        )

    @property
    def clock_skew(self) -> float | None:
        """Seconds the vendor's clock is ahead of ours."""
        return self._http.clock_skew

    async def aclose(self) -> None:
        """Closes the connections."""
        await self._http.aclose()

    async def query(self, name: str, steps: Sequence[Step], *, operation: str, scope: str) -> list[dict[str, Any]]:
        """What a query gives; ``name`` only shows in the server's log. A POST that changes nothing."""
        found = await self._ask(
            "POST",
            "/query",
            operation=operation,
            scope=scope,
            params={"name": name},
            json={"query": [dict(step) for step in steps]},
            repeatable=True,
        )
        if not isinstance(found, list) or not all(isinstance(row, dict) for row in found):
            raise ResponseError("the answer is no list of objects", vendor=VENDOR, operation=operation)
        return found

    async def read(self, path: str, *, operation: str, scope: str) -> dict[str, Any]:
        """One object. Raises NotFoundError."""
        return _object(await self._ask("GET", path, operation=operation, scope=scope), operation)

    async def create(
        self, path: str, body: Mapping[str, Any], *, operation: str, scope: str, repeatable: bool = False
    ) -> dict[str, Any]:
        """A new object. ``repeatable``: the server itself refuses a second one."""
        found = await self._ask("POST", path, operation=operation, scope=scope, json=dict(body), repeatable=repeatable)
        return _object(found, operation)

    async def change(self, path: str, body: Mapping[str, Any], *, operation: str, scope: str) -> None:
        """A PATCH, whose answer is empty. It sets values, so it may be repeated."""
        await self._ask("PATCH", path, operation=operation, scope=scope, json=dict(body), repeatable=True)

    async def _ask(
        self,
        method: str,
        path: str,
        *,
        operation: str,
        scope: str,
        params: Mapping[str, str] | None = None,
        json: Any = None,
        repeatable: bool | None = None,
    ) -> Any:
        try:
            response = await self._http.request(
                method, f"{_ROOT}{path}", operation=operation, params=params, json=json, repeatable=repeatable
            )
        except ScopeError as error:
            raise _refused(error, scope) from error
        return _decoded(response, operation) if response.content else None


def _decoded(response: httpx.Response, operation: str) -> Any:
    try:
        return json.loads(response.content)
    except (ValueError, RecursionError):
        media = "".join(letter for letter in response.headers.get("content-type", "") if letter.isprintable())[:60]
        message = (
            f"expected JSON, got {len(response.content)} bytes of {media or 'no content type'}; check that base_url is"
            " TheHive's and that no sign-in page or proxy answers in its place"
        )
        raise ResponseError(message, vendor=VENDOR, operation=operation, status=response.status_code) from None


def _object(found: Any, operation: str) -> dict[str, Any]:
    if not isinstance(found, dict):
        raise ResponseError("the answer is no object", vendor=VENDOR, operation=operation)
    return found


def _refused(error: ScopeError, scope: str) -> VendorError:
    """A 403 as what it is: a licence that ended, else a permission that the profile lacks."""
    # What the HTTP client says first is advice without the permission's name; what TheHive says comes behind it.
    theirs = str(error).partition(f"names for {error.operation}: ")[2].removesuffix(f" (HTTP {error.status})")
    if _LICENCE in theirs.lower():
        message = f"the server is read-only; renew its licence: {theirs}"
        return RejectedError(message, vendor=VENDOR, operation=error.operation, status=error.status)
    message = f"grant {scope} to the profile of the integration's user in this organisation: {theirs or 'no reason'}"
    return ScopeError(message, vendor=VENDOR, operation=error.operation, status=error.status)


def _of_the_api(response: httpx.Response, operation: str) -> VendorError | None:
    """A page instead of JSON is no answer, whatever its status says: unknown paths give the user interface."""
    if "text/html" not in response.headers.get("content-type", ""):
        return None
    message = "a web page came instead of JSON; check that base_url is TheHive 5's, without /api, and no sign-in page"
    return ResponseError(message, vendor=VENDOR, operation=operation, status=response.status_code)
