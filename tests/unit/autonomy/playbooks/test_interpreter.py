import re
from datetime import timedelta
from typing import Any

import pytest
from tests.playbooks import HOST, Desk, a_playbook, do, end, isolate, manual, openc2, ref, start, var

from nightdesk.autonomy.playbooks.interpreter import LONGEST, advance
from nightdesk.autonomy.playbooks.run import Answered, Event, Left, RunState, Stopped, Told
from nightdesk.autonomy.playbooks.soundness import faults_in
from nightdesk.autonomy.playbooks.standing import letters, waiting_for

Json = dict[str, Any]


def _desk(steps: dict[str, Json], *called: Any, variables: Any = None, exception: str = "", **world: Any) -> Desk:
    playbook = a_playbook(steps, variables=variables, exception=exception)
    books = {one.id: one for one in (playbook, *called)}
    assert faults_in(playbook, books.get) == []
    return Desk(playbook, *called, **world)


def _line(**more: Json) -> dict[str, Json]:
    """start, isolate, tell, end; the first may be given anew."""
    return {
        "start": start("isolate"),
        "isolate": do(isolate(), on_success="tell", on_failure="call"),
        "tell": manual("it is isolated", on_completion="z"),
        "call": manual("isolate it by hand", on_completion="z"),
        "z": end(),
        **more,
    }


def test_steps_are_done_one_after_another() -> None:
    desk = _desk(_line())
    run = desk.play()
    assert run.state is RunState.COMPLETED
    assert desk.done == ["isolate: effective", "tell: answered"]
    (act,) = desk.acts.values()
    assert (act.verb, act.target.key, act.reason) == ("host.isolate", "host:ws-0042", "playbook a playbook: isolate")
    assert act.key == f"run-1/{ref('action', 'a playbook/isolate')}"
    assert run.visits[1].note == "bob: done"
    assert run.actions == (f"act-{act.key}",)


@pytest.mark.parametrize("word", ["failed", "unverified", "rejected", "cancelled", "contradicted", "refused"])
def test_a_failure_takes_its_own_way(word: str) -> None:
    desk = _desk(_line(), outcomes={"isolate": word})
    assert desk.play().state is RunState.COMPLETED
    assert desk.done == [f"isolate: {word}", "call: answered"]


@pytest.mark.parametrize("word", ["accepted", "skipped"])
def test_what_was_accepted_or_left_out_is_no_failure(word: str) -> None:
    desk = _desk(_line(), outcomes={"isolate": word})
    desk.play()
    assert desk.done == [f"isolate: {word}", "tell: answered"]


def test_nothing_goes_on_until_the_action_is_settled() -> None:
    desk = _desk(_line(), outcomes={"isolate": None})
    desk.play()
    assert desk.run.state is RunState.RUNNING
    assert len(desk.acts) == 1
    desk.outcomes["isolate"] = "effective"
    assert desk.play().state is RunState.COMPLETED


def test_a_failure_that_nobody_catches_ends_the_run_through_its_exception() -> None:
    steps = {
        "start": start("isolate"),
        "isolate": do(isolate(), on_success="z"),
        "z": end(),
        "broke": manual("go on by hand", on_completion="broke-end"),
        "broke-end": end(),
    }
    desk = _desk(steps, exception="broke", outcomes={"isolate": "failed"})
    run = desk.play()
    assert desk.done == ["isolate: failed", "broke: answered"]
    assert (run.state, run.problem) == (RunState.FAILED, "isolate: isolate")
    assert run.branches == {}


def test_an_exception_that_fails_too_says_both() -> None:
    steps = {
        "start": start("isolate"),
        "isolate": do(isolate(), on_success="z"),
        "z": end(),
        "broke": do(openc2("scan", HOST), on_success="broke-end"),
        "broke-end": end(),
    }
    desk = _desk(steps, exception="broke", outcomes={"isolate": "failed", "broke": "failed"})
    assert desk.play().problem == "isolate: isolate; then broke: broke"


