"""A Falcon CID that is strict about what Falcon is strict about: scopes, limits, string values, page tokens, IOC rules.

Written from the vendor's published endpoint tables and cited public bug reports; no live tenant was asked.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any
from urllib.parse import parse_qsl

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from nightdesk.connectors.crowdstrike_falcon.fql import FqlError
from nightdesk.connectors.crowdstrike_falcon.payloads import alert_payload
from nightdesk.connectors.crowdstrike_falcon.simulated_alerts import AlertsApi
from nightdesk.connectors.crowdstrike_falcon.simulated_hosts import HostsApi
from nightdesk.connectors.crowdstrike_falcon.simulated_iocs import IocsApi
from nightdesk.connectors.crowdstrike_falcon.simulated_quarantine import QuarantineApi
from nightdesk.connectors.crowdstrike_falcon.simulated_rtr import RtrApi
from nightdesk.connectors.crowdstrike_falcon.simulated_scans import ScansApi
from nightdesk.connectors.crowdstrike_falcon.simulated_shell import Shell
from nightdesk.connectors.crowdstrike_falcon.wire import BadRequestError, Call, Wire
from nightdesk.sdk import testing
from nightdesk.sdk.context import Clock, utc_now
from nightdesk.sdk.secrets import Secret
from nightdesk.sdk.testing import FaultPlan, SeenRequest, StoryAlert, StoryDevice

__all__ = ["ALL_SCOPES", "PREFIX", "Simulator"]

ALL_SCOPES = frozenset(
    f"{api}:{right}" for api in ("alerts", "hosts", "iocs", "rtr", "ods", "quarantine") for right in ("read", "write")
) | {"rtr:admin"}
PREFIX = "cs-"
"""What makes a story's device id this vendor's own."""

_TOKEN_PATH = "/oauth2/token"
_TOKEN_LIFE = 1799  # seconds
_CLOUDS = {"us-1": "api.crowdstrike.com", "us-2": "api.us-2.crowdstrike.com", "eu-1": "api.eu-1.crowdstrike.com"}
_CONSOLE = "https://falcon.crowdstrike.com"
_DISPOSITIONS = {"true_positive": "true-positive", "false_positive": "false-positive", "ignored": "benign-positive"}
_READING_POSTS = frozenset(
    {_TOKEN_PATH, "/alerts/combined/alerts/v1", "/alerts/entities/alerts/v2", "/devices/entities/devices/v2"}
    | {f"/real-time-response/entities/{kind}/GET/v1" for kind in ("sessions", "queued-sessions")}
    | {"/quarantine/entities/quarantined-files/GET/v1"}
)


class Simulator(testing.Simulator):
    """One CID with one API client.

    ``scopes`` is what the client may do. ``home`` is the cloud it lives in when that is not this ``region``: the token
    endpoint then names it, or redirects there (``redirects``), and the API refuses.
    """

    vendor = "crowdstrike_falcon"

    def __init__(
        self,
        *,
        clock: Clock = utc_now,
        faults: FaultPlan | None = None,
        secret: str = "",
        scopes: Iterable[str] = ALL_SCOPES,
        region: str = "us-1",
        home: str = "",
        redirects: bool = False,
        requests_per_minute: int = 6000,
    ) -> None:
        super().__init__(clock=clock, faults=faults, secret=secret)
        self.client_id = sha256(f"client {self.secret}".encode()).hexdigest()[:32]
        self.cid = sha256(f"cid {self.secret}".encode()).hexdigest()[:32]
        self.scopes = set(scopes)
        self._region = region
        self._home = home or region
        self._redirects = redirects
        self._tokens: dict[str, datetime] = {}
        self._wire = Wire(self.now, requests_per_minute)
        self._alerts = AlertsApi(self._wire, self.now, self.faults, self.drift)
        self._hosts = HostsApi(self._wire, self.now, self.fleet, self.cid)
        self._iocs = IocsApi(self._wire, self.now, self.client_id)
        self._shell = Shell(self.now, self.fleet)
        self._rtr = RtrApi(self._wire, self._shell)
        self._scans = ScansApi(self._wire, self.now, self.fleet)
        self._quarantine = QuarantineApi(self._wire, self.now, self.fleet)

    @property
    def alerts(self) -> Mapping[str, Mapping[str, Any]]:
        """Every alert by composite id."""
        return self._alerts.alerts

    @property
    def scans(self) -> Mapping[str, Mapping[str, Any]]:
        """Every on-demand scan by id."""
        return self._scans.scans

    @property
    def indicators(self) -> Mapping[str, Mapping[str, Any]]:
        """Every custom indicator by id."""
        return self._iocs.indicators

    def routes(self) -> list[BaseRoute]:
        """The endpoints that a hub needs of the Alerts, Hosts, IOC, RTR, ODS and Quarantine APIs."""
        apis = (self._alerts, self._hosts, self._iocs, self._rtr, self._scans, self._quarantine)
        table = [row for api in apis for row in api.routes()]
        guarded = [Route(path, self._guard(scope, call), methods=[method]) for method, path, scope, call in table]
        return [Route(_TOKEN_PATH, self._token, methods=["POST"]), *guarded]

    def settings(self, base_url: str) -> dict[str, Any]:
        """Settings of a connector that reaches this simulator."""
        return {"base_url": base_url, "client_id": self.client_id, "client_secret": Secret.literal(self.secret)}

    def add_devices(self, devices: Iterable[StoryDevice]) -> None:
        """Enrols sensors; a second one of the same name is another machine, unless ``retire`` ended the first."""
        self._hosts.enrol(devices, PREFIX)

    def retire(self, device_id: str) -> None:
        """The sensor falls silent for good: it was reinstalled, or its machine is gone."""
        self._hosts.record(device_id)
        self.fleet.devices[device_id].online = False

    def add(self, alert: StoryAlert) -> str:
        """Raises an alert; its device enrols if it is new. ``created_timestamp`` is when it was told.

        The sensor quarantined the file of its process; as the story has it running, somebody released it since.
        """
        device: Mapping[str, Any] | None = None
        if alert.device is not None:
            self.add_devices([alert.device])
            device = self._hosts.record(f"{PREFIX}{alert.device.device_id}")
            if alert.process is not None and alert.process.path in self.fleet.devices[device["device_id"]].files:
                self._quarantine.note(device["device_id"], alert.process.path)
        payload = alert_payload(alert, cid=self.cid, console=_CONSOLE, device=device)
        composite_id = str(payload["composite_id"])
        if composite_id in self.alerts:
            raise ValueError(f"the story raises {alert.uid} twice")
        self._alerts.alerts[composite_id] = payload
        return composite_id

    def triage(self, composite_id: str, *parameters: tuple[str, str]) -> None:
        """What an analyst does in the console, as pairs of action name and value."""
        self._alerts.apply(composite_id, parameters)

    def add_indicator(self, indicator: Mapping[str, Any]) -> str:
        """What somebody else made in the console; gives its id."""
        return str(self._iocs.create(dict(indicator), created_by="analyst@example.com")["id"])

    def add_script(self, name: str, prints: str = "") -> None:
        """A custom script that an administrator uploaded, and what it prints wherever it runs."""
        self._shell.scripts[name] = prints

    def withdraw(self, session_id: str, request_id: str) -> bool:
        """What an administrator does to a command that waits for its host; False when it waits no more."""
        runs = self._shell.sessions[session_id].runs
        return self._shell.withdraw(next(run for run in runs if run.request_id == request_id))

    def alert_state(self, native_id: str) -> Mapping[str, Any]:
        """Status, disposition and comments in our words."""
        alert = self.alerts[native_id]
        tag = next((tag for tag in _DISPOSITIONS if tag in alert["tags"]), "")
        return {
            "status": "closed" if alert["status"] == "closed" else "open",
            "disposition": _DISPOSITIONS.get(tag, ""),
            "comments": [comment["value"] for comment in alert["comments"]],
        }

    def mutations(self) -> list[SeenRequest]:
        """Falcon's searches and its token are POSTs that change nothing."""
        return [request for request in super().mutations() if request.path not in _READING_POSTS]

    def refuse(self, status: int, message: str, headers: Mapping[str, str] | None = None) -> Response:
        """Falcon's envelope."""
        return self._wire.refuse(status, message, headers)

    def rate_limit_headers(self, seconds: float) -> dict[str, str]:
        """Epoch seconds, not a delta."""
        return self._wire.come_back(seconds)

    def _guard(self, scope: str, call: Call) -> Call:
        async def guarded(request: Request) -> Response:
            wait = self._wire.overspent()
            if wait:
                return self.refuse(429, "API rate limit exceeded.", self.rate_limit_headers(wait))
            token = request.headers.get("authorization", "").removeprefix("Bearer ")
            if self._tokens.get(token, self.now()) <= self.now():
                return self.refuse(401, "access denied, invalid bearer token")
            if scope not in self.scopes or self._home != self._region:
                return self.refuse(403, "access denied, authorization failed")
            try:
                return await call(request)
            except (BadRequestError, FqlError) as error:
                return self.refuse(400, str(error))

        return guarded

    async def _token(self, request: Request) -> Response:
        if self._home != self._region and self._redirects:
            headers = {"Location": f"https://{_CLOUDS[self._home]}{_TOKEN_PATH}", "X-Cs-Region": self._home}
            return self.refuse(308, "permanent redirect", headers)
        form = dict(parse_qsl((await request.body()).decode("utf-8", "replace")))
        if not form.get("client_id") or not form.get("client_secret"):
            return self.refuse(400, "client_id and client_secret are required in the form body")
        if form["client_id"] != self.client_id:
            return self.refuse(400, f"Failed to generate access token for clientID={form['client_id']}")
        if form["client_secret"] != self.secret:
            return self.refuse(403, "Failed to issue access token - Not Authorized")
        token = sha256(f"{self.secret} token {len(self._tokens)}".encode()).hexdigest()
        self._tokens[token] = self.now() + timedelta(seconds=_TOKEN_LIFE)
        body = {"access_token": token, "token_type": "bearer", "expires_in": _TOKEN_LIFE}
        return JSONResponse(body, 201, headers={"X-Cs-Region": self._home})
