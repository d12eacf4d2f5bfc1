"""The simulated UDM search: a small, strict part of its language over the events that the story left.

Source: https://cloud.google.com/chronicle/docs/reference/rest/v1alpha/projects.locations.instances/udmSearch
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from nightdesk.connectors.google_secops.wire import Endpoint, GoogleError, bound, camel, moment, whole
from nightdesk.sdk.moments import instant
from nightdesk.sdk.testing import FaultPlan

__all__ = ["SearchApi"]

_DEFAULT, _MOST = 1000, 10_000
_CONDITION = re.compile(
    r'\s*([a-z][a-z0-9_.]*)\s*(!?=)\s*(?:"((?:[^"\\]|\\.)*)"|/((?:[^/\\]|\\.)+)/)\s*', re.IGNORECASE
)
_AND = re.compile(r"and\b", re.IGNORECASE)
_GROUPED = {"hostname": "hostname", "ip": "ip", "user": "userid", "hash": "sha256"}
"""Grouped fields stand for a field wherever it is."""


class SearchApi:
    """Every event that was ingested."""

    def __init__(self, faults: FaultPlan) -> None:
        self.events: list[Mapping[str, Any]] = []
        self._faults = faults

    def endpoints(self) -> tuple[Endpoint, ...]:
        """What can be called."""
        return (("GET", ":udmSearch", "chronicle.events.udmSearch", frozenset({"v1beta", "v1alpha"}), self._search),)

    async def _search(self, request: Request) -> Response:
        given = bound(request, "query", "timeRange.startTime", "timeRange.endTime", "limit", "queryDialect")
        begin, end = moment(given, "timeRange.startTime"), moment(given, "timeRange.endTime")
        if begin is None or end is None or begin >= end:
            raise GoogleError(400, "time_range: a start time before an end time is required.")
        conditions = _parsed(given.get("query", ""))
        limit = whole(given, "limit", _DEFAULT, _MOST)
        fault = self._faults.standing("partial_answer")
        fits = int(fault.options.get("fits", 0)) if fault is not None else limit
        found = [
            event
            for event in self.events
            if begin <= (instant(event["metadata"]["eventTimestamp"]) or 0) < end
            and all(_holds(event, *condition) for condition in conditions)
        ]
        body: dict[str, Any] = {}
        shown = [{"udm": event} for event in found[: min(limit, fits)]]
        if shown:
            body["events"] = shown
        if len(found) > len(shown):
            body["moreDataAvailable"] = True
        return JSONResponse(body)


def _parsed(query: str) -> list[tuple[str, bool, re.Pattern[str]]]:
    """Conditions that all hold: field, whether it is to fit, and what. Raises GoogleError."""
    conditions, at = [], 0
    while True:
        found = _CONDITION.match(query, at)
        if found is None:
            raise _uncompiled(query, at)
        name, operator, text, pattern = found.groups()
        plain = re.escape(re.sub(r"\\(.)", r"\1", text or ""))
        exactly = "" if text is None else rf"\A{plain}\Z"
        try:
            wanted = re.compile(exactly or pattern)
        except re.error as error:
            raise GoogleError(400, f"Query does not compile: {error}") from error
        conditions.append((name, operator == "=", wanted))
        at = found.end()
        if at == len(query):
            return conditions
        joint = _AND.match(query, at)
        if joint is None:
            raise _uncompiled(query, at)
        at = joint.end()


def _uncompiled(query: str, at: int) -> GoogleError:
    return GoogleError(400, f"Query does not compile: parsing: error near position {at}: {query[at : at + 20]!r}")


def _holds(event: Mapping[str, Any], name: str, fits: bool, wanted: re.Pattern[str]) -> bool:
    path = [camel(part) for part in name.split(".")]
    values = _anywhere(event, _GROUPED[name]) if name in _GROUPED else _under(event, path)
    return any(wanted.search(str(value)) for value in values) is fits


def _under(node: Any, path: list[str]) -> Iterator[Any]:
    if isinstance(node, list):
        for inner in node:
            yield from _under(inner, path)
    elif not path:
        yield node
    elif isinstance(node, Mapping) and path[0] in node:
        yield from _under(node[path[0]], path[1:])


def _anywhere(node: Any, name: str) -> Iterator[Any]:
    if isinstance(node, list):
        for inner in node:
            yield from _anywhere(inner, name)
    elif isinstance(node, Mapping):
        for key, inner in node.items():
            if key == name:
                yield from _under(inner, [])
            else:
                yield from _anywhere(inner, name)
