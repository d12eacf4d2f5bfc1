"""What Elastic Defend does on a host once: scans, lists its processes, fetches a file, runs a command, stops a process.

Nothing keeps the state that these leave behind. What is a piece of work is in effect when the action's details say that
it was done; a process and a command's effect stay unknown, because nothing but the agent's own word tells of them.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from nightdesk.connectors.elastic_security.answers import VENDOR
from nightdesk.connectors.elastic_security.kibana import Kibana
from nightdesk.connectors.elastic_security.orders import inner, order, ours, outcome, repeated
from nightdesk.sdk.errors import RejectedError
from nightdesk.sdk.ports import Command, Effect, Reading, Receipt
from nightdesk.sdk.verbs import TargetKind

__all__ = ["TASK_VERBS", "act", "read"]

_PARAMETERS: Mapping[str, tuple[str, ...]] = {
    "host.scan": ("path",),
    "host.collect_evidence": (),
    "host.run_script": ("script",),
    "process.terminate": (),
    "process.suspend": (),
    "file.fetch": (),
}
TASK_VERBS = tuple(_PARAMETERS)
_UNSEEN = frozenset({"process.terminate", "process.suspend", "host.run_script"})
_ROOTS = {"windows": "C:\\", "linux": "/", "macos": "/", "darwin": "/"}


async def act(kibana: Kibana, command: Command) -> Receipt:
    """Asks once for an idempotency key."""
    command.only(*_PARAMETERS[command.verb])
    parameters = _given(command)
    earlier = await ours(kibana, command)
    if earlier is not None:
        return repeated(earlier)
    if command.verb == "host.scan" and not parameters:
        parameters = {"path": _root(await kibana.host(command.native_id), command)}
    return await order(kibana, command, parameters)


async def read(kibana: Kibana, command: Command, now: datetime) -> Reading:
    """How the action went by its details; a fetched file must also be the one whose hash was asked for."""
    action = await ours(kibana, command)
    if action is None:
        return Reading(Effect.NOT_IN_EFFECT, now, native_state="not asked")
    effect, native = outcome(action), str(action.get("status", ""))
    if effect is Effect.IN_EFFECT and command.verb in _UNSEEN:
        effect = Effect.UNKNOWN
    if effect is Effect.IN_EFFECT and command.verb == "file.fetch":
        effect, native = _fetched(action, command)
    return Reading(effect, now, {"action_id": str(action.get("id", ""))}, native)


def _given(command: Command) -> Mapping[str, Any] | None:
    """The parameters of the request; None for an action that has none."""
    if command.verb in {"process.terminate", "process.suspend"}:
        return _process(command)
    name, value = {
        "host.scan": ("path", command.parameters.get("path")),
        "host.run_script": ("command", command.parameters.get("script")),
        "file.fetch": ("path", command.target.facts.get("path", "")),
    }.get(command.verb, ("", None))
    if not name or (value is None and command.verb == "host.scan"):
        return None
    if not isinstance(value, str) or not value.strip():
        text = f"{command.target.key}: {command.verb} needs a {name}"
        raise RejectedError(text, vendor=VENDOR, operation=command.verb)
    return {name: value}


def _process(command: Command) -> Mapping[str, Any]:
    """Which process: by entity id where it is known, since a process id may meanwhile be another process's."""
    facts = command.target.facts
    if command.target.kind is TargetKind.PROCESS and facts.get("entity_id"):
        return {"entity_id": facts["entity_id"]}
    pid = facts.get("pid", "")
    if command.target.kind is not TargetKind.PROCESS or not pid.isdecimal() or int(pid) < 1:
        text = f"{command.target.key} has neither entity_id nor a pid; a process is never stopped by its name"
        raise RejectedError(text, vendor=VENDOR, operation=command.verb)
    return {"pid": int(pid)}


def _root(host: Mapping[str, Any], command: Command) -> str:
    """Where a scan of a whole host begins: the vendor scans a path and nothing else."""
    system = inner(host, "metadata", "host", "os")
    words = [str(system.get(name, "")).lower() for name in ("type", "family", "platform", "name")]
    root = next((_ROOTS[word] for word in words if word in _ROOTS), "")
    if not root:
        text = f"{command.target.key} does not tell its operating system; give the path to scan"
        raise RejectedError(text, vendor=VENDOR, operation=command.verb)
    return root


def _fetched(action: Mapping[str, Any], command: Command) -> tuple[Effect, str]:
    """A path may meanwhile hold another file: the hash that the agent reports of what it fetched decides."""
    contents = inner(action, "outputs", command.native_id, "content").get("contents")
    found = [row.get("sha256") for row in contents if isinstance(row, dict)] if isinstance(contents, list) else []
    kind, _, digest = command.target.value.partition(":")
    if kind != "sha256" or not any(found):
        return Effect.UNKNOWN, "fetched, hash not told" if kind == "sha256" else f"fetched, {kind} not compared"
    if digest in found:
        return Effect.IN_EFFECT, "successful"
    return Effect.FAILED, "another file is at that path now"
