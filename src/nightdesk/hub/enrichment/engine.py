"""Enrichment of cases: what is known of their entities when they are decided, and who hears when more is known.

A page waits for answers no longer than its bound, and a case is decided on what is there then: it is escalated at once,
and is not closed while an answer is missing. When the answers have come, the case is decided again.
"""

import asyncio
import concurrent.futures
import threading
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, fields, replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import structlog
from sqlalchemy import Connection

from nightdesk.autonomy.enrichment.gate import refusal
from nightdesk.hub.config import TenantSettings
from nightdesk.hub.enrichment.answers import bounded, is_fresh, stale, unsigned
from nightdesk.hub.enrichment.lookups import Lookups
from nightdesk.hub.enrichment.settings import EnrichmentSettings
from nightdesk.hub.enrichment.sources import Source, World, sources_of
from nightdesk.hub.store import enrichment as rows
from nightdesk.sdk.case import Alert, Case, CaseStatus, Entity
from nightdesk.sdk.enrichment import ASKABLE, AllowFact, Enrichment, EnrichmentStatus
from nightdesk.sdk.errors import NightdeskError

__all__ = ["Enrichments", "Known", "View"]

_log = structlog.get_logger(__name__)
_KEPT = timedelta(days=30)
"""How long an answer is kept after it stopped counting: until then its facts still raise caution, marked stale."""
_TOLD = 20  # missing answers that a decision names
_SOONEST = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class Known:
    """What a decision gets to see; the fields are those of ``DecisionContext``."""

    enrichment: tuple[Enrichment, ...] = ()
    allowed: Mapping[str, tuple[AllowFact, ...]] = field(default_factory=dict)
    missing: tuple[str, ...] = ()
    pending: tuple[str, ...] = ()
    pending_until: datetime | None = None

    def for_context(self) -> dict[str, Any]:
        """As keywords of a ``DecisionContext``."""
        return {one.name: getattr(self, one.name) for one in fields(self)}


NOTHING_KNOWN = Known()


