"""A playbook read before it is run: its steps in order, branch within branch, with what is known of each already.

With values, a condition on variables that no step sets is decided, and a branch not taken is left out; without, nothing
is assumed. What depends on an outcome or an answer is said to.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from nightdesk.autonomy.playbooks.commands import HTTP, Order, manual_text, order_of
from nightdesk.autonomy.playbooks.comparisons import compare, names_in, read_condition
from nightdesk.autonomy.playbooks.model import (
    Action,
    Call,
    Condition,
    End,
    Loop,
    Parallel,
    Playbook,
    Start,
    Step,
    Switch,
    branches_of,
    case_pointer,
    following,
    settings_of,
)
from nightdesk.autonomy.playbooks.structure import ROOT, Layout, lay_out
from nightdesk.autonomy.playbooks.uses import switched
from nightdesk.autonomy.playbooks.variables import filled, mentioned, with_values

__all__ = ["Line", "outlook"]


@dataclass(frozen=True, slots=True)
class Line:
    """One step. ``when`` is empty on the straight way; ``text`` is what a person reads; ``orders`` what it commands."""

    depth: int
    playbook: str
    step: str
    kind: str
    name: str
    when: str
    text: str
    orders: tuple[Order, ...] = ()
    unknown: tuple[str, ...] = ()
    skippable: bool = False


def outlook(
    playbook: Playbook, called: Mapping[str, Playbook], values: Mapping[str, str] | None = None
) -> Iterator[Line]:
    """Its lines in order; starts and ends are left out. Expects a playbook without faults."""
    yield from _View(playbook, called, values).whole(0)


class _View:
    def __init__(self, playbook: Playbook, called: Mapping[str, Playbook], values: Mapping[str, str] | None) -> None:
        self.playbook = playbook
        self.called = called
        self.layout: Layout = lay_out(playbook)
        set_later = {
            name
            for step in playbook.workflow.values()
            if isinstance(step, Action | Call)
            for name in step.out_args or ()
        }
        given = None if values is None else {**with_values(playbook.playbook_variables), **values}
        self.known = None if given is None else {name: text for name, text in given.items() if name not in set_later}

    def whole(self, depth: int) -> Iterator[Line]:
        yield from self._branch(ROOT, depth, "")
        if self.playbook.workflow_exception is not None:
            yield from self._branch("/workflow_exception", depth, "when a failure is caught nowhere else")

    def _branch(self, pointer: str, depth: int, when: str) -> Iterator[Line]:
        branch = self.layout.branches[pointer]
        straight = self._straight(branch.first)
        for name in branch.steps:
            step = self.playbook.workflow[name]
            if isinstance(step, Start | End):
                continue
            failed = [
                self._name(one)
                for one in branch.steps
                if following(self.playbook.workflow[one]).get("on_failure") == name
            ]
            if name in straight:
                told = when if name == branch.first else ""
            else:
                told = f"if {' or '.join(failed)} fails" if failed else "after a failure"
            yield from self._step(name, step, depth, told)

    def _straight(self, first: str) -> set[str]:
        """The steps that are done when nothing fails."""
        found: set[str] = set()
        step: str | None = first
        while step is not None and step not in found:
            found.add(step)
            here = self.playbook.workflow[step]
            step = here.on_success or here.on_completion
        return found

    def _step(self, name: str, step: Step, depth: int, when: str) -> Iterator[Line]:
        known = None if self.known is None else {**self.known, **with_values(step.step_variables)}
        text = ""
        orders: tuple[Order, ...] = ()
        unknown: tuple[str, ...] = ()
        if isinstance(step, Action):
            text, orders, unknown = _commanded(step, known)
        elif isinstance(step, Condition | Loop):
            text = step.condition
            if isinstance(step, Loop):
                text += f", {settings_of(step).at_most} times at most"
        elif isinstance(step, Switch):
            text = f"{switched(step)} is"
        elif isinstance(step, Call):
            text = self.called[step.playbook_id].name if step.playbook_id in self.called else step.playbook_id
        elif isinstance(step, Parallel):
            text = "side by side"
        skippable = settings_of(step).skippable
        head = (depth, self.playbook.id, name, step.type, self._name(name), when)
        chosen, decided = self._chosen(step, known)
        yield Line(*head, f"{text}{decided}", orders, unknown, skippable)
        for way in branches_of(step):
            if chosen is None or way in chosen:
                label = _label(way) if not isinstance(step, Parallel) else ""
                yield from self._branch(f"/workflow/{name}/{way}", depth + 1, label)
        if isinstance(step, Call) and step.playbook_id in self.called:
            yield from self._inside(step, depth + 1, known)

    def _inside(self, step: Call, depth: int, known: Mapping[str, str] | None) -> Iterator[Line]:
        given = None if known is None else {one: known[one] for one in step.in_args or () if one in known}
        book = self.called[step.playbook_id]
        view = _View(book, self.called, given)
        if view.known is not None:
            missing = {one for one in step.in_args or () if given is not None and one not in given}
            view.known = {one: text for one, text in view.known.items() if one not in missing}
        yield from view.whole(depth)

    def _chosen(self, step: Step, known: Mapping[str, str] | None) -> tuple[set[str] | None, str]:
        """The branches that will be taken, when that is known, and how to say so."""
        if known is None:
            return None, ""
        types = {name: one.type for name, one in {**self.playbook.playbook_variables, **step.step_variables}.items()}
        if isinstance(step, Condition | Loop):
            asked = read_condition(step.condition)
            if not names_in(asked) <= set(known):
                return None, "  (known when it is run)"
            held = compare(asked, known, types)
            return {"on_true" if held else "on_false"}, "  (holds)" if held else "  (does not hold)"
        if isinstance(step, Switch):
            if switched(step) not in known:
                return None, "  (known when it is run)"
            value = known[switched(step)]
            return {case_pointer(value if value in step.cases else "default")}, f" {value!r}"
        return None, ""

    def _name(self, step: str) -> str:
        return self.playbook.workflow[step].name or step


def _commanded(step: Action, known: Mapping[str, str] | None) -> tuple[str, tuple[Order, ...], tuple[str, ...]]:
    texts: list[str] = []
    orders: list[Order] = []
    unknown: dict[str, None] = {}
    for command in step.commands:
        if command.type != HTTP:
            text = manual_text(command)
            texts.append(str(_filled(text, known)))
            answers = settings_of(step).answers
            if answers:
                texts.append(f"[{' | '.join(answers)}]")
            continue
        order = order_of(command)
        if known is not None:
            unknown.update(dict.fromkeys(name for name in mentioned(order.texts) if name not in known))
            order = order.given({**{name: f"{name}:value" for name in mentioned(order.texts)}, **known})
        orders.append(order)
    return " ".join(texts), tuple(orders), tuple(unknown)


def _filled(text: str, known: Mapping[str, str] | None) -> object:
    return text if known is None else filled(text, {**{name: f"{name}:value" for name in mentioned(text)}, **known})


def _label(way: str) -> str:
    if way.startswith("cases/"):
        case = way.removeprefix("cases/").replace("~1", "/").replace("~0", "~")
        return "otherwise" if case == "default" else f"if {case!r}"
    return {"on_true": "if so", "on_false": "if not"}.get(way, "")
