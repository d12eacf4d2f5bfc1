"""A Defender XDR tenant that is strict about what Microsoft is strict about: audiences, roles, OData, enum words.

Graph, Defender for Endpoint and the token endpoint are one application here, told apart by their paths. Written from
the vendor's published reference pages and cited public bug reports; no live tenant was asked.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any
from urllib.parse import parse_qsl

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from nightdesk.connectors.microsoft_defender_xdr.names import guid, machine_id
from nightdesk.connectors.microsoft_defender_xdr.payloads import alert_payload, incident_payload
from nightdesk.connectors.microsoft_defender_xdr.simulated_actions import ActionsApi
from nightdesk.connectors.microsoft_defender_xdr.simulated_alerts import AlertsApi
from nightdesk.connectors.microsoft_defender_xdr.simulated_hosts import HostsApi
from nightdesk.connectors.microsoft_defender_xdr.simulated_hunting import HuntingApi, alert_row, device_row
from nightdesk.connectors.microsoft_defender_xdr.simulated_indicators import IndicatorsApi
from nightdesk.connectors.microsoft_defender_xdr.wire import ENDPOINT, GRAPH, Call, RefusedError, Wire
from nightdesk.sdk import testing
from nightdesk.sdk.context import Clock, utc_now
from nightdesk.sdk.secrets import Secret
from nightdesk.sdk.testing import FaultPlan, SeenRequest, StoryAlert, StoryDevice

__all__ = ["ALL_ROLES", "Simulator"]

ALL_ROLES = frozenset(
    {"SecurityAlert.ReadWrite.All", "SecurityIncident.ReadWrite.All", "ThreatHunting.Read.All", "Machine.Read.All"}
    | {"Machine.Isolate", "Machine.RestrictExecution", "Machine.Scan", "Machine.CollectForensics", "File.Read.All"}
    | {"Machine.StopAndQuarantine", "Ti.ReadWrite.All"}
)

_TOKEN_LIFE = 3599  # seconds
_AUDIENCES = {
    "https://graph.microsoft.com/.default": GRAPH,
    "https://api.securitycenter.microsoft.com/.default": ENDPOINT,
    "https://securitycenter.onmicrosoft.com/windowsatpservice/.default": ENDPOINT,
}
_DISPOSITIONS = {
    "truePositive": "true-positive",
    "falsePositive": "false-positive",
    "informationalExpectedActivity": "benign-positive",
}
_ANSWERS = {401: "InvalidAuthenticationToken", 403: "Forbidden", 404: "NotFound", 429: "TooManyRequests"}
_PER_MINUTE = {GRAPH: 150, ENDPOINT: 100}


class Simulator(testing.Simulator):
    """One tenant with one app registration.

    ``roles`` are the application permissions it was granted. A token holds those of the moment it was issued.
    """

    vendor = "microsoft_defender_xdr"

    def __init__(
        self,
        *,
        clock: Clock = utc_now,
        faults: FaultPlan | None = None,
        secret: str = "",
        roles: Iterable[str] = ALL_ROLES,
        requests_per_minute: Mapping[str, int] | None = None,
    ) -> None:
        super().__init__(clock=clock, faults=faults, secret=secret)
        self.tenant_id = guid(f"tenant {self.secret}")
        self.client_id = guid(f"client {self.secret}")
        self.roles = set(roles)
        self._tokens: dict[str, tuple[str, datetime, frozenset[str]]] = {}
        self._wire = Wire(self.now, requests_per_minute or _PER_MINUTE)
        self._alerts = AlertsApi(self.now, self.faults, self.drift, "nightdesk")
        self._hosts = HostsApi(self.now, self.fleet)
        self.actions = ActionsApi(self.now, self.fleet, self._hosts, self.client_id)
        self._indicators = IndicatorsApi(self.now, self.client_id, lambda: self.roles)
        self._hunting = HuntingApi(
            {
                "AlertInfo": lambda: map(alert_row, self.alerts.values()),
                "DeviceInfo": lambda: map(device_row, map(self._hosts.record, self.fleet.devices)),
            }
        )

    @property
    def alerts(self) -> Mapping[str, dict[str, Any]]:
        """Every alert by id."""
        return self._alerts.alerts

    @property
    def incidents(self) -> Mapping[str, dict[str, Any]]:
        """Every incident by id."""
        return self._alerts.incidents

    @property
    def indicators(self) -> Mapping[str, dict[str, Any]]:
        """Every custom indicator by id."""
        return self._indicators.indicators

    @property
    def queries(self) -> list[str]:
        """Every hunting query that came."""
        return self._hunting.queries

    def routes(self) -> list[BaseRoute]:
        """The endpoints that a hub needs, and the token endpoint."""
        table = [
            (surface, row)
            for surface, apis in (
                (GRAPH, (self._alerts, self._hunting)),
                (ENDPOINT, (self._hosts, self.actions, self._indicators)),
            )
            for api in apis
            for row in api.routes()
        ]
        guarded = [
            Route(path, self._guard(surface, roles, call), methods=[method])
            for surface, (method, path, roles, call) in table
        ]
        return [Route("/{tenant}/oauth2/v2.0/token", self._token, methods=["POST"]), *guarded]

    def settings(self, base_url: str) -> dict[str, Any]:
        """Settings of a connector that reaches this simulator."""
        return {
            **dict.fromkeys(("graph_url", "endpoint_url", "login_url"), base_url),
            "tenant_id": self.tenant_id,
            "client_id": self.client_id,
            "client_secret": Secret.literal(self.secret),
        }

    def add_devices(self, devices: Iterable[StoryDevice]) -> None:
        """Onboards devices."""
        self._hosts.enrol(devices)

    def retire(self, device_id: str) -> None:
        """The story's device falls silent for good: it was reinstalled, or its machine is gone."""
        name = machine_id(device_id)
        self._hosts.record(name)
        self.fleet.devices[name].online = False

    def ignore_order(self) -> None:
        """From now on ``$orderby`` has no effect: newest first, as for who does not ask."""
        self._alerts.orders = False

    def add(self, alert: StoryAlert) -> str:
        """Raises an alert; its device is onboarded if it is new. Alerts of one device share an incident."""
        if alert.device is not None:
            self.add_devices([alert.device])
        about = alert.device.device_id if alert.device else alert.user or alert.uid
        incident_id = str(10_000 + int(sha256(about.encode()).hexdigest()[:6], 16))
        payload = alert_payload(alert, tenant_id=self.tenant_id, incident_id=incident_id)
        if payload["id"] in self.alerts:
            raise ValueError(f"the story raises {alert.uid} twice")
        self._alerts.alerts[payload["id"]] = payload
        incident = self._alerts.incidents.setdefault(incident_id, incident_payload(payload))
        incident["lastUpdateDateTime"] = max(incident["lastUpdateDateTime"], payload["lastUpdateDateTime"])
        return str(payload["id"])

    def triage(self, alert_id: str, comment: str = "", **fields: str) -> None:
        """What an analyst does in the portal."""
        if fields:
            self._alerts.change(self._alerts.alerts, alert_id, fields)
        if comment:
            self._alerts.comment(self._alerts.alerts[alert_id], comment, "analyst@example.com")

    def ask(self, device_id: str, path: str, **body: str) -> dict[str, Any]:
        """An action that an analyst asks of a story's device in the portal, by the name of its call."""
        comment = {"Comment": "from the portal"}
        return self.actions.ask(machine_id(device_id), path, {**comment, **body}, "analyst@example.com")

    def add_indicator(self, **indicator: Any) -> str:
        """What somebody else made in the portal; gives its id."""
        given = {"title": "portal", "description": "by hand", "action": "Block", **indicator}
        return str(self._indicators.submit(given, "analyst@example.com")["id"])

    def alert_state(self, native_id: str) -> Mapping[str, Any]:
        """Status, disposition and comments in our words."""
        row = self.alerts[native_id]
        verdict = _DISPOSITIONS.get(row["classification"], "")
        return {
            "status": "closed" if row["status"] == "resolved" else "open",
            "disposition": "test" if row["determination"] == "securityTesting" else verdict,
            "comments": [comment["comment"] for comment in row["comments"]],
        }

    def mutations(self) -> list[SeenRequest]:
        """A token and a hunting query are POSTs that change nothing."""
        reading = ("/oauth2/v2.0/token", "runHuntingQuery")
        return [request for request in super().mutations() if not request.path.endswith(reading)]

    def refuse(self, status: int, message: str, headers: Mapping[str, str] | None = None) -> Response:
        """Graph's envelope."""
        return self._wire.refuse(GRAPH, status, _ANSWERS.get(status, "ServiceUnavailable"), message, headers)

    def _guard(self, surface: str, roles: tuple[str, ...], call: Call) -> Call:
        async def guarded(request: Request) -> Response:
            wait = self._wire.overspent(surface)
            if wait:
                headers = self.rate_limit_headers(wait)
                return self._wire.refuse(surface, 429, "TooManyRequests", "Too many requests", headers)
            token = request.headers.get("authorization", "").removeprefix("Bearer ")
            audience, until, held = self._tokens.get(token, ("", self.now(), frozenset()))
            if audience != surface or until <= self.now():
                code = "InvalidAuthenticationToken" if surface == GRAPH else "Unauthorized"
                return self._wire.refuse(surface, 401, code, "Access token validation failure. Invalid audience.")
            if not held & set(roles):
                message = f"Missing application roles. API required roles: {','.join(roles)}"
                return self._wire.refuse(surface, 403, "Forbidden", message)
            try:
                return await call(request)
            except RefusedError as error:
                return self._wire.refuse(surface, error.status, error.code, error.message)

        return guarded

    async def _token(self, request: Request) -> Response:
        form = dict(parse_qsl((await request.body()).decode("utf-8", "replace")))
        if request.path_params["tenant"] != self.tenant_id:
            return _no_token(400, "invalid_request", "AADSTS90002: Tenant not found. Check the tenant id.")
        if form.get("grant_type") != "client_credentials":
            return _no_token(400, "unsupported_grant_type", "AADSTS70003: Unsupported grant type.")
        if form.get("client_id") != self.client_id:
            return _no_token(400, "unauthorized_client", "AADSTS700016: Application was not found in the directory.")
        if form.get("client_secret") != self.secret:
            return _no_token(401, "invalid_client", "AADSTS7000215: Invalid client secret provided.")
        audience = _AUDIENCES.get(form.get("scope", ""))
        if audience is None:
            return _no_token(400, "invalid_scope", "AADSTS1002012: The provided value for scope is not valid.")
        token = sha256(f"{self.secret} token {len(self._tokens)}".encode()).hexdigest()
        self._tokens[token] = (audience, self.now() + timedelta(seconds=_TOKEN_LIFE), frozenset(self.roles))
        return JSONResponse(
            {"token_type": "Bearer", "expires_in": _TOKEN_LIFE, "ext_expires_in": _TOKEN_LIFE, "access_token": token}
        )


def _no_token(status: int, error: str, description: str) -> Response:
    return JSONResponse({"error": error, "error_description": description}, status)
