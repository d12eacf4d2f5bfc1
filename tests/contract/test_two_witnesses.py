"""Two second sources over a real hub: whoever contradicts wins (law 7), and who says nothing confirms nothing."""

import asyncio
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select
from tests.hubs import REGISTRY, bind

from nightdesk.autonomy.actions import Action, ActionState
from nightdesk.autonomy.engine import Approval
from nightdesk.autonomy.verification import Level, Verdict, counts_as_verified, verified_level, witness_of
from nightdesk.connectors.crowdsec.simulator import Simulator as CrowdSec
from nightdesk.connectors.crowdstrike_falcon.simulator import Simulator as Falcon
from nightdesk.connectors.google_secops.simulator import Simulator as SecOps
from nightdesk.connectors.ibm_qradar.simulator import Simulator as QRadar
from nightdesk.connectors.okta.simulator import Simulator as Okta
from nightdesk.hub.config import load_config
from nightdesk.hub.hub import Hub
from nightdesk.hub.store import Store
from nightdesk.hub.store.schema import audit
from nightdesk.sdk.ports import SightingKind
from nightdesk.sdk.targets import Target
from nightdesk.sdk.testing import Simulator, StoryAccount, StoryDevice, StorySighting, serve
from nightdesk.sdk.testing.fake_time import FakeTime

K = SightingKind
ANN = StoryAccount("acc-1", "ann", "ann@corp.example.com", "CORP")
DEVICE = StoryDevice("dev-0042", "WS-0042", ("192.0.2.42",))
STRANGER = "203.0.113.9"
BAD = f"address:{STRANGER}"


@dataclass
class Company:
    """One tenant with a product that acts and two others that see."""

    hub: Hub
    secops: SecOps
    qradar: QRadar
    time: FakeTime
    seen: int = 0

    def act(self, verb: str, target: str, **changes: Any) -> Action:
        wish = self.hub.engine.propose(
            "acme", verb, Target.parse(target), requested_by="ann", approval=Approval.DIRECT, **changes
        )
        return self.work(wish, 2, step=1)

    def see(self, witness: Simulator, kind: SightingKind, **facts: Any) -> None:
        """One of them sees something now, as its own records show it."""
        self.seen += 1
        given = {"device": DEVICE, "peer": STRANGER, **facts}
        witness.saw(StorySighting(f"seen-{self.seen}", kind, self.time.clock(), **given))

    def work(self, action: Action, seconds: float, step: float = 60.0) -> Action:
        while True:
            asyncio.run(self._once())
            if seconds <= 0:
                found = self.hub.journal.get(action.tenant, action.action_id)
                assert found is not None
                return found
            self.time.advance(min(step, seconds))
            seconds -= step

    def words(self, action: Action) -> dict[str, str]:
        return {name: one["verdict"] for name, one in witness_of(action)["by"].items()}

    def events(self, event: str) -> int:
        with self.hub.store.read() as conn:
            return len(conn.execute(select(audit.c.seq).where(audit.c.event == event)).all())

    async def _once(self) -> None:
        try:
            await self.hub.once(pull=False)
        finally:
            await self.hub.bindings.aclose()


@contextmanager
def _company(folder: Path, actor: type[Simulator]) -> Iterator[Company]:
    time = FakeTime()
    acting: Any = actor(clock=time.clock)
    secops, qradar = SecOps(clock=time.clock), QRadar(clock=time.clock)
    acting.add_devices([DEVICE])
    acting.add_accounts([ANN])
    with ExitStack() as stack:
        named = {"secops": secops, "qradar": qradar, "acting": acting}  # the last has the roles that several have
        bound = {name: (one, stack.enter_context(serve(one)).base_url) for name, one in named.items()}
        made = load_config(bind(folder, "acme", bound), REGISTRY)
        tenant = made.tenants["acme"]
        instance = replace(tenant.instances["acting"], management_peers=("198.51.100.0/24",))
        tenant = replace(tenant, instances={**tenant.instances, "acting": instance})
        settings = replace(made, tenants={"acme": tenant})
        store = Store.open(settings.store, synchronous="NORMAL")
        try:
            yield Company(Hub(settings, REGISTRY, store, clock=time.clock, sleep=time.sleep), secops, qradar, time)
        finally:
            store.close()


@pytest.fixture
def firewalled(tmp_path: Path) -> Iterator[Company]:
    """CrowdSec blocks; both of the others saw the address before."""
    with _company(tmp_path, CrowdSec) as made:
        made.see(made.secops, K.NETWORK_FLOW)
        made.see(made.qradar, K.NETWORK_FLOW)
        made.time.advance(60)
        yield made


@pytest.mark.parametrize("against", ["secops", "qradar"])
@pytest.mark.parametrize("other", ["confirms", "is silent", "is down"])
def test_law_7_the_one_that_contradicts_wins_whatever_the_other_says(
    firewalled: Company, against: str, other: str
) -> None:
    company = firewalled
    action = company.act("ip.block", BAD, lease=timedelta(hours=4))
    liar: Simulator = getattr(company, against)
    beside: Simulator = company.qradar if against == "secops" else company.secops
    if other == "is down":
        beside.faults.add("server_error", path="/")
    company.time.advance(150)
    if other == "confirms":
        company.see(beside, K.BLOCKED_FLOW)
    company.see(liar, K.NETWORK_FLOW)
    action = company.work(action, 90)
    said = {"confirms": Verdict.CONFIRMED, "is silent": Verdict.SILENT, "is down": Verdict.DOWN}[other]
    name = "qradar" if against == "secops" else "secops"
    assert company.words(action) == {against: Verdict.CONTRADICTED, name: said}
    assert witness_of(action)["verdict"] == Verdict.CONTRADICTED
    assert (action.state, verified_level(action)) == (ActionState.CONTRADICTED, Level.V1)
    assert not counts_as_verified(action)
    assert against in action.error
    assert company.events("action.demoted") == 1


