"""The console's envelopes: a success that carries errors, a change that only counts, GraphQL's 200 for everything."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import httpx

from nightdesk.sdk.context import Context
from nightdesk.sdk.errors import (
    AuthError,
    ConfigError,
    NotFoundError,
    Problem,
    RateLimitError,
    RejectedError,
    ResponseError,
    ScopeError,
    UnavailableError,
    VendorError,
)
from nightdesk.sdk.http import HeaderAuth, HttpClient
from nightdesk.sdk.redaction import Redactor

__all__ = ["API", "VENDOR", "Answer", "Console", "judged"]

VENDOR = "sentinelone"
API = "/web/api/v2.1"
_GRAPHQL = f"{API}/unifiedalerts/graphql"
_REQUESTS_PER_MINUTE = 300  # limits are per endpoint and not published; this is a cautious figure of ours
_BUSY_WAIT = 30.0  # seconds, when too many users trigger actions at once
_TICK = timedelta(seconds=2)  # a Date header is cut to a second, and the answer travelled
_FAMILIES: Mapping[str, type[VendorError]] = {
    "400": RejectedError,
    "401": AuthError,
    "403": ScopeError,
    "404": NotFoundError,
    "409": RejectedError,
}
_PERMISSION_WORDS = ("permission", "not authorized", "forbidden", "access denied")


@dataclass(frozen=True, slots=True)
class Answer:
    """One envelope. ``content`` is what the vendor wrote; ``errors`` may stand beside data."""

    operation: str
    status: int
    content: bytes
    data: Any
    errors: Sequence[Mapping[str, Any]]
    cursor: str = ""

    @property
    def rows(self) -> list[Mapping[str, Any]]:
        """The objects of a list."""
        return [row for row in self.data if isinstance(row, dict)] if isinstance(self.data, list) else []

    @property
    def affected(self) -> int:
        """How many a change reached. Raises ResponseError when the answer does not say."""
        count = self.data.get("affected") if isinstance(self.data, dict) else None
        if not isinstance(count, int) or isinstance(count, bool):
            message = "the answer does not say how many were affected"
            raise ResponseError(message, vendor=VENDOR, operation=self.operation, status=self.status)
        return count


class Console:
    """One service user of one console. Every call names the permission it needs, so a 403 can say what to grant."""

    def __init__(self, context: Context) -> None:
        settings = context.settings
        self.accounts, self.sites = _ids(settings.text("account_ids")), _ids(settings.text("site_ids"))
        if self.accounts and self.sites:
            problem = "give account_ids or site_ids, not both: a site is within its account"
            raise ConfigError([Problem(context.instance, "site_ids", problem)])
        self._token = settings.secret("api_token")
        base_url = settings.text("base_url")
        # The management API knows its own scheme; the unified alerts take only Bearer.
        self._rest, self._graphql = (
            HttpClient(
                context,
                vendor=VENDOR,
                base_url=base_url,
                auth=HeaderAuth("Authorization", self._token, prefix=prefix),
                requests_per_minute=_REQUESTS_PER_MINUTE,
            )
            for prefix in ("ApiToken ", "Bearer ")
        )

    @property
    def clock_skew(self) -> float | None:
        """Seconds the vendor's clock is ahead of ours."""
        return self._rest.clock_skew if self._rest.clock_skew is not None else self._graphql.clock_skew

    @property
    def narrowed(self) -> dict[str, str]:
        """The query parameters that keep a list within the configured sites or accounts."""
        named = {"siteIds": self.sites, "accountIds": self.accounts}
        return {name: ",".join(ids) for name, ids in named.items() if ids}

    async def aclose(self) -> None:
        """Closes the connections."""
        await self._rest.aclose()
        await self._graphql.aclose()

    def as_vendor(self, moment: datetime) -> datetime:
        """The moment by the vendor's clock, never too late."""
        return moment + timedelta(seconds=self.clock_skew or 0.0) - _TICK

    async def ask(
        self,
        method: str,
        path: str,
        *,
        operation: str,
        permission: str,
        params: Mapping[str, Any] | None = None,
        json: Any = None,
        repeatable: bool | None = None,
    ) -> Answer:
        """One call. Raises VendorError; errors beside data are the caller's (``complaint``)."""
        try:
            response = await self._rest.request(
                method, f"{API}{path}", operation=operation, params=params, json=json, repeatable=repeatable
            )
        except ScopeError as error:
            raise _lacks(permission, operation, error) from error
        return self._answer(response, operation, permission)

    async def query(self, document: str, *, operation: str, permission: str, repeatable: bool = True) -> Answer:
        """One GraphQL document without variables, whose types differ by tenant. Raises VendorError."""
        try:
            response = await self._graphql.request(
                "POST", _GRAPHQL, operation=operation, json={"query": document}, repeatable=repeatable
            )
        except ScopeError as error:
            raise _lacks(permission, operation, error) from error
        return self._answer(response, operation, permission)

    async def change(self, path: str, names: Sequence[str], data: Mapping[str, Any], *, permission: str) -> int:
        """One bulk change of exactly these ids; how many it reached. Never without ids: that would reach everything."""
        operation = path.strip("/").replace("/", " ")
        if not names or not all(names):
            raise RejectedError("no id is named", vendor=VENDOR, operation=operation)
        body = {"filter": {"ids": list(names)}, "data": dict(data)}
        count = (await self.ask("POST", path, operation=operation, permission=permission, json=body)).affected
        if count > len(names):
            message = f"{count} were changed instead of {len(names)}"
            raise ResponseError(message, vendor=VENDOR, operation=operation)
        return count

    async def every(self, path: str, params: Mapping[str, Any], *, operation: str, permission: str) -> list[Any]:
        """All rows of a list, page by page. Raises VendorError; a partial answer too."""
        rows: list[Any] = []
        cursor = ""
        while True:
            given = {"limit": 1000, **params, **({"cursor": cursor} if cursor else {})}
            answer = await self.ask("GET", path, operation=operation, permission=permission, params=given)
            if answer.errors:
                raise self.complaint(answer, permission)
            rows += answer.rows
            if not answer.cursor:
                return rows
            if answer.cursor == cursor:
                raise ResponseError("the page token repeats", vendor=VENDOR, operation=operation)
            cursor = answer.cursor

    async def token_ends(self) -> str:
        """When the token expires, as the console writes it; empty when it does not say."""
        body = {"data": {"apiToken": self._token.reveal()}}
        answer = await self.ask(
            "POST", "/users/api-token-details", operation="read token", permission="none", json=body, repeatable=True
        )
        return str(answer.data.get("expiresAt") or "") if isinstance(answer.data, dict) else ""

    def complaint(self, answer: Answer, permission: str) -> VendorError:
        """The error that an answer carries."""
        first = answer.errors[0] if answer.errors else {}
        redactor = Redactor()
        redactor.learn(self._token.reveal())
        parts = (first.get(name) for name in ("detail", "message", "title"))
        text = redactor.clean(next((part for part in parts if isinstance(part, str) and part), "no message"))
        return judged(text, first, answer.operation, answer.status, permission)

    def _answer(self, response: httpx.Response, operation: str, permission: str) -> Answer:
        try:
            envelope = json.loads(response.content)
        except (ValueError, RecursionError):
            envelope = None
        if not isinstance(envelope, dict):
            media = Redactor().clean(response.headers.get("content-type", "")) or "no content type"
            raise ResponseError(
                f"expected the console's JSON envelope, got {len(response.content)} bytes of {media}; check that"
                " base_url is the console's and that no sign-in page or proxy answers in its place",
                vendor=VENDOR,
                operation=operation,
                status=response.status_code,
            )
        errors, pagination = envelope.get("errors"), envelope.get("pagination")
        answer = Answer(
            operation,
            response.status_code,
            response.content,
            envelope.get("data"),
            [error for error in errors or () if isinstance(error, dict) and error],
            str(pagination.get("nextCursor") or "") if isinstance(pagination, dict) else "",
        )
        if answer.data is None and answer.errors:
            raise self.complaint(answer, permission)
        return answer


