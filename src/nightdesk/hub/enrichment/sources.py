"""From configured sources to what answers: each tenant has its own, and shares none of them."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

from nightdesk.hub.enrichment.allow_list import AllowList
from nightdesk.hub.enrichment.config import (
    AllowListConfig,
    AssetsCsvConfig,
    IdentitiesCsvConfig,
    IndicatorsConfig,
    InventoryConfig,
    OpinionsConfig,
    OtherConfig,
    VerdictsConfig,
)
from nightdesk.hub.enrichment.indicators import Indexer
from nightdesk.hub.enrichment.intel_index import IntelIndex
from nightdesk.hub.enrichment.inventory import Inventory
from nightdesk.hub.enrichment.opinions import Opinions
from nightdesk.hub.enrichment.settings import EnrichmentSettings, SourceSettings
from nightdesk.hub.enrichment.tables import table
from nightdesk.hub.enrichment.verdicts import Verdicts
from nightdesk.hub.registry import Registry
from nightdesk.hub.store import Store
from nightdesk.sdk.case import EntityKind
from nightdesk.sdk.context import Clock, Context, Network, Sleep
from nightdesk.sdk.enrichment import Enricher, Knowledge
from nightdesk.sdk.manifest import Audience, Manifest

__all__ = ["Bound", "Source", "World", "sources_of"]


class Bound(Protocol):
    """What is asked of the tenant's bindings."""

    def connector(self, tenant: str, name: str) -> Any:
        """The connector of that instance, built at its first use."""
        ...

    def instance(self, tenant: str, name: str) -> Any:
        """Its settings: ``manifest`` and ``shares``."""
        ...


@dataclass(frozen=True, slots=True)
class World:
    """What sources are built from."""

    store: Store
    bound: Bound
    registry: Registry
    network: Network
    clock: Clock
    sleep: Sleep


@dataclass(frozen=True, slots=True)
class Source:
    """One source of one tenant, at work: it is asked (``enricher``) or it knows (``knowledge``)."""

    settings: SourceSettings
    kinds: frozenset[EntityKind]
    enricher: Enricher | None = None
    knowledge: Knowledge | None = None
    indexer: Indexer | None = None
    own_product: bool = False
    signed: bool = False
    """Its entries may answer what others accuse: it verifies signatures."""

    @property
    def name(self) -> str:
        """As configured."""
        return self.settings.name

    @property
    def required(self) -> bool:
        """Whether no machine closes without its answer."""
        return self.settings.config.required

    @property
    def audience(self) -> Audience:
        """Who learns of what is asked."""
        return self.enricher.audience if self.enricher is not None else "none"

    @property
    def problems(self) -> tuple[str, ...]:
        """What people have to hear of it."""
        told: tuple[str, ...] = getattr(self.knowledge, "problems", ())
        return told

    def is_asked(self, kind: EntityKind) -> bool:
        """Whether it is asked about such things."""
        wanted = self.settings.config.entities
        return kind in self.kinds and (wanted is None or kind in wanted)


def sources_of(tenant: str, settings: EnrichmentSettings, world: World) -> Mapping[str, Source]:
    """The tenant's sources by name, in the order of the file. Raises ConfigError."""
    return {one.name: _made(tenant, one, world) for one in settings.sources}


def _made(tenant: str, one: SourceSettings, world: World) -> Source:
    config = one.config
    if isinstance(config, AssetsCsvConfig | IdentitiesCsvConfig):
        return _known(one, table(one.folder, config))
    if isinstance(config, VerdictsConfig):
        return _known(one, Verdicts(world.store, config.days, config.ttl_seconds))
    if isinstance(config, AllowListConfig):
        listed = AllowList(one.folder / config.file, one.trusted, config.ttl_seconds)
        return Source(one, listed.kinds, knowledge=listed, signed=True)
    if isinstance(config, OtherConfig):
        context = Context(tenant, one.name, one.values, world.network, clock=world.clock, sleep=world.sleep)
        made = world.registry.enricher(config.kind, context)
        return _known(one, made) if isinstance(made, Knowledge) else Source(one, made.kinds, enricher=made)
    instance = world.bound.instance(tenant, config.connector)
    manifest: Manifest = instance.manifest
    connector = partial(world.bound.connector, tenant, config.connector)
    if isinstance(config, InventoryConfig):
        inventory = Inventory(connector, manifest, instance.shares)
        return Source(one, inventory.kinds, enricher=inventory, own_product=True)
    if isinstance(config, OpinionsConfig):
        opinions = Opinions(connector, manifest, instance.shares)
        return Source(one, opinions.kinds, enricher=opinions)
    assert isinstance(config, IndicatorsConfig)
    index = IntelIndex(one.name, config, world.store)
    indexer = Indexer(tenant, one.name, config, manifest, connector, world.store, world.clock)
    return Source(one, index.kinds, knowledge=index, indexer=indexer)


def _known(one: SourceSettings, knowledge: Knowledge) -> Source:
    return Source(one, knowledge.kinds, knowledge=knowledge)
