"""The simulator's response actions of Elastic Defend: accepted at once, done when the agent gets to it."""

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from starlette.requests import Request

from nightdesk.connectors.elastic_security.payloads import stamp
from nightdesk.connectors.elastic_security.simulated_hosts import Answer, Handler, Hosts, platform, wrong_keys
from nightdesk.sdk.context import Clock
from nightdesk.sdk.testing import Device, Fleet
from nightdesk.sdk.testing.estate import Order, OrderKind

__all__ = ["Defend"]

_KINDS: Mapping[str, tuple[str, OrderKind]] = {
    "isolate": ("isolate", "isolate"),
    "unisolate": ("unisolate", "release"),
    "kill_process": ("kill-process", "kill"),
    "suspend_process": ("suspend-process", "suspend"),
    "running_procs": ("running-processes", "collect"),
    "get_file": ("get-file", "fetch"),
    "execute": ("execute", "script"),
    "scan": ("scan", "scan"),
}
_COMMANDS = {command for command, _ in _KINDS.values()}
_PROCESS = ("kill_process", "suspend_process")
_TEXTS = {"get_file": "path", "scan": "path", "execute": "command"}
_EXPIRES = timedelta(days=14)


@dataclass(slots=True)
class _Action:
    action_id: str
    command: str
    devices: list[Device]
    orders: list[Order]
    parameters: Mapping[str, Any]
    comment: str
    asked_at: datetime


class Defend:
    """The response side. ``denied``: the API key lacks every privilege of it."""

    def __init__(self, now: Clock, fleet: Fleet) -> None:
        self._now, self._fleet = now, fleet
        self.hosts = Hosts(now, fleet)
        self.denied = False
        self.actions: list[_Action] = []

    def table(self) -> tuple[tuple[str, str, Handler], ...]:
        """Kibana's routes under ``/api/endpoint``."""
        rows: tuple[tuple[str, str, Handler], ...] = (
            ("POST", "/api/endpoint/action/{name}", self._respond),
            ("GET", "/api/endpoint/action", self._list),
            ("GET", "/api/endpoint/action/{action_id}", self._show),
            ("GET", "/api/endpoint/action_status", self._count),
            *self.hosts.table(),
        )
        return tuple((method, path, self._settled(handler)) for method, path, handler in rows)

    def _settled(self, handler: Handler) -> Handler:
        def settled(request: Request, space: str, body: Any) -> Answer:
            if self.denied:
                return 403, platform(403, "Endpoint authorization failure")
            self._fleet.settle()
            return handler(request, space, body)

        return settled

    def _respond(self, request: Request, _: str, body: Any) -> Answer:
        name = request.path_params["name"]
        if name not in _KINDS:
            return 404, platform(404, "Not Found")
        optional = frozenset({"comment", "alert_ids", "case_ids", "agent_type", "parameters"})
        problem = wrong_keys(body, {"endpoint_ids"}, optional) or _wrong_parameters(name, body.get("parameters"))
        asked = body.get("endpoint_ids") if isinstance(body, dict) else None
        if problem or not isinstance(asked, list) or not asked:
            return 400, platform(400, problem or "[request body.endpoint_ids]: array size is [0]")
        valid = [name for name in asked if name in self._fleet.devices and name not in self.hosts.unenrolled]
        if not valid:
            return 400, platform(400, "The host does not have Elastic Defend integration installed")
        comment, invalid = str(body.get("comment", "")), [name for name in asked if name not in valid]
        if invalid:
            comment += f" (WARNING: The following agent ids are not valid: {invalid})"
        command, kind = _KINDS[name]
        parameters = body.get("parameters") or {}
        devices = [self._fleet.devices[agent_id] for agent_id in valid]
        orders = [self._fleet.ask(one.device_id, kind, _subject(one.device_id, parameters)) for one in devices]
        action_id = f"0f000000-0000-4000-8000-{len(self.actions) + 1:012d}"
        action = _Action(action_id, command, devices, orders, parameters, comment, self._now())
        self.actions.append(action)
        answer: dict[str, Any] = {"data": self._details(action)}
        return 200, {"action": action_id, **answer} if name in {"isolate", "unisolate"} else answer

    def _details(self, action: _Action) -> dict[str, Any]:
        states, outputs, done_at = {}, {}, stamp(self._now())
        for device, order in zip(action.devices, action.orders, strict=True):
            over = order.done or order.failed
            completed = stamp(order.due or action.asked_at) if over else None
            states[device.device_id] = {"isCompleted": over, "wasSuccessful": order.done, "completedAt": completed}
            if order.done and (content := _content(action, device)):
                outputs[device.device_id] = {"type": "json", "content": content}
        completed_all = all(state["isCompleted"] for state in states.values())
        successful = all(state["wasSuccessful"] for state in states.values())
        expired = not completed_all and self._now() - action.asked_at > _EXPIRES
        return {
            "id": action.action_id,
            "command": action.command,
            "agents": [device.device_id for device in action.devices],
            "agentType": "endpoint",
            "status": "successful" if successful else "failed" if completed_all or expired else "pending",
            "isCompleted": completed_all,
            "wasSuccessful": completed_all and successful,
            "isExpired": expired,
            "startedAt": stamp(action.asked_at),
            "completedAt": done_at if completed_all else None,
            "agentState": states,
            "outputs": outputs,
            "parameters": dict(action.parameters),
            "createdBy": "svc-soc",
            "comment": action.comment,
        }

    def _list(self, request: Request, _: str, __: Any) -> Answer:
        query = request.query_params
        page, size = int(query.get("page", "1")), int(query.get("pageSize", "10"))
        agents, commands = set(query.getlist("agentIds")), set(query.getlist("commands"))
        if page < 1 or not 1 <= size <= 100 or len(agents) > 50 or commands - _COMMANDS:
            return 400, platform(400, "[request query]: invalid page, pageSize, agentIds or commands")
        since = query.get("startDate", "1970-01-01T00:00:00Z")
        rows = [
            self._details(action)
            for action in reversed(self.actions)
            if action.asked_at >= datetime.fromisoformat(since)
            and (not agents or agents & {device.device_id for device in action.devices})
            and (not commands or action.command in commands)
        ]
        return 200, {"page": page, "pageSize": size, "total": len(rows), "data": rows[(page - 1) * size :][:size]}

    def _show(self, request: Request, _: str, __: Any) -> Answer:
        wanted = request.path_params["action_id"]
        found = next((action for action in self.actions if action.action_id == wanted), None)
        if found is None:
            return 404, platform(404, f"Action with id '{wanted}' not found.")
        return 200, {"data": self._details(found)}

    def _count(self, request: Request, _: str, __: Any) -> Answer:
        agents = request.query_params.getlist("agent_ids")
        if not agents:
            return 400, platform(400, "[request query.agent_ids]: expected value of type [array]")
        rows = []
        for agent_id in agents:
            pending: dict[str, int] = {}
            for action in self.actions:
                for device, order in zip(action.devices, action.orders, strict=True):
                    if device.device_id == agent_id and not (order.done or order.failed):
                        pending[action.command] = pending.get(action.command, 0) + 1
            rows.append({"agent_id": agent_id, "pending_actions": pending})
        return 200, {"data": rows}


