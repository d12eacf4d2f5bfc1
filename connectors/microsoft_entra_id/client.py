"""Graph as this connector speaks to it: errors that name the permission, pages, the pace of Identity Protection."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, nullcontext
from typing import Any
from urllib.parse import quote

import httpx

from nightdesk.sdk.context import Context
from nightdesk.sdk.errors import ConfigError, Problem, RejectedError, ResponseError, ScopeError, VendorError
from nightdesk.sdk.http import HttpClient, OAuth2ClientCredentials

__all__ = ["VENDOR", "VERSION", "Graph", "decoded", "segment"]

VENDOR = "microsoft_entra_id"
VERSION = "v1.0"

_REQUESTS_PER_MINUTE = 1200  # of the thousands that the directory allows an app and tenant
_RISK = "/identityProtection/"
_RISK_GAP = 1.05  # seconds; its 1 request a second is the whole tenant's, and its 429 does not say when to come back
_UNLICENSED = ("licensed", "premium license")
_MOST_PAGES = 1000
# Without it Graph gives unknownFutureValue for the newer reasons of a verdict (evolvable enumerations).
_HEADERS = {"Prefer": "include-unknown-enum-members"}


class Graph:
    """One app registration in one tenant."""

    def __init__(self, context: Context) -> None:
        settings = context.settings
        self._context = context
        self._base = settings.text("base_url").rstrip("/")
        tenant = settings.text("tenant_id")
        if not tenant or quote(tenant, safe="") != tenant:
            raise ConfigError([Problem(context.instance, "tenant_id", "write the directory id or a verified domain")])
        self._http = HttpClient(
            context,
            vendor=VENDOR,
            base_url=self._base,
            auth=OAuth2ClientCredentials(
                token_url=f"{settings.text('login_url').rstrip('/')}/{tenant}/oauth2/v2.0/token",
                client_id=settings.text("client_id"),
                client_secret=settings.secret("client_secret"),
                scope=f"{self._base}/.default",
            ),
            headers=_HEADERS,
            requests_per_minute=_REQUESTS_PER_MINUTE,
        )
        self._turn = asyncio.Lock()
        self._risk_free_at = 0.0

    @property
    def clock_skew(self) -> float | None:
        """Seconds the vendor's clock is ahead of ours."""
        return self._http.clock_skew

    @property
    def root(self) -> str:
        """The versioned address, for references to objects."""
        return f"{self._base}/{VERSION}"

    async def aclose(self) -> None:
        """Closes the connections."""
        await self._http.aclose()

    async def ask(
        self,
        method: str,
        path: str,
        *,
        operation: str,
        scope: str,
        params: Mapping[str, Any] | None = None,
        json: Any = None,
        eventual: bool = False,
        repeatable: bool | None = None,
    ) -> httpx.Response:
        """One call; ``path`` is under the version, or a next link. Raises VendorError that names ``scope`` on a 403.

        ``eventual`` asks for the advanced query capabilities, which read an index that lags behind the directory.
        """
        async with self._risk_turn() if _RISK in path else nullcontext():
            try:
                return await self._http.request(
                    method,
                    path if path.startswith(("http://", "https://")) else f"/{VERSION}{path}",
                    operation=operation,
                    params={**(params or {}), **({"$count": "true"} if eventual else {})},
                    json=json,
                    headers={"ConsistencyLevel": "eventual"} if eventual else None,
                    repeatable=repeatable,
                )
            except ScopeError as error:
                raise _denied(error, operation, scope) from error

    async def read(self, path: str, *, operation: str, scope: str, params: Mapping[str, Any] | None = None) -> Any:
        """One object, decoded."""
        return decoded(await self.ask("GET", path, operation=operation, scope=scope, params=params), operation)

    async def every(
        self,
        path: str,
        *,
        operation: str,
        scope: str,
        params: Mapping[str, Any] | None = None,
        eventual: bool = False,
    ) -> list[Mapping[str, Any]]:
        """All objects of a collection, over its pages."""
        found: list[Mapping[str, Any]] = []
        link, asked = path, params
        for _ in range(_MOST_PAGES):
            response = await self.ask("GET", link, operation=operation, scope=scope, params=asked, eventual=eventual)
            body = decoded(response, operation)
            rows = body.get("value")
            if not isinstance(rows, list):
                raise ResponseError("the answer has no list of values", vendor=VENDOR, operation=operation)
            found += [row for row in rows if isinstance(row, dict)]
            following = body.get("@odata.nextLink")
            if not following:
                return found
            link, asked = str(following), None
        raise ResponseError(f"more than {_MOST_PAGES} pages", vendor=VENDOR, operation=operation)

    @asynccontextmanager
    async def _risk_turn(self) -> AsyncIterator[None]:
        """One question about risks at a time; the next one a gap after the last answer, however often it was tried."""
        async with self._turn:
            now = self._context.clock().timestamp()
            wait = min(self._risk_free_at - now, _RISK_GAP)  # a clock set back must not stop us
            if wait > 0:
                await self._context.sleep(wait)
            try:
                yield
            finally:
                self._risk_free_at = self._context.clock().timestamp() + _RISK_GAP


def decoded(response: httpx.Response, operation: str) -> dict[str, Any]:
    """The JSON object of an answer. Raises ResponseError when it is none."""
    try:
        body = json.loads(response.content)
    except (ValueError, RecursionError):
        body = None
    if isinstance(body, dict):
        return body
    raise ResponseError(
        f"expected a JSON object, got {len(response.content)} bytes; check that base_url is Graph's and that no sign-in"
        " page or proxy answers in its place",
        vendor=VENDOR,
        operation=operation,
        status=response.status_code,
    )


def segment(name: str) -> str:
    """One segment of a path; the ``#`` of a guest's principal name would end the path otherwise."""
    if not name or name in {".", ".."}:
        raise RejectedError(f"{name!r} names no object", vendor=VENDOR)
    return quote(name, safe="")


def _denied(error: ScopeError, operation: str, scope: str) -> VendorError:
    known: dict[str, Any] = {
        "vendor": VENDOR,
        "operation": operation,
        "status": error.status,
        "request_id": error.request_id,
    }
    if any(word in str(error) for word in _UNLICENSED):
        return RejectedError("the tenant's licence does not cover this; it needs Microsoft Entra ID P2", **known)
    return ScopeError(
        f"the app registration lacks the application permission {scope}, or administrator consent to it; for whoever"
        " holds an admin role it must hold a higher role itself: leave those to a person",
        **known,
    )
