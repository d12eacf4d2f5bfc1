"""The SIEM feed: the vendor's own cursor, a look back for what came in behind it, and the loss it keeps quiet about.

The cursor is opaque. One that was not used for 24 hours is not refused but read as "the last 24 hours"
(https://github.com/sophos/Sophos-Central-SIEM-Integration/issues/66), so this module remembers when it last asked. The
cursor also passes over what arrives behind it (issues 53 and 69 there), so the last minutes are read again.
"""

from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from hashlib import sha256
from json import dumps
from typing import Any

from nightdesk.connectors.sophos_central.client import VENDOR, Central, broken, document
from nightdesk.sdk.context import Context
from nightdesk.sdk.errors import CursorExpiredError, NotFoundError, RejectedError
from nightdesk.sdk.moments import SECOND, instant, iso
from nightdesk.sdk.records import Batch, Cursor, RawRecord
from nightdesk.sdk.sweep import Position, Times, start_of
from nightdesk.sdk.verbatim import cut

__all__ = ["LEAST_PAGE", "MOST_PAGE", "PATHS", "Feed"]

PATHS: Mapping[str, str] = {"alerts": "/siem/v1/alerts", "events": "/siem/v1/events"}
LEAST_PAGE, MOST_PAGE = 200, 1000
_SWEEP = "created"
_REACH = (24 * 3600 - 600) * SECOND  # 24 hours, less what two clocks may differ by
_OVERLAP = timedelta(minutes=10)
_LOOK_EVERY = 60 * SECOND  # each look is one request more, and there are 1,000 an hour


@dataclass(slots=True)
class _Place:
    """How far one stream is read; moments in nanoseconds."""

    token: str  # the vendor's cursor; empty before its first answer
    since: int  # from when is read without a token
    floor: int  # where the next look back begins
    heard: int  # when the vendor last answered
    looked: int  # when the last look back ended
    position: Position

    @classmethod
    def load(cls, cursor: Cursor | None, *, start: int, now: int) -> "_Place":
        """Raises CursorExpiredError for a cursor that is not ours."""
        stored: Mapping[str, Any] = cursor or {}
        position = Position.load(
            stored.get("position", {}) if cursor else None, start=start, sweeps=(_SWEEP,), overlap=_OVERLAP
        )
        if cursor is None:
            return cls("", start, start, now, now, position)
        moments = [stored.get(name) for name in ("since", "floor", "heard", "looked")]
        if not isinstance(stored.get("token"), str) or not all(type(moment) is int for moment in moments):
            raise CursorExpiredError("the stored cursor cannot be read; restart from the stored time", vendor=VENDOR)
        since, floor, heard, looked = (int(str(moment)) for moment in moments)
        return cls(stored["token"], since, floor, heard, looked, position)

    def dump(self) -> Cursor:
        """The cursor that is valid once everything taken so far is stored."""
        return {
            "token": self.token,
            "since": self.since,
            "floor": self.floor,
            "heard": self.heard,
            "looked": self.looked,
            "position": self.position.dump(),
        }

    def settle(self, now: int) -> None:
        """Everything from the floor on was met: the next look back begins later, and older deliveries are forgotten."""
        self.floor, self.looked = self.position.since(_SWEEP), now
        self.position.forget()


@dataclass(frozen=True, slots=True)
class _Page:
    elements: list[tuple[Any, bytes]]
    token: str
    more: bool


