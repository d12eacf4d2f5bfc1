"""The simulated token endpoint of Google: a service account signs an assertion with its key and gets a token.

Source: https://developers.google.com/identity/protocols/oauth2/service-account#httprest
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any
from urllib.parse import parse_qsl

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import RSAKey
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from nightdesk.connectors.google_secops.wire import GoogleError
from nightdesk.sdk.context import Clock

__all__ = ["AUDIENCE", "PATH", "SCOPE", "TokensApi"]

PATH = "/token"
AUDIENCE = f"https://oauth2.googleapis.com{PATH}"
"""What an assertion is always made for, wherever the endpoint is reached."""

SCOPE = "https://www.googleapis.com/auth/cloud-platform"
_SCOPES = frozenset({SCOPE, "https://www.googleapis.com/auth/chronicle-backstory"})
_GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
_LIFE = timedelta(hours=1)
_SLACK = 300.0  # seconds that the caller's clock may be ahead


class _InvalidError(Exception):
    """What the token endpoint answers with, as code and text."""


class TokensApi:
    """One service account with one key. The Chronicle API wants a token of the scope ``cloud-platform``."""

    def __init__(self, clock: Clock, secret: str) -> None:
        self.client_email = f"nightdesk-{sha256(secret.encode()).hexdigest()[:8]}@soc-project.iam.gserviceaccount.com"
        self._clock = clock
        self._secret = secret
        self._key: RSAKey | None = None
        self._tokens: dict[str, tuple[datetime, frozenset[str]]] = {}

    @property
    def private_key(self) -> str:
        """The key as PEM in one line, as ``file:`` reads it."""
        return " ".join(self._pair().as_pem(private=True).decode().split("\n")).strip()

    @property
    def key_id(self) -> str:
        """The name of the key, which a signed assertion may carry."""
        return sha256(f"key of {self._secret}".encode()).hexdigest()[:40]

    def check(self, request: Request) -> None:
        """Raises GoogleError for a request whose token is not good for the Chronicle API now."""
        kind, _, token = request.headers.get("authorization", "").partition(" ")
        until, scopes = self._tokens.get(token, (self._clock(), frozenset()))
        if kind != "Bearer" or until <= self._clock():
            message = "Request had invalid authentication credentials. Expected OAuth 2 access token."
            raise GoogleError(401, message)
        if SCOPE not in scopes:
            raise GoogleError(403, "Request had insufficient authentication scopes.")

    async def issue(self, request: Request) -> Response:
        """``POST /token``."""
        form = dict(parse_qsl((await request.body()).decode("utf-8", "replace")))
        try:
            scopes = self._checked(form)
        except _InvalidError as error:
            code, text = error.args
            return JSONResponse({"error": code, "error_description": text}, 400)
        token = f"ya29.{sha256(f'{self._secret} token {len(self._tokens)}'.encode()).hexdigest()}"
        self._tokens[token] = (self._clock() + _LIFE, scopes)
        seconds = int(_LIFE.total_seconds()) - 1
        return JSONResponse({"access_token": token, "expires_in": seconds, "token_type": "Bearer"})

    def _pair(self) -> RSAKey:
        if self._key is None:
            self._key = RSAKey.generate_key(2048, private=True)
        return self._key

    def _checked(self, form: Mapping[str, str]) -> frozenset[str]:
        """The scopes that are granted."""
        if form.get("grant_type") != _GRANT:
            raise _InvalidError("unsupported_grant_type", "Invalid grant_type: ")
        claims = self._claims(form.get("assertion", ""))
        now = self._clock().timestamp()
        if claims.get("iss") != self.client_email or claims.get("sub", self.client_email) != self.client_email:
            raise _InvalidError("invalid_grant", "Invalid grant: account not found")
        if claims.get("aud") != AUDIENCE:
            raise _InvalidError("invalid_grant", "Invalid JWT: the audience must be the token endpoint.")
        begin, end = claims.get("iat"), claims.get("exp")
        if not isinstance(begin, int) or not isinstance(end, int) or not begin - _SLACK <= now < end <= begin + 3600:
            text = "Invalid JWT: Token must be a short-lived token (60 minutes) and in a reasonable timeframe."
            raise _InvalidError("invalid_grant", f"{text} Check your iat and exp values in the JWT claim.")
        wanted = frozenset(str(claims.get("scope", "")).split())
        if not wanted or wanted - _SCOPES:
            raise _InvalidError("invalid_scope", "Invalid OAuth scope or ID token audience provided.")
        return wanted

    def _claims(self, assertion: str) -> Mapping[str, Any]:
        try:
            read = jwt.decode(assertion, self._pair(), algorithms=["RS256"])
        except (JoseError, ValueError):
            raise _InvalidError("invalid_grant", "Invalid JWT Signature.") from None
        if read.header.get("kid", self.key_id) != self.key_id:
            raise _InvalidError("invalid_grant", "Invalid JWT Signature.")
        claims: dict[str, Any] = read.claims
        return claims
