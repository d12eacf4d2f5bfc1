"""What people change at our tickets, by ``updated``: JQL knows minutes only, and the index is seconds behind."""

from collections.abc import AsyncIterator
from datetime import timedelta
from math import ceil

from nightdesk.connectors.jira.comments import Comments
from nightdesk.connectors.jira.lookup import Lookup, labels
from nightdesk.connectors.jira.triage import Ticket
from nightdesk.sdk.context import Context
from nightdesk.sdk.errors import NotFoundError
from nightdesk.sdk.moments import SECOND, instant
from nightdesk.sdk.ports import CaseChange, CaseChanges
from nightdesk.sdk.records import Cursor, RawRecord
from nightdesk.sdk.sweep import Position

__all__ = ["Changes"]

_UPDATED = "updated"
_OVERLAP = timedelta(minutes=10)  # for what the index gets late
_SLACK = 2  # minutes: the query's bound is cut to one, and its own now is a little later than ours
_MAX_PAGE = 100
_TOLD = 100  # comments of one change, the newest


class Changes:
    """Follows the tickets of one tenant."""

    def __init__(self, lookup: Lookup, comments: Comments, context: Context) -> None:
        self._lookup = lookup
        self._comments = comments
        self._clock = context.clock
        self._label = labels(context.tenant)[0]

    async def pages(self, cursor: Cursor | None, skew: float, *, limit: int) -> AsyncIterator[CaseChanges]:
        """Pages until the last one. ``skew`` is how many seconds the vendor's clock is ahead of ours."""
        now = int((self._clock().timestamp() + skew) * 1000) * (SECOND // 1000)
        if cursor is None:
            yield CaseChanges((), Position.load(None, start=now, sweeps=(_UPDATED,)).dump())
            return
        position = Position.load(cursor, start=0, sweeps=(_UPDATED,), overlap=_OVERLAP)
        jql, token, start = self._query(position, now), "", position.since(_UPDATED)
        while True:
            size = max(1, min(limit, _MAX_PAGE))
            found, token = await self._lookup.search(
                jql, ("updated",), limit=size, operation="follow tickets", token=token
            )
            changes = []
            for issue in found:
                fields = issue.get("fields")
                indexed = str(fields.get("updated", "")) if isinstance(fields, dict) else ""
                ticket = await self._fresh(position, str(issue.get("id", "")), indexed, start)
                if ticket is not None:
                    changes.append(await self._change(ticket))
            if not token:
                position.forget()
            yield CaseChanges(changes, position.dump(), more=bool(token))
            if not token:
                return

    def _query(self, position: Position, now: int) -> str:
        """Minutes back from now: a time of day would be one of the account's time zone, and twice a year of two."""
        back = ceil((now - position.since(_UPDATED)) / (60 * SECOND)) + _SLACK
        return f'labels = "{self._label}" AND updated >= "-{max(back, _SLACK)}m" ORDER BY updated ASC, key ASC'

    async def _fresh(self, position: Position, issue_id: str, indexed: str, start: int) -> Ticket | None:
        """The ticket as it is now, if this version of it was not told before and is not older than the position."""
        moment = instant(indexed)
        if moment is not None and moment < start:
            return None  # of the minutes that are asked for on top
        if not position.take(_UPDATED, *_told(issue_id, indexed)):
            return None
        try:
            ticket = await self._lookup.one(issue_id)
        except NotFoundError:
            return None  # deleted, or moved out of our sight, and still in the index
        if not ticket.case_id:
            return None  # a copy of one of ours
        newer = ticket.updated != indexed
        return None if newer and not position.take(_UPDATED, *_told(issue_id, ticket.updated)) else ticket

    async def _change(self, ticket: Ticket) -> CaseChange:
        return CaseChange(
            native_id=ticket.issue_id,
            version=ticket.updated,
            status="closed" if ticket.closed else "open",
            case_id=ticket.case_id,
            title=ticket.title,
            comments=tuple((await self._comments.of(ticket.issue_id))[-_TOLD:]),
        )


def _told(issue_id: str, updated: str) -> tuple[RawRecord, dict[str, int | None]]:
    return RawRecord(b"", f"{issue_id}:{updated}", issue_id), {_UPDATED: instant(updated)}
