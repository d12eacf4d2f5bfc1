"""The simulated Common API: open alerts alone, and actions that only those alerts take which allow them."""

from collections.abc import Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from nightdesk.connectors.sophos_central.payloads import uuid_of
from nightdesk.connectors.sophos_central.wire import RefusedError, Routes, by_key, given, json_object, stamp
from nightdesk.sdk.context import Clock

__all__ = ["AlertsApi"]

_ACTIONS = frozenset(
    {"acknowledge", "cleanPua", "cleanVirus", "authPua", "clearThreat", "clearHmpa", "sendMsgPua", "sendMsgThreat"}
)
_MOST = 100


class AlertsApi:
    """The open alerts by id; ``failing`` are those whose actions are taken and then fail."""

    def __init__(self, clock: Clock) -> None:
        self.open: dict[str, dict[str, Any]] = {}
        self.messages: dict[str, list[str]] = {}
        self.failing: set[str] = set()
        self._clock = clock
        self._actions = 0

    def routes(self) -> Routes:
        """What can be called."""
        return (
            ("GET", "/common/v1/alerts", self._list),
            ("GET", "/common/v1/alerts/{alert}", self._read),
            ("POST", "/common/v1/alerts/{alert}/actions", self._act),
        )

    async def _list(self, request: Request) -> Response:
        query = given(request, "from", "to", "severity", "product", "pageSize", "pageFromKey", "pageTotal")
        begin, end = query.get("from", ""), query.get("to", "~")
        rows = [alert for alert in self.open.values() if begin <= str(alert["raisedAt"]) <= end]
        for name in ("severity", "product"):
            if name in query:
                rows = [row for row in rows if row[name] in query[name].split(",")]
        return by_key(rows, query, default=50, most=_MOST)

    async def _read(self, request: Request) -> Response:
        given(request)
        return JSONResponse(self._alert(request))

    async def _act(self, request: Request) -> Response:
        body = await json_object(request, "action", "message")
        alert, action = self._alert(request), body.get("action")
        if action not in _ACTIONS:
            raise RefusedError(400, "action must be one of the documented ones")
        if action not in alert["allowedActions"]:
            raise RefusedError(400, f"action {action} is not allowed for this alert")
        if not isinstance(body.get("message", ""), str):
            raise RefusedError(400, "message must be text")
        self._actions += 1
        name, now = str(alert["id"]), stamp(self._clock())
        made = {"id": uuid_of("action", name, str(self._actions)), "alertId": name, "action": action}
        if name in self.failing:
            return JSONResponse({**made, "status": "failed", "requestedAt": now, "result": "internal"}, 201)
        self.messages.setdefault(name, []).extend(filter(None, [body.get("message", "")]))
        if action == "acknowledge":
            del self.open[name]
        return JSONResponse({**made, "status": "requested", "requestedAt": now}, 201)

    def _alert(self, request: Request) -> Mapping[str, Any]:
        found = self.open.get(str(request.path_params["alert"]).lower())
        if found is None:
            raise RefusedError(404, "alert not found")
        return found
