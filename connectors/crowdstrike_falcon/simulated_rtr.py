"""The simulated Real Time Response API: sessions that idle out, commands by level, a queue, output in chunks."""

from collections.abc import Iterable, Mapping

from starlette.requests import Request
from starlette.responses import Response

from nightdesk.connectors.crowdstrike_falcon.fql import Kind, parse
from nightdesk.connectors.crowdstrike_falcon.payloads import timestamp
from nightdesk.connectors.crowdstrike_falcon.simulated_shell import KINDS, Shell
from nightdesk.connectors.crowdstrike_falcon.wire import (
    BadRequestError,
    Call,
    Routes,
    Wire,
    json_object,
    names_in,
    window,
)

__all__ = ["RtrApi"]

_ROOT = "/real-time-response"
_FIELDS: Mapping[str, Kind] = {
    **dict.fromkeys(("id", "aid", "user_id", "origin"), "word"),
    "created_at": "time",
    "offline_queued": "flag",
}
_SORTS = frozenset(f"{name}|{way}" for name in ("created_at", "updated_at", "hostname") for way in ("asc", "desc"))
_RESPONDERS = frozenset({"kill", "get"})
_CHUNK = 24  # characters of output in one answer
_UNREACHABLE = {"code": 40401, "message": "Could not establish sensor comms"}


class RtrApi:
    """The endpoints over one API client's shell."""

    def __init__(self, wire: Wire, shell: Shell) -> None:
        self._wire = wire
        self._shell = shell

    def routes(self) -> Routes:
        """What can be called."""
        entities = f"{_ROOT}/entities"
        responder, admin = f"{entities}/active-responder-command/v1", f"{entities}/admin-command/v1"
        return (
            ("POST", f"{entities}/sessions/v1", "rtr:read", self._init),
            ("DELETE", f"{entities}/sessions/v1", "rtr:read", self._close),
            ("GET", f"{_ROOT}/queries/sessions/v1", "rtr:read", self._query),
            ("POST", f"{entities}/sessions/GET/v1", "rtr:read", self._read),
            ("POST", f"{entities}/queued-sessions/GET/v1", "rtr:read", self._read_queued),
            ("DELETE", f"{entities}/queued-sessions/command/v1", "rtr:read", self._withdraw),
            ("POST", responder, "rtr:write", self._execute("responder", _RESPONDERS)),
            ("GET", responder, "rtr:write", self._status("responder")),
            ("POST", admin, "rtr:admin", self._execute("admin", KINDS)),
            ("GET", admin, "rtr:admin", self._status("admin")),
            ("GET", f"{entities}/file/v2", "rtr:write", self._files),
        )

    async def _init(self, request: Request) -> Response:
        body = await json_object(request)
        queue = body.get("queue_offline", False)
        if set(body) - {"device_id", "origin", "queue_offline"} or not isinstance(queue, bool):
            raise BadRequestError("a session has a device_id, an origin and queue_offline, true or false")
        device_id = str(body.get("device_id"))
        online = self._shell.online(device_id)
        if not (online or self._shell.waits(device_id) or (queue and self._shell.known(device_id))):
            return self._wire.envelope(status=404, errors=[_UNREACHABLE])
        session, others = self._shell.open(device_id, str(body.get("origin", "")))
        shown = {
            "session_id": session.session_id,
            "created_at": timestamp(session.at),
            "existing_aid_sessions": others,
            "offline_queued": session.queued and not online,
            "scripts": [],
        }
        return self._wire.envelope([shown], status=201)

    async def _close(self, request: Request) -> Response:
        session = self._shell.sessions.pop(request.query_params.get("session_id", ""), None)
        return self._gone() if session is None else _nothing()

    async def _query(self, request: Request) -> Response:
        limit, offset = window(request, 1000)
        if request.query_params.get("sort", "created_at|desc").replace(".", "|") not in _SORTS:
            raise BadRequestError("invalid sort")
        test = parse(request.query_params.get("filter", ""), _FIELDS)
        sessions = reversed(self._shell.sessions.values())
        rows = [{**self._shell.shown(each), "aid": each.device_id} for each in sessions]
        names = [row["id"] for row in rows if test(row)]
        return self._wire.envelope(names[offset : offset + limit], pagination={"offset": offset, "total": len(names)})

    async def _read(self, request: Request) -> Response:
        names, sessions = names_in(await json_object(request), "ids", 1000), self._shell.sessions
        return self._wire.envelope([self._shell.shown(sessions[name]) for name in names if name in sessions])

    async def _read_queued(self, request: Request) -> Response:
        names, sessions = names_in(await json_object(request), "ids", 1000), self._shell.sessions
        found = [sessions[name] for name in names if name in sessions]
        return self._wire.envelope([self._shell.queue(session) for session in found if session.queued])

    async def _withdraw(self, request: Request) -> Response:
        session = self._shell.sessions.get(request.query_params.get("session_id", ""))
        asked = request.query_params.get("cloud_request_id")
        run = next((run for run in session.runs if run.request_id == asked), None) if session else None
        return _nothing() if run is not None and self._shell.withdraw(run) else self._gone()

    def _execute(self, level: str, allowed: Iterable[str]) -> Call:
        async def execute(request: Request) -> Response:
            body = await json_object(request)
            texts = [body.get(name) for name in ("base_command", "command_string", "session_id")]
            if set(body) - {"base_command", "command_string", "session_id", "persist", "id", "device_id"}:
                raise BadRequestError("unknown field in the body")
            if not all(isinstance(text, str) and text for text in texts):
                raise BadRequestError("base_command, command_string and session_id are required")
            base, line, session_id = map(str, texts)
            if base not in allowed or line.partition(" ")[0] != base:
                raise BadRequestError(f"Command not found: {base!r}")
            session = self._shell.sessions.get(session_id)
            if session is None or not self._shell.alive(session):
                return self._gone()
            if not session.queued and not self._shell.online(session.device_id):
                return self._wire.envelope(status=404, errors=[_UNREACHABLE])
            run = self._shell.run(session, level, base, line)
            shown = {"cloud_request_id": run.request_id, "queued_command_offline": run.queued}
            return self._wire.envelope([{**shown, "session_id": session_id}], status=201)

        return execute

    def _status(self, level: str) -> Call:
        async def status(request: Request) -> Response:
            query = request.query_params
            asked, number = query.get("cloud_request_id"), query.get("sequence_id", "")
            if not asked or not number.isdecimal():
                raise BadRequestError("cloud_request_id and sequence_id are required")
            found = [(session, run) for session in self._shell.sessions.values() for run in session.runs
                     if run.request_id == asked and run.level == level]  # fmt: skip
            if not found:
                return self._gone()
            session, run = found[0]
            stdout, stderr, ended = self._shell.output(run)
            begin = int(number) * _CHUNK
            if begin and begin >= len(stdout):
                return self._gone()
            shown = {
                "session_id": session.session_id,
                "task_id": run.request_id,
                "base_command": run.base,
                "sequence_id": int(number),
                "complete": ended and begin + _CHUNK >= len(stdout),
                "stdout": stdout[begin : begin + _CHUNK],
                "stderr": stderr,
            }
            return self._wire.envelope([shown], status=201)

        return status

    async def _files(self, request: Request) -> Response:
        session = self._shell.sessions.get(request.query_params.get("session_id", ""))
        return self._gone() if session is None else self._wire.envelope(self._shell.files(session))

    def _gone(self) -> Response:
        return self._wire.refuse(404, "Session or command not found")


def _nothing() -> Response:
    return Response(status_code=204, media_type="application/json")
