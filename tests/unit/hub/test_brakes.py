"""The brakes over a real store and a real engine: the fleet's, the rate's, and the demotion of a vendor action."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import text
from tests.acting import DEVICE, Edr, Switchboard, Ticking
from tests.stores import database, postgresql_database, postgresql_server, store

from nightdesk.autonomy.actions import Action, ActionState
from nightdesk.autonomy.engine import Engine
from nightdesk.autonomy.routing import Route
from nightdesk.autonomy.switches import ANYWHERE, Scope, Switch
from nightdesk.hub.bounds import BrakeBounds
from nightdesk.hub.brakes import Brakes
from nightdesk.hub.store import Store, switches
from nightdesk.hub.store.actions import SqlJournal
from nightdesk.sdk.errors import UnavailableError
from nightdesk.sdk.targets import Target
from nightdesk.sdk.testing import StoryDevice

__all__ = ["database", "postgresql_database", "postgresql_server", "store"]

S = ActionState
TENANTS = ("acme", "initech", "stark", "umbrella", "wayne")
ISOLATE = Switch(ANYWHERE, Scope.VENDOR_ACTION, "edr/host.isolate")


class Estate(Switchboard):
    """One vendor, an account of its own for each tenant; a host's id is its name."""

    async def route(self, tenant: str, verb: str, target: Target, source_instance: str | None) -> Route:
        return await self.route_to(tenant, tenant, verb, target, target.value)


class World:
    """Tenants with an EDR each, one store, one engine with the brakes on it."""

    def __init__(self, store: Store, **bounds: Any) -> None:
        self.clock = Ticking()
        self.store = store
        self.edrs = {tenant: Edr(self.clock) for tenant in TENANTS}
        for edr in self.edrs.values():
            edr.fleet.add([StoryDevice(f"ws-{number}", f"ws-{number}", DEVICE.addresses) for number in range(60)])
        self.journal = SqlJournal(store)
        self.brakes = Brakes(store, TENANTS, BrakeBounds(**bounds), self.clock)
        self.calls: list[str] = []
        self.engine = Engine(
            self.journal, Estate("", **self.edrs), self.clock, brake=self.brakes.clear, on_attention=self._call
        )

    def wish(self, tenant: str = "acme", host: int = 0, rule: str = "r1", **fields: Any) -> Action:
        given: dict[str, Any] = {"requested_by": "autonomy", "approval": "policy", **fields}
        target = Target.parse(f"host:ws-{host}")
        return self.engine.propose(tenant, "host.isolate", target, case_id=f"c-{host}", rules=(rule,), **given)

    def run(self, seconds: float = 0.0) -> None:
        async def work() -> None:
            left = seconds
            while True:
                while await self.engine.run_once():
                    pass
                if left <= 0:
                    return
                self.clock.advance(min(20.0, left))
                left -= 20.0

        asyncio.run(work())

    def state(self, action: Action) -> ActionState:
        found = self.journal.get(action.tenant, action.action_id)
        assert found is not None
        return found.state

    @property
    def orders(self) -> int:
        return sum(len(edr.commands) for edr in self.edrs.values())

    def stopped(self) -> list[Switch]:
        with self.store.read() as conn:
            return [one.switch for one in switches.positions(conn, "acme")]

    def start(self, switch: Switch) -> None:
        with self.store.begin() as conn:
            before = switches.position(conn, switch)
            assert before is not None
            switches.start(conn, before, by="ada", reason="looked at", at=self.clock())

    def _call(self, action: Action, text: str) -> None:
        self.calls.append(text)
        self.brakes.after(action)


@pytest.fixture
def world(store: Store) -> World:
    return World(store)


# The fleet brake.


def test_two_tenants_are_served_and_the_third_asks_a_person(world: World) -> None:
    first, second = world.wish("acme"), world.wish("initech")
    world.run()
    third = world.wish("stark")
    world.run()
    assert [world.state(one) for one in (first, second)] == [S.LEASED, S.LEASED]
    assert world.state(third) is S.AWAITING_APPROVAL
    assert world.orders == 2
    assert world.stopped() == [Switch(ANYWHERE, Scope.RULE, "r1/host.isolate")]
    assert any("in 3 tenants within 10 minutes" in text for text in world.calls)
    assert not any(other in text for text in world.calls for other in TENANTS)


def test_all_at_once_nobody_is_served_before_a_person_has_looked(world: World) -> None:
    wishes = [world.wish(tenant) for tenant in TENANTS]
    world.run()
    assert {world.state(one) for one in wishes} == {S.AWAITING_APPROVAL}
    assert world.orders == 0


