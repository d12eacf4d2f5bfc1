"""Alerts and cases for tests of what decides about them: plain, closable, at a fixed time; say only what differs."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from nightdesk.sdk.case import Alert, Case, CaseStatus, Entity, EntityKind

__all__ = ["CASE_TIME", "a_case", "an_alert", "an_entity"]

CASE_TIME = datetime(2026, 11, 20, 9, 0, tzinfo=UTC)
"""When everything here happened."""


def an_entity(key: str, role: str = "other", **facts: str) -> Entity:
    """An entity from ``kind:value``."""
    kind, _, value = key.partition(":")
    return Entity(EntityKind(kind), value, role, facts=facts)


def an_alert(alert_id: str = "alert-1", **changes: Any) -> Alert:
    """A low alert of the rule ``rule-1`` on the host ``ws-0042``."""
    facts: dict[str, Any] = {
        "tenant": "acme",
        "instance": "edr-main",
        "product": "acme_edr",
        "native_id": alert_id,
        "title": "Something was seen",
        "created": CASE_TIME,
        "modified": CASE_TIME,
        "first_seen": CASE_TIME,
        "last_seen": CASE_TIME,
        "severity_id": 2,
        "rule_id": "rule-1",
        "source": "edr-main",
        "entities": (an_entity("host:ws-0042", "victim-host"),),
    }
    return Alert(alert_id=alert_id, **{**facts, **changes})


def a_case(alerts: Sequence[Alert] = (), **changes: Any) -> Case:
    """A new case of these alerts, or of one plain alert."""
    given = tuple(alerts) or (an_alert(),)
    facts: dict[str, Any] = {
        "tenant": "acme",
        "case_id": "case-1",
        "title": "A case",
        "status": CaseStatus.NEW,
        "severity_id": max((alert.severity_id for alert in given if alert.severity_id <= 6), default=0),
        "opened_at": CASE_TIME,
        "updated_at": CASE_TIME,
        "alerts": given,
    }
    return Case(**{**facts, **changes})
