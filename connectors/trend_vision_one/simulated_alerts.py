"""The simulated Workbench: alerts by whole seconds, etags that every change ends, notes, closings with a result."""

import json
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from nightdesk.connectors.trend_vision_one.wire import (
    RefusedError,
    Routes,
    between,
    filtered,
    only,
    page,
    seconds,
    top,
)
from nightdesk.sdk.context import Clock

__all__ = ["AlertsApi"]

_RETENTION = timedelta(days=180)
_STATUSES = ("Open", "In Progress", "Closed")
_RESULTS = ("No Findings", "Noteworthy", "True Positive", "False Positive", "Benign True Positive")
_TARGETS = ("createdDateTime", "updatedDateTime")
_ORDERS = {*_TARGETS, "id", "score", "severity", "status", "model", "modelId", "investigationResult"}
_FORMER = {"Open": "New", "In Progress": "In Progress"}  # the deprecated single field
_PLAIN = ("id", "status", "investigationStatus", "investigationResult", "alertProvider", "modelId", "model")
Drift = Callable[[dict[str, Any]], dict[str, Any]]


class AlertsApi:
    """The alerts of one company by id. ``drift`` shows a payload as the fault plan wants it."""

    def __init__(self, clock: Clock, drift: Drift, page_size: int) -> None:
        self.alerts: dict[str, dict[str, Any]] = {}
        self.notes: dict[str, list[dict[str, Any]]] = {}
        self.closing_needs_result = True
        self.restless: set[str] = set()
        self._clock = clock
        self._drift = drift
        self._page_size = page_size
        self._versions: dict[str, int] = {}
        self._noted = 0

    def routes(self) -> Routes:
        """What can be called."""
        return (
            ("GET", "/workbench/alerts", "workbench.view", self._list),
            ("GET", "/workbench/alerts/{id}", "workbench.view", self._read),
            ("PATCH", "/workbench/alerts/{id}", "workbench.modify", self._update),
            ("GET", "/workbench/alerts/{id}/notes", "workbench.view", self._notes),
            ("POST", "/workbench/alerts/{id}/notes", "workbench.modify", self._note),
        )

    def change(self, native_id: str, fields: Mapping[str, Any]) -> None:
        """Changes one alert, as the console does too: the time moves, and the etag ends."""
        alert = self.alerts[native_id]
        alert.update(fields)
        if "investigationStatus" not in fields:
            closed = alert["investigationResult"] if "Positive" in alert["investigationResult"] else "Closed"
            alert["investigationStatus"] = _FORMER.get(alert["status"], closed)
        alert["updatedDateTime"] = seconds(self._clock())
        self._versions[native_id] = self._versions.get(native_id, 0) + 1

    def comment(self, native_id: str, text: str, author: str) -> int:
        """Adds a note; gives its id."""
        self._noted += 1
        note = {
            "id": self._noted,
            "content": text,
            "creatorMailAddress": f"{author}@example.com",
            "creatorName": author,
            "createdDateTime": seconds(self._clock()),
            "lastUpdatedBy": author,
            "lastUpdatedDateTime": seconds(self._clock()),
        }
        self.notes.setdefault(native_id, []).append(note)
        return self._noted

    def _etag(self, native_id: str) -> str:
        return f'"{sha256(f"{native_id} {self._versions.get(native_id, 0)}".encode()).hexdigest()[:32]}"'

    def _found(self, request: Request) -> str:
        native_id = str(request.path_params["id"])
        if native_id not in self.alerts:
            raise RefusedError(404, f"Alert {native_id} is not found")
        return native_id

    async def _list(self, request: Request) -> Response:
        query = only(request, "startDateTime", "endDateTime", "dateTimeTarget", "orderBy")
        now: datetime = self._clock()
        begin, end = between(query, now, now - timedelta(hours=24), now - _RETENTION)
        target = query.get("dateTimeTarget", _TARGETS[0])
        if target not in _TARGETS:
            raise RefusedError(400, "Invalid dateTimeTarget")
        fits = filtered(request.headers.get("tmv1-filter", ""), _fields(), 5000)
        rows = [row for row in self.alerts.values() if begin <= row[target] <= end and fits(row)]
        for field, falling in reversed(_order(query.get("orderBy", "createdDateTime desc"))):
            rows.sort(key=lambda row: row[field], reverse=falling)
        return page(request, [self._drift(row) for row in rows], self._page_size, totals=True)

    async def _read(self, request: Request) -> Response:
        native_id = self._found(request)
        answer = JSONResponse(self._drift(self.alerts[native_id]), headers={"ETag": self._etag(native_id)})
        if native_id in self.restless:  # somebody else was here right after
            self.change(native_id, {})
        return answer

    async def _update(self, request: Request) -> Response:
        native_id = self._found(request)
        given = request.headers.get("if-match")
        if given is None:
            raise RefusedError(400, "The header If-Match is required")
        if given != self._etag(native_id):
            raise RefusedError(412, "The resource was changed by somebody else")
        body = await _object(request)
        strange = set(body) - {"status", "investigationResult", "investigationStatus", "ownerIds"}
        if strange or not body:
            raise RefusedError(400, f"Invalid field: {', '.join(sorted(strange)) or 'none given'}")
        if body.get("status", "Open") not in _STATUSES or body.get("investigationResult", _RESULTS[0]) not in _RESULTS:
            raise RefusedError(400, "Invalid value")
        if self.closing_needs_result and body.get("status") == "Closed" and "investigationResult" not in body:
            raise RefusedError(400, "investigationResult is required to close an alert")
        self.change(native_id, body)
        return Response(status_code=204)

    async def _notes(self, request: Request) -> Response:
        query = only(request, "top", "startDateTime", "endDateTime", "orderBy")
        rows = list(reversed(self.notes.get(self._found(request), [])))
        if query.get("orderBy", "").endswith(" asc"):
            rows.reverse()
        return page(request, rows, top(query, 50, 100, 200))

    async def _note(self, request: Request) -> Response:
        native_id = self._found(request)
        body = await _object(request)
        if set(body) != {"content"} or not isinstance(body["content"], str) or not body["content"].strip():
            raise RefusedError(400, "content is required")
        number = self.comment(native_id, body["content"], "api")
        answer = Response(status_code=201)
        # Spelt as the API spells it: the vendor's own Python library reads it by that name.
        answer.raw_headers.append((b"Location", f"{request.url}/{number}".encode()))
        return answer


