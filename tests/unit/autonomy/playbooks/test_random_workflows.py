"""Any workflow that passes the checks ends, does nothing twice, and does the same wherever its process is killed."""

import json
from datetime import timedelta
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.playbooks import Desk, a_playbook, do, end, isolate, manual, start, var

from nightdesk.autonomy.playbooks.model import EXTENSION, Playbook
from nightdesk.autonomy.playbooks.outlook import outlook
from nightdesk.autonomy.playbooks.run import Act, Run, RunState, Withdraw
from nightdesk.autonomy.playbooks.soundness import faults_in

Json = dict[str, Any]
_OUTCOMES = st.sampled_from(["effective", "effective", "accepted", "skipped", "failed", "unverified", "rejected"])


class _Maker:
    """Writes steps: a branch is a few steps and an end, some of them with branches inside."""

    def __init__(self, draw: st.DrawFn) -> None:
        self.draw = draw
        self.steps: dict[str, Json] = {}
        self.variables: dict[str, Json] = {"__word__": var(value="a")}
        self.outcomes: dict[str, str | None] = {}
        self.answers: dict[str, str | None] = {}
        self.number = 0

    def branch(self, depth: int) -> str:
        """Steps from the last to the first, so that each knows where to go; the first one's name."""
        following = self._name()
        self.steps[following] = end()
        names = [following]
        for _ in range(self.draw(st.integers(0, 3))):
            names.append(self._step(names, depth))
        return names[-1]

    def _step(self, later: list[str], depth: int) -> str:
        name = self._name()
        kinds = ["action", "manual"] + (["if", "parallel", "while", "switch"] if depth < 3 else [])
        step = getattr(self, f"_{self.draw(st.sampled_from(kinds))}")(name, depth)
        after = later[-1]
        if self.draw(st.booleans()):
            step["on_completion"] = after
        else:
            step["on_success"] = after
            if self.draw(st.booleans()):
                step["on_failure"] = self.draw(st.sampled_from(later))
        self.steps[name] = step
        return name

    def _action(self, name: str, _: int) -> Json:
        self.outcomes[name] = self.draw(_OUTCOMES)
        out: Json = {"out_args": ["__word__"]} if self.draw(st.booleans()) else {}
        timing: Json = {"timeout": 1000} if self.draw(st.booleans()) else {}
        silent: bool = self.draw(st.booleans())
        if timing and silent:
            self.outcomes[name] = None
        delay: Json = {"delay": 500} if self.draw(st.booleans()) else {}
        commands = [isolate(f"ws-{name}-{number}") for number in range(self.draw(st.integers(1, 2)))]
        return do(*commands, **out, **timing, **delay)

    def _manual(self, name: str, _: int) -> Json:
        self.answers[name] = self.draw(st.sampled_from(["a", "b", "failed"]))
        return manual("__word__:value?", **({"out_args": ["__word__"]} if self.draw(st.booleans()) else {}))

    def _if(self, _: str, depth: int) -> Json:
        no = {"on_false": self.branch(depth + 1)} if self.draw(st.booleans()) else {}
        return {
            "type": "if-condition",
            "condition": "__word__:value = 'a'",
            "on_true": self.branch(depth + 1),
            **no,
        }

    def _parallel(self, _: str, depth: int) -> Json:
        return {"type": "parallel", "next_steps": [self.branch(depth + 1) for _ in range(self.draw(st.integers(2, 3)))]}

    def _while(self, _: str, depth: int) -> Json:
        return {
            "type": "while-condition",
            "condition": "__word__:value = 'a'",
            "on_true": self.branch(depth + 1),
            "step_extensions": {EXTENSION: {"at_most": self.draw(st.integers(1, 2))}},
        }

    def _switch(self, _: str, depth: int) -> Json:
        return {
            "type": "switch-condition",
            "switch": "__word__:value",
            "cases": {case: self.branch(depth + 1) for case in self.draw(st.sampled_from([["a"], ["b", "default"]]))},
        }

    def _name(self) -> str:
        self.number += 1
        return f"s{self.number}"


@st.composite
def worlds(draw: st.DrawFn) -> tuple[Playbook, dict[str, Any]]:
    """A sound playbook, and how its actions end and its questions are answered."""
    maker = _Maker(draw)
    first = maker.branch(0)
    maker.steps["start"] = start(first)
    exception = maker.branch(2) if draw(st.booleans()) else ""
    # A step that every way passes by would be a fault.
    reached = _reached(maker.steps, ["start", exception])
    steps = {name: step for name, step in maker.steps.items() if name in reached}
    playbook = a_playbook(steps, variables=maker.variables, exception=exception)
    return playbook, {"outcomes": maker.outcomes, "answers": maker.answers}


def _reached(steps: dict[str, Json], begin: list[str]) -> set[str]:
    found: set[str] = set()
    waiting = [name for name in begin if name]
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        found.add(name)
        step = steps[name]
        ways = [step.get(way) for way in ("on_completion", "on_success", "on_failure", "on_true", "on_false")]
        waiting += [one for one in (*ways, *step.get("next_steps", ()), *step.get("cases", {}).values()) if one]
    return found


