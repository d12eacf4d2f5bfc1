"""Which facts of an alert an attacker can write, and how such text is carried: capped, marked, without hidden letters.

A title, a file's name or a user agent is data about the attack and written by the attacker. It is shown, escaped; it is
sent to the adviser as a value under ``untrusted``; and it never names a target by itself, chooses a template or becomes
part of a query.
"""

import unicodedata
from collections.abc import Mapping
from typing import Any

from nightdesk.sdk.case import Alert, Entity

__all__ = ["carried", "split_alert"]

_LENGTH = 256


def carried(text: str, length: int = _LENGTH) -> str:
    """The text as it may go on: at most that long, without control, format, private or unassigned letters."""
    kept = "".join(" " if letter in "\r\n\t" else letter for letter in text[: 4 * length])
    kept = "".join(letter for letter in kept if unicodedata.category(letter)[0] != "C")
    return kept if len(kept) <= length else f"{kept[: length - 1]}…"


def _entity(entity: Entity) -> Mapping[str, Any]:
    """An entity with its value and facts under ``untrusted``; its kind and role are words of ours."""
    facts = {carried(name, 64): carried(value) for name, value in sorted(entity.facts.items())[:12]}
    return {"kind": entity.kind.value, "role": entity.role, "untrusted": {"value": carried(entity.value), **facts}}


def split_alert(alert: Alert) -> Mapping[str, Any]:
    """An alert as an adviser sees it: its sensor's facts, and everything else under ``untrusted``."""
    return {
        "alert_id": alert.alert_id,
        "product": alert.product,
        "first_seen": alert.first_seen.isoformat(),
        "last_seen": alert.last_seen.isoformat(),
        "severity_id": alert.severity_id,
        "techniques": list(alert.techniques[:20]),
        "tactics": list(alert.tactics[:20]),
        "entities": [_entity(entity) for entity in alert.entities[:30]],
        "untrusted": {
            "title": carried(alert.title),
            "description": carried(alert.description, 1000),
            "rule_name": carried(alert.rule_name),
            "disposition": carried(alert.disposition, 64),
        },
    }