def test_several_commands_are_done_in_order_and_stop_at_the_first_failure() -> None:
    steps = _line(isolate=do(isolate("ws-1"), isolate("ws-2"), isolate("ws-3"), on_success="tell", on_failure="call"))
    desk = _desk(steps)
    desk.play()
    assert [act.target.value for act in desk.acts.values()] == ["ws-1", "ws-2", "ws-3"]
    assert [key.rpartition("/")[2] for key in desk.acts] == ["1", "2", "3"]
    failing = _desk(steps)
    failing.look()
    failing.outcomes["isolate"] = "failed"
    failing.play()
    assert len(failing.acts) == 1
    assert failing.done[-1] == "call: answered"


def test_a_condition_chooses_its_branch_and_comes_back() -> None:
    steps = {
        "start": start("if"),
        "if": {"type": "if-condition", "condition": "__x__:value = 'yes'", "on_true": "a", "on_false": "b",
               "on_completion": "after"},
        "a": manual("a", on_completion="a-end"), "a-end": end(),
        "b": manual("b", on_completion="b-end"), "b-end": end(),
        "after": manual("after", on_completion="z"), "z": end(),
    }  # fmt: skip
    for value, way in (("yes", "a"), ("no", "b")):
        desk = _desk(steps, variables={"__x__": var(value=value)})
        assert desk.play().state is RunState.COMPLETED
        assert desk.done == [f"{way}: answered", "if: done", "after: answered"]


def test_an_answer_decides_what_follows() -> None:
    steps = {
        "start": start("ask"),
        "ask": manual("which?", out_args=["__x__"], on_success="switch", on_failure="z"),
        "switch": {"type": "switch-condition", "switch": "__x__:value", "cases": {"left": "l", "default": "d"},
                   "on_completion": "z"},
        "l": manual("l", on_completion="l-end"), "l-end": end(),
        "d": manual("d", on_completion="d-end"), "d-end": end(),
        "z": end(),
    }  # fmt: skip
    for answer, way in (("left", "l"), ("up", "d")):
        desk = _desk(steps, variables={"__x__": var()}, answers={"ask": answer})
        desk.play()
        assert f"{way}: answered" in desk.done
    failed = _desk(steps, variables={"__x__": var()}, answers={"ask": "failed"})
    failed.play()
    assert failed.done == ["ask: not-done"]


def _loop(most: int) -> dict[str, Json]:
    return {
        "start": start("loop"),
        "loop": {"type": "while-condition", "condition": "__x__:value = 'again'", "on_true": "a",
                 "on_success": "z", "on_failure": "gave-up",
                 "step_extensions": {"extension-definition--ba67c1d1-e228-510a-9f7c-5f1d6ebf214d": {"at_most": most}}},
        "a": do(isolate(), on_completion="ask"),
        "ask": manual("again?", out_args=["__x__"], on_completion="a-end"), "a-end": end(),
        "gave-up": manual("too often", on_completion="z"), "z": end(),
    }  # fmt: skip


def test_a_loop_ends_when_its_condition_does() -> None:
    desk = _desk(_loop(5), variables={"__x__": var(value="again")}, answers={"ask": ["again", "again", "enough"]})
    assert desk.play().state is RunState.COMPLETED
    assert desk.done.count("a: effective") == 3
    assert len(set(desk.acts)) == 3, "each round's action is one of its own"


def test_a_loop_ends_when_it_was_done_often_enough() -> None:
    desk = _desk(_loop(2), variables={"__x__": var(value="again")}, answers={"ask": "again"})
    desk.play()
    assert desk.done.count("a: effective") == 2
    assert "gave-up: answered" in desk.done
    assert "still held after 2 rounds" in next(one.note for one in desk.run.visits if one.name == "loop")


def _parallel(**more: Any) -> dict[str, Json]:
    return {
        "start": start("both"),
        "both": {"type": "parallel", "next_steps": ["a", "b"], "on_success": "z", "on_failure": "sorry", **more},
        "a": do(isolate("ws-1"), on_success="a-end"), "a-end": end(),
        "b": do(isolate("ws-2"), on_success="b-end"), "b-end": end(),
        "sorry": manual("one failed", on_completion="z"), "z": end(),
    }  # fmt: skip


