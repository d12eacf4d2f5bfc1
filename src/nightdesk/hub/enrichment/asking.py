"""One question to every source of a tenant, outside of a running hub."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass

from nightdesk.hub.bindings import Bindings
from nightdesk.hub.config import HubSettings
from nightdesk.hub.enrichment.engine import Enrichments
from nightdesk.hub.enrichment.sources import World
from nightdesk.hub.registry import Registry
from nightdesk.hub.store import Store
from nightdesk.sdk.case import Entity, EntityKind
from nightdesk.sdk.enrichment import ASKABLE, Enrichment
from nightdesk.sdk.errors import NightdeskError, RejectedError
from nightdesk.sdk.kinds import TargetKind
from nightdesk.sdk.targets import Target

__all__ = ["Asked", "ask_all", "entity_of"]

_TARGETS = frozenset(kind.value for kind in TargetKind) & frozenset(kind.value for kind in ASKABLE)


@dataclass(frozen=True, slots=True)
class Asked:
    """What every source said, and what is wrong with those that should have."""

    answers: tuple[Enrichment, ...]
    problems: Mapping[str, tuple[str, ...]]


def entity_of(text: str) -> Entity:
    """The entity of ``KIND:VALUE``, its value as cases have it. Raises RejectedError that lists the kinds."""
    kind, _, value = text.partition(":")
    if kind not in {one.value for one in ASKABLE} or not value.strip():
        kinds = ", ".join(sorted(ASKABLE))
        raise RejectedError(f"{text!r}: write KIND:VALUE, kind one of {kinds}")
    plain = Target(TargetKind(kind), value).value if kind in _TARGETS else value.strip()
    if kind in {EntityKind.ACCOUNT, EntityKind.EMAIL}:
        plain = plain.lower()
    return Entity(EntityKind(kind), plain)


async def ask_all(
    settings: HubSettings, registry: Registry, store: Store, tenant: str, entity: Entity, *, fresh: bool = False
) -> Asked:
    """Asks every source that is asked about such things; waits for all. ``fresh``: also those that answered before.

    An index of indicators that was never read is read first.
    """
    clock = store.clock
    bindings = Bindings(settings, registry, clock=clock)
    world = World(store, bindings, registry, settings.network, clock, asyncio.sleep)
    engine = Enrichments({tenant: settings.tenants[tenant]}, world)
    try:
        engine.attach()
        for source in engine.sources[tenant].values():
            if source.indexer is None or not (fresh or source.indexer.is_new()):
                continue
            try:
                await source.indexer.poll()
            except NightdeskError as error:
                engine.note(tenant, source.name, str(error))
        answers = await engine.answers(tenant, entity, fresh=fresh)
        problems = engine.problems(tenant)
    finally:
        await engine.aclose()
        await bindings.aclose()
    return Asked(answers, problems)