def test_law_7_a_confirmation_that_came_first_does_not_hold_against_a_contradiction_that_comes_later(
    firewalled: Company,
) -> None:
    company = firewalled
    action = company.act("ip.block", BAD, lease=timedelta(hours=4))
    company.time.advance(150)
    company.see(company.secops, K.BLOCKED_FLOW)
    company.see(company.qradar, K.BLOCKED_FLOW)
    action = company.work(action, 90)
    assert (witness_of(action)["verdict"], verified_level(action)) == (Verdict.CONFIRMED, Level.V3)
    company.see(company.qradar, K.NETWORK_FLOW)
    action = company.work(action, 300)
    assert (action.state, company.words(action)["qradar"]) == (ActionState.CONTRADICTED, Verdict.CONTRADICTED)
    company.see(company.secops, K.BLOCKED_FLOW)
    company.see(company.qradar, K.BLOCKED_FLOW)
    action = company.work(action, 1200)
    assert action.state is ActionState.CONTRADICTED, "what is seen later clears nothing"
    assert company.events("action.demoted") == 1


def test_who_says_nothing_confirms_nothing_however_often_it_is_asked(firewalled: Company) -> None:
    company = firewalled
    action = company.work(company.act("ip.block", BAD, lease=timedelta(hours=4)), 1500)
    assert witness_of(action)["over"], "all looks are over"
    assert company.words(action) == {"secops": Verdict.SILENT, "qradar": Verdict.SILENT}
    assert (witness_of(action)["verdict"], verified_level(action)) == (Verdict.SILENT, Level.V2)
    assert action.state is ActionState.LEASED


def test_who_never_saw_the_target_says_nothing_and_is_not_even_counted(tmp_path: Path) -> None:
    with _company(tmp_path, CrowdSec) as company:
        action = company.work(company.act("ip.block", BAD, lease=timedelta(hours=4)), 1500)
        assert company.words(action) == {"secops": Verdict.BLIND, "qradar": Verdict.BLIND}
        assert verified_level(action) is Level.V2
        assert not counts_as_verified(action)


def test_the_silence_of_one_takes_nothing_from_what_the_other_saw(firewalled: Company) -> None:
    company = firewalled
    action = company.act("ip.block", BAD, lease=timedelta(hours=4))
    company.time.advance(150)
    company.see(company.qradar, K.BLOCKED_FLOW)
    action = company.work(action, 1500)
    assert company.words(action) == {"secops": Verdict.SILENT, "qradar": Verdict.CONFIRMED}
    assert (witness_of(action)["verdict"], verified_level(action)) == (Verdict.CONFIRMED, Level.V3)


def test_an_isolated_host_that_both_still_see_to_leave_is_contradicted_by_its_flows(tmp_path: Path) -> None:
    """What the EDR lets through is what both see: here its own word is a lie."""
    with _company(tmp_path, Falcon) as company:
        company.see(company.secops, K.NETWORK_FLOW)
        company.see(company.qradar, K.NETWORK_FLOW)
        company.time.advance(60)
        action = company.act("host.isolate", "host:ws-0042")
        company.time.advance(120)
        company.see(company.qradar, K.NETWORK_FLOW, peer="198.51.100.7")
        action = company.work(action, 60)
        assert company.words(action) == {"secops": Verdict.SILENT, "qradar": Verdict.SILENT}, "its own management"
        company.see(company.qradar, K.NETWORK_FLOW)
        action = company.work(action, 300)
        assert company.words(action) == {"secops": Verdict.SILENT, "qradar": Verdict.CONTRADICTED}
        assert action.state is ActionState.CONTRADICTED


def test_a_permit_alone_calls_a_person_and_demotes_nobody(firewalled: Company) -> None:
    """It may be of a session that is older than the block: the console does not tell when it began."""
    company = firewalled
    action = company.act("ip.block", BAD, lease=timedelta(hours=4))
    company.time.advance(150)
    company.see(company.qradar, K.NETWORK_FLOW, provider="firewall")
    action = company.work(action, 90)
    assert company.words(action) == {"secops": Verdict.SILENT, "qradar": Verdict.DOUBTFUL}
    assert action.state is ActionState.LEASED
    assert company.events("action.demoted") == 0
    assert company.events("action.attention") == 1


@pytest.mark.parametrize("witness", ["secops", "qradar"])
@pytest.mark.parametrize(
    ("kind", "provider", "verdict"),
    [
        (K.SIGN_IN, "okta", Verdict.CONTRADICTED),
        (K.SIGN_IN_REFUSED, "okta", Verdict.CONFIRMED),
        (K.SIGN_IN, "microsoft_entra_id", Verdict.DOUBTFUL),
        (K.LOGON, "", Verdict.DOUBTFUL),
    ],
)
def test_a_disabled_account_is_held_against_its_sign_ins(
    tmp_path: Path, witness: str, kind: SightingKind, provider: str, verdict: Verdict
) -> None:
    with _company(tmp_path, Okta) as company:
        action = company.act("account.disable", f"account:{ANN.email}")
        assert action.state is ActionState.EFFECTIVE
        company.time.advance(360)
        company.see(getattr(company, witness), kind, account=ANN, provider=provider)
        company.time.advance(5)
        action = company.work(action, 30)
        assert company.words(action)[witness] == verdict
        assert witness_of(action)["verdict"] == verdict
