"""Lays out a playbook as a flow from top to bottom: branches side by side in frames, what failures lead to beside.

Sound playbooks nest, so a drawing is made of smaller ones, and no general graph layout is needed. Each step has a row
of its own, and steps off the straight way stand to the right of what they pass, so that no line runs through a box.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from nightdesk.autonomy.playbooks.model import (
    Condition,
    End,
    Loop,
    Parallel,
    Playbook,
    Start,
    Step,
    Switch,
    branches_of,
    following,
    settings_of,
)
from nightdesk.autonomy.playbooks.structure import ROOT, lay_out
from nightdesk.hub.console.flow_shapes import Block, Box, Line, Name, side_by_side, stacked
from nightdesk.hub.console.flow_words import branch_name

__all__ = ["Flow", "lay_flow"]

_MARGIN = 14
_GAP = 34
_BETWEEN = 22
_FORK = 46
_PAD = 16
_RAIL = 26
_TURN = 14
_LETTER = 8
_NOTHING = Block.of_box(Box("", "dot", 0, 0, 18, 18))
"""A way on which nothing is done."""


@dataclass(frozen=True, slots=True)
class Flow:
    """The drawing without its words: boxes by the step's id, lines, frames of steps with branches, names of ways."""

    width: int
    height: int
    boxes: tuple[Box, ...]
    lines: tuple[Line, ...]
    names: tuple[Name, ...]


def lay_flow(playbook: Playbook) -> Flow:
    """Expects a playbook without faults. The same playbook gives the same drawing."""
    work = _Work(playbook)
    whole = [work.branch(ROOT)]
    if playbook.workflow_exception is not None:
        caught = work.branch("/workflow_exception").moved(0, 26)
        name = Name(0, 12, "When a failure is caught nowhere else")
        whole.append(replace(caught, width=max(caught.width, 250), names=(*caught.names, name)))
    made = stacked(whole, _GAP).moved(_MARGIN, _MARGIN)
    return Flow(made.width + _MARGIN, made.height + _MARGIN, made.boxes, made.lines, made.names)