def test_one_tenant_may_do_it_often_and_many_rules_may_do_it_once(world: World) -> None:
    for number in range(5):
        world.wish("acme", number)
    for tenant in TENANTS[1:]:
        world.wish(tenant, rule=f"only-{tenant}")
    world.run()
    assert world.orders == 9
    assert world.stopped() == []


def test_spread_over_more_than_the_window_it_is_no_wave(world: World) -> None:
    for tenant in TENANTS:
        world.wish(tenant)
        world.run()
        world.clock.advance(400)
    assert world.orders == 5
    assert world.stopped() == []


def test_what_waited_for_its_vendor_leaves_with_the_others_and_counts_with_them(world: World) -> None:
    waiting = [world.wish("acme"), world.wish("initech")]
    world.clock.advance(700)
    last = world.wish("stark")
    world.run()
    assert {world.state(one) for one in (*waiting, last)} == {S.AWAITING_APPROVAL}
    assert world.orders == 0


def test_it_counts_by_when_it_left_and_not_by_when_it_was_wished(world: World) -> None:
    world.wish("acme")
    world.wish("initech")
    world.clock.advance(500)
    world.run()
    world.clock.advance(500)
    last = world.wish("stark")
    world.run()
    assert world.state(last) is S.AWAITING_APPROVAL


def test_a_clock_that_is_put_back_blinds_no_brake(world: World) -> None:
    rule = Switch(ANYWHERE, Scope.RULE, "r1/host.isolate")
    with world.store.begin() as conn:
        at = world.clock() + timedelta(days=1)
        stopped = switches.stop(conn, rule, by="ann", reason="drill", at=at)
        switches.start(conn, stopped, by="ada", reason="over", at=at)
    for tenant in TENANTS[:3]:
        world.wish(tenant)
    world.run()
    assert world.orders == 0
    assert world.stopped() == [rule]


def test_what_people_let_go_is_no_wave_of_the_machines(world: World) -> None:
    for tenant in TENANTS:
        world.wish(tenant, approval="direct", requested_by="ann")
    world.run()
    assert world.orders == 5
    assert world.stopped() == []


def test_the_rule_goes_on_with_what_else_it_does_and_the_verb_with_other_rules(world: World) -> None:
    for tenant in TENANTS[:3]:
        world.wish(tenant)
    world.run()
    other = world.wish("wayne", rule="r2")
    world.run()
    assert world.state(other) is S.LEASED


def test_a_person_who_approves_is_not_held_by_the_brake(world: World) -> None:
    wishes = [world.wish(tenant) for tenant in TENANTS[:3]]
    world.run()
    held = world.journal.get("acme", wishes[0].action_id)
    assert held is not None
    world.engine.approve(held, "ann")
    world.run()
    assert world.state(wishes[0]) is S.LEASED


def test_started_again_by_people_the_count_begins_anew(world: World) -> None:
    for tenant in TENANTS[:3]:
        world.wish(tenant)
        world.run()
    world.start(Switch(ANYWHERE, Scope.RULE, "r1/host.isolate"))
    later = [world.wish("umbrella"), world.wish("wayne")]
    world.run()
    assert [world.state(one) for one in later] == [S.LEASED, S.LEASED]
    last = world.wish("stark", 7)
    world.run()
    assert world.state(last) is S.AWAITING_APPROVAL


# The rate brake.


def test_too_many_actions_over_all_tenants_stop_the_machine_everywhere(store: Store) -> None:
    world = World(store, actions=6)
    for number in range(6):
        world.wish(TENANTS[number % 2], number)
        world.run()
    assert world.stopped() == []
    seventh = world.wish("stark", 0, rule="r9")
    world.run()
    assert world.stopped() == [Switch(ANYWHERE, Scope.ALL)]
    assert world.state(seventh) is S.AWAITING_APPROVAL
    assert world.orders == 6
    assert any("7 actions by policy within 10 minutes" in text for text in world.calls)
    own = world.wish("wayne", 0, approval="direct", requested_by="ann")
    world.run()
    assert world.state(own) is S.LEASED or world.state(own) is S.EFFECTIVE


def test_what_nobody_feels_is_not_counted(store: Store) -> None:
    world = World(store, actions=1)
    for number in range(5):
        target = Target.parse(f"host:ws-{number}")
        world.engine.propose("acme", "host.scan", target, requested_by="autonomy", approval="policy")
    action = world.wish()
    world.run()
    assert world.state(action) is S.LEASED


# Demotion.


def _lies(world: World, tenant: str, hosts: range, **fields: Any) -> list[Action]:
    """These isolations are accepted and never seen."""
    world.edrs[tenant].faults.add("late_effect", options={"seconds": 10**7})
    wishes = []
    for host in hosts:
        wishes.append(world.wish(tenant, host, **fields))
        world.run(400)
    world.edrs[tenant].faults.clear()
    return wishes


