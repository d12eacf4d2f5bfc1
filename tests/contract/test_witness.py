"""A vendor's word against another's telemetry, over a real hub: EDR and SIEM are simulators, and nothing else is."""

import asyncio
import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select
from tests.hubs import REGISTRY, a_story_alert, bind, run_cli

from nightdesk.autonomy.actions import Action, ActionState
from nightdesk.autonomy.engine import Approval
from nightdesk.autonomy.verification import Level, Verdict, counts_as_verified, verified_level, witness_of
from nightdesk.connectors.crowdsec.simulator import Simulator as CrowdSec
from nightdesk.connectors.crowdstrike_falcon.simulator import Simulator as Edr
from nightdesk.connectors.okta.simulator import Simulator as Okta
from nightdesk.connectors.splunk_es.simulator import Simulator as Siem
from nightdesk.hub.config import load_config
from nightdesk.hub.console.presentation import case_page_model
from nightdesk.hub.hub import Hub
from nightdesk.hub.store import Store, queries
from nightdesk.hub.store.schema import audit
from nightdesk.sdk.ports import SightingKind
from nightdesk.sdk.targets import Target
from nightdesk.sdk.testing import Simulator, StoryAccount, StoryAlert, StoryDevice, StorySighting, serve
from nightdesk.sdk.testing.fake_time import FakeTime

ANN = StoryAccount("acc-1", "ann", "ann@corp.example.com", "CORP")
DEVICE = StoryDevice("dev-0042", "WS-0042", ("192.0.2.42",))
CHANNEL, STRANGER = "198.51.100.7", "203.0.113.9"
HOST = Target.parse("host:ws-0042")


@dataclass
class Company:
    """One tenant with an EDR that acts and a SIEM that sees; its hosts talk as the EDR really lets them."""

    hub: Hub
    edr: Any
    siem: Siem
    time: FakeTime
    seen: int = 0
    pulls: bool = False

    def talk(self, *peers: str, began: float | None = None) -> None:
        """The host tries to reach these; the SIEM sees what leaves it. Its EDR's channel is always open."""
        self.edr.fleet.settle()
        (device,) = self.edr.fleet.devices.values()
        for peer in peers or (STRANGER,):
            if device.talks or peer == CHANNEL or began is not None:
                self.seen += 1
                at = self.time.clock()
                start = None if began is None else at - timedelta(seconds=began)
                flow = SightingKind.NETWORK_FLOW
                self.siem.saw(StorySighting(f"flow-{self.seen}", flow, at, DEVICE, peer=peer, began=start))

    def isolate(self, approval: Approval = Approval.DIRECT, **changes: Any) -> Action:
        action = self.hub.engine.propose("acme", "host.isolate", HOST, requested_by="ann", approval=approval, **changes)
        return self.work(action, 2, step=1)

    def act(self, verb: str, target: str, **changes: Any) -> Action:
        """A person's own command, until it is read back."""
        wish = self.hub.engine.propose(
            "acme", verb, Target.parse(target), requested_by="ann", approval=Approval.DIRECT, **changes
        )
        return self.work(wish, 2, step=1)

    def see(self, kind: SightingKind, **facts: Any) -> None:
        """The SIEM sees something now."""
        self.seen += 1
        self.siem.saw(StorySighting(f"seen-{self.seen}", kind, self.time.clock(), **facts))

    def work(self, action: Action, seconds: float = 0.0, step: float = 30.0) -> Action:
        """Lets the hub work for that long."""
        while True:
            asyncio.run(self._once())
            if seconds <= 0:
                return self.now(action)
            self.time.advance(min(step, seconds))
            seconds -= step

    def now(self, action: Action) -> Action:
        found = self.hub.journal.get(action.tenant, action.action_id)
        assert found is not None
        return found

    def restart(self) -> None:
        """The process is killed and started again on the same store."""
        self.hub = _hub(self.hub.settings, self.hub.store, self)

    async def _once(self) -> None:
        try:
            await self.hub.once(pull=self.pulls)
        finally:
            await self.hub.bindings.aclose()


