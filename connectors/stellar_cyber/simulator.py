"""A Stellar Cyber platform that is strict where the vendor is: tokens of ten minutes, permissions, limits, words.

Written from the vendor's published API pages and its public sync scripts; no live platform was asked.
"""

from base64 import b64decode
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from nightdesk.connectors.stellar_cyber.payloads import case_payload, hex_of
from nightdesk.connectors.stellar_cyber.simulated_cases import CasesApi
from nightdesk.connectors.stellar_cyber.wire import Call, RefusedError, refusal
from nightdesk.sdk import testing
from nightdesk.sdk.context import Clock, utc_now
from nightdesk.sdk.secrets import Secret
from nightdesk.sdk.testing import FaultPlan, SeenRequest, StoryAlert

__all__ = ["Simulator"]

_ROOT = "/connect/api/v1"
_TOKEN_PATH = f"{_ROOT}/access_token"
_TOKEN_LIFE = timedelta(minutes=10)
_USER = "svc-nightdesk@example.com"
_DISPOSITIONS = {"True Positive": "true-positive", "False Positive": "false-positive", "Benign": "benign-positive"}


class Simulator(testing.Simulator):
    """One platform with two tenants and one user, whose ``permissions`` may be taken away."""

    vendor = "stellar_cyber"

    def __init__(self, *, clock: Clock = utc_now, faults: FaultPlan | None = None, secret: str = "") -> None:
        super().__init__(clock=clock, faults=faults, secret=secret)
        self.tenant_id, self.other_tenant_id = (hex_of(32, name, self.secret) for name in ("tenant", "other"))
        self.permissions = {"Cases: View", "Cases: Edit"}
        self.cases = CasesApi(self.now, self.drift)
        self._tokens: dict[str, datetime] = {}

    def routes(self) -> list[BaseRoute]:
        """The endpoints that a hub needs."""
        return [
            Route(_TOKEN_PATH, self._token, methods=["POST"]),
            *(
                Route(_ROOT + path, self._guard(call, permission), methods=[method])
                for method, path, permission, call in self.cases.routes()
            ),
        ]

    def settings(self, base_url: str) -> dict[str, Any]:
        """Settings of a connector that reaches this simulator."""
        api_key = Secret.literal(self.secret)
        return {"base_url": base_url, "user": _USER, "api_key": api_key, "tenant_id": self.tenant_id}

    def add(self, alert: StoryAlert) -> str:
        """Opens a case of the alert."""
        return self._open(alert, self.tenant_id)

    def add_elsewhere(self, alert: StoryAlert) -> str:
        """Opens a case of the platform's other tenant."""
        return self._open(alert, self.other_tenant_id)

    def alert_state(self, native_id: str) -> Mapping[str, Any]:
        """Status, resolution and comments in our words."""
        case = self.cases.cases[native_id]
        status = "closed" if case["status"] in {"Resolved", "Cancelled"} else "open"
        comments = [one["comment"] for one in self.cases.comments.get(native_id, ())]
        disposition = _DISPOSITIONS.get(case.get("resolution", ""), "")
        return {"status": status, "disposition": disposition, "comments": comments}

    def mutations(self) -> list[SeenRequest]:
        """Asking for a token is a POST that changes nothing."""
        return [request for request in super().mutations() if request.path != _TOKEN_PATH]

    def refuse(self, status: int, message: str, headers: Mapping[str, str] | None = None) -> Response:
        """The vendor's envelope, and its own words for a limit."""
        return refusal(status, "Rate limit exceeded" if status == 429 else message, headers)

    def _open(self, alert: StoryAlert, tenant: str) -> str:
        native_id = hex_of(24, "case", tenant, alert.uid)
        if native_id in self.cases.cases:
            raise ValueError(f"the story raises {alert.uid} twice")
        made = case_payload(alert, native_id=native_id, ticket=self.cases.ticket(), tenant=tenant)
        self.cases.cases[native_id] = made
        return native_id

    def _guard(self, call: Call, permission: str) -> Call:
        async def guarded(request: Request) -> Response:
            try:
                scheme, _, token = request.headers.get("authorization", "").partition(" ")
                if scheme != "Bearer" or self._tokens.get(token, self.now()) <= self.now():
                    raise RefusedError(401, "token expired")  # noqa: TRY301  # the envelope is put on in one place
                if permission not in self.permissions:
                    raise RefusedError(403, "permission denied")  # noqa: TRY301  # as above
                return await call(request)
            except RefusedError as error:
                return self.refuse(error.status, str(error))

        return guarded

    async def _token(self, request: Request) -> Response:
        scheme, _, pair = request.headers.get("authorization", "").partition(" ")
        try:
            user, _, key = b64decode(pair, validate=True).decode().partition(":")
        except ValueError:
            user = key = ""
        if scheme != "Basic" or (user, key) != (_USER, self.secret):
            return self.refuse(401, "invalid credentials")
        number = str(len(self._tokens))
        token = ".".join(hex_of(40, part, self.secret, number) for part in ("header", "claims", "signature"))
        self._tokens[token] = end = self.now() + _TOKEN_LIFE
        return JSONResponse({"access_token": token, "exp": int(end.timestamp()), "token_type": "Bearer"})
