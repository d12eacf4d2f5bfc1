"""A tenant's settings of second sources: whom to ask, when, and how far a clock may be off."""

from collections.abc import Callable, Collection
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from nightdesk.autonomy.verification import RULES

__all__ = ["WitnessConfig"]


class WitnessConfig(BaseModel):
    """How an effect is held against what other bound products saw; ``ask`` names them, none: all that can tell.

    ``looks_seconds`` count from the effect and its grace; ``grace_seconds`` by verb.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    ask: list[str] | None = None
    looks_seconds: Annotated[list[Annotated[float, Field(gt=0)]], Field(min_length=1, max_length=10)] = [60, 300, 900]
    grace_seconds: dict[str, Annotated[float, Field(ge=0)]] = {}
    tolerated_skew_seconds: Annotated[float, Field(ge=0)] = 120.0
    deadline_seconds: Annotated[float, Field(gt=0, description="how long one that does not answer is asked")] = 3600.0

    def check(self, connectors: Collection[str], key: str, wrong: Callable[[str, str], None]) -> None:
        """Tells ``wrong`` what the schema cannot see: the key, and what to do."""
        for name in self.ask or ():
            if name not in connectors:
                wrong(f"{key}.ask", f"no connector {name!r}; there are {', '.join(connectors)}")
        for name in self.grace_seconds:
            if name not in RULES:
                wrong(f"{key}.grace_seconds.{name}", f"no second source can see it; there are {', '.join(RULES)}")