def test_parallel_branches_begin_together_and_are_joined() -> None:
    desk = _desk(_parallel(), outcomes={"a": "effective", "b": None})
    desk.look()
    assert [act.target.value for act in desk.acts.values()] == ["ws-1", "ws-2"]
    desk.play()
    assert desk.done == ["a: effective"]
    desk.outcomes["b"] = "effective"
    assert desk.play().state is RunState.COMPLETED


def test_a_parallel_step_fails_when_a_branch_did_and_after_all_have_ended() -> None:
    desk = _desk(_parallel(), outcomes={"a": "failed", "b": None})
    desk.play()
    assert "sorry" not in " ".join(desk.done)
    desk.outcomes["b"] = "effective"
    assert desk.play().state is RunState.COMPLETED
    assert desk.done == ["a: failed", "b: effective", "both: failed", "sorry: answered"]


def test_a_delay_is_waited_for_and_counts_for_no_timeout() -> None:
    desk = _desk(_line(isolate=do(isolate(), delay=60_000, timeout=30_000, on_success="tell", on_failure="call")))
    desk.play()
    assert desk.acts == {}
    desk.now += timedelta(seconds=59)
    desk.play()
    assert desk.acts == {}
    desk.now += timedelta(seconds=1)
    desk.play()
    assert desk.done == ["isolate: effective", "tell: answered"]


def test_a_step_that_takes_too_long_fails_and_its_action_is_taken_back() -> None:
    steps = _line(isolate=do(isolate(), timeout=30_000, on_success="tell", on_failure="call"))
    desk = _desk(steps, outcomes={"isolate": None})
    desk.play()
    desk.now += timedelta(seconds=29)
    desk.play()
    assert desk.withdrawn == []
    desk.now += timedelta(seconds=1)
    desk.play()
    (back,) = desk.withdrawn
    assert back.action_id == f"act-{back.key}"
    assert desk.done == ["isolate: timed-out", "call: answered"]
    assert "ACTION_TIMEOUT" in desk.run.visits[0].note
    desk.outcomes["isolate"] = "effective"
    assert desk.play().state is RunState.COMPLETED, "what comes later changes nothing"


def test_a_parallel_step_that_takes_too_long_leaves_its_branches() -> None:
    desk = _desk(_parallel(timeout=30_000), outcomes={"a": None, "b": None})
    desk.play()
    desk.now += timedelta(seconds=30)
    assert desk.play().state is RunState.COMPLETED
    assert len(desk.withdrawn) == 2
    assert desk.done == ["a: abandoned", "b: abandoned", "both: timed-out", "sorry: answered"]


def test_nothing_waits_for_ever() -> None:
    desk = _desk(_line(), answers={"tell": None})
    desk.play()
    assert desk.run.state is RunState.RUNNING
    desk.now += LONGEST
    assert desk.play().state is RunState.COMPLETED
    assert desk.done[-1] == "tell: timed-out"


def test_a_person_stops_a_run() -> None:
    desk = _desk(_parallel(), outcomes={"a": None, "b": None})
    desk.play()
    desk.look(Stopped("carol", "false alarm"))
    assert desk.run.state is RunState.CANCELLED
    assert desk.run.problem == "stopped by carol: false alarm"
    assert len(desk.withdrawn) == 2
    assert advance(desk.run, [Stopped("dan")], desk.now) == (desk.run, ())


def test_a_question_is_asked_once_and_answered_once() -> None:
    desk = _desk(_line(), answers={"tell": None})
    desk.play()
    (key,) = desk.asks
    assert desk.look() == ()
    desk.look(Answered(key, "bob", "done"), Answered(key, "eve", "no", done=False))
    assert desk.run.state is RunState.COMPLETED
    assert desk.run.answers == {key: "bob"}


def test_events_that_nobody_waits_for_change_nothing() -> None:
    desk = _desk(_line(), answers={"tell": None})
    desk.play()
    (key,) = desk.asks
    strange: list[Event] = [
        Told("run-1/nothing", "act-1", "effective"),
        Told(key, "act-1", "effective"),
        Left(key, "skipped", ""),
    ]
    assert advance(desk.run, strange, desk.now) == (desk.run, ())


