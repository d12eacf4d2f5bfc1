"""Committing a swap: the role names the new connector, and what the old one holds is handed over, closed or kept.

The order is such that nothing is ever unprotected: first the new connector's effect is read back, then the old one's is
taken back, at the old vendor. Whatever fails stays as it was and is named.
"""

import asyncio
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from pathlib import Path

import yaml

from nightdesk.autonomy.actions import Action, ActionState
from nightdesk.hub.config import HubSettings
from nightdesk.hub.hub import Hub
from nightdesk.hub.store import audit
from nightdesk.sdk.context import Sleep
from nightdesk.sdk.errors import ConfigError, NightdeskError, Problem
from nightdesk.sdk.verbs import verb

__all__ = ["Handed", "Leases", "hand_over", "open_leases", "rebind"]

_S = ActionState
_FORCE = (_S.EFFECTIVE, _S.LEASED, _S.RENEWED)
_SETTLED = frozenset({*_FORCE, _S.FAILED, _S.UNVERIFIED, _S.CONTRADICTED, _S.CANCELLED, _S.REJECTED})
_STEP = 1.0  # seconds between two looks


class Leases(StrEnum):
    """What becomes of what the old connector holds."""

    HAND_OVER = "hand-over"
    """The new connector does the same, then the old one takes it back."""
    CLOSE = "close"
    """The old one takes it back."""
    KEEP = "keep"
    """It stays at the old one until it ends; undo goes there."""


@dataclass(frozen=True, slots=True)
class Handed:
    """One action of the old connector and what became of it; ``successor`` is the new connector's action."""

    action_id: str
    verb: str
    target: str
    lease_until: datetime | None
    became: str
    successor: str = ""
    problem: str = ""


def open_leases(hub: Hub, tenant: str, role: str, instance: str) -> list[Action]:
    """What this instance holds for the role: in force, changed by us, and with a way back."""
    return [
        action
        for action in hub.journal.in_state(_FORCE, tenant=tenant)
        if action.instance == instance
        and action.changed is not False
        and verb(action.verb).role == role
        and verb(action.verb).reversible
    ]


def rebind(path: Path, settings: HubSettings, tenant: str, role: str, instance: str) -> str:
    """Writes the new binding into the file and changes nothing else in it; gives the line before and after.

    Raises ConfigError when the tenant, the connector or the role is not there, or the vendor does not offer the role.
    """
    found = settings.tenants.get(tenant)
    if found is None or instance not in found.instances:
        there = ", ".join(found.instances) if found else ", ".join(settings.tenants)
        raise ConfigError(
            [Problem(str(path), f"tenants.{tenant}", f"has no connector {instance!r}; there are {there}")]
        )
    offered = found.instances[instance].manifest.roles
    if role not in offered:
        raise ConfigError(
            [Problem(str(path), f"tenants.{tenant}.roles.{role}", f"{instance} offers {', '.join(offered)}")]
        )
    text = path.read_text(encoding="utf-8")
    place = _place(yaml.compose(text, Loader=yaml.SafeLoader), ("tenants", tenant, "roles", role))
    if place is None:
        raise ConfigError([Problem(str(path), f"tenants.{tenant}.roles.{role}", "is not bound; bind it first")])
    begin, end = place
    path.write_text(f"{text[:begin]}{instance}{text[end:]}", encoding="utf-8")
    return f"tenants.{tenant}.roles.{role}: {text[begin:end]} -> {instance}"


async def hand_over(  # who, what, how, and the time it may take
    hub: Hub,
    tenant: str,
    actions: list[Action],
    leases: Leases,
    *,
    actor: str,
    within: timedelta = timedelta(minutes=20),
    sleep: Sleep = asyncio.sleep,
) -> list[Handed]:
    """Deals with each action as ``leases`` says; one that fails does not stop the others."""
    done = []
    for action in actions:
        try:
            handed = await _one(hub, action, leases, actor=actor, within=within, sleep=sleep)
        except NightdeskError as error:
            handed = _told(action, "kept", problem=str(error))
        hub.store.transact(
            lambda conn, handed=handed: audit.append(  # type: ignore[misc]  # bound early on purpose
                conn,
                tenant=tenant,
                at=hub.clock(),
                actor=actor,
                event="swap.lease",
                detail={
                    "action_id": handed.action_id,
                    "became": handed.became,
                    "successor": handed.successor,
                    "problem": handed.problem,
                },
            )
        )
        done.append(handed)
    return done


async def _one(hub: Hub, action: Action, leases: Leases, *, actor: str, within: timedelta, sleep: Sleep) -> Handed:
    if leases is Leases.KEEP:
        return _told(action, "kept")
    successor = ""
    if leases is Leases.HAND_OVER:
        repeated = hub.engine.repeat(action, actor=actor, reason=f"handed over from {action.instance}")
        repeated = await _until(hub, repeated, _SETTLED, within, sleep)
        successor = repeated.action_id
        if repeated.state not in _FORCE:
            problem = f"{repeated.instance or 'the new connector'}: {repeated.error or repeated.state}"
            return _told(action, "kept", successor, problem)
    await hub.engine.undo(action, actor=actor, reason="the connector is being swapped")
    undone = await _until(hub, action, frozenset({_S.UNDONE, _S.UNDO_FAILED}), within, sleep)
    if undone.state is not _S.UNDONE:
        return _told(action, "held twice" if successor else "kept", successor, undone.error or str(undone.state))
    return _told(action, "handed over" if successor else "closed", successor)


async def _until(hub: Hub, action: Action, states: frozenset[ActionState], within: timedelta, sleep: Sleep) -> Action:
    end = hub.clock() + within
    while True:
        await hub.engine.run_once()
        found = hub.journal.get(action.tenant, action.action_id) or action
        if found.state in states or hub.clock() >= end:
            return found
        await sleep(_STEP)


def _told(action: Action, became: str, successor: str = "", problem: str = "") -> Handed:
    return Handed(action.action_id, action.verb, action.target.key, action.lease_until, became, successor, problem)


def _place(node: yaml.Node | None, keys: tuple[str, ...]) -> tuple[int, int] | None:
    """Where the scalar of that path stands in the text."""
    for key in keys:
        if not isinstance(node, yaml.MappingNode):
            return None
        node = next((value for name, value in node.value if name.value == key), None)
    return (node.start_mark.index, node.end_mark.index) if isinstance(node, yaml.ScalarNode) else None
