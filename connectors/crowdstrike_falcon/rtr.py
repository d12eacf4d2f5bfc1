"""Real Time Response: a session to a host's sensor, one command in it, and what the vendor says of that command.

A command takes no note of ours, so a repeat finds it by host, text and time in the logs of our own API client's
sessions; other people's sessions are not shown to us.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from nightdesk.connectors.crowdstrike_falcon.client import VENDOR, Falcon
from nightdesk.sdk.errors import NotFoundError, RejectedError, ResponseError, UnavailableError
from nightdesk.sdk.moments import SECOND, instant
from nightdesk.sdk.ports import Command

__all__ = ["ADMIN", "RESPONDER", "Level", "Outcome", "RealTimeResponse", "Run"]

_READ = "Real time response: read"
_WRITE = "Real time response: write"
_ROOT = "/real-time-response"
_SESSIONS = 100  # the newest of a host that are looked through
_CHUNKS = 1000  # of one command's output
_TOLERANCE = 5 * SECOND  # the vendor's clock is known to the second, and the answer took time


@dataclass(frozen=True, slots=True)
class Level:
    """Whose commands they are: where they are sent, and the scope for it."""

    path: str
    scope: str


RESPONDER = Level(f"{_ROOT}/entities/active-responder-command/v1", _WRITE)
ADMIN = Level(f"{_ROOT}/entities/admin-command/v1", "Real time response (admin): write")


@dataclass(frozen=True, slots=True)
class Run:
    """One command that was accepted; ``queued`` while it waits for its host, ``withdrawn`` when it waits no more."""

    session_id: str
    request_id: str
    queued: bool = False
    withdrawn: bool = False


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a command; ``complete`` None when the vendor no longer tells."""

    complete: bool | None
    stdout: str = ""
    stderr: str = ""


