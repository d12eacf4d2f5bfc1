"""The simulated on-demand scans: a request with every field, and a status that follows what the host does."""

from collections.abc import Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from nightdesk.connectors.crowdstrike_falcon.fql import Kind, parse
from nightdesk.connectors.crowdstrike_falcon.payloads import timestamp
from nightdesk.connectors.crowdstrike_falcon.wire import BadRequestError, Routes, Wire, json_object, window
from nightdesk.sdk.context import Clock
from nightdesk.sdk.testing import Fleet
from nightdesk.sdk.testing.estate import Order

__all__ = ["ScansApi"]

_SHAPE: Mapping[str, type] = {
    **dict.fromkeys(("hosts", "host_groups", "file_paths", "scan_inclusions", "scan_exclusions"), list),
    **dict.fromkeys(("description", "initiated_from"), str),
    **dict.fromkeys(("endpoint_notification", "quarantine"), bool),
    **dict.fromkeys(("cpu_priority", "max_duration", "pause_duration"), int),
    **{f"{where}_ml_level_{what}": int for where in ("sensor", "cloud") for what in ("detection", "prevention")},
}
_FIELDS: Mapping[str, Kind] = {"id": "word", "status": "word", "initiated_from": "word", "created_on": "time"}
_SORTS = frozenset({"created_on|asc", "created_on|desc"})


class ScansApi:
    """The scans of a CID by id."""

    def __init__(self, wire: Wire, clock: Clock, fleet: Fleet) -> None:
        self.scans: dict[str, dict[str, Any]] = {}
        self._orders: dict[str, list[Order]] = {}
        self._wire = wire
        self._clock = clock
        self._fleet = fleet

    def routes(self) -> Routes:
        """What can be called."""
        return (
            ("POST", "/ods/entities/scans/v1", "ods:write", self._create),
            ("GET", "/ods/queries/scans/v1", "ods:read", self._query),
            ("GET", "/ods/entities/scans/v2", "ods:read", self._read),
        )

    async def _create(self, request: Request) -> Response:
        body = await json_object(request)
        _check(body)
        unknown = [name for name in body["hosts"] if name not in self._fleet.devices]
        if unknown:
            return self._wire.refuse(404, f"host {unknown[0]} not found")
        name, now = f"{len(self.scans) + 1:032x}", timestamp(self._clock())
        self.scans[name] = {**body, "id": name, "created_on": now, "last_updated": now}
        self._orders[name] = [self._fleet.ask(host, "scan", body["file_paths"][0]) for host in body["hosts"]]
        return self._wire.envelope([self._shown(name)], status=201)

    async def _query(self, request: Request) -> Response:
        limit, offset = window(request, 500)
        sort = request.query_params.get("sort", "created_on|desc")
        if sort not in _SORTS:
            raise BadRequestError(f"invalid sort {sort!r}")
        test = parse(request.query_params.get("filter", ""), _FIELDS)
        names = [name for name in self.scans if test(self._shown(name))]
        names = names if sort.endswith("asc") else names[::-1]
        return self._wire.envelope(names[offset : offset + limit], pagination={"offset": offset, "total": len(names)})

    async def _read(self, request: Request) -> Response:
        names = request.query_params.getlist("ids")
        if not names:
            raise BadRequestError("ids is required")
        missing = [{"code": 404, "message": f"scan {name} not found"} for name in names if name not in self.scans]
        return self._wire.envelope([self._shown(name) for name in names if name in self.scans], errors=missing)

    def _shown(self, name: str) -> dict[str, Any]:
        self._fleet.settle()
        orders, row = self._orders[name], self.scans[name]
        if any(order.failed for order in orders):
            status = "failed"
        elif all(order.done for order in orders):
            status = "completed"
        else:
            started = any(self._fleet.is_online(self._fleet.devices[host]) for host in row["hosts"])
            status = "running" if started else "pending"
        files = {"scanned": 4096 if status == "completed" else 0, "malicious": 0, "quarantined": 0, "skipped": 0}
        return {**row, "status": status, "filecount": files, "targeted_host_count": len(orders)}


def _check(body: Mapping[str, Any]) -> None:
    missing, strange = sorted(set(_SHAPE) - set(body)), sorted(set(body) - set(_SHAPE))
    if missing or strange:
        raise BadRequestError(f"missing {missing}, unknown {strange}")
    # bool is an int to Python and none to Falcon, so the exact type counts.
    wrong = [name for name, kind in _SHAPE.items() if type(body[name]) is not kind]
    if wrong:
        raise BadRequestError(f"wrong type of {wrong[0]}")
    if not (body["hosts"] or body["host_groups"]) or not (body["file_paths"] or body["scan_inclusions"]):
        raise BadRequestError("a scan needs hosts and what to scan")
    if not 1 <= body["cpu_priority"] <= 5:
        raise BadRequestError("cpu_priority must be 1 to 5")
    for where in ("sensor", "cloud"):
        detection, prevention = (body[f"{where}_ml_level_{what}"] for what in ("detection", "prevention"))
        if not 0 <= prevention <= detection <= 4:
            raise BadRequestError(f"{where}_ml_level: 0 to 4, and prevention not above detection")
