import asyncio
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.acting import HOST, Edr, Helpdesk, World, declare
from tests.journals import KINDS, open_journal

from nightdesk.autonomy.actions import Action, ActionState, StaleActionError
from nightdesk.autonomy.admission import Dispatching
from nightdesk.autonomy.engine import Engine, Limits
from nightdesk.sdk.case import Check
from nightdesk.sdk.errors import PolicyError, RejectedError, UnavailableError, UnsupportedError
from nightdesk.sdk.ports import Command, Effect, Reading, Receipt
from nightdesk.sdk.targets import Target

ALERT = Target.parse("alert:a-1")


@pytest.fixture(params=KINDS)
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    journal, close = open_journal(request.param, tmp_path)
    yield World(journal)
    close()


def test_a_command_goes_through_every_word_of_its_life(world: World) -> None:
    action = world.isolate(lease=timedelta(hours=1))
    world.run(10)
    assert world.states(action) == ["proposed", "approved", "requested", "accepted", "effective", "leased"]
    done = world.now(action)
    assert world.edr.isolated
    assert done.changed is True
    assert done.pre_state == {"isolated": False}
    assert done.instance == "first"
    assert done.native_id == "dev-1"
    assert done.lease_until is not None
    assert done.effective_at is not None
    assert done.lease_until - done.effective_at == timedelta(hours=1)


def test_the_vendor_is_told_what_was_wanted_and_by_which_key(world: World) -> None:
    action = world.isolate(parameters={"mode": "selective"}, reason="ransomware")
    world.run()
    (command,) = world.edr.commands
    assert command.parameters == {"mode": "selective"}
    assert command.idempotency_key == action.idempotency_key
    assert (command.tenant, command.case_id, command.native_id) == ("acme", "case-1", "dev-1")
    assert command.pre_state == {"isolated": False}


def test_already_so_is_success_without_change_lease_or_request(world: World) -> None:
    world.edr.by_hand(isolate=True)
    action = world.isolate(lease=timedelta(hours=1))
    world.run()
    done = world.now(action)
    assert done.state is ActionState.EFFECTIVE
    assert done.changed is False
    assert done.lease_until is None
    assert world.edr.commands == []


def test_the_same_wish_of_the_same_case_is_one_action(world: World) -> None:
    first = world.isolate()
    again = world.isolate()
    world.run()
    after = world.isolate()
    world.run()
    assert first.action_id == again.action_id == after.action_id
    assert world.edr.order_count == 1


def test_another_case_has_its_own_action_but_no_second_effect(world: World) -> None:
    first, second = world.isolate("case-1"), world.isolate("case-2")
    world.run()
    assert first.action_id != second.action_id
    assert world.now(second).changed is False
    assert world.edr.order_count == 1


def test_the_same_wish_in_another_tenant_is_another_action(world: World) -> None:
    mine = world.isolate()
    other = world.engine.propose(
        "globex", "host.isolate", HOST, requested_by="ann", approval="direct", case_id="case-1"
    )
    assert mine.idempotency_key != other.idempotency_key


def test_after_a_release_the_same_wish_is_a_new_generation(world: World) -> None:
    first = world.isolate()
    world.run()
    world.isolate(verb="host.release")
    world.run()
    second = world.isolate()
    world.run()
    assert (first.generation, second.generation) == (1, 3)
    assert world.edr.isolated


def test_a_message_is_sent_once_by_one_decision_and_again_by_the_next(world: World) -> None:
    world.router.declared["alert.comment"] = declare(inverse="", parameters=("comment",))
    helpdesk = Helpdesk(world.clock, {"dev-1": {"status": "open"}})
    world.router.ports["first"] = helpdesk

    def say(decision_id: str) -> Action:
        return world.engine.propose(
            "acme",
            "alert.comment",
            ALERT,
            requested_by="policy",
            approval="policy",
            case_id="case-1",
            decision_id=decision_id,
            parameters={"comment": "seen"},
            source_instance="first",
        )

    one = say("decision-1")
    world.run()
    assert say("decision-1").action_id == one.action_id
    assert say("decision-2").action_id != one.action_id


