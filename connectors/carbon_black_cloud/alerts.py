"""Alerts of the v7 API: searched by arrival and by each kind of change, for no one time of theirs moves with all."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any
from urllib.parse import quote

from nightdesk.connectors.carbon_black_cloud.client import VENDOR, Cloud, decoded
from nightdesk.sdk.context import Clock, Settings
from nightdesk.sdk.errors import ConfigError, Problem, RejectedError, ResponseError
from nightdesk.sdk.moments import instant, iso
from nightdesk.sdk.records import RawRecord
from nightdesk.sdk.sweep import Times
from nightdesk.sdk.verbatim import cut

__all__ = ["API", "REACH", "READ", "Alerts", "Page", "alert_id", "window"]

API = "api/alerts/v7"
READ = "org.alerts READ"
REACH = 10_000
"""Results that any search gives at most."""

_ARRIVED = "backend_timestamp"
_CHANGED = ("backend_update_timestamp", "user_update_timestamp")
_BY_SERVICE = ("mdr_workflow_change_timestamp", "mdr_determination_change_timestamp")  # they move alone
_PLACES: Mapping[str, tuple[str, str]] = {
    "mdr_workflow_change_timestamp": ("mdr_workflow", "change_timestamp"),
    "mdr_determination_change_timestamp": ("mdr_determination", "change_timestamp"),
    "workflow": ("workflow", "change_timestamp"),
    "determination": ("determination", "change_timestamp"),
}
_VERSION = (*_CHANGED, "workflow", "determination", *_BY_SERVICE)
_TYPES = frozenset(
    {
        "CB_ANALYTICS",
        "WATCHLIST",
        "DEVICE_CONTROL",
        "HOST_BASED_FIREWALL",
        "CONTAINER_RUNTIME",
        "INTRUSION_DETECTION_SYSTEM",
        "NETWORK_TRAFFIC_ANALYSIS",
    }
)
_ID = re.compile(r"[0-9A-Za-z][0-9A-Za-z-]{7,}")
_DAY = 86_400 * 1_000_000_000
_MILLISECOND = 1_000_000
_LEAST, _MOST = 1, 10  # severities


@dataclass(frozen=True, slots=True)
class Page:
    """One answer. ``whole`` is False when it holds fewer alerts than it should; ``last`` is the sweep's newest time."""

    elements: Sequence[tuple[Any, bytes]]
    whole: bool
    last: int | None


class Alerts:
    """Searches and reads alerts; ``sweeps`` are the fields by which they are searched."""

    def __init__(self, cloud: Cloud, clock: Clock, settings: Settings, instance: str) -> None:
        self._cloud = cloud
        self._clock = clock
        self._days = settings.integer("changes_days", 30)
        self.sweeps = (_ARRIVED, *_CHANGED, *(_BY_SERVICE if settings.flag("managed_detection") else ()))
        least = settings.integer("minimum_severity", _LEAST)
        types = [each.strip().upper() for each in settings.text("types").split(",") if each.strip()]
        problems = [
            Problem(instance, name, hint)
            for name, wrong, hint in (
                ("changes_days", not 1 <= self._days <= 180, "must be 1 to 180"),
                ("minimum_severity", not _LEAST <= least <= _MOST, f"must be {_LEAST} to {_MOST}"),
                ("types", bool(set(types) - _TYPES), f"must be of {', '.join(sorted(_TYPES))}"),
            )
            if wrong
        ]
        if problems:
            raise ConfigError(problems)
        self._criteria: dict[str, Any] = {}
        if least > _LEAST:
            self._criteria["minimum_severity"] = least
        if types:
            self._criteria["type"] = types

    async def page(self, sweep: str, since: int, start: int, rows: int) -> Page:
        """From ``since`` (ns, inclusive) on, oldest first; ``start`` counts from 1. Raises ResponseError."""
        now = int(self._clock().timestamp() * 1000) * _MILLISECOND
        criteria = dict(self._criteria)
        # The top-level time range always applies, two weeks when it is not given, and is about the arrival alone.
        reach = window(since, now)
        if sweep != _ARRIVED:
            criteria[sweep] = window(since, now)
            reach = window(max(now - self._days * _DAY, 0), now)
        body = {
            "time_range": reach,
            "criteria": criteria,
            "rows": rows,
            "start": start,
            "sort": [{"field": sweep, "order": "ASC"}],
        }
        response = await self._cloud.ask(
            "POST",
            self._cloud.path(API, "alerts", "_search"),
            operation="search alerts",
            scope=READ,
            body=body,
            repeatable=True,
        )
        document = decoded(response, "search alerts")
        try:
            elements = cut(response.content, "results")
        except ValueError as error:
            message = f"the answer's results cannot be read: {error}"
            raise ResponseError(message, vendor=VENDOR, operation="search alerts") from error
        available = document.get("num_available", document.get("num_found"))
        due = min(rows, available - start + 1) if isinstance(available, int) else len(elements)
        times = [moment for item, _ in elements if (moment := _time(item, sweep)) is not None]
        return Page(elements, len(elements) >= due, max(times, default=None))

    def record(self, item: Any, raw: bytes) -> tuple[RawRecord, Times]:
        """One alert under the key of its version, and when each sweep meets it."""
        native_id = str(item.get("id") or "")
        marks = [_mark(item, name) for name in _VERSION]
        version = ":".join(marks) if native_id and any(marks) else sha256(raw).hexdigest()
        times = {sweep: _time(item, sweep) for sweep in self.sweeps}
        return RawRecord(raw, f"{native_id}:{version}", native_id, VENDOR), times

    async def read(self, native_id: str) -> tuple[Mapping[str, Any], bytes]:
        """The alert as it is now, and as it was written. Raises NotFoundError."""
        path = self._cloud.path(API, "alerts", alert_id(native_id))
        response = await self._cloud.ask("GET", path, operation="read alert", scope=READ)
        alert = decoded(response, "read alert")
        if alert.get("id") != native_id:
            message = f"another alert than {quote(native_id)} came"
            raise ResponseError(message, vendor=VENDOR, operation="read alert")
        return alert, response.content


def window(since: int, until: int) -> dict[str, str]:
    """A time range from ``since`` on; a vendor's fast clock must not turn it round, which would be refused."""
    return {"start": iso(since, 3), "end": iso(max(until, since + _MILLISECOND), 3)}


def alert_id(native_id: str) -> str:
    """The id itself. Raises RejectedError for what is none: in a selector it could mean every alert."""
    if not _ID.fullmatch(native_id):
        raise RejectedError(f"{native_id!r} is no id of an alert", vendor=VENDOR, operation="read alert")
    return native_id


def _mark(item: Mapping[str, Any], name: str) -> str:
    value = _value(item, name)
    return "" if value is None else str(value)


def _time(item: Any, sweep: str) -> int | None:
    return instant(_value(item, sweep))


def _value(item: Any, name: str) -> Any:
    outer, inner = _PLACES.get(name, (name, ""))
    value = item.get(outer) if isinstance(item, dict) else None
    if not inner:
        return value
    return value.get(inner) if isinstance(value, dict) else None
