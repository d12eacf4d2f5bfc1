"""Okta over HTTP: its two ways to sign in, refusals that name the right that is missing, pages that are links."""

import json
import re
from collections.abc import Mapping
from datetime import UTC, timedelta
from typing import Any
from urllib.parse import urlsplit

import httpx

from nightdesk.sdk.context import Context, Settings
from nightdesk.sdk.errors import ConfigError, Problem, RejectedError, ResponseError, ScopeError
from nightdesk.sdk.http import Auth, HeaderAuth, HttpClient, OAuth2JwtBearer
from nightdesk.sdk.moments import SECOND
from nightdesk.sdk.ports import Command
from nightdesk.sdk.redaction import Redactor
from nightdesk.sdk.verbatim import cut

__all__ = ["SCOPES", "VENDOR", "Okta", "following", "quoted"]

VENDOR = "okta"
SCOPES = (
    "okta.logs.read",
    "okta.users.read",
    "okta.users.manage",
    "okta.groups.read",
    "okta.groups.manage",
    "okta.roles.read",
    "okta.networkZones.read",
    "okta.networkZones.manage",
)
_TOKEN_PATH = "/oauth2/v1/token"  # noqa: S105  # a path
_REQUESTS_PER_MINUTE = 120
_WRONG_STATE = "not allowed in the user's current status"  # E0000038, which comes as a 403
_ADMIN_HOST = re.compile(r"-admin\.okta(preview|-emea|-gov)?\.(com|mil)$")
_COARSE = 2.0  # seconds that two clocks may differ by before it counts; the Date header knows whole seconds only


class Okta:
    """One org. Every call names the scope it needs, so that a 403 can say what to grant."""

    def __init__(self, context: Context) -> None:
        base_url = context.settings.text("base_url").rstrip("/")
        if _ADMIN_HOST.search((urlsplit(base_url).hostname or "").lower()):
            problem = "is the Admin Console's; leave -admin out: the API answers at the org's own address"
            raise ConfigError([Problem(context.instance, "base_url", problem)])
        self._http = HttpClient(
            context,
            vendor=VENDOR,
            base_url=base_url,
            auth=_auth(context.settings, base_url, context.instance),
            requests_per_minute=_REQUESTS_PER_MINUTE,
        )

    @property
    def clock_skew(self) -> float | None:
        """Seconds the vendor's clock is ahead of ours."""
        return self._http.clock_skew

    async def aclose(self) -> None:
        """Closes the connections."""
        await self._http.aclose()

    def asked(self, command: Command) -> int:
        """When the command was asked for by the vendor's clock, in nanoseconds and rather too early than too late."""
        skew = self._http.clock_skew or 0.0
        moment = command.requested_at.astimezone(UTC) + timedelta(seconds=skew if abs(skew) > _COARSE else 0.0)
        return int((moment.timestamp() - _COARSE) * 1000) * (SECOND // 1000)

    async def ask(
        self,
        method: str,
        path: str,
        *,
        operation: str,
        scope: str,
        params: Mapping[str, Any] | None = None,
        json: Any = None,
        repeatable: bool | None = None,
    ) -> httpx.Response:
        """One call. Raises VendorError; a state that forbids the call is RejectedError, though Okta says 403."""
        try:
            return await self._http.request(
                method, path, operation=operation, params=params, json=json, repeatable=repeatable
            )
        except ScopeError as error:
            said = str(error)
            if _WRONG_STATE in said:
                raise RejectedError(
                    f"this operation is {_WRONG_STATE}", vendor=VENDOR, operation=operation, status=error.status
                ) from error
            # What the HTTP client says first is advice without the scope's name; what Okta says comes behind it.
            theirs = said.partition(f"names for {operation}: ")[2].removesuffix(f" (HTTP {error.status})")
            raise ScopeError(
                f"grant {scope} to the service app and the same right to its administrator role, or to the"
                " administrator who owns the API token; if both have it, Okta protects this administrator's account or"
                f" binds the token to other network zones: {theirs or 'no message'}",
                vendor=VENDOR,
                operation=operation,
                status=error.status,
            ) from error

    async def one(self, path: str, *, operation: str, scope: str) -> dict[str, Any]:
        """One object. Raises ResponseError when the answer is none."""
        response = await self.ask("GET", path, operation=operation, scope=scope)
        try:
            found = json.loads(response.content)
        except (ValueError, RecursionError):
            found = None
        if not isinstance(found, dict):
            raise _strange(response, operation, "an object")
        return found

    async def page(
        self, path: str, *, operation: str, scope: str, params: Mapping[str, Any] | None = None
    ) -> tuple[list[tuple[Any, bytes]], str]:
        """One page of an array, each element decoded and verbatim, and the query of the next page ("" when none)."""
        response = await self.ask("GET", path, operation=operation, scope=scope, params=params)
        try:
            return cut(response.content), following(response)
        except ValueError:
            raise _strange(response, operation, "an array") from None

    async def every(
        self, path: str, *, operation: str, scope: str, params: Mapping[str, Any] | None = None
    ) -> list[dict[str, Any]]:
        """All pages of a finite list. Raises ResponseError when the links go round in a circle."""
        rows: list[dict[str, Any]] = []
        asked: set[str] = set()
        found, query = await self.page(path, operation=operation, scope=scope, params=params)
        while True:
            rows += [row for row, _ in found if isinstance(row, dict)]
            if not query:
                return rows
            if query in asked:
                raise ResponseError("the link to the next page repeats", vendor=VENDOR, operation=operation)
            asked.add(query)
            found, query = await self.page(f"{path}?{query}", operation=operation, scope=scope)


def following(response: httpx.Response) -> str:
    """The query of the link to the next page, "" when there is none.

    Only the query: an org has several hosts (its own domain, okta.com), and the link may name another one than ours.
    """
    return urlsplit(response.links.get("next", {}).get("url", "")).query


def quoted(text: str) -> str:
    """A text as a value of a filter or search."""
    return json.dumps(text, ensure_ascii=False)


def _auth(settings: Settings, base_url: str, instance: str) -> Auth:
    client_id, key = settings.text("client_id"), settings.has("private_key")
    if settings.has("api_token") is bool(client_id or key) or bool(client_id) is not key:
        problem = "give either api_token, or client_id and private_key"
        raise ConfigError([Problem(instance, "api_token", problem)])
    if not client_id:
        return HeaderAuth("Authorization", settings.secret("api_token"), prefix="SSWS ")
    return OAuth2JwtBearer(
        token_url=_TOKEN_PATH,
        key=settings.secret("private_key"),
        issuer=client_id,
        audience=f"{base_url}{_TOKEN_PATH}",
        scope=" ".join(settings.text("scopes", " ".join(SCOPES)).replace(",", " ").split()),
        key_id=settings.text("key_id"),
        assertion="client",
    )


def _strange(response: httpx.Response, operation: str, wanted: str) -> ResponseError:
    media = Redactor().clean(response.headers.get("content-type", "")) or "no content type"
    return ResponseError(
        f"expected {wanted} in JSON, got {len(response.content)} bytes of {media}; check that base_url is the org's and"
        " that no sign-in page or proxy answers in its place",
        vendor=VENDOR,
        operation=operation,
        status=response.status_code,
    )
