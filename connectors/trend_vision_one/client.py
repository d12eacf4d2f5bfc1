"""Vision One's API: one key of one region, lists behind next links, orders whose errors stand inside a 207."""

import json
import re
from collections.abc import AsyncGenerator, Mapping
from typing import Any

import httpx

from nightdesk.sdk.context import Context
from nightdesk.sdk.errors import (
    AuthError,
    NotFoundError,
    RateLimitError,
    RejectedError,
    ResponseError,
    ScopeError,
    UnavailableError,
    VendorError,
)
from nightdesk.sdk.http import HeaderAuth, HttpClient

__all__ = ["VENDOR", "VisionOne", "broken", "exact", "items", "literal"]

VENDOR = "trend_vision_one"
_REQUESTS_PER_MINUTE = 120  # the limits are by API and not published; manifest.yaml names the guide
_MULTI_STATUS = 207
_MAX_PAGES = 1000
_PLAIN = re.compile(r"[^'\"\x00-\x1f\x7f]+")
_KINDS: Mapping[int, type[VendorError]] = {401: AuthError, 403: ScopeError, 404: NotFoundError}


class VisionOne:
    """One company. Every call names the permission it needs, so that a 403 can say what to grant."""

    def __init__(self, context: Context) -> None:
        self._base_url = context.settings.text("base_url").removesuffix("/v3.0")
        self._http = HttpClient(
            context,
            vendor=VENDOR,
            base_url=f"{self._base_url}/v3.0",
            auth=HeaderAuth("Authorization", context.settings.secret("api_key"), prefix="Bearer "),
            requests_per_minute=_REQUESTS_PER_MINUTE,
            inspect=_inside,
        )

    @property
    def clock_skew(self) -> float | None:
        """Seconds the vendor's clock is ahead of ours."""
        return self._http.clock_skew

    async def aclose(self) -> None:
        """Closes the connections."""
        await self._http.aclose()

    async def ask(self, method: str, path: str, *, operation: str, scope: str, **options: Any) -> httpx.Response:
        """One call under /v3.0, or to a next link. Raises VendorError, also for an error inside a 207."""
        try:
            return await self._http.request(method, path, operation=operation, **options)
        except ScopeError as error:
            message = f"the API key's role lacks the permission '{scope}'; grant it under User Roles"
            raise ScopeError(message, **_whence(error)) from error
        except AuthError as error:
            message = (
                f"the API key was refused: it is wrong, expired, disabled, bound to other addresses, or not of the"
                f" region of {self._base_url}"
            )
            raise AuthError(message, **_whence(error)) from error

    async def read(self, path: str, *, operation: str, scope: str, **options: Any) -> dict[str, Any]:
        """The JSON object of a GET. Raises ResponseError when it is none."""
        return document(await self.ask("GET", path, operation=operation, scope=scope, **options), operation)

    async def rows(
        self,
        path: str,
        *,
        operation: str,
        scope: str,
        params: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> AsyncGenerator[dict[str, Any], None]:
        """Every object of a list, page by page, each with the same headers: they hold the filter."""
        where, seen = path, set[str]()
        for _ in range(_MAX_PAGES):
            page = await self.read(
                where, operation=operation, scope=scope, params=None if seen else params, headers=headers
            )
            for row in items(page, operation):
                yield row
            where = str(page.get("nextLink") or "")
            if not where:
                return
            if where in seen:
                raise ResponseError("the next link repeats", vendor=VENDOR, operation=operation)
            seen.add(where)
        raise ResponseError(f"the list has more than {_MAX_PAGES} pages", vendor=VENDOR, operation=operation)

    async def order(self, path: str, item: Mapping[str, Any], *, operation: str, scope: str) -> str:
        """Sends one item; gives the id of its task, empty for what is done at once."""
        response = await self.ask("POST", path, operation=operation, scope=scope, json=[dict(item)])
        answers = _elements(response)
        if response.status_code != _MULTI_STATUS or answers is None or len(answers) != 1:
            raise broken("expected 207 with one element for the one item", operation, response)
        headers = answers[0].get("headers")
        for header in headers if isinstance(headers, list) else ():
            if isinstance(header, dict) and str(header.get("name", "")).lower() == "operation-location":
                return str(header.get("value", "")).rstrip("/").rpartition("/")[2]
        return ""


def document(response: httpx.Response, operation: str) -> dict[str, Any]:
    """The JSON object of an answer. Raises ResponseError that says what came instead, never what is in it."""
    try:
        found = json.loads(response.content)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise broken("expected a JSON object", operation, response)
    return found


def items(page: Mapping[str, Any], operation: str) -> list[dict[str, Any]]:
    """The objects of one page; an empty page may say null."""
    found = page.get("items")
    if found is None and "items" in page:
        return []
    if not isinstance(found, list):
        raise ResponseError("the list has no 'items'", vendor=VENDOR, operation=operation)
    return [row for row in found if isinstance(row, dict)]


def broken(message: str, operation: str, response: httpx.Response) -> ResponseError:
    """An answer that is not of its documented shape."""
    media = "".join(letter for letter in response.headers.get("content-type", "") if letter.isprintable())[:60]
    return ResponseError(
        f"{message}, got {len(response.content)} bytes of {media or 'no content type'}; check that base_url is the"
        " API's and that no sign-in page or proxy answers in its place",
        vendor=VENDOR,
        operation=operation,
        status=response.status_code,
    )


def literal(text: str, operation: str) -> str:
    """A text as it may stand in a filter. Raises RejectedError: how a quote is escaped is not documented."""
    if not _PLAIN.fullmatch(text) or not text.isascii():
        raise RejectedError(f"{text!r} cannot be looked for: it has quotes or is not ASCII", operation=operation)
    return f"'{text}'"


def exact(field: str, *values: str, operation: str) -> str:
    """A filter for any of these values; whether ``eq`` minds the case is not documented, so each spelling is asked."""
    spelt = dict.fromkeys(spelling for value in values for spelling in (value, value.lower(), value.upper()))
    return " or ".join(f"{field} eq {literal(value, operation)}" for value in spelt)


def _whence(error: VendorError) -> dict[str, Any]:
    return {
        "vendor": VENDOR,
        "operation": error.operation,
        "status": error.status,
        "request_id": error.request_id,
    }


def _elements(response: httpx.Response) -> list[dict[str, Any]] | None:
    try:
        found = json.loads(response.content)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, list) and all(isinstance(one, dict) for one in found) else None


def _inside(response: httpx.Response, operation: str) -> VendorError | None:
    """The first error inside a 207, which is a success to whoever looks at the status alone."""
    if response.status_code != _MULTI_STATUS:
        return None
    for element in _elements(response) or ():
        status = element.get("status")
        if not isinstance(status, int) or not 200 <= status < 300:
            return _refused(element, status if isinstance(status, int) else None, operation)
    return None


def _refused(element: Mapping[str, Any], status: int | None, operation: str) -> VendorError:
    body = element.get("body")
    error = body.get("error") if isinstance(body, dict) else None
    error = error if isinstance(error, dict) else {}
    words = (str(error[name]) for name in ("code", "message") if error.get(name))
    text = "".join(letter for letter in ": ".join(words) if letter.isprintable())[:200] or "no reason given"
    message = f"the item was refused inside a 207: {text}"
    if status == 429:
        return RateLimitError(message, retry_after=60, vendor=VENDOR, operation=operation, status=status)
    kind = UnavailableError if status is None or status >= 500 else _KINDS.get(status, RejectedError)
    return kind(message, vendor=VENDOR, operation=operation, status=status)
