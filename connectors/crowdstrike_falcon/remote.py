"""What is done on a host by one Real Time Response command: ending a process, taking a file, running a script.

Only taking a file waits for a host that is offline. A process id means another process after a restart, and a script
that runs days later is not what was agreed to: those two are refused for a host that cannot be reached.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from nightdesk.connectors.crowdstrike_falcon.client import VENDOR, Falcon
from nightdesk.connectors.crowdstrike_falcon.rtr import ADMIN, RESPONDER, Level, RealTimeResponse, Run
from nightdesk.sdk.errors import RejectedError
from nightdesk.sdk.ports import Command, Effect, Receipt

__all__ = ["ORDERS", "Remote"]

_PID = re.compile(r"[1-9]\d{0,9}")
_PATH = re.compile(r"[^\"\x00-\x1f]*[^\"\s\x00-\x1f]")
_SCRIPT = re.compile(r"([\w.-]+)(?:\s+([^`\x00-\x1f]*[^`\s\x00-\x1f]))?")
_SHOWN = 500  # characters of output in a reading


@dataclass(frozen=True, slots=True)
class Order:
    """How a verb is run: at which level, whether it waits for its host, and what is true of the target afterwards."""

    level: Level
    done: str
    queue: bool = False
    parameters: tuple[str, ...] = ()


ORDERS: Mapping[str, Order] = {
    "process.terminate": Order(RESPONDER, "terminated"),
    "file.fetch": Order(RESPONDER, "fetched", queue=True),
    "host.run_script": Order(ADMIN, "ran", parameters=("script",)),
}


class Remote:
    """Commands on the hosts of one CID."""

    def __init__(self, falcon: Falcon) -> None:
        self._rtr = RealTimeResponse(falcon)

    async def act(self, command: Command) -> Receipt:
        """Runs it once: a run that is there already is this command's own, whatever came of it."""
        order, line = ORDERS[command.verb], _line(command)
        run = await self._rtr.find(command, line)
        again = run is not None and not run.withdrawn
        if run is None or run.withdrawn:
            run = await self._rtr.start(command, order.level, line, queue=order.queue)
        evidence = {"session_id": run.session_id, "command": line, "queued": run.queued, "found": again}
        return Receipt(run.request_id, evidence=evidence)

    async def effect(self, command: Command) -> tuple[Effect, dict[str, Any], str]:
        """How far the command is, by its status and, for a file, by the session's list of files."""
        order, line = ORDERS[command.verb], _line(command)
        run = await self._rtr.find(command, line)
        if run is None or run.withdrawn:
            return Effect.NOT_IN_EFFECT, {order.done: False}, "withdrawn" if run else "not run"
        state: dict[str, Any] = {"session_id": run.session_id, "cloud_request_id": run.request_id}
        if command.verb == "file.fetch":
            found = await self._fetched(command, run, state)
            if found is not None:
                return found[0], {order.done: found[0] is Effect.IN_EFFECT, **state}, found[1]
        effect, word = await self._status(command, run, state)
        if command.verb == "file.fetch" and effect is Effect.IN_EFFECT:
            effect, word = Effect.PENDING, "the upload is not listed yet"
        return effect, {order.done: effect is Effect.IN_EFFECT, **state}, word

    async def _status(self, command: Command, run: Run, state: dict[str, Any]) -> tuple[Effect, str]:
        outcome = await self._rtr.outcome(run, ORDERS[command.verb].level, command.verb)
        state.update({"stdout": outcome.stdout[:_SHOWN], "stderr": outcome.stderr[:_SHOWN]})
        if outcome.complete is None:
            return Effect.UNKNOWN, "the status is no longer told"
        if outcome.stderr.strip():
            return Effect.FAILED, f"stderr: {outcome.stderr.strip()[:_SHOWN]}"
        if outcome.complete:
            return Effect.IN_EFFECT, "complete"
        return Effect.PENDING, "queued until the host is online" if run.queued else "running"

    async def _fetched(self, command: Command, run: Run, state: dict[str, Any]) -> tuple[Effect, str] | None:
        """What the list of files says; None while it does not have this one."""
        row = await self._rtr.file(run)
        if row is None:
            return None
        digest, problem = str(row.get("sha256") or "").lower(), str(row.get("error_message") or "")
        state.update({"sha256": digest, "size": row.get("size"), "name": str(row.get("name") or "")})
        if problem:
            return Effect.FAILED, problem[:_SHOWN]
        if row.get("complete") is not True:
            return Effect.PENDING, str(row.get("stage") or "uploading")
        kind, _, wanted = command.target.value.partition(":")
        if kind == "sha256" and digest != wanted:
            return Effect.FAILED, f"another file lies at that path: sha256 {digest}"
        return Effect.IN_EFFECT, str(row.get("stage") or "complete")


def _line(command: Command) -> str:
    """The command as it is typed. Raises RejectedError for what would be another command."""
    command.only(*ORDERS[command.verb].parameters)
    facts = command.target.facts
    match command.verb:
        case "process.terminate":
            pid = facts.get("pid", "")
            if not _PID.fullmatch(pid):
                raise _rejected(command, f"nothing says its process id ({pid!r}); Falcon ends a process by that alone")
            return f"kill {pid}"
        case "file.fetch":
            path = facts.get("path", "")
            if not _PATH.fullmatch(path):
                raise _rejected(command, f"nothing says its path, or it cannot be typed ({path!r})")
            return f'get "{path}"' if any(map(str.isspace, path)) else f"get {path}"
    script = str(command.parameters.get("script") or "").strip()
    found = _SCRIPT.fullmatch(script)
    if found is None:
        raise _rejected(command, "script: write the name of a custom script of the tenant, then its options")
    options = f" -CommandLine=```{found[2]}```" if found[2] else ""
    return f"runscript -CloudFile='{found[1]}'{options}"


def _rejected(command: Command, message: str) -> RejectedError:
    return RejectedError(f"{command.target.key}: {message}", vendor=VENDOR, operation=command.verb)
