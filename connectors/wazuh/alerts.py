"""Alerts in time order by ``search_after``, the last minutes asked again each time.

``timestamp`` is when a manager raised the alert; shipping adds seconds to hours and nothing says when it was indexed.
No point in time is held on the indexer: the sort values alone say where to go on, so nothing there can expire, and what
appears behind them meanwhile is met by the overlap of the next pull.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

from nightdesk.connectors.wazuh.indexer import VENDOR, Indexer
from nightdesk.connectors.wazuh.options import Options
from nightdesk.connectors.wazuh.responses import MARK
from nightdesk.sdk.context import Clock
from nightdesk.sdk.errors import NotFoundError, RejectedError, ResponseError
from nightdesk.sdk.moments import instant
from nightdesk.sdk.records import Batch, RawRecord
from nightdesk.sdk.sweep import Position, Times

__all__ = ["SWEEP", "Alerts"]

SWEEP = "alerts"
_MILLISECOND = 1_000_000
# _id is what the shipper's batch made of it, and sorting on it is disabled as a rule: the alert's own names instead.
# Ids are unique in one node only.
_SORT: Sequence[Mapping[str, Any]] = (
    {"timestamp": {"order": "asc", "unmapped_type": "date"}},
    *(
        {name: {"order": "asc", "unmapped_type": "keyword", "missing": "_last"}}
        for name in ("id", "manager.name", "cluster.node")
    ),
)


class Alerts:
    """The alerts of one indexer that the options select."""

    def __init__(self, indexer: Indexer, options: Options, clock: Clock) -> None:
        self._indexer = indexer
        self._options = options
        self._clock = clock

    async def since(self, position: Position, *, limit: int) -> AsyncIterator[Batch]:
        """Every alert from the position on that was not delivered before, oldest first."""
        size = min(limit, self._options.page_size)
        query = self._query(position.since(SWEEP) // _MILLISECOND)
        after: list[Any] | None = None
        more = True
        while more:
            body: dict[str, Any] = {"size": size, "track_total_hits": False, "sort": _SORT, "query": query}
            if after is not None:
                body["search_after"] = after
            found = await self._indexer.search(self._options.index, body, "search alerts")
            records, failures = position.page(SWEEP, found.hits, self._read)
            more = len(found.hits) >= size
            if more:
                after = _sort_of(found.hits[-1][0])
            else:
                position.forget()
            yield Batch(records, position.dump(), failures, more)

    async def one(self, native_id: str) -> RawRecord:
        """The alert with that id. Raises NotFoundError, RejectedError when two nodes have one."""
        operation = "read alert"
        body = {"size": 10, "query": {"bool": {"filter": [{"term": {"id": native_id}}]}}}
        found = await self._indexer.search(self._options.index, body, operation)
        records = {
            record.key: record
            for hit, raw in found.hits
            if isinstance(hit, dict)
            for record in (self._read(hit, raw)[0],)
            if record.native_id == native_id
        }
        if not records:
            raise NotFoundError(f"no alert {native_id!r} in {self._options.index}", vendor=VENDOR, operation=operation)
        if len(records) > 1:
            nodes = ", ".join(sorted(key.rpartition(":")[0] for key in records))
            message = f"alert {native_id}: {nodes} each have one of this id, which does not tell them apart"
            raise RejectedError(message, vendor=VENDOR, operation=operation)
        return next(iter(records.values()))

    def _query(self, since: int) -> Mapping[str, Any]:
        filters: list[Mapping[str, Any]] = [{"range": {"timestamp": {"gte": since, "format": "epoch_millis"}}}]
        if self._options.minimum_level:
            filters.append({"range": {"rule.level": {"gte": self._options.minimum_level}}})
        # What agents report of our own commands, and the listings of firewalls that we asked for, are no news.
        ours = [{"exists": {"field": MARK}}, {"term": {"location": self._options.firewall_report}}]
        return {"bool": {"filter": filters, "must_not": ours}}

    def _read(self, hit: Any, raw: bytes) -> tuple[RawRecord, Times]:
        source = hit.get("_source") if isinstance(hit.get("_source"), dict) else {}
        native_id = source.get("id")
        moment = instant(source.get("timestamp"))
        # A manager whose clock is ahead must not draw the bound past what the others have yet to send.
        reached = None if moment is None else min(moment, int(self._clock().timestamp() * 1000) * _MILLISECOND)
        if not isinstance(native_id, str) or not native_id:
            return RawRecord(raw, f"{hit.get('_index')}/{hit.get('_id')}"), {SWEEP: reached}
        names = (_name(source, "manager", "name"), _name(source, "cluster", "node"))
        return RawRecord(raw, f"{'/'.join(filter(None, names))}:{native_id}", native_id), {SWEEP: reached}


def _name(source: Mapping[str, Any], part: str, key: str) -> str:
    inner = source.get(part)
    return str(inner.get(key) or "") if isinstance(inner, dict) else ""


def _sort_of(hit: Any) -> list[Any]:
    values = hit.get("sort") if isinstance(hit, dict) else None
    if not isinstance(values, list) or len(values) != len(_SORT):
        raise ResponseError("a hit has no sort values to go on from", vendor=VENDOR, operation="search alerts")
    return values
