"""The connect API of one Stellar Cyber platform: a short token for a user's API key, errors inside answers.

Sources: https://docs.stellarcyber.ai/5.1.1/Using/API/API-Cases-Incidents.htm, the vendor's public sync scripts.
"""

import json
from collections.abc import Mapping
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
    VendorError,
)
from nightdesk.sdk.http import HttpClient, LoginAuth

__all__ = ["EDIT", "VENDOR", "VIEW", "Platform", "broken", "document"]

VENDOR = "stellar_cyber"
VIEW = "Cases: View"
EDIT = "Cases: Edit"
_ROOT = "/connect/api/v1"
_REQUESTS_PER_MINUTE = 60
_TOKEN_LIFE = 600.0  # seconds, when the answer does not say exp; tokens of about ten minutes are seen
_PAUSE = 60.0  # seconds to back off when the vendor says nothing but that its limit is exceeded
_LIMITED = "rate limit exceeded"
_MOST_TEXT = 200
_KINDS: Mapping[int, type[VendorError]] = {401: AuthError, 403: ScopeError, 404: NotFoundError}


class Platform:
    """Every call names the permission it needs, so that a 403 can say what to grant."""

    def __init__(self, context: Context) -> None:
        settings = context.settings
        auth = LoginAuth(
            path="/access_token",
            username=settings.text("user"),
            password=settings.secret("api_key"),
            expires=("exp",),
            lifetime=_TOKEN_LIFE,
        )
        self._http = HttpClient(
            context,
            vendor=VENDOR,
            base_url=settings.text("base_url") + _ROOT,
            auth=auth,
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

    async def ask(
        self,
        method: str,
        path: str,
        *,
        operation: str,
        permission: str,
        params: Mapping[str, Any] | None = None,
        json: Any = None,
    ) -> httpx.Response:
        """One call. Raises VendorError."""
        try:
            return await self._http.request(method, path, operation=operation, params=params, json=json)
        except RateLimitError:
            raise
        except VendorError as error:
            if _LIMITED in str(error).lower():  # said with other statuses than 429 too
                raise _limited(operation, error.status) from error
            if isinstance(error, ScopeError):
                raise ScopeError(
                    f"the user may not do this: give it '{permission}', and its scope the tenant that is meant",
                    vendor=VENDOR,
                    operation=operation,
                    status=error.status,
                    request_id=error.request_id,
                ) from error
            raise


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
        f"expected a JSON object, got {len(response.content)} bytes of {media or 'no content type'}; a sign-in page"
        " means a wrong base_url or a proxy that answers in the platform's place",
        operation,
        response,
    )


def broken(message: str, operation: str, response: httpx.Response | None = None) -> VendorError:
    """An answer that is not of its documented shape."""
    return ResponseError(message, vendor=VENDOR, operation=operation, status=response.status_code if response else None)


def _inside(response: httpx.Response, operation: str) -> VendorError | None:
    """The error that a 2xx answer holds; an empty one to a change holds none."""
    error = document(response, operation).get("error") if response.content.strip() else None
    if not error:
        return None
    told = error if isinstance(error, dict) else {"message": error}
    text = "".join(letter for letter in str(told.get("message") or "") if letter.isprintable())[:_MOST_TEXT]
    code = told.get("code")
    if code == 429 or _LIMITED in text.lower():
        return _limited(operation, response.status_code)
    kind = _KINDS.get(code, RejectedError) if isinstance(code, int) else RejectedError
    message = f"the answer is an error: {text or 'no reason given'}"
    return kind(message, vendor=VENDOR, operation=operation, status=response.status_code)


def _limited(operation: str, status: int | None) -> RateLimitError:
    return RateLimitError(
        "too many requests; poll less often", retry_after=_PAUSE, vendor=VENDOR, operation=operation, status=status
    )
