"""The simulated SIEM feed: 24 hours of alerts and events, cursors that stand at a time, and what they pass over."""

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from bisect import bisect_left, insort
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Literal

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from nightdesk.connectors.sophos_central.wire import RefusedError, Routes, given, number
from nightdesk.sdk.context import Clock

__all__ = ["FeedApi"]

Kind = Literal["alerts", "events"]
Drift = Callable[[dict[str, Any]], dict[str, Any]]
_Place = tuple[float, int]
"""Where a record stands: the time it was created, and the number it got; a cursor is the place behind the last."""

_DAY = 24 * 3600
_LEAST, _MOST = 200, 1000
_FEEDS: tuple[Kind, ...] = ("alerts", "events")


class FeedApi:
    """Both streams; ``drift`` shows a record as the fault plan wants it."""

    def __init__(self, clock: Clock, drift: Drift) -> None:
        self.valid_cursors = True
        self._clock = clock
        self._drift = drift
        self._rows: dict[Kind, list[tuple[_Place, dict[str, Any]]]] = {name: [] for name in _FEEDS}
        self._made = 0

    def routes(self) -> Routes:
        """What can be called."""
        return (("GET", "/siem/v1/alerts", self._alerts), ("GET", "/siem/v1/events", self._events))

    def append(self, kind: Kind, record: dict[str, Any], created: datetime) -> None:
        """A record enters the feed where its time says, be that behind somebody's cursor."""
        self._made += 1
        insort(self._rows[kind], ((created.timestamp(), self._made), record), key=lambda row: row[0])

    def records(self, kind: Kind) -> Mapping[str, dict[str, Any]]:
        """Every record that was ever raised, by its id."""
        return {str(record["id"]): record for _, record in self._rows[kind]}

    async def _alerts(self, request: Request) -> Response:
        return self._page("alerts", given(request, "cursor", "from_date", "limit"))

    async def _events(self, request: Request) -> Response:
        return self._page("events", given(request, "cursor", "from_date", "limit", "exclude_types"))

    def _page(self, kind: Kind, query: Mapping[str, str]) -> Response:
        size = number(query, "limit", _LEAST, _LEAST, _MOST)
        place = self._from(query, kind)
        excluded = set(query.get("exclude_types", "").split(","))
        rows = self._rows[kind]
        rest = rows[bisect_left(rows, place, key=lambda row: row[0]) :]
        taken = rest[:size]
        if taken:
            created, made = taken[-1][0]
            place = (created, made + 1)
        text = json.dumps([kind, *place])
        body = {
            "has_more": len(rest) > size,
            "next_cursor": urlsafe_b64encode(text.encode()).decode(),
            "items": [self._drift(record) for _, record in taken if record["type"] not in excluded],
        }
        return JSONResponse(body)

    def _from(self, query: Mapping[str, str], kind: Kind) -> _Place:
        """Where to begin. A cursor goes before a date; one that is too old is taken for the last 24 hours, silently."""
        oldest = self._clock().timestamp() - _DAY
        if "cursor" in query:
            created, made = self._cursor(query["cursor"], kind)
            return (created, made) if created >= oldest else (oldest, 0)
        if "from_date" not in query:
            return oldest, 0
        if not query["from_date"].isdecimal():
            raise RefusedError(400, "from_date must be epoch seconds")
        begin = int(query["from_date"])
        if not oldest <= begin <= oldest + _DAY + 1:
            raise RefusedError(400, "from_date must be within last 24 hours")
        return begin, 0

    def _cursor(self, text: str, kind: Kind) -> _Place:
        try:
            made_for, created, made = json.loads(urlsafe_b64decode(text))
        except (ValueError, TypeError):
            made_for, created, made = "", 0.0, 0
        if made_for != kind or not self.valid_cursors:  # a cursor belongs to its endpoint
            raise RefusedError(400, "invalid cursor")
        return float(created), int(made)