def _story(run: Run) -> list[tuple[str, str, tuple[str, ...]]]:
    return [(visit.key, visit.outcome, visit.actions) for visit in run.visits]


@settings(max_examples=150)
@given(worlds())
def test_every_workflow_ends_and_does_nothing_twice(world: tuple[Playbook, dict[str, Any]]) -> None:
    playbook, answers = world
    assert faults_in(playbook, lambda _: None) == []
    desk = Desk(playbook, **answers)
    run = desk.play(step=0.25, looks=2000)
    assert run.state in {RunState.COMPLETED, RunState.FAILED}
    assert bool(run.problem) is (run.state is RunState.FAILED)
    assert run.branches == {}
    done = [visit.key for visit in run.visits if visit.actions]
    assert len(done) == len(set(done)), "no step of one place is done twice"
    assert len(run.actions) == len(set(run.actions)) == len(set(done))
    assert set(run.actions) <= {f"act-{key}" for key in desk.acts}


@settings(max_examples=100)
@given(worlds(), st.lists(st.integers(0, 3), max_size=40))
def test_a_run_that_is_killed_anywhere_does_the_same(world: tuple[Playbook, dict[str, Any]], kills: list[int]) -> None:
    """Killed after its wishes were heard and before it was stored, again and again: law 4 in the machine.

    What is known at a moment is the same however often that moment is gone through: parallel branches that write one
    variable end as their actions do, and an answer that came sooner may end another way.
    """
    playbook, answers = world
    whole, killed = Desk(playbook, **answers), Desk(playbook, **answers)
    whole.play(step=0.25, looks=2000)
    left = list(kills)
    for _ in range(2000):
        stored, told = json.dumps(killed.run.to_json()), killed.events()
        killed.look(told=told)
        while left and left.pop(0) == 0:
            killed.run = Run.from_json(json.loads(stored))
            killed.look(told=told)
        if killed.run.state is not RunState.RUNNING:
            break
        killed.now += timedelta(seconds=0.25)
    assert killed.run.state is whole.run.state
    assert _story(killed.run) == _story(whole.run)
    assert list(killed.acts) == list(whole.acts)
    assert dict(killed.run.variables) == dict(whole.run.variables)


@settings(max_examples=100)
@given(worlds(), st.lists(st.integers(0, 3), max_size=40))
def test_a_run_that_finds_more_known_after_a_kill_ends_and_does_nothing_twice(
    world: tuple[Playbook, dict[str, Any]], kills: list[int]
) -> None:
    playbook, answers = world
    desk, left = Desk(playbook, **answers), list(kills)
    while desk.run.state is RunState.RUNNING:
        stored = json.dumps(desk.run.to_json())
        desk.look()
        if left and left.pop(0) == 0:
            desk.run = Run.from_json(json.loads(stored))
            continue
        desk.now += timedelta(seconds=0.25)
        assert desk.now.hour < 14, "it goes on for ever"
    done = [visit.key for visit in desk.run.visits if visit.actions]
    assert len(done) == len(set(done))
    assert len(desk.run.actions) == len(set(desk.run.actions)) == len(done)
    assert set(desk.run.actions) <= {f"act-{key}" for key in desk.acts}


@settings(max_examples=100)
@given(worlds(), st.integers(0, 30))
def test_any_stored_moment_asks_for_the_same_again(world: tuple[Playbook, dict[str, Any]], moment: int) -> None:
    playbook, answers = world
    desk = Desk(playbook, **answers)
    for _ in range(moment):
        desk.look()
        desk.now += timedelta(seconds=0.25)
    before, acts, asks = json.dumps(desk.run.to_json()), dict(desk.acts), dict(desk.asks)
    once = desk.look()
    # Killed before anybody heard it: what it wanted has no answer yet.
    desk.run, desk.acts, desk.asks = Run.from_json(json.loads(before)), acts, asks
    assert [wish for wish in desk.look() if not isinstance(wish, Withdraw)] == [
        wish for wish in once if not isinstance(wish, Withdraw)
    ]


@settings(max_examples=50)
@given(worlds())
def test_every_workflow_can_be_looked_at_before(world: tuple[Playbook, dict[str, Any]]) -> None:
    """Each step but starts and ends has one line, and what is done later was shown before."""
    playbook, answers = world
    shown = {line.step for line in outlook(playbook, {})}
    kinds = {name: step.type for name, step in playbook.workflow.items()}
    assert shown == {name for name, kind in kinds.items() if kind not in {"start", "end"}}
    desk = Desk(playbook, **answers)
    desk.play(step=0.25, looks=2000)
    known = {line.step for line in outlook(playbook, {}, {})}
    assert {visit.step for visit in desk.run.visits} <= known
    assert all(isinstance(act, Act) for act in desk.acts.values())
