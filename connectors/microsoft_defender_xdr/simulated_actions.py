"""The simulated machine actions: orders that take effect when they can, and what the list then says of them."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from nightdesk.connectors.microsoft_defender_xdr.names import guid, sha1_of, timestamp
from nightdesk.connectors.microsoft_defender_xdr.odata import Kind
from nightdesk.connectors.microsoft_defender_xdr.simulated_hosts import READ, HostsApi
from nightdesk.connectors.microsoft_defender_xdr.simulated_lists import listed
from nightdesk.connectors.microsoft_defender_xdr.wire import RefusedError, Routes, json_object
from nightdesk.sdk.context import Clock
from nightdesk.sdk.testing import Device, Fleet
from nightdesk.sdk.testing.estate import Order, OrderKind

__all__ = ["ActionsApi"]

_ACTION_FIELDS: Mapping[str, Kind] = {
    **dict.fromkeys(("id", "status", "machineId", "type", "requestor"), "text"),
    "creationDateTimeUtc": "time",
}
_OPEN = frozenset({"Pending", "InProgress"})


@dataclass(frozen=True, slots=True)
class _Call:
    """One action: its type, the role, what the device is told, and the body beside ``Comment``."""

    kind: str
    role: str
    order: OrderKind
    field: str = ""
    words: frozenset[str] = frozenset()
    windows_only: bool = False


_CALLS: Mapping[str, _Call] = {
    "isolate": _Call(
        "Isolate", "Machine.Isolate", "isolate", "IsolationType", frozenset({"Full", "Selective", "UnManagedDevice"})
    ),
    "unisolate": _Call("Unisolate", "Machine.Isolate", "release"),
    "restrictCodeExecution": _Call("RestrictCodeExecution", "Machine.RestrictExecution", "restrict", windows_only=True),
    "unrestrictCodeExecution": _Call("UnrestrictCodeExecution", "Machine.RestrictExecution", "lift", windows_only=True),
    "runAntiVirusScan": _Call("RunAntiVirusScan", "Machine.Scan", "scan", "ScanType", frozenset({"Quick", "Full"})),
    "collectInvestigationPackage": _Call("CollectInvestigationPackage", "Machine.CollectForensics", "collect"),
    "StopAndQuarantineFile": _Call(
        "StopAndQuarantineFile", "Machine.StopAndQuarantine", "quarantine", "Sha1", windows_only=True
    ),
}


@dataclass(slots=True)
class _Asked:
    """One accepted action and the order it became; None for one that is stuck."""

    row: dict[str, Any]
    order: Order | None


class ActionsApi:
    """What was asked of the machines of a tenant."""

    def __init__(self, clock: Clock, fleet: Fleet, hosts: HostsApi, requestor: str) -> None:
        self._clock = clock
        self._fleet = fleet
        self._hosts = hosts
        self._requestor = requestor
        self._asked: dict[str, _Asked] = {}

    def routes(self) -> Routes:
        """What can be called."""
        calls = [
            ("POST", f"/api/machines/{{name}}/{path}", (call.role,), self._handler(path))
            for path, call in _CALLS.items()
        ]
        any_role = tuple(sorted({call.role for call in _CALLS.values()}))
        return (
            *calls,
            ("GET", "/api/machineactions", READ, self._actions),
            ("GET", "/api/machineactions/{name}", READ, self._action),
            ("GET", "/api/machineactions/{name}/getPackageUri", ("Machine.CollectForensics",), self._package),
            ("POST", "/api/machineactions/{name}/cancel", any_role, self._cancel),
        )

    def actions(self) -> list[dict[str, Any]]:
        """Every action as it stands now, newest first."""
        self._settle()
        rows = [asked.row for asked in self._asked.values()]
        return sorted(rows, key=lambda row: (row["creationDateTimeUtc"], row["id"]), reverse=True)

    def ask(self, name: str, path: str, body: Mapping[str, Any], requestor: str = "") -> dict[str, Any]:
        """Accepts one action, as the portal would too. Raises RefusedError."""
        call = _CALLS[path]
        self._settle()
        device = self._hosts.device(name)
        if not isinstance(body.get("Comment"), str) or not body["Comment"]:
            raise RefusedError("MissingRequiredParameter", "Required parameter 'Comment' is missing")
        strange = sorted(set(body) - {"Comment", call.field})
        if strange:
            raise RefusedError("InvalidRequestBody", f"Unknown parameter '{strange[0]}'")
        value = body.get(call.field) if call.field else None
        if call.field and (not isinstance(value, str) or (call.words and value not in call.words)):
            raise RefusedError("InvalidInput", f"Invalid value '{value}' for '{call.field}'")
        if device.platform != "Windows" and (call.windows_only or value == "Selective"):
            raise RefusedError("OsPlatformNotSupported", f"The action is not supported on {device.platform}")
        if call.field == "Sha1" and (len(str(value)) != 40 or not str(value).isalnum()):
            raise RefusedError("InvalidInput", "Sha1 must be 40 hexadecimal digits")
        same = [row for row in self.actions() if row["machineId"] == name and row["type"] == call.kind]
        if any(row["status"] in _OPEN for row in same):
            raise RefusedError("ActiveRequestAlreadyExists", "Action is already in progress")
        row = self._row(device, call, body, value, requestor)
        # MicrosoftDocs/microsoft-365-docs#5903: isolating what is isolated stays pending, until it surprises somebody.
        stuck = call.order == "isolate" and device.isolated
        subject = _path(device, str(value)) if call.field == "Sha1" else ""
        self._asked[row["id"]] = _Asked(row, None if stuck else self._fleet.ask(name, call.order, subject))
        self._settle()
        return row

    def _row(self, device: Device, call: _Call, body: Mapping[str, Any], value: Any, requestor: str) -> dict[str, Any]:
        now = timestamp(self._clock() + timedelta(microseconds=len(self._asked)))  # no two begin at one instant
        return {
            "id": guid(f"{device.device_id} action {len(self._asked)}"),
            "type": call.kind,
            "title": None,
            "scope": value if call.words else None,
            "requestor": requestor or self._requestor,
            "requestSource": "Portal" if requestor else "PublicApi",
            "requestorComment": body["Comment"],
            "cancellationRequestor": None,
            "cancellationComment": None,
            "cancellationDateTimeUtc": None,
            "status": "Pending",
            "machineId": device.device_id,
            "computerDnsName": self._hosts.record(device.device_id)["computerDnsName"],
            "creationDateTimeUtc": now,
            "lastUpdateDateTimeUtc": now,
            "relatedFileInfo": {"fileIdentifier": value, "fileIdentifierType": "Sha1"}
            if call.field == "Sha1"
            else None,
        }

    def _settle(self) -> None:
        """Carries out what is due, and writes down what became of each action in the order it happened."""
        self._fleet.settle()
        waiting = [asked for asked in self._asked.values() if asked.row["status"] in _OPEN and asked.order is not None]
        stamp = self._clock()
        for asked in sorted(waiting, key=lambda asked: (asked.order and asked.order.due) or stamp):
            row, order = asked.row, asked.order
            if order is None or not (order.done or order.failed):
                row["status"] = (
                    "InProgress" if self._fleet.is_online(self._hosts.device(row["machineId"])) else "Pending"
                )
                continue
            stamp += timedelta(microseconds=1)
            row["status"] = "Succeeded" if order.done else "Failed"
            row["lastUpdateDateTimeUtc"] = timestamp(stamp)

    def _handler(self, path: str) -> Any:
        async def handler(request: Request) -> Response:
            row = self.ask(request.path_params["name"], path, await json_object(request))
            return JSONResponse({"@odata.context": "#MachineActions/$entity", **row}, 201)

        return handler

    async def _actions(self, request: Request) -> Response:
        # The list calls it lastUpdateTimeUtc, the single action lastUpdateDateTimeUtc.
        rows = [
            {("lastUpdateTimeUtc" if name == "lastUpdateDateTimeUtc" else name): value for name, value in row.items()}
            for row in self.actions()
        ]
        return listed(request, rows, _ACTION_FIELDS, "MachineActions")

    async def _action(self, request: Request) -> Response:
        self._settle()
        return JSONResponse(self._found(request).row)

    async def _cancel(self, request: Request) -> Response:
        body = await json_object(request)
        if not isinstance(body.get("Comment"), str) or not body["Comment"]:
            raise RefusedError("MissingRequiredParameter", "Required parameter 'Comment' is missing")
        self._settle()
        asked = self._found(request)
        if asked.row["status"] not in _OPEN:
            raise RefusedError("BadRequest", "The action is already in a final state")
        if asked.order is not None:
            asked.order.failed = True
        now = timestamp(self._clock())
        asked.row.update(status="Cancelled", cancellationComment=body["Comment"], cancellationDateTimeUtc=now)
        asked.row.update(cancellationRequestor=self._requestor, lastUpdateDateTimeUtc=now)
        return JSONResponse(asked.row)

    async def _package(self, request: Request) -> Response:
        self._settle()
        row = self._found(request).row
        if row["type"] != "CollectInvestigationPackage" or row["status"] != "Succeeded":
            raise RefusedError("ResourceNotFound", "The package is not there yet", 404)
        return JSONResponse({"value": f"https://packages.example.com/{row['id']}.zip?sig=short-lived"})

    def _found(self, request: Request) -> _Asked:
        name = request.path_params["name"]
        if name not in self._asked:
            raise RefusedError("ResourceNotFound", f"Action {name} was not found", 404)
        return self._asked[name]


def _path(device: Device, sha1: str) -> str:
    return next((path for path, file in device.files.items() if sha1_of(file.sha256) == sha1), f"sha1:{sha1}")
