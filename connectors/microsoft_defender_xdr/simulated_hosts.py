"""The simulated machines and files: as on the real service no machine says whether it is isolated."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from nightdesk.connectors.microsoft_defender_xdr.names import machine_id, sha1_of
from nightdesk.connectors.microsoft_defender_xdr.odata import Kind
from nightdesk.connectors.microsoft_defender_xdr.payloads import machine_payload
from nightdesk.connectors.microsoft_defender_xdr.simulated_lists import listed
from nightdesk.connectors.microsoft_defender_xdr.wire import RefusedError, Routes
from nightdesk.sdk.context import Clock
from nightdesk.sdk.testing import Device, Fleet, StoryDevice

__all__ = ["READ", "HostsApi"]

READ = ("Machine.Read.All", "Machine.ReadWrite.All")
"""The roles of which reading machines and their actions needs one."""

_MACHINE_FIELDS: Mapping[str, Kind] = {
    **dict.fromkeys(("computerDnsName", "id", "lastIpAddress", "healthStatus", "onboardingStatus"), "text"),
    **dict.fromkeys(("osPlatform", "riskScore", "version"), "text"),
    "aadDeviceId": "guid",
    "lastSeen": "time",
}


class HostsApi:
    """The machines of a tenant, and when they were last heard."""

    def __init__(self, clock: Clock, fleet: Fleet) -> None:
        self._clock = clock
        self._fleet = fleet
        self._heard: dict[str, tuple[datetime, datetime]] = {}

    def routes(self) -> Routes:
        """What can be called."""
        return (
            ("GET", "/api/machines", READ, self._machines),
            ("GET", "/api/machines/{name}", READ, self._machine),
            ("GET", "/api/files/{name}", ("File.Read.All",), self._file),
        )

    def enrol(self, devices: Iterable[StoryDevice]) -> None:
        """Onboards devices under ids of Defender's own."""
        self._fleet.add([replace(device, device_id=machine_id(device.device_id)) for device in devices])
        for name in self._fleet.devices:
            self._heard.setdefault(name, (self._clock(), self._clock()))

    def record(self, name: str) -> dict[str, Any]:
        """The machine as it is now; one that cannot be reached keeps the time it was last heard."""
        device, now = self._fleet.devices[name], self._clock()
        online = self._fleet.is_online(device)
        first, last = self._heard.get(name, (now, now))
        self._heard[name] = (first, now if online else last)
        return machine_payload(device, first_seen=first, last_seen=self._heard[name][1], online=online)

    def device(self, name: str) -> Device:
        """The device of that machine id. Raises RefusedError."""
        if name not in self._fleet.devices:
            raise RefusedError("ResourceNotFound", f"Machine {name} was not found", 404)
        return self._fleet.devices[name]

    async def _machines(self, request: Request) -> Response:
        return listed(request, [self.record(name) for name in self._fleet.devices], _MACHINE_FIELDS, "Machines")

    async def _machine(self, request: Request) -> Response:
        return JSONResponse(self.record(self.device(request.path_params["name"]).device_id))

    async def _file(self, request: Request) -> Response:
        name = request.path_params["name"].lower()
        for device in self._fleet.devices.values():
            for file in device.files.values():
                if name in {file.sha256, sha1_of(file.sha256)}:
                    return JSONResponse({"sha1": sha1_of(file.sha256), "sha256": file.sha256, "size": None})
        raise RefusedError("ResourceNotFound", f"File {name} was not found", 404)