class Enrichments:
    """Every tenant's sources. ``prepare``, ``view`` and ``ready`` belong to the pipeline's thread."""

    def __init__(
        self, tenants: Mapping[str, TenantSettings], world: World, *, wake: Callable[[], None] = lambda: None
    ) -> None:
        """Builds the sources; raises ConfigError for one that cannot be. ``wake``: a case can be decided again."""
        self._tenants = {slug: one for slug, one in tenants.items() if one.enrichment.sources}
        self._world = world
        self._wake = wake
        self.sources = {slug: sources_of(slug, one.enrichment, world) for slug, one in self._tenants.items()}
        self.lookups = Lookups(world.store, clock=world.clock, sleep=world.sleep, landed=self._landed)
        self._guard = threading.Lock()
        self._waiting: defaultdict[tuple[str, str, str], set[str]] = defaultdict(set)
        self._ready: defaultdict[str, set[str]] = defaultdict(set)
        self._polled: dict[tuple[str, str], datetime] = {}
        self._problems: dict[tuple[str, str], tuple[str, ...]] = {}

    def has(self, tenant: str) -> bool:
        """Whether anything is asked about that tenant's cases."""
        return tenant in self._tenants

    def settings_of(self, tenant: str) -> EnrichmentSettings:
        """That tenant's, which must have some."""
        return self._tenants[tenant].enrichment

    # The pipeline's thread.

    def prepare(self, tenant: str, alerts: Sequence[Alert]) -> None:
        """Asks what a page of alerts will need, and waits for it as long as the tenant lets a page wait."""
        if tenant not in self._tenants:
            return
        things = _things(entity for alert in alerts for entity in alert.entities)
        with self._world.store.read() as conn:
            asked = self._remote(conn, tenant, things)
        out = [one.future for one in asked.values() if one.future is not None]
        concurrent.futures.wait(out, timeout=self._tenants[tenant].enrichment.wait)

    def view(self, conn: Connection, tenant: str, cases: Sequence[Case]) -> "View":
        """What is known of these cases' entities now; nobody is waited for."""
        if tenant not in self._tenants:
            return View(self, tenant, {}, {}, {})
        most = self._tenants[tenant].enrichment.max_entities
        by_case = {case.case_id: _things(case.entities)[:most] for case in cases}
        things = _things(entity for listed in by_case.values() for entity in listed)
        now = self._world.clock()
        known: dict[tuple[str, str], Enrichment] = {}
        for name, source in self.sources[tenant].items():
            if source.knowledge is None:
                continue
            wanted = [entity for entity in things if source.is_asked(entity.kind)]
            for key, answer in source.knowledge.know(tenant, wanted, now).items():
                facts = answer.facts if source.signed else unsigned(answer.facts)
                known[name, key] = replace(answer, source=name, facts=bounded(facts))
        return View(self, tenant, by_case, known, self._remote(conn, tenant, things))

    def ready(self) -> dict[str, set[str]]:
        """By tenant the cases that answers have come for since the last time."""
        with self._guard:
            found, self._ready = dict(self._ready), defaultdict(set)
        return found

    def expect(self, tenant: str, case_id: str, names: Sequence[tuple[str, str]]) -> None:
        """That case is decided again when one of these (source, entity) is answered."""
        with self._guard:
            for source, key in names:
                self._waiting[tenant, source, key].add(case_id)

    def _remote(self, conn: Connection, tenant: str, things: Sequence[Entity]) -> dict[tuple[str, str], "_Asked"]:
        """Every answer of sources that are asked over a network; questions without a fresh one are put."""
        settings = self._tenants[tenant]
        now = self._world.clock()
        asked = [source for source in self.sources[tenant].values() if source.enricher is not None]
        cached = self.lookups.cached(conn, tenant, asked, [entity.key for entity in things]) if asked else {}
        found: dict[tuple[str, str], _Asked] = {}
        for source in asked:
            for entity in things:
                if not source.is_asked(entity.kind):
                    continue
                why = refusal(entity, source.audience, settings.scope.tlp, settings.pap, own_product=source.own_product)
                name = (source.name, entity.key)
                known = cached.get(name)
                if why:
                    refused = Enrichment(entity.key, source.name, EnrichmentStatus.REFUSED, now, reason=why)
                    found[name] = _Asked(refused, None)
                elif known is not None and is_fresh(known, now):
                    told = known if known.answered or not known.facts else stale(known, known.reason)
                    found[name] = _Asked(told, None)
                else:
                    found[name] = self._put(tenant, source, entity, known, now)
        return found

    def _put(self, tenant: str, source: Source, entity: Entity, known: Enrichment | None, now: datetime) -> "_Asked":
        future = self.lookups.ask(tenant, source, entity, known)
        if known is not None and known.facts:
            return _Asked(stale(known, "its time is over, and it is asked for again"), future, out=True)
        pending = Enrichment(entity.key, source.name, EnrichmentStatus.PENDING, now)
        return _Asked(pending, future, out=True)

    # The event loop's thread.

    def _landed(self, tenant: str, answer: Enrichment) -> None:
        with self._guard:
            waiting = self._waiting.pop((tenant, answer.source, answer.entity), None)
            if not waiting:
                return
            self._ready[tenant] |= waiting
        self._wake()

    def attach(self) -> None:
        """Questions are put in the running loop from now on."""
        if self._tenants:
            self.lookups.attach(asyncio.get_running_loop())

    async def answers(self, tenant: str, entity: Entity, *, fresh: bool = False) -> tuple[Enrichment, ...]:
        """What every source says of that thing, once each has answered; ``fresh``: asked again in any case."""
        if fresh:
            await asyncio.to_thread(self._forget, tenant, entity)
        with self._world.store.read() as conn:
            self._remote(conn, tenant, [entity])
        await self.lookups.settle()
        now = self._world.clock()
        case = Case(tenant, "", "", CaseStatus.NEW, 0, now, now, (_about(tenant, entity, now),))
        with self._world.store.read() as conn:
            return self.view(conn, tenant, [case]).of(case, now, now).enrichment

    def _forget(self, tenant: str, entity: Entity) -> None:
        asked = [name for name, source in self.sources[tenant].items() if source.enricher is not None]

        def work(conn: Connection) -> None:
            for name in asked:
                rows.forget(conn, tenant, name, [entity.key])

        self._world.store.transact(work)

    def note(self, tenant: str, source: str, problem: str) -> None:
        """Keeps what is wrong with an index."""
        self._problems[tenant, f"{source} index"] = (problem,)

    async def settle(self) -> None:
        """Polls what is due and waits until no question is out: for those who work until nothing is left."""
        if not self._tenants:
            return
        await asyncio.gather(*(self._poll(tenant, source) for tenant, source in self._due()))
        await self.lookups.settle()

    async def run(self, stop: asyncio.Event) -> None:
        """Keeps the indexes up to date, and the store free of what no longer counts, until stopped."""
        purged: datetime | None = None
        while self._tenants and not stop.is_set():
            await asyncio.gather(*(self._poll(tenant, source) for tenant, source in self._due()))
            now = self._world.clock()
            if purged is None or now - purged > timedelta(hours=1):
                purged = now
                await asyncio.to_thread(self._purge, now)
            with suppress(TimeoutError):
                async with asyncio.timeout(self._next(now).total_seconds()):
                    await stop.wait()

    def _due(self) -> list[tuple[str, Source]]:
        now = self._world.clock()
        return [
            (tenant, source)
            for tenant, sources in self.sources.items()
            for name, source in sources.items()
            if source.indexer is not None
            and now
            >= self._polled.get((tenant, name), now)
            + (source.indexer.every if (tenant, name) in self._polled else timedelta(0))
        ]

    def _next(self, now: datetime) -> timedelta:
        waits = [
            self._polled[tenant, name] + source.indexer.every - now
            for tenant, sources in self.sources.items()
            for name, source in sources.items()
            if source.indexer is not None and (tenant, name) in self._polled
        ]
        return max(_SOONEST, min([*waits, timedelta(minutes=1)]))

    async def _poll(self, tenant: str, source: Source) -> None:
        assert source.indexer is not None
        self._polled[tenant, source.name] = self._world.clock()
        try:
            changed = await source.indexer.poll()
        except NightdeskError as error:
            self.note(tenant, source.name, str(error))
            _log.warning("indicators", tenant=tenant, source=source.name, problem=str(error))
            return
        self._problems.pop((tenant, f"{source.name} index"), None)
        if changed:
            _log.info("indicators", tenant=tenant, source=source.name, changed=changed)
        with self._guard:
            for name in [name for name in self._waiting if name[:2] == (tenant, source.name)]:
                self._ready[tenant] |= self._waiting.pop(name)
        self._wake()

    def _purge(self, now: datetime) -> None:
        for tenant in self._tenants:
            self._world.store.transact(partial(rows.purge, tenant=tenant, before=now - _KEPT))

    def problems(self, tenant: str) -> dict[str, tuple[str, ...]]:
        """By source what people have to hear: files that broke, lists that expired, patterns set aside."""
        found: dict[str, tuple[str, ...]] = {}
        for name, source in self.sources.get(tenant, {}).items():
            if source.knowledge is not None:
                source.knowledge.know(tenant, (), self._world.clock())
            told = (*source.problems, *self._problems.get((tenant, f"{name} index"), ()))
            if source.indexer is not None and source.indexer.aside:
                why = next(reversed(source.indexer.aside.values()))
                told += (f"{len(source.indexer.aside)} indicators set aside, the last one because {why}",)
            if self.lookups.broken(tenant, name):
                told += ("it fails again and again, and is left alone for a while",)
            if told:
                found[name] = told
        return found

    def numbers(self) -> dict[str, list[dict[str, Any]]]:
        """For metrics: answers since the start by tenant, source and status, and what each source is like now."""
        counts = self.lookups.counts.copy()
        return {
            "answers": [
                {"tenant": tenant, "source": source, "status": status, "number": number}
                for (tenant, source, status), number in sorted(counts.items())
            ],
            "sources": [
                {"tenant": tenant, "source": name, "left_alone": self.lookups.broken(tenant, name),
                 "out": self.lookups.flying(tenant, name)}
                for tenant, sources in self.sources.items()
                for name in sources
            ],
        }  # fmt: skip

    def watch(self, tell: Callable[[str, str, str, str], None], over: Callable[[str, str, str], None]) -> None:
        """Tells the notices what changed since the last look."""
        for tenant in self._tenants:
            now = self.problems(tenant)
            for name in self.sources[tenant]:
                before = self._problems.get((tenant, name), ())
                if now.get(name, ()) == before:
                    continue
                over(tenant, "enrichment", name)
                self._problems[tenant, name] = now.get(name, ())
                for text in now.get(name, ()):
                    tell(tenant, "enrichment", name, text)

    async def aclose(self) -> None:
        """Closes what the sources hold open."""
        for sources in self.sources.values():
            for source in sources.values():
                if source.enricher is not None:
                    await source.enricher.aclose()


