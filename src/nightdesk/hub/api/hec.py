"""Alerts from anything that can write to an HTTP event collector: same paths, headers, answers and codes.

Source: the collector's public reference ("Format events for HTTP Event Collector", "HTTP Event Collector REST API
endpoints"). The vendor's name is that of the protocol here, which several products speak.
"""

import base64
import binascii
import re
from collections import OrderedDict
from collections.abc import Awaitable, Iterator
from typing import Any, NamedTuple

import orjson
from fastapi import APIRouter, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse, Response

from nightdesk.hub.api.auth import DELIVERS
from nightdesk.hub.api.bodies import Body, read_body
from nightdesk.hub.api.cutting import pieces
from nightdesk.hub.api.ingest import BusyError, find_receiver, take_in
from nightdesk.hub.api.problems import ProblemError
from nightdesk.hub.api.view import HubView, Principal
from nightdesk.sdk.errors import AuthError

__all__ = ["router"]

_SCHEME = "splunk"
_CHANNEL = re.compile(r"^[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}$")
_CHANNELS = 10_000


class _Answer(NamedTuple):
    status: int
    code: int
    text: str


_OK = _Answer(200, 0, "Success")
_DISABLED = _Answer(403, 1, "Token disabled")
_NO_TOKEN = _Answer(401, 2, "Token is required")
_BAD_HEADER = _Answer(401, 3, "Invalid authorization")
_BAD_TOKEN = _Answer(403, 4, "Invalid token")
_NO_DATA = _Answer(400, 5, "No data")
_BAD_DATA = _Answer(400, 6, "Invalid data format")
_BUSY = _Answer(503, 9, "Server is busy")
_NO_CHANNEL = _Answer(400, 10, "Data channel is missing")
_BAD_CHANNEL = _Answer(400, 11, "Invalid data channel")
_NO_EVENT = _Answer(400, 12, "Event field is required")
_BLANK_EVENT = _Answer(400, 13, "Event field cannot be blank")
_HEALTHY = _Answer(200, 17, "HEC is healthy")


class _RefusedError(ProblemError):
    """A request that the collector's protocol answers with one of its codes."""

    def __init__(self, answer: _Answer, **more: Any) -> None:
        self.answer = answer
        self.more = more
        super().__init__(
            answer.status, f"hec-{answer.code}", answer.text, where="event collector", what_to_do="see the code"
        )


class _Acknowledgements:
    """Numbers the committed requests of each channel, so that a sender can ask whether one is safe.

    A request is committed before it is answered, so every number given out is true; one that is not known (another
    process, a restart, a channel long unused) is false, the sender sends again, and the same records are duplicates.
    """

    def __init__(self) -> None:
        self._next: OrderedDict[tuple[str, str, str], int] = OrderedDict()

    def issue(self, caller: Principal, channel: str) -> int:
        key = (caller.tenant, caller.name, channel.lower())
        number = self._next.pop(key, 0)
        self._next[key] = number + 1
        while len(self._next) > _CHANNELS:
            self._next.popitem(last=False)
        return number

    def known(self, caller: Principal, channel: str, number: int) -> bool:
        return 0 <= number < self._next.get((caller.tenant, caller.name, channel.lower()), 0)


def router(hub: HubView) -> APIRouter:
    """``/services/collector`` and its siblings. The tenant and the instance are the token's."""
    routes = APIRouter(prefix="/services/collector", tags=["event collector"])
    collector = _Collector(hub)
    for path in ("", "/event", "/event/1.0"):
        routes.add_api_route(path, collector.events, methods=["POST"], include_in_schema=path == "/event")
    for path in ("/raw", "/raw/1.0"):
        routes.add_api_route(path, collector.raw_rows, methods=["POST"], include_in_schema=path == "/raw")
    for path in ("/health", "/health/1.0"):
        routes.add_api_route(path, collector.health, methods=["GET"], include_in_schema=path == "/health")
    routes.add_api_route("/ack", collector.acknowledged, methods=["POST"])
    return routes