def _hub(settings: Any, store: Store, company: "Company | None", time: FakeTime | None = None) -> Hub:
    clock = company.time if company else time
    assert clock is not None
    return Hub(settings, REGISTRY, store, clock=clock.clock, sleep=clock.sleep)


@contextmanager
def _company(folder: Path, actor: type[Simulator] = Edr, **more: Any) -> Iterator[Company]:
    """``actor``: the product that acts; the SIEM beside it is always the same."""
    time = FakeTime()
    edr: Any = actor(clock=time.clock)
    siem = Siem(clock=time.clock)
    edr.add_devices([DEVICE])
    edr.add_accounts([ANN])
    with ExitStack() as stack:
        bound = {
            "edr-main": (edr, stack.enter_context(serve(edr)).base_url),
            "siem-main": (siem, stack.enter_context(serve(siem)).base_url),
        }
        made = load_config(bind(folder, "acme", bound, **more), REGISTRY)
        tenant = made.tenants["acme"]
        instances = {**tenant.instances}
        instances["edr-main"] = replace(instances["edr-main"], management_peers=("198.51.100.0/24",))
        settings = replace(made, tenants={"acme": replace(tenant, instances=instances)})
        store = Store.open(settings.store, synchronous="NORMAL")
        try:
            yield Company(_hub(settings, store, None, time), edr, siem, time)
        finally:
            store.close()


@pytest.fixture
def company(tmp_path: Path) -> Iterator[Company]:
    """Ann's company, before anything happened; its host has just talked."""
    with _company(tmp_path) as made:
        made.talk(STRANGER)
        made.time.advance(60)
        yield made


def events(company: Company, event: str) -> int:
    """How often the audit has it."""
    with company.hub.store.read() as conn:
        return len(conn.execute(select(audit.c.seq).where(audit.c.event == event)).all())


def test_an_isolation_that_is_only_claimed_is_contradicted_demoted_and_a_person_called(company: Company) -> None:
    company.edr.faults.add("lies")
    action = company.isolate(lease=timedelta(hours=4))
    assert action.state is ActionState.LEASED, "the vendor's own state says isolated"
    assert verified_level(action) is Level.V2
    before = events(company, "action.attention")
    company.time.advance(90)
    company.talk(STRANGER, CHANNEL)
    company.time.advance(60)
    action = company.work(action)
    assert action.state is ActionState.CONTRADICTED
    assert STRANGER in action.error, "the evidence is not told"
    assert "siem-main" in action.error
    assert verified_level(action) is Level.V1
    assert not counts_as_verified(action)
    assert events(company, "action.attention") == before + 1
    assert events(company, "action.demoted") == 1
    assert (action.effective_at or company.time.clock()) + timedelta(minutes=5) > action.updated_at, "seen too late"


def test_what_is_seen_later_clears_no_contradiction_and_a_flood_undoes_nothing(company: Company) -> None:
    company.edr.faults.add("lies")
    action = company.isolate()
    company.time.advance(90)
    for _ in range(250):
        company.talk(STRANGER)
    action = company.work(action, 120)
    assert action.state is ActionState.CONTRADICTED
    company.edr.faults.clear()
    for device in company.edr.fleet.devices.values():
        device.lied_about = False  # it works after all
    after = company.work(action, 3600, step=300)
    assert (after.state, after.undone_at) == (ActionState.CONTRADICTED, None)
    assert [order.kind for device in company.edr.fleet.devices.values() for order in device.orders] == ["isolate"]
    assert events(company, "action.demoted") == 1


def test_a_contradicted_containment_still_ends_with_its_lease(company: Company) -> None:
    company.edr.faults.add("lies")
    action = company.isolate(lease=timedelta(hours=1))
    company.time.advance(90)
    company.talk(STRANGER)
    assert company.work(action, 120).state is ActionState.CONTRADICTED
    company.work(action, 3600, step=600)
    assert company.work(action, 5, step=1).state is ActionState.UNDONE
    assert not next(iter(company.edr.fleet.devices.values())).isolated


