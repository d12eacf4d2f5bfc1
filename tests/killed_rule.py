"""A process of its own whose signed rule starts a playbook, and kills itself (signal 9) at the boundary it is told.

A boundary is before and after every transaction, right before each commit, and every word with the vendor, which is a
file that outlives the process and forgets keys. Two alerts come for one case: the second is decided when the run of the
first is over.
"""

import asyncio
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import Connection
from tests import killed
from tests.hubs import REGISTRY
from tests.killed_playbook import a_tenant_with_a_file
from tests.killed_process import Boundaries, FileEdr, ManyHosts
from tests.playbooks import a_playbook, do, end, isolate, manual, start, var

from nightdesk.autonomy.actions import ActionState
from nightdesk.autonomy.engine import Engine, Limits
from nightdesk.autonomy.playbooks.content import content_of
from nightdesk.autonomy.playbooks.library import Library
from nightdesk.autonomy.playbooks.run import Run, RunState
from nightdesk.autonomy.policy_file import parse_policy
from nightdesk.autonomy.signing import Signature, SignedPolicy
from nightdesk.hub.pipeline import Pipeline
from nightdesk.hub.playbooks.ruled import RuledRuns
from nightdesk.hub.playbooks.service import Playbooks, questions
from nightdesk.hub.store import Store, intake
from nightdesk.hub.store.actions import SqlJournal
from nightdesk.hub.store.playbooks import runs
from nightdesk.sdk.context import utc_now
from nightdesk.sdk.records import Batch, RawRecord

__all__ = ["ALERTS", "CASE", "HOSTS"]

HOSTS, ALERTS = 3, 2
CASE = f"ND-{utc_now().year}-000001"
PRODUCT = "crowdstrike_falcon"
FIXTURE = Path(__file__).parent / "fixtures" / PRODUCT / "alerts" / "archive-opened-on-a-server.json"
BOOK = a_playbook(
    {
        "start": start("both"),
        "both": {"type": "parallel", "next_steps": ["first", "second"], "on_success": "look"},
        "first": do(isolate("__host__:value"), on_success="first-end"),
        "first-end": end(),
        "second": do(isolate("ws-1"), on_success="second-end"),
        "second-end": end(),
        "look": manual("go on?", on_success="last"),
        "last": do(isolate("ws-2"), on_success="z"),
        "z": end(),
    },
    variables={"__host__": var(external=True)},
    header={"inputs": {"__host__": "host"}},
)
POLICY = f"""
policy_id: p
version: "1"
rules:
  - id: worm
    owner: jane
    when: {{severity_at_least: low}}
    then: {{playbook: {{id: {BOOK.id}, sha256: {content_of(BOOK, {})}, inputs: {{__host__: host}}}}}}
"""


def _mortal(store: Store, boundaries: Boundaries) -> None:
    """It may die before a transaction, right before its commit, and right after."""
    begin = store.begin

    @contextmanager
    def crossed() -> Iterator[Connection]:
        boundaries.cross()
        with begin() as conn:
            yield conn
            boundaries.cross()
        boundaries.cross()

    store.begin = crossed  # type: ignore[method-assign]  # the process dies there


def _record(number: int) -> RawRecord:
    document: dict[str, Any] = json.loads(FIXTURE.read_text(encoding="utf-8"))
    native = f"{document['composite_id']}{number}"
    document |= {"composite_id": native, "device": {**document["device"], "hostname": "ws-0"}}
    return RawRecord(json.dumps(document).encode(), native, native)


def _feed(store: Store, number: int) -> None:
    """The vendor delivers again what it may have delivered before: that is no new alert (law 1)."""
    page = Batch((_record(number),), None)
    with store.begin() as conn:
        intake.store_page(
            conn,
            tenant="acme",
            instance="first",
            stream="alerts",
            product=PRODUCT,
            batch=page,
            received_at=utc_now(),
        )


def _carry(service: Playbooks, run: Run) -> Run:
    for key, _, _ in questions(run):
        run = service.answer("acme", run.run_id, key, by="carol", text="yes")
    return run


async def _live(store: Store, pipeline: Pipeline, service: Playbooks, engine: Engine, journal: SqlJournal) -> None:
    _feed(store, 1)
    while True:
        moved = pipeline.step().normalised
        moved += len(pipeline.tick().decided)
        for action in journal.in_state([ActionState.AWAITING_APPROVAL]):
            engine.approve(action, "bob")
        moved += await engine.run_once() + service.step()
        with store.read() as conn:
            known = runs(conn, "acme")
        for run in known:
            _carry(service, run)
        if known and all(run.state is not RunState.RUNNING for run in known):
            break
        if not moved:
            await asyncio.sleep(0.02)
    _feed(store, 2)
    pipeline.step()
    service.step()


def life(folder: Path, boundary: int) -> int:
    boundaries = Boundaries(boundary)
    store = Store.open(f"sqlite:///{folder / 'journal.db'}", synchronous="NORMAL")
    _mortal(store, boundaries)
    settings = a_tenant_with_a_file()
    acme = replace(
        settings.tenants["acme"],
        policy=SignedPolicy(parse_policy(POLICY.encode(), file="p"), (Signature("jane", "k", "s", "t"),)),
        quiet=timedelta(0),
        window=timedelta(hours=4),
    )
    settings = replace(settings, tenants={"acme": acme})
    service = Playbooks(settings, store, Library({BOOK.id: BOOK}, {BOOK.id: "killed.json"}), utc_now)
    pipeline = Pipeline(store, REGISTRY.normalizer(), settings.tenants, clock=utc_now, ruled=RuledRuns(service))
    journal = SqlJournal(store)
    router = ManyHosts("first", first=FileEdr(folder / "vendor.jsonl", boundaries))
    # The dead process is known to be dead: nothing is left to it.
    engine = Engine(journal, router, limits=Limits(takeover=0.0))
    asyncio.run(_live(store, pipeline, service, engine, journal))
    return boundaries.seen


if __name__ == "__main__":
    killed.main(life)
