"""A Local API that is strict about what 1.4.6 is strict about: two planes, unknown filters, validation as errors 500.

Written from what the real server answered on loopback; ``tests/contract/test_crowdsec_for_real.py`` asks that server.
"""

import json
import re
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from nightdesk.connectors.crowdsec.payloads import alert_body, ban_body, blocklist_body, rfc3339
from nightdesk.connectors.crowdsec.simulated_alerts import AlertsApi, StoredAlert
from nightdesk.connectors.crowdsec.simulated_decisions import Decision, DecisionsApi
from nightdesk.connectors.crowdsec.wire import RefusedError
from nightdesk.sdk import testing
from nightdesk.sdk.context import Clock, utc_now
from nightdesk.sdk.secrets import Secret
from nightdesk.sdk.testing import FaultPlan, SeenRequest, StoryAlert

__all__ = ["Simulator"]

_LOGIN = "/v1/watchers/login"
_TOKEN_LIFE = timedelta(hours=1)
_METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
_NUMBER = re.compile(r"^(/v1/(?:alerts|decisions))/([^/]+)$")
Call = Callable[[Request], Awaitable[Response]]


class Simulator(testing.Simulator):
    """One Local API with one machine and one bouncer. ``validated`` False: nobody has let the machine in yet."""

    vendor = "crowdsec"

    def __init__(
        self, *, clock: Clock = utc_now, faults: FaultPlan | None = None, secret: str = "", validated: bool = True
    ) -> None:
        super().__init__(clock=clock, faults=faults, secret=secret)
        self.machine_id = "nightdesk"
        self.bouncer_key = sha256(f"bouncer {self.secret}".encode()).hexdigest()[:32]
        self.validated = validated
        self._tokens: dict[str, datetime] = {}
        self._issued = 0
        self._decisions = DecisionsApi(self.now, self.faults)
        self._alerts = AlertsApi(self.now, self._decisions, self.drift)
        self._calls: dict[str, dict[str, Call]] = {
            _LOGIN: {"POST": self._login},
            "/v1/refresh_token": {"GET": self._of_machine(self._refresh)},
            "/v1/heartbeat": {"GET": self._of_machine(self._heartbeat)},
            "/v1/alerts": {"GET": self._of_machine(self._alerts.find), "POST": self._of_machine(self._alerts.create)},
            "/v1/alerts/{}": {
                "GET": self._of_machine(self._alerts.read),
                "DELETE": self._of_machine(self._alerts.delete),
            },
            "/v1/decisions": {
                "GET": self._of_bouncer(self._decisions.find),
                "DELETE": self._of_machine(self._decisions.delete),
            },
            "/v1/decisions/stream": {"GET": self._of_bouncer(self._decisions.stream)},
            "/v1/decisions/{}": {"DELETE": self._of_machine(self._decisions.delete_one)},
        }

    @property
    def alerts(self) -> Mapping[int, StoredAlert]:
        """Every alert by number."""
        return self._alerts.alerts

    @property
    def decisions(self) -> DecisionsApi:
        """Every decision, and which of them bouncers are told of now."""
        return self._decisions

    def routes(self) -> list[BaseRoute]:
        """One route: what is unknown is answered in this vendor's way too."""
        return [Route("/{path:path}", self._answer, methods=_METHODS)]

    def settings(self, base_url: str) -> dict[str, Any]:
        """Settings of a connector that reaches this simulator."""
        return {
            "base_url": base_url,
            "machine_id": self.machine_id,
            "machine_password": Secret.literal(self.secret),
            "bouncer_key": Secret.literal(self.bouncer_key),
        }

    def add(self, alert: StoryAlert) -> str:
        """Raises an alert as an engine reports it; it is created when it was told."""
        machine_id = f"engine-{alert.device.hostname.lower()}" if alert.device else "engine-edge"
        return str(self._alerts.store(alert_body(alert), machine_id, alert.told).number)

    def add_blocklist(self, count: int) -> str:
        """A pull of the community blocklist: an alert that nobody here has seen; gives its number."""
        return str(self._alerts.store(blocklist_body(count), "N/A").number)

    def ban(self, value: str, *, origin: str = "cscli", duration: str = "4h", kind: str = "ban") -> Decision:
        """What somebody else does on the command line."""
        body = ban_body(value, origin=origin, duration=duration, kind=kind)
        return self._alerts.store(body, "engine-edge").decisions[0]

    def banned(self, value: str) -> list[Decision]:
        """What bouncers are told of exactly that value."""
        return [row for row in self._decisions.active() if row.value == value]

    def restart(self) -> None:
        """The server starts again: its signing secret is another one, so every token is dead."""
        self._tokens.clear()

    def burn_numbers(self, count: int = 1) -> None:
        """Numbers that were given out and rolled back."""
        self._alerts.burn(count)

    def forget(self, number: int) -> None:
        """The server flushes an alert."""
        del self._alerts.alerts[number]

    def mutations(self) -> list[SeenRequest]:
        """A login is a POST that changes nothing."""
        return [request for request in super().mutations() if request.path != _LOGIN]

    def refuse(self, status: int, message: str, headers: Mapping[str, str] | None = None) -> Response:
        """The envelope; what checks the token adds a code."""
        if not message:
            return Response(status_code=status, headers=dict(headers or {}))
        code = {"code": status} if status == 401 else {}
        return JSONResponse({**code, "message": message}, status, headers=dict(headers or {}))

    async def _answer(self, request: Request) -> Response:
        path, method = request.url.path, "GET" if request.method == "HEAD" else request.method
        named = _NUMBER.match(path) if path not in self._calls else None
        calls = self._calls.get(f"{named[1]}/{{}}" if named else path)
        if calls is None:
            return Response(status_code=404)
        if method not in calls:
            return Response(status_code=405)
        if named:
            request.path_params["number"] = named[2]
        try:
            answer = await calls[method](request)
        except RefusedError as error:
            return self.refuse(error.status, str(error))
        return Response(status_code=answer.status_code) if request.method == "HEAD" else answer

    def _of_machine(self, call: Call) -> Call:
        async def guarded(request: Request) -> Response:
            kind, _, token = request.headers.get("authorization", "").partition(" ")
            if kind != "Bearer" or not token:
                return self.refuse(401, "cookie token is empty")
            if token not in self._tokens:
                return self.refuse(401, "signature is invalid")
            if self._tokens[token] <= self.now():
                return self.refuse(401, "Token is expired")
            request.state.machine_id = self.machine_id
            return await call(request)

        return guarded

    def _of_bouncer(self, call: Call) -> Call:
        async def guarded(request: Request) -> Response:
            if request.headers.get("x-api-key") != self.bouncer_key:
                return self.refuse(403, "access forbidden")
            return await call(request)

        return guarded

    async def _login(self, request: Request) -> Response:
        try:
            body = json.loads(await request.body())
        except ValueError:
            return self.refuse(401, "missing: invalid character looking for beginning of value")
        given = body if isinstance(body, dict) else {}
        if given.get("machine_id") != self.machine_id:
            return self.refuse(401, "ent: machine not found")
        if not self.validated:
            return self.refuse(401, f"machine {self.machine_id} not validated")
        if given.get("password") != self.secret:
            return self.refuse(401, "incorrect Username or Password")
        return self._token()

    async def _refresh(self, _: Request) -> Response:
        return self._token()

    async def _heartbeat(self, _: Request) -> Response:
        return Response(status_code=200)

    def _token(self) -> Response:
        self._issued += 1
        token = sha256(f"{self.secret} token {self._issued}".encode()).hexdigest()
        end = self.now() + _TOKEN_LIFE
        self._tokens[token] = end
        return JSONResponse({"code": 200, "expire": rfc3339(end), "token": token})
