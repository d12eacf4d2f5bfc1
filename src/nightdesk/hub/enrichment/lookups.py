"""Asks sources over the network: one question of a kind at a time, so many at once, so long, and not while they fail.

Nothing here runs inside a transaction of the store. Answers are kept in the tenant's rows, the newest also in memory;
an error is kept for a short while too, so that a source that is down is not asked by every alert.
"""

import asyncio
import threading
from collections import Counter, OrderedDict, defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import replace

import structlog
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from nightdesk.hub.enrichment.answers import bounded, from_row, newest, to_row, unsigned
from nightdesk.hub.enrichment.breaker import Breaker
from nightdesk.hub.enrichment.config import InventoryConfig, OpinionsConfig, OtherConfig
from nightdesk.hub.enrichment.sources import Source
from nightdesk.hub.store import Store
from nightdesk.hub.store import enrichment as rows
from nightdesk.sdk.case import Entity
from nightdesk.sdk.context import Clock, Sleep
from nightdesk.sdk.enrichment import Enrichment, EnrichmentStatus, Fact
from nightdesk.sdk.errors import (
    NightdeskError,
    NotFoundError,
    RejectedError,
    ResponseError,
    UnavailableError,
    UnsupportedError,
)

__all__ = ["Lookups"]

_log = structlog.get_logger(__name__)
_RETRY = 30.0  # seconds that an error counts
_BETWEEN = 1.0  # seconds before the same question is put again
_REMEMBERED = 20_000  # answers in memory
_FLYING = 5_000  # questions that wait or are out, of all tenants
_Name = tuple[str, str, str]
"""Tenant, source, entity: the tenant is first here too (law 3)."""


