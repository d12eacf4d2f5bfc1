"""Which branches a step enters, by the values of variables."""

from collections.abc import Callable, Mapping

from nightdesk.autonomy.playbooks.comparisons import compare, read_condition
from nightdesk.autonomy.playbooks.model import (
    Call,
    Condition,
    Loop,
    Parallel,
    Playbook,
    Step,
    Switch,
    settings_of,
)
from nightdesk.autonomy.playbooks.uses import switched

__all__ = ["chosen"]


def chosen(
    step: Step, values: Mapping[str, str], types: Mapping[str, str], rounds: int, book: Callable[[str], Playbook]
) -> list[str] | None:
    """The first steps of the branches to be entered; None when there is nothing to do.

    Raises ValueError when a loop does not end, PolicyError when a condition cannot be decided.
    """
    if isinstance(step, Parallel):
        return list(step.next_steps)
    if isinstance(step, Condition):
        held = compare(read_condition(step.condition), values, types)
        wanted = step.on_true if held else step.on_false
        return [wanted] if wanted else None
    if isinstance(step, Loop):
        if not compare(read_condition(step.condition), values, types):
            return None
        most = settings_of(step).at_most or 0
        if rounds >= most:
            raise ValueError(f"the condition still held after {most} rounds")
        return [step.on_true]
    if isinstance(step, Switch):
        wanted = step.cases.get(values.get(switched(step), ""), step.cases.get("default"))
        return [wanted] if wanted else None
    assert isinstance(step, Call)
    return [book(step.playbook_id).workflow_start]
