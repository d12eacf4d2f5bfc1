"""How the steps of a playbook lie: which branch each belongs to, what cannot be reached, what never ends.

Branches nest: the steps from ``on_true`` (or a case, or one of ``next_steps``) on, up to their own end step, are inside
the step that names them. A step in two branches could be done twice, so there is none; and since no step leads back to
one before it, only a ``while-condition`` repeats anything, and that as often as it says.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from nightdesk.autonomy.playbooks.model import End, Playbook, Start, Step, branches_of, following

__all__ = ["ROOT", "Branch", "Fault", "Layout", "lay_out"]

ROOT = "/workflow_start"


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing wrong, at a JSON pointer."""

    pointer: str
    message: str


@dataclass(frozen=True, slots=True)
class Branch:
    """Steps in an order in which each comes after all that lead to it."""

    pointer: str
    first: str
    steps: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Layout:
    """Every branch by the pointer that names its first step, and what is wrong."""

    branches: Mapping[str, Branch] = field(default_factory=dict)
    faults: tuple[Fault, ...] = ()


def lay_out(playbook: Playbook) -> Layout:
    """Finds every branch. Only a playbook without faults may be run."""
    work = _Walk(playbook)
    work.walk(ROOT, playbook.workflow_start)
    if playbook.workflow_exception is not None:
        work.walk("/workflow_exception", playbook.workflow_exception)
    for step in sorted(set(playbook.workflow) - set(work.owner)):
        work.faults.append(Fault(f"/workflow/{step}", "no step leads here: it would never be done"))
    return Layout(work.branches, tuple(work.faults))


class _Walk:
    def __init__(self, playbook: Playbook) -> None:
        self.steps = playbook.workflow
        self.owner: dict[str, str] = {}
        self.branches: dict[str, Branch] = {}
        self.faults: list[Fault] = []

    def walk(self, pointer: str, first: str) -> None:
        """The branch that begins there, and those inside it."""
        waiting = [(pointer, first, 0)]
        while waiting:
            where, begin, depth = waiting.pop()
            if depth > 50:
                self.faults.append(Fault(where, "branches nest deeper than 50"))
                continue
            order = self._branch(where, begin)
            self.branches[where] = Branch(where, begin, order)
            inside = [
                (f"/workflow/{step}/{name}", to, depth + 1)
                for step in order
                for name, to in branches_of(self.steps[step]).items()
            ]
            waiting += reversed(inside)

    def _branch(self, where: str, first: str) -> tuple[str, ...]:
        """Its steps in order, by a depth-first search whose grey steps show a circle."""
        if first not in self.steps:
            self.faults.append(Fault(where, f"there is no step {first}"))
            return ()
        if first in self.owner:
            self._shared(where, first)
            return ()
        done: list[str] = []
        grey: set[str] = set()
        stack: list[tuple[str, Iterator[tuple[str, str]]]] = []

        def enter(step: str) -> None:
            grey.add(step)
            self.owner[step] = where
            stack.append((step, iter(following(self.steps[step]).items())))
            self._shape(step, self.steps[step])

        enter(first)
        while stack:
            step, ways = stack[-1]
            way = next(ways, None)
            if way is None:
                grey.discard(step)
                done.append(step)
                stack.pop()
                continue
            pointer, to = f"/workflow/{step}/{way[0]}", way[1]
            if to not in self.steps:
                self.faults.append(Fault(pointer, f"there is no step {to}"))
            elif to in grey:
                self.faults.append(
                    Fault(pointer, f"leads back to {to}: only a while-condition repeats, and says how often")
                )
            elif to not in self.owner:
                enter(to)
            elif self.owner[to] != where:
                self._shared(pointer, to)
        return tuple(reversed(done))

    def _shared(self, pointer: str, step: str) -> None:
        message = (
            f"{step} belongs to the branch {self.owner[step]} already: each branch has steps and an end of its own"
        )
        self.faults.append(Fault(pointer, message))

    def _shape(self, name: str, step: Step) -> None:
        pointer = f"/workflow/{name}"
        if name.partition("--")[0] != step.type:
            self.faults.append(Fault(pointer, f"its id says {name.partition('--')[0]}, its type {step.type}"))
        after = following(step)
        if isinstance(step, End):
            if after:
                self.faults.append(Fault(pointer, f"an end leads nowhere, this one has {', '.join(after)}"))
        elif isinstance(step, Start):
            if set(after) != {"on_completion"}:
                self.faults.append(Fault(pointer, "a start has on_completion and nothing else"))
        elif "on_completion" in after and len(after) > 1:
            self.faults.append(Fault(pointer, "on_completion stands alone: write it, or on_success with on_failure"))
        elif not after or set(after) == {"on_failure"}:
            self.faults.append(Fault(pointer, "says not what comes next: write on_completion or on_success"))
