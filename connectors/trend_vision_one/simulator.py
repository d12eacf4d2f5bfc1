"""A Vision One company that is strict about what the API is strict about: permissions, headers, etags, whole seconds.

Written from the vendor's own Python library and tool server, its guides on authentication and limits, and public
connectors; no live tenant was asked.
"""

import dataclasses
from collections.abc import Iterable, Mapping
from hashlib import sha256
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from nightdesk.connectors.trend_vision_one.payloads import agent_guid, alert_payload
from nightdesk.connectors.trend_vision_one.simulated_alerts import AlertsApi
from nightdesk.connectors.trend_vision_one.simulated_endpoints import EndpointsApi
from nightdesk.connectors.trend_vision_one.simulated_objects import ObjectsApi
from nightdesk.connectors.trend_vision_one.simulated_people import Mail, PeopleApi
from nightdesk.connectors.trend_vision_one.simulated_tasks import TasksApi
from nightdesk.connectors.trend_vision_one.wire import Call, RefusedError, Routes, refusal
from nightdesk.sdk import testing
from nightdesk.sdk.context import Clock, utc_now
from nightdesk.sdk.secrets import Secret
from nightdesk.sdk.testing import FaultPlan, StoryAlert, StoryDevice

__all__ = ["ALL_PERMISSIONS", "Simulator"]

ALL_PERMISSIONS = frozenset(
    {"workbench.view", "workbench.modify", "tasks.view", "isolate", "collect", "terminate", "script", "scripts.view"}
    | {"accounts", "messages", "objects.view", "objects.manage", "endpoints.view", "search", "surface.view"}
)
"""What the role of an API key may hold."""

_CONSOLE = "https://portal.xdr.trendmicro.com"
_DISPOSITIONS = {
    "True Positive": "true-positive",
    "Noteworthy": "likely-true-positive",
    "False Positive": "false-positive",
    "Benign True Positive": "benign-positive",
}


