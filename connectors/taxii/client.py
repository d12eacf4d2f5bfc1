"""One API root: pages of a collection, the newest version of an object, objects added and what became of them.

Over the hub's own HTTP client and not taxii2-client, which follows redirects with the password, takes proxies from the
environment, blocks, and sends a page token again after a failure.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import quote

import httpx

from nightdesk.sdk.context import Context
from nightdesk.sdk.errors import NotFoundError, RejectedError, ResponseError
from nightdesk.sdk.http import Auth, BasicAuth, HeaderAuth, HttpClient
from nightdesk.sdk.moments import instant
from nightdesk.sdk.verbatim import cut

__all__ = ["MEDIA", "VENDOR", "Page", "Taxii"]

VENDOR = "taxii"
MEDIA = "application/taxii+json;version=2.1"
"""Asked for and sent. With the ``*/*`` of HTTP libraries a server answers 406."""

_REQUESTS_PER_MINUTE = 120
_POLLS = 5
_PAUSE = 1.0  # seconds between two looks at a status


@dataclass(frozen=True, slots=True)
class Page:
    """One page: objects decoded and verbatim, where it goes on, and the newest ``date_added`` in it (nanoseconds)."""

    objects: Sequence[tuple[Any, bytes]]
    next: str
    newest: int


class Taxii:
    """One API root as one account. What it is asked raises VendorError."""

    def __init__(self, context: Context) -> None:
        settings = context.settings
        self._context = context
        self.account = settings.text("username")
        password = settings.secret("password")
        auth: Auth = HeaderAuth("Authorization", password, prefix="Bearer ")
        if self.account:
            auth = BasicAuth(self.account, password)
        self._http = HttpClient(
            context,
            vendor=VENDOR,
            base_url=settings.text("base_url"),
            auth=auth,
            headers={"Accept": MEDIA},
            requests_per_minute=_REQUESTS_PER_MINUTE,
        )

    @property
    def clock_skew(self) -> float | None:
        """Seconds the server's clock is ahead of ours."""
        return self._http.clock_skew

    def now(self) -> datetime | None:
        """The server's time; None as long as it has said nothing."""
        skew = self.clock_skew
        return None if skew is None else self._context.clock() + timedelta(seconds=skew)

    async def aclose(self) -> None:
        """Closes the connections."""
        await self._http.aclose()

    async def collection(self, collection: str, operation: str) -> dict[str, Any]:
        """What the account may do with a collection (``can_read``, ``can_write``)."""
        return await self._document("GET", _path(collection), operation)

    async def page(self, collection: str, params: Mapping[str, Any], operation: str) -> Page:
        """One page of objects. One with a ``next`` token is asked for once: the token may have moved on."""
        path = f"{_path(collection)}objects/"
        repeatable = "next" not in params
        response = await self._request("GET", path, operation, params=params, repeatable=repeatable)
        document = self._decoded(response, operation)
        try:
            objects = cut(response.content, "objects")
        except ValueError as error:
            raise self._unusable(response, operation, f"its objects are no array ({error})") from None
        newest = instant(response.headers.get("x-taxii-date-added-last"))
        if objects and newest is None:
            raise self._unusable(response, operation, "X-TAXII-Date-Added-Last is missing, so no place to go on from")
        token = document.get("next")
        if not document.get("more"):
            return Page(objects, "", newest or 0)
        if not isinstance(token, str) or not token or not objects:
            raise self._unusable(response, operation, "more is to follow, but there is no token or no object")
        return Page(objects, token, newest or 0)

    async def latest(self, collection: str, object_id: str, operation: str) -> tuple[dict[str, Any], bytes] | None:
        """The newest version of an object; None when the collection has none."""
        path = f"{_path(collection)}objects/{quote(object_id, safe='')}/"
        try:
            response = await self._request("GET", path, operation)
        except NotFoundError:
            await self.collection(collection, operation)  # NotFoundError again if that is what is missing
            return None
        try:
            found = [row for row in cut(response.content, "objects") if isinstance(row[0], dict)]
        except ValueError as error:
            raise self._unusable(response, operation, f"expected objects ({error})") from None
        return max(found, key=_version, default=None)

    async def add(self, collection: str, objects: Sequence[Mapping[str, Any]], operation: str) -> dict[str, Any]:
        """Posts objects; gives the status, waited for until it is complete or for a few seconds."""
        body = json.dumps({"objects": objects}, ensure_ascii=False).encode()
        path = f"{_path(collection)}objects/"
        headers = {"Content-Type": MEDIA}
        status = await self._document("POST", path, operation, content=body, headers=headers)
        for _ in range(_POLLS):
            if status.get("status") != "pending" or not isinstance(status.get("id"), str):
                break
            await self._context.sleep(_PAUSE)
            status = await self._document("GET", f"status/{quote(status['id'], safe='')}/", operation)
        return status

    async def _document(self, method: str, path: str, operation: str, **options: Any) -> dict[str, Any]:
        return self._decoded(await self._request(method, path, operation, **options), operation)

    async def _request(self, method: str, path: str, operation: str, **options: Any) -> httpx.Response:
        try:
            return await self._http.request(method, path, operation=operation, **options)
        except RejectedError as error:
            if error.status != 406:  # Not Acceptable
                raise
            message = f"the server does not give {MEDIA}; TAXII 2.0 and older are not spoken here"
            raise RejectedError(message, vendor=VENDOR, operation=operation, status=406) from error

    def _decoded(self, response: httpx.Response, operation: str) -> dict[str, Any]:
        try:
            found = json.loads(response.content)
        except (ValueError, RecursionError) as error:
            why = f"expected JSON ({type(error).__name__}); check that base_url is an API root and not a page"
            raise self._unusable(response, operation, why) from None
        if not isinstance(found, dict):
            raise self._unusable(response, operation, "expected a JSON object")
        return found

    def _unusable(self, response: httpx.Response, operation: str, why: str) -> ResponseError:
        return ResponseError(why, vendor=VENDOR, operation=operation, status=response.status_code)


def _path(collection: str) -> str:
    return f"collections/{quote(collection, safe='')}/"


def _version(found: tuple[dict[str, Any], bytes]) -> int:
    return instant(found[0].get("modified")) or instant(found[0].get("created")) or 0
