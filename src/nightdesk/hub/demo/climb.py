"""How far a rule is on its way up, as a line and as what a terminal shows while it moves."""

from dataclasses import dataclass, field

from rich.table import Table

from nightdesk.autonomy.levels.evidence import DEFAULT_TERMS

__all__ = ["GOAL", "Climb", "Reading"]

GOAL = round(1 / DEFAULT_TERMS.delta)
"""The e-value at which the evidence is enough."""
_WIDTH = 30


@dataclass(frozen=True, slots=True)
class Reading:
    """The rule at one moment."""

    day: int
    judged: int
    evidence: float
    level: str

    def told(self) -> str:
        """One line, the evidence as a bar against the goal."""
        full = int(min(1.0, self.evidence / GOAL + 1e-9) * _WIDTH)
        bar = "█" * full + "░" * (_WIDTH - full)
        return f"day {self.day}  {self.judged:>3} judged  e {self.evidence:>4.1f} {bar}│{GOAL}  {self.level}"


@dataclass
class Climb:
    """What goes on, and the newest reading; whoever draws it does so while it changes."""

    doing: str = ""
    now: Reading | None = field(default=None)

    def drawn(self) -> Table:
        """For a live view."""
        table = Table(box=None, show_header=False)
        if self.now is not None:
            table.add_row(self.now.told())
        table.add_row(self.doing)
        return table
