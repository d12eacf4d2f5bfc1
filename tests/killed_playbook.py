"""A process of its own that carries a playbook on, and kills itself (signal 9) at the boundary it is told.

A boundary is before and after every transaction and every word with the vendor. The vendor is a file that outlives the
process and that forgets keys: a repeated request is a second order.
"""

import asyncio
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

from tests import killed
from tests.acting import declare
from tests.killed_process import Boundaries, FileEdr, ManyHosts
from tests.playbooks import a_playbook, do, end, isolate, manual, start

from nightdesk.autonomy.actions import ActionState
from nightdesk.autonomy.engine import Engine, Limits
from nightdesk.autonomy.playbooks.library import Library
from nightdesk.autonomy.playbooks.run import RunState
from nightdesk.hub.config import HubSettings, InstanceSettings, TenantSettings
from nightdesk.hub.playbooks.service import Playbooks, questions
from nightdesk.hub.store import Store
from nightdesk.hub.store.actions import SqlJournal
from nightdesk.hub.store.playbooks import runs
from nightdesk.sdk.context import Network, Settings, utc_now
from nightdesk.sdk.manifest import Limits as Quota
from nightdesk.sdk.manifest import Manifest, Stream
from nightdesk.stix.ids import TenantKey
from nightdesk.stix.scope import Scope

__all__ = ["BOOK", "CASE", "HOSTS", "a_tenant_with_a_file"]

CASE, HOSTS = "case-1", 4
BOOK = a_playbook(
    {
        "start": start("both"),
        "both": {"type": "parallel", "next_steps": ["first", "second"], "on_success": "look"},
        "first": do(isolate("ws-0"), isolate("ws-1"), on_success="first-end"),
        "first-end": end(),
        "second": do(isolate("ws-2"), on_success="second-end"),
        "second-end": end(),
        "look": manual("go on?", on_success="last"),
        "last": do(isolate("ws-3"), on_success="z"),
        "z": end(),
    }
)


def a_tenant_with_a_file() -> HubSettings:
    """One tenant whose EDR is a file."""
    manifest = Manifest(
        vendor="file_edr",
        title="A file",
        company="Tests",
        kind="edr",
        roles=("edr",),
        docs="https://docs.example.com",
        auth=(),
        settings={},
        limits=Quota(requests_per_minute=60, source="none"),
        pulls={"alerts": Stream(product="acme", stability="beta", docs="https://docs.example.com")},
        acts={"host.isolate": declare(), "host.release": declare(inverse="host.isolate", parameters=())},
    )
    instance = InstanceSettings("first", manifest, Settings({}), (), timedelta(seconds=1))
    scope = Scope("acme", "Acme", TenantKey.from_text("ab" * 32), "amber")
    none: Any = None
    tenant = TenantSettings(scope, none, none, none, {}, {"first": instance}, {"edr": "first"}, {})
    return HubSettings("", "", "", 0, Network(), {"acme": tenant})


def _crossing(call: Callable[..., Any], boundaries: Boundaries) -> Callable[..., Any]:
    def crossed(*args: Any, **kwargs: Any) -> Any:
        boundaries.cross()
        answer = call(*args, **kwargs)
        boundaries.cross()
        return answer

    return crossed


async def _live(service: Playbooks, engine: Engine, journal: SqlJournal, store: Store) -> None:
    with store.read() as conn:
        known = runs(conn, "acme")
    run = known[0] if known else service.start("acme", BOOK, case_id=CASE, by="ann", given={})
    while run.state is RunState.RUNNING:
        for action in journal.in_state([ActionState.AWAITING_APPROVAL]):
            engine.approve(action, "bob")
        moved = await engine.run_once() + service.step()
        run = service.run("acme", run.run_id)
        for key, _, _ in questions(run):
            run = service.answer("acme", run.run_id, key, by="carol", text="yes")
        if not moved:
            await asyncio.sleep(0.02)


def life(folder: Path, boundary: int) -> int:
    boundaries = Boundaries(boundary)
    store = Store.open(f"sqlite:///{folder / 'journal.db'}", synchronous="NORMAL")
    store.transact = _crossing(store.transact, boundaries)  # type: ignore[method-assign]  # the process dies there
    journal = SqlJournal(store)
    router = ManyHosts("first", first=FileEdr(folder / "vendor.jsonl", boundaries))
    # The dead process is known to be dead: nothing is left to it.
    engine = Engine(journal, router, limits=Limits(takeover=0.0))
    service = Playbooks(a_tenant_with_a_file(), store, Library(), utc_now)
    asyncio.run(_live(service, engine, journal, store))
    return boundaries.seen


if __name__ == "__main__":
    killed.main(life)
