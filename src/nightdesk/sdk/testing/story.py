"""A story: what happened in an estate, told without any vendor; each simulator renders it as its own alerts."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from nightdesk.sdk.ports import SightingKind

__all__ = ["TACTIC_NAMES", "StoryAccount", "StoryAlert", "StoryDevice", "StoryProcess", "StorySighting"]

TACTIC_NAMES: Mapping[str, str] = {
    "TA0001": "Initial Access",
    "TA0002": "Execution",
    "TA0003": "Persistence",
    "TA0004": "Privilege Escalation",
    "TA0005": "Defense Evasion",
    "TA0006": "Credential Access",
    "TA0007": "Discovery",
    "TA0008": "Lateral Movement",
    "TA0009": "Collection",
    "TA0010": "Exfiltration",
    "TA0011": "Command and Control",
    "TA0040": "Impact",
    "TA0042": "Resource Development",
    "TA0043": "Reconnaissance",
}
"""Tactics as the products still write them; ATT&CK has renamed some since."""


@dataclass(frozen=True, slots=True)
class StoryProcess:
    """The process an alert is about."""

    name: str
    path: str
    command_line: str
    pid: int
    sha256: str
    parent_name: str = ""
    parent_command_line: str = ""


@dataclass(frozen=True, slots=True)
class StoryDevice:
    """One device, and what runs on it; each process has its file."""

    device_id: str
    hostname: str
    addresses: tuple[str, ...]
    asset_type: Literal["workstation", "server"] = "workstation"
    platform: Literal["Windows", "Linux", "macOS"] = "Windows"
    processes: tuple[StoryProcess, ...] = ()


@dataclass(frozen=True, slots=True)
class StoryAccount:
    """One account."""

    account_id: str
    name: str
    email: str
    domain: str = ""
    sid: str = ""
    groups: tuple[str, ...] = ()
    key_ids: tuple[str, ...] = ()
    privileged: bool = False


@dataclass(frozen=True, slots=True)
class StoryAlert:
    """One alert. ``uid`` is unique in the story; ``at`` is when the thing happened, ``raised_at`` when it was told."""

    uid: str
    at: datetime
    title: str
    rule_id: str
    severity: Literal["informational", "low", "medium", "high", "critical"]
    description: str = ""
    raised_at: datetime | None = None
    device: StoryDevice | None = None
    user: str = ""
    user_domain: str = ""
    user_sid: str = ""
    process: StoryProcess | None = None
    source_address: str = ""
    destination_address: str = ""
    destination_port: int | None = None
    source_port: int | None = None
    domain: str = ""
    technique_ids: tuple[str, ...] = ()
    tactic_ids: tuple[str, ...] = ()
    convicted_sha256: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)

    @property
    def told(self) -> datetime:
        """When the product raised it."""
        return self.raised_at or self.at


@dataclass(frozen=True, slots=True)
class StorySighting:
    """One thing that telemetry saw; ``at`` is the true time, which a vendor with a wrong clock writes wrongly.

    Of a flow ``device`` is our end and ``peer`` (or ``domain``, ``url``) the other; ``began`` is set for a session that
    is written at its end.
    """

    uid: str
    kind: SightingKind
    at: datetime
    device: StoryDevice | None = None
    account: StoryAccount | None = None
    peer: str = ""
    port: int = 443
    domain: str = ""
    url: str = ""
    process: StoryProcess | None = None
    provider: str = ""
    inbound: bool = False
    began: datetime | None = None
