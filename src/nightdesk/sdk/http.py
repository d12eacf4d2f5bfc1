"""The one HTTP client: auth, retry, rate budget, proxy and private CA, redaction, total error mapping.

Skeleton: signatures are fixed, bodies follow.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import httpx

from nightdesk.sdk.context import Context
from nightdesk.sdk.errors import VendorError
from nightdesk.sdk.secrets import Secret


@dataclass(frozen=True, slots=True)
class HeaderAuth:
    """A fixed header: ``HeaderAuth("Authorization", secret, prefix="ApiKey ")``."""

    header: str
    secret: Secret
    prefix: str = ""


@dataclass(frozen=True, slots=True)
class BasicAuth:
    """HTTP Basic."""

    username: str
    password: Secret


@dataclass(frozen=True, slots=True)
class OAuth2ClientCredentials:
    """OAuth 2 client credentials; the token is cached and renewed ``margin`` seconds early, once on a 401.

    Any 4xx of the token endpoint but 429 is AuthError and is not repeated.
    """

    token_url: str  # absolute, or a path under the base URL
    client_id: str
    client_secret: Secret
    scope: str = ""
    margin: float = 120.0
    extra: Mapping[str, str] | None = None


Auth = HeaderAuth | BasicAuth | OAuth2ClientCredentials


class HttpClient:
    """One vendor instance's client: ``async with`` it or call ``aclose``.

    ``inspect`` lets a vendor turn a 2xx answer that carries an error inside into a VendorError (or None).
    """

    def __init__(
        self,
        context: Context,
        *,
        vendor: str,
        base_url: str,
        auth: Auth | None = None,
        headers: Mapping[str, str] | None = None,
        requests_per_minute: int | None = None,
        inspect: Callable[[httpx.Response, str], VendorError | None] | None = None,
    ) -> None:
        raise NotImplementedError

    async def request(
        self,
        method: str,
        path: str,
        *,
        operation: str,
        params: Mapping[str, Any] | None = None,
        json: Any = None,
        form: Mapping[str, Any] | None = None,
        content: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        repeatable: bool | None = None,
    ) -> httpx.Response:
        """One call, retried when ``repeatable`` (default: GET, HEAD, PUT, DELETE). Raises VendorError."""
        raise NotImplementedError

    async def json(self, method: str, path: str, *, operation: str, **options: Any) -> Any:
        """Like ``request``, and the decoded JSON. Raises ResponseError when it is none."""
        raise NotImplementedError

    async def aclose(self) -> None:
        """Closes the connections."""
        raise NotImplementedError
