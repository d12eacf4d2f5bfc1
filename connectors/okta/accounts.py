"""Users: which of them a name stands for, and the changes to one that its own status, factors or log can prove.

Sources: https://developer.okta.com/docs/api/openapi/okta-management/management/tag/UserLifecycle/ and .../UserSessions/
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from nightdesk.connectors.okta.client import VENDOR, Okta, quoted
from nightdesk.connectors.okta.logs import SystemLog
from nightdesk.sdk.errors import NotFoundError, RejectedError, ScopeError
from nightdesk.sdk.moments import instant
from nightdesk.sdk.ports import Command, Effect, Receipt
from nightdesk.sdk.targets import Account, AccountQuery

__all__ = ["GROUPS_READ", "Accounts", "user_path"]

GROUPS_READ = "okta.groups.read"
_READ = "okta.users.read"
_MANAGE = "okta.users.manage"
_ROLES = "okta.roles.read"
_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_OFF = frozenset({"SUSPENDED", "DEPROVISIONED"})
_ELSEWHERE = frozenset({"FEDERATION", "SOCIAL"})  # whose passwords Okta does not have


@dataclass(frozen=True, slots=True)
class _Call:
    """How a verb is carried out. ``fact`` is the part of the state that it makes ``wanted``; ``states`` allow it."""

    method: str
    path: str
    fact: str
    wanted: bool
    states: frozenset[str]
    params: Mapping[str, str] | None = None


_ANY = frozenset({"ACTIVE", "PASSWORD_EXPIRED", "RECOVERY", "LOCKED_OUT", "PROVISIONED", "STAGED", "SUSPENDED"})
_CALLS: Mapping[str, _Call] = {
    "account.disable": _Call("POST", "lifecycle/suspend", "enabled", False, frozenset({"ACTIVE"})),
    "account.enable": _Call("POST", "lifecycle/unsuspend", "enabled", True, frozenset({"SUSPENDED"})),
    # Without oauthTokens refresh and access tokens live on; forgetDevices differs by engine unless it is said.
    "account.revoke_sessions": _Call(
        "DELETE", "sessions", "sessions_cleared", True, _ANY, {"oauthTokens": "true", "forgetDevices": "true"}
    ),
    # Not expire_password: whoever knows the old password could then set the new one.
    "account.reset_password": _Call(
        "POST",
        "lifecycle/reset_password",
        "password_reset",
        True,
        frozenset({"ACTIVE", "PASSWORD_EXPIRED", "RECOVERY", "LOCKED_OUT"}),
        {"sendEmail": "true"},
    ),
    "account.require_reauth_factors": _Call("POST", "lifecycle/reset_factors", "factors_reset", True, _ANY),
}


class Accounts:
    """The users of one org. ``mailed``: whoever's password is reset gets the link by mail."""

    def __init__(self, okta: Okta, log: SystemLog, *, mailed: bool = True) -> None:
        self._okta = okta
        self._log = log
        self._mailed = mailed

    async def act(self, command: Command) -> Receipt:
        """One call, unless it is so already; a repeat of ours is told by the pre-state."""
        command.only()
        call = _CALLS[command.verb]
        user = await self.user(command.native_id)
        status = str(user.get("status", ""))
        repeated = Receipt(
            command.native_id,
            changed=command.began_otherwise(call.fact, call.wanted),
            evidence={"status_before": status},
        )
        if (await self._state(command, user))[call.fact] is call.wanted:
            return repeated
        _allow(command, user, call)
        params = dict(call.params or {})
        if "sendEmail" in params:
            params["sendEmail"] = str(self._mailed).lower()
        try:
            # The answer of a reset without mail holds a one-time link: it is not looked at, logged or kept.
            await self._okta.ask(
                call.method,
                f"{user_path(command.native_id)}/{call.path}",
                operation=command.verb,
                scope=_MANAGE,
                params=params,
                # A DELETE that ends sessions ends those begun since as well, when it is asked again for a lost reply.
                repeatable=False,
            )
        except RejectedError:
            # Somebody was faster, or it was refused: the user's own state tells which.
            if (await self._state(command, await self.user(command.native_id)))[call.fact] is not call.wanted:
                raise
            return repeated
        return Receipt(command.native_id, evidence={"status_before": status})

    async def effect(self, command: Command) -> tuple[Effect, dict[str, Any], str]:
        """Whether it is so, the state that says it, and the vendor's word for the user's."""
        command.only()
        call = _CALLS[command.verb]
        state = await self._state(command, await self.user(command.native_id))
        done = state[call.fact] is call.wanted
        return (Effect.IN_EFFECT if done else Effect.NOT_IN_EFFECT), state, str(state["status"])

    async def user(self, user_id: str) -> dict[str, Any]:
        """The user of that very id. Raises NotFoundError; Okta would take a login for an id too."""
        if _ID.fullmatch(user_id):
            user = await self._okta.one(user_path(user_id), operation="read user", scope=_READ)
            if user.get("id") == user_id:
                return user
        raise NotFoundError(f"no user has the id {user_id!r}", vendor=VENDOR, operation="read user")

    async def find(self, query: AccountQuery) -> Sequence[Account]:
        """Every exact match; Okta knows no security identifiers, so by one alone nobody is found."""
        return [await self._account(user) for user in await self._users(query)]

    async def _users(self, query: AccountQuery) -> list[dict[str, Any]]:
        if query.native_id:
            try:
                return [await self.user(query.native_id)]
            except NotFoundError:
                return []
        if query.email or "@" in query.name:
            text = query.email or query.name
            rows = await self._search(f"profile.login eq {quoted(text)} or profile.email eq {quoted(text)}")
            return [row for row in rows if text.casefold() in _names(row)]
        if not query.name:
            return []
        rows = await self._search(
            f"profile.login eq {quoted(query.name)} or profile.login sw {quoted(query.name + '@')}"
        )
        return [row for row in rows if _fits(row, query.name.casefold(), query.domain.casefold())]

    async def _search(self, expression: str) -> list[dict[str, Any]]:
        return await self._okta.every(
            "/api/v1/users", operation="find user", scope=_READ, params={"search": expression, "limit": "200"}
        )

    async def _account(self, user: Mapping[str, Any]) -> Account:
        """With what rights it has; unknown when we may not read them."""
        name, path = str(user.get("id", "")), user_path(str(user.get("id", "")))
        roles = await self._maybe(f"{path}/roles", "read roles", _ROLES)
        groups = await self._maybe(f"{path}/groups", "read groups", GROUPS_READ)
        profile = _part(user, "profile")
        login = str(profile.get("login") or "")
        names = (str(_part(group, "profile").get("name") or "") for group in groups or ())
        return Account(
            native_id=name,
            name=login,
            domain=login.partition("@")[2],
            email=str(profile.get("email") or ""),
            enabled=user.get("status") not in _OFF,
            privileged=None if roles is None else bool(roles),
            groups=tuple(sorted(filter(None, names))),
        )

    async def _maybe(self, path: str, operation: str, scope: str) -> list[dict[str, Any]] | None:
        try:
            return await self._okta.every(path, operation=operation, scope=scope)
        except ScopeError:
            return None

    async def _state(self, command: Command, user: Mapping[str, Any]) -> dict[str, Any]:
        """The facts that the verb is about."""
        status, since = str(user.get("status", "")), self._okta.asked(command)
        state: dict[str, Any] = {"status": status, "enabled": status not in _OFF}
        match command.verb:
            case "account.reset_password":
                changed = instant(user.get("passwordChanged"))
                state["password_reset"] = status == "RECOVERY" or (changed or 0) >= since
            case "account.revoke_sessions":
                event = await self._log.cleared(command.native_id, since)
                state |= {"sessions_cleared": event is not None, "event": str((event or {}).get("uuid", ""))}
            case "account.require_reauth_factors":
                path = f"{user_path(command.native_id)}/factors"
                factors = await self._okta.every(path, operation="read factors", scope=_READ)
                # One that was enrolled since then is the user's answer to the reset.
                old = [factor for factor in factors if (instant(factor.get("created")) or 0) < since]
                state |= {"factors_reset": not old, "factors": len(factors)}
        return state


