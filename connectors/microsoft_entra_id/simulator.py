"""An Entra tenant behind Graph that is strict about permissions, throttles, page sizes, filters and who masters a user.

Written from Microsoft's reference pages and cited public bug reports; no live tenant was asked.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any
from urllib.parse import parse_qsl

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from nightdesk.connectors.microsoft_entra_id.payloads import detection_payload, guid
from nightdesk.connectors.microsoft_entra_id.simulated_directory import DirectoryApi
from nightdesk.connectors.microsoft_entra_id.simulated_groups import GroupsApi
from nightdesk.connectors.microsoft_entra_id.simulated_methods import MethodsApi
from nightdesk.connectors.microsoft_entra_id.simulated_risks import RisksApi
from nightdesk.connectors.microsoft_entra_id.wire import DENIED, Call, GraphError, Permissions, Wire
from nightdesk.sdk import testing
from nightdesk.sdk.context import Clock, utc_now
from nightdesk.sdk.secrets import Secret
from nightdesk.sdk.testing import FaultPlan, SeenRequest, StoryAccount, StoryAlert

__all__ = ["LEAST", "Simulator"]

LEAST = frozenset(
    {
        "IdentityRiskEvent.Read.All",
        "IdentityRiskEvent.ReadWrite.All",
        "IdentityRiskyUser.ReadWrite.All",
        "User.Read.All",
        "User.EnableDisableAccount.All",
        "User.RevokeSessions.All",
        "User-PasswordProfile.ReadWrite.All",
        "UserAuthenticationMethod.ReadWrite.All",
        "GroupMember.ReadWrite.All",
        "Directory.Read.All",
    }
)
"""The least privileged application permissions that cover everything."""

_VERSION = "/v1.0"
_LIFE = 3599  # seconds
_CLOSED = frozenset({"remediated", "dismissed", "confirmedSafe", "none"})
_DISPOSITIONS: Mapping[str, str] = {
    "confirmedCompromised": "true-positive",
    "confirmedSafe": "false-positive",
    "dismissed": "benign-positive",
}


class Simulator(testing.Simulator):
    """One tenant with one app registration; ``permissions`` are what an administrator consented to."""

    vendor = "microsoft_entra_id"

    def __init__(
        self,
        *,
        clock: Clock = utc_now,
        faults: FaultPlan | None = None,
        secret: str = "",
        permissions: Iterable[str] = LEAST,
    ) -> None:
        super().__init__(clock=clock, faults=faults, secret=secret)
        self.tenant_id = guid("tenant", self.secret)
        self.client_id = guid("client", self.secret)
        self.permissions = set(permissions)
        self._tokens: dict[str, datetime] = {}
        self._wire = Wire(self.now, self.faults)
        self.users = DirectoryApi(self._wire, self.now, self.directory, self.tenant_id)
        self.groups = GroupsApi(self._wire, self.directory, self.users, self.tenant_id)
        self.methods = MethodsApi(self._wire, self.directory, self.users)
        self.risks = RisksApi(self._wire, self.now, self.faults, self.drift, self.users.record, self.tenant_id)

    def routes(self) -> list[BaseRoute]:
        """The token endpoint, and the part of Graph that a hub needs."""
        table = [row for api in (self.risks, self.users, self.groups, self.methods) for row in api.routes()]
        guarded = [
            Route(f"{_VERSION}{path}", self._guard(needed, call), methods=[method])
            for method, path, needed, call in table
        ]
        return [Route("/{tenant}/oauth2/v2.0/token", self._token, methods=["POST"]), *guarded]

    def settings(self, base_url: str) -> dict[str, Any]:
        """Settings of a connector that reaches this simulator; it is its own login host."""
        return {
            "base_url": base_url,
            "login_url": base_url,
            "tenant_id": self.tenant_id,
            "client_id": self.client_id,
            "client_secret": Secret.literal(self.secret),
        }

    def add_accounts(self, accounts: Iterable[StoryAccount]) -> None:
        """Enrols accounts that the tenant masters itself; ``users.enrol`` makes synced ones and guests."""
        self.users.enrol(accounts)

    def add(self, alert: StoryAlert) -> str:
        """Raises a risk detection; the risk of its user follows with ``risks.recalculate``, as Entra's own does."""
        user = self.users.find(alert.user, alert.user_domain) if alert.user else None
        if user is None and alert.user:
            domain = (alert.user_domain or "corp").lower()
            domain = domain if "." in domain else f"{domain}.example.com"
            name = alert.user if "@" in alert.user else f"{alert.user}@{domain}"
            user = {"id": guid(self.tenant_id, "user", name), "displayName": alert.user, "userPrincipalName": name}
        payload = detection_payload(alert, tenant_id=self.tenant_id, user=user)
        native_id = str(payload["id"])
        if native_id in self.risks.detections:
            raise ValueError(f"the story raises {alert.uid} twice")
        self.risks.detections[native_id] = payload
        return native_id

    def forget_pages(self) -> None:
        """Every page token given out so far is refused from now on."""
        self._wire.forget_pages()

    def alert_state(self, native_id: str) -> Mapping[str, Any]:
        """Status and disposition in our words; Entra keeps no comments."""
        row = self.risks.detections.get(native_id) or self.risks.risky_users[native_id]
        status = "closed" if row["riskState"] in _CLOSED else "open"
        return {"status": status, "disposition": _DISPOSITIONS.get(row["riskState"], ""), "comments": []}

    def mutations(self) -> list[SeenRequest]:
        """A token is asked for with a POST that changes nothing."""
        return [request for request in super().mutations() if not request.path.endswith("/oauth2/v2.0/token")]

    def refuse(self, status: int, message: str, headers: Mapping[str, str] | None = None) -> Response:
        """Graph's envelope, for what the fault plan refuses."""
        codes = {401: "InvalidAuthenticationToken", 403: "Authorization_RequestDenied", 429: "TooManyRequests"}
        return self._wire.refuse(status, codes.get(status, "ServiceUnavailable"), message, headers)

    def _guard(self, needed: Permissions, call: Call) -> Call:
        async def guarded(request: Request) -> Response:
            token = request.headers.get("authorization", "").removeprefix("Bearer ")
            if self._tokens.get(token, self.now()) <= self.now():
                message = "Lifetime validation failed, the token is expired." if token in self._tokens else "No token."
                return self.refuse(401, message)
            wait = self._wire.throttled(request.url.path)
            if wait is not None:
                return self.refuse(429, "Too Many Requests", wait)
            granted = frozenset(self.permissions)
            if not any(alternative <= granted for alternative in needed):
                return self._wire.refuse(403, "Authorization_RequestDenied", DENIED)
            request.state.granted = granted
            try:
                return await call(request)
            except GraphError as error:
                return self._wire.refuse(error.status, error.code, str(error))

        return guarded

    async def _token(self, request: Request) -> Response:
        form = dict(parse_qsl((await request.body()).decode("utf-8", "replace")))
        base = f"{request.url.scheme}://{request.url.netloc}"
        rows = (
            (request.path_params["tenant"] != self.tenant_id, 400, "invalid_request", "AADSTS90002: Tenant not found."),
            (form.get("grant_type") != "client_credentials", 400, "unsupported_grant_type", "AADSTS70003: grant_type."),
            (form.get("client_id") != self.client_id, 400, "unauthorized_client", "AADSTS700016: No such application."),
            (form.get("scope") != f"{base}/.default", 400, "invalid_scope", "AADSTS1002012: scope is not valid."),
            (form.get("client_secret") != self.secret, 401, "invalid_client", "AADSTS7000215: Invalid client secret."),
        )
        for wrong, status, code, description in rows:
            if wrong:
                return JSONResponse({"error": code, "error_description": description}, status)
        token = sha256(f"{self.secret} token {len(self._tokens)}".encode()).hexdigest()
        self._tokens[token] = self.now() + timedelta(seconds=_LIFE)
        body = {"token_type": "Bearer", "expires_in": _LIFE, "ext_expires_in": _LIFE, "access_token": token}
        return JSONResponse(body)
