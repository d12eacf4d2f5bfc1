"""A tenant's past as a hub really recorded it: alerts of a simulated product, taken in over some hours and decided."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from tests.hubs import REGISTRY, a_story_alert, bind, opened, pullers

from nightdesk.hub.hub import Hub
from nightdesk.sdk.testing import serve
from nightdesk.sdk.testing.fake_time import FakeTime

__all__ = ["RULES_THEN", "lived"]

RULES_THEN = b"""
policy_id: then
version: "1"
rules:
  - id: quiet-tool
    owner: alice@example.org
    reason: The tool is ours.
    when: {rule_name: [quiet, Quiet], severity_at_most: medium}
    then: {close: {verdict: benign-positive, at_once: true}}
  - id: slow-tool
    owner: alice@example.org
    reason: The tool is ours, as a rule.
    when: {rule_name: [slow, Slow], severity_at_most: medium}
    then: {close: {verdict: benign-positive}}
  - id: encryption
    owner: bob@example.org
    reason: Minutes count.
    when: {techniques: [T1486]}
    then: {propose: {actions: [{verb: host.isolate, target: host}]}}
  - id: never-happens
    owner: bob@example.org
    when: {techniques: [T1490]}
    then: {escalate: {}}
"""

_TOLD = ("quiet", "slow", "odd", "quiet", "crypt")


@contextmanager
def lived(
    folder: Path, *, alerts: int = 15, policy: bytes = RULES_THEN, tenant: str = "acme", time: FakeTime | None = None
) -> Iterator[tuple[Hub, Path, FakeTime]]:
    """A hub after that many alerts on as many hosts, two minutes apart; the caller may go on with it."""
    time = time or FakeTime()
    simulator = REGISTRY.simulator(pullers()[0])()
    with serve(simulator) as served:
        config = bind(folder, tenant, {"main": (simulator, served.base_url)}, policy=policy, quiet_seconds=90.0)
        with opened(config, time) as hub:
            asyncio.run(_live(hub, simulator, alerts, time))
            yield hub, config, time


async def _live(hub: Hub, simulator: object, alerts: int, time: FakeTime) -> None:
    for number in range(alerts):
        name = _TOLD[number % len(_TOLD)]
        more = {"technique_ids": ("T1486",), "tactic_ids": ("TA0040",)} if name == "crypt" else {}
        told = replace(a_story_alert(f"a-{number}", time.clock(), number, **more), title=name, rule_id=name)
        simulator.add(told)  # type: ignore[attr-defined]  # every simulator has it
        await hub.once()
        time.advance(120.0)
    await hub.once(pull=False)
    await hub.bindings.aclose()