def test_a_human_approval_is_waited_for_and_a_person_called(world: World) -> None:
    action = world.isolate(approval="human")
    world.run(600)
    assert world.now(action).state is ActionState.AWAITING_APPROVAL
    assert world.edr.reads == 0
    assert world.calls
    world.engine.approve(world.now(action), "bob")
    world.run()
    assert world.now(action).state is ActionState.EFFECTIVE
    assert world.now(action).approved_by == "bob"


@pytest.mark.parametrize("by", ["ann", ""])
def test_the_requester_is_never_the_approver(world: World, by: str) -> None:
    action = world.isolate(approval="human")
    with pytest.raises(PolicyError, match="cannot approve"):
        world.engine.approve(action, by)
    assert world.now(action).state is ActionState.AWAITING_APPROVAL


def test_what_cannot_be_taken_back_is_never_approved_by_policy(world: World) -> None:
    process = Target.parse("process:evil.exe")
    action = world.engine.propose("acme", "process.terminate", process, requested_by="policy", approval="policy")
    assert action.state is ActionState.AWAITING_APPROVAL


def test_the_gravest_verbs_take_a_second_person_even_on_direct_command(world: World) -> None:
    action = world.isolate(verb="host.run_script", parameters={"script": "triage"})
    assert action.state is ActionState.AWAITING_APPROVAL


def test_a_containment_by_policy_always_has_a_lease(world: World) -> None:
    action = world.isolate(approval="policy", requested_by="decision-1")
    world.run()
    done = world.now(action)
    assert done.lease_until is not None
    assert done.effective_at is not None
    assert done.lease_until - done.effective_at == timedelta(hours=4)


def test_a_rejected_action_never_reaches_the_vendor(world: World) -> None:
    action = world.isolate(approval="human")
    world.engine.reject(action, "bob", "it is the CFO's laptop")
    world.run()
    assert world.now(action).state is ActionState.REJECTED
    assert world.edr.reads == 0


def test_a_wish_can_be_cancelled_until_it_is_sent(world: World) -> None:
    action = world.isolate()
    world.engine.cancel(action, "ann")
    world.run()
    assert world.edr.reads == 0
    sent = world.isolate()
    world.run()
    with pytest.raises(PolicyError, match="undo"):
        world.engine.cancel(world.now(sent), "ann")


def test_an_approval_of_a_stale_copy_is_refused(world: World) -> None:
    action = world.isolate(approval="human")
    world.engine.reject(action, "bob")
    with pytest.raises(StaleActionError):
        world.engine.approve(action, "carol")


def test_nothing_is_requested_after_the_kill_switch(world: World) -> None:
    world.options["guards"] = [lambda _: Check("kill switch", False, "on", "off")]
    world.restart()
    action = world.isolate()
    world.run()
    done = world.now(action)
    assert done.state is ActionState.CANCELLED
    assert "kill switch" in done.error
    assert world.edr.commands == []
    assert (action.action_id, done.error) in world.calls


def test_a_guard_that_cannot_answer_refuses(world: World) -> None:
    def broken(_: Dispatching) -> Check:
        raise UnavailableError("no answer from the list of protected assets")

    world.options["guards"] = [broken]
    world.restart()
    action = world.isolate()
    world.run()
    assert world.now(action).state is ActionState.CANCELLED
    assert world.edr.commands == []


def test_the_kill_switch_stops_a_repeated_request_too(world: World) -> None:
    on = [False]
    world.options["guards"] = [lambda _: Check("kill switch", not on[0])]
    world.restart()
    world.edr.faults.add("server_error", path="/act")
    action = world.isolate()
    asyncio.run(world.engine.run_once())
    assert world.now(action).state is ActionState.REQUESTED
    on[0] = True
    world.edr.faults.clear()
    world.run(400)
    assert world.edr.commands == []
    assert world.now(action).state is ActionState.UNVERIFIED


def test_the_kill_switch_does_not_close_the_way_back(world: World) -> None:
    on = [False]
    world.options["guards"] = [lambda _: Check("kill switch", not on[0])]
    world.restart()
    action = world.isolate()
    world.run()
    on[0] = True
    world.undo(world.now(action))
    world.run()
    assert not world.edr.isolated


def test_an_asset_that_nobody_or_everybody_owns_is_refused_and_escalated(world: World) -> None:
    world.router.refusal = PolicyError("host:ws-0042 is known to two instances")
    action = world.isolate()
    world.run()
    assert world.now(action).state is ActionState.FAILED
    assert (action.action_id, "host:ws-0042 is known to two instances") in world.calls
    assert world.edr.reads == 0