@dataclass(frozen=True, slots=True)
class _Asked:
    """An answer as it stands, and the question that is out for a newer one."""

    answer: Enrichment
    future: "concurrent.futures.Future[Enrichment] | None"
    out: bool = False


@dataclass(frozen=True, slots=True)
class View:
    """What was known of some cases at one moment."""

    engine: Enrichments
    tenant: str
    by_case: Mapping[str, Sequence[Entity]]
    known: Mapping[tuple[str, str], Enrichment]
    remote: Mapping[tuple[str, str], _Asked]

    def of(self, case: Case, arrived: datetime, now: datetime) -> Known:
        """What a decision of that case sees, whose last alert arrived then; nothing where nothing is configured."""
        sources = self.engine.sources.get(self.tenant)
        if sources is None:
            return NOTHING_KNOWN
        settings = self.engine.settings_of(self.tenant)
        until = arrived + timedelta(seconds=settings.patience)
        answers: list[Enrichment] = []
        allowed: dict[str, tuple[AllowFact, ...]] = {}
        missing: list[str] = []
        pending: list[str] = []
        expected: list[tuple[str, str]] = []
        things = self.by_case[case.case_id]
        for entity in things:
            for name, source in sources.items():
                if not source.is_asked(entity.kind):
                    continue
                asked = self.remote.get((name, entity.key))
                answer = asked.answer if asked is not None else self.known[name, entity.key]
                answers.append(answer)
                if source.signed:
                    entries = tuple(fact for fact in answer.facts if isinstance(fact, AllowFact))
                    allowed |= {entity.key: (*allowed.get(entity.key, ()), *entries)} if entries else {}
                waits = answer.status is EnrichmentStatus.PENDING or (asked is not None and asked.out)
                if waits:
                    expected.append((name, entity.key))
                if not source.required or (answer.answered and not waits):
                    continue
                told = f"{name} {entity.key}: {answer.status}"
                (pending if waits and now < until else missing).append(told)
        left_out = sum(entity.kind in ASKABLE for entity in case.entities) - len(things)
        if left_out and any(source.required for source in sources.values()):
            missing.append(f"{left_out} more things than are asked about")
        self.engine.expect(self.tenant, case.case_id, expected)
        return Known(tuple(answers), allowed, _shown(missing), _shown(pending), until if pending else None)


def _about(tenant: str, entity: Entity, now: datetime) -> Alert:
    """An alert that names that one thing, for a question that no case asks."""
    return Alert(tenant, "", "", "", "", "", now, now, now, now, entities=(entity,))


def _things(entities: Iterable[Entity]) -> list[Entity]:
    """Each thing once that somebody can know something of; the first mention has its facts."""
    found: dict[str, Entity] = {}
    for entity in entities:
        if entity.kind in ASKABLE:
            found.setdefault(entity.key, entity)
    return list(found.values())


def _shown(texts: Sequence[str]) -> tuple[str, ...]:
    more = (f"and {len(texts) - _TOLD} more",) if len(texts) > _TOLD else ()
    return (*texts[:_TOLD], *more)
