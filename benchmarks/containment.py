"""Seconds from a decision to contain a host to the read-back that shows it, over each EDR's simulator on loopback.

A signed rule lets the isolation go; nobody answers slowly here, so what is measured is the hub: pipeline, engine,
journal, the connector's way to the vendor and back.
"""

import argparse
import asyncio
import json
import logging
import os
import statistics
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import structlog

from nightdesk.autonomy.actions import ActionState
from nightdesk.hub.bounds import BrakeBounds
from nightdesk.hub.config import load_config
from nightdesk.hub.hub import Hub
from nightdesk.hub.registry import Registry
from nightdesk.hub.setup import make_config, private_file
from nightdesk.hub.store import Store
from nightdesk.sdk.context import utc_now
from nightdesk.sdk.secrets import Secret
from nightdesk.sdk.testing import Simulator, StoryAlert, StoryDevice, serve
from nightdesk.sdk.testing.story import StoryProcess

SHORT = os.environ.get("NIGHTDESK_BENCH") == "short"
COUNT, SECONDS = (10, 10.0) if SHORT else (60, 60.0)  # of one vendor, whichever ends first
REQUESTS = 10  # of a vendor's budget for one containment: more often than that nobody could
POLLING = 0.25  # of a vendor's budget for asking whether there is a new alert
PATIENCE = 60.0
GOAL = 2.0
POLICY = b"""
policy_id: contain
version: "1"
rules:
  - {id: contain-it, owner: jane@example.org,
     then: {propose: {approval: policy, actions: [{verb: host.isolate, target: victim-host}]}}}
"""


def configured(folder: Path, simulator: Simulator, url: str, hosts: Sequence[str], poll: float) -> Path:
    """A tenant whose only vendor is that simulator, and whose inventory knows every host."""
    settings = dict(simulator.settings(url))
    for key, value in settings.items():
        if isinstance(value, Secret):
            private_file(folder / "secrets" / key, f"{value.reveal()}\n".encode())
            settings[key] = f"file:secrets/{key}"
    (folder / "assets.csv").write_text(
        "hostname,type,tags\n" + "".join(f"{host},workstation,\n" for host in hosts), encoding="utf-8"
    )
    more = {
        "connectors": {"edr": {"vendor": simulator.vendor, "poll_seconds": poll, "settings": settings}},
        "roles": {"edr": "edr"},
        "assets": "assets.csv",
        "limits": {"hosts_per_hour": 1.0, "hosts_per_day": 1.0},
    }
    return make_config(folder, "bench", "Bench", at=utc_now(), signers=("jane", "omar"), policy=POLICY, more=more)


def story_alert(number: int) -> StoryAlert:
    """An alert on a host of its own."""
    device = StoryDevice(f"dev-{number:04d}", f"WS-{number:04d}", (f"192.0.2.{number + 1}",))
    process = StoryProcess("tool.exe", r"C:\Tools\tool.exe", "tool.exe", 4000 + number, f"{number + 1:064x}")
    return StoryAlert(
        f"bench-{number}",
        utc_now() - timedelta(seconds=1),
        "Unusual tool",
        "unusual-tool",
        "medium",
        device=device,
        user=f"user{number:04d}",
        user_domain="EXAMPLE",
        process=process,
        technique_ids=("T1059.001",),
        tactic_ids=("TA0002",),
        raised_at=utc_now(),
    )


async def contained(config: Path, registry: Registry, simulator: Simulator, count: int, between: float) -> list[float]:
    """Seconds of each containment, from its decision's time to its effect's."""
    # One a minute of real life is many here: the brake on too many containments has a measurement of its own.
    settings = replace(load_config(config, registry), brakes=BrakeBounds(actions=10 * count))
    store = Store.open(settings.store)
    hub = Hub(settings, registry, store)
    running = asyncio.create_task(hub.run())
    done = (ActionState.EFFECTIVE, ActionState.LEASED)
    try:
        story = [story_alert(number) for number in range(count)]
        simulator.add_devices([alert.device for alert in story if alert.device])
        for alert in story:
            simulator.add(replace(alert, raised_at=utc_now()))
            await asyncio.sleep(between)
        until = asyncio.get_running_loop().time() + PATIENCE
        while len(hub.journal.in_state(done)) < count and asyncio.get_running_loop().time() < until:
            await asyncio.sleep(0.2)
        return [
            (action.effective_at - action.created_at).total_seconds()  # proposed in the decision's own transaction
            for action in hub.journal.in_state(done)
            if action.effective_at is not None
        ]
    finally:
        hub.stop()
        await running
        store.close()


def main() -> None:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="one JSON object a line and vendor")
    as_json = parser.parse_args().json
    registry = Registry.load(strangers=False)
    vendors = [
        name
        for name, manifest in sorted(registry.manifests.items())
        if "edr" in manifest.roles and manifest.kind != "cloud" and "host.isolate" in manifest.acts and manifest.pulls
    ]
    if not as_json:
        print(f"{'connector':<26}{'alerts':>8}{'contained':>11}{'p50 s':>9}{'p95 s':>9}{'worst s':>9}")
    medians = []
    for vendor in vendors:
        with tempfile.TemporaryDirectory(prefix="nightdesk-bench-") as folder, ExitStack() as stack:
            simulator = registry.simulator(vendor)()
            served = stack.enter_context(serve(simulator))
            budget = registry.manifest(vendor).limits.requests_per_minute
            between = max(0.25, REQUESTS * 60 / budget)
            count = max(3, min(COUNT, int(SECONDS / between)))
            hosts = [f"WS-{number:04d}" for number in range(count)]
            poll = max(0.1, 60 / budget / POLLING)
            config = configured(Path(folder), simulator, served.base_url, hosts, poll)
            taken = sorted(asyncio.run(contained(config, registry, simulator, count, between)))
        p50, p95, worst = (
            (statistics.median(taken), taken[max(0, -(-len(taken) * 95 // 100) - 1)], taken[-1])
            if taken
            else (float("nan"),) * 3
        )
        medians.append(p95)
        if as_json:
            print(json.dumps({"connector": vendor, "contained": len(taken), "p50": p50, "p95": p95, "worst": worst}))
        else:
            print(f"{vendor:<26}{count:>8}{len(taken):>11}{p50:>9.3f}{p95:>9.3f}{worst:>9.3f}", flush=True)
    if not as_json:
        print(f"worst p95: {max(medians):.3f} s (wanted: below {GOAL:g} s)")


if __name__ == "__main__":
    main()
