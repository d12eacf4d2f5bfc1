"""The simulated UDM search over the events that the story left, the newest first; its language is in another module.

Source: https://cloud.google.com/chronicle/docs/reference/rest/v1alpha/projects.locations.instances/udmSearch
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from nightdesk.connectors.google_secops.simulated_language import condition
from nightdesk.connectors.google_secops.wire import Endpoint, GoogleError, bound, moment, whole
from nightdesk.sdk.moments import instant
from nightdesk.sdk.testing import FaultPlan

__all__ = ["SearchApi"]

_DEFAULT, _MOST = 1000, 10_000


class SearchApi:
    """Every event that was ingested: those behind detections, and those that ``telemetry`` gives afresh."""

    def __init__(self, faults: FaultPlan, telemetry: Callable[[], Sequence[Mapping[str, Any]]]) -> None:
        self.events: list[Mapping[str, Any]] = []
        self._faults = faults
        self._telemetry = telemetry

    def endpoints(self) -> tuple[Endpoint, ...]:
        """What can be called."""
        return (("GET", ":udmSearch", "chronicle.events.udmSearch", frozenset({"v1beta", "v1alpha"}), self._search),)

    async def _search(self, request: Request) -> Response:
        given = bound(request, "query", "timeRange.startTime", "timeRange.endTime", "limit", "queryDialect")
        begin, end = moment(given, "timeRange.startTime"), moment(given, "timeRange.endTime")
        if begin is None or end is None or begin >= end:
            raise GoogleError(400, "time_range: a start time before an end time is required.")
        holds = condition(given.get("query", ""))
        limit = whole(given, "limit", _DEFAULT, _MOST)
        fault = self._faults.standing("partial_answer")
        fits = int(fault.options.get("fits", 0)) if fault is not None else limit
        found = [
            event
            for event in (*self.events, *self._telemetry())
            if begin <= (instant(event["metadata"]["eventTimestamp"]) or 0) < end and holds(event)
        ]
        # Which come first is not documented; a caller who counts on the oldest is to find out here.
        found.sort(key=lambda event: str(event["metadata"]["eventTimestamp"]), reverse=True)
        body: dict[str, Any] = {}
        shown = [{"udm": event} for event in found[: min(limit, fits)]]
        if shown:
            body["events"] = shown
        if len(found) > len(shown):
            body["moreDataAvailable"] = True
        return JSONResponse(body)
