"""How a client proves who it is: the three ways that vendors use, and the one place where a secret becomes a header."""

import asyncio
import base64
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from nightdesk.sdk.context import Clock
from nightdesk.sdk.errors import ConfigError, Problem, ResponseError, VendorError
from nightdesk.sdk.redaction import Redactor
from nightdesk.sdk.secrets import Secret

__all__ = ["Auth", "BasicAuth", "HeaderAuth", "OAuth2ClientCredentials", "Signer"]


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
FetchToken = Callable[[Mapping[str, str]], Awaitable[Any]]


class Signer:
    """Makes the headers that sign a request; every secret it reads is made known to the redactor first.

    ``fetch`` posts a form to the token endpoint and gives the decoded JSON.
    """

    def __init__(self, auth: Auth | None, clock: Clock, redactor: Redactor, fetch: FetchToken) -> None:
        self._auth = auth
        self._clock = clock
        self._redactor = redactor
        self._fetch = fetch
        self._lock = asyncio.Lock()
        self._token = ""
        self._good_until: datetime | None = None
        self._failures = 0
        self._failure: VendorError | None = None

    @property
    def advice(self) -> str:
        """Where a person finds the credentials that were refused."""
        match self._auth:
            case None:
                return "no credentials are configured"
            case HeaderAuth(secret=secret) | BasicAuth(password=secret):
                return f"check or renew the credentials ({secret.reference})"
            case oauth:
                return f"check client id and client secret ({oauth.client_secret.reference})"

    async def headers(self) -> dict[str, str]:
        """The headers for one request. Raises ConfigError for an unusable secret, VendorError when no token is had."""
        match self._auth:
            case None:
                return {}
            case HeaderAuth(header, secret, prefix):
                value = self._reveal(secret)
                if not (value.isascii() and value.isprintable() and value == value.strip()):
                    problem = "cannot be sent in a header; look for line breaks, spaces or letters that are not ASCII"
                    raise ConfigError([Problem("secret", secret.reference, problem)])
                return {header: f"{prefix}{value}"}
            case BasicAuth(username, password):
                pair = f"{username}:{self._reveal(password)}".encode()
                encoded = base64.b64encode(pair).decode("ascii")
                self._redactor.learn(encoded)
                return {"Authorization": f"Basic {encoded}"}
            case oauth:
                return {"Authorization": f"Bearer {await self._current(oauth)}"}

    def renew(self, refused: Mapping[str, str]) -> bool:
        """Forgets the token inside the refused headers, unless it was replaced meanwhile; False if there are none."""
        if not isinstance(self._auth, OAuth2ClientCredentials):
            return False
        if refused.get("Authorization") == f"Bearer {self._token}":
            self._token = ""
        return True

    def _reveal(self, secret: Secret) -> str:
        value = secret.reveal()
        self._redactor.learn(value)
        if any(0xD800 <= ord(letter) <= 0xDFFF for letter in value):  # an environment variable that is not UTF-8
            raise ConfigError([Problem("secret", secret.reference, "is not UTF-8; store it again")])
        return value

    async def _current(self, auth: OAuth2ClientCredentials) -> str:
        failures = self._failures
        async with self._lock:
            if self._token and (self._good_until is None or self._clock() < self._good_until):
                return self._token
            if self._failure is not None and self._failures != failures:
                # Who waited for a fetch that failed shares its failure: a vendor locks an account after a few.
                raise self._failure
            try:
                await self._renew(auth)
            except VendorError as error:
                self._failures += 1
                self._failure = error
                raise
            return self._token

    async def _renew(self, auth: OAuth2ClientCredentials) -> None:
        self._token = ""
        form = {
            "grant_type": "client_credentials",
            "client_id": auth.client_id,
            "client_secret": self._reveal(auth.client_secret),
            **({"scope": auth.scope} if auth.scope else {}),
            **(auth.extra or {}),
        }
        asked = self._clock()
        answer = await self._fetch(form)
        token = answer.get("access_token") if isinstance(answer, Mapping) else None
        if not isinstance(token, str) or not token or not (token.isascii() and token.isprintable()):
            raise ResponseError("the token endpoint sent no usable access_token", operation="authenticate")
        self._redactor.learn(token)
        self._token = token
        self._good_until = _good_until(asked, answer.get("expires_in"), auth.margin)


def _good_until(asked: datetime, lifetime: Any, margin: float) -> datetime | None:
    """When to renew; None (until it is refused) when the endpoint does not say how long the token lives."""
    try:
        seconds = min(max(float(lifetime), 0.0), 31_536_000.0)
    except (TypeError, ValueError):
        return None
    # A token that lives no longer than the margin would be fetched for each request: half its life is used then.
    return asked + timedelta(seconds=max(seconds - margin, seconds / 2))
