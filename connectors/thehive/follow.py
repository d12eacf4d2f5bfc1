"""What people change at our tickets: cases by ``_updatedAt``, comments, which need not move it, by ``createdAt``."""

from collections.abc import AsyncIterator, Mapping
from datetime import timedelta
from typing import Any

from nightdesk.connectors.thehive.client import VENDOR, Api, Step
from nightdesk.connectors.thehive.comments import Comments
from nightdesk.connectors.thehive.lookup import READ, Lookup
from nightdesk.sdk.context import Clock
from nightdesk.sdk.errors import NotFoundError, ResponseError
from nightdesk.sdk.moments import SECOND, instant
from nightdesk.sdk.ports import CaseChange, CaseChanges
from nightdesk.sdk.records import Cursor, RawRecord
from nightdesk.sdk.sweep import Position
from nightdesk.sdk.triage import is_ours

__all__ = ["Changes"]

_SWEEPS: Mapping[str, tuple[str, tuple[Step, ...]]] = {  # by which field, and how from our alerts there
    "updated": ("_updatedAt", ({"_name": "case"},)),
    "said": ("createdAt", ({"_name": "case"}, {"_name": "comments"})),
}
_MILLISECOND = SECOND // 1000
_OVERLAP = timedelta(minutes=2)  # for nodes of a cluster whose clocks differ
_MAX_PAGE = 100
_TOLD = 100  # comments of one change, the newest


class Changes:
    """Follows the tickets of one tenant."""

    def __init__(self, api: Api, lookup: Lookup, comments: Comments, clock: Clock) -> None:
        self._api = api
        self._lookup = lookup
        self._comments = comments
        self._clock = clock

    async def pages(self, cursor: Cursor | None, *, limit: int) -> AsyncIterator[CaseChanges]:
        """Pages of both sweeps, until each has nothing newer."""
        if cursor is None:
            start = Position.load(None, start=await self.now(), sweeps=tuple(_SWEEPS))
            yield CaseChanges((), start.dump())
            return
        position = Position.load(cursor, start=0, sweeps=tuple(_SWEEPS), overlap=_OVERLAP)
        size = max(1, min(limit, _MAX_PAGE))
        for sweep in _SWEEPS:
            since, skip = position.since(sweep) // _MILLISECOND, 0
            while True:
                rows = await self.page(sweep, since, skip, size)
                changes = [change for row in rows for change in await self._told(position, sweep, row)]
                done = len(rows) < size
                if done and sweep == [*_SWEEPS][-1]:
                    position.forget()
                    yield CaseChanges(changes, position.dump())
                    return
                yield CaseChanges(changes, position.dump(), more=True)
                if done:
                    break
                last = _moment(sweep, rows[-1])
                # Offsets shift when a row changes and moves to the end: each page begins where the one before ended.
                since, skip = (last, 0) if last > since else (since, skip + len(rows))

    async def page(self, sweep: str, since: int, skip: int, size: int) -> list[dict[str, Any]]:
        """Rows of one sweep from a millisecond on."""
        field, way = _SWEEPS[sweep]
        steps: list[Step] = [
            *self._lookup.ours,
            *way,
            {"_name": "filter", "_gte": {"_field": field, "_value": since}},
            {"_name": "sort", "_fields": [{field: "asc"}]},
            {"_name": "page", "from": skip, "to": skip + size, "extraData": ["links"] if sweep == "said" else []},
        ]
        return await self._api.query(f"nightdesk-{sweep}", steps, operation="follow tickets", scope=READ)

    async def now(self) -> int:
        """The vendor's present, in nanoseconds, to the second: from its answer to a small query."""
        present = self._clock().timestamp()
        await self.page("updated", int(present * 1000), 0, 1)
        return int(self._clock().timestamp() + (self._api.clock_skew or 0.0)) * SECOND

    async def _told(self, position: Position, sweep: str, row: Mapping[str, Any]) -> list[CaseChange]:
        """What a row leads to: nothing for what was told before, or what we said ourselves."""
        moment = _moment(sweep, row)
        name = str(row.get("_id", ""))
        fresh = position.take(sweep, RawRecord(b"", f"{name}:{moment}", name), {sweep: instant(moment, "ms")})
        if not fresh or (sweep == "said" and is_ours(str(row.get("message") or ""))):
            return []
        case_id = name if sweep == "updated" else _case_of(row)
        try:
            ticket = await self._lookup.one(case_id)
        except NotFoundError:
            return []  # deleted, or merged into another
        entries = await self._comments.of(case_id)
        version = f"{ticket.updated or ticket.created}:{entries[-1].comment_id if entries else ''}"
        told = RawRecord(b"", f"{case_id}:{version}", case_id)
        if not position.take(sweep, told, {sweep: instant(moment, "ms")}):
            return []  # the other sweep came upon the same state
        return [
            CaseChange(
                native_id=case_id,
                version=version,
                status="closed" if ticket.closed else "open",
                case_id=ours,
                title=ticket.title,
                comments=tuple(entries[-_TOLD:]),
            )
            for ours in await self._lookup.cases_of(case_id)
        ]


def _moment(sweep: str, row: Mapping[str, Any]) -> int:
    moment = row.get(_SWEEPS[sweep][0])
    if not isinstance(moment, int):
        message = f"a row without {_SWEEPS[sweep][0]} came"
        raise ResponseError(message, vendor=VENDOR, operation="follow tickets")
    return moment


def _case_of(comment: Mapping[str, Any]) -> str:
    """The case that a comment says it belongs to, wherever in its links that stands."""
    waiting: list[Any] = [comment.get("extraData")]
    while waiting:
        found = waiting.pop()
        if isinstance(found, Mapping):
            if found.get("_type") == "Case" and isinstance(found.get("_id"), str):
                return str(found["_id"])
            waiting += found.values()
        elif isinstance(found, list):
            waiting += found
    raise ResponseError("a comment does not say which case it is of", vendor=VENDOR, operation="follow tickets")
