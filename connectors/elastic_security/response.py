"""What isolating a host or ending a process means in Elastic Defend, and which of its answers count as proof."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from nightdesk.connectors.elastic_security.answers import VENDOR
from nightdesk.connectors.elastic_security.kibana import Kibana, phrase
from nightdesk.sdk.errors import RejectedError, UnsupportedError
from nightdesk.sdk.ports import Command, Effect, Reading, Receipt
from nightdesk.sdk.targets import Asset, AssetQuery
from nightdesk.sdk.verbs import TargetKind

__all__ = ["HOST_VERBS", "PROCESS_VERB", "act", "find", "read_host", "read_process"]

PROCESS_VERB = "process.terminate"
HOST_VERBS: Mapping[str, bool] = {"host.isolate": True, "host.release": False}
# The path of a response action uses underscores, its name in lists and counts uses hyphens.
_PATHS = {"host.isolate": "isolate", "host.release": "unisolate", PROCESS_VERB: "kill_process"}
_OPPOSITE = {"host.isolate": "unisolate", "host.release": "isolate"}
_LOOK_BACK = timedelta(hours=1)  # how far the two clocks may be apart when our own action is looked for
_REASON_MOST = 500
_ONLINE = {"healthy": True, "unhealthy": True, "updating": True, "offline": False, "inactive": False}


async def act(kibana: Kibana, command: Command) -> Receipt:
    """Dispatches once for an idempotency key: there is no such key at the vendor, so our mark is looked for first."""
    given = sorted(name for name, value in command.parameters.items() if value is not None)
    if given:
        raise UnsupportedError(f"{VENDOR}: {command.verb} has no parameter {', '.join(given)}")
    path = _PATHS[command.verb]
    parameters = _process(command) if command.verb == PROCESS_VERB else None
    ours = await _ours(kibana, command)
    if ours is not None:
        return Receipt(str(ours.get("id", "")), evidence={"status": str(ours.get("status", "")), "repeated": True})
    if command.verb in HOST_VERBS:
        host = await kibana.host(command.native_id)
        pending = await kibana.pending(command.native_id)
        if isolation(host) is HOST_VERBS[command.verb] and not pending.get(_OPPOSITE[command.verb]):
            return Receipt(changed=False, evidence={"host_status": str(host.get("host_status", ""))})
    data = await kibana.dispatch(path, command.native_id, comment=_comment(command), parameters=parameters)
    return Receipt(str(data.get("id", "")), evidence={"status": str(data.get("status", ""))})


async def read_host(kibana: Kibana, command: Command, now: datetime) -> Reading:
    """Whether the host is isolated, by the host's own report; an action that says successful is not proof."""
    host = await kibana.host(command.native_id)
    isolated = isolation(host)
    words = {True: "isolated", False: "not isolated", None: "isolation unknown"}[isolated]
    status = str(host.get("host_status", ""))
    native = f"{words}, {status}"
    state: Mapping[str, Any] = {} if isolated is None else {"isolated": isolated, "host_status": status}
    if isolated is HOST_VERBS[command.verb]:
        return Reading(Effect.IN_EFFECT, now, state, native)
    ours = await _ours(kibana, command)
    if ours is None:
        waiting = (await kibana.pending(command.native_id)).get(_name(command.verb))
        effect = Effect.PENDING if waiting else Effect.UNKNOWN if isolated is None else Effect.NOT_IN_EFFECT
    else:
        effect = outcome(ours)
        if effect is Effect.IN_EFFECT:
            effect = _late(host, ours, command.native_id)
    return Reading(effect, now, state, native)


async def read_process(kibana: Kibana, command: Command, now: datetime) -> Reading:
    """How the kill went by the agent's report; Kibana has no state of the process, so success stays unknown."""
    ours = await _ours(kibana, command)
    if ours is None:
        return Reading(Effect.NOT_IN_EFFECT, now, native_state="not asked")
    effect = outcome(ours)
    native = str(ours.get("status", ""))
    return Reading(Effect.UNKNOWN if effect is Effect.IN_EFFECT else effect, now, native_state=native)


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
    value = _inner(host, "metadata", "Endpoint", "state").get("isolation")
    return value if isinstance(value, bool) else None


