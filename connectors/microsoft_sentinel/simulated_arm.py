"""How the simulated Azure Resource Manager speaks: tokens by audience, api-versions, buckets, errors."""

import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime, timedelta
from hashlib import sha256
from math import ceil
from typing import Any
from urllib.parse import parse_qsl

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from nightdesk.sdk.context import Clock

__all__ = ["ARM", "LOGS", "VERSIONS", "Arm", "Call", "RefusedError", "Routes", "Sts", "json_object"]

Call = Callable[[Request], Awaitable[Response]]
Routes = Sequence[tuple[str, str, str, Call]]
"""Method, path under the workspace's Sentinel, RBAC action, handler."""

ARM = "https://management.azure.com/.default"
LOGS = "https://api.loganalytics.io/.default"
VERSIONS = frozenset(
    {"2021-10-01", "2022-11-01", "2023-02-01", "2023-11-01", "2024-03-01", "2024-09-01", "2025-03-01", "2025-09-01"}
)
"""Stable api-versions of Microsoft.SecurityInsights."""

_TOKEN_LIFE = 3599  # seconds
_BUCKETS: Mapping[str, tuple[int, int]] = {"reads": (250, 25), "writes": (200, 10), "deletes": (200, 10)}
"""Size, and refill a second, of each kind of request."""

_KINDS = {"GET": "reads", "DELETE": "deletes"}


class RefusedError(Exception):
    """One refusal: HTTP status, ARM's code, its message."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code


class Sts:
    """The token endpoint of one directory; a token is good for one audience only."""

    def __init__(self, clock: Clock, tenant_id: str, client_id: str, secret: str) -> None:
        self._clock = clock
        self._tenant_id = tenant_id
        self._client_id = client_id
        self._secret = secret
        self._tokens: dict[str, tuple[str, datetime]] = {}

    async def issue(self, request: Request) -> Response:
        """``POST /{tenant}/oauth2/v2.0/token``: every field is checked as the v2 endpoint does."""
        form = dict(parse_qsl((await request.body()).decode("utf-8", "replace")))
        refusal: tuple[int, str, str] | None = None
        if request.path_params["tenant"] != self._tenant_id:
            refusal = (
                400,
                "invalid_request",
                "AADSTS90002: Tenant not found. Check to make sure you have the correct id.",
            )
        elif form.get("grant_type") != "client_credentials":
            refusal = (400, "unsupported_grant_type", "AADSTS70003: The grant type is not supported.")
        elif form.get("client_id") != self._client_id:
            refusal = (400, "unauthorized_client", "AADSTS700016: Application was not found in the directory.")
        elif form.get("client_secret") != self._secret:
            refusal = (401, "invalid_client", "AADSTS7000215: Invalid client secret provided.")
        elif form.get("scope") not in {ARM, LOGS}:
            refusal = (400, "invalid_scope", "AADSTS70011: The provided value for scope is not valid.")
        if refusal is not None:
            status, code, text = refusal
            return JSONResponse({"error": code, "error_description": text}, status)
        token = sha256(f"{self._secret} token {len(self._tokens)}".encode()).hexdigest()
        self._tokens[token] = (form["scope"], self._clock() + timedelta(seconds=_TOKEN_LIFE))
        return JSONResponse({"token_type": "Bearer", "expires_in": _TOKEN_LIFE, "access_token": token})

    def check(self, request: Request, audience: str) -> None:
        """Raises RefusedError for a request whose token is not good for this audience now."""
        token = request.headers.get("authorization", "").removeprefix("Bearer ")
        scope, until = self._tokens.get(token, ("", self._clock()))
        if scope != audience:
            raise RefusedError(
                401, "InvalidAuthenticationToken", "The access token is invalid or for another audience."
            )
        if until <= self._clock():
            raise RefusedError(401, "ExpiredAuthenticationToken", "The access token expiry UTC time is in the past.")


class Arm:
    """Answers with ARM's headers, and counts requests against the principal's buckets."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._left = {kind: float(size) for kind, (size, _) in _BUCKETS.items()}
        self._filled = clock()
        self._answers = 0

    def spend(self, method: str) -> float:
        """Takes one request from its bucket; seconds to wait when the bucket is empty, else 0."""
        now = self._clock()
        elapsed = max((now - self._filled).total_seconds(), 0.0)
        self._filled = now
        for kind, (size, refill) in _BUCKETS.items():
            self._left[kind] = min(self._left[kind] + elapsed * refill, size)
        kind = _KINDS.get(method, "writes")
        if self._left[kind] < 1:
            return ceil((1 - self._left[kind]) / _BUCKETS[kind][1])
        self._left[kind] -= 1
        return 0.0

    def answer(self, body: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
        """One answer; ``body`` None is an empty one."""
        self._answers += 1
        name = f"00000000-0000-4000-8000-{self._answers:012x}"
        common = {
            "x-ms-request-id": name,
            "x-ms-correlation-request-id": name,
            "x-ms-ratelimit-remaining-subscription-reads": str(int(self._left["reads"])),
            "x-ms-ratelimit-remaining-subscription-writes": str(int(self._left["writes"])),
            **(headers or {}),
        }
        return Response(status_code=status, headers=common) if body is None else JSONResponse(body, status, common)

    def refuse(self, status: int, code: str, message: str, headers: Mapping[str, str] | None = None) -> Response:
        """ARM's error envelope."""
        return self.answer({"error": {"code": code, "message": message, "details": []}}, status, headers)

    def version(self, request: Request) -> None:
        """Raises RefusedError for a missing or unknown api-version; a preview one is as good as its stable one."""
        asked = request.query_params.get("api-version")
        if asked is None:
            raise RefusedError(400, "MissingApiVersionParameter", "The api-version query parameter is required.")
        if asked.removesuffix("-preview") not in VERSIONS:
            raise RefusedError(405, "UnsupportedApiVersion", f"The api-version '{asked}' is invalid for this resource.")


async def json_object(request: Request) -> dict[str, Any]:
    """The body. Raises RefusedError when it is no JSON object."""
    try:
        body = json.loads(await request.body())
    except ValueError:
        body = None
    if not isinstance(body, dict):
        raise RefusedError(400, "InvalidRequestContent", "The request content was invalid: a JSON object is expected.")
    return body
