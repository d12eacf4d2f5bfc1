"""Every feature by name, with its unit, its meaning and its known sign: the one table that all others follow.

No role of a host, no time of day and no absolute time is among them: those tell one installation from another, and not
an attack from noise.
"""

from dataclasses import dataclass
from enum import StrEnum

__all__ = ["FEATURES", "FEATURE_SET", "INDEX", "NAMES", "SIGNS", "Block", "Feature"]

FEATURE_SET = "1"
"""The version of this table: tables of another one score nothing."""


class Block(StrEnum):
    """What a feature speaks of."""

    RULE = "rule prior"
    BURST = "burst"
    RECENCY = "recency"
    CONTEXT = "context"
    NOVELTY = "novelty"
    ENRICHMENT = "enrichment"
    VERDICTS = "verdicts"


@dataclass(frozen=True, slots=True)
class Feature:
    """One feature. ``sign`` 1: more of it never lowers the score; -1: never raises it; 0: the data say.

    ``optional`` ones may be unknown; then they stand at ``neutral`` and are told as missing.
    """

    name: str
    block: Block
    unit: str
    meaning: str
    sign: int = 0
    optional: bool = False
    neutral: float = 0.0


FEATURES: tuple[Feature, ...] = (
    Feature("rule_prior", Block.RULE, "log-odds", "how often the rule meant an attack at other tenants", 1),
    Feature("rule_support", Block.RULE, "ln(1+groups)", "groups of the rule that were judged at other tenants"),
    Feature("rule_attack_tenants", Block.RULE, "share", "other tenants that know the rule and had an attack by it", 1),
    Feature("source_prior", Block.RULE, "log-odds", "how often the tool's groups meant an attack at other tenants", 1),
    Feature(
        "tactic_prior",
        Block.RULE,
        "log-odds",
        "the same of its tactics, the highest one",
        1,
        optional=True,
        neutral=-4.0,
    ),
    Feature("severity", Block.RULE, "severity id", "the vendor's severity", 1, optional=True),
    Feature("confidence", Block.RULE, "percent", "the vendor's confidence", 1, optional=True, neutral=50.0),
    Feature("alerts", Block.BURST, "ln(1+alerts)", "alerts in the group"),
    Feature("duration", Block.BURST, "ln(1+s)", "from the group's first alert to its last"),
    Feature("burst", Block.BURST, "deviations", "how far the number of alerts is from the same rule's on this entity"),
    Feature("same_key_24h", Block.RECENCY, "ln(1+groups)", "groups of this rule on this entity in the 24 h before"),
    Feature("same_rule_24h", Block.RECENCY, "ln(1+groups)", "groups of this rule at this tenant in the 24 h before"),
    Feature("since_last", Block.RECENCY, "ln(1+s)", "since the rule's last group on this entity, 24 h at most"),
    Feature("other_rules_10m", Block.CONTEXT, "rules", "distinct other rules on this entity since 10 min before"),
    Feature("other_rules_1h", Block.CONTEXT, "rules", "distinct other rules on this entity since 1 h before"),
    Feature("other_alerts_10m", Block.CONTEXT, "ln(1+alerts)", "alerts of other groups on this entity since 10 min"),
    Feature("new_rules_1h", Block.CONTEXT, "rules", "other rules that this entity had never seen until 1 h before"),
    Feature("max_prior_1h", Block.CONTEXT, "log-odds", "the highest rule prior among the other rules since 1 h", 1),
    Feature(
        "other_entities_1h", Block.CONTEXT, "ln(1+entities)", "other entities of the tenant with this rule since 1 h"
    ),
    Feature("new_to_entity", Block.NOVELTY, "0 or 1", "the rule's first group on this entity"),
    Feature("new_to_tenant", Block.NOVELTY, "0 or 1", "the rule's first group at this tenant"),
    Feature("asset_criticality", Block.ENRICHMENT, "0 to 4", "how critical the asset is", 1, optional=True),
    Feature("identity_privilege", Block.ENRICHMENT, "0 to 4", "how privileged the identity is", 1, optional=True),
    Feature(
        "intel_hits", Block.ENRICHMENT, "ln(1+hits)", "indicators of threat intelligence that match", 1, optional=True
    ),
    Feature("intel_age", Block.ENRICHMENT, "ln(1+days)", "age of the youngest of them", -1, optional=True),
    Feature(
        "allow_listed", Block.ENRICHMENT, "0 or 1", "an entry with an owner, not expired, names it", -1, optional=True
    ),
    Feature(
        "confirmed_attacks", Block.VERDICTS, "ln(1+n)", "confirmed attacks: rule, tenant and entity", 1, optional=True
    ),
    Feature(
        "confirmed_benign", Block.VERDICTS, "ln(1+n)", "confirmed benign: rule, tenant and entity", -1, optional=True
    ),
    Feature("verdict_age", Block.VERDICTS, "ln(1+days)", "since the last confirmed verdict on them", optional=True),
)

NAMES: tuple[str, ...] = tuple(feature.name for feature in FEATURES)
INDEX: dict[str, int] = {name: place for place, name in enumerate(NAMES)}
SIGNS: tuple[int, ...] = tuple(feature.sign for feature in FEATURES)
