from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.acting import World, declare
from tests.journals import KINDS, open_journal

from nightdesk.autonomy.actions import Action, ActionState, StaleActionError
from nightdesk.autonomy.approvals import Ballot, Choice, Refused, Request, Rules, VoteError
from nightdesk.autonomy.engine import Approval
from nightdesk.sdk.case import Check
from nightdesk.sdk.errors import UnavailableError
from nightdesk.sdk.verbs import Risk

TWO = Rules(needed={Risk.R2: 2})


@pytest.fixture(params=KINDS)
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    journal, close = open_journal(request.param, tmp_path)
    yield World(journal, rules=lambda _: TWO)
    close()


def asked(world: World, **fields: Any) -> Action:
    """Waits for two persons, and its connector was looked up."""
    action = world.isolate(approval="human", **fields)
    world.run()
    return world.now(action)


def request_of(action: Action) -> Request:
    found = Request.of(action)
    assert found is not None
    return found


def vote(world: World, action: Action, who: str, choice: Choice = Choice.APPROVE, **more: Any) -> Action:
    ballot = Ballot(who, choice, more.pop("digest", request_of(world.now(action)).digest), "test", **more)
    return world.engine.vote(action.tenant, action.action_id, ballot)


def test_two_persons_let_it_go_and_the_journal_says_who(world: World) -> None:
    action = asked(world)
    assert vote(world, action, "bob").state is ActionState.AWAITING_APPROVAL
    world.run(60)
    assert world.edr.commands == []
    done = vote(world, action, "carol", comment="seen it")
    assert (done.state, done.approved_by) == (ActionState.APPROVED, "bob, carol")
    world.run()
    after = world.now(action)
    assert after.state is ActionState.EFFECTIVE
    assert [one["who"] for one in after.result["approval"]["votes"]] == ["bob", "carol"]
    actors = [line.actor for line in world.journal.history("acme", action.action_id)]
    assert {"bob", "carol"} <= set(actors)


def test_one_no_is_enough_and_nothing_is_sent(world: World) -> None:
    action = asked(world)
    vote(world, action, "bob")
    assert vote(world, action, "carol", Choice.REJECT, comment="the CFO's").state is ActionState.REJECTED
    world.run(60)
    assert world.edr.commands == []
    with pytest.raises(VoteError) as refused:
        vote(world, action, "dave")
    assert refused.value.kind is Refused.ANSWERED


def test_people_are_shown_the_connector_and_its_id_of_the_target(world: World) -> None:
    action = asked(world)
    assert dict(request_of(action).shown) == {"connector": "first", "native_id": "dev-1", "losses": []}
    assert world.edr.reads == 0


def test_what_cannot_be_found_is_told_and_looked_for_again(world: World) -> None:
    world.router.refusal = UnavailableError("the vendor is down")
    action = asked(world)
    assert "down" in request_of(action).problem
    before = len(world.journal.history("acme", action.action_id))
    world.run(120)
    assert len(world.journal.history("acme", action.action_id)) == before, "the same problem is journalled once"
    world.router.refusal = None
    world.run(30)
    assert request_of(world.now(action)).connector == "first"


def test_nobody_in_time_takes_it_back_and_calls_a_person(world: World) -> None:
    action = asked(world)
    vote(world, action, "bob")
    world.run(3700)
    after = world.now(action)
    assert after.state is ActionState.CANCELLED
    assert "1 of 2" in after.error
    assert (action.action_id, after.error) in world.calls
    assert world.edr.commands == []
    with pytest.raises(VoteError) as refused:
        vote(world, action, "carol", digest=request_of(action).digest)
    assert refused.value.kind is Refused.TOO_LATE


def test_the_last_vote_after_the_end_is_too_late_though_nobody_looked_meanwhile(world: World) -> None:
    action = asked(world)
    world.clock.advance(3600)
    with pytest.raises(VoteError, match="too late"):
        vote(world, action, "bob")
    assert world.now(action).state is ActionState.CANCELLED


def approved(world: World, **fields: Any) -> Action:
    action = asked(world, **fields)
    vote(world, action, "bob")
    return vote(world, action, "carol")


def asks_again(world: World, action: Action, because: str) -> None:
    """It went back to people with no votes, nothing was sent, and one of them was called; they can let it go so."""
    world.run()
    after = world.now(action)
    assert (after.state, after.approved_by) == (ActionState.AWAITING_APPROVAL, "")
    assert because in request_of(after).because
    assert (request_of(after).round, len(request_of(after).votes)) == (2, 0)
    assert world.edr.commands == []
    assert any(because in text for name, text in world.calls if name == action.action_id)
    with pytest.raises(VoteError) as refused:
        vote(world, action, "bob", digest=request_of(action).digest)
    assert refused.value.kind is Refused.CHANGED
    vote(world, action, "bob")
    vote(world, action, "carol")
    world.run()
    assert world.now(action).state is ActionState.EFFECTIVE


def test_another_connector_than_shown_is_asked_about_again(world: World) -> None:
    action = approved(world)
    world.router.ports["second"] = world.edr
    world.router.bound = "second"
    asks_again(world, action, "now it would be second")
    assert world.now(action).instance == "second"


def test_another_device_than_shown_is_asked_about_again(world: World) -> None:
    action = approved(world)
    world.edr.fleet.devices["dev-2"] = world.edr.fleet.devices["dev-1"]
    world.router.native_id = "dev-2"
    asks_again(world, action, "(dev-2)")


