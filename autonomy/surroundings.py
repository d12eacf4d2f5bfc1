"""What was so around an action in the moment before its request: gathered once, journalled, and judged from there.

Gathering may look things up; a guard only compares. So the journal alone says again why something went out or did not.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from typing import Any, Protocol

from pydantic import TypeAdapter

from nightdesk.autonomy.actions import Action
from nightdesk.autonomy.guardrails import AssetFacts, Limits
from nightdesk.autonomy.routing import Route

__all__ = ["Lookout", "Surroundings"]


@dataclass(frozen=True, slots=True)
class Surroundings:
    """The facts that guards compare.

    ``inventory`` is what the tenant says of who feels it (None: not in it), ``vendor`` what the connector says.
    The counts are other targets of the same sort (hosts, accounts, indicators) that containments were sent to, and
    older wishes that policy let go and that wait to be sent. ``shared_as`` is the network or host of many that it is.
    ``shared_with`` says who learns of it at the vendor, ``tells_tlp`` whether a marking can be told along.
    """

    inventory: AssetFacts | None = None
    vendor: AssetFacts | None = None
    shared_as: str = ""
    sent_last_hour: int = 0
    sent_last_day: int = 0
    fleet_size: int = 0
    alerts_last_hour: int = 0
    alerts_hour_median: float = 0.0
    approved_at: datetime | None = None
    change_windows: tuple[str, ...] = ()
    tlp: str = "clear"
    pap: str = "clear"
    shared_with: str = "none"
    tells_tlp: bool = False
    policy_sha256: str = ""
    limits: Limits = field(default_factory=Limits)

    def to_json(self) -> dict[str, Any]:
        """As JSON values, for the journal."""
        dumped: dict[str, Any] = _adapter().dump_python(self, mode="json")
        return dumped

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> "Surroundings":
        """Back from the journal."""
        return _adapter().validate_python(dict(raw))


@cache
def _adapter() -> TypeAdapter[Surroundings]:
    return TypeAdapter(Surroundings)


class Lookout(Protocol):
    """Gathers the facts; what knows the tenant's configuration and store implements it."""

    def survey(self, action: Action, route: Route, now: datetime) -> Surroundings:
        """The facts now. It waits for nobody: between it and the request nothing else of this process comes."""
        ...
