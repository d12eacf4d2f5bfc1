"""What an alert search or a workflow job selects: time ranges, criteria, and the order of a search without one."""

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from nightdesk.connectors.carbon_black_cloud.wire import BadRequestError, millis

__all__ = ["in_order", "selected"]

_TIMES: Mapping[str, tuple[str, ...]] = {
    "backend_update_timestamp": ("backend_update_timestamp",),
    "detection_timestamp": ("detection_timestamp",),
    "first_event_timestamp": ("first_event_timestamp",),
    "last_event_timestamp": ("last_event_timestamp",),
    "user_update_timestamp": ("user_update_timestamp",),
    "workflow_change_timestamp": ("workflow", "change_timestamp"),
    "mdr_workflow_change_timestamp": ("mdr_workflow", "change_timestamp"),
    "mdr_determination_change_timestamp": ("mdr_determination", "change_timestamp"),
}
_LISTS: Mapping[str, tuple[str, ...]] = {
    "id": ("id",),
    "type": ("type",),
    "threat_id": ("threat_id",),
    "device_id": ("device_id",),
    "workflow_status": ("workflow", "status"),
    "determination_value": ("determination", "value"),
}
_SORTS = ("backend_timestamp", *_TIMES, "severity", "id")
_TYPES = frozenset(
    {
        "CB_ANALYTICS",
        "WATCHLIST",
        "DEVICE_CONTROL",
        "CONTAINER_RUNTIME",
        "HOST_BASED_FIREWALL",
        "INTRUSION_DETECTION_SYSTEM",
        "NETWORK_TRAFFIC_ANALYSIS",
    }
)
_MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?Z")
_RANGE = re.compile(r"-(\d+)([MwdhmsYy])")
_UNITS = {"y": 365 * 86400, "Y": 365 * 86400, "M": 30 * 86400, "w": 7 * 86400, "d": 86400, "h": 3600, "m": 60, "s": 1}
_DEFAULT = {"range": "-2w"}

Row = Mapping[str, Any]


def selected(rows: Sequence[Any], body: Row, now: datetime) -> list[Any]:
    """The alerts that fit. An empty selector fits all of the last two weeks. Raises BadRequestError."""
    if body.get("query"):
        raise BadRequestError("this simulator evaluates no query", reason="query_malformed_syntax")
    tests = [_within(("backend_timestamp",), body.get("time_range") or _DEFAULT, now)]
    tests += _tests(body.get("criteria") or {}, now)
    unwanted = _tests(body.get("exclusions") or {}, now)
    return [row for row in rows if all(test(row) for test in tests) and not any(test(row) for test in unwanted)]


def in_order(rows: Sequence[Any], sort: Any) -> list[Any]:
    """Sorted as asked; without a sort by severity, and then in no order that one could page by."""
    if sort is None:
        return sorted(rows, key=lambda row: (-row["severity"], row["id"][::-1]))
    fine = isinstance(sort, list) and all(
        isinstance(each, dict) and set(each) == {"field", "order"} and each["field"] in _SORTS for each in sort
    )
    if not fine or any(each["order"] not in {"ASC", "DESC"} for each in sort):
        raise BadRequestError("sort is a list of field and order ASC or DESC")
    found = list(rows)
    for each in reversed(sort):
        path = _TIMES.get(each["field"], (each["field"],))
        found.sort(key=partial(_moment_at, path), reverse=each["order"] == "DESC")
    return found


def _tests(criteria: Any, now: datetime) -> list[Callable[[Row], bool]]:
    if not isinstance(criteria, dict):
        raise BadRequestError("criteria is an object")
    tests: list[Callable[[Row], bool]] = []
    for name, value in criteria.items():
        if name in _TIMES:
            tests.append(_within(_TIMES[name], value, now))
        elif name == "minimum_severity":
            if not isinstance(value, int) or not 1 <= value <= 10:
                raise BadRequestError("minimum_severity is 1 to 10")
            tests.append(partial(_severe, value))
        elif name in _LISTS and isinstance(value, list):
            if name == "type" and set(value) - _TYPES:
                raise BadRequestError(f"type has no {', '.join(sorted(set(value) - _TYPES))}")
            tests.append(partial(_listed, _LISTS[name], frozenset(map(str, value))))
        else:
            raise BadRequestError(f"criteria.{name} is not known or no list")
    return tests


def _severe(least: int, row: Row) -> bool:
    return int(row["severity"]) >= least


def _listed(path: Sequence[str], wanted: frozenset[str], row: Row) -> bool:
    """An empty list is no criterion: that is how a selector comes to mean everything."""
    return not wanted or str(_at(row, path)) in wanted


def _moment_at(path: Sequence[str], row: Row) -> str:
    return _key(_at(row, path))


def _within(path: Sequence[str], value: Any, now: datetime) -> Callable[[Row], bool]:
    start, end = _bounds(value, now)

    def test(row: Row) -> bool:
        moment = _at(row, path)
        return isinstance(moment, str) and start <= _key(moment) <= end

    return test


def _bounds(value: Any, now: datetime) -> tuple[str, str]:
    if isinstance(value, dict) and set(value) == {"range"}:
        match = _RANGE.fullmatch(str(value["range"]))
        if match:
            return _key(millis(now - timedelta(seconds=int(match[1]) * _UNITS[match[2]]))), _key(millis(now))
    elif isinstance(value, dict) and set(value) == {"start", "end"}:
        start, end = str(value["start"]), str(value["end"])
        if _MOMENT.fullmatch(start) and _MOMENT.fullmatch(end):
            if _key(start) >= _key(end):
                raise BadRequestError("start must be before end")
            return _key(start), _key(end)
    raise BadRequestError("a time range is start and end in ISO 8601, or a range like -2w")


def _key(moment: Any) -> str:
    """Texts that sort as the moments do, with whatever digits of a second they were written."""
    if not isinstance(moment, str) or not _MOMENT.fullmatch(moment):
        return str(moment)
    whole, _, digits = moment.removesuffix("Z").partition(".")
    return f"{whole}.{digits:0<6}"


def _at(row: Any, path: Sequence[str]) -> Any:
    for step in path:
        row = row.get(step) if isinstance(row, dict) else None
    return row
