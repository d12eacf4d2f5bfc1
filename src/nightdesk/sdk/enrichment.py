"""What an enricher is asked and what it may answer: typed facts about one thing of a case, each answer with its age.

A fact says what a source holds true; it decides nothing. What decides takes facts as reasons for more caution only
(law 7), so an enricher that lies cannot get a case closed. What a source does not know, it does not say: an empty
answer is *nothing known*, an error is an error, and neither is filled in by anybody.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Annotated, Literal, Protocol, runtime_checkable

from pydantic import Field

from nightdesk.sdk.case import Entity, EntityKind
from nightdesk.sdk.manifest import Audience, Setting

__all__ = [
    "ASKABLE",
    "AllowFact",
    "AssetFact",
    "Enricher",
    "EnricherSpec",
    "Enrichment",
    "EnrichmentStatus",
    "Fact",
    "IdentityFact",
    "IntelFact",
    "Knowledge",
    "VerdictsFact",
]

ASKABLE = frozenset(
    {
        EntityKind.HOST,
        EntityKind.ACCOUNT,
        EntityKind.ADDRESS,
        EntityKind.DOMAIN,
        EntityKind.URL,
        EntityKind.FILE,
        EntityKind.EMAIL,
    }
)
"""Kinds of entities that somebody can know something of."""

Criticality = Literal["", "low", "medium", "high", "critical"]


class EnrichmentStatus(StrEnum):
    """What became of a question. Only ``ok`` and ``nothing-known`` are answers; ``pending`` is none yet."""

    OK = "ok"
    NOTHING = "nothing-known"
    PENDING = "pending"
    TIMEOUT = "timeout"
    ERROR = "error"
    REFUSED = "refused"
    """TLP or PAP forbids to ask there."""
    STALE = "stale"
    """The facts are older than their source says that they hold, and it did not answer again."""


@dataclass(frozen=True, slots=True)
class AssetFact:
    """What an inventory says of a device. ``native_id`` is its id there."""

    criticality: Criticality = ""
    owner: str = ""
    asset_type: str = ""
    tags: tuple[str, ...] = ()
    native_id: str = ""
    kind: Literal["asset"] = "asset"


@dataclass(frozen=True, slots=True)
class IdentityFact:
    """What a directory says of an account; None where it does not say."""

    name: str = ""
    privileged: bool | None = None
    vip: bool | None = None
    enabled: bool | None = None
    service: bool | None = None
    department: str = ""
    owner: str = ""
    groups: tuple[str, ...] = ()
    kind: Literal["identity"] = "identity"


@dataclass(frozen=True, slots=True)
class IntelFact:
    """What one source of intelligence says, from ``count`` hits, the newest of that time; confidence 0 to 100."""

    verdict: Literal["malicious", "suspicious", "benign", "unknown"]
    by: str
    count: int = 1
    newest: datetime | None = None
    confidence: int | None = None
    tlp: str = ""
    labels: tuple[str, ...] = ()
    link: str = ""
    kind: Literal["intel"] = "intel"


@dataclass(frozen=True, slots=True)
class VerdictsFact:
    """How often people confirmed a verdict about a rule on this thing, and when the last time."""

    rule: str
    verdict: str
    count: int
    newest: datetime
    kind: Literal["verdicts"] = "verdicts"


@dataclass(frozen=True, slots=True)
class AllowFact:
    """An entry of an allow-list: who answers for it, until when, and whose signatures were verified.

    Only the hub's own reader of signed lists makes one that counts; from any other source it is dropped.
    """

    owner: str
    expires: datetime
    reason: str = ""
    signers: tuple[str, ...] = ()
    kind: Literal["allowed"] = "allowed"


Fact = Annotated[AssetFact | IdentityFact | IntelFact | VerdictsFact | AllowFact, Field(discriminator="kind")]


@dataclass(frozen=True, slots=True)
class Enrichment:
    """What one source answered about one entity (``host:ws-0042``); ``ttl`` is in seconds from ``fetched_at``.

    ``reason`` says why there is no answer, free of secrets.
    """

    entity: str
    source: str
    status: EnrichmentStatus
    fetched_at: datetime
    ttl: float = 0.0
    facts: tuple[Fact, ...] = ()
    reason: str = ""

    @property
    def fresh_until(self) -> datetime:
        """Until when the answer counts."""
        return self.fetched_at + timedelta(seconds=self.ttl)

    @property
    def answered(self) -> bool:
        """Whether the source gave an answer that still counts; *nothing known* is one."""
        return self.status in {EnrichmentStatus.OK, EnrichmentStatus.NOTHING}


@runtime_checkable
class Enricher(Protocol):
    """A source that has to be asked over a network; the hub keeps its answers for as long as it is told to.

    ``audience`` says who learns of what is asked; with anybody beside the tenant, TLP and PAP are held against it.
    """

    kinds: frozenset[EntityKind]
    audience: Audience

    async def look_up(self, entity: Entity) -> Sequence[Fact]:
        """What it knows; empty when it knows nothing. Raises VendorError, or TimeoutError: neither is an answer."""
        ...

    async def aclose(self) -> None:
        """Closes its connections."""
        ...


@runtime_checkable
class Knowledge(Protocol):
    """A source inside this process (a file, the store): asked each time, never kept, and never waited for."""

    kinds: frozenset[EntityKind]

    def know(self, tenant: str, entities: Sequence[Entity], now: datetime) -> Mapping[str, Enrichment]:
        """An answer for each entity by its key, with ``source`` left empty; raises nothing for what it cannot read."""
        ...


@dataclass(frozen=True, slots=True)
class EnricherSpec:
    """A kind of enricher that a plugin brings: ``make`` (``package.module:callable``) takes a Context.

    The callable returns what ``Enricher`` or ``Knowledge`` describes, and raises ConfigError for settings that
    contradict each other. ``settings`` are declared as a connector's are.
    """

    kind: str
    make: str
    settings: Mapping[str, Setting] = field(default_factory=dict)
    help: str = ""
