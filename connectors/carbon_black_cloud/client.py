"""Carbon Black Cloud's API of one organisation: the key's header, the paths under the org key, and what a 403 lacks."""

import json
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import httpx

from nightdesk.sdk.context import Context
from nightdesk.sdk.errors import (
    ConfigError,
    Problem,
    RateLimitError,
    RejectedError,
    ResponseError,
    ScopeError,
)
from nightdesk.sdk.http import ComputedAuth, HttpClient
from nightdesk.sdk.redaction import Redactor

__all__ = ["VENDOR", "Cloud", "decoded", "device_number"]

VENDOR = "carbon_black_cloud"

_REQUESTS_PER_MINUTE = 200  # 1000 in five minutes are the vendor's own example of a limit; it publishes none
_ORG_KEY = re.compile(r"[0-9A-Za-z]+")
_FULL = "session limit"  # a 403 of Live Response that is about no permission: 100 sessions are open
_WAIT = 60.0  # seconds a request for a session waits in the vendor's queue when all are taken


class Cloud:
    """One API key of one organisation. Every call names the permission it needs, which a 403 then tells."""

    def __init__(self, context: Context) -> None:
        settings = context.settings
        self._org = settings.text("org_key").strip()
        if not _ORG_KEY.fullmatch(self._org):
            hint = "is no org key; it stands in the console under Settings, API Access"
            raise ConfigError([Problem(context.instance, "org_key", hint)])
        api_id = settings.text("api_id").strip()
        self._http = HttpClient(
            context,
            vendor=VENDOR,
            base_url=settings.text("base_url"),
            auth=ComputedAuth(
                secrets=(settings.secret("api_secret"),),
                compute=lambda revealed, _: {"X-Auth-Token": f"{revealed[0]}/{api_id}"},
                derived=("X-Auth-Token",),
                advice="check API id and secret key, whether the key still exists, its list of allowed addresses, and"
                " that base_url is the address of the console the key was made in",
            ),
            requests_per_minute=_REQUESTS_PER_MINUTE,
        )

    @property
    def clock_skew(self) -> float | None:
        """Seconds the vendor's clock is ahead of ours."""
        return self._http.clock_skew

    async def aclose(self) -> None:
        """Closes the connections."""
        await self._http.aclose()

    def path(self, api: str, *parts: str) -> str:
        """A path of this organisation: ``path("api/alerts/v7", "alerts", alert_id)``; parts may come from data."""
        return "/".join(("", api, "orgs", self._org, *(quote(part, safe="") for part in parts)))

    async def ask(
        self, method: str, path: str, *, operation: str, scope: str, body: Any = None, repeatable: bool | None = None
    ) -> httpx.Response:
        """One call. Raises VendorError; searches are POSTs, so they say ``repeatable``."""
        try:
            return await self._http.request(method, path, operation=operation, json=body, repeatable=repeatable)
        except ScopeError as error:
            if _FULL in str(error).lower():
                message = "Live Response has its most sessions open; they end after 15 idle minutes"
                raise RateLimitError(
                    message, retry_after=_WAIT, vendor=VENDOR, operation=operation, status=error.status
                ) from error
            message = (
                f"the access level of the API key lacks '{scope}', or org_key is not the key's own; correct either in"
                " the console under Settings, API Access"
            )
            raise ScopeError(message, vendor=VENDOR, operation=operation, status=error.status) from error

    async def record(self, method: str, path: str, **options: Any) -> Mapping[str, Any]:
        """Like ``ask``, and the object in the answer. Raises ResponseError when it is none."""
        return decoded(await self.ask(method, path, **options), options["operation"])


def decoded(response: httpx.Response, operation: str) -> Mapping[str, Any]:
    """The object that an answer holds. Raises ResponseError when it is none."""
    try:
        found = json.loads(response.content)
    except (ValueError, RecursionError):
        found = None
    if isinstance(found, dict):
        return found
    media = Redactor().clean(response.headers.get("content-type", "")) or "no content type"
    raise ResponseError(
        f"expected a JSON object, got {len(response.content)} bytes of {media}; check that base_url is the console's"
        " and that no sign-in page or proxy answers in its place",
        vendor=VENDOR,
        operation=operation,
        status=response.status_code,
    )


def device_number(native_id: str, operation: str) -> str:
    """The device id, which is a number. Raises RejectedError: what is none could be read as something wider."""
    if not native_id.isdecimal():
        raise RejectedError(f"{native_id!r} is no number of a device", vendor=VENDOR, operation=operation)
    return native_id