def test_a_parameter_that_the_vendor_cannot_honour_is_refused_before_the_effect(world: World) -> None:
    world.router.declared["host.isolate"] = declare(parameters=())
    action = world.isolate(parameters={"mode": "selective"})
    world.run()
    assert world.now(action).state is ActionState.FAILED
    assert "mode" in world.now(action).error
    assert world.edr.commands == []


def test_an_accepted_loss_is_left_out_and_declared(world: World) -> None:
    world.router.declared["host.isolate"] = declare(parameters=())
    action = world.isolate(parameters={"mode": "selective"}, accept_losses=["mode"])
    world.run()
    assert world.now(action).state is ActionState.EFFECTIVE
    assert world.now(action).losses == ("mode",)
    assert world.edr.commands[0].parameters == {}
    assert world.calls == []


def test_a_loss_that_only_the_vendor_knew_calls_a_person(world: World) -> None:
    world.edr.losses = ("mode",)
    action = world.isolate(parameters={"mode": "selective"})
    world.run()
    assert world.now(action).losses == ("mode",)
    assert "without mode" in world.calls[0][1]


def test_a_parameter_that_the_verb_does_not_have_is_refused_at_once(world: World) -> None:
    with pytest.raises(UnsupportedError, match="colour"):
        world.isolate(parameters={"colour": "red"})


def test_a_verb_is_done_to_its_own_kind_of_target(world: World) -> None:
    with pytest.raises(UnsupportedError, match="account"):
        world.isolate(verb="account.disable")


@pytest.mark.parametrize("kind", ["expired_token", "missing_scope"])
def test_a_refused_request_fails_with_the_vendors_sentence(world: World, kind: Any) -> None:
    world.edr.faults.add(kind, path="/act")
    action = world.isolate()
    world.run()
    assert world.now(action).state is ActionState.FAILED
    assert "edr: call" in world.now(action).error
    assert world.calls


def test_a_rejected_parameter_value_fails(world: World) -> None:
    world.edr.faults.add("server_error", path="/act", options={"status": 400})
    action = world.isolate()
    world.run()
    assert world.now(action).state is ActionState.FAILED
    assert "no such mode" in world.now(action).error


@pytest.mark.parametrize("kind", ["lost_reply", "server_error", "truncated_body", "not_json", "rate_limited"])
def test_a_passing_fault_of_the_request_ends_in_exactly_one_effect(world: World, kind: Any) -> None:
    world.edr.remembers = False
    world.edr.faults.add(kind, path="/act", times=1)
    action = world.isolate(lease=timedelta(hours=1))
    world.run(60)
    assert world.now(action).state is ActionState.LEASED
    assert world.now(action).changed is True
    assert world.edr.isolated
    assert world.edr.order_count == 1


@pytest.mark.parametrize("kind", ["server_error", "rate_limited", "not_json"])
def test_a_vendor_that_cannot_be_read_before_is_tried_until_it_can(world: World, kind: Any) -> None:
    world.edr.faults.add(kind, path="/device", times=3)
    action = world.isolate()
    world.run(60)
    assert world.now(action).state is ActionState.EFFECTIVE


def test_a_vendor_that_stays_away_before_the_request_fails_the_action_unasked(world: World) -> None:
    world.edr.faults.add("server_error", path="/device")
    action = world.isolate()
    world.run(400)
    assert world.states(action) == ["proposed", "approved", "failed"]
    assert world.edr.commands == []


def test_the_wait_that_a_vendor_asks_for_is_kept(world: World) -> None:
    world.edr.faults.add("rate_limited", path="/device", times=1, options={"retry_after": 90})
    action = world.isolate()
    world.run(80)
    assert world.now(action).state is ActionState.APPROVED
    world.run(20)
    assert world.now(action).state is ActionState.EFFECTIVE


def test_a_vendor_that_takes_no_request_before_the_deadline_fails_it(world: World) -> None:
    world.edr.faults.add("rate_limited", path="/act")
    action = world.isolate()
    world.run(400)
    assert world.now(action).state is ActionState.FAILED
    assert world.edr.order_count == 0