def user_path(user_id: str) -> str:
    """Where a user is; the id is of harmless characters alone."""
    if not _ID.fullmatch(user_id):
        raise RejectedError(f"{user_id!r} is no id of a user", vendor=VENDOR, operation="read user")
    return f"/api/v1/users/{user_id}"


def _allow(command: Command, user: Mapping[str, Any], call: _Call) -> None:
    """Raises RejectedError where Okta would refuse, and says what can be done instead."""
    status = str(user.get("status", ""))
    provider = str(_part(_part(user, "credentials"), "provider").get("type") or "")
    message = ""
    if status not in call.states:
        message = f"Okta does this only to users who are {', '.join(sorted(call.states))}, and this one is {status}"
        if command.verb == "account.disable":
            message += "; deactivate the user in the Admin Console if access must end"
    elif command.verb == "account.reset_password" and provider in _ELSEWHERE:
        message = f"the password of this user is not Okta's ({provider}); reset it at the identity provider"
    if message:
        raise RejectedError(message, vendor=VENDOR, operation=command.verb)


def _names(user: Mapping[str, Any]) -> set[str]:
    profile = _part(user, "profile")
    return {str(profile.get(name) or "").casefold() for name in ("login", "email")}


def _fits(user: Mapping[str, Any], name: str, domain: str) -> bool:
    """Whether a login is that name in that domain: its DNS name or, as Windows writes it, the first part of it."""
    local, _, home = str(_part(user, "profile").get("login") or "").casefold().partition("@")
    provider = _part(_part(user, "credentials"), "provider")
    directory = str(provider.get("name") or "").casefold() if provider.get("type") == "ACTIVE_DIRECTORY" else ""
    homes = {part for text in (home, directory) for part in (text, text.partition(".")[0])}
    return local == name and (not domain or domain in homes)


def _part(document: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = document.get(name)
    return found if isinstance(found, Mapping) else {}
