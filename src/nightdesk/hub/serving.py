"""The hub and its HTTP server in one event loop."""

import asyncio
import socket

import uvicorn

from nightdesk.hub.api.app import create_app
from nightdesk.hub.config import HubSettings
from nightdesk.hub.hub import Hub
from nightdesk.hub.memory import set_collector
from nightdesk.hub.registry import Registry
from nightdesk.hub.steady import SteadyClock
from nightdesk.hub.store import Store

__all__ = ["lasting_hub", "run_hub", "server_of"]


def server_of(hub: Hub, host: str, port: int) -> uvicorn.Server:
    """The API and console of a hub; the caller runs ``serve``."""
    config = uvicorn.Config(create_app(hub), host=host, port=port, log_level="warning", access_log=False)
    return uvicorn.Server(config)


def lasting_hub(settings: HubSettings, registry: Registry, store: Store) -> Hub:
    """A hub that runs for months: nobody moves its leases by setting the machine's clock. Its store keeps its time."""
    store.clock = clock = SteadyClock()
    return Hub(settings, registry, store, clock=clock)


async def run_hub(
    settings: HubSettings, registry: Registry, store: Store, listener: socket.socket | None = None
) -> None:
    """Runs until interrupted; HTTP at the settings' address, or at ``listener``."""
    set_collector()
    hub = lasting_hub(settings, registry, store)
    server = server_of(hub, settings.host, settings.port)

    async def serve() -> None:
        try:
            await server.serve([listener] if listener is not None else None)
        finally:
            hub.stop()

    await asyncio.gather(hub.run(), serve())
