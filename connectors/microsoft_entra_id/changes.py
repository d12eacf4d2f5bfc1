"""What is done to accounts, with the directory's own record as the only truth."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from nightdesk.connectors.microsoft_entra_id.accounts import Accounts, User
from nightdesk.connectors.microsoft_entra_id.client import VENDOR, Graph, segment
from nightdesk.sdk.errors import RejectedError
from nightdesk.sdk.moments import SECOND, instant
from nightdesk.sdk.ports import Command, Effect, Receipt

__all__ = ["Changes"]

_ENABLE = "User.EnableDisableAccount.All (with User.Read.All)"
_REVOKE = "User.RevokeSessions.All"
_PASSWORD = "User-PasswordProfile.ReadWrite.All"  # noqa: S105  # a permission
_GRACE = 1  # second; the time is told in whole seconds, and so is the Date by which we know the vendor's clock


@dataclass(frozen=True, slots=True)
class _Verb:
    """How one verb is asked for, and when it is so."""

    method: str
    suffix: str
    body: Mapping[str, Any] | None
    scope: str
    settled: Callable[[User, Command, int], bool | None]


class Changes:
    """Changes of the users of one tenant. ``with_mfa``: a forced password change asks for another factor first."""

    def __init__(self, graph: Graph, accounts: Accounts, *, with_mfa: bool) -> None:
        self._graph = graph
        self._accounts = accounts
        self._force = "forceChangePasswordNextSignInWithMfa" if with_mfa else "forceChangePasswordNextSignIn"
        profile = {"passwordProfile": {self._force: True}}
        self._verbs: Mapping[str, _Verb] = {
            "account.disable": _Verb("PATCH", "", {"accountEnabled": False}, _ENABLE, _enabled(wanted=False)),
            "account.enable": _Verb("PATCH", "", {"accountEnabled": True}, _ENABLE, _enabled(wanted=True)),
            "account.revoke_sessions": _Verb("POST", "/revokeSignInSessions", None, _REVOKE, _revoked),
            "account.reset_password": _Verb("PATCH", "", profile, _PASSWORD, self._forced),
        }

    @property
    def verbs(self) -> frozenset[str]:
        """What ``act`` and ``effect`` take."""
        return frozenset(self._verbs)

    async def act(self, command: Command) -> Receipt:
        """Asks for the change, unless it is so already."""
        command.only()
        verb = self._verbs[command.verb]
        user = await self._accounts.user(command.native_id)
        self._refuse(command, user)
        lost = self._losses(command, user)
        before = _state(user)
        if verb.settled(user, command, self._skew()):
            return Receipt(command.native_id, changed=_began_otherwise(command, before), losses=lost)
        await self._graph.ask(
            verb.method,
            f"/users/{segment(command.native_id)}{verb.suffix}",
            operation=command.verb,
            scope=verb.scope,
            json=verb.body,
            # A state is set, not toggled; but sessions that began since would be ended by a second POST.
            repeatable=verb.method == "PATCH",
        )
        return Receipt(command.native_id, losses=lost, evidence={"before": before})

    async def effect(self, command: Command) -> tuple[Effect, dict[str, Any], str]:
        """Whether it is so in the directory; replicas lag seconds to minutes behind an accepted change."""
        command.only()
        user = await self._accounts.user(command.native_id)
        settled = self._verbs[command.verb].settled(user, command, self._skew())
        effect = Effect.UNKNOWN if settled is None else Effect.IN_EFFECT if settled else Effect.NOT_IN_EFFECT
        return effect, _state(user), "enabled" if user.get("accountEnabled") else "disabled"

    def _refuse(self, command: Command, user: User) -> None:
        name = user.get("userPrincipalName")
        if command.verb == "account.revoke_sessions" and "#EXT#" in str(name).upper():
            message = f"{name} is an external user: its sessions are its home tenant's; disable it here instead"
            raise RejectedError(message, vendor=VENDOR, operation=command.verb)
        if command.verb == "account.reset_password" and user.get("onPremisesSyncEnabled"):
            message = f"{name} is synchronised from on-premises: change its password in Active Directory"
            raise RejectedError(message, vendor=VENDOR, operation=command.verb)

    def _losses(self, command: Command, user: User) -> tuple[str, ...]:
        if command.verb == "account.revoke_sessions":
            return ("access tokens: those already issued live on, about an hour without continuous access evaluation",)
        if command.verb == "account.reset_password":
            return ("password: the old one opens one more sign-in, which must then choose a new one",)
        if user.get("onPremisesSyncEnabled"):
            return ("on-premises: the next directory sync may overwrite this; do the same in Active Directory",)
        return ()

    def _forced(self, user: User, _: Command, __: int) -> bool | None:
        profile = user.get("passwordProfile")
        return profile.get(self._force) is True if isinstance(profile, Mapping) else None

    def _skew(self) -> int:
        return int((self._graph.clock_skew or 0.0) * SECOND)


def _enabled(*, wanted: bool) -> Callable[[User, Command, int], bool | None]:
    def settled(user: User, _: Command, __: int) -> bool | None:
        now = user.get("accountEnabled")
        return now is wanted if isinstance(now, bool) else None

    return settled


def _revoked(user: User, command: Command, skew: int) -> bool | None:
    """True once sessions are valid only from the command on, by the vendor's clock."""
    shown = user.get("signInSessionsValidFromDateTime")
    moment = instant(shown)
    if moment is None:
        return None
    if command.pre_state.get("sessions_valid_from") == shown:
        return False  # unchanged since before the first try
    asked = int((command.requested_at - timedelta(seconds=_GRACE)).timestamp()) * SECOND
    return moment >= asked + skew


def _state(user: User) -> dict[str, Any]:
    profile = user.get("passwordProfile")
    forced = profile if isinstance(profile, Mapping) else {}
    return {
        "enabled": user.get("accountEnabled"),
        "synced": user.get("onPremisesSyncEnabled") is True,
        "sessions_valid_from": user.get("signInSessionsValidFromDateTime"),
        "must_change_password": any(value is True for value in forced.values()),
    }


def _began_otherwise(command: Command, now: Mapping[str, Any]) -> bool:
    name = {
        "account.disable": "enabled",
        "account.enable": "enabled",
        "account.revoke_sessions": "sessions_valid_from",
        "account.reset_password": "must_change_password",
    }[command.verb]
    return command.began_otherwise(name, now[name])
