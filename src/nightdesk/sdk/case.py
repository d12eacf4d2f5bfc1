"""Alerts, cases and decisions as plain frozen values: what the autonomy reads and writes, free of vendor and storage.

``Alert`` is the projection of a STIX bundle that a decision needs; it is made by the normaliser beside the bundle and
can always be rebuilt from it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

__all__ = [
    "Alert",
    "Case",
    "CaseStatus",
    "Check",
    "Decision",
    "Entity",
    "EntityKind",
    "Mode",
    "Outcome",
    "PlaybookStart",
    "Proposal",
    "Verdict",
]


class EntityKind(StrEnum):
    """The kinds that correlation knows; values are normalised before they get here."""

    HOST = "host"
    DEVICE = "device"
    ACCOUNT = "account"
    ADDRESS = "address"
    DOMAIN = "domain"
    URL = "url"
    FILE = "file"
    PROCESS = "process"
    EMAIL = "email"
    RESOURCE = "resource"


class Verdict(StrEnum):
    """STIX decision extension, ``verdict``."""

    TRUE_POSITIVE = "true-positive"
    LIKELY_TRUE_POSITIVE = "likely-true-positive"
    BENIGN_POSITIVE = "benign-positive"
    UNDETERMINED = "undetermined"
    LIKELY_FALSE_POSITIVE = "likely-false-positive"
    FALSE_POSITIVE = "false-positive"
    DUPLICATE = "duplicate"
    TEST = "test"


class Outcome(StrEnum):
    """What a decision says is to be done with the case."""

    CLOSE = "close"
    RECOMMEND = "recommend"
    ESCALATE = "escalate"
    PROPOSE_CONTAINMENT = "propose_containment"
    HOLD = "hold"
    REOPEN = "reopen"


class Mode(StrEnum):
    """Who decided."""

    AUTONOMOUS = "autonomous"
    RECOMMENDED = "recommended"
    HUMAN = "human"


class CaseStatus(StrEnum):
    """STIX case extension, ``case_status``."""

    NEW = "new"
    OPEN = "open"
    WAITING = "waiting"
    ESCALATED = "escalated"
    CLOSED = "closed"


@dataclass(frozen=True, slots=True, order=True)
class Entity:
    """One thing an alert is about. ``ref`` is its STIX id in the alert's bundle, ``facts`` further names of it."""

    kind: EntityKind
    value: str
    role: str = field(default="other", compare=False)
    ref: str = field(default="", compare=False)
    facts: Mapping[str, str] = field(default_factory=dict, compare=False)

    @property
    def key(self) -> str:
        """``kind:value``, the index that correlation works on."""
        return f"{self.kind}:{self.value}"


@dataclass(frozen=True, slots=True)
class Alert:
    """One alert. ``caution`` names everything that must make the autonomy abstain (a lost or wrong-typed field …)."""

    tenant: str
    alert_id: str
    instance: str
    product: str
    native_id: str
    title: str
    created: datetime
    modified: datetime
    first_seen: datetime
    last_seen: datetime
    severity_id: int = 0
    confidence: int | None = None
    description: str = ""
    rule_id: str = ""
    rule_name: str = ""
    rule_version: str = ""
    native_status: str = ""
    native_verdict: str = ""
    closed_at_source: bool = False
    disposition: str = ""
    techniques: tuple[str, ...] = ()
    tactics: tuple[str, ...] = ()
    entities: tuple[Entity, ...] = ()
    caution: tuple[str, ...] = ()
    console_url: str = ""
    content_sha256: str = ""
    source: str = ""
    """Name of the connector instance it came through; a write-back goes to that one."""


@dataclass(frozen=True, slots=True)
class Case:
    """Alerts that belong together. ``alerts`` are in the order of their arrival."""

    tenant: str
    case_id: str
    title: str
    status: CaseStatus
    severity_id: int
    opened_at: datetime
    updated_at: datetime
    alerts: tuple[Alert, ...] = ()

    @property
    def entities(self) -> tuple[Entity, ...]:
        """Every entity once, in order of first appearance."""
        seen: dict[str, Entity] = {}
        for alert in self.alerts:
            for entity in alert.entities:
                seen.setdefault(entity.key, entity)
        return tuple(seen.values())


@dataclass(frozen=True, slots=True)
class Check:
    """One guard that was asked, passed or not: name, result, the value and the limit it was held against."""

    name: str
    passed: bool
    value: str = ""
    limit: str = ""


@dataclass(frozen=True, slots=True)
class Proposal:
    """A containment that a decision proposes; ``approval`` says who may let it go: ``human`` or ``policy``.

    ``rules`` are the policy's that want it.
    """

    verb: str
    target: str
    facts: Mapping[str, str] = field(default_factory=dict)
    parameters: Mapping[str, Any] = field(default_factory=dict)
    approval: str = "human"
    rules: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PlaybookStart:
    """A playbook that a decision starts: exactly that content (``sha256``), on these values, once for the case.

    ``approval`` says who may let its actions go: ``human`` or ``policy``. ``rules`` are the policy's that want it.
    """

    playbook: str
    sha256: str
    name: str
    variables: Mapping[str, str] = field(default_factory=dict)
    approval: str = "human"
    rules: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Decision:
    """What was decided, and everything needed to decide it again bit for bit (law 11)."""

    tenant: str
    decision_id: str
    case_id: str
    decided_at: datetime
    outcome: Outcome
    verdict: Verdict
    mode: Mode
    reason_code: str
    reasons: tuple[str, ...]
    checks: tuple[Check, ...]
    policy_id: str
    policy_version: str
    policy_sha256: str
    inputs: Mapping[str, Any] = field(default_factory=dict)
    proposals: tuple[Proposal, ...] = ()
    supersedes: str = ""
    reviewer: str = ""
    hold_until: datetime | None = None
    starts: tuple[PlaybookStart, ...] = ()
