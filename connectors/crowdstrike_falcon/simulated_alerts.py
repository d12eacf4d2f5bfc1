"""The simulated Alerts API: search over live data, page tokens tied to their sort, PATCH v3 with strings only."""

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from operator import itemgetter
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from nightdesk.connectors.crowdstrike_falcon.fql import Kind, parse, time_key
from nightdesk.connectors.crowdstrike_falcon.payloads import timestamp
from nightdesk.connectors.crowdstrike_falcon.wire import (
    BadRequestError,
    Routes,
    Wire,
    json_object,
    names_in,
    page_limit,
    window,
)
from nightdesk.sdk.context import Clock
from nightdesk.sdk.testing import FaultPlan

__all__ = ["AlertsApi"]

_FIELDS: Mapping[str, Kind] = {
    "created_timestamp": "time",
    "updated_timestamp": "time",
    "product": "word",
    "type": "word",
    "status": "word",
    "composite_id": "word",
    "severity": "number",
    "show_in_ui": "flag",
}
_STATUSES = frozenset({"new", "in_progress", "reopened", "closed"})
_REMOVALS = frozenset({"remove_tag", "remove_tags_by_prefix"})
_ACTIONS = _REMOVALS | {
    "update_status",
    "assign_to_uuid",
    "assign_to_user_id",
    "assign_to_name",
    "unassign",
    "append_comment",
    "add_tag",
    "show_in_ui",
}
_ASSIGNMENT = {
    "assign_to_uuid": "assigned_to_uuid",
    "assign_to_user_id": "assigned_to_uid",
    "assign_to_name": "assigned_to_name",
}
Drift = Callable[[dict[str, Any]], dict[str, Any]]
Parameters = Sequence[tuple[str, str]]
_Place = tuple[tuple[str, str], str]
"""Where an alert stands in a sort: the value, and the composite id where values are equal."""