def test_a_vendor_action_that_was_not_verified_twice_in_twenty_is_taken_from_policy_everywhere(world: World) -> None:
    for number in range(3):
        world.wish("acme", number)
        world.run(700)
    (first,) = _lies(world, "acme", range(10, 11))
    assert world.state(first) is S.UNVERIFIED
    assert world.stopped() == []
    _lies(world, "initech", range(10, 11))
    assert world.stopped() == [ISOLATE]
    before = world.orders
    held = world.wish("stark")
    world.run()
    assert world.state(held) is S.AWAITING_APPROVAL
    assert world.orders == before


def test_a_person_may_still_use_it_and_the_journal_warns(world: World) -> None:
    world.brakes.demote("edr", "host.isolate", "a heartbeat contradicted it")
    action = world.wish(approval="direct", requested_by="ann")
    world.run()
    assert world.state(action) is S.EFFECTIVE
    (note,) = [
        line.detail["note"] for line in world.journal.history("acme", action.action_id) if line.state is S.REQUESTED
    ]
    assert note.startswith("warning: ")
    assert "a heartbeat contradicted it" in note


def test_demoted_twice_is_one_switch_and_one_line(world: World) -> None:
    world.brakes.demote("edr", "host.isolate", "first")
    world.brakes.demote("edr", "host.isolate", "second")
    with world.store.read() as conn:
        assert [one.reason for one in switches.positions(conn, "acme")] == ["first"]
        assert len(switches.history(conn, ANYWHERE)) == 1


def test_a_persons_failed_commands_demote_nothing(world: World) -> None:
    _lies(world, "acme", range(3), approval="direct", requested_by="ann")
    assert world.stopped() == []


def test_failures_that_lie_further_back_than_the_last_twenty_are_forgotten(store: Store) -> None:
    world = World(store, verified_of=4, tenants_per_rule=9, actions=99)
    _lies(world, "acme", range(1))
    for number in range(10, 14):
        world.wish("acme", number)
        world.run(30)
    _lies(world, "acme", range(20, 21))
    assert world.stopped() == []
    _lies(world, "acme", range(21, 22))
    assert world.stopped() == [ISOLATE]


def test_what_a_stop_itself_left_unverified_does_not_count_against_the_vendor(world: World) -> None:
    for number in range(3):
        world.edrs["acme"].faults.add("server_error", path="/act")
        action = world.wish("acme", number)
        world.run()
        with world.store.begin() as conn:
            switches.stop(conn, Switch("acme", Scope.TENANT), by="ann", reason="drill", at=world.clock())
        world.run(400)
        assert world.state(action) is S.UNVERIFIED
        world.edrs["acme"].faults.clear()
        world.start(Switch("acme", Scope.TENANT))
    assert world.stopped() == []


def test_started_again_old_failures_do_not_demote_it_at_once(world: World) -> None:
    _lies(world, "acme", range(2))
    assert world.stopped() == [ISOLATE]
    world.start(ISOLATE)
    _lies(world, "initech", range(1))
    assert world.stopped() == []
    _lies(world, "initech", range(1, 2))
    assert world.stopped() == [ISOLATE]


# Fail closed.


def test_a_store_that_cannot_be_read_lets_nothing_out(world: World) -> None:
    action = world.wish()
    with world.store.begin() as conn:
        conn.execute(text("ALTER TABLE switch RENAME TO gone"))
    with pytest.raises(UnavailableError, match="nothing leaves"):
        world.brakes.clear(action)
    world.run(60)
    assert (world.orders, world.state(action)) == (0, S.APPROVED)
    with world.store.begin() as conn:
        conn.execute(text("ALTER TABLE gone RENAME TO switch"))
    world.run(60)
    assert (world.orders, world.state(action)) == (1, S.LEASED)


def test_a_stop_by_another_connection_holds_at_the_next_request(world: World) -> None:
    world.wish("acme", 1)
    world.run()
    with world.store.begin() as conn:
        switches.stop(conn, Switch("acme", Scope.TENANT), by="ann", reason="drill", at=world.clock())
    theirs, ours = world.wish("initech", 2), world.wish("acme", 2)
    world.run()
    assert (world.state(theirs), world.state(ours)) == (S.LEASED, S.CANCELLED)


def test_the_window_is_of_the_configuration(store: Store) -> None:
    world = World(store, window_seconds=60)
    for tenant in TENANTS:
        world.wish(tenant)
        world.run()
        world.clock.advance(timedelta(seconds=40).total_seconds())
    assert world.orders == 5
