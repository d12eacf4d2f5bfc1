"""Lays a decision out from left to right: the alerts, the rules and checks they met, the outcome, what was done.

It is drawn from the record and the actions alone, so that it shows what was decided on, not what a policy says today.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from nightdesk.autonomy.actions import Action
from nightdesk.hub.console.decision_boxes import Content, actions_of, alerts_of, decided_on, outcome_of, questions_of
from nightdesk.hub.console.untrusted import plain
from nightdesk.hub.console.words import MODE, OUTCOME, VERDICT, count, moment
from nightdesk.sdk.case import Alert, Decision

__all__ = ["Box", "Picture", "Way", "draw_decision"]

_BOX, _SPACE, _GAP = 188, 32, 12
_TOP = 62
_LINE = 17
_HEADINGS = ("Alerts", "Rules and checks", "Outcome", "Actions")


@dataclass(frozen=True, slots=True)
class Box:
    """One box with its lines, each with a style; ``full`` is the whole text for its tooltip."""

    x: int
    y: int
    width: int
    height: int
    tone: str
    lines: tuple[tuple[str, str], ...]
    full: str

    @property
    def middle(self) -> int:
        """The height at which its ways meet it."""
        return self.y + self.height // 2


@dataclass(frozen=True, slots=True)
class Way:
    """One curve between two boxes, as an SVG path."""

    path: str
    tone: str


@dataclass(frozen=True, slots=True)
class Picture:
    """Everything the template draws. ``case`` is the point where the alerts become one; ``summary`` is it in words."""

    width: int
    height: int
    name: str
    headings: tuple[tuple[int, str], ...]
    boxes: tuple[Box, ...]
    ways: tuple[Way, ...]
    case: tuple[int, int]
    summary: str


def draw_decision(decision: Decision, alerts: Sequence[Alert], actions: Sequence[Action]) -> Picture:
    """The picture of one decision; ``alerts`` and ``actions`` are the case's, and what is not its own is left out."""
    columns = [
        alerts_of(decision, alerts),
        questions_of(decision),
        outcome_of(decision),
        actions_of(decision, actions),
    ]
    tall = max(sum(_height(one) + _GAP for one in column) - _GAP for column in columns)
    placed = [_column(number, column, tall) for number, column in enumerate(columns)]
    height = _TOP + tall + 10
    dot = (_BOX + 1 + _SPACE // 2, _TOP + tall // 2)
    outcome = placed[2][0]
    ways = [_way(box.x + box.width, box.middle, *dot, "neutral") for box in placed[0]]
    ways += [_way(*dot, box.x, box.middle, box.tone) for box in placed[1]]
    ways += [_way(box.x + box.width, box.middle, outcome.x, outcome.middle, box.tone) for box in placed[1]]
    ways += [_way(outcome.x + outcome.width, outcome.middle, box.x, box.middle, box.tone) for box in placed[3]]
    return Picture(
        4 * _BOX + 3 * _SPACE + 2,
        height,
        plain(f"{decision.decision_id} · {moment(decision.decided_at)}"),
        tuple((1 + number * (_BOX + _SPACE), text) for number, text in enumerate(_HEADINGS)),
        tuple(box for column in placed for box in column),
        tuple(ways),
        dot,
        plain(_summary(decision, columns[3])),
    )


def _height(content: Content) -> int:
    return 12 + _LINE * len(content.lines)


def _column(number: int, contents: Sequence[Content], tall: int) -> list[Box]:
    """Boxes from top to bottom, the column centred."""
    used = sum(_height(one) + _GAP for one in contents) - _GAP
    below = _TOP + (tall - used) // 2
    made = []
    for one in contents:
        x = 1 + number * (_BOX + _SPACE)
        made.append(Box(x, below, _BOX, _height(one), one.tone, one.lines, one.full))
        below += _height(one) + _GAP
    if number == 2 and len(made) > 1:
        # The outcome itself stands where the ways meet; what goes with it stands under it.
        return _outcome_first(made, tall)
    return made


def _outcome_first(made: list[Box], tall: int) -> list[Box]:
    first = made[0]
    lowest = _TOP + tall - (made[-1].y + made[-1].height - first.y)
    start = max(_TOP, min(_TOP + (tall - first.height) // 2, lowest))
    return [replace(box, y=box.y - first.y + start) for box in made]


def _way(x: int, y: int, to_x: int, to_y: int, tone: str) -> Way:
    bend = (x + to_x) // 2
    return Way(f"M{x} {y}C{bend} {y} {bend} {to_y} {to_x} {to_y}", tone)


def _summary(decision: Decision, done: Sequence[Content]) -> str:
    failed = [check.name for check in decision.checks if not check.passed]
    told = f"{count(len(decided_on(decision)), 'alert')} led to: {OUTCOME[decision.outcome]}"
    told += f", {VERDICT[decision.verdict]}, {MODE[decision.mode]}. "
    told += f"{len(decision.checks) - len(failed)} of {count(len(decision.checks), 'check')} passed"
    told += f"; not passed: {', '.join(failed)}. " if failed else ". "
    return told + "; ".join(one.full for one in done) + "."
