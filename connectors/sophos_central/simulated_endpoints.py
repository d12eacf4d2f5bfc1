"""The simulated Endpoint API: endpoints, isolation that shows no state while it is under way, scans without a state."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from nightdesk.connectors.sophos_central.payloads import endpoint_payload, uuid_of
from nightdesk.connectors.sophos_central.wire import RefusedError, Routes, by_key, given, json_object, stamp
from nightdesk.sdk.context import Clock
from nightdesk.sdk.testing import Device, Fleet, StoryDevice

__all__ = ["EndpointsApi"]

_FILTERS = ("hostnameContains", "ids", "ipAddresses", "healthStatus", "lastSeenAfter")
_VIEWS = frozenset({"basic", "summary", "full"})
_HEALTHS = frozenset({"good", "suspicious", "bad", "unknown"})
_MOST, _MOST_AT_ONCE = 500, 50


class EndpointsApi:
    """The endpoints of a tenant; ``itself`` are those that cut themselves off, ``unsupported`` cannot be isolated."""

    def __init__(self, clock: Clock, fleet: Fleet, tenant: str) -> None:
        self.itself: set[str] = set()
        self.unsupported: set[str] = set()
        self._clock = clock
        self._fleet = fleet
        self._tenant = tenant
        self._seen: dict[str, str] = {}
        self._comments: dict[str, str] = {}

    def routes(self) -> Routes:
        """What can be called."""
        root = "/endpoint/v1/endpoints"
        return (
            ("GET", root, self._list),
            ("POST", f"{root}/isolation", self._isolate_many),
            ("GET", f"{root}/{{endpoint}}", self._read),
            ("GET", f"{root}/{{endpoint}}/isolation", self._isolation),
            ("PATCH", f"{root}/{{endpoint}}/isolation", self._isolate),
            ("POST", f"{root}/{{endpoint}}/scans", self._scan),
        )

    def enrol(self, devices: Iterable[StoryDevice]) -> None:
        """Installs endpoints under ids of the vendor's own form."""
        self._fleet.add(replace(device, device_id=uuid_of("endpoint", device.device_id)) for device in devices)

    def record(self, endpoint_id: str) -> dict[str, Any]:
        """The endpoint as it is now; one that cannot be reached keeps the time it was last seen."""
        self._fleet.settle()
        device = self._fleet.devices[endpoint_id]
        online = self._fleet.is_online(device)
        seen = stamp(self._clock()) if online else self._seen.get(endpoint_id, stamp(self._clock()))
        self._seen[endpoint_id] = seen
        itself = endpoint_id in self.itself
        return endpoint_payload(device, tenant=self._tenant, online=online, seen=seen, itself=itself)

    async def _list(self, request: Request) -> Response:
        query = given(request, *_FILTERS, "view", "pageSize", "pageFromKey", "pageTotal")
        if query.get("view", "basic") not in _VIEWS or query.get("healthStatus", "good") not in _HEALTHS:
            raise RefusedError(400, "view or healthStatus is none of its values")
        rows = [self.record(name) for name in list(self._fleet.devices)]
        rows = [_viewed(row, query.get("view", "basic")) for row in rows if _fits(row, query)]
        return by_key(rows, query, default=50, most=_MOST)

    async def _read(self, request: Request) -> Response:
        query = given(request, "view")
        if query.get("view", "full") not in _VIEWS:
            raise RefusedError(400, "view is none of its values")
        return JSONResponse(_viewed(self.record(self._device(request).device_id), query.get("view", "full")))

    async def _isolation(self, request: Request) -> Response:
        given(request)
        return JSONResponse(self._isolation_of(self._device(request)))

    async def _isolate(self, request: Request) -> Response:
        body = await json_object(request, "enabled", "comment")
        device = self._device(request)
        self._order(device, body)
        return JSONResponse(self._isolation_of(device), 202)

    async def _isolate_many(self, request: Request) -> Response:
        body = await json_object(request, "enabled", "comment", "ids")
        names = body.get("ids")
        if not isinstance(names, list) or not 1 <= len(names) <= _MOST_AT_ONCE or set(names) - set(self._fleet.devices):
            raise RefusedError(400, f"ids must be 1 to {_MOST_AT_ONCE} ids of endpoints")
        for name in names:
            self._order(self._fleet.devices[name], body)
        items = [{"id": name, "isolation": self._isolation_of(self._fleet.devices[name])} for name in names]
        return JSONResponse({"items": items}, 202)

    async def _scan(self, request: Request) -> Response:
        await json_object(request)
        order = self._fleet.ask(self._device(request).device_id, "scan")
        made = {"id": uuid_of("scan", order.order_id), "status": "requested", "requestedAt": stamp(order.asked_at)}
        return JSONResponse(made, 201)

    def _order(self, device: Device, body: Mapping[str, Any]) -> None:
        enabled, comment = body.get("enabled"), body.get("comment", "")
        if not isinstance(enabled, bool) or not isinstance(comment, str):
            raise RefusedError(400, "enabled must be true or false, comment text")
        if device.device_id in self.unsupported:
            raise RefusedError(400, "endpoint isolation is not supported or not licensed for this endpoint")
        self._comments[device.device_id] = comment
        self._fleet.order(device.device_id, isolate=enabled)

    def _isolation_of(self, device: Device) -> dict[str, Any]:
        self._fleet.settle()
        orders = [order for order in device.orders if order.kind in {"isolate", "release"}]
        waiting = any(not (order.done or order.failed) for order in orders)
        shown: dict[str, Any] = {} if waiting else {"enabled": device.isolated}
        for kind, name in (("isolate", "lastEnabledAt"), ("release", "lastDisabledAt")):
            asked = [order.asked_at for order in orders if order.kind == kind]
            shown |= {name: stamp(asked[-1])} if asked else {}
        comment = self._comments.get(device.device_id, "") if orders else None
        return shown if comment is None else {**shown, "comment": comment}

    def _device(self, request: Request) -> Device:
        found = self._fleet.devices.get(str(request.path_params["endpoint"]).lower())
        if found is None:
            raise RefusedError(404, "endpoint not found")
        return found


def _fits(row: Mapping[str, Any], query: Mapping[str, str]) -> bool:
    """Parts of host names count, whatever their case; of ids and addresses any of the list."""
    addresses = {*row["ipv4Addresses"], *row["ipv6Addresses"]}
    return (
        query.get("hostnameContains", "").lower() in str(row["hostname"]).lower()
        and ("ids" not in query or row["id"] in query["ids"].split(","))
        and ("ipAddresses" not in query or not addresses.isdisjoint(query["ipAddresses"].split(",")))
        and query.get("healthStatus", row["health"]["overall"]) == row["health"]["overall"]
        and query.get("lastSeenAfter", "") <= row["lastSeenAt"]
    )


def _viewed(row: Mapping[str, Any], view: str) -> dict[str, Any]:
    basic = ("id", "type", "tenant", "hostname")
    return dict(row) if view != "basic" else {name: row[name] for name in basic}
