"""A Wazuh that is strict about what Wazuh is strict about: its indexer and its server API behind one address.

Written from the API's specification, the scripts and the ruleset of 4.14.1; no Wazuh was asked. The indexer's searches
are held against a real OpenSearch in ``tests/contract/test_opensearch_for_real.py``.
"""

import base64
from collections.abc import Awaitable, Callable, Iterable, Mapping
from datetime import UTC
from hashlib import sha256
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from nightdesk.connectors.wazuh.payloads import alert_payload
from nightdesk.connectors.wazuh.simulated_agents import ACCOUNTS, GATEWAYS, LISTING, Agents
from nightdesk.connectors.wazuh.simulated_search import Search
from nightdesk.connectors.wazuh.simulated_server import COMMANDS, ServerApi
from nightdesk.connectors.wazuh.wire import SearchRefusedError, ServerRefusedError
from nightdesk.sdk import testing
from nightdesk.sdk.context import Clock, utc_now
from nightdesk.sdk.secrets import Secret
from nightdesk.sdk.testing import FaultPlan, SeenRequest, StoryAccount, StoryAlert, StoryDevice

__all__ = ["Simulator"]

_LOGIN = "/security/user/authenticate"
Call = Callable[[Request], Awaitable[Response]]


class Simulator(testing.Simulator):
    """One manager and its indexer. Two gateways and a host of accounts are agents from the beginning."""

    vendor = "wazuh"

    def __init__(self, *, clock: Clock = utc_now, faults: FaultPlan | None = None, secret: str = "") -> None:
        super().__init__(clock=clock, faults=faults, secret=secret)
        self.username = "nightdesk"
        self.api_password = sha256(f"api {self.secret}".encode()).hexdigest()[:32]
        self.search = Search(self.drift, lambda path: self.faults.take(("partial_answer",), path=path) is not None)
        self.search.indices.add(self._index())
        self.agents = Agents(self.now, self.faults, self.fleet, self.directory, self.search)
        self.server = ServerApi(self.now, self.agents, self.username, self.api_password)

    def routes(self) -> list[BaseRoute]:
        """The endpoints of both; a first step that begins with an underscore is the indexer's own."""
        signed = self.server.signed
        rows: tuple[tuple[str, str, Call], ...] = (
            (_LOGIN, "POST", self._of_server(self.server.authenticate)),
            ("/", "GET", self._of_server(signed(self.server.about))),
            ("/agents", "GET", self._of_server(signed(self.server.list_agents))),
            ("/active-response", "PUT", self._of_server(signed(self.server.respond))),
            ("/{index}/_search", "POST", self._of_indexer(self.search.search)),
        )
        return [Route(path, call, methods=[method]) for path, method, call in rows]

    def settings(self, base_url: str) -> dict[str, Any]:
        """Settings of a connector that reaches this simulator, and may do all that its operator set up."""
        return {
            "indexer_url": base_url,
            "indexer_username": self.username,
            "indexer_password": Secret.literal(self.secret),
            "server_url": base_url,
            "server_username": self.username,
            "server_password": Secret.literal(self.api_password),
            "minimum_level": 0,
            "block_agents": ",".join(GATEWAYS),
            "block_commands": ",".join(COMMANDS),
            "unblock_script": "nightdesk-unblock",
            "firewall_report": LISTING,
            "account_agents": ACCOUNTS,
            "account_domains": "corp.example.com,CORP",
            "enable_script": "nightdesk-enable-account",
            "scripts": "collect-triage",
        }

    def add(self, alert: StoryAlert) -> str:
        """Raises an alert as the manager writes it; returns the alert's own id."""
        agent = self.agents.of_device(alert.device) if alert.device else self.agents.agents["000"]
        if alert.device:
            self.fleet.add([alert.device])
        payload = alert_payload(alert, self.agents.next_number(), agent.named)
        self.ship(payload, day=f"{alert.told.astimezone(UTC):%Y.%m.%d}")
        return str(payload["id"])

    def ship(self, payload: Mapping[str, Any], *, day: str = "") -> None:
        """Indexes a document as the shipper does; the same alert shipped again gets another ``_id``."""
        self.search.add(f"wazuh-alerts-4.x-{day}" if day else self._index(), payload)

    def add_devices(self, devices: Iterable[StoryDevice]) -> None:
        """Enrols an agent on each."""
        given = list(devices)
        super().add_devices(given)
        self.agents.enrol(given)

    def add_accounts(self, accounts: Iterable[StoryAccount]) -> None:
        """Users of the host of accounts."""
        self.agents.inventory(accounts)

    def mutations(self) -> list[SeenRequest]:
        """Searches and sign-ins are POSTs that change nothing."""
        return [request for request in super().mutations() if request.path == "/active-response"]

    def refuse(self, status: int, message: str, headers: Mapping[str, str] | None = None) -> Response:
        """An error that both of the two could have sent, as the server API words it."""
        return JSONResponse(ServerRefusedError(status, message).body(), status, headers=dict(headers or {}))

    def rate_limit_headers(self, seconds: float) -> dict[str, str]:  # noqa: ARG002  # what other vendors would say
        """Neither of the two says when to come back."""
        return {}

    def _index(self) -> str:
        return f"wazuh-alerts-4.x-{self.now().astimezone(UTC):%Y.%m.%d}"

    def _of_server(self, call: Call) -> Call:
        async def answered(request: Request) -> Response:
            self.agents.settle()
            try:
                return await call(request)
            except ServerRefusedError as error:
                return JSONResponse(error.body(), error.status, media_type="application/problem+json")

        return answered

    def _of_indexer(self, call: Call) -> Call:
        async def answered(request: Request) -> Response:
            pair = base64.b64encode(f"{self.username}:{self.secret}".encode()).decode()
            if request.headers.get("authorization") != f"Basic {pair}":
                return Response("Unauthorized", 401, {"WWW-Authenticate": 'Basic realm="OpenSearch Security"'})
            self.agents.settle()
            try:
                return await call(request)
            except SearchRefusedError as error:
                return JSONResponse(error.body(), error.status)

        return answered
