"""How a client proves who it is: the ways that vendors use, and the one place where a secret becomes a header."""

import asyncio
import base64
import secrets
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, RSAKey

from nightdesk.sdk.context import Clock
from nightdesk.sdk.errors import ConfigError, Problem, ResponseError, VendorError
from nightdesk.sdk.moments import SECOND, instant
from nightdesk.sdk.redaction import Redactor
from nightdesk.sdk.secrets import Secret

__all__ = [
    "Auth",
    "BasicAuth",
    "ComputedAuth",
    "HeaderAuth",
    "LoginAuth",
    "OAuth2ClientCredentials",
    "OAuth2JwtBearer",
    "Signer",
    "TokenRequest",
    "token_url",
]


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


@dataclass(frozen=True, slots=True)
class OAuth2JwtBearer:
    """A token for a signed assertion (RFC 7523): as the grant itself, or in place of a client secret (private_key_jwt).

    ``key`` is a PEM private key, RSA or EC. The assertion lives five minutes.
    """

    token_url: str  # absolute, or a path under the base URL
    key: Secret
    issuer: str
    audience: str
    subject: str = ""  # the issuer when empty
    scope: str = ""
    algorithm: str = "RS256"
    key_id: str = ""
    assertion: Literal["grant", "client"] = "grant"
    margin: float = 120.0


@dataclass(frozen=True, slots=True)
class LoginAuth:
    """A token that a login call gives: a POST with HTTP Basic, or with the JSON that ``body`` makes of the password.

    ``token`` is where it stands in the answer, ``expires`` where its end stands (ISO 8601 or epoch seconds), else it is
    good for ``lifetime`` seconds. It is renewed early, and once on a 401.
    """

    path: str  # under the base URL
    password: Secret
    username: str = ""
    body: Callable[[str], Mapping[str, Any]] | None = None
    token: Sequence[str] = ("access_token",)
    expires: Sequence[str] = ()
    lifetime: float = 900.0
    header: str = "Authorization"
    prefix: str = "Bearer "
    margin: float = 60.0


@dataclass(frozen=True, slots=True)
class ComputedAuth:
    """Headers made anew for each request from the revealed secrets and the time (nonces, signatures).

    ``derived`` of them are as good as a secret and are masked like one.
    """

    secrets: tuple[Secret, ...]
    compute: Callable[[Sequence[str], datetime], Mapping[str, str]]
    derived: Sequence[str] = ("Authorization",)
    advice: str = ""


Auth = HeaderAuth | BasicAuth | OAuth2ClientCredentials | OAuth2JwtBearer | LoginAuth | ComputedAuth
_WithToken = OAuth2ClientCredentials | OAuth2JwtBearer | LoginAuth


@dataclass(frozen=True, slots=True)
class TokenRequest:
    """The POST that gets a token; ``body`` as httpx takes it."""

    body: Mapping[str, Any] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)


FetchToken = Callable[[TokenRequest], Awaitable[Any]]

_ASSERTION_LIFE = 300  # seconds
_ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
_GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"


def token_url(auth: Auth | None) -> str | None:
    """Where the token comes from, None when there is none to fetch."""
    match auth:
        case OAuth2ClientCredentials() | OAuth2JwtBearer():
            return auth.token_url
        case LoginAuth():
            return auth.path
    return None


