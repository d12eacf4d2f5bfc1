"""Runs playbooks as a pure state machine: a run, what happened, the time; out come the run after it and what is wanted.

Nothing is done here. The same run and events give the same wishes with the same keys, so a run that was stored and
read again, at whatever moment, asks for nothing twice: what keeps the keys keeps the effects single (law 4).

What CACAO leaves open is decided so: a step that fails goes to ``on_failure``, else to ``on_completion``, else its
branch has failed; a branch that failed makes the step round it fail; when nothing catches it, ``workflow_exception``
runs once and the run ends as failed. Parallel branches are all waited for.
"""

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timedelta
from functools import cache

from nightdesk.autonomy.playbooks.choices import chosen
from nightdesk.autonomy.playbooks.commands import MANUAL, manual_text, order_of, target_of
from nightdesk.autonomy.playbooks.model import (
    Action,
    Call,
    End,
    Loop,
    Start,
    Step,
    branches_of,
    settings_of,
)
from nightdesk.autonomy.playbooks.run import (
    OUTCOMES,
    Act,
    Answered,
    Ask,
    Branch,
    Event,
    Left,
    Phase,
    Run,
    RunState,
    Stopped,
    Told,
    Visit,
    Wish,
    Withdraw,
)
from nightdesk.autonomy.playbooks.standing import ROOT_PATH, book_of, key_of, letters, order_of_work, parent_of
from nightdesk.autonomy.playbooks.variables import filled, with_values
from nightdesk.sdk.errors import NightdeskError

__all__ = ["LONGEST", "advance"]

LONGEST = timedelta(days=3)
"""How long a step without a timeout may take: nothing waits for ever."""


def advance(run: Run, events: Iterable[Event], now: datetime) -> tuple[Run, tuple[Wish, ...]]:
    """As far as it goes now. A wish stands until an event with its key comes back, and is said again till then."""
    if run.state is not RunState.RUNNING:
        return run, ()
    work = _Work(run, now)
    for event in events:
        work.take(event)
    work.go()
    return work.result()


