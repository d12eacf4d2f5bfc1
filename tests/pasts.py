"""A tenant's past as a hub really recorded it: alerts of a simulated product, taken in over some hours and decided."""

import asyncio
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml
from tests.hubs import REGISTRY, a_story_alert, bind, opened, pullers

from nightdesk.autonomy.signing import keygen
from nightdesk.hub.hub import Hub
from nightdesk.hub.setup import sign_policy
from nightdesk.sdk.testing import serve
from nightdesk.sdk.testing.fake_time import FakeTime

__all__ = ["RULES_THEN", "Estate", "lived"]

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
    simulator = REGISTRY.simulator(pullers()[0])(clock=time.clock)
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


class Estate:
    """Tenants with a simulated product each, one configuration and one time; every look is by a hub newly started."""

    def __init__(self, stack: ExitStack, folder: Path, *tenants: str, policy: bytes = RULES_THEN) -> None:
        self.time = FakeTime()
        self.folder = folder
        self.simulators = {}
        self._number = 0
        whole: dict[str, Any] = {}
        lead = keygen()
        (folder / "lead.pem").write_bytes(lead.private_pem)
        (folder / "lead.pub").write_bytes(lead.public_pem)
        people = {"abe": "approver", "amy": "approver", "ada": "admin", "ann": "analyst"}
        for slug in tenants:
            simulator = REGISTRY.simulator(pullers()[0])(clock=self.time.clock)
            served = stack.enter_context(serve(simulator))
            secret = folder / "token"
            secret.write_text("not-used-here\n")
            tokens = {name: {"role": role, "secret": f"file:{secret}"} for name, role in people.items()}
            more: dict[str, Any] = {"quiet_seconds": 90.0, "tokens": tokens}
            config = bind(folder / slug, slug, {"main": (simulator, served.base_url)}, policy=policy, **more)
            whole[slug] = _absolute(yaml.safe_load(config.read_text())["tenants"][slug], folder / slug)
            whole[slug]["signers"]["lead"] = str(folder / "lead.pub")
            self.simulators[slug] = simulator
        self.config = folder / "nightdesk.yaml"
        self.config.write_text(yaml.safe_dump({"store": "sqlite:///nightdesk.db", "tenants": whole}))

    @contextmanager
    def hub(self) -> Iterator[Hub]:
        """A hub in the estate's time."""
        with opened(self.config, self.time) as hub:
            yield hub

    def live(self, told: Mapping[str, Sequence[str]], between: float = 120.0) -> None:
        """By tenant one alert of each of these rules, one after the other; then the hub is stopped."""
        with self.hub() as hub:
            asyncio.run(self._live(hub, told, between))

    async def _live(self, hub: Hub, told: Mapping[str, Sequence[str]], between: float) -> None:
        for index in range(max(map(len, told.values()))):
            for slug, names in told.items():
                if index < len(names):
                    self._number += 1
                    one = a_story_alert(f"{slug}-{self._number}", self.time.clock(), self._number)
                    self.simulators[slug].add(replace(one, title=names[index], rule_id=names[index]))
            await hub.once()
            self.time.advance(between)
        await hub.once(pull=False)
        await hub.bindings.aclose()

    def signed(self, policy: bytes, name: str = "new") -> Path:
        """A policy file signed by the lead, whom every tenant trusts."""
        file = self.folder / f"{name}.yaml"
        file.write_bytes(policy)
        sign_policy(file, self.folder / "lead.pem", "lead", at=self.time.now)
        return file


def _absolute(tenant: dict[str, Any], folder: Path) -> dict[str, Any]:
    """The tenant's part of a configuration that stands elsewhere."""
    text = json.dumps(tenant).replace("file:secrets/", f"file:{folder}/secrets/")
    text = text.replace('"policies/', f'"{folder}/policies/')
    made: dict[str, Any] = json.loads(text)
    return made
