"""Writes what arrived to the spool: all that came during one write is the next write."""

import asyncio
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from nightdesk.connectors.syslog.counts import Counts
from nightdesk.connectors.syslog.spool import Spool

__all__ = ["Writer"]

_IN_MEMORY = 16 * 1024 * 1024  # bytes of datagrams between two writes
_PAUSE = 0.05  # seconds between two looks whether a full spool has room again
_TOLD = 1.0  # seconds between two words of how it is


class Writer:
    """The way from the sockets to the disk, in the order of arrival."""

    def __init__(self, spool: Spool, counts: Counts) -> None:
        self._spool, self._counts = spool, counts
        self._pending: list[tuple[Sequence[bytes], asyncio.Future[None] | None]] = []
        self._datagrams = 0
        self._wake = asyncio.Event()
        self._patient = True
        self._closing = False
        self._told: tuple[float, tuple[Any, ...]] = (0.0, ())

    async def put(self, messages: Sequence[bytes]) -> None:
        """Returns once they are in the spool, however long that is full."""
        if messages:
            done = asyncio.get_running_loop().create_future()
            self._pending.append((messages, done))
            self._wake.set()
            await done

    def put_datagram(self, message: bytes) -> None:
        """Keeps it until the next write; drops and counts it when there is no room."""
        cost = self._spool.cost([message])
        if self._datagrams + cost > min(_IN_MEMORY, self._spool.room):
            self._counts.dropped += 1
        else:
            self._datagrams += cost
            self._pending.append(([message], None))
        self._wake.set()

    def hurry(self) -> None:
        """From now on a full spool is not waited for: the process ends."""
        self._patient = False
        self._wake.set()

    def close(self) -> None:
        """Lets ``run`` return once what is pending is written."""
        self._closing = True
        self.hurry()

    async def run(self) -> None:
        """Writes until closed."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._pending:
                if await self._write_some():
                    continue
                if not self._patient:
                    self._give_up()
                await asyncio.sleep(_PAUSE)
            await self._tell()
            if self._closing:
                return

    async def _write_some(self) -> bool:
        """As much as there is room for; False when not even the first fits, or the disk fails."""
        taken: list[tuple[Sequence[bytes], asyncio.Future[None] | None]] = []
        room = self._spool.room
        for messages, done in self._pending:
            room -= self._spool.cost(messages)
            if room < 0:
                break
            taken.append((messages, done))
        if not taken:
            return False
        data = [message for messages, _ in taken for message in messages]
        try:
            await asyncio.to_thread(self._spool.append, data)
        except OSError as error:
            self._counts.trouble = error.strerror or type(error).__name__
            await self._tell()
            return False
        del self._pending[: len(taken)]
        self._counts.trouble = ""
        self._counts.stored += len(data)
        for messages, done in taken:
            if done is None:
                self._datagrams -= self._spool.cost(messages)
            elif not done.done():
                done.set_result(None)
        return True

    def _give_up(self) -> None:
        self._counts.dropped += sum(len(messages) for messages, _ in self._pending)
        for _, done in self._pending:
            if done is not None and not done.done():
                done.set_result(None)
        self._pending.clear()
        self._datagrams = 0

    async def _tell(self) -> None:
        """At once when something went wrong, else once a second at most."""
        counts, now = self._counts, asyncio.get_running_loop().time()
        said = (counts.dropped, counts.refused, counts.trouble)
        if self._closing or said != self._told[1] or now - self._told[0] >= _TOLD:
            self._told = (now, said)
            await asyncio.to_thread(self._spool.tell, asdict(counts))
