"""The simulator's hosts of Elastic Defend, each reporting its isolation, and what Kibana's routes have in common."""

import re
from collections.abc import Callable, Mapping
from typing import Any

from starlette.requests import Request

from nightdesk.connectors.elastic_security.payloads import VERSION, stamp, system
from nightdesk.sdk.context import Clock
from nightdesk.sdk.testing import Device, Fleet

__all__ = ["Answer", "Handler", "Hosts", "platform", "wrong_keys"]

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


class Hosts:
    """What Kibana knows of hosts. ``unenrolled`` are agents without Elastic Defend."""

    def __init__(self, now: Clock, fleet: Fleet) -> None:
        self._now, self._fleet = now, fleet
        self.unenrolled: set[str] = set()

    def table(self) -> tuple[tuple[str, str, Handler], ...]:
        """The routes of the metadata of hosts."""
        return (
            ("GET", "/api/endpoint/metadata", self._hosts),
            ("GET", "/api/endpoint/metadata/{agent_id}", self._host),
        )

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
