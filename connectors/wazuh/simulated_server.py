"""The simulated server API: sign-in, agents, active responses; errors inside a 200 as the API has them.

Written from the specification of 4.14.1. Without ``agents_list`` an active response goes to every agent there is.
"""

import base64
import json
import re
from collections.abc import Awaitable, Callable, Iterable, Mapping
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response

from nightdesk.connectors.wazuh.payloads import MANAGER
from nightdesk.connectors.wazuh.simulated_agents import Agent, Agents
from nightdesk.connectors.wazuh.wire import ServerRefusedError
from nightdesk.sdk.context import Clock

__all__ = ["COMMANDS", "ServerApi"]

COMMANDS: Mapping[str, tuple[str, int]] = {
    "firewall-drop600": ("firewall-drop", 600),
    "firewall-drop86400": ("firewall-drop", 86_400),
}
"""The manager's ar.conf: what a command runs, and after how many seconds an agent undoes it."""

_TOKEN_LIFE = timedelta(seconds=900)
_PER_MINUTE = 300
_MOST_LOGINS, _BLOCKED_FOR = 50, timedelta(seconds=300)
_LIST = {"offset", "limit", "agents_list", "name", "ip", "status", "q", "search", "sort", "select", "pretty"}
_RESPONSE = {"agents_list", "pretty", "wait_for_complete"}
_FAILURES: Mapping[int, str] = {
    1652: "Command not available",
    1701: "Agent does not exist",
    1703: "Action not available for Manager (agent 000)",
    1707: "Cannot send request, agent is not active",
    1750: "Active response is disabled in the agent",
    4000: "Permission denied: Resource type: agent:id",
}
_ID = re.compile(r"\d{3,}")
Call = Callable[[Request], Awaitable[Response]]


