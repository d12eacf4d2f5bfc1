"""The simulated endpoints and response actions: accepted at once, carried out by the agent, shown as they are."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from starlette.responses import Response

from nightdesk.connectors.paloalto_cortex_xdr.payloads import endpoint_payload
from nightdesk.connectors.paloalto_cortex_xdr.wire import BadFilterError, Routes, Tests, Wire, asked, listed
from nightdesk.sdk.context import Clock
from nightdesk.sdk.testing import Device, Fleet, StoryDevice
from nightdesk.sdk.testing.estate import Order, OrderKind

__all__ = ["EndpointsApi"]

_MOST = 1000  # endpoints in one action
_MOST_FETCHED = (20, 10)  # files, endpoints
_TESTS: Tests = {
    "endpoint_id_list": ("texts", lambda value, row: row["endpoint_id"] in value),
    "hostname": ("texts", lambda value, row: row["endpoint_name"] in value),
    "ip_list": ("texts", lambda value, row: bool(set(row["ip"]) & set(value))),
    "group_name": ("texts", lambda value, row: bool(set(row["group_name"]) & set(value))),
    "platform": ("texts", lambda value, row: row["os_type"].removeprefix("AGENT_OS_").lower() in value),
    "isolate": ("texts", lambda value, row: row["is_isolated"].removeprefix("AGENT_").lower() in value),
    "endpoint_status": ("texts", lambda value, row: row["endpoint_status"].lower() in value),
    "first_seen": ("time", lambda value, row: row["first_seen"] >= value),
    "last_seen": ("time", lambda value, row: row["last_seen"] >= value),
}


class EndpointsApi:
    """The agents of a tenant, and the actions that were asked of them by number."""

    def __init__(self, wire: Wire, clock: Clock, fleet: Fleet) -> None:
        self.gone: set[str] = set()
        self._wire = wire
        self._clock = clock
        self._fleet = fleet
        self._heard: dict[str, tuple[datetime, datetime]] = {}
        self._actions: dict[int, dict[str, Order]] = {}
        self._aborted: set[str] = set()

    def routes(self) -> Routes:
        """What can be called."""
        return (
            ("/public_api/v1/endpoints/get_endpoint", "endpoints:view", self._get_endpoint),
            ("/public_api/v1/endpoints/get_endpoints", "endpoints:view", self._get_endpoints),
            ("/public_api/v1/endpoints/isolate", "endpoints:isolate", self._isolate),
            ("/public_api/v1/endpoints/unisolate", "endpoints:isolate", self._release),
            ("/public_api/v1/endpoints/scan", "endpoints:scan", self._scan),
            ("/public_api/v1/endpoints/abort_scan", "endpoints:scan", self._abort_scan),
            ("/public_api/v1/endpoints/quarantine", "endpoints:quarantine", self._quarantine),
            ("/public_api/v1/endpoints/restore", "endpoints:quarantine", self._restore),
            ("/public_api/v1/quarantine/status", "endpoints:quarantine", self._quarantine_status),
            ("/public_api/v1/endpoints/file_retrieval", "endpoints:retrieve", self._retrieve),
            ("/public_api/v1/actions/file_retrieval_details", "endpoints:retrieve", self._retrieved),
            ("/public_api/v1/actions/get_action_status", "endpoints:view", self._status),
        )

    def enrol(self, devices: Iterable[StoryDevice], prefix: str) -> None:
        """Installs agents."""
        self._fleet.add(devices, prefix=prefix)
        for name in self._fleet.devices:
            self._heard.setdefault(name, (self._clock(), self._clock()))

    def record(self, name: str) -> dict[str, Any]:
        """The endpoint as it is now; one that cannot be reached keeps the time it was last heard."""
        device, now = self._fleet.devices[name], self._clock()
        self._fleet.settle()
        first, last = self._heard.get(name, (now, now))
        online = self._fleet.is_online(device)
        self._heard[name] = (first, now if online else last)
        return endpoint_payload(
            device,
            status="UNINSTALLED" if name in self.gone else "CONNECTED" if online else "DISCONNECTED",
            isolated=_isolation(device),
            scan=self._scan_status(device, online),
            first_seen=first,
            last_seen=now if online else last,
        )

    def ask(self, names: Sequence[str], kind: OrderKind, subject: str = "") -> Response:
        """Takes an action for the endpoints that exist; gives its number."""
        known = [name for name in names if name in self._fleet.devices and name not in self.gone]
        if not known:
            raise BadFilterError("No endpoint was found for creating the requested action")
        number = 1001 + len(self._actions)
        self._actions[number] = {name: self._fleet.ask(name, kind, subject) for name in known}
        return self._wire.reply({"action_id": number, "status": 1, "endpoints_count": len(known)})

    async def _get_endpoint(self, data: Mapping[str, Any]) -> Response:
        question = asked(data, _TESTS, ("last_seen", "first_seen", "endpoint_id"))
        rows, total = question.rows(
            [self.record(name) for name in self._fleet.devices],
            _TESTS,
            lambda row, field: (row[field], row["endpoint_id"]),
        )
        return self._wire.reply({"total_count": total, "result_count": len(rows), "endpoints": rows})

    async def _get_endpoints(self, _: Mapping[str, Any]) -> Response:
        rows = [self.record(name) for name in self._fleet.devices]
        names = (("agent_id", "endpoint_id"), ("agent_status", "endpoint_status"), ("host_name", "endpoint_name"))
        return self._wire.reply([{short: row[name] for short, name in (*names, ("ip", "ip"))} for row in rows])

    async def _isolate(self, data: Mapping[str, Any]) -> Response:
        return self._contain(data, "isolate", ("AGENT_ISOLATED", "AGENT_PENDING_ISOLATION"))

    async def _release(self, data: Mapping[str, Any]) -> Response:
        return self._contain(data, "release", ("AGENT_UNISOLATED", "AGENT_PENDING_ISOLATION_CANCELLATION"))

    def _contain(self, data: Mapping[str, Any], kind: OrderKind, already: Sequence[str]) -> Response:
        if ("endpoint_id" in data) == ("filters" in data) or set(data) - {"endpoint_id", "filters", "incident_id"}:
            raise BadFilterError("give either endpoint_id or filters")
        names = listed(data, _MOST) if "filters" in data else [data["endpoint_id"]]
        for name in names:
            state = self.record(name)["is_isolated"] if name in self._fleet.devices else ""
            if state in already:
                raise BadFilterError(f"endpoint {name} is {state}")
        return self.ask(names, kind)

    async def _scan(self, data: Mapping[str, Any]) -> Response:
        names = list(self._fleet.devices) if data.get("filters") == "all" else listed(data, _MOST)
        self._aborted -= set(names)
        return self.ask(names, "scan")

    async def _abort_scan(self, data: Mapping[str, Any]) -> Response:
        names = listed(data, _MOST)
        for name in names:
            order = _newest(self._fleet.devices[name], ("scan",))
            if order is not None and not order.done:
                order.failed = True
                self._aborted.add(name)
        return self._wire.reply({"action_id": 1001 + len(self._actions), "status": 1, "endpoints_count": len(names)})

    async def _quarantine(self, data: Mapping[str, Any]) -> Response:
        path = data.get("file_path")
        if not isinstance(path, str) or not path:
            raise BadFilterError("file_path is required")
        _sha256(data.get("file_hash"))
        return self.ask(listed(data, _MOST), "quarantine", path)

    async def _restore(self, data: Mapping[str, Any]) -> Response:
        value, name = _sha256(data.get("file_hash")), data.get("endpoint_id")
        names = list(self._fleet.devices) if name is None else [name]
        found = [
            (each, file.path)
            for each in names
            for file in (self._fleet.devices[each].files.values() if each in self._fleet.devices else ())
            if file.sha256 == value and file.quarantined
        ]
        if not found:
            raise BadFilterError("the file is not quarantined there")
        number = 1001 + len(self._actions)
        self._actions[number] = {each: self._fleet.ask(each, "restore", path) for each, path in found}
        return self._wire.reply({"action_id": number})

    async def _quarantine_status(self, data: Mapping[str, Any]) -> Response:
        files = data.get("files")
        if not isinstance(files, list) or not files:
            raise BadFilterError("files is required")
        self._fleet.settle()
        reply = []
        for each in files:
            if not isinstance(each, dict) or set(each) != {"endpoint_id", "file_path", "file_hash"}:
                raise BadFilterError("a file has endpoint_id, file_path and file_hash")
            device = self._fleet.devices.get(each["endpoint_id"])
            file = device.files.get(each["file_path"]) if device else None
            held = file is not None and file.quarantined and file.sha256 == each["file_hash"].lower()
            reply.append({**each, "status": held})
        return self._wire.reply(reply)

    async def _retrieve(self, data: Mapping[str, Any]) -> Response:
        files, names = data.get("files"), listed(data, _MOST_FETCHED[1])
        if not isinstance(files, dict) or not files or set(files) - {"windows", "linux", "macos"}:
            raise BadFilterError("files holds paths by windows, linux, macos")
        if sum(len(paths) for paths in files.values()) > _MOST_FETCHED[0]:
            raise BadFilterError(f"at most {_MOST_FETCHED[0]} files")
        systems = {self._fleet.devices[name].platform.lower() for name in names if name in self._fleet.devices}
        paths = [path for system in systems for path in files.get(system, [])]
        if not paths:
            raise BadFilterError("no file is named for the platform of the endpoints")
        return self.ask(names, "fetch", paths[0])

    async def _retrieved(self, data: Mapping[str, Any]) -> Response:
        number, orders = self._action(data)
        ready = {name: f"https://api-tenant/public_api/v1/download/{number}{name}" for name in orders}
        return self._wire.reply({"data": {name: link if orders[name].done else "" for name, link in ready.items()}})

    async def _status(self, data: Mapping[str, Any]) -> Response:
        _, orders = self._action(data)
        failed = {name: {"errorText": "the agent reports a failure"} for name, order in orders.items() if order.failed}
        states = {name: self._word(name, order) for name, order in orders.items()}
        return self._wire.reply({"data": states, "errorReasons": failed})

    def _action(self, data: Mapping[str, Any]) -> tuple[int, dict[str, Order]]:
        number = data.get("group_action_id")
        if not isinstance(number, int) or number not in self._actions:
            raise BadFilterError(f"No action {number!r}")
        self._fleet.settle()
        return number, self._actions[number]

    def _word(self, name: str, order: Order) -> str:
        if order.failed:
            return "FAILED"
        if order.done:
            return "COMPLETED_SUCCESSFULLY"
        return "IN_PROGRESS" if self._fleet.is_online(self._fleet.devices[name]) else "PENDING"

    def _scan_status(self, device: Device, online: bool) -> str:
        order = _newest(device, ("scan",))
        if device.device_id in self._aborted:
            return "SCAN_STATUS_CANCELED"
        if order is None:
            return "SCAN_STATUS_NONE"
        if order.failed:
            return "SCAN_STATUS_ERROR"
        return "SCAN_STATUS_SUCCESS" if order.done else f"SCAN_STATUS_{'IN_PROGRESS' if online else 'PENDING'}"


def _newest(device: Device, kinds: Sequence[str]) -> Order | None:
    return next((order for order in reversed(device.orders) if order.kind in kinds), None)


def _isolation(device: Device) -> str:
    """A pending order shows until the agent carries it out."""
    waiting = [order for order in device.orders if order.kind in {"isolate", "release"}]
    order = next((each for each in reversed(waiting) if not (each.done or each.failed)), None)
    if order is not None:
        return "AGENT_PENDING_ISOLATION" if order.kind == "isolate" else "AGENT_PENDING_ISOLATION_CANCELLATION"
    return "AGENT_ISOLATED" if device.isolated else "AGENT_UNISOLATED"


def _sha256(value: Any) -> str:
    if not isinstance(value, str) or len(value) != 64 or not set(value.lower()) <= set("0123456789abcdef"):
        raise BadFilterError("file_hash must be a SHA-256")
    return value.lower()
