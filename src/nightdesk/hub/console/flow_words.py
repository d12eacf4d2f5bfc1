"""What stands in the boxes of a flow, and how each step of a run stands there: words, tones and marks, none in HTML."""

from collections.abc import Mapping
from dataclasses import dataclass

from nightdesk.autonomy.playbooks.commands import HTTP, manual_text, order_of
from nightdesk.autonomy.playbooks.model import (
    Action,
    Call,
    Condition,
    End,
    Loop,
    Parallel,
    Start,
    Step,
    Switch,
    settings_of,
)
from nightdesk.autonomy.playbooks.uses import switched
from nightdesk.hub.console.untrusted import plain, shortened
from nightdesk.hub.console.words import verb_name

__all__ = ["OUTCOMES", "Standing", "branch_name", "caption", "tooltip"]


@dataclass(frozen=True, slots=True)
class Standing:
    """How a step of a run stands: a word, a tone of the style sheet, and a mark that says it without colour."""

    word: str
    tone: str
    mark: str


OUTCOMES: Mapping[str, Standing] = {
    "effective": Standing("Effective", "good", "✓"),
    "accepted": Standing("Accepted, no read-back", "good", "✓"),
    "answered": Standing("Answered", "good", "✓"),
    "done": Standing("Done", "good", "✓"),
    "skipped": Standing("Left out", "neutral", "–"),
    "failed": Standing("Failed", "bad", "✕"),
    "unverified": Standing("Not verified", "warn", "?"),
    "contradicted": Standing("Contradicted", "bad", "✕"),
    "rejected": Standing("Rejected", "bad", "✕"),
    "cancelled": Standing("Cancelled", "bad", "✕"),
    "refused": Standing("Refused", "bad", "✕"),
    "undone": Standing("Undone", "neutral", "–"),
    "not-done": Standing("Could not be done", "bad", "✕"),
    "timed-out": Standing("Out of time", "bad", "✕"),
    "abandoned": Standing("Abandoned", "neutral", "–"),
}
"""By the outcome of a visit."""


def branch_name(way: str) -> str:
    """What the branch is called that a step's property names."""
    if way.startswith("cases/"):
        case = way.removeprefix("cases/").replace("~1", "/").replace("~0", "~")
        return "otherwise" if case == "default" else shortened(plain(f"if {case}"), 28)
    return {"on_true": "if so", "on_false": "if not"}.get(way, "")


def caption(step: Step) -> str:
    """What kind of step it is, and of a command what is done and how risky that is."""
    if isinstance(step, Action):
        orders = [order_of(command).verb for command in step.commands if command.type == HTTP]
        if not orders:
            return "A person"
        more = f" and {len(orders) - 1} more" if len(orders) > 1 else ""
        return f"{verb_name(orders[0].name)}{more} · {max(one.risk for one in orders).name}"
    if isinstance(step, Loop):
        return "As long as"
    words: Mapping[type[object], str] = {
        Start: "Start",
        End: "End",
        Call: "Another playbook",
        Parallel: "Side by side",
        Condition: "If",
        Switch: "Which",
    }
    return words[type(step)]


def tooltip(step: Step) -> str:
    """All of the step in one line."""
    said = f"{caption(step)}: {step.name}" if step.name else caption(step)
    if isinstance(step, Condition | Loop):
        said += f" ({step.condition})"
    if isinstance(step, Switch):
        said += f" ({switched(step)})"
    if isinstance(step, Action):
        texts = [manual_text(one) if one.type != HTTP else order_of(one).verb.name for one in step.commands]
        said += f" ({'; '.join(texts)})"
        answers = settings_of(step).answers
        said += f" [{' | '.join(answers)}]" if answers else ""
    return said