class _Collector:
    """The endpoints."""

    def __init__(self, hub: HubView) -> None:
        self._hub = hub
        self._acknowledgements = _Acknowledgements()

    async def events(self, request: Request) -> Response:
        """Events as JSON objects one after another, each with its ``event``."""
        return await _answered(self._accept(request, raw=False))

    async def raw_rows(self, request: Request) -> Response:
        """Rows as they are, without the envelope."""
        return await _answered(self._accept(request, raw=True))

    async def acknowledged(self, request: Request) -> Response:
        """``{"acks": [0, 1]}``: whether those requests of the channel are committed."""
        return await _answered(self._acks(request))

    async def health(self) -> Response:
        """Needs no token, as in the original."""
        return _json(_HEALTHY)

    async def _accept(self, request: Request, *, raw: bool) -> Response:
        caller = _caller(request, self._hub)
        instance = caller.instance or request.query_params.get("connector", "")
        if not instance:
            raise _RefusedError(_DISABLED, what_to_do="bind the token to a connector instance, or add ?connector=NAME")
        channel = _channel(request)
        body = await read_body(request)
        if not body.data.strip():
            raise _RefusedError(_NO_DATA)
        await run_in_threadpool(_store, self._hub, caller, instance, request, body, raw=raw)
        return _json(_OK, **({"ackId": self._acknowledgements.issue(caller, channel)} if channel else {}))

    async def _acks(self, request: Request) -> Response:
        caller = _caller(request, self._hub)
        channel = _channel(request)
        if not channel:
            raise _RefusedError(_NO_CHANNEL)
        numbers = _numbers((await read_body(request)).data)
        return JSONResponse(
            {"acks": {str(number): self._acknowledgements.known(caller, channel, number) for number in numbers}}
        )


async def _answered(work: Awaitable[Response]) -> Response:
    """The work's answer, or its refusal in the protocol's codes."""
    try:
        return await work
    except _RefusedError as refused:
        return _json(refused.answer, **refused.more)
    except BusyError:
        return _json(_BUSY)


def _json(answer: _Answer, **more: Any) -> Response:
    return JSONResponse({"text": answer.text, "code": answer.code, **more}, status_code=answer.status)


def _caller(request: Request, hub: HubView) -> Principal:
    header = request.headers.get("authorization", "").strip()
    if not header:
        raise _RefusedError(_NO_TOKEN)
    scheme, _, given = header.partition(" ")
    token = given.strip()
    if scheme.lower() == "basic":  # any user name, the token as password
        try:
            token = base64.b64decode(token, validate=True).decode().partition(":")[2]
        except (binascii.Error, UnicodeDecodeError):
            raise _RefusedError(_BAD_HEADER) from None
    elif scheme.lower() != _SCHEME:
        raise _RefusedError(_BAD_HEADER)
    if not token:
        raise _RefusedError(_BAD_HEADER)
    caller = hub.authenticate(token)
    if caller is None:
        raise _RefusedError(_BAD_TOKEN)
    if caller.role not in DELIVERS:
        raise _RefusedError(_DISABLED, what_to_do="use a token with the role service")
    return caller


def _channel(request: Request) -> str:
    channel = request.headers.get("x-splunk-request-channel") or request.query_params.get("channel") or ""
    if channel and not _CHANNEL.match(channel):
        raise _RefusedError(_BAD_CHANNEL)
    return channel


def _numbers(data: bytes) -> list[int]:
    try:
        asked = orjson.loads(data)["acks"]
    except (orjson.JSONDecodeError, KeyError, TypeError):
        raise _RefusedError(_BAD_DATA) from None
    if not isinstance(asked, list) or not all(isinstance(number, int) for number in asked):
        raise _RefusedError(_BAD_DATA)
    return asked


def _store(hub: HubView, caller: Principal, instance: str, request: Request, body: Body, *, raw: bool) -> None:
    """Stores everything first; only then is the sender told of the first event it should not have sent."""
    receiver = find_receiver(hub, caller, instance)
    try:
        take_in(hub, caller.tenant, instance, receiver, request.headers, body)
    except AuthError:
        raise _RefusedError(_BAD_TOKEN, what_to_do="send the token that the connector instance is set to") from None
    if body.torn_at is not None:
        raise _RefusedError(_BAD_DATA, **{"invalid-event-number": 0})
    refusal = None if raw else next(_refusals(body.data), None)
    if refusal:
        raise refusal


def _refusals(data: bytes) -> Iterator[_RefusedError]:
    """What the protocol has against each event, in order; arrays and commas between events are not its format."""
    if data.lstrip().startswith(b"["):
        yield _RefusedError(_BAD_DATA, **{"invalid-event-number": 0})
    for number, piece in enumerate(pieces(data)):
        where = {"invalid-event-number": number}
        if piece.reason:
            yield _RefusedError(_BAD_DATA, **where)
            continue
        event = orjson.loads(piece.payload)
        if "event" not in event:
            yield _RefusedError(_NO_EVENT, **where)
        elif event["event"] is None or event["event"] == "":
            yield _RefusedError(_BLANK_EVENT, **where)