class _Work:
    """One look: branches move until none of them can."""

    def __init__(self, run: Run, now: datetime) -> None:
        self.run = run
        self.now = now
        self.branches = dict(run.branches)
        self.variables = {scope: dict(values) for scope, values in run.variables.items()}
        self.visits = list(run.visits)
        self.answers = dict(run.answers)
        self.wishes: dict[str, Wish] = {}
        self.withdrawn: list[Withdraw] = []
        self.stopped: Stopped | None = None
        self._book = cache(lambda name: book_of(run, name))

    # What happened.

    def take(self, event: Event) -> None:
        """An event moves the branch whose key it has; one that nobody waits for changes nothing."""
        if isinstance(event, Stopped):
            self.stopped = self.stopped or event
            return
        found = self._waiting().get(event.key)
        if found is None:
            return
        branch = self.branches[found]
        manual = self._is_manual(branch)
        if isinstance(event, Answered):
            if manual:
                self.answers[event.key] = event.by
                said = f"{event.by}: {event.text}" if event.text else event.by
                self._set_out(branch, event.text if event.done else None)
                self._leave(found, "answered" if event.done else "not-done", said)
            return
        if manual:
            return
        if isinstance(event, Told):
            self.branches[found] = replace(branch, action_id=event.action_id)
            if event.outcome:
                self._command_over(found, event.outcome, event.note)
        elif isinstance(event, Left):
            self._command_over(found, event.outcome, event.note)

    # What follows.

    def go(self) -> None:
        """Every branch as far as it goes."""
        if self.stopped is not None:
            return
        moved = True
        while moved:
            moved = False
            for path in sorted(self.branches, key=order_of_work):
                if path in self.branches and self.branches[path].phase is not Phase.ENDED:
                    before = self.branches[path]
                    self._look(path, before)
                    moved |= self.branches.get(path) != before

    def result(self) -> tuple[Run, tuple[Wish, ...]]:
        """The run as it is now, and what it wants."""
        state, root = RunState.RUNNING, self.branches[ROOT_PATH]
        problem = self.run.problem
        if self.stopped is not None:
            state = RunState.CANCELLED
            problem = f"stopped by {self.stopped.by}" + (f": {self.stopped.why}" if self.stopped.why else "")
            self._abandon(ROOT_PATH, problem, itself=True)
        elif root.phase is Phase.ENDED:
            state = RunState.FAILED if root.failure else RunState.COMPLETED
            problem = root.failure
        run = replace(
            self.run,
            variables=self.variables,
            branches=self.branches if state is RunState.RUNNING else {},
            visits=tuple(self.visits),
            answers=self.answers,
            state=state,
            problem=problem,
        )
        wishes: list[Wish] = list(self.withdrawn)
        if state is RunState.RUNNING:
            wishes += self.wishes.values()
        if run == self.run:
            return self.run, tuple(wishes)
        return replace(run, updated_at=self.now), tuple(wishes)

    def _look(self, path: str, branch: Branch) -> None:
        step = self._step(branch)
        began = branch.began_at
        if began is None:
            began = branch.entered_at + timedelta(milliseconds=step.delay)
            if began > self.now:
                return
            branch = self.branches[path] = replace(branch, began_at=began)
        if isinstance(step, Start):
            self._leave(path, "answered", "", quiet=True)
        elif isinstance(step, End):
            self.branches[path] = replace(branch, phase=Phase.ENDED)
        elif self._is_late(step, began):
            self._abandon(path, "the step ran out of time")
            if not self._is_manual(branch):
                self._set_out(branch, "timed-out")
            self._leave(path, "timed-out", f"ACTION_TIMEOUT: {self._limit(step)} were not enough")
        elif isinstance(step, Action):
            self._act(path, branch, step)
        else:
            self._enter(path, branch, step)

    def _is_late(self, step: Step, began: datetime) -> bool:
        return self.now >= began + self._limit(step)

    @staticmethod
    def _limit(step: Step) -> timedelta:
        # Steps with branches last as long as these; each action within has its own limit.
        if step.timeout is not None:
            return timedelta(milliseconds=step.timeout)
        return LONGEST if isinstance(step, Action) else timedelta(days=36500)

    # Actions.

    def _act(self, path: str, branch: Branch, step: Action) -> None:
        branch = self.branches[path] = replace(branch, phase=Phase.WAITING)
        key = self._key(path, branch, step)
        command, values = step.commands[branch.command], self._values(branch, step)
        settings = settings_of(step)
        try:
            if command.type == MANUAL:
                if not branch.asked:
                    self.wishes[key] = Ask(key, filled(manual_text(command), values), settings.answers or ())
                    self.branches[path] = replace(branch, asked=True)
                return
            order = order_of(command).given(values)
            target = target_of(order)
        except NightdeskError as error:
            self._command_over(path, "refused", str(error))
            return
        if branch.action_id:
            return
        name = step.name or branch.step
        self.wishes[key] = Act(
            key=key,
            verb=order.verb.name,
            target=target,
            parameters=order.parameters,
            accept_losses=order.accept_losses,
            reason=order.reason or f"playbook {self._book(branch.playbook).name}: {name}",
            lease=order.lease,
            skippable=settings.skippable,
            optional_roles=self._book(branch.playbook).header.roles.optional,
        )

    def _command_over(self, path: str, outcome: str, note: str) -> None:
        """The next command of the step, or the end of it."""
        branch = self.branches[path]
        step = self._step(branch)
        assert isinstance(step, Action)
        self.wishes.pop(self._key(path, branch, step), None)
        if outcome in OUTCOMES and branch.command + 1 < len(step.commands):
            self._visit(path, branch, step, outcome, note)
            # Time runs on: a step's timeout is for all of its commands.
            self.branches[path] = replace(branch, command=branch.command + 1, action_id="", asked=False)
            return
        self._set_out(branch, outcome)
        self._leave(path, outcome, note)

    # Steps with branches inside.

    def _enter(self, path: str, branch: Branch, step: Step) -> None:
        if branch.phase is Phase.ENTERED:
            try:
                firsts = chosen(step, self._values(branch, step), self._types(branch, step), branch.rounds, self._book)
            except (NightdeskError, ValueError) as error:
                self._leave(path, "refused", str(error))
                return
            if firsts is None:
                self._leave(path, "answered", "", quiet=True)
                return
            self._open(path, branch, step, firsts)
            return
        inside = [name for name in self.branches if parent_of(name) == path]
        if any(self.branches[name].phase is not Phase.ENDED for name in inside):
            return
        failures = [
            self.branches[name].failure for name in sorted(inside, key=order_of_work) if self.branches[name].failure
        ]
        for name in inside:
            del self.branches[name]
        if isinstance(step, Loop) and not failures:
            self.branches[path] = replace(branch, phase=Phase.ENTERED, rounds=branch.rounds + 1)
            return
        if isinstance(step, Call):
            self._return(path, branch, step, failed=bool(failures))
        self._leave(path, "failed" if failures else "answered", "; ".join(failures), quiet=not failures)

    def _open(self, path: str, branch: Branch, step: Step, firsts: list[str]) -> None:
        number = branch.children + 1
        self.branches[path] = replace(branch, phase=Phase.INSIDE, children=number)
        for letter, first in enumerate(firsts):
            name = f"{path}.{number}" + (letters(letter) if len(firsts) > 1 else "")
            playbook, scope = branch.playbook, branch.scope
            if isinstance(step, Call):
                playbook, scope = step.playbook_id, name
                outer, inner = self._values(branch, step), self._book(playbook).playbook_variables
                given = {one: outer[one] for one in step.in_args or () if one in outer}
                self.variables[scope] = {**with_values(inner), **given}
            self.branches[name] = Branch(playbook, scope, first, self.now)

    def _return(self, path: str, branch: Branch, step: Call, *, failed: bool) -> None:
        inner = self.variables.pop(f"{path}.{branch.children}", {})
        if not failed:
            self.variables[branch.scope].update({one: inner[one] for one in step.out_args or () if one in inner})

    # The way on.

    def _leave(self, path: str, outcome: str, note: str, *, quiet: bool = False) -> None:
        """Notes the step and goes to the next one, or ends the branch. ``quiet``: nothing was done worth a line."""
        branch = self.branches[path]
        step = self._step(branch)
        if not quiet or branches_of(step):
            word = "done" if quiet else outcome
            self._visit(path, branch, step, word, note)
        good = outcome in OUTCOMES
        on = step.on_success if good else step.on_failure
        following = on or step.on_completion
        why = note or outcome
        if following is None and not good:
            self._fail(path, branch, f"{step.name or branch.step}: {why}")
            return
        if following is None:
            self.branches[path] = replace(branch, phase=Phase.ENDED)
            return
        self.branches[path] = self._moved(branch, following)

    def _fail(self, path: str, branch: Branch, failure: str) -> None:
        """The branch has failed; a whole playbook's goes through its exception steps first."""
        book = self._book(branch.playbook)
        failure = "; then ".join(text for text in (branch.failure, failure) if text)
        if path == branch.scope and book.workflow_exception is not None and not branch.excepted:
            self.branches[path] = replace(self._moved(branch, book.workflow_exception), excepted=True, failure=failure)
            return
        self.branches[path] = replace(branch, phase=Phase.ENDED, failure=failure)

    def _moved(self, branch: Branch, step: str) -> Branch:
        return Branch(
            branch.playbook,
            branch.scope,
            step,
            self.now,
            children=branch.children,
            excepted=branch.excepted,
            failure=branch.failure,
        )

    def _abandon(self, path: str, why: str, *, itself: bool = False) -> None:
        """Nobody waits any more for what goes on within this step, and (``itself``) for the step."""
        for name in [one for one in self.branches if one == path or one.startswith(f"{path}.")]:
            branch = self.branches[name]
            step = self._step(branch)
            if isinstance(step, Action):
                self.wishes.pop(self._key(name, branch, step), None)
            if branch.action_id and isinstance(step, Action):
                self.withdrawn.append(Withdraw(self._key(name, branch, step), branch.action_id, why))
                if itself or name != path:
                    self._visit(name, branch, step, "abandoned", why)
            if name != path:
                del self.branches[name]

    # Small questions.

    def _visit(self, path: str, branch: Branch, step: Step, outcome: str, note: str) -> None:
        commands = len(step.commands) if isinstance(step, Action) else 1
        self.visits.append(
            Visit(
                key=key_of(self.run.run_id, path, branch, commands),
                step=branch.step,
                name=step.name or branch.step,
                entered_at=branch.entered_at,
                left_at=self.now,
                outcome=outcome,
                note=note,
                actions=(branch.action_id,) if branch.action_id else (),
            )
        )

    def _waiting(self) -> dict[str, str]:
        return {
            self._key(path, branch, step): path
            for path, branch in self.branches.items()
            if branch.phase is Phase.WAITING and isinstance(step := self._step(branch), Action)
        }

    def _key(self, path: str, branch: Branch, step: Action) -> str:
        return key_of(self.run.run_id, path, branch, len(step.commands))

    def _is_manual(self, branch: Branch) -> bool:
        step = self._step(branch)
        return isinstance(step, Action) and step.commands[branch.command].type == MANUAL

    def _step(self, branch: Branch) -> Step:
        found: Step = self._book(branch.playbook).workflow[branch.step]
        return found

    def _values(self, branch: Branch, step: Step) -> dict[str, str]:
        return {**self.variables[branch.scope], **with_values(step.step_variables)}

    def _types(self, branch: Branch, step: Step) -> dict[str, str]:
        declared = {**self._book(branch.playbook).playbook_variables, **step.step_variables}
        return {name: one.type for name, one in declared.items()}

    def _set_out(self, branch: Branch, value: str | None) -> None:
        step = self._step(branch)
        if isinstance(step, Action) and step.out_args and value is not None:
            self.variables[branch.scope][step.out_args[0]] = value
