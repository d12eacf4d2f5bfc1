"""UDM searches: the instance's own events by its own language, over the last hours or between two moments."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx

from nightdesk.connectors.google_secops.client import SEARCHES, VENDOR, Chronicle, broken, document
from nightdesk.sdk.context import Context
from nightdesk.sdk.errors import ConfigError, Problem, ResponseError
from nightdesk.sdk.moments import SECOND, instant, iso

__all__ = ["Search", "body_of", "time_of"]

_HOURS = 24
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MOST = 10_000  # more is cut to it: https://cloud.google.com/chronicle/docs/reference/rest/v1alpha/projects.locations.instances/udmSearch
_ASKS, _SHARE = 8, 4
_PART = 2000  # a search without a field mask brings whole events
_LEAST = timedelta(seconds=1)


class Search:
    """Asks for events of a time; the language itself knows none."""

    def __init__(self, chronicle: Chronicle, context: Context) -> None:
        self._chronicle = chronicle
        self._clock = context.clock
        hours = context.settings.integer("search_hours", _HOURS)
        if hours < 1:
            raise ConfigError([Problem(context.instance, "search_hours", "must be 1 or more")])
        self._span = timedelta(hours=hours)

    async def events(self, query: str, *, limit: int) -> Sequence[Mapping[str, Any]]:
        """At most so many. Raises ResponseError when fewer came although more are there: a part is no answer."""
        now = self._clock() + timedelta(seconds=self._chronicle.clock_skew or 0.0)
        most = max(1, min(limit, _MOST))
        # What happened in this very second as well: the end of a time is not in it.
        found, more, response = await self._ask(query, now - self._span, now + _LEAST, most)
        if more and len(found) < most:
            message = f"only {len(found)} of the events came; make the query narrower, or search_hours smaller"
            raise broken(message, "search", response)
        return found[:most]

    async def oldest(self, query: str, since: datetime, until: datetime, *, limit: int) -> list[Mapping[str, Any]]:
        """All events of the half-open time, or of its beginning if that alone has ``limit``; in no order.

        Google does not say which events a search gives that has more than it may give, so a time that has too many is
        asked for in smaller parts. Raises ResponseError when that takes too many searches: 120 an hour are allowed.
        """
        found: list[Mapping[str, Any]] = []
        start, end = since, until
        for _ in range(_ASKS):
            events, more, _response = await self._ask(query, start, end, _PART)
            span = end - start
            if more:
                if span <= _LEAST:
                    break
                end = _whole(start + max(span / _SHARE, _LEAST))
                continue
            found += [one for one in events if since <= time_of(one) < until]
            if end >= until or len(found) >= limit:
                return found
            start, end = end, min(until, end + span * _SHARE)
        message = f"more events than {_ASKS} searches bring; ask about a shorter time"
        raise ResponseError(message, vendor=VENDOR, operation="search")

    async def _ask(
        self, query: str, start: datetime, end: datetime, most: int
    ) -> tuple[list[Mapping[str, Any]], bool, httpx.Response]:
        """One search, over whole seconds: its events, and whether there are more than it gave."""
        operation = "search"
        response = await self._chronicle.ask(
            "GET",
            ":udmSearch",
            family=SEARCHES,
            operation=operation,
            permission="chronicle.events.udmSearch",
            params={
                "query": query,
                "timeRange.startTime": iso(int(start.timestamp()) * SECOND),
                "timeRange.endTime": iso(int(_whole(end).timestamp()) * SECOND),
                "limit": most,
            },
        )
        body = document(response, operation)
        found = body.get("events") or []
        if not isinstance(found, list):
            raise broken("the answer holds no list of events", operation, response)
        return [event for event in found if isinstance(event, dict)], bool(body.get("moreDataAvailable")), response


def body_of(event: Mapping[str, Any]) -> Mapping[str, Any]:
    """The UDM of one found event."""
    found = event.get("udm")
    return found if isinstance(found, Mapping) else event


def time_of(event: Mapping[str, Any]) -> datetime:
    """When it happened, by its own word. Raises ResponseError when it does not say."""
    metadata = body_of(event).get("metadata")
    text = metadata.get("eventTimestamp") if isinstance(metadata, Mapping) else None
    found = instant(text) if isinstance(text, str) else None
    if found is None:
        raise ResponseError("an event has no eventTimestamp", vendor=VENDOR, operation="search")
    return _EPOCH + timedelta(microseconds=found // 1000)


def _whole(moment: datetime) -> datetime:
    """The next whole second: Google's times of a search know no parts of one."""
    return moment.replace(microsecond=0) + timedelta(seconds=1 if moment.microsecond else 0)
