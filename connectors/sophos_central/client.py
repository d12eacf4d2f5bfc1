"""Sophos Central's two hosts: the global one says who we are, the data region's holds the tenant.

Sources: https://developer.sophos.com/getting-started-tenant, https://developer.sophos.com/intro
"""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Mapping
from typing import Any
from urllib.parse import urlsplit

import httpx

from nightdesk.sdk.context import Context
from nightdesk.sdk.errors import ConfigError, Problem, ResponseError, ScopeError, VendorError
from nightdesk.sdk.http import HttpClient, OAuth2ClientCredentials

__all__ = ["MANAGE", "READ", "VENDOR", "Central", "broken", "document"]

VENDOR = "sophos_central"
READ = "Service Principal ReadOnly"
MANAGE = "Service Principal Management"
_SIGN_IN = "/api/v2/oauth2/token"
_TENANTS: Mapping[str, tuple[str, str]] = {
    # Whose credential it is: where its tenants are listed, the header that says who asks.
    "partner": ("/partner/v1/tenants", "X-Partner-ID"),
    "organization": ("/organization/v1/tenants", "X-Organization-ID"),
}
_PAGE = 100
# A fifth of it may go at once, and the vendor allows ten a second and a hundred a minute.
_REQUESTS_PER_MINUTE = 50
_HOST = re.compile(r"[a-z0-9.-]+(:\d+)?")


