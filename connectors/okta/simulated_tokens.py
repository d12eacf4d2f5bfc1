"""The simulated org authorization server: client credentials with private_key_jwt, as a service app must sign in.

Source: https://developer.okta.com/docs/guides/implement-oauth-for-okta-serviceapp/main/
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

from nightdesk.sdk.context import Clock

__all__ = ["PATH", "TokensApi"]

PATH = "/oauth2/v1/token"
_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
_LIFE = timedelta(hours=1)


class _InvalidError(Exception):
    """What the token endpoint answers with, as code and text."""


class TokensApi:
    """One service app with one key. ``dpop``: it wants proofs of possession, which a plain bearer client has not."""

    def __init__(self, clock: Clock, secret: str, granted: set[str], *, dpop: bool = False) -> None:
        self.client_id = f"0oa{sha256(f'app {secret}'.encode()).hexdigest()[:17]}"
        self._clock = clock
        self._secret = secret
        self._granted = granted
        self._dpop = dpop
        self._key: RSAKey | None = None
        self._used: set[str] = set()
        self._tokens: dict[str, tuple[datetime, frozenset[str]]] = {}

    @property
    def private_key(self) -> str:
        """The app's key as PEM in one line, as ``file:`` reads it; made when first wanted, for that takes a while."""
        return " ".join(self._pair().as_pem(private=True).decode().split("\n")).strip()

    def scopes(self, token: str) -> frozenset[str] | None:
        """What a token may do; None when it is unknown or has ended."""
        until, scopes = self._tokens.get(token, (self._clock(), frozenset()))
        return scopes if until > self._clock() else None

    async def issue(self, request: Request) -> Response:
        """The token endpoint."""
        form = dict(parse_qsl((await request.body()).decode("utf-8", "replace")))
        try:
            scopes = self._checked(form, f"{request.url.scheme}://{request.url.netloc}{PATH}")
        except _InvalidError as error:
            code, text = error.args
            return JSONResponse({"error": code, "error_description": text}, 401 if code == "invalid_client" else 400)
        token = f"eyJ{sha256(f'{self._secret} token {len(self._tokens)}'.encode()).hexdigest()}"
        self._tokens[token] = (self._clock() + _LIFE, scopes)
        seconds = int(_LIFE.total_seconds())
        return JSONResponse(
            {"token_type": "Bearer", "expires_in": seconds, "access_token": token, "scope": " ".join(sorted(scopes))}
        )

    def _pair(self) -> RSAKey:
        if self._key is None:
            self._key = RSAKey.generate_key(2048, private=True)
        return self._key

    def _checked(self, form: Mapping[str, str], audience: str) -> frozenset[str]:
        """The scopes that are granted."""
        if self._dpop:
            raise _InvalidError("invalid_dpop_proof", "The DPoP proof JWT header is missing.")
        if form.get("grant_type") != "client_credentials":
            raise _InvalidError("unsupported_grant_type", "The authorization grant type is not supported.")
        if form.get("client_assertion_type") != _TYPE or not form.get("client_assertion"):
            # A client secret is not accepted for okta.* scopes.
            raise _InvalidError("invalid_client", "Client Credentials requests to the Org Authorization Server must"
                                " use the private_key_jwt token_endpoint_auth_method.")  # fmt: skip
        claims = self._claims(form["client_assertion"])
        now = self._clock().timestamp()
        if not claims.get("iss") == claims.get("sub") == self.client_id:
            raise _InvalidError("invalid_client", "Invalid value for 'client_id' parameter.")
        if claims.get("aud") != audience:
            raise _InvalidError("invalid_client", "The audience claim for client_assertion must be the token endpoint.")
        until = claims.get("exp")
        if not isinstance(until, int) or not now < until <= now + _LIFE.total_seconds():
            raise _InvalidError("invalid_client", "The client_assertion token has an expiry that is not acceptable.")
        if claims.get("jti") in self._used:
            raise _InvalidError("invalid_client", "The client_assertion token has already been used.")
        self._used.add(str(claims.get("jti")))
        wanted = frozenset(form.get("scope", "").split())
        if not wanted or wanted - self._granted:
            raise _InvalidError("invalid_scope", "One or more scopes are not configured for the authorization server"
                                " resource.")  # fmt: skip
        return wanted

    def _claims(self, assertion: str) -> Mapping[str, Any]:
        try:
            claims: dict[str, Any] = jwt.decode(assertion, self._pair(), algorithms=["RS256"]).claims
        except (JoseError, ValueError):
            raise _InvalidError("invalid_client", "The client_assertion signature is invalid.") from None
        return claims
