"""The simulated Users API: statuses as a state machine, lifecycle calls that refuse the wrong state, sessions, factors.

Sources: https://developer.okta.com/docs/api/openapi/okta-management/management/tag/User/ and .../tag/UserLifecycle/
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from nightdesk.connectors.okta.payloads import factor_payload, login_of, role_payload, user_payload
from nightdesk.connectors.okta.scim import ScimError, parse
from nightdesk.connectors.okta.wire import OktaError, Routes, flag, linked, not_found, page_limit
from nightdesk.sdk.context import Clock
from nightdesk.sdk.testing import Directory, Member

__all__ = ["STATUSES", "UsersApi"]

STATUSES = frozenset(
    {"ACTIVE", "DEPROVISIONED", "LOCKED_OUT", "PASSWORD_EXPIRED", "PROVISIONED", "RECOVERY", "STAGED", "SUSPENDED"}
)
_FILTERED = frozenset(
    {"status", "lastUpdated", "id", "profile.login", "profile.email", "profile.firstName", "profile.lastName"}
)
_SEARCHED = frozenset({"id", "status", "created", "activated", "statusChanged", "lastUpdated", "type.id"})
_WITH_PASSWORD = frozenset({"ACTIVE", "PASSWORD_EXPIRED", "RECOVERY", "LOCKED_OUT"})
_AGE = timedelta(days=400)
Lifecycle = Callable[[Request, Member, str], Response]


@dataclass(slots=True)
class _Record:
    """What a directory does not hold. ``status`` is one that no action of ours makes; ``awaits`` what a password is."""

    created: datetime
    password_changed: datetime
    status: str = "ACTIVE"
    provider: str = "OKTA"
    awaits: str = "PASSWORD_EXPIRED"
    factors: list[datetime] = field(default_factory=list)
    tokens: int = 1
    cleared: datetime | None = None


class UsersApi:
    """The users of an org. ``told`` hears that a user's sessions are gone."""

    def __init__(self, clock: Clock, directory: Directory, told: Callable[[Member, datetime], None]) -> None:
        self.super_admin = False
        self._clock = clock
        self._directory = directory
        self._told = told
        self._records: dict[str, _Record] = {}

    def routes(self) -> Routes:
        """What can be called."""
        user = "/api/v1/users/{user}"
        lifecycle: Mapping[str, Lifecycle] = {
            "suspend": self._suspend,
            "unsuspend": self._unsuspend,
            "expire_password": self._expire_password,
            "reset_password": self._reset_password,
            "reset_factors": self._reset_factors,
        }
        return (
            ("GET", "/api/v1/users", "okta.users.read", self._list),
            ("GET", user, "okta.users.read", self._read),
            ("GET", f"{user}/roles", "okta.roles.read", self._roles),
            ("GET", f"{user}/factors", "okta.users.read", self._factors),
            ("DELETE", f"{user}/sessions", "okta.users.manage", self._clear_sessions),
            *(
                ("POST", f"{user}/lifecycle/{name}", "okta.users.manage", self._lifecycle(work))
                for name, work in lifecycle.items()
            ),
        )

    def settle(self) -> None:
        """Lets everything due take effect; a clearing of sessions is told once."""
        self._directory.settle()
        for member in self._directory.accounts.values():
            record = self.record(member.account_id)
            if member.sessions_revoked_at is not None and member.sessions_revoked_at != record.cleared:
                record.cleared = member.sessions_revoked_at
                self._told(member, member.sessions_revoked_at)
            now = self._clock()
            record.factors = record.factors[: member.factors]
            record.factors += [now] * (member.factors - len(record.factors))

    def record(self, user_id: str) -> _Record:
        """What is kept of a user beside the directory."""
        if user_id not in self._records:
            made = self._clock() - _AGE
            factors = self._directory.accounts[user_id].factors
            self._records[user_id] = _Record(made, made, factors=[made] * factors)
        return self._records[user_id]

    def shown(self, member: Member) -> dict[str, Any]:
        """A user as the API gives it."""
        record = self.record(member.account_id)
        return user_payload(
            member,
            status=self.status(member),
            provider=record.provider,
            created=record.created,
            password_changed=record.password_changed,
        )

    def status(self, member: Member) -> str:
        """One of Okta's eight."""
        record = self.record(member.account_id)
        if record.status != "ACTIVE":
            return record.status
        if not member.enabled:
            return "SUSPENDED"
        return record.awaits if member.must_change_password else "ACTIVE"

    def find(self, name: str) -> Member:
        """By id, by login, or by a short name that only one login has. Raises OktaError."""
        self.settle()
        accounts = self._directory.accounts
        if name in accounts:
            return accounts[name]
        wanted = name.casefold()
        logins = {login_of(member).casefold(): member for member in accounts.values()}
        short = [member for login, member in logins.items() if login.partition("@")[0] == wanted]
        if wanted in logins:
            return logins[wanted]
        if len(short) == 1:
            return short[0]
        raise not_found(name, "User")

    def guard(self, member: Member) -> None:
        """An administrator below super admin may not touch one. Raises OktaError."""
        if member.privileged and not self.super_admin:
            raise OktaError(403, "You do not have permission to perform the requested action")

    async def _list(self, request: Request) -> Response:
        self.settle()
        query, limit = request.query_params, page_limit(request, 200, 200)
        try:
            searched = parse(query.get("search", ""), _searchable, fold=True)
            filtered = parse(query.get("filter", ""), _filterable)
        except ScimError as error:
            raise OktaError(400, f"Invalid search criteria. {error}", "E0000031") from None
        asked = any(query.get(name) for name in ("search", "filter"))
        users = sorted(map(self.shown, self._directory.accounts.values()), key=lambda user: str(user["id"]))
        rows = [
            user
            for user in users
            if searched(user) and filtered(user) and (asked or user["status"] != "DEPROVISIONED")
            if user["id"] > query.get("after", "")
        ]
        following = {"after": rows[limit - 1]["id"], "limit": limit} if len(rows) > limit else None
        return linked(JSONResponse(rows[:limit]), request, following)

    async def _read(self, request: Request) -> Response:
        return JSONResponse(self.shown(self.find(request.path_params["user"])))

    async def _roles(self, request: Request) -> Response:
        member = self.find(request.path_params["user"])
        return JSONResponse([role_payload(member)] if member.privileged else [])

    async def _factors(self, request: Request) -> Response:
        member = self.find(request.path_params["user"])
        made = self.record(member.account_id).factors
        return JSONResponse([factor_payload(member, number, moment) for number, moment in enumerate(made)])

    async def _clear_sessions(self, request: Request) -> Response:
        member = self._directory.accounts.get(request.path_params["user"])
        if member is None:
            raise not_found(request.path_params["user"], "User")  # a login is not taken here
        self.guard(member)
        tokens, _ = flag(request, "oauthTokens"), flag(request, "forgetDevices", default=True)
        change = self._directory.change(member.account_id, "revoke_sessions")
        if tokens and not change.failed:
            self.record(member.account_id).tokens = 0  # left out, refresh and access tokens live on
        self.settle()
        return Response(status_code=204)

    def _lifecycle(self, work: Lifecycle) -> Callable[[Request], Any]:
        async def call(request: Request) -> Response:
            member = self.find(request.path_params["user"])
            self.guard(member)
            return work(request, member, self.status(member))

        return call

    def _suspend(self, _: Request, member: Member, status: str) -> Response:
        if status != "ACTIVE":
            raise OktaError(
                400, "Api validation failed: suspendUser", causes=["Cannot suspend a user that is not active"]
            )
        self._directory.change(member.account_id, "disable")
        return JSONResponse({})

    def _unsuspend(self, _: Request, member: Member, status: str) -> Response:
        if status != "SUSPENDED":
            raise OktaError(
                400, "Api validation failed: unsuspendUser", causes=["Cannot unsuspend a user that is not suspended"]
            )
        self._directory.change(member.account_id, "enable")
        return JSONResponse({})

    def _expire_password(self, _: Request, member: Member, status: str) -> Response:
        self._expect_password(member, status)
        self.record(member.account_id).awaits = "PASSWORD_EXPIRED"
        self._directory.change(member.account_id, "expire_password")
        return JSONResponse(self.shown(member))

    def _reset_password(self, request: Request, member: Member, status: str) -> Response:
        if "sendEmail" not in request.query_params:
            raise OktaError(400, "Api validation failed: sendEmail", causes=["sendEmail: The field is required"])
        mailed, revoking = flag(request, "sendEmail"), flag(request, "revokeSessions")
        self._expect_password(member, status)
        record = self.record(member.account_id)
        record.awaits, record.status = "RECOVERY", "ACTIVE"
        self._directory.change(member.account_id, "expire_password")
        if revoking:
            self._directory.change(member.account_id, "revoke_sessions")
        url = f"{request.base_url}signin/reset-password/one-time-{member.account_id}"
        return JSONResponse({} if mailed else {"resetPasswordUrl": url})

    def _reset_factors(self, _: Request, member: Member, status: str) -> Response:
        if status == "DEPROVISIONED":
            raise OktaError(403, "This operation is not allowed in the user's current status.", "E0000038")
        self._directory.change(member.account_id, "reset_factors")
        self.settle()
        return JSONResponse({})

    def _expect_password(self, member: Member, status: str) -> None:
        local = self.record(member.account_id).provider in {"OKTA", "ACTIVE_DIRECTORY"}
        if status not in _WITH_PASSWORD or not local:
            raise OktaError(403, "This operation is not allowed in the user's current status.", "E0000038")


def _searchable(attribute: str, operator: str) -> bool:
    return operator != "ne" and (attribute in _SEARCHED or attribute.startswith("profile."))


def _filterable(attribute: str, operator: str) -> bool:
    return attribute in _FILTERED and (operator == "eq" or attribute == "lastUpdated")