def test_a_loss_that_was_not_shown_is_asked_about_again(world: World) -> None:
    action = approved(world, parameters={"mode": "selective"}, accept_losses=("mode",))
    world.router.declared["host.isolate"] = declare(parameters=())
    asks_again(world, action, "without mode")
    assert world.now(action).losses == ("mode",)


def test_what_was_changed_after_it_was_approved_is_asked_about_again(world: World) -> None:
    action = approved(world)
    world.journal.move(
        action, action.state, at=world.clock(), actor="somebody", detail={}, parameters={"mode": "selective"}
    )
    asks_again(world, action, "changed after it was approved")


def test_a_person_wanted_by_a_guard_is_asked_with_its_reason(world: World) -> None:
    action = world.isolate(approval="policy", requested_by="decision-1")
    world.journal.move(
        action, ActionState.AWAITING_APPROVAL, at=world.clock(), actor="engine", detail={"note": "six hosts in an hour"}
    )
    world.run()
    after = world.now(action)
    assert request_of(after).because == "six hosts in an hour"
    assert after.approval == Approval.HUMAN
    vote(world, action, "bob")
    vote(world, action, "carol")
    world.run()
    assert world.now(action).state is ActionState.LEASED


def test_an_approval_from_before_digests_is_asked_for(world: World) -> None:
    action = world.isolate(approval="human")
    world.journal.move(action, ActionState.APPROVED, at=world.clock(), actor="bob", detail={}, result={})
    asks_again_from_nothing(world, action)


@pytest.mark.parametrize("state", ["open", "refused"])
def test_an_approval_that_nobody_gave_is_asked_for(world: World, state: str) -> None:
    """Approved is what the votes make it, not what stands in the journal."""
    action = asked(world)
    kept = {**action.result, "approval": {**action.result["approval"], "state": state}}
    world.journal.move(action, ActionState.APPROVED, at=world.clock(), actor="somebody", detail={}, result=kept)
    asks_again_from_nothing(world, action)


def asks_again_from_nothing(world: World, action: Action) -> None:
    world.run()
    after = world.now(action)
    assert after.state is ActionState.AWAITING_APPROVAL
    assert "no person's approval" in request_of(after).because
    assert world.edr.commands == []


def test_a_second_process_dispatches_what_was_approved_before_the_first_died(world: World) -> None:
    action = approved(world)
    world.restart()
    world.run()
    assert world.now(action).state is ActionState.EFFECTIVE
    assert world.edr.order_count == 1


def test_votes_outlive_the_process_that_took_them(world: World) -> None:
    action = asked(world)
    vote(world, action, "bob")
    world.restart()
    with pytest.raises(VoteError, match="answered already"):
        vote(world, action, "bob")
    assert vote(world, action, "carol").state is ActionState.APPROVED


def test_a_vote_on_a_copy_that_somebody_added_to_is_judged_beside_it(world: World) -> None:
    """Both read the same state; the journal takes one, and the other is judged again."""
    action = asked(world)
    stale = world.now(action)
    first = vote(world, action, "bob")
    with pytest.raises(StaleActionError):
        world.journal.move(
            stale, stale.state, at=world.clock(), actor="x", detail={}, seen={"result": stale.result}, error="lost"
        )
    assert world.now(action).result == first.result


def test_a_command_of_ones_own_needs_nobody_but_the_gravest_does(world: World) -> None:
    assert world.isolate().state is ActionState.APPROVED
    script = world.isolate(verb="host.run_script", parameters={"script": "triage"})
    assert request_of(script).needed == 2


def test_a_copy_from_before_the_asking_changed_is_refused(world: World) -> None:
    before = world.isolate(approval="human")
    world.run()
    with pytest.raises(VoteError, match="changed since"):
        world.engine.approve(before, "bob")


def test_the_same_engine_without_rules_takes_one_other_person(tmp_path: Path) -> None:
    journal, close = open_journal("memory", tmp_path)
    world = World(journal)
    action = world.isolate(approval="human", lease=timedelta(hours=1))
    world.run()
    assert world.engine.approve(world.now(action), "bob").state is ActionState.APPROVED
    close()


def test_a_person_hears_that_nobody_may_approve(tmp_path: Path) -> None:
    journal, close = open_journal("memory", tmp_path)
    world = World(journal, rules=lambda _: Rules(people={}))
    action = world.isolate(approval="human")
    assert any("nobody of acme may give one" in text for _, text in world.calls)
    with pytest.raises(VoteError, match="nobody of acme"):
        world.engine.approve(action, "bob")
    close()


def test_a_guard_that_refuses_still_cancels_what_persons_approved(world: World) -> None:
    action = approved(world)
    world.options["guards"] = [lambda _: Check("kill switch", False, "on", "off")]
    world.restart()
    world.run()
    assert world.now(action).state is ActionState.CANCELLED
    assert world.edr.commands == []


def test_an_asking_is_kept_whole() -> None:
    whole = Request(1, 2, "d", "a", "e", "b", {"connector": "c"}, [{"who": "x", "for": "x", "answer": "approve"}])
    assert (whole.connector, whole.problem, whole.missing) == ("c", "", 1)
    assert replace(whole, votes=()).missing == 2
