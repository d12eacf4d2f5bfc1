"""Guardrails by their number, on the real hub with real simulators: what is held back is not sent, whoever proposed it.

Number 5 (the kill switch) and the fleet's part of 2 have tests of their own.
"""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.acting import Ticking
from tests.hubs import REGISTRY, VENDORS, a_story_alert, bind, opened, run_cli

from nightdesk.autonomy.actions import Action, ActionState
from nightdesk.autonomy.admission import losses
from nightdesk.autonomy.decide import CAUTION, DecisionContext, decide
from nightdesk.autonomy.engine import Engine
from nightdesk.autonomy.guardrails import AssetFacts
from nightdesk.autonomy.guards import standing_guards
from nightdesk.autonomy.policy_file import parse_policy
from nightdesk.autonomy.routing import Route
from nightdesk.autonomy.signing import Signature, SignedPolicy, sidecar_of
from nightdesk.hub.config import TenantSettings
from nightdesk.hub.hub import Hub
from nightdesk.hub.lookout import HubLookout
from nightdesk.hub.setup import sign_policy
from nightdesk.hub.shared import bundled
from nightdesk.hub.store import Store, audit, queries
from nightdesk.hub.store.actions import SqlJournal
from nightdesk.sdk import manifest
from nightdesk.sdk.case import CaseStatus, Outcome
from nightdesk.sdk.errors import NightdeskError, PolicyError
from nightdesk.sdk.ports import Command, Effect, Reading, Receipt
from nightdesk.sdk.targets import Account, Asset, Target
from nightdesk.sdk.testing import Simulator, StoryAccount, StoryDevice, serve
from nightdesk.sdk.testing.cases import CASE_TIME, a_case, an_alert, an_entity
from nightdesk.sdk.testing.fake_time import FakeTime
from nightdesk.sdk.testing.subject import ACCOUNT, DEVICE, GROUP, KEY, OBSERVABLES, PROCESS
from nightdesk.sdk.verbs import VERBS, Risk, TargetKind, verb
from nightdesk.stix.ids import TenantKey
from nightdesk.stix.scope import Scope

_S = ActionState
EDR, IDENTITY = "crowdstrike_falcon", "okta"
POLICY = b"""policy_id: guardrails
version: 1
rules:
  - id: hands-off
    owner: jane
    then:
      never_touch: {assets: ["crown-*"], accounts: [boss], addresses: [198.51.100.0/24], domains: [bank.example]}
  - id: closes-it
    owner: jane
    when: {rule_name: UnusualTool, severity_at_most: high}
    then: {close: {verdict: benign-positive, at_once: true}}
"""
ALWAYS = {"name": "move", "starts": "2026-01-01T00:00:00Z", "ends": "2027-01-01T00:00:00Z"}
RESTRICTING = sorted(one.name for one in VERBS.values() if one.risk >= Risk.R2 and one.name == one.family)
OFFERED = [name for name in RESTRICTING if any(name in one.acts for one in REGISTRY.manifests.values())]
_HERE = {"hostname": DEVICE.hostname, "pid": str(PROCESS.pid), "path": PROCESS.path}
TARGETS: Mapping[TargetKind, Target] = {
    **OBSERVABLES,
    TargetKind.HOST: Target(TargetKind.HOST, DEVICE.hostname),
    TargetKind.PROCESS: Target(TargetKind.PROCESS, PROCESS.name, _HERE),
    TargetKind.FILE: Target(TargetKind.FILE, f"sha256:{PROCESS.sha256}", _HERE),
    TargetKind.ACCOUNT: Target(TargetKind.ACCOUNT, ACCOUNT.email, {"name": ACCOUNT.name}),
    TargetKind.MEMBERSHIP: Target(TargetKind.MEMBERSHIP, f"{ACCOUNT.email}/{GROUP}"),
    TargetKind.CREDENTIAL: Target(TargetKind.CREDENTIAL, f"{ACCOUNT.email}/{KEY}"),
    TargetKind.INDICATOR: Target(TargetKind.INDICATOR, "domain:bad.example.com"),
    TargetKind.SENDER: Target(TargetKind.SENDER, "mallory@bad.example.com"),
    TargetKind.EMAIL: Target(TargetKind.EMAIL, "message-1@bad.example.com"),
}
ON_ASSETS = [
    name
    for name in OFFERED
    if name.startswith("file.") or verb(name).target in set(TARGETS) - {*OBSERVABLES, "indicator", "sender", "email"}
]
"""Verbs that are felt by a host or an account."""


