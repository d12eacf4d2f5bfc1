"""Alerts, listed by when they arrived; their changes show only while the list still reaches back to them."""

from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Any

from nightdesk.connectors.paloalto_cortex_xdr.client import ALERTS_VIEW, VENDOR, Answer, Cortex
from nightdesk.connectors.paloalto_cortex_xdr.units import EDIT, Element, Page, cut_out, millis, page_of
from nightdesk.sdk.errors import NotFoundError, RejectedError
from nightdesk.sdk.moments import instant
from nightdesk.sdk.records import RawRecord
from nightdesk.sdk.sweep import Times

__all__ = ["Alerts"]

_MARKS = ("last_modified_ts", "end_match_attempt_ts", "resolution_status", "severity", "case_id")
"""What moves when an alert changes; it has no version of its own, and its last change is not always stamped."""


class Alerts:
    """Alerts by ``server_creation_time``: what a late agent reports has an old ``creation_time``."""

    sweep = "arrived"

    def __init__(self, cortex: Cortex) -> None:
        self._cortex = cortex

    async def page(self, since: int, offset: int, size: int) -> Page:
        """See ``Unit.page``."""
        answer = await self._list(
            [{"field": "server_creation_time", "operator": "gte", "value": since}],
            search_from=offset,
            search_to=offset + size,
            sort={"field": "server_creation_time", "keyword": "asc"},
        )
        return page_of(answer, "alerts", "local_insert_ts")

    def record(self, item: Any, raw: bytes) -> tuple[RawRecord, Times]:
        """See ``Unit.record``."""
        native_id = str(item.get("alert_id") or "")
        marks = [item.get(name) for name in _MARKS]
        version = "" if native_id and any(each is not None for each in marks) else sha256(raw).hexdigest()
        key = f"{native_id}:{version or ':'.join('' if each is None else str(each) for each in marks)}"
        return RawRecord(raw, key, native_id, VENDOR), {self.sweep: instant(millis(item.get("local_insert_ts")), "ms")}

    async def filled(self, records: Sequence[RawRecord]) -> list[RawRecord]:
        """See ``Unit.filled``: the list has all of it."""
        return list(records)

    async def read(self, native_id: str) -> Element:
        """See ``Unit.read``. Alerts are asked for by number, though they show their ids as text."""
        if not native_id.isdecimal():
            raise RejectedError(f"{native_id!r} is no number of an alert", vendor=VENDOR, operation="read alert")
        answer = await self._list([{"field": "alert_id_list", "operator": "in", "value": [int(native_id)]}])
        for item, raw in cut_out(answer, "alerts"):
            if isinstance(item, dict) and str(item.get("alert_id")) == native_id:
                return item, raw
        raise NotFoundError(f"no alert {native_id}", vendor=VENDOR, operation="read alert")

    def word(self, item: Mapping[str, Any]) -> Any:
        """See ``Unit.word``."""
        return item.get("resolution_status")

    def said(self, item: Mapping[str, Any], mark: str) -> bool:
        """See ``Unit.said``: only the last comment shows."""
        return mark in str(item.get("resolution_comment"))

    async def change(self, native_id: str, status: str, comment: str) -> None:
        """See ``Unit.change``."""
        changes = {name: value for name, value in (("status", status), ("comment", comment)) if value}
        answer = await self._cortex.ask(
            "v1/alerts/update_alerts/",
            {"alert_id_list": [native_id], "update_data": changes},
            operation="update alert",
            scope=EDIT,
        )
        ids = answer.mapping().get("alerts_ids")
        if not isinstance(ids, list) or native_id not in {str(each) for each in ids}:
            raise answer.broken(f"the reply does not name {native_id} among the alerts it changed")

    async def _list(self, filters: Sequence[Mapping[str, Any]], **window: Any) -> Answer:
        return await self._cortex.ask(
            "v2/alerts/get_alerts_multi_events/",
            {"filters": list(filters), **window},
            operation="pull alerts" if window else "read alert",
            scope=ALERTS_VIEW,
            repeatable=True,
        )