class Signer:
    """Makes the headers that sign a request; every secret it reads is made known to the redactor first.

    ``fetch`` posts to the token endpoint and gives the decoded JSON.
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
            case HeaderAuth(secret=secret) | BasicAuth(password=secret) | LoginAuth(password=secret):
                return f"check or renew the credentials ({secret.reference})"
            case OAuth2JwtBearer(key=secret):
                return f"check the client id and its private key ({secret.reference})"
            case OAuth2ClientCredentials(client_secret=secret):
                return f"check client id and client secret ({secret.reference})"
            case computed:
                names = ", ".join(secret.reference for secret in computed.secrets)
                return computed.advice or f"check or renew the credentials ({names})"

    async def headers(self) -> dict[str, str]:
        """The headers for one request. Raises ConfigError for an unusable secret, VendorError when no token is had."""
        match self._auth:
            case None:
                return {}
            case HeaderAuth(header, secret, prefix):
                return {header: f"{prefix}{self._sendable(secret)}"}
            case BasicAuth(username, password):
                return self._basic(username, password)
            case ComputedAuth():
                made = self._auth.compute([self._sendable(secret) for secret in self._auth.secrets], self._clock())
                for name in self._auth.derived:
                    self._redactor.learn(made.get(name, ""))
                return dict(made)
            case LoginAuth(header=header, prefix=prefix):
                return {header: f"{prefix}{await self._current(self._auth)}"}
            case oauth:
                return {"Authorization": f"Bearer {await self._current(oauth)}"}

    def renew(self, refused: Mapping[str, str]) -> bool:
        """Forgets the token inside the refused headers, unless it was replaced meanwhile; False if there are none."""
        if not isinstance(self._auth, _WithToken):
            return False
        if self._token and any(value.endswith(self._token) for value in refused.values()):
            self._token = ""
        return True

    def _sendable(self, secret: Secret) -> str:
        value = self._reveal(secret)
        if not (value.isascii() and value.isprintable() and value == value.strip()):
            problem = "cannot be sent in a header; look for line breaks, spaces or letters that are not ASCII"
            raise ConfigError([Problem("secret", secret.reference, problem)])
        return value

    def _basic(self, username: str, password: Secret) -> dict[str, str]:
        pair = f"{username}:{self._reveal(password)}".encode()
        encoded = base64.b64encode(pair).decode("ascii")
        self._redactor.learn(encoded)
        return {"Authorization": f"Basic {encoded}"}

    def _reveal(self, secret: Secret) -> str:
        value = secret.reveal()
        self._redactor.learn(value)
        if any(0xD800 <= ord(letter) <= 0xDFFF for letter in value):  # an environment variable that is not UTF-8
            raise ConfigError([Problem("secret", secret.reference, "is not UTF-8; store it again")])
        return value

    async def _current(self, auth: _WithToken) -> str:
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

    async def _renew(self, auth: _WithToken) -> None:
        self._token = ""
        request = self._request(auth)
        asked = self._clock()
        answer = await self._fetch(request)
        path: tuple[str, ...] = ("access_token",)
        lifetime = _at(answer, ("expires_in",))
        if isinstance(auth, LoginAuth):
            path, lifetime = tuple(auth.token), _lifetime(auth, answer, asked)
        token = _at(answer, path)
        if not isinstance(token, str) or not token or not (token.isascii() and token.isprintable()):
            raise ResponseError(f"the token endpoint sent no usable {'.'.join(path)}", operation="authenticate")
        self._redactor.learn(token)
        self._token = token
        self._good_until = _good_until(asked, lifetime, auth.margin)

    def _request(self, auth: _WithToken) -> TokenRequest:
        if isinstance(auth, LoginAuth):
            if auth.body is None:
                return TokenRequest(headers=self._basic(auth.username, auth.password))
            return TokenRequest({"json": auth.body(self._reveal(auth.password))})
        scope = {"scope": auth.scope} if auth.scope else {}
        if isinstance(auth, OAuth2ClientCredentials):
            form = {
                "grant_type": "client_credentials",
                "client_id": auth.client_id,
                "client_secret": self._reveal(auth.client_secret),
                **scope,
                **(auth.extra or {}),
            }
        elif auth.assertion == "grant":
            form = {"grant_type": _GRANT, "assertion": self._assertion(auth)}
        else:
            form = {
                "grant_type": "client_credentials",
                "client_assertion_type": _ASSERTION,
                "client_assertion": self._assertion(auth),
                **scope,
            }
        return TokenRequest({"data": form})

    def _assertion(self, auth: OAuth2JwtBearer) -> str:
        pem = self._reveal(auth.key)
        now = int(self._clock().timestamp())
        claims = {
            "iss": auth.issuer,
            "sub": auth.subject or auth.issuer,
            "aud": auth.audience,
            "iat": now,
            "exp": now + _ASSERTION_LIFE,
            "jti": secrets.token_hex(16),
            **({"scope": auth.scope} if auth.scope and auth.assertion == "grant" else {}),
        }
        header = {"alg": auth.algorithm, "typ": "JWT", **({"kid": auth.key_id} if auth.key_id else {})}
        try:
            kind = ECKey if auth.algorithm.startswith("ES") else RSAKey
            signed = jwt.encode(header, claims, kind.import_key(pem), algorithms=[auth.algorithm])
        except (JoseError, ValueError, TypeError):
            problem = f"is no private key in PEM that can sign {auth.algorithm}; store the key file as it was given"
            raise ConfigError([Problem("secret", auth.key.reference, problem)]) from None
        self._redactor.learn(signed)
        return signed


def _at(answer: Any, path: Sequence[str]) -> Any:
    for name in path:
        answer = answer.get(name) if isinstance(answer, Mapping) else None
    return answer


def _lifetime(auth: LoginAuth, answer: Any, asked: datetime) -> float:
    """Seconds that the token of a login is good for."""
    end = _at(answer, auth.expires) if auth.expires else None
    moment = instant(end) if isinstance(end, str) and not end.isdecimal() else instant(end, "s")
    return auth.lifetime if moment is None else moment / SECOND - asked.timestamp()


def _good_until(asked: datetime, lifetime: Any, margin: float) -> datetime | None:
    """When to renew; None (until it is refused) when the endpoint does not say how long the token lives."""
    try:
        seconds = min(max(float(lifetime), 0.0), 31_536_000.0)
    except (TypeError, ValueError):
        return None
    # A token that lives no longer than the margin would be fetched for each request: half its life is used then.
    return asked + timedelta(seconds=max(seconds - margin, seconds / 2))