def test_a_request_whose_replies_are_all_lost_is_asked_three_times_and_then_unverified(world: World) -> None:
    world.edr.faults.add("server_error", path="/act")
    action = world.isolate()
    world.run(400)
    done = world.now(action)
    assert done.state is ActionState.UNVERIFIED
    assert done.result["attempts"] == 3
    assert world.calls


def test_an_effect_of_a_lost_request_is_ours_although_the_repeated_one_changed_nothing(world: World) -> None:
    world.edr.tells_pending = False
    world.edr.faults.add("late_effect", options={"seconds": 40})
    world.edr.faults.add("lost_reply", path="/act", times=1)
    action = world.isolate(lease=timedelta(hours=1))
    world.run(120)
    assert world.now(action).state is ActionState.LEASED
    assert len(world.edr.commands) == 2
    assert world.edr.order_count == 1


@pytest.mark.parametrize(("deadline", "waits"), [(900, 60), (40, 20)])
def test_what_has_no_inverse_is_looked_for_before_it_is_asked_again(world: World, deadline: float, waits: int) -> None:
    world.router.declared["host.scan"] = declare(deadline=deadline, inverse="", irreversible="it ends by itself")
    world.edr.by_hand(isolate=True)  # to this vendor every other verb is what ends it
    world.edr.faults.add("server_error", path="/act", times=1)
    action = world.isolate(verb="host.scan")
    world.run()
    begun = world.now(action).updated_at
    world.run(waits - 2, step=1)
    assert (world.now(action).state, world.now(action).result["attempts"]) == (ActionState.REQUESTED, 1)
    world.run(20, step=1)
    again = next(line for line in world.journal.history("acme", action.action_id) if line.detail.get("attempts") == 2)
    assert waits <= (again.at - begun).total_seconds() < waits + 16  # the pause between two looks is 15 s at most


def test_what_was_refused_for_its_pace_is_asked_again_at_once(world: World) -> None:
    world.router.declared["host.scan"] = declare(deadline=900, inverse="", irreversible="it ends by itself")
    world.edr.by_hand(isolate=True)
    world.edr.faults.add("rate_limited", path="/act", times=1, options={"retry_after": 3})
    action = world.isolate(verb="host.scan")
    world.run(10, step=1)
    assert len(world.edr.commands) == 1
    assert world.now(action).result["attempts"] == 2


def test_a_connector_is_told_what_the_journal_knows_of_its_order(world: World) -> None:
    """Accepted and not seen yet; neither before it was accepted nor once it was seen."""
    asked: list[tuple[str, bool]] = []

    class Listening(Edr):
        async def act(self, command: Command) -> Receipt:
            asked.append(("act", command.outstanding))
            return await super().act(command)

        async def read_back(self, command: Command) -> Reading:
            asked.append((command.verb, command.outstanding))
            return await super().read_back(command)

    world.router.ports["first"] = Listening(world.clock, world.edr.faults)
    world.edr.faults.add("late_effect", options={"seconds": 4})
    action = world.isolate()
    world.run(20, step=1)
    assert asked[:2] == [("host.isolate", False), ("act", False)]
    assert set(asked[2:]) == {("host.isolate", True)}
    asked.clear()
    world.undo(world.now(action))
    world.run(20, step=1)
    assert asked[:2] == [("host.isolate", False), ("act", False)]
    assert set(asked[2:]) == {("host.release", True)}
    assert world.now(action).state is ActionState.UNDONE


def test_an_error_after_a_lost_reply_is_settled_by_reading(world: World) -> None:
    world.edr.tells_pending = False
    world.edr.faults.add("late_effect", options={"seconds": 40})
    world.edr.faults.add("lost_reply", path="/act", times=1)
    world.edr.faults.add("missing_scope", path="/act")
    action = world.isolate()
    world.run(120)
    assert world.now(action).state is ActionState.EFFECTIVE
    assert world.now(action).changed is True


def test_an_offline_host_is_pending_and_then_unverified(world: World) -> None:
    world.edr.faults.add("offline_host", options={"device_id": "dev-1"})
    action = world.isolate()
    world.run(100)
    assert world.now(action).state is ActionState.PENDING
    world.run(300)
    assert world.now(action).state is ActionState.UNVERIFIED
    assert world.calls


