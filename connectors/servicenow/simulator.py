"""A ServiceNow instance that is lenient where ServiceNow is: unknown terms are ignored, protected fields dropped.

Written from the Table API's documentation and public reports of its behaviour; no live instance was asked.
"""

from base64 import b64encode
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any
from urllib.parse import parse_qsl

from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import BaseRoute, Route

from nightdesk.connectors.servicenow.simulated_table import TableApi
from nightdesk.connectors.servicenow.simulated_tickets import ME, PERSON, TICKETS, Tickets
from nightdesk.connectors.servicenow.wire import Call, RefusedError, Wire
from nightdesk.sdk import testing
from nightdesk.sdk.context import Clock, utc_now
from nightdesk.sdk.secrets import Secret
from nightdesk.sdk.testing import FaultPlan, SeenRequest

__all__ = ["ALL_ROLES", "Simulator"]

ALL_ROLES = frozenset({"itil"})
_TOKEN_PATH = "/oauth_token.do"
_TOKEN_LIFE = 1800  # seconds
_READERS = frozenset({"itil", "snc_read_only"})
_ASLEEP = "<html><head><title>Instance Hibernating page</title></head><body>Your instance is hibernating</body></html>"


class Simulator(testing.Simulator):
    """One instance and its integration user, who has ``roles``. ``way`` is how its settings sign in.

    ``offset`` is what the user's time zone is ahead of UTC. ``strict_queries`` is the system property
    glide.invalid_query.returns_no_rows.
    """

    vendor = "servicenow"

    def __init__(
        self,
        *,
        clock: Clock = utc_now,
        faults: FaultPlan | None = None,
        secret: str = "",
        roles: Iterable[str] = ALL_ROLES,
        way: str = "basic",
        offset: timedelta = timedelta(),
        strict_queries: bool = False,
        requests_per_hour: int = 36_000,
    ) -> None:
        super().__init__(clock=clock, faults=faults, secret=secret)
        self.client_id = sha256(f"client {self.secret}".encode()).hexdigest()[:32]
        self.roles = set(roles)
        self.hibernating = False
        self._way = way
        self._tokens: dict[str, datetime] = {}
        self._wire = Wire(self.now, requests_per_hour)
        self._tickets = Tickets(self.now, self.secret)
        self.api = TableApi(self.now, self._tickets)
        self.api.offset = offset
        self.api.strict_queries = strict_queries

    def routes(self) -> list[BaseRoute]:
        """The Table API under its three addresses, and the token endpoint."""
        table: list[tuple[str, str, Call]] = [
            ("GET", "/{table}", self.api.list),
            ("POST", "/{table}", self.api.create),
            ("GET", "/{table}/{record}", self.api.read),
            ("PATCH", "/{table}/{record}", self.api.change),
            ("PUT", "/{table}/{record}", self.api.change),
        ]
        guarded = [
            Route(f"/api/now{version}/table{path}", self._guard(call), methods=[method])
            for version in ("", "/v1", "/v2")
            for method, path, call in table
        ]
        return [Route(_TOKEN_PATH, self._token, methods=["POST"]), *guarded]

    def settings(self, base_url: str) -> dict[str, Any]:
        """Settings of a connector that reaches this simulator."""
        secret = Secret.literal(self.secret)
        ways: dict[str, dict[str, Any]] = {
            "basic": {"username": ME, "password": secret},
            "oauth": {"client_id": self.client_id, "client_secret": secret},
            "api_key": {"api_key": secret},
        }
        return {"base_url": base_url, **ways[self._way]}

    def records(self, table: str = "incident") -> Mapping[str, Mapping[str, str]]:
        """Every record of a table by its ``sys_id``."""
        return self._tickets.tables[table]

    def hide(self, *fields: str) -> None:
        """An ACL takes these fields away: they are left out of answers, ignored in queries, dropped from writes."""
        self.api.hidden |= set(fields)

    def forbid_query(self, *fields: str) -> None:
        """A query ACL: terms with these fields are ignored, though the fields are readable."""
        self.api.unqueried |= set(fields)

    def protect(self, *fields: str) -> None:
        """An ACL makes these fields read-only."""
        self._tickets.protected |= set(fields)

    def hide_journal(self) -> None:
        """An ACL hides every row of ``sys_journal_field``; tickets still show their journals as a text."""
        self.api.journal_hidden = True

    def add_ticket(self, table: str = "incident", **fields: str) -> str:
        """What somebody else opens; gives its ``sys_id``."""
        return self._tickets.insert(table, {"short_description": "Printer on fire", **fields}, PERSON)["sys_id"]

    def edit(self, native_id: str, table: str = "incident", **fields: str) -> None:
        """What a person changes at a ticket."""
        self._tickets.update(table, native_id, fields, PERSON)

    def case_states(self) -> Mapping[str, Mapping[str, Any]]:
        """Every incident and security incident."""
        return {
            name: {
                "status": "closed" if record["state"] in rules["resolved"] | rules["locked"] else "open",
                "title": record["short_description"],
                "comments": [entry["value"] for entry in self._tickets.said(name)],
            }
            for table, rules in TICKETS.items()
            for name, record in self.records(table).items()
        }

    def edit_case(self, native_id: str, *, status: str = "", comment: str = "") -> None:
        """What a person does: resolves, re-opens, comments."""
        table = next(name for name in TICKETS if native_id in self.records(name))
        fields = {"comments": comment} if comment else {}
        if status == "closed":
            fields |= {"state": "6" if table == "incident" else "3", "close_code": "Duplicate", "close_notes": "Closed"}
        elif status:
            fields["state"] = "2" if table == "incident" else "16"
        self.edit(native_id, table, **fields)

    def mutations(self) -> list[SeenRequest]:
        """A token is a POST that changes nothing."""
        return [request for request in super().mutations() if request.path != _TOKEN_PATH]

    def refuse(self, status: int, message: str, headers: Mapping[str, str] | None = None) -> Response:
        """ServiceNow's envelope."""
        return self._wire.refuse(RefusedError(status, message), headers)

    def _guard(self, call: Call) -> Call:
        async def guarded(request: Request) -> Response:
            if self.hibernating:
                return HTMLResponse(_ASLEEP)
            headers: dict[str, str] = {}
            try:
                headers = self._wire.spend()
                self._authorize(request)
                answer = await call(request)
            except RefusedError as error:
                return self._wire.refuse(error, self._wire.exhausted() if error.status == 429 else headers)
            answer.headers.update(headers)
            return answer

        return guarded

    def _authorize(self, request: Request) -> None:
        kind, _, given = request.headers.get("authorization", "").partition(" ")
        basic = b64encode(f"{ME}:{self.secret}".encode()).decode()
        fine = (
            (kind == "Basic" and given == basic)
            or (kind == "Bearer" and self._tokens.get(given, self.now()) > self.now())
            or request.headers.get("x-sn-apikey") == self.secret
        )
        if not fine:
            raise RefusedError(401, "User Not Authenticated", "Required to provide Auth information")
        needed = _READERS if request.method == "GET" else ALL_ROLES
        if not needed & self.roles:
            raise RefusedError(403, "User Not Authorized", "Failed API level ACL Validation")

    async def _token(self, request: Request) -> Response:
        form = dict(parse_qsl((await request.body()).decode("utf-8", "replace")))
        if form.get("grant_type") != "client_credentials":
            return JSONResponse({"error": "unsupported_grant_type", "error_description": "unsupported grant type"}, 400)
        if (form.get("client_id"), form.get("client_secret")) != (self.client_id, self.secret):
            return JSONResponse({"error": "access_denied", "error_description": "access_denied"}, 401)
        token = sha256(f"{self.secret} token {len(self._tokens)}".encode()).hexdigest()
        self._tokens[token] = self.now() + timedelta(seconds=_TOKEN_LIFE)
        body = {"access_token": token, "scope": "useraccount", "token_type": "Bearer", "expires_in": _TOKEN_LIFE - 1}
        return JSONResponse(body)