class Simulator(testing.Simulator):
    """One company with one API key, whose role holds ``permissions``. ``page_size`` is of the alert list alone."""

    vendor = "trend_vision_one"

    def __init__(
        self,
        *,
        clock: Clock = utc_now,
        faults: FaultPlan | None = None,
        secret: str = "",
        permissions: Iterable[str] = ALL_PERMISSIONS,
        page_size: int = 10,
        requests_per_minute: int = 10_000,
    ) -> None:
        super().__init__(clock=clock, faults=faults, secret=secret)
        self.permissions = set(permissions)
        self._company = 10_000 + int(sha256(self.secret.encode()).hexdigest(), 16) % 90_000
        self._per_minute = requests_per_minute
        self._minute, self._spent = 0, 0
        self._raised: set[str] = set()
        self._alerts = AlertsApi(self.now, self.drift, page_size)
        self._tasks = TasksApi(self.now, self._settle)
        self._endpoints = EndpointsApi(self.now, self.fleet, self._tasks)
        self._people = PeopleApi(self.now, self.faults, self.directory, self._tasks)
        self._objects = ObjectsApi(self.now)

    @property
    def alerts(self) -> Mapping[str, Mapping[str, Any]]:
        """Every alert by its id."""
        return self._alerts.alerts

    @property
    def objects(self) -> Mapping[tuple[str, str], Mapping[str, Any]]:
        """The Suspicious Object List by type and value."""
        return self._objects.objects

    @property
    def mails(self) -> Mapping[str, Mail]:
        """Every message by its unique id."""
        return self._people.mails

    @property
    def tasks(self) -> list[dict[str, Any]]:
        """Every response task as it is now, oldest first."""
        return [self._tasks.shown(task) for task in self._tasks.tasks.values()]

    def routes(self) -> list[BaseRoute]:
        """The endpoints that a hub needs, under /v3.0."""
        apis = (self._alerts, self._tasks, self._endpoints, self._people, self._objects)
        table: Routes = [row for api in apis for row in api.routes()]
        guarded = [
            Route(f"/v3.0{path}", self._guard(permission, call), methods=[method])
            for method, path, permission, call in table
        ]
        return [Route("/v3.0/healthcheck/connectivity", self._guard("", self._connectivity)), *guarded]

    def settings(self, base_url: str) -> dict[str, Any]:
        """Settings of a connector that reaches this simulator."""
        return {"base_url": base_url, "api_key": Secret.literal(self.secret)}

    def add_devices(self, devices: Iterable[StoryDevice]) -> None:
        """Installs agents; each has a GUID."""
        self.fleet.add(dataclasses.replace(device, device_id=agent_guid(device.device_id)) for device in devices)

    def add(self, alert: StoryAlert) -> str:
        """Raises an alert; its device enrols if it is new. ``createdDateTime`` is the second in which it was told."""
        if alert.uid in self._raised:
            raise ValueError(f"the story raises {alert.uid} twice")
        self._raised.add(alert.uid)
        if alert.device is not None:
            self.add_devices([alert.device])
        native_id = f"WB-{self._company}-{alert.told:%Y%m%d}-{len(self.alerts) + 1:05d}"
        self._alerts.alerts[native_id] = alert_payload(alert, native_id=native_id, console=_CONSOLE)
        return native_id

    def triage(self, native_id: str, **fields: Any) -> None:
        """What an analyst changes at an alert in the console."""
        self._alerts.change(native_id, fields)

    def note(self, native_id: str, text: str) -> None:
        """What an analyst notes at an alert in the console."""
        self._alerts.comment(native_id, text, "analyst")

    def stir(self, native_id: str) -> None:
        """From now on the alert changes after every look at it, so that every etag is stale."""
        self._alerts.restless.add(native_id)

    def add_mail(self, unique_id: str, message_id: str, mailbox: str) -> None:
        """Delivers one message."""
        self._people.mails[unique_id] = Mail(unique_id, message_id, mailbox)

    def add_script(self, name: str) -> None:
        """Uploads a custom script."""
        self._endpoints.scripts[name] = "powershell" if name.endswith(".ps1") else "bash"

    def add_object(self, item: Mapping[str, Any]) -> None:
        """What somebody else put on the Suspicious Object List."""
        self._objects.add(item)

    def exempt(self, kind: str, value: str) -> None:
        """Puts an object on the exception list, which wins."""
        self._objects.excepted.add((kind, value))

    def want_approval(self, wanted: bool = True) -> None:
        """Every further response task waits for a person."""
        self._tasks.approval = wanted

    def decide(self, task_id: str, *, approved: bool) -> None:
        """What that person says."""
        self._tasks.decide(task_id, approved=approved)

    def hide_isolation(self, device_id: str) -> None:
        """The inventory does not know of this agent whether it is isolated."""
        self._endpoints.unknown_isolation.add(device_id)

    def split(self, account: str) -> None:
        """One of the account's directories refuses from now on, while the task as a whole succeeds."""
        self._people.half.add(account)

    def alert_state(self, native_id: str) -> Mapping[str, Any]:
        """Status, disposition and notes in our words."""
        alert = self.alerts[native_id]
        return {
            "status": "closed" if alert["status"] == "Closed" else "open",
            "disposition": _DISPOSITIONS.get(alert["investigationResult"], ""),
            "comments": [note["content"] for note in self._alerts.notes.get(native_id, [])],
        }

    def refuse(self, status: int, message: str, headers: Mapping[str, str] | None = None) -> Response:
        """Vision One's envelope."""
        return refusal(status, message, headers)

    def _settle(self) -> None:
        self.fleet.settle()
        self.directory.settle()

    async def _connectivity(self, _: Request) -> Response:
        return JSONResponse({"status": "available"})

    def _guard(self, permission: str, call: Call) -> Call:
        async def guarded(request: Request) -> Response:
            wait = self._overspent()
            if wait:
                return self.refuse(429, "Too many API requests", self.rate_limit_headers(wait))
            if request.headers.get("authorization") != f"Bearer {self.secret}":
                return self.refuse(401, "Invalid token")
            if permission and permission not in self.permissions:
                return self.refuse(403, "Insufficient permissions")
            try:
                return await call(request)
            except RefusedError as error:
                return self.refuse(error.status, str(error))

        return guarded

    def _overspent(self) -> float:
        """Counts one request; seconds to wait when this minute's are used up, else 0."""
        now = self.now().timestamp()
        if int(now) // 60 != self._minute:
            self._minute, self._spent = int(now) // 60, 0
        self._spent += 1
        return 60 - now % 60 if self._spent > self._per_minute else 0.0
