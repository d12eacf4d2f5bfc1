"""Where reading alerts in time order stands, so that nothing is lost and nothing comes twice.

Each sweep (by creation, by change, …) asks again for the last minutes before the newest time it met: alerts become
searchable late and share instants. What was delivered from there is remembered by digest. Times come from the data
alone. Forgetting too early repeats an alert, which its key reveals; nothing here can skip one.
"""

from base64 import urlsafe_b64encode
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import timedelta
from hashlib import blake2b, sha256
from typing import Any

from nightdesk.sdk.context import Context
from nightdesk.sdk.errors import ConfigError, CursorExpiredError, MappingError, Problem
from nightdesk.sdk.moments import instant
from nightdesk.sdk.records import Cursor, Failure, RawRecord

__all__ = ["Position", "Times", "start_of"]

Times = Mapping[str, int | None]
"""By sweep the nanosecond at which that sweep comes upon the record; None when it does not."""

Read = Callable[[Any, bytes], tuple[RawRecord, Times]]

_REMEMBERED = 20_000  # deliveries at most, about 0.4 MB of cursor; older ones may come twice in a flood


def start_of(context: Context, *, hours: float = 24) -> int:
    """The first moment that is read, in nanoseconds: the setting ``start``, else that long ago. Raises ConfigError."""
    text = context.settings.text("start")
    if not text:
        return int((context.clock().timestamp() - hours * 3600) * 1000) * 1_000_000
    moment = instant(text)
    if moment is None:
        raise ConfigError([Problem(context.instance, "start", "write a time like 2026-11-01T00:00:00Z")])
    return moment


class Position:
    """One position in every sweep of a stream; ``dump`` and ``load`` pass it through a cursor."""

    def __init__(
        self, start: int, newest: Mapping[str, int], seen: Mapping[str, Times | None], overlap: timedelta
    ) -> None:
        self._start = start
        self._newest = dict(newest)
        self._seen: dict[str, Times | None] = dict(seen)
        self._overlap = overlap // timedelta(microseconds=1) * 1000

    @classmethod
    def load(
        cls,
        cursor: Cursor | None,
        *,
        start: int,
        sweeps: Sequence[str],
        overlap: timedelta = timedelta(minutes=10),
    ) -> "Position":
        """The position of a stored cursor, or the first one. Raises CursorExpiredError for one that is not ours."""
        if cursor is None:
            return cls(start, dict.fromkeys(sweeps, 0), {}, overlap)
        begin, newest, seen = cursor.get("start"), cursor.get("newest"), cursor.get("seen")
        if (
            not isinstance(newest, Mapping)
            or not isinstance(seen, Sequence)
            or isinstance(seen, str)
            or not all(_whole(moment) for moment in (begin, *(newest.get(name) for name in sweeps)))
        ):
            raise CursorExpiredError("the stored cursor cannot be read; restart from the stored time")
        return cls(int(str(begin)), {name: newest[name] for name in sweeps}, dict.fromkeys(map(str, seen)), overlap)

    def dump(self) -> Cursor:
        """The cursor that is valid once everything taken so far is stored."""
        return {"start": self._start, "newest": dict(self._newest), "seen": list(self._seen)}

    def since(self, sweep: str) -> int:
        """From when on that sweep asks, inclusive: a while before the newest it met, never before the start."""
        return max(self._start, self._newest[sweep] - self._overlap) if self._newest[sweep] else self._start

    def take(self, sweep: str, record: RawRecord, times: Times) -> bool:
        """Moves the sweep to this record; True when this version of it was not delivered before."""
        digest = urlsafe_b64encode(blake2b(record.key.encode("utf-8", "surrogatepass"), digest_size=12).digest())
        mark = digest.decode()
        fresh = mark not in self._seen
        self._seen[mark] = times
        self._newest[sweep] = max(self._newest[sweep], times.get(sweep) or 0)
        return fresh

    def page(
        self, sweep: str, elements: Iterable[tuple[Any, bytes]], read: Read
    ) -> tuple[list[RawRecord], list[Failure]]:
        """What a page holds that was not delivered before; elements that are no object become failures."""
        records: list[RawRecord] = []
        failures: list[Failure] = []
        for number, (item, raw) in enumerate(elements):
            if not isinstance(item, dict):
                error = MappingError("is no alert", pointer=f"/{number}")
                failures.append(Failure(raw, sha256(raw).hexdigest(), error, error.pointer))
                continue
            record, times = read(item, raw)
            if self.take(sweep, record, times):
                records.append(record)
        return records, failures

    def forget(self) -> None:
        """Drops what no sweep can meet again; to be called when all are drained."""
        floors = {sweep: self.since(sweep) for sweep in self._newest}
        kept = {mark: times for mark, times in self._seen.items() if times is not None and _in_reach(times, floors)}
        self._seen = dict(list(kept.items())[-_REMEMBERED:])


def _in_reach(times: Times, floors: Mapping[str, int]) -> bool:
    """Whether any sweep can come upon it again."""
    return any((moment := times.get(sweep)) is not None and moment >= floor for sweep, floor in floors.items()) or not (
        any(moment is not None for moment in times.values())
    )


def _whole(moment: Any) -> bool:
    return isinstance(moment, int) and not isinstance(moment, bool) and moment >= 0
