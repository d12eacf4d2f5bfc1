"""Microseconds that the guards cost an action right before its request, and gathering their facts beside them.

The guards only compare; what is counted and looked up for them is the second line, on a journal with a day's work.
"""

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from nightdesk.autonomy.actions import Action, ActionState
from nightdesk.autonomy.admission import Dispatching, Guard, weigh
from nightdesk.autonomy.guardrails import AssetFacts
from nightdesk.autonomy.guards import standing_guards
from nightdesk.autonomy.policy_file import parse_policy
from nightdesk.autonomy.routing import Route
from nightdesk.autonomy.selectors import fault
from nightdesk.autonomy.surroundings import Surroundings
from nightdesk.hub.config import TenantSettings
from nightdesk.hub.lookout import HubLookout
from nightdesk.hub.setup import starter_policy
from nightdesk.hub.shared import bundled
from nightdesk.hub.store import Store
from nightdesk.hub.store.actions import SqlJournal
from nightdesk.sdk import manifest
from nightdesk.sdk.targets import Asset, Target
from nightdesk.sdk.verbs import VERBS
from nightdesk.stix.ids import TenantKey
from nightdesk.stix.scope import Scope

SHORT = os.environ.get("NIGHTDESK_BENCH") == "short"
ROUNDS, TIMES, BEFORE = (3, 300, 60) if SHORT else (9, 3000, 600)
NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
TARGETS = {
    "host.isolate": "host:ws-0042",
    "account.disable": "account:CORP\\jdoe",
    "ip.block": "address:203.0.113.9",
    "domain.block": "domain:bad.example.com",
    "url.block": "url:https://bad.example.com/payload",
    "hash.block": f"file:sha256:{'c0de' * 16}",
    "sender.block": "sender:mallory@bad.example.com",
}


def an_action(name: str, target: str, number: int = 0) -> Action:
    at = NOW - timedelta(minutes=number % 1440)
    return Action(
        tenant="bench",
        action_id=f"act-{number}",
        verb=name,
        target=Target.parse(target),
        generation=1,
        idempotency_key=f"key-{number}",
        state=ActionState.APPROVED,
        created_at=at,
        updated_at=at,
        requested_by="autonomy",
        approval="policy",
        approved_by="policy",
    )


def microseconds(work: Callable[[], object]) -> float:
    """The median round, a call."""
    rounds = []
    for _ in range(ROUNDS):
        start = time.process_time()
        for _ in range(TIMES):
            work()
        rounds.append((time.process_time() - start) / TIMES * 1e6)
    return statistics.median(rounds)


def judged(guards: tuple[Guard, ...], name: str, target: str) -> float:
    around = Surroundings(
        inventory=AssetFacts("workstation", ("finance", "berlin")),
        vendor=AssetFacts("workstation", names=("WS-0042", "192.0.2.42"), groups=("staff", "finance", "vpn-users")),
        sent_last_hour=1,
        fleet_size=4000,
        approved_at=NOW - timedelta(seconds=2),
    )
    dispatching = Dispatching(an_action(name, target), "edr", "vendor", NOW, around)
    return microseconds(lambda: weigh(guards, dispatching))


def surveyed(folder: Path, tenant: TenantSettings) -> float:
    store = Store.open(f"sqlite:///{folder / 'bench.db'}", synchronous="NORMAL")
    journal = SqlJournal(store)
    for number in range(1, BEFORE + 1):
        made = journal.create(an_action("host.isolate", f"host:ws-{number:05d}", number), actor="bench")
        journal.move(
            made, ActionState.REQUESTED, at=made.created_at, actor="bench", detail={}, requested_at=made.created_at
        )
    lookout = HubLookout({"bench": tenant}, store, journal, bundled(), lambda *_: (0, 0.0))
    declared = manifest.Action(stability="beta", scope="s", docs="d", read_back="isolated", inverse="host.release")
    route = Route("edr", "vendor", "dev-1", declared, object(), Asset("dev-1", "WS-0042", ("192.0.2.42",)))
    action = an_action("host.isolate", "host:ws-0042")
    spent = _few(lookout, action, route)
    store.close()
    return spent


def _few(lookout: HubLookout, action: Action, route: Route) -> float:
    start = time.process_time()
    for _ in range(20):
        lookout.survey(action, route, NOW)
    return (time.process_time() - start) / 20 * 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, help="also writes everything measured there")
    given = parser.parse_args()
    policy = parse_policy(starter_policy(), file="starter")
    guards = standing_guards({"bench": policy})
    assert set(TARGETS) <= set(VERBS)
    measured: dict[str, float] = {}
    print(f"{'verb':<20}{'guards, us':>14}{'selector, us':>14}")
    for name, target in TARGETS.items():
        parsed = Target.parse(target)
        measured[name] = judged(guards, name, target)
        measured[f"{name} selector"] = microseconds(lambda name=name, parsed=parsed: fault(name, parsed, bundled()))  # type: ignore[misc]  # bound now
        print(f"{name:<20}{measured[name]:>14.1f}{measured[f'{name} selector']:>14.1f}")
    tenant = TenantSettings(
        scope=Scope("bench", "Bench", TenantKey.derived("bench")),
        policy=policy,
        quiet=timedelta(0),
        window=timedelta(hours=4),
        leases={},
        instances={},
        roles={},
        tokens={},
        assets={"host:ws-0042": AssetFacts("workstation")},
    )
    with tempfile.TemporaryDirectory(prefix="nightdesk-bench-") as folder:
        measured["survey"] = surveyed(Path(folder), tenant)
    print(f"the facts, with {BEFORE} containments in the journal: {measured['survey']:.0f} us")
    worst = max(measured[name] for name in TARGETS)
    print(f"guards together, the slowest verb: {worst / 1000:.3f} ms (target: under 0.1 ms)")
    if given.json:
        given.json.write_text(json.dumps(measured, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
