"""Acme EDR as its documentation describes it: strict about keys, limits and words, and it remembers."""

import json
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from nightdesk.sdk import testing
from nightdesk.sdk.moments import instant
from nightdesk.sdk.secrets import Secret
from nightdesk.sdk.testing import StoryAlert

__all__ = ["Simulator"]

_STATUSES = ("open", "closed")
_VERDICTS = ("none", "true_positive", "false_positive")
_OURS = {"true_positive": "true-positive", "false_positive": "false-positive"}


class Simulator(testing.Simulator):
    """One Acme tenant with one service user."""

    vendor = "acme_edr"

    def __init__(self, **given: Any) -> None:
        super().__init__(**given)
        self.alerts: dict[str, dict[str, Any]] = {}

    def routes(self) -> list[BaseRoute]:
        """The endpoints of the API that the connector needs."""
        return [
            Route("/api/v1/alerts", self._guarded(self._list), methods=["GET"]),
            Route("/api/v1/alerts/{id}", self._guarded(self._one), methods=["GET", "PATCH"]),
            Route("/api/v1/devices", self._guarded(self._devices), methods=["GET"]),
            Route("/api/v1/devices/{id}/isolation", self._guarded(self._isolation), methods=["PUT"]),
        ]

    def settings(self, base_url: str) -> dict[str, Any]:
        """Settings of a connector that reaches this simulator."""
        return {"base_url": base_url, "api_key": Secret.literal(self.secret)}

    def add(self, alert: StoryAlert) -> str:
        """Raises an alert; its device enrols if it is new."""
        if alert.device is not None:
            self.add_devices([alert.device])
        process = alert.process
        payload = {
            "id": f"al-{alert.uid}",
            "title": alert.title,
            "rule": alert.rule_id,
            "severity": alert.severity,
            "status": "open",
            "verdict": "none",
            "detected_at": _time(alert.at),
            "updated_at": _time(alert.told),
            "host": {"id": alert.device.device_id, "name": alert.device.hostname, "ip": alert.device.addresses[0]}
            if alert.device
            else None,
            "user": alert.user or None,
            "process": {"name": process.name, "command_line": process.command_line, "sha256": process.sha256}
            if process
            else None,
            "techniques": list(alert.technique_ids),
        }
        self.alerts[str(payload["id"])] = payload
        return str(payload["id"])

    def alert_state(self, native_id: str) -> Mapping[str, Any]:
        """Status and disposition in our words."""
        alert = self.alerts[native_id]
        return {"status": alert["status"], "disposition": _OURS.get(alert["verdict"], ""), "comments": []}

    def _guarded(self, call: Any) -> Any:
        async def guarded(request: Request) -> Response:
            if request.headers.get("x-api-key") != self.secret:
                return self.refuse(401, "unknown api key")
            found: Response = await call(request)
            return found

        return guarded

    async def _list(self, request: Request) -> Response:
        query = request.query_params
        limit, since = query.get("limit", "50"), instant(query.get("updated_since", "1970-01-01T00:00:00Z"))
        if not limit.isdecimal() or not 1 <= int(limit) <= 200 or since is None:
            return self.refuse(400, "limit must be 1 to 200, updated_since a time")
        found = [one for one in self.alerts.values() if (instant(one["updated_at"]) or 0) >= since]
        found.sort(key=lambda one: (one["updated_at"], one["id"]))
        begin = int(query.get("page", "0"))
        rest = begin + int(limit) < len(found)
        page = [self.drift(dict(one)) for one in found[begin : begin + int(limit)]]
        return JSONResponse({"alerts": page, "next": str(begin + int(limit)) if rest else None})

    async def _one(self, request: Request) -> Response:
        alert = self.alerts.get(request.path_params["id"])
        if alert is None:
            return self.refuse(404, "no such alert")
        if request.method == "PATCH":
            changes = json.loads(await request.body())
            allowed = {"status": _STATUSES, "verdict": _VERDICTS}
            if not changes or any(value not in allowed.get(name, ()) for name, value in changes.items()):
                return self.refuse(400, f"status is one of {_STATUSES}, verdict one of {_VERDICTS}")
            alert.update(changes, updated_at=_time(self.now()))
        return JSONResponse(self.drift(dict(alert)))

    async def _devices(self, request: Request) -> Response:
        query = request.query_params
        self.fleet.settle()
        found = [
            {
                "id": one.device_id,
                "hostname": one.hostname,
                "addresses": list(one.addresses),
                "type": one.asset_type,
                "isolation": "isolated" if one.isolated else "none",
                "isolation_wanted": ("isolated" if one.pending.isolate else "none") if one.pending else None,
            }
            for one in self.fleet.devices.values()
            if query.get("id", one.device_id) == one.device_id
            and query.get("hostname", one.hostname).lower() == one.hostname.lower()
            and ("address" not in query or query["address"] in one.addresses)
        ]
        return JSONResponse({"devices": found})

    async def _isolation(self, request: Request) -> Response:
        body = json.loads(await request.body())
        if request.path_params["id"] not in self.fleet.devices:
            return self.refuse(404, "no such device")
        if body.get("isolation") not in {"isolated", "none"}:
            return self.refuse(400, "isolation is isolated or none")
        self.fleet.order(request.path_params["id"], isolate=body["isolation"] == "isolated")
        return JSONResponse({"accepted": True}, 202)


def _time(moment: Any) -> str:
    utc = moment - timedelta(0)
    return f"{utc:%Y-%m-%dT%H:%M:%S}.{utc.microsecond // 1000:03d}Z"