def _subject(agent_id: str, parameters: Mapping[str, Any]) -> str:
    """What the order is about; an entity id names a process of one agent, and of another one nothing."""
    if "entity_id" not in parameters:
        return str(next(iter(parameters.values()), ""))
    try:
        text = base64.b64decode(str(parameters["entity_id"]), validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        return ""
    return text.removeprefix(f"{agent_id}-").split("-")[0] if text.startswith(f"{agent_id}-") else ""


def _content(action: _Action, device: Device) -> dict[str, Any]:
    """What the agent sends back of an action that went well."""
    if action.command == "get-file":
        stored = device.files[action.parameters["path"]]
        name = stored.path.replace("\\", "/").rpartition("/")[2]
        row = {"type": "file", "path": stored.path, "file_name": name, "sha256": stored.sha256, "size": 4096}
        path = f"/api/endpoint/action/{action.action_id}/file/{action.action_id}.{device.device_id}/download"
        return {"code": "ra_get-file_success_done", "zip_size": 2097, "downloadUri": path, "contents": [row]}
    if action.command == "running-processes":
        return {"entries": [{"pid": one.pid, "command": one.name} for one in device.processes.values()]}
    if action.command == "execute":
        return {"code": "ra_execute_success_done", "stdout": "", "stderr": "", "shell_code": 0}
    return {"code": "ra_scan_success_done"} if action.command == "scan" else {}


def _wrong_parameters(name: str, parameters: Any) -> str:
    given = parameters if isinstance(parameters, dict) else {}
    if name in _PROCESS:
        pid = given.get("pid", 1)
        named = len(given) == 1 and set(given) <= {"pid", "entity_id"}
        return "" if named and isinstance(pid, int) and pid >= 1 else "[request body.parameters]: one of pid, entity_id"
    if name not in _TEXTS:
        return "[request body.parameters]: definition for this key is missing" if parameters is not None else ""
    text = given.get(_TEXTS[name])
    allowed = {_TEXTS[name], *(["timeout"] if name == "execute" else [])}
    if not isinstance(text, str) or not text.strip() or set(given) - allowed:
        return f"[request body.parameters.{_TEXTS[name]}]: expected value of type [string]"
    timeout = given.get("timeout", 1)
    return "" if isinstance(timeout, int) and timeout >= 1 else "[request body.parameters.timeout]: expected a number"
