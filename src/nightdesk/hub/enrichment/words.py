"""Facts in a line each, for people: what a source says, with its numbers, and without judging it."""

from collections.abc import Iterator

from nightdesk.sdk.enrichment import (
    AllowFact,
    AssetFact,
    EnrichmentStatus,
    Fact,
    IdentityFact,
    IntelFact,
    VerdictsFact,
)

__all__ = ["STATUS", "line_of"]

STATUS = {
    EnrichmentStatus.OK: "known",
    EnrichmentStatus.NOTHING: "nothing known",
    EnrichmentStatus.PENDING: "asked, no answer yet",
    EnrichmentStatus.TIMEOUT: "no answer in time",
    EnrichmentStatus.ERROR: "failed",
    EnrichmentStatus.REFUSED: "may not be asked (TLP/PAP)",
    EnrichmentStatus.STALE: "stale",
}


def line_of(fact: Fact) -> str:
    """The fact in a line; it may hold text that others wrote."""
    return ", ".join(_parts(fact))


def _parts(fact: Fact) -> Iterator[str]:
    if isinstance(fact, AssetFact):
        yield fact.asset_type or "asset"
        yield from _named(criticality=fact.criticality, owner=fact.owner, tags=" ".join(fact.tags), id=fact.native_id)
    elif isinstance(fact, IdentityFact):
        yield fact.name or "account"
        yield from (word for word, flag in _flags(fact) if flag)
        yield from _named(department=fact.department, owner=fact.owner, groups="; ".join(fact.groups))
    elif isinstance(fact, IntelFact):
        yield f"{fact.verdict} by {fact.by}"
        yield f"{fact.count} hits" if fact.count != 1 else "1 hit"
        newest = f"{fact.newest:%Y-%m-%d}" if fact.newest else ""
        sure = "" if fact.confidence is None else str(fact.confidence)
        yield from _named(newest=newest, confidence=sure, tlp=fact.tlp, labels="; ".join(fact.labels))
    elif isinstance(fact, VerdictsFact):
        yield f"{fact.count} x {fact.verdict} of {fact.rule}, the newest {fact.newest:%Y-%m-%d}"
    elif isinstance(fact, AllowFact):
        yield f"on a signed list until {fact.expires:%Y-%m-%d}"
        yield from _named(owner=fact.owner, reason=fact.reason, signers=" ".join(fact.signers))


def _flags(fact: IdentityFact) -> tuple[tuple[str, bool], ...]:
    return (
        ("privileged", fact.privileged is True),
        ("not privileged", fact.privileged is False),
        ("VIP", fact.vip is True),
        ("disabled", fact.enabled is False),
        ("service account", fact.service is True),
    )


def _named(**values: str) -> Iterator[str]:
    yield from (f"{name} {value}" for name, value in values.items() if value)