def test_the_deadline_is_the_manifests(world: World) -> None:
    world.router.declared["host.isolate"] = declare(deadline=3600)
    world.edr.faults.add("offline_host", options={"device_id": "dev-1"})
    action = world.isolate()
    world.run(3000, step=30)
    assert world.now(action).state is ActionState.PENDING


def test_a_late_effect_of_an_unverified_action_is_found_and_leased(world: World) -> None:
    world.edr.faults.add("offline_host", options={"device_id": "dev-1"})
    action = world.isolate(lease=timedelta(hours=1))
    world.run(400)
    world.edr.faults.clear()
    world.run(600, step=30)
    assert world.now(action).state is ActionState.LEASED


def test_accepted_and_then_failed_is_failed(world: World) -> None:
    world.edr.faults.add("accepted_then_failed")
    action = world.isolate()
    world.run(60)
    assert world.now(action).state is ActionState.FAILED
    assert world.calls


def test_a_read_back_that_fails_for_a_while_delays_the_word_effective(world: World) -> None:
    world.edr.faults.add("expired_token", path="/device", after=1, times=2)
    action = world.isolate()
    asyncio.run(world.engine.run_once())
    assert world.now(action).state is ActionState.ACCEPTED
    world.run(60)
    assert world.now(action).state is ActionState.EFFECTIVE


def test_a_connector_that_breaks_does_not_stop_other_actions(world: World) -> None:
    class Broken(Edr):
        async def act(self, command: Command) -> Receipt:
            raise KeyError("device")

    world.router.ports["broken"] = Broken(world.clock)
    bad = world.engine.propose(
        "acme",
        "host.isolate",
        Target.parse("host:ws-0001"),
        requested_by="ann",
        approval="direct",
        source_instance="broken",
    )
    good = world.isolate()
    world.run(400)
    assert world.now(good).state is ActionState.EFFECTIVE
    assert world.now(bad).state is ActionState.UNVERIFIED


def test_a_connector_that_hangs_counts_as_a_lost_reply(world: World) -> None:
    class Hanging(Edr):
        async def act(self, command: Command) -> Receipt:
            await asyncio.Event().wait()
            raise AssertionError

    world.router.ports["first"] = Hanging(world.clock)
    world.options["limits"] = Limits(answer=0.01)
    world.restart()
    action = world.isolate()
    asyncio.run(world.engine.run_once())
    assert world.now(action).state is ActionState.REQUESTED
    assert "no answer" in world.journal.history("acme", action.action_id)[-1].detail["note"]


def test_what_an_accept_only_verb_did_is_never_called_effective(world: World) -> None:
    world.router.declared["host.scan"] = declare(read_back="", accept_only="no scan status", inverse="", parameters=())
    action = world.isolate(verb="host.scan", approval="policy")
    world.run(1000, step=30)
    assert world.now(action).state is ActionState.ACCEPTED
    assert world.edr.reads == 0


def test_policy_may_not_act_where_the_vendor_cannot_show_the_effect(world: World) -> None:
    world.router.declared["host.isolate"] = declare(read_back="", accept_only="no status")
    action = world.isolate(approval="policy")
    world.run()
    assert world.now(action).state is ActionState.FAILED
    assert world.edr.commands == []


def test_policy_may_not_act_where_this_vendor_cannot_undo(world: World) -> None:
    world.router.declared["host.isolate"] = declare(inverse="", irreversible="release only on the device")
    action = world.isolate(approval="policy")
    world.run()
    assert world.now(action).state is ActionState.FAILED
    assert world.edr.commands == []


def test_policy_may_not_act_where_the_state_before_is_unknown(world: World) -> None:
    class Blind(Edr):
        async def read_back(self, command: Command) -> Reading:
            return Reading(Effect.UNKNOWN, self.clock())

    blind = Blind(world.clock)
    world.router.ports["first"] = blind
    action = world.isolate(approval="policy")
    world.run()
    assert world.now(action).state is ActionState.FAILED
    assert blind.commands == []


def test_a_lost_comment_is_not_written_twice(world: World) -> None:
    world.router.declared["alert.comment"] = declare(
        read_back="", accept_only="comments have no key", inverse="", parameters=("comment",)
    )
    helpdesk = Helpdesk(world.clock, {"dev-1": {}}, lose_replies=1)
    world.router.ports["first"] = helpdesk
    action = world.engine.propose(
        "acme", "alert.comment", ALERT, requested_by="ann", approval="direct", parameters={"comment": "seen"}
    )
    world.run(400)
    assert helpdesk.comments == ["seen"]
    assert world.now(action).state is ActionState.UNVERIFIED


