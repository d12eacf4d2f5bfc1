"""The running hub: feeds, pipeline, action engine and HTTP in one process, over one store."""

import asyncio
import hmac
from collections.abc import Mapping
from contextlib import suppress
from functools import partial
from typing import Any

import structlog

from nightdesk.autonomy.actions import Action
from nightdesk.autonomy.engine import Engine
from nightdesk.autonomy.guards import standing_guards
from nightdesk.autonomy.switches import Switch
from nightdesk.hub import switching
from nightdesk.hub.adviser.counsel import Counsel
from nightdesk.hub.api.view import Principal, Role
from nightdesk.hub.approvals.desk import Desk
from nightdesk.hub.approvals.links import Links, Signed
from nightdesk.hub.approvals.notes import Notes
from nightdesk.hub.approvals.settings import rules_of
from nightdesk.hub.bindings import Bindings
from nightdesk.hub.brakes import Brakes
from nightdesk.hub.config import HubSettings
from nightdesk.hub.enrichment.engine import Enrichments
from nightdesk.hub.enrichment.sources import World
from nightdesk.hub.feeds import Feed
from nightdesk.hub.hearing import Hearing
from nightdesk.hub.learning.knowledge import Knowing
from nightdesk.hub.learning.work import Learning
from nightdesk.hub.lookout import HubLookout
from nightdesk.hub.notices import Notices
from nightdesk.hub.noticing import watch_demotions, watch_feeds, watch_floods, watch_sunsets
from nightdesk.hub.openc2.consumer import Consumer
from nightdesk.hub.oversight.office import Office
from nightdesk.hub.oversight.planting import shadow, shadowed
from nightdesk.hub.oversight.rounds import Rounds
from nightdesk.hub.pipeline import Asks, Pipeline
from nightdesk.hub.playbooks.ruled import RuledRuns
from nightdesk.hub.playbooks.service import Playbooks, library_of
from nightdesk.hub.policies.ringwatch import RolloutWatch
from nightdesk.hub.policies.standing import Standing
from nightdesk.hub.policies.telling import Telling
from nightdesk.hub.registry import Registry
from nightdesk.hub.steady import watch_clock
from nightdesk.hub.store import Store, audit
from nightdesk.hub.store.actions import SqlJournal
from nightdesk.hub.tickets import Tickets
from nightdesk.hub.witness import Witness
from nightdesk.sdk.context import Clock, Sleep, utc_now
from nightdesk.sdk.errors import NightdeskError

__all__ = ["Hub"]

_log = structlog.get_logger(__name__)
_IDLE = 0.05
_TICKETS = 15.0  # seconds between two looks at tickets
_ASKING = 0.5  # seconds between two looks at who must be asked
_WITNESSES = 5.0  # seconds between two looks at what second sources saw
_ROUNDS = 2.0  # seconds between two looks at new decisions, for samples, canaries and levels
_WATCH = 60.0  # seconds between two looks at what nobody reports