class Lookups:
    """Every tenant's questions. ``ask`` and ``cached`` may be called from any thread."""

    def __init__(self, store: Store, *, clock: Clock, sleep: Sleep, landed: Callable[[str, Enrichment], None]) -> None:
        """``landed`` hears of every answer, in the event loop's thread."""
        self._store = store
        self._clock = clock
        self._sleep = sleep
        self._landed = landed
        self._guard = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._flying: dict[_Name, Future[Enrichment]] = {}
        self._recent: OrderedDict[_Name, Enrichment] = OrderedDict()
        self._unsaved: dict[_Name, Enrichment] = {}
        self._saving: asyncio.Task[None] | None = None
        self._turns: dict[tuple[str, str], asyncio.Semaphore] = {}
        self._breakers: defaultdict[tuple[str, str], Breaker] = defaultdict(Breaker)
        self.counts: Counter[tuple[str, str, str]] = Counter()
        """Answers by tenant, source and status, since the start."""

    def attach(self, loop: asyncio.AbstractEventLoop) -> None:
        """Questions are put in this loop from now on; what another one had in the air is gone with it."""
        with self._guard:
            if loop is not self._loop:
                self._loop, self._flying, self._turns, self._saving = loop, {}, {}, None

    def cached(
        self, conn: Connection, tenant: str, sources: Iterable[Source], keys: Collection[str]
    ) -> dict[tuple[str, str], Enrichment]:
        """By source and entity the newest answers, fresh or not."""
        found: dict[tuple[str, str], Enrichment] = {}
        for source in sources:
            for key, row in rows.kept(conn, tenant, source.name, keys).items():
                answer = from_row(row)
                if answer is not None:
                    found[source.name, key] = answer
            with self._guard:
                for key in keys:
                    recent = newest(found.get((source.name, key)), self._recent.get((tenant, source.name, key)))
                    if recent is not None:
                        found[source.name, key] = recent
        return found

    def ask(
        self, tenant: str, source: Source, entity: Entity, before: Enrichment | None = None
    ) -> "Future[Enrichment] | None":
        """Puts the question, unless it is out already; None when nobody can put it now.

        ``before`` is the answer that it would renew: an error keeps its facts.
        """
        name = (tenant, source.name, entity.key)
        with self._guard:
            known = self._flying.get(name)
            if known is not None:
                return known
            loop = self._loop
            if loop is None or not loop.is_running() or len(self._flying) >= _FLYING:
                return None
            made = asyncio.run_coroutine_threadsafe(self._look_up(name, source, entity, before), loop)
            self._flying[name] = made
            return made

    def flying(self, tenant: str, source: str) -> int:
        """How many questions to that source are out or wait."""
        with self._guard:
            return sum(name[:2] == (tenant, source) for name in self._flying)

    def broken(self, tenant: str, source: str) -> bool:
        """Whether the source is left alone for failing."""
        found = self._breakers.get((tenant, source))
        return found is not None and found.open_until is not None

    async def settle(self) -> None:
        """Waits until nothing is out any more and every answer is stored."""
        while True:
            with self._guard:
                out = list(self._flying.values())
            if not out:
                break
            await asyncio.gather(*map(asyncio.wrap_future, out), return_exceptions=True)
        if self._saving is not None:
            await self._saving

    async def _look_up(self, name: _Name, source: Source, entity: Entity, before: Enrichment | None) -> Enrichment:
        try:
            config = source.settings.config
            assert isinstance(config, InventoryConfig | OpinionsConfig | OtherConfig)
            turns = self._turns.setdefault(name[:2], asyncio.Semaphore(config.concurrency))
            async with turns:
                answer = await self._asked(name, source, entity, config)
            if not answer.answered and before is not None and before.facts:
                answer = replace(answer, facts=before.facts)
            self._keep(name, answer)
            return answer
        finally:
            with self._guard:
                self._flying.pop(name, None)

    async def _asked(
        self, name: _Name, source: Source, entity: Entity, config: InventoryConfig | OpinionsConfig | OtherConfig
    ) -> Enrichment:
        breaker = self._breakers[name[:2]]
        refused = breaker.refuses(self._clock())
        if refused:
            return self._said(name, EnrichmentStatus.ERROR, reason=refused)
        for left in range(config.attempts - 1, -1, -1):
            answer, error = await self._once(name, source, entity, config.timeout_seconds)
            if error is None:
                breaker.succeeded()
            elif not isinstance(error, RejectedError | UnsupportedError | ResponseError):
                breaker.failed(error, self._clock())  # those three say something of the question, not of the source
            if not left or not isinstance(error, UnavailableError | TimeoutError):
                break
            await self._sleep(_BETWEEN)
        if not answer.answered:
            return answer
        return replace(answer, ttl=config.ttl_seconds if answer.facts else config.negative_ttl_seconds)

    async def _once(
        self, name: _Name, source: Source, entity: Entity, seconds: float
    ) -> tuple[Enrichment, Exception | None]:
        """One question, and what went wrong with it."""
        assert source.enricher is not None
        facts: Sequence[Fact]
        try:
            async with asyncio.timeout(seconds):
                facts = await source.enricher.look_up(entity)
        except NotFoundError:
            facts = ()
        except TimeoutError:
            text = f"no answer within {seconds:g} s"
            return self._said(name, EnrichmentStatus.TIMEOUT, reason=text), TimeoutError(text)
        except NightdeskError as error:
            return self._said(name, EnrichmentStatus.ERROR, reason=str(error)), error
        except Exception as error:  # noqa: BLE001  # isolation point: a plugin's; its text may hold secrets
            _log.exception("enricher broke", tenant=name[0], source=name[1])
            text = f"the enricher broke with {type(error).__name__}: tell its author"
            return self._said(name, EnrichmentStatus.ERROR, reason=text), error
        kept = bounded(unsigned(facts))
        status = EnrichmentStatus.OK if kept else EnrichmentStatus.NOTHING
        return self._said(name, status, facts=kept), None

    def _said(
        self, name: _Name, status: EnrichmentStatus, *, facts: tuple[Fact, ...] = (), reason: str = ""
    ) -> Enrichment:
        return Enrichment(name[2], name[1], status, self._clock(), _RETRY, facts, reason[:300])

    def _keep(self, name: _Name, answer: Enrichment) -> None:
        """In memory at once, in the store soon."""
        with self._guard:
            self._recent[name] = answer
            self._recent.move_to_end(name)
            while len(self._recent) > _REMEMBERED:
                self._recent.popitem(last=False)
            self._unsaved[name] = answer
        self.counts[name[0], name[1], answer.status] += 1
        if self._saving is None or self._saving.done():
            self._saving = asyncio.get_running_loop().create_task(self._save())
        self._landed(name[0], answer)

    async def _save(self) -> None:
        while True:
            with self._guard:
                batch, self._unsaved = self._unsaved, {}
            if not batch:
                return
            try:
                await asyncio.to_thread(self._store.transact, lambda conn, batch=batch: _put(conn, batch))
            except DBAPIError as error:
                # It is still in memory, and can be asked again: a store that is busy must not stop the questions.
                _log.warning("answers not stored", count=len(batch), problem=type(error).__name__)
                return


def _put(conn: Connection, batch: Mapping[_Name, Enrichment]) -> None:
    by_tenant: defaultdict[str, list[rows.Row]] = defaultdict(list)
    for (tenant, _, _), answer in batch.items():
        by_tenant[tenant].append(to_row(answer))
    for tenant, listed in sorted(by_tenant.items()):
        rows.put(conn, tenant, listed)
