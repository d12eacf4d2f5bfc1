"""The pieces a flow is drawn of, and how smaller drawings are put together; whole numbers of pixels."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

__all__ = ["HIGH", "WIDE", "Block", "Box", "Line", "Name", "side_by_side", "stacked"]

WIDE, HIGH = 216, 64
_MOVE = re.compile(r"([MVH])(\d+)(?: (\d+))?")


@dataclass(frozen=True, slots=True)
class Box:
    """One shape: ``box``, ``fork``, ``dot`` (start, end) or ``frame``; ``step`` is empty where nothing is done."""

    step: str
    shape: str
    x: int
    y: int
    width: int = WIDE
    height: int = HIGH

    @property
    def middle(self) -> int:
        """Its middle from left to right."""
        return self.x + self.width // 2


@dataclass(frozen=True, slots=True)
class Line:
    """One way as an SVG path of straight lines; ``failed``: taken after a failure, ``again``: back to the condition."""

    path: str
    style: str

    @property
    def tip(self) -> str:
        """The arrow at its end, as a path of its own."""
        x, y = 0, 0
        before = (0, 0)
        for letter, first, second in _MOVE.findall(self.path):
            before = (x, y)
            x, y = (int(first), int(second)) if letter == "M" else (int(first), y) if letter == "H" else (x, int(first))
        if before[1] == y:
            back = x - 8 if before[0] < x else x + 8
            return f"M{x} {y}L{back} {y - 4}V{y + 4}z"
        back = y - 8 if before[1] < y else y + 8
        return f"M{x} {y}L{x - 4} {back}H{x + 4}z"

    def moved(self, dx: int, dy: int) -> "Line":
        """The same elsewhere."""

        def shift(found: re.Match[str]) -> str:
            letter, first, second = found.groups()
            if letter == "M":
                return f"M{int(first) + dx} {int(second) + dy}"
            return f"{letter}{int(first) + (dx if letter == 'H' else dy)}"

        return Line(_MOVE.sub(shift, self.path), self.style)


@dataclass(frozen=True, slots=True)
class Name:
    """What a way is called, written beside it."""

    x: int
    y: int
    text: str


@dataclass(frozen=True, slots=True)
class Block:
    """A part of the drawing: entered at ``top`` and left at ``bottom`` on its ``axis``; failures leave at the right."""

    width: int
    height: int
    axis: int
    top: int
    bottom: int
    right: int
    middle: int
    boxes: tuple[Box, ...] = ()
    lines: tuple[Line, ...] = ()
    names: tuple[Name, ...] = ()

    @classmethod
    def of_box(cls, box: Box) -> "Block":
        """One shape alone."""
        end, low = box.x + box.width, box.y + box.height
        return cls(box.width, box.height, box.middle, box.y, low, end, box.y + box.height // 2, (box,))

    @classmethod
    def of(cls, parts: Iterable["Block"], axis: int, height: int) -> "Block":
        """Parts that have their places already, from 0 on."""
        given = tuple(parts)
        wide = max((part.right for part in given), default=0)
        return cls(
            wide,
            height,
            axis,
            0,
            height,
            wide,
            height // 2,
            tuple(box for part in given for box in part.boxes),
            tuple(line for part in given for line in part.lines),
            tuple(name for part in given for name in part.names),
        )

    def moved(self, dx: int, dy: int) -> "Block":
        """The same elsewhere; width and height stay what it takes with its place from 0 on."""
        return Block(
            self.width + dx,
            self.height + dy,
            self.axis + dx,
            self.top + dy,
            self.bottom + dy,
            self.right + dx,
            self.middle + dy,
            tuple(replace(box, x=box.x + dx, y=box.y + dy) for box in self.boxes),
            tuple(line.moved(dx, dy) for line in self.lines),
            tuple(replace(name, x=name.x + dx, y=name.y + dy) for name in self.names),
        )


def side_by_side(blocks: Sequence[Block], between: int) -> Block:
    """From left to right, their tops in one line."""
    placed, x = [], 0
    for block in blocks:
        placed.append(block.moved(x, 0))
        x += block.width + between
    return replace(Block.of(placed, 0, max(block.height for block in blocks)), width=x - between)


def stacked(blocks: Sequence[Block], between: int) -> Block:
    """From top to bottom, their left sides in one line."""
    placed, y = [], 0
    for block in blocks:
        placed.append(block.moved(0, y))
        y += block.height + between
    return replace(Block.of(placed, blocks[0].axis, y - between), width=max(block.width for block in blocks))
