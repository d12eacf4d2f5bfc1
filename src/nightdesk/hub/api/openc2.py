"""OpenC2 over HTTP: one command a POST, its answer a response of the language, whatever goes wrong on the way.

Source: OASIS, Specification for Transfer of OpenC2 Messages via HTTPS 1.1. Bare commands without the message's envelope
(version 1.0 of it) are taken as well. The HTTP status is the response's, but for 102: HTTP has no final answer of that
number, so it travels as 200; and for what only HTTP can say (409, 413, 415), where the response says 400.
"""

import asyncio
from collections import defaultdict, deque
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Path, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import Response as HttpResponse
from sqlalchemy.exc import OperationalError

from nightdesk.autonomy.actions import StaleActionError
from nightdesk.autonomy.openc2.message import Command, Envelope, read_command, read_envelope
from nightdesk.autonomy.openc2.pairs import META
from nightdesk.autonomy.openc2.states import Response, Status
from nightdesk.autonomy.openc2.targets import is_command_id
from nightdesk.autonomy.openc2.wishes import milliseconds
from nightdesk.hub.api.auth import require
from nightdesk.hub.api.bodies import read_body
from nightdesk.hub.api.problems import ProblemError
from nightdesk.hub.api.view import HubView, Principal, Role
from nightdesk.hub.openc2.consumer import ConflictError
from nightdesk.hub.store.codec import dump
from nightdesk.sdk.context import Sleep
from nightdesk.sdk.errors import MappingError, NightdeskError, NotFoundError, PolicyError, UnsupportedError

__all__ = ["MEDIA_TYPE", "router"]

MEDIA_TYPE = "application/openc2+json;version=1.0"
_OLD_MEDIA_TYPE = "application/openc2-rsp+json;version=1.0"  # what version 1.0 of the transfer calls a response
_TAKEN = {
    "application/openc2+json": MEDIA_TYPE,
    "application/openc2-cmd+json": _OLD_MEDIA_TYPE,
    "application/json": MEDIA_TYPE,
}
_MAX_BODY = 64 * 1024
_FIRST_LOOK = 0.02  # seconds until a command's state is looked at again; each look waits longer than the last
_MINUTE = timedelta(minutes=1)


@dataclass(slots=True)
class _Exchange:
    """One request, as far as it was understood, and how its answer is to look."""

    request: Request
    caller: Principal | None = None
    media_type: str = MEDIA_TYPE
    envelope: Envelope | None = None
    request_id: str = ""
    command: Command | None = None
    headers: dict[str, str] = field(default_factory=dict)
    bare: bool = False
    """The answer has no envelope, because the command had none."""

    @property
    def wanted(self) -> str:
        """How much of an answer."""
        return (self.command.args.response_requested if self.command else None) or "complete"


class _Pace:
    """How many commands each credential sent in the last minute; each process counts its own."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._sent: dict[tuple[str, str], deque[datetime]] = defaultdict(deque)

    def take(self, caller: Principal, now: datetime) -> float:
        """Seconds to wait, 0 when this one may pass."""
        sent = self._sent[(caller.tenant, caller.name)]
        while sent and now - sent[0] >= _MINUTE:
            sent.popleft()
        if len(sent) >= self._limit:
            return (sent[0] + _MINUTE - now).total_seconds()
        sent.append(now)
        return 0.0


def router(hub: HubView, *, sleep: Sleep = asyncio.sleep) -> APIRouter:
    """``POST /.well-known/openc2``, the same at ``/openc2``, and ``GET /openc2/commands/{command_id}``."""
    routes = APIRouter(tags=["openc2"])
    paces: list[_Pace] = []

    def pace() -> _Pace:
        if not paces:
            paces.append(_Pace(hub.openc2.settings.commands_per_minute))
        return paces[0]

    @routes.post("/.well-known/openc2", summary="Send one OpenC2 command", response_class=HttpResponse)
    @routes.post("/openc2", summary="Send one OpenC2 command", response_class=HttpResponse)
    async def command(request: Request) -> HttpResponse:
        exchange = _Exchange(request)
        try:
            response = await _answer(hub, exchange, pace(), sleep)
        except (ProblemError, NightdeskError, OperationalError) as error:
            return _refused(hub, exchange, error)
        if exchange.wanted == "none":
            return HttpResponse(status_code=200, headers={"Cache-Control": "no-cache"})
        return _written(hub, exchange, response)

    @routes.get("/openc2/commands/{command_id}", summary="How a command stands", response_class=HttpResponse)
    async def state(request: Request, command_id: Annotated[str, Path(max_length=200)]) -> HttpResponse:
        exchange = _Exchange(request, bare=True)
        try:
            caller = require(request, hub, set(Role))
            response = await run_in_threadpool(hub.openc2.state, caller, command_id)
        except (ProblemError, NightdeskError, OperationalError) as error:
            return _refused(hub, exchange, error)
        return _written(hub, exchange, response)

    return routes


async def _answer(hub: HubView, exchange: _Exchange, pace: _Pace, sleep: Sleep) -> Response:
    request = exchange.request
    exchange.request_id = request.headers.get("x-request-id", "")[:256]
    caller = exchange.caller = require(request, hub, set(Role))
    wait = pace.take(caller, hub.clock())
    if wait:
        raise ProblemError(
            503,
            "too-many-commands",
            f"{caller.name} sent more than {hub.openc2.settings.commands_per_minute} commands in a minute",
            where=request.url.path,
            what_to_do=f"send it again in {wait:.0f} s",
            headers={"Retry-After": f"{max(1, round(wait))}"},
        )
    exchange.media_type = _media_type(request)
    exchange.bare = exchange.media_type == _OLD_MEDIA_TYPE
    body = await read_body(request, _MAX_BODY)
    if body.torn_at is not None:
        raise MappingError("the gzip stream is damaged", pointer=f"@{body.torn_at}", source="OpenC2 message")
    envelope = exchange.envelope = read_envelope(body.data)
    exchange.bare = envelope.headers is None
    if envelope.headers is not None and envelope.headers.request_id is not None:
        exchange.request_id = envelope.headers.request_id
    command = exchange.command = _identified(read_command(envelope.command), exchange.request_id)
    response = await run_in_threadpool(hub.openc2.answer, caller, command, exchange.request_id)
    if (command.action, command.target) in META:
        return response
    if exchange.wanted == "ack":
        return replace(response, status=Status.PROCESSING)
    return await _effect(hub, caller, command, response, sleep) if exchange.wanted == "complete" else response


async def _effect(hub: HubView, caller: Principal, command: Command, response: Response, sleep: Sleep) -> Response:
    """The response once nothing moves by itself, or as it is when the time is over. No thread waits."""
    until, pause = hub.clock() + hub.openc2.settings.wait, _FIRST_LOOK
    while response.moving and hub.clock() < until:
        await sleep(pause)
        pause = min(0.5, pause * 1.5)
        response = await run_in_threadpool(hub.openc2.state, caller, command.command_id)
    return response


def _identified(command: Command, request_id: str) -> Command:
    """The command with an id: its own, else the message's (section 3.3.1 of the language)."""
    if command.command_id or (command.action, command.target) in META:
        return command
    if not request_id:
        raise MappingError(
            "without an id a repeated command could not be known again: give command_id, the header request_id, or "
            "X-Request-ID",
            pointer="/command_id",
            source="OpenC2 command",
        )
    if not is_command_id(request_id):
        raise MappingError(
            "the request's id stands for a command_id and is none: 1 to 36 characters without white space",
            pointer="/headers/request_id",
            source="OpenC2 message",
        )
    return replace(command, command_id=request_id)


