"""Alerts to groups: what one rule says of one entity within a window is one thing, said once or a thousand times.

Counting, scoring and judging work on groups, so that neither a noisy rule nor an at-least-once delivery counts as much
as it repeats itself.
"""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import NamedTuple

from nightdesk.autonomy.learning.groups import WINDOW, Group
from nightdesk.sdk.case import Alert, EntityKind

__all__ = ["Grouped", "entity_of", "group_id", "grouped", "regraded", "rule_of"]

_FIRST = (
    EntityKind.HOST,
    EntityKind.DEVICE,
    EntityKind.ACCOUNT,
    EntityKind.EMAIL,
    EntityKind.RESOURCE,
    EntityKind.ADDRESS,
)
_RANK = {kind: place for place, kind in enumerate(_FIRST)}


class Grouped(NamedTuple):
    """What a page of alerts made of the groups: those that are new or grew, and each alert's."""

    groups: Mapping[str, Group]
    of_alert: Mapping[str, str]


def entity_of(alert: Alert) -> str:
    """The key of what the alert happened to: its host before its account before anything else, the victim first."""

    def rank(place: int) -> tuple[int, bool, int]:
        entity = alert.entities[place]
        return _RANK.get(entity.kind, len(_FIRST)), not entity.role.startswith("victim"), place

    best = min(range(len(alert.entities)), key=rank, default=None)
    return alert.entities[best].key if best is not None else f"instance:{alert.instance}"


def rule_of(alert: Alert) -> str:
    """The detection rule with its version: another version is another rule, and earns its trust anew."""
    name = alert.rule_id or alert.rule_name or alert.title
    return f"{alert.product}/{name}@{alert.rule_version}" if alert.rule_version else f"{alert.product}/{name}"


def group_id(group: Group) -> str:
    """A name that the same group gets on every machine."""
    told = "\0".join((group.tenant, group.entity, group.rule, f"{group.opened:.6f}"))
    return "grp-" + hashlib.sha256(told.encode("utf-8", "surrogatepass")).hexdigest()[:24]


def grouped(alerts: Iterable[Alert], known: Iterable[tuple[str, Group]] = ()) -> Grouped:
    """Groups of new alerts, in the order of their time whatever the order of their arrival.

    ``known`` are groups of the same tenant that may take more, with their names. A group keeps its name when an earlier
    alert comes late and moves its beginning; it never spans more than the window.
    """
    open_groups: dict[tuple[str, str], dict[str, Group]] = {}
    for name, group in known:
        open_groups.setdefault((group.entity, group.rule), {})[name] = group
    changed: dict[str, Group] = {}
    of_alert: dict[str, str] = {}
    for alert in sorted(alerts, key=lambda one: (one.first_seen, one.alert_id)):
        single = _single(alert)
        groups = open_groups.setdefault((single.entity, single.rule), {})
        name = next((name for name, group in groups.items() if _takes(group, single)), "")
        if name:
            single = _with(groups[name], single)
        else:
            name = group_id(single)
        groups[name] = changed[name] = single
        of_alert[alert.alert_id] = name
    return Grouped(changed, of_alert)


def regraded(alerts: Iterable[Alert], known: Iterable[tuple[str, Group]]) -> Grouped:
    """Groups whose alerts came again and say graver things than before: as grave as if that had come first (law 7)."""
    there = dict(known)
    changed: dict[str, Group] = {}
    of_alert: dict[str, str] = {}
    for alert in alerts:
        single = _single(alert)
        for name, group in there.items():
            same = (group.entity, group.rule) == (single.entity, single.rule)
            if same and group.opened <= single.opened <= group.last:
                there[name] = changed[name] = _graver(group, single)
                of_alert[alert.alert_id] = name
                break
    return Grouped(changed, of_alert)


def _single(alert: Alert) -> Group:
    at = alert.first_seen.timestamp()
    return Group(
        tenant=alert.tenant,
        entity=entity_of(alert),
        rule=rule_of(alert),
        opened=at,
        last=at,
        alerts=1,
        source=alert.product,
        title=alert.title,
        severity_id=alert.severity_id,
        confidence=-1 if alert.confidence is None else alert.confidence,
        tactics=tuple(sorted(alert.tactics)),
    )


def _takes(group: Group, single: Group) -> bool:
    return max(group.last, single.last) - min(group.opened, single.opened) <= WINDOW


def _with(group: Group, single: Group) -> Group:
    """The group with one more alert."""
    return replace(
        _graver(group, single),
        opened=min(group.opened, single.opened),
        last=max(group.last, single.last),
        alerts=group.alerts + 1,
    )


def _graver(group: Group, single: Group) -> Group:
    """The graver severity and the greater confidence stay (law 7)."""
    return replace(
        group,
        severity_id=max(group.severity_id, single.severity_id),
        confidence=max(group.confidence, single.confidence),
        tactics=tuple(sorted({*group.tactics, *single.tactics})),
    )
