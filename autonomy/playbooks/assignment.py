"""Which variables have a value where: a playbook never asks for one that a step has yet to set."""

from collections.abc import Iterator

from nightdesk.autonomy.playbooks.model import (
    Action,
    Call,
    Condition,
    Parallel,
    Playbook,
    Step,
    Switch,
    branches_of,
    following,
)
from nightdesk.autonomy.playbooks.structure import ROOT, Fault, Layout
from nightdesk.autonomy.playbooks.uses import uses_of
from nightdesk.autonomy.playbooks.variables import with_values

__all__ = ["unassigned"]

_Names = frozenset[str]


def unassigned(playbook: Playbook, layout: Layout) -> Iterator[Fault]:
    """Every use of a variable that may have no value there. Expects a layout without faults."""
    known = frozenset(with_values(playbook.playbook_variables))
    known |= {name for name, one in playbook.playbook_variables.items() if one.external}
    work = _Flow(playbook, layout)
    work.branch(ROOT, known)
    if playbook.workflow_exception is not None:
        work.branch("/workflow_exception", known)  # whatever had been set: only the beginning is certain
    yield from work.faults


class _Flow:
    """Forwards along each branch; where ways meet, only what both have set is certain."""

    def __init__(self, playbook: Playbook, layout: Layout) -> None:
        self.playbook = playbook
        self.layout = layout
        self.faults: list[Fault] = []

    def branch(self, pointer: str, known: _Names) -> _Names:
        """What is certain at the end of that branch."""
        branch = self.layout.branches[pointer]
        certain: dict[str, _Names] = {branch.first: known}
        ends: list[_Names] = []
        for name in branch.steps:
            step = self.playbook.workflow[name]
            before = certain[name]
            self._check(name, step, before)
            succeeded = self._inside(name, step, before) | frozenset(_set_by(step))
            after = following(step)
            for way, to in after.items():
                # A person who did not answer set nothing, and a branch that broke off set who knows what.
                then = succeeded if way == "on_success" else before | _always_set_by(step)
                certain[to] = certain[to] & then if to in certain else then
            if not after:
                ends.append(before)
        return frozenset.intersection(*ends) if ends else known

    def _inside(self, name: str, step: Step, before: _Names) -> _Names:
        ends = [self.branch(f"/workflow/{name}/{way}", before) for way in branches_of(step)]
        if isinstance(step, Parallel):
            return before.union(*ends)
        if isinstance(step, Condition) and step.on_false is not None:
            return frozenset.intersection(*ends)
        if isinstance(step, Switch) and "default" in step.cases:
            return frozenset.intersection(*ends)
        return before

    def _check(self, name: str, step: Step, certain: _Names) -> None:
        own = frozenset(step.step_variables)
        for pointer, variable in uses_of(name, step):
            if variable not in self.playbook.playbook_variables and variable not in own:
                self.faults.append(Fault(pointer, f"{variable} is not declared in playbook_variables"))
            elif variable in own:
                if step.step_variables[variable].value is None:
                    self.faults.append(Fault(pointer, f"the step variable {variable} has no value"))
            elif variable not in certain:
                self.faults.append(Fault(pointer, f"{variable} may have no value here: no step before it sets it"))


def _set_by(step: Step) -> tuple[str, ...]:
    return step.out_args or () if isinstance(step, Action | Call) else ()


def _always_set_by(step: Step) -> _Names:
    """The outcome of a verb is a word in any case; an answer or a playbook's results are there on success only."""
    if isinstance(step, Action) and all(command.type != "manual" for command in step.commands):
        return frozenset(step.out_args or ())
    return frozenset()
