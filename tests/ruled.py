"""A desk whose signed policy starts a playbook: alerts come in at the simulator, everything after that is the hub's."""

import asyncio
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from tests.desks import TENANT, Desktop
from tests.hubs import a_story_alert
from tests.playbooks import a_playbook, do, end, isolate, manual, openc2, start, var

from nightdesk.autonomy.playbooks.content import called_by, content_of
from nightdesk.autonomy.playbooks.library import bundled
from nightdesk.autonomy.playbooks.model import Playbook
from nightdesk.autonomy.playbooks.run import Run
from nightdesk.hub.store import decisions
from nightdesk.hub.store import playbooks as table
from nightdesk.sdk.case import Decision
from nightdesk.sdk.testing import StoryDevice

__all__ = ["BOOK", "CASE", "CHAT", "RuledDesk", "policy_for"]

CASE = "ND-2026-000001"
CHAT = openc2(
    "create",
    {"x-nightdesk:message": {"uid": "soc-alerts"}},
    ours={"verb": "notify.send", "parameters": {"text": "look"}},
)
BOOK = a_playbook(
    {
        "start": start("tell"),
        "tell": do(CHAT, on_completion="isolate"),
        "isolate": do(isolate("__host__:value"), on_success="look", on_failure="by-hand"),
        "look": manual("is it quiet?", settings={"answers": ["yes", "no"]}, on_completion="z"),
        "by-hand": manual("isolate it by hand", on_completion="z"),
        "z": end(),
    },
    variables={"__host__": var(external=True, description="the host")},
    header={"inputs": {"__host__": "host"}, "purpose": "to be started by a rule"},
    name="contain",
)


def policy_for(
    book: Playbook = BOOK,
    *,
    sha256: str = "",
    approval: str = "human",
    inputs: Mapping[str, str] | None = None,
    when: str = "{techniques: [T1059.001]}",
    more: str = "",
    head: str = "",
) -> bytes:
    """A policy whose rule ``worm`` starts that playbook."""
    digest = sha256 or content_of(book, called_by(book, bundled().get))
    given = "".join(f", inputs: {{{name}: {word}}}" for name, word in (inputs or {}).items())
    return (
        f'policy_id: p\nversion: "1"\nrules:\n  - {{id: worm, owner: jane, {head}when: {when},\n'
        f'     then: {{playbook: {{id: {book.id}, sha256: "{digest}", approval: {approval}{given}}}}}}}\n{more}'
    ).encode()


class RuledDesk(Desktop):
    """A desk that knows its policy's playbook, with the two people who signed it."""

    def __init__(self, stack: ExitStack, folder: Path, policy: bytes, *books: Playbook, **more: Any) -> None:
        self.books = books or (BOOK,)
        folder.mkdir(exist_ok=True)
        (folder / "assets.csv").write_text("hostname,type\nws-0042,workstation\nws-0043,workstation\n")
        given = {"assets": "assets.csv", "policy": policy, "signers": ("jane", "omar"), **more}
        super().__init__(stack, folder, **given)
        self.simulators["edr"].add_devices([StoryDevice("dev-2", "ws-0043", ("192.0.2.43",))])

    def restart(self) -> Any:
        made = super().restart()
        if self.books:
            self.know(*self.books)
        return made

    def alert(self, uid: str, host: str = "ws-0042", **changes: Any) -> None:
        """One alert at the vendor's, pulled and decided."""
        number = int(host[-2:])
        device = StoryDevice({"ws-0042": "dev-1", "ws-0043": "dev-2"}[host], host, (f"192.0.2.{number}",))
        facts = {"device": device, "user": "", "user_domain": "", **changes}
        self.simulators["edr"].add(a_story_alert(uid, self.time.clock(), number, **facts))
        self.pull()

    def pull(self) -> None:
        """Once round with the feeds."""

        async def go() -> None:
            try:
                await self.hub.once()
            finally:
                await self.hub.bindings.aclose()

        asyncio.run(go())

    @property
    def runs(self) -> list[Run]:
        """Every run of the tenant, oldest first."""
        with self.store.read() as conn:
            return table.runs(conn, TENANT)[::-1]

    @property
    def decided(self) -> list[Decision]:
        """Every decision of the first case."""
        with self.store.read() as conn:
            return decisions.decisions(conn, TENANT, CASE)

    @property
    def orders(self) -> int:
        """How often the vendor was really told to isolate something."""
        fleet: Any = self.simulators["edr"]
        return sum(order.isolate for device in fleet.fleet.devices.values() for order in device.orders)
