"""Syslog: a listener fills the spool in its own thread, a pull reads it from the cursor on."""

import asyncio
import threading
from collections.abc import AsyncIterator
from pathlib import Path

from nightdesk.connectors.syslog.endpoints import Endpoints
from nightdesk.connectors.syslog.listener import Listener
from nightdesk.connectors.syslog.segments import Mark, read_spool, read_state
from nightdesk.connectors.syslog.spool import InUseError, Spool
from nightdesk.sdk.context import Context
from nightdesk.sdk.errors import ConfigError, NightdeskError, Problem, UnsupportedError
from nightdesk.sdk.ports import Health
from nightdesk.sdk.records import Batch, Cursor, RawRecord

__all__ = ["Connector"]

_STREAM = "messages"
_MB = 1024 * 1024
_LEAST_MB = 8
_NEARLY = 0.8  # of the spool


class Connector:
    """One spool, and the addresses that fill it."""

    def __init__(self, context: Context) -> None:
        settings = context.settings
        self._folder = Path(settings.text("spool"))
        self._product = settings.text("product", "cef_leef")
        self._most = settings.integer("spool_mb", 256) * _MB
        self._longest = settings.integer("longest_kb", 1024) * 1024
        self._sync = settings.flag("sync", True)
        self._endpoints = Endpoints.of(settings, context.instance) if settings.flag("listen", True) else None
        if self._most < _LEAST_MB * _MB or not 0 < self._longest <= self._most // _LEAST_MB:
            raise ConfigError(
                [Problem(context.instance, "spool_mb", "must be at least 8, and 8 times as large as longest_kb")]
            )
        self._listener: Listener | None = None
        self._beginning = threading.Lock()

    async def aclose(self) -> None:
        """Stops listening; what arrived is in the spool."""
        listener, self._listener = self._listener, None
        if listener is not None:
            await asyncio.to_thread(listener.stop)

    async def pull(self, stream: str, cursor: Cursor | None, *, limit: int) -> AsyncIterator[Batch]:
        """What the spool holds behind the cursor; what stands before it is stored, and leaves the spool."""
        if stream != _STREAM:
            raise UnsupportedError(f"syslog: no stream {stream!r}; there is {_STREAM}")
        mark = Mark.load(cursor)
        await asyncio.to_thread(self._listen)
        if self._listener is not None and mark is not None:
            await asyncio.to_thread(self._listener.spool.release, mark)
        more = True
        while more:
            page = await asyncio.to_thread(read_spool, self._folder, mark, max(1, limit))
            mark, more = page.mark, page.more
            records = [
                RawRecord(one.data, one.key, product=self._product, media_type=_media_type(one.data))
                for one in page.messages
            ]
            yield Batch(records, mark.dump() if mark else None, page.failures, more=more)

    def _listen(self) -> None:
        """Begins to listen, once. Raises UnavailableError when the spool or an address is another's."""
        with self._beginning:
            if self._endpoints is None or self._listener is not None:
                return
            spool = Spool(self._folder, most=self._most, sync=self._sync)
            self._listener = Listener.start(self._endpoints, spool, longest=self._longest)

    async def check_health(self) -> Health:
        """Whether it listens, here or in the running hub, and whether anything had to be dropped."""
        try:
            await asyncio.to_thread(self._listen)
        except InUseError:
            pass  # the running hub listens: what it says of itself is in the spool
        except NightdeskError as error:
            return Health(False, (str(error),))
        state = await asyncio.to_thread(read_state, self._folder)
        problems = []
        if state.get("dropped"):
            problems.append(
                f"{state['dropped']} datagrams were dropped since the listener began, because the spool was full: "
                "raise spool_mb, send by TCP, or see why the hub does not drain it"
            )
        if state.get("waiting", 0) > self._most * _NEARLY:
            problems.append(f"the spool {self._folder} holds {state['waiting'] // _MB} MB and is nearly full")
        if state.get("trouble"):
            problems.append(f"the spool {self._folder} cannot be written: {state['trouble']}")
        return Health(not problems, tuple(problems))


def _media_type(data: bytes) -> str:
    return "application/json" if data.startswith(b"{") else "text/plain"
