"""Runs a simulator (or any ASGI app) on a loopback port, in a thread: real sockets, so blocking clients work too."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

__all__ = ["Served", "serve"]


@dataclass(frozen=True, slots=True)
class Served:
    """A running server."""

    base_url: str
    port: int


@contextmanager
def serve(app: Any, *, port: int = 0, host: str = "127.0.0.1") -> Iterator[Served]:
    """Serves until the block ends; port 0 takes a free one. Raises OSError when the port is taken."""
    import uvicorn  # noqa: PLC0415 (every run of pytest imports this module, see pytest_plugin)

    from nightdesk.sdk.testing.prompt_server import PromptServer  # noqa: PLC0415 (the same)

    # With the protocol named, asyncio turns Nagle's algorithm off: 40 ms an answer otherwise.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((host, port))
    bound = int(listener.getsockname()[1])
    config = uvicorn.Config(app, log_level="critical", lifespan="off", access_log=False, date_header=False)
    server = PromptServer(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    try:
        while not server.started:
            if not thread.is_alive():
                raise RuntimeError("the server stopped before it started")
            time.sleep(0.005)
        yield Served(f"http://{host}:{bound}", bound)
    finally:
        server.stop()
        thread.join(timeout=5)
        listener.close()
