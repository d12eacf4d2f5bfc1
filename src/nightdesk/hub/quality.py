"""The quality scale: what each rule asks of a connector, and the tier that its ``quality.yaml`` claims.

A tier needs every rule of it and of those below. ``nightdesk.hub.grading`` proves what a machine can prove of them.
"""

from pathlib import Path
from typing import Any

import yaml

__all__ = ["NO_EXEMPTION", "RULES", "TIERS", "claims", "tier_of", "tier_reached"]

RULES: dict[str, tuple[str, ...]] = {
    "bronze": (
        "manifest-valid", "folder-shape", "declared-equals-implemented", "example-config", "doc-links-per-operation",
        "fixtures-per-stream", "errors-mapped", "no-secrets-in-logs", "strict-typing", "scopes-documented",
        "removal-documented",
    ),
    "silver": (
        "checkpoint-resumes", "rate-limit-honoured", "paging-bounded", "partial-failure-isolated",
        "auth-failure-stops", "health-check", "owner-named", "known-limits-documented",
    ),
    "gold": (
        "field-coverage", "stix-valid-and-deterministic", "actions-reversible-or-flagged", "dry-run",
        "diagnostics-redacted", "schema-drift-detected", "how-to-page", "replay-benchmark",
    ),
    "platinum": ("verified-live", "api-version-pinned-and-watched", "fuzzed-normaliser"),
}  # fmt: skip

NO_EXEMPTION = frozenset({"verified-live"})
"""What nothing stands in for: a connector that met no live tenant says why, and is not platinum."""

TIERS = ("none", *RULES)


def claims(folder: Path) -> dict[str, Any]:
    """What the connector says of each rule: ``done``, ``todo`` or ``{exempt: true, comment: why}``."""
    path = folder / "quality.yaml"
    if not path.exists():
        return {}
    found = (yaml.safe_load(path.read_text(encoding="utf-8")) or {}).get("rules", {})
    return dict(found) if isinstance(found, dict) else {}


def tier_of(folder: Path) -> str:
    """The tier that the file claims; ``none`` without any."""
    return tier_reached({name for name, value in claims(folder).items() if _met(name, value)})


def tier_reached(met: set[str]) -> str:
    """The highest tier whose rules, and those below it, are all met."""
    reached = "none"
    for tier, names in RULES.items():
        if not met.issuperset(names):
            break
        reached = tier
    return reached


def _met(rule: str, value: object) -> bool:
    if isinstance(value, dict):
        return bool(value.get("exempt")) and bool(value.get("comment")) and rule not in NO_EXEMPTION
    return value == "done"
