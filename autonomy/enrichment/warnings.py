"""What enrichment says that makes a thing protected: taken over as warnings, never as *known*."""

from collections.abc import Sequence

from nightdesk.autonomy.guardrails import AssetFacts
from nightdesk.sdk.enrichment import AssetFact, Enrichment, IdentityFact

__all__ = ["warned"]


def warned(enrichment: Sequence[Enrichment], key: str) -> AssetFacts | None:
    """Tags, types, groups and privilege that any source names for this target; None when none does.

    That a source knows a thing does not make it known to the inventory: a machine contains no more for it.
    """
    facts = [fact for one in enrichment if one.entity == key for fact in one.facts]
    assets = [fact for fact in facts if isinstance(fact, AssetFact)]
    people = [fact for fact in facts if isinstance(fact, IdentityFact)]
    if not assets and not people:
        return None
    service = any(fact.service for fact in people)
    critical = any(fact.criticality == "critical" for fact in assets)
    tags = [tag for fact in assets for tag in fact.tags]
    return AssetFacts(
        asset_type=next((fact.asset_type for fact in assets if fact.asset_type), ""),
        tags=(
            *dict.fromkeys(tags),
            *(["service-account"] if service else []),
            *(["crown-jewel"] if critical else []),
            *(["vip"] if any(fact.vip for fact in people) else []),
        ),
        privileged=any(fact.privileged for fact in people),
        groups=tuple(dict.fromkeys(group for fact in people for group in fact.groups)),
    )
