"""The simulated IOC Management API: what prevents what, no duplicates, a delete filter as dangerous as the real one."""

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from nightdesk.connectors.crowdstrike_falcon.fql import Kind, parse, time_key
from nightdesk.connectors.crowdstrike_falcon.payloads import timestamp
from nightdesk.connectors.crowdstrike_falcon.wire import BadRequestError, Routes, Wire, json_object, window
from nightdesk.sdk.context import Clock

__all__ = ["IocsApi"]

_FIELDS: Mapping[str, Kind] = {"type": "word", "value": "word", "action": "word", "source": "word"}
_HASHES = frozenset({"sha256", "md5"})
_VALUES: Mapping[str, re.Pattern[str]] = {
    "sha256": re.compile(r"[0-9a-f]{64}"),
    "md5": re.compile(r"[0-9a-f]{32}"),
    "domain": re.compile(r"[a-z0-9.-]+\.[a-z]{2,}"),
    "ipv4": re.compile(r"\d{1,3}(\.\d{1,3}){3}"),
    "ipv6": re.compile(r"[0-9a-f:]+"),
}
_SEVERITIES = frozenset({"informational", "low", "medium", "high", "critical"})
_PLATFORMS = frozenset({"windows", "mac", "linux", "ios", "android"})
_HASH_ACTIONS = frozenset({"prevent", "detect", "allow", "no_action", "prevent_no_ui"})
_NETWORK_ACTIONS = frozenset({"detect", "no_action"})  # Falcon does not block network indicators
_KEYS = frozenset(
    {"type", "value", "action", "severity", "platforms", "applied_globally", "host_groups", "expiration", "source"}
    | {"tags", "description", "metadata"}
)


class IocsApi:
    """The custom indicators of a CID by id."""

    def __init__(self, wire: Wire, clock: Clock, created_by: str) -> None:
        self.indicators: dict[str, dict[str, Any]] = {}
        self._wire = wire
        self._clock = clock
        self._created_by = created_by
        self._made = 0

    def routes(self) -> Routes:
        """What can be called."""
        return (
            ("GET", "/iocs/combined/indicator/v1", "iocs:read", self._find),
            ("POST", "/iocs/entities/indicators/v1", "iocs:write", self._create),
            ("PATCH", "/iocs/entities/indicators/v1", "iocs:write", self._update),
            ("DELETE", "/iocs/entities/indicators/v1", "iocs:write", self._delete),
        )

    def create(self, indicator: Any, created_by: str = "") -> dict[str, Any]:
        """Stores one indicator, as the console would too. Raises BadRequestError."""
        _check(indicator)
        pair = (indicator["type"], indicator["value"])
        if any((row["type"], row["value"]) == pair for row in self.indicators.values()):
            raise BadRequestError(f"Warning: Duplicate type: '{pair[0]}' and value: '{pair[1]}' combination.")
        self._made += 1
        name, now = f"{self._made:064x}", timestamp(self._clock())
        row = {
            "source": "",
            "tags": [],
            "description": "",
            **indicator,
            "id": name,
            "deleted": False,
            "expired": False,
            "created_by": created_by or self._created_by,
            "created_on": now,
            "modified_on": now,
        }
        self.indicators[name] = row
        return row

    def update(self, change: Any) -> dict[str, Any]:
        """Changes one indicator by its id; what the change does not name stays. Raises BadRequestError."""
        row = self.indicators.get(str(change.get("id"))) if isinstance(change, dict) else None
        if row is None:
            raise BadRequestError("no indicator has that id")
        changed = {name: value for name, value in change.items() if name != "id"}
        if set(changed) - (_KEYS - {"type", "value"}):
            raise BadRequestError("type and value of an indicator cannot be changed")
        _check({**{name: row[name] for name in _KEYS if name in row}, **changed})
        row |= {**changed, "modified_on": timestamp(self._clock())}
        return row

    def _rows(self) -> list[dict[str, Any]]:
        """The list as it is now: what has expired stays in it, and does nothing any longer."""
        now = self._clock()
        return [
            {**row, "expired": True, "action": "no_action"} if _expired(row, now) else row
            for row in self.indicators.values()
        ]

    async def _find(self, request: Request) -> Response:
        limit, _ = window(request, 2000)
        test = parse(request.query_params.get("filter", ""), _FIELDS)
        rows = [row for row in self._rows() if test(row)]
        return self._wire.envelope(rows[:limit], pagination={"limit": limit, "total": len(rows)})

    async def _create(self, request: Request) -> Response:
        indicators = (await json_object(request)).get("indicators")
        if not isinstance(indicators, list) or not indicators:
            raise BadRequestError("indicators is required")
        return self._wire.envelope([self.create(indicator) for indicator in indicators], status=201)

    async def _update(self, request: Request) -> Response:
        indicators = (await json_object(request)).get("indicators")
        if not isinstance(indicators, list) or not indicators:
            raise BadRequestError("indicators is required")
        return self._wire.envelope([self.update(indicator) for indicator in indicators])

    async def _delete(self, request: Request) -> Response:
        query = request.query_params
        names = query.getlist("ids")
        if query.get("filter"):
            # It takes precedence over ids and deletes in bulk.
            test = parse(query["filter"], _FIELDS)
            names = [row["id"] for row in self._rows() if test(row)]
        elif not names:
            raise BadRequestError("ids or filter is required")
        unknown = [name for name in names if name not in self.indicators]
        if unknown:
            return self._wire.refuse(404, f"indicator {unknown[0]} not found")
        for name in names:
            del self.indicators[name]
        return self._wire.envelope(names)


def _check(indicator: Any) -> None:
    if not isinstance(indicator, dict) or set(indicator) - _KEYS:
        raise BadRequestError("an indicator has only the documented fields")
    kind, action = str(indicator.get("type")), indicator.get("action")
    if kind not in _VALUES:
        raise BadRequestError(f"invalid type {kind!r}")
    if not _VALUES[kind].fullmatch(str(indicator.get("value", ""))):
        raise BadRequestError(f"invalid value for type {kind!r}")
    if action not in (_HASH_ACTIONS if kind in _HASHES else _NETWORK_ACTIONS):
        raise BadRequestError(f"invalid action {action!r} for type {kind!r}")
    if action in {"prevent", "detect", "prevent_no_ui"} and indicator.get("severity") not in _SEVERITIES:
        raise BadRequestError("severity is required")
    platforms = indicator.get("platforms")
    if not isinstance(platforms, list) or not platforms or set(platforms) - _PLATFORMS:
        raise BadRequestError("platforms is required")
    if indicator.get("applied_globally") is not True and not indicator.get("host_groups"):
        raise BadRequestError("applied_globally or host_groups is required")
    if "expiration" in indicator:
        time_key(str(indicator["expiration"]))


def _expired(row: Mapping[str, Any], now: datetime) -> bool:
    return "expiration" in row and time_key(row["expiration"]) <= time_key(timestamp(now))
