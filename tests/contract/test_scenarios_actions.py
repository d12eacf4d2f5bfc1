"""Scenarios 4, 8 and 12 of the design on a real hub: vendors that lie, hosts nobody may touch, stops and kills.

Vendors are simulators on loopback; what reached them is read off their own books. Laws 4, 5 and 7 are what holds.
"""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from time import sleep
from typing import Any

import pytest
from tests.edrs import CONTAINING, ListeningEdr
from tests.hubs import REGISTRY, a_story_alert, bind, opened, together
from tests.stores import prepared

from nightdesk.autonomy.actions import Action, ActionState
from nightdesk.autonomy.switches import ANYWHERE, Scope, Switch
from nightdesk.connectors.slack.simulator import Simulator as Chat
from nightdesk.connectors.splunk_es.simulator import Simulator as Siem
from nightdesk.hub.config import HubSettings
from nightdesk.hub.hub import Hub
from nightdesk.hub.store import Store, audit, decisions, queries, switches
from nightdesk.hub.switching import stop
from nightdesk.sdk.case import Decision, Outcome
from nightdesk.sdk.context import utc_now
from nightdesk.sdk.ports import SightingKind
from nightdesk.sdk.targets import Target
from nightdesk.sdk.testing import Simulator, StoryDevice, StorySighting, serve
from nightdesk.sdk.testing.fake_time import FakeTime

_S = ActionState
ROOT = Path(__file__).parents[2]
EDR = "crowdstrike_falcon"
DEVICE = StoryDevice("dev-0042", "WS-0042", ("192.0.2.42",))
STRANGER, CHANNEL = "203.0.113.9", "198.51.100.0/24"
ROOM = {"hosts_per_hour": 1.0, "hosts_per_day": 1.0}


def _knowing_its_channel(settings: HubSettings) -> HubSettings:
    """Where the EDR's own agents talk to is known, as its operators have to say."""
    tenants = {
        slug: replace(
            tenant,
            instances={**tenant.instances, "edr": replace(tenant.instances["edr"], management_peers=(CHANNEL,))},
        )
        for slug, tenant in settings.tenants.items()
    }
    return replace(settings, tenants=tenants)


@dataclass
class Place:
    """Tenants with an EDR each in one hub; acme has a SIEM that sees its hosts talk, and a chat where people are."""

    settings: HubSettings
    vendors: dict[str, ListeningEdr]
    siem: Siem
    chat: Any
    time: FakeTime
    hub: Hub
    configs: list[Path]
    runner: asyncio.Runner

    def restart(self) -> None:
        """The process is gone; another one comes up on the same store."""
        self.closes()
        self.hub = Hub(self.settings, REGISTRY, self.hub.store, clock=self.time.clock, sleep=self.time.sleep)

    def closes(self) -> None:
        self.runner.run(self.hub.bindings.aclose())

    def works(self, seconds: float = 0.0, *, pull: bool = False, step: float = 10.0) -> None:
        """Lets the hub work for that long."""
        until = self.time.now + timedelta(seconds=seconds)
        while True:
            self.runner.run(self.hub.once(pull=pull))
            if self.time.now >= until:
                return
            self.time.advance(min(step, (until - self.time.now).total_seconds()))

    def wish(self, host: str = DEVICE.hostname, tenant: str = "acme", by: str = "policy", case: str = "c") -> Action:
        target = Target.parse(f"host:{host.lower()}")
        given: dict[str, Any] = {"requested_by": "autonomy", "approval": by, "case_id": case}
        return self.hub.engine.propose(tenant, "host.isolate", target, **given)

    def now(self, action: Action) -> Action:
        found = self.hub.journal.get(action.tenant, action.action_id)
        assert found is not None
        return found

    def talks(self, peer: str = STRANGER) -> None:
        """The host reaches somebody, as the SIEM sees it."""
        at = self.time.clock()
        self.siem.saw(StorySighting(f"flow-{at}", SightingKind.NETWORK_FLOW, at, DEVICE, peer=peer))

    def isolations(self) -> list[Action]:
        return [one for one in self.hub.journal.in_state(list(_S)) if one.verb == "host.isolate"]

    def decided(self, tenant: str = "acme") -> list[Decision]:
        with self.hub.store.read() as conn:
            rows = queries.case_list(conn, tenant, limit=20)
            return [one for row in rows for one in decisions.decisions(conn, tenant, row.case_id)]

    def said(self) -> list[str]:
        return [str(one["text"]) for one in self.chat.messages()]


