"""The simulated System Log: endless polling by arrival, finite searches by ``published``, cursors bound to their query.

Source: https://developer.okta.com/docs/reference/system-log-query/
"""

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from nightdesk.connectors.okta.scim import ScimError, Test, parse
from nightdesk.connectors.okta.wire import OktaError, Routes, linked, page_limit
from nightdesk.sdk.context import Clock

__all__ = ["LogApi"]

_MOST = 1000
_RETENTION = timedelta(days=90)
_OLDEST_SINCE = timedelta(days=180)
_DEFAULT_SINCE = timedelta(days=7)
_SORTS = ("ASCENDING", "DESCENDING")
Drift = Callable[[dict[str, Any]], dict[str, Any]]


@dataclass(frozen=True, slots=True)
class _Arrival:
    """One event and when it was persisted, which may be long after it was published."""

    persisted: datetime
    published: datetime
    event: dict[str, Any]


class LogApi:
    """The events of an org in the order they arrived. ``settle`` lets effects that are due become events first."""

    def __init__(self, clock: Clock, drift: Drift, settle: Callable[[], None]) -> None:
        self.arrivals: list[_Arrival] = []
        self.events: dict[str, dict[str, Any]] = {}
        self._clock = clock
        self._drift = drift
        self._settle = settle
        self._epoch = 0

    def routes(self) -> Routes:
        """What can be called."""
        return (("GET", "/api/v1/logs", "okta.logs.read", self._list),)

    def add(self, event: dict[str, Any], persisted: datetime) -> None:
        """One event arrives. Raises ValueError for one that did before."""
        if event["uuid"] in self.events:
            raise ValueError(f"{event['uuid']} is in the log already")
        self.events[event["uuid"]] = event
        published = datetime.fromisoformat(event["published"])
        self.arrivals.append(_Arrival(persisted, published, event))

    def forget_cursors(self) -> None:
        """Every link given so far becomes invalid."""
        self._epoch += 1

    async def _list(self, request: Request) -> Response:
        self._settle()
        query = request.query_params
        limit = page_limit(request, 100, _MOST, least=0)
        sort = query.get("sortOrder", _SORTS[0])
        if sort not in _SORTS:
            raise OktaError(400, "Api validation failed: sortOrder", causes=[f"sortOrder: must be one of {_SORTS}"])
        wanted = _wanted(query.get("filter", ""), query.get("q", ""))
        now, until = self._clock(), _moment(query.get("until", ""), "until")
        since = _moment(query.get("since", ""), "since") or (until or now) - _DEFAULT_SINCE
        if since < now - _OLDEST_SINCE:
            summary = "Invalid parameter: The since parameter is over 180 days prior to the current day."
            raise OktaError(400, summary, "E0000053")
        bound = [query.get(name, "") for name in ("filter", "q", "sortOrder", "until")]
        binding = sha256(json.dumps(bound).encode()).hexdigest()
        after = self._after(query.get("after", ""), binding)
        rows = [
            (place, row)
            for place, row in enumerate(self.arrivals)
            if row.published >= now - _RETENTION and wanted(row.event)
        ]
        if until is None and sort == _SORTS[0]:
            rows = [(place, row) for place, row in rows if (row.persisted >= since if after is None else place > after)]
            # There is always a next page, if only one of what will arrive.
            reached: int | None = rows[limit][0] - 1 if len(rows) > limit else len(self.arrivals) - 1
        else:
            rows = [(place, row) for place, row in rows if since <= row.published < (until or now)]
            rows.sort(key=lambda pair: (pair[1].published, pair[0]), reverse=sort == _SORTS[1])
            places = [place for place, _ in rows]
            rows = rows[places.index(after) + 1 if after in places else 0 :]
            reached = rows[limit - 1][0] if 0 < limit < len(rows) else None
        shown = JSONResponse([self._drift(row.event) for _, row in rows[:limit]])
        token = None if reached is None else self._token(reached, binding)
        return linked(shown, request, {"after": token, "limit": limit} if token else None)

    def _token(self, place: int, binding: str) -> str:
        return urlsafe_b64encode(json.dumps([self._epoch, place, binding]).encode()).decode()

    def _after(self, token: str, binding: str) -> int | None:
        """Where the page before ended."""
        if not token:
            return None
        try:
            epoch, place, made_for = json.loads(urlsafe_b64decode(token))
        except (ValueError, TypeError):
            epoch, place, made_for = -1, -1, ""
        if (epoch, made_for) != (self._epoch, binding):
            raise OktaError(400, "Api validation failed: after", causes=["after: The cursor is invalid."])
        return int(place)


def _wanted(filter_text: str, keywords: str) -> Test:
    try:
        fits = parse(filter_text, lambda field, _: field != "published")
    except ScimError as error:
        raise OktaError(400, str(error), "E0000053") from None
    words = keywords.casefold().split()
    if len(words) > 10 or any(len(word) > 40 for word in words):
        raise OktaError(
            400, "Api validation failed: 'q': Freeform search cannot contain items longer than 40 characters."
        )
    return lambda event: fits(event) and set(words) <= (_keywords(event) if words else set())


def _keywords(event: Mapping[str, Any]) -> set[str]:
    """Every word of every value, and hyphenated ones in parts too."""
    found: set[str] = set()
    pending: list[Any] = [event]
    while pending:
        item = pending.pop()
        if isinstance(item, dict):
            pending += item.values()
        elif isinstance(item, list):
            pending += item
        elif item is not None:
            words = str(item).casefold().split()
            found |= {*words, *(part for word in words for part in word.split("-"))}
    return found


def _moment(text: str, name: str) -> datetime | None:
    if not text:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        cause = (
            f"{name}: The date format in your query is not recognized. Please enter dates using ISO8601 string format."
        )
        raise OktaError(400, f"Api validation failed: '{name}'", causes=[cause]) from None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment
