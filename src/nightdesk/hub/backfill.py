"""Fetches a past window once more, beside the live feed: its cursor is its own, and what is known is a duplicate.

Killed at any point it goes on where it stopped, for its cursor is stored with each page like a feed's.
"""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from nightdesk.hub.config import HubSettings
from nightdesk.hub.registry import Registry
from nightdesk.hub.store import Store, audit, intake
from nightdesk.sdk.context import Clock, Context, Settings, Sleep, utc_now
from nightdesk.sdk.errors import UnsupportedError
from nightdesk.sdk.moments import SECOND
from nightdesk.sdk.records import Batch, Cursor

__all__ = ["Backfill", "Progress"]

_PAGE = 500


@dataclass(frozen=True, slots=True)
class Progress:
    """How far it is: pages stored, records received and those that were new; ``reached`` is the newest moment met."""

    pages: int = 0
    received: int = 0
    new: int = 0
    reached: datetime | None = None
    done: bool = False


class Backfill:
    """One window of one stream. ``pause`` seconds between pages leave the vendor's budget to the live feed."""

    def __init__(  # noqa: PLR0913  # whose, what, when, and the world outside
        self,
        settings: HubSettings,
        registry: Registry,
        store: Store,
        *,
        tenant: str,
        connector: str,
        stream: str,
        begin: datetime,
        end: datetime,
        pause: float = 1.0,
        clock: Clock = utc_now,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        instance = settings.tenants[tenant].instances.get(connector)
        if instance is None or stream not in instance.manifest.pulls:
            there = ", ".join(f"{name}/{one}" for name, made in settings.tenants[tenant].instances.items()
                              for one in made.manifest.pulls)  # fmt: skip
            raise UnsupportedError(f"{tenant} has no stream {connector}/{stream}; it has {there or 'none'}")
        if "start" not in instance.manifest.settings:
            raise UnsupportedError(
                f"{instance.manifest.vendor} has no setting `start`, so no past window can be asked for"
            )
        self._instance, self._stream, self._tenant = instance, stream, tenant
        self._store, self._end, self._pause, self._clock, self._sleep = store, end, pause, clock, sleep
        begins = f"{begin:%Y-%m-%dT%H:%M:%SZ}"
        self.place = f"{stream}@{begins}"
        """Where its own cursor is kept."""
        values = Settings({**instance.settings.values, "start": begins})
        context = Context(tenant, connector, values, settings.network, clock, sleep)
        self._connector: Any = registry.connector(instance.manifest.vendor, context)

    async def run(self) -> AsyncIterator[Progress]:
        """Page by page until the window's end is met or the vendor has nothing more."""
        with self._store.read() as conn:
            cursor = intake.cursor(conn, self._tenant, self._instance.name, self.place)
        progress = Progress()
        try:
            async for batch in self._connector.pull(self._stream, cursor, limit=_PAGE):
                stored = await asyncio.to_thread(self._keep, batch)
                reached = _reached(batch.cursor) or progress.reached
                over = reached is not None and reached >= self._end
                progress = replace(
                    progress,
                    pages=progress.pages + 1,
                    received=progress.received + stored.received,
                    new=progress.new + stored.received - stored.duplicate,
                    reached=reached,
                    done=over,
                )
                yield progress
                if over:
                    break
                await self._sleep(self._pause)
        finally:
            await self._connector.aclose()
        self._told(progress)
        yield replace(progress, done=True)

    def _keep(self, batch: Batch) -> intake.PageStored:
        with self._store.begin() as conn:
            return intake.store_page(
                conn,
                tenant=self._tenant,
                instance=self._instance.name,
                stream=self._stream,
                product=self._instance.manifest.pulls[self._stream].product,
                batch=batch,
                received_at=self._clock(),
                cursor_of=self.place,
            )

    def _told(self, progress: Progress) -> None:
        detail = {
            "connector": self._instance.name,
            "stream": self.place,
            "received": progress.received,
            "new": progress.new,
        }
        self._store.transact(
            lambda conn: audit.append(
                conn, tenant=self._tenant, at=self._clock(), actor="cli", event="feed.backfill", detail=detail
            )
        )


def _reached(cursor: Cursor | None) -> datetime | None:
    """The oldest of the moments that its sweeps stand at, when the cursor is one of ``nightdesk.sdk.sweep``."""
    newest = (cursor or {}).get("newest")
    if not isinstance(newest, dict) or not newest or not all(isinstance(moment, int) for moment in newest.values()):
        return None
    moments = [moment for moment in newest.values() if moment]
    return datetime.fromtimestamp(min(moments) / SECOND, UTC) if moments else None