@dataclass
class Desk:
    """A tenant with one vendor bound, its hub, and time that stands still until it is moved."""

    hub: Hub
    simulator: Simulator
    time: FakeTime
    config: Path
    number: Iterator[int] = field(default_factory=count)

    def wish(self, name: str, target: str | Target = "host:ws-0042", by: str = "policy", **more: Any) -> Action:
        given: dict[str, Any] = {"requested_by": "ann", "case_id": f"case-{next(self.number)}", **more}
        aim = Target.parse(target) if isinstance(target, str) else target
        return self.hub.engine.propose("acme", name, aim, approval=by, **given)

    def run(self, seconds: int = 0) -> None:
        """Lets the engine work for that long."""

        async def go() -> None:
            for left in range(seconds // 5, -1, -1):
                while await self.hub.engine.run_once():
                    pass
                self.time.advance(5 if left else 0)

        self._in_a_loop(go())

    def pull(self) -> None:
        self._in_a_loop(self.hub.once())

    def _in_a_loop(self, work: Any) -> None:
        async def go() -> None:
            try:
                await work
            finally:
                await self.hub.bindings.aclose()  # a connector lives in the loop that made it

        asyncio.run(go())

    def now(self, action: Action) -> Action:
        found = self.hub.journal.get("acme", action.action_id)
        assert found is not None
        return found

    def asked(self, action: Action) -> str:
        """What a person is asked about it; nothing was sent for it."""
        held = self.now(action)
        assert held.state is _S.AWAITING_APPROVAL, (held.state, held.error)
        assert (held.approval, held.approved_by, held.requested_at) == ("human", "", None)
        assert self.called(action)
        return held.error

    def approve(self, action: Action, by: str = "bob") -> None:
        self.hub.engine.approve(self.now(action), by)

    def called(self, action: Action) -> list[str]:
        """What people were told about it."""
        with self.hub.store.read() as conn:
            lines = audit.entries(conn, "acme", limit=1000)
        return [str(one.detail["text"]) for one in lines if one.detail.get("action_id") == action.action_id]

    @property
    def isolated(self) -> list[str]:
        self.simulator.fleet.settle()
        return sorted(one.hostname for one in self.simulator.fleet.devices.values() if one.isolated)


@contextmanager
def desk(
    folder: Path,
    vendor: str = EDR,
    *,
    inventory: Sequence[str] = ("WS-0042,workstation,,",),
    devices: Sequence[StoryDevice] = (DEVICE,),
    accounts: Sequence[StoryAccount] = (ACCOUNT,),
    **tenant: Any,
) -> Iterator[Desk]:
    time = FakeTime()
    simulator = REGISTRY.simulator(vendor)(clock=time.clock)
    simulator.add_devices(devices)
    simulator.add_accounts(accounts)
    (folder / "assets.csv").write_text("\n".join(["hostname,type,tags,ports", *inventory, ""]), encoding="utf-8")
    people: dict[str, Any] = {"approvals": {"people": {name: {"role": "approver"} for name in ("ann", "bob", "carol")}}}
    with serve(simulator) as served:
        bound = {"main": (simulator, served.base_url)}
        config = bind(folder, "acme", bound, assets="assets.csv", **people, **tenant)
        rules = folder / "policies" / "acme.yaml"
        rules.write_bytes(POLICY)
        sidecar_of(rules).unlink()
        sign_policy(rules, folder / "secrets" / "owner.pem", "owner", at=time.clock())
        with opened(config) as made:
            hub = Hub(made.settings, REGISTRY, made.store, clock=time.clock, sleep=time.sleep)
            yield Desk(hub, simulator, time, config)


def offering(name: str) -> str:
    """The first vendor that can do it."""
    return next(vendor for vendor in [EDR, IDENTITY, *VENDORS] if name in REGISTRY.manifests[vendor].acts)


# 1. The protected set; unknown counts as protected.


@pytest.mark.parametrize("name", ON_ASSETS)
def test_1_nothing_is_sent_for_an_unknown_host_or_a_mighty_account_that_only_policy_let_go(
    name: str, tmp_path: Path
) -> None:
    mighty = replace(ACCOUNT, groups=(GROUP, "Domain Admins"), privileged=True)
    with desk(tmp_path, offering(name), inventory=(), accounts=(mighty,)) as here:
        action = here.wish(name, TARGETS[verb(name).target])
        here.run()
        held = here.now(action)
        assert held.state in {_S.AWAITING_APPROVAL, _S.FAILED}, (held.state, held.error)
        assert held.requested_at is None
        assert here.simulator.mutations() == []


@pytest.mark.parametrize("by", ["policy", "direct", "human"])
def test_1_what_a_rule_protects_is_touched_by_nobody(by: str, tmp_path: Path) -> None:
    crown = StoryDevice("dev-1", "CROWN-1", ("192.0.2.9",))
    with desk(tmp_path, devices=[crown], inventory=["CROWN-1,workstation,,"]) as here:
        action = here.wish("host.isolate", "host:crown-1", by)
        if by == "human":
            here.approve(action)
        here.run()
        assert here.now(action).state is _S.CANCELLED
        assert "never-touch" in here.now(action).error
        assert here.simulator.mutations() == []


def test_1_nor_under_another_name_of_it(tmp_path: Path) -> None:
    hidden = StoryDevice("dev-1", "WS-0042", ("198.51.100.7",))
    with desk(tmp_path, devices=[hidden]) as here:
        action = here.wish("host.isolate", by="direct")
        here.run()
        assert "never-touch" in here.now(action).error
        assert here.simulator.mutations() == []


def test_1_nor_from_the_command_line(tmp_path: Path) -> None:
    crown = StoryDevice("dev-1", "CROWN-1", ("192.0.2.9",))
    with desk(tmp_path, devices=[crown]) as here:
        done = run_cli(
            "act", "host.isolate", "host:CROWN-1", "--tenant", "acme", "--as", "ann", "--config", here.config
        )
        assert done.exit_code == 1
        assert here.simulator.mutations() == []


@pytest.mark.parametrize(
    ("row", "why"),
    [
        ("WS-0042,workstation,domain-controller,", "tag domain-controller"),
        ("WS-0042,workstation,,3268", "global catalogue"),
        ("WS-0042,network-device,,", "asset type"),
    ],
)
@pytest.mark.parametrize("by", ["policy", "direct"])
def test_1_what_any_source_calls_protected_takes_a_second_person_and_then_goes(
    row: str, why: str, by: str, tmp_path: Path
) -> None:
    with desk(tmp_path, inventory=[row]) as here:
        action = here.wish("host.isolate", by=by)
        here.run()
        assert why in here.asked(action)
        assert here.simulator.mutations() == []
        with pytest.raises(PolicyError):
            here.approve(action, "ann")
        here.approve(action)
        here.run(60)
        assert here.isolated == ["WS-0042"]


def test_1_a_group_of_the_directory_protects_an_account(tmp_path: Path) -> None:
    mighty = replace(ACCOUNT, groups=(GROUP, "Domain Admins"))
    with desk(tmp_path, IDENTITY, accounts=[mighty]) as here:
        for by in ("policy", "direct"):
            action = here.wish("account.disable", TARGETS[TargetKind.ACCOUNT], by)
            here.run()
            assert "Domain Admins" in here.asked(action)
            here.hub.engine.reject(here.now(action), "bob")
        assert here.simulator.mutations() == []


# 2. Blast radius.


def fleet(number: int) -> list[StoryDevice]:
    return [StoryDevice(f"dev-{one}", f"WS-{one:04d}", (f"192.0.2.{one}",)) for one in range(1, number + 1)]


def test_2_of_two_hosts_at_once_policy_gets_one_and_a_person_the_other(tmp_path: Path) -> None:
    with desk(tmp_path, devices=fleet(3), inventory=[f"{one.hostname},workstation,," for one in fleet(3)]) as here:
        actions = [here.wish("host.isolate", f"host:ws-{one:04d}") for one in (1, 2, 3)]
        here.run(60)
        assert here.isolated == ["WS-0001"]
        assert all("blast-radius-hour" in here.asked(one) for one in actions[1:])
        here.approve(actions[1])
        here.run(60)
        assert here.isolated == ["WS-0001", "WS-0002"]
        here.time.advance(3600)
        late = here.wish("host.isolate", "host:ws-0003", case_id="later")
        here.run(60)
        assert "blast-radius-day" in here.asked(late)


def test_2_the_limits_are_the_tenants(tmp_path: Path) -> None:
    roomy = {"hosts_per_hour": 0.7, "hosts_per_day": 0.7}
    rows = [f"{one.hostname},workstation,," for one in fleet(3)]
    with desk(tmp_path, devices=fleet(3), inventory=rows, limits=roomy) as here:
        for one in (1, 2, 3):
            here.wish("host.isolate", f"host:ws-{one:04d}")
        here.run(60)
        assert len(here.isolated) == 2


def test_2_five_accounts_an_hour(tmp_path: Path) -> None:
    people = [StoryAccount(f"acc-{one}", f"user{one}", f"user{one}@corp.example.com") for one in range(7)]
    with desk(tmp_path, IDENTITY, accounts=people) as here:
        actions = [here.wish("account.disable", f"account:{one.email}") for one in people]
        here.run(60)
        off = [one.name for one in here.simulator.directory.accounts.values() if not one.enabled]
        assert len(off) == 5
        held = [one for one in actions if here.now(one).state is _S.AWAITING_APPROVAL]
        assert ["5 accounts an hour" in here.asked(one) for one in held] == [True, True]


def test_2_a_name_of_several_devices_is_for_a_person(tmp_path: Path) -> None:
    twins = [StoryDevice("dev-1", "WS-0042", ("192.0.2.1",)), StoryDevice("dev-2", "WS-0042", ("192.0.2.2",))]
    with desk(tmp_path, devices=twins) as here:
        action = here.wish("host.isolate")
        here.run()
        assert here.now(action).state is _S.FAILED
        assert "knows 2 such hosts" in here.called(action)[0]
        assert here.simulator.mutations() == []


@pytest.mark.parametrize("rows", [["WS-0042,workstation,vdi,"], ["WS-0042.a.example,workstation,,"] * 2])
def test_2_what_stands_for_more_than_one_asset_is_for_a_person(rows: list[str], tmp_path: Path) -> None:
    with desk(tmp_path, inventory=rows) as here:
        action = here.wish("host.isolate")
        here.run()
        assert "one-asset" in here.asked(action)
        assert here.simulator.mutations() == []


# 3 and 4. Leased and reversible only.


@pytest.mark.parametrize(
    ("vendor", "name"),
    [(vendor, name) for vendor in VENDORS for name in REGISTRY.manifests[vendor].acts if name in RESTRICTING],
)
def test_3_and_4_policy_uses_nothing_that_a_vendor_cannot_end_or_show(vendor: str, name: str, tmp_path: Path) -> None:
    declared = REGISTRY.manifests[vendor].action(name)
    store = Store.open(f"sqlite:///{tmp_path / 'journal.db'}", synchronous="NORMAL")
    engine = Engine(SqlJournal(store), Nowhere(), FakeTime().clock)
    action = engine.propose("acme", name, TARGETS[verb(name).target], requested_by="autonomy", approval="policy")
    store.close()
    if not verb(name).reversible:
        assert action.state is _S.AWAITING_APPROVAL
        return
    assert action.result["lease_seconds"] > 0
    route = Route("main", vendor, "1", declared, object())
    if declared.inverse and declared.read_back:
        assert losses(action, route) == ()
        assert declared.inverse == verb(name).inverse
    else:
        with pytest.raises(PolicyError, match="a person must decide"):
            losses(action, route)


class Nowhere:
    """A router that is not asked."""

    async def route(self, *_: Any) -> Route:
        raise AssertionError

    async def route_to(self, *_: Any) -> Route:
        raise AssertionError


def test_3_what_policy_did_ends_by_itself(tmp_path: Path) -> None:
    with desk(tmp_path) as here:
        here.wish("host.isolate", lease=timedelta(hours=1))
        here.run(60)
        assert here.isolated == ["WS-0042"]
        here.time.advance(3600)
        here.run(60)
        assert here.isolated == []


def test_4_what_is_wide_is_for_a_person(tmp_path: Path) -> None:
    with desk(tmp_path) as here:
        action = here.wish("hash.block", OBSERVABLES[TargetKind.FILE])
        here.run()
        assert "reversible" in here.asked(action)
        assert here.simulator.mutations() == []


# 6. Two persons.


def test_6_a_lease_is_renewed_twice_by_two_and_loosened_by_a_person(tmp_path: Path) -> None:
    with desk(tmp_path) as here:
        action = here.wish("host.isolate", lease=timedelta(hours=1))
        here.run(60)
        until = here.time.clock() + timedelta(hours=2)
        here.hub.engine.renew(here.now(action), until, "bob")
        with pytest.raises(PolicyError, match="another person"):
            here.hub.engine.renew(here.now(action), until + timedelta(hours=1), "bob")
        loosened = here.wish("host.release", case_id="other")
        here.run(60)
        assert "way-back" in here.asked(loosened)
        assert here.isolated == ["WS-0042"]


# 7 and 12. Floods, change windows and announced work.


@pytest.mark.parametrize("name", OFFERED)
def test_7_in_a_flood_nothing_leaves_that_only_policy_let_go(name: str, tmp_path: Path) -> None:
    with desk(tmp_path, offering(name), limits={"flood_floor": 0}) as here:
        pulled = serve_alert(here)
        action = here.wish(name, TARGETS[verb(name).target])
        before = len(here.simulator.mutations())
        here.run()
        held = here.now(action)
        assert held.requested_at is None
        if held.state is _S.AWAITING_APPROVAL and verb(name).reversible:
            assert not pulled or "flood" in held.result["asked"]
        assert len(here.simulator.mutations()) == before


def serve_alert(here: Desk) -> bool:
    """One alert arrives, where the vendor tells any: with a floor of none that is a flood."""
    manifest_of = REGISTRY.manifests[here.simulator.vendor]
    if not manifest_of.pulls:
        return False
    here.simulator.add(a_story_alert("one", here.time.clock(), 7))
    here.pull()
    return here.hub.pipeline.rate("acme", here.time.clock())[0] > 0


@pytest.mark.parametrize("name", OFFERED)
def test_12_in_a_change_window_nothing_leaves_that_only_policy_let_go(name: str, tmp_path: Path) -> None:
    with desk(tmp_path, offering(name), change_windows=[ALWAYS]) as here:
        action = here.wish(name, TARGETS[verb(name).target])
        here.run()
        held = here.now(action)
        assert held.state in {_S.AWAITING_APPROVAL, _S.FAILED}, (held.state, held.error)
        if "asked" in held.result:
            assert "change-window" in held.result["asked"]
        assert held.requested_at is None
        assert here.simulator.mutations() == []


def test_12_outside_of_it_and_at_a_persons_word_it_goes(tmp_path: Path) -> None:
    nights = {"name": "nights", "days": ["sun"], "from": "22:00", "to": "02:00", "timezone": "Europe/Berlin"}
    with desk(tmp_path, change_windows=[nights]) as here:  # it is a Sunday, 12:00 UTC
        assert here.time.clock().strftime("%a") == "Sun"
        here.wish("host.isolate")
        here.run(60)
        assert here.isolated == ["WS-0042"]


@pytest.mark.parametrize(
    "meant", [{"hosts": ["ws-0007"]}, {"rules": ["unusual*"]}, {"hosts": ["ws-9999"]}, {"rules": ["another"]}]
)
def test_12_announced_work_lets_a_machine_close_nothing(meant: dict[str, list[str]], tmp_path: Path) -> None:
    hit = meant in ({"hosts": ["ws-0007"]}, {"rules": ["unusual*"]})
    with desk(tmp_path, maintenance=[{**ALWAYS, "owner": "jane", **meant}]) as here:
        native_id = here.simulator.add(a_story_alert("one", here.time.clock(), 7))
        here.pull()
        with here.hub.store.read() as conn:
            (row,) = queries.case_list(conn, "acme", limit=10)
        assert row.status == (CaseStatus.ESCALATED if hit else CaseStatus.CLOSED), row.latest_reason
        assert here.simulator.alert_state(native_id)["status"] == ("open" if hit else "closed")


# 8. Freshness.


def test_8_what_waited_too_long_is_asked_about_again(tmp_path: Path) -> None:
    with desk(tmp_path) as here:
        action = here.wish("host.isolate")
        here.time.advance(901)
        here.run()
        assert "freshness" in here.asked(action)
        here.approve(action)
        here.time.advance(4 * 3600 + 1)
        here.run()
        assert "freshness" in here.asked(action)
        assert here.simulator.mutations() == []
        here.approve(action, "carol")
        here.run(60)
        assert here.isolated == ["WS-0042"]


# 9 and 10: tests/contract/test_law_03_a_tenant_is_always_named.py, tests/unit/autonomy/test_engine.py
# (the same wish of the same case is one action), tests/contract/test_law_04_journal_before_effect.py.


def test_10_the_same_wish_twice_is_one_order(tmp_path: Path) -> None:
    with desk(tmp_path) as here:
        first, again = (here.wish("host.isolate", case_id="case-x") for _ in range(2))
        assert first.action_id == again.action_id
        here.run(60)
        assert [len(one.orders) for one in here.simulator.fleet.devices.values()] == [1]


# 11: tests/unit/autonomy/test_policy_file.py::test_an_allow_list_ends.


def test_11_a_closure_by_an_allow_list_says_so_and_ends_with_it() -> None:
    text = POLICY.decode().replace(
        "rule_name: UnusualTool, severity_at_most: high",
        "rule_id: rule-1, severity_at_most: high, entities: [{kind: address, in: 192.0.2.17}]",
    )
    policy = signed(text.replace("owner: jane\n    when", "owner: jane\n    expires: 2026-11-30\n    when"))
    case = a_case([an_alert(rule_id="rule-1", entities=(an_entity("address:192.0.2.17"),))])
    closed = decided(case, policy)
    assert (closed.outcome, closed.reason_code) == (Outcome.CLOSE, "allow-list")
    over = decide(case, policy, now=CASE_TIME + timedelta(days=60), quiet=timedelta(0), decision_id="d")
    assert (over.outcome, over.reason_code) == (Outcome.ESCALATE, "rule-expired")


# 13. No self-approval.


@given(st.integers(0, 10**6), st.integers(0, 200), st.booleans())
def test_13_what_machines_decided_before_is_no_evidence(closed: int, cases: int, person: bool) -> None:
    policy, case = (
        signed(POLICY.decode().replace("rule_name: UnusualTool", "rule_id: rule-1")),
        a_case([an_alert(rule_id="rule-1")]),
    )
    plain = CAUTION[decided(case, policy).outcome]
    context = DecisionContext(closed_last_hour=closed, new_cases_last_hour=cases, with_person=person)
    assert CAUTION[decided(case, policy, context).outcome] >= plain
    unsigned = decided(case, policy.policy, context)
    assert CAUTION[unsigned.outcome] >= CAUTION[Outcome.ESCALATE]


def test_13_no_machine_approves_what_it_proposed(tmp_path: Path) -> None:
    with desk(tmp_path) as here:
        action = here.wish("host.isolate", by="human", requested_by="autonomy")
        with pytest.raises(PolicyError):
            here.approve(action, "autonomy")
        here.run()
        assert here.simulator.mutations() == []


# 14. Severity floor: also tests/unit/autonomy/test_guardrails.py.


@pytest.mark.parametrize(
    "fields", [{"severity_id": 5}, {"severity_id": 0}, {"techniques": ("T1486",)}, {"techniques": ("T1003.001",)}]
)
def test_14_the_gravest_is_closed_by_no_machine(fields: dict[str, Any]) -> None:
    policy = signed(POLICY.decode().replace("rule_name: UnusualTool, severity_at_most: high", "rule_id: rule-1"))
    assert decided(a_case([an_alert(rule_id="rule-1")]), policy).outcome is Outcome.CLOSE
    grave = a_case([an_alert(rule_id="rule-1", **fields)])
    assert decided(grave, policy).outcome is Outcome.ESCALATE


@pytest.mark.parametrize("tags", ["VIPs board", "finance"])
def test_14_what_the_inventory_calls_a_vip_is_closed_by_no_machine(tags: str, tmp_path: Path) -> None:
    with desk(tmp_path, inventory=[f"WS-0007.corp.example.com,workstation,{tags},"]) as here:
        here.simulator.add(a_story_alert("one", here.time.clock(), 7))
        here.pull()
        with here.hub.store.read() as conn:
            (row,) = queries.case_list(conn, "acme", limit=10)
        assert row.status == (CaseStatus.ESCALATED if "VIP" in tags else CaseStatus.CLOSED), row.latest_reason


# The gates before data leaves.


def test_tlp_what_is_marked_for_us_alone_is_shown_to_nobody_else(tmp_path: Path) -> None:
    with desk(tmp_path, "virustotal") as here:
        action = here.wish("artifact.detonate", "artifact:https://bad.example.com/x", "human")
        here.approve(action)
        here.run()
        assert "refused by tlp" in here.now(action).error
        assert here.simulator.mutations() == []


@pytest.mark.parametrize(("tenant", "given", "word"), [("green", "clear", "tlp-parameter"), ("amber", "amber", "tlp")])
def test_tlp_nothing_is_published_freer_than_its_source(tenant: str, given: str, word: str, tmp_path: Path) -> None:
    with desk(tmp_path, "taxii", tlp=tenant) as here:
        action = here.wish("indicator.publish", TARGETS[TargetKind.INDICATOR], "direct", parameters={"tlp": given})
        here.run()
        assert f"refused by {word}" in here.now(action).error
        assert here.simulator.mutations() == []


def test_tlp_what_its_marking_allows_is_published(tmp_path: Path) -> None:
    with desk(tmp_path, "taxii", tlp="green") as here:
        action = here.wish("indicator.publish", TARGETS[TargetKind.INDICATOR], "direct", parameters={"tlp": "green"})
        here.run(60)
        assert here.now(action).state is _S.EFFECTIVE
        assert here.simulator.mutations() != []


@pytest.mark.parametrize("pap", ["red", "amber"])
@pytest.mark.parametrize("by", ["policy", "direct"])
def test_pap_nothing_that_can_be_seen_from_outside_without_two_persons(pap: str, by: str, tmp_path: Path) -> None:
    with desk(tmp_path, pap=pap) as here:
        action = here.wish("host.isolate", by=by)
        here.run()
        assert "pap" in here.asked(action)
        assert here.simulator.mutations() == []


# Selectors that could mean everything.


@pytest.mark.parametrize(
    ("vendor", "name", "target"),
    [
        (EDR, "host.isolate", "host:ws-00[0-9]+"),
        (EDR, "hash.block", f"file:{'0' * 64}"),
        (IDENTITY, "account.disable", "account:Domain Users"),
        (IDENTITY, "ip.block", "address:203.0.0.0/16"),
        ("microsoft_defender_xdr", "domain.block", "domain:co.uk"),
        ("microsoft_defender_xdr", "url.block", "url:https://drive.google.com/"),
    ],
)
@pytest.mark.parametrize("by", ["policy", "direct", "human"])
def test_a_selector_that_could_mean_many_is_journalled_as_rejected_and_nobody_is_asked(
    vendor: str, name: str, target: str, by: str, tmp_path: Path
) -> None:
    with desk(tmp_path, vendor) as here:
        action = here.wish(name, target, by)
        assert here.now(action).state is _S.REJECTED
        assert "refused by selector" in here.now(action).error
        assert here.called(action)
        here.run()
        assert here.simulator.seen == []


def test_a_wish_that_makes_no_sense_is_refused_before_it_is_one(tmp_path: Path) -> None:
    with desk(tmp_path) as here, pytest.raises(NightdeskError, match="could mean"):
        here.wish("ip.block", "address:0.0.0.0/0")


# Whatever it is: a protected or unknown asset that only policy let go.


class Anything:
    """A vendor that does whatever it is told, and remembers being told."""

    def __init__(self, clock: Ticking) -> None:
        self.clock = clock
        self.commands: list[Command] = []

    async def act(self, command: Command) -> Receipt:
        self.commands.append(command)
        return Receipt()

    async def read_back(self, command: Command) -> Reading:
        done = any(one.action_id == command.action_id for one in self.commands)
        return Reading(Effect.IN_EFFECT if done else Effect.NOT_IN_EFFECT, self.clock(), {"done": done})


class Everywhere:
    """A router to it, with what it says of the target."""

    def __init__(self, port: Anything) -> None:
        self.port = port
        self.found: Asset | Account | None = None

    async def route(self, tenant: str, name: str, target: Target, source_instance: str | None) -> Route:
        del tenant, source_instance
        declared = manifest.Action(
            stability="beta", scope="s", docs="d", read_back="done", inverse=verb(name).inverse,
            parameters=verb(name).parameters,
        )  # fmt: skip
        return Route("main", "anything", target.value, declared, self.port, self.found)

    async def route_to(self, tenant: str, instance: str, name: str, target: Target, native_id: str) -> Route:
        del instance, native_id
        return await self.route(tenant, name, target, None)


_WORDS = st.text("abcdefghijklmnopqrstuvwxyz0123456789-", min_size=1, max_size=12).map(lambda text: f"x{text}")
_LIES = st.dictionaries(
    st.sampled_from(["asset_type", "device_id", "fqdn", "tlp", "owner", "address"]),
    st.sampled_from(["workstation", "red", "clear", "", "ws-0042", "192.0.2.1"]),
    max_size=3,
)
_SAYS = st.none() | st.builds(
    Asset,
    native_id=st.just("1"),
    hostname=_WORDS,
    addresses=st.just(("192.0.2.1",)),
    asset_type=st.sampled_from(["workstation", "server", "other"]),
)
_MIGHTY = st.builds(
    Account,
    native_id=st.just("1"),
    name=_WORDS,
    privileged=st.sampled_from([None, True]),
    groups=st.sampled_from([(), ("staff",), ("Domain Admins",)]),
)
_CASES = st.one_of(
    st.tuples(
        st.sampled_from(["host.isolate", "host.restrict_execution"]),
        st.builds(Target, st.just(TargetKind.HOST), _WORDS | st.sampled_from(["dc01", "crown-1", "tagged"]), _LIES),
        _SAYS,
    ),
    st.tuples(
        st.sampled_from(["process.suspend", "file.quarantine"]),
        st.builds(lambda host, lies: (host, lies), _WORDS | st.sampled_from(["dc01", "crown-1", "tagged"]), _LIES),
        _SAYS,
    ),
    st.tuples(
        st.sampled_from(["account.disable", "account.remove_from_group", "account.revoke_sessions"]),
        _WORDS | st.sampled_from(["krbtgt", "svc_backup", "boss", r"CORP\administrator"]),
        _MIGHTY,
    ),
    st.tuples(
        st.sampled_from(["url.block", "sender.block", "ip.block", "domain.block", "hash.block", "credential.revoke"]),
        st.none(),
        st.none(),
    ),
)


def aimed(name: str, what: Any) -> Target:
    """The target of a drawn case."""
    if isinstance(what, Target):
        return what
    kind = verb(name).target
    if isinstance(what, tuple):
        host, lies = what
        value = "a.exe" if kind is TargetKind.PROCESS else f"sha256:{'ab' * 32}"
        return Target(kind, value, {**lies, "hostname": host})
    if isinstance(what, str):
        return Target(kind, f"{what}/finance" if kind is TargetKind.MEMBERSHIP else what)
    protected = {
        "url.block": "url:https://www.bank.example/login",
        "sender.block": "sender:news@bank.example",
        "ip.block": "address:203.0.113.9",
        "domain.block": "domain:bad.example.com",
        "hash.block": f"file:{'ab' * 32}",
        "credential.revoke": "credential:jdoe/KEY",
    }
    return Target.parse(protected[name])


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Engine, SqlJournal, Everywhere]]:
    clock = Ticking()
    store = Store.open(f"sqlite:///{tmp_path_factory.mktemp('stage') / 'journal.db'}", synchronous="NORMAL")
    journal = SqlJournal(store)
    policy = parse_policy(POLICY, file="policy.yaml")
    tenant = TenantSettings(
        scope=Scope("acme", "Acme", TenantKey(bytes(32)), "clear"),
        policy=policy,
        quiet=timedelta(0),
        window=timedelta(hours=4),
        leases={},
        instances={},
        roles={},
        tokens={},
        assets={"host:tagged": AssetFacts("workstation", ("dc",)), "host:ws-0042": AssetFacts("workstation")},
    )
    router = Everywhere(Anything(clock))
    lookout = HubLookout({"acme": tenant}, store, journal, bundled(), lambda *_: (0, 0.0))
    engine = Engine(journal, router, clock, guards=standing_guards({"acme": policy}), lookout=lookout)
    yield engine, journal, router
    store.close()


