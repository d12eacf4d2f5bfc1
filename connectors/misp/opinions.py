"""What an instance knows of a value: its warninglists first, then its attributes for detection."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from nightdesk.connectors.misp.client import Misp
from nightdesk.connectors.misp.sweep import is_set
from nightdesk.connectors.misp.values import is_about, value_of
from nightdesk.sdk.context import Clock
from nightdesk.sdk.moments import SECOND, instant
from nightdesk.sdk.ports import Opinion
from nightdesk.sdk.targets import Target
from nightdesk.sdk.triage import is_ours

__all__ = ["Opinions"]

_MOST = 500  # attributes that one opinion is made of
_OPERATION = "enrich"


class Opinions:
    """Opinions of one instance."""

    def __init__(self, misp: Misp, clock: Clock) -> None:
        self._misp = misp
        self._clock = clock

    async def of(self, target: Target) -> Sequence[Opinion]:
        """One opinion, or none. Raises UnsupportedError."""
        value = value_of(target)
        lists = await self._misp.warninglists(value, _OPERATION)
        if lists:
            return [Opinion("MISP", "benign", self._clock(), labels=tuple(lists), evidence={"warninglists": lists})]
        found = await self._misp.attributes(
            _OPERATION,
            value=[value],
            deleted=0,
            enforceWarninglist=True,
            includeContext=True,
            includeEventTags=True,
            includeDecayScore=True,
            page=1,
            limit=_MOST,
        )
        rows = [
            row
            for row, _ in found
            # What we published ourselves is no second voice.
            if isinstance(row, dict) and is_about(row, value) and not is_ours(str(row.get("comment") or ""))
        ]
        return [self._opinion(rows)] if rows else []

    def _opinion(self, rows: Sequence[Mapping[str, Any]]) -> Opinion:
        for_detection = [row for row in rows if is_set(row.get("to_ids"))]
        fresh = [row for row in for_detection if not _is_decayed(row)]
        verdict = "malicious" if fresh else "unknown" if for_detection else "suspicious"
        tags = sorted({str(tag.get("name")) for row in rows for tag in _list(row.get("Tag")) if tag.get("name")})
        marks = tuple(tag for tag in tags if tag.lower().startswith("tlp:"))
        labels = [tag for tag in tags if not tag.lower().startswith("tlp:")]
        event_ids = sorted({str(row.get("event_id")) for row in rows})
        evidence = {
            "attributes": len(rows),
            "for_detection": len(for_detection),
            "decayed": len(for_detection) - len(fresh),
            "events": event_ids[:20],
            "categories": sorted({str(row.get("category")) for row in rows}),
            "tlp": list(marks),
        }
        link = f"{self._misp.base_url}/events/view/{event_ids[0]}"
        return Opinion(
            "MISP", verdict, self._clock(), labels=tuple(labels), link=link, evidence=evidence,
            hits=len(rows), newest=_newest(rows), markings=marks,
        )  # fmt: skip


def _newest(rows: Sequence[Mapping[str, Any]]) -> datetime | None:
    """When the newest attribute was changed."""
    times = [found for row in rows if (found := instant(row.get("timestamp"), "s")) is not None]
    return datetime.fromtimestamp(max(times) // SECOND, UTC) if times else None


def _is_decayed(row: Mapping[str, Any]) -> bool:
    """Whether every model that scores it says that it is past its time; without a model nothing decays."""
    scores = _list(row.get("decay_score"))
    return bool(scores) and all(is_set(score.get("decayed")) for score in scores)


def _list(value: Any) -> list[dict[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []
