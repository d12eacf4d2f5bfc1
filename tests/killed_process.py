"""A process of its own that isolates and releases hosts, and kills itself (signal 9) at the boundary it is told.

``killed_process.py FOLDER HOSTS BOUNDARY``; boundary 0 lives to the end. The vendor is a file that outlives it and that
forgets keys: a repeated request is a second order.
"""

import asyncio
import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.acting import Switchboard

from nightdesk.autonomy.actions import ActionState
from nightdesk.autonomy.engine import Engine, Limits
from nightdesk.hub.store.actions import SqlJournal
from nightdesk.hub.store.store import Store
from nightdesk.sdk.context import utc_now
from nightdesk.sdk.ports import Command, Effect, Reading, Receipt
from nightdesk.sdk.targets import Target


class Boundaries:
    """Counts them, and dies at one."""

    def __init__(self, last: int) -> None:
        self.last = last
        self.seen = 0

    def cross(self) -> None:
        self.seen += 1
        if self.seen == self.last:
            os.kill(os.getpid(), signal.SIGKILL)


class FileEdr:
    """Devices in a file: one line an order."""

    def __init__(self, path: Path, boundaries: Boundaries) -> None:
        self._path = path
        self._cross = boundaries.cross

    async def act(self, command: Command) -> Receipt:
        self._cross()
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"device": command.native_id, "verb": command.verb}) + "\n")
            file.flush()
            os.fsync(file.fileno())
        self._cross()
        return Receipt()

    async def read_back(self, command: Command) -> Reading:
        lines = self._path.read_text(encoding="utf-8").splitlines() if self._path.exists() else []
        orders = [order["verb"] for order in map(json.loads, lines) if order["device"] == command.native_id]
        now = orders[-1] if orders else "host.release"
        self._cross()
        effect = Effect.IN_EFFECT if now == command.verb else Effect.NOT_IN_EFFECT
        return Reading(effect, utc_now(), {"isolated": now == "host.isolate"})


class ManyHosts(Switchboard):
    """host:ws-N is dev-N."""

    async def route(self, tenant: str, verb: str, target: Target, source_instance: str | None) -> Any:
        return await self.route_to(tenant, self.bound, verb, target, target.value.replace("ws-", "dev-"))


def _crossing(call: Callable[..., Any], boundaries: Boundaries) -> Callable[..., Any]:
    def crossed(*args: Any, **kwargs: Any) -> Any:
        answer = call(*args, **kwargs)
        boundaries.cross()
        return answer

    return crossed


async def _live(engine: Engine, journal: SqlJournal, hosts: int) -> None:
    for number in range(hosts):
        if not journal.of_case("acme", f"case-{number}"):
            engine.propose(
                "acme",
                "host.isolate",
                Target.parse(f"host:ws-{number}"),
                requested_by="ann",
                approval="direct",
                case_id=f"case-{number}",
            )
    while True:
        moved = await engine.run_once()
        for action in journal.in_state([ActionState.EFFECTIVE]):
            await engine.undo(action, actor="bob")
        if len(journal.in_state([ActionState.UNDONE])) == hosts:
            return
        if not moved:
            await asyncio.sleep(0.05)


def main() -> None:
    folder, hosts, boundary = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    boundaries = Boundaries(boundary)
    journal = SqlJournal(Store.open(f"sqlite:///{folder / 'journal.db'}", synchronous="NORMAL"))
    for name in ("create", "move"):
        setattr(journal, name, _crossing(getattr(journal, name), boundaries))
    router = ManyHosts("first", first=FileEdr(folder / "vendor.jsonl", boundaries))
    # The dead process is known to be dead: nothing is left to it.
    engine = Engine(journal, router, limits=Limits(takeover=0.0))
    asyncio.run(_live(engine, journal, hosts))


if __name__ == "__main__":
    main()
