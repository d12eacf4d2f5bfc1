"""Alerts by their number, which only grows: what comes after the last one read, in which order, and when it began anew.

Nothing else orders them safely: the server's ``since`` compares when an attack began, and creation times are whole
seconds. There is no paging either, so what the newest hundred do not hold is read one by one.
"""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from nightdesk.connectors.crowdsec.client import MOST, VENDOR, Lapi
from nightdesk.sdk.errors import CursorExpiredError, NotFoundError, ResponseError
from nightdesk.sdk.moments import SECOND, instant
from nightdesk.sdk.records import Batch, Cursor, RawRecord

__all__ = ["Alert", "Numbering", "Position"]

_OPERATION = "pull alerts"
_STILL_WRITTEN = timedelta(minutes=1)
"""A number is given out before its alert is stored; one that is missing for longer will never come."""


@dataclass(frozen=True, slots=True)
class Alert:
    """One alert as the server wrote it. ``created`` is None when it does not say."""

    number: int
    created: int | None
    item: dict[str, Any]
    raw: bytes

    @classmethod
    def of(cls, item: Any, raw: bytes) -> "Alert | None":
        """None for what has no number."""
        number = item.get("id") if isinstance(item, dict) else None
        if not isinstance(number, int) or isinstance(number, bool):
            return None
        return cls(number, instant(item.get("created_at")), item, raw)

    @property
    def record(self) -> RawRecord:
        """An alert never changes; a number that was given anew has another creation time."""
        return RawRecord(self.raw, f"{self.number}:{self.item.get('created_at', '')}", str(self.number))


@dataclass(frozen=True, slots=True)
class Position:
    """The last alert that was read; ``created`` is None while none was. ``latest`` is the latest creation of all."""

    number: int
    created: int | None
    latest: int

    @classmethod
    def load(cls, cursor: Cursor) -> "Position":
        """The position of a stored cursor. Raises CursorExpiredError for one that is not ours."""
        number, created, latest = (cursor.get(name) for name in ("id", "created", "latest"))
        if not isinstance(number, int) or not isinstance(latest, int) or not isinstance(created, int | None):
            raise _expired("the stored cursor cannot be read")
        return cls(number, created, latest)

    def dump(self) -> Cursor:
        """The cursor that is valid once everything up to here is stored."""
        return {"id": self.number, "created": self.created, "latest": self.latest}

    def at(self, alert: Alert) -> "Position":
        """The position once that alert is read too."""
        return Position(alert.number, alert.created, max(self.latest, alert.created or 0))

    def check(self, alert: Alert) -> None:
        """Raises CursorExpiredError for what can only be if the numbers began anew, in a database made anew.

        An alert under our number is another one, or one of a smaller number is younger than all that were read.
        """
        known = None not in {self.created, alert.created}
        if (alert.number == self.number and known and alert.created != self.created) or (
            alert.number < self.number and known and (alert.created or 0) > self.latest
        ):
            raise _expired(f"alert {alert.number} is not the one that was read: the server's database was made anew")


class Numbering:
    """Reads on from a position. ``wanted`` says which alerts are delivered; the others are passed over."""

    def __init__(self, lapi: Lapi, wanted: Callable[[Alert], bool]) -> None:
        self._lapi = lapi
        self._wanted = wanted

    async def first(self, start: int) -> Position | None:
        """Before the oldest alert created at ``start`` (nanoseconds) or later; None while there is no alert at all."""
        age = max(int(self._lapi.now().timestamp()) - start // SECOND, 0) + 1  # inclusive of that second
        before = await self._single(created_before=f"{age}s")
        if before is not None:
            return Position(before.number, before.created, before.created or 0)
        oldest = await self._single(sort="ASC")
        return None if oldest is None else Position(oldest.number - 1, None, 0)

    async def after(self, position: Position, *, limit: int) -> AsyncIterator[Batch]:
        """Everything behind the position, oldest first, ``limit`` numbers a batch."""
        there = await self._newest(position)
        end = max(there, default=0)
        number = position.number
        if end - number >= MOST:
            oldest = await self._single(sort="ASC")  # what was flushed need not be asked for
            number = max(number, oldest.number - 1) if oldest else number
        records: list[RawRecord] = []
        missing, passed = False, 0
        while True:
            number += 1
            # One more than the newest is tried too: once the server's clock was set back, that is not the last.
            alert = there.get(number) or await self._one(number)
            if alert is None and number > end:
                break
            if alert is None:
                missing = True
            elif missing and self._is_young(alert):
                break
            else:
                missing, position = False, position.at(alert)
                if self._wanted(alert):
                    records.append(alert.record)
            passed += 1
            if passed % limit == 0:
                yield Batch(records, position.dump(), more=True)
                records = []
        yield Batch(records, position.dump())

    def _is_young(self, alert: Alert) -> bool:
        now = self._lapi.now()
        return alert.created is not None and alert.created / SECOND > (now - _STILL_WRITTEN).timestamp()

    async def _single(self, **params: Any) -> Alert | None:
        rows = await self._lapi.alerts(_OPERATION, limit=1, **params)
        if not rows:
            return None
        alert = Alert.of(*rows[0])
        if alert is None:
            raise ResponseError("an alert has no whole number as its id", vendor=VENDOR, operation=_OPERATION)
        return alert

    async def _newest(self, position: Position) -> dict[int, Alert]:
        """The newest alerts, back to the position if it is near enough. Raises CursorExpiredError."""
        newest = await self._single()
        if newest is None:
            return {}
        position.check(newest)
        if newest.number <= position.number:
            return {}
        count = newest.number - position.number + 1
        rows = await self._lapi.alerts(_OPERATION, limit=min(count, MOST))
        there = {alert.number: alert for row in rows if (alert := Alert.of(*row)) is not None}
        last = there.get(position.number)
        if last is None and position.created is not None:
            last = await self._one(position.number)
        if last is not None:
            position.check(last)
        return {newest.number: newest, **there}

    async def _one(self, number: int) -> Alert | None:
        try:
            return Alert.of(*await self._lapi.alert(number, _OPERATION))
        except NotFoundError:
            return None


def _expired(what: str) -> CursorExpiredError:
    return CursorExpiredError(f"{what}; restart from the stored time", vendor=VENDOR, operation=_OPERATION)
