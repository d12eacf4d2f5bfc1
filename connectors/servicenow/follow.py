"""What people change at our tickets, by ``sys_updated_on``: pages by key, not by offset, which shifts under writes."""

from collections.abc import AsyncIterator
from datetime import timedelta

from nightdesk.connectors.servicenow import triage
from nightdesk.connectors.servicenow.client import VENDOR, Row, TableApi, term
from nightdesk.connectors.servicenow.journal import Journal
from nightdesk.connectors.servicenow.lookup import FIELDS, READ, checked, signature
from nightdesk.sdk.context import Clock
from nightdesk.sdk.errors import RejectedError, ResponseError
from nightdesk.sdk.moments import SECOND, instant, iso
from nightdesk.sdk.ports import CaseChange, CaseChanges
from nightdesk.sdk.records import Cursor, RawRecord
from nightdesk.sdk.sweep import Position

__all__ = ["Changes", "in_utc"]

_UPDATED = "updated"
_OVERLAP = timedelta(minutes=2)  # a transaction may take a minute, and its time is that of its begin
_MAX_PAGE = 100
_TOLD = 100  # comments of one change, the newest


def in_utc(row: Row, operation: str) -> Row:
    """The row, if its user sees times as they are stored: query times are read in the user's zone and form.

    Raises RejectedError, since in another zone every query would miss hours of changes without a word.
    """
    stored, shown = row.value("sys_updated_on"), row.shown("sys_updated_on")
    if stored != shown:
        message = (
            f"the integration user sees {stored} UTC as {shown!r}; set its time zone to GMT and its date and time"
            " formats to the system's (yyyy-MM-dd HH:mm:ss)"
        )
        raise RejectedError(message, vendor=VENDOR, operation=operation)
    return row


class Changes:
    """Follows the tickets of one tenant."""

    def __init__(self, api: TableApi, journal: Journal, clock: Clock, *, table: str, tenant: str) -> None:
        self._api = api
        self._journal = journal
        self._clock = clock
        self._table = table
        self._flow = triage.FLOWS[table]
        self._signature = signature(tenant)

    async def pages(self, cursor: Cursor | None, *, limit: int) -> AsyncIterator[CaseChanges]:
        """Pages until an empty one: a short page is no sign of the end, since ACLs hide rows after the limit."""
        if cursor is None:
            yield CaseChanges((), Position.load(None, start=await self.now(), sweeps=(_UPDATED,)).dump())
            return
        position = Position.load(cursor, start=0, sweeps=(_UPDATED,), overlap=_OVERLAP)
        since, after = _stamp(position.since(_UPDATED)), ""
        while True:
            rows = await self.page(since, after, limit)
            changes = [await self._change(row) for row in rows if position.take(_UPDATED, *_told(row))]
            if not rows:
                position.forget()
            yield CaseChanges(changes, position.dump(), more=bool(rows))
            if not rows:
                return
            last = rows[-1].value("sys_updated_on"), rows[-1].value("sys_id")
            if last == (since, after):
                raise ResponseError("the page repeats", vendor=VENDOR, operation="follow tickets")
            since, after = last

    async def page(self, since: str, after: str, limit: int) -> list[Row]:
        """Our tickets changed at or after a time; with ``after``, those of that second only behind that sys_id."""
        ours, operation = term("correlation_display", "=", self._signature), "follow tickets"
        query = f"{ours}^{term('sys_updated_on', '>=', since)}"
        if after:
            tie = f"{ours}^{term('sys_updated_on', '=', since)}^{term('sys_id', '>', after)}"
            query = f"{tie}^NQ{ours}^{term('sys_updated_on', '>', since)}"
        query = f"{query}^ORDERBYsys_updated_on^ORDERBYsys_id"
        size = max(1, min(limit, _MAX_PAGE))
        rows = await self._api.rows(self._table, query, FIELDS, limit=size, operation=operation, role=READ)
        wanted = {"correlation_display": self._signature}
        for row in rows:
            in_utc(checked(row, wanted, operation), operation)
            if row.value("sys_updated_on") < since:
                message = f"a ticket changed before {since} came: the instance ignored a term of the query"
                raise ResponseError(message, vendor=VENDOR, operation=operation)
        return rows

    async def now(self) -> int:
        """The vendor's present, in nanoseconds, to the second: from its answer to a small query."""
        await self.page(_stamp(int(self._clock().timestamp()) * SECOND), "", 1)
        return int(self._clock().timestamp() + (self._api.clock_skew or 0.0)) * SECOND

    async def _change(self, row: Row) -> CaseChange:
        return CaseChange(
            native_id=row.value("sys_id"),
            version=row.value("sys_mod_count"),
            status="closed" if row.value("state") in self._flow.closed else "open",
            case_id=row.value("correlation_id"),
            title=row.value("short_description"),
            comments=tuple((await self._journal.entries(row.value("sys_id")))[-_TOLD:]),
        )


def _told(row: Row) -> tuple[RawRecord, dict[str, int | None]]:
    """What tells this version of the ticket from every other: ``sys_mod_count`` counts its changes."""
    sys_id = row.value("sys_id")
    key = f"{sys_id}:{row.value('sys_mod_count')}:{row.value('sys_updated_on')}"
    return RawRecord(b"", key, sys_id), {_UPDATED: instant(row.value("sys_updated_on"))}


def _stamp(moment: int) -> str:
    """A time as the database and queries write it: UTC, whole seconds."""
    return iso(moment).replace("T", " ").removesuffix("Z")
