"""A connector's quality tier, computed from its ``quality.yaml``: a tier needs every rule of it and of those below."""

from pathlib import Path

import yaml

__all__ = ["RULES", "tier_of"]

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


def tier_of(folder: Path) -> str:
    """The highest tier whose rules are all done or exempt with a reason; ``none`` without any."""
    path = folder / "quality.yaml"
    if not path.exists():
        return "none"
    rules = (yaml.safe_load(path.read_text(encoding="utf-8")) or {}).get("rules", {})
    reached = "none"
    for tier, names in RULES.items():
        if not all(_met(rules.get(name)) for name in names):
            break
        reached = tier
    return reached


def _met(value: object) -> bool:
    if isinstance(value, dict):
        return bool(value.get("exempt")) and bool(value.get("comment"))
    return value == "done"
