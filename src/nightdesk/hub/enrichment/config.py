"""The shape of ``enrichment`` in a configuration: which sources are asked, how long, and how long answers hold.

Every source is required unless it says otherwise: while it has not answered, no machine closes a case.
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag

from nightdesk.sdk.case import EntityKind

__all__ = [
    "AllowListConfig",
    "AssetsCsvConfig",
    "CsvConfig",
    "EnrichmentConfig",
    "IdentitiesCsvConfig",
    "IndicatorsConfig",
    "InventoryConfig",
    "OpinionsConfig",
    "OtherConfig",
    "SourceConfig",
    "VerdictsConfig",
]

Seconds = Annotated[float, Field(gt=0)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _Source(_Strict):
    required: Annotated[bool, Field(description="whether a machine may close without its answer")] = True
    entities: Annotated[list[EntityKind] | None, Field(description="kinds it is asked about; none: all it can")] = None
    ttl_seconds: Annotated[Seconds, Field(description="how long an answer counts")] = 3600.0


class _Asked(_Source):
    """A source that is asked over a network."""

    negative_ttl_seconds: Annotated[Seconds, Field(description="how long *nothing known* counts")] = 900.0
    timeout_seconds: Annotated[Seconds, Field(le=120)] = 10.0
    attempts: Annotated[int, Field(ge=1, le=5)] = 2
    concurrency: Annotated[int, Field(ge=1, le=64)] = 4


class CsvConfig(_Source):
    """A table in a file, read again when it changes.

    ``columns`` gives the file's name for a column of ours, ``words`` its words for ours
    (``criticality: {"1": critical}``).
    """

    file: str
    columns: dict[str, str] = {}
    words: dict[str, dict[str, str]] = {}
    delimiter: Annotated[str, Field(min_length=1, max_length=1)] = ","
    max_age_seconds: Annotated[
        float, Field(ge=0, description="an older file is stale; 0: it never is, however old it gets")
    ] = 0.0


class AssetsCsvConfig(CsvConfig):
    """Devices: hostname, fqdn, addresses, criticality, owner, type, tags."""

    kind: Literal["assets_csv"]


class IdentitiesCsvConfig(CsvConfig):
    """Accounts: account, email, privileged, vip, enabled, service, department, owner, groups."""

    kind: Literal["identities_csv"]


class InventoryConfig(_Asked):
    """The devices and accounts that a bound connector knows."""

    kind: Literal["inventory"]
    connector: str


class OpinionsConfig(_Asked):
    """What a bound source of intelligence thinks of an address, domain, URL or file; asked one by one."""

    kind: Literal["opinions"]
    connector: str
    timeout_seconds: Annotated[
        Seconds, Field(le=120, description="the wait for a place in the quota is part of it")
    ] = 90.0
    ttl_seconds: Annotated[Seconds, Field(description="how long an answer counts")] = 14400.0


class IndicatorsConfig(_Source):
    """The STIX indicators of a bound connector, polled into an index of the tenant's own; nobody learns of a question.

    The index is stale, and no answer, once it was not brought up to date for ``ttl_seconds``.
    """

    kind: Literal["indicators"]
    connector: str
    poll_seconds: Annotated[Seconds, Field(description="time between two polls")] = 600.0
    max_patterns: Annotated[int, Field(ge=0, le=20000, description="patterns that are more than values")] = 2000
    confidence_at_least: Annotated[int, Field(ge=0, le=100)] = 0


class VerdictsConfig(_Source):
    """What people of this tenant confirmed about the same things before."""

    kind: Literal["verdicts"]
    days: Annotated[int, Field(ge=1, le=3650)] = 365


class AllowListConfig(_Source):
    """A list of what is known to be ours or harmless, each entry with an owner and an end, signed by two persons."""

    kind: Literal["allow_list"]
    file: str
    required: Annotated[bool, Field(description="whether a machine may close while the list cannot be read")] = False


class OtherConfig(_Asked):
    """A kind that a plugin brings, or ``ldap``; what ``settings`` holds is its own."""

    kind: str
    settings: dict[str, Any] = {}


_OURS = ("assets_csv", "identities_csv", "inventory", "opinions", "indicators", "verdicts", "allow_list")


def _tag(value: Any) -> str:
    kind = value.get("kind") if isinstance(value, dict) else getattr(value, "kind", None)
    return kind if kind in _OURS else "other"


SourceConfig = Annotated[
    Annotated[AssetsCsvConfig, Tag("assets_csv")]
    | Annotated[IdentitiesCsvConfig, Tag("identities_csv")]
    | Annotated[InventoryConfig, Tag("inventory")]
    | Annotated[OpinionsConfig, Tag("opinions")]
    | Annotated[IndicatorsConfig, Tag("indicators")]
    | Annotated[VerdictsConfig, Tag("verdicts")]
    | Annotated[AllowListConfig, Tag("allow_list")]
    | Annotated[OtherConfig, Tag("other")],
    Discriminator(_tag),
]


class EnrichmentConfig(_Strict):
    """What is asked about the things that a case names; without sources nothing is."""

    sources: dict[Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,39}$")], SourceConfig] = {}
    wait_seconds: Annotated[
        float, Field(ge=0, le=10, description="longest that a page of alerts waits for answers before it is decided")
    ] = 0.5
    patience_seconds: Annotated[
        float, Field(gt=0, le=3600, description="after its last alert a close waits so long; then a person looks")
    ] = 300.0
    max_entities: Annotated[int, Field(ge=1, le=1000, description="things of one case that are asked about")] = 100
