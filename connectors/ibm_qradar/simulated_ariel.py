"""The simulated Ariel: searches that take a while, keep their results until they are deleted, and can fail halfway.

Source: https://ibmsecuritydocs.github.io/qradar_api_20.0/20.0--ariel-searches-POST.html
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from nightdesk.connectors.ibm_qradar.payloads import milliseconds
from nightdesk.connectors.ibm_qradar.simulated_aql import parsed
from nightdesk.connectors.ibm_qradar.simulated_console import Listing, RefusedError, Routes, allowed, paged
from nightdesk.connectors.ibm_qradar.simulated_rows import Query, Record
from nightdesk.connectors.ibm_qradar.simulated_telemetry import COLUMNS
from nightdesk.sdk.context import Clock
from nightdesk.sdk.testing import FaultPlan

__all__ = ["LOG_ACTIVITY", "ArielApi"]

LOG_ACTIVITY = "Log Activity"
Events = Callable[[], Sequence[tuple[int, Mapping[str, Any]]]]
Collected = Callable[[], Sequence[Record]]

_STEPS = ("WAIT", "EXECUTE", "SORTING", "COMPLETED")
_CUT = "Unable to reach the event processor 192.0.2.250: its results are missing"


@dataclass(slots=True)
class _Search:
    search_id: str
    query: str
    parsed: Query
    steps: list[str] = field(default_factory=lambda: list(_STEPS))


class ArielApi:
    """Searches over the events of every offense, each a number and an event, and over what was collected beside."""

    def __init__(self, clock: Clock, faults: FaultPlan, events: Events, collected: Collected) -> None:
        self._clock, self._faults, self._events, self._collected = clock, faults, events, collected
        self.searches: dict[str, _Search] = {}
        self._made = 0

    def routes(self) -> Routes:
        """Method, path, capability, handler."""
        one = "/ariel/searches/{search_id}"
        return (
            ("GET", "/ariel/databases", LOG_ACTIVITY, self._databases),
            ("POST", "/ariel/searches", LOG_ACTIVITY, self._create),
            ("GET", one, LOG_ACTIVITY, self._look),
            ("GET", f"{one}/results", LOG_ACTIVITY, self._results),
            ("DELETE", one, LOG_ACTIVITY, self._delete),
        )

    async def _databases(self, _: Request) -> Response:
        return JSONResponse(["events", "flows", "simarc"])

    async def _create(self, request: Request) -> Response:
        allowed(request, "query_expression")
        query = request.query_params.get("query_expression", "")
        found = parsed(query, COLUMNS)
        self._made += 1
        search = _Search(f"s{self._made}", query, found)
        if self._faults.standing("accepted_then_failed") is not None:
            search.steps = ["WAIT", "ERROR"]
        self.searches[search.search_id] = search
        return JSONResponse(self._about(search), 201)

    async def _look(self, request: Request) -> Response:
        search = self._of(request)
        if len(search.steps) > 1:
            search.steps.pop(0)
        return JSONResponse(self._about(search))

    async def _results(self, request: Request) -> Response:
        search = self._of(request)
        if search.steps[0] != "COMPLETED":
            raise RefusedError(404, 1003, f"The results of {search.search_id} do not exist; it is {search.steps[0]}")
        rows = search.parsed.rows(self._records(), milliseconds(self._clock()))
        rows = rows[: len(rows) // 2] if self._faults.standing("partial_answer") is not None else rows
        page, start, _, total = Listing(()).rows(request, rows)
        return paged(request, {search.parsed.table: page}, page, start, total)

    async def _delete(self, request: Request) -> Response:
        return JSONResponse(self._about(self.searches.pop(self._of(request).search_id)), 202)

    def _of(self, request: Request) -> _Search:
        search_id = request.path_params["search_id"]
        if search_id not in self.searches:
            raise RefusedError(404, 1002, f"Query with id {search_id} does not exist")
        return self.searches[search_id]

    def _about(self, search: _Search) -> dict[str, Any]:
        failed = search.steps[0] == "ERROR"
        said = [{"code": "AQL_ERROR", "severity": "ERROR", "message": "The query ran out of memory", "contexts": []}]
        if not failed:
            cut = self._faults.standing("partial_answer") is not None
            said = [{"code": "HOST_DOWN", "severity": "WARN", "message": _CUT, "contexts": []}] if cut else []
        return {
            "search_id": search.search_id,
            "cursor_id": search.search_id,
            "status": search.steps[0],
            "progress": 100 if len(search.steps) == 1 else 0,
            "query_string": search.query,
            "error_messages": said,
        }

    def _records(self) -> list[Record]:
        told = [
            Record("events", {name.lower(): value for name, value in event.items()}, {}, number)
            for number, event in self._events()
        ]
        return [*told, *self._collected()]
