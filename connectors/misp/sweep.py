"""Where reading attributes stands: two sweeps, each of which moves only when it has come to its end.

By ``timestamp`` an attribute comes when it was edited; but an event that is published or synchronised later brings old
ones, so events are followed by ``publish_timestamp`` too. MISP does not order by either, so a sweep that broke off is
made again from its start, and what was delivered of it is dropped.
"""

from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Any

from nightdesk.sdk.moments import SECOND, instant
from nightdesk.sdk.records import Cursor, Failure, RawRecord
from nightdesk.sdk.sweep import Position, Times
from nightdesk.sdk.triage import is_ours

__all__ = ["CHANGED", "PUBLISHED", "Sweeps", "record_of"]

CHANGED, PUBLISHED = "changed", "published"


class Sweeps:
    """Both sweeps of one pull."""

    def __init__(self, cursor: Cursor | None, *, start: int) -> None:
        self._position = Position.load(cursor, start=start, sweeps=(CHANGED, PUBLISHED))
        self._met: dict[str, dict[str, int | None]] = {}

    def since(self, sweep: str) -> int:
        """From which second on to ask, inclusive."""
        return self._position.since(sweep) // SECOND

    def page(
        self, sweep: str, elements: Sequence[tuple[Any, bytes]], published: Mapping[str, int] | None = None
    ) -> tuple[list[RawRecord], list[Failure]]:
        """What a page brings, without what we published ourselves.

        ``published`` says when each event was, by its id and in nanoseconds.
        """
        own: set[str] = set()

        def read(item: Any, raw: bytes) -> tuple[RawRecord, Times]:
            record = record_of(item, raw)
            if is_ours(str(item.get("comment") or "")):
                own.add(record.key)
            moments = self._met.setdefault(record.key, {})
            if sweep == CHANGED:
                moments[CHANGED] = instant(item.get("timestamp"), "s")
            else:
                moments[PUBLISHED] = (published or {}).get(str(item.get("event_id")))
            return record, {CHANGED: None, PUBLISHED: None}

        records, failures = self._position.page(sweep, elements, read)
        return [record for record in records if record.key not in own], failures

    def complete(self, sweep: str) -> None:
        """This sweep was read to its end: the next one goes on behind it."""
        for key, moments in self._met.items():
            if sweep in moments:
                self._position.take(sweep, RawRecord(b"", key), moments)

    def forget(self) -> None:
        """Drops what neither sweep can meet again; to be called when both are complete."""
        self._position.forget()

    def dump(self) -> Cursor:
        """The cursor that is valid once everything given so far is stored."""
        return self._position.dump()


def record_of(item: Mapping[str, Any], raw: bytes) -> RawRecord:
    """One version of one attribute: deletion does not always change the timestamp."""
    uuid = item.get("uuid")
    if not isinstance(uuid, str) or not uuid:
        return RawRecord(raw, sha256(raw).hexdigest())
    deleted = "|deleted" if is_set(item.get("deleted")) else ""
    return RawRecord(raw, f"{uuid}|{item.get('timestamp')}{deleted}", uuid)


def is_set(value: Any) -> bool:
    """Whether a flag is set: MISP writes true, 1 and "1"."""
    return str(value).lower() in {"1", "true"}