def test_an_honest_vendor_and_a_host_that_falls_silent(company: Company) -> None:
    action = company.isolate()
    for _ in range(20):
        company.time.advance(60)
        company.talk(STRANGER, CHANNEL)
        action = company.work(action)
    assert action.state is ActionState.EFFECTIVE
    assert (witness_of(action)["verdict"], witness_of(action)["over"]) == (Verdict.SILENT, True)
    assert verified_level(action) is Level.V3
    assert counts_as_verified(action)
    assert events(company, "action.demoted") == 0


def test_a_witness_that_never_saw_the_host_confirms_nothing(tmp_path: Path) -> None:
    with _company(tmp_path) as company:
        action = company.work(company.isolate(), 1200)
        assert witness_of(action)["verdict"] == Verdict.BLIND
        assert verified_level(action) is Level.V2
        assert not counts_as_verified(action)


def test_the_silence_of_the_acting_products_own_sensor_is_no_second_source(tmp_path: Path) -> None:
    """All that this SIEM has of the host is what the EDR's own agent wrote."""
    with _company(tmp_path) as company:
        at = company.time.clock()
        flow = SightingKind.NETWORK_FLOW
        company.siem.saw(StorySighting("own-1", flow, at, DEVICE, peer=STRANGER, provider="crowdstrike:events"))
        company.time.advance(60)
        action = company.work(company.isolate(), 1200)
        assert witness_of(action)["verdict"] == Verdict.BLIND


def test_a_session_from_before_that_is_written_at_its_end_is_no_contradiction(company: Company) -> None:
    action = company.isolate()
    company.time.advance(300)
    company.talk(STRANGER, began=600.0)
    action = company.work(action, 1200)
    assert action.state is ActionState.EFFECTIVE
    assert witness_of(action)["verdict"] == Verdict.SILENT


@pytest.mark.parametrize(
    ("skew", "lies", "verdict"), [(90, False, "silent"), (-90, False, "silent"), (90, True, "contradicted")]
)
def test_a_witness_whose_clock_is_off_is_understood(tmp_path: Path, skew: float, lies: bool, verdict: str) -> None:
    with _company(tmp_path) as company:
        company.siem.faults.add("clock_skew", options={"seconds": skew})
        company.talk(STRANGER)
        company.time.advance(30)
        if lies:
            company.edr.faults.add("lies")
        action = company.isolate()
        company.talk(STRANGER)
        action = company.work(action, 300)
        if lies:
            company.talk(STRANGER)
        action = company.work(action, 1200)
        assert witness_of(action)["verdict"] == verdict


def test_a_witness_whose_clock_is_far_off_calls_a_person_and_demotes_nobody(company: Company) -> None:
    company.siem.faults.add("clock_skew", options={"seconds": 900})
    company.edr.faults.add("lies")
    action = company.isolate()
    before = events(company, "action.attention")
    company.time.advance(120)
    company.talk(STRANGER)
    action = company.work(action, 600)
    assert action.state is ActionState.EFFECTIVE
    assert witness_of(action)["verdict"] == Verdict.DOUBTFUL
    assert events(company, "action.attention") == before + 1, "a person is called once"
    assert events(company, "action.demoted") == 0
    assert not counts_as_verified(action)


def test_a_witness_that_is_down_is_recorded_and_asked_again_and_nothing_is_assumed(company: Company) -> None:
    company.siem.faults.add("server_error", path="/search/")
    action = company.work(company.isolate(), 1200)
    record = witness_of(action)
    assert (record["verdict"], record["over"]) == (Verdict.DOWN, False)
    assert "siem-main could not be asked" in record["by"]["siem-main"]["text"]
    assert not counts_as_verified(action)
    company.siem.faults.clear()
    action = company.work(action, 120)
    assert (witness_of(action)["verdict"], witness_of(action)["over"]) == (Verdict.SILENT, True)


