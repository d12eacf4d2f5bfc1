"""The simulated Ariel: searches that take a while, keep their results until they are deleted, and can fail halfway.

Source: https://ibmsecuritydocs.github.io/qradar_api_20.0/20.0--ariel-searches-POST.html
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from nightdesk.connectors.ibm_qradar.payloads import milliseconds
from nightdesk.connectors.ibm_qradar.simulated_console import Listing, RefusedError, Routes, allowed, paged
from nightdesk.sdk.context import Clock
from nightdesk.sdk.testing import FaultPlan

__all__ = ["LOG_ACTIVITY", "ArielApi"]

LOG_ACTIVITY = "Log Activity"
Events = Callable[[], Sequence[tuple[int, Mapping[str, Any]]]]

_STEPS = ("WAIT", "EXECUTE", "SORTING", "COMPLETED")
_SELECT = re.compile(r"\s*SELECT\s+(.+?)\s+FROM\s+(events|flows)\b(.*)", re.IGNORECASE | re.DOTALL)
_LAST = re.compile(r"\bLAST\s+(\d+)\s+(MINUTES|HOURS|DAYS)\b", re.IGNORECASE)
_BETWEEN = re.compile(r"\bSTART\s+(\d+)(?:\s+STOP\s+(\d+))?", re.IGNORECASE)
_OFFENSE = re.compile(r"\bINOFFENSE\((\d+)\)", re.IGNORECASE)
_LIMIT = re.compile(r"\bLIMIT\s+(\d+)", re.IGNORECASE)
_DEFAULT = timedelta(seconds=60)  # how far back a query without a window looks


@dataclass(slots=True)
class _Search:
    search_id: str
    query: str
    steps: list[str] = field(default_factory=lambda: list(_STEPS))


class ArielApi:
    """Searches over the events of every offense, each a number and an event."""

    def __init__(self, clock: Clock, faults: FaultPlan, events: Events) -> None:
        self._clock, self._faults, self._events = clock, faults, events
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
        if _SELECT.fullmatch(query) is None:
            raise RefusedError(422, 2000, f"Could not parse query '{query}': only SELECT from events or flows")
        self._made += 1
        search = _Search(f"s{self._made}", query)
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
        table, rows = self._found(search.query)
        page, start, _, total = Listing(()).rows(request, rows)
        return paged(request, {table: page}, page, start, total)

    async def _delete(self, request: Request) -> Response:
        return JSONResponse(self._about(self.searches.pop(self._of(request).search_id)), 202)

    def _of(self, request: Request) -> _Search:
        search_id = request.path_params["search_id"]
        if search_id not in self.searches:
            raise RefusedError(404, 1002, f"Query with id {search_id} does not exist")
        return self.searches[search_id]

    def _about(self, search: _Search) -> dict[str, Any]:
        failed = search.steps[0] == "ERROR"
        said = {"code": "AQL_ERROR", "severity": "ERROR", "message": "The query ran out of memory", "contexts": []}
        return {
            "search_id": search.search_id,
            "cursor_id": search.search_id,
            "status": search.steps[0],
            "progress": 100 if len(search.steps) == 1 else 0,
            "query_string": search.query,
            "error_messages": [said] if failed else [],
        }

    def _found(self, query: str) -> tuple[str, list[dict[str, Any]]]:
        parsed = _SELECT.fullmatch(query)
        assert parsed is not None, "it was parsed when the search was made"
        columns, table, rest = parsed.groups()
        first, last = self._window(rest)
        offense = _OFFENSE.search(rest)
        rows = [
            dict(event)
            for number, event in self._events()
            if first <= event["starttime"] <= last and (offense is None or number == int(offense[1]))
        ]
        names = [name.strip().strip('"') for name in columns.split(",")]
        if columns.strip() != "*":
            rows = [{name: row.get(name) for name in names} for row in rows]
        most = _LIMIT.search(rest)
        rows = rows if table.lower() == "events" else []
        return table.lower(), rows[: int(most[1])] if most else rows

    def _window(self, rest: str) -> tuple[int, int]:
        now = self._clock()
        if found := _LAST.search(rest):
            return milliseconds(now - timedelta(**{found[2].lower(): int(found[1])})), milliseconds(now)
        if found := _BETWEEN.search(rest):
            return int(found[1]), int(found[2] or milliseconds(now))
        return milliseconds(now - _DEFAULT), milliseconds(now)
