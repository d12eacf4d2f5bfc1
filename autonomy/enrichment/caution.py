"""What sources said of a case's entities, as checks: each can give the case to a person, none can close it (law 7).

The one thing that takes a doubt away is an entry of a signed allow-list (autonomy.md 2.6, 11): it answers what
intelligence said of that entity, and nothing else. A source that calls a thing good says nothing that counts.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta

from nightdesk.sdk.case import Case, Check
from nightdesk.sdk.enrichment import AllowFact, AssetFact, Enrichment, IdentityFact, IntelFact, VerdictsFact

__all__ = ["CRITICALITY", "answered_by_lists", "enrichment_checks", "raises"]

CRITICALITY: Mapping[str, int] = {"": 0, "low": 1, "medium": 2, "high": 3, "critical": 4}
_ACCUSES = frozenset({"malicious", "suspicious"})
_CONFIRMED = frozenset({"true-positive", "likely-true-positive"})
_REMEMBERED = timedelta(days=90)
"""How long a confirmed attack keeps the machine from closing what happens on the same thing."""
_SHOWN = 5


def enrichment_checks(
    case: Case,
    enrichment: Sequence[Enrichment],
    allowed: Mapping[str, Sequence[AllowFact]],
    now: datetime,
    *,
    criticality: int,
) -> Iterator[Check]:
    """The checks that must pass before a machine closes; asked while any source is configured.

    ``criticality`` is the lowest rank that a person looks at. What ``enrichment`` says of things that the case does not
    name is left out.
    """
    if not enrichment and not allowed:
        return
    named = {entity.key for entity in case.entities}
    about = [one for one in enrichment if one.entity in named]
    yield _check("intel", _accused(about, allowed, now), "no source accuses what no signed list answers for")
    yield _check("criticality", _critical(about, criticality), "no asset that a person has to look at")
    yield _check("vip", _vips(about), "no account whose cases a person always sees")
    yield _check("prior-verdicts", _attacked(about, now), f"no attack confirmed there for {_REMEMBERED.days} days")
    expired = sorted(
        f"{key} of {entry.owner} until {entry.expires.date().isoformat()}"
        for key in named & set(allowed)
        for entry in allowed[key]
        if entry.expires <= now
    )
    yield _check("allow-list-current", expired, "no entry has expired")


def raises(enrichment: Sequence[Enrichment]) -> bool:
    """Whether anything in these answers could give a case to a person."""
    facts = [fact for one in enrichment for fact in one.facts]
    return any(
        (isinstance(fact, IntelFact) and fact.verdict in _ACCUSES)
        or (isinstance(fact, AssetFact) and CRITICALITY[fact.criticality] >= CRITICALITY["high"])
        or (isinstance(fact, IdentityFact) and fact.vip is True)
        or (isinstance(fact, VerdictsFact) and fact.verdict in _CONFIRMED)
        for fact in facts
    )


def answered_by_lists(
    case: Case, enrichment: Sequence[Enrichment], allowed: Mapping[str, Sequence[AllowFact]], now: datetime
) -> tuple[str, ...]:
    """The entities that a source accuses and a signed list answers for: a closure then stands on that list."""
    named = {entity.key for entity in case.entities}
    return tuple(
        sorted({one.entity for one in enrichment if one.entity in named and _accuses(one)} & _current(allowed, now))
    )


def _accused(about: Sequence[Enrichment], allowed: Mapping[str, Sequence[AllowFact]], now: datetime) -> list[str]:
    answered = _current(allowed, now)
    return [
        f"{one.entity}: {fact.verdict} by {fact.by or one.source} ({fact.count})"
        for one in about
        if one.entity not in answered
        for fact in one.facts
        if isinstance(fact, IntelFact) and fact.verdict in _ACCUSES
    ]


def _accuses(one: Enrichment) -> bool:
    return any(isinstance(fact, IntelFact) and fact.verdict in _ACCUSES for fact in one.facts)


def _current(allowed: Mapping[str, Sequence[AllowFact]], now: datetime) -> set[str]:
    """What an entry answers for today: it has an owner, signatures, and its end is still to come."""
    return {
        key
        for key, entries in allowed.items()
        if any(entry.owner and entry.signers and entry.expires > now for entry in entries)
    }


def _critical(about: Sequence[Enrichment], floor: int) -> list[str]:
    return [
        f"{one.entity}: {fact.criticality}"
        for one in about
        for fact in one.facts
        if isinstance(fact, AssetFact) and CRITICALITY[fact.criticality] >= max(floor, 1)
    ]


def _vips(about: Sequence[Enrichment]) -> list[str]:
    return [one.entity for one in about for fact in one.facts if isinstance(fact, IdentityFact) and fact.vip]


def _attacked(about: Sequence[Enrichment], now: datetime) -> list[str]:
    return [
        f"{one.entity}: {fact.verdict} of {fact.rule} ({fact.count})"
        for one in about
        for fact in one.facts
        if isinstance(fact, VerdictsFact) and fact.verdict in _CONFIRMED and now - fact.newest <= _REMEMBERED
    ]


def _check(name: str, found: Sequence[str], limit: str) -> Check:
    texts = sorted(set(found))
    more = f" and {len(texts) - _SHOWN} more" if len(texts) > _SHOWN else ""
    return Check(name, not texts, "; ".join(texts[:_SHOWN]) + more, limit)