@contextmanager
def place(
    folder: Path,
    *tenants: str,
    devices: Sequence[StoryDevice] = (DEVICE,),
    inventory: Sequence[str] = ("WS-0042,workstation,,",),
    policy: bytes | None = None,
    clock: Callable[[], datetime] | None = None,
) -> Iterator[Place]:
    time = FakeTime(utc_now()) if clock else FakeTime()
    vendors: dict[str, ListeningEdr] = {}
    siem, chat = Siem(clock=time.clock), Chat(clock=time.clock)
    with ExitStack() as stack:
        configs = []
        for tenant in tenants or ("acme",):
            simulator: Any = REGISTRY.simulator(EDR)(clock=clock or time.clock)
            simulator.add_devices(devices)
            vendors[tenant] = ListeningEdr(simulator)
            bound: dict[str, tuple[Simulator, str]] = {
                "edr": (simulator, stack.enter_context(serve(vendors[tenant])).base_url)
            }
            approvals: dict[str, Any] = {"people": {name: {"role": "approver"} for name in ("ann", "bob", "cleo")}}
            if tenant == "acme":
                for name, one in (("siem", siem), ("chat", chat)):
                    bound[name] = (one, stack.enter_context(serve(one)).base_url)
                approvals["ask"] = [{"to": "#soc-alerts"}]
            home = folder / tenant
            home.mkdir()
            (home / "assets.csv").write_text("\n".join(["hostname,type,tags,ports", *inventory, ""]), encoding="utf-8")
            given = {"assets": "assets.csv", "approvals": approvals, "limits": ROOM}
            configs.append(bind(home, tenant, bound, policy=policy, signers=("jane", "omar"), **given))
        settings = _knowing_its_channel(together(*configs))
        runner = stack.enter_context(asyncio.Runner())
        with opened(settings, time) as hub:
            made = Place(settings, vendors, siem, chat, time, hub, configs, runner)
            try:
                yield made
            finally:
                made.closes()


class TestScenario4VendorLies:
    """The vendor says that the host is isolated; it is not."""

    @pytest.fixture
    def fleet(self, tmp_path: Path) -> Iterator[Place]:
        with place(tmp_path, "acme", "umbrella") as made:
            made.talks()
            made.time.advance(60)
            yield made

    def test_it_is_contradicted_in_five_minutes_people_hear_of_it_and_no_tenants_policy_uses_it(
        self, fleet: Place
    ) -> None:
        acme = fleet.vendors["acme"]
        acme.simulator.faults.add("lies")
        action = fleet.wish()
        fleet.works(2, step=1)
        assert fleet.now(action).state is _S.LEASED, "the vendor's own state says isolated"
        effective = fleet.now(action).effective_at
        assert effective is not None
        fleet.time.advance(90)
        fleet.talks()  # as a host does that nobody isolated
        fleet.works(120)
        lied = fleet.now(action)
        assert lied.state is _S.CONTRADICTED
        assert lied.updated_at - effective <= timedelta(minutes=5)
        # People are paged where they are, with the evidence, once.
        fleet.works(300)
        (page,) = [text for text in fleet.said() if "ws-0042" in text.lower()]
        assert STRANGER in page
        with fleet.hub.store.read() as conn:
            assert [one.event for one in audit.entries(conn, "acme", limit=1000)].count("action.demoted") == 1
            assert switches.position(conn, Switch(ANYWHERE, Scope.VENDOR_ACTION, f"{EDR}/host.isolate")) is not None
        # No policy of any tenant uses that vendor action; a person's word still does.
        theirs = fleet.wish(tenant="umbrella")
        fleet.works(60)
        held = fleet.now(theirs)
        assert (held.state, held.requested_at) == (_S.AWAITING_APPROVAL, None)
        assert "a second source contradicted it" in held.error
        assert fleet.vendors["umbrella"].orders == []
        fleet.hub.engine.approve(held, "bob")
        fleet.works(60)
        assert fleet.vendors["umbrella"].isolated == {"ws-0042"}

    def test_what_was_accepted_and_never_happened_is_never_called_effective_and_people_hear_of_it(
        self, fleet: Place
    ) -> None:
        """An acknowledgement without effect that the vendor's own state admits."""
        fleet.vendors["acme"].simulator.faults.add("late_effect", options={"seconds": 86400})
        action = fleet.wish()
        fleet.works(930)
        failed = fleet.now(action)
        assert failed.state is _S.UNVERIFIED
        assert failed.effective_at is None
        assert failed.deadline is not None
        assert failed.updated_at - failed.deadline <= timedelta(seconds=10)
        fleet.works(60)
        assert len([text for text in fleet.said() if "ws-0042" in text.lower()]) == 1

    def test_a_vendor_action_that_did_not_work_twice_is_taken_from_every_policy(self, tmp_path: Path) -> None:
        hosts = [StoryDevice(f"dev-{one}", f"WS-{one:04d}", (f"192.0.2.{one}",)) for one in (1, 2, 3)]
        rows = [f"{one.hostname},workstation,," for one in hosts]
        with place(tmp_path, "acme", "umbrella", devices=hosts, inventory=rows) as fleet:
            fleet.vendors["acme"].simulator.faults.add("late_effect", options={"seconds": 86400})
            for one in hosts[:2]:
                fleet.wish(one.hostname)
            fleet.works(930)
            later = fleet.wish(hosts[2].hostname, "umbrella")
            fleet.works(60)
            assert fleet.now(later).state is _S.AWAITING_APPROVAL
            assert fleet.vendors["umbrella"].orders == []


