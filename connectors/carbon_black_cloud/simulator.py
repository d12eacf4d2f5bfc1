"""A Carbon Black Cloud organisation, strict about what the vendor is strict about: key, paths, words, windows, limits.

Written from the vendor's reference and its own Python library; no live organisation was asked.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute, Route

from nightdesk.connectors.carbon_black_cloud.payloads import alert_payload, number_of
from nightdesk.connectors.carbon_black_cloud.simulated_alerts import AlertsApi
from nightdesk.connectors.carbon_black_cloud.simulated_devices import DevicesApi
from nightdesk.connectors.carbon_black_cloud.simulated_live import LiveApi
from nightdesk.connectors.carbon_black_cloud.simulated_overrides import OverridesApi
from nightdesk.connectors.carbon_black_cloud.wire import BadRequestError, Call, DeniedError, MissingError, Wire, millis
from nightdesk.sdk import testing
from nightdesk.sdk.context import Clock, utc_now
from nightdesk.sdk.secrets import Secret
from nightdesk.sdk.testing import FaultPlan, SeenRequest, StoryAlert, StoryDevice

__all__ = ["ALL_PERMISSIONS", "ORG_KEY", "Simulator"]

ORG_KEY = "7EXAMPL9"
ALL_PERMISSIONS = frozenset(
    {
        "org.alerts READ",
        "org.alerts.close EXECUTE",
        "org.alerts.notes READ",
        "org.alerts.notes CREATE",
        "org.alerts.notes DELETE",
        "jobs.status READ",
        "device READ",
        "device.quarantine EXECUTE",
        "device.bg-scan EXECUTE",
        "device.policy UPDATE",
        "org.reputations READ",
        "org.reputations CREATE",
        "org.reputations DELETE",
        "org.liveresponse.session CREATE",
        "org.liveresponse.session READ",
        "org.liveresponse.session DELETE",
        "org.liveresponse.process READ",
        "org.liveresponse.process DELETE",
        "org.liveresponse.file READ",
    }
)

_API_ID = "ABCDE12345"
_CONSOLE = "defense.example.net"
_OURS = {"TRUE_POSITIVE": "true-positive", "FALSE_POSITIVE": "false-positive"}
_REASONS = {"RESOLVED_BENIGN_KNOWN_GOOD": "benign-positive", "DUPLICATE_CLEANUP": "duplicate"}
_RETRIEVAL = ("/_search",)


class Simulator(testing.Simulator):
    """One organisation with one key. ``permissions`` is what the key's access level may do.

    ``backend_follows`` False: what people change moves ``user_update_timestamp`` and not ``backend_update_timestamp``.
    """

    vendor = "carbon_black_cloud"

    def __init__(
        self,
        *,
        clock: Clock = utc_now,
        faults: FaultPlan | None = None,
        secret: str = "",
        permissions: Iterable[str] = ALL_PERMISSIONS,
        requests_per_period: int = 1000,
        backend_follows: bool = True,
        domain: str = "",
    ) -> None:
        super().__init__(clock=clock, faults=faults, secret=secret)
        self.permissions = set(permissions)
        self._wire = Wire(self.now, token=f"{self.secret}/{_API_ID}", per_period=requests_per_period)
        self._alerts = AlertsApi(self.now, self.faults, self.drift, _API_ID, backend_follows=backend_follows)
        self._devices = DevicesApi(self.now, self.fleet, self._allowed, domain)
        self._overrides = OverridesApi(self._wire, self.now, _API_ID)
        self._live = LiveApi(self.now, self.fleet, self._allowed)

    @property
    def alerts(self) -> Mapping[str, Mapping[str, Any]]:
        """Every alert by its id."""
        return self._alerts.alerts

    @property
    def overrides(self) -> Mapping[str, Mapping[str, Any]]:
        """Every reputation override by its id."""
        return self._overrides.overrides

    @property
    def open_sessions(self) -> list[str]:
        """The Live Response sessions that have not ended."""
        self._live.settle()
        return list(self._live.sessions)

    def routes(self) -> list[BaseRoute]:
        """The calls that a hub needs; any other path is the console's, which is no API."""
        apis = (self._alerts, self._devices, self._overrides, self._live)
        table = [row for api in apis for row in api.routes()]
        return [
            *(Route(f"/{path}", self._guard(scope, call), methods=[method]) for method, path, scope, call in table),
            Route("/{path:path}", self._nowhere, methods=["GET", "POST", "DELETE"]),
        ]

    def settings(self, base_url: str) -> dict[str, Any]:
        """Settings of a connector that reaches this simulator."""
        return {
            "base_url": base_url,
            "org_key": ORG_KEY,
            "api_id": _API_ID,
            "api_secret": Secret.literal(self.secret),
        }

    def add_devices(self, devices: Iterable[StoryDevice]) -> None:
        """Installs sensors."""
        there = list(devices)
        self._devices.enrol(there)
        self._live.enrol(there)

    def deregister(self, number: str) -> None:
        """The sensor is gone; its record stays."""
        self._devices.record(number)
        self._devices.gone.add(number)

    def add(self, alert: StoryAlert) -> str:
        """Raises an alert that arrived when it was told."""
        number = ""
        if alert.device is not None:
            self.add_devices([alert.device])
            number = number_of(alert.device.device_id)
        payload = alert_payload(
            alert,
            org_key=ORG_KEY,
            device=self.fleet.devices.get(number),
            name=self._devices.name(number) if number else "",
            console=_CONSOLE,
        )
        self._alerts.alerts[payload["id"]] = payload
        return str(payload["id"])

    def resolve(self, native_id: str, **changes: str) -> None:
        """What an analyst does in the console: ``status``, ``closure_reason``, ``determination``, ``note``."""
        self._alerts.resolve(self._alerts.alerts[native_id], changes, "USER")

    def happened_again(self, native_id: str) -> None:
        """More events join the alert, as an analytic alert's do for a quarter of an hour."""
        self._alerts.happened_again(self._alerts.alerts[native_id])

    def judged_by_service(self, native_id: str, value: str) -> None:
        """What the managed service does: its own fields move, and nothing else."""
        stamp = {"change_timestamp": millis(self.now())}
        changed = {"mdr_alert": True, "mdr_determination": {**stamp, "value": value}}
        self._alerts.alerts[native_id] |= {**changed, "mdr_workflow": {**stamp, "status": "TRIAGE_COMPLETE"}}

    def override(self, sha256: str, override_list: str, author: str = "rosa@corp.example.com") -> str:
        """What a person bans or approves in the console."""
        fields = {"override_list": override_list, "override_type": "SHA256", "sha256_hash": sha256}
        return str(self._overrides.make(fields, author)["id"])

    def alert_state(self, native_id: str) -> Mapping[str, Any]:
        """Status, disposition and comments in our words."""
        self._alerts.settle()
        alert = self._alerts.alerts[native_id]
        closed = alert["workflow"]["status"] == "CLOSED"
        said = _OURS.get(alert["determination"]["value"], "")
        reason = _REASONS.get(alert["workflow"]["closure_reason"], "") if closed else ""
        comments = [note["note"] for note in self._alerts.notes.get(native_id, [])]
        return {"status": "closed" if closed else "open", "disposition": said or reason, "comments": comments}

    def mutations(self) -> list[SeenRequest]:
        """The calls that change something; searches are POSTs too."""
        return [each for each in super().mutations() if not each.path.endswith(_RETRIEVAL)]

    def refuse(self, status: int, message: str, headers: Mapping[str, str] | None = None) -> Response:
        """The vendor's envelope."""
        return self._wire.refuse(status, message, headers)

    def _allowed(self, permission: str) -> bool:
        return permission in self.permissions

    def _guard(self, permission: str, call: Call) -> Any:
        async def guarded(request: Request) -> Response:
            wait = self._wire.overspent()
            if wait:
                return self._wire.refuse(429, "too many requests", {"Retry-After": f"{wait:g}"})
            if not self._wire.knows(request.headers.get("x-auth-token", "")):
                return self._wire.refuse(401, "invalid credentials")
            if request.path_params["org"] != ORG_KEY or (permission and not self._allowed(permission)):
                return self._wire.refuse(403, "access denied")
            try:
                return await call(request)
            except BadRequestError as error:
                return self._wire.malformed(error)
            except MissingError as error:
                return self._wire.refuse(404, str(error))
            except DeniedError as error:
                return self._wire.refuse(403, str(error))

        return guarded

    async def _nowhere(self, _: Request) -> Response:
        return PlainTextResponse("Not Found", 404)
