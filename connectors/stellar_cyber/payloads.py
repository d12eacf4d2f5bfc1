"""Renders a story's alert as the case that the platform makes of it."""

from collections.abc import Mapping
from hashlib import sha256
from typing import Any

from nightdesk.connectors.stellar_cyber.wire import millis
from nightdesk.sdk.testing import StoryAlert

__all__ = ["case_payload", "hex_of"]

_PRIORITY: Mapping[str, str] = {
    "informational": "Low",
    "low": "Low",
    "medium": "Medium",
    "high": "High",
    "critical": "Critical",
}
_SCORE: Mapping[str, float] = {"informational": 8.5, "low": 24.0, "medium": 49.5, "high": 74.5, "critical": 96.2}


def hex_of(length: int, *seed: str) -> str:
    """The same hexadecimal digits for the same seed."""
    return sha256("\0".join(seed).encode()).hexdigest()[:length]


def case_payload(alert: StoryAlert, *, native_id: str, ticket: int, tenant: str) -> dict[str, Any]:
    """A case of one alert, about the host, else the user, else the address. It says nothing of what the alert saw."""
    told, organisation = millis(alert.told), hex_of(32, "organisation", tenant)
    metadata = {"algorithm": "algorithm_4.0", "automatic_version": 1, "modified_at_auto": told}
    about = _about(alert)
    if about is not None:
        metadata["entity_id"] = ",".join((about[0], organisation, tenant, about[1]))
    event = {
        "_index": f"stellar-index-v1-ser-{organisation}-{alert.told:%Y.%m.%d}-000033",
        "_id": f"{told}{hex_of(32, 'event', tenant, alert.uid)}",
    }
    return {
        "_id": native_id,
        "assignee": "",
        "assignee_name": "Unassigned",
        "created_at": told,
        "created_by": "System",
        "cust_id": tenant,
        "tenant_name": "Example AG",
        "modified_at": told,
        "modified_by": "",
        "name": alert.title,
        "description": alert.description or f"{alert.title} ({alert.rule_id})",
        "size": 1,
        "status": "New",
        "tags": [],
        "ticket_id": ticket,
        "version": 1,
        "start_timestamp": millis(alert.at),
        "end_timestamp": millis(alert.at),
        "metadata": {**metadata, "name_auto": [alert.title]},
        "event_ids": [event],
        "priority": _PRIORITY[alert.severity],
        "score": _SCORE[alert.severity],
    }


def _about(alert: StoryAlert) -> tuple[str, str] | None:
    if alert.device is not None:
        return "asset", alert.device.hostname
    if alert.user:
        return "user", alert.user
    return ("asset", alert.source_address) if alert.source_address else None