UNKNOWN = ("in no inventory", "not in the inventory")
CONTROLLERS: Mapping[str, tuple[StoryDevice, str, tuple[str, ...]]] = {
    "untagged, and in no inventory": (StoryDevice("dev-1", "CORP-A", ("192.0.2.9",)), "", UNKNOWN),
    "untagged, a server": (
        StoryDevice("dev-1", "CORP-A", ("192.0.2.9",), "server"),
        "CORP-A,server,,",
        ("one person's device",),
    ),
    "untagged, said to be a workstation, and a server to its EDR": (
        StoryDevice("dev-1", "CORP-A", ("192.0.2.9",), "server"),
        "CORP-A,workstation,,",
        ("server",),
    ),
    "untagged, and named as one": (
        StoryDevice("dev-1", "NY-DC01", ("192.0.2.9",)),
        "NY-DC01,workstation,,",
        ("its name says dc",),
    ),
    "untagged, and serving as one": (
        StoryDevice("dev-1", "CORP-A", ("192.0.2.9",)),
        "CORP-A,workstation,,88 389 445",
        ("Kerberos",),
    ),
    "renamed after it was tagged": (
        StoryDevice("dev-1", "CORP-A", ("192.0.2.9",)),
        "CORP-OLD,server,domain-controller,",
        UNKNOWN,
    ),
    "renamed to a plain name, and tagged by its full one": (
        StoryDevice("dev-1", "CORP-A.corp.example.com", ("192.0.2.9",)),
        "CORP-A,workstation,domain-controller,",
        ("tag domain-controller",),
    ),
}


class TestScenario8DomainController:
    """A controller that nobody tagged, or that goes by another name since: nothing of a machine's reaches it."""

    @pytest.mark.parametrize("how", CONTROLLERS)
    @pytest.mark.parametrize("by", ["alert", "policy"])
    def test_it_is_refused_with_the_reason_and_the_vendor_hears_nothing(
        self, how: str, by: str, tmp_path: Path
    ) -> None:
        device, row, why = CONTROLLERS[how]
        rows = [*filter(None, [row]), "WS-0042,workstation,,"]
        with place(tmp_path, devices=[device, DEVICE], inventory=rows, policy=CONTAINING) as here:
            vendor = here.vendors["acme"]
            if by == "alert":
                vendor.simulator.add(a_story_alert("one", here.time.clock(), device=device))
            else:
                here.wish(device.hostname)
            here.works(60, pull=by == "alert")
            assert vendor.heard == []
            assert vendor.orders == []
            assert vendor.isolated == set()
            made = here.isolations()
            told = [action.error for action in made] + [
                f"{check.name}: {check.value} (limit {check.limit})"
                for decision in here.decided()
                for check in decision.checks
                if not check.passed
            ]
            assert any(one in text for text in told for one in why), told
            assert all(action.requested_at is None for action in made)
            assert {action.state for action in made} <= {_S.AWAITING_APPROVAL, _S.CANCELLED}
            if by == "alert":
                assert {one.outcome for one in here.decided()} <= {Outcome.ESCALATE, Outcome.PROPOSE_CONTAINMENT}
            # A plain workstation of the same company, by the same rule, goes at once: the stop is for this host.
            here.wish(case="other")
            here.works(60)
            assert vendor.isolated == {"ws-0042"}

    def test_a_person_alone_does_not_isolate_it_either(self, tmp_path: Path) -> None:
        device = StoryDevice("dev-1", "NY-DC01", ("192.0.2.9",))
        with place(tmp_path, devices=[device], inventory=["NY-DC01,workstation,,"]) as here:
            action = here.wish(device.hostname, by="direct")
            here.works(60)
            assert here.now(action).state is _S.AWAITING_APPROVAL
            assert "its name says dc" in here.now(action).error
            assert here.vendors["acme"].heard == []


