"""The simulator's Elastic Defend: hosts that report their own isolation, and response actions that may stay pending."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from starlette.requests import Request

from nightdesk.connectors.elastic_security.payloads import VERSION, stamp, system
from nightdesk.sdk.context import Clock
from nightdesk.sdk.testing import Device, FaultPlan, Fleet
from nightdesk.sdk.testing.estate import Order

__all__ = ["Answer", "Defend", "Handler", "platform", "wrong_keys"]

_COMMANDS = {"isolate": "isolate", "unisolate": "unisolate", "kill_process": "kill-process"}
_EXPIRES = timedelta(days=14)
_CLAUSE = re.compile(r'united\.endpoint\.((?:host|agent)\.[a-z]+) : "((?:[^"\\]|\\.)*)"')
_ERRORS = {400: "Bad Request", 401: "Unauthorized", 403: "Forbidden", 404: "Not Found", 429: "Too Many Requests"}

Answer = tuple[int, Any]
Handler = Callable[[Request, str, Any], Answer]


def platform(status: int, message: str) -> dict[str, Any]:
    """The error shape of Kibana itself; the routes of detection say ``status_code`` instead."""
    return {"statusCode": status, "error": _ERRORS.get(status, "Internal Server Error"), "message": message}


def wrong_keys(body: Any, required: set[str], optional: frozenset[str] = frozenset()) -> str:
    """What is wrong with a body's keys, as the route's schema says it; empty when nothing is."""
    if not isinstance(body, dict):
        return "[request body]: Expected object"
    missing, unknown = sorted(required - set(body)), sorted(set(body) - required - optional)
    if missing:
        return f"[request body]: {missing[0]}: Required"
    return f"[request body]: Unrecognized key(s) in object: '{unknown[0]}'" if unknown else ""


@dataclass(slots=True)
class _Action:
    action_id: str
    command: str
    devices: list[Device]
    orders: list[Order]
    comment: str
    asked_at: datetime


class Defend:
    """The response side. ``unenrolled`` are agents without Elastic Defend, ``killed`` what was really ended."""

    def __init__(self, now: Clock, fleet: Fleet, faults: FaultPlan) -> None:
        self._now, self._fleet, self._faults = now, fleet, faults
        self.unenrolled: set[str] = set()
        self.denied = False
        self.killed: list[tuple[str, Mapping[str, Any]]] = []
        self.actions: list[_Action] = []
        self._kills: list[tuple[str, Order, Mapping[str, Any]]] = []

    def table(self) -> tuple[tuple[str, str, Handler], ...]:
        """Kibana's routes under ``/api/endpoint``."""
        rows: tuple[tuple[str, str, Handler], ...] = (
            ("POST", "/api/endpoint/action/{name}", self._respond),
            ("GET", "/api/endpoint/action", self._list),
            ("GET", "/api/endpoint/action/{action_id}", self._show),
            ("GET", "/api/endpoint/action_status", self._count),
            ("GET", "/api/endpoint/metadata", self._hosts),
            ("GET", "/api/endpoint/metadata/{agent_id}", self._host),
        )
        return tuple((method, path, self._settled(handler)) for method, path, handler in rows)

    def _settled(self, handler: Handler) -> Handler:
        def settled(request: Request, space: str, body: Any) -> Answer:
            if self.denied:
                return 403, platform(403, "Endpoint authorization failure")
            self._settle()
            return handler(request, space, body)

        return settled

    def _settle(self) -> None:
        self._fleet.settle()
        for agent_id, order, parameters in self._kills:
            reached = self._fleet.is_online(self._fleet.devices[agent_id])
            if reached and not (order.done or order.failed) and order.due is not None and order.due <= self._now():
                order.done = True
                self.killed.append((agent_id, parameters))

    def _respond(self, request: Request, _: str, body: Any) -> Answer:
        name = request.path_params["name"]
        if name not in _COMMANDS:
            return 404, platform(404, "Not Found")
        optional = frozenset({"comment", "alert_ids", "case_ids", "agent_type", "parameters"})
        problem = wrong_keys(body, {"endpoint_ids"}, optional) or _wrong_parameters(name, body.get("parameters"))
        asked = body.get("endpoint_ids")
        if problem or not isinstance(asked, list) or not asked:
            return 400, platform(400, problem or "[request body.endpoint_ids]: array size is [0]")
        valid = [name for name in asked if name in self._fleet.devices and name not in self.unenrolled]
        if not valid:
            return 400, platform(400, "The host does not have Elastic Defend integration installed")
        comment, invalid = str(body.get("comment", "")), [name for name in asked if name not in valid]
        if invalid:
            comment += f" (WARNING: The following agent ids are not valid: {invalid})"
        devices = [self._fleet.devices[agent_id] for agent_id in valid]
        orders = [self._order(name, device, body.get("parameters") or {}) for device in devices]
        action_id = f"0f000000-0000-4000-8000-{len(self.actions) + 1:012d}"
        action = _Action(action_id, _COMMANDS[name], devices, orders, comment, self._now())
        self.actions.append(action)
        answer: dict[str, Any] = {"data": self._details(action)}
        return 200, answer if name == "kill_process" else {"action": action_id, **answer}

    def _order(self, name: str, device: Device, parameters: Mapping[str, Any]) -> Order:
        if name != "kill_process":
            return self._fleet.order(device.device_id, isolate=name == "isolate")
        now = self._now()
        late = self._faults.standing("late_effect", device_id=device.device_id)
        due = now + timedelta(seconds=float(late.options.get("seconds", 1)) if late else 0)
        failed = self._faults.standing("accepted_then_failed", device_id=device.device_id) is not None
        order = Order(f"kill-{len(self._kills) + 1}", "kill", now, due, failed=failed)
        self._kills.append((device.device_id, order, parameters))
        self._settle()
        return order

    def _details(self, action: _Action) -> dict[str, Any]:
        states, done_at = {}, stamp(self._now())
        for device, order in zip(action.devices, action.orders, strict=True):
            over = order.done or order.failed
            completed = stamp(order.due or action.asked_at) if over else None
            states[device.device_id] = {"isCompleted": over, "wasSuccessful": order.done, "completedAt": completed}
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
            "outputs": {},
            "createdBy": "svc-soc",
            "comment": action.comment,
        }

    def _list(self, request: Request, _: str, __: Any) -> Answer:
        query = request.query_params
        page, size = int(query.get("page", "1")), int(query.get("pageSize", "10"))
        agents, commands = set(query.getlist("agentIds")), set(query.getlist("commands"))
        if page < 1 or not 1 <= size <= 100 or len(agents) > 50 or commands - set(_COMMANDS.values()):
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

    def _host(self, request: Request, _: str, __: Any) -> Answer:
        device = self._fleet.devices.get(request.path_params["agent_id"])
        return (200, self._metadata(device)) if device else (404, platform(404, "Endpoint not found"))

    def _hosts(self, request: Request, _: str, __: Any) -> Answer:
        query = request.query_params
        page, size = int(query.get("page", "0")), int(query.get("pageSize", "10"))
        if page < 0 or not 1 <= size <= 10_000:
            return 400, platform(400, "[request query.page]: Value must be equal to or greater than [0].")
        kuery = query.get("kuery", "")
        clauses = _CLAUSE.findall(kuery)
        if kuery and _CLAUSE.sub("", kuery).replace(" or ", "").strip():
            return 400, platform(400, "KQLSyntaxError: unexpected input")
        wanted = [(field, re.sub(r"\\(.)", r"\1", value)) for field, value in clauses]
        rows = [self._metadata(device) for device in self._fleet.devices.values()]
        rows = [row for row in rows if not kuery or any(_has(row["metadata"], *clause) for clause in wanted)]
        found = {"data": rows[page * size :][:size], "total": len(rows), "page": page, "pageSize": size}
        return 200, {**found, "sortField": "enrolled_at", "sortDirection": "desc"}

    def _metadata(self, device: Device) -> dict[str, Any]:
        online = self._fleet.is_online(device)
        status = "healthy" if online else "offline"
        agent = {"id": device.device_id, "type": "endpoint", "version": VERSION}
        host = {
            "hostname": device.hostname,
            "name": device.hostname,
            "id": f"machine-{device.device_id}",
            "ip": [*device.addresses, "127.0.0.1"],
            "os": system(device.platform, device.asset_type),
        }
        return {
            "metadata": {
                "@timestamp": stamp(self._now()),
                "agent": agent,
                "elastic": {"agent": {"id": device.device_id}},
                "host": host,
                "Endpoint": {
                    "status": "enrolled",
                    "state": {"isolation": device.isolated},
                    "capabilities": ["isolation"],
                },
            },
            "host_status": "unenrolled" if device.device_id in self.unenrolled else status,
            "last_checkin": stamp(self._now()),
        }


def _has(metadata: Mapping[str, Any], field: str, wanted: str) -> bool:
    head, name = field.split(".")
    value = metadata[head].get(name)
    return wanted in value if isinstance(value, list) else value == wanted  # keywords: the case counts


def _wrong_parameters(name: str, parameters: Any) -> str:
    if name != "kill_process":
        return "[request body.parameters]: definition for this key is missing" if parameters is not None else ""
    problem = "[request body.parameters]: one of pid, entity_id"
    if not isinstance(parameters, dict) or len(set(parameters) & {"pid", "entity_id"}) != 1 or len(parameters) != 1:
        return problem
    pid = parameters.get("pid", 1)
    return "" if isinstance(pid, int) and pid >= 1 else problem