class RealTimeResponse:
    """The sessions of one API client."""

    def __init__(self, falcon: Falcon) -> None:
        self._falcon = falcon

    async def find(self, command: Command, line: str) -> Run | None:
        """The newest run of that line on the command's host since the command was made."""
        sessions = await self._sessions(_host(command))
        waiting = await self._queued([str(row.get("id")) for row in sessions if row.get("offline_queued") is True])
        since = self._as_vendor(command)
        found: list[tuple[int, Run]] = []
        for entries, queued in ((_rows(sessions, "logs"), False), (_rows(waiting, "Commands"), True)):
            for session_id, entry in entries:
                moment, request_id = instant(entry.get("created_at")), str(entry.get("cloud_request_id") or "")
                if entry.get("command_string") != line or moment is None or moment < since or not request_id:
                    continue
                pending = queued and str(entry.get("status") or "").upper() == "PENDING"
                gone = pending and bool(entry.get("deleted_at"))
                found.append((moment, Run(session_id, request_id, pending, gone)))
        # Of one command in both lists the queue's entry counts: it alone says whether the command still waits.
        found.sort(key=lambda pair: pair[0])
        return found[-1][1] if found else None

    async def start(self, command: Command, level: Level, line: str, *, queue: bool) -> Run:
        """Runs the line on the host; ``queue`` lets it wait up to 7 days for a host that is offline."""
        session_id = await self._session(_host(command), command.verb, queue=queue)
        answer = await self._falcon.ask(
            "POST",
            level.path,
            operation=command.verb,
            scope=level.scope,
            json={"base_command": line.partition(" ")[0], "command_string": line, "session_id": session_id},
        )
        if answer.errors:
            raise self._falcon.complaint(answer)
        first = _first(answer.resources)
        request_id = str(first.get("cloud_request_id") or "")
        if not request_id:
            message = "the command was accepted without a cloud_request_id"
            raise ResponseError(message, vendor=VENDOR, operation=command.verb, request_id=answer.trace_id)
        return Run(session_id, request_id, first.get("queued_command_offline") is True)

    async def outcome(self, run: Run, level: Level, operation: str) -> Outcome:
        """The output so far, chunk by chunk: a chunk that has no text and is not the last is still to come."""
        stdout, stderr = "", ""
        for number in range(_CHUNKS):
            params = {"cloud_request_id": run.request_id, "sequence_id": number}
            try:
                answer = await self._falcon.ask(
                    "GET", level.path, operation=operation, scope=level.scope, params=params
                )
            except NotFoundError:
                return Outcome(False if run.queued or number else None, stdout, stderr)
            if answer.errors:
                raise self._falcon.complaint(answer)
            row = _first(answer.resources)
            chunk = (str(row.get("stdout") or ""), str(row.get("stderr") or ""))
            stdout, stderr = stdout + chunk[0], stderr + chunk[1]
            if row.get("complete") is True:
                return Outcome(True, stdout, stderr)
            if not any(chunk):
                return Outcome(False, stdout, stderr)
        raise ResponseError(f"the output has more than {_CHUNKS} chunks", vendor=VENDOR, operation=operation)

    async def file(self, run: Run) -> Mapping[str, Any] | None:
        """The file that the command took from its host, once the session lists it."""
        answer = await self._falcon.ask(
            "GET",
            f"{_ROOT}/entities/file/v2",
            operation="list files",
            scope=_WRITE,
            params={"session_id": run.session_id},
        )
        if answer.errors:
            raise self._falcon.complaint(answer)
        rows = (row for row in answer.resources if isinstance(row, dict))
        return next((row for row in rows if row.get("cloud_request_id") == run.request_id), None)

    async def _session(self, device_id: str, operation: str, *, queue: bool) -> str:
        """A session of ours on the host: the one that is open already, or a new one."""
        body = {"device_id": device_id, "origin": "nightdesk", "queue_offline": queue}
        try:
            answer = await self._falcon.ask(
                "POST", f"{_ROOT}/entities/sessions/v1", operation=operation, scope=_READ, json=body
            )
        except NotFoundError as error:
            raise UnavailableError(
                f"no session with {device_id}: its sensor cannot be reached; is the host offline? ({error})",
                vendor=VENDOR,
                operation=operation,
                status=error.status,
                request_id=error.request_id,
            ) from error
        if answer.errors:
            raise self._falcon.complaint(answer)
        first = _first(answer.resources)
        if first.get("offline_queued") is True and not queue:
            message = f"{device_id} is offline, and {operation} does not wait for a host"
            raise UnavailableError(message, vendor=VENDOR, operation=operation, request_id=answer.trace_id)
        session_id = str(first.get("session_id") or "")
        if not session_id:
            message = "the session was opened without a session_id"
            raise ResponseError(message, vendor=VENDOR, operation=operation, request_id=answer.trace_id)
        return session_id

    async def _sessions(self, device_id: str) -> list[Mapping[str, Any]]:
        params = {"filter": f"aid:'{device_id}'", "sort": "created_at|desc", "limit": _SESSIONS}
        answer = await self._falcon.ask(
            "GET", f"{_ROOT}/queries/sessions/v1", operation="find session", scope=_READ, params=params
        )
        if answer.errors:
            raise self._falcon.complaint(answer)
        rows = await self._entities("sessions", [str(name) for name in answer.resources])
        # Held against what was asked: a filter that the vendor ignored must not show us another host's commands.
        return [row for row in rows if row.get("device_id") == device_id]

    async def _queued(self, names: list[str]) -> list[Mapping[str, Any]]:
        return await self._entities("queued-sessions", names)

    async def _entities(self, kind: str, names: list[str]) -> list[Mapping[str, Any]]:
        if not names:
            return []
        answer = await self._falcon.ask(
            "POST",
            f"{_ROOT}/entities/{kind}/GET/v1",
            operation="read session",
            scope=_READ,
            json={"ids": names},
            repeatable=True,
        )
        if answer.errors:
            raise self._falcon.complaint(answer)
        return [row for row in answer.resources if isinstance(row, dict)]

    def _as_vendor(self, command: Command) -> int:
        """When the command was made, by the vendor's clock."""
        skew = self._falcon.clock_skew or 0.0
        return int((command.requested_at.timestamp() + skew) * 1000) * 1_000_000 - _TOLERANCE


def _host(command: Command) -> str:
    if not command.native_id.replace("-", "").isalnum():
        message = f"{command.native_id!r} is no device id; find the host of {command.target.key} first"
        raise RejectedError(message, vendor=VENDOR, operation=command.verb)
    return command.native_id


def _first(resources: list[Any]) -> Mapping[str, Any]:
    first = resources[0] if resources else None
    return first if isinstance(first, dict) else {}


def _rows(sessions: list[Mapping[str, Any]], name: str) -> list[tuple[str, Mapping[str, Any]]]:
    """The entries of all sessions, each with its session's id."""
    lists = [(str(row.get("id")), row.get(name)) for row in sessions]
    return [(key, entry) for key, entries in lists if isinstance(entries, list) for entry in entries
            if isinstance(entry, dict)]  # fmt: skip
