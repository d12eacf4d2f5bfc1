"""Law 6: what is done can be undone, by the connector that did it; what somebody else did is left alone."""

import asyncio
from datetime import timedelta

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.acting import Edr, World
from tests.journals import MemoryJournal

from nightdesk.autonomy.actions import ActionState
from nightdesk.autonomy.engine import Engine
from nightdesk.sdk.targets import Target
from nightdesk.sdk.verbs import VERBS, Risk


def test_the_undo_goes_to_the_instance_that_acted_whatever_is_bound_today() -> None:
    world = World(MemoryJournal())
    second = Edr(world.clock)
    world.router.ports["second"] = second
    action = world.isolate()
    world.run()
    world.router.bound = "second"
    world.router.native_id = "dev-of-the-second"
    world.undo(action)
    world.run()
    assert world.now(action).state is ActionState.UNDONE
    assert not world.edr.isolated
    assert second.commands == []
    assert second.reads == 0


def test_the_end_of_a_lease_goes_to_the_instance_that_acted_too() -> None:
    world = World(MemoryJournal())
    second = Edr(world.clock)
    world.router.ports["second"] = second
    world.isolate(lease=timedelta(hours=1))
    world.run()
    world.router.bound = "second"
    world.restart()
    world.run(3700, step=60)
    assert not world.edr.isolated
    assert second.reads == 0


def test_everything_that_somebody_feels_keeps_what_its_undo_needs() -> None:
    world = World(MemoryJournal())
    action = world.isolate(approval="policy")
    world.run()
    kept = world.now(action)
    assert kept.pre_state
    assert VERBS[kept.verb].inverse == "host.release"
    assert (kept.instance, kept.native_id) == ("first", "dev-1")
    assert kept.lease_until is not None


def test_every_verb_from_r2_up_has_an_inverse_or_says_why_not() -> None:
    for verb in VERBS.values():
        if verb.risk >= Risk.R2:
            assert verb.inverse or verb.no_inverse, verb.name


def test_policy_lets_nothing_go_that_has_no_way_back() -> None:
    world = World(MemoryJournal())
    samples = {
        "host": "host:ws-0042",
        "process": "process:evil.exe",
        "account": "account:mallory",
    }
    lone = [verb for verb in VERBS.values() if verb.risk >= Risk.R2 and not verb.inverse]
    assert {verb.target for verb in lone} <= set(samples)
    for verb in lone:
        action = world.engine.propose(
            "acme", verb.name, Target.parse(samples[verb.target]), requested_by="policy", approval="policy"
        )
        assert action.state is ActionState.AWAITING_APPROVAL, verb.name


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from(["undo", "run", "restart", "time"]), min_size=1, max_size=12))
def test_undone_however_often_and_whenever_is_one_release(steps: list[str]) -> None:
    world = World(MemoryJournal())
    world.edr.remembers = False
    action = world.isolate(lease=timedelta(hours=1))
    world.run()
    for step in steps:
        if step == "undo":
            world.undo(world.now(action))
        elif step == "run":
            world.run()
        elif step == "restart":
            world.restart()
        else:
            world.run(600, step=60)
    world.run(4000, step=60)
    assert world.now(action).state is ActionState.UNDONE
    assert [command.verb for command in world.edr.commands] == ["host.isolate", "host.release"]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.booleans(), max_size=6))
def test_what_others_did_last_is_left_as_it_is(changes: list[bool]) -> None:
    world = World(MemoryJournal())
    world.edr.names_orders = True
    action = world.isolate()
    world.run()
    for isolate in changes:
        world.edr.by_hand(isolate=isolate)
    before = world.edr.isolated
    world.undo(action)
    world.run(60)
    assert world.now(action).state is ActionState.UNDONE
    assert world.edr.isolated == (before if changes else False)
    assert len(world.edr.commands) == (1 if changes else 2)


def test_a_person_and_the_end_of_the_lease_at_once_are_one_undo() -> None:
    world = World(MemoryJournal())
    world.edr.remembers = False
    action = world.isolate(lease=timedelta(hours=1))
    world.run()
    world.clock.advance(3600)
    other = Engine(world.journal, world.router, world.clock)

    async def both() -> None:
        await asyncio.gather(world.engine.run_once(), other.undo(action, actor="bob"))

    asyncio.run(both())
    world.run(60)
    assert world.now(action).state is ActionState.UNDONE
    assert world.edr.order_count == 2