def test_a_witness_that_stays_down_is_given_up_at_the_deadline(company: Company) -> None:
    company.siem.faults.add("server_error", path="/search/")
    action = company.work(company.isolate(), 3900, step=300)
    assert (witness_of(action)["verdict"], witness_of(action)["over"]) == (Verdict.DOWN, True)
    assert not counts_as_verified(action)


def test_a_restart_goes_on_with_the_next_look_and_a_kill_before_the_demotion_makes_up_for_it(company: Company) -> None:
    company.edr.faults.add("lies")
    action = company.work(company.isolate(), 180)
    assert witness_of(action)["looks"] == 1
    company.restart()
    company.talk(STRANGER)

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    company.hub.witness._demote = killed  # the process dies between the journal's line and what follows
    with pytest.raises(KeyboardInterrupt):
        company.work(action, 300)
    assert company.now(action).state is ActionState.CONTRADICTED
    assert events(company, "action.demoted") == 0
    company.restart()
    company.work(action)
    company.work(action)
    assert events(company, "action.demoted") == 1


def test_an_alert_of_another_product_contradicts_without_anybody_being_asked(tmp_path: Path) -> None:
    with _company(tmp_path, witness={"ask": []}) as company:
        action = company.isolate()
        company.time.advance(300)
        at = company.time.clock()
        company.siem.add(
            StoryAlert(
                "beacon-1",
                at,
                "Beacon to a known control server",
                "c2-beacon",
                "high",
                raised_at=at,
                device=DEVICE,
                source_address="192.0.2.42",
                destination_address=STRANGER,
                destination_port=443,
                technique_ids=("T1071.001",),
                tactic_ids=("TA0011",),
            )
        )
        company.time.advance(5)
        company.pulls = True
        action = company.work(action)
        assert action.state is ActionState.CONTRADICTED
        assert "alerts of siem-main" in next(iter(witness_of(action)["by"]))
        assert events(company, "action.demoted") == 1


def test_a_disabled_account_that_still_gets_in_is_contradicted(tmp_path: Path) -> None:
    with _company(tmp_path, Okta) as company:
        company.edr.faults.add("lies")
        action = company.act("account.disable", f"account:{ANN.email}")
        assert action.state is ActionState.EFFECTIVE, "the directory says suspended"
        company.time.advance(360)
        assert next(iter(company.edr.directory.accounts.values())).signs_in
        company.see(SightingKind.SIGN_IN, account=ANN, provider="okta")
        company.time.advance(5)
        action = company.work(action)
        assert action.state is ActionState.CONTRADICTED
        assert ANN.email in action.error


@pytest.mark.parametrize(
    ("kind", "provider", "verdict", "state", "level"),
    [
        (SightingKind.SIGN_IN_REFUSED, "okta", Verdict.CONFIRMED, ActionState.EFFECTIVE, Level.V3),
        (SightingKind.SIGN_IN, "azure_ad", Verdict.DOUBTFUL, ActionState.EFFECTIVE, Level.V2),
        (SightingKind.LOGON, "", Verdict.DOUBTFUL, ActionState.EFFECTIVE, Level.V2),
    ],
)
def test_what_a_disabled_account_does_elsewhere_is_no_lie_of_its_provider(
    tmp_path: Path, kind: SightingKind, provider: str, verdict: Verdict, state: ActionState, level: Level
) -> None:
    with _company(tmp_path, Okta) as company:
        action = company.act("account.disable", f"account:{ANN.email}")
        company.time.advance(400)
        company.see(kind, account=ANN, provider=provider, device=DEVICE)
        action = company.work(action, 1500, step=100)
        assert (witness_of(action)["verdict"], action.state, verified_level(action)) == (verdict, state, level)
        assert counts_as_verified(action) is (verdict is Verdict.CONFIRMED)


