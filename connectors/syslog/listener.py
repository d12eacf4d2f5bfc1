"""Takes messages from the network into the spool, in a thread of its own: a busy hub does not make senders wait.

A TCP connection is read on only when what it sent is in the spool: a full one holds its senders back. A datagram cannot
be held back; it is dropped and counted.
"""

import asyncio
import socket
import ssl
import threading
from contextlib import suppress
from dataclasses import asdict
from typing import Any

from nightdesk.connectors.syslog.counts import Counts
from nightdesk.connectors.syslog.endpoints import Address, Endpoints
from nightdesk.connectors.syslog.framing import Framer, trimmed
from nightdesk.connectors.syslog.spool import Spool
from nightdesk.connectors.syslog.writer import Writer
from nightdesk.sdk.errors import ConfigError, NightdeskError, UnavailableError

__all__ = ["Listener"]

_CHUNK = 64 * 1024
_CONNECTIONS = 1000
_BUFFER = 8 * 1024 * 1024  # asked of the kernel for bursts of datagrams; it may give less
_HANDSHAKE = 10.0  # seconds that a sender has for the TLS handshake


class Listener:
    """The open sockets."""

    def __init__(self, endpoints: Endpoints, spool: Spool, longest: int) -> None:
        self.spool = spool
        self.counts = Counts()
        self.bound: dict[str, Address] = {}
        """By protocol the address that is listened at; a port 0 became a real one."""
        self._endpoints, self._longest = endpoints, longest
        self._writer = Writer(spool, self.counts)
        self._loop = asyncio.new_event_loop()
        self._ending = asyncio.Event()
        self._connections: set[asyncio.Task[None]] = set()
        self._servers: list[asyncio.Server] = []
        self._datagrams: asyncio.DatagramTransport | None = None
        self._began = threading.Event()
        self._error: NightdeskError | None = None
        self._thread = threading.Thread(target=self._run, name="syslog", daemon=True)

    @classmethod
    def start(cls, endpoints: Endpoints, spool: Spool, *, longest: int) -> "Listener":
        """Returns once every address is listened at. Raises UnavailableError or ConfigError."""
        made = cls(endpoints, spool, longest)
        made._thread.start()
        made._began.wait()
        if made._error is not None:
            made._thread.join()
            raise made._error
        return made

    def stop(self) -> None:
        """Closes the sockets and the spool; what was read is in it, unless it is full."""
        self.end()
        self._thread.join()

    def end(self) -> None:
        """Has it stop, and does not wait: the garbage collector may ask this, in any thread and under any lock."""
        with suppress(RuntimeError):  # it ended by itself
            self._loop.call_soon_threadsafe(self._ending.set)

    def _run(self) -> None:
        try:
            self._loop.run_until_complete(self._main())
        finally:
            self.spool.close()
            self._began.set()
            self._loop.close()

    async def _main(self) -> None:
        try:
            await self._open()
        except OSError as error:
            self._error = _unbound(error)
        except ConfigError as error:
            self._error = error
        else:
            self.spool.tell(asdict(self.counts))
            self._began.set()
            writing = asyncio.create_task(self._writer.run())
            await self._ending.wait()
            self._shut()
            self._writer.hurry()
            for task in tuple(self._connections):
                task.cancel()
            await asyncio.gather(*self._connections, return_exceptions=True)
            self._writer.close()
            await writing
        self._shut()
        await asyncio.sleep(0)  # what was closed lets go of its socket in the loop's next turn

    async def _open(self) -> None:
        ends = self._endpoints
        if ends.udp:
            self._datagrams = await self._open_udp(ends.udp)
        for name, address in (("tcp", ends.tcp), ("tls", ends.tls)):
            if address:
                tls = ends.context() if name == "tls" else None
                self._servers.append(await self._open_tcp(address, tls))
                self.bound[name] = self._servers[-1].sockets[0].getsockname()[:2]

    async def _open_tcp(self, address: Address, tls: ssl.SSLContext | None) -> asyncio.Server:
        if tls is None:
            return await asyncio.start_server(self._take, *address, limit=_CHUNK)
        return await asyncio.start_server(
            self._take,
            *address,
            limit=_CHUNK,
            ssl=tls,
            ssl_handshake_timeout=_HANDSHAKE,
            ssl_shutdown_timeout=_HANDSHAKE,
        )

    async def _open_udp(self, address: Address) -> asyncio.DatagramTransport:
        family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        opened = socket.socket(family, socket.SOCK_DGRAM)
        try:
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER)
            opened.setblocking(False)
            opened.bind(address)
            transport, _ = await self._loop.create_datagram_endpoint(lambda: _Datagrams(self), sock=opened)
        except OSError:
            opened.close()
            raise
        self.bound["udp"] = opened.getsockname()[:2]
        return transport

    def _shut(self) -> None:
        for server in self._servers:
            server.close()
        if self._datagrams is not None:
            self._datagrams.close()

    def take_datagram(self, data: bytes, peer: str) -> None:
        """One datagram is one message."""
        message = trimmed(data)
        if not self._endpoints.allows(peer):
            self.counts.refused += 1
        elif message:
            self._writer.put_datagram(message)

    async def _take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        task, peer = asyncio.current_task(), writer.get_extra_info("peername")
        allowed = self._endpoints.allows(str(peer[0]) if peer else "")
        if task is None or not allowed or len(self._connections) >= _CONNECTIONS:
            self.counts.refused += 1
            writer.close()
            return
        self._connections.add(task)
        framer = Framer(self._longest)
        try:
            while data := await reader.read(_CHUNK):
                await self._writer.put(framer.feed(data))
        except (OSError, asyncio.CancelledError):
            pass  # hung up, or we end: what came before counts
        finally:
            await self._writer.put(framer.end())
            self._connections.discard(task)
            if self._ending.is_set():
                writer.transport.abort()
            else:
                writer.close()


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, listener: Listener) -> None:
        self._listener = listener

    def datagram_received(self, data: bytes, addr: tuple[Any, ...]) -> None:
        self._listener.take_datagram(data, str(addr[0]))


def _unbound(error: OSError) -> UnavailableError:
    hint = (
        "use a port above 1023, or allow low ones" if isinstance(error, PermissionError) else "who else listens there?"
    )
    return UnavailableError(f"cannot listen: {error.strerror or error} ({hint})", vendor="syslog", operation="listen")
