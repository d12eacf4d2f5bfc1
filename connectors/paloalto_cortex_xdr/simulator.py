"""A Cortex XDR tenant that is strict about what Cortex is strict about: signatures, filters, windows, words, ids.

Written from public connector sources and the vendor's REST reference; no live tenant was asked.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Literal

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute, Route

from nightdesk.connectors.paloalto_cortex_xdr.payloads import alert_payload
from nightdesk.connectors.paloalto_cortex_xdr.simulated_alerts import AlertsApi
from nightdesk.connectors.paloalto_cortex_xdr.simulated_endpoints import EndpointsApi
from nightdesk.connectors.paloalto_cortex_xdr.simulated_library import LibraryApi
from nightdesk.connectors.paloalto_cortex_xdr.wire import BadFilterError, Call, KeyKind, Wire, unpacked
from nightdesk.sdk import testing
from nightdesk.sdk.context import Clock, utc_now
from nightdesk.sdk.secrets import Secret
from nightdesk.sdk.testing import FaultPlan, SeenRequest, StoryAlert, StoryDevice

__all__ = ["ALL_PERMISSIONS", "PREFIX", "Simulator"]

ALL_PERMISSIONS = frozenset(
    {
        "alerts:view",
        "alerts:edit",
        "endpoints:view",
        "endpoints:isolate",
        "endpoints:scan",
        "endpoints:quarantine",
        "endpoints:retrieve",
        "lists:edit",
        "scripts:run",
    }
)
PREFIX = "cx"
"""What makes a story's device id this vendor's own."""

_CONSOLE = "https://tenant.xdr.us.paloaltonetworks.com"
_FIRST_ALERT = 880_001
_OURS = {
    "resolved_true_positive": "true-positive",
    "resolved_false_positive": "false-positive",
    "resolved_known_issue": "benign-positive",
    "resolved_duplicate": "duplicate",
    "resolved_security_testing": "test",
}
_CHANGING = frozenset(
    {
        "update_alerts",
        "update_incident",
        "isolate",
        "unisolate",
        "scan",
        "abort_scan",
        "quarantine",
        "restore",
        "file_retrieval",
        "run_script",
    }
)
_NO_INCIDENT = frozenset({"informational", "low"})


class Simulator(testing.Simulator):
    """One tenant with one API key.

    ``works_on`` says which ids ``add`` gives and what ``alert_state`` reads: those of alerts or of their incidents.
    ``permissions`` is what the key's role may do.
    """

    vendor = "paloalto_cortex_xdr"

    def __init__(
        self,
        *,
        clock: Clock = utc_now,
        faults: FaultPlan | None = None,
        secret: str = "",
        permissions: Iterable[str] = ALL_PERMISSIONS,
        works_on: Literal["alerts", "incidents"] = "alerts",
        key_kind: KeyKind = "advanced",
        requests_per_minute: int = 600,
    ) -> None:
        super().__init__(clock=clock, faults=faults, secret=secret)
        self.permissions = set(permissions)
        self.key_id = 12
        self._works_on = works_on
        self._key_kind = key_kind
        self._wire = Wire(self.now, key=self.secret, key_id=self.key_id, kind=key_kind, per_minute=requests_per_minute)
        self._alerts = AlertsApi(self._wire, self.now, self.faults, self.drift, _CONSOLE)
        self._endpoints = EndpointsApi(self._wire, self.now, self.fleet)
        self.library = LibraryApi(self._wire, self._endpoints)

    @property
    def alerts(self) -> Mapping[int, Mapping[str, Any]]:
        """Every alert by its number."""
        return self._alerts.alerts

    @property
    def incidents(self) -> Mapping[str, Mapping[str, Any]]:
        """Every incident by its id."""
        return self._alerts.incidents

    def routes(self) -> list[BaseRoute]:
        """The calls that a hub needs, with and without the last slash; any other path is the gateway's."""
        table = [row for api in (self._alerts, self._endpoints, self.library) for row in api.routes()]
        return [
            *(
                Route(path + slash, self._guard(permission, call), methods=["POST"])
                for path, permission, call in table
                for slash in ("", "/")
            ),
            Route("/{path:path}", self._nowhere, methods=["GET", "POST"]),
        ]

    def settings(self, base_url: str) -> dict[str, Any]:
        """Settings of a connector that reaches this simulator."""
        return {
            "base_url": base_url,
            "api_key_id": self.key_id,
            "api_key": Secret.literal(self.secret),
            "key_kind": self._key_kind,
            "works_on": self._works_on,
        }

    def add_devices(self, devices: Iterable[StoryDevice]) -> None:
        """Installs agents."""
        self._endpoints.enrol(devices, PREFIX)

    def uninstall(self, device_id: str) -> None:
        """The agent is gone; its record stays."""
        self.fleet.devices[device_id].online = False
        self._endpoints.gone.add(device_id)

    def add(self, alert: StoryAlert) -> str:
        """Raises an alert; from medium on it opens an incident. ``local_insert_ts`` is when it was told."""
        if alert.device is not None:
            self.add_devices([alert.device])
        device = self.fleet.devices[f"{PREFIX}{alert.device.device_id}"] if alert.device else None
        number = _FIRST_ALERT + len(self.alerts)
        self._alerts.alerts[number] = alert_payload(alert, alert_id=number, device=device, console=_CONSOLE)
        if self._works_on == "incidents" or alert.severity not in _NO_INCIDENT:
            incident = self._alerts.gather([number])
            if self._works_on == "incidents":
                return incident
        return str(number)

    def merge(self, source: str, into: str) -> None:
        """What the console does with two incidents that are one."""
        self._alerts.merge(source, into)

    def resolve(self, native_id: str, status: str, comment: str = "") -> None:
        """What an analyst does in the console."""
        if self._works_on == "incidents":
            self._alerts.resolve_incident(native_id, status, comment)
        else:
            self._alerts.resolve_alert(int(native_id), status, comment)

    def alert_state(self, native_id: str) -> Mapping[str, Any]:
        """Status, disposition and comments in our words."""
        if self._works_on == "incidents":
            row = self.incidents[native_id]
            word, comments = row["status"], self._alerts.comments.get(("incident", native_id), [])
            comments = [*comments, *([row["resolve_comment"]] if row["resolve_comment"] else [])]
        else:
            row = self.alerts[int(native_id)]
            word = row["resolution_status"].split("_", 2)[2].lower()
            comments = self._alerts.comments.get(("alert", native_id), [])
        status = "closed" if word.startswith("resolved") else "open"
        return {"status": status, "disposition": _OURS.get(word, ""), "comments": comments}

    def mutations(self) -> list[SeenRequest]:
        """Every call is a POST; these are the ones that change something."""
        return [each for each in super().mutations() if _changes(each.path)]

    def refuse(self, status: int, message: str, headers: Mapping[str, str] | None = None) -> Response:
        """Cortex's envelope."""
        return self._wire.refuse(status, message, headers)

    def rate_limit_headers(self, seconds: float) -> dict[str, str]:
        """Nobody has seen Cortex say when to come back."""
        del seconds
        return {}

    def _guard(self, permission: str, call: Call) -> Any:
        async def guarded(request: Request) -> Response:
            if self._wire.overspent():
                return self._wire.refuse(429, None, message="Too many requests")
            if not self._wire.knows(request.headers):
                return self._wire.refuse(401, None, message="Public API request unauthorized")
            if permission not in self.permissions:
                return self._wire.refuse(403, "insufficient permissions", message="Forbidden")
            try:
                return await call(await unpacked(request))
            except ValueError as error:
                return self._wire.refuse(400, str(error), message="Bad Request")
            except BadFilterError as error:
                return self._wire.refuse(500, str(error.args[0]) if error.args[0] else None)

        return guarded

    async def _nowhere(self, _: Request) -> Response:
        return PlainTextResponse("Internal Server Error", 500)


def _changes(path: str) -> bool:
    return "hash_exceptions" in path or path.rstrip("/").rpartition("/")[2] in _CHANGING