_NUMBER = count()


def sent(stage: tuple[Engine, SqlJournal, Everywhere], name: str, target: Target, found: Any, by: str) -> list[Command]:
    """What went out for one wish."""
    engine, journal, router = stage
    router.found, before = found, len(router.port.commands)

    async def go() -> None:
        action = engine.propose(
            "acme", name, target, requested_by="playbook", approval=by, case_id=f"case-{next(_NUMBER)}"
        )
        await engine.advance(action)
        last = journal.get("acme", action.action_id)
        if last is not None and last.state in {_S.AWAITING_APPROVAL, _S.APPROVED}:
            engine.cancel(last, "test")

    asyncio.run(go())
    return router.port.commands[before:]


@settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(_CASES)
def test_nothing_is_ever_sent_to_a_protected_or_unknown_asset_that_only_policy_let_go(
    stage: tuple[Engine, SqlJournal, Everywhere], case: tuple[str, Any, Any]
) -> None:
    name, what, found = case
    assert sent(stage, name, aimed(name, what), found, "policy") == []


def test_a_plain_known_one_is_sent_by_the_same_engine(stage: tuple[Engine, SqlJournal, Everywhere]) -> None:
    known = Asset("1", "ws-0042", ("192.0.2.42",), "workstation")
    assert len(sent(stage, "host.isolate", Target.parse("host:ws-0042"), known, "policy")) == 1
    plain = Account("1", "jdoe", privileged=False, groups=("staff",))
    assert len(sent(stage, "account.disable", Target.parse("account:jdoe"), plain, "policy")) == 1


def signed(text: str) -> SignedPolicy:
    return SignedPolicy(parse_policy(text.encode(), file="policy.yaml"), (Signature("jane", "k", "s", "t"),))


def decided(case: Any, policy: Any, context: DecisionContext | None = None) -> Any:
    now = CASE_TIME + timedelta(hours=1)
    return decide(case, policy, now=now, quiet=timedelta(0), context=context, decision_id="d")
