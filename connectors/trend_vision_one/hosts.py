"""Hosts: which agent a name stands for, and isolation with the inventory's ``isolationStatus`` as the only truth."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any
from urllib.parse import quote

from nightdesk.connectors.trend_vision_one.client import VENDOR, VisionOne, exact, literal
from nightdesk.connectors.trend_vision_one.tasks import Task, Tasks, described
from nightdesk.sdk.context import Clock
from nightdesk.sdk.errors import NotFoundError, RejectedError
from nightdesk.sdk.moments import SECOND
from nightdesk.sdk.ports import Command, Effect, Receipt
from nightdesk.sdk.targets import Asset, AssetQuery

__all__ = ["LIST", "VIEW", "Hosts"]

LIST = "/endpointSecurity/endpoints"
VIEW = "Endpoint Inventory: View"
_SEARCH = "Search: View, filter, and search"
_ISOLATE = "Response Management: Isolate endpoint"
_PATHS: Mapping[str, str] = {
    "host.isolate": "/response/endpoints/isolate",
    "host.release": "/response/endpoints/restore",
}
_ACTIONS: Mapping[str, str] = {"host.isolate": "isolate", "host.release": "restoreIsolate"}
_WANTED: Mapping[str, str] = {"host.isolate": "on", "host.release": "off"}
_LAG = timedelta(minutes=15)  # for which the inventory may not know yet what a task has done
_TYPES = {"desktop": "workstation", "server": "server"}


class Hosts:
    """The agents of one company."""

    def __init__(self, api: VisionOne, tasks: Tasks, clock: Clock) -> None:
        self._api = api
        self._tasks = tasks
        self._clock = clock

    async def isolate(self, command: Command) -> Receipt:
        """Asks for isolation or its end, unless the host is already so or on its way."""
        lost, wanted = _losses(command), _WANTED[command.verb]
        before, newest = await self._look(command)
        began = command.began_otherwise("isolated", command.verb == "host.isolate")
        evidence = {"isolation_before": before}
        coming = newest is not None and newest.open and newest.action == _ACTIONS[command.verb]
        if coming or (before == wanted and not self._opposed(command, newest)):
            known = newest.task_id if newest is not None and coming else ""
            return Receipt(known or command.native_id, changed=began, losses=lost, evidence=evidence)
        item = {"agentGuid": command.native_id, "description": described(command)}
        task_id = await self._api.order(_PATHS[command.verb], item, operation=command.verb, scope=_ISOLATE)
        return Receipt(task_id or command.native_id, losses=lost, evidence={**evidence, "task_id": task_id})

    async def effect(self, command: Command) -> tuple[Effect, dict[str, Any], str]:
        """How far the isolation is, whether it holds, and the vendor's words for it."""
        _losses(command)
        status, newest = await self._look(command)
        word = f"{status}, task {newest.task_id} {newest.word}" if newest else status
        state: dict[str, Any] = {"isolation_status": status, "task_id": newest.task_id if newest else ""}
        if status in _WANTED.values():  # unknown is neither
            state["isolated"] = status == "on"
        return self._judged(command, status, newest), state, word

    async def find(self, query: AssetQuery) -> Sequence[Asset]:
        """Every agent that the query fits; names are compared whole and without regard to case."""
        if query.device_id:
            found = await self._endpoint(query.device_id)
            return [] if found is None else [_asset(found)]
        names = {name.casefold() for name in (query.hostname, query.fqdn) if name}
        rows: list[Mapping[str, Any]] = []
        if names:
            given = [name for name in (query.hostname, query.fqdn) if name]
            rows = [row for row in await self._listed(given) if str(row.get("endpointName", "")).casefold() in names]
        elif query.address:
            rows = await self._at(query.address)
        return list({str(row.get("agentGuid")): _asset(row) for row in rows if row.get("agentGuid")}.values())

    def _judged(self, command: Command, status: str, newest: Task | None) -> Effect:
        if self._opposed(command, newest):
            return Effect.NOT_IN_EFFECT
        if status == _WANTED[command.verb]:
            return Effect.IN_EFFECT
        if newest is None or newest.action != _ACTIONS[command.verb]:
            return Effect.NOT_IN_EFFECT if status in _WANTED.values() else Effect.UNKNOWN
        if newest.open:
            return Effect.PENDING
        if newest.succeeded and status in _WANTED.values():
            return Effect.PENDING if self._fresh(newest) else Effect.NOT_IN_EFFECT
        if newest.succeeded:
            return Effect.UNKNOWN
        return Effect.FAILED if newest.ours(command) else Effect.NOT_IN_EFFECT

    def _opposed(self, command: Command, newest: Task | None) -> bool:
        """True when the opposite is under way, or was done so lately that the inventory may not know it yet."""
        if newest is None or newest.action == _ACTIONS[command.verb]:
            return False
        return newest.open or (newest.succeeded and self._fresh(newest))

    def _fresh(self, task: Task) -> bool:
        now = int(self._clock().timestamp()) * SECOND
        return now - task.touched <= _LAG // timedelta(seconds=1) * SECOND

    async def _look(self, command: Command) -> tuple[str, Task | None]:
        guid = command.native_id
        if not guid:
            raise RejectedError("no endpoint is named", vendor=VENDOR, operation=command.verb)
        endpoint = await self._endpoint(guid)
        if endpoint is None:
            raise NotFoundError(f"no endpoint {guid}", vendor=VENDOR, operation=command.verb, status=404)
        tasks = await self._tasks.of(*_ACTIONS.values(), about=lambda task: task.row.get("agentGuid") == guid)
        return str(endpoint.get("isolationStatus") or "unknown"), tasks[0] if tasks else None

    async def _endpoint(self, guid: str) -> Mapping[str, Any] | None:
        if not guid.strip("./ "):
            return None
        try:
            found = await self._api.read(f"{LIST}/{quote(guid, safe='')}", operation="read endpoint", scope=VIEW)
        except NotFoundError:
            return None
        return found if found.get("agentGuid") == guid else None

    async def _listed(self, names: Sequence[str]) -> list[Mapping[str, Any]]:
        headers = {"TMV1-Filter": exact("endpointName", *names, operation="find endpoint")}
        rows = self._api.rows(LIST, operation="find endpoint", scope=VIEW, params={"top": 100}, headers=headers)
        return [row async for row in rows]

    async def _at(self, address: str) -> list[Mapping[str, Any]]:
        """By address only the other inventory can be asked."""
        headers = {"TMV1-Query": f"ip eq {literal(address, 'find endpoint')}"}
        rows = self._api.rows(
            "/eiqs/endpoints", operation="find endpoint", scope=_SEARCH, params={"top": 50}, headers=headers
        )
        found = [
            {**row, "endpointName": _value(row, "endpointName"), "ipAddresses": _value(row, "ip")} async for row in rows
        ]
        return [row for row in found if address in (row["ipAddresses"] or ())]


