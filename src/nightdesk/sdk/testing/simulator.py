"""The base of every vendor's simulator: an ASGI app that is strict, stateful and wrong on request.

A vendor's ``simulator.py`` defines ``class Simulator(sdk.testing.Simulator)``: it enforces authentication, paging,
limits and enum values of the vendor's own documentation and keeps state. Faults that any HTTP service can have are
injected here; faults of meaning (offline host, late effect, drifted field) are the vendor's.
"""

import asyncio
import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from email.utils import format_datetime
from typing import Any, ClassVar

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import BaseRoute
from starlette.types import Message, Receive, Scope, Send

from nightdesk.sdk.context import Clock, utc_now
from nightdesk.sdk.records import RawRecord
from nightdesk.sdk.targets import Target
from nightdesk.sdk.testing.directory import Directory
from nightdesk.sdk.testing.estate import Fleet
from nightdesk.sdk.testing.faults import Fault, FaultKind, FaultPlan
from nightdesk.sdk.testing.story import StoryAccount, StoryAlert, StoryDevice, StorySighting

__all__ = ["SeenRequest", "Simulator"]

_HTTP_FAULTS: tuple[FaultKind, ...] = (
    "rate_limited",
    "server_error",
    "lost_reply",
    "truncated_body",
    "not_json",
    "redirect",
    "expired_token",
    "missing_scope",
    "slow",
)


@dataclass(frozen=True, slots=True)
class SeenRequest:
    """One request as it arrived: a test asks what was sent, and a dry run proves that nothing was."""

    method: str
    path: str
    query: str


