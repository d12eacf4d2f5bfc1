"""Pulls every stream of every bound connector: page by page into the inbox, cursor in the same transaction.

One feed's trouble stays its own: it is named in ``FeedState``, shown by /healthz, and tried again as its error says.
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog
from sqlalchemy import Connection

from nightdesk.hub.bindings import Bindings
from nightdesk.hub.config import InstanceSettings
from nightdesk.hub.routes import sort_out
from nightdesk.hub.store import Store, intake
from nightdesk.sdk.context import Clock
from nightdesk.sdk.errors import (
    AuthError,
    CursorExpiredError,
    NightdeskError,
    RateLimitError,
    ScopeError,
    UnsupportedError,
)
from nightdesk.sdk.ports import Pulls
from nightdesk.sdk.records import Batch

__all__ = ["Feed", "FeedState"]

_log = structlog.get_logger(__name__)
_PAGE = 500
_BACKOFF_MOST = 300.0
_STOPPED = 900.0
_EXPIRED_MOST = 3
"""Times in a row that a vendor may call our place expired before the feed begins anew."""


@dataclass(slots=True)
class FeedState:
    """How one feed is; ``problem`` is empty while it works."""

    tenant: str
    instance: str
    stream: str
    ok: bool = True
    problem: str = ""
    failures: int = 0
    received: int = 0
    last_page_at: datetime | None = None
    last_alert_at: datetime | None = None


class Feed:
    """One stream of one instance."""

    def __init__(
        self,
        tenant: str,
        instance: InstanceSettings,
        stream: str,
        *,
        bindings: Bindings,
        store: Store,
        clock: Clock,
        wake: Callable[[], None],
        parts: Mapping[str, str] | None = None,
    ) -> None:
        """``parts``: by tenant the name of the connector that is its part of this account."""
        self.state = FeedState(tenant, instance.name, stream)
        self._parts = dict(parts or {})
        self._instance = instance
        self._bindings = bindings
        self._store = store
        self._clock = clock
        self._wake = wake

    @property
    def silent_after(self) -> timedelta:
        """How long no alert may come before people are told."""
        return self._instance.silent_after

    async def drain(self) -> int:
        """Pulls until the vendor has nothing more; returns the records received. Raises NightdeskError."""
        state = self.state
        connector = self._bindings.connector(state.tenant, state.instance)
        if not isinstance(connector, Pulls):
            raise UnsupportedError(f"{state.instance}: {state.stream} is declared, but the connector does not pull")
        with self._store.read() as conn:
            cursor = intake.cursor(conn, state.tenant, state.instance, state.stream)
        count = 0
        async for batch in connector.pull(state.stream, cursor, limit=_PAGE):
            stored = await asyncio.to_thread(self._keep, batch)
            count += stored.received
            state.received += stored.received
            state.last_page_at = self._clock()
            if stored.received > stored.duplicate:
                state.last_alert_at = state.last_page_at
            if stored.waiting:
                self._wake()
        return count

    def _keep(self, batch: Batch) -> intake.PageStored:
        """Stores the page and moves the cursor in one transaction; of a shared account, each part at its tenant."""
        if not self._instance.routes:
            with self._store.begin() as conn:
                return self._store_at(conn, self.state.tenant, self.state.instance, batch)
        routed = sort_out(batch, self._instance.routes)
        with self._store.begin() as conn:
            stored = [
                self._store_at(conn, self.state.tenant, self.state.instance, Batch((), batch.cursor, routed.nobodys))
            ]
            for tenant, records in routed.by_tenant.items():
                part = self._parts.get(tenant, self.state.instance)
                stored.append(self._store_at(conn, tenant, part, Batch(records, None)))
        return intake.PageStored(*map(sum, zip(*stored, strict=True)))

    def _store_at(self, conn: Connection, tenant: str, instance: str, batch: Batch) -> intake.PageStored:
        return intake.store_page(
            conn,
            tenant=tenant,
            instance=instance,
            stream=self.state.stream,
            product=self._instance.manifest.pulls[self.state.stream].product,
            batch=batch,
            received_at=self._clock(),
        )

    async def run(self, stop: asyncio.Event) -> None:
        """Drains, waits, drains again, until stopped."""
        while not stop.is_set():
            delay = await self.once()
            try:
                async with asyncio.timeout(delay.total_seconds()):
                    await stop.wait()
            except TimeoutError:
                continue

    async def once(self) -> timedelta:
        """One drain; says how long to wait until the next."""
        state = self.state
        try:
            await self.drain()
        except NightdeskError as error:
            state.ok, state.problem = False, str(error)
            state.failures += 1
            _log.warning("feed", tenant=state.tenant, instance=state.instance, stream=state.stream, problem=str(error))
            return timedelta(seconds=self._wait(error))
        except Exception as error:  # noqa: BLE001  # see below
            # Isolation point: a broken connector must not stop the other feeds; its text may hold secrets.
            state.ok, state.problem = False, f"the connector broke with {type(error).__name__}: tell its author"
            state.failures += 1
            _log.exception("feed broke", tenant=state.tenant, instance=state.instance, stream=state.stream)
            return timedelta(seconds=min(_BACKOFF_MOST, 2.0**state.failures))
        state.ok, state.problem, state.failures = True, "", 0
        return self._instance.poll

    def _wait(self, error: NightdeskError) -> float:
        if isinstance(error, RateLimitError):
            return max(1.0, error.retry_after)
        if isinstance(error, AuthError | ScopeError):
            # A person must act; asking often would only lock the account.
            return _STOPPED
        if isinstance(error, CursorExpiredError):
            if self.state.failures >= _EXPIRED_MOST:
                self._begin_anew()
            return 1.0
        return min(_BACKOFF_MOST, max(1.0, 2.0**self.state.failures))

    def _begin_anew(self) -> None:
        """A cursor that stays unreadable would stop the feed for ever: what is known already counts as duplicate."""
        state = self.state
        with self._store.begin() as conn:
            intake.reset_cursor(conn, state.tenant, state.instance, state.stream)
        state.problem = f"{state.problem}; the feed begins again at its start"
        state.failures = 0
        _log.warning("cursor reset", tenant=state.tenant, instance=state.instance, stream=state.stream)
