"""What follows a contradiction, over a real hub: whose vendor it was, in which tenants, for how long, in what words."""

import asyncio
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.hubs import REGISTRY, bind, together

from nightdesk.autonomy.actions import Action, ActionState
from nightdesk.autonomy.switches import ANYWHERE, Scope, Switch
from nightdesk.autonomy.verification import Verdict, witness_of
from nightdesk.connectors.crowdstrike_falcon.simulator import Simulator as Falcon
from nightdesk.connectors.elastic_security.simulator import Simulator as Elastic
from nightdesk.connectors.splunk_es.simulator import Simulator as Siem
from nightdesk.hub import switching
from nightdesk.hub.api.view import Principal, Role
from nightdesk.hub.config import HubSettings
from nightdesk.hub.hub import Hub
from nightdesk.hub.store import Store, switches
from nightdesk.sdk.ports import SightingKind
from nightdesk.sdk.targets import Target
from nightdesk.sdk.testing import StoryDevice, StorySighting, serve
from nightdesk.sdk.testing.fake_time import FakeTime

DEVICE = StoryDevice("dev-0042", "WS-0042", ("192.0.2.42",))
HOST, STRANGER = Target.parse("host:ws-0042"), "203.0.113.9"
FALCON = Switch(ANYWHERE, Scope.VENDOR_ACTION, "crowdstrike_falcon/host.isolate")
ELASTIC = Switch(ANYWHERE, Scope.VENDOR_ACTION, "elastic_security/host.isolate")


class Fleet:
    """Acme has an EDR and a SIEM, globex the same EDR, initech another vendor's; one hub."""

    def __init__(self, stack: ExitStack, folder: Path) -> None:
        self.time = FakeTime()
        self.edr, self.siem = Falcon(clock=self.time.clock), Siem(clock=self.time.clock)
        self.elastic = Elastic(clock=self.time.clock)
        for one in (self.edr, self.elastic):
            one.add_devices([DEVICE])
        url = {one: stack.enter_context(serve(one)).base_url for one in (self.edr, self.siem, self.elastic)}
        bound: dict[str, dict[str, Any]] = {
            "acme": {"edr": self.edr, "siem": self.siem},
            "globex": {"edr": self.edr},
            "initech": {"edr": self.elastic},
        }
        configs = [
            bind(folder / slug, slug, {name: (one, url[one]) for name, one in named.items()})
            for slug, named in bound.items()
        ]
        self.settings = together(*configs)
        self._peers("acme", "edr")
        self.other = url[self.elastic]
        self.store = Store.open(self.settings.store, clock=self.time.clock, synchronous="NORMAL")
        stack.callback(self.store.close)
        self.hub = self.restart()

    def restart(self, settings: HubSettings | None = None) -> Hub:
        self.settings = settings or self.settings
        self.hub = Hub(self.settings, REGISTRY, self.store, clock=self.time.clock, sleep=self.time.sleep)
        return self.hub

    def rebound(self, **instances: Any) -> HubSettings:
        """Acme with other connectors: by name, None takes one away."""
        tenant = self.settings.tenants["acme"]
        kept = {name: one for name, one in {**tenant.instances, **instances}.items() if one is not None}
        return replace(self.settings, tenants={**self.settings.tenants, "acme": replace(tenant, instances=kept)})

    def _peers(self, slug: str, name: str) -> None:
        one = replace(self.settings.tenants[slug].instances[name], management_peers=("198.51.100.0/24",))
        self.settings = self.rebound(**{name: one})

    def isolate(self, **changes: Any) -> Action:
        self.edr.faults.add("lies")
        wish = self.hub.engine.propose("acme", "host.isolate", HOST, requested_by="ann", approval="direct", **changes)
        self.see()
        self.time.advance(30)
        return self.work(wish, 2, step=1)

    def see(self, **facts: Any) -> None:
        at = self.time.clock()
        flow = StorySighting(f"flow-{at.timestamp()}", SightingKind.NETWORK_FLOW, at, DEVICE, peer=STRANGER, **facts)
        self.siem.saw(flow)

    def work(self, action: Action, seconds: float = 0.0, step: float = 30.0) -> Action:
        async def once() -> None:
            try:
                await self.hub.once(pull=False)
            finally:
                await self.hub.bindings.aclose()

        while True:
            asyncio.run(once())
            if seconds <= 0:
                found = self.hub.journal.get(action.tenant, action.action_id)
                assert found is not None
                return found
            self.time.advance(min(step, seconds))
            seconds -= step

    def contradicted(self, **changes: Any) -> Action:
        action = self.isolate(**changes)
        self.time.advance(90)
        self.see()
        return self.work(action, 120)

    def stopped(self, switch: Switch) -> bool:
        with self.store.read() as conn:
            found = switches.position(conn, switch)
        return found is not None and found.stopped

    def notices(self, slug: str) -> list[str]:
        return [one.text for one in self.hub.notices.standing(slug) if one.kind == "demoted"]


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    for slug in ("acme", "globex", "initech"):
        (tmp_path / slug).mkdir()
    with ExitStack() as stack:
        yield Fleet(stack, tmp_path)


