"""Where the machine's own brakes lie: how much policy may do over all tenants before a person is asked."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

__all__ = ["BrakeBounds"]


class BrakeBounds(BaseModel):
    """When the machine stops itself. Counted is what policy let go and somebody feels (R2 and above).

    One rule's verb in more than ``tenants_per_rule`` tenants within the window stops that rule's verb; more than
    ``actions`` in all of them stop autonomy; ``failures`` among the last ``verified_of`` uses of a vendor action by
    policy that were not verified, contradicted or not undone take it from policy.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    tenants_per_rule: Annotated[int, Field(ge=1)] = 2
    actions: Annotated[int, Field(ge=1)] = 20
    window_seconds: Annotated[float, Field(gt=0)] = 600.0
    verified_of: Annotated[int, Field(ge=1)] = 20
    failures: Annotated[int, Field(ge=1)] = 2