class AlertsApi:
    """The alerts of a CID by composite id. ``drift`` shows a payload as the fault plan wants it."""

    def __init__(self, wire: Wire, clock: Clock, faults: FaultPlan, drift: Drift) -> None:
        self.alerts: dict[str, dict[str, Any]] = {}
        self._wire = wire
        self._clock = clock
        self._faults = faults
        self._drift = drift
        self._changes = 0
        self._found_for: tuple[str, str, int, int] = ("", "", -1, -1)
        self._rows: list[tuple[_Place, dict[str, Any]]] = []

    def routes(self) -> Routes:
        """What can be called."""
        return (
            ("POST", "/alerts/combined/alerts/v1", "alerts:read", self._combined),
            ("GET", "/alerts/queries/alerts/v2", "alerts:read", self._query),
            ("POST", "/alerts/entities/alerts/v2", "alerts:read", self._read),
            ("PATCH", "/alerts/entities/alerts/v3", "alerts:write", self._update),
        )

    def apply(self, composite_id: str, parameters: Parameters) -> None:
        """Changes one alert; removals go before additions, and every change moves ``updated_timestamp``."""
        alert, now = self.alerts[composite_id], self._clock()
        for name, value in parameters:
            if name not in _ACTIONS:
                raise BadRequestError(f"invalid action parameter {name!r}")
            if name == "update_status" and value not in _STATUSES:
                raise BadRequestError(f"invalid status {value!r}")
            if name == "show_in_ui" and value not in {"true", "false"}:
                raise BadRequestError(f"invalid value {value!r} for show_in_ui")
        self._changes += 1
        for name, value in sorted(parameters, key=lambda pair: pair[0] not in _REMOVALS):
            _apply(alert, name, value, now)
        before = alert["updated_timestamp"]
        after = timestamp(now)
        # Two changes within one tick of the clock are still two versions.
        alert["updated_timestamp"] = after if time_key(after) > time_key(before) else _next(before)

    def _found(self, filter_text: str, sort: str) -> list[tuple[_Place, dict[str, Any]]]:
        """What fits, in that order; kept from page to page while nothing changes."""
        asked = (filter_text, sort, len(self.alerts), self._changes)
        if asked == self._found_for:
            return self._rows
        field, _, direction = sort.replace(".", "|").partition("|")
        if _FIELDS.get(field) != "time" or direction not in {"asc", "desc"}:
            raise BadRequestError(f"invalid sort {sort!r}")
        test = parse(filter_text, _FIELDS)
        rows = [((time_key(row[field]), name), row) for name, row in self.alerts.items() if test(row)]
        rows.sort(key=itemgetter(0), reverse=direction == "desc")
        self._found_for, self._rows = asked, rows
        return rows

    def _shown(self, request: Request, rows: Iterable[dict[str, Any]]) -> tuple[list[Any], list[dict[str, Any]]]:
        """The rows as they go out; of a partial answer the first half, and why."""
        out = [self._drift(row) for row in rows]
        if self._faults.take(("partial_answer",), method=request.method, path=request.url.path) is None:
            return out, []
        return out[: len(out) // 2], [{"code": 500, "message": "some shards did not answer"}]

    async def _combined(self, request: Request) -> Response:
        body = await json_object(request)
        strange = set(body) - {"filter", "sort", "limit", "after"}
        if strange:
            raise BadRequestError(f"unknown field in the body: {', '.join(sorted(strange))}")
        limit = page_limit(body.get("limit", 100), 1000)
        sort = str(body.get("sort", "created_timestamp|desc"))
        rows = self._found(str(body.get("filter", "")), sort)
        pagination: dict[str, Any] = {"limit": limit, "total": len(rows)}
        if body.get("after"):
            behind = _behind(str(body["after"]), sort)
            if sort.endswith("desc"):
                rows = [row for row in rows if row[0] < behind]
            else:
                rows = rows[bisect_right(rows, behind, key=itemgetter(0)) :]
        page = rows[:limit]
        if len(rows) > limit:
            token = json.dumps([sort, *page[-1][0]])
            pagination["after"] = urlsafe_b64encode(token.encode()).decode()
        shown, errors = self._shown(request, (row for _, row in page))
        return self._wire.envelope(shown, errors=errors, pagination=pagination)

    async def _query(self, request: Request) -> Response:
        limit, offset = window(request, 10_000, least=0)
        query = request.query_params
        rows = self._found(query.get("filter", ""), query.get("sort", "created_timestamp|desc"))
        names = [name for (_, name), _ in rows]
        pagination = {"offset": offset, "limit": limit, "total": len(names)}
        return self._wire.envelope(names[offset : offset + limit], pagination=pagination)

    async def _read(self, request: Request) -> Response:
        names = names_in(await json_object(request), "composite_ids", 1000)
        shown, errors = self._shown(request, [self.alerts[name] for name in names if name in self.alerts])
        return self._wire.envelope(shown, errors=[*errors, *self._missing(names)])

    async def _update(self, request: Request) -> Response:
        body = await json_object(request)
        names = names_in(body, "composite_ids", 1000)
        rows = body.get("action_parameters")
        if not isinstance(rows, list) or not rows:
            raise BadRequestError("action_parameters is required")
        if any(not isinstance(row, dict) or set(row) != {"name", "value"} for row in rows):
            raise BadRequestError("an action parameter has a name and a value")
        if any(not isinstance(text, str) for row in rows for text in row.values()):
            raise BadRequestError("cannot unmarshal into a value of type string")
        known = [name for name in names if name in self.alerts]
        for name in known:
            self.apply(name, [(row["name"], row["value"]) for row in rows])
        return self._wire.envelope(None, errors=self._missing(names), writes={"resources_affected": len(known)})

    def _missing(self, names: Iterable[str]) -> list[dict[str, Any]]:
        return [{"code": 404, "message": f"{name} not found"} for name in names if name not in self.alerts]


def _apply(alert: dict[str, Any], name: str, value: str, now: datetime) -> None:
    tags: list[str] = alert["tags"]
    match name:
        case "update_status":
            alert["status"] = value
        case "append_comment":
            alert["comments"].append({"falcon_user_id": "api-client", "timestamp": timestamp(now), "value": value})
        case "add_tag":
            alert["tags"] = [*tags, *([] if value in tags else [value])]
        case "remove_tag":
            alert["tags"] = [tag for tag in tags if tag != value]
        case "remove_tags_by_prefix":
            alert["tags"] = [tag for tag in tags if not tag.startswith(value)]
        case "show_in_ui":
            alert["show_in_ui"] = value == "true"
        case "unassign":
            alert.update(dict.fromkeys(_ASSIGNMENT.values(), ""))
        case _:
            alert[_ASSIGNMENT[name]] = value


def _next(text: str) -> str:
    """One nanosecond later; a rollover of the second is left to the clock."""
    whole, fraction = time_key(text)
    return f"{whole}.{min(int(fraction) + 1, 999_999_999):09d}Z"


def _behind(token: str, sort: str) -> _Place:
    """Where the page before ended. The token belongs to the sort that made it."""
    try:
        made_for, (whole, fraction), name = json.loads(urlsafe_b64decode(token))
    except (ValueError, TypeError):
        raise BadRequestError("invalid after token") from None
    if made_for != sort:
        raise BadRequestError("the after token belongs to another sort")
    return (whole, fraction), name
