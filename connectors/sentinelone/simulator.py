"""A management console that is strict about what SentinelOne is strict about: names, limits, filters, permissions.

Written from two public SOAR connectors, the parameter tables that the vendor publishes and cited bug reports; no live
console was asked. One detection is seen on two surfaces under two ids: as a threat and as a unified alert.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Literal

from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import BaseRoute, Route

from nightdesk.connectors.sentinelone.payloads import number, threat_payload
from nightdesk.connectors.sentinelone.payloads_unified import unified_payload
from nightdesk.connectors.sentinelone.simulated_agents import AgentsApi
from nightdesk.connectors.sentinelone.simulated_blocklist import BlocklistApi
from nightdesk.connectors.sentinelone.simulated_mitigation import Mitigations
from nightdesk.connectors.sentinelone.simulated_threats import ThreatsApi
from nightdesk.connectors.sentinelone.simulated_unified import UnifiedApi
from nightdesk.connectors.sentinelone.wire import API, Call, RefusedError, json_object, refuse, stamp
from nightdesk.sdk import testing
from nightdesk.sdk.context import Clock, utc_now
from nightdesk.sdk.secrets import Secret
from nightdesk.sdk.testing import FaultPlan, SeenRequest, StoryAlert, StoryDevice
from nightdesk.sdk.testing.estate import RunningProcess, StoredFile

__all__ = ["ALL_PERMISSIONS", "Simulator", "Surface", "agent_id"]

ALL_PERMISSIONS = frozenset(
    {"Threats: View", "Threats: Update analyst verdict", "Threats: Update incident status", "Threats: Create notes"}
    | {"Threats: Delete notes", "Threats: Fetch files", "Mitigate threats", "Activity: View", "Endpoints: View"}
    | {"Endpoints: Disconnect from network", "Endpoints: Reconnect", "Endpoints: Initiate scan", "Blocklist: View"}
    | {"Blocklist: Create", "Blocklist: Delete", "Unified alerts: View", "Unified alerts: Manage"}
)
Surface = Literal["threats", "unified_alerts"]

_GRAPHQL = f"{API}/unifiedalerts/graphql"
_VERDICTS = {"true_positive": "true-positive", "false_positive": "false-positive", "suspicious": "likely-true-positive"}
_READING_POSTS = frozenset({_GRAPHQL, f"{API}/users/api-token-details"})
_TOKEN_DAYS = 180


def agent_id(device_id: str) -> str:
    """The console's id of a story's device."""
    return number(f"agent {device_id}")


class Simulator(testing.Simulator):
    """One account with one service user.

    ``permissions`` is what its token may do. ``surface`` is where the ids that ``add`` gives come from; the detection
    is on both. ``maintenance``: the console is being upgraded and answers 503 with a page.
    """

    vendor = "sentinelone"

    def __init__(
        self,
        *,
        clock: Clock = utc_now,
        faults: FaultPlan | None = None,
        secret: str = "",
        permissions: Iterable[str] = ALL_PERMISSIONS,
        surface: Surface = "threats",
    ) -> None:
        super().__init__(clock=clock, faults=faults, secret=secret)
        self.permissions = set(permissions)
        self.maintenance = False
        self.token_ends = self.now().timestamp() + _TOKEN_DAYS * 86_400
        self._surface = surface
        self._agents = AgentsApi(self.now, self.fleet)
        self._mitigations = Mitigations(self.now, self.fleet, self._agents.record)
        self._threats = ThreatsApi(self.now, self.faults, self._mitigations, self.drift)
        self._blocklist = BlocklistApi(self.now)
        self._unified = UnifiedApi(self.now, self.faults, lambda: "Unified alerts: Manage" in self.permissions)

    @property
    def threats(self) -> ThreatsApi:
        """The threats, as the console shows and changes them."""
        return self._threats

    @property
    def unified(self) -> UnifiedApi:
        """The unified alerts, as the console shows and changes them."""
        return self._unified

    @property
    def blocklist(self) -> BlocklistApi:
        """The blocklist, as the console shows and changes it."""
        return self._blocklist

    def routes(self) -> list[BaseRoute]:
        """The endpoints that a hub needs."""
        apis = (self._threats, self._agents, self._blocklist, self._unified)
        table = [row for api in apis for row in api.routes()]
        table += [
            ("GET", f"{API}/system/info", "", self._info),
            ("POST", f"{API}/users/api-token-details", "", self._token),
        ]
        guarded = [Route(path, self._guard(scope, call), methods=[method]) for method, path, scope, call in table]
        return [Route(f"{API}/system/status", self._status), *guarded]

    def settings(self, base_url: str) -> dict[str, Any]:
        """Settings of a connector that reaches this simulator."""
        return {
            "base_url": base_url,
            "api_token": Secret.literal(self.secret),
            "surface": self._surface,
            "fetch_password": Secret.literal("infected-0042"),
        }

    def add_devices(self, devices: Iterable[StoryDevice]) -> None:
        """Installs agents; a second one of the same name is another machine, unless ``retire`` ended the first."""
        self._agents.enrol(devices)

    def retire(self, device_id: str) -> None:
        """The agent is decommissioned: its machine is gone or was reinstalled."""
        self._agents.decommissioned.add(device_id)
        self.fleet.devices[device_id].online = False

    def add(self, alert: StoryAlert) -> str:
        """Raises a detection on both surfaces; its device enrols if it is new, and has the process and the file."""
        device = None
        if alert.device is not None:
            self.add_devices([alert.device])
            device = self.fleet.devices[agent_id(alert.device.device_id)]
        threat, node = threat_payload(alert, device), unified_payload(alert, device)
        if threat["id"] in self._threats.threats:
            raise ValueError(f"the story raises {alert.uid} twice")
        process = alert.process
        if device is not None and process is not None:
            device.processes.setdefault(process.pid, RunningProcess(process.pid, process.name))
            device.files.setdefault(process.path, StoredFile(process.path, process.sha256))
        pid, path = (str(process.pid), process.path) if process else ("", "")
        self._mitigations.add(threat, device.device_id if device else "", pid, path)
        self._unified.alerts[node["id"]] = node
        return str(threat["id"] if self._surface == "threats" else node["id"])

    def alert_state(self, native_id: str) -> Mapping[str, Any]:
        """Status, disposition and comments in our words, of a threat or a unified alert."""
        if native_id in self._unified.alerts:
            node = self._unified.alerts[native_id]
            closed, verdict = node["status"] == "RESOLVED", _spoken(node["analystVerdict"])
            notes = self._unified.notes(native_id)
        else:
            info = self._threats.threats[native_id]["threatInfo"]
            closed, verdict = info["incidentStatus"] == "resolved", _VERDICTS.get(info["analystVerdict"], "")
            notes = self._threats.notes(native_id)
        status = "closed" if closed else "open"
        return {"status": status, "disposition": verdict, "comments": [note["text"] for note in notes]}

    def mutations(self) -> list[SeenRequest]:
        """Asking about the token is a POST, and so is every query of the unified alerts; of these mutations count."""
        posts = [request for request in super().mutations() if request.path not in _READING_POSTS]
        return posts + [request for request in self.seen if request.path == _GRAPHQL][: self._unified.triggered]

    def refuse(self, status: int, message: str, headers: Mapping[str, str] | None = None) -> Response:
        """The console's envelope."""
        return refuse(status, message, headers)

    def _guard(self, permission: str, call: Call) -> Call:
        async def guarded(request: Request) -> Response:
            if self.maintenance:
                return HTMLResponse("<html><body>We are upgrading your console</body></html>", 503)
            scheme, _, token = request.headers.get("authorization", "").partition(" ")
            # The unified alerts take only Bearer; the management API takes both, whatever the case of the word.
            allowed = {"bearer"} if request.url.path == _GRAPHQL else {"apitoken", "bearer"}
            if scheme.lower() not in allowed or token != self.secret or self.now().timestamp() >= self.token_ends:
                return refuse(401, "Authentication Failed")
            if permission and permission not in self.permissions:
                return refuse(403, "Insufficient permissions")
            try:
                return await call(request)
            except RefusedError as error:
                return refuse(error.status, str(error))

        return guarded

    async def _status(self, _: Request) -> Response:
        return JSONResponse({"data": {"health": "ok"}})

    async def _info(self, _: Request) -> Response:
        return JSONResponse({"data": {"version": "25.1.3", "build": "14", "release": "Y", "patch": "SP3"}})

    async def _token(self, request: Request) -> Response:
        data = (await json_object(request)).get("data")
        if not isinstance(data, dict) or data.get("apiToken") != self.secret:
            raise RefusedError("data: apiToken: Not a valid token.")
        ends = self.now().fromtimestamp(self.token_ends, tz=self.now().tzinfo)
        return JSONResponse({"data": {"createdAt": stamp(self.now()), "expiresAt": stamp(ends)}})


def _spoken(verdict: str) -> str:
    """Our word for a verdict of the unified alerts."""
    if verdict.startswith("TRUE_POSITIVE_BENIGN"):
        return "benign-positive"
    return {"T": "true-positive", "F": "false-positive"}.get(verdict[0], "")
