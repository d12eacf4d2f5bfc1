"""Alerts as sightings: what another product's alert shows of an action's target, without anybody being asked.

An alert tells of what was detected, seldom of what got through. Only where its tactic is of a talk that took place
(command and control, exfiltration) does it say that; elsewhere a person has to judge.
"""

from collections.abc import Iterator

from nightdesk.autonomy.actions import Action
from nightdesk.sdk.case import Alert, Entity, EntityKind
from nightdesk.sdk.ports import Sighting, SightingKind
from nightdesk.sdk.verbs import TargetKind

__all__ = ["entity_key", "told_by"]

_TALK = frozenset({"TA0010", "TA0011"})
_STOPPED = frozenset({"blocked", "prevented", "quarantined", "denied", "killed"})
_FAR = frozenset({EntityKind.ADDRESS, EntityKind.DOMAIN})
_KINDS = {
    TargetKind.HOST: EntityKind.HOST,
    TargetKind.ADDRESS: EntityKind.ADDRESS,
    TargetKind.DOMAIN: EntityKind.DOMAIN,
    TargetKind.URL: EntityKind.URL,
    TargetKind.FILE: EntityKind.FILE,
}


def entity_key(action: Action) -> str:
    """Under which key the cases of the target are found; empty when no alert could show the effect's failure."""
    kind = _KINDS.get(action.target.kind)
    if kind is None:
        return ""
    value = action.target.value
    return f"{kind}:{value.split('.')[0] if kind is EntityKind.HOST and not value[:1].isdigit() else value}"


def told_by(action: Action, alert: Alert) -> Iterator[Sighting]:
    """What the alert shows of the target; nothing from what the product says it stopped."""
    if alert.disposition in _STOPPED or entity_key(action) not in {entity.key for entity in alert.entities}:
        return
    passage = {} if _TALK & {*alert.tactics} else {"passage": "unknown"}
    hosts = [entity for entity in alert.entities if entity.kind is EntityKind.HOST]
    facts = {"hostname": hosts[0].value} if len(hosts) == 1 else {}
    match action.target.kind:
        case TargetKind.HOST:
            facts["hostname"] = action.target.value
            for peer in alert.entities:
                if peer.kind in _FAR and peer.role.startswith("attacker"):
                    name = {"peer_name": peer.value} if peer.kind is EntityKind.DOMAIN else {}
                    yield _sighting(alert, SightingKind.NETWORK_FLOW, peer, {**facts, **passage, **name})
        case TargetKind.FILE:
            if any(entity.kind is EntityKind.PROCESS for entity in alert.entities):
                # An alert on a file that was found at rest names a process too: the one that wrote it.
                yield _sighting(alert, SightingKind.PROCESS_START, None, {**facts, "passage": "unknown"})
        case _:
            if hosts:
                yield _sighting(alert, SightingKind.NETWORK_FLOW, hosts[0], {**facts, **passage})


def _sighting(alert: Alert, kind: SightingKind, peer: Entity | None, facts: dict[str, str]) -> Sighting:
    outbound = {"direction": "outbound"} if kind is SightingKind.NETWORK_FLOW and "passage" not in facts else {}
    return Sighting(
        kind,
        alert.last_seen,
        alert.alert_id,
        f"the alert {alert.title[:120]!r}" + (f" with {peer.key}" if peer else ""),
        peer=peer.value if peer else "",
        # What an alert tells of may have begun before the effect; then it shows nothing.
        began=alert.first_seen,
        facts={**facts, **outbound},
    )
