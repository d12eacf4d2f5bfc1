"""A uvicorn server that stops when it is told: the plain one looks ten times a second and then waits once more."""

import asyncio
import socket
from contextlib import suppress

import uvicorn

__all__ = ["PromptServer"]

_LOOK = 0.002  # seconds between two looks at what is still being answered


class PromptServer(uvicorn.Server):
    """Runs in a thread and without lifespan; what it has begun to answer it finishes."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._told: asyncio.Event | None = None

    def stop(self) -> None:
        """Ends the serving; called from any thread."""
        self.should_exit = True
        if self._loop is not None and self._told is not None:
            with suppress(RuntimeError):  # it has ended already
                self._loop.call_soon_threadsafe(self._told.set)

    async def main_loop(self) -> None:
        """Serves until told."""
        await self.on_tick(0)  # makes the headers of every answer
        self._loop, self._told = asyncio.get_running_loop(), asyncio.Event()
        if not self.should_exit:
            await self._told.wait()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Takes no more connections, closes the idle ones and waits for the others."""
        loop = asyncio.get_running_loop()
        for listener in [*(each for server in self.servers for each in server.sockets), *(sockets or [])]:
            loop.remove_reader(listener)
        await asyncio.sleep(0)  # a connection that was just taken finds its server open, or nobody would close it
        for server in self.servers:
            server.close()
        for sock in sockets or []:
            sock.close()
        told: set[object] = set()
        while len(asyncio.all_tasks()) > 1 or self.server_state.connections:  # uvicorn tells nobody
            for connection in self.server_state.connections - told:
                told.add(connection)
                connection.shutdown()
            await asyncio.sleep(_LOOK)
