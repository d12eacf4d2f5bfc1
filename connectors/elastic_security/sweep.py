"""Reads alerts in time order without loss or repetition: what was seen in the overlap is kept with the position."""

import json
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from typing import Any, Self

import orjson

from nightdesk.connectors.elastic_security.answers import VENDOR, incomplete
from nightdesk.connectors.elastic_security.cluster import Cluster
from nightdesk.sdk.errors import CursorExpiredError, ResponseError, VendorError
from nightdesk.sdk.records import Cursor, Failure, RawRecord

__all__ = ["SWEEPS", "Position", "Snapshot", "Sweep", "drain", "field_of", "key_of", "record_of", "restore"]

Found = tuple[str, Mapping[str, Any]]
"""A hit with the key of its version."""

_SEEN_MOST = 50_000  # beyond it the oldest are sent again, which the hub drops by their key
_VERSION_FIELDS = tuple(
    f"kibana.alert.{name}"
    for name in (
        "workflow_status",
        "workflow_status_updated_at",
        "workflow_tags",
        "workflow_assignee_ids",
        "workflow_reason",
        "suppression.docs_count",
        "suppression.end",
    )
)


@dataclass(frozen=True, slots=True)
class Sweep:
    """One pass over the alerts: ordered by ``date``, only those that have the field ``has``."""

    name: str
    date: str
    has: str = ""

    def concerns(self, hit: Mapping[str, Any]) -> bool:
        """True when this sweep would come upon the hit as well."""
        source = hit.get("_source")
        return isinstance(source, dict) and field_of(source, self.has or self.date) is not None


SWEEPS = (
    Sweep("created", "@timestamp"),
    # A status change and a suppressed repetition leave @timestamp alone: each has its own time.
    Sweep("workflow", "kibana.alert.workflow_status_updated_at"),
    Sweep("suppressed", "kibana.alert.last_detected", has="kibana.alert.suppression.docs_count"),
)


@dataclass(frozen=True, slots=True)
class Position:
    """Where a sweep stands: the newest time read, and digests of what was read within the overlap, by their time."""

    at: str = ""
    seen: Mapping[str, Sequence[str]] = field(default_factory=dict)

    def since(self, overlap: timedelta, start: str) -> str:
        """The inclusive lower bound of the next read."""
        if not self.at:
            return start
        return f"{(_time(self.at) - overlap).isoformat(timespec='microseconds').removesuffix('+00:00')}Z"

    def advance(self, hits: Sequence[Mapping[str, Any]], overlap: timedelta) -> tuple[list[Found], "Position"]:
        """The hits not seen before, and the position after all of them."""
        known = {digest for digests in self.seen.values() for digest in digests}
        seen = {time: list(digests) for time, digests in self.seen.items()}
        fresh = []
        for hit in hits:
            key = key_of(hit)
            digest = blake2b(key.encode("utf-8", "surrogatepass"), digest_size=12).hexdigest()
            if digest not in known:
                known.add(digest)
                seen.setdefault(_sort(hit)[0], []).append(digest)
                fresh.append((key, hit))
        newest = max((self.at, *(_sort(hit)[0] for hit in hits)), key=_time)
        floor = _time(newest) - overlap
        kept = {time: digests for time, digests in seen.items() if _time(time) >= floor}
        surplus = sum(map(len, kept.values())) - _SEEN_MOST
        for time in sorted(kept, key=_time)[:-1] if surplus > 0 else ():
            surplus -= len(kept.pop(time))
            if surplus <= 0:
                break
        return fresh, Position(newest, kept)


@dataclass(frozen=True, slots=True)
class Step:
    """One page's unseen hits with their keys, and the position once they are stored."""

    hits: Sequence[Found]
    position: Position
    more: bool


