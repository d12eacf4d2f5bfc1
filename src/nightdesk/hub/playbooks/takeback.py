"""A whole run taken back: its own actions, newest first, each at the connector that carried it out (law 6)."""

import asyncio

from nightdesk.hub.hub import Hub
from nightdesk.hub.takeback import Taken, take_back
from nightdesk.sdk.context import Sleep

__all__ = ["undo_run"]


async def undo_run(
    hub: Hub,
    tenant: str,
    run_id: str,
    *,
    by: str,
    why: str = "",
    wait: float = 60.0,
    sleep: Sleep = asyncio.sleep,
) -> list[Taken]:
    """Stops the run, then takes back what it did; ``wait`` seconds for all of it."""
    run = await asyncio.to_thread(lambda: hub.playbooks.stop(tenant, run_id, by=by, why=why or "taken back"))
    actions = await asyncio.to_thread(hub.playbooks.actions, run)
    try:
        return await take_back(hub, reversed(actions), by=by, why=why or f"{run_id} taken back", wait=wait, sleep=sleep)
    finally:
        await hub.bindings.aclose()