def test_who_lied_is_the_vendor_that_acted_though_its_instance_is_another_vendors_by_now(fleet: Fleet) -> None:
    """A swap keeps the name of the instance: the new vendor has not lied to anybody."""
    action = fleet.isolate()
    new = fleet.settings.tenants["initech"].instances["edr"]
    old = replace(fleet.settings.tenants["acme"].instances["edr"], name="old")
    fleet.restart(fleet.rebound(edr=new, old=old))
    fleet.time.advance(90)
    fleet.see()
    assert fleet.work(action, 120).state is ActionState.CONTRADICTED
    assert not fleet.stopped(ELASTIC)
    assert fleet.stopped(FALCON)


def test_who_lied_is_demoted_though_its_connector_is_bound_no_more(fleet: Fleet) -> None:
    action = fleet.isolate()
    old = replace(fleet.settings.tenants["acme"].instances["edr"], name="old")
    fleet.restart(fleet.rebound(edr=None, old=old))
    fleet.time.advance(90)
    fleet.see()
    action = fleet.work(action, 120)
    assert action.state is ActionState.CONTRADICTED, "the vendor's management is known by its other connector"
    assert fleet.stopped(FALCON)


def test_a_vendor_that_acted_is_no_second_source_under_another_name(fleet: Fleet) -> None:
    """Elastic acted by the instance that is unbound now; Elastic's own telemetry tells nothing independent."""
    elastic = fleet.settings.tenants["initech"].instances["edr"]
    fleet.restart(fleet.rebound(edr=elastic, siem=None))
    wish = fleet.hub.engine.propose("acme", "host.isolate", HOST, requested_by="ann", approval="direct")
    action = fleet.work(wish, 2, step=1)
    assert action.state is ActionState.EFFECTIVE
    fleet.restart(fleet.rebound(edr=None, telemetry=replace(elastic, name="telemetry")))
    action = fleet.work(action, 1200)
    assert not witness_of(action), "the same vendor was asked about itself"


def test_a_demotion_reaches_who_uses_the_vendor_says_what_to_do_and_ends_with_two_persons(fleet: Fleet) -> None:
    action = fleet.contradicted()
    assert action.state is ActionState.CONTRADICTED
    for slug in ("acme", "globex"):
        (text,) = fleet.notices(slug)
        assert "a second source contradicted it" in text
        assert "nightdesk start --all --vendor-action crowdstrike_falcon/host.isolate" in text
        assert "two persons" in text
        assert action.action_id not in text, "law 3: another tenant's action"
        assert "ws-0042" not in text.lower()
        assert "asks a person instead" in text
    assert fleet.notices("initech") == [], "nobody there uses that vendor"
    fleet.restart()
    assert fleet.notices("globex") == []
    fleet.hub.watch()
    (text,) = fleet.notices("globex")
    assert fleet.stopped(FALCON), "a restart lifts nothing"
    admins = [Principal("acme", name, Role.ADMIN, "") for name in ("ann", "bob")]
    known = {(one.tenant, one.name): one for one in admins}
    for number, one in enumerate(admins):
        done = switching.start(
            fleet.store, FALCON, by=one, reason="the agent is mended", known=lambda *who: known.get(who)
        )
        fleet.hub.watch()
        assert done.running is (number == 1)
        assert bool(fleet.notices("globex")) is (number == 0)


def test_a_person_who_undoes_it_first_saves_no_vendor_from_its_demotion(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Undone between what was seen and what follows of it, and the process killed there."""
    action = fleet.isolate()
    fleet.time.advance(90)
    fleet.see()

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(fleet.hub.witness, "_follow", killed)
    with pytest.raises(KeyboardInterrupt):
        fleet.work(action, 120)
    fleet.restart()
    fleet.edr.faults.clear()
    fleet.edr.faults.add("offline_host", options={"device_id": DEVICE.device_id})
    asyncio.run(_undo(fleet, action))
    action = fleet.work(action)
    assert action.state is ActionState.UNDO_REQUESTED
    assert fleet.stopped(FALCON)
    assert witness_of(action)["demoted"]


async def _undo(fleet: Fleet, action: Action) -> None:
    try:
        found = fleet.hub.journal.get(action.tenant, action.action_id)
        assert found is not None
        await fleet.hub.engine.undo(found, actor="bob", reason="false alarm")
    finally:
        await fleet.hub.bindings.aclose()


def test_a_kill_while_a_person_is_called_for_a_doubt_calls_again(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    tenant = fleet.settings.tenants["acme"]
    nameless = replace(tenant.instances["edr"], management_peers=())
    fleet.restart(fleet.rebound(edr=nameless))
    action = fleet.isolate(lease=timedelta(hours=4))
    fleet.time.advance(90)
    fleet.see()

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(fleet.hub.witness._ledger, "_on_attention", killed)
    with pytest.raises(KeyboardInterrupt):
        fleet.work(action, 120)
    fleet.restart()
    told: list[str] = []
    monkeypatch.setattr(fleet.hub.witness._ledger, "_on_attention", lambda _, text: told.append(text))
    action = fleet.work(action, 400)
    assert witness_of(action)["verdict"] == Verdict.DOUBTFUL
    assert len(told) == 1
    assert "management_peers" in told[0]
