"""The log file: lines in the order they were written, across rotations, from where the cursor stands."""

import asyncio
from collections.abc import AsyncIterator

from nightdesk.connectors.file_tail.family import Family
from nightdesk.connectors.file_tail.reading import Page, Sieve, read_page
from nightdesk.connectors.file_tail.standing import Standing
from nightdesk.sdk.context import Context
from nightdesk.sdk.errors import NightdeskError, UnsupportedError
from nightdesk.sdk.ports import Health
from nightdesk.sdk.records import Batch, Cursor

__all__ = ["Connector"]

_STREAM = "lines"


class Connector:
    """One log and what it becomes by rotation."""

    def __init__(self, context: Context) -> None:
        settings = context.settings
        self._product = settings.text("product", "suricata")
        alerts_alone = "event_type=alert" if self._product == "suricata" else "*"
        self._sieve = Sieve.of(settings.text("only") or alerts_alone, context.instance)
        self._family = Family(settings.text("path"), settings.text("rotated"))
        self._from_beginning = settings.flag("from_beginning", True)

    async def aclose(self) -> None:
        """No file stays open between two pulls."""

    async def pull(self, stream: str, cursor: Cursor | None, *, limit: int) -> AsyncIterator[Batch]:
        """Every whole line behind the cursor; the last one is left alone until its end is written."""
        if stream != _STREAM:
            raise UnsupportedError(f"file_tail: no stream {stream!r}; there is {_STREAM}")
        standing = Standing.load(cursor)
        while True:
            page = await asyncio.to_thread(self._read, standing, max(1, limit))
            standing = page.standing
            yield Batch(page.records, standing.dump(), page.failures, more=page.more)
            if not page.more:
                return

    def _read(self, standing: Standing | None, limit: int) -> Page:
        if standing is None:
            standing = self._family.first_standing(from_beginning=self._from_beginning)
        with self._family.opened(standing) as parts:
            return read_page(parts, standing, sieve=self._sieve, product=self._product, limit=limit)

    async def check_health(self) -> Health:
        """Whether the file is there and may be read, rotated parts included."""
        try:
            await asyncio.to_thread(self._family.check)
        except NightdeskError as error:
            return Health(False, (str(error),))
        return Health(True)