def test_a_wish_stands_until_it_is_told_of() -> None:
    desk = _desk(_line())
    first, wishes = advance(desk.run, (), desk.now)
    second, again = advance(first, (), desk.now)
    assert (second, again) == (first, wishes)
    (wish,) = wishes
    assert list(waiting_for(first)) == [wish.key]
    third, none = advance(first, [Told(wish.key, "act-1")], desk.now)
    assert none == ()
    assert third.actions == ("act-1",)


def test_a_value_that_is_no_target_fails_the_step_and_reaches_nobody() -> None:
    steps = _line(isolate=do(isolate("__host__:value"), on_success="tell", on_failure="call"))
    desk = _desk(steps, variables={"__host__": var(value="*")})
    desk.play()
    assert desk.acts == {}
    assert desk.done == ["isolate: refused", "call: answered"]
    assert "could mean everything" in desk.run.visits[0].note


def test_a_step_variable_is_seen_in_its_step_alone() -> None:
    step = do(isolate("__host__:value"), step_variables={"__host__": var(value="ws-step")}, on_success="tell")
    steps = _line(isolate=step, tell=do(isolate("__host__:value"), on_completion="z"))
    del steps["call"]
    desk = _desk(steps, variables={"__host__": var(value="ws-book")})
    desk.play()
    assert [act.target.value for act in desk.acts.values()] == ["ws-step", "ws-book"]


def _inner(**fields: Any) -> Any:
    return a_playbook(
        {
            "start": start("isolate"),
            "isolate": do(isolate("__host__:value"), out_args=["__word__"], on_success="z"),
            "z": end(),
            "broke": manual("inner broke", on_completion="broke-end"),
            "broke-end": end(),
        },
        name="inner",
        variables={"__host__": var(external=True), "__word__": var(value="not asked"), "__own__": var(value="inner")},
        header={"inputs": {"__host__": "host"}},
        exception="broke",
        **fields,
    )


def _outer() -> dict[str, Json]:
    call = {"type": "playbook-action", "playbook_id": ref("playbook", "inner"), "in_args": ["__host__"],
            "out_args": ["__word__"], "on_success": "after", "on_failure": "sorry"}  # fmt: skip
    return {
        "start": start("call"),
        "call": call,
        "after": manual("__word__:value by __own__:value", on_completion="z"),
        "sorry": manual("__word__:value by __own__:value", on_completion="z"),
        "z": end(),
    }


_OUTER = {"__host__": var(value="ws-7"), "__word__": var(value="nothing"), "__own__": var(value="outer")}


def test_a_called_playbook_has_variables_of_its_own_and_gives_back_what_it_is_asked_for() -> None:
    desk = _desk(_outer(), _inner(), variables=_OUTER)
    assert desk.play().state is RunState.COMPLETED
    assert [act.target.value for act in desk.acts.values()] == ["ws-7"]
    assert [ask.text for ask in desk.asks.values()] == ["effective by outer"]
    assert list(desk.run.variables) == ["0"]
    assert re.fullmatch(r"run-1/0\.1/action--[-0-9a-f]+", next(iter(desk.acts)))


def test_a_called_playbook_that_breaks_off_goes_through_its_own_exception_and_fails_the_step() -> None:
    desk = _desk(_outer(), _inner(), variables=_OUTER, outcomes={"isolate": "failed"})
    assert desk.play().state is RunState.COMPLETED
    assert desk.done == ["isolate: failed", "broke: answered", "call: failed", "sorry: answered"]
    assert [ask.text for ask in desk.asks.values()] == ["inner broke", "nothing by outer"]


def test_a_run_keeps_its_documents_and_is_the_same_when_it_is_read_again() -> None:
    desk = _desk(_line(), outcomes={"isolate": None})
    desk.play()
    assert desk.run.documents.keys() == {desk.run.playbook_id}
    stored = desk.run.to_json()
    assert type(desk.run).from_json(stored) == desk.run


def test_branches_are_lettered_beyond_the_alphabet() -> None:
    assert [letters(number) for number in (0, 25, 26, 27, 702)] == ["a", "z", "aa", "ab", "aaa"]
