"""What a rule may ask of an alert: the condition part of the policy language, as typed values."""

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from nightdesk.sdk.case import EntityKind, Verdict

__all__ = ["IDENTIFIED", "SEVERITIES", "PolicyModel", "Role", "Selector", "When", "Words"]

SEVERITIES: Mapping[str, int] = {"informational": 1, "low": 2, "medium": 3, "high": 4, "critical": 5, "fatal": 6}
IDENTIFIED = frozenset({EntityKind.DEVICE, EntityKind.ADDRESS, EntityKind.FILE, EntityKind.RESOURCE})
"""Kinds known by an id or an address; every other kind is a name, and names can be chosen by an attacker."""

Severity = Literal["informational", "low", "medium", "high", "critical", "fatal"]
Role = Literal[
    "victim-host",
    "victim-user",
    "victim-account",
    "victim-resource",
    "actor-user",
    "actor-host",
    "attacker-address",
    "attacker-domain",
    "attacker-url",
    "malicious-file",
    "malicious-process",
    "sender",
    "recipient",
    "other",
]


def _listed(value: object) -> object:
    return (value,) if isinstance(value, str) else value


Words = Annotated[tuple[Annotated[str, Field(min_length=1)], ...], BeforeValidator(_listed), Field(min_length=1)]
Verdicts = Annotated[tuple[Verdict, ...], BeforeValidator(_listed), Field(min_length=1)]


class PolicyModel(BaseModel):
    """A part of a policy: frozen, and an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Selector(PolicyModel):
    """Entities of one kind (and role): ids, addresses and CIDR networks exactly, names as globs."""

    kind: EntityKind
    role: Role | None = None
    values: Words = Field(alias="in")


class When(PolicyModel):
    """All of what is given must hold; an empty one holds for every alert."""

    source: Words | None = None
    rule_id: Words | None = None
    rule_name: Words | None = None
    title: Words | None = None
    text: Words | None = None
    severity_at_most: Severity | None = None
    severity_at_least: Severity | None = None
    techniques: Words | None = None
    tactics: Words | None = None
    source_verdict: Verdicts | None = None
    disposition: Words | None = None
    closed_at_source: bool | None = None
    case_alerts_at_least: Annotated[int, Field(ge=2)] | None = None
    entities: Annotated[tuple[Selector, ...], Field(min_length=1)] | None = None
    all_of: Annotated[tuple["When", ...], Field(min_length=1)] | None = Field(default=None, alias="all")
    any_of: Annotated[tuple["When", ...], Field(min_length=1)] | None = Field(default=None, alias="any")
    none_of: "When | None" = Field(default=None, alias="not")
