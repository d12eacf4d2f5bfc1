"""A person's answers from a process of its own: ``killed_voter.py CONFIG ACTION WHO TIMES [die]``.

Waits for the file ``go`` beside the configuration, so that several begin at once; ``die`` kills it (signal 9) as soon
as a vote is on disk.
"""

import asyncio
import os
import signal
import sys
import time
from pathlib import Path

from nightdesk.autonomy.approvals import Ballot, Choice, VoteError
from nightdesk.hub.config import load_config
from nightdesk.hub.hub import Hub
from nightdesk.hub.logs import configure_logs
from nightdesk.hub.registry import Registry
from nightdesk.hub.store import Store


def main() -> None:
    config, action_id, who, times = Path(sys.argv[1]), sys.argv[2], sys.argv[3], int(sys.argv[4])
    configure_logs("error")
    registry = Registry.load(strangers=False)
    settings = load_config(config, registry)
    hub = Hub(settings, registry, Store.open(settings.store))
    asyncio.run(_shown(hub, action_id))
    found = hub.approvals.one("acme", action_id)
    assert found is not None
    print("ready", flush=True)  # noqa: T201  # the test waits for it
    while not (config.parent / "go").exists():
        time.sleep(0.001)
    for _ in range(times):
        try:
            hub.approvals.vote("acme", action_id, Ballot(who, Choice.APPROVE, found.request.digest, "process"))
        except VoteError:
            continue
        print("taken", flush=True)  # noqa: T201  # the test counts them
        if "die" in sys.argv:
            os.kill(os.getpid(), signal.SIGKILL)


async def _shown(hub: Hub, action_id: str) -> None:
    """Looks its connector up, as the running hub does before anybody is asked."""
    action = hub.journal.get("acme", action_id)
    assert action is not None
    await hub.engine.advance(action)
    await hub.bindings.aclose()


if __name__ == "__main__":
    main()