def _losses(command: Command) -> tuple[str, ...]:
    command.only(*(("mode",) if command.verb == "host.isolate" else ()))
    mode = command.parameters.get("mode", "full")
    return (
        () if mode == "full" else (f"mode={mode}: Vision One isolates the whole host, but for its traffic exceptions",)
    )


def _value(row: Mapping[str, Any], name: str) -> Any:
    found = row.get(name)
    return found.get("value") if isinstance(found, dict) else found


def _asset(row: Mapping[str, Any]) -> Asset:
    interfaces = row.get("interfaces")
    listed = row.get("ipAddresses")
    addresses = list(listed) if isinstance(listed, list) else []
    for interface in interfaces if isinstance(interfaces, list) else ():
        found = interface.get("ipAddresses") if isinstance(interface, dict) else None
        addresses += found if isinstance(found, list) else []
    sensor = row.get("edrSensor")
    connectivity = sensor.get("connectivity") if isinstance(sensor, dict) else None
    return Asset(
        native_id=str(row.get("agentGuid", "")),
        hostname=str(row.get("endpointName") or ""),
        addresses=tuple(dict.fromkeys(map(str, addresses))),
        asset_type=_TYPES.get(str(row.get("type", "")), "other"),
        online={"connected": True, "disconnected": False}.get(str(connectivity)),
    )
