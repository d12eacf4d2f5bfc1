"""What isolating a host means in Elastic Defend, which of its answers count as proof, and how a host is found."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from nightdesk.connectors.elastic_security.kibana import Kibana, phrase
from nightdesk.connectors.elastic_security.orders import NAMES, inner, moment, order, ours, outcome, repeated
from nightdesk.sdk.ports import Command, Effect, Reading, Receipt
from nightdesk.sdk.targets import Asset, AssetQuery

__all__ = ["HOST_VERBS", "act", "find", "isolation", "read"]

HOST_VERBS: Mapping[str, bool] = {"host.isolate": True, "host.release": False}
_OPPOSITE = {"host.isolate": "unisolate", "host.release": "isolate"}
_ONLINE = {"healthy": True, "unhealthy": True, "updating": True, "offline": False, "inactive": False}


async def act(kibana: Kibana, command: Command) -> Receipt:
    """Asks once for an idempotency key, and not at all for what is already so."""
    command.only()
    wanted = HOST_VERBS[command.verb]
    earlier = await ours(kibana, command)
    if earlier is not None:
        return repeated(earlier)
    host = await kibana.host(command.native_id)
    pending = await kibana.pending(command.native_id)
    if isolation(host) is wanted and not pending.get(_OPPOSITE[command.verb]):
        evidence = {"host_status": str(host.get("host_status", ""))}
        return Receipt(changed=command.began_otherwise("isolated", wanted), evidence=evidence)
    return await order(kibana, command)


async def read(kibana: Kibana, command: Command, now: datetime) -> Reading:
    """Whether the host is isolated, by the host's own report; an action that says successful is not proof."""
    host = await kibana.host(command.native_id)
    isolated = isolation(host)
    words = {True: "isolated", False: "not isolated", None: "isolation unknown"}[isolated]
    status = str(host.get("host_status", ""))
    native = f"{words}, {status}"
    state: Mapping[str, Any] = {} if isolated is None else {"isolated": isolated, "host_status": status}
    if isolated is HOST_VERBS[command.verb]:
        return Reading(Effect.IN_EFFECT, now, state, native)
    action = await ours(kibana, command)
    if action is None:
        waiting = (await kibana.pending(command.native_id)).get(NAMES[command.verb][1])
        effect = Effect.PENDING if waiting else Effect.UNKNOWN if isolated is None else Effect.NOT_IN_EFFECT
    else:
        effect = outcome(action)
        if effect is Effect.IN_EFFECT:
            effect = _late(host, action, command.native_id)
    return Reading(effect, now, state, native)


async def find(kibana: Kibana, query: AssetQuery) -> Sequence[Asset]:
    """The hosts by the surest of what is known: agent or host id, else a name, else an address."""
    names = [name for given in (query.hostname, query.fqdn) if given for name in (given, given.lower(), given.upper())]
    groups = (
        _any(("agent.id", "host.id"), [query.device_id]),
        _any(("host.hostname", "host.name"), names),
        _any(("host.ip",), [query.address]),
    )
    for kuery in filter(None, groups):
        rows = [row for row in await kibana.hosts(kuery) if row.get("host_status") != "unenrolled"]
        assets = {asset.native_id: asset for asset in map(_asset, rows) if asset.native_id}
        if assets:
            return tuple(assets.values())
    return ()


def isolation(host: Mapping[str, Any]) -> bool | None:
    """The host's own report; None when it gives none."""
    value = inner(host, "metadata", "Endpoint", "state").get("isolation")
    return value if isinstance(value, bool) else None


def _late(host: Mapping[str, Any], action: Mapping[str, Any], agent_id: str) -> Effect:
    """The action is done but the host does not say so: has it reported since, or is its report merely older?"""
    done = moment(inner(action, "agentState", agent_id).get("completedAt") or action.get("completedAt"))
    told = moment(inner(host, "metadata").get("@timestamp"))
    return Effect.NOT_IN_EFFECT if done and told and told > done else Effect.PENDING


def _any(fields: Sequence[str], values: Sequence[str]) -> str:
    wanted = list(dict.fromkeys(value for value in values if value))
    return " or ".join(f"united.endpoint.{name} : {phrase(value)}" for value in wanted for name in fields)


def _asset(row: Mapping[str, Any]) -> Asset:
    host = inner(row, "metadata", "host")
    addresses = host.get("ip") or ()
    system = " ".join(str(inner(host, "os").get(name, "")) for name in ("name", "full")).lower()
    desk = any(word in system for word in ("windows", "macos", "mac os"))
    return Asset(
        native_id=str(inner(row, "metadata", "agent").get("id", "")),
        hostname=str(host.get("hostname") or host.get("name") or ""),
        addresses=(addresses,) if isinstance(addresses, str) else tuple(map(str, addresses)),
        asset_type="server" if "server" in system else "workstation" if desk else "other",
        online=_ONLINE.get(str(row.get("host_status", ""))),
    )