def _media_type(request: Request) -> str:
    given, _, parameters = request.headers.get("content-type", "").partition(";")
    answer = _TAKEN.get(given.strip().lower())
    version = parameters.replace(" ", "").lower().partition("version=")[2].partition(";")[0].strip('"')
    if answer is None or (version and not version.startswith("1.")):
        raise ProblemError(
            415,
            "unsupported-media-type",
            f"the body is called {request.headers.get('content-type', '')[:80]!r}",
            where="header Content-Type",
            what_to_do=f"send {MEDIA_TYPE}",
        )
    return answer


def _refused(hub: HubView, exchange: _Exchange, error: Exception) -> HttpResponse:
    """Every failure as a response that says what, where, and what to do (law 12)."""
    if isinstance(error, ProblemError):
        known = error.status if error.status in set(Status) else Status.BAD_REQUEST
        exchange.headers.update(error.headers or {})
        return _written(hub, exchange, Response(Status(known), str(error)), http=error.status)
    if isinstance(error, ConflictError):
        return _written(hub, exchange, Response(Status.BAD_REQUEST, str(error)), http=409)
    kinds: Mapping[type[Exception], Status] = {
        MappingError: Status.BAD_REQUEST,
        UnsupportedError: Status.NOT_IMPLEMENTED,
        PolicyError: Status.FORBIDDEN,
        NotFoundError: Status.NOT_FOUND,
    }
    status = next((kinds[kind] for kind in kinds if isinstance(error, kind)), Status.SERVICE_UNAVAILABLE)
    text = str(error)
    if isinstance(error, OperationalError | StaleActionError):
        text = "the store is busy or the action moved meanwhile; nothing was done: send it again in a second"
        exchange.headers["Retry-After"] = "1"
    return _written(hub, exchange, Response(status, text))


def _written(hub: HubView, exchange: _Exchange, response: Response, http: int | None = None) -> HttpResponse:
    content: dict[str, Any] = response.to_json()
    if not exchange.bare:
        known = exchange.envelope.headers if exchange.envelope else None
        sender = known.sender if known else ""
        headers: dict[str, Any] = {"created": milliseconds(hub.clock()), "from": "nightdesk"}
        headers |= {"request_id": exchange.request_id} if exchange.request_id else {}
        headers |= {"to": [sender]} if sender else {}
        content = {"headers": headers, "body": {"openc2": {"response": content}}}
    headers = {"Cache-Control": "no-cache", **exchange.headers}
    if exchange.request_id.isascii() and exchange.request_id.isprintable() and exchange.request_id:
        headers["X-Request-ID"] = exchange.request_id
    status = http or (200 if response.status is Status.PROCESSING else int(response.status))
    return HttpResponse(dump(content), status_code=status, headers=headers, media_type=exchange.media_type)