def test_a_newer_opposite_wish_replaces_one_that_was_not_sent(world: World) -> None:
    first = world.isolate()
    second = world.isolate(verb="host.release")
    world.run()
    assert world.now(first).state is ActionState.CANCELLED
    assert world.now(second).changed is False
    assert world.edr.commands == []


def test_a_newer_wish_waits_until_the_older_is_settled(world: World) -> None:
    world.edr.faults.add("late_effect", options={"seconds": 60})
    first = world.isolate()
    world.run(10)
    second = world.isolate(verb="host.release")
    world.run(20)
    assert world.now(first).state is ActionState.PENDING
    assert world.now(second).state is ActionState.APPROVED
    world.run(300)
    assert world.now(first).state is ActionState.EFFECTIVE
    assert world.now(second).state is ActionState.EFFECTIVE
    assert not world.edr.isolated


def test_other_targets_do_not_wait(world: World) -> None:
    world.edr.faults.add("offline_host", options={"device_id": "dev-1"})
    world.isolate()
    world.run(10)
    other = world.engine.propose(
        "acme", "host.isolate", Target.parse("host:other"), requested_by="ann", approval="direct"
    )
    world.router.native_id = "dev-2"
    world.edr.fleet.devices["dev-2"] = type(world.edr.fleet.devices["dev-1"])("dev-2", "other", ())
    world.run(10)
    assert world.now(other).state is ActionState.EFFECTIVE


def test_a_late_older_order_is_put_right_by_repeating_the_newest_wish(world: World) -> None:
    world.edr.faults.add("late_effect", options={"seconds": 1000})
    first = world.isolate()
    world.run(400)
    assert world.now(first).state is ActionState.UNVERIFIED
    world.edr.faults.clear()
    world.edr.faults.add("out_of_order")
    second = world.isolate(verb="host.release")
    world.run(200)
    world.edr.faults.clear()
    world.run(3000, step=30)
    assert not world.edr.isolated
    standing = world.journal.standing("acme", HOST.key, "host.isolate")
    newest = max(standing, key=lambda one: one.generation)
    assert (newest.verb, newest.state) == ("host.release", ActionState.EFFECTIVE)
    assert newest.generation > second.generation
    assert newest.result["repeats"] == second.action_id
    assert world.now(second).state is ActionState.CONTRADICTED


def test_a_second_source_can_contradict_an_effect(world: World) -> None:
    action = world.isolate()
    world.run()
    world.engine.contradict(world.now(action), "traffic seen from 192.0.2.42", actor="probe")
    assert world.now(action).state is ActionState.CONTRADICTED
    assert world.calls[-1] == (action.action_id, "traffic seen from 192.0.2.42")
    world.undo(world.now(action))
    world.run()
    assert world.now(action).state is ActionState.UNDONE


def test_two_engines_on_one_journal_send_one_request(world: World) -> None:
    world.edr.remembers = False
    gate = asyncio.Event()

    class Slow(Edr):
        async def act(self, command: Command) -> Receipt:
            await gate.wait()
            return await super().act(command)

    slow = Slow(world.clock, remembers=False)
    world.router.ports["first"] = slow
    action = world.isolate()
    second = Engine(world.journal, world.router, world.clock)

    async def both() -> None:
        first = asyncio.create_task(world.engine.run_once())
        for _ in range(5):
            await asyncio.sleep(0)
        for _ in range(5):
            await second.run_once()
        gate.set()
        await first

    asyncio.run(both())
    assert slow.order_count == 1
    assert world.now(action).state is ActionState.EFFECTIVE