class TestScenario12StopsAndKills:
    """A stop holds from the next request on; a killed process is gone on with, and nothing is done twice."""

    def test_thrown_between_decision_and_dispatch_nothing_leaves_and_nothing_starts_by_itself(
        self, tmp_path: Path
    ) -> None:
        with place(tmp_path, policy=CONTAINING) as here:
            vendor = here.vendors["acme"]
            vendor.simulator.add(a_story_alert("one", here.time.clock(), device=DEVICE))
            for feed in here.hub.feeds:
                here.runner.run(feed.once())
            while here.hub.pipeline.step():
                pass
            (made,) = here.isolations()
            assert (made.state, made.requested_at) == (_S.APPROVED, None), "decided, and not sent"
            assert [one.outcome for one in here.decided()] == [Outcome.PROPOSE_CONTAINMENT]
            stop(here.hub.store, Switch("acme", Scope.TENANT), by="ann", reason="drill")
            here.works(3600, step=300)
            here.restart()
            here.works(600)
            assert vendor.heard == []
            assert here.now(made).state is _S.CANCELLED
            assert "stopped by ann: drill" in here.now(made).error

    @pytest.mark.parametrize("at_order", [1, 3])
    def test_thrown_in_mid_dispatch_nothing_is_begun_after_it(self, at_order: int, tmp_path: Path) -> None:
        hosts = [StoryDevice(f"dev-{one}", f"WS-{one:04d}", (f"192.0.2.{one}",)) for one in range(1, 17)]
        rows = [f"{one.hostname},workstation,," for one in hosts]
        with place(tmp_path, devices=hosts, inventory=rows) as here:
            vendor, begun = here.vendors["acme"], set[str]()

            def thrown() -> None:
                stop(here.hub.store, Switch(ANYWHERE, Scope.ALL), by="ann", reason="drill")
                calm = 0
                while calm < 20:  # who asked the switch before that may write so a moment after
                    sleep(0.05)
                    found = {one.action_id for one in here.isolations() if one.requested_at is not None}
                    calm = calm + 1 if found <= begun else 0
                    begun.update(found)

            wishes = [here.wish(one.hostname, case=one.hostname) for one in hosts]
            vendor.at_order, vendor.before = at_order, thrown
            here.works(600)
            sent = {one.target.value for one in map(here.now, wishes) if one.requested_at is not None}
            assert {one.action_id for one in map(here.now, wishes) if one.requested_at is not None} <= begun
            assert vendor.isolated <= sent
            assert len(vendor.orders) == len(vendor.isolated) == len(vendor.heard), "one order a host"
            assert at_order <= len(vendor.heard) < at_order + 8, "eight are worked on at a time"
            held = [one for one in map(here.now, wishes) if one.requested_at is None]
            assert {one.state for one in held} == {_S.CANCELLED}

    @pytest.mark.parametrize("stopped", [False, True], ids=["running", "stopped"])
    def test_killed_between_dispatch_and_record_it_is_found_at_the_vendor_and_not_done_again(
        self, stopped: bool, tmp_path: Path
    ) -> None:
        """A process of its own gets signal 9 when the vendor has carried the order out and before the reply."""
        clocks: list[Callable[[], datetime]] = [utc_now]

        def clock() -> datetime:
            """Ours while there is another process, and then that of the test."""
            return clocks[-1]()

        with place(tmp_path, policy=CONTAINING, clock=clock) as here:
            vendor = here.vendors["acme"]
            here.hub.store.close()
            vendor.simulator.add(a_story_alert("one", utc_now(), device=DEVICE))
            env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, sys.path)])}
            script = ROOT / "tests" / "killed_hub.py"
            child = subprocess.Popen([sys.executable, str(script), str(here.configs[0])], env=env)
            vendor.kills, vendor.at_order = child.pid, 1
            assert child.wait(timeout=120) == -signal.SIGKILL
            assert vendor.isolated == {"ws-0042"}
            here.time.now = utc_now()
            clocks.append(here.time.clock)
            here.hub.store = Store.open(prepared(here.settings.store), clock=here.time.clock, synchronous="NORMAL")
            here.restart()
            (action,) = here.isolations()
            assert (action.state, action.effective_at) == (_S.REQUESTED, None), "sent, and no reply recorded"
            if stopped:
                stop(here.hub.store, Switch("acme", Scope.TENANT), by="ann", reason="drill")
            seen = len(vendor.simulator.seen)
            here.works(600, pull=True)
            assert (len(vendor.heard), vendor.orders) == (1, ["isolate"])
            # It is in force because the vendor was asked, and says so.
            asked = [one for one in vendor.simulator.seen[seen:] if "/devices/entities/devices/" in one.path]
            assert asked
            assert here.now(action).state is _S.LEASED
            # And it ends with its lease, once, whatever is stopped.
            here.works(4 * 3600 + 300, step=600)
            assert here.now(action).state is _S.UNDONE
            assert vendor.isolated == set()
            assert vendor.orders == ["isolate", "release"]
            here.hub.store.close()
