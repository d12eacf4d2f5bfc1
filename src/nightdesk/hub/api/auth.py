"""Who is calling: bearer tokens for programs, a signed cookie for the console; the tenant is the credential's."""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta

import orjson
from fastapi import Request

from nightdesk.hub.api.problems import ProblemError
from nightdesk.hub.api.view import HubView, Principal, Role

__all__ = ["CONSOLE_ROLES", "COOKIE", "DELIVERS", "SESSION_HOURS", "Sessions", "require", "token_of"]

COOKIE = "nightdesk_session"
SESSION_HOURS = 8
DELIVERS = frozenset({Role.SERVICE, Role.ADMIN})
CONSOLE_ROLES = frozenset({Role.VIEWER, Role.ANALYST, Role.APPROVER, Role.ADMIN})


def token_of(request: Request, scheme: str) -> str:
    """The token after that scheme in ``Authorization``; empty when there is none of that scheme."""
    given, _, token = request.headers.get("authorization", "").partition(" ")
    return token.strip() if given.lower() == scheme.lower() else ""


def require(request: Request, hub: HubView, roles: Collection[Role]) -> Principal:
    """The caller behind a bearer token. Raises a 401 without a valid one, a 403 when its role is not one of these."""
    where = f"{request.method} {request.url.path}"
    token = token_of(request, "Bearer")
    caller = hub.authenticate(token) if token else None
    if caller is None:
        raise ProblemError(
            401,
            "unauthenticated",
            "the token is unknown, expired or revoked" if token else "no bearer token was sent",
            where=where,
            what_to_do="send the header 'Authorization: Bearer TOKEN' with a token of the tenant",
            headers={"WWW-Authenticate": "Bearer"},
        )
    if caller.role not in roles:
        raise ProblemError(
            403,
            "forbidden",
            f"{caller.name} has the role {caller.role}, this needs {' or '.join(sorted(roles))}",
            where=where,
            what_to_do="use a token with one of these roles",
        )
    return caller


@dataclass(frozen=True, slots=True)
class Sessions:
    """Signs and reads console cookies. The cookie says who, never carries the token, and ends after eight hours."""

    key: bytes

    def issue(self, principal: Principal, now: datetime) -> str:
        """A cookie value for this principal."""
        until = int((now + timedelta(hours=SESSION_HOURS)).timestamp())
        body = orjson.dumps([principal.tenant, principal.name, until])
        return f"{_text(body)}.{_text(self._sign(body))}"

    def read(self, cookie: str, hub: HubView) -> Principal | None:
        """The principal as the hub knows it now; None when the cookie is forged, over, or its holder was revoked."""
        head, _, tail = cookie.partition(".")
        try:
            body, signature = _bytes(head), _bytes(tail)
        except (binascii.Error, ValueError):
            return None
        if not hmac.compare_digest(signature, self._sign(body)):
            return None
        tenant, name, until = orjson.loads(body)
        if hub.clock().timestamp() >= until:
            return None
        found = hub.principal(tenant, name)
        return found if found is not None and found.role in CONSOLE_ROLES else None

    def caller(self, request: Request, hub: HubView) -> Principal | None:
        """Who is signed in where that request comes from."""
        return self.read(request.cookies.get(COOKIE, ""), hub)

    def form(self, cookie: str, about: str) -> str:
        """What a form of this session about that thing carries, so that no other site can send one in its place."""
        signed = hmac.digest(self.key, b"nightdesk console form\0" + f"{about}\0{cookie}".encode(), hashlib.sha256)
        return _text(signed)

    def is_form(self, given: str, cookie: str, about: str) -> bool:
        """Whether a form that came back is one of this session about that thing."""
        return hmac.compare_digest(given.encode(), self.form(cookie, about).encode())

    def _sign(self, body: bytes) -> bytes:
        return hmac.digest(self.key, b"nightdesk console session\0" + body, hashlib.sha256)


def _text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def _bytes(text: str) -> bytes:
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