def test_one_engine_asked_twice_at_once_sends_one_request(world: World) -> None:
    gate = asyncio.Event()

    class Slow(Edr):
        async def act(self, command: Command) -> Receipt:
            await gate.wait()
            return await super().act(command)

    slow = Slow(world.clock, remembers=False)
    world.router.ports["first"] = slow
    action = world.isolate()

    async def both() -> None:
        calls = [asyncio.create_task(world.engine.run_once())]
        for _ in range(3):
            await asyncio.sleep(0)
            world.clock.advance(1)
            calls.append(asyncio.create_task(world.engine.run_once()))
        for _ in range(20):
            await asyncio.sleep(0)
        gate.set()
        await asyncio.gather(*calls)

    asyncio.run(both())
    assert slow.order_count == 1
    assert world.now(action).state is ActionState.EFFECTIVE


@pytest.mark.parametrize(("other", "together"), [("host:ws-0042", 1), ("host:ws-0001", 2)])
def test_two_families_of_one_target_take_turns_and_two_targets_do_not(world: World, other: str, together: int) -> None:
    inside: list[str] = []
    most = 0

    class Slow:
        done: frozenset[str] = frozenset()

        async def act(self, command: Command) -> Receipt:
            nonlocal most
            inside.append(command.verb)
            most = max(most, len(inside))
            for _ in range(10):
                await asyncio.sleep(0)
            inside.remove(command.verb)
            self.done |= {command.verb}
            return Receipt()

        async def read_back(self, command: Command) -> Reading:
            effect = Effect.IN_EFFECT if command.verb in self.done else Effect.NOT_IN_EFFECT
            return Reading(effect, world.clock())

    world.router.ports["first"] = Slow()
    world.router.declared["host.scan"] = declare(inverse="", irreversible="it ends by itself")
    world.isolate()
    world.engine.propose("acme", "host.scan", Target.parse(other), requested_by="ann", approval="direct")
    asyncio.run(world.engine.run_once())
    assert most == together


def test_what_one_target_raises_does_not_stop_the_others() -> None:
    class DiskFullError(Exception):
        """The database is full."""

    journal, _ = open_journal("memory", Path())
    world = World(journal)
    bad = world.engine.propose(
        "acme", "host.isolate", Target.parse("host:ws-0001"), requested_by="ann", approval="direct"
    )
    good = world.isolate()
    move = journal.move

    def failing(action: Action, to: ActionState, **rest: Any) -> Action:
        if action.action_id == bad.action_id:
            raise DiskFullError
        return move(action, to, **rest)

    journal.move = failing  # type: ignore[method-assign]  # a disk that fails for one row
    with pytest.raises(DiskFullError):
        asyncio.run(world.engine.run_once())
    assert world.now(good).state is ActionState.EFFECTIVE


def test_an_idle_engine_says_so(world: World) -> None:
    assert asyncio.run(world.engine.run_once()) == 0
    world.isolate()
    assert asyncio.run(world.engine.run_once()) > 0
    assert asyncio.run(world.engine.run_once()) == 0


@pytest.mark.parametrize(
    ("verb", "target"),
    [("process.terminate", "process:evil.exe"), ("file.quarantine", f"file:sha256:{'ab' * 32}")],
)
def test_the_same_program_on_two_hosts_is_two_wishes(world: World, verb: str, target: str) -> None:
    plain = Target.parse(target)
    made = [
        world.engine.propose(
            "acme", verb, Target(plain.kind, plain.value, {"hostname": host}), requested_by="ann", case_id="case-1"
        )
        for host in ("WS-0042", "WS-0043", "ws-0042")
    ]
    assert len({action.action_id for action in made}) == 2
    assert [action.generation for action in made] == [1, 1, 1]


def test_one_hash_is_blocked_once_wherever_it_was_seen(world: World) -> None:
    digest = Target.parse(f"file:sha256:{'ab' * 32}")
    made = [
        world.engine.propose(
            "acme", "hash.block", Target(digest.kind, digest.value, {"hostname": host}), requested_by="ann"
        )
        for host in ("WS-0042", "WS-0043")
    ]
    assert made[0].action_id == made[1].action_id


def test_an_alerts_number_means_something_at_its_source_only(world: World) -> None:
    alert = Target.parse("alert:12345")
    made = [
        world.engine.propose(
            "acme",
            "alert.set_disposition",
            alert,
            requested_by="ann",
            parameters={"status": "closed"},
            source_instance=source,
        )
        for source in ("edr", "siem")
    ]
    assert made[0].action_id != made[1].action_id


