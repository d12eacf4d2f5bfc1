"""What the engines say of a thing, as one verdict; kept for a while, because each look-up costs quota."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from nightdesk.connectors.virustotal.client import VirusTotal
from nightdesk.connectors.virustotal.places import Place, place_of
from nightdesk.connectors.virustotal.privacy import Privacy
from nightdesk.sdk.context import Clock, Settings
from nightdesk.sdk.moments import SECOND, instant, iso
from nightdesk.sdk.ports import Opinion
from nightdesk.sdk.targets import Target

__all__ = ["Opinions"]

_KEPT = 10_000  # opinions at most
_NOISE = 3  # engines; fewer are wrong too often
_VOICES = 10  # engines that must have had a look before silence means anything
_ANSWERS = ("malicious", "suspicious", "harmless", "undetected")


class Opinions:
    """Opinions of one key."""

    def __init__(self, api: VirusTotal, settings: Settings, clock: Clock) -> None:
        self._api = api
        self._clock = clock
        self._privacy = Privacy(settings.text("internal_domains"))
        self._threshold = max(_NOISE, settings.integer("threshold", 5))
        self._stale = timedelta(days=settings.integer("stale_days", 90))
        self._keep = timedelta(hours=settings.integer("cache_hours", 4))
        self._kept: dict[str, tuple[datetime, Opinion]] = {}

    async def of(self, target: Target) -> Sequence[Opinion]:
        """One opinion, or none when it is not known there or must not be sent. Raises UnsupportedError."""
        place = place_of(target, self._privacy)
        if place is None:
            return []
        kept = self._kept.get(target.key)
        if kept is not None and self._clock() < kept[0]:
            return [kept[1]]
        found = await self._api.find(place.collection, place.object_id, "enrich")
        if found is None:
            return []
        opinion = self._opinion(place, found)
        self._kept.pop(target.key, None)
        self._kept[target.key] = self._clock() + self._keep, opinion
        while len(self._kept) > _KEPT:
            del self._kept[next(iter(self._kept))]
        return [opinion]

    def _opinion(self, place: Place, found: Mapping[str, Any]) -> Opinion:
        stats = found.get("last_analysis_stats")
        counts = {name: _count(stats.get(name)) if isinstance(stats, Mapping) else 0 for name in _ANSWERS}
        analysed = instant(found.get("last_analysis_date"), "s")
        is_stale = analysed is None or self._clock().timestamp() - analysed / SECOND > self._stale.total_seconds()
        voices = sum(counts.values())
        labels = [*_texts(found.get("tags")), *_threat(found), *(["stale"] if is_stale else [])]
        evidence = {
            "last_analysis_stats": stats,
            "last_analysis_date": None if analysed is None else iso(analysed),
            "reputation": found.get("reputation"),
            "gti_assessment": found.get("gti_assessment"),
        }
        return Opinion(
            "VirusTotal",
            self._verdict(counts, is_stale=is_stale),
            self._clock(),
            score=round(100 * counts["malicious"] / voices) if voices else None,
            labels=tuple(dict.fromkeys(labels)),
            link=place.link,
            evidence={name: value for name, value in evidence.items() if value is not None},
            hits=counts["malicious"] + counts["suspicious"],
            newest=None if analysed is None else datetime.fromtimestamp(analysed // SECOND, UTC),
        )

    def _verdict(self, counts: Mapping[str, int], *, is_stale: bool) -> str:
        if counts["malicious"] >= self._threshold:
            return "malicious"
        accused = counts["malicious"] + counts["suspicious"]
        if accused >= _NOISE:
            return "suspicious"
        if accused == 0 and sum(counts.values()) >= _VOICES and not is_stale:
            return "benign"
        return "unknown"


def _count(value: Any) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else 0


def _texts(value: Any) -> list[str]:
    return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []


def _threat(found: Mapping[str, Any]) -> list[str]:
    named = found.get("popular_threat_classification")
    label = named.get("suggested_threat_label") if isinstance(named, Mapping) else None
    return [label] if isinstance(label, str) and label else []
