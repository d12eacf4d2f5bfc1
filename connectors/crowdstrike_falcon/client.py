"""The Falcon envelope: success that carries errors, resources as the vendor wrote them, clouds that are not ours."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import httpx

from nightdesk.sdk.context import Context
from nightdesk.sdk.errors import (
    AuthError,
    NotFoundError,
    RejectedError,
    ResponseError,
    ScopeError,
    UnavailableError,
    VendorError,
)
from nightdesk.sdk.http import HttpClient, OAuth2ClientCredentials
from nightdesk.sdk.redaction import Redactor
from nightdesk.sdk.verbatim import cut

__all__ = ["VENDOR", "Answer", "Falcon"]

VENDOR = "crowdstrike_falcon"
_TOKEN_PATH = "/oauth2/token"  # noqa: S105  # a path
_REQUESTS_PER_MINUTE = 6000  # X-Ratelimit-Limit of real answers
_CLOUDS: Mapping[str, str] = {
    "us-1": "https://api.crowdstrike.com",
    "us-2": "https://api.us-2.crowdstrike.com",
    "eu-1": "https://api.eu-1.crowdstrike.com",
    "us-gov-1": "https://api.laggar.gcw.crowdstrike.com",
    "us-gov-2": "https://api.us-gov-2.crowdstrike.mil",
}
_CODES: Mapping[int, type[VendorError]] = {
    400: RejectedError,
    401: AuthError,
    403: ScopeError,
    404: NotFoundError,
    409: RejectedError,
}


@dataclass(frozen=True, slots=True)
class Answer:
    """One envelope. ``elements`` are its resources, decoded and verbatim; ``errors`` may stand beside them."""

    operation: str
    status: int
    elements: Sequence[tuple[Any, bytes]]
    errors: Sequence[Mapping[str, Any]]
    meta: Mapping[str, Any]

    @property
    def resources(self) -> list[Any]:
        """The resources, decoded."""
        return [item for item, _ in self.elements]

    @property
    def trace_id(self) -> str:
        """The vendor's name for this request."""
        return str(self.meta.get("trace_id") or "")

    @property
    def after(self) -> str:
        """The token of the next page, empty on the last."""
        pagination = self.meta.get("pagination")
        return str(pagination.get("after") or "") if isinstance(pagination, Mapping) else ""


class Falcon:
    """One API client of one CID. Every call names the scope it needs, so that a 403 can say what to grant."""

    def __init__(self, context: Context) -> None:
        settings = context.settings
        self._context = context
        self._base_url = settings.text("base_url").rstrip("/")
        self._auth = OAuth2ClientCredentials(
            token_url=_TOKEN_PATH,
            client_id=settings.text("client_id"),
            client_secret=settings.secret("client_secret"),
            extra={"member_cid": settings.text("member_cid")} if settings.has("member_cid") else None,
        )
        self._http = HttpClient(
            context,
            vendor=VENDOR,
            base_url=self._base_url,
            auth=self._auth,
            requests_per_minute=_REQUESTS_PER_MINUTE,
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
        scope: str,
        params: Mapping[str, Any] | None = None,
        json: Any = None,
        repeatable: bool | None = None,
    ) -> Answer:
        """One call. Raises VendorError for a refusal; errors inside a success are the caller's (``complaint``)."""
        try:
            response = await self._http.request(
                method, path, operation=operation, params=params, json=json, repeatable=repeatable
            )
        except (AuthError, ScopeError) as error:
            # A token endpoint that refuses has said enough; a cloud that is not the client's still gives it tokens.
            elsewhere = "" if error.operation == "authenticate" else await self.other_cloud()
            if elsewhere or isinstance(error, ScopeError):
                message = elsewhere or f"the API client lacks the scope '{scope}'; grant it in Falcon"
                raise type(error)(
                    message, vendor=VENDOR, operation=operation, status=error.status, request_id=error.request_id
                ) from error
            raise
        return _answer(response, operation)

    def complaint(self, answer: Answer) -> VendorError:
        """The error that a success carries inside."""
        first = answer.errors[0] if answer.errors else {}
        code = first.get("code")
        kind = _CODES.get(code if isinstance(code, int) else 0, UnavailableError)
        redactor = Redactor()
        redactor.learn(self._auth.client_secret.reveal())
        text = redactor.clean(str(first.get("message") or "no message"))
        more = f" (and {len(answer.errors) - 1} more)" if len(answer.errors) > 1 else ""
        return kind(
            f"the answer carries errors, so it is incomplete: {text}{more}",
            vendor=VENDOR,
            operation=answer.operation,
            status=code if isinstance(code, int) else answer.status,
            request_id=answer.trace_id or None,
        )

    async def other_cloud(self) -> str:
        """What to do when the API client lives in another cloud, empty when it does not or that cannot be told.

        Falcon says so by X-Cs-Region on the token's answer. Where it redirects instead (308), the HTTP client refuses
        and names the host.
        """
        ours = next((name for name, url in _CLOUDS.items() if _host(url) == _host(self._base_url)), "")
        if not ours:
            return ""
        form = {
            "client_id": self._auth.client_id,
            "client_secret": self._auth.client_secret.reveal(),
            **(self._auth.extra or {}),
        }
        bare = HttpClient(self._context, vendor=VENDOR, base_url=self._base_url)
        try:
            response = await bare.request("POST", _TOKEN_PATH, operation="find cloud", form=form)
        except VendorError:
            return ""  # the caller has an error of its own, whose text is masked
        finally:
            await bare.aclose()
        theirs = response.headers.get("x-cs-region", ours).lower()
        if theirs == ours or theirs not in _CLOUDS:
            return ""
        return f"the API client belongs to the cloud {theirs}, not {ours}; set base_url to {_CLOUDS[theirs]}"


def _host(url: str) -> str:
    return (urlsplit(url).hostname or "").lower()


def _answer(response: httpx.Response, operation: str) -> Answer:
    try:
        envelope = json.loads(response.content)
        elements = cut(response.content, "resources")
    except (ValueError, RecursionError):
        envelope, elements = None, []
    if not isinstance(envelope, dict):
        media = Redactor().clean(response.headers.get("content-type", "")) or "no content type"
        raise ResponseError(
            f"expected Falcon's JSON envelope, got {len(response.content)} bytes of {media}; check that base_url is"
            " the API's and that no sign-in page or proxy answers in its place",
            vendor=VENDOR,
            operation=operation,
            status=response.status_code,
            request_id=response.headers.get("x-cs-traceid"),
        )
    errors, meta = envelope.get("errors"), envelope.get("meta")
    return Answer(
        operation=operation,
        status=response.status_code,
        elements=elements,
        errors=[error for error in errors or () if isinstance(error, dict)],
        meta=meta if isinstance(meta, dict) else {},
    )