class Feed:
    """Alerts and events of one tenant."""

    def __init__(self, context: Context, central: Central) -> None:
        self._context = context
        self._central = central
        self._start = start_of(context) if context.settings.text("start") else None
        self._size = context.settings.integer("page_size", MOST_PAGE)
        types = [name for name in context.settings.text("exclude_types").replace(",", " ").split() if name]
        self._excluded = {"exclude_types": ",".join(types)} if types else {}

    async def pull(self, stream: str, cursor: Cursor | None, limit: int) -> AsyncIterator[Batch]:
        """On from the vendor's cursor to the end; then, once a minute, the last ten minutes again.

        Raises CursorExpiredError once when alerts are out of reach, having moved the cursor to the oldest that are not.
        """
        now = self._now()
        start = start_of(self._context) if self._start is None else self._start
        place = _Place.load(cursor, start=start, now=now)
        if now - place.heard > _REACH:
            lost, place.since = place.heard, now - _REACH
            place.token, place.floor, place.heard = "", place.since, now
            yield Batch((), place.dump(), more=True)
            raise CursorExpiredError(
                f"{stream} raised from {iso(lost)} to {iso(place.since)} are not read: Sophos Central gives the last 24"
                " hours only, and nothing was asked for that long; look through the console for that time. Reading"
                " goes on with what is left",
                vendor=VENDOR,
                operation=f"pull {stream}",
            )
        back = bool(place.token) and now - place.looked >= _LOOK_EVERY
        began = bool(place.token)
        async for batch in self._walk(stream, place, limit, back=False, settles=not began, follows=back):
            yield batch
        if back:
            async for batch in self._walk(stream, place, limit, back=True, settles=True, follows=False):
                yield batch

    async def one(self, stream: str, native_id: str) -> RawRecord:
        """The alert of that id among the last 24 hours. Raises NotFoundError: there is no call by id."""
        token = ""
        while True:
            page = await self._ask(stream, token, 0, MOST_PAGE, operation=f"read one of {stream}")
            for item, raw in page.elements:
                if isinstance(item, dict) and item.get("id") == native_id:
                    return _read(item, raw)[0]
            if not page.more:
                break
            token = page.token
        message = f"{native_id!r} is not in the feed, which holds the last 24 hours; look for it in the console"
        raise NotFoundError(message, vendor=VENDOR, operation=f"read one of {stream}")

    async def _walk(
        self, stream: str, place: _Place, limit: int, *, back: bool, settles: bool, follows: bool
    ) -> AsyncIterator[Batch]:
        """Page after page. ``settles``: it meets everything from the floor on; ``follows``: it is not the last walk."""
        token, since, refused = ("", place.floor, False) if back else (place.token, place.since, False)
        size = min(max(limit, LEAST_PAGE), self._size)
        while True:
            try:
                page = await self._ask(stream, token, since, size, operation=f"pull {stream}")
            except RejectedError as error:
                if not token or refused or error.status != 400:
                    raise
                # The cursor is no longer known. Nothing is lost: what came since the floor is still within reach.
                token, since, refused = "", place.floor, True
                if not back:
                    place.token, place.since = token, since
                continue
            place.heard = self._now()
            *first, rest = _sliced(page.elements, max(1, limit))
            for part in first:  # until its last part is stored, the page is asked for again
                records, failures = place.position.page(_SWEEP, part, _read)
                yield Batch(records, place.dump(), failures, more=True)
            records, failures = place.position.page(_SWEEP, rest, _read)
            token = page.token
            if not back:
                place.token = token or place.token
            if not page.more and settles:
                place.settle(place.heard)
            yield Batch(records, place.dump(), failures, more=page.more or follows)
            if not page.more:
                return

    async def _ask(self, stream: str, token: str, since: int, size: int, *, operation: str) -> _Page:
        """One page; a time further back than the feed reaches is refused, so it is never asked for."""
        begin = max(since, self._now() - _REACH) // SECOND
        params: dict[str, Any] = {"cursor": token} if token else {"from_date": begin}
        excluded = self._excluded if stream == "events" else {}
        response = await self._central.ask(
            "GET", PATHS[stream], operation=operation, params={**params, "limit": size, **excluded}
        )
        answer = document(response, operation)
        try:
            elements = cut(response.content, "items")
        except ValueError as error:
            raise broken("the answer's items are no array", operation, response) from error
        if "items" not in answer:
            raise broken("the answer has no items", operation, response)
        page = _Page(elements, str(answer.get("next_cursor") or ""), answer.get("has_more") is True)
        if page.more and page.token in {"", token}:
            raise broken("the cursor of the next page is missing or repeats", operation, response)
        return page

    def _now(self) -> int:
        return int(self._context.clock().timestamp() * 1000) * (SECOND // 1000)


def _sliced(elements: list[tuple[Any, bytes]], size: int) -> Iterator[list[tuple[Any, bytes]]]:
    """Parts of that size, at least one; the vendor's smallest page is larger than ours may be."""
    for begin in range(0, max(len(elements), 1), size):
        yield elements[begin : begin + size]


def _read(item: dict[str, Any], raw: bytes) -> tuple[RawRecord, Times]:
    """A record has no version, so its content is one, whatever order its fields come in."""
    name = str(item.get("id") or "")
    version = sha256(dumps(item, sort_keys=True).encode()).hexdigest()[:16]
    return RawRecord(raw, f"{name}:{version}", name, VENDOR), {_SWEEP: instant(item.get("created_at"))}
