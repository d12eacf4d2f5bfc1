"""Renders a story as the indicator that a sharing community would make of it."""

from datetime import datetime
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from nightdesk.sdk.moments import iso
from nightdesk.sdk.testing import StoryAlert

__all__ = ["COMMUNITY", "indicator_of", "stix_time"]

COMMUNITY = "identity--6d3c1f8e-52c5-4c0b-9a6f-3f6f0c2f7b10"
"""Who made what the simulated collection holds."""

_CONFIDENCE = {"informational": 10, "low": 30, "medium": 50, "high": 75, "critical": 95}


def stix_time(moment: datetime) -> str:
    """A time as STIX writes it, in milliseconds."""
    return iso(int(moment.timestamp() * 1000) * 1_000_000, 3)


def indicator_of(alert: StoryAlert) -> dict[str, Any]:
    """One indicator a story alert: about its file, else its address, else its domain."""
    told = stix_time(alert.told)
    return {
        "type": "indicator",
        "spec_version": "2.1",
        "id": f"indicator--{uuid5(NAMESPACE_URL, f'story {alert.uid}')}",
        "created_by_ref": COMMUNITY,
        "created": told,
        "modified": told,
        "name": alert.title,
        "description": alert.description or alert.title,
        "indicator_types": ["malicious-activity"],
        "pattern": _pattern(alert),
        "pattern_type": "stix",
        "valid_from": stix_time(alert.at),
        "confidence": _CONFIDENCE[alert.severity],
        "labels": [alert.rule_id],
        "external_references": [
            {"source_name": "mitre-attack", "external_id": technique} for technique in alert.technique_ids
        ]
        or [{"source_name": "story", "external_id": alert.uid}],
    }


def _pattern(alert: StoryAlert) -> str:
    digest = alert.convicted_sha256 or (alert.process.sha256 if alert.process else "")
    if digest:
        return f"[file:hashes.'SHA-256' = '{digest}']"
    if alert.destination_address or alert.source_address:
        return f"[ipv4-addr:value = '{alert.destination_address or alert.source_address}']"
    return f"[domain-name:value = '{alert.domain or 'unknown.example'}']"
