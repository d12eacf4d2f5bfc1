"""Who asks the adviser, and when: about cases that a machine would close, after deciding, and never holding one up.

What comes back is kept by the question it answers; when it sends a case to a person, the case is decided again.
"""

import asyncio
import concurrent.futures
import threading
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import structlog
from sqlalchemy import Connection

from nightdesk.autonomy.adviser.advice import Advice, Unusable, read_answer
from nightdesk.autonomy.adviser.question import question
from nightdesk.autonomy.canonical import fingerprint
from nightdesk.autonomy.decide import CAUTION
from nightdesk.hub.adviser.model import put_question
from nightdesk.hub.adviser.settings import AdviserSettings
from nightdesk.hub.store import Store
from nightdesk.hub.store import enrichment as rows
from nightdesk.sdk.case import Case, Decision, Outcome
from nightdesk.sdk.context import Clock, Network, Sleep
from nightdesk.sdk.errors import NightdeskError

__all__ = ["Counsel"]

_SOURCE = "adviser"
"""Its rows stand among what sources said, under keys that are no entity's."""
_KEPT = timedelta(days=30)
_HOUR = timedelta(hours=1)
_log = structlog.get_logger(__name__)


class Counsel:
    """Every tenant's adviser. ``view``, ``consider`` and ``ready`` belong to the pipeline's thread."""

    def __init__(
        self,
        advisers: Mapping[str, AdviserSettings],
        store: Store,
        *,
        network: Network,
        clock: Clock,
        sleep: Sleep,
        wake: Callable[[], None] = lambda: None,
    ) -> None:
        self._advisers = dict(advisers)
        self._store = store
        self._network = network
        self._clock = clock
        self._sleep = sleep
        self._wake = wake
        self._guard = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._flying: dict[tuple[str, str], concurrent.futures.Future[None]] = {}
        self._turns: dict[str, asyncio.Semaphore] = {}
        self._asked: defaultdict[str, deque[datetime]] = defaultdict(deque)
        self._ready: defaultdict[str, set[str]] = defaultdict(set)
        self.counts: Counter[tuple[str, str]] = Counter()
        """By tenant: answers ``taken``, ``raised``, ``dropped`` or ``failed``, and questions ``not asked``."""

    # The pipeline's thread.

    def view(self, conn: Connection, tenant: str, cases: Sequence[Case]) -> dict[str, Mapping[str, Any]]:
        """By case what the adviser said of exactly these alerts, as a decision's context takes it."""
        adviser = self._advisers.get(tenant)
        if adviser is None:
            return {}
        keys = {_key(case, adviser): case.case_id for case in cases}
        return {keys[key]: row.body for key, row in rows.kept(conn, tenant, _SOURCE, keys).items()}

    def consider(self, tenant: str, cases: Mapping[str, Case], made: Iterable[Decision]) -> None:
        """Asks about those of these cases that a person would not see, unless it was asked already."""
        adviser = self._advisers.get(tenant)
        if adviser is None:
            return
        for decision in made:
            if (
                CAUTION[decision.outcome] < CAUTION[Outcome.ESCALATE]
                and decision.inputs["context"].get("advice") is None
            ):
                self._ask(tenant, adviser, cases[decision.case_id])

    def ready(self) -> dict[str, set[str]]:
        """By tenant the cases that an answer sends to a person, since the last time."""
        with self._guard:
            found, self._ready = dict(self._ready), defaultdict(set)
        return found

    def _ask(self, tenant: str, adviser: AdviserSettings, case: Case) -> None:
        name = (tenant, _key(case, adviser))
        with self._guard:
            loop = self._loop
            if name in self._flying or loop is None or not loop.is_running():
                return
            now, recent = self._clock(), self._asked[tenant]
            while recent and recent[0] <= now - _HOUR:
                recent.popleft()
            if len(recent) >= adviser.per_hour:
                self.counts[tenant, "not asked"] += 1
                return
            recent.append(now)
            self._flying[name] = asyncio.run_coroutine_threadsafe(self._put(name, adviser, case), loop)

    # The event loop's thread.

    def attach(self) -> None:
        """Questions are put in the running loop from now on; what another one had in the air is gone with it."""
        loop = asyncio.get_running_loop()
        with self._guard:
            if loop is not self._loop:
                self._loop, self._flying, self._turns = loop, {}, {}

    async def settle(self) -> None:
        """Waits until no question is out."""
        while True:
            with self._guard:
                out = list(self._flying.values())
            if not out:
                return
            await asyncio.gather(*map(asyncio.wrap_future, out), return_exceptions=True)

    async def _put(self, name: tuple[str, str], adviser: AdviserSettings, case: Case) -> None:
        tenant, key = name
        try:
            async with self._turns.setdefault(tenant, asyncio.Semaphore(adviser.at_once)):
                advice = await self._answered(tenant, adviser, case)
            if advice is None:
                return
            now = self._clock()
            row = rows.Row(_SOURCE, key, advice.verdict, now, now + _KEPT, advice.to_json())
            await asyncio.to_thread(self._store.transact, lambda conn: rows.put(conn, tenant, [row]))
            if advice.raises:
                with self._guard:
                    self._ready[tenant].add(case.case_id)
                self._wake()
        finally:
            with self._guard:
                self._flying.pop(name, None)

    async def _answered(self, tenant: str, adviser: AdviserSettings, case: Case) -> Advice | None:
        asked = question(case, model=adviser.model)
        try:
            output = await put_question(
                tenant, adviser, asked, network=self._network, clock=self._clock, sleep=self._sleep
            )
        except NightdeskError as error:
            self.counts[tenant, "failed"] += 1
            _log.warning("adviser", tenant=tenant, case=case.case_id, problem=str(error))
            return None
        try:
            known = [alert.alert_id for alert in case.alerts]
            advice = read_answer(output, model=adviser.model, prompt=asked, alert_ids=known)
        except Unusable as error:
            self.counts[tenant, "dropped"] += 1
            _log.warning("adviser's answer dropped", tenant=tenant, case=case.case_id, why=str(error))
            return None
        self.counts[tenant, "raised" if advice.raises else "taken"] += 1
        return advice


def _key(case: Case, adviser: AdviserSettings) -> str:
    """The question, and so the very alerts, that an answer is about."""
    return f"question:{fingerprint(question(case, model=adviser.model))}"