def test_what_somebody_else_has_on_its_way_is_theirs(world: World) -> None:
    """Their order waits for an offline host when we ask for the same."""
    world.edr.remembers = False
    world.edr.faults.add("offline_host", options={"device_id": "dev-1"})
    world.edr.by_hand(isolate=True)
    action = world.isolate(lease=timedelta(hours=1))
    world.run(100)
    assert world.now(action).state is ActionState.PENDING
    world.edr.faults.clear()
    world.run(4000, step=60)
    assert world.now(action).state is ActionState.EFFECTIVE
    assert world.now(action).changed is False
    assert world.edr.isolated


def test_what_another_case_has_on_its_way_is_undone_once_by_who_asked(world: World) -> None:
    world.edr.faults.add("offline_host", options={"device_id": "dev-1"})
    first = world.isolate("case-1", lease=timedelta(hours=1))
    world.run(700)
    assert world.now(first).state is ActionState.UNVERIFIED
    second = world.isolate("case-2", lease=timedelta(hours=2))
    world.run(100)
    world.edr.faults.clear()
    world.run(3 * 3600, step=60)
    assert world.now(first).state is ActionState.UNDONE
    assert world.now(second).state is ActionState.UNDONE
    assert not world.edr.isolated


def test_what_was_done_before_it_was_refused_is_ours(world: World) -> None:
    """A connector that needs two requests: the first changes the host, the second is refused."""

    class TwoRequests(Edr):
        async def act(self, command: Command) -> Receipt:
            await super().act(command)
            raise RejectedError("a redirect was refused", vendor="edr", operation="act")

    world.router.ports["first"] = world.edr = TwoRequests(world.clock)
    action = world.isolate(lease=timedelta(hours=1))
    world.run()
    assert world.now(action).state is ActionState.LEASED
    assert world.now(action).changed is True


@pytest.mark.parametrize("for_good", [False, True])
def test_what_was_refused_half_done_is_asked_once_more_and_never_called_failed(world: World, for_good: bool) -> None:
    """Of two systems to block a host on one took it: neither isolated nor free."""
    half: list[bool] = []

    class TwoSystems(Edr):
        async def act(self, command: Command) -> Receipt:
            if command.verb == "host.release":
                half.clear()
                return await super().act(command)
            half.append(True)
            if len(half) == 1 or for_good:
                raise RejectedError("the second system refused", vendor="edr", operation="act")
            return await super().act(command)

        async def read_back(self, command: Command) -> Reading:
            reading = await super().read_back(command)
            if not half or reading.state["isolated"]:
                return reading
            return replace(reading, effect=Effect.NOT_IN_EFFECT, state={**reading.state, "systems": 1})

    world.router.ports["first"] = world.edr = TwoSystems(world.clock)
    action = world.isolate(lease=timedelta(hours=1))
    world.run(300, step=30)
    assert len(half) == 2
    if not for_good:
        assert world.now(action).state is ActionState.LEASED
        return
    world.run(3600, step=60)
    assert (world.now(action).state, len(half)) == (ActionState.UNVERIFIED, 2)
    world.undo(action)
    world.run(3600, step=60)
    assert world.now(action).state is ActionState.UNDONE
    assert not half


def test_what_was_refused_and_cannot_be_read_is_not_called_failed(world: World) -> None:
    class Refusing(Edr):
        async def act(self, command: Command) -> Receipt:
            await super().act(command)
            self.faults.add("server_error", path="/device")
            raise RejectedError("a redirect was refused", vendor="edr", operation="act")

    world.router.ports["first"] = world.edr = Refusing(world.clock)
    action = world.isolate()
    world.run(60)
    assert world.now(action).state is ActionState.REQUESTED
    world.edr.faults.clear()
    world.run(60)
    assert world.now(action).state is ActionState.EFFECTIVE
    assert len(world.edr.commands) == 1


def test_a_person_is_called_before_the_journal_says_that_one_was(tmp_path: Path) -> None:
    journal, close = open_journal("memory", tmp_path)
    told: list[tuple[ActionState, ActionState]] = []
    world = World(journal)
    listening = Engine(
        journal,
        world.router,
        world.clock,
        on_attention=lambda action, _: told.append((action.state, world.now(action).state)),
    )
    listening.propose("acme", "host.isolate", HOST, requested_by="ann")
    assert told == [(ActionState.AWAITING_APPROVAL, ActionState.PROPOSED)]
    close()