class Snapshot:
    """A point in time over the alerts: use it with ``async with``, so that the cluster is always freed of it."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._id = ""

    async def __aenter__(self) -> Self:
        await self.reopen()
        return self

    async def __aexit__(self, *_: object) -> None:
        with suppress(VendorError):  # an unclosed snapshot ends by itself after its keep-alive
            await self._cluster.close_snapshot(self._id)

    async def reopen(self) -> None:
        """Takes a new one after the old one has expired."""
        self._id = await self._cluster.open_snapshot()

    async def page(
        self, sweep: Sweep, *, since: str, after: Sequence[Any] | None, size: int
    ) -> Sequence[Mapping[str, Any]]:
        """The next hits; the newest id of the snapshot goes on. Raises UnavailableError when shards are missing."""
        filters: list[Mapping[str, Any]] = [{"range": {sweep.date: {"gte": since}}}]
        if sweep.has:
            filters.append({"exists": {"field": sweep.has}})
        page = await self._cluster.page(self._id, field=sweep.date, filters=filters, after=after, size=size)
        self._id = page.snapshot
        if not page.complete:
            raise incomplete("search alerts")
        return page.hits


async def drain(
    snapshot: Snapshot, sweep: Sweep, position: Position, *, size: int, overlap: timedelta, start: str
) -> AsyncGenerator[Step]:
    """Every unseen alert of the sweep, oldest first."""
    after: Sequence[Any] | None = None
    since = position.since(overlap, start)
    reopened = False
    while True:
        try:
            hits = await snapshot.page(sweep, since=since, after=after, size=size)
        except CursorExpiredError:
            if reopened:
                raise
            # The consumer was slower than the snapshot lives: go on from what it has already been given.
            await snapshot.reopen()
            reopened, after, since = True, None, position.since(overlap, start)
            continue
        reopened = False
        if not hits:
            return
        after = _sort(hits[-1])
        fresh, position = position.advance(hits, overlap)
        full = len(hits) >= size
        if fresh:
            yield Step(fresh, position, full)
        if not full:
            return


def restore(cursor: Cursor | None) -> dict[str, Position]:
    """The positions that a stored cursor holds. Raises CursorExpiredError when it is none of ours."""
    try:
        positions = {name: Position(str(raw["at"]), dict(raw["seen"])) for name, raw in (cursor or {}).items()}
        for position in positions.values():
            _time(position.at)
    except (AttributeError, KeyError, TypeError, ValueError, ResponseError) as error:
        text = "the stored cursor cannot be read; drop it to start from the setting start"
        raise CursorExpiredError(text, vendor=VENDOR, operation="pull alerts") from error
    return positions


def record_of(key: str, hit: Mapping[str, Any], product: str) -> RawRecord | Failure:
    """One hit as a record; a hit that lacks its id or its document is kept as a failure."""
    payload = _bytes({name: hit[name] for name in ("_id", "_index", "_source") if name in hit})
    if not isinstance(hit.get("_id"), str) or not isinstance(hit.get("_source"), dict):
        error = ResponseError("a hit has no _id or no _source", vendor=VENDOR, operation="search alerts")
        return Failure(payload, key, error)
    return RawRecord(payload, key, hit["_id"], product)


def key_of(hit: Mapping[str, Any]) -> str:
    """Identifies this version of the alert: what a workflow change or a suppressed repetition alters is part of it."""
    source = hit.get("_source")
    values = (
        [field_of(source, name) for name in _VERSION_FIELDS] if isinstance(source, dict) else [_bytes(source).hex()]
    )
    return f"{hit.get('_id', '')}:{blake2b(_bytes(values), digest_size=8).hexdigest()}"


def field_of(source: Mapping[str, Any], path: str) -> Any:
    """A field, whether its dotted name is flattened, nested or a mixture of both."""
    if path in source:
        return source[path]
    for at, letter in enumerate(path):
        inner = source.get(path[:at]) if letter == "." else None
        if isinstance(inner, dict):
            found = field_of(inner, path[at + 1 :])
            if found is not None:
                return found
    return None


def _bytes(value: Any) -> bytes:
    try:
        return orjson.dumps(value)
    except TypeError:
        # Half a surrogate pair or a number beyond 64 bits: legal JSON that the fast encoder refuses.
        return json.dumps(value, separators=(",", ":")).encode()


def _sort(hit: Mapping[str, Any]) -> Sequence[Any]:
    values = hit.get("sort")
    if not isinstance(values, list) or len(values) != 2 or not isinstance(values[0], str):
        raise ResponseError("a hit has no sort values to go on from", vendor=VENDOR, operation="search alerts")
    return values


def _time(text: str) -> datetime:
    """A time of the cluster; digits below a microsecond are cut, which only lowers a bound."""
    if not text:
        return datetime.fromisoformat("0001-01-01T00:00:00Z")
    try:
        parsed = datetime.fromisoformat(text)
    except ValueError as error:
        raise ResponseError("a sort value is no time", vendor=VENDOR, operation="search alerts") from error
    return parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)