async def _object(request: Request) -> dict[str, Any]:
    try:
        body = json.loads(await request.body())
    except ValueError:
        body = None
    if not isinstance(body, dict):
        raise RefusedError(400, "The body must be a JSON object")
    return body


def _order(text: str) -> list[tuple[str, bool]]:
    found = []
    for part in text.split(","):
        field, _, direction = part.strip().partition(" ")
        if field not in _ORDERS or direction not in {"", "asc", "desc"}:
            raise RefusedError(400, f"Invalid orderBy {text!r}")
        found.append((field, direction != "asc"))
    return found


def _fields() -> dict[str, Callable[[Mapping[str, Any]], list[str]]]:
    def plain(name: str) -> Callable[[Mapping[str, Any]], list[str]]:
        return lambda row: [str(row.get(name, ""))]

    def entities(row: Mapping[str, Any]) -> list[str]:
        values = [entity["entityValue"] for entity in row["impactScope"]["entities"]]
        return [value["name"] if isinstance(value, dict) else value for value in values]

    def indicators(row: Mapping[str, Any]) -> list[str]:
        return [str(indicator["value"]) for indicator in row["indicators"]]

    names = {name: plain(name) for name in (*_PLAIN, "modelType", "severity", "incidentId")}
    return {**names, "impactScopeEntityValue": entities, "indicatorValue": indicators}
