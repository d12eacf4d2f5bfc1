"""The System Log: polling by the vendor's own link, which follows the order of arrival, so no late event is missed.

Source: https://developer.okta.com/docs/reference/system-log-query/
"""

import re
from collections.abc import AsyncIterator, Mapping
from datetime import timedelta
from hashlib import sha256
from typing import Any
from urllib.parse import parse_qsl, urlencode

from nightdesk.connectors.okta.client import VENDOR, Okta, quoted
from nightdesk.sdk.context import Context
from nightdesk.sdk.errors import ConfigError, CursorExpiredError, NotFoundError, Problem, RejectedError, ResponseError
from nightdesk.sdk.moments import SECOND, instant, iso
from nightdesk.sdk.records import Batch, Cursor, RawRecord
from nightdesk.sdk.sweep import Position, Times, start_of

__all__ = ["PATH", "READ", "SystemLog"]

PATH = "/api/v1/logs"
READ = "okta.logs.read"
_SWEEP = "published"
_MOST = 1000
_OVERLAP = timedelta(minutes=10)
_RETENTION = 90 * 86_400 * SECOND
_WEEK = 7 * 86_400 * SECOND
_AHEAD = 600 * SECOND  # how far the vendor's clock may run away from what is known of it when a search ends "now"
_UUID = re.compile(r"[A-Za-z0-9-]{1,64}")


class SystemLog:
    """The events of one org that pass the configured filter."""

    def __init__(self, okta: Okta, context: Context) -> None:
        self._okta = okta
        self._context = context
        self._filter = context.settings.text("filter")
        self._page_size = context.settings.integer("page_size", _MOST)
        if not 1 <= self._page_size <= _MOST:
            raise ConfigError([Problem(context.instance, "page_size", f"must be 1 to {_MOST}")])
        self._start = start_of(context) if context.settings.has("start") else None

    @property
    def query(self) -> dict[str, str]:
        """What never changes between two polls: another filter makes the vendor refuse its own links."""
        return {"filter": self._filter} if self._filter else {}

    async def pull(self, cursor: Cursor | None, limit: int) -> AsyncIterator[Batch]:
        """Pages until an empty one; there is always a link to the next, and it is where the next poll goes on.

        A link that is refused is replaced by a query from a while before the newest event read: it is bounded by
        arrival, which is never before ``published``, so nothing unread is passed over.
        """
        stored: Mapping[str, Any] = cursor or {}
        position = Position.load(
            stored.get("position") if cursor else None,
            start=start_of(self._context) if self._start is None else self._start,
            sweeps=(_SWEEP,),
            overlap=_OVERLAP,
        )
        query = str(stored.get("next") or "") if stored.get("filter") == self._filter else ""
        size = max(1, min(limit, self._page_size))
        restarted = False
        while True:
            asked = _resized(query, size) or self._first(position, size)
            try:
                elements, query = await self._okta.page(f"{PATH}?{asked}", operation="pull logs", scope=READ)
            except RejectedError as error:
                if not query or error.status != 400:
                    raise
                if restarted:
                    raise CursorExpiredError(
                        "the link of a new query was refused too; restart from the stored time",
                        vendor=VENDOR,
                        operation="pull logs",
                        status=error.status,
                    ) from error
                query, restarted = "", True
                continue
            if not query or (elements and query == asked):
                what = "repeats" if query else "is missing"
                raise ResponseError(f"the link to the next page {what}", vendor=VENDOR, operation="pull logs")
            records, failures = position.page(_SWEEP, elements, _read)
            if not elements:
                position.forget()
            reached = {"position": position.dump(), "next": query, "filter": self._filter}
            yield Batch(records, reached, failures, more=bool(elements))
            if not elements:
                return

    async def one(self, native_id: str) -> RawRecord:
        """The event of that uuid. Raises NotFoundError: there is no call by id, and retention is 90 days."""
        if _UUID.fullmatch(native_id):
            rows = self.rows(f"uuid eq {quoted(native_id)}", since=self._now() - _RETENTION, limit=1)
            async for event, raw in rows:
                if event.get("uuid") == native_id:
                    return _read(event, raw)[0]
        raise NotFoundError(f"no event {native_id} in the last 90 days", vendor=VENDOR, operation="search logs")

    async def rows(
        self, expression: str, *, since: int | None = None, limit: int = _MOST, newest_first: bool = False
    ) -> AsyncIterator[tuple[dict[str, Any], bytes]]:
        """At most ``limit`` events of a finite search by ``published``, by default over the last week."""
        now = self._now()
        ahead = int(max(0.0, self._okta.clock_skew or 0.0)) * SECOND  # else what happened there this moment is "later"
        params = {
            "filter": expression,
            "since": iso(now - _WEEK if since is None else since, 3),
            "until": iso(now + ahead + _AHEAD, 3),
            "sortOrder": "DESCENDING" if newest_first else "ASCENDING",
            "limit": min(limit, _MOST),
        }
        query, left = urlencode(params), limit
        while query and left > 0:
            asked = query
            elements, query = await self._okta.page(f"{PATH}?{asked}", operation="search logs", scope=READ)
            if query == asked:
                raise ResponseError("the link to the next page repeats", vendor=VENDOR, operation="search logs")
            for event, raw in elements[:left]:
                if isinstance(event, dict):
                    yield event, raw
            left -= len(elements)

    async def cleared(self, user_id: str, since: int) -> dict[str, Any] | None:
        """The first event from then on that says that all sessions of that user were ended."""
        expression = f'eventType eq "user.session.clear" and target.id eq {quoted(user_id)}'
        async for event, _ in self.rows(expression, since=since):
            # Held against what was asked: a filter that was ignored must not turn another user's event into an effect.
            targets = [target.get("id") for target in event.get("target") or () if isinstance(target, dict)]
            done = event.get("eventType") == "user.session.clear" and user_id in targets
            result = (event.get("outcome") or {}).get("result")
            if done and result == "SUCCESS" and (instant(event.get("published")) or 0) >= since:
                return event
        return None

    def _first(self, position: Position, size: int) -> str:
        """A new polling query; what is older than the retention is gone, and asking for it is an error."""
        since = max(position.since(_SWEEP), self._now() - _RETENTION)
        return urlencode({"since": iso(since, 3), "sortOrder": "ASCENDING", "limit": size, **self.query})

    def _now(self) -> int:
        return int(self._context.clock().timestamp() * 1000) * (SECOND // 1000)


def _read(event: dict[str, Any], raw: bytes) -> tuple[RawRecord, Times]:
    """An event never changes, so its uuid is its version too; without one the content is."""
    name = str(event.get("uuid") or "")
    return RawRecord(raw, name or sha256(raw).hexdigest(), name, VENDOR), {_SWEEP: instant(event.get("published"))}


def _resized(query: str, size: int) -> str:
    """The vendor's link, unchanged unless it was given for another page size."""
    pairs = parse_qsl(query, keep_blank_values=True)
    if not query or ("limit", str(size)) in pairs:
        return query
    return urlencode([*(pair for pair in pairs if pair[0] != "limit"), ("limit", size)])
