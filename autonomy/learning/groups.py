"""The unit that is scored: alerts of one rule on one entity of one tenant within a window.

Grouping loses no label worth having and takes away 98 % of the alerts of the AIT data, so a person judges a group and
not each of its alerts.
"""

from dataclasses import dataclass

__all__ = ["WINDOW", "Group", "Judged"]

WINDOW = 300.0
"""Seconds after its first alert in which a group takes further ones."""


@dataclass(frozen=True, slots=True)
class Group:
    """One group. Times are seconds since 1970 (UTC); ``rule`` is rule and version, ``source`` the tool it is from.

    ``severity_id`` counts as that of an alert (0 is unknown), ``confidence`` from 0 to 100 (-1 is unknown).
    """

    tenant: str
    entity: str
    rule: str
    opened: float
    last: float
    alerts: int
    source: str = ""
    title: str = ""
    severity_id: int = 0
    confidence: int = -1
    tactics: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Judged:
    """A group with the truth about it. ``incident`` names the attack (step) it belongs to, empty when it is none."""

    group: Group
    attack: bool
    incident: str = ""
    unclear: bool = False
    """Neither attack nor benign for certain: no label is learnt from it, and none is counted."""

    @property
    def cluster(self) -> tuple[str, str, str]:
        """Groups of one attack are no independent evidence: they count once (tenant, incident, rule)."""
        return self.group.tenant, self.incident, self.group.rule
