"""The simulated Hosts API: records that show containment as it really is, and orders that take effect when they can."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from nightdesk.connectors.crowdstrike_falcon.fql import parse
from nightdesk.connectors.crowdstrike_falcon.payloads import host_payload
from nightdesk.connectors.crowdstrike_falcon.wire import BadRequestError, Routes, Wire, json_object, names_in, window
from nightdesk.sdk.context import Clock
from nightdesk.sdk.testing import Device, Fleet, StoryDevice

__all__ = ["HostsApi"]

_FIELDS = {"hostname": "text", "local_ip": "word", "device_id": "word"}
_REPEATS = {
    "contain": ("contained", "containment_pending"),
    "lift_containment": ("normal", "lift_containment_pending"),
}


class HostsApi:
    """The sensors of a CID and when they were last heard."""

    def __init__(self, wire: Wire, clock: Clock, fleet: Fleet, cid: str) -> None:
        self._wire = wire
        self._clock = clock
        self._fleet = fleet
        self._cid = cid
        self._heard: dict[str, tuple[datetime, datetime]] = {}

    def routes(self) -> Routes:
        """What can be called."""
        return (
            ("GET", "/devices/queries/devices/v1", "hosts:read", self._query),
            ("POST", "/devices/entities/devices/v2", "hosts:read", self._read),
            ("POST", "/devices/entities/devices-actions/v2", "hosts:write", self._act),
        )

    def enrol(self, devices: Iterable[StoryDevice], prefix: str) -> None:
        """Installs sensors."""
        self._fleet.add(devices, prefix=prefix)
        for device in self._fleet.devices.values():
            self._heard.setdefault(device.device_id, (self._clock(), self._clock()))

    def record(self, device_id: str) -> dict[str, Any]:
        """The host as it is now; a device that cannot be reached keeps the time it was last heard."""
        device, now = self._fleet.devices[device_id], self._clock()
        self._fleet.settle()
        first, last = self._heard.get(device_id, (now, now))
        if self._fleet.is_online(device):
            last = now
        self._heard[device_id] = (first, last)
        return host_payload(device, cid=self._cid, status=_status(device), first_seen=first, last_seen=last)

    async def _query(self, request: Request) -> Response:
        limit, offset = window(request, 5000)
        test = parse(request.query_params.get("filter", ""), _FIELDS)
        names = [host["device_id"] for host in map(self.record, list(self._fleet.devices)) if test(host)]
        pagination = {"offset": offset, "limit": limit, "total": len(names)}
        return self._wire.envelope(names[offset : offset + limit], pagination=pagination)

    async def _read(self, request: Request) -> Response:
        names = names_in(await json_object(request), "ids", 5000)
        known = [name for name in names if name in self._fleet.devices]
        missing = [self._unknown(name) for name in names if name not in self._fleet.devices]
        if not known:
            return self._wire.envelope(status=404, errors=missing)
        return self._wire.envelope([self.record(name) for name in known], errors=missing)

    async def _act(self, request: Request) -> Response:
        action = request.query_params.get("action_name", "")
        if action not in _REPEATS:
            raise BadRequestError(f"invalid action_name {action!r}")
        names = names_in(await json_object(request), "ids", 100)
        unknown = [self._unknown(name) for name in names if name not in self._fleet.devices]
        if unknown:
            return self._wire.envelope(status=404, errors=unknown)
        done: list[dict[str, Any]] = []
        errors: list[dict[str, Any]] = []
        for name in names:
            self._fleet.settle()
            status = _status(self._fleet.devices[name])
            if status in _REPEATS[action]:
                errors.append({"code": 409, "message": f"device {name} is already {status}"})
                continue
            self._fleet.order(name, isolate=action == "contain")
            done.append({"id": name, "path": f"/devices/entities/devices/v1?ids={name}"})
        return self._wire.envelope(done, status=202, errors=errors)

    def _unknown(self, name: str) -> dict[str, Any]:
        return {"code": 404, "message": f"No matching device found for ID {name}"}


def _status(device: Device) -> str:
    """A pending order shows until it is carried out; an offline host stays pending."""
    if device.pending is not None:
        return "containment_pending" if device.pending.isolate else "lift_containment_pending"
    return "contained" if device.isolated else "normal"
