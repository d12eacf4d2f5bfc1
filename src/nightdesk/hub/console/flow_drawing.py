"""A flow with its words: each box's text, its tone in a run, and the same in sentences for those who do not see it."""

from collections.abc import Mapping
from dataclasses import dataclass

from nightdesk.autonomy.playbooks.commands import HTTP
from nightdesk.autonomy.playbooks.model import Action, Call, End, Playbook, Start, Step
from nightdesk.autonomy.playbooks.outlook import outlook
from nightdesk.hub.console.flow import lay_flow
from nightdesk.hub.console.flow_shapes import Box, Line, Name
from nightdesk.hub.console.flow_words import Standing, caption, tooltip
from nightdesk.hub.console.untrusted import plain, shortened
from nightdesk.hub.console.words import count

__all__ = ["Drawing", "Piece", "Sentence", "draw_flow", "in_words"]

_LETTERS, _CAPTION = 23, 30


@dataclass(frozen=True, slots=True)
class Piece:
    """One box as it is drawn; ``full`` is its whole text for the tooltip, ``link`` where it leads."""

    box: Box
    style: str
    caption: str
    label: str
    full: str
    standing: Standing | None
    link: str


@dataclass(frozen=True, slots=True)
class Drawing:
    """Everything the template draws."""

    key: str
    width: int
    height: int
    frames: tuple[Box, ...]
    pieces: tuple[Piece, ...]
    dots: tuple[Box, ...]
    lines: tuple[Line, ...]
    names: tuple[Name, ...]
    summary: str


@dataclass(frozen=True, slots=True)
class Sentence:
    """One step in words, indented by how deep it lies."""

    depth: int
    when: str
    name: str
    kind: str
    text: str
    orders: tuple[str, ...]
    standing: Standing | None


def draw_flow(book: Playbook, standings: Mapping[str, Standing] | None = None, *, of_run: bool = False) -> Drawing:
    """The drawing of a sound playbook; ``standings`` are a run's, by step."""
    flow = lay_flow(book)
    known = standings or {}
    boxes = [box for box in flow.boxes if box.shape in {"box", "fork"}]
    dots = tuple(box for box in flow.boxes if box.shape == "dot")
    frames = tuple(box for box in flow.boxes if box.shape == "frame")
    pieces = tuple(_piece(book.workflow[box.step], box, known.get(box.step), of_run=of_run) for box in boxes)
    said = f"{book.name}: {count(len(pieces), 'step')}, from top to bottom."
    waiting = [piece.label for piece in pieces if piece.standing is not None and piece.standing.tone == "warn"]
    if waiting:
        said += f" Waiting or in doubt: {', '.join(waiting)}."
    return Drawing(book.id, flow.width, flow.height, frames, pieces, dots, flow.lines, flow.names, plain(said))


def in_words(
    book: Playbook, called: Mapping[str, Playbook], standings: Mapping[str, Standing] | None = None
) -> list[Sentence]:
    """Every step in the order in which it may be done, with what is known of it."""
    return [
        Sentence(
            line.depth,
            line.when,
            line.name,
            caption({book.id: book, **called}[line.playbook].workflow[line.step]),
            line.text,
            tuple(f"{order.verb.name} {order.value} ({order.verb.risk.name})" for order in line.orders),
            (standings or {}).get(line.step),
        )
        for line in outlook(book, called)
    ]


def _piece(step: Step, box: Box, standing: Standing | None, *, of_run: bool) -> Piece:
    style = f"{_kind(step)} {standing.tone if standing else 'untouched' if of_run else ''}".strip()
    full = tooltip(step) + (f": {standing.word}" if standing else "")
    link = f"/console/playbooks/books/{step.playbook_id}" if isinstance(step, Call) else ""
    return Piece(
        box,
        style,
        shortened(plain(caption(step)), _CAPTION),
        shortened(plain(step.name or caption(step)), _LETTERS),
        plain(full),
        standing,
        link,
    )


def _kind(step: Step) -> str:
    if isinstance(step, Start | End):
        return "dot"
    if isinstance(step, Action):
        return "deed" if any(command.type == HTTP for command in step.commands) else "person"
    return "choice"
