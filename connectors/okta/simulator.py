"""An Okta org that is strict about what Okta is strict about: states, cursors, scopes, zones, who may touch whom.

Sources: Okta's Management API 2026.06 and the guides that each ``simulated_*.py`` names.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from nightdesk.connectors.okta.payloads import cleared_event, digits, event_payload
from nightdesk.connectors.okta.simulated_groups import GroupsApi
from nightdesk.connectors.okta.simulated_log import LogApi
from nightdesk.connectors.okta.simulated_tokens import PATH, TokensApi
from nightdesk.connectors.okta.simulated_users import UsersApi
from nightdesk.connectors.okta.simulated_zones import ZonesApi
from nightdesk.connectors.okta.wire import Call, OktaError, Wire
from nightdesk.sdk import testing
from nightdesk.sdk.context import Clock, utc_now
from nightdesk.sdk.secrets import Secret
from nightdesk.sdk.testing import FaultPlan, Member, SeenRequest, StoryAccount, StoryAlert

__all__ = ["ALL_SCOPES", "PREFIX", "Simulator"]

ALL_SCOPES = frozenset(
    {"okta.logs.read", "okta.users.read", "okta.users.manage", "okta.groups.read", "okta.groups.manage"}
    | {"okta.roles.read", "okta.networkZones.read", "okta.networkZones.manage"}
)
PREFIX = "00u"
"""What makes a story's account id this vendor's own."""

_UNUSED = timedelta(days=30)


class Simulator(testing.Simulator):
    """One org. ``oauth``: its settings sign in as a service app, else with an API token.

    ``scopes`` is what either may do. ``dpop``: the app wants proofs of possession. ``logs_per_minute`` and
    ``requests_per_minute`` are the rate limits of the log and of everything else.
    """

    vendor = "okta"

    def __init__(
        self,
        *,
        clock: Clock = utc_now,
        faults: FaultPlan | None = None,
        secret: str = "",
        oauth: bool = False,
        dpop: bool = False,
        scopes: Iterable[str] = ALL_SCOPES,
        logs_per_minute: int = 120,
        requests_per_minute: int = 600,
    ) -> None:
        super().__init__(clock=clock, faults=faults, secret=secret)
        self.scopes = set(scopes)
        self.org = f"00o{digits(f'org {self.secret}', 17)}"
        self._oauth = oauth
        self._token_used = self.now()
        self._wire = Wire(self.now, {"/api/v1/logs": logs_per_minute, "/": requests_per_minute})
        self.tokens = TokensApi(self.now, self.secret, self.scopes, dpop=dpop)
        self.users = UsersApi(self.now, self.directory, self._cleared)
        self.groups = GroupsApi(self.directory, self.users)
        self.zones = ZonesApi(self.now)
        self.log = LogApi(self.now, self.drift, self.users.settle)

    def routes(self) -> list[BaseRoute]:
        """The endpoints of the Management API that a hub needs, and ``/me``, which needs a person."""
        apis = (self.log, self.users, self.groups, self.zones)
        me = ("GET", "/api/v1/users/me", "okta.users.read", self._me)
        table = (me, *(row for api in apis for row in api.routes()))
        guarded = [Route(path, self._guard(scope, call), methods=[method]) for method, path, scope, call in table]
        return [Route(PATH, self.tokens.issue, methods=["POST"]), *guarded]

    def settings(self, base_url: str) -> dict[str, Any]:
        """Settings of a connector that reaches this simulator."""
        if not self._oauth:
            return {"base_url": base_url, "api_token": Secret.literal(self.secret)}
        key = Secret.literal(self.tokens.private_key)
        return {"base_url": base_url, "client_id": self.tokens.client_id, "private_key": key}

    def add_accounts(self, accounts: Iterable[StoryAccount]) -> None:
        """Creates active users, and their groups."""
        taken = list(accounts)
        self.directory.add(taken, prefix=PREFIX)
        for name in sorted({name for account in taken for name in account.groups}):
            self.groups.make(name)

    def add(self, alert: StoryAlert) -> str:
        """Logs an event; its user is created if new. The log persists it when it was told."""
        member = self._member(alert) if alert.user else None
        event = event_payload(alert, org=self.org, member=member)
        self.log.add(event, alert.told)
        return str(event["uuid"])

    def alert_state(self, native_id: str) -> Mapping[str, Any]:
        """Events have no state: nobody can close one."""
        self.log.events[native_id]  # one that was never logged is a KeyError
        return {"status": "open", "disposition": "", "comments": []}

    def mutations(self) -> list[SeenRequest]:
        """A token is a POST that changes nothing."""
        return [request for request in super().mutations() if request.path != PATH]

    def refuse(self, status: int, message: str, headers: Mapping[str, str] | None = None) -> Response:
        """Okta's envelope."""
        return self._wire.refuse(OktaError(status, message), headers)

    def rate_limit_headers(self, seconds: float) -> dict[str, str]:
        """Epoch seconds, and no Retry-After."""
        return self._wire.come_back(seconds)

    def _member(self, alert: StoryAlert) -> Member:
        for member in self.directory.accounts.values():
            if alert.user.casefold() in {member.name.casefold(), member.email.casefold()}:
                return member
        domain = alert.user_domain.lower() or "example.com"
        host = domain if "." in domain else f"{domain}.example.com"
        email = alert.user if "@" in alert.user else f"{alert.user}@{host}"
        account_id = digits(f"user {email}", 17)
        self.add_accounts([StoryAccount(account_id, alert.user, email, alert.user_domain, alert.user_sid)])
        return self.directory.accounts[f"{PREFIX}{account_id}"]

    def _cleared(self, member: Member, moment: datetime) -> None:
        self.log.add(cleared_event(member, moment, org=self.org), self.now())

    def _guard(self, scope: str, call: Call) -> Call:
        async def guarded(request: Request) -> Response:
            headers: dict[str, str] = {}
            try:
                headers = self._wire.spend(request.url.path)
                self._authorize(request, scope)
                answer = await call(request)
            except OktaError as error:
                if error.status == 429:
                    headers = self._wire.next_minute()
                return self._wire.refuse(error, headers)
            answer.headers.update(headers)
            return answer

        return guarded

    def _authorize(self, request: Request, scope: str) -> None:
        """Raises OktaError unless the request may use the scope."""
        kind, given = _credential(request)
        if kind == "Bearer":
            granted = self.tokens.scopes(given)
            if granted is None:
                raise OktaError(401, "Invalid token provided")
            if scope not in granted & self.scopes:
                raise OktaError(403, "The access token provided does not contain the required scopes.")
            return
        if kind != "SSWS" or given != self.secret or self.now() - self._token_used > _UNUSED:
            raise OktaError(401, "Invalid token provided")
        self._token_used = self.now()
        if scope not in self.scopes:
            raise OktaError(403, "You do not have permission to perform the requested action")

    async def _me(self, request: Request) -> Response:
        if _credential(request)[0] != "SSWS":
            raise OktaError(404, "Not found: Resource not found: me (User)")
        login = "admin@example.com"
        return JSONResponse({"id": f"{PREFIX}admin", "status": "ACTIVE", "profile": {"login": login, "email": login}})


def _credential(request: Request) -> tuple[str, str]:
    """The kind and the text of it; the vendor's own Python client sends ``SSWS`` without a space behind it."""
    text = request.headers.get("authorization", "")
    kind = next((kind for kind in ("SSWS", "Bearer") if text.startswith(kind)), "")
    return kind, text.removeprefix(kind).strip()
