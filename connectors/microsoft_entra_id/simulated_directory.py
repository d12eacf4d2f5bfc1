"""The simulated directory: users by id or principal name, what an admin may change of them, and their groups."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from nightdesk.connectors.microsoft_entra_id.payloads import guid, timestamp
from nightdesk.connectors.microsoft_entra_id.wire import (
    DENIED,
    GraphError,
    Pages,
    Permissions,
    Routes,
    Wire,
    json_object,
    selected,
)
from nightdesk.sdk.context import Clock
from nightdesk.sdk.testing import Directory, Member, StoryAccount

__all__ = ["DirectoryApi"]

_READ: Permissions = tuple(frozenset({name}) for name in ("User.Read.All", "User.ReadWrite.All", "Directory.Read.All"))
_CHANGE: Permissions = (
    frozenset({"User.EnableDisableAccount.All", "User.Read.All"}),
    frozenset({"User-PasswordProfile.ReadWrite.All"}),
    frozenset({"User.ReadWrite.All"}),
)
_ENABLE: Permissions = (_CHANGE[0], _CHANGE[2])
_PASSWORD: Permissions = (_CHANGE[1], _CHANGE[2])
_REVOKE: Permissions = (frozenset({"User.RevokeSessions.All"}), frozenset({"User.ReadWrite.All"}))
_AGE = timedelta(days=400)  # how long an account has been there
_TEXTS = (
    "id",
    "userPrincipalName",
    "displayName",
    "mail",
    "userType",
    "securityIdentifier",
    "onPremisesSecurityIdentifier",
)
_ON_PREMISES = "onPremisesSamAccountName"
_DEFAULT = ("businessPhones", "displayName", "givenName", "jobTitle", "mail", "mobilePhone", "officeLocation")
_DEFAULTS = frozenset({*_DEFAULT, "preferredLanguage", "surname", "userPrincipalName", "id"})
_SELECTABLE = _DEFAULTS | {
    *_TEXTS,
    _ON_PREMISES,
    "accountEnabled",
    "onPremisesSyncEnabled",
    "onPremisesDomainName",
    "signInSessionsValidFromDateTime",
    "passwordProfile",
    "createdDateTime",
}
_USERS = Pages(
    "users",
    {**dict.fromkeys((*_TEXTS, _ON_PREMISES), "text"), "accountEnabled": "flag"},
    most=999,
    default=100,
    advanced=frozenset({_ON_PREMISES}),
    selectable=frozenset(_SELECTABLE),
    shown=_DEFAULTS,
)
_PROFILE = frozenset({"forceChangePasswordNextSignIn", "forceChangePasswordNextSignInWithMfa"})
_DOMAIN = "tenant.example.com"


@dataclass(slots=True)
class _Origin:
    """Where an account comes from; ``synced`` accounts are mastered on-premises, where they stay ``enabled_there``."""

    created: datetime
    synced: bool = False
    enabled_there: bool = True
    guest: bool = False
    profile: dict[str, bool] = field(default_factory=lambda: dict.fromkeys(sorted(_PROFILE), False))


class DirectoryApi:
    """The users of one tenant. ``privileged_app``: the application itself holds a privileged role."""

    def __init__(self, wire: Wire, clock: Clock, directory: Directory, tenant_id: str) -> None:
        self.privileged_app = False
        self.revoke_status = 200
        self._wire = wire
        self._clock = clock
        self._directory = directory
        self._tenant_id = tenant_id
        self._origins: dict[str, _Origin] = {}

    def routes(self) -> Routes:
        """What can be called; what is granted for a PATCH is looked at once its body says what it changes."""
        return (
            ("GET", "/users", _READ, self._list),
            ("GET", "/users/{name}", _READ, self._read),
            ("PATCH", "/users/{name}", _CHANGE, self._change),
            ("POST", "/users/{name}/revokeSignInSessions", _REVOKE, self._revoke),
        )

    def enrol(self, accounts: Iterable[StoryAccount], *, synced: bool = False, guest: bool = False) -> list[str]:
        """Takes accounts of a story under object ids of this tenant; gives the ids."""
        named = [replace(account, account_id=guid(self._tenant_id, "user", account.account_id)) for account in accounts]
        self._directory.add(named)
        for account in named:
            self._origins.setdefault(account.account_id, _Origin(self._clock() - _AGE, synced, guest=guest))
        return [account.account_id for account in named]

    def synchronise(self) -> None:
        """What the next run of the directory sync does: synced accounts are again what they are on-premises."""
        for name, origin in self._origins.items():
            if origin.synced and self._directory.accounts[name].enabled != origin.enabled_there:
                self._directory.change(name, "enable" if origin.enabled_there else "disable")

    def record(self, name: str) -> dict[str, Any] | None:
        """The user as it is now, with every property that can be selected."""
        member, origin = self._directory.accounts.get(name), self._origins.get(name)
        if member is None or origin is None:
            return None
        self._directory.settle()
        revoked = (member.sessions_revoked_at or origin.created).replace(microsecond=0)
        in_cloud = member.sid.upper().startswith("S-1-12-1-")
        on_premises = not in_cloud and bool(member.sid or member.domain)
        forced = member.must_change_password
        return {
            **dict.fromkeys(_DEFAULTS, None),
            "id": name,
            "userPrincipalName": self._principal(member, origin),
            "displayName": member.name,
            "mail": member.email or None,
            "userType": "Guest" if origin.guest else "Member",
            "businessPhones": [],
            "accountEnabled": member.enabled,
            "securityIdentifier": member.sid if in_cloud else f"S-1-12-1-{int(name[:8], 16)}-1-2-3",
            "onPremisesSyncEnabled": True if origin.synced else False if on_premises else None,
            "onPremisesSecurityIdentifier": member.sid if on_premises and member.sid else None,
            _ON_PREMISES: member.name if on_premises else None,
            "onPremisesDomainName": _dns(member) if on_premises else None,
            "signInSessionsValidFromDateTime": f"{timestamp(revoked)[:19]}Z",
            "createdDateTime": f"{timestamp(origin.created)[:19]}Z",
            "passwordProfile": {"password": None, **{key: forced and on for key, on in origin.profile.items()}},
        }

    def find(self, name: str, domain: str = "") -> dict[str, Any] | None:
        """The user that a story means by a name, if the tenant has exactly one such."""
        found = [
            member.account_id
            for member in self._directory.accounts.values()
            if name.casefold() in {member.name.casefold(), member.email.casefold()}
            and (not domain or not member.domain or _label(domain) == _label(member.domain))
        ]
        return self.record(found[0]) if len(found) == 1 else None

    def member(self, request: Request) -> Member:
        """The member that a path names by object id or principal name."""
        name = request.path_params["name"]
        for member in self._directory.accounts.values():
            record = self.record(member.account_id)
            if record and name.casefold() in {member.account_id, str(record["userPrincipalName"]).casefold()}:
                return member
        raise GraphError(404, "Request_ResourceNotFound", f"Resource '{name}' does not exist.")

    def guard(self, member: Member) -> None:
        """Who holds a role is changed only by an application that holds a higher one."""
        if member.privileged and not self.privileged_app:
            raise GraphError(403, "Authorization_RequestDenied", DENIED)

    async def _list(self, request: Request) -> Response:
        records = [record for name in self._directory.accounts if (record := self.record(name))]
        return self._wire.page(request, records, _USERS)

    async def _read(self, request: Request) -> Response:
        record = self.record(self.member(request).account_id) or {}
        return self._wire.entity(request, "users", selected(request, record, _USERS))

    async def _change(self, request: Request) -> Response:
        member = self.member(request)
        body = {key: value for key, value in (await json_object(request)).items() if not key.startswith("@odata.")}
        granted: frozenset[str] = request.state.granted
        for key, needed in (("accountEnabled", _ENABLE), ("passwordProfile", _PASSWORD)):
            if key in body and not any(alternative <= granted for alternative in needed):
                raise GraphError(403, "Authorization_RequestDenied", DENIED)
        strange = sorted(set(body) - {"accountEnabled", "passwordProfile"})
        if strange or not body:
            raise GraphError(400, "Request_BadRequest", f"Invalid property '{''.join(strange[:1])}'.")
        self.guard(member)
        if "passwordProfile" in body:
            self._force(member, body["passwordProfile"])
        if "accountEnabled" in body:
            if not isinstance(body["accountEnabled"], bool):
                raise GraphError(400, "Request_BadRequest", "Invalid value specified for property 'accountEnabled'.")
            self._directory.change(member.account_id, "enable" if body["accountEnabled"] else "disable")
        return Response(status_code=204)

    def _force(self, member: Member, profile: Any) -> None:
        if not isinstance(profile, Mapping) or not profile or set(profile) - _PROFILE:
            raise GraphError(400, "Request_BadRequest", "Invalid value specified for property 'passwordProfile'.")
        origin = self._origins[member.account_id]
        if origin.synced:
            message = "Unable to update the specified properties for on-premises mastered Directory Sync objects."
            raise GraphError(400, "Request_BadRequest", message)
        origin.profile.update({name: on is True for name, on in profile.items()})
        if any(origin.profile.values()):
            self._directory.change(member.account_id, "expire_password")
        else:
            member.must_change_password = False

    async def _revoke(self, request: Request) -> Response:
        member = self.member(request)
        self.guard(member)
        if await request.body():
            raise GraphError(400, "Request_BadRequest", "The action takes no body.")
        if not self._origins[member.account_id].guest:  # a guest's sessions are its home tenant's
            self._directory.change(member.account_id, "revoke_sessions")
        if self.revoke_status == 204:
            return Response(status_code=204)
        return JSONResponse({"value": True}, self.revoke_status)

    def _principal(self, member: Member, origin: _Origin) -> str:
        if origin.guest:
            return f"{member.email.replace('@', '_')}#EXT#@{_DOMAIN}"
        return member.email or f"{member.name}@{_DOMAIN}"


def _label(domain: str) -> str:
    return domain.partition(".")[0].casefold()


def _dns(member: Member) -> str:
    suffix = member.email.rpartition("@")[2]
    return suffix if suffix.casefold().startswith(f"{member.domain.casefold()}.") else member.domain.lower()
