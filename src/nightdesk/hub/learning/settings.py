"""How the installation learns, as configured: promises may be made stricter there, and not looser."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from nightdesk.autonomy.learning.champion import CASES

__all__ = ["LearningConfig", "LearningSettings"]


class LearningConfig(BaseModel):
    """``learning`` of the file. Looser promises than these take a change of the product, not of a file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    alpha: Annotated[float, Field(gt=0, le=0.01)] = 0.01
    """Share of attacks that may be closed at most."""
    delta: Annotated[float, Field(gt=0, le=0.05)] = 0.05
    """With what chance that may fail to hold."""
    every_hours: Annotated[float, Field(ge=1, le=168)] = 24.0
    """How often a model is trained; 7 days after its training, or its trial, a model is believed no longer."""
    memory_days: Annotated[int, Field(ge=7, le=730)] = 90
    """How far back judged groups are learnt from."""

    def settings(self) -> "LearningSettings":
        """Ready to run."""
        return LearningSettings(
            self.alpha, self.delta, timedelta(hours=self.every_hours), timedelta(days=self.memory_days)
        )


@dataclass(frozen=True, slots=True)
class LearningSettings:
    """The same; ``cases`` are those that a challenger scores in shadow before it is ruled on."""

    alpha: float = 0.01
    delta: float = 0.05
    every: timedelta = timedelta(hours=24)
    memory: timedelta = timedelta(days=90)
    cases: int = CASES
