"""How fast a stop holds: from its commit to the last request that still leaves, over a hub that is acting at full load.

Each trial lets policy isolate hosts of several tenants at once over one EDR's simulator on loopback, stops the
installation from another thread with a connection of its own at a moment drawn anew, and starts it again by two people.
A request that the vendor takes after the commit was *on its way* when the brake was asked about it before; none may be
that the brake was asked about afterwards and let go.
"""

import argparse
import asyncio
import json
import logging
import os
import random
import statistics
import tempfile
import threading
import time
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import structlog

from nightdesk.autonomy.actions import Action, ActionState
from nightdesk.autonomy.engine import Engine
from nightdesk.autonomy.switches import ANYWHERE, Clearance, Switch, Word
from nightdesk.autonomy.switches import Scope as Stops
from nightdesk.hub import switching
from nightdesk.hub.api.view import Principal, Role
from nightdesk.hub.bounds import BrakeBounds
from nightdesk.hub.brakes import Brakes
from nightdesk.hub.config import load_config
from nightdesk.hub.hub import Hub
from nightdesk.hub.registry import Registry
from nightdesk.hub.setup import make_config, private_file
from nightdesk.hub.store import Store
from nightdesk.sdk.context import utc_now
from nightdesk.sdk.secrets import Secret
from nightdesk.sdk.targets import Target
from nightdesk.sdk.testing import Simulator, StoryDevice, serve

SHORT = os.environ.get("NIGHTDESK_BENCH") == "short"
TRIALS, TENANTS, HOSTS = (10, 4, 3) if SHORT else (200, 4, 3)  # hosts of each tenant, anew in every trial
ALL = Switch(ANYWHERE, Stops.ALL)
PEOPLE = [Principal("t0", "ada", Role.ADMIN), Principal("t0", "abe", Role.APPROVER)]
_OVER = (ActionState.LEASED, ActionState.CANCELLED, ActionState.FAILED, ActionState.REQUESTED)


@dataclass
class Watch:
    """The hub's own brake, and when it was asked about each request that it let go."""

    brakes: Brakes
    let_go: list[datetime] = field(default_factory=list)

    def clear(self, action: Action) -> Clearance:
        at = utc_now()
        said = self.brakes.clear(action)
        if said.word is Word.GO and action.state is ActionState.REQUESTED:
            self.let_go.append(at)
        return said


@dataclass
class Trial:
    """One stop: seconds from its commit to the last request the vendor took, and how many there were of either kind."""

    last: float
    on_their_way: int
    too_late: int
    commit: float
    sent: int
    kept_in: int


def configured(folder: Path, simulator: Simulator, url: str, slug: str) -> Path:
    """One tenant with that simulator as its EDR."""
    settings = dict(simulator.settings(url))
    for key, value in settings.items():
        if isinstance(value, Secret):
            private_file(folder / "secrets" / key, f"{value.reveal()}\n".encode())
            settings[key] = f"file:secrets/{key}"
    connectors = {"edr": {"vendor": simulator.vendor, "settings": settings}}
    return make_config(folder, slug, slug, at=utc_now(), more={"connectors": connectors, "roles": {"edr": "edr"}})


def wished(hub: Hub, simulators: dict[str, Simulator], number: int) -> tuple[list[str], list[Action]]:
    """A wish for each of this trial's hosts, that policy lets go; the hosts' names, and the wishes."""
    names = [f"ws-{number}-{host}" for host in range(HOSTS)]
    wishes = []
    for slug, simulator in simulators.items():
        simulator.add_devices(StoryDevice(name, name.upper(), ("192.0.2.7",)) for name in names)
        for name in names:
            target = Target.parse(f"host:{name}")
            wishes.append(hub.engine.propose(slug, "host.isolate", target, requested_by="bench", approval="policy"))
    return names, wishes


async def trial(
    hub: Hub, other: Store, simulators: dict[str, Simulator], watch: Watch, number: int, after: float
) -> Trial:
    """Wishes for every tenant, a stop ``after`` seconds, and all that happened until every wish was settled."""
    names, wishes = wished(hub, simulators, number)
    watch.let_go.clear()
    spent: list[datetime] = []

    def pull_the_plug() -> None:
        time.sleep(after)
        begin = utc_now()
        switching.stop(other, ALL, by="ann", reason="benchmark")
        spent.extend((begin, utc_now()))

    hand = threading.Thread(target=pull_the_plug)
    hand.start()
    while True:
        await hub.engine.run_once()
        if len(spent) == 2 and all(_state(hub, one) in _OVER for one in wishes):
            break
        await asyncio.sleep(0.001)
    hand.join()
    begin, committed = spent
    heard = [
        order.asked_at
        for simulator in simulators.values()
        for device in simulator.fleet.devices.values()
        if device.hostname.lower() in names
        for order in device.orders
    ]
    late = [at for at in heard if at > committed]
    for person in PEOPLE:
        switching.start(other, ALL, by=person, reason="benchmark", known=lambda _, name: _named(name))
    return Trial(
        last=(max(late, default=committed) - committed).total_seconds(),
        on_their_way=len(late),
        too_late=sum(at > committed for at in watch.let_go),
        commit=(committed - begin).total_seconds(),
        sent=len(heard),
        kept_in=len(wishes) - len(heard),
    )