class _Work:
    def __init__(self, playbook: Playbook) -> None:
        self.steps: Mapping[str, Step] = playbook.workflow
        self.branches = lay_out(playbook).branches

    def branch(self, pointer: str) -> Block:
        """One branch: the straight way in one column, each chain of other steps to the right of what it passes."""
        steps = self.branches[pointer].steps
        straight = self._straight(self.branches[pointer].first)
        rows = {name: number for number, name in enumerate(steps)}
        units = {name: self._unit(name) for name in steps}
        axis = max(units[name].axis for name in straight)
        axes = dict.fromkeys(straight, axis)
        taken = [(rows[name], rows[name], axis + units[name].width - units[name].axis) for name in straight]
        for chain, first, last in self._chains(steps, straight, rows):
            free = max(right for start, end, right in taken if start <= last and first <= end) + _BETWEEN
            middle = free + max(units[name].axis for name in chain)
            axes.update(dict.fromkeys(chain, middle))
            taken.append((first, last, middle + max(units[name].width - units[name].axis for name in chain)))
        placed: dict[str, Block] = {}
        y = 0
        for name in steps:
            placed[name] = units[name].moved(axes[name] - units[name].axis, y)
            y += units[name].height + _GAP
        width = max(right for _, _, right in taken)
        lines: list[Line] = []
        rails = 0
        for name in steps:
            for way, to in following(self.steps[name]).items():
                failed = way == "on_failure"
                if failed and name in straight and to in straight:
                    rails += 1
                    lines.append(_rail(placed[name], placed[to], width + _RAIL * rails))
                else:
                    lines.append(_line(placed[name], placed[to], failed=failed))
        made = Block.of(placed.values(), axis, y - _GAP)
        return replace(made, width=width + _RAIL * rails, lines=(*made.lines, *lines))

    def _straight(self, first: str) -> list[str]:
        """The steps that are done when nothing fails."""
        found: list[str] = []
        step: str | None = first
        while step is not None:
            found.append(step)
            here = self.steps[step]
            step = here.on_success or here.on_completion
        return found

    def _chains(
        self, order: Sequence[str], straight: Sequence[str], rows: Mapping[str, int]
    ) -> Iterator[tuple[list[str], int, int]]:
        """The other steps in chains, each with the first and last row that a line of it runs beside."""
        before: dict[str, list[str]] = {}
        for name in order:
            for to in following(self.steps[name]).values():
                before.setdefault(to, []).append(name)
        chains: list[list[str]] = []
        for name in (one for one in order if one not in straight):
            # Below the one before it only if nothing else leaves that one: its line would run through this box.
            single = before[name] if len(following(self.steps[before[name][0]])) == 1 else []
            chain = next((one for one in chains if single == [one[-1]]), None)
            if chain is None:
                chains.append([name])
            else:
                chain.append(name)
        for chain in chains:
            after = [rows[to] for name in chain for to in following(self.steps[name]).values() if to not in chain]
            first = min(rows[name] for name in before[chain[0]])
            yield chain, first, max(rows[chain[-1]], *(row - 1 for row in after), 0)

    def _unit(self, name: str) -> Block:
        """One step; with branches it is a frame around them."""
        step = self.steps[name]
        if isinstance(step, Start | End):
            return Block.of_box(Box(name, "dot", 0, 0, 18, 18))
        shape = "fork" if isinstance(step, Condition | Switch | Loop) else "box"
        head = Block.of_box(Box(name, shape, 0, 0))
        inside = [(label, _with_room(block, label)) for label, block in self._inside(name, step)]
        if not inside:
            return head
        loop = isinstance(step, Loop)
        body = side_by_side([block for _, block in inside], _BETWEEN)
        # A single branch goes straight down; several stand below the middle.
        under = inside[0][1].axis if len(self._ways(step)) == 1 else body.width // 2
        left = max(_PAD, head.axis + _PAD - under) + (_RAIL if loop else 0)
        axis = left + under
        width = max(left + body.width, axis + head.axis) + _PAD
        body_x, body_y = left, _PAD + head.height + _FORK
        head = head.moved(axis - head.axis, _PAD)
        parts: list[Block] = []
        lines: list[Line] = []
        names: list[Name] = []
        x = body_x
        for label, block in inside:
            one = block.moved(x, body_y)
            x += block.width + _BETWEEN
            parts.append(one)
            lines.append(_fork(head, one))
            if label:
                names.append(Name(one.axis + 8, body_y - 9, label))
        bottom = body_y + body.height + _PAD
        if loop:
            only = parts[0]
            turn = _PAD // 2 + 4
            path = f"M{only.axis} {only.bottom}V{bottom - 6}H{turn}V{head.middle}H{head.boxes[0].x}"
            lines.append(Line(path, "again"))
            names.append(Name(turn + 6, bottom - 10, f"again, {settings_of(step).at_most} times at most"))
        frame = Box(name, "frame", 0, 0, width, bottom)
        made = Block.of([Block.of_box(frame), head, *parts], axis, bottom)
        return replace(made, width=width, middle=head.middle, lines=(*made.lines, *lines), names=(*made.names, *names))

    def _inside(self, name: str, step: Step) -> Iterator[tuple[str, Block]]:
        for way in self._ways(step):
            label = "" if isinstance(step, Parallel) else branch_name(way)
            yield label, self.branch(f"/workflow/{name}/{way}")
        if isinstance(step, Condition) and step.on_false is None:
            yield "if not", _NOTHING
        if isinstance(step, Switch) and "default" not in step.cases:
            yield "otherwise", _NOTHING

    @staticmethod
    def _ways(step: Step) -> Sequence[str]:
        return tuple(branches_of(step))


def _with_room(block: Block, label: str) -> Block:
    """The branch, as wide as its name beside it needs."""
    return replace(block, width=max(block.width, block.axis + _LETTER * (2 + len(label))))


def _line(start: Block, end: Block, *, failed: bool) -> Line:
    """From a step to one further down: straight, out of its side to one beside, or back above where it goes on."""
    style = "failed" if failed else ""
    if start.axis == end.axis:
        return Line(f"M{start.axis} {start.bottom}V{end.top}", style)
    if failed and end.axis > start.axis:
        return Line(f"M{start.right} {start.middle}H{end.axis}V{end.top}", style)
    turn = end.top - _TURN if start.axis > end.axis else start.bottom + _TURN
    return Line(f"M{start.axis} {start.bottom}V{turn}H{end.axis}V{end.top}", style)


def _fork(head: Block, branch: Block) -> Line:
    """From a step with branches to the first step of one."""
    if head.axis == branch.axis:
        return Line(f"M{head.axis} {head.bottom}V{branch.top}", "")
    return Line(f"M{head.axis} {head.bottom}V{head.bottom + _TURN}H{branch.axis}V{branch.top}", "")


def _rail(start: Block, end: Block, x: int) -> Line:
    """After a failure past the steps between, to the right of all of them."""
    return Line(f"M{start.right} {start.middle}H{x}V{end.top - _TURN}H{end.axis}V{end.top}", "failed")
