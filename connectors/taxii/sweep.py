"""Where reading a collection stands: it moves only when a sweep has come to its end.

Objects posted together share one ``date_added``, and ``added_after`` is exclusive: going on from the middle of a sweep
by its header skips the rest of them. So a sweep that broke off is made again from its start, and what was delivered of
it is dropped.
"""

import json
from collections.abc import Sequence
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any

from nightdesk.sdk.errors import CursorExpiredError
from nightdesk.sdk.moments import SECOND, iso
from nightdesk.sdk.records import Cursor, Failure, RawRecord
from nightdesk.sdk.sweep import Position, Times

__all__ = ["STIX", "Sweep", "record_of"]

STIX = "application/stix+json;version=2.1"
_ADDED = "added"
_LATE = timedelta(minutes=10)  # a transaction that began before our sweep may end after it
_MICROSECONDS = 6  # digits, as the standard has them


class Sweep:
    """One sweep under way."""

    def __init__(self, position: Position, newest: int) -> None:
        self._position = position
        self._newest = newest
        self._met: dict[str, int] = {}

    @classmethod
    def load(cls, cursor: Cursor | None, *, start: int, now: datetime | None) -> "Sweep":
        """The next sweep. ``now`` is the server's time, None while it is not known.

        The last minutes are read again only while they are the last minutes: a bulk load of one instant would be read
        again for ever.
        """
        if cursor is None:
            return cls(Position.load(None, start=start, sweeps=(_ADDED,), overlap=_LATE), 0)
        newest, position = cursor.get("newest"), cursor.get("position")
        if not isinstance(newest, int) or not isinstance(position, dict):
            raise CursorExpiredError("the stored cursor cannot be read; restart from the stored time")
        settled = now is not None and now.timestamp() - newest / SECOND > _LATE.total_seconds()
        overlap = timedelta(0) if settled else _LATE
        return cls(Position.load(position, start=start, sweeps=(_ADDED,), overlap=overlap), newest)

    @property
    def added_after(self) -> str:
        """From when on to ask, exclusive."""
        return iso(self._position.since(_ADDED), _MICROSECONDS)

    def page(
        self, elements: Sequence[tuple[Any, bytes]], newest: int, author: str
    ) -> tuple[list[RawRecord], list[Failure]]:
        """What a page whose newest object was added at ``newest`` brings, without what this author made."""
        own: set[str] = set()

        def read(item: Any, raw: bytes) -> tuple[RawRecord, Times]:
            record = record_of(item, raw)
            self._met[record.key] = newest
            if item.get("created_by_ref") == author:
                own.add(record.key)
            return record, {_ADDED: None}

        records, failures = self._position.page(_ADDED, elements, read)
        return [record for record in records if record.key not in own], failures

    def complete(self) -> None:
        """Everything was read: the next sweep goes on behind it."""
        for key, moment in self._met.items():
            self._position.take(_ADDED, RawRecord(b"", key), {_ADDED: moment})
            self._newest = max(self._newest, moment)
        self._position.forget()

    def dump(self) -> Cursor:
        """The cursor that is valid once everything given so far is stored."""
        return {"position": self._position.dump(), "newest": self._newest}


def record_of(item: dict[str, Any], raw: bytes) -> RawRecord:
    """One version of one object; a STIX observable has no versions, so its content is its key."""
    native_id = item["id"] if isinstance(item.get("id"), str) else ""
    version = item.get("modified") or item.get("created")
    digest = sha256(json.dumps(item, sort_keys=True).encode()).hexdigest()
    key = f"{native_id}|{version}" if native_id and isinstance(version, str) else f"{native_id}|{digest}"
    return RawRecord(raw, key, native_id, media_type=STIX)
