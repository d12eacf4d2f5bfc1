"""Incidents, listed by their last change, each delivered with its alerts and artifacts."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from hashlib import sha256
from typing import Any

from nightdesk.connectors.paloalto_cortex_xdr.client import ALERTS_VIEW, VENDOR, Cortex
from nightdesk.connectors.paloalto_cortex_xdr.units import EDIT, Element, Page, cut_out, millis, page_of
from nightdesk.sdk.errors import NotFoundError, RejectedError
from nightdesk.sdk.moments import instant
from nightdesk.sdk.records import RawRecord
from nightdesk.sdk.sweep import Times

__all__ = ["Incidents"]


class Incidents:
    """Incidents by ``modification_time``, each with its alerts and artifacts."""

    sweep = "changed"

    def __init__(self, cortex: Cortex) -> None:
        self._cortex = cortex

    async def page(self, since: int, offset: int, size: int) -> Page:
        """See ``Unit.page``."""
        answer = await self._cortex.ask(
            "v1/incidents/get_incidents/",
            {
                "filters": [{"field": "modification_time", "operator": "gte", "value": since}],
                "search_from": offset,
                "search_to": offset + size,
                "sort": {"field": "modification_time", "keyword": "asc"},
            },
            operation="pull incidents",
            scope=ALERTS_VIEW,
            repeatable=True,
        )
        return page_of(answer, "incidents", "modification_time")

    def record(self, item: Any, raw: bytes) -> tuple[RawRecord, Times]:
        """See ``Unit.record``."""
        incident = _inside(item)
        native_id, moment = str(incident.get("incident_id") or ""), incident.get("modification_time")
        version = str(moment) if native_id and moment is not None else sha256(raw).hexdigest()
        return RawRecord(raw, f"{native_id}:{version}", native_id, VENDOR), {self.sweep: instant(millis(moment), "ms")}

    async def filled(self, records: Sequence[RawRecord]) -> list[RawRecord]:
        """See ``Unit.filled``: one call for the alerts and artifacts of all of them; what is gone stays as listed."""
        ids = [record.native_id for record in records if record.native_id]
        full = {_inside(item).get("incident_id"): raw for item, raw in await self._extra(ids)} if ids else {}
        return [replace(record, payload=full.get(record.native_id, record.payload)) for record in records]

    async def read(self, native_id: str) -> Element:
        """See ``Unit.read``. Incidents are asked for by text."""
        if not native_id:
            raise RejectedError("no incident is named", vendor=VENDOR, operation="read incident")
        for item, raw in await self._extra([native_id]):
            if str(_inside(item).get("incident_id")) == native_id:
                return item, raw
        raise NotFoundError(f"no incident {native_id}", vendor=VENDOR, operation="read incident")

    def word(self, item: Mapping[str, Any]) -> Any:
        """See ``Unit.word``."""
        return _inside(item).get("status")

    def said(self, item: Mapping[str, Any], mark: str) -> bool:
        """See ``Unit.said``: the comment of its resolution shows, others do not."""
        return mark in str(_inside(item).get("resolve_comment"))

    async def change(self, native_id: str, status: str, comment: str) -> None:
        """See ``Unit.change``. A comment that comes with a resolution is the resolution's own."""
        changes: dict[str, Any] = {"status": status} if status else {}
        if comment and status.startswith("resolved"):
            changes["resolve_comment"] = comment
        elif comment:
            changes["comment"] = {"comment_action": "add", "value": comment}
        answer = await self._cortex.ask(
            "v1/incidents/update_incident/",
            {"incident_id": native_id, "update_data": changes},
            operation="update incident",
            scope=EDIT,
        )
        if answer.reply is not True:
            raise answer.broken("the reply does not say that the incident was changed")

    async def _extra(self, ids: Sequence[str]) -> list[Element]:
        answer = await self._cortex.ask(
            "v1/incidents/get_multiple_incidents_extra_data/",
            {
                "filters": [{"field": "incident_id_list", "operator": "in", "value": list(ids)}],
                "search_from": 0,
                "search_to": len(ids),
            },
            operation="read incidents",
            scope=ALERTS_VIEW,
            repeatable=True,
        )
        return cut_out(answer, "incidents")


def _inside(item: Any) -> Mapping[str, Any]:
    """The incident itself; extra data wraps it."""
    found = item.get("incident") if isinstance(item, dict) else None
    return found if isinstance(found, dict) else item if isinstance(item, dict) else {}
