"""What Live Response does on one device: kills one process, seen gone from its list, and fetches one file."""

import re
from collections.abc import Mapping
from typing import Any

from nightdesk.connectors.carbon_black_cloud.client import VENDOR
from nightdesk.connectors.carbon_black_cloud.live import DONE, LiveResponse
from nightdesk.connectors.carbon_black_cloud.memory import Memory
from nightdesk.sdk.errors import RejectedError
from nightdesk.sdk.ports import Command, Effect, Receipt

__all__ = ["Remote"]

_LIST = "org.liveresponse.process READ"
_KILL = "org.liveresponse.process DELETE"
_FETCH = "org.liveresponse.file READ"
_GUID = re.compile(r"[0-9a-fA-F-]{32,36}")  # how a process is called whose name nobody says
_Order = tuple[str, str, str]  # session, command, file


class Remote:
    """Acts on processes and files, once a command while this process remembers it."""

    def __init__(self, live: LiveResponse) -> None:
        self._live = live
        self._orders: Memory[_Order] = Memory()

    async def terminate(self, command: Command) -> Receipt:
        """Kills the process if it runs as the program it was: an id is given to another one once it is free."""
        pid = _pid(command)
        again = self._orders.get(command.idempotency_key)
        if again is not None:
            return _receipt(again, losses=_losses(command))
        session = await self._session(command)
        running = await self._live.processes(session, _LIST)
        if running is None:
            raise _refused(command, "its sensor does not list its processes; try again")
        evidence = {"path": running.get(pid, "")}
        if not _runs(running, pid, command):
            return Receipt(
                changed=command.began_otherwise("running", False), losses=_losses(command), evidence=evidence
            )
        made = await self._live.order(session, "kill", _KILL, pid=pid)
        order = (session, str(made["id"]), "")
        self._orders.note(command.idempotency_key, order)
        return _receipt(order, evidence, _losses(command))

    async def terminated(self, command: Command) -> tuple[Effect, dict[str, Any], str]:
        """Whether the process is gone from the device's own list."""
        pid = _pid(command)
        session = await self._live.session(command.native_id)
        running = await self._live.processes(session, _LIST) if session else None
        if running is None:
            return Effect.UNKNOWN, {}, "the sensor does not answer"
        runs = _runs(running, pid, command)
        state = {"running": runs, "path": running.get(pid, "")}
        order = self._orders.get(command.idempotency_key)
        if not runs:
            return Effect.IN_EFFECT, state, "not running"
        if order is None:
            return Effect.NOT_IN_EFFECT, state, "running"
        word, _ = await self._live.look(order[0], order[1], _LIST)
        if word and word not in DONE:
            return Effect.PENDING, state, f"running; kill {word}"
        return (
            (Effect.FAILED if word in {"ERROR", "CANCELLED"} else Effect.NOT_IN_EFFECT),
            state,
            f"running; kill {word}",
        )

    async def fetch(self, command: Command) -> Receipt:
        """Asks the sensor to hand the file to Live Response."""
        path = _path(command)
        again = self._orders.get(command.idempotency_key)
        if again is not None:
            return _receipt(again)
        session = await self._session(command)
        made = await self._live.order(session, "get file", _FETCH, path=path)
        details = made.get("file_details")
        file_id = str(details.get("file_id") or "") if isinstance(details, Mapping) else ""
        order = (session, str(made["id"]), file_id)
        self._orders.note(command.idempotency_key, order)
        return _receipt(order)

    async def fetched(self, command: Command) -> tuple[Effect, dict[str, Any], str]:
        """How far it is, and where the file lies until the session ends."""
        _path(command)
        order = self._orders.get(command.idempotency_key)
        if order is None:
            return Effect.NOT_IN_EFFECT, {}, "not asked for"
        session, number, file_id = order
        word, found = await self._live.look(session, number, _FETCH)
        if not word:
            return Effect.UNKNOWN, {}, "the session is over, and the file with it"
        if word not in DONE:
            return Effect.PENDING, {}, word
        if word != "COMPLETE":
            return Effect.FAILED, {}, f"{word} {found.get('result_desc') or found.get('result_code') or ''}".strip()
        return Effect.IN_EFFECT, {"download": self._live.content(session, file_id) if file_id else ""}, word

    async def _session(self, command: Command) -> str:
        session = await self._live.session(command.native_id)
        if not session:
            raise _refused(command, "its sensor did not call in for Live Response; try again when it is online")
        return session


def _receipt(order: _Order, evidence: Mapping[str, Any] | None = None, losses: tuple[str, ...] = ()) -> Receipt:
    session, number, _ = order
    told = {"session": session, "command": number, **(evidence or {})}
    return Receipt(f"{session}/{number}", losses=losses, evidence=told)


def _runs(running: Mapping[int, str], pid: int, command: Command) -> bool:
    """Whether that process id is still the program that is meant, by its path's last part."""
    meant = _named(command) or _file_name(str(command.pre_state.get("path") or ""))
    return pid in running and (not meant or _file_name(running[pid]) == meant)


def _named(command: Command) -> str:
    """What the program is called, empty when nothing says so."""
    facts, value = command.target.facts, command.target.value
    return _file_name(facts.get("path") or facts.get("name") or ("" if _GUID.fullmatch(value) else value))


def _losses(command: Command) -> tuple[str, ...]:
    if _named(command):
        return ()
    return (f"program: nothing says which one had the process id {_pid(command)}, and ids are used again",)


def _file_name(path: str) -> str:
    return path.replace("\\", "/").rpartition("/")[2].casefold()


def _pid(command: Command) -> int:
    command.only()
    text = command.target.facts.get("pid", "")
    if not text.isdecimal() or int(text) == 0:
        raise _refused(command, f"nobody says which process id {command.target.value} has")
    return int(text)


def _path(command: Command) -> str:
    command.only()
    path = command.target.facts.get("path", "")
    if not path:
        raise _refused(command, f"nobody says under which path {command.target.key} lies there")
    return path


def _refused(command: Command, why: str) -> RejectedError:
    return RejectedError(f"{command.native_id}: {why}", vendor=VENDOR, operation=command.verb)
