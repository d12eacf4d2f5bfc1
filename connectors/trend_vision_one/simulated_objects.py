"""The simulated Suspicious Object List: one entry a value, written over by a second, held up by the exception list."""

import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from nightdesk.connectors.trend_vision_one.wire import (
    RefusedError,
    Routes,
    body_items,
    moment,
    multi,
    only,
    page,
    seconds,
    top,
)
from nightdesk.sdk.context import Clock

__all__ = ["ObjectsApi"]

_VALUES: Mapping[str, re.Pattern[str]] = {
    "url": re.compile(r"https?://\S+"),
    "domain": re.compile(r"[a-z0-9.-]+\.[a-z0-9-]{2,}"),
    "ip": re.compile(r"\d{1,3}(\.\d{1,3}){3}|[0-9a-f:]*:[0-9a-f:]+"),
    "fileSha1": re.compile(r"[0-9a-f]{40}"),
    "fileSha256": re.compile(r"[0-9a-f]{64}"),
    "senderMailAddress": re.compile(r"[^@\s]+@[^@\s]+"),
}
_DEFAULT_DAYS = 30
_KEYS = {"description", "scanAction", "riskLevel", "daysToExpiration"}


class ObjectsApi:
    """The list by type and value; ``excepted`` is the exception list."""

    def __init__(self, clock: Clock) -> None:
        self.objects: dict[tuple[str, str], dict[str, Any]] = {}
        self.excepted: set[tuple[str, str]] = set()
        self._clock = clock

    def routes(self) -> Routes:
        """What can be called."""
        return (
            ("GET", "/threatintel/suspiciousObjects", "objects.view", self._list),
            ("POST", "/threatintel/suspiciousObjects", "objects.manage", self._add),
            ("POST", "/threatintel/suspiciousObjects/delete", "objects.manage", self._delete),
        )

    def add(self, item: Mapping[str, Any]) -> dict[str, Any]:
        """Stores one object, as the console does too. Raises RefusedError."""
        key = self._key(item, _KEYS)
        action, level = item.get("scanAction", "block"), item.get("riskLevel", "high")
        days = item.get("daysToExpiration", _DEFAULT_DAYS)
        if action not in {"block", "log"} or level not in {"high", "medium", "low"}:
            raise RefusedError(400, "Invalid scanAction or riskLevel")
        if isinstance(days, bool) or not isinstance(days, int) or not 1 <= days <= 365:
            raise RefusedError(400, "daysToExpiration must be 1 to 365")
        now: datetime = self._clock()
        self.objects[key] = {
            "type": key[0],
            key[0]: key[1],
            "description": str(item.get("description", "")),
            "scanAction": action,
            "riskLevel": level,
            "lastModifiedDateTime": seconds(now),
            "expiredDateTime": seconds(now + timedelta(days=days)),
        }
        return {"status": 201}

    def _rows(self) -> list[dict[str, Any]]:
        now = self._clock()
        kept = {
            key: row for key, row in self.objects.items() if moment(row["expiredDateTime"], "expiredDateTime") > now
        }
        return [{**row, "inExceptionList": key in self.excepted} for key, row in kept.items()]

    def _remove(self, item: Mapping[str, Any]) -> dict[str, Any]:
        key = self._key(item, set())
        if self.objects.pop(key, None) is None:
            raise RefusedError(404, f"{key[0]} {key[1]} is not in the list")
        return {"status": 204}

    def _key(self, item: Mapping[str, Any], more: set[str]) -> tuple[str, str]:
        kinds = [name for name in _VALUES if name in item]
        strange = set(item) - set(_VALUES) - more
        if len(kinds) != 1 or strange:
            raise RefusedError(400, "Give one of url, domain, ip, fileSha1, fileSha256, senderMailAddress")
        value = str(item[kinds[0]])
        if not _VALUES[kinds[0]].fullmatch(value):
            raise RefusedError(400, f"{value!r} is no {kinds[0]}")
        return kinds[0], value

    async def _list(self, request: Request) -> Response:
        query = only(request, "top", "orderBy", "startDateTime", "endDateTime")
        if query.get("orderBy", "lastModifiedDateTime desc") != "lastModifiedDateTime desc":
            raise RefusedError(400, "Invalid orderBy")
        rows = sorted(self._rows(), key=lambda row: row["lastModifiedDateTime"], reverse=True)
        return page(request, rows, top(query, 50, 100, 200))

    async def _add(self, request: Request) -> Response:
        return multi(await body_items(request), self.add)

    async def _delete(self, request: Request) -> Response:
        return multi(await body_items(request), self._remove)
