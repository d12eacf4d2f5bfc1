"""Leases that end beside others: one that cannot be taken back yet stops nobody's, and two names are two persons."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from tests.acting import Edr, World
from tests.journals import KINDS, open_journal

from nightdesk.autonomy.actions import Action, ActionState
from nightdesk.autonomy.ledger import Ledger
from nightdesk.sdk.errors import PolicyError
from nightdesk.sdk.targets import Target

HOUR = timedelta(hours=1)


@pytest.fixture(params=KINDS)
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    journal, close = open_journal(request.param, tmp_path)
    yield World(journal)
    close()


def _contradicted_while_it_is_handed_over(world: World) -> Action:
    """The first one's word is contradicted while its repeat waits at the next product for a host that is away."""
    first = world.isolate(lease=HOUR)
    world.run()
    second = Edr(world.clock)
    second.faults.add("offline_host", options={"device_id": "dev-1"})
    world.router.ports["second"] = second
    world.router.bound = "second"
    world.engine.repeat(world.now(first), actor="ann", reason="the connector is being swapped")
    world.run(30)
    seen = Ledger(world.journal, world.clock).move(
        world.now(first), world.now(first).state, result={"witness": {"verdict": "contradicted"}}
    )
    return world.engine.contradict(seen, "it still talks", actor="witness siem")


def test_a_lease_that_cannot_end_yet_stops_no_other_lease(world: World) -> None:
    """Its repeat is under way and can neither be undone nor cancelled: everybody else's leases end in time."""
    _contradicted_while_it_is_handed_over(world)
    world.router.ports["third"] = Edr(world.clock)
    world.router.bound = "third"
    beside = world.engine.propose(
        "globex", "host.isolate", Target.parse("host:ws-0043"), requested_by="ann", approval="direct", lease=HOUR
    )
    world.run()
    assert world.now(beside).state is ActionState.LEASED
    world.clock.advance(4000)
    world.run(120)
    assert world.now(beside).state is ActionState.UNDONE


def test_a_lease_that_could_not_end_ends_when_it_can(world: World) -> None:
    first = _contradicted_while_it_is_handed_over(world)
    world.clock.advance(4000)
    world.run(900, step=30)
    assert world.now(first).state is ActionState.UNDONE
    (repeat,) = [one for one in world.journal.of_case("acme", "case-1") if one.result.get("repeats")]
    assert repeat.state in {ActionState.UNDO_REQUESTED, ActionState.UNDONE, ActionState.UNVERIFIED}


@pytest.mark.parametrize("again", ["bob", "Bob", " bob ", "BOB"])
def test_the_same_person_in_other_letters_is_no_second_person(world: World, again: str) -> None:
    action = world.isolate(lease=HOUR)
    world.run()
    until = world.now(action).lease_until
    assert until is not None
    renewed = world.engine.renew(world.now(action), until + HOUR, "bob")
    with pytest.raises(PolicyError, match="another person"):
        world.engine.renew(renewed, until + 2 * HOUR, again)


@pytest.mark.parametrize("nobody", ["", "  ", "engine", "Engine", " engine"])
def test_a_lease_is_renewed_by_somebody(world: World, nobody: str) -> None:
    action = world.isolate(lease=HOUR)
    world.run()
    until = world.now(action).lease_until
    assert until is not None
    with pytest.raises(PolicyError, match="by a person"):
        world.engine.renew(world.now(action), until + HOUR, nobody)


def test_a_renewal_ends_later_than_the_lease_and_not_when_it_does(world: World) -> None:
    action = world.isolate(lease=HOUR)
    world.run()
    until = world.now(action).lease_until
    assert until is not None
    with pytest.raises(PolicyError, match="end later"):
        world.engine.renew(world.now(action), until, "bob")
    assert world.engine.renew(world.now(action), until + timedelta(milliseconds=1), "bob").state is ActionState.RENEWED


def test_a_lease_that_is_over_and_not_taken_back_yet_can_be_kept(world: World) -> None:
    """The engine was away at its end: the host is isolated still, and a person may want it so."""
    action = world.isolate(lease=HOUR)
    world.run()
    world.clock.advance(7200)
    leased = world.now(action)
    with pytest.raises(PolicyError, match="end later"):
        world.engine.renew(leased, world.clock() - timedelta(seconds=1), "bob")
    world.engine.renew(leased, world.clock() + HOUR, "bob")
    world.run(60)
    assert world.now(action).state is ActionState.RENEWED
    assert world.edr.isolated


@pytest.mark.parametrize("state", ["expired", "undone"])
def test_what_has_ended_is_not_renewed(world: World, state: str) -> None:
    action = world.isolate(lease=HOUR)
    world.run()
    world.run(4000, step=60)
    over = world.now(action) if state == "undone" else replace(world.now(action), state=ActionState.EXPIRED)
    with pytest.raises(PolicyError, match="only a running lease"):
        world.engine.renew(over, world.clock() + HOUR, "bob")


@pytest.mark.parametrize(
    ("lease", "verdict", "ends"),
    [(HOUR, "contradicted", "undone"), (HOUR, "doubtful", "contradicted"), (None, "contradicted", "contradicted")],
    ids=["seen by a second source", "contradicted by a newer wish", "without an end"],
)
def test_of_what_is_contradicted_only_the_vendors_word_ends_with_its_lease(
    world: World, lease: timedelta | None, verdict: str, ends: str
) -> None:
    action = world.isolate(lease=lease)
    world.run()
    now = world.now(action)
    seen = Ledger(world.journal, world.clock).move(now, now.state, result={"witness": {"verdict": verdict}})
    world.engine.contradict(seen, "it still talks", actor="witness siem")
    world.clock.advance(4000)
    world.run(60)
    assert world.now(action).state == ends