def _named(name: str) -> Principal | None:
    return next((one for one in PEOPLE if one.name == name), None)


def _state(hub: Hub, action: Action) -> ActionState:
    found = hub.journal.get(action.tenant, action.action_id)
    assert found is not None
    return found.state


async def measured(hub: Hub, other: Store, simulators: dict[str, Simulator], watch: Watch) -> list[Trial]:
    draw = random.Random(7)  # moments to stop at, no secret
    try:
        for number in (-2, -1):  # connections and tokens are there after the first
            begin = time.perf_counter()
            wished(hub, simulators, number)
            while await hub.engine.run_once():
                pass
            whole = time.perf_counter() - begin
        moments = [draw.uniform(0.0, whole) for _ in range(TRIALS)]
        return [
            await trial(hub, other, simulators, watch, number, after) for number, after in enumerate(moments, start=1)
        ]
    finally:
        await hub.bindings.aclose()


def main() -> None:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="one JSON object")
    as_json = parser.parse_args().json
    registry = Registry.load(strangers=False)
    # The one with the widest budget of requests: a stop is to be seen among many that leave.
    fit = [name for name, manifest in sorted(registry.manifests.items()) if _isolates(manifest)]
    vendor = max(fit, key=lambda name: registry.manifests[name].limits.requests_per_minute)
    with tempfile.TemporaryDirectory(prefix="nightdesk-bench-") as folder, ExitStack() as stack:
        simulators, configs = {}, []
        for number in range(TENANTS):
            slug = f"t{number}"
            simulators[slug] = simulator = registry.simulator(vendor)()
            served = stack.enter_context(serve(simulator))
            config = configured(Path(folder) / slug, simulator, served.base_url, slug)
            configs.append(load_config(config, registry))
        settings = replace(
            configs[0],
            tenants={slug: tenant for one in configs for slug, tenant in one.tenants.items()},
            brakes=BrakeBounds(actions=10**9),
        )
        store, other = Store.open(settings.store), Store.open(settings.store)
        stack.callback(store.close)
        stack.callback(other.close)
        hub = Hub(settings, registry, store)
        watch = Watch(hub.brakes)
        # Without the guards, which would ask people about that many hosts: all that keeps a request in is the brake.
        hub.engine = Engine(hub.journal, hub.bindings, hub.clock, brake=watch.clear)
        trials = asyncio.run(measured(hub, other, simulators, watch))
    _tell(vendor, trials, as_json=as_json)


def _isolates(manifest: Any) -> bool:
    return "edr" in manifest.roles and "host.isolate" in manifest.acts and manifest.kind != "cloud"


def _tell(vendor: str, trials: list[Trial], *, as_json: bool) -> None:
    last = sorted(one.last * 1000 for one in trials)
    commit = sorted(one.commit * 1000 for one in trials)
    figures: dict[str, Any] = {
        "connector": vendor,
        "trials": len(trials),
        "last_ms": {"p50": statistics.median(last), "p95": last[-(-len(last) * 95 // 100) - 1], "max": last[-1]},
        "commit_ms": {"p50": statistics.median(commit), "max": commit[-1]},
        "sent": sum(one.sent for one in trials),
        "kept_in": sum(one.kept_in for one in trials),
        "on_their_way": sum(one.on_their_way for one in trials),
        "let_go_after_the_commit": sum(one.too_late for one in trials),
    }
    if as_json:
        print(json.dumps(figures))
    else:
        print(f"{len(trials)} stops of {TENANTS} tenants with {HOSTS} hosts each, over {vendor}")
        print(f"requests sent {figures['sent']}, kept in {figures['kept_in']}")
        for name, about in (
            ("last_ms", "from the commit to the last request taken"),
            ("commit_ms", "of the commit itself"),
        ):
            print(f"ms {about}: " + ", ".join(f"{word} {value:.2f}" for word, value in figures[name].items()))
        print(f"taken after the commit, on their way before it: {figures['on_their_way']}")
        print(f"asked after the commit and let go (must be 0): {figures['let_go_after_the_commit']}")
    if figures["let_go_after_the_commit"]:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
