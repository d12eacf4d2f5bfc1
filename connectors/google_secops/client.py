"""The Chronicle API of one instance: where it is, how a service account signs in, what a refusal means."""

import json
import re
from collections.abc import Mapping
from typing import Any
from uuid import UUID

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
from nightdesk.sdk.http import HttpClient, OAuth2JwtBearer
from nightdesk.sdk.retry import MAX_WAIT

__all__ = ["ALERTS", "SEARCHES", "TABLES", "VENDOR", "Chronicle", "broken", "document"]

VENDOR = "google_secops"
ALERTS, SEARCHES, TABLES = "alerts_version", "search_version", "tables_version"
"""The settings that say at which version of the API each family of methods is asked."""

_SCOPE = "https://www.googleapis.com/auth/cloud-platform"
_TOKEN_URL = "https://oauth2.googleapis.com/token"  # noqa: S105  # an address, and always the audience
_VERSION = "v1alpha"
_REQUESTS_PER_MINUTE = 60
_LABEL, _PROJECT = re.compile(r"[a-z][a-z0-9-]*"), re.compile(r"[a-z0-9][a-z0-9.:-]*")
_HEAD = 512  # bytes: an error stands at the beginning of its answer
_KINDS: Mapping[str, type[VendorError]] = {  # https://google.aip.dev/193, by the canonical code
    "UNAUTHENTICATED": AuthError,
    "PERMISSION_DENIED": ScopeError,
    "NOT_FOUND": NotFoundError,
    "RESOURCE_EXHAUSTED": RateLimitError,
    "UNAVAILABLE": UnavailableError,
    "INTERNAL": UnavailableError,
    "UNKNOWN": UnavailableError,
    "ABORTED": UnavailableError,
    "DEADLINE_EXCEEDED": UnavailableError,
}


class Chronicle:
    """One instance. Every call names the permission it needs, so that a 403 can say what to grant."""

    def __init__(self, context: Context) -> None:
        settings = context.settings
        region, project = settings.text("region"), settings.text("project_id")
        location = settings.text("location") or region
        customer = settings.text("customer_id")
        problems = [
            Problem(context.instance, name, message)
            for name, fine, message in (
                ("region", _LABEL.fullmatch(region), "write the region's label, such as us or europe-west3"),
                ("location", _LABEL.fullmatch(location), "write what stands behind locations/ in the instance's name"),
                ("project_id", _PROJECT.fullmatch(project), "write the id or number of the Google Cloud project"),
                ("customer_id", _is_guid(customer), "write the customer ID, a GUID, of SIEM Settings > Profile"),
            )
            if not fine
        ]
        if problems:
            raise ConfigError(problems)
        self._versions = {name: settings.text(name, _VERSION) for name in (ALERTS, SEARCHES, TABLES)}
        self._instance = f"projects/{project}/locations/{location}/instances/{customer}"
        self._account = settings.text("client_email")
        self._http = HttpClient(
            context,
            vendor=VENDOR,
            base_url=settings.text("base_url") or f"https://{region}-chronicle.googleapis.com",
            auth=OAuth2JwtBearer(
                token_url=settings.text("token_url", _TOKEN_URL),
                key=settings.secret("private_key"),
                issuer=self._account,
                audience=_TOKEN_URL,  # also when the endpoint is reached at another address
                scope=_SCOPE,
                key_id=settings.text("private_key_id"),
            ),
            requests_per_minute=_REQUESTS_PER_MINUTE,
            inspect=_inside,
        )

    @property
    def clock_skew(self) -> float | None:
        """Seconds the vendor's clock is ahead of ours."""
        return self._http.clock_skew

    @property
    def version(self) -> str:
        """The version at which alerts are asked for."""
        return self._versions[ALERTS]

    async def aclose(self) -> None:
        """Closes the connections."""
        await self._http.aclose()

    async def ask(
        self,
        method: str,
        path: str,
        *,
        family: str,
        operation: str,
        permission: str,
        params: Mapping[str, Any] | None = None,
        json: Any = None,
    ) -> httpx.Response:
        """One call; ``path`` is what follows the instance: ``/dataTables/…`` or ``:udmSearch``. Raises VendorError."""
        url = f"/{self._versions[family]}/{self._instance}{path}"
        try:
            return await self._http.request(method, url, operation=operation, params=params, json=json)
        except ScopeError as error:
            raise ScopeError(
                f"grant a role with {permission} on the project to {self._account}; if it has one, check project_id,"
                " region and customer_id: Google refuses another instance in the same words",
                vendor=VENDOR,
                operation=operation,
                status=error.status,
                request_id=error.request_id,
            ) from error


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
        f"expected a JSON object, got {len(response.content)} bytes of {media or 'no content type'}; check base_url and"
        " that no sign-in page or proxy answers in its place",
        operation,
        response,
    )


def broken(message: str, operation: str, response: httpx.Response) -> VendorError:
    """An answer that is not of its documented shape."""
    return ResponseError(message, vendor=VENDOR, operation=operation, status=response.status_code)


def _inside(response: httpx.Response, operation: str) -> VendorError | None:
    """The error that stands in a 200: streaming methods fail after they have answered."""
    if b'"error"' not in response.content[:_HEAD]:
        return None
    try:
        body = json.loads(response.content)
    except (ValueError, RecursionError):
        return None
    first = body[0] if isinstance(body, list) and body else body
    error = first.get("error") if isinstance(first, dict) else None
    if not isinstance(error, dict):
        return None
    kind = _KINDS.get(str(error.get("status")), RejectedError)
    message = f"Google answered 200 with an error in it: {error.get('status')}: {str(error.get('message'))[:300]}"
    if kind is RateLimitError:
        return RateLimitError(message, retry_after=MAX_WAIT, vendor=VENDOR, operation=operation, status=200)
    return kind(message, vendor=VENDOR, operation=operation, status=200)


def _is_guid(text: str) -> bool:
    try:
        return str(UUID(text)) == text.lower()
    except ValueError:
        return False
