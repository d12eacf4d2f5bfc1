"""Vendors that end an effect by themselves, each with its own simulator: renewed in time, or told as what it is."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.hubs import REGISTRY, bind

from nightdesk.autonomy.actions import Action, ActionState
from nightdesk.autonomy.admission import Dispatching
from nightdesk.autonomy.clocks import BY_VENDOR, told_end
from nightdesk.autonomy.engine import Engine
from nightdesk.autonomy.switches import Brake, Clearance, Word, free
from nightdesk.connectors.crowdsec.simulator import Simulator as CrowdSec
from nightdesk.connectors.paloalto_firewall.simulator import Simulator as Firewall
from nightdesk.connectors.wazuh.simulator import Simulator as Wazuh
from nightdesk.hub.bindings import Bindings
from nightdesk.hub.config import HubSettings, load_config
from nightdesk.hub.registry import Registry
from nightdesk.hub.store import Store
from nightdesk.hub.store.actions import SqlJournal
from nightdesk.sdk.case import Check
from nightdesk.sdk.context import Settings
from nightdesk.sdk.manifest import OwnClock
from nightdesk.sdk.targets import Target
from nightdesk.sdk.testing import Simulator, serve
from nightdesk.sdk.testing.fake_time import FakeTime

BAD = Target.parse("address:203.0.113.66")
TEN_MINUTES = 600


@dataclass
class Site:
    """One vendor with its clock, and an engine that leases at it."""

    simulator: Any
    blocked: Callable[[], bool]
    settings: HubSettings
    store: Store
    time: FakeTime
    told: list[str] = field(default_factory=list)
    open: bool = True
    killed: int = 0
    """How many calls of a person the process does not survive."""
    brake: Brake = free

    def __post_init__(self) -> None:
        self.journal = SqlJournal(self.store)
        self.restart()

    def restart(self) -> None:
        """A new process on the same store."""
        self.bindings = Bindings(self.settings, REGISTRY, clock=self.time.clock, sleep=self.time.sleep)
        self.engine = Engine(
            self.journal,
            self.bindings,
            self.time.clock,
            guards=(self._guard,),
            brake=self._brake,
            on_attention=self._tell,
        )

    def block(self, lease: float | None, **parameters: Any) -> Action:
        action = self.engine.propose(
            "acme",
            "ip.block",
            BAD,
            requested_by="ann",
            approval="direct",
            case_id="case-1",
            parameters=parameters,
            lease=None if lease is None else timedelta(seconds=lease),
        )
        return self.work(action, 70, step=1)

    def work(self, action: Action, seconds: float, step: float = 10.0, *, throughout: bool | None = None) -> Action:
        """Lets the engine work; ``throughout``: what the vendor must do with the address all the while."""
        asyncio.run(self._work(seconds, step, throughout))
        found = self.journal.get("acme", action.action_id)
        assert found is not None
        return found

    def now(self, action: Action) -> Action:
        return self.work(action, 0)

    def states(self, action: Action) -> list[str]:
        words = [str(line.state) for line in self.journal.history("acme", action.action_id)]
        return [word for at, word in enumerate(words) if at == 0 or words[at - 1] != word]

    async def _work(self, seconds: float, step: float, throughout: bool | None) -> None:
        end = self.time.clock() + timedelta(seconds=seconds)
        try:
            while True:
                for _ in range(100):
                    if not await self.engine.run_once():
                        break
                if self.time.clock() >= end:
                    return
                self.time.advance(step)
                if throughout is not None:
                    assert self.blocked() is throughout, f"not so at {self.time.clock()}"
        finally:
            await self.bindings.aclose()

    def _guard(self, _: Dispatching) -> Check:
        return Check("kill-switch", passed=self.open, value="on", limit="off")

    def _brake(self, action: Action) -> Clearance:
        return self.brake(action)

    def _tell(self, _: Action, text: str) -> None:
        if self.killed:
            self.killed -= 1
            raise KeyboardInterrupt
        self.told.append(text)


@contextmanager
def _site(
    folder: Path,
    make: type[Simulator],
    blocked: Callable[[Any], bool],
    clock: OwnClock | None = None,
    settings: dict[str, Any] | None = None,
) -> Iterator[Site]:
    time = FakeTime()
    simulator = make(clock=time.clock)
    with serve(simulator) as served:
        made = load_config(bind(folder, "acme", {"fw": (simulator, served.base_url)}), REGISTRY)
        made = _configured(made, clock, settings or {})
        store = Store.open(made.store, synchronous="NORMAL")
        try:
            yield Site(simulator, lambda: blocked(simulator), made, store, time)
        finally:
            store.close()


def _configured(settings: HubSettings, clock: OwnClock | None, given: dict[str, Any]) -> HubSettings:
    """What this operator set otherwise, at a vendor with another clock if one is given."""
    tenant = settings.tenants["acme"]
    instance = tenant.instances["fw"]
    manifest = instance.manifest
    if clock is not None:
        block = manifest.acts["ip.block"].model_copy(update={"own_clock": clock})
        manifest = manifest.model_copy(update={"acts": {**manifest.acts, "ip.block": block}})
    changed = replace(instance, manifest=manifest, settings=Settings({**instance.settings.values, **given}))
    return replace(settings, tenants={"acme": replace(tenant, instances={"fw": changed})})


def _crowdsec_bans(simulator: Any) -> bool:
    return any(row.value == BAD.value for row in simulator.decisions.active())


def _gateways_drop(simulator: Any) -> bool:
    simulator.agents.settle()
    return all(BAD.value in simulator.agents.agents[number].drops for number in ("901", "902"))


def _tagged(simulator: Any) -> bool:
    return BAD.value in simulator.tags.tagged(frozenset({"nightdesk-block"}))


@pytest.fixture
def crowdsec(tmp_path: Path) -> Iterator[Site]:
    """Bans have an end, and another one may be added."""
    with _site(tmp_path, CrowdSec, _crowdsec_bans) as site:
        yield site


def test_what_the_vendor_ended_is_told_as_that_and_never_as_our_undo(crowdsec: Site) -> None:
    action = crowdsec.block(None, duration=TEN_MINUTES)
    assert action.state is ActionState.LEASED, "a duration is a lease at the vendor"
    assert crowdsec.blocked()
    action = crowdsec.work(action, TEN_MINUTES + 30)
    assert not crowdsec.blocked()
    assert action.state is ActionState.UNDONE
    assert action.result["undo"] == BY_VENDOR
    assert crowdsec.states(action)[-4:] == ["leased", "expired", "undo_requested", "undone"]
    assert not [one for one in crowdsec.simulator.seen if one.method == "DELETE"], "nothing was ours to end"


def test_a_lease_that_is_longer_than_the_vendors_clock_is_kept_by_asking_again(crowdsec: Site) -> None:
    action = crowdsec.block(3600, duration=TEN_MINUTES)
    action = crowdsec.work(action, 3400, throughout=True)
    assert action.state is ActionState.LEASED
    assert action.result["renewals"] == 1, "the first renewal asks for all that is left of the lease"
    assert not action.result["renewing"]
    action = crowdsec.work(action, 300)
    assert action.state is ActionState.UNDONE
    assert action.result["undo"] == BY_VENDOR, "the renewal asked for as long as the lease, and no longer"
    assert not crowdsec.blocked()
    assert crowdsec.told == []


def test_a_renewal_whose_reply_got_lost_is_one_renewal(crowdsec: Site) -> None:
    action = crowdsec.block(3600, duration=TEN_MINUTES)
    crowdsec.simulator.faults.add("lost_reply", method="POST", path="/v1/alerts", times=1)
    action = crowdsec.work(action, 1200, throughout=True)
    assert action.result["renewals"] == 1
    ours = [one for one in crowdsec.simulator.decisions.decisions.values() if one.value == BAD.value]
    assert len(ours) == 2, "the block and its renewal"


def test_a_kill_before_the_renewal_was_sent_is_made_up_for_under_the_same_key(crowdsec: Site) -> None:
    action = crowdsec.block(3600, duration=TEN_MINUTES)
    crowdsec.simulator.faults.add("server_error", method="POST", path="/v1/alerts")
    action = crowdsec.work(action, 450)
    assert (action.result["renewals"], bool(action.result["renewing"])) == (1, True)
    crowdsec.restart()
    crowdsec.simulator.faults.clear()
    action = crowdsec.work(action, 600, throughout=True)
    assert (action.result["renewals"], action.result["renewing"]) == (1, "")


def test_a_vendor_that_cannot_be_reached_until_its_clock_ran_out_is_told(crowdsec: Site) -> None:
    action = crowdsec.block(3600, duration=TEN_MINUTES)
    crowdsec.simulator.faults.add("server_error", method="POST", path="/v1/alerts")
    action = crowdsec.work(action, 700)
    assert not crowdsec.blocked()
    assert action.state is ActionState.UNDONE
    assert action.result["undo"] == BY_VENDOR
    assert any("before the lease of ours was over" in text for text in crowdsec.told)


def test_a_clock_that_cannot_be_renewed_is_a_loss_that_is_told_at_once(tmp_path: Path) -> None:
    clock = OwnClock(why="it ends", docs="https://docs.example.com", duration=True)
    with _site(tmp_path, CrowdSec, _crowdsec_bans, clock) as site:
        action = site.block(3600, duration=TEN_MINUTES)
        assert action.state is ActionState.LEASED
        assert action.losses == ("lease: the vendor's own clock is shorter",)
        assert len(site.told) == 1
        assert "cannot renew it" in site.told[0]
        action = site.work(action, TEN_MINUTES + 30)
        assert (action.state, action.result["undo"]) == (ActionState.UNDONE, BY_VENDOR)


def test_a_guard_that_says_no_holds_a_renewal_back_and_is_asked_again(crowdsec: Site) -> None:
    action = crowdsec.block(3600, duration=TEN_MINUTES)
    crowdsec.open = False
    action = crowdsec.work(action, 450)
    assert "renewals" not in action.result
    assert len(crowdsec.told) == 1, "a person is called once"
    crowdsec.open = True
    action = crowdsec.work(action, 600, throughout=True)
    assert action.result["renewals"] == 1


@pytest.mark.parametrize("free_for", [0, 1], ids=["before the journal", "after the journal"])
def test_a_stop_holds_a_renewal_back_until_it_is_started_again(crowdsec: Site, free_for: int) -> None:
    action = crowdsec.block(3600, duration=TEN_MINUTES)
    left = [free_for]

    def stopped(_: Action) -> Clearance:
        left[0] -= 1
        return Clearance(Word.GO) if left[0] >= 0 else Clearance(Word.CANCEL, "stopped by ann: drill")

    orders = len(crowdsec.simulator.mutations())
    crowdsec.brake = stopped
    action = crowdsec.work(action, 450)
    assert len(crowdsec.simulator.mutations()) == orders
    assert "stopped by ann: drill" in action.result["clock_held"]
    assert len(crowdsec.told) == 1, "a person is called once"
    crowdsec.brake = free
    action = crowdsec.work(action, 600, throughout=True)
    assert action.result["renewals"] == 1
    assert len(crowdsec.simulator.mutations()) > orders


def test_what_somebody_ended_before_the_clock_is_not_called_the_clocks(crowdsec: Site) -> None:
    action = crowdsec.block(300, duration=TEN_MINUTES)
    for row in crowdsec.simulator.decisions.active():
        crowdsec.simulator.decisions.end(row)
    action = crowdsec.work(action, 400)
    assert action.result["undo"] == "no longer in effect: somebody else took it back before us"


def test_a_vendor_that_refuses_to_say_what_is_so_after_its_end_calls_a_person_once(crowdsec: Site) -> None:
    action = crowdsec.block(3600, duration=TEN_MINUTES)
    crowdsec.simulator.faults.add("missing_scope", path="/v1/")
    action = crowdsec.work(action, 1800)
    assert action.state is ActionState.LEASED
    assert len(crowdsec.told) == 1, crowdsec.told
    assert len(crowdsec.journal.history("acme", action.action_id)) < 12, "the journal is no place for every look"


def test_a_lost_clock_is_asked_again_when_a_person_keeps_the_lease(crowdsec: Site) -> None:
    """What refused for a while (a right that was missing) must not end the block hours later."""
    action = crowdsec.block(3600, duration=TEN_MINUTES)
    crowdsec.simulator.faults.add("missing_scope", method="POST", path="/v1/alerts")
    action = crowdsec.work(action, 460)
    assert "before its lease" in crowdsec.told[-1]
    crowdsec.simulator.faults.clear()
    until = crowdsec.time.clock() + timedelta(hours=2)
    crowdsec.engine.renew(action, until, "bob")
    action = crowdsec.work(action, 3600, throughout=True)
    assert action.result["renewals"] >= 1
    assert not action.result["clock_lost"]


def _refuse(site: Site) -> None:
    site.simulator.faults.add("missing_scope", method="POST", path="/v1/alerts")


def _close(site: Site) -> None:
    site.open = False


def _go_away(site: Site) -> None:
    site.simulator.faults.add("server_error", method="POST", path="/v1/alerts")


@pytest.mark.parametrize("make", [_refuse, _close, _go_away], ids=["lost", "held", "ended"])
def test_a_kill_while_a_person_is_called_calls_again(crowdsec: Site, make: Callable[[Site], None]) -> None:
    """A person is called before the journal says so: twice perhaps, never not."""
    action = crowdsec.block(3600, duration=TEN_MINUTES)
    make(crowdsec)
    crowdsec.killed = 1
    with pytest.raises(KeyboardInterrupt):
        crowdsec.work(action, 700)
    assert crowdsec.told == []
    crowdsec.restart()
    crowdsec.work(action, 60)
    assert len(crowdsec.told) == 1


def test_what_a_second_source_said_while_a_renewal_was_under_way_stays(crowdsec: Site) -> None:
    """Law 7: the answer of the vendor is written beside it, not over it."""
    action = crowdsec.block(3600, duration=TEN_MINUTES)
    doubt = {"witness": {"verdict": "doubtful"}}
    calls = []

    def meanwhile(asked: Action) -> Clearance:
        calls.append(asked)
        if len(calls) == 2:  # the renewal is journalled and about to leave
            now = crowdsec.journal.get("acme", action.action_id)
            assert now is not None
            crowdsec.journal.move(
                now,
                now.state,
                at=crowdsec.time.clock(),
                actor="witness",
                detail=doubt,
                result={**now.result, **doubt},
            )
        return Clearance(Word.GO)

    crowdsec.brake = meanwhile
    action = crowdsec.work(action, 560)
    assert action.result["renewed_at"]
    assert action.result["witness"] == {"verdict": "doubtful"}


def test_a_renewal_that_is_answered_after_its_undo_is_no_lease_again(crowdsec: Site) -> None:
    action = crowdsec.block(3600, duration=TEN_MINUTES)
    calls = []

    def meanwhile(asked: Action) -> Clearance:
        calls.append(asked)
        if len(calls) == 2:
            now = crowdsec.journal.get("acme", action.action_id)
            assert now is not None
            at = crowdsec.time.clock()
            crowdsec.journal.move(now, ActionState.UNDO_REQUESTED, at=at, actor="bob", detail={}, undo_requested_at=at)
        return Clearance(Word.GO)

    crowdsec.brake = meanwhile
    action = crowdsec.work(action, 560)
    assert action.state is ActionState.UNDONE
    assert not crowdsec.blocked()


def test_wazuh_agents_that_undo_a_command_are_told_again_in_time(tmp_path: Path) -> None:
    commands = {"block_commands": f"firewall-drop{TEN_MINUTES}"}
    with _site(tmp_path, Wazuh, _gateways_drop, settings=commands) as site:
        action = site.block(2400)
        assert action.state is ActionState.LEASED
        action = site.work(action, 2200, throughout=True)
        assert action.result["renewals"] >= 3
        action = site.work(action, 900)
        assert (action.state, action.result["undo"]) == (ActionState.UNDONE, "undone and read back")
        assert not site.blocked()


def test_a_tag_of_a_firewall_is_registered_anew_before_its_timeout(tmp_path: Path) -> None:
    with _site(tmp_path, Firewall, _tagged) as site:
        action = site.block(2400, duration=TEN_MINUTES)
        assert action.state is ActionState.LEASED
        action = site.work(action, 2300, throughout=True)
        assert action.result["renewals"] == 1
        action = site.work(action, 300)
        assert action.state is ActionState.UNDONE
        assert not site.blocked()


def test_a_tag_whose_timeout_ran_out_ended_by_the_firewalls_clock(tmp_path: Path) -> None:
    with _site(tmp_path, Firewall, _tagged) as site:
        action = site.work(site.block(None, duration=TEN_MINUTES), TEN_MINUTES + 30)
        assert (action.state, action.result["undo"]) == (ActionState.UNDONE, BY_VENDOR)


NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)
_CLOCK = OwnClock(why="it ends", docs="https://docs.example.com", duration=True, seconds=300)


@pytest.mark.parametrize(
    ("state", "evidence", "parameters", "clock", "end"),
    [
        ({"ends_at": "2026-11-01T13:00:00Z"}, {"ends_at": "2026-11-01T14:00:00Z"}, {}, None, "2026-11-01T13:00:00Z"),
        ({}, {"ends_at": "2026-11-01T14:00:00Z"}, {"duration": 60}, _CLOCK, "2026-11-01T14:00:00Z"),
        ({}, {"ends_at": "soon"}, {"duration": 60}, _CLOCK, "2026-11-01T12:01:00+00:00"),
        ({}, {}, {"duration": 60}, None, ""),
        ({}, {}, {}, _CLOCK, "2026-11-01T12:05:00+00:00"),
        ({}, {}, {}, _CLOCK.model_copy(update={"seconds": None}), ""),
        ({"ends_at": "2026-11-01T13:00:00"}, {}, {}, None, ""),
    ],
)
def test_when_the_vendor_ends_it_is_what_it_told_else_what_was_asked_for(
    state: dict[str, Any], evidence: dict[str, Any], parameters: dict[str, Any], clock: OwnClock | None, end: str
) -> None:
    """A reply that got lost took the receipt with it: the manifest says then how long it lasts."""
    action = Action(
        "acme", "act-1", "ip.block", BAD, 1, "key", ActionState.PENDING, NOON, NOON,
        parameters=parameters, requested_at=NOON, result={"evidence": evidence},
    )  # fmt: skip
    assert told_end(action, state, clock) == end


def test_a_manifest_whose_clock_is_set_by_a_parameter_it_lacks_is_refused() -> None:
    registry: Registry = REGISTRY
    data = registry.manifest("crowdsec").model_dump()
    data["acts"]["ip.block"]["parameters"] = []
    with pytest.raises(ValueError, match="set by duration, which is not among its parameters"):
        type(registry.manifest("crowdsec")).model_validate(data)