class Central:
    """One tenant. Every call names the role it needs, so that a 403 can say what to assign."""

    def __init__(self, context: Context) -> None:
        settings = context.settings
        self._instance = context.instance
        self._region_url = settings.text("base_url")
        self._named = settings.text("tenant_id").lower()
        auth = OAuth2ClientCredentials(
            token_url=settings.text("login_url") + _SIGN_IN,
            client_id=settings.text("client_id"),
            client_secret=settings.secret("client_secret"),
            scope="token",
        )
        self._global, self._region = (
            HttpClient(context, vendor=VENDOR, base_url=url, auth=auth, requests_per_minute=_REQUESTS_PER_MINUTE)
            for url in (settings.text("global_url"), self._region_url)
        )
        self._lock = asyncio.Lock()
        self._tenant = ""

    @property
    def clock_skew(self) -> float | None:
        """Seconds the vendor's clock is ahead of ours."""
        return self._region.clock_skew

    async def aclose(self) -> None:
        """Closes the connections."""
        await self._global.aclose()
        await self._region.aclose()

    async def ask(
        self,
        method: str,
        path: str,
        *,
        operation: str,
        role: str = READ,
        params: Mapping[str, Any] | None = None,
        json: Any = None,
    ) -> httpx.Response:
        """One call of the tenant at its data region. Raises VendorError, and ConfigError when it does not live there.

        Without the tenant's header, or with another's, the vendor answers 401 or 403 and not 400.
        """
        headers = {"X-Tenant-ID": await self.tenant()}
        try:
            return await self._region.request(
                method, path, operation=operation, params=params, json=json, headers=headers
            )
        except ScopeError as error:
            raise _lacking(role, error) from error

    async def read(self, path: str, *, operation: str, params: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """One object of the tenant. Raises VendorError."""
        return document(await self.ask("GET", path, operation=operation, params=params), operation)

    async def by_key(self, path: str, params: Mapping[str, Any], *, operation: str) -> AsyncIterator[dict[str, Any]]:
        """Every object of a list whose pages are chained by keys."""
        key = ""
        while True:
            given = {**params, **({"pageFromKey": key} if key else {})}
            answer = await self.read(path, operation=operation, params=given)
            for item in _items(answer, operation):
                yield item
            following = str(_pages(answer).get("nextKey") or "")
            if not following:
                return
            if following == key:
                raise broken("the key of the next page repeats", operation)
            key = following

    async def by_number(self, path: str, *, operation: str) -> AsyncIterator[dict[str, Any]]:
        """Every object of a list whose pages are numbered."""
        number = 0
        while True:
            number += 1
            answer = await self.read(path, operation=operation, params=_numbered(number))
            for item in _items(answer, operation):
                yield item
            if _was_last(answer, number):
                return

    async def tenant(self) -> str:
        """The tenant's id, asked for once, after its data region was held against ``base_url``."""
        async with self._lock:
            if not self._tenant:
                try:
                    self._tenant = await self._introduce()
                except ScopeError as error:
                    raise _lacking(READ, error) from error
            return self._tenant

    async def _introduce(self) -> str:
        """Who the credential is. Raises ConfigError when tenant_id or base_url is somebody else's."""
        operation = "whoami"
        response = await self._global.request("GET", "/whoami/v1", operation=operation)
        answer = document(response, operation)
        name, kind, hosts = str(answer.get("id") or ""), str(answer.get("idType")), answer.get("apiHosts")
        if not name or not isinstance(hosts, dict):
            raise broken("the answer has no id or no apiHosts", operation, response)
        if kind == "tenant":
            if self._named not in {"", name.lower()}:
                raise self._wrong("tenant_id", f"the credential is of tenant {name}; correct it or leave it out")
            self._at_home(hosts.get("dataRegion"))
            return name
        if kind not in _TENANTS:
            raise broken("the answer's idType is neither tenant, partner nor organization", operation, response)
        if not self._named:
            raise self._wrong("tenant_id", f"the credential is of a {kind}, so name which of its tenants is meant")
        path, header = _TENANTS[kind]
        number = 0
        while True:
            number += 1
            page = document(
                await self._global.request(
                    "GET", path, operation="list tenants", params=_numbered(number), headers={header: name}
                ),
                "list tenants",
            )
            for item in _items(page, "list tenants"):
                if str(item.get("id", "")).lower() == self._named:
                    self._at_home(item.get("apiHost"))
                    return str(item["id"])
            if _was_last(page, number):
                raise self._wrong("tenant_id", f"the {kind} of this credential has no tenant {self._named}")

    def _at_home(self, host: Any) -> None:
        """Requests go to the configured data region and nowhere else; the scheme that whoami writes says nothing."""
        there, here = urlsplit(str(host or "")).netloc.lower(), urlsplit(self._region_url).netloc.lower()
        if there != here:
            name = f"https://{there}" if _HOST.fullmatch(there) else "another host"
            raise self._wrong("base_url", f"the tenant's data region is {name}; write that")

    def _wrong(self, key: str, message: str) -> ConfigError:
        return ConfigError([Problem(self._instance, key, message)])


def document(response: httpx.Response, operation: str) -> dict[str, Any]:
    """The JSON object of an answer. Raises ResponseError that says what came instead, never what is in it."""
    try:
        found = json.loads(response.content)
    except (ValueError, RecursionError):
        found = None
    if isinstance(found, dict):
        return found
    media = "".join(letter for letter in response.headers.get("content-type", "") if letter.isprintable())[:60]
    raise broken(
        f"expected a JSON object, got {len(response.content)} bytes of {media or 'no content type'}; check the URLs and"
        " that no sign-in page or proxy answers in their place",
        operation,
        response,
    )


def broken(message: str, operation: str, response: httpx.Response | None = None) -> VendorError:
    """An answer that is not of its documented shape."""
    return ResponseError(message, vendor=VENDOR, operation=operation, status=response.status_code if response else None)


def _numbered(number: int) -> dict[str, Any]:
    return {"page": number, "pageSize": _PAGE, "pageTotal": "true"}


def _was_last(answer: Mapping[str, Any], number: int) -> bool:
    total = _pages(answer).get("total")
    return number >= total if isinstance(total, int) else not answer.get("items")


def _pages(answer: Mapping[str, Any]) -> Mapping[str, Any]:
    pages = answer.get("pages")
    return pages if isinstance(pages, dict) else {}


def _items(answer: Mapping[str, Any], operation: str) -> list[dict[str, Any]]:
    items = answer.get("items")
    if not isinstance(items, list):
        raise broken("the answer has no items", operation)
    return [item for item in items if isinstance(item, dict)]


def _lacking(role: str, error: ScopeError) -> ScopeError:
    """The refusal with the role to assign."""
    return ScopeError(
        f"the API credential may not do this: give it the role '{role}', and check that the tenant's licence covers it",
        vendor=VENDOR,
        operation=error.operation,
        status=error.status,
        request_id=error.request_id,
    )
