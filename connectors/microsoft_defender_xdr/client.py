"""The two APIs of one tenant: Graph and Defender for Endpoint, each with a token of its own audience."""

from collections.abc import Mapping
from typing import Any

import httpx

from nightdesk.sdk.context import Context
from nightdesk.sdk.errors import ResponseError, ScopeError, UnavailableError, VendorError
from nightdesk.sdk.http import HttpClient, OAuth2ClientCredentials

__all__ = ["VENDOR", "Defender", "Surface", "incomplete", "quoted"]

VENDOR = "microsoft_defender_xdr"
_GRAPH_PER_MINUTE = 150  # the security alerts' own quota, lower than Graph's
_ENDPOINT_PER_MINUTE = 100
_EARLY = 300.0  # seconds before its end at which a token is renewed


class Surface:
    """One API. Every call names the application permission it needs, so that a 403 can say what to grant."""

    def __init__(
        self,
        context: Context,
        *,
        url: str,
        scope: str,
        per_minute: int,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        settings = context.settings
        self._http = HttpClient(
            context,
            vendor=VENDOR,
            base_url=url,
            auth=OAuth2ClientCredentials(
                token_url=f"{settings.text('login_url')}/{settings.text('tenant_id')}/oauth2/v2.0/token",
                client_id=settings.text("client_id"),
                client_secret=settings.secret("client_secret"),
                scope=scope,
                margin=_EARLY,
            ),
            headers=headers,
            requests_per_minute=per_minute,
        )

    @property
    def clock_skew(self) -> float | None:
        """Seconds the vendor's clock is ahead of ours."""
        return self._http.clock_skew

    async def aclose(self) -> None:
        """Closes the connections."""
        await self._http.aclose()

    async def ask(
        self, method: str, path: str, *, operation: str, role: str, partial: bool = False, **options: Any
    ) -> httpx.Response:
        """One call. Raises VendorError; for an answer that lacks a part too, unless ``partial`` lets it through."""
        try:
            response = await self._http.request(method, path, operation=operation, **options)
        except ScopeError as error:
            raise ScopeError(
                f"the app registration lacks the application permission '{role}' (grant it with admin consent; it"
                " counts from the next token on), or the tenant has this feature switched off",
                vendor=VENDOR,
                operation=operation,
                status=error.status,
                request_id=error.request_id,
            ) from error
        lacking = None if partial else incomplete(response, operation)
        if lacking is not None:
            raise lacking
        return response

    async def read(self, method: str, path: str, *, operation: str, role: str, **options: Any) -> dict[str, Any]:
        """One call, and the JSON object it answers. Raises ResponseError when it is none."""
        response = await self.ask(method, path, operation=operation, role=role, **options)
        return _object(response, operation)

    async def rows(
        self, path: str, *, operation: str, role: str, params: Mapping[str, Any] | None = None
    ) -> list[dict[str, Any]]:
        """The objects of one OData list."""
        answer = await self.read("GET", path, operation=operation, role=role, params=params)
        rows = answer.get("value")
        if not isinstance(rows, list):
            raise ResponseError("the list has no 'value'", vendor=VENDOR, operation=operation)
        return [row for row in rows if isinstance(row, dict)]


class Defender:
    """One app registration of one tenant."""

    def __init__(self, context: Context) -> None:
        settings = context.settings
        self.graph = Surface(
            context,
            url=settings.text("graph_url"),
            scope=settings.text("graph_scope"),
            per_minute=_GRAPH_PER_MINUTE,
            # Without it every newer enum word, such as the source Defender for Cloud, arrives as unknownFutureValue.
            headers={"Prefer": "include-unknown-enum-members"},
        )
        self.endpoint = Surface(
            context,
            url=settings.text("endpoint_url"),
            scope=settings.text("endpoint_scope"),
            per_minute=_ENDPOINT_PER_MINUTE,
        )

    async def aclose(self) -> None:
        """Closes the connections of both."""
        await self.graph.aclose()
        await self.endpoint.aclose()


def incomplete(response: httpx.Response, operation: str) -> VendorError | None:
    """The error of an answer in which a provider behind Graph did not take part (206), None for a whole one."""
    if response.status_code != httpx.codes.PARTIAL_CONTENT:
        return None
    return UnavailableError(
        "a provider behind Graph did not answer, so the result lacks its part"
        f" ({response.headers.get('warning', 'no warning given')[:200]})",
        vendor=VENDOR,
        operation=operation,
        status=response.status_code,
        request_id=response.headers.get("request-id"),
    )


def quoted(text: str) -> str:
    """A text as an OData literal."""
    return "'{}'".format(text.replace("'", "''"))


def _object(response: httpx.Response, operation: str) -> dict[str, Any]:
    try:
        answer = response.json()
    except ValueError:
        answer = None
    if not isinstance(answer, dict):
        raise ResponseError(
            f"expected a JSON object, got {len(response.content)} bytes; check that the URLs are Microsoft's APIs and"
            " that no sign-in page or proxy answers in their place",
            vendor=VENDOR,
            operation=operation,
            status=response.status_code,
            request_id=response.headers.get("request-id"),
        )
    return answer
