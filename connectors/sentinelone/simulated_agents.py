"""The simulated agents: what they report about network and scans, and orders that wait until an agent is online."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from nightdesk.connectors.sentinelone.payloads import agent_payload, number
from nightdesk.connectors.sentinelone.wire import API, Filter, Routes, affected, bulk, fitting, page, parameters, stamp
from nightdesk.sdk.context import Clock
from nightdesk.sdk.testing import Device, Fleet, StoryDevice

__all__ = ["AgentsApi"]

_SCAN_TAKES = timedelta(minutes=20)
_ADDRESSES = ("inet", "inet6")


def addresses_of(agent: Mapping[str, Any]) -> list[str]:
    """Every address of the agent's network cards."""
    return [address for card in agent["networkInterfaces"] for name in _ADDRESSES for address in card[name]]


_FILTERS: Mapping[str, Filter] = {
    "ids": Filter("ids", lambda agent: agent["id"]),
    "uuids": Filter("ids", lambda agent: agent["uuid"]),
    "siteIds": Filter("ids", lambda agent: agent["siteId"]),
    "accountIds": Filter("ids", lambda agent: agent["accountId"]),
    "networkStatuses": Filter("ids", lambda agent: agent["networkStatus"]),
    "computerName": Filter("text", lambda agent: agent["computerName"]),
    "computerName__contains": Filter("contains", lambda agent: agent["computerName"]),
    "networkInterfaceInet__contains": Filter("contains", addresses_of),
    "isActive": Filter("flag", lambda agent: agent["isActive"]),
    "isDecommissioned": Filter("flag", lambda agent: agent["isDecommissioned"]),
}


class AgentsApi:
    """The agents of an account; ``decommissioned`` holds those that were retired in the console."""

    def __init__(self, clock: Clock, fleet: Fleet) -> None:
        self.decommissioned: set[str] = set()
        self._clock = clock
        self._fleet = fleet
        self._heard: dict[str, datetime] = {}
        self._scans: dict[str, datetime] = {}
        self._aborted: dict[str, datetime] = {}

    def routes(self) -> Routes:
        """What can be called."""
        return (
            ("GET", f"{API}/agents", "Endpoints: View", self._list),
            ("POST", f"{API}/agents/actions/disconnect", "Endpoints: Disconnect from network", self._disconnect),
            ("POST", f"{API}/agents/actions/connect", "Endpoints: Reconnect", self._connect),
            ("POST", f"{API}/agents/actions/initiate-scan", "Endpoints: Initiate scan", self._scan),
            ("POST", f"{API}/agents/actions/abort-scan", "Endpoints: Initiate scan", self._abort),
        )

    def enrol(self, devices: Iterable[StoryDevice]) -> None:
        """Installs agents under ids of the console's own form."""
        self._fleet.add(replace(device, device_id=number(f"agent {device.device_id}")) for device in devices)

    def record(self, agent_id: str) -> dict[str, Any]:
        """The agent as it is now; one that cannot be reached keeps the time it was last heard."""
        self._fleet.settle()
        device, now = self._fleet.devices[agent_id], self._clock()
        online = self._fleet.is_online(device)
        seen = now if online else self._heard.get(agent_id, now)
        self._heard[agent_id] = seen
        gone = agent_id in self.decommissioned
        payload = agent_payload(device, network=network_status(device), scan=self._scan_state(device), seen=seen)
        return {**payload, "isActive": online and not gone, "isDecommissioned": gone}

    async def _list(self, request: Request) -> Response:
        given = parameters(request, _FILTERS)
        rows = [self.record(name) for name in list(self._fleet.devices)]
        # The console shows retired agents only to who asks for them, by id or by this filter.
        if not {"ids", "uuids", "isDecommissioned"} & set(given):
            rows = [row for row in rows if not row["isDecommissioned"]]
        rows = list(filter(fitting(given, _FILTERS), rows))
        return page(rows, given, sorts={"id": lambda row: str(row["id"])}, shown=lambda row: row)

    async def _disconnect(self, request: Request) -> Response:
        return await self._order(request, isolate=True)

    async def _connect(self, request: Request) -> Response:
        return await self._order(request, isolate=False)

    async def _order(self, request: Request, *, isolate: bool) -> Response:
        names = await self._chosen(request)
        for name in names:
            self._fleet.ask(name, "isolate" if isolate else "release")
        return affected(len(names))

    async def _scan(self, request: Request) -> Response:
        names = await self._chosen(request)
        for name in names:
            self._fleet.ask(name, "scan")
        return affected(len(names))

    async def _abort(self, request: Request) -> Response:
        names = [name for name in await self._chosen(request) if self.record(name)["scanStatus"] == "started"]
        for name in names:
            self._aborted[name] = self._clock()
        return affected(len(names))

    async def _chosen(self, request: Request) -> list[str]:
        """The agents that the filter reaches; none of them is retired. An empty filter reaches all of them."""
        _, names = await bulk(request, frozenset())
        chosen = names or list(self._fleet.devices)
        return [name for name in chosen if name in self._fleet.devices and name not in self.decommissioned]

    def _scan_state(self, device: Device) -> dict[str, Any]:
        done = [order for order in device.orders if order.kind == "scan" and order.done]
        if not done:
            return {"scanStatus": "none", "scanStartedAt": None, "scanFinishedAt": None, "scanAbortedAt": None}
        # The agent begins when it hears of the order.
        begun = self._scans.setdefault(done[-1].order_id, self._clock())
        aborted = self._aborted.get(device.device_id)
        cut = aborted is not None and aborted >= begun
        over = not cut and self._clock() >= begun + _SCAN_TAKES
        return {
            "scanStatus": "aborted" if cut else "finished" if over else "started",
            "scanStartedAt": _shown(begun),
            "scanFinishedAt": _shown(begun + _SCAN_TAKES) if over else None,
            "scanAbortedAt": _shown(aborted) if cut else None,
        }


def network_status(device: Device) -> str:
    """An order shows as on its way until it is carried out; an offline agent stays there."""
    waiting = (order for order in reversed(device.orders) if not (order.done or order.failed))
    order = next((order for order in waiting if order.kind in {"isolate", "release"}), None)
    if order is not None:
        return "disconnecting" if order.isolate else "connecting"
    return "disconnected" if device.isolated else "connected"


def _shown(when: datetime | None) -> str | None:
    return None if when is None else stamp(when)