def outcome(action: Mapping[str, Any]) -> Effect:
    """How a response action on one host went: success only if it and every agent's part say so."""
    if not (action.get("isCompleted") or action.get("isComplete")):
        return Effect.FAILED if action.get("isExpired") else Effect.PENDING
    parts = [part for part in _inner(action, "agentState").values() if isinstance(part, dict)]
    good = action.get("wasSuccessful") is True and all(part.get("wasSuccessful") for part in parts)
    return Effect.IN_EFFECT if good else Effect.FAILED


def _late(host: Mapping[str, Any], action: Mapping[str, Any], agent_id: str) -> Effect:
    """The action is done but the host does not say so: has it reported since, or is its report merely older?"""
    done = moment(_inner(action, "agentState", agent_id).get("completedAt") or action.get("completedAt"))
    told = moment(_inner(host, "metadata").get("@timestamp"))
    return Effect.NOT_IN_EFFECT if done and told and told > done else Effect.PENDING


async def _ours(kibana: Kibana, command: Command) -> Mapping[str, Any] | None:
    if not command.native_id:
        text = f"{command.target.key} has no agent id; find the host first"
        raise RejectedError(text, vendor=VENDOR, operation=command.verb)
    rows = await kibana.actions(command.native_id, _name(command.verb), command.requested_at - _LOOK_BACK)
    return next((row for row in rows if _mark(command) in str(row.get("comment", ""))), None)


def _name(verb: str) -> str:
    return _PATHS[verb].replace("_", "-")


def _mark(command: Command) -> str:
    return f"[nightdesk {command.idempotency_key}]"


def _comment(command: Command) -> str:
    case = f"case {command.case_id}" if command.case_id else ""
    return " ".join(part for part in (command.reason[:_REASON_MOST], case, _mark(command)) if part)


def _process(command: Command) -> Mapping[str, Any]:
    """Which process: by entity id where it is known, since a process id may meanwhile be another process's."""
    facts = command.target.facts
    if command.target.kind is TargetKind.PROCESS and facts.get("entity_id"):
        return {"entity_id": facts["entity_id"]}
    pid = facts.get("pid", "")
    if command.target.kind is not TargetKind.PROCESS or not pid.isdecimal() or int(pid) < 1:
        text = f"{command.target.key} has neither entity_id nor a pid; a process is never ended by its name"
        raise RejectedError(text, vendor=VENDOR, operation=command.verb)
    return {"pid": int(pid)}


def _any(fields: Sequence[str], values: Sequence[str]) -> str:
    wanted = list(dict.fromkeys(value for value in values if value))
    return " or ".join(f"united.endpoint.{name} : {phrase(value)}" for value in wanted for name in fields)


def _asset(row: Mapping[str, Any]) -> Asset:
    host = _inner(row, "metadata", "host")
    addresses = host.get("ip") or ()
    system = " ".join(str(_inner(host, "os").get(name, "")) for name in ("name", "full")).lower()
    desk = any(word in system for word in ("windows", "macos", "mac os"))
    return Asset(
        native_id=str(_inner(row, "metadata", "agent").get("id", "")),
        hostname=str(host.get("hostname") or host.get("name") or ""),
        addresses=(addresses,) if isinstance(addresses, str) else tuple(map(str, addresses)),
        asset_type="server" if "server" in system else "workstation" if desk else "other",
        online=_ONLINE.get(str(row.get("host_status", ""))),
    )


def moment(value: Any) -> datetime | None:
    """A time as Kibana writes it: ISO text or milliseconds since 1970."""
    try:
        if isinstance(value, str):
            return datetime.fromisoformat(value)
        return datetime.fromtimestamp(value / 1000, UTC) if isinstance(value, (int, float)) else None
    except (ValueError, OverflowError, OSError):
        return None


def _inner(value: Any, *path: str) -> Mapping[str, Any]:
    for name in path:
        value = value.get(name) if isinstance(value, dict) else None
    return value if isinstance(value, dict) else {}