def judged(text: str, error: Mapping[str, Any], operation: str, status: int, permission: str) -> VendorError:
    """What a person can do about an error inside a success: by its code, by its class, by its words."""
    kind = _FAMILIES.get(str(error.get("code", ""))[:3])
    extensions = error.get("extensions")
    classification = extensions.get("classification") if isinstance(extensions, dict) else None
    if "concurrent" in text.lower():
        return RateLimitError(text, retry_after=_BUSY_WAIT, vendor=VENDOR, operation=operation, status=status)
    if kind is None:
        refused = RejectedError if classification == "ValidationError" else UnavailableError
        kind = ScopeError if any(word in text.lower() for word in _PERMISSION_WORDS) else refused
    message = f"{text}; the token needs '{permission}'" if issubclass(kind, ScopeError) else text
    return kind(f"the answer carries an error: {message}", vendor=VENDOR, operation=operation, status=status)


def _lacks(permission: str, operation: str, error: VendorError) -> ScopeError:
    return ScopeError(
        f"the token lacks '{permission}', or the target is outside its accounts and sites; grant it to the service"
        " user's role",
        vendor=VENDOR,
        operation=operation,
        status=error.status,
        request_id=error.request_id,
    )


def _ids(text: str) -> tuple[str, ...]:
    return tuple(part for part in text.replace(",", " ").split() if part)
