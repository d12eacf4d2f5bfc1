"""Machine actions: asked for once, adopted when somebody asked already, and read from the list of what was done."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from nightdesk.connectors.microsoft_defender_xdr.client import VENDOR, Surface, quoted
from nightdesk.connectors.microsoft_defender_xdr.standing import (
    CALLS,
    Call,
    Row,
    Standing,
    failed,
    is_open,
    is_ours,
    newest,
    progress,
    same_file,
)
from nightdesk.sdk.errors import NotFoundError, RejectedError, UnavailableError, UnsupportedError
from nightdesk.sdk.moments import instant
from nightdesk.sdk.ports import Command, Effect, Receipt
from nightdesk.sdk.triage import marker

__all__ = ["MachineActions"]

_READ = "Machine.Read.All"
_MOST = 1000
_MODES = {"full": "Full", "selective": "Selective"}


class MachineActions:
    """What is done to the machines of one tenant."""

    def __init__(self, endpoint: Surface) -> None:
        self._endpoint = endpoint

    async def act(self, command: Command) -> Receipt:
        """Asks for the action unless it holds already or is on its way."""
        call, body = CALLS[command.verb], await self._body(command)
        return await (self._pair(command, call, body) if call.against else self._once(command, call, body))

    async def effect(self, command: Command) -> tuple[Effect, dict[str, Any], str]:
        """How far it is, what an undo needs to know, and the vendor's word for it."""
        call, body = CALLS[command.verb], await self._body(command)
        if not call.against:
            sha1 = body.get("Sha1", "")
            row = newest(await self._rows(command, call), command, sha1) or {}
            return progress(row or None), {"action_id": str(row.get("id") or ""), "sha1": sha1}, _status(row)
        standing = await self._standing(command, call)
        about, wanted = call.holds
        on, own, other = standing.on(call), standing.open(call.kind), standing.open(call.against)
        state = {about: on, **_mode(standing.last if on else None)}
        native = _status(own or other or standing.last)
        if on is wanted and other is None and (not wanted or _covers(standing.last, body)):
            return Effect.IN_EFFECT, state, native
        if own is not None:
            return Effect.PENDING, state, native
        failure = standing.failed(call.kind, command)
        return (Effect.FAILED if failure else Effect.NOT_IN_EFFECT), state, native

    async def _pair(self, command: Command, call: Call, body: Mapping[str, str]) -> Receipt:
        standing = await self._standing(command, call)
        about, wanted = call.holds
        cancelled: set[str] = set()
        while (other := standing.open(call.against)) is not None:
            # Left alone it would take effect after ours: open actions complete in any order.
            if str(other.get("id")) in cancelled:
                message = f"{call.against} of {command.target.key} is still open although it was cancelled; try again"
                raise UnavailableError(message, vendor=VENDOR, operation=command.verb)
            await self._cancel(command, call, other)
            cancelled.add(str(other.get("id")))
            standing = await self._standing(command, call)
        there = standing.open(call.kind) or (standing.last if standing.on(call) is wanted else None)
        if there is None and standing.on(call) is not wanted:
            return await self._ask(command, call, body)
        if wanted and not _covers(there, body):
            raise RejectedError(
                f"{command.target.key} is isolated selectively; release it first, since an isolated machine that is"
                " isolated again leaves an action that stays open",
                vendor=VENDOR,
                operation=command.verb,
            )
        changed = bool(cancelled) or command.began_otherwise(about, wanted) or is_ours(there, command)
        return Receipt(str((there or {}).get("id") or ""), changed, _loss(there, body), _shown(there))

    async def _once(self, command: Command, call: Call, body: Mapping[str, str]) -> Receipt:
        there = newest(await self._rows(command, call), command, body.get("Sha1", ""))
        if there is not None and not failed(there):
            return Receipt(str(there.get("id") or ""), is_ours(there, command), evidence=_shown(there))
        return await self._ask(command, call, body)

    async def _ask(self, command: Command, call: Call, body: Mapping[str, str]) -> Receipt:
        path = f"/api/machines/{quote(command.native_id, safe='')}/{call.path}"
        text = " ".join(filter(None, (command.reason or command.verb, command.case_id, marker(command))))
        try:
            made: Row = await self._endpoint.read(
                "POST", path, operation=command.verb, role=call.role, json={"Comment": text, **body}
            )
        except RejectedError:
            # "Action is already in progress": somebody was faster, and theirs is as good.
            open_rows = [
                row for row in await self._rows(command, call) if is_open(row) and same_file(row, body.get("Sha1", ""))
            ]
            if not open_rows or not _covers(open_rows[0], body):
                raise
            made = open_rows[0]
        return Receipt(str(made.get("id") or ""), is_ours(made, command), _loss(made, body), _shown(made))

    async def _cancel(self, command: Command, call: Call, row: Row) -> None:
        name = quote(str(row.get("id") or ""), safe="")
        try:
            await self._endpoint.ask(
                "POST",
                f"/api/machineactions/{name}/cancel",
                operation=f"cancel {row.get('type')}",
                role=call.role,
                json={"Comment": f"{command.verb} {marker(command)}"},
            )
        except RejectedError:
            found = await self._endpoint.read("GET", f"/api/machineactions/{name}", operation="read action", role=_READ)
            if is_open(found):
                raise  # else it ended meanwhile, and the list says how

    async def _standing(self, command: Command, call: Call) -> Standing:
        return Standing.of(await self._rows(command, call))

    async def _rows(self, command: Command, call: Call) -> list[dict[str, Any]]:
        """The machine's actions of the verb's type and its opposite, newest first."""
        if not command.native_id:
            raise RejectedError("no machine is named", vendor=VENDOR, operation=command.verb)
        kinds = " or ".join(f"type eq {quoted(kind)}" for kind in (call.kind, call.against) if kind)
        rows = await self._endpoint.rows(
            "/api/machineactions",
            operation="list actions",
            role=_READ,
            params={"$filter": f"machineId eq {quoted(command.native_id)} and ({kinds})", "$top": _MOST},
        )
        mine = [row for row in rows if row.get("machineId") == command.native_id]
        return sorted(mine, key=lambda row: instant(row.get("creationDateTimeUtc")) or 0, reverse=True)

    async def _body(self, command: Command) -> dict[str, str]:
        """What the verb's call wants beside the comment. Raises UnsupportedError."""
        match command.verb:
            case "host.isolate":
                command.only("mode")
                mode = command.parameters.get("mode", "full")
                if mode not in _MODES:
                    raise UnsupportedError(f"mode {mode!r}: write one of {', '.join(_MODES)}")
                return {"IsolationType": _MODES[mode]}
            case "host.scan":
                command.only()
                return {"ScanType": "Quick"}
            case "file.quarantine":
                command.only()
                return {"Sha1": await self._sha1(command)}
        command.only()
        return {}

    async def _sha1(self, command: Command) -> str:
        """The SHA-1 of the target, which is the only hash the call takes. Raises RejectedError."""
        name, _, digest = command.target.value.partition(":")
        known = digest if name == "sha1" else str(command.target.facts.get("sha1", ""))
        if known:
            return known
        if name == "md5":
            raise UnsupportedError(f"{command.target.key}: Defender finds files by sha1 or sha256")
        try:
            file = await self._endpoint.read("GET", f"/api/files/{digest}", operation="read file", role="File.Read.All")
        except NotFoundError as error:
            raise RejectedError(
                f"{command.target.key}: Defender has not seen this file, so its SHA-1 is not known; name it by sha1",
                vendor=VENDOR,
                operation=command.verb,
            ) from error
        if not file.get("sha1"):
            raise RejectedError(f"{command.target.key}: no SHA-1 is known", vendor=VENDOR, operation=command.verb)
        return str(file["sha1"]).lower()


def _status(row: Row | None) -> str:
    return str((row or {}).get("status") or "")


def _mode(row: Row | None) -> dict[str, str]:
    """The mode of an isolation, by the name that its parameter has."""
    mode = str((row or {}).get("scope") or "").lower()
    return {"mode": mode} if mode in _MODES else {}


def _covers(row: Row | None, body: Mapping[str, str]) -> bool:
    """True when the action does at least what is asked: a selective isolation is no full one."""
    return body.get("IsolationType") != "Full" or _mode(row).get("mode", "full") == "full"


def _loss(row: Row | None, body: Mapping[str, str]) -> tuple[str, ...]:
    wider = body.get("IsolationType") == "Selective" and _mode(row).get("mode", "full") == "full"
    return ("mode=selective: the host is isolated fully already",) if wider else ()


def _shown(row: Row | None) -> dict[str, Any]:
    names = ("id", "type", "scope", "status", "requestor", "creationDateTimeUtc")
    return {"action": {name: row.get(name) for name in names}} if row is not None else {}
