"""UDM searches: the instance's own events by its own language, over the last hours."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from nightdesk.connectors.google_secops.client import SEARCHES, Chronicle, broken, document
from nightdesk.sdk.context import Context
from nightdesk.sdk.errors import ConfigError, Problem
from nightdesk.sdk.moments import SECOND, iso

__all__ = ["Search"]

_HOURS = 24
_MOST = 10_000  # more is cut to it: https://cloud.google.com/chronicle/docs/reference/rest/v1alpha/projects.locations.instances/udmSearch


class Search:
    """Asks for events between a while ago and now; the language itself knows no time."""

    def __init__(self, chronicle: Chronicle, context: Context) -> None:
        self._chronicle = chronicle
        self._clock = context.clock
        hours = context.settings.integer("search_hours", _HOURS)
        if hours < 1:
            raise ConfigError([Problem(context.instance, "search_hours", "must be 1 or more")])
        self._span = timedelta(hours=hours)

    async def events(self, query: str, *, limit: int) -> Sequence[Mapping[str, Any]]:
        """At most so many. Raises ResponseError when fewer came although more are there: a part is no answer."""
        operation = "search"
        now = self._clock() + timedelta(seconds=self._chronicle.clock_skew or 0.0)
        most = max(1, min(limit, _MOST))
        response = await self._chronicle.ask(
            "GET",
            ":udmSearch",
            family=SEARCHES,
            operation=operation,
            permission="chronicle.events.udmSearch",
            params={
                "query": query,
                "timeRange.startTime": iso(int((now - self._span).timestamp()) * SECOND),
                "timeRange.endTime": iso((int(now.timestamp()) + 1) * SECOND),
                "limit": most,
            },
        )
        body = document(response, operation)
        found = body.get("events") or []
        if not isinstance(found, list):
            raise broken("the answer holds no list of events", operation, response)
        if body.get("moreDataAvailable") and len(found) < most:
            message = f"only {len(found)} of the events came; make the query narrower, or search_hours smaller"
            raise broken(message, operation, response)
        return [event for event in found if isinstance(event, dict)][:most]