class ServerApi:
    """One API with one user. ``hidden``: agents that its policies do not cover."""

    def __init__(self, now: Clock, agents: Agents, username: str, password: str) -> None:
        self._now, self._agents = now, agents
        self._username, self._password = username, password
        self.version = "4.14.1"
        self.hidden: set[str] = set()
        self.missing: set[str] = set()
        """Actions that the user's policies lack altogether."""
        self.tokens: dict[str, datetime] = {}
        self._issued = self._failures = 0
        self._blocked_until: datetime | None = None
        self._minute: tuple[datetime, int] = (now(), 0)

    async def authenticate(self, request: Request) -> Response:
        """``POST /security/user/authenticate``."""
        now = self._now()
        if self._blocked_until is not None and now < self._blocked_until:
            raise ServerRefusedError(403, "Limit of login attempts reached. The current IP has been blocked", 6000)
        self._known(request, {"raw", "pretty"})
        pair = base64.b64encode(f"{self._username}:{self._password}".encode()).decode()
        if request.headers.get("authorization") != f"Basic {pair}":
            self._failures += 1
            if self._failures >= _MOST_LOGINS:
                self._failures, self._blocked_until = 0, now + _BLOCKED_FOR
            raise ServerRefusedError(401, "Invalid credentials")
        self._issued += 1
        token = sha256(f"{self._password} token {self._issued}".encode()).hexdigest()
        self.tokens[token] = now + _TOKEN_LIFE
        if request.query_params.get("raw") == "true":
            return PlainTextResponse(token)
        return JSONResponse({"data": {"token": token}, "error": 0})

    def signed(self, call: Call) -> Call:
        """The call for those with a token, within the limit of requests."""

        async def guarded(request: Request) -> Response:
            kind, _, token = request.headers.get("authorization", "").partition(" ")
            if kind != "Bearer" or not token:
                raise ServerRefusedError(401, "No authorization token provided")
            if self.tokens.get(token, datetime.min.replace(tzinfo=self._now().tzinfo)) <= self._now():
                raise ServerRefusedError(401, "Invalid token")
            begin, count = self._minute
            self._minute = (begin, count + 1) if self._now() - begin < timedelta(minutes=1) else (self._now(), 1)
            if self._minute[1] > _PER_MINUTE:
                raise ServerRefusedError(429, "Maximum number of requests per minute reached", 6001)
            return await call(request)

        return guarded

    async def about(self, request: Request) -> Response:
        """``GET /``."""
        self._known(request, {"pretty"})
        data = {"title": "Wazuh API REST", "api_version": self.version, "revision": 41401, "hostname": MANAGER}
        return JSONResponse({"data": data, "error": 0})

    async def list_agents(self, request: Request) -> Response:
        """``GET /agents``: an exact ``name`` whatever its case, ``ip``, ``agents_list``."""
        self._known(request, _LIST)
        self._may("agent:read")
        query = request.query_params
        limit = query.get("limit", "500")
        if not limit.isdecimal() or not 1 <= int(limit) <= 100_000:
            raise ServerRefusedError(400, f"{limit} is greater than the maximum of 100000 - 'limit'")
        chosen, failed = self._chosen(query.get("agents_list"))
        rows = [
            agent
            for agent in chosen
            if query.get("name", agent.name).lower() == agent.name.lower()
            and query.get("ip", agent.address) == agent.address
        ]
        shown = [self._shown(agent) for agent in rows[: int(limit)]]
        return _result(shown, failed, "agents information was returned", len(rows))

    async def respond(self, request: Request) -> Response:
        """``PUT /active-response``."""
        if self.version.startswith("5"):
            raise ServerRefusedError(404, "The requested URL was not found on the server")
        self._known(request, _RESPONSE)
        if request.headers.get("content-type") != "application/json":
            raise ServerRefusedError(406, "Invalid content-type")
        self._may("active-response:command")
        body = _body(await request.body())
        command = str(body["command"])
        chosen, failed = self._chosen(request.query_params.get("agents_list"))
        arguments, alert = body.get("arguments", []), body.get("alert", {})
        script, seconds = (command[1:], None) if command.startswith("!") else COMMANDS.get(command, ("", 0))
        sent = []
        for agent in chosen:
            code = self._refuses(agent, script)
            if code:
                failed.setdefault(code, []).append(agent.number)
                continue
            self._agents.run(agent, script, seconds, {"parameters": {"extra_args": arguments, "alert": alert}})
            sent.append(agent.number)
        return _result(sent, failed, "AR command was sent", len(sent))

    def _refuses(self, agent: Agent, script: str) -> int:
        if agent.number == "000":
            return 1703
        if not script:
            return 1652
        if not self._agents.is_active(agent):
            return 1707
        return 1750 if agent.disabled else 0

    def _chosen(self, text: str | None) -> tuple[list[Agent], dict[int, list[str]]]:
        agents = self._agents.agents
        if text is None:
            return [agent for agent in agents.values() if agent.number not in self.hidden | {"000"}], {}
        numbers = text.split(",")
        if not all(_ID.fullmatch(number) for number in numbers):
            raise ServerRefusedError(400, f"'{text}' does not match the pattern of agents_list")
        failed: dict[int, list[str]] = {}
        for number in numbers:
            if number not in agents or number in self.hidden:
                failed.setdefault(1701 if number not in agents else 4000, []).append(number)
        return [agents[number] for number in numbers if number in agents and number not in self.hidden], failed

    def _shown(self, agent: Agent) -> dict[str, Any]:
        active = self._agents.is_active(agent)
        return {
            "id": agent.number,
            "name": agent.name,
            "ip": agent.address,
            "registerIP": "any",
            "status": "active" if active else "disconnected",
            "status_code": 0 if active else 1,
            "os": dict(agent.system),
            "version": "Wazuh v4.14.1",
            "manager": MANAGER,
            "node_name": "node01",
            "group": ["default"],
            "dateAdd": "2026-01-05T09:00:00+00:00",
            "lastKeepAlive": f"{self._now():%Y-%m-%dT%H:%M:%S}+00:00",
        }

    def _known(self, request: Request, names: Iterable[str]) -> None:
        strange = sorted(set(request.query_params) - set(names))
        if strange:
            raise ServerRefusedError(400, f"Extra query parameter(s) {', '.join(strange)} not in spec")

    def _may(self, action: str) -> None:
        if action in self.missing:
            raise ServerRefusedError(403, f"Permission denied: Resource type: {action}", 4000)


def _body(content: bytes) -> Mapping[str, Any]:
    try:
        body = json.loads(content)
    except ValueError:
        raise ServerRefusedError(400, "Request body is not valid JSON") from None
    if not isinstance(body, dict) or not isinstance(body.get("command"), str) or not body["command"]:
        raise ServerRefusedError(400, "'command' is a required property")
    strange = sorted(set(body) - {"command", "arguments", "alert"})
    alert, arguments = body.get("alert", {}), body.get("arguments", [])
    if strange or not isinstance(alert, dict) or set(alert) - {"data"}:
        raise ServerRefusedError(400, f"Additional properties are not allowed ({strange or sorted(alert)})")
    if not isinstance(arguments, list) or not all(isinstance(one, str) for one in arguments):
        raise ServerRefusedError(400, "arguments: is not of type 'array' of strings")
    return body


def _result(items: list[Any], failed: Mapping[int, list[str]], what: str, total: int) -> Response:
    count = sum(map(len, failed.values()))
    error = 0 if not count else 2 if items else 1
    rows = [
        {"error": {"code": code, "message": _FAILURES[code], "remediation": ""}, "id": numbers}
        for code, numbers in failed.items()
    ]
    data = {
        "affected_items": items,
        "total_affected_items": total,
        "total_failed_items": count,
        "failed_items": rows,
    }
    said = {0: f"All selected {what}", 1: f"No {what}", 2: f"Some {what}"}[error]
    return JSONResponse({"data": data, "message": said, "error": error})
