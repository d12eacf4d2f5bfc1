"""Live Response: a session with one sensor that opens when it calls in, and the commands that are given to it."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from nightdesk.connectors.carbon_black_cloud.client import VENDOR, Cloud, device_number
from nightdesk.connectors.carbon_black_cloud.memory import Memory
from nightdesk.sdk.context import Sleep
from nightdesk.sdk.errors import NotFoundError, ResponseError, VendorError

__all__ = ["DONE", "LiveResponse"]

DONE = frozenset({"COMPLETE", "ERROR", "CANCELLED"})
"""Ends of a command, in upper case: the vendor answers in either."""

_API = "appservices/v6"
_SESSIONS = "org.liveresponse.session CREATE, READ, DELETE"
_LOOKS, _PAUSE = 30, 2.0  # a sensor calls in once a minute or so
_COMMAND_LOOKS, _COMMAND_PAUSE = 15, 1.0


class LiveResponse:
    """One session a device at most, taken up again while it lasts (15 idle minutes); fetched files end with it."""

    def __init__(self, cloud: Cloud, sleep: Sleep) -> None:
        self._cloud = cloud
        self._sleep = sleep
        self._open: Memory[str] = Memory()

    async def session(self, device_id: str) -> str:
        """An active session, empty when the sensor does not call in: then none is left waiting for it."""
        known = self._open.get(device_number(device_id, "open session"))
        if known is not None and await self._status(known) == "ACTIVE":
            return known
        made = await self._cloud.record(
            "POST", self._path(), operation="open session", scope=_SESSIONS, body={"device_id": int(device_id)}
        )
        session = str(made.get("id") or "")
        if not session:
            raise ResponseError("the answer names no session", vendor=VENDOR, operation="open session")
        if await self._until(lambda: self._status(session), {"ACTIVE", ""}, _LOOKS, _PAUSE) == "ACTIVE":
            self._open.note(device_id, session)
            return session
        self._open.forget(device_id)
        try:
            # A session that waits would open on a day nobody expects, and counts among the 100 of the organisation.
            await self._cloud.ask("DELETE", self._path(session), operation="close session", scope=_SESSIONS)
        except VendorError:
            return ""  # it ends by itself
        return ""

    async def order(self, session: str, name: str, scope: str, **what: Any) -> Mapping[str, Any]:
        """Gives a command; it has an ``id``."""
        body = {"session_id": session, "name": name, **what}
        path = self._path(session, "commands")
        made = await self._cloud.record("POST", path, operation=name, scope=scope, body=body)
        if made.get("id") is None:
            raise ResponseError("the answer names no command", vendor=VENDOR, operation=name)
        return made

    async def look(self, session: str, command_id: str, scope: str) -> tuple[str, Mapping[str, Any]]:
        """A command's status in upper case, empty when its session is over, and all of it."""
        path = self._path(session, "commands", command_id)
        try:
            found = await self._cloud.record("GET", path, operation="read command", scope=scope)
        except NotFoundError:
            return "", {}
        return str(found.get("status") or "").upper(), found

    async def processes(self, session: str, scope: str) -> Mapping[int, str] | None:
        """What runs on the device, paths by process id; None when it does not say in time."""
        made = await self.order(session, "process list", scope)
        seen: list[Mapping[str, Any]] = []

        async def status() -> str:
            word, found = await self.look(session, str(made["id"]), scope)
            seen.append(found)
            return word

        if await self._until(status, {*DONE, ""}, _COMMAND_LOOKS, _COMMAND_PAUSE) != "COMPLETE":
            return None
        rows = seen[-1].get("processes")
        if not isinstance(rows, list):
            raise ResponseError("the list of processes is none", vendor=VENDOR, operation="process list")
        return {
            row["process_pid"]: str(row.get("process_path") or "")
            for row in rows
            if isinstance(row, dict) and isinstance(row.get("process_pid"), int)
        }

    def content(self, session: str, file_id: str) -> str:
        """The path of a fetched file, to be read with the same key."""
        return self._path(session, "files", file_id, "content")

    async def _status(self, session: str) -> str:
        try:
            found = await self._cloud.record("GET", self._path(session), operation="read session", scope=_SESSIONS)
        except NotFoundError:
            return ""  # it timed out
        return str(found.get("status") or "").upper()

    async def _until(self, status: Callable[[], Awaitable[str]], ends: set[str], looks: int, pause: float) -> str:
        word = await status()
        for _ in range(looks - 1):
            if word in ends:
                break
            await self._sleep(pause)
            word = await status()
        return word

    def _path(self, *parts: str) -> str:
        return self._cloud.path(_API, "liveresponse", "sessions", *parts)
