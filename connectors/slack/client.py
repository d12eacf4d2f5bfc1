"""The Web API over HTTP: one token, answers that say ``ok`` themselves, errors as words with status 200."""

import json
from collections.abc import AsyncIterator, Mapping
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
from nightdesk.sdk.redaction import Redactor
from nightdesk.sdk.retry import MAX_WAIT, asked_wait

__all__ = ["VENDOR", "Slack"]

VENDOR = "slack"
_REQUESTS_PER_MINUTE = 60
_PAGE = 200  # as the vendor advises; a restricted app gets 15 whatever it asks for
_JSON = {"Content-Type": "application/json; charset=utf-8"}
_ADVICE = "the bot token is refused; install the app again (OAuth & Permissions) and set bot_token"
_WORDS: Mapping[str, tuple[type[VendorError], str]] = {
    **dict.fromkeys(
        ("invalid_auth", "not_authed", "token_revoked", "token_expired", "account_inactive"), (AuthError, _ADVICE)
    ),
    **dict.fromkeys(
        ("fatal_error", "internal_error", "service_unavailable", "request_timeout"),
        (UnavailableError, "Slack failed"),
    ),
    "not_allowed_token_type": (AuthError, "this is no bot token; set bot_token to the one that begins with xoxb-"),
    "channel_not_found": (NotFoundError, "no such channel, or a private one that the app was not invited to"),
    "thread_not_found": (NotFoundError, "no such thread in this channel"),
    "not_in_channel": (RejectedError, "the app is not in the channel; invite it there (/invite)"),
    "is_archived": (RejectedError, "the channel is archived; choose another one"),
    "invalid_cursor": (ResponseError, "Slack no longer knows its own cursor"),
}


class Slack:
    """One workspace as one app. What it is asked raises VendorError."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._http = HttpClient(
            context,
            vendor=VENDOR,
            base_url=context.settings.text("base_url", "https://slack.com/api"),
            auth=HeaderAuth("Authorization", context.settings.secret("bot_token"), prefix="Bearer "),
            requests_per_minute=_REQUESTS_PER_MINUTE,
            inspect=self._inspect,
        )

    @property
    def clock_skew(self) -> float | None:
        """Seconds the vendor's clock is ahead of ours."""
        return self._http.clock_skew

    async def aclose(self) -> None:
        """Closes the connections."""
        await self._http.aclose()

    async def scopes(self, operation: str) -> frozenset[str]:
        """The scopes that the token has; empty when Slack does not say."""
        response = await self._http.request("POST", "auth.test", operation=operation, repeatable=True)
        return frozenset(filter(None, map(str.strip, response.headers.get("x-oauth-scopes", "").split(","))))

    async def post(self, message: Mapping[str, Any], operation: str) -> str:
        """Posts a message; its ``ts``. Never sent twice: there is no idempotency key."""
        content = json.dumps(message, ensure_ascii=False).encode()
        response = await self._http.request(
            "POST", "chat.postMessage", operation=operation, content=content, headers=_JSON
        )
        ts = _decoded(response).get("ts")
        if not isinstance(ts, str) or not ts:
            raise ResponseError("the answer names no message", vendor=VENDOR, operation=operation)
        return ts

    async def messages(
        self, channel: str, thread: str, *, oldest: str, operation: str
    ) -> AsyncIterator[dict[str, Any]]:
        """Messages of a channel or a thread since ``oldest``, with their metadata; of a thread also its parent.

        Raises ResponseError when the pages go round in a circle.
        """
        method = "conversations.replies" if thread else "conversations.history"
        query = {"channel": channel, "ts": thread or None, "oldest": oldest, "limit": str(_PAGE)}
        cursor, seen = "", set[str]()
        while True:
            params = {**query, "include_all_metadata": "true", "cursor": cursor or None}
            page = _decoded(await self._http.request("GET", method, operation=operation, params=params))
            found = page.get("messages")
            if not isinstance(found, list):
                raise ResponseError("the answer has no messages", vendor=VENDOR, operation=operation)
            for message in found:
                if isinstance(message, dict):
                    yield message
            following = page.get("response_metadata")
            cursor = str(following.get("next_cursor") or "") if isinstance(following, dict) else ""
            if not cursor:
                return
            if cursor in seen:
                raise ResponseError("the cursor of the next page repeats", vendor=VENDOR, operation=operation)
            seen.add(cursor)

    def _inspect(self, response: httpx.Response, operation: str) -> VendorError | None:
        """The error inside a success."""
        try:
            body = json.loads(response.content)
        except (ValueError, RecursionError):
            body = None
        if not isinstance(body, dict) or not isinstance(body.get("ok"), bool):
            return ResponseError(
                f"expected JSON that says ok, got {len(response.content)} bytes; check that base_url is the Web API's"
                " and that no sign-in page or proxy answers in its place",
                vendor=VENDOR,
                operation=operation,
                status=response.status_code,
            )
        return None if body["ok"] else self._error(body, response, operation)

    def _error(self, body: Mapping[str, Any], response: httpx.Response, operation: str) -> VendorError:
        word = Redactor().clean(str(body.get("error") or "unknown_error"), 80)
        status = response.status_code
        if word in {"ratelimited", "rate_limited"}:
            wait = asked_wait(response.headers, self._context.clock())
            wait = MAX_WAIT if wait is None else wait
            message = f"too many requests ({word})"
            return RateLimitError(message, retry_after=wait, vendor=VENDOR, operation=operation, status=status)
        if word == "missing_scope":
            needed = Redactor().clean(str(body.get("needed") or "that the manifest names"), 120)
            message = f"add the scope {needed} to the app and install it again (missing_scope)"
            return ScopeError(message, vendor=VENDOR, operation=operation, status=status)
        kind, advice = _WORDS.get(word, (RejectedError, "Slack refuses the request"))
        details = body.get("response_metadata")
        lines = details.get("messages") if isinstance(details, dict) else None
        said = Redactor().clean("; ".join(map(str, lines)), 300) if isinstance(lines, list) else ""
        message = f"{advice} ({word})" + (f": {said}" if said else "")
        return kind(message, vendor=VENDOR, operation=operation, status=status)


def _decoded(response: httpx.Response) -> dict[str, Any]:
    """What ``_inspect`` has let through is an object."""
    found: dict[str, Any] = json.loads(response.content)
    return found
