"""The simulated Live Response: sessions that open when the sensor calls in and end when idle, and their commands."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response

from nightdesk.connectors.carbon_black_cloud.payloads import number_of
from nightdesk.connectors.carbon_black_cloud.wire import (
    BadRequestError,
    DeniedError,
    MissingError,
    Routes,
    body_of,
    millis,
)
from nightdesk.sdk.context import Clock
from nightdesk.sdk.testing import Fleet, StoryDevice
from nightdesk.sdk.testing.estate import Order

__all__ = ["LiveApi"]

_API = "appservices/v6/orgs/{org}/liveresponse/sessions"
_SESSION, _PROCESS, _FILE = (f"org.liveresponse.{part}" for part in ("session", "process", "file"))
_NEEDS = {"process list": f"{_PROCESS} READ", "kill": f"{_PROCESS} DELETE", "get file": f"{_FILE} READ"}
_MOST = 100  # sessions
_CALLS_IN = timedelta(seconds=1)  # after a session was asked for
_IDLE = timedelta(minutes=15)


@dataclass(slots=True)
class _Command:
    name: str
    asked: datetime
    order: Order | None
    subject: str = ""
    file_id: str = ""


@dataclass(slots=True)
class _Session:
    session_id: str
    device_id: str
    asked: datetime
    used: datetime
    active: bool = False
    commands: list[_Command] = field(default_factory=list)


class LiveApi:
    """The sessions by id; those that timed out are forgotten."""

    def __init__(self, clock: Clock, fleet: Fleet, allowed: Any) -> None:
        self.sessions: dict[str, _Session] = {}
        self._paths: dict[tuple[str, int], str] = {}
        self._clock = clock
        self._fleet = fleet
        self._allowed = allowed
        self._made = 0

    def routes(self) -> Routes:
        """What can be called."""
        one = f"{_API}/{{id}}"
        return (
            ("POST", _API, f"{_SESSION} CREATE", self._create),
            ("GET", _API, f"{_SESSION} READ", self._list),
            ("GET", one, f"{_SESSION} READ", self._read),
            ("DELETE", one, f"{_SESSION} DELETE", self._close),
            ("POST", f"{one}/commands", "", self._order),
            ("GET", f"{one}/commands/{{command}}", "", self._look),
            ("GET", f"{one}/files/{{file}}/content", f"{_FILE} READ", self._content),
        )

    def enrol(self, devices: Iterable[StoryDevice]) -> None:
        """Learns where the programs of the devices lie."""
        for device in devices:
            for process in device.processes:
                self._paths.setdefault((number_of(device.device_id), process.pid), process.path)

    def settle(self) -> None:
        """Sessions open, and end."""
        self._fleet.settle()
        now = self._clock()
        for session in list(self.sessions.values()):
            if now - session.used >= _IDLE:
                del self.sessions[session.session_id]
            elif now - session.asked >= _CALLS_IN and self._reached(session):
                session.active = True

    def _reached(self, session: _Session) -> bool:
        return self._fleet.is_online(self._fleet.devices[session.device_id])

    async def _create(self, request: Request) -> Response:
        body = await body_of(request, "device_id")
        number = str(body.get("device_id"))
        if number not in self._fleet.devices:
            raise MissingError(f"no device {number}")
        self.settle()
        if len(self.sessions) >= _MOST:
            raise DeniedError("session limit reached")
        self._made += 1
        now = self._clock()
        session = _Session(f"{self._made}:{number}", number, now, now)
        self.sessions[session.session_id] = session
        return JSONResponse(_shown(session), 201)

    async def _list(self, _: Request) -> Response:
        self.settle()
        return JSONResponse([_shown(session) for session in self.sessions.values()])

    async def _read(self, request: Request) -> Response:
        return JSONResponse(_shown(self._known(request)))

    async def _close(self, request: Request) -> Response:
        del self.sessions[self._known(request).session_id]
        return Response(status_code=204)

    async def _order(self, request: Request) -> Response:
        body = await body_of(request, "session_id", "name", "pid", "path", "offset", "get_count")
        session, name = self._known(request), body.get("name")
        if name not in _NEEDS:
            raise BadRequestError(f"the sensor supports {', '.join(_NEEDS)}")
        if not self._allowed(_NEEDS[name]):
            raise DeniedError(_NEEDS[name])
        if not session.active:
            raise MissingError("the session is not active")
        now = self._clock()
        command = _Command(name, now, None)
        if name == "kill":
            if not isinstance(body.get("pid"), int):
                raise BadRequestError("pid is a number")
            command.subject = str(body["pid"])
            command.order = self._fleet.ask(session.device_id, "kill", command.subject)
        elif name == "get file":
            if not body.get("path") or not isinstance(body["path"], str):
                raise BadRequestError("path is required")
            command.subject, command.file_id = body["path"], f"file-{len(session.commands) + 1}"
            command.order = self._fleet.ask(session.device_id, "fetch", command.subject)
        session.commands.append(command)
        session.used = now
        return JSONResponse({**self._state(session, len(session.commands)), "status": "pending"})

    async def _look(self, request: Request) -> Response:
        session, number = self._known(request), request.path_params["command"]
        if not number.isdecimal() or not 1 <= int(number) <= len(session.commands):
            raise MissingError(f"no command {number}")
        if not self._allowed(f"{_needs_to_read(session.commands[int(number) - 1].name)} READ"):
            raise DeniedError("to read commands")
        return JSONResponse(self._state(session, int(number)))

    async def _content(self, request: Request) -> Response:
        session = self._known(request)
        for command in session.commands:
            if command.file_id == request.path_params["file"] and command.order and command.order.done:
                return PlainTextResponse(f"content of {command.subject}")
        raise MissingError("no such file")

    def _known(self, request: Request) -> _Session:
        self.settle()
        found = self.sessions.get(request.path_params["id"])
        if found is None:
            raise MissingError(f"no session {request.path_params['id']}")
        return found

    def _state(self, session: _Session, number: int) -> dict[str, Any]:
        """A command as it is now; its status is in lower case, unlike a session's."""
        command = session.commands[number - 1]
        order, status = command.order, "pending"
        if order is not None:
            status = "error" if order.failed else "complete" if order.done else "pending"
        elif self._reached(session):
            status = "complete"
        device = self._fleet.devices[session.device_id]
        listed = status == "complete" and command.name == "process list"
        rows = [
            {
                "process_pid": process.pid,
                "process_path": self._paths.get((session.device_id, process.pid), process.name),
                "process_username": "CORP\\jdoe",
                "process_cmdline": process.name,
            }
            for process in device.processes.values()
        ]
        return {
            "id": number,
            "session_id": session.session_id,
            "device_id": int(session.device_id),
            "command_timeout": 120,
            "status": status,
            "name": command.name,
            "input": {"name": command.name, "object": command.subject or None},
            "create_time": millis(command.asked),
            "result_code": -2147024894 if status == "error" else 0,
            "result_desc": "not found" if status == "error" else "",
            "processes": rows if listed else [],
            **({"file_details": {"offset": 0, "count": 0, "file_id": command.file_id}} if command.file_id else {}),
        }


def _needs_to_read(name: str) -> str:
    return _FILE if name == "get file" else _PROCESS


def _shown(session: _Session) -> dict[str, Any]:
    return {
        "id": session.session_id,
        "device_id": int(session.device_id),
        "status": "ACTIVE" if session.active else "PENDING",
        "create_time": millis(session.asked),
        "session_timeout": 900,
        "command_timeout": 120,
        "supported_commands": list(_NEEDS),
        "drives": ["C:\\"],
        "current_working_directory": "C:\\Windows\\CarbonBlack",
    }
