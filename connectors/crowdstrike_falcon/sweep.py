"""Where the two sweeps over the alerts stand: new ones by creation, changed ones by update.

Each sweep asks again for the last ten minutes (alerts become searchable late and share instants), and what was
delivered from there is remembered by digest. Times come from the data alone and are kept as the vendor's text, which
has nanoseconds. Forgetting too early repeats an alert, which its key reveals; nothing here can skip one.
"""

import re
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from hashlib import blake2b, sha256
from typing import Any

from nightdesk.connectors.crowdstrike_falcon.client import VENDOR, Answer
from nightdesk.sdk.errors import CursorExpiredError, MappingError
from nightdesk.sdk.records import Cursor, Failure, RawRecord

__all__ = ["CREATED", "SWEEPS", "UPDATED", "Position", "instant", "record_of"]

CREATED = "created_timestamp"
UPDATED = "updated_timestamp"
SWEEPS = (CREATED, UPDATED)
OVERLAP = timedelta(minutes=10)
REMEMBERED = 20_000
"""Deliveries remembered at most, about 0.4 MB of cursor; older ones may come twice in a flood."""

_TIME = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9})\d*)?Z")
_Times = tuple[int | None, int | None]


def instant(text: Any) -> int | None:
    """Nanoseconds since 1970 of a Falcon time; None when it is none."""
    found = _TIME.fullmatch(text) if isinstance(text, str) else None
    if found is None:
        return None
    try:
        whole = datetime.strptime(found[1], "%Y-%m-%dT%H:%M:%S").replace(tzinfo=UTC)
    except ValueError:
        return None
    return int(whole.timestamp()) * 1_000_000_000 + int((found[2] or "").ljust(9, "0"))


def record_of(alert: Mapping[str, Any], text: bytes) -> RawRecord:
    """``key`` falls back to the content where an id or a time is missing, so that nothing is dropped here."""
    native_id = str(alert.get("composite_id") or "")
    version = str(alert.get(UPDATED) or "") if native_id else ""
    return RawRecord(text, f"{native_id}:{version or sha256(text).hexdigest()}", native_id, VENDOR)


class Position:
    """One position in both sweeps; ``dump`` and ``load`` pass it through a cursor."""

    def __init__(self, start: str, newest: Mapping[str, str], seen: Mapping[str, _Times | None]) -> None:
        self._start = start
        self._newest = dict(newest)
        self._seen: dict[str, _Times | None] = dict(seen)

    @classmethod
    def load(cls, cursor: Cursor | None, start: str) -> "Position":
        """The position of a stored cursor, or the first one. Raises CursorExpiredError for one that is not ours."""
        if cursor is None:
            return cls(start, dict.fromkeys(SWEEPS, ""), {})
        newest = {name: cursor.get(name) for name in SWEEPS}
        begin, seen = cursor.get("start"), cursor.get("seen")
        times = (begin, *filter(None, newest.values()))
        if not isinstance(seen, list) or None in newest.values() or any(instant(text) is None for text in times):
            raise CursorExpiredError("the stored cursor cannot be read; restart from the stored time")
        return cls(str(begin), {name: str(text) for name, text in newest.items()}, dict.fromkeys(map(str, seen)))

    def dump(self) -> Cursor:
        """The cursor that is valid once everything taken so far is stored."""
        return {"start": self._start, **self._newest, "seen": list(self._seen)}

    def floor(self, sweep: str) -> str:
        """From when on that sweep asks: a while before the newest it met, never before the start."""
        newest = instant(self._newest[sweep])
        begin = instant(self._start) or 0
        if newest is None:
            return self._start
        reach = newest - int(OVERLAP.total_seconds()) * 1_000_000_000
        if reach <= begin:
            return self._start
        return f"{datetime.fromtimestamp(reach // 1_000_000_000, UTC):%Y-%m-%dT%H:%M:%S}Z"

    def take(self, sweep: str, record: RawRecord, alert: Mapping[str, Any]) -> bool:
        """Moves the sweep to this alert; True when this version of it was not delivered before."""
        digest = urlsafe_b64encode(blake2b(record.key.encode(), digest_size=12).digest()).decode()
        fresh = digest not in self._seen
        self._seen[digest] = (instant(alert.get(CREATED)), instant(alert.get(UPDATED)))
        text = alert.get(sweep)
        moment = instant(text)
        if moment is not None and moment > (instant(self._newest[sweep]) or 0):
            self._newest[sweep] = str(text)
        return fresh

    def page(self, sweep: str, answer: Answer) -> tuple[list[RawRecord], list[Failure]]:
        """What a page holds that was not delivered before; elements that are no alert become failures."""
        records: list[RawRecord] = []
        failures: list[Failure] = []
        for number, (alert, text) in enumerate(zip(answer.resources, answer.texts, strict=True)):
            if not isinstance(alert, dict):
                error = MappingError("is no alert", pointer=f"/resources/{number}", source=VENDOR)
                failures.append(Failure(text, sha256(text).hexdigest(), error, error.pointer))
                continue
            record = record_of(alert, text)
            if self.take(sweep, record, alert):
                records.append(record)
        return records, failures

    def forget(self) -> None:
        """Drops what neither sweep can meet again; to be called when both are drained."""
        floors = [instant(self.floor(sweep)) or 0 for sweep in SWEEPS]
        kept = {
            digest: times
            for digest, times in self._seen.items()
            if times is not None
            and any(moment is None or moment >= floor for moment, floor in zip(times, floors, strict=True))
        }
        self._seen = dict(list(kept.items())[-REMEMBERED:])
