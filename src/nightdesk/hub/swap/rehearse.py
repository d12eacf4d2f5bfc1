"""The two things a person does with a swap: rehearse it, commit it."""

from collections.abc import Sequence
from pathlib import Path

from nightdesk.hub.config import HubSettings, load_config
from nightdesk.hub.hub import Hub
from nightdesk.hub.registry import Registry
from nightdesk.hub.store import Store, audit
from nightdesk.hub.swap.handover import Handed, Leases, hand_over, open_leases, rebind
from nightdesk.hub.swap.parity import Rehearsal, compare
from nightdesk.hub.swap.recorded import RecordedCase
from nightdesk.hub.swap.turn import take_turn
from nightdesk.sdk.errors import ConfigError, Problem

__all__ = ["commit", "rehearse"]


async def rehearse(  # who, for whom, with what
    registry: Registry, role: str, old: str, new: str, cases: Sequence[RecordedCase], policy: bytes
) -> Rehearsal:
    """Both vendors' turns, compared. Raises UnsupportedError for a vendor, ConfigError for its missing role."""
    before, after = registry.manifest(old), registry.manifest(new)
    lacking = [
        Problem("--from/--to", manifest.vendor, f"offers the roles {', '.join(manifest.roles)}, not {role}")
        for manifest in (before, after)
        if role not in manifest.roles
    ]
    if lacking:
        raise ConfigError(lacking)
    was = await take_turn(registry, old, role, cases, policy)
    will = await take_turn(registry, new, role, cases, policy)
    return compare(role, was, will, before, after)


async def commit(  # who, what, how
    config: Path,
    settings: HubSettings,
    store: Store,
    tenant: str,
    role: str,
    instance: str,
    leases: Leases,
    *,
    actor: str,
) -> tuple[str, list[Handed]]:
    """Rebinds the role in the file, then hands over; gives the changed line and what became of each lease."""
    old = settings.tenants[tenant].roles.get(role, "")
    if old == instance:
        raise ConfigError([Problem(str(config), f"tenants.{tenant}.roles.{role}", f"is {instance} already")])
    registry = Registry.load()
    line = rebind(config, settings, tenant, role, instance)
    hub = Hub(load_config(config, registry), registry, store)
    detail = {"role": role, "from": old, "to": instance, "leases": str(leases)}
    store.transact(
        lambda conn: audit.append(conn, tenant=tenant, at=hub.clock(), actor=actor, event="swap.commit", detail=detail)
    )
    try:
        return line, await hand_over(hub, tenant, open_leases(hub, tenant, role, old), leases, actor=actor)
    finally:
        await hub.bindings.aclose()
