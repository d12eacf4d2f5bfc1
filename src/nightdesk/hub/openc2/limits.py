"""The configuration's section ``openc2``."""

from datetime import timedelta
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

__all__ = ["OpenC2Config"]


class OpenC2Config(BaseModel):
    """How long an answer may wait for a command's effect, and how many commands a credential may send a minute."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    wait_seconds: Annotated[float, Field(ge=0, le=300)] = 10.0
    commands_per_minute: Annotated[int, Field(gt=0)] = 120

    @property
    def wait(self) -> timedelta:
        """The longest wait."""
        return timedelta(seconds=self.wait_seconds)