class Simulator:
    """One vendor tenant. Subclasses give ``vendor``, ``routes``, ``settings`` and ``add``.

    ``secret`` is this instance's own credential: two simulators never accept each other's.
    """

    vendor: ClassVar[str] = ""
    mutating: ClassVar[frozenset[str]] = frozenset({"POST", "PUT", "PATCH", "DELETE"})

    def __init__(self, *, clock: Clock = utc_now, faults: FaultPlan | None = None, secret: str = "") -> None:
        self._clock = clock
        self.faults = faults or FaultPlan()
        self.secret = secret or secrets.token_urlsafe(16)
        self.seen: list[SeenRequest] = []
        self.fleet = Fleet(self.now, self.faults)
        self.directory = Directory(self.now, self.faults)
        self.telemetry: list[StorySighting] = []
        self._starlette: Starlette | None = None

    # What a vendor defines.

    def routes(self) -> list[BaseRoute]:
        """The vendor's endpoints."""
        raise NotImplementedError

    def settings(self, base_url: str) -> dict[str, Any]:
        """Connector settings that reach this simulator at ``base_url``; secrets as ``Secret.literal``."""
        raise NotImplementedError

    def add(self, alert: StoryAlert) -> str:
        """Raises one alert of a story in this vendor's shape (or shares one indicator); returns its native id."""
        raise NotImplementedError

    def native_id_of(self, record: RawRecord) -> str:
        """Which alert a record is; overridden where the connector reads no payload and so leaves the id empty."""
        return record.native_id

    def alert_state(self, native_id: str) -> Mapping[str, Any]:
        """``{"status": "open" | "closed", "disposition": …, "comments": [...]}`` of an alert, in our words."""
        raise NotImplementedError

    def answer(self, option: int, *, account: str) -> tuple[dict[str, str], bytes]:
        """What the vendor posts when somebody chooses an option of the last ``approval.request``: headers and body."""
        raise NotImplementedError

    def case_states(self) -> Mapping[str, Mapping[str, Any]]:
        """Every ticket by its native id: ``{"status": "open" | "closed", "title": …, "comments": [...]}``."""
        raise NotImplementedError

    def edit_case(self, native_id: str, *, status: str = "", comment: str = "") -> None:
        """What a person does to a ticket: closes or re-opens it, comments on it."""
        raise NotImplementedError

    def messages(self) -> Sequence[Mapping[str, Any]]:
        """Every message that arrived, oldest first: ``{"to": …, "text": …}``."""
        raise NotImplementedError

    def judge(self, target: Target, verdict: str) -> None:
        """Makes a source of intelligence know a thing, as ``malicious`` or ``benign``."""
        raise NotImplementedError

    # What every vendor shares.

    def now(self) -> datetime:
        """The vendor's clock: ours, plus the plan's skew."""
        skew = self.faults.standing("clock_skew")
        return self._clock() + timedelta(seconds=float(skew.options.get("seconds", 0)) if skew else 0.0)

    def add_devices(self, devices: Iterable[StoryDevice]) -> None:
        """Enrols devices of a story."""
        self.fleet.add(devices)

    def add_accounts(self, accounts: Iterable[StoryAccount]) -> None:
        """Enrols accounts of a story."""
        self.directory.add(accounts)

    def saw(self, seen: StorySighting) -> str:
        """Adds to the telemetry, by this vendor's clock; vendors that witness render ``telemetry`` when asked."""
        skew = self.now() - self._clock()
        began = None if seen.began is None else seen.began + skew
        self.telemetry.append(replace(seen, at=seen.at + skew, began=began))
        return seen.uid

    def mutations(self) -> list[SeenRequest]:
        """The requests that could have changed something."""
        return [request for request in self.seen if request.method in self.mutating]

    def drift(self, payload: dict[str, Any]) -> dict[str, Any]:
        """Renames top-level fields as the plan's ``drifted_field`` says (options ``field``, ``to``)."""
        fault = self.faults.standing("drifted_field")
        if fault is None or fault.options.get("field") not in payload:
            return payload
        renamed = dict(payload)
        renamed[str(fault.options.get("to", f"{fault.options['field']}_v2"))] = renamed.pop(fault.options["field"])
        return renamed

    def refuse(self, status: int, message: str, headers: Mapping[str, str] | None = None) -> Response:
        """An error in this vendor's envelope; vendors override it."""
        return JSONResponse({"error": message}, status, headers=dict(headers or {}))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The ASGI entry point: records the request, injects HTTP faults, else hands on."""
        if scope["type"] != "http":
            return
        if self._starlette is None:
            self._starlette = Starlette(routes=self.routes())
        method, path = str(scope["method"]), str(scope["path"])
        self.seen.append(SeenRequest(method, path, scope["query_string"].decode()))

        async def dated(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = [pair for pair in message["headers"] if pair[0].lower() != b"date"]
                stamp = format_datetime(self.now(), usegmt=True).encode()
                message = {**message, "headers": [*headers, (b"date", stamp)]}
            await send(message)

        fault = self.faults.take(_HTTP_FAULTS, method=method, path=path)
        if fault is not None and await self._inject(fault, scope, receive, dated):
            return
        await self._starlette(scope, receive, dated)

    async def _inject(self, fault: Fault, scope: Scope, receive: Receive, send: Send) -> bool:
        """Carries the fault out; False when the request goes on normally afterwards."""
        if fault.kind == "slow":
            await asyncio.sleep(float(fault.options.get("seconds", 0.1)))
            return False
        if fault.kind in {"lost_reply", "truncated_body"}:
            await self._lose(scope, receive, send, carried_out=fault.kind == "lost_reply")
            return True
        await self._fault_response(fault, Request(scope, receive))(scope, receive, send)
        return True

    async def _lose(self, scope: Scope, receive: Receive, send: Send, *, carried_out: bool) -> None:
        """The vendor did (or did not) what was asked, and the answer breaks off in the middle."""
        if carried_out and self._starlette is not None:

            async def swallow(_: Message) -> None:
                return None

            await self._starlette(scope, receive, swallow)
        headers = [(b"content-type", b"application/json"), (b"content-length", b"4096")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b'{"trunc', "more_body": False})

    def _fault_response(self, fault: Fault, request: Request) -> Response:
        if fault.kind == "rate_limited":
            headers = (
                {} if fault.options.get("bare") else self.rate_limit_headers(float(fault.options.get("retry_after", 1)))
            )
            return self.refuse(429, "too many requests", headers)
        if fault.kind == "expired_token":
            return self.refuse(401, "token expired")
        if fault.kind == "missing_scope":
            return self.refuse(403, "access denied, scope not permitted")
        if fault.kind == "not_json":
            return PlainTextResponse("<html><body>sign in</body></html>", media_type="text/html")
        if fault.kind == "redirect":
            return RedirectResponse(str(fault.options.get("to", "http://127.0.0.2:9/elsewhere")), 302)
        return self.refuse(int(fault.options.get("status", 503)), f"unavailable: {request.url.path}")

    def rate_limit_headers(self, seconds: float) -> dict[str, str]:
        """How this vendor says when to come back; RFC 9110 ``Retry-After`` unless a vendor overrides it."""
        return {"Retry-After": f"{seconds:g}"}