@pytest.mark.parametrize(
    ("kinds", "verdict", "state"),
    [
        ((SightingKind.BLOCKED_FLOW,), Verdict.CONFIRMED, ActionState.LEASED),
        ((SightingKind.BLOCKED_FLOW, SightingKind.NETWORK_FLOW), Verdict.CONTRADICTED, ActionState.CONTRADICTED),
        ((), Verdict.BLIND, ActionState.LEASED),
    ],
)
def test_a_blocked_address_is_confirmed_by_a_drop_and_contradicted_by_a_flow(
    tmp_path: Path, kinds: tuple[SightingKind, ...], verdict: Verdict, state: ActionState
) -> None:
    with _company(tmp_path, CrowdSec) as company:
        action = company.act("ip.block", f"address:{STRANGER}", lease=timedelta(hours=4))
        company.time.advance(150)
        for kind in kinds:
            company.see(kind, device=DEVICE, peer=STRANGER)
        action = company.work(action, 1200, step=60)
        assert (witness_of(action)["verdict"], action.state) == (verdict, state)


@pytest.mark.parametrize(("flows", "stranger", "verdict"), [(260, True, "contradicted"), (1100, False, "blind")])
def test_a_busy_channel_hides_no_stranger_and_too_much_to_read_is_no_silence(
    company: Company, flows: int, stranger: bool, verdict: str
) -> None:
    company.edr.faults.add("lies")
    action = company.isolate()
    company.time.advance(61)
    for _ in range(flows):
        company.time.advance(0.02)
        company.talk(CHANNEL)
    if stranger:
        company.talk(STRANGER)
    action = company.work(action, 90)
    assert witness_of(action)["verdict"] == verdict


def test_a_witness_that_was_down_and_whose_clock_is_far_off_is_blind_when_it_is_back(company: Company) -> None:
    company.siem.faults.add("clock_skew", options={"seconds": 900})
    company.siem.faults.add("server_error", path="/")
    action = company.work(company.isolate(), 130)
    assert witness_of(action)["verdict"] == Verdict.DOWN
    company.siem.faults.faults.pop()
    action = company.work(action, 1200)
    assert witness_of(action)["by"]["siem-main"]["skew"] == pytest.approx(900, abs=2)
    assert witness_of(action)["verdict"] == Verdict.BLIND
    assert not counts_as_verified(action)


def test_people_see_how_far_an_effect_is_verified(company: Company, tmp_path: Path) -> None:
    company.siem.add(a_story_alert("seen-1", company.time.clock(), device=DEVICE))
    company.time.advance(60)
    company.pulls = True
    asyncio.run(company._once())
    company.pulls = False
    with company.hub.store.read() as conn:
        (row,) = queries.case_list(conn, "acme")
    action = company.work(company.isolate(case_id=row.case_id), 120)
    with company.hub.store.read() as conn:
        page = queries.case_page(conn, "acme", row.case_id)
    assert page is not None
    (card,) = case_page_model(page, company.time.clock())["actions"]
    assert dict(card.facts)["Verified"] == "V2, second source silent, so far"
    assert "siem-main saw host:ws-0042 before" in dict(card.facts)["Second source"]
    company.work(action, 1200)
    config = tmp_path / "nightdesk.yaml"
    shown = run_cli("cases", "show", row.case_id, "--tenant", "acme", "--config", config)
    assert "V3, second source silent" in shown.stdout
    told = run_cli("cases", "show", row.case_id, "--tenant", "acme", "--config", config, "--json")
    assert json.loads(told.stdout)["verified"] == {action.action_id: "V3"}


def test_what_the_witness_sees_raises_no_autonomy_and_what_was_so_before_is_not_looked_at(company: Company) -> None:
    next(iter(company.edr.fleet.devices.values())).isolated = True
    action = company.work(company.isolate(), 1200)
    assert (action.state, action.changed) == (ActionState.EFFECTIVE, False)
    assert not witness_of(action)
