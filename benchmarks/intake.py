"""Alerts a second from page received to decision recorded, durable, as a ratio to bare inserts of the same rows.

Beside it the same with a learnt model in use, when every decision is weighed too, and how long an alert waits for its
decision in such a flood: 95 % of the pages, each as full as a page can be, are decided within that (wanted: 5 s).
"""

import gc
import logging
import math
import os
import sqlite3
import tempfile
import time
from datetime import timedelta
from pathlib import Path

import structlog

from benchmarks.alerts import START, varied
from benchmarks.decide import a_stream
from nightdesk.autonomy.guardrails import Limits
from nightdesk.autonomy.learned.artefact import ANYBODY, Claim, Learned
from nightdesk.autonomy.learning.champion import Entry, Standing
from nightdesk.autonomy.learning.model import train
from nightdesk.autonomy.learning.rows import observe
from nightdesk.autonomy.policy import Policy
from nightdesk.autonomy.risk.threshold import Threshold
from nightdesk.hub.config import TenantSettings
from nightdesk.hub.deciding import NOBODY_ASKED, Asks
from nightdesk.hub.learning.weighing import Weighing
from nightdesk.hub.memory import set_collector
from nightdesk.hub.oversight.office import Office
from nightdesk.hub.pipeline import Pipeline
from nightdesk.hub.registry import Registry
from nightdesk.hub.store import Store, intake, models
from nightdesk.sdk.records import Batch, RawRecord
from nightdesk.stix.ids import TenantKey
from nightdesk.stix.scope import Scope

SHORT = os.environ.get("NIGHTDESK_BENCH") == "short"
COUNT, PAGE = (600, 200) if SHORT else (6000, 500)


def a_champion() -> Learned:
    """A model of made-up groups: what it says of these alerts is worth nothing, what it costs is real."""
    rows = observe(a_stream(4_000, 4))
    promise = Claim.certificate(Threshold(-3.0, 0, 299, 0, 0.01, 0.05), -3.0)
    return Learned(train(rows), rows.fleet, {ANYBODY: Claim(promise, promise)})


def ours(
    path: Path, pages: list[list[RawRecord]], product: str, normalizer: object, learned: Learned | None = None
) -> tuple[float, int, float]:
    """Seconds from the first page stored to the last decision recorded, decisions, and p95 of the pages' seconds."""
    told = START + timedelta(hours=6)
    tenant = TenantSettings(
        scope=Scope("bench", "Bench", TenantKey.derived("bench")),
        policy=Policy.unsigned(),
        quiet=timedelta(seconds=300),
        window=timedelta(hours=4),
        leases={},
        instances={},
        roles={},
        tokens={},
        limits=Limits(new_cases_per_hour=10**9, closes_per_hour=10**9, flood_floor=10**9),
    )
    store = Store.open(f"sqlite:///{path}", clock=lambda: told)
    asks = NOBODY_ASKED
    if learned is not None:
        asks = Asks(weighing=Weighing(Office.of(store, {"bench": tenant}, lambda: told)))
        with store.begin() as conn:
            models.keep(conn, Entry(learned.model_id, told, Standing.CHAMPION), learned)
    pipeline = Pipeline(store, normalizer, {"bench": tenant}, clock=lambda: told, asks=asks)  # type: ignore[arg-type]  # a Normalizer
    decided, waits = 0, []
    gc.collect()
    start = time.perf_counter()  # the store is open by now: its migrations are no alert's cost
    for page in pages:
        came = time.perf_counter()
        with store.begin() as conn:
            intake.store_page(
                conn,
                tenant="bench",
                instance="siem",
                stream="alerts",
                product=product,
                batch=Batch(page, cursor={"page": page[-1].key}),
                received_at=told,
            )
        decided += len(pipeline.step(limit=PAGE).decided)
        waits.append(time.perf_counter() - came)
    spent = time.perf_counter() - start
    store.close()
    return spent, decided, sorted(waits)[math.ceil(0.95 * len(waits)) - 1]


def floor(filled: Path, empty: Path, commits: int) -> tuple[float, int]:
    """Seconds to insert the very same rows into the same schema, in as many commits; and how many rows."""
    Store.open(f"sqlite:///{empty}").close()
    source = sqlite3.connect(filled)
    names = [row[0] for row in source.execute("SELECT name FROM sqlite_master WHERE type='table'")]
    tables = {
        name: source.execute(f'SELECT * FROM "{name}"').fetchall()
        for name in names
        if name not in {"alembic_version", "sqlite_sequence"}
    }
    target = sqlite3.connect(empty, isolation_level=None)
    target.execute("PRAGMA journal_mode=WAL")
    target.execute("PRAGMA synchronous=FULL")
    for name in tables:
        target.execute(f'DELETE FROM "{name}"')
    gc.collect()
    start = time.perf_counter()
    for number in range(commits):
        target.execute("BEGIN IMMEDIATE")
        for name, rows in tables.items():
            part = rows[number * len(rows) // commits : (number + 1) * len(rows) // commits]
            if part:
                marks = ",".join("?" * len(part[0]))
                target.executemany(f'INSERT INTO "{name}" VALUES ({marks})', part)
        target.execute("COMMIT")
    spent = time.perf_counter() - start
    target.close()
    source.close()
    return spent, sum(map(len, tables.values()))


def main() -> None:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    registry = Registry.load(strangers=False)
    set_collector()  # as `nightdesk run` does
    champion = a_champion()
    head = ("alerts", "decisions", "alerts/s", "weighed/s", "p95 s", "floor/s", "floor/ours", "rows/alert")
    print(f"{'connector':<24}{'product':<24}" + "".join(f"{word:>12}" for word in head))
    for vendor in sorted(name for name, manifest in registry.manifests.items() if manifest.pulls):
        product = next(iter(registry.manifest(vendor).pulls.values())).product
        records = varied(vendor, COUNT)
        pages = [records[at : at + PAGE] for at in range(0, len(records), PAGE)]
        normalizer = registry.normalizer()
        normalizer.mappings(product)
        with tempfile.TemporaryDirectory(prefix="nightdesk-bench-") as folder:
            spent, decided, _ = ours(Path(folder) / "ours.db", pages, product, normalizer)
            weighed, _, wait = ours(Path(folder) / "weighed.db", pages, product, normalizer, champion)
            bare, rows = floor(Path(folder) / "ours.db", Path(folder) / "floor.db", 2 * len(pages))
        n = len(records)
        print(
            f"{vendor:<24}{product:<24}{n:>12}{decided:>12}{n / spent:>12.0f}{n / weighed:>12.0f}{wait:>12.2f}"
            f"{n / bare:>12.0f}{spent / bare:>11.1f}x{rows / n:>12.1f}"
        )


if __name__ == "__main__":
    main()
