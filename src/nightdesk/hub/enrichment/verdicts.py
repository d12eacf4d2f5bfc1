"""What people of the tenant confirmed before about the same thing: counts by rule and verdict, and the newest's age.

Read from the tenant's own store and no other; labels that nobody confirmed are no history.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from sqlalchemy import Connection, select

from nightdesk.hub.store import Store
from nightdesk.hub.store.codec import load, moment, safe_key, stamp
from nightdesk.hub.store.schema import case_entity, verdict_label
from nightdesk.hub.store.sql import chunks
from nightdesk.sdk.case import Entity
from nightdesk.sdk.enrichment import ASKABLE, Enrichment, EnrichmentStatus, VerdictsFact

__all__ = ["Verdicts"]

_MOST = 5000  # labels of one page's things


class Verdicts:
    """The history of one tenant."""

    def __init__(self, store: Store, days: int, ttl: float) -> None:
        self.kinds = ASKABLE
        self.problems: tuple[str, ...] = ()
        self._store = store
        self._remembered = timedelta(days=days)
        self._ttl = ttl

    def know(self, tenant: str, entities: Sequence[Entity], now: datetime) -> Mapping[str, Enrichment]:
        """Confirmed verdicts of cases that name these things."""
        with self._store.read() as conn:
            told = _counted(conn, tenant, [entity.key for entity in entities], now - self._remembered)
        return {
            entity.key: Enrichment(
                entity.key,
                "",
                EnrichmentStatus.OK if entity.key in told else EnrichmentStatus.NOTHING,
                now,
                self._ttl,
                tuple(told.get(entity.key, ())),
            )
            for entity in entities
        }


def _counted(conn: Connection, tenant: str, keys: Sequence[str], since: datetime) -> dict[str, list[VerdictsFact]]:
    """By thing what was confirmed of it: one fact a rule and verdict."""
    by_safe = {safe_key(key): key for key in keys}
    seen: dict[tuple[str, str, str], list[datetime]] = {}
    label, named = verdict_label.c, case_entity.c
    for part in chunks(sorted(by_safe)):
        statement = (
            select(named.entity_key, label.unit, label.at, label.body)
            .join_from(case_entity, verdict_label, (label.tenant == named.tenant) & (label.case_id == named.case_id))
            .where(
                named.tenant == tenant,
                named.entity_key.in_(part),
                label.state == "confirmed",
                label.at >= stamp(since),
            )
            .order_by(label.at.desc())
            .limit(_MOST)
        )
        for row in conn.execute(statement):
            verdict = load(row.body).get("verdict")
            if isinstance(verdict, str):
                seen.setdefault((by_safe[row.entity_key], row.unit, verdict), []).append(moment(row.at))
    found: dict[str, list[VerdictsFact]] = {}
    for (key, rule, verdict), times in sorted(seen.items()):
        found.setdefault(key, []).append(VerdictsFact(rule, verdict, len(times), max(times)))
    return found
