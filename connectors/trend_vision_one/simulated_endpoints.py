"""The simulated endpoints: both inventories, activities, and what can be ordered of an agent; the fleet does it."""

import re
from collections.abc import Callable, Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from nightdesk.connectors.trend_vision_one.payloads import (
    activity,
    endpoint_detail,
    endpoint_row,
    inventory_row,
    sha1_of,
)
from nightdesk.connectors.trend_vision_one.simulated_tasks import SimulatedTask, TasksApi
from nightdesk.connectors.trend_vision_one.wire import RefusedError, Routes, filtered, only, page, seconds, top
from nightdesk.sdk.context import Clock
from nightdesk.sdk.testing import Device, Fleet
from nightdesk.sdk.testing.estate import OrderKind

__all__ = ["EndpointsApi"]

_WHO = ("agentGuid", "endpointName")
_ACTIVITY = re.compile(r'endpointGuid:"([^"]+)" and \(processPid:"(\d+)" or objectPid:"(\d+)"\)')
_SCRIPT = re.compile(r"[^/\\]+\.(ps1|sh)")


class EndpointsApi:
    """The agents of one company."""

    def __init__(self, clock: Clock, fleet: Fleet, tasks: TasksApi) -> None:
        self.scripts: dict[str, str] = {}
        self.unknown_isolation: set[str] = set()
        self._clock = clock
        self._fleet = fleet
        tasks.offer("/response/endpoints/isolate", "isolate", _WHO, self._start("isolate", "isolate"))
        tasks.offer("/response/endpoints/restore", "isolate", _WHO, self._start("restoreIsolate", "release"))
        tasks.offer("/response/endpoints/collectFile", "collect", (*_WHO, "filePath"), self._collect)
        kill = (*_WHO, "fileSha1", "fileName", "processId")
        tasks.offer("/response/endpoints/terminateProcess", "terminate", kill, self._terminate)
        tasks.offer("/response/endpoints/runScript", "script", (*_WHO, "fileName", "parameter"), self._run)

    def routes(self) -> Routes:
        """What can be called."""
        return (
            ("GET", "/endpointSecurity/endpoints", "endpoints.view", self._list),
            ("GET", "/endpointSecurity/endpoints/{id}", "endpoints.view", self._read),
            ("GET", "/eiqs/endpoints", "search", self._inventory),
            ("GET", "/search/endpointActivities", "search", self._activities),
            ("GET", "/response/customScripts", "scripts.view", self._scripts),
        )

    def _devices(self) -> list[Device]:
        self._fleet.settle()
        return list(self._fleet.devices.values())

    def _seen(self, row: dict[str, Any]) -> dict[str, Any]:
        return {**row, "isolationStatus": "unknown"} if row["agentGuid"] in self.unknown_isolation else row

    async def _list(self, request: Request) -> Response:
        query = only(request, "top", "orderBy", "select")
        names = ("endpointName", "agentGuid", "type", "isolationStatus", "osPlatform")
        fits = filtered(request.headers.get("tmv1-filter", ""), {name: _plain(name) for name in names})
        rows = [
            self._seen(endpoint_row(device, connected=self._fleet.is_online(device), seen=self._clock()))
            for device in self._devices()
        ]
        size = top(query, 100, 10, 50, 200, 500, 1000)
        return page(request, [row for row in rows if fits(row)], size, totals=True)

    async def _read(self, request: Request) -> Response:
        guid = request.path_params["id"]
        device = next((device for device in self._devices() if device.device_id == guid), None)
        if device is None:
            raise RefusedError(404, f"Endpoint {guid} is not found")
        connected = self._fleet.is_online(device)
        return JSONResponse(self._seen(endpoint_detail(device, connected=connected, seen=self._clock())))

    async def _inventory(self, request: Request) -> Response:
        query = only(request, "top")
        text = request.headers.get("tmv1-query", "")
        if not text:
            raise RefusedError(400, "The header TMV1-Query is required")
        fields: dict[str, Callable[[Mapping[str, Any]], list[str]]] = {
            "endpointName": lambda row: [row["endpointName"]["value"]],
            "agentGuid": lambda row: [row["agentGuid"]],
            "ip": lambda row: list(row["ip"]["value"]),
        }
        fits = filtered(text, fields)
        rows = [inventory_row(device, seen=self._clock()) for device in self._devices()]
        return page(request, [row for row in rows if fits(row)], top(query, 50, 100, 200, 500, 1000))

    async def _activities(self, request: Request) -> Response:
        query = only(request, "startDateTime", "endDateTime", "top", "select", "mode")
        found = _ACTIVITY.fullmatch(request.headers.get("tmv1-query", ""))
        if found is None:
            raise RefusedError(400, "Invalid TMV1-Query")
        size = top(query, 500, 50, 100, 1000)
        rows = [
            activity(device, process.pid, path, device.files[path].sha256, self._clock())
            for device in self._devices()
            if device.device_id == found[1]
            for process in device.processes.values()
            for path in device.files
            if str(process.pid) == found[2] and path.endswith(process.name)
        ]
        return JSONResponse({"items": rows[:size], "progressRate": 100})

    async def _scripts(self, request: Request) -> Response:
        query = only(request, "filter")
        fits = filtered(query.get("filter", ""), {name: _plain(name) for name in ("fileName", "fileType")})
        rows = [
            {"id": f"{number:08d}", "fileName": name, "fileType": kind, "description": ""}
            for number, (name, kind) in enumerate(self.scripts.items(), 1)
        ]
        return page(request, [row for row in rows if fits(row)], 50)

    def _device(self, item: Mapping[str, Any]) -> Device:
        given = [name for name in _WHO if item.get(name)]
        if len(given) != 1:
            raise RefusedError(400, "Give agentGuid or endpointName")
        found = [
            device
            for device in self._devices()
            if (device.device_id if given == ["agentGuid"] else device.hostname) == item[given[0]]
        ]
        if not found:
            raise RefusedError(404, "The endpoint is not found")
        if len(found) > 1:
            raise RefusedError(400, "The endpoint name matches several endpoints")
        return found[0]

    def _asked(self, device: Device, kind: OrderKind, *subjects: str) -> Callable[[], Callable[[], str]]:
        def begin() -> Callable[[], str]:
            orders = [self._fleet.ask(device.device_id, kind, subject) for subject in subjects or ("",)]

            def status() -> str:
                if all(order.done for order in orders):
                    return "succeeded"
                if any(order.failed for order in orders):
                    return "failed"
                return "running" if self._fleet.is_online(device) else "queued"

            return status

        return begin

    def _start(self, action: str, kind: OrderKind) -> Callable[[dict[str, Any]], SimulatedTask]:
        def start(item: dict[str, Any]) -> SimulatedTask:
            device = self._device(item)
            return SimulatedTask(action, self._asked(device, kind), _row(device))

        return start

    def _collect(self, item: dict[str, Any]) -> SimulatedTask:
        device, path = self._device(item), item.get("filePath")
        if not isinstance(path, str) or not path:
            raise RefusedError(400, "filePath is required")

        def finished() -> dict[str, Any]:
            digest = device.files[path].sha256
            return {
                "fileSha1": sha1_of(digest),
                "fileSha256": digest,
                "fileSize": 4096,
                "resourceLocation": "https://files.example.com/collected",
                "expiredDateTime": seconds(self._clock()),
                "password": "archive-password",
            }

        row = {**_row(device), "filePath": path}
        return SimulatedTask("collectFile", self._asked(device, "fetch", path), row, finished=finished)

    def _terminate(self, item: dict[str, Any]) -> SimulatedTask:
        device = self._device(item)
        pid, sha1, name = item.get("processId"), item.get("fileSha1"), item.get("fileName")
        if not sha1 and not (pid is not None and name):
            raise RefusedError(400, "fileSha1, or processId with fileName, is required")
        if pid is not None and (isinstance(pid, bool) or not isinstance(pid, int)):
            raise RefusedError(400, "processId must be a number")
        images = {sha1_of(stored.sha256): path for path, stored in device.files.items()}
        victims = [
            process
            for process in device.processes.values()
            if pid in {None, process.pid}
            and (not name or process.name == name)
            and (not sha1 or images.get(str(sha1).lower(), "").endswith(process.name))
            and (not sha1 or str(sha1).lower() in images)
        ]
        pids = [str(process.pid) for process in victims] or ["none"]
        row = {**_row(device), "fileSha1": sha1 or "", **({"fileName": name} if name else {})}
        if device.platform != "Windows":  # supported on Windows only
            pids = ["none"]
        return SimulatedTask("terminateProcess", self._asked(device, "kill", *pids), row)

    def _run(self, item: dict[str, Any]) -> SimulatedTask:
        device, name = self._device(item), str(item.get("fileName", ""))
        if not _SCRIPT.fullmatch(name) or name not in self.scripts:
            raise RefusedError(404, f"The custom script {name!r} is not found")
        row = {**_row(device), "fileName": name, "parameter": str(item.get("parameter", ""))}
        return SimulatedTask("runCustomScript", self._asked(device, "script", name), row)


def _row(device: Device) -> dict[str, Any]:
    return {"agentGuid": device.device_id, "endpointName": device.hostname}


def _plain(name: str) -> Callable[[Mapping[str, Any]], list[str]]:
    return lambda row: [str(row.get(name, ""))]