class Hub:
    """One process. ``run`` works until ``stop``; ``once`` does what there is to do and returns."""

    def __init__(
        self,
        settings: HubSettings,
        registry: Registry,
        store: Store,
        *,
        clock: Clock = utc_now,
        sleep: Sleep = asyncio.sleep,
        idle: float = _IDLE,
    ) -> None:
        self.settings = settings
        self.registry = registry
        self.store = store
        self.clock = clock
        self.bindings = Bindings(settings, registry, clock=clock, sleep=sleep)
        self.notices = Notices(store, clock)
        self.policies = Standing(settings.tenants, store)
        self.policies.refresh()
        self.playbooks = Playbooks(settings, store, library_of(settings), clock, self._attention)
        self.playbooks.policy_of = self.policies.of
        world = World(store, self.bindings, registry, settings.network, clock, sleep)
        self.enrichments = Enrichments(settings.tenants, world, wake=self.wake)
        advisers = {slug: one.adviser for slug, one in settings.tenants.items() if one.adviser is not None}
        self.counsel = Counsel(advisers, store, network=settings.network, clock=clock, sleep=sleep, wake=self.wake)
        self.oversight = Office.of(store, settings.tenants, clock, knowledge=Knowing(clock))
        self.learning = Learning(settings, self.oversight)
        self.pipeline = Pipeline(
            store,
            registry.normalizer(),
            settings.tenants,
            clock=clock,
            on_drift=self._drifted,
            shared=settings.shared,
            policy=self.policies.of,
            ruled=RuledRuns(self.playbooks),
            asks=Asks(self.enrichments, self.counsel, self.learning.weighing, self.bindings.skew),
        )
        self.journal = SqlJournal(store)
        self.brakes = Brakes(store, settings.tenants, settings.brakes, clock)
        self.guards = standing_guards(self.policies)
        self.lookout = HubLookout(settings.tenants, store, self.journal, settings.shared, self.pipeline.rate)
        links = Links(settings.tenants)
        self.engine = Engine(
            self.journal,
            Signed(self.bindings, links),
            clock,
            guards=self.guards,
            lookout=self.lookout,
            shared=settings.shared,
            brake=shadowed(store, self.brakes.clear),
            shadow=shadow(store),
            on_attention=self._attention,
            rules=partial(rules_of, settings.tenants),
        )
        self.feeds = [
            Feed(
                slug,
                instance,
                stream,
                bindings=self.bindings,
                store=store,
                clock=clock,
                wake=self.wake,
                parts=_parts(settings, slug, instance.name),
            )
            for slug, tenant in settings.tenants.items()
            for instance in tenant.instances.values()
            for stream in instance.pulls
        ]
        told = Telling(settings.tenants, self.notices, self.engine)
        self.rollouts = RolloutWatch(store, settings.tenants, self.policies, clock, tell=told)
        self.notes = Notes(settings, self.journal, self.engine, store, clock)
        self.approvals = Desk(
            settings, store, self.journal, self.engine, self.bindings, links=links, notes=self.notes, clock=clock
        )
        self.tickets = Tickets(settings, store, self.bindings, self.engine, self.journal, clock)
        self.rounds = Rounds(self.oversight)
        self.openc2 = Consumer(settings, store, clock, self._attention)
        hearing = Hearing(store, self.bindings, clock)
        self.witness = Witness(
            settings,
            hearing,
            self.engine,
            self.journal,
            clock=clock,
            demote=self._demote,
            attention=self._attention,
        )
        self._idle = idle
        self._begun = clock()
        self._stop = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._work = asyncio.Event()

    # What the HTTP layer asks.

    def receiver(self, tenant: str, instance: str) -> tuple[object, str, str] | None:
        """Where a push to an instance goes: its connector, the stream it receives, the product."""
        settings = self.settings.tenants.get(tenant)
        found = settings.instances.get(instance) if settings else None
        if found is None:
            return None
        streams = found.manifest.receives or found.manifest.pulls
        stream, spec = next(iter(streams.items()))
        return self.bindings.connector(tenant, instance), stream, spec.product

    def authenticate(self, token: str) -> Principal | None:
        """Who holds this token; every token is compared, so time tells nothing."""
        found: Principal | None = None
        for slug, tenant in self.settings.tenants.items():
            for known in tenant.tokens.values():
                with suppress(NightdeskError):
                    if hmac.compare_digest(known.secret.reveal().encode(), token.encode()):
                        found = Principal(slug, known.name, Role(known.role), known.instance)
        return found

    def principal(self, tenant: str, name: str) -> Principal | None:
        """The principal of that name as configured now."""
        settings = self.settings.tenants.get(tenant)
        known = settings.tokens.get(name) if settings else None
        return Principal(tenant, name, Role(known.role), known.instance) if known else None

    def missing(self, switch: Switch) -> str:
        """Why nothing configured could be stopped by that switch, or nothing."""
        return switching.missing(switch, self.settings.tenants, self.policies.rules())

    def health(self) -> Mapping[str, Any]:
        """Every feed as it is, and what was left out."""
        return {
            "feeds": [
                {
                    "tenant": feed.state.tenant,
                    "instance": feed.state.instance,
                    "stream": feed.state.stream,
                    "ok": feed.state.ok,
                    "problem": feed.state.problem,
                    "last_page_at": feed.state.last_page_at,
                }
                for feed in self.feeds
            ],
            "left_out": dict(self.registry.broken),
            "enrichment": self.enrichments.numbers(),
            "notices": [
                {"tenant": one.tenant, "kind": one.kind, "about": one.about, "text": one.text, "since": one.since}
                for one in self.notices.standing()
            ],
        }

    def wake(self) -> None:
        """Something waits; called from any thread."""
        if self._loop is None:
            return
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._work.set)

    # Work.

    async def once(self, *, pull: bool = True) -> int:
        """Pulls every feed once and works until nothing is left that can move now; returns how many moves that was."""
        self._loop = asyncio.get_running_loop()
        self.enrichments.attach()
        self.counsel.attach()
        if pull:
            await asyncio.gather(*(feed.once() for feed in self.feeds))
        moves = 0
        while True:
            progress = await asyncio.to_thread(self.pipeline.step)
            await self.enrichments.settle()
            await self.counsel.settle()
            held = await asyncio.to_thread(self.pipeline.tick)
            again = await asyncio.to_thread(self.rollouts.once)
            moved = await self.engine.run_once() + await self.witness.once()
            moved += await asyncio.to_thread(self.playbooks.step)
            moved += await asyncio.to_thread(self.learning.once) + await asyncio.to_thread(self.rounds.once)
            done = progress.normalised + progress.quarantined + len(held.decided) + moved + again
            if not done:
                return moves
            moves += done

    async def run(self) -> None:
        """Works until ``stop``."""
        self._loop = asyncio.get_running_loop()
        self.enrichments.attach()
        self.counsel.attach()
        tasks = [asyncio.create_task(feed.run(self._stop)) for feed in self.feeds]
        tasks += [
            asyncio.create_task(work)
            for work in (
                self._pipeline(),
                self._engine(),
                self._watch(),
                self._tickets(),
                self._asking(),
                self._witnesses(),
                self.enrichments.run(self._stop),
                self._oversight(),
                self.learning.run(self._stop, self._untrained),
            )
        ]
        try:
            await self._stop.wait()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await self.enrichments.aclose()
            await self.bindings.aclose()

    def stop(self) -> None:
        """Ends ``run`` after what is in flight."""
        self._stop.set()

    async def _pipeline(self) -> None:
        while not self._stop.is_set():
            progress = await self._safely("pipeline", asyncio.to_thread(self.pipeline.step))
            held = await self._safely("holds", asyncio.to_thread(self.pipeline.tick))
            again = await self._safely("rollout", asyncio.to_thread(self.rollouts.once))
            if progress or held or again:
                continue
            self._work.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(0.5):
                    await self._work.wait()

    async def _engine(self) -> None:
        while not self._stop.is_set():
            moved = await self._safely("engine", self.engine.run_once())
            played = await self._safely("playbooks", asyncio.to_thread(self.playbooks.step))
            if not moved and not played:
                await asyncio.sleep(self._idle)

    async def _watch(self) -> None:
        while not self._stop.is_set():
            await self._safely("watch", asyncio.to_thread(self.watch))
            with suppress(TimeoutError):
                async with asyncio.timeout(_WATCH):
                    await self._stop.wait()

    async def _tickets(self) -> None:
        while not self._stop.is_set():
            await self._safely("tickets", self.tickets.once())
            with suppress(TimeoutError):
                async with asyncio.timeout(_TICKETS):
                    await self._stop.wait()

    async def _asking(self) -> None:
        while not self._stop.is_set():
            await self._safely("approvals", asyncio.to_thread(self.notes.once))
            with suppress(TimeoutError):
                async with asyncio.timeout(_ASKING):
                    await self._stop.wait()

    async def _witnesses(self) -> None:
        while not self._stop.is_set():
            await self._safely("witnesses", self.witness.once())
            with suppress(TimeoutError):
                async with asyncio.timeout(_WITNESSES):
                    await self._stop.wait()

    async def _oversight(self) -> None:
        while not self._stop.is_set():
            await self._safely("learning", asyncio.to_thread(self.learning.once))
            if await self._safely("oversight", asyncio.to_thread(self.rounds.once)):
                continue
            with suppress(TimeoutError):
                async with asyncio.timeout(_ROUNDS):
                    await self._stop.wait()

    def watch(self) -> None:
        """Tells what is new since the last look and nobody else would say."""
        now, tenants = self.clock(), self.settings.tenants
        watch_feeds(self.feeds, self._begun, now, self.notices)
        watch_sunsets(tenants, now, self.notices)
        watch_floods(tenants, self.pipeline.rate, self.store, now, self.notices)
        watch_demotions(tenants, self.store, self.notices)
        self.enrichments.watch(self.notices.tell, self.notices.over)
        watch_clock(self.clock, tenants, self.notices)

    def _drifted(self, tenant: str, instance: str, alarm: str) -> None:
        self.notices.tell(tenant, "drift", instance, alarm)

    def _untrained(self, text: str) -> None:
        _log.info("no model was trained", reason=text)

    async def _safely(self, what: str, work: Any) -> Any:
        # Isolation point: one bad page or one bad action is logged and tried again; the rest of the hub goes on.
        try:
            return await work
        except Exception:  # noqa: BLE001  # see above
            _log.exception("step failed", step=what)
            await asyncio.sleep(1.0)
            return None

    def _demote(self, vendor: str, action: Action, evidence: str) -> None:
        """A vendor's word was contradicted: policy no longer uses it, and every tenant that does hears of it."""
        self.brakes.demote(vendor, action.verb, "a second source contradicted it")
        watch_demotions(self.settings.tenants, self.store, self.notices)
        detail = {"vendor": vendor, "verb": action.verb, "action_id": action.action_id, "text": evidence}
        self.store.transact(
            lambda conn: audit.append(
                conn, tenant=action.tenant, at=self.clock(), actor="witness", event="action.demoted", detail=detail
            )
        )

    def _attention(self, action: Action, text: str) -> None:
        """A person is called; the audit keeps it whoever reads it."""
        self.notes.heard(action, text)
        _log.warning("attention", tenant=action.tenant, action=action.action_id, verb=action.verb, text=text)
        detail = {"action_id": action.action_id, "case_id": action.case_id, "text": text}
        self.store.transact(
            lambda conn: audit.append(
                conn, tenant=action.tenant, at=self.clock(), actor="engine", event="action.attention", detail=detail
            )
        )
        self.brakes.after(action)


def _parts(settings: HubSettings, owner: str, account: str) -> dict[str, str]:
    """By tenant the connector that is its part of this account."""
    return {
        slug: name
        for slug, tenant in settings.tenants.items()
        for name, instance in tenant.instances.items()
        if instance.shared == (owner, account)
    }
