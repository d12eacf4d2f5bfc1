"""What the tenant's own index of indicators says of an entity: by its value, by networks, by patterns."""

import ipaddress
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal

from nightdesk.autonomy.sharing import TLP, strictest
from nightdesk.hub.enrichment.config import IndicatorsConfig
from nightdesk.hub.enrichment.indicators import POLLED, address_of
from nightdesk.hub.enrichment.patterns import compiled, matches
from nightdesk.hub.store import Store
from nightdesk.hub.store import enrichment as rows
from nightdesk.sdk.case import Entity, EntityKind
from nightdesk.sdk.enrichment import Enrichment, EnrichmentStatus, IntelFact

__all__ = ["IntelIndex"]

_KINDS = frozenset(
    {
        EntityKind.ADDRESS,
        EntityKind.DOMAIN,
        EntityKind.URL,
        EntityKind.FILE,
        EntityKind.EMAIL,
        EntityKind.ACCOUNT,
    }
)
_REMEMBERED = 20_000  # entities whose patterns were asked since the index last changed
_LABELS = 10
_VERDICTS: tuple[Literal["malicious", "suspicious", "benign"], ...] = ("malicious", "suspicious", "benign")
_Hit = Mapping[str, Any]


@dataclass(slots=True)
class _Loaded:
    """What is more than values, ready to be asked."""

    at: datetime
    networks: list[tuple[int, int, int, _Hit]] = field(default_factory=list)
    patterns: dict[EntityKind, list[tuple[Any, _Hit]]] = field(default_factory=dict)
    asked: OrderedDict[str, tuple[_Hit, ...]] = field(default_factory=OrderedDict)


class IntelIndex:
    """One index. ``problems``: how many patterns were left out because there are too many."""

    def __init__(self, source: str, config: IndicatorsConfig, store: Store) -> None:
        self.kinds = _KINDS
        self.problems: tuple[str, ...] = ()
        self._source = source
        self._config = config
        self._store = store
        self._loaded: dict[str, _Loaded] = {}

    def know(self, tenant: str, entities: Sequence[Entity], now: datetime) -> Mapping[str, Enrichment]:
        """What the indicators say of these; an index that was never read, or not lately, is no answer."""
        with self._store.read() as conn:
            polled = rows.kept(conn, tenant, self._source, [POLLED]).get(POLLED)
            keys = {address_of(key): entity for entity in entities for key in _spellings(entity)}
            found = rows.kept(conn, tenant, self._source, keys)
        if polled is None:
            reason = "the index was not read yet"
            return {
                one.key: Enrichment(one.key, "", EnrichmentStatus.PENDING, now, 0.0, reason=reason) for one in entities
            }
        loaded = self._ready(tenant, polled.fetched_at)
        late = now - polled.fetched_at > timedelta(seconds=self._config.ttl_seconds)
        by_entity: dict[str, list[_Hit]] = {}
        for address, row in found.items():
            entity = keys[address]
            by_entity.setdefault(entity.key, []).extend(
                hit for hit in row.body["hits"].values() if not hit["pattern"] or _means(hit["pattern"], entity)
            )
        answers: dict[str, Enrichment] = {}
        for entity in entities:
            hits = [*by_entity.get(entity.key, ()), *_by_pattern(loaded, entity)]
            facts = _facts([hit for hit in hits if _holds(hit, now)])
            status = EnrichmentStatus.OK if facts else EnrichmentStatus.NOTHING
            reason = ""
            if late:
                status, reason = EnrichmentStatus.STALE, f"not brought up to date for {self._config.ttl_seconds:g} s"
            answers[entity.key] = Enrichment(
                entity.key, "", status, polled.fetched_at, self._config.ttl_seconds, facts, reason
            )
        return answers

    def _ready(self, tenant: str, at: datetime) -> _Loaded:
        known = self._loaded.get(tenant)
        if known is not None and known.at == at:
            return known
        made = _Loaded(at)
        most = self._config.max_patterns
        with self._store.read() as conn:
            listed = rows.starting_with(conn, tenant, self._source, "~", limit=most + 1)
        for row in listed[:most]:
            if row.body["network"]:
                network = ipaddress.ip_network(row.body["network"])
                first, last = int(network.network_address), int(network.broadcast_address)
                made.networks.append((network.version, first, last, row.body))
                continue
            pattern = compiled(row.body["pattern"])
            for kind in row.body["kinds"] if pattern is not None else ():
                made.patterns.setdefault(EntityKind(kind), []).append((pattern, row.body))
        self.problems = (f"more than {most} patterns; the rest is not asked",) if len(listed) > most else ()
        self._loaded[tenant] = made
        return made


def _spellings(entity: Entity) -> set[str]:
    """The keys under which patterns may name it."""
    keys = {entity.key, f"{entity.kind}:{entity.value.lower()}"}
    if entity.kind is EntityKind.ACCOUNT and entity.facts.get("uid"):
        keys.add(f"account:{entity.facts['uid'].lower()}")
    return keys


def _by_pattern(loaded: _Loaded, entity: Entity) -> Iterable[_Hit]:
    known = loaded.asked.get(entity.key)
    if known is None:
        hits = [hit for pattern, hit in loaded.patterns.get(entity.kind, ()) if matches(pattern, entity)]
        known = loaded.asked[entity.key] = (*hits, *_in_networks(loaded, entity))
        while len(loaded.asked) > _REMEMBERED:
            loaded.asked.popitem(last=False)
    return known


def _in_networks(loaded: _Loaded, entity: Entity) -> list[_Hit]:
    if entity.kind is not EntityKind.ADDRESS:
        return []
    try:
        address = ipaddress.ip_address(entity.value)
    except ValueError:
        return []
    number = int(address)
    return [
        hit for version, first, last, hit in loaded.networks if version == address.version and first <= number <= last
    ]


def _means(pattern: str, entity: Entity) -> bool:
    ready = compiled(pattern)
    return ready is not None and matches(ready, entity)


def _holds(hit: _Hit, now: datetime) -> bool:
    begins, ends = hit["from"], hit["until"]
    return not (begins and datetime.fromisoformat(begins) > now) and not (ends and datetime.fromisoformat(ends) <= now)


def _facts(hits: Sequence[_Hit]) -> tuple[IntelFact, ...]:
    """One fact a verdict: how many, the newest, the surest, the strictest marking."""
    made = []
    for verdict in _VERDICTS:
        of_it = [hit for hit in hits if hit["verdict"] == verdict]
        if not of_it:
            continue
        sure = [hit["confidence"] for hit in of_it if hit["confidence"] is not None]
        marks = [hit["tlp"] for hit in of_it if hit["tlp"]]
        made.append(
            IntelFact(
                verdict=verdict,
                by=of_it[0]["by"],
                count=len(of_it),
                newest=max(datetime.fromisoformat(hit["modified"]) for hit in of_it),
                confidence=max(sure) if sure else None,
                tlp=strictest(TLP, *marks) if marks else "",
                labels=tuple(dict.fromkeys(hit["name"] for hit in of_it if hit["name"]))[:_LABELS],
            )
        )
    return tuple(made)
